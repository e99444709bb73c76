"""The learning task of the benchmark: crystals, one modulus each, and the folds that are learned from and tested on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, KFold, train_test_split

from matminer_grid import crystal_groups
from matminer_grid.crystals.elements import SUBSTITUTION_ELEMENTS, species_symbol
from matminer_grid.datasets import load_mp_elasticity_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matminer_grid import CrystalTable

TARGETS = {"K_VRH": "bulk modulus", "G_VRH": "shear modulus"}
SPLITS = {
    "random": "crystals by chance",
    "grouped": "no reduced formula on both sides",
    "distinct": "no crystal has a duplicate on the other side",
}
"""How training and test part are kept apart."""

CV_SEED = 18012019
"""Seed of the folds of a cross-validation, matbench's."""

N_TUNING = 2500
"""Entries of the training part, at most, on which hyperparameters are chosen."""

TUNING_FOLDS = 3

MIN_ENTRIES = 20


@dataclass(frozen=True)
class Task:
    """Crystals and their moduli in GPa, with groups that stay together, and the rows of training and test part of each fold."""

    crystals: CrystalTable
    material_id: np.ndarray
    formula: np.ndarray
    modulus: np.ndarray
    folds: list[tuple[np.ndarray, np.ndarray]]
    groups: np.ndarray | None
    seed: int

    @property
    def train(self) -> np.ndarray:
        """Training rows of the first fold, the only one without cross-validation."""
        return self.folds[0][0]

    @property
    def test(self) -> np.ndarray:
        """Test rows of the first fold."""
        return self.folds[0][1]

    @property
    def tested(self) -> np.ndarray:
        """Rows that are tested in any fold, ascending within each."""
        return np.concatenate([test for _, test in self.folds])

    def tuning(self, train: np.ndarray) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
        """Draw the part of the training rows on which hyperparameters are chosen, and its folds as positions in that part."""
        rng = np.random.default_rng(self.seed)
        rows = np.sort(rng.choice(train, min(N_TUNING, len(train)), replace=False))
        groups = None if self.groups is None else self.groups[rows]
        return rows, _folds(rows, groups, TUNING_FOLDS, self.seed)


def load_task(limit: int | None, seed: int, target: str = "K_VRH", split: str = "random", n_folds: int | None = None) -> Task:
    """Take the entries of the 78 elements, or a random `limit` of them, and split them 80:20, or into folds of a cross-validation.

    The seed is that of the draw and of the 80:20 split; a "grouped" split keeps entries of one reduced formula on one side, a
    "distinct" one those that are the same crystal. A limit that is too small or larger than the data is a ValueError.
    """
    table = load_mp_elasticity_table()
    known = [number for number in np.unique(table.crystals.numbers) if species_symbol(int(number)) in SUBSTITUTION_ELEMENTS]
    rows = np.nonzero(holds_only(table.crystals, known))[0]
    if limit is not None:
        if not MIN_ENTRIES <= limit <= len(rows):
            raise ValueError(f"--limit must be between {MIN_ENTRIES} and {len(rows)}, not {limit}")
        rows = np.sort(np.random.default_rng(seed).choice(rows, limit, replace=False))
    crystals, formula = table.crystals[rows], table.formula[rows]
    groups = {"random": lambda: None, "grouped": lambda: formula, "distinct": lambda: crystal_groups(crystals)}[split]()
    if n_folds is not None:
        folds = _folds(rows, groups, n_folds, CV_SEED)
    elif groups is None:
        folds = [tuple(train_test_split(np.arange(len(rows)), test_size=0.2, random_state=seed))]
    else:
        folds = list(GroupShuffleSplit(1, test_size=0.2, random_state=seed).split(rows, groups=groups))
    return Task(crystals, table.material_id[rows], formula, getattr(table, target)[rows], folds, groups, seed)


def holds_only(crystals: CrystalTable, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
    """Tell which crystals hold none but some elements."""
    return np.logical_and.reduceat(np.isin(crystals.numbers, numbers), crystals.species_offsets[:-1])


def _folds(rows: np.ndarray, groups: np.ndarray | None, n_folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    splitter = (KFold if groups is None else GroupKFold)(n_folds, shuffle=True, random_state=seed)
    return list(splitter.split(rows, groups=groups))
