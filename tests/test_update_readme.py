"""The script that fills the README's results."""

import json

import pytest

from scripts.update_readme import BEGIN, END, fill, main, table

ROW = {"descriptor": "GRID | x", "model": "kNN", "dissimilarity": "EMD", "target_scale": "GPa", "scores": {"MAE": [18.04, 17, 19]}}
RESULTS = {
    "date": "2026-01-01 00:00 UTC",
    "machine": "<fast>, 2 cores",
    "python": "3.11",
    "packages": {"matminer-grid": "1.0"},
    "entries": 11_699,
    "identity": {"options": {"seed": 1}},
    "rows": [
        ROW,
        ROW | {"descriptor": "hkl", "scores": {}},
        ROW | {"descriptor": "RDF", "scores": {"median": [9.0], "MAE": [30.0]}},
    ],
}


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(RESULTS))
    (folder / "parity.png").write_bytes(b"picture")
    (tmp_path / "README.md").write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nAfter it.\n")
    return folder


def update(run, *more: str) -> str:
    readme = run.parent / "README.md"
    main([str(run), "--readme", str(readme), *more])
    return readme.read_text()


def test_table_date_machine_and_picture(run):
    text = update(run)
    assert text.startswith(f"# Title\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nAfter it.\n")
    assert "old" not in text
    assert "| GRID \\| x | kNN, EMD, GPa | 18.0 |  |" in text
    assert "| RDF | kNN, EMD, GPa | 30.0 | 9.0 |" in text
    assert "hkl" not in text
    assert "2026-01-01 00:00 UTC, &lt;fast>, 2 cores; 11,699 crystals, seed 1; matminer-grid 1.0, Python 3.11." in text
    assert "![Parity](docs/images/parity.png)" in text
    assert (run.parent / "docs/images/parity.png").read_bytes() == b"picture"


def test_a_second_time_changes_nothing(run):
    assert update(run) == update(run)


@pytest.mark.parametrize("readme", ["no place", f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_markers_must_be_there(readme):
    with pytest.raises(ValueError, match="once each, in this order"):
        fill(readme, "x")


def test_a_run_without_scores_is_refused():
    with pytest.raises(ValueError, match="no row"):
        table([ROW | {"scores": {}}])


def test_what_is_missing_leaves_the_readme(run):
    before = (run.parent / "README.md").read_text()
    with pytest.raises(SystemExit, match=r"has no curve\.png"):
        update(run, "--pictures", "curve.png")
    (run / "results.json").write_text(json.dumps({"scores": {}}))
    with pytest.raises(SystemExit, match="lacks"):
        update(run)
    (run / "results.json").unlink()
    with pytest.raises(SystemExit, match=r"results\.json"):
        update(run)
    assert (run.parent / "README.md").read_text() == before
    assert not (run.parent / "docs").exists()
