"""Compositions as vectors: the fractions of the elements, in the order that a composition's dissimilarity needs."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pymatgen.core import Composition, SiteCollection

from matminer_grid._validation import check_choice
from matminer_grid.crystals.crystal import Crystal
from matminer_grid.crystals.elements import (
    MODIFIED_PETTIFOR,
    MODIFIED_PETTIFOR_ELEMENTS,
    SUBSTITUTION_ELEMENTS,
    species_amounts,
    species_symbol,
)
from matminer_grid.crystals.table import CrystalTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

METRICS: dict[str, tuple[str, ...]] = {
    "modified_pettifor": MODIFIED_PETTIFOR_ELEMENTS,
    "substitution": SUBSTITUTION_ELEMENTS,
    "identity": MODIFIED_PETTIFOR_ELEMENTS,
}
"""Elements, in their order, that each metric between compositions knows."""

EXACT_UNIT = 2.0**-46
"""Cumulative fractions are multiples of it: sums of 103 differences are exact, so that their order doesn't matter."""


def reduced_formula(crystal: Crystal | str) -> str:
    """Give the reduced formula of a crystal or a formula."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # electronegativities that are missing, by which elements are ordered; what is deprecated
        return Composition(crystal if isinstance(crystal, str) else crystal.formula).reduced_formula


def element_fractions(compositions: Any, metric: str = "modified_pettifor") -> NDArray[np.float64]:
    """Give each composition as the fractions of its elements.

    Parameters
    ----------
    compositions : list, tuple, ndarray or Series of str, Composition, Structure or Crystal; or CrystalTable
        Formulas, or what has one; a single one counts as a list of one. Oxidation states don't matter, D and T count as H, and
        species count with their occupancy.
    metric : {"modified_pettifor", "substitution", "identity"}
        The elements and their order: the 103 elements of the modified Pettifor scale, or the 78 of the substitution table.

    Returns
    -------
    ndarray of shape (n, 103) or (n, 78)
        Each row sums to 1.

    Raises
    ------
    TypeError
        An entry is none of the above.
    ValueError
        The metric is unknown; a formula can't be read, is empty or has a negative amount; an element is none of the metric's, or
        none at all.

    Examples
    --------
    >>> from matminer_grid.crystals.composition import element_fractions
    >>> fractions = element_fractions(["SrTiO3", "Sr2Ti2O6"])
    >>> fractions.shape, fractions[:, 96].tolist()  # oxygen is number 97 on the scale
    ((2, 103), [0.6, 0.6])
    """
    check_choice("metric", metric, METRICS)
    if isinstance(compositions, CrystalTable):
        numbers = compositions.numbers
        present = np.unique(numbers)
        symbols = [species_symbol(number) for number in present.tolist()]
        code_of = np.zeros(present.max(initial=0) + 1, dtype=np.int64)
        code_of[present] = np.arange(len(present))
        codes, amounts, n_rows = code_of[numbers], compositions.occupancies, len(compositions)
        rows = np.repeat(np.arange(n_rows), np.diff(compositions.species_offsets))
    else:
        entries = [_amounts(entry, row) for row, entry in enumerate(_entries(compositions))]
        symbols = sorted({symbol for entry in entries for symbol in entry})
        code = {symbol: i for i, symbol in enumerate(symbols)}
        codes = np.array([code[symbol] for entry in entries for symbol in entry], dtype=np.int64)
        amounts = np.array([amount for entry in entries for amount in entry.values()], dtype=np.float64)
        n_rows = len(entries)
        rows = np.repeat(np.arange(n_rows), [len(entry) for entry in entries])

    elements = METRICS[metric]
    column_of = {symbol: i for i, symbol in enumerate(elements)}
    column_of |= dict.fromkeys(("D", "T"), column_of["H"])
    columns = np.array([column_of.get(symbol, -1) for symbol in symbols], dtype=np.int64)[codes]
    outside = np.nonzero(columns < 0)[0]
    if len(outside):
        species = rows == rows[outside[0]]
        raise ValueError(_outside(int(rows[outside[0]]), [symbols[c] for c in codes[species]], amounts[species].tolist(), metric))
    cells = np.bincount(rows * len(elements) + columns, weights=amounts, minlength=n_rows * len(elements))
    fractions = cells.reshape(n_rows, len(elements))
    totals = fractions.sum(axis=1, keepdims=True)
    wrong = np.nonzero(~((totals[:, 0] > 0) & np.isfinite(totals[:, 0]) & (fractions >= 0).all(axis=1)))[0]
    if len(wrong):
        raise ValueError(f"row {wrong[0]}: a composition needs at least one element, and amounts that are finite and not negative")
    return fractions / totals


def cumulative_fractions(compositions: Any) -> NDArray[np.float64]:
    """Give each composition, as for :func:`element_fractions`, as its cumulative distribution over the modified Pettifor scale.

    The Manhattan distance of two such vectors is the earth mover's distance of the two compositions, where neighbours on the scale
    are one unit apart. scikit-learn's `manhattan` metric and `laplacian` kernel apply as they are.

    Returns
    -------
    ndarray of shape (n, 103)
        Ascending from 0 to 1 along each row.

    References
    ----------
    H. Glawe et al., New J. Phys. 18 (2016) 093011, 10.1088/1367-2630/18/9/093011.

    Examples
    --------
    >>> from matminer_grid.crystals.composition import cumulative_fractions
    >>> chloride, bromide = cumulative_fractions(["NaCl", "NaBr"])
    >>> abs(chloride - bromide).sum().item()  # Br and Cl are neighbours on the scale
    0.5
    """
    cumulative = np.cumsum(element_fractions(compositions, "modified_pettifor"), axis=1)
    cumulative[:, -1] = 1
    return np.rint(cumulative / EXACT_UNIT) * EXACT_UNIT


def _entries(compositions: Any) -> Any:
    if isinstance(compositions, (str, Composition, SiteCollection, Crystal)):
        return [compositions]
    if isinstance(compositions, pd.DataFrame) and len(compositions.columns) == 1:
        return compositions.iloc[:, 0]
    if not isinstance(compositions, (list, tuple, np.ndarray, pd.Series)):
        raise TypeError(
            "a list, tuple, array or Series of formulas or structures, or a CrystalTable, is needed, "
            f"not {type(compositions).__name__}"
        )
    return compositions


def _amounts(entry: Any, row: int) -> dict[str, float]:
    """Amount of each species of one entry, by symbol."""
    if isinstance(entry, str):
        try:
            return read_formula(entry)
        except ValueError as error:
            raise ValueError(f"row {row}: {entry!r} can't be read as a formula such as 'SrTiO3': {error}") from error
    if isinstance(entry, SiteCollection):
        entry = entry.composition
    if isinstance(entry, Composition):
        return entry.get_el_amt_dict()
    if isinstance(entry, Crystal):
        return species_amounts(entry.numbers, entry.occupancies)
    raise TypeError(f"row {row}: a formula, Composition, Structure or Crystal is needed, not {type(entry).__name__}")


@lru_cache(maxsize=100_000)
def read_formula(formula: str) -> dict[str, float]:
    """Read a formula such as ``SrTiO3`` or ``CuSO4.5H2O`` as the amount of each element; a dot before water adds formula units.

    Raises
    ------
    ValueError
        It can't be read.
    """
    amounts: dict[str, float] = {}
    for part in re.split("[·•∙⋅*]", re.sub(r"\.\s*((?:\d+(?:\.\d+)?\s*)?\(?[HD]2O\)?)$", r"·\1", formula.strip())):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)?(.*)", part, re.DOTALL)
        units, bare = match.groups() if match else (None, part)
        for symbol, amount in Composition(bare).get_el_amt_dict().items():
            amounts[symbol] = amounts.get(symbol, 0.0) + float(units or 1) * amount
    return amounts


def _outside(row: int, symbols: list[str], amounts: list[float], metric: str) -> str:
    """Say which species of a row the metric doesn't know, and what would be right."""
    totals = dict.fromkeys(symbols, 0.0)
    for symbol, amount in zip(symbols, amounts, strict=True):
        totals[symbol] += amount
    where = f"row {row} ({' '.join(f'{symbol}{amount:.6g}' for symbol, amount in totals.items())})"
    unknown = [symbol for symbol in totals if symbol not in MODIFIED_PETTIFOR]
    if unknown:
        return (
            f"{where}: {', '.join(unknown)} has no place on the modified Pettifor scale, which holds the 103 elements to Lr; "
            "leave such compositions out, or replace what is no element"
        )
    missing = [symbol for symbol in totals if symbol not in METRICS[metric] and symbol not in {"D", "T"}]
    return (
        f"{where}: {', '.join(missing)} is none of the 78 elements of the substitution table (H to Bi without noble gases); "
        'metric="modified_pettifor" knows 103 elements'
    )
