"""benchmarks.classes: what is read, what is judged, one run from crystals to a file."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks import classes
from benchmarks.properties import Task
from matminer_grid.datasets import load_mp_elasticity_table


@pytest.fixture(scope="module")
def structures():
    return load_mp_elasticity_table().crystals[:60].to_structures()


def test_scores_by_hand(monkeypatch, structures):
    """A model that says 0.75 for the right class of all but six crystals."""
    kind = np.array(["a", "b"])[np.arange(60) % 2]
    said = np.where(kind == "a", 0.75, 0.25)
    said[:6] = 1 - said[:6]
    monkeypatch.setitem(classes.MODELS, "known", lambda _task, _train, test: np.column_stack([said[test], 1 - said[test]]))
    found = classes.judge(Task(structures, kind, log_target=False), "random", "known")
    assert found["wrong (%)"] == pytest.approx(10)
    assert found["Brier score"] == pytest.approx(0.9 * 0.25**2 + 0.1 * 0.75**2)
    assert found["ROC-AUC"] == pytest.approx(1 - 0.1**2 - 0.9 * 0.1)  # ties count half: 0.81 right, 0.18 tied
    assert found["probabilities off by (%)"] == pytest.approx(100 * (0.9 - 0.75))


def test_files_are_classed(tmp_path, structures):
    poscars = [structure.to(fmt="poscar") for structure in structures]
    numbers = np.arange(60.0)
    columns = {"band_gap": numbers / 12, "pot_ferroelectric": numbers > 19}
    pd.DataFrame({"poscar": poscars} | columns).to_csv(tmp_path / "dielectric_constant.csv", index=False)
    pd.DataFrame({"poscar": poscars, "e_above_hull": np.maximum(numbers - 9, 0)}).to_csv(tmp_path / "flla_2015.csv", index=False)
    assert np.unique(classes.stable(tmp_path).y, return_counts=True)[1].tolist() == [10, 50]
    assert np.unique(classes.ferroelectric(tmp_path).y, return_counts=True)[1].tolist() == [40, 20]
    names, counts = np.unique(classes.gap(tmp_path).y, return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {"below 1 eV": 12, "between": 24, "above 3 eV": 24}


def test_from_crystals_to_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(classes, "CRYSTALS", 80)
    monkeypatch.setattr(classes, "TREES", 5)
    monkeypatch.setattr(classes.CONSOLE, "width", 190)
    classes.main(["--output", str(tmp_path)])
    (found,) = json.loads((tmp_path / "classes.json").read_text(encoding="utf-8"))["tasks"]
    assert found["crystals"] == 80
    assert sum(found["classes"].values()) == pytest.approx(1)
    for rows in found["splits"].values():
        assert [row["model"] for row in rows] == list(classes.MODELS)
        for row in rows:
            assert 0 <= row["wrong (%)"] <= 60
            assert row["ROC-AUC"] > 0.5
            assert row["probabilities off by (%)"] < 50


def test_bad_input(tmp_path):
    with pytest.raises(SystemExit, match="pip download"):
        classes.main(["--data", str(tmp_path), "--output", str(tmp_path)])
