"""Exact nearest neighbours under a crystal dissimilarity, without the full matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from matminer_grid._threads import n_threads, with_progress
from matminer_grid._validation import check_number, check_whole
from matminer_grid.similarity.dissimilarity import CrystalDissimilarity, checked_dissimilarity
from matminer_grid.similarity.grid_index import GridIndex
from matminer_grid.similarity.site_index import SiteIndex

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from matminer_grid.similarity.described import DescribedCrystals
    from matminer_grid.similarity.grid_index import Answer

CHUNK_SIZE = 16
"""Queries answered in one go by a thread."""


class EMDSearch(BaseEstimator):
    """Exact nearest neighbours by a :class:`CrystalDissimilarity`.

    For each query all references are bounded from below: distances by the differences of the groups' mean distances (exact where
    one distribution lies above the other throughout), compositions by their earth mover's distance, or by relaxed transport, and
    the surroundings of sites by those of crystals. Only references whose bound does not exceed the k-th best dissimilarity found so
    far are evaluated. The result is that of evaluating all of them; ties go to the lower index.

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
        Share of the pairs of the last search whose GRID EMD had to be evaluated; by sites, whose surroundings were compared.
    transported_share_ : float
        Share of the pairs of the last search whose composition EMD had to be evaluated; by sites, whose sites were transported.

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
        kind = SiteIndex if self.dissimilarity_.resolution == "sites" else GridIndex
        self._index: Any = kind(self.dissimilarity_, references)
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
        sklearn.exceptions.NotFittedError, TypeError, ValueError
            Called before :meth:`fit`; n_neighbors is below 1 or above the number of references; or the queries are invalid.
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
        no more than the dissimilarity. In it the bounds of :meth:`kneighbors` apply. The smaller the radius, the quicker.

        Parameters
        ----------
        radius : float, optional
            Largest dissimilarity; one equal to it counts as within, to 1e-9. That of the constructor by default.
        X, return_distance, pbar
            As for :meth:`kneighbors`.

        Returns
        -------
        distances, indices : ndarray of shape (n_queries,) of ndarrays
            As from :meth:`kneighbors`.

        Raises
        ------
        sklearn.exceptions.NotFittedError, TypeError, ValueError
            As :meth:`kneighbors`; or the radius is no number, negative or not finite.
        """
        queries = self._queries(X)
        limit = check_number("radius", self.radius if radius is None else radius)
        prepared = self._index.prepare(queries)

        def answer(query: int) -> Answer:
            return self._index.within(prepared, query, limit, query if X is None else -1)

        distances, indices = self._answer_all(answer, len(queries), self.n_samples_fit_ - (X is None), pbar)
        return (_ragged(distances), _ragged(indices)) if return_distance else _ragged(indices)

    def _queries(self, X: Any) -> DescribedCrystals:
        if not hasattr(self, "references_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet: call fit with the references first")
        return self.references_ if X is None else self.dissimilarity_.describe(X, n_jobs=self.n_jobs)

    def _nearest_by_query(self, queries: DescribedCrystals, k: int, leave_out_self: bool) -> Callable[[int], Answer]:
        prepared = self._index.prepare(queries)
        return lambda query: self._index.nearest(prepared, query, k, query if leave_out_self else -1)

    def _answer_all(
        self, answer: Callable[[int], Answer], n_queries: int, available: int, pbar: bool
    ) -> tuple[list[NDArray[np.float64]], list[NDArray[np.int64]]]:
        """Answer all queries in threads: the distances and the rows of each."""
        answers: list[Any] = [None] * n_queries

        def answer_chunk(start: int) -> int:
            queries = range(start, min(start + CHUNK_SIZE, n_queries))
            answers[queries.start : queries.stop] = [answer(query) for query in queries]
            return len(queries)

        bar = {"desc": "neighbours", "total": n_queries, "disable": not pbar}
        with_progress(answer_chunk, range(0, n_queries, CHUNK_SIZE), self.n_jobs, bar)
        distances, rows, evaluated, transported = ([answer[part] for answer in answers] for part in range(4))
        pairs = max(1, n_queries * available)
        self.evaluated_share_, self.transported_share_ = sum(evaluated) / pairs, sum(transported) / pairs
        return distances, rows


def _ragged(arrays: list[NDArray[Any]]) -> NDArray[np.object_]:
    out = np.empty(len(arrays), object)
    for row, array in enumerate(arrays):
        out[row] = array
    return out
