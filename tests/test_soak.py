"""What the soak takes for a broken promise."""

import json

import pytest

from benchmarks.soak import broken_promises, memory_growth

FINE = {"minutes": 10, "wrong": [], "counts": {"kills": 20}, "steady": {"same answers": True, "growth": 0.01, "exit code": 0}}


def test_memory_of_the_last_third_counts(tmp_path):
    sizes = [100, 190, 200, 200, 200, 200, 210, 210, 210]
    lines = [json.dumps({"bytes": size, "same": True}) for size in sizes]
    (tmp_path / "log").write_text("\n".join(lines), encoding="utf-8")
    found = memory_growth(tmp_path / "log")
    assert found["growth"] == pytest.approx(0.05)
    assert (found["rounds"], found["same answers"]) == (9, True)


@pytest.mark.parametrize("lines", [[], [{"bytes": 1, "same": True}]])
def test_too_few_rounds_tell_nothing(tmp_path, lines):
    (tmp_path / "log").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert memory_growth(tmp_path / "log")["growth"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wrong": ["featurize gave another answer"]}, "1 answers are lost or wrong: featurize gave another answer"),
        ({"counts": {}}, "only 0 kills"),
        ({"steady": FINE["steady"] | {"same answers": False}}, "gave other answers or failed"),
        ({"steady": FINE["steady"] | {"exit code": -9}}, "gave other answers or failed"),
        ({"steady": FINE["steady"] | {"growth": 0.02}}, "memory grew by 0.02"),
        ({"steady": FINE["steady"] | {"growth": None}}, "memory grew by None"),
    ],
)
def test_each_promise_can_be_broken(change, message):
    assert broken_promises(FINE) == []
    (text,) = broken_promises(FINE | change)
    assert message in text
