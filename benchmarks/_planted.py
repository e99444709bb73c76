"""Copies of crystals whose truth is known: the same crystal written down otherwise, nearly the same one, and different ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from benchmarks._perturbed import substituted
from matminer_grid import CrystalDissimilarity, CrystalTable
from matminer_grid.similarity.evaluation_crystals import pair_dissimilarities

if TYPE_CHECKING:
    from collections.abc import Sequence

STRAIN = 0.005
"""Largest principal strain of a strained copy."""

DISPLACEMENT = 0.02
"""How far each atom of a displaced copy is moved, in a direction of its own, in Å."""

CHANGED = 1e-6
"""An exchange of two atoms that changes the crystal makes a dissimilarity above this."""

ROUNDS = 10
"""Random exchanges that are tried for a crystal, at most: in the most symmetric ones none changes anything."""

CELLS = np.array(
    [
        [[1, 1, 0], [0, 1, 0], [0, 0, 2]],
        [[2, 0, 0], [1, 1, 0], [0, 0, 1]],
        [[1, 0, 0], [0, 2, 1], [0, 0, 1]],
        [[1, 1, 0], [-1, 1, 0], [0, 0, 1]],
    ]
)
"""Cells of twice the volume."""

SAME = ("supercell", "strained", "displaced")
KINDS = (*SAME, "exchanged", "substituted")
"""The same crystals, and different ones."""


def planted_copies(crystals: CrystalTable, numbers: Sequence[int], seed: int) -> dict[str, tuple[CrystalTable, np.ndarray]]:
    """Make copies of ordered crystals: of each kind a table, and the rows of the crystals that they were made of."""
    rng = np.random.default_rng(seed)
    every = np.arange(len(crystals))
    return {
        "supercell": (supercells(crystals, rng), every),
        "strained": (strained(crystals, rng), every),
        "displaced": (displaced(crystals, rng), every),
        "exchanged": exchanged(crystals, rng),
        "substituted": _changed(substituted(crystals, numbers, rng), crystals),
    }


def supercells(crystals: CrystalTable, rng: np.random.Generator) -> CrystalTable:
    """Write each crystal in a cell of twice the volume, its origin shifted and its atoms shuffled."""
    out = []
    for structure in crystals.to_structures():
        structure.make_supercell(CELLS[rng.integers(len(CELLS))], to_unit_cell=False)
        structure.translate_sites(range(len(structure)), rng.random(3))
        out.append(type(structure).from_sites([structure[i] for i in rng.permutation(len(structure))]))
    return CrystalTable.from_structures(out)


def strained(crystals: CrystalTable, rng: np.random.Generator) -> CrystalTable:
    """Strain each crystal at random."""
    strain = rng.normal(size=(len(crystals), 3, 3))
    strain = strain + strain.transpose(0, 2, 1)
    strain *= STRAIN / np.abs(np.linalg.eigvalsh(strain)).max(axis=1)[:, None, None]
    return replace(crystals, lattices=crystals.lattices @ (np.eye(3) + strain))


def displaced(crystals: CrystalTable, rng: np.random.Generator) -> CrystalTable:
    """Move each atom in a random direction."""
    vectors = rng.normal(size=crystals.frac_coords.shape)
    vectors *= DISPLACEMENT / np.linalg.norm(vectors, axis=1, keepdims=True)
    owners = np.repeat(np.arange(len(crystals)), np.diff(crystals.site_offsets))
    fractions = np.einsum("ij,ijk->ik", vectors, np.linalg.inv(crystals.lattices)[owners])
    return replace(crystals, frac_coords=crystals.frac_coords + fractions)


def _changed(copies: CrystalTable, crystals: CrystalTable) -> tuple[CrystalTable, np.ndarray]:
    """Leave out copies that hold the same elements as what they were made of, at the ends of the scale."""
    rows = np.nonzero(np.logical_or.reduceat(copies.numbers != crystals.numbers, crystals.species_offsets[:-1]))[0]
    return copies[rows], rows


def exchanged(crystals: CrystalTable, rng: np.random.Generator) -> tuple[CrystalTable, np.ndarray]:
    """Exchange two atoms of different elements where that changes the crystal; gives also the rows of those where it did."""
    dissimilarity = CrystalDissimilarity(resolution="sites")
    tables, rows = [], []
    waiting = np.array([row for row in range(len(crystals)) if len(set(crystals[row].numbers.tolist())) > 1], np.int64)
    for _ in range(ROUNDS):
        if len(waiting) == 0:
            break
        before = crystals[waiting]
        numbers = before.numbers.copy()
        for first, last in zip(before.species_offsets[:-1], before.species_offsets[1:], strict=True):
            own = numbers[first:last]
            i = int(rng.integers(len(own)))
            j = int(rng.choice(np.nonzero(own != own[i])[0]))
            own[i], own[j] = own[j], own[i]
        after = replace(before, numbers=numbers)
        changed = pair_dissimilarities(dissimilarity.describe(before), dissimilarity.describe(after), dissimilarity) > CHANGED
        tables.append(after[changed])
        rows.append(waiting[changed])
        waiting = waiting[~changed]
    return CrystalTable.concatenate(tables), np.concatenate([np.empty(0, np.int64), *rows])
