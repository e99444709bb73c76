"""Reports: pictures of crystals, the page, the commands' options, and what a browser makes of them."""

import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matminer_grid import Crystal
from matminer_grid.cli.reports import conventional
from matminer_grid.plotting import Card, CrystalPicture, Section, report_page
from tests.browser import NEEDS_BROWSER, READY, errors, faults, opened, wait
from tests.commands import run
from tests.conftest import baddeleyite, disordered_alloy, perovskite, rock_salt

HOSTILE = '</script><img src=x onerror="document.title=1">&'


def picture(structure) -> CrystalPicture:
    return CrystalPicture.of([site.specie.symbol for site in structure], structure.cart_coords, structure.lattice.matrix)


class TestPicture:
    def test_sites_on_faces_are_drawn_on_all_of_them(self):
        drawn = picture(perovskite())  # Sr at the corner, Ti in the middle, O on the faces
        assert [drawn.symbols.count(symbol) for symbol in ("Sr", "Ti", "O")] == [8, 1, 6]
        assert len(drawn.edges()) == 12

    def test_bonds_are_the_nearest_shell(self):
        drawn = picture(perovskite())
        for a, b in drawn.bonds.tolist():
            distances = [
                np.sort(np.linalg.norm(drawn.positions - drawn.positions[i], axis=1))[1] for i in (a, b)
            ]  # to the nearest other atom
            assert np.linalg.norm(drawn.positions[a] - drawn.positions[b]) <= 1.1 * max(distances) + 1e-9
        pairs = {tuple(sorted((drawn.symbols[a], drawn.symbols[b]))) for a, b in drawn.bonds.tolist()}
        assert pairs == {("O", "Ti"), ("O", "Sr")}

    @pytest.mark.parametrize("move", [0.0, 1e-9, -1e-9, 3.0])
    def test_another_description_of_the_same_sites(self, move):
        first, second = rock_salt(), rock_salt()
        second.translate_sites(range(8), [move] * 3, to_unit_cell=False)
        assert np.allclose(np.sort(picture(first).positions, axis=0), np.sort(picture(second).positions, axis=0), atol=1e-6)

    def test_one_atom_and_many(self):
        assert CrystalPicture.of(["Po"], [[0, 0, 0]], 3.35 * np.eye(3)).symbols == ["Po"] * 8
        alone = CrystalPicture.of(["Po"], [[1, 1, 1]], 3.35 * np.eye(3))
        assert len(alone.bonds) == 0
        assert "<circle" in alone.svg("polonium")
        many = picture(rock_salt() * (5, 5, 5))
        assert len(many.symbols) == 400
        assert many.left_out > 600

    def test_what_is_no_element(self):
        drawn = CrystalPicture.of(["X", "D", "Po"], np.eye(3), 4 * np.eye(3))
        assert dict(zip(drawn.symbols, drawn.colors, strict=True)) == {"X": "#ff1493", "D": "#ffffff", "Po": "#ab5c00"}
        assert HOSTILE not in drawn.svg(HOSTILE)


def hostile_page() -> str:
    cells = [Card(HOSTILE, [HOSTILE], ["Fe"], [[0, 0, 0]], 2.87 * np.eye(3), link="https://example.org/?a=1&b=2")] * 2
    table = pd.DataFrame({"name": [HOSTILE, None], "value": [1.23456789, np.nan], "a long text": ["x" * 90, "y"]})
    figure = go.Figure(go.Scatter(x=[1, 2], y=[2, 1], text=[HOSTILE, "b"]))
    figure.update_layout(template="simple_white", meta=f"Two points {HOSTILE}", xaxis_title="x (Å)", yaxis_title="y")
    parts = [{HOSTILE: HOSTILE, "modulus": "12 GPa"}, "text & more", cells, table, figure]
    return report_page(f"A title {HOSTILE}", [Section(f"Answer {HOSTILE}", parts)], ["A note."])


class TestConventionalCell:
    @pytest.mark.parametrize("structure", [rock_salt(), perovskite(), disordered_alloy(), baddeleyite()], ids=lambda s: s.formula)
    def test_primitive_cells_are_drawn_as_conventional_ones(self, structure):
        first, second = (conventional(Crystal.from_structure(one)) for one in (structure, structure.get_primitive_structure()))
        assert sorted(first["symbols"]) == sorted(second["symbols"])
        assert np.allclose(np.linalg.norm(first["cell"], axis=1), np.linalg.norm(second["cell"], axis=1), atol=1e-3)
        assert abs(np.linalg.det(first["cell"])) / len(first["symbols"]) == pytest.approx(structure.volume / len(structure))


class TestPage:
    def test_text_is_escaped_and_nothing_is_loaded(self):
        page = hostile_page()
        assert HOSTILE not in page
        own = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
        assert "src=" not in own.replace("&lt;img src=", "")
        assert re.search(r'<td class="number" data-label="[^"<]*">1\.235</td>', page)
        assert re.search(r'<td class="number" data-label="[^"<]*"></td>', page)

    def test_no_script_where_nothing_is_drawn(self):
        assert "<script" not in report_page("title", [Section("a", ["b"])])


@pytest.fixture(scope="module")
def pages(sample, tmp_path_factory):
    """Write the reports of the commands on small files."""
    folder = tmp_path_factory.mktemp("reports")
    perovskite().to(filename=str(folder / "SrTiO3.cif"))
    rock_salt().to(filename=str(folder / "NaCl.cif"))
    rock_salt().get_primitive_structure().to(filename=str(folder / "again.cif"))
    sample[:30].to_parquet(folder / "known.parquet")
    table = sample[:40].to_arrow()
    volumes = [crystal.volume / crystal.n_sites for crystal in sample[:40]]
    pq.write_table(table.append_column("volume", pa.array(volumes)), folder / "volumes.parquet")
    (folder / "hostile.html").write_text(hostile_page(), encoding="utf-8")
    evaluated = ["NaCl.cif", "again.cif", "SrTiO3.cif", "known.parquet", "-o", "out", "--reference", "known.parquet"]
    arguments = {
        "duplicates": ["NaCl.cif", "again.cif", "SrTiO3.cif"],
        "evaluate": evaluated,
        "train": ["volumes.parquet", "--target", "volume", "--folds", "2"],
        "compare": ["NaCl.cif", "mp-23193"],
        "similar": ["SrTiO3.cif", "NaCl.cif", "-k", "3"],
        "predict": ["SrTiO3.cif", "-k", "3", "--limit", "60"],
    }
    for command, given in arguments.items():
        done = run(command, *given, "--report", f"{command}.html", cwd=folder)
        assert done.returncode == 0, done.stderr
        assert f"{command}.html: open it in a browser\n" in done.stderr
    return folder


class TestCommands:
    def test_compare(self, pages):
        text = (pages / "compare.html").read_text(encoding="utf-8")
        for part in (
            "NaCl.cif and mp-23193",
            "Most of it comes from distances.",
            "Na 4a",
            "https://materialsproject.org/materials/mp-23193",
        ):
            assert part in text

    def test_similar(self, pages):
        text = (pages / "similar.html").read_text(encoding="utf-8")
        for part in ("SrTiO3.cif", "mp-5229", "The unit cell of mp-22862", "Pm-3m (221)"):
            assert part in text

    def test_duplicates(self, pages):
        text = (pages / "duplicates.html").read_text(encoding="utf-8")
        for part in ("<dt>distinct</dt><dd>2</dd>", "NaCl, Fm-3m (225): 2 crystals", "NaCl.cif", "again.cif", "<p>Fm-3m (225)</p>"):
            assert part in text
        assert "NaCl.cif, again.cif" not in text  # their cards say it

    def test_evaluate(self, pages):
        text = (pages / "evaluate.html").read_text(encoding="utf-8")
        for part in ("33 crystals against 30 known ones.", "Dissimilarity to the nearest known crystal, median", "known as "):
            assert part in text

    def test_train(self, pages):
        text = (pages / "train.html").read_text(encoding="utf-8")
        for part in (
            "A model of volume",
            "Cross-validated on 40 crystals with 2 folds. Their median as the prediction for all has an MAE of",
            '<td data-label="interval">95%</td>',
            "Largest errors",
            "Predicted against true volume",
        ):
            assert part in text

    def test_predict(self, pages):
        text = (pages / "predict.html").read_text(encoding="utf-8")
        for part in (
            "K_VRH (GPa)",
            "95% interval",
            "Similarity 0.",
            "to the nearest known, ",
            "GRID EMD (Å)",
            ">K_VRH<",
            "The known crystals of the largest share",
            "share ",
        ):
            assert part in text

    @pytest.mark.parametrize("command", [["compare", "mp-2998", "mp-5229"], ["similar", "NaCl.cif"], ["predict", "NaCl.cif"]])
    def test_a_report_that_cannot_be_written(self, pages, command):
        done = run(*command, "--report", "none/x.html", cwd=pages)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.endswith("error: none/x.html: there is no folder none\n")


@pytest.mark.browser
@NEEDS_BROWSER
class TestBrowser:
    @pytest.mark.parametrize("name", ["compare", "similar", "predict", "duplicates", "evaluate", "train", "hostile"])
    def test_nothing_is_cut_and_nothing_is_wrong(self, pages, tmp_path, name):
        assert faults(pages / f"{name}.html", tmp_path) == []

    @pytest.mark.parametrize("width", [1400, 400])
    def test_figures_with_equal_axes_are_square(self, pages, tmp_path, width):
        with opened(pages / "train.html", tmp_path, width) as browser:
            wait(browser, READY)
            boxes = [figure.size for figure in browser.find_elements("css selector", ".figure.square")]
            assert len(boxes) == 2  # parity and calibration
            assert all(abs(box["width"] - box["height"]) < 2 for box in boxes)

    def test_a_click_turns_one_crystal_at_a_time(self, pages, tmp_path):
        with opened(pages / "similar.html", tmp_path) as browser:
            wait(browser, READY)
            buttons = browser.find_elements("css selector", "[data-turn]")
            assert len(buttons) == 8
            buttons[0].click()
            wait(browser, "document.querySelector('[data-crystal=\"0\"] .gl-container canvas')")
            buttons[5].click()
            wait(browser, "document.querySelector('[data-crystal=\"5\"] .gl-container canvas')")
            assert len(browser.find_elements("css selector", ".solid")) == 1
            assert browser.find_element("css selector", '[data-crystal="0"] svg').is_displayed()
            assert errors(browser) == []
