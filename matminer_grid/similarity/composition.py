"""Earth mover's distance between compositions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse
from scipy.spatial.distance import cdist

from matminer_grid._threads import with_progress
from matminer_grid._validation import check_choice
from matminer_grid.crystals.composition import METRICS, cumulative_fractions, element_fractions
from matminer_grid.crystals.elements import SUBSTITUTION_ELEMENTS, substitution_dissimilarity
from matminer_grid.kernels.environments import DIFFERENT
from matminer_grid.kernels.transport import transport_cost, transport_costs

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

CHUNK_SIZE = 64
"""Rows of a matrix that are computed at once."""

ROUNDING = 1e-12
"""Share by which a lower bound is lowered, so that rounding never lifts it above the cost itself."""


def composition_emd(
    A: Any, B: Any = None, metric: str = "modified_pettifor", *, n_jobs: int | None = None, pbar: bool = True
) -> NDArray[np.float64]:
    """Earth mover's distance between compositions: the least work that turns one's element fractions into the other's.

    Parameters
    ----------
    A : list, tuple, ndarray or Series of str, Composition, Structure or Crystal; or CrystalTable
        Formulas, or what has one; a single one counts as a list of one. Oxidation states don't matter, D and T count as H, and
        species count with their occupancy.
    B : as `A`, optional
        The other compositions; without them those of `A` are compared with each other.
    metric : {"modified_pettifor", "substitution", "identity"}
        Distance between elements. "modified_pettifor": places on the modified Pettifor scale of 103 elements, in unit steps; the
        result is a metric, Wasserstein-1. "substitution": 1 / log10(1/s + 1) with the substitution table s of gridrdf, for 78
        elements; an optimal transport problem for each pair of different compositions, solved exactly. It is symmetric but violates
        the triangle inequality. "identity": 10 for different elements, as far as ten places of the scale; a metric.
    n_jobs : int, optional
        Number of threads; see :func:`~matminer_grid._threads.n_threads`.
    pbar : bool
        Whether work that takes more than 2 s shows a progress bar.

    Returns
    -------
    ndarray of shape (n_a, n_b)
        Without unit. It is symmetric to the last bit, never below 0 and exactly 0 for equal fractions.

    Raises
    ------
    TypeError, ValueError
        An entry is no composition; the metric is unknown; a formula can't be read, is empty or has a negative amount; an element is
        none of the metric's, or none at all.

    References
    ----------
    H. Glawe et al., New J. Phys. 18 (2016) 093011, 10.1088/1367-2630/18/9/093011 (modified Pettifor scale).
    R.-Z. Zhang, S. Seth and J. Cumby, Digital Discovery 2 (2023) 81-90, 10.1039/D2DD00054G (substitution).

    Examples
    --------
    >>> from matminer_grid.similarity import composition_emd
    >>> composition_emd(["NaCl", "NaBr", "KBr"])
    array([[0. , 0.5, 1. ],
           [0.5, 0. , 0.5],
           [1. , 0.5, 0. ]])
    >>> composition_emd(["Na"], ["F", "Na2Cl2"], metric="substitution").round(1)
    array([[11.2,  3.2]])
    """
    check_choice("metric", metric, METRICS)
    a = composition_vectors(A, metric)
    return vectors_emd(a, None if B is None else composition_vectors(B, metric), metric, n_jobs=n_jobs, pbar=pbar)


def composition_vectors(compositions: Any, metric: str) -> NDArray[np.float64]:
    """Give what a metric compares, shape (n, n_elements): fractions for "substitution", else vectors in Manhattan distance."""
    if metric == "modified_pettifor":
        return cumulative_fractions(compositions)
    fractions = element_fractions(compositions, metric)
    return fractions if metric == "substitution" else 0.5 * DIFFERENT * fractions


def vectors_emd(
    a: NDArray[np.float64], b: NDArray[np.float64] | None, metric: str, *, n_jobs: int | None = None, pbar: bool = False
) -> NDArray[np.float64]:
    """Compute :func:`composition_emd` from :func:`composition_vectors`."""
    bar = {"desc": "composition EMD", "disable": not pbar, "delay": 2}
    if metric != "substitution":
        others = a if b is None else b
        distances = np.empty((len(a), len(others)))

        def fill(start: int) -> int:
            rows = slice(start, start + CHUNK_SIZE)
            distances[rows] = cdist(a[rows], others, "cityblock")
            return len(a[rows])

        with_progress(fill, range(0, len(a), CHUNK_SIZE), n_jobs, {**bar, "total": len(a)})
        return distances

    # crystals share compositions: each pair of different ones is solved once
    distinct_a, row_a = _distinct(a)
    distinct_b, row_b = (distinct_a, row_a) if b is None else _distinct(b)
    costs = np.zeros((len(distinct_a), len(distinct_b)))
    index = SubstitutionIndex(distinct_b)

    def solve(row: int) -> int:
        others = np.arange(row + 1 if b is None else 0, len(index))
        costs[row, others] = index.emd(distinct_a[row], others)
        return 1

    with_progress(solve, range(len(costs)), n_jobs, {**bar, "total": len(costs)})
    if b is None:
        costs += costs.T
    return costs[row_a[:, None], row_b]


class SubstitutionIndex:
    """Reference compositions, ready to be compared with one query at a time under the metric "substitution".

    Parameters
    ----------
    fractions : array-like of shape (n, 78)
        Element fractions of the references, as ``element_fractions(..., metric="substitution")`` gives them.

    Raises
    ------
    ValueError
        The shape is another one, or a row doesn't sum to 1.

    Examples
    --------
    >>> from matminer_grid.crystals.composition import element_fractions
    >>> from matminer_grid.similarity import SubstitutionIndex
    >>> index = SubstitutionIndex(element_fractions(["NaBr", "MgO", "CaTiO3"], metric="substitution"))
    >>> query = element_fractions("SrTiO3", metric="substitution")[0]
    >>> index.lower_bounds(query).round(2)
    array([4.09, 1.71, 0.23])
    >>> index.emd(query, np.array([0, 2])).round(2)
    array([8.27, 0.23])
    """

    def __init__(self, fractions: ArrayLike) -> None:
        fractions = np.asarray(fractions, dtype=np.float64)
        n_elements = len(SUBSTITUTION_ELEMENTS)
        if fractions.ndim != 2 or fractions.shape[1] != n_elements:
            raise ValueError(
                f"fractions of the {n_elements} elements, of shape (n, {n_elements}), are needed, not {fractions.shape}"
            )
        if not ((fractions >= 0).all() and (np.abs(fractions.sum(axis=1) - 1) < 1e-9).all()):
            raise ValueError("each row must hold the fractions of a composition, which are not negative and sum to 1")
        self._distance = substitution_dissimilarity()
        self._fractions = scipy.sparse.csr_array(fractions)
        self._offsets = self._fractions.indptr.astype(np.int64)
        self._elements = self._fractions.indices.astype(np.int64)
        # distance from each element to the nearest one of each reference
        self._nearest = np.zeros((n_elements, len(fractions)))
        if len(fractions):
            np.minimum.reduceat(self._distance[:, self._elements], self._offsets[:-1], axis=1, out=self._nearest)
        self._nearest *= 1 - ROUNDING

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def lower_bounds(self, query: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bound the earth mover's distance from a query to every reference from below.

        The transport is relaxed: every element of one side goes to its nearest element on the other side, whatever that one's
        amount. Of both directions the dearer one counts.

        Parameters
        ----------
        query : ndarray of shape (78,)
            Element fractions.

        Returns
        -------
        ndarray of shape (n,)
        """
        elements = query.nonzero()[0]
        from_query = query[elements] @ self._nearest[elements]
        from_references = self._fractions @ (self._distance[elements].min(axis=0) * (1 - ROUNDING))
        return np.maximum(from_query, from_references, out=from_query)

    def lower_bounds_of(self, query: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Bound the earth mover's distance from a query to some rows (m,) of the references from below, less tightly.

        Bounds of shape (m,) are not above :meth:`lower_bounds`, which takes the way back into account too.
        """
        elements = query.nonzero()[0]
        return query[elements] @ self._nearest[elements[:, None], rows]

    def emd(self, query: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Compute the earth mover's distances, shape (m,), from a query (78,) to some rows (m,) of the references."""
        elements = query.nonzero()[0]
        costs = np.empty(len(rows))
        references = self._offsets, self._elements, self._fractions.data
        transport_costs(self._distance, elements, query[elements], *references, rows, costs)
        return costs


def substitution_emd_pair(
    elements_a: NDArray[np.int64], fractions_a: NDArray[np.float64], elements_b: NDArray[np.int64], fractions_b: NDArray[np.float64]
) -> float:
    """Compute the earth mover's distance between two compositions under the metric "substitution", without checks.

    Parameters
    ----------
    elements_a, elements_b : ndarray of shape (m,)
        Positions in SUBSTITUTION_ELEMENTS, each once.
    fractions_a, fractions_b : ndarray of shape (m,)
        Fractions of these elements, above 0; each side sums to 1.

    Returns
    -------
    float

    Examples
    --------
    >>> from matminer_grid.crystals.elements import SUBSTITUTION_ELEMENTS as elements
    >>> sodium, fluorine = (np.array([elements.index(symbol)]) for symbol in ("Na", "F"))
    >>> round(substitution_emd_pair(sodium, np.ones(1), fluorine, np.ones(1)), 1)
    11.2
    """
    return float(transport_cost(substitution_dissimilarity(), elements_a, fractions_a, elements_b, fractions_b))


def _distinct(fractions: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Give the distinct rows, in order of appearance, and where each row is among them."""
    position: dict[bytes, int] = {}
    rows = np.array([position.setdefault(row.tobytes(), len(position)) for row in fractions], dtype=np.int64)
    first = np.unique(rows, return_index=True)[1]
    return fractions[first], rows
