"""The pages of the benchmarks: what stands in the file, and what a browser makes of it."""

import json
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import pytest

from benchmarks._page import Section, write_page
from benchmarks._report import best_curves, readable, write_bulk_modulus_page
from benchmarks._tables import text as shown
from benchmarks.sets import write_sets_page
from benchmarks.similarity import write_similarity_page
from tests.browser import NEEDS_BROWSER, READY, faults, opened, wait

HOSTILE = '</script><img src=x onerror="document.title=1">&'
PROVENANCE = {
    "date": "2026-01-01 00:00 UTC",
    "machine": "a <fast> one, 2 cores",
    "python": "3.11",
    "packages": {"numpy": "2.0", "numba": "0.60"},
    "identity": {"code": "ab" * 8, "options": {"seed": 1, "target": "K_VRH"}},
    "entries": 11_699,
    "test_entries": 2340,
    "seconds": {"total": 12.3},
}


def bulk_modulus_results() -> dict:
    def row(descriptor, model, mae, note=""):
        scores = {
            "MAE": mae,
            "MAE low": mae - 1,
            "MAE high": mae + 1,
            "median": mae / 2,
            "median low": 1.0,
            "median high": 2.0,
            "R2": 0.8,
            "R2 low": 0.7,
            "R2 high": 0.9,
        }
        head = {"descriptor": descriptor, "model": model, "dissimilarity": "EMD", "variant": "EMD", "target_scale": "log10"}
        return head | {"title": readable(head)} | scores | {"seconds": mae / 2, "note": note}

    shared = {"material_id": ["mp-5229", "mp-30", "mp-13"], "formula": ["SrTiO3", "Cu", HOSTILE], "true": [171.0, 137.0, 182.0]}
    known = [[["mp-4019", "CaTiO3", 0.61], ["mp-2998", "BaTiO3", -0.2]], [["mp-23", "Ni", 1.0]], [["mp-90", HOSTILE, 1.0]]]
    rows = [row("GRID", "kNN, k = 1", 9.0), row("RDF", "kNN, k = 1", 27.0, HOSTILE), row("GRID + composition", "KRR", 12.5)]
    return PROVENANCE | {
        "rows": rows,
        "parity": {
            "GRID, nearest neighbour": shared | {"predicted": [160.0, 140.0, 175.0], "rests_on": known},
            "GRID + composition, kernel ridge regression": shared | {"predicted": [165.0, 139.0, 180.0], "rests_on": None},
        },
        "claims": [
            {"statement": "GRID is better than RDF", "outcome": "holds", "first": "GRID", "its error": 9.0, "why": ""},
            {"statement": "hkl reaches 28 %", "outcome": "does not hold", "first": "hkl", "its error": 70.0, "why": "of what?"},
        ],
        "not_applicable": [{"descriptor": "hkl", "model": "kNN", "dissimilarity": "EMD", "note": "no distribution"}],
        "learning_curves": {
            "GRID, nearest neighbour": {"model": "kNN", "n": [100, 1000, 9000], "MAE": [40.0, 25.0, 18.0]},
            "RDF, nearest neighbour": {"model": "kNN", "n": [100, 1000, 9000], "MAE": [41.0, 35.0, 28.0]},
            "RDF, LASSO": {"model": "LASSO", "n": [100, 1000, 9000], "MAE": [42.0, 41.0, 40.0]},
        },
    }


@pytest.fixture
def page(tmp_path) -> Path:
    write_bulk_modulus_page(tmp_path / "index.html", bulk_modulus_results())
    return tmp_path / "index.html"


class TestFile:
    def test_text_is_escaped(self, page):
        text = page.read_text(encoding="utf-8")
        assert HOSTILE not in text
        assert "&lt;/script&gt;&lt;img" in text
        assert "a &lt;fast&gt; one" in text

    def test_nothing_is_loaded_from_elsewhere(self, page):
        text = page.read_text(encoding="utf-8")
        assert "<script src" not in text
        assert '<link rel="stylesheet' not in text
        assert "@import" not in text

    def test_provenance(self, page):
        text = page.read_text(encoding="utf-8")
        for part in ("2026-01-01 00:00 UTC", "ab" * 8, "numba 0.60", "total 12.3 s", "<dt>Seed</dt><dd>1</dd>"):
            assert part in text

    def test_claims_and_what_makes_no_sense(self, page):
        text = page.read_text(encoding="utf-8")
        assert '<td class="good" data-label="outcome" data-value="holds">holds</td>' in text
        assert '<td class="bad" data-label="outcome" data-value="does not hold">' in text
        assert "no distribution" in text
        assert "<small>of what?</small>" in text

    def test_numbers_texts_and_what_is_missing(self, tmp_path):
        table = pd.DataFrame(
            {"name": ["<b>", "a", None], "n": [9.0, None, 12345], "MAE": [2.0, 1.26, None], "MAE, small": ["x", "", ""]}
        )
        write_page(tmp_path / "index.html", "title", "", [Section("a", "b", [table, "text & more"])], PROVENANCE)
        text = (tmp_path / "index.html").read_text(encoding="utf-8")
        cells = (
            '<td data-label="name" data-value="&lt;b&gt;">&lt;b&gt;</td><td class="number" data-label="n" data-value="9.0">9</td>'
        )
        assert cells in text
        assert '<td class="number" data-label="MAE / GPa" data-value="2.0">2.0<small>x</small></td>' in text
        assert '<td class="number best" data-label="MAE / GPa" data-value="1.26">1.3</td>' in text
        assert '<td data-label="name" data-value=""></td>' in text
        assert ">MAE / GPa<" in text
        assert "<p>text &amp; more</p>" in text

    def test_an_error_leaves_the_old_page(self, page):
        before = page.read_bytes()
        with pytest.raises(TypeError):
            write_page(page, "title", "", [Section("a", "b", [go.Figure(go.Scatter(x=[object()]))])], PROVENANCE)
        assert page.read_bytes() == before


class TestWords:
    def test_the_answer_and_its_picture_come_before_the_tables(self, page):
        text = page.read_text(encoding="utf-8")
        answer = text.index(
            "GRID, nearest neighbour of log10 predicts the bulk modulus of 2,340 crystals, which it was not shown, best"
        )
        assert answer < text.index('id="parity-plot"') < text.index("<table")
        assert "its mean absolute error is 9.0 GPa (8.0 to 10.0 with 95 % probability), its median error 4.5 GPa." in text

    @pytest.mark.parametrize(
        ("row", "name"),
        [
            (("GRID + composition", "kNN, k = 1", "EMD", "GPa"), "GRID + composition, nearest neighbour"),
            (("RDF", "kNN, k = 5", "cosine", "GPa"), "RDF, mean of 5 nearest neighbours by cosine distance"),
            (("GRID", "KRR", "linear", "log10"), "GRID, kernel ridge regression of log10, linear kernel"),
            (("GRID", "LASSO", "", "GPa"), "GRID, LASSO"),
            (("median of the training part", "reference", "", "GPa"), "median of the training part"),
        ],
    )
    def test_titles(self, row, name):
        assert readable(dict(zip(("descriptor", "model", "variant", "target_scale"), row, strict=True))) == name

    @pytest.mark.parametrize(
        ("value", "written"), [(0.037, "0.037"), (17.46, "17.5"), (0.0, "0.0"), (0.96, "0.96"), (-0.0042, "-0.0042")]
    )
    def test_digits_fit_the_unit(self, value, written):
        assert shown(value, "MAE") == written

    @pytest.mark.parametrize(
        ("value", "written"),
        [(23_075.4, "23,075"), (9_999.4, "9999"), (9_999.7, "10,000"), (12_345, "12,345"), (True, "yes"), (">= 0.99", "≥ 0.99")],
    )
    def test_what_is_no_score(self, value, written):
        assert shown(value) == written

    def test_the_lowest_learning_curve_of_each_model(self):
        assert list(best_curves(bulk_modulus_results()["learning_curves"])) == ["GRID, nearest neighbour", "RDF, LASSO"]


def similarity_page(path):
    series = {"title": "Ruddlesden-Popper", "parameter": "n", "values": [0, 1, 2], "labels": ["SrO", "Sr2TiO4", "SrTiO3"]}
    matrix = [[0, 1, 2], [1, 0, 1.5], [2, 1.5, 0]]
    check = {
        "series": "rp",
        "said_by": "ours",
        "statement": f"it grows {HOSTILE}",
        "holds": True,
        "numbers": "1, 2",
        "required": True,
    }
    results = {
        "parameters": {"cutoff": 10.0, "bin_size": 0.1, "n_groups": 100},
        "units": dict.fromkeys(("GRID, EMD", "RDF, EMD"), "Å") | {"GRID, cosine": ""},
        "checks": [check | {"outcome": "holds"}, check | {"outcome": "does not come out", "required": False}],
        "notes": ["A note."],
        "examined": [{"cells": "measured", "bin size (Å)": 0.1, "from SrTiO3": 0.9}],
        "series": {"rp": series | {"matrices": dict.fromkeys(("GRID, EMD", "GRID, cosine", "RDF, EMD"), matrix)}},
    }
    write_similarity_page(path, PROVENANCE | results)
    return path


def sets_page(path):
    """Write the page of the results that the site shows."""
    write_sets_page(path, json.loads((Path(__file__).parents[1] / "docs/results/sets.json").read_text(encoding="utf-8")))
    return path


@pytest.mark.browser
@NEEDS_BROWSER
class TestEverywhere:
    @pytest.mark.parametrize("kind", ["bulk modulus", "similarity", "sets"])
    def test_nothing_is_cut_and_nothing_is_wrong(self, page, tmp_path, kind):
        others = {"similarity": similarity_page, "sets": sets_page}
        shown = page if kind == "bulk modulus" else others[kind](tmp_path / "other.html")
        assert 'class="figure' in shown.read_text(encoding="utf-8")
        assert faults(shown, tmp_path / "profile") == []

    def test_faults_are_found(self, tmp_path):
        bad = '<title>1</title><body data-ready="1"><p style="width:900px">wide</p><div class="figure"></div><img src="none.png">'
        (tmp_path / "bad.html").write_text(bad, encoding="utf-8")
        found = faults(tmp_path / "bad.html", tmp_path / "profile")
        for look in ("1400 px, light", "400 px, light", "1400 px, dark", "400 px, dark"):
            for fault in ("a name ran as a script", "1 figures without a drawing", "none.png", "html-has-lang", "image-alt"):
                assert any(one.startswith(look) and fault in one for one in found)
        for look in ("400 px, light", "400 px, dark"):
            assert any(one.startswith(look) and "pixels wider" in one for one in found)
        assert not any("pixels wider" in one for one in found if one.startswith("1400"))


@pytest.mark.browser
@NEEDS_BROWSER
class TestBrowser:
    @pytest.fixture
    def browser(self, tmp_path, page):
        with opened(page, tmp_path / "profile", 1280, 2200) as driver:
            wait(driver, READY)
            yield driver

    @staticmethod
    def wait(browser, css):
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(browser, 30).until(lambda b: b.find_elements("css selector", css))

    def test_a_click_on_a_header_sorts(self, browser):
        def column(i):
            return [
                cell.text.split("\n")[0]
                for cell in browser.find_elements("css selector", f"#scores div:first-of-type tbody td:nth-child({i})")
            ]

        assert column(5) == ["9.0", "27.0", "12.5"]
        header = browser.find_element("css selector", "#scores th:nth-child(5)")
        header.find_element("tag name", "button").click()
        assert column(5) == ["9.0", "12.5", "27.0"]
        assert header.get_attribute("aria-sort") == "ascending"
        header.find_element("tag name", "button").click()
        assert column(5) == ["27.0", "12.5", "9.0"]
        browser.find_element("css selector", "#scores th:first-child button").click()
        assert column(1) == ["GRID", "GRID + composition", "RDF"]
        assert header.get_attribute("aria-sort") is None

    @staticmethod
    def emit(browser, event, trace, point):
        browser.execute_script(
            "const [event, trace, i] = arguments, plot = document.getElementById('parity-plot');"
            "const { x, y, customdata } = plot.data[trace];"
            "plot.emit(event, { points: [{ x: x[i], y: y[i], customdata: customdata[i] }] });",
            event,
            trace,
            point,
        )

    def test_a_click_on_a_point_tells_what_the_prediction_rests_on(self, browser):
        self.wait(browser, "#parity-plot .points path")
        self.emit(browser, "plotly_click", 1, 0)
        picked = browser.find_element("id", "picked")
        assert picked.text == (
            "SrTiO3, mp-5229: true 171 GPa, predicted 160.0 GPa. It rests most on CaTiO3 mp-4019 (61 %), BaTiO3 mp-2998 (-20 %)."
        )
        links = [link.get_attribute("href") for link in picked.find_elements("tag name", "a")]
        assert links == [f"https://next-gen.materialsproject.org/materials/{id_}" for id_ in ("mp-5229", "mp-4019", "mp-2998")]

    def test_the_mouse_on_a_point_tells_what_it_is(self, browser):
        self.wait(browser, "#parity-plot .points path")
        browser.execute_script("Plotly.Fx.hover('parity-plot', [{curveNumber: 1, pointNumber: 0}]);")
        told = self.wait(browser, "#parity-plot .hoverlayer .hovertext")[0].text
        for part in ("SrTiO3", "mp-5229", "true 171 GPa, predicted 160.0 GPa", "rests most on CaTiO3 mp-4019"):
            assert part in told

    def test_the_menu_opens_on_the_first_and_hostile_text_stays_text(self, browser):
        self.wait(browser, "#parity-plot .points path")
        visible = "return document.getElementById('parity-plot').data.map((trace) => trace.visible ?? true);"
        assert browser.execute_script("return document.getElementById('parity-row').value") == "GRID, nearest neighbour"
        assert browser.execute_script(visible) == [True, True, False]
        browser.find_element("css selector", "#parity-row option:nth-child(2)").click()
        assert browser.execute_script(visible) == [True, False, True]
        self.emit(browser, "plotly_click", 2, 2)
        text = browser.find_element("id", "picked").text
        assert text.startswith(HOSTILE)
        assert text.endswith("No few known crystals carry this prediction.")
        assert browser.title == "Predicting the bulk modulus"

    def test_axes_are_logarithmic_or_linear(self, browser):
        self.wait(browser, "#parity-plot .points path")

        def axes():
            return browser.execute_script(
                "const { xaxis, yaxis } = document.getElementById('parity-plot').layout; return [xaxis.type, yaxis.type];"
            )

        assert axes() == ["log", "log"]
        browser.find_element("id", "parity-log").click()
        assert axes() == ["linear", "linear"]

    def test_everything_is_drawn_without_errors(self, browser, tmp_path):
        assert self.wait(browser, "#parity-plot .points path")
        assert self.wait(browser, "#learning-curves .points path")
        assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
        assert browser.save_screenshot(str(tmp_path / "page.png"))
        from matplotlib.image import imread

        picture = imread(tmp_path / "page.png")
        assert picture.shape[1] >= 1200
        assert picture[..., :3].std() > 0.05
