"""Maps of crystals: embeddings, the page, the command, and what a browser makes of it."""

import json
import re
import sys

import numpy as np
import pandas as pd
import pytest

from matminer_grid import CrystalDissimilarity, CrystalTable
from matminer_grid.cli.explore import Layout, _both
from matminer_grid.plotting import crystal_map
from matminer_grid.similarity import embed_crystals
from matminer_grid.similarity.embedding import classical_scaling
from tests.browser import NEEDS_BROWSER, READY, errors, faults, opened, wait
from tests.commands import run

pytest.importorskip("chemiscope", reason="needs chemiscope: pip install 'matminer-grid[explore]'")

HOSTILE = '</script><img src=x onerror="document.title=1">&'


def drawn(n: int) -> tuple:
    """Give the arguments of a map of n cells of iron."""
    iron = {"symbols": ["Fe"], "positions": np.zeros((1, 3)), "cell": 2.87 * np.eye(3)}
    known = pd.DataFrame({"name": [f"a{i}" for i in range(n)], "formula": "Fe", "K": np.arange(n) + 1.0})
    axes = pd.DataFrame({"x": np.arange(n) * 1.0, "y": np.arange(n) % 3 * 1.0})
    near = (np.arange(n)[:, None] + 1) % n if n > 1 else np.empty((n, 0), int)
    return [iron] * n, known, axes, near, np.zeros(near.shape)


class TestEmbedding:
    def test_neighbors_are_those_of_all_pairs(self, sample):
        crystals = sample[:40]
        dissimilarity = CrystalDissimilarity(resolution="sites", scale_volume=True)
        found = embed_crystals(crystals, dissimilarity, n_neighbors=5)
        matrix = dissimilarity.pairwise(crystals)
        np.fill_diagonal(matrix, np.inf)
        assert np.allclose(found.dissimilarities, np.sort(matrix, axis=1)[:, :5])
        assert np.allclose(np.take_along_axis(matrix, found.neighbors, axis=1), found.dissimilarities)
        assert np.isfinite(found.axes.to_numpy()).all()
        again = embed_crystals(crystals, dissimilarity, n_neighbors=5)
        assert (again.axes == found.axes).all(axis=None)

    def test_alike_crystals_stand_together(self, sample):
        crystals = CrystalTable.concatenate([sample[:20]] * 3)
        places = embed_crystals(crystals, n_neighbors=2).axes.to_numpy()[:, :2]
        copies = np.linalg.norm(places[:20] - places[20:40], axis=1)
        others = np.linalg.norm(places[:20, None] - places[None, :20], axis=2)
        assert np.median(copies) < 0.2 * np.median(others)

    def test_few_crystals_have_the_distances_of_the_matrix(self, sample):
        few = sample[:3]
        dissimilarity = CrystalDissimilarity(resolution="sites")
        places = embed_crystals(few).axes.to_numpy()[:, :2]
        apart = np.linalg.norm(places[:, None] - places[None], axis=2)
        assert np.allclose(apart, dissimilarity.pairwise(few), atol=1e-6)  # three points and a metric: exact in a plane

    def test_scaling_of_a_line(self):
        line = np.array([0.0, 1.0, 4.0, 6.0])
        places = classical_scaling(np.abs(line[:, None] - line))
        assert np.allclose(np.abs(places[:, 0, None] - places[:, 0]), np.abs(line[:, None] - line))
        assert np.allclose(places[:, 1], 0, atol=1e-6)

    @pytest.mark.parametrize("n", [1, 2, 4])
    def test_hardly_any(self, sample, n):
        found = embed_crystals(sample[:n])
        assert found.axes.shape[0] == n
        assert found.neighbors.shape == (n, n - 1)
        assert np.isfinite(found.axes.to_numpy()).all()

    def test_equal_crystals(self, sample):
        found = embed_crystals(sample[[0] * 30], n_neighbors=3)
        assert np.isfinite(found.axes.to_numpy()).all()
        assert (found.dissimilarities == 0).all()

    def test_none(self, sample):
        with pytest.raises(ValueError, match="there is no crystal"):
            embed_crystals(sample[:0])

    def test_volumes(self, sample):
        volumes = [crystal.volume / crystal.n_sites for crystal in sample[:5]]
        assert np.allclose(embed_crystals(sample[:5]).axes["volume a site (Å³)"], volumes)


class TestPage:
    def test_one_file_without_links(self):
        page = crystal_map(*drawn(3), title=f"Iron {HOSTILE}")
        assert HOSTILE not in page
        head = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
        assert "http" not in head
        assert "src=" not in head.replace("&lt;img src=", "")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"color": "none"}, "the column none is missing; columns of numbers are K, x, y"),
            ({"color": "formula"}, "the column formula holds no numbers"),
            ({"properties": pd.DataFrame({"name": ["a"]})}, "properties lacks the column formula"),
            ({"axes": pd.DataFrame({"x": [1.0] * 3})}, "axes must have two columns"),
            ({"neighbors": [[1]]}, "must have a row for each of the 3 crystals"),
            ({"crystals": []}, "there is no crystal"),
        ],
    )
    def test_bad_arguments(self, change, message):
        names = ("crystals", "properties", "axes", "neighbors", "dissimilarities")
        with pytest.raises(ValueError, match=message):
            crystal_map(**dict(zip(names, drawn(3), strict=True)) | change)


@pytest.fixture(scope="module")
def data(sample, tmp_path_factory):
    """Sixty crystals, of whose columns one lacks numbers and one is text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = tmp_path_factory.mktemp("explore") / "sixty.parquet"
    rows = np.arange(60) % len(sample)
    table = sample[rows].to_arrow()
    values = [None if i == 3 else 10.0 * i for i in range(60)]
    for name, column in {"material_id": [f"id-{i}" for i in range(60)], "gap": values, "group": ["a"] * 60}.items():
        table = table.append_column(name, pa.array(column))
    pq.write_table(table, file)
    return file


@pytest.fixture(scope="module")
def page(data, tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "map.html"
    done = run("explore", data, "--color", "gap", "--scale-volume", "-k", 5, "-o", file)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"{file}: open it in a browser\n")
    return file


class TestCommand:
    def test_json(self, data, tmp_path):
        done = run("explore", data, "-k", 3, "--sample", 20, "--json", "-o", tmp_path / "map.html")
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert len(answer["names"]) == len(answer["neighbors"]) == 20
        assert answer["notes"][0] == "A random sample of 20 of 60 crystals; --sample shows more."
        assert "A random sample of 20 of 60" in (tmp_path / "map.html").read_text(encoding="utf-8")

    def test_beside_known_crystals(self, data, sample, tmp_path):
        sample[:4].to_parquet(tmp_path / "new.parquet")
        done = run("explore", tmp_path / "new.parquet", "--reference", data, "-k", 3, "--json", "-o", tmp_path / "map.html")
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert answer["names"][:5] == ["0", "1", "2", "3", "id-0"]
        assert answer["names"][answer["neighbors"][0][0]].startswith("id-")

    def test_one_crystal(self, sample, tmp_path):
        sample[:1].to_parquet(tmp_path / "one.parquet")
        done = run("explore", tmp_path / "one.parquet", "-o", tmp_path / "map.html")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("1 crystal.")

    def test_of_200_000_crystals_a_sample_is_shown(self, sample, tmp_path):
        few = sample[[int(np.argmin(sample.n_sites))]]
        few[np.zeros(200_000, np.int64)].to_parquet(tmp_path / "many.parquet")
        read, notes = _both([tmp_path / "many.parquet"], None, Layout(), strict=False)
        assert len(read.crystals) == len(set(read.names)) == 20_000
        assert notes == ["A random sample of 20,000 of 200,000 crystals; --sample shows more."]

    def test_the_extra_is_looked_for_first(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "umap", None)
        done = run("explore", tmp_path / "none.parquet", "-o", tmp_path / "map.html")
        assert done.returncode == 1
        assert done.stderr == "error: a map needs umap-learn: pip install 'matminer-grid[explore]'\n"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["empty.parquet"], "error: empty.parquet: the file holds no crystals\n"),
            (["DATA", "--color", "mass"], "--color mass: the column mass is missing; columns of numbers are gap\n"),
            (["DATA", "--color", "group"], "--color group: the column group holds no numbers; columns of numbers are gap\n"),
            (["DATA", "-o", "none/map.html"], "error: none/map.html: there is no folder none\n"),
            (["DATA", "-o", "."], "error: .: it is a folder, and a file is to be written\n"),
            (["DATA", "-o", "there.html"], "error: there.html: the file is there already; --overwrite replaces it\n"),
            (["DATA", "-o", "/proc/map.html"], "error: /proc/map.html: the folder can't be written to"),
        ],
    )
    def test_bad_arguments(self, data, sample, tmp_path, arguments, message):
        sample[:0].to_parquet(tmp_path / "empty.parquet")
        (tmp_path / "there.html").touch()
        done = run("explore", *(data if one == "DATA" else one for one in arguments), cwd=tmp_path)
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "map.html").exists()


@pytest.mark.browser
@NEEDS_BROWSER
class TestBrowser:
    def test_a_click_shows_the_crystal_and_its_neighbors(self, page, tmp_path):
        with opened(page, tmp_path) as browser:
            from selenium.webdriver.common.action_chains import ActionChains  # the test is skipped without it

            wait(browser, READY)
            assert browser.find_element("id", "name").text.startswith("id-0: ")
            place = wait(
                browser,
                """(() => {
                const plot = view.map._plot, layout = plot._fullLayout;
                if (!layout || !layout.xaxis.d2p) return null;
                const box = plot.getBoundingClientRect();
                const trace = plot.data.find((one) => one.x && one.x.length === 60);
                if (!trace) return null;
                // the point that stands most alone
                const xy = Array.from(trace.x, (x, i) => [layout.xaxis.d2p(x), layout.yaxis.d2p(trace.y[i])]);
                const gap = xy.map(([x, y], i) => Math.min(...xy.map(([u, v], j) => (i === j ? 1e9 : Math.hypot(x - u, y - v)))));
                const i = gap.indexOf(Math.max(...gap));
                return [i, box.x + layout._size.l + xy[i][0], box.y + layout._size.t + xy[i][1]];
            })()""",
            )
            row, x, y = place
            ActionChains(browser).w3c_actions.pointer_action.move_to_location(round(x), round(y))
            ActionChains(browser).w3c_actions.perform()
            actions = ActionChains(browser)
            actions.w3c_actions.pointer_action.move_to_location(round(x), round(y))
            actions.w3c_actions.pointer_action.click()
            actions.perform()
            wait(browser, f"document.getElementById('name').textContent.startsWith('id-{row}: ')")
            neighbors = browser.find_elements("css selector", "#neighbors button")
            assert len(neighbors) == 5
            first = neighbors[0].text
            neighbors[0].click()
            wait(browser, f"document.getElementById('name').textContent.startsWith('{first}: ')")
            assert errors(browser) == []

    def test_find(self, page, tmp_path):
        with opened(page, tmp_path) as browser:
            wait(browser, READY)
            field = browser.find_element("id", "find")
            field.send_keys("ID-7\n")
            assert browser.find_element("id", "name").text.startswith("id-7: ")
            assert browser.find_element("id", "found").text == "1 crystal"
            field.clear()
            field.send_keys("Xx\n")
            assert browser.find_element("id", "found").text == "0 crystals"

    def test_nothing_is_cut_and_nothing_is_wrong(self, page, tmp_path):
        assert faults(page, tmp_path, exclude=".views") == []  # chemiscope's own
