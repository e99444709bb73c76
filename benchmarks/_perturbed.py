"""Many crystals: copies of the embedded ones, each strained, shaken and partly of other elements."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Element

from benchmarks.moduli.task import holds_only
from matminer_grid.crystals.elements import MODIFIED_PETTIFOR_ELEMENTS
from matminer_grid.datasets import load_mp_elasticity_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matminer_grid import CrystalTable

STRAIN = 0.02
"""Standard deviation of the components of the strain."""

DISPLACEMENT = 0.05
"""Standard deviation of the displacement of an atom along each axis, in Å."""

SUBSTITUTED_SHARE = 0.5
"""Share of the copies in which an element is replaced by one at most two places away on the modified Pettifor scale, of those
that are allowed."""


def perturbed_copies(n: int, numbers: Sequence[int], seed: int = 0) -> CrystalTable:
    """Draw n of the embedded crystals of some elements, with replacement; strain and shake each, perhaps replace an element."""
    rng = np.random.default_rng(seed)
    embedded = load_mp_elasticity_table().crystals
    embedded = embedded[np.nonzero(holds_only(embedded, numbers))[0]]
    table = embedded[rng.integers(0, len(embedded), n)]
    strain = rng.normal(0, STRAIN, (n, 3, 3))
    lattices = table.lattices @ (np.eye(3) + (strain + strain.transpose(0, 2, 1)) / 2)
    of_site = np.repeat(np.arange(n), np.diff(table.site_offsets))
    displacements = rng.normal(0, DISPLACEMENT, table.frac_coords.shape)
    frac_coords = table.frac_coords + np.einsum("ij,ijk->ik", displacements, np.linalg.inv(lattices)[of_site])
    return substituted(replace(table, lattices=lattices, frac_coords=frac_coords), numbers, rng, SUBSTITUTED_SHARE)


def substituted(table: CrystalTable, numbers: Sequence[int], rng: np.random.Generator, share: float = 1.0) -> CrystalTable:
    """Replace an element of a share of the crystals by one at most two places away on the modified Pettifor scale."""
    n = len(table)
    number_at = np.array([Element(symbol).Z for symbol in MODIFIED_PETTIFOR_ELEMENTS])
    number_at = number_at[np.isin(number_at, numbers)]
    place = np.zeros(number_at.max() + 1, np.int64)
    place[number_at] = np.arange(len(number_at))
    old = table.numbers[table.species_offsets[:-1] + rng.integers(0, np.diff(table.species_offsets))]
    steps = rng.choice([-2, -1, 1, 2], n) * (rng.random(n) < share)
    new = number_at[np.clip(place[old] + steps, 0, len(number_at) - 1)]
    of_species = np.repeat(np.arange(n), np.diff(table.species_offsets))
    numbers = np.where(table.numbers == old[of_species], new[of_species], table.numbers)
    return replace(table, numbers=numbers)
