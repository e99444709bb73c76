"""Dask clusters give what one process gives: two workers, one that is killed, workers that share nothing but a folder."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from matminer_grid import (
    Crystal,
    CrystalDissimilarity,
    CrystalTable,
    EMDSearch,
    EvaluationSettings,
    GRIDFeaturizer,
    add_to_index,
    build_index,
    composition_emd,
    grid_emd,
)
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.models import GRIDKernelRegressor
from matminer_grid.pipeline import (
    emd_matrix,
    evaluate_files,
    evaluate_partitions,
    featurize_files,
    featurize_partitions,
    kneighbors,
    load_emd_matrix,
    load_features,
    load_predictions,
    predict_partitions,
)

distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install 'matminer-grid[distributed]'")

ROOT = Path(__file__).parents[1]
FEATURIZER = GRIDFeaturizer(cutoff=4.0, bin_size=0.5, n_groups=6)
GRID_ONLY = CrystalDissimilarity(FEATURIZER, grid_weight=1.0, composition_weight=0)
N_PARTITIONS = 8


@pytest.fixture(scope="module")
def client():
    """Two worker processes of one thread each."""
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def write(crystals: CrystalTable, folder: Path, n_partitions: int = N_PARTITIONS) -> Path:
    """Write partitions of about the same size."""
    folder.mkdir()
    for number, rows in enumerate(np.array_split(np.arange(len(crystals)), n_partitions)):
        crystals[rows].to_parquet(folder / f"part-{number:05d}.parquet")
    return folder


@pytest.fixture(scope="module")
def crystals(sample) -> CrystalTable:
    """Crystals of which some are there several times, in different partitions, so that there are ties."""
    return CrystalTable.concatenate([sample[:100], sample[:40], sample[60:90], sample[:40]])


@pytest.fixture(scope="module")
def partitions(crystals, tmp_path_factory) -> Path:
    return write(crystals, tmp_path_factory.mktemp("data") / "crystals")


@pytest.fixture(scope="module")
def with_errors(crystals, tmp_path_factory) -> Path:
    """Partitions, two of which hold a crystal with two sites on one point."""
    twice = Crystal(3 * np.eye(3), np.zeros((2, 3)), np.array([26, 26]), np.ones(2), np.array([0, 1]))
    rows = [*crystals[:10], twice, *crystals[10:80], twice, *crystals[80:90]]
    return write(CrystalTable.from_crystals(rows), tmp_path_factory.mktemp("data") / "with_errors")


def assert_same_features(found: Path, expected: Path) -> None:
    for mine, other in zip(load_features(found), load_features(expected), strict=True):
        if isinstance(mine, np.ndarray):
            np.testing.assert_array_equal(mine, other)
        else:
            assert mine.dtype == other.dtype
            np.testing.assert_array_equal(mine.toarray(), other.toarray())


def worker_pids(client) -> list[int]:
    return list(client.run(os.getpid).values())


def kill_worker_once(folder: str) -> None:
    """Kill the first worker that gets here when the folder holds a Parquet file: it has begun with another one then."""
    if multiprocessing.parent_process() is None or not any(Path(folder).glob("*.parquet")):
        return
    with suppress(FileExistsError):
        Path(f"{folder}.killed").touch(exist_ok=False)
        os.kill(os.getpid(), signal.SIGKILL)


class KilledFeaturizer(GRIDFeaturizer):
    """The worker that featurizes with it is killed, once."""

    def __init__(self, folder="", cutoff=4.0, bin_size=0.5, n_groups=6, smearing=0.0):
        super().__init__(cutoff, bin_size, n_groups, smearing)
        self.folder = folder

    def _compute_sparse(self, *arguments, **options):
        kill_worker_once(self.folder)
        return super()._compute_sparse(*arguments, **options)


class KilledDissimilarity(CrystalDissimilarity):
    """The worker that describes or compares crystals with it is killed, once."""

    def __init__(self, featurizer=None, *, grid_weight=10.0, composition_weight=1.0, folder=""):
        super().__init__(featurizer, grid_weight=grid_weight, composition_weight=composition_weight)
        self.folder = folder

    def describe(self, *arguments, **options):
        kill_worker_once(self.folder)
        return super().describe(*arguments, **options)

    def pairwise(self, *arguments, **options):
        kill_worker_once(self.folder)
        return super().pairwise(*arguments, **options)


@contextmanager
def killed_worker(client, folder: Path):
    """Make sure that a worker is killed, and that another one takes its place."""
    before = worker_pids(client)
    yield
    assert Path(f"{folder}.killed").exists()
    client.wait_for_workers(2)
    assert len(set(before) & set(worker_pids(client))) == 1


class TestFeaturize:
    @pytest.mark.parametrize("options", [{}, {"layout": "list", "dtype": "float32"}])
    def test_same_as_in_one_process(self, client, with_errors, tmp_path, options):
        expected = featurize_files(with_errors, tmp_path / "local", FEATURIZER, **options)
        report = featurize_partitions(client, with_errors, tmp_path / "features", FEATURIZER, **options)
        assert_same_features(report.output, expected.output)
        assert report.errors_file.read_text() == expected.errors_file.read_text()
        assert (report.n_rows, report.n_failed, report.n_resumed) == (90, 2, 0)
        assert not report.failed_partitions

    def test_a_worker_that_is_killed(self, client, partitions, crystals, tmp_path):
        output = tmp_path / "features"
        with killed_worker(client, output):
            report = featurize_partitions(client, partitions, output, KilledFeaturizer(str(output)))
        assert report.n_rows == len(crystals)
        assert_same_features(output, featurize_files(partitions, tmp_path / "local", FEATURIZER).output)

    def test_broken_partitions(self, client, crystals, partitions, tmp_path):
        data = write(crystals, tmp_path / "data")
        (data / "part-00001.parquet").write_bytes((data / "part-00001.parquet").read_bytes()[:-100])
        featurize_files(data / "part-00000.parquet", data / "of_another_schema.parquet", FEATURIZER)
        report = featurize_partitions(client, data, tmp_path / "features", FEATURIZER)
        broken = {file.name: reason for file, reason in report.failed_partitions.items()}
        assert "it is no Parquet file, or damaged" in broken["part-00001.parquet"]
        assert "the columns lattice, frac_coords, numbers are missing" in broken["of_another_schema.parquet"]
        assert len(broken) == 2
        lines = [json.loads(line) for line in report.errors_file.read_text().splitlines()]
        assert [Path(line["name"]).name for line in lines] == ["of_another_schema.parquet", "part-00001.parquet"]
        (data / "of_another_schema.parquet").unlink()
        (data / "part-00001.parquet").write_bytes((partitions / "part-00001.parquet").read_bytes())
        again = featurize_partitions(client, data, tmp_path / "features", FEATURIZER)
        assert (again.n_rows, again.errors_file, again.failed_partitions) == (len(crystals), None, {})
        assert again.n_resumed == report.n_rows
        assert_same_features(again.output, featurize_files(data, tmp_path / "local", FEATURIZER).output)

    def test_what_is_done_is_not_repeated(self, client, crystals, tmp_path):
        data = write(crystals[:60], tmp_path / "data", 3)
        report = featurize_partitions(client, data, tmp_path / "features", FEATURIZER)
        times = {piece: piece.stat().st_mtime_ns for piece in report.output.glob("part-*")}
        crystals[60:70].to_parquet(data / "part-00003.parquet")
        more = featurize_partitions(client, data, tmp_path / "features", FEATURIZER)
        assert (more.n_rows, more.n_resumed) == (70, 60)
        assert {piece: piece.stat().st_mtime_ns for piece in times} == times
        crystals[60:80].to_parquet(data / "part-00003.parquet")
        changed = featurize_partitions(client, data, tmp_path / "features", FEATURIZER)
        assert (
            "it was changed after 10 structures, its own or read with it, had been computed; remove"
            in changed.failed_partitions[data / "part-00003.parquet"]
        )
        with pytest.raises(ValueError, match="begun with dtype 'float64', not 'float32'"):
            featurize_partitions(client, data, tmp_path / "features", FEATURIZER, dtype="float32")

    def test_an_empty_partition(self, client, crystals, tmp_path):
        data = write(crystals[:3], tmp_path / "data", 4)
        report = featurize_partitions(client, data, tmp_path / "features", FEATURIZER)
        assert (report.n_rows, report.failed_partitions) == (3, {})
        assert kneighbors(client, data, crystals[:1], n_neighbors=3, dissimilarity=GRID_ONLY)[1][0, 0] == 0


class TestMatrix:
    @pytest.fixture(scope="class")
    def described(self, crystals):
        return GRID_ONLY.describe(crystals)

    def test_same_as_in_one_process(self, client, described, tmp_path):
        matrix = load_emd_matrix(emd_matrix(client, described, tmp_path / "matrix", dissimilarity=GRID_ONLY, block_size=64))
        np.testing.assert_array_equal(matrix, matrix.T)
        expected = grid_emd(described.features, n_groups=6, bin_size=0.5, pbar=False)
        np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-14)
        for rows, columns in ((slice(64), slice(64)), (slice(64), slice(192, None))):
            block = GRID_ONLY.pairwise(described[rows], None if rows == columns else described[columns])
            np.testing.assert_array_equal(matrix[rows, columns], block)

    @pytest.mark.parametrize("metric", ["substitution", "modified_pettifor"])
    def test_two_sets_with_compositions(self, client, crystals, tmp_path, metric):
        known = np.nonzero([not set(crystal.numbers) & {2, 10, 18, 36, 54, *range(84, 119)} for crystal in crystals])[0]
        left, right = crystals[known[:70]], crystals[known[70:]]
        dissimilarity = CrystalDissimilarity(
            FEATURIZER, group_weights=np.arange(6), elements="graded" if metric == "modified_pettifor" else metric
        )
        options = {"dissimilarity": dissimilarity, "dtype": "float32", "block_size": 50}
        path = emd_matrix(client, left, tmp_path / "matrix", right, **options)
        features = [FEATURIZER.featurize_sparse(side) for side in (left, right)]
        expected = 10 * grid_emd(*features, n_groups=6, bin_size=0.5, group_weights=np.arange(6), pbar=False)
        expected += composition_emd(left, right, metric, pbar=False)
        matrix = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.float32, (len(left), len(right)))
        assert load_emd_matrix(path, out=matrix) is matrix
        np.testing.assert_allclose(matrix, expected, rtol=1e-6, atol=1e-12)
        with pytest.raises(ValueError, match="begun with dissimilarity"):
            emd_matrix(client, left, path, right, **options | {"dissimilarity": CrystalDissimilarity(FEATURIZER, grid_weight=1.0)})

    def test_by_sites(self, client, crystals, tmp_path):
        dissimilarity = CrystalDissimilarity(FEATURIZER, resolution="sites")
        some = crystals[:60]
        matrix = load_emd_matrix(emd_matrix(client, some, tmp_path / "matrix", dissimilarity=dissimilarity, block_size=25))
        np.testing.assert_array_equal(matrix, dissimilarity.pairwise(some))
        found = kneighbors(client, write(some, tmp_path / "known", 3), some[:9], n_neighbors=3, dissimilarity=dissimilarity)
        expected = EMDSearch(dissimilarity).fit(some).kneighbors(some[:9], 3)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])

    def test_a_worker_that_is_killed(self, client, described, tmp_path):
        options = {"dissimilarity": GRID_ONLY, "block_size": 16}
        expected = load_emd_matrix(emd_matrix(client, described, tmp_path / "undisturbed", **options))
        killed = KilledDissimilarity(FEATURIZER, grid_weight=1.0, composition_weight=0, folder=str(tmp_path / "matrix"))
        with killed_worker(client, tmp_path / "matrix"):
            emd_matrix(client, described, tmp_path / "matrix", **options | {"dissimilarity": killed})
        np.testing.assert_array_equal(load_emd_matrix(tmp_path / "matrix"), expected)
        assert not list((tmp_path / "matrix").glob("side-*"))

    def test_blocks_that_are_there_are_kept(self, client, described, tmp_path):
        options = {"dissimilarity": GRID_ONLY, "block_size": 100}
        path = emd_matrix(client, described, tmp_path / "matrix", **options)
        expected = load_emd_matrix(path)
        kept, lost = path / "block-00000-00000.parquet", path / "block-00001-00002.parquet"
        when = kept.stat().st_mtime_ns
        lost.unlink()
        with pytest.raises(ValueError, match="1 of 6 blocks are missing; call emd_matrix again"):
            load_emd_matrix(path)
        emd_matrix(client, described, path, **options)
        assert kept.stat().st_mtime_ns == when
        np.testing.assert_array_equal(load_emd_matrix(path), expected)
        with pytest.raises(ValueError, match="begun with data"):
            emd_matrix(client, described[::-1], path, **options)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"dissimilarity": CrystalDissimilarity(grid_weight=-1)}, "grid_weight must be a finite number of at least 0, not -1"),
            ({"dissimilarity": CrystalDissimilarity(FEATURIZER)}, "described without compositions, which have a weight"),
            (
                {"dissimilarity": CrystalDissimilarity(composition_weight=0)},
                r"described with cutoff=4\.0, and the dissimilarity has",
            ),
            ({"dtype": "int8"}, "unknown dtype 'int8'; choose one of 'float64', 'float32'"),
            ({"block_size": 0}, "block_size must be at least 1, not 0"),
        ],
    )
    def test_bad_arguments(self, client, described, tmp_path, options, message):
        with pytest.raises(ValueError, match=message):
            emd_matrix(client, described, tmp_path / "matrix", **{"dissimilarity": GRID_ONLY} | options)

    def test_an_array_of_another_shape(self, client, described, tmp_path):
        path = emd_matrix(client, described, tmp_path / "matrix", dissimilarity=GRID_ONLY)
        with pytest.raises(ValueError, match=r"out must have the shape \(210, 210\), not \(2, 2\)"):
            load_emd_matrix(path, out=np.empty((2, 2)))


class TestNeighbors:
    @pytest.mark.parametrize("n_neighbors", [1, 7, 40])
    @pytest.mark.parametrize("composition_weight", [0.0, 1.0])
    def test_same_as_in_one_process(self, client, crystals, partitions, n_neighbors, composition_weight):
        """Forty are more than a partition has; equal crystals are in several partitions."""
        dissimilarity = CrystalDissimilarity(FEATURIZER, composition_weight=composition_weight)
        queries = crystals[:50]
        expected = EMDSearch(dissimilarity).fit(crystals).kneighbors(queries, n_neighbors)
        assert (expected[0][:, 0] < 1e-9).all()
        found = kneighbors(client, partitions, queries, n_neighbors=n_neighbors, dissimilarity=dissimilarity)
        for mine, local in zip(found, expected, strict=True):
            np.testing.assert_array_equal(mine, local)

    def test_from_features(self, client, crystals, with_errors, tmp_path):
        """Crystals that failed are left out, and rows are those of the files still."""
        features = featurize_partitions(client, with_errors, tmp_path / "features", FEATURIZER).output
        X = GRID_ONLY.describe(None, features=load_features(features)[1])
        distances, rows = EMDSearch(GRID_ONLY).fit(X).kneighbors(X[:30], 3)
        rows += (rows >= 10).astype(int) + (rows >= 80)
        options = {"n_neighbors": 3, "dissimilarity": GRID_ONLY, "features": features}
        found = kneighbors(client, with_errors, X[:30], **options)
        np.testing.assert_array_equal(found[0], distances)
        np.testing.assert_array_equal(found[1], rows)
        other = CrystalDissimilarity(clone(FEATURIZER).set_params(smearing=0.5), composition_weight=0)
        with pytest.raises(ValueError, match=r"features: its features were made with .*'smearing': 0.0.* has .*'smearing': 0.5"):
            kneighbors(client, with_errors, crystals[:3], dissimilarity=other, features=features)
        nothing = kneighbors(client, with_errors, X[:0], **options)
        assert nothing[0].shape == nothing[1].shape == (0, 3)

    def test_in_an_index(self, client, crystals, tmp_path):
        index = build_index(tmp_path / "index", crystals[:70], dissimilarity=GRID_ONLY).path
        for n_known in (70, len(crystals)):
            expected = EMDSearch(GRID_ONLY).fit(crystals[:n_known]).kneighbors(crystals, 3)
            found = kneighbors(client, index, crystals, n_neighbors=3, dissimilarity=GRID_ONLY)
            np.testing.assert_array_equal(found[0], expected[0])
            np.testing.assert_array_equal(found[1], expected[1])
            if n_known == 70:
                add_to_index(index, crystals[70:])
        with pytest.raises(ValueError, match=r"composition_weight=1\.0 is asked for"):
            kneighbors(client, index, crystals, dissimilarity=CrystalDissimilarity(FEATURIZER, grid_weight=1.0))
        with pytest.raises(ValueError, match=f"the number of references, {len(crystals)}, not 1000"):
            kneighbors(client, index, crystals, n_neighbors=1000)

    def test_from_features_with_compositions(self, client, crystals, tmp_path):
        partitions = write(crystals, tmp_path / "crystals")
        features = featurize_partitions(client, partitions, tmp_path / "features", FEATURIZER).output
        dissimilarity = CrystalDissimilarity(FEATURIZER)
        X = dissimilarity.describe(crystals, features=load_features(features)[1])
        expected = EMDSearch(dissimilarity).fit(X).kneighbors(X[:30])
        options = {"dissimilarity": dissimilarity, "features": features}
        found = kneighbors(client, partitions, X[:30], **options)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])
        crystals[:5].to_parquet(partitions / "part-00005.parquet")
        with pytest.raises(ValueError, match=r"part-00005.parquet: it was changed"):
            kneighbors(client, partitions, X[:30], **options)
        (features / "part-00003.00000.parquet").unlink()
        with pytest.raises(FileNotFoundError, match=r"features of .*part-00003.parquet are missing; call featurize_partitions"):
            kneighbors(client, partitions, X[:30], **options)

    def test_a_worker_that_is_killed(self, client, crystals, tmp_path):
        expected = EMDSearch(GRID_ONLY).fit(crystals).kneighbors(crystals[:20], 3)
        references = write(crystals, tmp_path / "crystals")
        killed = KilledDissimilarity(FEATURIZER, grid_weight=1.0, composition_weight=0, folder=str(references))
        with killed_worker(client, references):
            found = kneighbors(client, references, crystals[:20], n_neighbors=3, dissimilarity=killed)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])

    def test_bad_arguments(self, client, crystals, partitions, with_errors):
        queries = crystals[:2]
        with pytest.raises(ValueError, match=r"part-0000[0-9].parquet: row [0-9]+: Fe2: two sites lie on the same point"):
            kneighbors(client, with_errors, queries, dissimilarity=GRID_ONLY)
        with pytest.raises(ValueError, match="n_neighbors must be between 1 and the number of references, 210, not 211"):
            kneighbors(client, partitions, queries, n_neighbors=211)
        with pytest.raises(TypeError, match=r"n_neighbors must be a whole number, not 1.5"):
            kneighbors(client, partitions, queries, n_neighbors=1.5)
        with pytest.raises(TypeError, match="dissimilarity must be a CrystalDissimilarity"):
            kneighbors(client, partitions, queries, dissimilarity="published")
        with pytest.raises(TypeError, match="structures are needed, not an array of numbers"):
            kneighbors(client, partitions, np.zeros((1, 48)))
        with pytest.raises(ValueError, match=r"described with cutoff=4\.0, and the dissimilarity has cutoff=10\.0"):
            kneighbors(client, partitions, CrystalDissimilarity(FEATURIZER).describe(queries))


class TestPredict:
    @pytest.fixture(scope="class")
    def model(self, tmp_path_factory) -> Path:
        data = load_mp_elasticity_table()
        path = tmp_path_factory.mktemp("model") / "model.npz"
        GRIDKernelRegressor(tune_iterations=0).fit(data.crystals[:100], data.K_VRH[:100]).save(path)
        return path

    @pytest.mark.filterwarnings("ignore:no training crystal holds")
    def test_same_as_in_one_process(self, client, crystals, with_errors, model, tmp_path):
        report = predict_partitions(client, model, with_errors, tmp_path / "K", return_std=True)
        assert (report.n_rows, report.n_failed) == (90, 2)
        errors = [json.loads(line) for line in report.errors_file.read_text().splitlines()]
        assert [error["name"] for error in errors] == [f"{with_errors}/part-0000{n}.parquet:{row}" for n, row in ((0, 10), (7, 0))]
        assert all(error["error"].startswith("Fe2: two sites lie on the same point") for error in errors)
        found = load_predictions(report.output)
        values, std = GRIDKernelRegressor.load(model).predict(crystals[:90], return_std=True)
        np.testing.assert_allclose(found["prediction"], values, rtol=1e-12)
        np.testing.assert_allclose(found["std"], std, rtol=1e-6)
        assert found["name"].tolist() == [name for name in _names(with_errors) if name not in {e["name"] for e in errors}]
        again = predict_partitions(client, model, with_errors, tmp_path / "K", return_std=True)
        assert again.n_resumed == 92
        with pytest.raises(ValueError, match="begun with return_std True, not False"):
            predict_partitions(client, model, with_errors, tmp_path / "K")
        values_only = load_predictions(predict_partitions(client, model, with_errors, tmp_path / "values").output)
        assert values_only.columns.tolist() == ["name", "prediction"]

    def test_no_model(self, client, partitions, tmp_path):
        (tmp_path / "model.npz").write_bytes(b"no model")
        with pytest.raises(ValueError, match=r"model.npz is cut short or no model of matminer-grid"):
            predict_partitions(client, tmp_path / "model.npz", partitions, tmp_path / "K")


def _names(folder: Path) -> list[str]:
    return [f"{file}:{row}" for file in sorted(folder.iterdir()) for row in range(len(CrystalTable.from_parquet(file)))]


class TestArguments:
    def test_no_client(self, partitions, tmp_path):
        with pytest.raises(TypeError, match=r"client must be a dask.distributed.Client, not str"):
            featurize_partitions("tcp://127.0.0.1:8786", partitions, tmp_path / "features")

    def test_dask_is_missing(self, partitions, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "distributed", None)
        with pytest.raises(ImportError, match=r"pip install 'matminer-grid\[distributed\]'"):
            featurize_partitions(None, partitions, tmp_path / "features")

    def test_no_partitions(self, client, partitions, tmp_path):
        with pytest.raises(ValueError, match="the folder holds no Parquet files"):
            featurize_partitions(client, tmp_path, tmp_path / "features")
        with pytest.raises(FileNotFoundError, match="no_folder: there is no such file or folder"):
            featurize_partitions(client, tmp_path / "no_folder", tmp_path / "features")
        file = partitions / "part-00000.parquet"
        with pytest.raises(ValueError, match=r"2 partitions would have the output part-00000\.\*\.parquet"):
            featurize_partitions(client, [file, file], tmp_path / "features")


@contextmanager
def started(*arguments: str, folder: Path):
    """Run a command of Dask in a folder, home and cache of its own."""
    folder.mkdir()
    own = {name: str(folder) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    environment = os.environ | own | {"PYTHONPATH": str(ROOT)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class TestEvaluations:
    def test_same_as_in_one_process(self, client, crystals, with_errors, tmp_path):
        settings = EvaluationSettings(sample=20, space_group_sample=5, n_bootstrap=10, n_permutations=10)
        index = build_index(tmp_path / "index", crystals[20:60], dissimilarity=CrystalDissimilarity(resolution="sites")).path
        report = evaluate_partitions(client, with_errors, tmp_path / "out", index, settings=settings)
        assert (report.files.n_rows, report.files.n_failed) == (90, 2)
        assert report.files.errors_file.read_text().count('"Fe2: two sites lie on the same point') == 2
        alone = evaluate_files(with_errors, tmp_path / "alone", index, settings=settings)
        pd.testing.assert_frame_equal(report.evaluation.crystals, alone.evaluation.crystals)
        pd.testing.assert_frame_equal(report.evaluation.measures, alone.evaluation.measures)
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(p.name for p in (tmp_path / "alone").iterdir())
        with pytest.raises(FileExistsError, match="holds an evaluation already"):
            evaluate_partitions(client, with_errors, tmp_path / "out", index)

    def test_an_index_that_grew_is_another(self, client, crystals, tmp_path):
        settings = EvaluationSettings(sample=20, space_group_sample=5, n_bootstrap=10, n_permutations=10)
        index = build_index(
            tmp_path / "index", crystals[:5], list("abcde"), dissimilarity=CrystalDissimilarity(resolution="sites")
        ).path
        data = write(crystals[:10], tmp_path / "data", 1)
        for novel, added in ((5, crystals[5:8]), (2, None)):
            report = evaluate_partitions(client, data, tmp_path / "out", index, settings=settings, overwrite=True)
            assert report.evaluation.crystals["novel"].sum() == novel
            if added is not None:
                add_to_index(index, added, list("fgh"))

    def test_a_broken_partition(self, client, crystals, tmp_path):
        data = write(crystals[:20], tmp_path / "data", 2)
        index = build_index(tmp_path / "index", crystals[:5], dissimilarity=CrystalDissimilarity(resolution="sites")).path
        whole = (data / "part-00001.parquet").read_bytes()
        (data / "part-00001.parquet").write_bytes(whole[:-100])
        with pytest.raises(OSError, match=r"part-00001.parquet: it is no Parquet file.*the set can't be measured without"):
            evaluate_partitions(client, data, tmp_path / "out", index)
        (data / "part-00001.parquet").write_bytes(whole)
        report = evaluate_partitions(client, data, tmp_path / "out", index)
        assert (report.files.n_rows, report.files.n_resumed) == (20, 10)


def test_hosts_that_share_the_data_folder_only(partitions, tmp_path):
    """A scheduler and two workers as commands start them, each with a folder of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    scheduler = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    worker = ["distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny"]
    with (
        started(*scheduler, folder=tmp_path / "scheduler"),
        started(*worker, folder=tmp_path / "one"),
        started(*worker, folder=tmp_path / "two"),
        distributed.Client(address, timeout=1800) as client,  # it always has a limit: that of pytest
    ):
        client.wait_for_workers(2)
        report = featurize_partitions(client, partitions, tmp_path / "data" / "features", FEATURIZER)
        folders = {Path(folder).name for folder in client.run(os.getcwd).values()}
    assert folders == {"one", "two"}
    assert_same_features(report.output, featurize_files(partitions, tmp_path / "local", FEATURIZER).output)
