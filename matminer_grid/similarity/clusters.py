"""Vectors in clusters, for exact search by Manhattan distance without looking at all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse

from matminer_grid._threads import with_progress
from matminer_grid.kernels.clusters import (
    ROUNDING,
    manhattan_of_rows,
    manhattan_to_vectors,
    nearest_in_clusters,
    within_clusters,
)
from matminer_grid.kernels.manhattan import manhattan_tile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

SAMPLE = 30
"""Vectors for each cluster that its centre is found from."""

ROUNDS = 4
"""How often centres are moved to the means of the vectors that are nearest to them."""

CHUNK_SIZE = 256
"""Vectors that are assigned to clusters in one go: few enough to stay in cache."""


def rounded(vectors: FloatArray) -> tuple[NDArray[np.float32], float]:
    """Round vectors to float32; gives also the largest Manhattan distance of one to what it was."""
    out = vectors.astype(np.float32)
    return out, float(np.abs(vectors - out).sum(axis=1).max(initial=0.0))


@dataclass(frozen=True, eq=False)
class Clusters:
    """Vectors, cluster by cluster, in the order of their Manhattan distances to its centre.

    Parameters
    ----------
    vectors : ndarray of shape (n, d)
    rows : ndarray of shape (n,)
        Where they stood before.
    offsets : ndarray of shape (K + 1,)
        Where clusters begin.
    centers : ndarray of shape (K, d)
    distances : ndarray of shape (n,)
        To the centres.
    error : float
        Largest Manhattan distance of a vector to what it was before it was rounded.
    """

    vectors: NDArray[np.float32]
    rows: IntArray
    offsets: IntArray
    centers: NDArray[np.float32]
    distances: NDArray[np.float32]
    error: float

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, vectors: NDArray[np.float32], error: float, n_jobs: int | None = None) -> Clusters:
        """Sort vectors into clusters."""
        order, offsets, centers, distances = clustered(vectors, n_jobs)
        return cls(vectors[order], order, offsets, centers, distances, error)

    def to_centers(self, query: NDArray[np.float32]) -> FloatArray:
        """Give the distances of a vector (d,) to all centres."""
        out = np.empty(len(self.centers))
        manhattan_to_vectors(query, self.centers, out)
        return out

    def nearest(
        self, query: NDArray[np.float32], to_centers: FloatArray, left_out: int, first_row: int, best: FloatArray, rows: IntArray
    ) -> int:
        """Improve the least distances and their rows, counted from the first row, in place; gives how many it looked at."""
        arrays = self.vectors, to_centers, self.offsets, self.distances, self.rows
        return int(nearest_in_clusters(query, *arrays, left_out, first_row, best, rows))

    def within(self, query: NDArray[np.float32], to_centers: FloatArray, limit: float) -> tuple[IntArray, FloatArray, int]:
        """Find the vectors within a distance of another: rows, distances, and how many it looked at."""
        arrays = self.vectors, to_centers, self.offsets, self.distances, self.rows
        rows, distances, n_looked_at = within_clusters(query, *arrays, limit)
        return rows, distances, int(n_looked_at)


def reach(limit: float, error: float) -> float:
    """Give how large the computed distance of two rounded vectors may be whose own distance is within a limit."""
    return (limit + error) * (1 + ROUNDING)


def lower_bounds(distances: FloatArray, error: float) -> FloatArray:
    """Bound the distances of vectors from below by the computed distances of rounded ones."""
    return np.maximum(0.0, distances * (1 - ROUNDING) - error)


def clustered(
    vectors: NDArray[np.float32], n_jobs: int | None = None
) -> tuple[IntArray, IntArray, NDArray[np.float32], NDArray[np.float32]]:
    """Sort vectors into some 2 sqrt(n) clusters: gives their order, offsets, centres and distances as in :class:`Clusters`."""
    centers = _centers(vectors, min(len(vectors), round(2 * np.sqrt(len(vectors)))), n_jobs)
    nearest, distances = _assigned(vectors, centers, n_jobs)
    order = np.lexsort((distances, nearest))
    offsets = np.concatenate(([0], np.cumsum(np.bincount(nearest, minlength=len(centers)))))
    return order, offsets, centers, distances[order]


def _centers(vectors: NDArray[np.float32], n_clusters: int, n_jobs: int | None) -> NDArray[np.float32]:
    """Find centres by Lloyd's algorithm, from a sample."""
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(vectors))[: SAMPLE * n_clusters]
    sample = np.ascontiguousarray(vectors[np.sort(rows)])
    centers = sample[rng.permutation(len(sample))[:n_clusters]]
    for _ in range(ROUNDS):
        nearest, _ = _assigned(sample, centers, n_jobs)
        counts = np.bincount(nearest, minlength=n_clusters)
        ones = np.ones(len(sample), np.float32)
        sums = scipy.sparse.csr_array((ones, (nearest, np.arange(len(sample)))), shape=(n_clusters, len(sample))) @ sample
        centers = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centers).astype(np.float32)
    return centers


def _assigned(
    vectors: NDArray[np.float32], centers: NDArray[np.float32], n_jobs: int | None
) -> tuple[IntArray, NDArray[np.float32]]:
    """Find the nearest centre of each vector, and its distance."""
    nearest, distances = np.empty(len(vectors), np.int64), np.empty(len(vectors), np.float32)

    def assign(start: int) -> int:
        chunk = np.ascontiguousarray(vectors[start : start + CHUNK_SIZE])
        tile, exact = np.empty((len(chunk), len(centers)), np.float32), np.empty(len(chunk))
        manhattan_tile(chunk, centers, tile)
        found = tile.argmin(axis=1)
        manhattan_of_rows(chunk, centers, found, exact)
        nearest[start : start + CHUNK_SIZE], distances[start : start + CHUNK_SIZE] = found, exact
        return len(chunk)

    with_progress(assign, range(0, len(vectors), CHUNK_SIZE), n_jobs, {"disable": True})
    return nearest, distances
