"""benchmarks.properties: files of the shape of matminer 0.3.9's, scores, options."""

import json
import tarfile
from functools import partial

import numpy as np
import pandas as pd
import pytest

from benchmarks import properties
from benchmarks.properties import Task, load_task, main, score
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.models import GRIDKernelRegressor

N = 120


@pytest.fixture(scope="module")
def structures():
    return load_mp_elasticity_table().crystals[:N].to_structures()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, structures):
    """The three files with the embedded crystals; the bulk modulus stands for each property."""
    path = tmp_path_factory.mktemp("files")
    K = load_mp_elasticity_table().K_VRH[:N]
    poscars = [structure.to(fmt="poscar") for structure in structures]
    for name, columns in (("dielectric_constant", ("n", "band_gap")), ("piezoelectric_tensor", ("eij_max",))):
        frame = pd.DataFrame({"structure": "#a\nCIF", "poscar": poscars} | dict.fromkeys(columns, K))
        (path / f"{name}.csv").write_text("# a comment\n" + frame.to_csv(index=False))
    dicts = [str(structure.as_dict()) for structure in structures]
    pd.DataFrame({"structure": dicts, "formation_energy_per_atom": K - 50}).to_csv(path / "flla_2015.csv", index=False)
    return path


@pytest.fixture
def archive(folder, tmp_path):
    path = tmp_path / "matminer-0.3.9.tar.gz"
    with tarfile.open(path, "w:gz") as file:
        for name in folder.iterdir():
            file.add(name, f"matminer-0.3.9/matminer/datasets/{name.name}")
    return path


def test_files_are_read_from_an_archive_and_from_folders(folder, archive, structures):
    for path in (folder, archive, archive.parent):
        energy, index = load_task("formation-energy", path), load_task("refractive-index", path)
        assert energy.y.min() < 0
        assert index.log_target
        assert not energy.log_target
        for task in (energy, index):
            assert [one.composition for one in task.structures] == [one.composition for one in structures]
            np.testing.assert_allclose(task.structures[5].distance_matrix, structures[5].distance_matrix, atol=1e-5)


def test_grouped_folds_keep_formulas_on_one_side(structures):
    task = Task([*structures, *structures], np.ones(2 * N), False)
    for train, test in task.folds("grouped"):
        formulas = [{task.structures[row].composition.reduced_formula for row in rows} for rows in (train, test)]
        assert not formulas[0] & formulas[1]
    assert sorted(np.concatenate([test for _, test in task.folds("random")])) == list(range(2 * N))


def test_scores_by_hand(monkeypatch, structures):
    intervals = {c: np.array([[0.0, 0.0], [c, 3.0]]) for c in (0.5, 0.95)}
    monkeypatch.setitem(properties.MODELS, "two", lambda *_: (np.array([1.0, 2.0]), intervals))
    found = score(Task(structures[:2], np.array([0.8, 1.0]), False), "two", np.arange(2), np.arange(2))
    assert found["MAE"] == pytest.approx(0.6)
    assert (found["coverage 50%"], found["coverage 95%"]) == (0.5, 1.0)
    assert found["95% width over need"] == pytest.approx((0.95 + 3) / 4 / np.quantile([0.2, 1.0], 0.95))


def test_run(archive, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(properties, "GRIDKernelRegressor", partial(GRIDKernelRegressor, tune_iterations=0))
    monkeypatch.setattr(properties, "TREES", 10)
    arguments = ["--data", str(archive), "--task", "refractive-index", "--fold", "3", "--curve", "--output", str(tmp_path / "out")]
    main(arguments)
    content = json.loads((tmp_path / "out" / "results_random.json").read_text())
    means = {(row["model"], row["learned from"]): row for row in content["properties"]["refractive-index"]["means"]}
    assert set(means) == {(model, size) for model in properties.MODELS for size in ("30", "all")}
    ours = means["GRIDKernelRegressor", "all"]
    assert ours["MAE"] < means["composition only, Magpie: random forest", "30"]["MAE"]
    assert 0.5 < ours["coverage 95%"] <= 1
    assert "refractive-index, 120 crystals, random split" in capsys.readouterr().out
    monkeypatch.setitem(properties.MODELS, "GRIDKernelRegressor", None)  # what is known isn't computed again
    main(arguments)


def test_files_that_are_missing(tmp_path, folder):
    with pytest.raises(SystemExit, match=r"neither flla_2015\.csv nor matminer-0\.3\.9.*pip download --no-deps"):
        main(["--data", str(tmp_path), "--output", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match=r"is no archive that can be read.*pip download"):
        main(["--data", str(folder / "flla_2015.csv"), "--output", str(tmp_path / "out")])
    with tarfile.open(tmp_path / "other.tar.gz", "w:gz") as file:
        file.add(folder / "flla_2015.csv", "other/setup.py")
    with pytest.raises(SystemExit, match=r"doesn't hold flla_2015\.csv; it should be matminer-0\.3\.9"):
        main(["--data", str(tmp_path / "other.tar.gz"), "--output", str(tmp_path / "out")])


def test_options(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--limit", "5", "--output", str(tmp_path)])
    assert "--limit must be at least 100, not 5" in capsys.readouterr().err
