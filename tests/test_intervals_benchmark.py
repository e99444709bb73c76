"""benchmarks.intervals: draws, shares, promises."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks import intervals
from benchmarks.properties import interval_scores


def test_scores_by_hand():
    truth = np.array([0.0, 1.0, 2.0, 3.0])
    ends = np.array([[-1, -1, -1, -1], [1, 1, 1, 4]])
    found = interval_scores(truth, np.zeros(4), {0.5: ends, 0.95: 2.0 * ends})
    assert found["within 50%"] == 0.75
    assert found["within 95%"] == 1
    assert found["95% width over need"] == pytest.approx((2 * 3 + 5) / 4 / np.quantile(truth, 0.95))


def test_from_draws_to_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(intervals, "DRAWS", {20: 2, 40: 1, 90: 1})
    monkeypatch.setattr(intervals, "POOL", 120)
    monkeypatch.setattr(intervals, "N_TESTED", 60)
    monkeypatch.setattr(intervals.CONSOLE, "width", 190)
    intervals.main(["--output", str(tmp_path), "--sizes", "40", "20", "90"])
    found = json.loads((tmp_path / "intervals.json").read_text(encoding="utf-8"))
    assert [row["learned from"] for row in found["means"]] == [20, 40]  # for 90 the pool is too small
    assert {row["property"] for row in found["by_property"]} == {"K_VRH", "G_VRH"}
    for row in found["by_property"]:
        assert 0 < row["within 50%"] < row["within 80%"] < row["within 95%"] <= 1
        assert row["95% in the worst draw"] <= row["within 95%"]
        assert (row["standard error of within 95%"] is None) == (row["learned from"] == 40)  # one draw tells none
    assert len(found["promises"]) == 3


def test_promises():
    means = pd.DataFrame({"within 50%": [0.51, 0.49], "within 80%": [0.79, 0.8], "within 95%": [0.95, 0.95]})
    by_property = pd.DataFrame({"within 95%": [0.91, 0.97], "95% width over need": [1.2, 2.9]})
    assert intervals.check(means, by_property)["outcome"].tolist() == ["holds"] * 3
    means.loc[1, "within 80%"] = 0.83
    by_property.loc[0] = [0.89, 3.1]
    assert intervals.check(means, by_property)["outcome"].tolist() == ["fails"] * 3


def test_bad_input(tmp_path, capsys):
    with pytest.raises(SystemExit):
        intervals.main(["--sizes", "25", "--output", str(tmp_path)])
    assert "argument --sizes: invalid choice: 25" in capsys.readouterr().err.replace("'", "")  # Python 3.14 quotes numbers too
    with pytest.raises(SystemExit, match="pip download"):
        intervals.main(["--data", str(tmp_path), "--output", str(tmp_path)])
