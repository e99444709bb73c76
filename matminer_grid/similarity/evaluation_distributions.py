"""Distributions of simple properties of two sets of crystals, and how far apart they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matminer_grid.crystals.problems import atomic_mass
from matminer_grid.similarity.compare import symmetry_dataset

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from matminer_grid.crystals.table import CrystalTable

GRAMS_PER_CM3 = 1 / 0.602214076
"""Of a g/mol in an Å³."""

SPACE_GROUPS = 230


def volumes_per_atom(crystals: CrystalTable) -> NDArray[np.float64]:
    """Give the volume per atom in Å³, partial occupancies counted, shape (N,)."""
    return np.abs(np.linalg.det(crystals.lattices)) / _sums(crystals, crystals.occupancies)


def densities(crystals: CrystalTable) -> NDArray[np.float64]:
    """Give the density in g/cm³, shape (N,); species that are no elements weigh nothing."""
    present, which = np.unique(crystals.numbers, return_inverse=True)
    masses = np.array([atomic_mass(number) for number in present.tolist()])[which]
    return GRAMS_PER_CM3 * _sums(crystals, masses * crystals.occupancies) / np.abs(np.linalg.det(crystals.lattices))


def numbers_of_elements(crystals: CrystalTable) -> NDArray[np.int64]:
    """Give the number of different elements, shape (N,)."""
    base = int(crystals.numbers.max(initial=0)) + 1
    pairs = np.unique(_owners(crystals) * base + crystals.numbers)
    return np.bincount(pairs // base, minlength=len(crystals)).astype(np.int64)


def space_groups(crystals: CrystalTable) -> NDArray[np.int64]:
    """Give the number of the space group by spglib, to 0.01 Å, shape (N,); 0 where it finds none."""
    found = map(symmetry_dataset, crystals)
    return np.array([0 if dataset is None else dataset.number for dataset in found], dtype=np.int64)


def _owners(crystals: CrystalTable) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(crystals)), np.diff(crystals.species_offsets))


def _sums(crystals: CrystalTable, of_species: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.bincount(_owners(crystals), weights=of_species, minlength=len(crystals)).astype(np.float64, copy=False)


def wasserstein(values: ArrayLike, reference: ArrayLike, counts: ArrayLike | None = None) -> NDArray[np.float64]:
    """Give the Wasserstein-1 distance of two samples, in their unit.

    Parameters
    ----------
    values : array-like of shape (n,)
    reference : array-like of shape (m,)
    counts : array-like of shape (b, n), optional
        How often each value counts, for each of b answers; once each by default.

    Returns
    -------
    ndarray of shape (b,)

    Examples
    --------
    >>> from matminer_grid.similarity.evaluation_distributions import wasserstein
    >>> wasserstein([1.0, 2.0], [2.0, 3.0]), wasserstein([1.0, 2.0], [2.0, 3.0], counts=[[0, 2]])
    (array([1.]), array([0.5]))
    """
    values, reference = np.asarray(values, np.float64), np.asarray(reference, np.float64)
    counts = np.ones((1, len(values))) if counts is None else np.asarray(counts)
    joined = np.concatenate((values, reference))
    order = np.argsort(joined, kind="stable")
    steps = np.diff(joined[order])
    own = order < len(values)
    n_own, ascending = np.cumsum(own)[:-1], order[own]
    below = (np.arange(1, len(joined)) - n_own) / len(reference)
    out = np.empty(len(counts))
    for row, count in enumerate(counts):
        share = np.concatenate(([0.0], np.cumsum(count[ascending]) / count.sum()))
        out[row] = np.abs(share[n_own] - below) @ steps
    return out


def jensen_shannon(values: ArrayLike, reference: ArrayLike, n_bins: int, counts: ArrayLike | None = None) -> NDArray[np.float64]:
    """Give the Jensen-Shannon divergence of two samples of whole numbers, in bits: 0 for equal shares, 1 where none is shared.

    Parameters
    ----------
    values, reference : array-like of int, of shape (n,) and (m,)
        From 0 to before `n_bins`.
    n_bins : int
    counts : array-like of shape (b, n), optional
        As for :func:`wasserstein`.

    Returns
    -------
    ndarray of shape (b,)

    Examples
    --------
    >>> from matminer_grid.similarity.evaluation_distributions import jensen_shannon
    >>> jensen_shannon([225, 225], [225, 225, 225], 231), jensen_shannon([225, 227], [1, 2], 231)
    (array([0.]), array([1.]))
    """
    values, reference = np.asarray(values, np.int64), np.asarray(reference, np.int64)
    counts = np.ones((1, len(values))) if counts is None else np.asarray(counts)
    shares = np.stack([np.bincount(values, weights=count, minlength=n_bins) / count.sum() for count in counts])
    other = np.bincount(reference, minlength=n_bins) / len(reference)
    return np.maximum(0.0, _entropy((shares + other) / 2) - (_entropy(shares) + _entropy(other)) / 2)


def _entropy(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithms = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return -(shares * logarithms).sum(axis=-1)
