"""The bulk-modulus comparison: scores by hand, a tiny run, what is resumed, and what is refused."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Lasso

from benchmarks import _models as models
from benchmarks._cells import DEFAULT, Cell, all_cells, not_applicable
from benchmarks._claims import check_claims
from benchmarks._features import Features
from benchmarks._scores import SCORES, scores, statistics
from benchmarks._store import CellStore, identity
from benchmarks._task import load_task
from benchmarks.bulk_modulus import main, read_selection
from matminer_grid.similarity import composition_emd

TINY = ["--limit", "60"]


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def numbers(content: dict) -> list:
    return [(row["name"], row["scores"], row["hyperparameters"]) for row in content["rows"]]


@pytest.fixture(scope="module", autouse=True)
def unchanged_package():
    """Leave the package's code out of what cells depend on, so that it may be edited while the tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks._store.COMPUTING", ())
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder with a finished tiny run."""
    folder = tmp_path_factory.mktemp("bulk_modulus")
    main([*TINY, "--output", str(folder)])
    return folder


class TestScores:
    truth = np.array([10.0, 100.0, 200.0])
    predicted = np.array([20.0, 90.0, 200.0])

    def test_by_hand(self):
        found = {name: float(value) for name, value in statistics(self.truth, self.predicted).items()}
        spread = (10 - 310 / 3) ** 2 + (100 - 310 / 3) ** 2 + (200 - 310 / 3) ** 2
        assert found == pytest.approx(
            {
                "MAE": 20 / 3,
                "median": 10,
                "RMSE": np.sqrt(200 / 3),
                "MAE_log10": (np.log10(2) + np.log10(100 / 90)) / 3,
                "relative_MAE": 100 * (1 + 0.1) / 3,
                "R2": 1 - 200 / spread,
            }
        )

    def test_intervals_hold_the_value_and_shrink_with_more_entries(self):
        rng = np.random.default_rng(0)
        truth = rng.uniform(20, 300, 4000)
        predicted = truth * rng.uniform(0.7, 1.3, 4000)
        few, many = scores(truth[:100], predicted[:100]), scores(truth, predicted)
        assert list(many) == list(SCORES)
        for name, (value, low, high) in many.items():
            assert low < value < high
            assert high - low < few[name][2] - few[name][1]
        standard_error = np.abs(truth - predicted).std() / np.sqrt(len(truth))
        assert many["MAE"][2] - many["MAE"][1] == pytest.approx(2 * 1.96 * standard_error, rel=0.15)


class TestTask:
    def test_grouped_split_keeps_formulas_on_one_side(self):
        for folds in (None, 3):
            task = load_task(800, 1, split="grouped", n_folds=folds)
            for train, test in task.folds:
                assert not set(task.formula[train]) & set(task.formula[test])
                rows, inner = task.tuning(train)
                assert set(rows) <= set(train)
                for inside, outside in inner:
                    assert not set(task.formula[rows[inside]]) & set(task.formula[rows[outside]])

    def test_folds_test_every_entry_once(self):
        task = load_task(100, 1, target="G_VRH", n_folds=5)
        assert sorted(task.tested) == list(range(100))
        assert task.modulus.min() > 0

    def test_published_split(self):
        task = load_task(None, 1)
        assert (len(task.train), len(task.test)) == (9359, 2340)


class TestModels:
    @pytest.fixture
    def task(self):
        return load_task(80, 1)

    @pytest.mark.parametrize("width", [5, 200])
    def test_linear_kernel_ridge_is_that_of_scikit_learn(self, task, width):
        X = np.random.default_rng(0).normal(size=(80, width))
        chosen = {"GPa": {"alpha": 0.1}, "log10": {"alpha": 10.0}}
        found = models.fit_kernel_ridge(task, models.LinearKernel(X), chosen, task.train, task.test)
        for scale, forward, backward in (("GPa", np.asarray, np.asarray), ("log10", np.log10, lambda y: 10**y)):
            y = forward(task.modulus[task.train])
            peer = KernelRidge(**chosen[scale]).fit(X[task.train], y - y.mean())
            for rows, predicted in ((task.test, found[scale].predicted), (task.train, found[scale].train_predicted)):
                expected = backward(peer.predict(X[rows]) + y.mean())
                low, high = task.modulus[task.train].min(), task.modulus[task.train].max()
                np.testing.assert_allclose(predicted, np.clip(expected, low, high), rtol=1e-8)

    def test_exponential_kernel_ridge_is_that_of_scikit_learn(self, task):
        D = composition_emd(task.crystals, pbar=False)
        chosen = {"GPa": {"gamma": 0.05, "alpha": 0.1}}
        found = models.fit_kernel_ridge(task, models.ExponentialKernel((0.1,), gamma=D), chosen, task.train, task.test)["GPa"]
        y = task.modulus[task.train]
        K = np.exp(-0.05 * D)
        peer = KernelRidge(alpha=0.1, kernel="precomputed").fit(K[np.ix_(task.train, task.train)], y - y.mean())
        expected = peer.predict(K[np.ix_(task.test, task.train)]) + y.mean()
        np.testing.assert_allclose(found.predicted, np.clip(expected, y.min(), y.max()), rtol=1e-5)
        np.testing.assert_allclose(D[task.test, found.neighbour], D[np.ix_(task.test, task.train)].min(axis=1), rtol=1e-6)

    def test_tuning_finds_what_explains_the_modulus(self, task):
        X = np.column_stack((np.log10(task.modulus), np.random.default_rng(0).normal(size=80)))
        found = models.kernel_ridge(task, models.LinearKernel(X - X[task.train].mean(axis=0)), task.train, task.test)["log10"]
        assert found.hyperparameters["alpha"] == min(models.LINEAR_ALPHAS)
        np.testing.assert_allclose(found.predicted, task.modulus[task.test].clip(task.modulus[task.train].min()), rtol=0.02)

    def test_lasso_is_that_of_scikit_learn(self, task):
        X = np.random.default_rng(0).normal(size=(80, 6))
        found = models.lasso(task, X, task.train, task.test)["GPa"]
        y = task.modulus[task.train]
        centred = X[task.train] - X[task.train].mean(axis=0)
        largest = np.abs(centred.T @ (y - y.mean())).max() / len(y)
        peer = Lasso(found.hyperparameters["alpha / alpha_max"] * largest).fit(X[task.train], y)
        np.testing.assert_allclose(found.predicted, np.clip(peer.predict(X[task.test]), y.min(), y.max()), rtol=0.02)
        assert found.note == f"{(peer.coef_ != 0).sum()} of 6 features"

    def test_features_don_t_depend_on_the_cell_and_have_one_scale(self, tmp_path):
        task = load_task(40, 1)
        features = Features(task, tmp_path / "magpie.npz")
        for descriptor in ("composition", "RDF", "GRID", "GRID + composition"):
            X = features.vectors(descriptor)
            assert (X**2).sum(axis=1).mean() == pytest.approx(1)
            squared = features.squared_euclidean(descriptor)
            np.testing.assert_allclose(squared, ((X[:, None] - X) ** 2).sum(axis=2), atol=1e-5)


class TestRun:
    def test_every_cell_of_the_default_is_there(self, finished):
        content = results(finished)
        found = {(row["descriptor"], row["variant"], row["model"].split(",")[0]) for row in content["rows"]}
        assert {(cell.descriptor, cell.dissimilarity, cell.model) for cell in DEFAULT} <= found
        for row in content["rows"]:
            if not row["name"].startswith("published"):
                assert list(row["scores"]) == list(SCORES)
                assert np.isfinite([value for value in row["scores"].values() if value]).all()
        assert content["test_entries"] == 12
        assert content["rdf_against_matminer"] < 1e-9
        assert (finished / "parity.png").stat().st_size > 10_000
        assert "GRID + composition" in (finished / "index.html").read_text(encoding="utf-8")
        assert content["claims"]

    def test_predictions_name_crystals_and_neighbours(self, finished):
        parity = results(finished)["parity"]["GRID + composition, kNN, k = 1, 10 GRID EMD + substitution EMD, GPa"]
        task = load_task(60, 1)
        assert parity["material_id"] == task.material_id[task.test].tolist()
        modulus = dict(zip(task.material_id, task.modulus, strict=True))
        assert parity["predicted"] == [modulus[neighbour] for neighbour in parity["neighbour_id"]]
        assert set(parity["neighbour_id"]) <= set(task.material_id[task.train])

    def test_finished_cells_are_not_computed_again(self, finished, capsys):
        before = results(finished)
        main([*TINY, "--output", str(finished)])
        assert "computing" not in capsys.readouterr().out
        assert numbers(results(finished)) == numbers(before)

    def test_damaged_cells_are_computed_again(self, finished, capsys):
        before = results(finished)
        names = {json.loads(path.read_text())["name"]: path for path in (finished / "cells").glob("*.json")}
        text, arrays, other = (names[name] for name in ("RDF, kNN, EMD", "RDF, kNN, cosine", "RDF, KRR, linear"))
        text.write_text(text.read_text()[:100])
        arrays.with_suffix(".npz").write_bytes(b"not an archive")
        other.with_suffix(".npz").unlink()
        main([*TINY, "--output", str(finished)])
        printed = " ".join(capsys.readouterr().out.split())
        assert printed.count("computing: ") == 3
        for path in (text, arrays, other):
            assert f"the stored cell {path.name}" in printed
        assert numbers(results(finished)) == numbers(before)

    def test_results_of_another_version_are_kept(self, finished, capsys):
        content = results(finished)
        content["identity"]["version"] = "0.0.1"
        (finished / "results.json").write_text(json.dumps(content))
        main([*TINY, "--output", str(finished)])
        printed = " ".join(capsys.readouterr().out.split())
        assert "version 0.0.1" in printed
        assert "computing" not in printed
        kept = [path for path in finished.glob("results-*.json") if json.loads(path.read_text())["identity"]["version"] == "0.0.1"]
        assert len(kept) == 1

    def test_unreadable_results_are_kept(self, finished, capsys):
        (finished / "results.json").write_text("{")
        main([*TINY, "--output", str(finished)])
        assert "can't be read as results" in " ".join(capsys.readouterr().out.split())
        assert (finished / "results-unreadable.json").read_text() == "{"

    def test_other_options_share_nothing(self, finished, capsys):
        main([*TINY, "--target", "G_VRH", "--split", "grouped", "--only", "RDF:kNN", "--output", str(finished)])
        printed = capsys.readouterr().out
        assert printed.count("computing: RDF, kNN") == 3
        assert {row["descriptor"] for row in results(finished)["rows"]} == {"RDF"}

    def test_cross_validation(self, tmp_path):
        main(["--limit", "40", "--cv", "3", "--only", "composition:KRR", "--output", str(tmp_path)])
        content = results(tmp_path)
        assert content["test_entries"] == 40
        assert all(len(row["hyperparameters"]) == 3 for row in content["rows"] if row["descriptor"] == "composition")


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--target", "K"], "K_VRH"),
            (["--only", "GRIDS"], "unknown descriptor 'GRIDS'"),
            (["--only", "GRID:SVM"], "unknown model 'SVM'"),
            (["--split", "half"], "grouped"),
            (["--limit", "5"], "--limit must be between 20 and 11699"),
            (["--cv", "1"], "--cv must be between 2 and 20"),
            (["--full", "--quick"], "not allowed with"),
        ],
    )
    def test_options(self, arguments, message, tmp_path, capsys):
        with pytest.raises(SystemExit) as error:
            main([*arguments, "--output", str(tmp_path)])
        assert error.value.code == 2
        assert message in capsys.readouterr().err

    def test_output_that_is_a_file(self, tmp_path, capsys):
        (tmp_path / "file").touch()
        with pytest.raises(SystemExit) as error:
            main([*TINY, "--output", str(tmp_path / "file")])
        assert error.value.code == 2
        assert "can't be written to" in capsys.readouterr().err

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_output_without_permission(self, tmp_path, capsys):
        tmp_path.chmod(0o500)
        with pytest.raises(SystemExit) as error:
            main([*TINY, "--output", str(tmp_path)])
        assert error.value.code == 2
        assert "can't be written to" in capsys.readouterr().err


def test_selection_may_hold_a_colon():
    for cell in all_cells():
        assert read_selection(cell.descriptor) == (cell.descriptor, None)
    assert read_selection("GRID + composition:kNN") == ("GRID + composition", "kNN")


def test_no_combination_is_both_there_and_left_out():
    there = {(cell.descriptor, cell.model, cell.dissimilarity) for cell in all_cells()}
    assert not there & {(entry["descriptor"], entry["model"], entry["dissimilarity"]) for entry in not_applicable()}
    assert set(DEFAULT) <= set(all_cells())


def test_statements_compare_what_they_name():
    def row(descriptor: str, mae: float) -> dict:
        head = {"descriptor": descriptor, "variant": "EMD", "model": "kNN, k = 1", "target_scale": "GPa", "name": descriptor}
        return head | {"scores": {"MAE": [mae, 0, 0], "median": [11.4, 0, 0]}}

    claims = check_claims([row("GRID", 30.0), row("RDF", 29.0), row("GRID + composition", 18.4)], published=True)
    found = {(claim["claim"], claim["first"], claim["second"]): claim["holds"] for claim in claims}
    assert found == {
        ("GRID is better than RDF", "GRID", "RDF"): False,
        ("composition helps", "GRID + composition", "GRID"): True,
        ("the published MAE is reached", "GRID + composition", "report"): True,
        ("the published median error is reached", "GRID + composition", "report"): True,
    }
    assert [bool(claim["why"]) for claim in claims] == [not claim["holds"] for claim in claims]
    assert len(check_claims([row("GRID", 30.0), row("GRID + composition", 18.4)], published=False)) == 1


def test_choices_at_the_end_of_their_grid_are_named():
    choices = [{"gamma": gamma, "alpha": alpha} for gamma in (1.0, 2.0, 4.0) for alpha in (0.1, 1.0)]
    assert models.note_ends({"gamma": 2.0, "alpha": 0.1}, choices) == "alpha at the lower end of its grid"
    assert models.note_ends({"gamma": 4.0, "alpha": 1.0}, choices) == (
        "gamma at the upper end of its grid, alpha at the upper end of its grid"
    )
    assert models.note_ends({"alpha": 0.1}, [{"alpha": 0.1}]) == ""


def test_changed_code_is_noticed(monkeypatch):
    before = identity({"seed": 1})
    assert identity({"seed": 1}) == before
    assert identity({"seed": 2}) != before
    monkeypatch.setattr("benchmarks._store.COMPUTING", ("kernels",))
    assert identity({"seed": 1})["code"] != before["code"]


def test_an_interrupted_write_leaves_no_cell(tmp_path, monkeypatch):
    store = CellStore(tmp_path / "cells", {"version": "1"}, Console())
    monkeypatch.setattr("benchmarks._store.write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        store.save("a cell", {}, {"predicted_0": np.ones(3)})
    assert store.load("a cell") is None
    assert Cell("GRID", "LASSO").name == "GRID, LASSO"
