"""An index on disk: it answers as memory does, and is whole or not there, whatever happens."""

import json
import multiprocessing
import os
import signal
import zlib

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError

from matminer_grid import CrystalDissimilarity, CrystalIndex, CrystalTable, EMDSearch, GRIDFeaturizer, add_to_index, build_index
from matminer_grid.crystals.elements import SUBSTITUTION_ELEMENTS, species_symbol
from matminer_grid.datasets.elasticity import PROPERTIES
from matminer_grid.similarity import ApproximateEMDSearch, embedded
from matminer_grid.similarity.grid_index import TIE
from matminer_grid.similarity.index_files import LOCK, MANIFEST, SEGMENT, writing
from tests.strategies import hostile_crystals
from tests.test_sites import drawn_crystals

FEATURIZER = GRIDFeaturizer(cutoff=6.0, bin_size=0.25, n_groups=20)
SETTINGS = {
    "sites": {"resolution": "sites"},
    "identity": {"resolution": "sites", "elements": "identity", "scale_volume": True},
    "no elements": {"resolution": "sites", "elements": "none"},
    "grid": {},
    "weights": {"group_weights": np.linspace(2, 0, 20), "grid_weight": 3.0, "composition_weight": 0.5},
    "substitution": {"elements": "substitution"},
}


def dissimilarity_of(name):
    return CrystalDissimilarity(FEATURIZER, **SETTINGS[name])


@pytest.fixture(scope="module")
def crystals(embedded):
    """Ordered and disordered crystals, some of them twice."""
    mixed = drawn_crystals(40, 3)
    table = type(embedded).concatenate([embedded[2000:2120], mixed, embedded[2000:2020], mixed[:5]])
    known = [all(species_symbol(n) in SUBSTITUTION_ELEMENTS for n in crystal.numbers.tolist()) for crystal in table]
    return table[np.array(known)]


@pytest.fixture
def index(crystals, tmp_path):
    return build_index(tmp_path / "index", crystals[:40], dissimilarity=dissimilarity_of("grid")).path


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("name", SETTINGS)
def test_it_answers_as_brute_force_does(crystals, tmp_path, name):
    dissimilarity = dissimilarity_of(name)
    everything = dissimilarity.pairwise(crystals)
    EMDSearch(dissimilarity).fit(crystals[:70]).save(tmp_path / "index")
    add_to_index(tmp_path / "index", crystals[70:90])
    add_to_index(tmp_path / "index", crystals[90:])
    search = EMDSearch.load(tmp_path / "index", dissimilarity, n_neighbors=4, radius=2.0)
    assert [len(segment) for segment in search.references_.segments] == [70, 20, len(crystals) - 90]
    queries = crystals[::3]
    for k in (1, 4, len(crystals)):
        distances, rows = search.kneighbors(queries, k)
        expected = np.argsort(np.rint(everything[::3] / TIE), axis=1, kind="stable")[:, :k]
        assert (rows == expected).all()
        assert (distances == np.take_along_axis(everything[::3], expected, axis=1)).all()
    distances, rows = search.radius_neighbors(queries)
    for query, row in enumerate(range(0, len(crystals), 3)):
        expected = np.nonzero(everything[row] <= 2.0 + TIE)[0]
        expected = expected[np.lexsort((expected, np.rint(everything[row, expected] / TIE)))]
        assert rows[query].tolist() == expected.tolist()
        assert (distances[query] == everything[row, expected]).all()


@given(st.lists(hostile_crystals(max_sites=6), min_size=1, max_size=6), st.sampled_from(sorted(SETTINGS)), st.integers(0, 300))
def test_hostile_crystals_are_found_as_brute_force_finds_them(tmp_path_factory, some, name, tenths):
    """In memory and on disk; some twice, so that there are ties."""
    dissimilarity, radius = dissimilarity_of(name), tenths / 10
    table = CrystalTable.from_crystals([*some, *some[:2]])
    try:
        everything = dissimilarity.pairwise(table)
    except ValueError:  # elements without a place, or more sites on one point than fit
        reject()
    search = EMDSearch(dissimilarity).fit(table)
    path = tmp_path_factory.mktemp("hostile") / "index"
    search.save(path)
    expected = np.argsort(np.rint(everything / TIE), axis=1, kind="stable")
    for one in (search, EMDSearch.load(path)):
        for k in (1, len(table)):
            distances, rows = one.kneighbors(table, k)
            assert (rows == expected[:, :k]).all()
            assert (distances == np.take_along_axis(everything, rows, axis=1)).all()
        found = one.radius_neighbors(table, radius, return_distance=False)
        assert [sorted(rows.tolist()) for rows in found] == [np.nonzero(row <= radius + TIE)[0].tolist() for row in everything]


def test_references_as_queries(crystals, index):
    add_to_index(index, crystals[40:])
    dissimilarity = dissimilarity_of("grid")
    distances, rows = EMDSearch.load(index, n_jobs=2).kneighbors(n_neighbors=3)
    expected = EMDSearch(dissimilarity).fit(crystals).kneighbors(n_neighbors=3)
    assert (distances == expected[0]).all()
    assert (rows == expected[1]).all()


def test_crystals_and_ids_come_back(crystals, tmp_path):
    ids = [f"crystal {row}" for row in range(len(crystals))]
    report = build_index(tmp_path / "a" / "index", crystals[:50], ids[:50], dissimilarity=dissimilarity_of("sites"))
    assert (report.n_crystals, report.n_added, report.errors) == (50, 50, {})
    report = add_to_index(report.path, crystals[50:], ids[50:])
    assert (report.n_crystals, report.n_added) == (len(crystals), len(crystals) - 50)
    index = CrystalIndex(report.path)
    rows = np.random.default_rng(0).permutation(len(crystals))[:60]
    rows = np.append(rows, rows[:3])
    for table in (index.crystals(rows), index.table[rows]):
        assert table.to_arrow().equals(crystals[rows].to_arrow())
    assert index.ids(rows) == [ids[row] for row in rows]
    described, places = index.described(rows)
    assert (index.dissimilarity.pairwise(described)[np.ix_(places, places)] == index.dissimilarity.pairwise(crystals[rows])).all()
    assert CrystalIndex(build_index(tmp_path / "b", crystals[:3]).path).ids(np.arange(3)) == ["0", "1", "2"]


def test_of_a_loaded_search_a_copy_can_be_saved(crystals, index, tmp_path):
    add_to_index(index, crystals[40:50])
    search = EMDSearch.load(index)
    search.save(tmp_path / "copy")
    copy = EMDSearch.load(tmp_path / "copy", search.dissimilarity)
    assert len(copy.references_.segments) == 1
    assert (copy.kneighbors(crystals, 2)[1] == search.kneighbors(crystals, 2)[1]).all()


class TestFiles:
    def test_names_and_what_cannot_be_used(self, crystals, tmp_path):
        crystals[:30].to_parquet(tmp_path / "a.parquet")
        (tmp_path / "dummy.vasp").write_text("X\n1.0\n3 0 0\n0 3 0\n0 0 3\nX\n1\nDirect\n0 0 0\n")
        (tmp_path / "broken.cif").write_text("data_\n")
        report = build_index(tmp_path / "index", [tmp_path / "a.parquet", tmp_path / "dummy.vasp", tmp_path / "broken.cif"])
        assert report.n_added == 30
        assert set(report.errors) == {str(tmp_path / "dummy.vasp"), str(tmp_path / "broken.cif")}
        assert "has no place on the modified Pettifor scale" in report.errors[str(tmp_path / "dummy.vasp")]
        assert "row" not in report.errors[str(tmp_path / "dummy.vasp")]
        assert CrystalIndex(report.path).ids(np.array([0, 29])) == [f"{tmp_path / 'a.parquet'}:0", f"{tmp_path / 'a.parquet'}:29"]

    def test_ids_from_a_column(self, crystals, tmp_path):
        import pandas as pd

        from matminer_grid.io import save_crystals

        save_crystals(tmp_path / "a.parquet", crystals[:4], pd.DataFrame({"material_id": ["x", "y", "z", "y"]}), {})
        with pytest.warns(UserWarning, match="1 ids stand for more than one crystal, the first is 'y'"):
            report = build_index(tmp_path / "index", str(tmp_path / "a.parquet"))
        assert CrystalIndex(report.path).ids(np.arange(4)) == ["x", "y", "z", "y"]
        with pytest.raises(ValueError, match="has a crystal of the id 'x' already; nothing was added"):
            add_to_index(report.path, tmp_path / "a.parquet")
        assert len(CrystalIndex(report.path)) == 4

    def test_nothing_to_index(self, crystals, tmp_path):
        for nothing in (crystals[:0], [], tmp_path / "none.cif"):
            with pytest.raises(ValueError, match="there is no crystal to be put into the index"):
                build_index(tmp_path / "index", nothing)
        assert not list(tmp_path.iterdir())


class TestRefused:
    """What is no whole index of this version and dissimilarity."""

    @pytest.mark.parametrize("contents", [True, False])
    def test_cut_short(self, index, contents):
        for file in sorted(index.rglob("*.*")):
            if file.is_dir():
                continue
            whole = file.read_bytes()
            file.write_bytes(whole[: len(whole) // 2])
            with pytest.raises(ValueError, match="cut short"):
                EMDSearch.load(index, contents=contents)
            file.unlink()
            with pytest.raises((ValueError, FileNotFoundError), match=r"missing|never finished"):
                EMDSearch.load(index, contents=contents)
            file.write_bytes(whole)
        assert len(CrystalIndex(index)) == 40

    def test_damaged(self, index):
        for file in sorted(index.rglob("*.*")):
            if file.is_dir():
                continue
            whole = file.read_bytes()
            middle = len(whole) * 2 // 3
            file.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
            with pytest.raises(ValueError, match="damaged"):
                EMDSearch.load(index)
            file.write_bytes(whole)

    def test_another_version(self, index):
        content = json.loads((index / MANIFEST).read_text())
        content["manifest"]["format"] = 0
        content["checksum"] = zlib.crc32(json.dumps(content["manifest"], sort_keys=True).encode())
        (index / MANIFEST).write_text(json.dumps(content))
        for use in (EMDSearch.load, lambda path: add_to_index(path, [])):
            with pytest.raises(ValueError, match="written in format 0 by matminer-grid"):
                use(index)

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"resolution": "sites"}, "resolution='grid', and resolution='sites'"),
            ({"elements": "identity"}, "elements='graded', and elements='identity'"),
            ({"grid_weight": 5.0}, "grid_weight=10.0, and grid_weight=5.0"),
            ({"featurizer": GRIDFeaturizer()}, "cutoff=6.0, and cutoff=10.0"),
            ({"group_weights": np.arange(20)}, "group_weights=None, and group_weights="),
        ],
    )
    def test_another_dissimilarity(self, index, parameters, message):
        with pytest.raises(ValueError, match=message):
            EMDSearch.load(index, CrystalDissimilarity(**{"featurizer": FEATURIZER} | parameters))

    def test_no_index(self, crystals, tmp_path):
        for path in (tmp_path, tmp_path / "none"):
            with pytest.raises(FileNotFoundError, match="matminer-grid index build makes one"):
                EMDSearch.load(path)
            with pytest.raises(FileNotFoundError, match="matminer-grid index build makes one"):
                add_to_index(path, crystals)
        assert not list(tmp_path.iterdir())
        (tmp_path / "file").write_text("")
        for path in (tmp_path, tmp_path / "file"):
            with pytest.raises(FileExistsError, match="is no index"):
                build_index(path, crystals)

    def test_there_is_one_already(self, crystals, index):
        before = contents(index)
        with pytest.raises(FileExistsError, match="there is an index already"):
            build_index(index, crystals)
        assert contents(index) == before
        build_index(index, crystals[:7], overwrite=True)
        assert len(EMDSearch.load(index).references_) == 7
        assert len(list(index.glob(f"{SEGMENT}*"))) == 1

    def test_wrong_arguments(self, crystals, index, tmp_path):
        with pytest.raises(ValueError, match="there are 3 crystals and 2 ids"):
            build_index(tmp_path / "other", crystals[:3], ["a", "b"])
        with pytest.raises(ValueError, match="ids belong to structures"):
            build_index(tmp_path / "other", "a.cif", ["a"])
        with pytest.raises(NotFittedError):
            EMDSearch().save(tmp_path / "other")
        with pytest.raises(ValueError, match="whose structures are not known"):
            EMDSearch().fit(CrystalDissimilarity().describe(crystals[:3])).save(tmp_path / "other")
        with pytest.raises(TypeError, match=r"EMDSearch\.load"):
            ApproximateEMDSearch.load(index)
        assert not (tmp_path / "other").exists()


class TestInterrupted:
    def test_an_error_leaves_the_index_as_it_was(self, crystals, index, monkeypatch):
        before = contents(index)

        def fail(*_):
            raise MemoryError

        monkeypatch.setattr("matminer_grid.similarity.index_build.clustered", fail)
        with pytest.raises(MemoryError):
            add_to_index(index, crystals)
        assert contents(index) == before

    def test_two_builders(self, crystals, index):
        before = contents(index)
        with writing(index):
            for build in (add_to_index, lambda *arguments: build_index(*arguments, overwrite=True)):
                with pytest.raises(BlockingIOError, match="another process is writing to this index"):
                    build(index, crystals)
            assert len(EMDSearch.load(index).references_) == 40
        assert contents(index) == before

    @pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no kill -9")
    def test_kill_leaves_it_as_it_was(self, crystals, index):
        """A child is killed at the start of each step of writing, one after the other."""
        before = contents(index)
        steps = ["ArrayWriter", "clustered", "sealed", "write_manifest", "replacing"]
        for step in steps:
            child = multiprocessing.get_context("fork").Process(target=_killed_at, args=(step, index, crystals))
            child.start()
            child.join()
            assert child.exitcode == -signal.SIGKILL, step
            left = contents(index)
            assert {name: left[name] for name in before} == before
            assert len(EMDSearch.load(index).references_) == 40
        add_to_index(index, crystals[40:])
        assert len(EMDSearch.load(index).references_) == len(crystals)
        assert len(list(index.glob(f"{SEGMENT}*"))) == 2

    @pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no kill -9")
    def test_kill_of_the_first_build(self, crystals, tmp_path):
        path = tmp_path / "index"
        child = multiprocessing.get_context("fork").Process(target=_killed_at, args=("write_manifest", path, crystals))
        child.start()
        child.join()
        with pytest.raises(ValueError, match="never finished"):
            EMDSearch.load(path)
        build_index(path, crystals[:9])
        assert len(EMDSearch.load(path).references_) == 9
        assert {entry.name.split("-")[0] for entry in path.iterdir()} == {MANIFEST, LOCK, "segment"}


def _killed_at(step, path, crystals):
    """Add crystals to an index, or build it, and die at a step."""
    from matminer_grid.similarity import index_build, index_files

    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    for module in (index_build, index_files):
        if hasattr(module, step):
            setattr(module, step, die)
    (add_to_index if path.exists() else build_index)(path, crystals[40:], n_jobs=1)


class TestEmbedded:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch, tmp_path):
        """Of the embedded crystals take forty, and a cache folder of its own."""
        table = embedded.load_mp_elasticity_table()
        columns = (getattr(table, name)[:40] for name in ("crystals", *PROPERTIES))
        table = type(table)(*columns)
        monkeypatch.setattr(embedded, "load_mp_elasticity_table", lambda: table)
        monkeypatch.setattr(embedded, "kept_path", lambda stem: tmp_path / "cache" / stem)

    def test_it_is_built_once(self, tmp_path, monkeypatch):
        dissimilarity = dissimilarity_of("grid")
        first = embedded.embedded_search(dissimilarity)
        assert first.references_.path.parent == tmp_path / "cache"
        monkeypatch.setattr(embedded, "build_index", None)
        second = embedded.embedded_search(dissimilarity)
        assert second.references_.ids(np.array([3])) == [embedded.load_mp_elasticity_table().material_id[3]]
        assert embedded.embedded_path(dissimilarity) != embedded.embedded_path(dissimilarity_of("sites"))

    def test_a_damaged_one_is_built_anew(self):
        path = embedded.embedded_search().references_.path
        (path / MANIFEST).write_text("{")
        with pytest.warns(UserWarning, match="built anew"):
            assert len(embedded.embedded_search().references_) == 40
        assert len(CrystalIndex(path)) == 40

    def test_without_a_cache(self, tmp_path):
        (tmp_path / "cache").write_text("a file")
        with pytest.warns(UserWarning, match="can't be kept"):
            search = embedded.embedded_search()
        assert search.crystals_ is not None
        assert search.n_samples_fit_ == 40

    def test_while_another_process_builds_it(self):
        with writing(embedded.embedded_path(CrystalDissimilarity())):
            assert embedded.embedded_search().n_samples_fit_ == 40
