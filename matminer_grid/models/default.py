"""The models of the embedded elastic moduli, trained on first use and kept in the user's cache folder."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from matminer_grid._validation import check_choice, check_whole
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.datasets.elasticity import kept_path
from matminer_grid.models.base import MINIMUM_SAMPLES
from matminer_grid.models.kernel import GRIDKernelRegressor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

TARGETS = ("K_VRH", "G_VRH")
NOBLE_GASES = (2, 10, 18, 36, 54, 86)


def clean_rows() -> NDArray[np.int64]:
    """List the embedded entries that models are trained on: an anisotropy from 0 to 100, no noble gases."""
    data = load_mp_elasticity_table()
    owner = np.repeat(np.arange(len(data)), np.diff(data.crystals.species_offsets))
    noble = np.isin(np.arange(len(data)), owner[np.isin(data.crystals.numbers, NOBLE_GASES)])
    return np.nonzero((data.elastic_anisotropy >= 0) & (data.elastic_anisotropy <= 100) & ~noble)[0]


def cached_file(target: str) -> Path:
    """Where the model of a target is kept, by version and checksum of the data; the folder may not exist yet."""
    return kept_path(target, ".npz")


def default_model(
    target: str = "K_VRH", *, progress: Callable[[str], None] | None = None, limit: int | None = None
) -> GRIDKernelRegressor:
    """Give the model of a modulus, trained on the embedded data.

    The first call trains it, in a minute or two, and keeps it in the user's cache folder; later calls read it from there.

    Parameters
    ----------
    target : {"K_VRH", "G_VRH"}
        Bulk or shear modulus in GPa.
    progress : callable, optional
        Called with a line of text at each stage of the training.
    limit : int, optional
        Train on so many random entries instead, 20 or more, and keep nothing: for a quick look.

    Raises
    ------
    ValueError
        The target is unknown, or the limit too small.

    Warns
    -----
    UserWarning
        The file in the cache was damaged, and the model was trained anew; or the cache can't be written to.
    """
    check_choice("target", target, TARGETS)
    if limit is not None:
        check_whole("limit", limit, low=MINIMUM_SAMPLES)
    path = cached_file(target)
    if limit is None and path.exists():
        try:
            return GRIDKernelRegressor.load(path)
        except ValueError as error:
            warnings.warn(f"the model is trained anew: {error}", stacklevel=2)
    rows = clean_rows()
    if limit is not None:
        rows = np.sort(np.random.default_rng(0).choice(rows, min(limit, len(rows)), replace=False))
    data = load_mp_elasticity_table()
    model = GRIDKernelRegressor(log_target=True, progress=progress).fit(
        data.crystals[rows], pd.Series(getattr(data, target)[rows], name=target), names=data.material_id[rows].tolist()
    )
    if limit is None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            model.save(path)
        except OSError as error:
            warnings.warn(f"the model can't be kept in {path.parent} ({error}); it will be trained anew next time", stacklevel=2)
    return model
