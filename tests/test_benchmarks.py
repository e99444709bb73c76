"""The bulk-modulus comparison: scores by hand, a tiny run, what is resumed, and what is refused."""

import ast
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from joblib import Memory
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Lasso

from benchmarks._cache import COMPUTING, PACKAGE, digest, identity, remember
from benchmarks._claims import check_claims
from benchmarks.bulk_modulus import main, read_selection
from benchmarks.moduli import models
from benchmarks.moduli.cells import DEFAULT, all_cells, not_applicable
from benchmarks.moduli.features import Features
from benchmarks.moduli.scores import SCORES, scores, statistics
from benchmarks.moduli.task import load_task
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.similarity import composition_emd

TINY = ["--limit", "60"]


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def numbers(content: dict) -> list:
    return [[(name, value) for name, value in row.items() if name != "seconds"] for row in content["rows"]]


@pytest.fixture(scope="module", autouse=True)
def unchanged_package():
    """Leave the package's code out of what cells depend on, so that it may be edited while the tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks._cache.digest", lambda *_: "unchanged")
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
        for name in SCORES:
            assert many[f"{name} low"] < many[name] < many[f"{name} high"]
            assert many[f"{name} high"] - many[f"{name} low"] < few[f"{name} high"] - few[f"{name} low"]
        standard_error = np.abs(truth - predicted).std() / np.sqrt(len(truth))
        assert many["MAE high"] - many["MAE low"] == pytest.approx(2 * 1.96 * standard_error, rel=0.15)


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

    def test_distinct_split_keeps_duplicates_on_one_side(self, monkeypatch):
        data = load_mp_elasticity_table()
        doubled = type(data)(*(getattr(data, name)[np.arange(400) % 200] for name in vars(data)))
        monkeypatch.setattr("benchmarks.moduli.task.load_mp_elasticity_table", lambda: doubled)
        for folds in (None, 3):
            task = load_task(None, 1, split="distinct", n_folds=folds)
            for train, test in task.folds:
                assert not set(task.material_id[train]) & set(task.material_id[test])
                rows, inner = task.tuning(train)
                assert set(rows) <= set(train)
                for inside, outside in inner:
                    assert not set(task.material_id[rows[inside]]) & set(task.material_id[rows[outside]])

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
        n = len(task.train)
        system = np.block(
            [[K[np.ix_(task.train, task.train)] + 0.1 * np.eye(n), np.ones((n, 1))], [np.ones((1, n)), np.zeros((1, 1))]]
        )
        for row, rows, shares in zip(task.test, *found.rests_on, strict=True):  # the weights of ordinary kriging
            weights = np.linalg.solve(system, [*K[row, task.train], 1.0])[:n]
            assert weights.sum() == pytest.approx(1)
            largest = np.argsort(-np.abs(weights), kind="stable")[:3]
            np.testing.assert_allclose(shares, weights[largest], rtol=1e-4)
            assert rows.tolist() == task.train[largest].tolist()

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

    def test_features_don_t_depend_on_the_cell_and_have_one_scale(self):
        features = Features(load_task(40, 1))
        for descriptor in ("composition", "RDF", "GRID", "GRID + composition"):
            X = features.vectors(descriptor)
            assert (X**2).sum(axis=1).mean() == pytest.approx(1)
            squared = features.squared_euclidean(descriptor)
            np.testing.assert_allclose(squared, ((X[:, None] - X) ** 2).sum(axis=2), atol=1e-5)

    def test_only_what_is_needed_is_kept(self):
        features = Features(load_task(40, 1))
        made = [features.emd("GRID"), features.emd("composition"), features.vectors("RDF")]
        features.keep({"EMD"}, "GRID + composition")
        assert features.emd("GRID") is made[0]
        assert features.emd("composition") is made[1]
        assert features.vectors("RDF") is not made[2]
        features.keep({"vectors"}, "GRID")
        assert features.emd("GRID") is not made[0]


class TestRun:
    def test_every_cell_of_the_default_is_there(self, finished):
        content = results(finished)
        found = {(row["descriptor"], row["variant"], row["model"].split(",")[0]) for row in content["rows"]}
        assert {(cell.descriptor, cell.dissimilarity, cell.model) for cell in DEFAULT} <= found
        for row in content["rows"]:
            if not row["name"].startswith("published"):
                ends = [f"{score}{end}" for score in SCORES for end in ("", " low", " high")]
                assert np.isfinite([row[name] for name in ends]).all()
        assert content["test_entries"] == 12
        assert content["rdf_against_matminer"] < 1e-9
        assert (finished / "parity.png").stat().st_size > 10_000
        assert "GRID + composition" in (finished / "index.html").read_text(encoding="utf-8")
        assert content["claims"]

    def test_predictions_name_crystals_and_what_they_rest_on(self, finished):
        parity = results(finished)["parity"]["GRID + composition, nearest neighbour"]
        task = load_task(60, 1)
        assert parity["material_id"] == task.material_id[task.test].tolist()
        modulus = dict(zip(task.material_id, task.modulus, strict=True))
        formula = dict(zip(task.material_id, task.formula, strict=True))
        known = [names for (names,) in parity["rests_on"]]
        assert parity["predicted"] == [modulus[name] for name, _, _ in known]
        assert [(formula[name], 1.0) for name, _, _ in known] == [(of, share) for _, of, share in known]
        assert {name for name, _, _ in known} <= set(task.material_id[task.train])

    def test_the_best_row_comes_first(self, finished):
        content = results(finished)
        rows = [row for row in content["rows"] if row["title"] in content["parity"]]
        best = min((row for row in content["rows"] if not row["title"].startswith("published")), key=lambda row: row["MAE"])
        assert next(iter(content["parity"])) == best["title"]
        assert [row["title"] for row in sorted(rows, key=lambda row: row["MAE"])] == list(content["parity"])
        assert all(len(known) <= 3 for one in content["parity"].values() for known in one["rests_on"] or [])

    def test_finished_cells_are_not_computed_again(self, finished, capsys):
        before = results(finished)
        main([*TINY, "--output", str(finished)])
        assert "computing" not in capsys.readouterr().out
        assert numbers(results(finished)) == numbers(before)

    def test_damaged_cells_are_computed_again(self, finished, capsys):
        before = results(finished)
        files = sorted((finished / "cells").rglob("output.pkl"))
        files[0].write_bytes(files[0].read_bytes()[:100])
        files[1].write_bytes(b"not a result")
        files[2].unlink()
        main([*TINY, "--output", str(finished)])
        assert capsys.readouterr().out.count("computing: ") == 3
        assert numbers(results(finished)) == numbers(before)

    def test_results_of_another_version_are_kept(self, finished, capsys):
        content = results(finished)
        content["identity"]["code"] = "0123"
        (finished / "results.json").write_text(json.dumps(content))
        main([*TINY, "--output", str(finished)])
        printed = " ".join(capsys.readouterr().out.split())
        assert "is of another run (code 0123)" in printed
        assert "computing" not in printed
        kept = [path for path in finished.glob("results-*.json") if json.loads(path.read_text())["identity"]["code"] == "0123"]
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
        return head | {"MAE": mae, "median": 11.4}

    claims = check_claims(pd.DataFrame([row("GRID", 30.0), row("RDF", 29.0), row("GRID + composition", 18.4)]), published=True)
    found = {(claim["statement"], claim["first"], claim["second"]): claim["outcome"] for _, claim in claims.iterrows()}
    assert found == {
        ("GRID is better than RDF", "GRID", "RDF"): "does not hold",
        ("composition helps", "GRID + composition", "GRID"): "holds",
        ("the published MAE is reached", "GRID + composition", "report"): "holds",
        ("the published median error is reached", "GRID + composition", "report"): "holds",
    }
    assert ((claims["why"] == "") == (claims["outcome"] == "holds")).all()
    assert len(check_claims(pd.DataFrame([row("GRID", 30.0), row("GRID + composition", 18.4)]), published=False)) == 1


def test_choices_at_the_end_of_their_grid_are_named():
    choices = [{"gamma": gamma, "alpha": alpha} for gamma in (1.0, 2.0, 4.0) for alpha in (0.1, 1.0)]
    assert models.note_ends({"gamma": 2.0, "alpha": 0.1}, choices) == "alpha at the lower end of its grid"
    assert models.note_ends({"gamma": 4.0, "alpha": 1.0}, choices) == (
        "gamma at the upper end of its grid, alpha at the upper end of its grid"
    )
    assert models.note_ends({"alpha": 0.1}, [{"alpha": 0.1}]) == ""


class TestCache:
    @pytest.fixture
    def copies(self, tmp_path) -> tuple[Path, Path]:
        """Copies of the package and of the part of the benchmarks that computes."""
        leave = shutil.ignore_patterns("__pycache__", "*.parquet")
        return tuple(Path(shutil.copytree(folder, tmp_path / folder.name, ignore=leave)) for folder in (PACKAGE, COMPUTING))

    def test_any_change_of_code_or_data_is_noticed(self, copies):
        before = digest(*copies)
        assert digest(*copies) == before == digest(PACKAGE, COMPUTING)
        files = [path for folder in copies for path in folder.rglob("*") if path.suffix == ".py" or path.name == "SHA256SUMS"]
        assert {"crystals", "featurizers", "kernels", "models", "similarity", "moduli", "data"} <= {
            file.parent.name for file in files
        }
        found = {before}
        for file in files:
            text = file.read_bytes()
            file.write_bytes(text + b"\n")
            found.add(digest(*copies))
            file.write_bytes(text)
        assert len(found) == len(files) + 1
        assert digest(*copies) == before

    def test_new_missing_and_renamed_files_are_noticed(self, copies):
        found = [digest(*copies)]
        (copies[0] / "kernels" / "new.py").touch()
        found.append(digest(*copies))
        (copies[0] / "kernels" / "new.py").rename(copies[0] / "kernels" / "newer.py")
        found.append(digest(*copies))
        (copies[1] / "task.py").unlink()
        found.append(digest(*copies))
        assert len(set(found)) == 4

    def test_what_computes_imports_nothing_else_of_the_benchmarks(self):
        imported = {
            node.module
            for file in COMPUTING.glob("*.py")
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom)
        }
        ours = {name for name in imported if name.startswith("benchmarks")}
        assert ours
        assert all(name.startswith("benchmarks.moduli") for name in ours)

    def test_same_code_hits_and_other_code_or_options_miss(self, tmp_path, monkeypatch):
        calls = []
        cached = Memory(tmp_path, verbose=0).cache(remember, ignore=["compute"])

        def value(options: dict, name: str) -> int:
            return cached(identity(options), name, lambda: calls.append(name) or len(calls))

        assert [value({"seed": 1}, "a"), value({"seed": 1}, "a")] == [1, 1]
        assert [value({"seed": 2}, "a"), value({"seed": 1}, "b"), value({"seed": 1}, "a")] == [2, 3, 1]
        monkeypatch.setattr("benchmarks._cache.digest", lambda *_: "changed")
        assert value({"seed": 1}, "a") == 4

    def test_what_is_interrupted_is_not_kept(self, tmp_path):
        cached = Memory(tmp_path, verbose=0).cache(remember, ignore=["compute"])
        with pytest.raises(KeyboardInterrupt):
            cached({}, "a", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        assert cached({}, "a", lambda: 1) == 1
