"""Linked crystals to groups that don't depend on the order in which the crystals are given."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse
from scipy.cluster.hierarchy import fcluster
from scipy.cluster.hierarchy import linkage as hierarchy
from scipy.spatial.distance import squareform

from matminer_grid.crystals.crystal import ARRAYS
from matminer_grid.similarity.described import DescribedCrystals
from matminer_grid.similarity.grid_index import TIE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from matminer_grid.similarity.tolerance import CrystalPairs

    IntArray = NDArray[np.int64]
    FloatArray = NDArray[np.float64]

LINKAGES = ("complete", "average", "single")

TOO_FAR = 1e9
"""Stands for the ratio of pairs that were not found."""

MOST_LINKED = 15_000
"""Crystals that are linked with each other: their matrix and the half of it that scipy takes need 4 GB."""

DIGITS = 9
"""Decimals of sums of ratios; what differs by less is rounding."""


@dataclass(frozen=True, eq=False)
class Linked:
    """Crystals that pairs link with each other, in the order of their contents.

    Parameters
    ----------
    rows : ndarray of shape (m,)
        The crystals.
    matrix : ndarray of shape (m, m)
        The ratio of each pair, as :attr:`CrystalPairs.ratios` has it; TOO_FAR for pairs that were not found.
    """

    rows: IntArray
    matrix: FloatArray

    @classmethod
    def of_pairs(cls, rows: IntArray, pairs: IntArray, ratios: FloatArray) -> Linked:
        """Put the ratios of pairs (p, 2) of rows into a matrix."""
        matrix = np.full((len(rows), len(rows)), TOO_FAR)
        np.fill_diagonal(matrix, 0.0)
        order = np.argsort(rows)
        i, j = order[np.searchsorted(rows, pairs, sorter=order)].T
        matrix[i, j] = matrix[j, i] = np.minimum(ratios, TOO_FAR)
        return cls(rows, matrix)

    def joined(self, linkage: str) -> FloatArray:
        """Join crystals step by step: (m - 1, 4) as scipy gives it, the third column the ratios at which groups are joined."""
        return hierarchy(squareform(self.matrix, checks=False), linkage)

    def groups(self, linkage: str) -> list[IntArray]:
        """Give the groups that are joined within the tolerance, as places of the rows."""
        labels = fcluster(self.joined(linkage), 1 + TIE, "distance")
        return [np.nonzero(labels == label)[0] for label in range(1, labels.max() + 1)]


def central(matrix: FloatArray) -> int:
    """Find the medoid, which is least apart from the others on the mean; of several the first."""
    return int(matrix.sum(axis=1).round(DIGITS).argmin())


def numbered(labels: IntArray) -> IntArray:
    """Give groups new numbers, in the order of their first rows."""
    _, first, which = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[which]


def components_of(n: int, pairs: IntArray) -> IntArray:
    """Give crystals that pairs (m, 2) link with each other the same number, shape (n,)."""
    links = scipy.sparse.coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return scipy.sparse.csgraph.connected_components(links, directed=False)[1].astype(np.int64)


def linked_crystals(crystals: Any, pairs: CrystalPairs) -> Iterator[Linked]:
    """Give the crystals that pairs link with each other, two or more at a time.

    Raises
    ------
    ValueError
        More than MOST_LINKED are linked.
    """
    components = components_of(len(crystals), pairs.rows)
    linked = np.unique(pairs.rows)
    ranks = np.zeros(len(crystals), np.int64)
    ranks[linked] = content_ranks(crystals, linked)
    linked = linked[np.lexsort((linked, ranks[linked], components[linked]))]
    by_pair = np.argsort(components[pairs.rows[:, 0]], kind="stable")
    ends = np.nonzero(np.diff(components[linked], append=-1))[0] + 1
    pair_ends = np.nonzero(np.diff(components[pairs.rows[by_pair, 0]], append=-1))[0] + 1
    ratios, start, first = pairs.ratios, 0, 0
    for end, last in zip(ends.tolist(), pair_ends.tolist(), strict=True):
        if end - start > MOST_LINKED:
            raise ValueError(
                f"{end - start:,} crystals are linked by pairs within the tolerance, more than {MOST_LINKED:,}: take a smaller one"
            )
        some = by_pair[first:last]
        yield Linked.of_pairs(linked[start:end], pairs.rows[some], ratios[some])
        start, first = end, last


def content_ranks(crystals: Any, rows: IntArray) -> IntArray:
    """Rank some crystals by their contents, shape (m,): small ones first, then by a digest; equal ones have equal ranks."""
    if isinstance(crystals, DescribedCrystals):
        keys = [_key_of_described(crystals[[row]]) for row in rows.tolist()]
    else:
        keys = [(one.n_sites, _digest(getattr(one, name) for name in ARRAYS)) for one in crystals[rows]]
    ranks = {key: rank for rank, key in enumerate(sorted(set(keys)))}
    return np.array([ranks[key] for key in keys], np.int64)


def _key_of_described(one: DescribedCrystals) -> tuple[int, bytes]:
    arrays = [np.asarray(getattr(one.structure, field.name)) for field in fields(one.structure)]
    return sum(array.size for array in arrays), _digest([*arrays, one.compositions])


def _digest(arrays: Any) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()
