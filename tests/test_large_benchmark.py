"""The benchmark of very many crystals, with a few."""

import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from benchmarks import large
from matminer_grid.crystals.inputs import as_table
from matminer_grid.models import learned


def test_property_by_hand():
    element = large.MODIFIED_PETTIFOR_ELEMENTS[-1]
    cells = [Structure(Lattice.cubic(volume ** (1 / 3)), [element], [[0, 0, 0]]) for volume in (20, 40)]
    np.testing.assert_allclose(large.smooth_property(as_table(cells)), [np.exp(-1), np.exp(-2)])


@pytest.mark.filterwarnings("ignore:no training crystal")
def test_from_learning_to_a_file(tmp_path, monkeypatch):
    def fresh(code):
        if "run_fold" not in code:
            code = code.replace("(log_target=False", "(tune_iterations=0, log_target=False")
            space = {}
            exec(compile(code, "code", "exec"), space)  # noqa: S102
            return space["result"] | {"peak_MB": 100.0}
        return {"MAE of log10 K": 0.05 if "LARGE = 0" in code else 0.04, "peak_MB": 100.0}

    monkeypatch.setattr(large, "fresh_process", fresh)
    monkeypatch.setattr(large.CONSOLE, "width", 190)
    monkeypatch.setattr(learned, "LARGE", 110)
    large.main(["--sizes", "150", "--output", str(tmp_path)])
    found = json.loads((tmp_path / "large.json").read_text(encoding="utf-8"))
    assert found["copies"][0]["MAE over mean deviation"] < 0.9
    assert found["copies"][0]["within 95%"] > 0.8
    assert {row["promise"]: row["outcome"] for row in found["promises"]}["MAE of log10 K from the nearest"] == "fails"


def test_too_few(capsys):
    with pytest.raises(SystemExit):
        large.main(["--sizes", "5"])
    assert "--sizes must be at least 100, not 5" in capsys.readouterr().err
