"""Fitted kernel models as npz files: plain arrays, no pickle, written at once."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matminer_grid._version import __version__
from matminer_grid.crystals.table import CrystalTable

if TYPE_CHECKING:
    from matminer_grid.models.kernel import GRIDKernelRegressor

ARRAYS = ("y_", "noise_", "residuals_", "_vectors", "_values", "_coefficients", "_scale", "_ratios", "_elements")
NUMBERS = ("_mean", "_base_noise", "weights_")
CRYSTALS = ("lattices", "site_offsets", "frac_coords", "species_offsets", "numbers", "occupancies", "site_index")


def save_model(model: GRIDKernelRegressor, path: str | Path) -> None:
    """Write a fitted model; the file appears complete or not at all."""
    path = Path(path)
    parameters = {name: value for name, value in model.get_params().items() if name != "progress"}
    header = {"version": __version__, "parameters": parameters, "numbers": {name: getattr(model, name) for name in NUMBERS}}
    arrays = {name: getattr(model, name) for name in ARRAYS}
    arrays |= {f"crystals.{name}": getattr(model.crystals_, name) for name in CRYSTALS}
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, header=np.array(json.dumps(header)), **arrays)
        Path(part).replace(path)
    finally:
        Path(part).unlink(missing_ok=True)


def load_model(model: GRIDKernelRegressor, path: str | Path) -> None:
    """Read a file of :func:`save_model` into an unfitted model.

    Raises
    ------
    ValueError
        The file is cut short, is no model, or was written by another version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            header: dict[str, Any] = json.loads(str(file["header"]))
            arrays = {name: file[name] for name in ARRAYS}
            crystals = CrystalTable(*(file[f"crystals.{name}"] for name in CRYSTALS))
    except (zipfile.BadZipFile, KeyError, EOFError, ValueError) as error:
        raise ValueError(f"{path} is cut short or no model of matminer-grid ({error}); delete it and train anew") from error
    if header["version"] != __version__:
        raise ValueError(f"{path} was written by matminer-grid {header['version']}, this is {__version__}: train anew")
    model.set_params(**header["parameters"])
    for name, value in (arrays | header["numbers"]).items():
        setattr(model, name, value)
    model.crystals_ = crystals
