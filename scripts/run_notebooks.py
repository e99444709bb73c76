"""Execute notebooks in place, with tidy outputs: ``python scripts/run_notebooks.py [notebooks/01_quickstart.ipynb ...]``.

All of them by default. What differs from run to run without saying anything (times, progress, execution metadata) is not kept.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
TIMEOUT = 300
"""Seconds a cell may take; the first one that calls a kernel compiles it."""


def execute(path: Path, folder: Path | None = None) -> nbformat.NotebookNode:
    """Execute a notebook.

    Parameters
    ----------
    path : Path
    folder : Path, optional
        Where it runs; its own folder by default.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        A cell raised an error.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder or path.parent)}},
    )
    client.execute()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def main() -> None:
    """Execute the notebooks of the command line, or all."""
    for path in [Path(name) for name in sys.argv[1:]] or sorted(NOTEBOOKS.glob("*.ipynb")):
        start = time.perf_counter()
        nbformat.write(execute(path), path)
        print(f"{path.name}: {time.perf_counter() - start:.0f} s, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
