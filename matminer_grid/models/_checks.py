"""What all models ask of structures and properties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matminer_grid.crystals.table import CrystalTable, as_crystals, read_structures

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def checked_crystals(structures: Any) -> CrystalTable:
    """Give structures as a table of valid crystals.

    Raises
    ------
    TypeError, ValueError
        It is no sequence, or a structure is invalid; the message names the row.
    """
    structures = as_crystals(structures)
    if isinstance(structures, CrystalTable):
        table, errors = structures, dict(structures.errors())
    elif hasattr(structures, "__len__") and not isinstance(structures, (str, dict)):
        table, errors = read_structures(list(structures))  # type: ignore[assignment]
    else:
        raise TypeError(f"a list of structures or a CrystalTable is needed, not {type(structures).__name__}")
    for row, error in errors.items():
        raise type(error)(f"row {row}: {error}") from error
    return table


def checked_targets(y: ArrayLike, n: int) -> NDArray[np.float64]:
    """Give the property as an array of n finite numbers.

    Raises
    ------
    ValueError
        Another number of values, or some that are NaN or infinite.
    """
    targets = np.asarray(y, dtype=np.float64)
    if targets.shape != (n,):
        raise ValueError(f"y must hold one number a structure, {n} in all, and has the shape {targets.shape}")
    if not np.isfinite(targets).all():
        raise ValueError(f"y[{int(np.nonzero(~np.isfinite(targets))[0][0])}] is NaN or infinite; leave such crystals out")
    return targets
