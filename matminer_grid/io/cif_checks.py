"""Distances in a cell, as parts of the sums of covalent radii."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from matminer_grid.crystals.elements import as_element, species_symbol
from matminer_grid.crystals.problems import short_contacts

if TYPE_CHECKING:
    from matminer_grid.io.cif_sites import Sites


@cache
def covalent_radius(number: int) -> float:
    """Give Cordero's covalent radius of a species in Å, 1.5 for elements that have none and 0 for dummies."""
    from pymatgen.analysis.molecule_structure_comparator import CovalentRadius  # noqa: PLC0415  slow

    symbol = as_element(species_symbol(number))
    return 0.0 if symbol == "X" else CovalentRadius.radius.get(symbol, 1.5)


def shortest_bond(sites: Sites) -> float:
    """Give the shortest distance of two sites that are both occupied, as a part of the sum of their radii; 2 if none is short."""
    radii = np.zeros(sites.n_sites)
    totals = np.zeros(sites.n_sites)
    np.add.at(totals, sites.site_index, sites.occupancies)
    for number, site in zip(sites.numbers.tolist(), sites.site_index.tolist(), strict=True):
        radii[site] = max(radii[site], covalent_radius(number))
    reach = 2 * float(radii.max(initial=0.5))
    pairs = short_contacts(sites.lattice, sites.frac_coords, reach)
    return min(
        (d / (radii[i] + radii[j]) for i, j, d in pairs if totals[i] + totals[j] > 1.001 and radii[i] + radii[j] > 0), default=2.0
    )
