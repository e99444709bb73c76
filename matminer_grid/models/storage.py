"""Fitted models as npz files: plain arrays and parameters as JSON, no pickle."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matminer_grid._files import replacing
from matminer_grid._version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FORMAT = 9
"""Version of the file's layout."""


def save_arrays(path: str | Path, kind: str, parameters: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write the arrays of a model of a class, and parameters that JSON can hold; the file appears complete or not at all."""
    header = {"format": FORMAT, "version": __version__, "kind": kind, "parameters": dict(parameters), "arrays": list(arrays)}
    text = json.dumps(header, default=_plain)
    with replacing(Path(path)) as file:
        np.savez(file, header=np.array(text), **arrays)  # type: ignore[arg-type]


def kind_of(path: str | Path) -> str:
    """Name the class whose model a file holds; a ValueError says why it holds none."""
    return str(_read(path)[0]["kind"])


def load_arrays(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the parameters and arrays that :func:`save_arrays` wrote; a ValueError says why a file is no such model."""
    header, arrays = _read(path, with_arrays=True)
    if header["kind"] != kind:
        raise ValueError(f"{path} holds a {header['kind']}, no {kind}")
    return header["parameters"], arrays


def _read(path: str | Path, with_arrays: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            found = (header.get("format", 1), header["version"])
            if found == (FORMAT, __version__):
                arrays = {name: file[name] for name in header["arrays"]} if with_arrays else {}
    except (zipfile.BadZipFile, AttributeError, KeyError, EOFError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is cut short or no model of matminer-grid ({error}); delete it and train anew") from error
    if found != (FORMAT, __version__):
        raise ValueError(
            f"{path} was written in format {found[0]} by matminer-grid {found[1]}; this is {__version__}, which reads format "
            f"{FORMAT}: train anew"
        )
    return header, arrays


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"the parameter {value!r} can't be saved: give a number, a text or None")
