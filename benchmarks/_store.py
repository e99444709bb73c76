"""Finished cells of a comparison on disk, so that a stopped run goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import matminer_grid
from benchmarks._run import write_json
from matminer_grid._files import CHECKSUMS, DATA

if TYPE_CHECKING:
    from rich.console import Console

COMPUTING = (
    "crystal.py",
    "composition.py",
    "elements.py",
    "scattering.py",
    "datasets/elasticity.py",
    "featurizers",
    "kernels",
    "models",
    "similarity",
)
"""Parts of the package that numbers depend on."""

COMPUTING_HERE = ("_task.py", "_features.py", "_models.py", "_cells.py", "_scores.py")
"""Parts of the benchmark that numbers depend on."""

DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)
"""What reading a damaged file of a cell raises."""


def identity(options: dict[str, Any]) -> dict[str, Any]:
    """Tell what the numbers of a run depend on: version, code, data and options."""
    package, here = Path(matminer_grid.__file__).parent, Path(__file__).parent
    files = [file for part in COMPUTING for file in ([package / part] if part.endswith(".py") else (package / part).rglob("*.py"))]
    files += [here / name for name in COMPUTING_HERE]
    code = hashlib.sha256()
    for file in sorted(files):
        if file.exists():
            code.update(file.name.encode() + file.read_bytes())
    return {
        "version": matminer_grid.__version__,
        "code": code.hexdigest()[:16],
        "dataset": dataset_checksum(),
        "options": options,
    }


def dataset_checksum() -> str:
    """Give the SHA-256 checksum that the embedded elastic moduli are checked against when they are loaded."""
    listed = dict(line.split()[::-1] for line in (DATA / CHECKSUMS).read_text(encoding="ascii").splitlines())
    return listed["mp_elasticity.parquet"]


class CellStore:
    """Files of the finished cells: ``<key>.json`` with what is printed and ``<key>.npz`` with the arrays.

    Parameters
    ----------
    folder : Path
        Made if it isn't there.
    identity : dict
        What all cells of the run depend on; with the cell's name it makes the key.
    console : rich.console.Console
        Where damage is reported.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], console: Console) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._identity = identity
        self._console = console

    def load(self, name: str) -> dict[str, Any] | None:
        """Read a finished cell, or give None if there is none or it is damaged."""
        path = self._path(name)
        if not path.exists():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
                content["arrays"] = {key: arrays[key] for key in arrays.files}
            if content["name"] != name or sorted(content["arrays"]) != content["array_names"]:
                raise ValueError("it belongs to another cell")
        except DAMAGED as error:
            self._console.print(f"the stored cell {path.name} ({name}) can't be read: {error}; it is computed again", markup=False)
            return None
        return content

    def save(self, name: str, content: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Keep a finished cell; the JSON file is written last, so that what is there is complete."""
        path = self._path(name)
        write_npz(path.with_suffix(".npz"), arrays)
        write_json(path, {"name": name, **content, "array_names": sorted(arrays), "identity": self._identity})

    def _path(self, name: str) -> Path:
        text = json.dumps({"cell": name, **self._identity}, sort_keys=True)
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays at once, so that an interrupted run leaves the old file or none."""
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.savez_compressed(file, **arrays)
    part.replace(path)


def set_aside(results: Path, identity: dict[str, Any], console: Console) -> None:
    """Rename the results of another version, data or options, or unreadable ones, rather than overwriting them."""
    if not results.exists():
        return
    try:
        found = json.loads(results.read_text(encoding="utf-8"))["identity"]
        if found == identity:
            return
        label = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:8]
        changed = [key for key in identity if found.get(key) != identity[key]]
        reason = f"is of another run ({', '.join(f'{key} {found.get(key)}' for key in changed)})"
    except (ValueError, KeyError, TypeError, AttributeError):
        label, reason = "unreadable", "can't be read as results of this benchmark"
    kept = results.with_name(f"{results.stem}-{label}.json")
    results.replace(kept)
    console.print(f"{results} {reason}; it is kept as {kept.name}", markup=False)
