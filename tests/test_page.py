"""The pages of the benchmarks: what stands in the file, and what a browser makes of it."""

import shutil
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import pytest

from benchmarks._page import Section, write_page
from benchmarks._report import write_bulk_modulus_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
HOSTILE = '</script><img src=x onerror="document.title=1">&'
PROVENANCE = {
    "date": "2026-01-01 00:00 UTC",
    "machine": "a <fast> one, 2 cores",
    "python": "3.11",
    "packages": {"numpy": "2.0", "numba": "0.60"},
    "identity": {"code": "ab" * 8, "options": {"seed": 1, "target": "K_VRH"}},
    "entries": 11_699,
    "seconds": {"total": 12.3},
}


def bulk_modulus_results() -> dict:
    def row(descriptor, model, mae, note=""):
        scores = {"MAE": mae, "MAE low": mae - 1, "MAE high": mae + 1, "R2": 0.8, "R2 low": 0.7, "R2 high": 0.9}
        head = {"descriptor": descriptor, "model": model, "dissimilarity": "EMD", "target_scale": "log10"}
        return head | scores | {"seconds": mae / 2, "note": note}

    shared = {"material_id": ["mp-5229", "mp-30", "mp-13"], "formula": ["SrTiO3", "Cu", HOSTILE], "true": [171.0, 137.0, 182.0]}
    return PROVENANCE | {
        "rows": [row("GRID", "kNN, k = 1", 9.0), row("RDF", "kNN, k = 1", 27.0, HOSTILE), row("GRID + composition", "KRR", 12.5)],
        "parity": {
            "GRID, kNN": shared | {"predicted": [160.0, 140.0, 175.0], "neighbour_id": ["mp-4019", "mp-23", "mp-90"]},
            "GRID + composition, KRR": shared | {"predicted": [165.0, 139.0, 180.0], "neighbour_id": None},
        },
        "claims": [
            {"statement": "GRID is better than RDF", "outcome": "holds", "first": "GRID", "its error": 9.0, "why": ""},
            {"statement": "hkl reaches 28 %", "outcome": "does not hold", "first": "hkl", "its error": 70.0, "why": "of what?"},
        ],
        "not_applicable": [{"descriptor": "hkl", "model": "kNN", "dissimilarity": "EMD", "note": "no distribution"}],
        "learning_curves": {"GRID, kNN": {"n": [100, 1000, 9000], "MAE": [40.0, 25.0, 18.0]}},
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
        assert '<td class="good" data-value="holds">holds</td>' in text
        assert '<td class="bad" data-value="does not hold">' in text
        assert "no distribution" in text
        assert "<small>of what?</small>" in text

    def test_numbers_texts_and_what_is_missing(self, tmp_path):
        table = pd.DataFrame(
            {"name": ["<b>", "a", None], "n": [9.0, None, 12345], "MAE": [2.0, 1.26, None], "MAE, small": ["x", "", ""]}
        )
        write_page(tmp_path / "index.html", "title", "", [Section("a", "b", [table, "text & more"])], PROVENANCE)
        text = (tmp_path / "index.html").read_text(encoding="utf-8")
        assert '<td data-value="&lt;b&gt;">&lt;b&gt;</td><td class="number" data-value="9.0">9</td>' in text
        assert '<td class="number" data-value="2.0">2.0<small>x</small></td>' in text
        assert '<td class="number best" data-value="1.26">1.3</td>' in text
        assert '<td data-value=""></td>' in text
        assert ">MAE / GPa<" in text
        assert "<p>text &amp; more</p>" in text

    def test_an_error_leaves_the_old_page(self, page):
        before = page.read_bytes()
        with pytest.raises(TypeError):
            write_page(page, "title", "", [Section("a", "b", [go.Figure(go.Scatter(x=[object()]))])], PROVENANCE)
        assert page.read_bytes() == before


@pytest.mark.browser
@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs Chromium and its driver: apt-get install chromium chromium-driver")
class TestBrowser:
    @pytest.fixture
    def browser(self, tmp_path, page):
        webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install 'matminer-grid[browser]'")
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update"
        for flag in [*flags.split(), "disable-sync", f"user-data-dir={tmp_path / 'profile'}", "window-size=1280,2200"]:
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        try:
            driver.get(page.as_uri())
            yield driver
        finally:
            driver.quit()

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

    def test_a_click_on_a_point_tells_the_neighbour(self, browser):
        self.wait(browser, "#parity .points path")
        self.emit(browser, "plotly_click", 1, 0)
        picked = browser.find_element("id", "picked")
        assert picked.text == "SrTiO3, mp-5229: true 171 GPa, predicted 160.0 GPa; decided by its nearest neighbour mp-4019"
        links = [link.get_attribute("href") for link in picked.find_elements("tag name", "a")]
        assert links == [f"https://next-gen.materialsproject.org/materials/{id_}" for id_ in ("mp-5229", "mp-4019")]

    def test_the_mouse_on_a_point_tells_what_it_is(self, browser):
        self.wait(browser, "#parity .points path")
        browser.execute_script("Plotly.Fx.hover('parity-plot', [{curveNumber: 1, pointNumber: 0}]);")
        shown = self.wait(browser, "#parity .hoverlayer .hovertext")[0].text
        for part in ("SrTiO3", "mp-5229", "true 171 GPa, predicted 160.0 GPa", "decided by mp-4019"):
            assert part in shown

    def test_the_other_row_has_no_neighbour_and_hostile_text_stays_text(self, browser):
        self.wait(browser, "#parity .points path")
        browser.find_element("css selector", "#parity-row option:nth-child(2)").click()
        visible = browser.execute_script(
            "return document.getElementById('parity-plot').data.map((trace) => trace.visible ?? true);"
        )
        assert visible == [True, False, True]
        self.emit(browser, "plotly_click", 2, 2)
        text = browser.find_element("id", "picked").text
        assert text.startswith(HOSTILE)
        assert text.endswith("no single neighbour decides here")
        assert browser.title == "Predicting the bulk modulus"

    def test_axes_are_logarithmic_or_linear(self, browser):
        self.wait(browser, "#parity .points path")

        def axes():
            return browser.execute_script(
                "const { xaxis, yaxis } = document.getElementById('parity-plot').layout; return [xaxis.type, yaxis.type];"
            )

        assert axes() == ["log", "log"]
        browser.find_element("id", "parity-log").click()
        assert axes() == ["linear", "linear"]

    def test_everything_is_drawn_without_errors(self, browser, tmp_path):
        assert self.wait(browser, "#parity .points path")
        assert self.wait(browser, "#learning-curves .points path")
        assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
        assert browser.save_screenshot(str(tmp_path / "page.png"))
        from matplotlib.image import imread

        picture = imread(tmp_path / "page.png")
        assert picture.shape[1] >= 1200
        assert picture[..., :3].std() > 0.05
