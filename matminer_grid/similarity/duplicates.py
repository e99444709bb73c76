"""Crystals that stand in a data set more than once, or nearly so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse

from matminer_grid._validation import check_number
from matminer_grid.similarity.search import EMDSearch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matminer_grid.similarity.dissimilarity import CrystalDissimilarity


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
    tolerance: float = 0.05,
    *,
    dissimilarity: CrystalDissimilarity | None = None,
    n_jobs: int | None = None,
    pbar: bool = False,
) -> Duplicates:
    """Find all pairs of crystals within a tolerance, and the groups of crystals that are linked by such pairs.

    A tolerance of 0.05 lets the distances of two crystals of one composition differ by 0.005 Å on the mean, some 0.1 %, where the
    dissimilarity is the default one: the same calculation, written down twice. One of 0.5 lets them differ by some 1 %, as two
    functionals do. To put the next element of the scale in the place of one of n atoms costs 1 / n, so that a small tolerance
    leaves other compositions in long formulas only. For a larger one, raise the composition weight with it.

    Groups are the connected components of the pairs: two crystals of a group may be farther apart than the tolerance, if others
    lie between them. The GRID is blind to which element sits where, and to mirror images: two orders of the same elements on one
    lattice are 0 apart. Where that matters, take ``CrystalDissimilarity(resolution="sites")``; mirror images are alike for both.

    Parameters
    ----------
    X : structures, as a list, tuple, array, Series, one-column DataFrame or CrystalTable; or DescribedCrystals
    tolerance : float, default 0.05
        Largest dissimilarity of a pair; one equal to it counts as within, to 1e-9.
    dissimilarity : CrystalDissimilarity, optional
        ``CrystalDissimilarity()`` by default. Bins much wider than the distances that the tolerance allows tell nothing: for
        tolerances below 1, ``CrystalDissimilarity(GRIDFeaturizer(bin_size=0.01))`` is better.
    n_jobs : int, optional
        Number of threads; see :func:`~matminer_grid._threads.n_threads`.
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
    >>> from matminer_grid import CrystalDissimilarity, GRIDFeaturizer, find_duplicates
    >>> def rock_salt(a, cation, anion):
    ...     return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0, 0]])
    >>> salt = rock_salt(5.64, "Na", "Cl")
    >>> crystals = [salt, rock_salt(6.29, "K", "Cl"), salt.get_primitive_structure(), rock_salt(5.642, "Na", "Cl")]
    >>> found = find_duplicates(crystals, dissimilarity=CrystalDissimilarity(GRIDFeaturizer(bin_size=0.01)))
    >>> found.groups, found.distinct
    ([array([0, 2, 3])], array([0, 1]))
    >>> found.pairs.tolist(), found.dissimilarities.round(2)
    ([[0, 2], [0, 3], [2, 3]], array([0.  , 0.02, 0.02]))
    """
    check_number("tolerance", tolerance)
    search = EMDSearch(dissimilarity, n_jobs=n_jobs).fit(X)
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
