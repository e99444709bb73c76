"""Which crystals have the same composition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse
from scipy.spatial import cKDTree

from matminer_grid.crystals.crystal import KNOWN_NUMBERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matminer_grid.crystals.table import CrystalTable

SAME_COMPOSITION = 1e-6
"""Means over atoms that differ by no more are those of equal compositions."""

NUMBERS = np.array(sorted(KNOWN_NUMBERS))

KEYS = np.random.default_rng(17).random((len(NUMBERS), 3))
"""Three numbers for each species: compositions are equal where the means over their atoms are."""

AT_ONCE = 50_000
"""Crystals whose keys are made in one go, so that memory is bounded."""

DIGITS = 9
"""Decimals of keys that tell different ones apart quickly, before near ones are joined."""


def composition_keys(crystals: CrystalTable) -> NDArray[np.float64]:
    """Give three numbers for each crystal, shape (n, 3), that are equal for equal compositions and hardly ever for others."""
    starts = range(0, len(crystals), AT_ONCE)
    return np.concatenate([np.empty((0, 3)), *(_keys(crystals[start : start + AT_ONCE]) for start in starts)])


def _keys(crystals: CrystalTable) -> NDArray[np.float64]:
    owners = np.repeat(np.arange(len(crystals)), np.diff(crystals.species_offsets))
    weights = crystals.occupancies[:, None] * np.hstack(
        (KEYS[np.searchsorted(NUMBERS, crystals.numbers)], np.ones((len(owners), 1)))
    )
    sums = np.stack([np.bincount(owners, weights=column, minlength=len(crystals)) for column in weights.T], axis=1)
    return sums[:, :3] / sums[:, 3:]


def near_rows(keys: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give the rows of keys (n, 3) that are those of one of the wanted compositions (m, 3), ascending."""
    if len(wanted) == 0:
        return np.empty(0, np.int64)
    apart, _ = cKDTree(wanted).query(keys, distance_upper_bound=SAME_COMPOSITION)
    return np.nonzero(np.isfinite(apart))[0]


def formula_labels(keys: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give a number to each composition: equal ones, shape (n,), for equal compositions with the keys (n, 3)."""
    distinct, rows = np.unique(keys.round(DIGITS), axis=0, return_inverse=True)
    joined = cKDTree(distinct).query_pairs(SAME_COMPOSITION, output_type="ndarray")
    links = scipy.sparse.coo_array((np.ones(len(joined)), joined.T), shape=(len(distinct), len(distinct)))
    return scipy.sparse.csgraph.connected_components(links, directed=False)[1].astype(np.int64)[rows.ravel()]
