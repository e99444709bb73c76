"""Crystals that stand in a data set more than once, or nearly so."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matminer_grid._validation import check_choice, check_number
from matminer_grid.similarity.grid_index import TIE
from matminer_grid.similarity.linkage import LINKAGES, Linked, central, components_of, linked_crystals, numbered
from matminer_grid.similarity.near_pairs import all_pairs, as_given, find_pairs

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from matminer_grid.similarity.dissimilarity import CrystalDissimilarity
    from matminer_grid.similarity.tolerance import CrystalPairs, DuplicateTolerance

    IntArray = NDArray[np.int64]
    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Groups of crystals that count as the same, and the pairs that make them.

    Parameters
    ----------
    pairs : CrystalPairs
        Pairs within the tolerance, with their parts.
    near : CrystalPairs
        Pairs beyond the tolerance, up to the margin; their `decided_by` says which part told them apart.
    labels : ndarray of shape (n,)
        Number of the group of each crystal, also of those that stand alone, in the order of the groups' first rows.
    representatives : ndarray of shape (n_groups,)
        Row of the medoid of each group, the crystal that is least apart from the others on the mean; of several the one with the
        fewest sites.
    spreads : ndarray of shape (n_groups,)
        The largest ratio of a pair of each group, as :attr:`CrystalPairs.ratios` has it: 1 is the tolerance.
    chains : ndarray of shape (n,)
        Numbers as the labels, of crystals that are linked by pairs within the tolerance, through whatever lies between them.
    """

    pairs: CrystalPairs
    near: CrystalPairs
    labels: IntArray
    representatives: IntArray
    spreads: FloatArray
    chains: IntArray

    @property
    def groups(self) -> list[IntArray]:
        """Rows of each group of two crystals or more, ascending; the groups in the order of their first rows."""
        order = np.argsort(self.labels, kind="stable")
        groups = np.split(order, np.nonzero(np.diff(self.labels[order]))[0] + 1)
        return [group for group in groups if len(group) > 1]

    @property
    def distinct(self) -> IntArray:
        """Rows that remain where only the representative of each group is kept, ascending."""
        return np.sort(self.representatives)


def find_duplicates(
    X: Any,
    tolerance: DuplicateTolerance | float | None = None,
    *,
    same_formula: bool = True,
    linkage: str = "complete",
    dissimilarity: CrystalDissimilarity | None = None,
    margin: float = 1.0,
    n_jobs: int | None = None,
    pbar: bool = False,
) -> Duplicates:
    """Find all pairs of crystals within a tolerance, and groups of crystals that count as the same.

    The groups don't depend on the order of the crystals: what is equally near is joined in the order of the crystals' contents.
    Cells of one crystal are alike, and mirror images.

    Parameters
    ----------
    X : structures, as a list, tuple, array, Series, one-column DataFrame or CrystalTable; or CrystalIndex
        For a single number also DescribedCrystals.
    tolerance : DuplicateTolerance or float, optional
        By parts, ``DuplicateTolerance()`` by default; or the largest dissimilarity. 0 is only what is exactly the same, to 1e-9.
    same_formula : bool, default True
        Whether only crystals of equal reduced formulas can be the same.
    linkage : {"complete", "average", "single"}
        When groups are joined: where all pairs of both are within the tolerance, where they are so on the mean, or where one pair
        is. Single linkage runs into chains, whose ends may be far apart. It and average linkage compare all pairs of linked
        crystals, which takes time where there are thousands.
    dissimilarity : CrystalDissimilarity, optional
        Only for a single number; ``CrystalDissimilarity(resolution="sites")`` by default.
    margin : float, default 1.0
        Pairs beyond the tolerance are listed up to so many times it, with the part that decided.
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
        As :func:`find_pairs`; the margin is below 1; the linkage is unknown; or more than 15,000 crystals are linked, whose matrix
        would not fit into memory.

    Warns
    -----
    UserWarning
        Groups by single or average linkage are wider than the tolerance.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from matminer_grid import find_duplicates
    >>> def rock_salt(a, cation, anion):
    ...     return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0, 0]])
    >>> salt = rock_salt(5.64, "Na", "Cl")
    >>> crystals = [salt, rock_salt(6.29, "K", "Cl"), salt.get_primitive_structure(), rock_salt(5.65, "Na", "Cl")]
    >>> found = find_duplicates(crystals)
    >>> found.groups, found.distinct
    ([array([0, 2, 3])], array([1, 2]))
    >>> found.pairs.rows.tolist(), found.pairs.parts[:, 0].round(4)
    ([[0, 2], [0, 3], [2, 3]], array([0.    , 0.0053, 0.0053]))
    """
    check_choice("linkage", linkage, LINKAGES)
    check_number("margin", margin, low=1.0)
    crystals = as_given(X)
    found = find_pairs(
        crystals, None, tolerance, same_formula=same_formula, dissimilarity=dissimilarity, margin=margin, n_jobs=n_jobs, pbar=pbar
    )

    def compare(rows: IntArray) -> CrystalPairs:
        return all_pairs(crystals[rows], found.tolerance, dissimilarity, n_jobs)

    return grouped(crystals, found, linkage, compare)


def grouped(crystals: Any, found: CrystalPairs, linkage: str, compare: Callable[[IntArray], CrystalPairs]) -> Duplicates:
    """Make groups of pairs that were found; `compare` gives all pairs of some rows, counted from 0."""
    within = found.within
    pairs, n = found[within], len(crystals)
    first_rows, medoids, spreads = np.arange(n), np.arange(n), np.zeros(n)
    for linked in linked_crystals(crystals, pairs):
        whole = linked
        if linkage != "complete":
            own = compare(linked.rows)
            whole = Linked.of_pairs(linked.rows, linked.rows[own.rows], own.ratios)
        for members in whole.groups(linkage):
            rows, matrix = whole.rows[members], whole.matrix[np.ix_(members, members)]
            first = rows.min()
            first_rows[rows], medoids[first], spreads[first] = first, rows[central(matrix)], matrix.max()
    firsts, labels = np.unique(first_rows, return_inverse=True)
    n_wide = int((spreads > 1 + TIE).sum())
    if n_wide:
        warnings.warn(
            f"{n_wide} groups are wider than the tolerance, up to {spreads.max():.3g} times it: {linkage} linkage runs into "
            'chains, linkage="complete" doesn\'t',
            UserWarning,
            stacklevel=3,
        )
    chains = numbered(components_of(n, pairs.rows))
    return Duplicates(pairs, found[~within], labels, medoids[firsts], spreads[firsts], chains)
