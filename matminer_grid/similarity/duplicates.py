"""Crystals that stand in a data set more than once, or nearly so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse

from matminer_grid.similarity.search import EMDSearch, check_radius

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Pairs of crystals within a tolerance, and the groups that they link.

    Parameters
    ----------
    pairs : ndarray of shape (m, 2)
        Rows of the crystals of each pair, the lower one first, in ascending order.
    dissimilarities : ndarray of shape (m,)
        Weighted sum of GRID and composition EMD of each pair.
    labels : ndarray of shape (n,)
        Number of the group of each crystal, also of those that stand alone, in the order of the groups' first rows.
    """

    pairs: NDArray[np.int64]
    dissimilarities: NDArray[np.float64]
    labels: NDArray[np.int64]

    @property
    def groups(self) -> list[NDArray[np.int64]]:
        """Rows of each group of two crystals or more, ascending; the groups in the order of their first rows."""
        order = np.argsort(self.labels, kind="stable")
        groups = np.split(order, np.nonzero(np.diff(self.labels[order]))[0] + 1)
        return [group for group in groups if len(group) > 1]

    @property
    def distinct(self) -> NDArray[np.int64]:
        """Rows that remain where only the first crystal of each group is kept, ascending."""
        return np.unique(self.labels, return_index=True)[1]


def find_duplicates(
    X: Any,
    compositions: Any = None,
    tolerance: float = 0.05,
    *,
    featurizer: Any = None,
    n_groups: int = 100,
    bin_size: float = 0.1,
    grid_weight: float = 10.0,
    composition_weight: float = 1.0,
    composition_metric: str = "modified_pettifor",
    group_weights: ArrayLike | None = None,
    n_jobs: int | None = None,
    pbar: bool = False,
) -> Duplicates:
    """Find all pairs of crystals within a tolerance, and the groups of crystals that are linked by such pairs.

    The dissimilarity is that of :class:`EMDSearch`: 10 × GRID EMD in Å + composition EMD by default. A tolerance of 0.05 lets the
    distances of two crystals of one composition differ by 0.005 Å on the mean, some 0.1 %: the same calculation, written down
    twice. One of 0.5 lets them differ by some 1 %, as two functionals do. To put the next element of the scale in the place of one
    of n atoms costs 1 / n, so that a small tolerance leaves other compositions in long formulas only. For a larger one, raise the
    composition weight with it.

    Groups are the connected components of the pairs: two crystals of a group may be farther apart than the tolerance, if others
    lie between them. The GRID is blind to which element sits where, and to mirror images: two orders of the same elements on one
    lattice are 0 apart. Where that matters, look at the pairs, for example with pymatgen's StructureMatcher.

    Parameters
    ----------
    X : structures, or features of shape (n, n_groups * n_bins)
        Structures as a list or CrystalTable, if there is a featurizer; else GRID features, dense or sparse. Bins much wider than
        the distances that the tolerance allows tell nothing: for tolerances below 1, a bin size of 0.01 Å is better than 0.1 Å.
    compositions : list of str, Composition, Structure or Crystal, or CrystalTable, optional
        What has the compositions; not needed with structures or a composition weight of 0.
    tolerance : float, default 0.05
        Largest dissimilarity of a pair; one equal to it counts as within, to 1e-9.
    featurizer : GRIDFeaturizer, optional
        Makes the features of structures, and sets `n_groups` and `bin_size`.
    n_groups : int, default 100
        Number of groups of the features, where there is no featurizer.
    bin_size : float, default 0.1
        Width of their bins in Å, where there is no featurizer.
    grid_weight, composition_weight : float, default 10.0 and 1.0
        Weights of the two dissimilarities; 0 leaves one out.
    composition_metric : {"modified_pettifor", "substitution"}
        As for :func:`composition_emd`. Within a small tolerance it hardly matters, and the scale knows all elements.
    group_weights : array-like of shape (n_groups,), optional
        As for :func:`grid_emd`.
    n_jobs : int, optional
        Number of threads, all cores by default.
    pbar : bool, default False
        Whether to show a progress bar.

    Returns
    -------
    Duplicates

    Raises
    ------
    TypeError, ValueError
        The tolerance is no number, negative or not finite; or as :meth:`EMDSearch.fit`.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from matminer_grid import GRIDFeaturizer, find_duplicates
    >>> def rock_salt(a, cation, anion):
    ...     return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0, 0]])
    >>> salt = rock_salt(5.64, "Na", "Cl")
    >>> crystals = [salt, rock_salt(6.29, "K", "Cl"), salt.get_primitive_structure(), rock_salt(5.642, "Na", "Cl")]
    >>> found = find_duplicates(crystals, featurizer=GRIDFeaturizer(bin_size=0.01))
    >>> found.groups, found.distinct
    ([array([0, 2, 3])], array([0, 1]))
    >>> found.pairs.tolist(), found.dissimilarities.round(2)
    ([[0, 2], [0, 3], [2, 3]], array([0.  , 0.02, 0.02]))
    """
    check_radius("tolerance", tolerance)
    search = EMDSearch(
        featurizer,
        n_groups=n_groups,
        bin_size=bin_size,
        grid_weight=grid_weight,
        composition_weight=composition_weight,
        composition_metric=composition_metric,
        group_weights=group_weights,
        n_jobs=n_jobs,
    ).fit(X, compositions)
    distances, neighbors = search.radius_neighbors(radius=tolerance, pbar=pbar)
    n = search.n_samples_fit_
    first = np.repeat(np.arange(n), [len(rows) for rows in neighbors])
    second = np.concatenate(neighbors).astype(np.int64)
    above = np.nonzero(first < second)[0]  # each pair is found from both sides
    above = above[np.lexsort((second[above], first[above]))]
    pairs = np.stack((first[above], second[above]), axis=1)
    dissimilarities = np.concatenate(distances)[above].astype(np.float64)
    links = scipy.sparse.coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    components = scipy.sparse.csgraph.connected_components(links, directed=False)[1]
    _, first_rows, labels = np.unique(components, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first_rows))
    return Duplicates(pairs, dissimilarities, rank[labels])
