"""What users hand over as structures: one, or many in a list, tuple, array, Series, DataFrame or CrystalTable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core.structure import SiteCollection

from matminer_grid.crystals.crystal import Crystal
from matminer_grid.crystals.table import CrystalTable


def as_crystals(structures: Any) -> Sequence[Any]:
    """Give one or many structures as a sequence that can be sliced; a table stays one, and entries are not checked.

    Parameters
    ----------
    structures : Structure or Crystal; list, tuple, ndarray, Series or one-column DataFrame of them; or CrystalTable
        Each may also stand in a tuple of its own, as matminer does it.

    Raises
    ------
    TypeError, ValueError
        It is nothing of that, or a frame of several columns.
    """
    if isinstance(structures, CrystalTable):
        return structures
    if isinstance(structures, (SiteCollection, Crystal)):
        return [structures]
    if isinstance(structures, pd.DataFrame):
        if len(structures.columns) != 1:
            raise ValueError(f"one column of structures is needed, not {len(structures.columns)}")
        structures = structures.iloc[:, 0]
    if not isinstance(structures, (Sequence, np.ndarray, pd.Series)) or isinstance(structures, (str, bytes)):
        raise TypeError(
            "a list, tuple, array, Series, one-column DataFrame or CrystalTable of structures is needed, "
            f"not {type(structures).__name__}"
        )
    return [entry[0] if isinstance(entry, (tuple, list, np.ndarray)) and len(entry) == 1 else entry for entry in structures]


def as_table(structures: Any) -> CrystalTable:
    """Give one or many structures, as :func:`as_crystals` takes them, as a table; errors name the row of an invalid one."""
    structures = as_crystals(structures)
    if not isinstance(structures, CrystalTable):
        return CrystalTable.from_structures(structures)
    for row, error in structures.errors().items():
        raise ValueError(f"row {row}: {error}") from error
    return structures
