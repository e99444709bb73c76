"""Results of runs become tables of the site."""

import json
import sys
from pathlib import Path

import pytest

from scripts.update_docs import keep, main

DOCS = Path(__file__).parents[1] / "docs"
RUN = {"date": "2026-01-02 03:04 UTC", "machine": "a machine, 2 cores", "python": "3.11", "packages": {"matminer-grid": "0.1.0"}}
ROW = {"descriptor": "GRID", "model": "kNN", "dissimilarity": "EMD", "target_scale": "GPa", "scores": {"MAE": [32.3, 31, 33]}}
RESULTS = {
    "bulk_modulus": RUN | {"entries": 100, "test_entries": 20, "rows": [ROW | {"seconds": 1}], "parity": {}},
    "model": {"run": RUN, "target": "K_VRH", "entries": 100, "cv": 5, "mean": {"MAE": 10.4321}, "folds": [{}], "predictions": {}},
    "parameters": RUN
    | {
        "entries": 100,
        "folds": 5,
        "seed": 1,
        "rows": [
            {
                "parameter": "cutoff",
                "value": 6.0,
                "published": False,
                "MAE": 22.9,
                "median": 14,
                "change": -1.3,
                "standard_error": 0.3,
            }
        ],
    },
    "speed": RUN
    | {
        "structure": {"GRID": {"median": 71.2, "low": 70.0, "high": 73.0}},
        "pair": {"grid_emd": {"median": 0.29, "low": 0.28, "high": 0.3}, "largest difference in Å": {"median": 1e-15}},
        "search": {"queries": 20, "references": 80, "search_seconds": 1.5, "brute_force_seconds": 30.0, "evaluated_share": 0.0035},
        "ratios": {"GRID / other": 123.4},
        "scaling": {"structures": {"sizes": [1], "cost": [1], "exponent": 0.01}},
    },
}
SHOWN = {
    "bulk_modulus": "| GRID | kNN, EMD, GPa | 32.3 |  |  |",
    "model": "| MAE / GPa | 10.43 |",
    "parameters": "| `cutoff` (Å) | 6 | 22.9 | 14 | -1.3 ± 0.3 |",
    "speed": "| GRID | 71.2 | 70 to 73 |",
}


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(DOCS), *sys.path])
    import _tables

    return _tables


@pytest.mark.parametrize("name", RESULTS)
def test_from_a_run_to_a_table(name, tables, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(RESULTS[name]), encoding="utf-8")
    main([str(tmp_path / "run.json"), "--output", str(tmp_path / "results")])
    tables.write_tables(tmp_path / "results", tmp_path / "generated")
    text = (tmp_path / "generated" / f"{name}.md").read_text(encoding="utf-8")
    assert SHOWN[name] in text
    assert f"`python -m benchmarks.{name}`, 2026-01-02 03:04 UTC, a machine, 2 cores; matminer-grid 0.1.0, Python 3.11." in text


def test_what_was_not_run_says_how(tables, tmp_path):
    tables.write_tables(tmp_path, tmp_path / "generated")
    assert "`python -m benchmarks.speed`" in (tmp_path / "generated" / "speed.md").read_text(encoding="utf-8")


def test_what_is_kept_is_small():
    assert all(path.stat().st_size < 100_000 for path in (DOCS / "results").glob("*.json"))
    assert "parity" not in keep(RESULTS["bulk_modulus"])[1]


def test_other_files(tmp_path):
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    with pytest.raises(SystemExit, match="it holds the results of none of"):
        main([str(tmp_path / "other.json"), "--output", str(tmp_path)])
