"""benchmarks.matbench: official folds, matbench's own form of results, tasks read from files of the shape of matminer's."""

import gzip
import hashlib
import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks import matbench
from benchmarks.matbench import EMBEDDED, TASKS, embedded_problem, main, official_folds, official_scores
from matminer_grid.datasets import load_mp_elasticity_table, matminer_data
from matminer_grid.models import GRIDKernelClassifier, GRIDKernelRegressor

N = 120


@pytest.fixture
def data_file(tmp_path, monkeypatch):
    """Make the file of a task with the embedded crystals and any target; its checksum is taken for that of matminer."""

    def make(name: str, y: np.ndarray):
        structures = load_mp_elasticity_table().crystals[:N].to_structures()
        table = {
            "index": list(range(N)),
            "columns": ["structure", TASKS[name].target],
            "data": [[structure.as_dict(), value] for structure, value in zip(structures, y.tolist(), strict=True)],
        }
        path = tmp_path / f"{name}.json.gz"
        path.write_bytes(gzip.compress(json.dumps(table).encode()))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        attributes = matminer_data._attributes(name)
        monkeypatch.setattr(matminer_data, "_attributes", lambda _: attributes | {"hash": digest})
        return path

    return make


def values(name: str) -> np.ndarray:
    K = load_mp_elasticity_table().K_VRH[:N]
    return np.median(K) < K if TASKS[name].classes else K


def test_embedded_entries_lie_in_their_official_folds():
    numbers = pd.read_csv(EMBEDDED, index_col="material_id")
    # as published with the predictions of other models: entry, its number and its fold
    known = {"mp-7878": (1, 4), "mp-7876": (2, 4), "mp-7877": (3, 2), "mp-797": (4, 2)}
    problem = embedded_problem("log_kvrh")
    ids = load_mp_elasticity_table().material_id
    kept = ids[np.isin(ids, numbers.index[numbers["log_kvrh"].notna()])]
    for material_id, (number, fold) in known.items():
        assert numbers["log_kvrh"][material_id] == number
        assert material_id in kept[problem.folds[fold]]
    assert (len(problem.y), len(embedded_problem("log_gvrh").y)) == (10_306, 10_309)
    assert sorted(np.concatenate(problem.folds)) == list(range(10_306))
    assert problem.y.min() > 0


def test_classes_are_spread_over_the_folds():
    labels = np.arange(100) < 20
    assert [labels[test].sum() for test in official_folds(labels, classes=True)] == [4] * 5


def test_scores_by_hand():
    found = official_scores(np.array([0.0, 1.0, -2.0]), np.array([0.5, 1.0, -1.0]), classes=False)
    assert found == {"mae": 0.5, "rmse": pytest.approx(np.sqrt(1.25 / 3)), "mape": 0.25, "max_error": 1.0}
    truth, chances = np.array([1.0, 1.0, 1.0, 0.0]), np.array([0.9, 0.5, 0.2, 0.3])
    found = official_scores(truth, chances, classes=True)
    assert found["accuracy"] == 0.75
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["f1"] == pytest.approx(0.8)
    assert found["rocauc"] == roc_auc_score(truth, chances) == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", ["matbench_phonons", "matbench_mp_is_metal"])
def test_results_have_the_form_of_matbench(name, data_file, tmp_path, capsys, monkeypatch):
    for kind in (GRIDKernelRegressor, GRIDKernelClassifier):
        monkeypatch.setattr(matbench, kind.__name__, partial(kind, tune_iterations=0))
    path, y = data_file(name, values(name)), values(name)
    arguments = [name, "--data", str(path), "--output", str(tmp_path / "out")]
    main([*arguments, "--fold", "1"])
    assert "computing: " + name + ", fold 1" in capsys.readouterr().out
    assert not (tmp_path / "out" / f"{name}.json").exists()
    main(arguments)
    printed = capsys.readouterr().out
    assert printed.count("computing: ") == 4
    assert "fold 1\n" not in printed
    content = json.loads((tmp_path / "out" / f"{name}.json").read_text())
    digest = content.pop("hash")
    assert digest == hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    assert set(content) == {"@module", "@class", "version", "benchmark_name", "tasks", "user_metadata", "datestamp"}
    task = content["tasks"][name]
    assert set(task) == {"@module", "@class", "benchmark_name", "dataset_name", "results"}
    prefix = name.replace("matbench_", "mb-").replace("_", "-")
    folds = official_folds(y.astype(float), TASKS[name].classes)
    for fold, test in enumerate(folds):
        found = task["results"][f"fold_{fold}"]
        assert set(found) == {"data", "parameters", "scores"}
        assert list(found["data"]) == [f"{prefix}-{row + 1:03d}" for row in test]
        predicted = np.array(list(found["data"].values()))
        assert found["scores"] == pytest.approx(official_scores(y[test].astype(float), predicted, TASKS[name].classes))
    if TASKS[name].classes:  # probabilities
        assert len(set(predicted)) > 20
        assert 0 < predicted.min() < predicted.max() < 1
        assert found["scores"]["rocauc"] > 0.6
    assert content["user_metadata"]["algorithm"].endswith("Classifier" if TASKS[name].classes else "Regressor")
    assert (predicted >= 0).all()
    scores = json.loads((tmp_path / "out" / f"{name}_scores.json").read_text())
    assert scores["others"][0].keys() == {"fold", "rocauc" if TASKS[name].classes else "mae"}


def test_embedded_moduli(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(matbench, "GRIDKernelRegressor", partial(GRIDKernelRegressor, tune_iterations=0))
    whole = embedded_problem("log_gvrh")
    rows = np.arange(0, len(whole.y), 50)
    folds = [np.nonzero(np.isin(rows, test))[0] for test in whole.folds]
    small = matbench.Problem(whole.crystals[rows], whole.y[rows], folds, True)
    monkeypatch.setattr(matbench, "embedded_problem", lambda _: small)
    main(["--embedded", "--target", "log_gvrh", "--fold", "2", "--output", str(tmp_path)])
    content = json.loads((tmp_path / "log_gvrh_scores.json").read_text())
    assert 0 < content["mean"]["MAE of log10"] < 0.3
    assert content["others"][0] == {"fold": "coNGN", "MAE of log10": 0.0661, "MAE / GPa": 6.09}
    assert "coNGN" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --embedded or one of the tasks matbench_log_kvrh"),
        (["matbench_phonons", "--embedded"], "give either"),
        (["--embedded", "--data", "a.json.gz"], "--embedded needs no --data"),
        (["matbench_phonons", "--target", "log_kvrh"], "a task has its own target"),
        (["matbench_glass"], "argument task: invalid choice: matbench_glass"),
        (["--embedded", "--fold", "5"], "argument --fold: invalid choice: 5"),
    ],
)
def test_options(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as error:
        main([*arguments, "--output", str(tmp_path)])
    assert error.value.code == 2
    assert message in capsys.readouterr().err.replace("'", "")  # Python 3.14 quotes numbers too


def test_a_missing_or_another_file_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r"no such file; the data set matbench_phonons is at https:.*give it as --data FILE"):
        main(["matbench_phonons", "--data", str(tmp_path / "none.json.gz"), "--output", str(tmp_path)])
    (tmp_path / "other.json.gz").write_bytes(b"other")
    with pytest.raises(SystemExit, match="is not the file of the data set matbench_phonons"):
        main(["matbench_phonons", "--data", str(tmp_path / "other.json.gz"), "--output", str(tmp_path)])
