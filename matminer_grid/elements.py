"""Numbers and symbols of the elements."""

from __future__ import annotations

from functools import cache

from pymatgen.core import Element

DUMMY = 0
"""Number of every dummy species."""
DEUTERIUM = 201
"""Number of deuterium: 100 times the mass number, plus the atomic number."""
TRITIUM = 301
"""Number of tritium."""


@cache
def species_symbol(number: int) -> str:
    """Symbol of an atomic number, D and T for the isotopes, X for a dummy species."""
    special = {DUMMY: "X", DEUTERIUM: "D", TRITIUM: "T"}
    return special[number] if number in special else Element.from_Z(number).symbol
