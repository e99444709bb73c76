"""What is doubtful about a crystal, though it can be described: ghost atoms, vacuum, an absurd density, unknown species."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Element

from matminer_grid.crystals.elements import DUMMY, as_element, species_amounts, species_symbol
from matminer_grid.kernels.contacts import close_pairs, count_close_pairs, widest_gaps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from matminer_grid.crystals.crystal import Crystal
    from matminer_grid.crystals.table import CrystalTable

SHORTEST_CONTACT = 0.5
"""Å. Sites nearer than this that are both occupied are ghosts: the H2 molecule, the shortest bond, has 0.74."""

WIDEST_GAP = 8.0
"""Å. A layer without sites that is thicker is a vacuum: a slab or a molecule in a box."""

DENSITIES = (0.02, 30.0)
"""g/cm^3. Osmium has 22.6, solid hydrogen 0.09."""

SHOWN = 3
"""Findings of one kind that a message lists."""


@dataclass(frozen=True)
class Problem:
    """Something doubtful about a crystal.

    Parameters
    ----------
    kind : str
        "contact", "vacuum", "density", "species" or "formula".
    message : str
        What was found, with its amount.
    sites : tuple of int
        The sites that it is about, if it is about some.
    """

    kind: str
    message: str
    sites: tuple[int, ...] = ()

    def __str__(self) -> str:
        return self.message


@cache
def atomic_mass(number: int) -> float:
    """Give the mass of a species in g/mol, 0 for a dummy."""
    return 0.0 if number == DUMMY else float(Element(species_symbol(number)).atomic_mass)


def find_problems(crystal: Crystal, formula: str | None = None, labels: Sequence[str] | None = None) -> list[Problem]:
    """List what is doubtful; see :meth:`Crystal.problems`. Labels name the sites, by default number and symbol do."""
    problems = []
    names = labels if labels is not None else _site_names(crystal)
    pairs = short_contacts(crystal.lattice, crystal.frac_coords)
    totals = crystal.site_occupancies
    ghosts = [(i, j, d) for i, j, d in pairs if totals[i] + totals[j] > 1.001]
    if ghosts:
        text = ", ".join(f"{names[i]} and {names[j]} are {d:.3f} Å apart" for i, j, d in ghosts[:SHOWN])
        more = f", and {len(ghosts) - SHOWN} more pairs so" if len(ghosts) > SHOWN else ""
        message = f"sites nearer than {SHORTEST_CONTACT} Å whose occupancies add up to more than 1: {text}{more}"
        problems.append(Problem("contact", message, tuple(sorted({site for i, j, _ in ghosts for site in (i, j)}))))
    gaps, volumes = np.zeros(1), np.zeros(1)
    widest_gaps(crystal.lattice[None], np.array([0, crystal.n_sites]), crystal.frac_coords, gaps, volumes)
    if gaps[0] > WIDEST_GAP:
        problems.append(Problem("vacuum", f"a vacuum: a layer of {gaps[0]:.1f} Å holds no sites, as in slabs and boxes"))
    mass = sum(atomic_mass(n) * o for n, o in zip(crystal.numbers.tolist(), crystal.occupancies.tolist(), strict=True))
    density = mass / (0.602214076 * volumes[0])
    dummies = crystal.site_index[crystal.numbers == DUMMY].tolist()
    if not DENSITIES[0] <= density <= DENSITIES[1] and not dummies:
        low, high = DENSITIES
        problems.append(Problem("density", f"a density of {density:.3g} g/cm³, where crystals have {low:g} to {high:g}"))
    if dummies:
        named = ", ".join(names[site] for site in dummies[:SHOWN]) + (" …" if len(dummies) > SHOWN else "")
        message = f"species that are no elements are read as dummies: {named}"
        problems.append(Problem("species", message, tuple(dict.fromkeys(dummies))))
    if formula is not None:
        problems += [Problem("formula", text) for text in _differences(crystal, formula)]
    return problems


def short_contacts(
    lattice: NDArray[np.float64], coords: NDArray[np.float64], radius: float = SHORTEST_CONTACT
) -> list[tuple[int, int, float]]:
    """List pairs of sites nearer than a radius in Å, with their distances."""
    capacity = 64
    while True:
        first, second, distance = np.empty(capacity, np.int64), np.empty(capacity, np.int64), np.empty(capacity)
        found = close_pairs(lattice, coords, radius, first, second, distance)
        if found <= capacity:
            return list(zip(first[:found].tolist(), second[:found].tolist(), distance[:found].tolist(), strict=True))
        capacity = found


def doubtful_rows(table: CrystalTable) -> list[int]:
    """Find, quickly, the rows of a table whose crystals have problems that don't depend on a formula."""
    n = len(table)
    counts, gaps, volumes = np.zeros(n, np.int64), np.zeros(n), np.zeros(n)
    count_close_pairs(table.lattices, table.site_offsets, table.frac_coords, table.site_occupancies, SHORTEST_CONTACT, counts)
    widest_gaps(table.lattices, table.site_offsets, table.frac_coords, gaps, volumes)
    present = np.unique(table.numbers)
    mass_of = np.zeros(present.max(initial=0) + 1)
    mass_of[present] = [atomic_mass(number) for number in present.tolist()]
    owner = np.repeat(np.arange(n), np.diff(table.species_offsets))
    masses = np.bincount(owner, weights=mass_of[table.numbers] * table.occupancies, minlength=n)
    densities = masses / (0.602214076 * volumes)
    doubtful = (counts > 0) | (gaps > WIDEST_GAP) | (densities < DENSITIES[0]) | (densities > DENSITIES[1])
    doubtful[owner[table.numbers == DUMMY]] = True
    return np.nonzero(doubtful)[0].tolist()


def warn_of_ghosts(table: CrystalTable) -> None:
    """Warn, once, of crystals with sites that are too near to be both occupied: what is computed of them is of no crystal."""
    counts = np.zeros(len(table), np.int64)
    count_close_pairs(table.lattices, table.site_offsets, table.frac_coords, table.site_occupancies, SHORTEST_CONTACT, counts)
    ghosts = np.nonzero(counts)[0].tolist()
    if ghosts:
        first = table[ghosts[0]]
        message = next(problem.message for problem in find_problems(first) if problem.kind == "contact")
        more = f" (and {len(ghosts) - 1} more structures)" if len(ghosts) > 1 else ""
        warnings.warn(f"structure {ghosts[0]} ({first.formula}){more}: {message}", UserWarning, stacklevel=4)


def _differences(crystal: Crystal, formula: str) -> list[str]:
    """Say which elements of a formula the crystal has too few or too many atoms of, in the cell that fits best."""
    from matminer_grid.crystals.composition import read_formula  # noqa: PLC0415  it imports pandas, which readers don't need

    wanted = read_formula(formula)
    held = species_amounts(crystal.numbers, crystal.occupancies)
    ratios = [held[symbol] / wanted[symbol] for symbol in held if symbol in wanted]
    if not ratios:
        return [f"no element of the formula {formula} is in it"]
    units = max(ratios, key=lambda ratio: (sum(abs(ratio - other) < 0.01 * ratio for other in ratios), ratio))
    return compare_amounts(held, {symbol: units * amount for symbol, amount in wanted.items()})


def compare_amounts(
    held: Mapping[str, float], wanted: Mapping[str, float], tolerance: Mapping[str, float] | None = None
) -> list[str]:
    """Say in words which species the sites hold less or more of than is wanted, beyond a tolerance (1 % by default)."""
    held, wanted = dict(held), dict(wanted)
    if any((isotope in held) != (isotope in wanted) for isotope in "DT"):
        held, wanted = _merged(held), _merged(wanted)
    texts = []
    for symbol in dict.fromkeys((*wanted, *held)):
        has, needs = held.get(symbol, 0.0), wanted.get(symbol, 0.0)
        if abs(has - needs) <= 0.01 * needs + (tolerance or {}).get(symbol, 0.005):
            continue
        if has < needs:
            texts.append(f"the formula has {needs - has:.4g} {symbol} a cell that no site holds")
        else:
            texts.append(f"the sites hold {has - needs:.4g} {symbol} a cell that the formula doesn't have")
    return texts


def _merged(side: Mapping[str, float]) -> dict[str, float]:
    out: dict[str, float] = {}
    for symbol, amount in side.items():
        out[as_element(symbol)] = out.get(as_element(symbol), 0.0) + amount
    return out


def _site_names(crystal: Crystal) -> list[str]:
    symbols: list[list[str]] = [[] for _ in range(crystal.n_sites)]
    for number, site in zip(crystal.numbers.tolist(), crystal.site_index.tolist(), strict=True):
        symbols[site].append(species_symbol(number))
    return [f"site {site} ({'/'.join(dict.fromkeys(own))})" for site, own in enumerate(symbols)]
