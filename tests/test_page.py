"""The pages of the benchmarks: what stands in the file, and what a browser makes of it."""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks._page import Cell, Section, table, write_bulk_modulus_page, write_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
HOSTILE = '</script><img src=x onerror="document.title=1">&'
PROVENANCE = {
    "date": "2026-01-01 00:00 UTC",
    "machine": "a <fast> one, 2 cores",
    "python": "3.11",
    "packages": {"numpy": "2.0", "numba": "0.60"},
    "identity": {"dataset": "ab" * 32, "options": {"seed": 1, "target": "K_VRH"}},
    "entries": 11_699,
    "seconds": {"total": 12.3},
}


def bulk_modulus_results() -> dict:
    def row(descriptor, model, mae, note=""):
        scores = {"MAE": [mae, mae - 1, mae + 1], "R²": [0.8, 0.7, 0.9]}
        return {
            "descriptor": descriptor,
            "model": model,
            "dissimilarity": "EMD",
            "target_scale": "log10",
            "scores": scores,
            "seconds": mae / 2,
            "note": note,
        }

    shared = {"material_id": ["mp-5229", "mp-30", "mp-13"], "formula": ["SrTiO3", "Cu", HOSTILE], "true": [171.0, 137.0, 182.0]}
    return PROVENANCE | {
        "rows": [row("GRID", "kNN, k = 1", 9.0), row("RDF", "kNN, k = 1", 27.0, HOSTILE), row("GRID + composition", "KRR", 12.5)],
        "parity": {
            "GRID, kNN": shared | {"predicted": [160.0, 140.0, 175.0], "neighbour_id": ["mp-4019", "mp-23", "mp-90"]},
            "GRID + composition, KRR": shared | {"predicted": [165.0, 139.0, 180.0], "neighbour_id": None},
        },
        "claims": [
            {"claim": "GRID is better than RDF", "first": "GRID", "first_value": 9.0, "second": "RDF", "second_value": 27.0}
            | {"unit": "GPa", "holds": True, "why": ""},
            {"claim": "hkl reaches 28 %", "first": "hkl", "first_value": 70.0, "second": "report", "second_value": 28.0}
            | {"unit": "%", "holds": False, "why": "the report does not say of what"},
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

    def test_lists_that_rows_share_are_kept_once(self, page):
        embedded = page.read_text(encoding="utf-8").split('type="application/json">')[1].split("</script>")[0]
        parity = json.loads(embedded)["parity"]
        assert len(parity["lists"]) == 6
        assert parity["rows"]["GRID + composition, KRR"]["neighbour_id"] is None

    def test_provenance(self, page):
        text = page.read_text(encoding="utf-8")
        for part in ("2026-01-01 00:00 UTC", "ab" * 32, "numba 0.60", "total 12.3 s", "<dt>Seed</dt><dd>1</dd>"):
            assert part in text

    def test_claims_and_what_makes_no_sense(self, page):
        text = page.read_text(encoding="utf-8")
        assert '<span class="good">holds</span>' in text
        assert "no distribution" in text
        assert "<small>the report does not say of what</small>" in text

    def test_columns_of_numbers_are_sorted_as_numbers(self):
        html = table(["name", "n"], [["b", 9.0], ["a", 10.0], ["c", None], [Cell("<b>d</b>", "d"), 1]])
        assert html.count('class="number"') == 5
        assert 'data-value="10.0">10<' in html
        assert "<b>d</b>" in html

    def test_nan_is_refused_and_leaves_the_old_page(self, page):
        before = page.read_bytes()
        with pytest.raises(ValueError, match="JSON"):
            write_page(page, "title", "", [Section("a", "b", "c")], {"x": float("nan")}, PROVENANCE)
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

    def test_a_click_on_a_point_tells_the_neighbour(self, browser):
        self.wait(browser, "#parity .points path")
        browser.execute_script("document.querySelector('.parity').emit('plotly_click', {points: [{pointIndex: 0}]});")
        picked = browser.find_element("id", "picked")
        assert picked.text == "SrTiO3, mp-5229: true 171 GPa, predicted 160.0 GPa; decided by its nearest neighbour mp-4019"
        links = [link.get_attribute("href") for link in picked.find_elements("tag name", "a")]
        assert links == [f"https://next-gen.materialsproject.org/materials/{id_}" for id_ in ("mp-5229", "mp-4019")]

    def test_the_other_row_has_no_neighbour_and_hostile_text_stays_text(self, browser):
        self.wait(browser, "#parity .points path")
        browser.find_element("css selector", "#parity-row option:nth-child(2)").click()
        browser.execute_script("document.querySelector('.parity').emit('plotly_click', {points: [{pointIndex: 2}]});")
        text = browser.find_element("id", "picked").text
        assert text.startswith(HOSTILE)
        assert text.endswith("no single neighbour decides here")
        assert browser.title == "Predicting the bulk modulus"

    def test_everything_is_drawn_without_errors(self, browser, tmp_path):
        assert self.wait(browser, "#parity .points path")
        assert self.wait(browser, "#learning-curves .points path")
        assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
        assert browser.save_screenshot(str(tmp_path / "page.png"))
        from matplotlib.image import imread

        picture = imread(tmp_path / "page.png")
        assert picture.shape[1] >= 1200
        assert picture[..., :3].std() > 0.05
