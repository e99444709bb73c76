"""Whether a crystal is valid: contacts, occupancies and density, and whether its charges can balance."""

from __future__ import annotations

from fractions import Fraction
from functools import cache, lru_cache, reduce
from math import gcd, lcm
from operator import or_
from typing import TYPE_CHECKING

import pandas as pd
from pymatgen.core import Element

from matminer_grid.crystals.elements import as_element, element_number, species_amounts
from matminer_grid.crystals.problems import doubtful_rows, find_problems

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matminer_grid.crystals.table import CrystalTable

MOST_UNITS = 1000
"""Cells that are put together, at most, until the amounts of a disordered crystal are whole numbers."""

LARGEST_DENOMINATOR, ROUNDING = 100, 2e-4
"""Of an amount as a fraction, and what may be lost by it: 0.3333 is a third."""

CHARGE = {
    "balanced": "oxidation states that add up to 0 exist",
    "element": "one element alone needs no charges",
    "metals": "metals alone need no charges",
    "unknown": "the amounts are no whole numbers in any small cell, or a species is no element",
    "unbalanced": "no choice of common oxidation states adds up to 0",
}
"""What :func:`charge_balance` answers, and what that means."""


def charge_balance(amounts: Mapping[str, float]) -> str:
    """Tell whether oxidation states can be chosen, one for each atom of the reduced formula, that add up to 0.

    The states of an element are those of pymatgen's ``Composition.oxi_state_guesses(max_sites=-1)``, and so is the answer: balanced
    where that finds a guess. It tries all choices, which takes seconds to hours for long formulas; here only the sums that an
    element's atoms can have are kept, so that any formula takes some microseconds.

    Parameters
    ----------
    amounts : mapping of str to float
        Amount of each element, by symbol.

    Returns
    -------
    {"balanced", "element", "metals", "unknown", "unbalanced"}

    Examples
    --------
    >>> from matminer_grid.similarity.evaluation_checks import charge_balance
    >>> [charge_balance(amounts) for amounts in ({"Fe": 3, "O": 4}, {"Na": 1, "Cl": 2}, {"Cu": 0.75, "Au": 0.25})]
    ['balanced', 'unbalanced', 'metals']
    """
    totals: dict[str, float] = {}
    for symbol, amount in amounts.items():
        totals[as_element(symbol)] = totals.get(as_element(symbol), 0.0) + amount
    if any(element_number(symbol) is None for symbol in totals):
        return "unknown"
    if len(totals) == 1:
        return "element"
    if all(Element(symbol).is_metal for symbol in totals):
        return "metals"
    fractions = [Fraction(amount).limit_denominator(LARGEST_DENOMINATOR) for amount in totals.values()]
    units = lcm(*(fraction.denominator for fraction in fractions))
    close = all(abs(float(f) - amount) <= ROUNDING * amount for f, amount in zip(fractions, totals.values(), strict=True))
    if units > MOST_UNITS or not close:
        return "unknown"
    whole = [int(fraction * units) for fraction in fractions]
    return "balanced" if _balances(tuple(sorted(zip(totals, whole, strict=True)))) else "unbalanced"


@lru_cache(maxsize=100_000)
def _balances(amounts: tuple[tuple[str, int], ...]) -> bool:
    """Tell whether 0 is a sum of states; the sums that can be reached are the bits of a number."""
    divisor = gcd(*(amount for _, amount in amounts))
    reached, lowest = 1, 0  # bit k: the sum lowest + k
    for symbol, amount in amounts:
        states = _states(symbol)
        if not states:
            return False
        for _ in range(amount // divisor):
            reached = reduce(or_, (reached << (state - states[0]) for state in states))
            lowest += states[0]
    return lowest <= 0 and bool(reached >> -lowest & 1)


@cache
def _states(symbol: str) -> list[int]:
    """Oxidation states of an element, ascending, as pymatgen's guesses take them."""
    element = Element(symbol)
    return sorted(int(state) for state in element.icsd_oxidation_states or element.common_oxidation_states)


def check_crystals(crystals: CrystalTable) -> pd.DataFrame:
    """Say of each crystal whether it is valid, and why not.

    It is where :meth:`Crystal.problems` finds nothing (sites too near, vacuum, absurd density, species that are no elements) and
    its charges are not "unbalanced".

    Returns
    -------
    DataFrame
        The columns `valid`, `why_not` (None for valid crystals) and `charge` (see :func:`charge_balance`), a row a crystal.
    """
    doubtful = set(doubtful_rows(crystals))
    rows = []
    for row, crystal in enumerate(crystals):
        reasons = [problem.message for problem in find_problems(crystal)] if row in doubtful else []
        charge = charge_balance(species_amounts(crystal.numbers, crystal.occupancies))
        if charge == "unbalanced":
            reasons.append(CHARGE[charge])
        rows.append((not reasons, "; ".join(reasons) or None, charge))
    return pd.DataFrame(rows, columns=["valid", "why_not", "charge"])
