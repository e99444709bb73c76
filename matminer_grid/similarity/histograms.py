"""GRID features as the kernels of the earth mover's distance read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse

from matminer_grid._validation import check_whole
from matminer_grid.kernels import emd as kernels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

LARGEST_EXCESS = 1e-6
"""Rounding that a group's sum may exceed 1 by."""


@dataclass(frozen=True)
class Histograms:
    """GRID features as the kernels read them: compressed by rows, checked, with each group's mean and window.

    Parameters
    ----------
    indptr, indices, data : ndarray
        Features of shape (n, n_groups * n_bins), compressed by rows.
    n_bins : int
        Number of bins of a group.
    means : ndarray of shape (n, n_groups)
        Mean bin of each group, the part beyond the cutoff at n_bins.
    first, last : ndarray of shape (n, n_groups)
        The cumulative histogram is 0 before the bin `first` and 1 from the bin `last` on.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]
    data: NDArray[np.float64]
    n_bins: int
    means: NDArray[np.float64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, rows: slice | NDArray[Any]) -> Histograms:
        sparse = self.to_sparse()[rows]
        arrays = sparse.indptr.astype(np.int64), sparse.indices.astype(np.int64), sparse.data
        return Histograms(*arrays, self.n_bins, self.means[rows], self.first[rows], self.last[rows])

    def to_sparse(self) -> scipy.sparse.csr_array:
        """Give the features as a sparse array."""
        shape = (len(self), self.means.shape[1] * self.n_bins)
        return scipy.sparse.csr_array((self.data, self.indices, self.indptr), shape=shape)

    @classmethod
    def concatenate(cls, parts: Sequence[Histograms]) -> Histograms:
        """Stack histograms of the same groups and bins."""
        sparse = scipy.sparse.vstack([part.to_sparse() for part in parts], format="csr")
        means, first, last = (np.concatenate([getattr(part, name) for part in parts]) for name in ("means", "first", "last"))
        indptr, indices = sparse.indptr.astype(np.int64), sparse.indices.astype(np.int64)
        return cls(indptr, indices, sparse.data, parts[0].n_bins, means, first, last)

    @classmethod
    def from_features(cls, X: ArrayLike | scipy.sparse.sparray, n_groups: int, name: str = "X") -> Histograms:
        """Check features and compress them; an array (n_groups, n_bins) that can't be features is the GRID of one crystal."""
        check_whole("n_groups", n_groups)
        sparse = _compressed(X, name)
        try:
            return cls._of_rows(sparse, int(n_groups), name)
        except ValueError:
            if sparse.shape[0] != n_groups:
                raise
            try:
                return cls._of_rows(scipy.sparse.csr_array(sparse.reshape(1, -1)), int(n_groups), name)
            except ValueError:
                pass
            raise

    @classmethod
    def _of_rows(cls, sparse: scipy.sparse.csr_array, n_groups: int, name: str) -> Histograms:
        hint = "n_groups and bin_size must be those of the GRIDFeaturizer that made the features"
        if sparse.shape[1] == 0 or sparse.shape[1] % n_groups:
            raise ValueError(f"{name} has {sparse.shape[1]} columns, which is no multiple of n_groups = {n_groups}; {hint}")
        bad = ~np.isfinite(sparse.data) | (sparse.data < 0)
        if bad.any():
            row = int(np.searchsorted(sparse.indptr, np.nonzero(bad)[0][0], side="right")) - 1
            raise ValueError(
                f"{name} holds {sparse.data[bad][0]} in row {row}; GRID features are finite fractions of sites "
                "(rows that failed under ignore_errors=True must be dropped)"
            )
        n_bins = sparse.shape[1] // n_groups
        shape = (sparse.shape[0], n_groups)
        means, first, last = np.empty(shape), np.empty(shape, np.int64), np.empty(shape, np.int64)
        indptr, indices = sparse.indptr.astype(np.int64), sparse.indices.astype(np.int64)
        data = sparse.data.astype(np.float64)
        largest = kernels.summarize(indptr, indices, data, n_bins, means, first, last)
        if largest > 1 + LARGEST_EXCESS:
            raise ValueError(
                f"a group of {name} sums to {largest:.6g}; groups are distributions over the sites and sum to 1 at most; {hint} "
                "(scale an RDF to the sum 1 to compare it as one group)"
            )
        nearer = np.argwhere(np.diff(means, axis=1) < -LARGEST_EXCESS * n_bins)
        if len(nearer):
            row, group = nearer[0].tolist()
            raise ValueError(
                f"{name}, row {row}: the mean distance of group {group + 2} is below that of group {group + 1}, but groups are "
                f"neighbours in the order of their distances; {hint}"
            )
        return cls(indptr, indices, data, n_bins, means, first, last)


def group_scales(n_groups: int, bin_size: float, group_weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """Factor of each group's cumulative histograms in the EMD: weight (scaled to the mean 1) times bin size over n_groups."""
    if group_weights is None:
        return np.full(n_groups, bin_size / n_groups)
    weights = np.asarray(group_weights, dtype=np.float64)
    if weights.shape != (n_groups,):
        raise ValueError(f"group_weights must have the shape ({n_groups},), one weight a group, not {weights.shape}")
    if not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() == 0:
        raise ValueError("group_weights must be finite, not negative, and not all zero")
    return weights / weights.mean() * (bin_size / n_groups)


def exact_sums(scales: NDArray[np.float64], n_bins: int) -> tuple[NDArray[np.float64], float]:
    """Round the groups' factors to a unit of which 2^53 hold every distance; give them, and what rounds other numbers to it."""
    unit = 2.0 ** (np.ceil(np.log2(1.001 * scales.sum() * n_bins)) - 53)  # rounded up they may be a little larger
    return np.rint(scales / unit) * unit, float(1.5 * 2.0**52 * unit)


def _compressed(X: Any, name: str) -> scipy.sparse.csr_array:
    if scipy.sparse.issparse(X):
        sparse = scipy.sparse.csr_array(X)
        if not sparse.has_canonical_format:
            sparse = sparse.copy()
            sparse.sum_duplicates()
        return sparse
    dense = np.asarray(X)
    if dense.ndim != 2 or dense.dtype.kind not in "fiub":
        raise ValueError(
            f"{name} must be a two-dimensional array of numbers, one row of features a structure, not of shape {dense.shape} "
            f"and type {dense.dtype}"
        )
    blocks = [scipy.sparse.csr_array(dense[start : start + 256]) for start in range(0, len(dense), 256)]
    return scipy.sparse.vstack(blocks, format="csr") if blocks else scipy.sparse.csr_array(dense.shape)
