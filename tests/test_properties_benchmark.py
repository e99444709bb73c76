"""benchmarks.properties: files of the shape of matminer 0.3.9's, scores, options."""

import json
import tarfile
from functools import partial

import numpy as np
import pandas as pd
import pytest

from benchmarks import properties
from benchmarks.properties import BELOW, FAMILIES, FOREST, KERNEL, Task, check, load_task, main, means, score
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.featurizers import ChemistryFeaturizer
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


def test_leak_free_folds_keep_formulas_on_one_side(structures):
    task = Task([*structures, *structures], np.ones(2 * N), False)
    for train, test in task.folds("leak-free"):
        formulas = [{task.structures[row].composition.reduced_formula for row in rows} for rows in (train, test)]
        assert not formulas[0] & formulas[1]
    assert sorted(np.concatenate([test for _, test in task.folds("random")])) == list(range(2 * N))


def test_a_sample_is_of_all(structures):
    task = Task(structures, np.arange(N) * 1.0, False)
    few = task.sample(50)
    assert len(set(few.y)) == len(few.structures) == 50
    assert all(few.structures[i] is structures[int(value)] for i, value in enumerate(few.y))
    assert sorted(task.sample(500).y) == list(range(N))


def test_scores_by_hand(monkeypatch, structures):
    intervals = {c: np.array([[0.0, 0.0], [c, 3.0]]) for c in (0.5, 0.95)}
    monkeypatch.setitem(properties.MODELS, "two", lambda *_: (np.array([1.0, 2.0]), intervals))
    found = score(Task(structures[:2], np.array([0.8, 1.0]), False), "two", np.arange(2), np.arange(2))
    assert found["error"] == pytest.approx(0.6)
    assert (found["within 50%"], found["within 95%"]) == (0.5, 1.0)
    assert found["95% width over need"] == pytest.approx((0.95 + 3) / 4 / np.quantile([0.2, 1.0], 0.95))


def test_errors_below_the_forest_by_hand():
    folds = pd.DataFrame(
        {
            "learned from": [30, 30, 30, 30, 100, 100],
            "model": [KERNEL, KERNEL, FOREST, FOREST, KERNEL, FOREST],
            "fold": [0, 1, 0, 1, 0, 0],
            "error": [1.0, 2.0, 2.0, 4.0, 0.9, 1.0],
        }
    )
    found = means(folds, "learned from")
    assert found[BELOW].tolist() == pytest.approx([50, 0, 10, 0])
    assert means(folds.iloc[:4].drop(columns="learned from"))[BELOW].tolist() == pytest.approx([50, 0])
    assert BELOW not in means(folds[folds["model"] == KERNEL], "learned from")
    rows = [{"model": KERNEL, BELOW: 30.0}, {"model": FOREST, BELOW: 0.0}]
    claims = check({"refractive-index": {"splits": {"random": rows}}, "piezoelectricity": {"splits": {"leak-free": rows}}})
    assert claims.to_dict("records") == [{"property": "refractive-index", BELOW: 30.0, "aim (%)": 25, "reached": True}]


def test_a_family_that_is_left_out_tells_nothing(structures):
    task = Task(structures[:30], np.arange(30.0), False)
    without = task.without("composition")
    features, blocks = without.features, ChemistryFeaturizer().blocks
    for family, names in FAMILIES.items():
        for name in names:
            same = (features[:, blocks[name]] == task.features[:, blocks[name]]).all()
            assert same if family != "composition" else not features[:, blocks[name]].any()
    assert task.features[:, blocks["composition"]].any()


def test_run(archive, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(properties, "GRIDKernelRegressor", partial(GRIDKernelRegressor, tune_iterations=0))
    monkeypatch.setattr(properties, "TREES", 10)
    task = ["--task", "refractive-index", "--curve", "refractive-index", "--fold", "3"]
    arguments = ["--data", str(archive), *task, "--output", str(tmp_path / "out")]
    main(arguments)
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    found = content["properties"]["refractive-index"]
    assert {row["learned from"] for row in found["curve"]} == {30}
    few = {row["model"]: row for row in found["curve"]}
    for split in ("random", "leak-free"):
        rows = {row["model"]: row for row in found["splits"][split]}
        assert list(few) == list(properties.MODELS)
        assert list(rows) == list(properties.MODELS if split == "random" else properties.LEAK_FREE)
        ours = rows[KERNEL]
        assert ours["error"] < few["composition only, Magpie: random forest"]["error"]
        assert ours[BELOW] == pytest.approx(100 * (1 - ours["error"] / rows[FOREST]["error"]))
        assert 0.5 < ours["within 95%"] <= 1
    assert [row["model"] for row in found["families"]] == [KERNEL, *(f"without {family}" for family in FAMILIES)]
    assert content["aims"][0]["aim (%)"] == 25
    printed = capsys.readouterr().out
    assert "refractive-index, 120 crystals, no formula on both sides" in printed
    assert printed.count("computing: ") == 5 + 3 + 5 + 4
    monkeypatch.setitem(properties.MODELS, KERNEL, None)  # what is known isn't computed again
    main(arguments)
    assert "computing" not in capsys.readouterr().out


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
    with pytest.raises(SystemExit):
        main(["--tune-samples", "5", "--output", str(tmp_path)])
    assert "--tune-samples must be at least 20, not 5" in capsys.readouterr().err
