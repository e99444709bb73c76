"""Numbers and symbols of the elements, and the scales and tables that compare them."""

from __future__ import annotations

import io
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Element

from matminer_grid._files import read_embedded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

DUMMY = 0
"""Number of every dummy species."""
DEUTERIUM = 201
"""Number of deuterium: 100 times the mass number, plus the atomic number."""
TRITIUM = 301
"""Number of tritium."""

MODIFIED_PETTIFOR_ELEMENTS: tuple[str, ...] = tuple(
    "He Ne Ar Kr Xe Rn Fr Cs Rb K Na Li Ra Ba Sr Ca Eu Yb Lu Tm Y Er Ho Dy Tb Gd Sm Pm Nd Pr Ce La Ac Th Pa U Np Pu Am Cm "
    "Bk Cf Es Fm Md No Lr Sc Zr Hf Ti Ta Nb V Cr Mo W Re Tc Os Ru Ir Rh Pt Pd Au Ag Cu Ni Co Fe Mn Mg Zn Cd Hg Be Al Ga In "
    "Tl Pb Sn Ge Si B C N P As Sb Bi Po Te Se S O At I Br Cl F H".split()
)
"""The 103 elements in the order of the modified Pettifor scale (Glawe et al., New J. Phys. 18 (2016) 093011,
10.1088/1367-2630/18/9/093011): neighbours replace each other in crystal structures most easily."""

MODIFIED_PETTIFOR: Mapping[str, int] = MappingProxyType(
    {symbol: position for position, symbol in enumerate(MODIFIED_PETTIFOR_ELEMENTS, start=1)}
    | dict.fromkeys(("D", "T"), len(MODIFIED_PETTIFOR_ELEMENTS))
)
"""Position of each element on the modified Pettifor scale, from He (1) to H (103), by symbol; D and T stand with H."""

SUBSTITUTION_ELEMENTS: tuple[str, ...] = tuple(
    "H Li Be B C N O F Na Mg Al Si P S Cl K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag "
    "Cd In Sn Sb Te I Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi".split()
)
"""The 78 elements of the substitution table, in its order: by atomic number to Bi, without noble gases."""


@cache
def species_symbol(number: int) -> str:
    """Symbol of a number as Crystal has it: D and T for the isotopes, X for a dummy species."""
    special = {DUMMY: "X", DEUTERIUM: "D", TRITIUM: "T"}
    return special[number] if number in special else Element.from_Z(number).symbol


def species_amounts(numbers: NDArray[np.int64], occupancies: NDArray[np.float64]) -> dict[str, float]:
    """Add up the occupancies of each species, by symbol, in the order in which they first appear."""
    amounts: dict[str, float] = {}
    for number, occupancy in zip(numbers.tolist(), occupancies.tolist(), strict=True):
        symbol = species_symbol(number)
        amounts[symbol] = amounts.get(symbol, 0.0) + occupancy
    return amounts


@cache
def element_number(symbol: str) -> int | None:
    """Atomic number of an element by its symbol, None for what is none; isotopes are none."""
    return Element[symbol].Z if symbol in Element.__members__ and symbol not in {"D", "T"} else None


def as_element(symbol: str) -> str:
    """Give the element of an isotope, H for D and T: what counts where chemistry is meant."""
    return "H" if symbol in {"D", "T"} else symbol


@cache
def substitution_table() -> NDArray[np.float64]:
    """Read the substitution table s of gridrdf: how seldom two elements replace each other in crystal structures.

    It is the reciprocal of the pair correlation that Hautier et al. found by data mining, 10 for pairs that they don't list.

    Returns
    -------
    ndarray of shape (78, 78)
        Symmetric, with a zero diagonal and numbers from 0.05 to 494 elsewhere, without unit; read-only. Rows and columns are
        SUBSTITUTION_ELEMENTS.

    References
    ----------
    G. Hautier, C. Fischer, V. Ehrlacher, A. Jain and G. Ceder, Inorg. Chem. 50 (2011) 656-663, 10.1021/ic102031h;
    gridrdf 0.3.0, as used by Zhang et al., Digital Discovery 2 (2023) 81-90, 10.1039/D2DD00054G.

    Examples
    --------
    >>> table = substitution_table()
    >>> round(float(table[SUBSTITUTION_ELEMENTS.index("Na"), SUBSTITUTION_ELEMENTS.index("F")]), 3)
    4.385
    """
    size = len(SUBSTITUTION_ELEMENTS)
    text = io.StringIO(read_embedded("substitution.csv").decode("ascii"))
    table = np.loadtxt(text, delimiter=",", skiprows=1, usecols=range(1, size + 1))
    table.flags.writeable = False
    return table


@cache
def substitution_dissimilarity() -> NDArray[np.float64]:
    """Ground distance between elements made from the substitution table s: 1 / log10(1/s + 1), and 0 on the diagonal.

    It is no metric: the triangle inequality fails for a fifth of all triples of elements, by up to a factor of 221, because pairs
    listed as hardly ever replacing each other lie up to 1139 apart, pairs not listed 24. An optimal transport between two
    compositions can therefore move even what both have in common.

    Returns
    -------
    ndarray of shape (78, 78)
        Without unit; read-only. Rows and columns, and the source, are those of :func:`substitution_table`.

    Examples
    --------
    >>> distance = substitution_dissimilarity()
    >>> round(float(distance[SUBSTITUTION_ELEMENTS.index("Na"), SUBSTITUTION_ELEMENTS.index("F")]), 1)
    11.2
    """
    table = substitution_table()
    distance = np.zeros_like(table)
    pairs = table > 0
    distance[pairs] = 1 / np.log10(1 / table[pairs] + 1)
    distance.flags.writeable = False
    return distance
