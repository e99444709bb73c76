"""The notebooks run from top to bottom, and what is committed of their outputs is fit to be read."""

import base64
import shutil
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MAX_PICTURE = 100_000
"""Bytes."""


def outputs(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def check_outputs(notebook):
    text = ""
    for output in outputs(notebook):
        assert output.output_type != "error", output.get("evalue")
        if output.output_type == "stream":
            assert output.name == "stdout", output.text
            text += output.text
            continue
        assert not any("widget" in kind for kind in output.data), "progress bars don't belong into outputs"
        text += output.data.get("text/plain", "")
        if "image/png" in output.data:
            assert len(base64.b64decode(output.data["image/png"])) <= MAX_PICTURE
    assert "Warning" not in text
    assert not any(f"{folder}/" in text for folder in (str(ROOT), "/tmp", "/home", "/root", "site-packages"))  # noqa: S108


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 4


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "run scripts/run_notebooks.py"
    assert any("image/png" in output.get("data", {}) for output in outputs(notebook)) or path.stem == "05_your_own_data"
    check_outputs(notebook)


@pytest.mark.notebooks
@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    pytest.importorskip("nbclient")
    from scripts.run_notebooks import execute

    monkeypatch.delenv("MPLBACKEND", raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    copy = Path(shutil.copy(path, tmp_path))
    shutil.copytree(path.parent / "data", tmp_path / "data")
    check_outputs(execute(copy, tmp_path))
