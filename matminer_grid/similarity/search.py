"""Exact nearest neighbours under a crystal dissimilarity, without the full matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from tqdm.auto import tqdm

from matminer_grid._threads import n_threads
from matminer_grid._validation import check_number, check_whole
from matminer_grid.kernels import emd as kernels
from matminer_grid.similarity.composition import SubstitutionIndex
from matminer_grid.similarity.dissimilarity import CrystalDissimilarity, checked_dissimilarity
from matminer_grid.similarity.histograms import exact_sums

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from matminer_grid.similarity.dissimilarity import DescribedCrystals

    Answer = tuple[NDArray[np.float64], NDArray[np.int64], int, int]

TIE = 1e-9
"""Dissimilarities that round to the same multiple of this are a tie, which the lower index wins."""

FIRST_CANDIDATES = 32
"""References that are evaluated first, to know how near a neighbour must be."""

CHUNK_SIZE = 16
"""Queries answered in one go by a thread."""


class EMDSearch(BaseEstimator):
    """Exact nearest neighbours by a :class:`CrystalDissimilarity`.

    For each query all references are bounded from below: the GRID EMD by the differences of the groups' mean distances (exact
    where one distribution lies above the other throughout), the composition EMD by relaxed transport. Only references whose bound
    does not exceed the k-th best dissimilarity found so far are evaluated, first their GRID EMD and then their composition EMD.
    The result is that of evaluating all of them; ties go to the lower index.

    Parameters
    ----------
    dissimilarity : CrystalDissimilarity, optional
        What "alike" means; ``CrystalDissimilarity()`` by default.
    n_neighbors : int, default 5
        Number of neighbours, where :meth:`kneighbors` is given none.
    radius : float, default 1.0
        Largest dissimilarity, where :meth:`radius_neighbors` is given none.
    n_jobs : int, optional
        Number of threads; see :func:`~matminer_grid._threads.n_threads`.

    Attributes
    ----------
    dissimilarity_ : CrystalDissimilarity
        The copy that was used.
    references_ : DescribedCrystals
        The references.
    n_samples_fit_ : int
        Their number.
    evaluated_share_ : float
        Share of the pairs of the last search whose GRID EMD had to be evaluated.
    transported_share_ : float
        Share of the pairs of the last search whose composition EMD had to be evaluated.

    References
    ----------
    R.-Z. Zhang, S. Seth and J. Cumby, Digital Discovery 2 (2023) 81-90, 10.1039/D2DD00054G.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from matminer_grid import EMDSearch
    >>> def rock_salt(a, cation, anion):
    ...     return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0, 0]])
    >>> known = [rock_salt(5.64, "Na", "Cl"), rock_salt(4.21, "Mg", "O"), rock_salt(6.29, "K", "Cl")]
    >>> distances, indices = EMDSearch().fit(known).kneighbors([rock_salt(5.97, "Na", "Br")], n_neighbors=2)
    >>> indices
    array([[0, 2]])
    """

    def __init__(
        self,
        dissimilarity: CrystalDissimilarity | None = None,
        *,
        n_neighbors: int = 5,
        radius: float = 1.0,
        n_jobs: int | None = None,
    ) -> None:
        self.dissimilarity = dissimilarity
        self.n_neighbors = n_neighbors
        self.radius = radius
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002  scikit-learn's signature
        """Take in the references.

        Parameters
        ----------
        X : structures, as a list, tuple, array, Series, one-column DataFrame or CrystalTable; or DescribedCrystals
        y : ignored

        Raises
        ------
        TypeError, ValueError
            A parameter or a structure is invalid, or the crystals were described for another dissimilarity.
        """
        n_threads(self.n_jobs)
        self.dissimilarity_ = checked_dissimilarity(self.dissimilarity)
        references = self.dissimilarity_.describe(X, n_jobs=self.n_jobs)
        if len(references) == 0:
            raise ValueError("at least one reference is needed")
        self.references_ = references
        self.n_samples_fit_ = len(references)
        self._scales = self.dissimilarity_.scales
        self._exact_sums = exact_sums(self._scales, references.grids.n_bins)
        self._means = references.grids.means * self._scales
        sums = self._means.sum(axis=1)
        self._order = np.argsort(sums, kind="stable")
        self._sums = sums[self._order]
        self._index = None
        if self.dissimilarity_.composition_weight > 0 and self.dissimilarity_.composition_metric == "substitution":
            self._index = SubstitutionIndex(references.compositions)
        return self

    def kneighbors(self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True, *, pbar: bool = False) -> Any:
        """Find the nearest references of each query.

        Parameters
        ----------
        X : structures or DescribedCrystals, optional
            The queries, as for :meth:`fit`. Without them the references themselves are the queries, none its own neighbour.
        n_neighbors : int, optional
            Number of neighbours; that of the constructor by default.
        return_distance : bool, default True
            Whether to hand back the distances too.
        pbar : bool, default False
            Whether to show a progress bar.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors)
            Dissimilarities, ascending; left out without `return_distance`.
        indices : ndarray of shape (n_queries, n_neighbors)
            Rows of the references.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Called before :meth:`fit`.
        TypeError, ValueError
            n_neighbors is below 1 or above the number of references, or the queries are invalid.
        """
        queries = self._queries(X)
        k = check_whole("n_neighbors", self.n_neighbors if n_neighbors is None else n_neighbors)
        available = self.n_samples_fit_ - (X is None)
        if k > available:
            raise ValueError(f"n_neighbors must be between 1 and the number of references, {available}, not {k}")
        distances, indices = self._answer_all(self._nearest_by_query(queries, k, X is None), len(queries), available, pbar)
        rows = np.array(indices, np.int64).reshape(-1, k)
        return (np.array(distances).reshape(-1, k), rows) if return_distance else rows

    def radius_neighbors(
        self, X: Any = None, radius: float | None = None, return_distance: bool = True, *, pbar: bool = False
    ) -> Any:
        """Find all references of each query within a radius.

        References are sorted by the sum of their groups' mean distances, of which only a window is looked at: that sum differs by
        no more than the GRID EMD. In it the bounds of :meth:`kneighbors` apply. The smaller the radius, the quicker.

        Parameters
        ----------
        X : structures or DescribedCrystals, optional
            The queries, as for :meth:`fit`. Without them the references themselves are the queries, none its own neighbour.
        radius : float, optional
            Largest dissimilarity; one equal to it counts as within, to 1e-9. That of the constructor by default.
        return_distance : bool, default True
            Whether to hand back the distances too.
        pbar : bool, default False
            Whether to show a progress bar.

        Returns
        -------
        distances : ndarray of shape (n_queries,) of ndarrays
            Dissimilarities, ascending; left out without `return_distance`.
        indices : ndarray of shape (n_queries,) of ndarrays
            Rows of the references.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Called before :meth:`fit`.
        TypeError, ValueError
            The radius is no number, negative or not finite, or the queries are invalid.
        """
        queries = self._queries(X)
        limit = check_number("radius", self.radius if radius is None else radius)

        def answer(query: int) -> Answer:
            return self._within(queries, query, limit, query if X is None else -1)

        distances, indices = self._answer_all(answer, len(queries), self.n_samples_fit_ - (X is None), pbar)
        return (_ragged(distances), _ragged(indices)) if return_distance else _ragged(indices)

    def _queries(self, X: Any) -> DescribedCrystals:
        if not hasattr(self, "references_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet: call fit with the references first")
        return self.references_ if X is None else self.dissimilarity_.describe(X, n_jobs=self.n_jobs)

    def _nearest_by_query(self, queries: DescribedCrystals, k: int, leave_out_self: bool) -> Callable[[int], Answer]:
        return lambda query: self._nearest(queries, query, k, query if leave_out_self else -1)

    def _answer_all(
        self, answer: Callable[[int], Answer], n_queries: int, available: int, pbar: bool
    ) -> tuple[list[NDArray[np.float64]], list[NDArray[np.int64]]]:
        """Answer all queries in threads: the distances and the rows of each."""
        answers: list[Any] = [None] * n_queries

        def answer_chunk(start: int) -> int:
            queries = range(start, min(start + CHUNK_SIZE, n_queries))
            answers[queries.start : queries.stop] = [answer(query) for query in queries]
            return len(queries)

        chunks = Parallel(n_jobs=n_threads(self.n_jobs), require="sharedmem", return_as="generator_unordered")(
            delayed(answer_chunk)(start) for start in range(0, n_queries, CHUNK_SIZE)
        )
        with tqdm(desc="neighbours", total=n_queries, disable=not pbar) as bar:
            for answered in chunks:
                bar.update(answered)
        pairs = max(1, n_queries * available)
        self.evaluated_share_ = sum(evaluated for _, _, evaluated, _ in answers) / pairs
        self.transported_share_ = sum(transported for _, _, _, transported in answers) / pairs
        return [distances for distances, _, _, _ in answers], [rows for _, rows, _, _ in answers]

    def _within(self, queries: DescribedCrystals, query: int, radius: float, left_out: int) -> Answer:
        """Answer one query: distances, rows, and how many GRID and composition EMDs it took."""
        limit = radius + TIE
        bound_limit = limit + TIE  # rounding must not lift a bound above the limit
        means = queries.grids.means[query] * self._scales
        reach = bound_limit / self.dissimilarity_.grid_weight if self.dissimilarity_.grid_weight > 0 else np.inf
        start, stop = np.searchsorted(self._sums, (means.sum() - reach, means.sum() + reach))
        rows = self._order[start:stop]
        rows = rows[rows != left_out]
        bounds = np.empty(len(rows))
        kernels.manhattan_to_rows(means, self._means, rows, bounds)
        bounds *= self.dissimilarity_.grid_weight
        if self._index is None:  # on the scale the composition EMD is cheaper than the GRID EMD, by substitution dearer
            near = bounds <= bound_limit
            rows, bounds = rows[near], bounds[near]
            bounds += self._composition_part(queries, query, rows)
        rows = rows[bounds <= bound_limit]
        evaluated = len(rows)
        totals = self._grid_part(queries, query, rows)
        near = totals <= limit
        rows, totals = rows[near], totals[near]
        transported = len(rows)
        totals += self._composition_part(queries, query, rows)
        near = totals <= limit
        rows, totals = rows[near], totals[near]
        order = np.lexsort((rows, np.rint(totals / TIE)))
        return totals[order], rows[order], evaluated, transported if self.dissimilarity_.composition_weight > 0 else 0

    def _nearest(self, queries: DescribedCrystals, query: int, k: int, left_out: int) -> Answer:
        """Answer one query: distances, rows, and how many GRID and composition EMDs it took."""
        grid_bounds = np.empty(self.n_samples_fit_)
        kernels.manhattan_to_all(queries.grids.means[query] * self._scales, self._means, grid_bounds)
        composition_bounds = self._composition_bounds(queries, query)
        bounds = self.dissimilarity_.grid_weight * grid_bounds + composition_bounds
        if left_out >= 0:
            bounds[left_out] = np.inf
        first = max(FIRST_CANDIDATES, 4 * k)
        rows = np.argpartition(bounds, first)[:first] if first < len(bounds) else np.arange(len(bounds))
        rows = rows[np.isfinite(bounds[rows])]
        totals = self._grid_part(queries, query, rows) + self._composition_part(queries, query, rows)
        evaluated = transported = len(rows)
        limit = np.partition(totals, k - 1)[k - 1] + TIE
        bounds[rows] = np.inf
        others = np.nonzero(bounds <= limit)[0]
        if len(others):
            grid_parts = self._grid_part(queries, query, others)
            evaluated += len(others)
            near = grid_parts + composition_bounds[others] <= limit
            others, grid_parts = others[near], grid_parts[near]
            order = np.argsort(grid_parts + composition_bounds[others], kind="stable")
            for start in range(0, len(order), FIRST_CANDIDATES):
                part = order[start : start + FIRST_CANDIDATES]
                part = part[grid_parts[part] + composition_bounds[others[part]] <= limit]
                if len(part) == 0:
                    break
                totals = np.append(totals, grid_parts[part] + self._composition_part(queries, query, others[part]))
                rows = np.append(rows, others[part])
                transported += len(part)
                limit = np.partition(totals, k - 1)[k - 1] + TIE
        best = np.lexsort((rows, np.rint(totals / TIE)))[:k]
        return totals[best], rows[best], evaluated, transported if self.dissimilarity_.composition_weight > 0 else 0

    def _grid_part(self, queries: DescribedCrystals, query: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        out = np.zeros(len(rows))
        if self.dissimilarity_.grid_weight > 0:
            own, known = queries.grids, self.references_.grids
            arrays = (own.indptr, own.indices, own.data, query, known.indptr, known.indices, known.data, rows, known.n_bins)
            kernels.emd_pairs(*arrays, *self._exact_sums, out)
            out *= self.dissimilarity_.grid_weight
        return out

    def _composition_bounds(self, queries: DescribedCrystals, query: int) -> NDArray[np.float64]:
        out = np.zeros(self.n_samples_fit_)
        if self._index is not None:
            out = self._index.lower_bounds(queries.compositions[query])
        elif self.dissimilarity_.composition_weight > 0:
            kernels.manhattan_to_all(queries.compositions[query], self.references_.compositions, out)
        return self.dissimilarity_.composition_weight * out

    def _composition_part(self, queries: DescribedCrystals, query: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        out = np.zeros(len(rows))
        if self._index is not None:
            out = self._index.emd(queries.compositions[query], rows)
        elif self.dissimilarity_.composition_weight > 0:
            kernels.manhattan_to_rows(queries.compositions[query], self.references_.compositions, rows, out)
        return self.dissimilarity_.composition_weight * out


def _ragged(arrays: list[NDArray[Any]]) -> NDArray[np.object_]:
    out = np.empty(len(arrays), object)
    for row, array in enumerate(arrays):
        out[row] = array
    return out
