"""Results of runs become tables of the site and of the README."""

import json
from pathlib import Path

import pytest

from scripts.update_results import BEGIN, END, comparison, fill, keep, main, write_tables

DOCS = Path(__file__).parents[1] / "docs"
RUN = {"date": "2026-01-02 03:04 UTC", "machine": "a machine, 2 cores", "python": "3.11", "packages": {"matminer-grid": "0.1.0"}}
ROW = {"descriptor": "GRID", "model": "kNN", "dissimilarity": "EMD", "target_scale": "GPa", "MAE": 32.34, "MAE low": 31.0}
RESULTS = {
    "properties": RUN
    | {
        "aims": [{"property": "formation-energy", "below the forest (%)": 49.06, "aim (%)": 45.0, "reached": True}],
        "properties": {
            "formation-energy": {
                "crystals": 3938,
                "unit": "eV",
                "folds": 5,
                "splits": {
                    "random": [{"model": "GRIDKernelRegressor", "error": 0.081, "below the forest (%)": 49.06, "CPU s": 4.0}]
                },
                "families": [{"model": "without bonding", "error": 0.09, "more error (%)": 11.0, "CPU s": 4.0}],
            }
        },
    },
    "bulk_modulus": RUN
    | {
        "entries": 11_699,
        "test_entries": 20,
        "identity": {"options": {"seed": 1}},
        "rows": [
            ROW | {"descriptor": "GRID | x", "seconds": 1},
            ROW | {"descriptor": "hkl", "MAE": None},
            ROW | {"descriptor": "RDF", "median": 9.0},
        ],
        "parity": {},
    },
    "log_gvrh": RUN
    | {
        "task": "log_gvrh",
        "folds": [{"fold": "0", "MAE of log10": 0.0645}],
        "mean": {"MAE of log10": 0.06421, "coverage 50%": 0.49},
        "others": [{"fold": "coNGN", "MAE of log10": 0.0661}],
    },
    "model": RUN | {"target": "K_VRH", "entries": 100, "cv": 5, "mean": {"MAE": 10.4321}, "folds": [{}], "predictions": {}},
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
    "prototype_pairs": RUN
    | {
        "crystals": 40,
        "limits": {"geometry": 0.06, "surroundings": 0.2},
        "ranges": [
            {"times the tolerance": "0 to 0.1", "pairs": 12, "judged": 3, "fit_anonymous agrees": 1.0, "one space group": 0.5}
        ],
    },
    "classes": RUN
    | {
        "tasks": [
            {"task": "ductile or brittle", "crystals": 3000, "classes": {"brittle": 0.4, "ductile": 0.6}}
            | {"splits": {"random": [{"model": "forest", "wrong (%)": 12.3, "ROC-AUC": 0.95, "CPU s": 7.0}]}}
        ]
    },
    "intervals": RUN
    | {
        "means": [{"learned from": 20, "within 95%": 0.9512}],
        "by_property": [{"learned from": 20, "property": "K_VRH", "within 95%": 0.947}],
        "promises": [{"promise": "off", "found": 0.01, "outcome": "holds"}],
    },
    "large": RUN
    | {
        "copies": [{"crystals": 130_000, "minutes to learn": 12.5}],
        "moduli": [],
        "promises": [{"promise": "minutes to learn", "found": 12.5, "at most": 30.0, "outcome": "holds"}],
    },
    "sets": RUN
    | {
        "references": 2000,
        "copies": 9000,
        "pairs": 12_000,
        "methods": [
            {"method": "ours, by parts", "supercell": 1.0, "precision": None}
            | {"new that are called so": 0.99, "called new that are": 1.0, "seconds": 0.75, "µs a pair": 89.5}
        ],
        "carbon": {"crystals": 2030, "the same in other orders": True},
        "scale": [],
        "claims": [{"claim": "recall, supercell", "found": 1.0, "bound": ">= 0.99", "outcome": "holds"}],
        "curves": {},
    },
    "sites": RUN
    | {
        "pairs": [
            {"pair": "CuAu", "is": "different", "sites": 0.1132, "sites, identity": 0.566, "GRID (Å)": 0.0, "RDF (Å)": 0.0}
            | {"PDD (Å)": None, "composition": 0.0, "StructureMatcher": "different", "surroundings": 0.1132}
        ],
        "judged": {"pairs": 10, "match, scaled": 3, "StructureMatcher ms, median": 8.0, "ours µs, median": 10.0}
        | {"times faster, median": 800.0, "times faster, in all": 400.0},
        "curves": {"sites": {"false": [0], "true": [0], "area": 0.7}},
        "nearest": [{"dissimilarity": "sites", "MAE": 16.3}],
        "times": {"s to describe all": 1.234},
    },
    "soak": RUN
    | {
        "minutes": 10.0,
        "busy processes a core": 4,
        "crystals": 200,
        "counts": {"jobs": 31, "kills": 57, "disk: ended with an error": 4},
        "wrong": [],
        "steady": {"rounds": 40, "same answers": True, "growth": 0.0012, "MB": 412.3, "exit code": 0},
        "broken": [],
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
    "soak": "0.12%",
    "properties": "| random | GRIDKernelRegressor | 0.081 | 49.06 |",
    "bulk_modulus": "| GRID \\| x | kNN, EMD, GPa | 32.3 |  |",
    "classes": "| random | forest | 12.3 | 0.95 |",
    "intervals": "| 20 | 0.9512 |",
    "large": "| 130,000 | 12.5 |",
    "log_gvrh": "| GRIDKernelRegressor | 0.06421 | 0.49 |",
    "model": "| MAE / GPa | 10.43 |",
    "parameters": "| `cutoff` (Å) | 6 | 22.9 | 14.0 | -1.3 ± 0.3 |",
    "prototype_pairs": "| 0 to 0.1 | 12 | 3 | 1 | 0.5 |",
    "sets": "| ours, by parts | 1 |",
    "sites": "| CuAu | 0.1132 | 0.566 | 0 | 0 |  | different |",
    "speed": "| GRID | 71.2 µs | 70 µs to 73 µs |",
}


@pytest.fixture
def root(tmp_path):
    """A folder like this repository's, before anything is filled in, and runs in output."""
    (tmp_path / "README.md").write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nAfter it.\n")
    for name, results in RESULTS.items():
        folder = tmp_path / "output" / name
        folder.mkdir(parents=True)
        (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    (tmp_path / "output/bulk_modulus/parity.png").write_bytes(b"picture")
    return tmp_path


def update(root, *runs: str) -> str:
    main([*(str(root / "output" / run) for run in runs), "--root", str(root)])
    return (root / "README.md").read_text()


@pytest.mark.parametrize("name", RESULTS)
def test_from_a_run_to_a_table(name, root):
    update(root, name)
    write_tables(root / "docs" / "results", root / "docs" / "generated")
    text = (root / "docs" / "generated" / f"{name}.md").read_text(encoding="utf-8")
    assert SHOWN[name] in text
    assert "hkl" not in text
    command = "matbench --embedded" if name == "log_gvrh" else name
    assert f"`python -m benchmarks.{command}`, 2026-01-02 03:04 UTC, a machine, 2 cores; matminer-grid 0.1.0, Python 3.11." in text


def test_what_was_not_run_says_how(tmp_path):
    write_tables(tmp_path, tmp_path / "generated")
    assert "`python -m benchmarks.speed`" in (tmp_path / "generated" / "speed.md").read_text(encoding="utf-8")


def test_what_is_kept_is_small():
    assert all(path.stat().st_size < 100_000 for path in (DOCS / "results").glob("*.json"))
    kept = keep(RESULTS["bulk_modulus"])[1]
    assert "parity" not in kept
    assert kept["rows"][0]["MAE low"] == 31.0
    assert "seconds" not in kept["rows"][0]


def test_readme_has_table_date_machine_and_picture(root):
    text = update(root, "bulk_modulus", "model")
    assert text.startswith(f"# Title\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nAfter it.\n")
    assert "old" not in text
    assert "| GRID \\| x | kNN, EMD, GPa | 32.3 |  |" in text
    assert "| RDF | kNN, EMD, GPa | 32.3 | 9.0 |" in text
    assert "hkl" not in text
    assert "2026-01-02 03:04 UTC, a machine, 2 cores; 11,699 crystals, seed 1; matminer-grid 0.1.0, Python 3.11." in text
    assert "![Parity](docs/images/parity.png)" in text
    assert (root / "docs/images/parity.png").read_bytes() == b"picture"
    assert {path.name for path in (root / "docs/results").iterdir()} == {"bulk_modulus.json", "model.json"}
    assert update(root, "bulk_modulus") == text


def test_other_results_leave_the_readme(root):
    before = (root / "README.md").read_text()
    assert update(root, "speed") == before


@pytest.mark.parametrize("readme", ["no place", f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_markers_must_be_there(readme):
    with pytest.raises(ValueError, match="once each, in this order"):
        fill(readme, RESULTS["bulk_modulus"])


def test_a_run_without_scores_is_refused():
    with pytest.raises(ValueError, match="no row"):
        comparison([ROW | {"MAE": None}])


def test_what_is_missing_leaves_the_readme(root):
    before = (root / "README.md").read_text()
    run = root / "output" / "bulk_modulus"
    (run / "parity.png").unlink()
    with pytest.raises(SystemExit, match=r"no parity\.png"):
        update(root, "bulk_modulus")
    (run / "parity.png").touch()
    (run / "results.json").write_text(
        json.dumps({key: value for key, value in RESULTS["bulk_modulus"].items() if key != "identity"})
    )
    with pytest.raises(SystemExit, match="lack 'identity'"):
        update(root, "bulk_modulus")
    (run / "results.json").write_text("{")
    with pytest.raises(SystemExit, match="bulk_modulus: "):
        update(root, "bulk_modulus")
    (run / "results.json").unlink()
    with pytest.raises(SystemExit, match="there are no results"):
        update(root, "bulk_modulus")
    assert (root / "README.md").read_text() == before
    assert not (root / "docs").exists()


def test_other_files(root):
    (root / "output" / "other.json").write_text("{}", encoding="utf-8")
    with pytest.raises(SystemExit, match="it holds the results of none of"):
        update(root, "other.json")
