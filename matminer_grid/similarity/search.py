"""Exact nearest neighbours under a crystal dissimilarity, without the full matrix."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from matminer_grid._threads import n_threads, with_progress
from matminer_grid._validation import check_number, check_whole
from matminer_grid.similarity.described import DescribedCrystals
from matminer_grid.similarity.dissimilarity import CrystalDissimilarity, checked_dissimilarity, structures_as_table
from matminer_grid.similarity.exact import DescribedReferences, ExactSearch, search_index
from matminer_grid.similarity.index import CrystalIndex, check_same
from matminer_grid.similarity.index_build import build_index

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from matminer_grid.similarity.clusters import Clusters
    from matminer_grid.similarity.exact import Answer

CHUNK_SIZE = 16
"""Queries answered in one go by a thread, where references are in memory."""


class EMDSearch(BaseEstimator):
    """Exact nearest neighbours by a :class:`CrystalDissimilarity`.

    Crystals are reduced to vectors whose Manhattan distances are no larger than the dissimilarities: the groups' mean distances,
    compositions, and the mean surroundings of sites. The vectors of the references stand in clusters, most of which the triangle
    inequality rules out, so that the time for a query grows more slowly than their number. Only references whose bound does not
    exceed the k-th best dissimilarity found so far are evaluated. The result is that of evaluating all of them; ties go to the
    lower index.

    References are held in memory, or on disk in an index that :meth:`save` writes and :meth:`load` opens.

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
    references_ : DescribedCrystals or CrystalIndex
        The references; a CrystalIndex after :meth:`load`.
    crystals_ : CrystalTable or None
        Their structures, where they were given.
    n_samples_fit_ : int
        Their number.
    bounded_share_ : float
        Share of the pairs of the last search whose bound had to be computed.
    evaluated_share_ : float
        Share of the pairs of the last search whose GRID EMD had to be evaluated; by sites, whose sites were transported.
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
        self.crystals_ = None if isinstance(X, DescribedCrystals) else structures_as_table(X)
        described = self.dissimilarity_.describe(X if self.crystals_ is None else self.crystals_, n_jobs=self.n_jobs)
        if len(described) == 0:
            raise ValueError("at least one reference is needed")
        self._index: Any = search_index(self.dissimilarity_, described)
        self._take(described)
        return self

    def save(self, path: str | Path, ids: Sequence[str] | None = None, *, overwrite: bool = False, pbar: bool = False) -> None:
        """Write the references to an index, a folder that :meth:`load` opens; :func:`build_index` does it without a search.

        Parameters
        ----------
        path, ids, overwrite, pbar
            As for :func:`build_index`, with its errors and warnings.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError
            Called before :meth:`fit`; or the references were described crystals, of which there are no structures.
        """
        self._check_fitted()
        crystals = self.references_.table if isinstance(self.references_, CrystalIndex) else self.crystals_
        if crystals is None:
            raise ValueError(
                "the references were described crystals, whose structures are not known: fit with structures to save them"
            )
        build_index(path, crystals, ids, dissimilarity=self.dissimilarity_, overwrite=overwrite, n_jobs=self.n_jobs, pbar=pbar)

    @classmethod
    def load(
        cls,
        path: str | Path,
        dissimilarity: CrystalDissimilarity | None = None,
        *,
        contents: bool = True,
        n_neighbors: int = 5,
        radius: float = 1.0,
        n_jobs: int | None = None,
    ) -> Self:
        """Open an index, which stays on disk, as a fitted search; its `references_` are a :class:`CrystalIndex`.

        Parameters
        ----------
        path : str or Path
            A folder that :meth:`save` or :func:`build_index` wrote.
        dissimilarity : CrystalDissimilarity, optional
            What the index must have been built for.
        contents : bool, default True
            Whether all files are read to check that they are whole; see :class:`CrystalIndex`.
        n_neighbors, radius, n_jobs
            Those of the search.

        Raises
        ------
        FileNotFoundError, ValueError
            There is no index; it is cut short, damaged, of another version or of another dissimilarity.
        """
        n_threads(n_jobs)
        index = CrystalIndex(path, contents=contents)
        if dissimilarity is not None:
            check_same(index.path, index.dissimilarity, checked_dissimilarity(dissimilarity))
        search = cls(index.dissimilarity, n_neighbors=n_neighbors, radius=radius, n_jobs=n_jobs)
        search.dissimilarity_ = index.dissimilarity
        search.crystals_ = None
        search._index = search_index(index.dissimilarity)
        search._take(index)
        return search

    @property
    def clusters_(self) -> Sequence[Clusters]:
        """The references' vectors in clusters: those of the first references, of those that follow, and so on."""
        self._check_fitted()
        return self._search.references.segments

    def _take(self, references: DescribedCrystals | CrystalIndex) -> None:
        self.references_: Any = references
        self.n_samples_fit_ = len(references)
        self.__dict__.pop("_search", None)

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
        self._check_fitted()
        k = check_whole("n_neighbors", self.n_neighbors if n_neighbors is None else n_neighbors)
        available = self.n_samples_fit_ - (X is None)
        if k > available:
            raise ValueError(f"n_neighbors must be between 1 and the number of references, {available}, not {k}")
        queries = self._queries(X)
        distances, indices = self._answer_all(self._nearest(queries, k, X is None), len(queries), available, pbar)
        rows = np.array(indices, np.int64).reshape(-1, k)
        return (np.array(distances).reshape(-1, k), rows) if return_distance else rows

    def radius_neighbors(
        self, X: Any = None, radius: float | None = None, return_distance: bool = True, *, pbar: bool = False
    ) -> Any:
        """Find all references of each query within a radius.

        The smaller the radius, the quicker.

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
        self._check_fitted()
        limit = check_number("radius", self.radius if radius is None else radius)
        queries = self._queries(X)
        search = self._search

        def answer(start: int, stop: int) -> list[Answer]:
            return search.within(queries[start:stop], limit, _left_out(start, stop, X is None))

        distances, indices = self._answer_all(answer, len(queries), self.n_samples_fit_ - (X is None), pbar)
        return (_ragged(distances), _ragged(indices)) if return_distance else _ragged(indices)

    def _check_fitted(self) -> None:
        if not hasattr(self, "references_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet: call fit with the references first")

    def _queries(self, X: Any) -> Any:
        return self.references_ if X is None else self.dissimilarity_.describe(X, n_jobs=self.n_jobs)

    @cached_property
    def _search(self) -> ExactSearch:
        known = self.references_
        return ExactSearch(
            self._index, known if isinstance(known, CrystalIndex) else DescribedReferences(self._index, known, self.n_jobs)
        )

    def _nearest(self, queries: Any, k: int, leave_out_self: bool) -> Callable[[int, int], list[Answer]]:
        """Make the function that finds the nearest references of some of the queries, from one to before another."""
        search = self._search
        return lambda start, stop: search.nearest(queries[start:stop], k, _left_out(start, stop, leave_out_self))

    def _answer_all(
        self, answer: Callable[[int, int], list[Answer]], n_queries: int, available: int, pbar: bool
    ) -> tuple[list[NDArray[np.float64]], list[NDArray[np.int64]]]:
        """Answer all queries in threads: the distances and the rows of each."""
        answers: list[Any] = [None] * n_queries
        most = CrystalIndex.queries_at_once if isinstance(self.references_, CrystalIndex) else CHUNK_SIZE
        at_once = max(1, min(most, -(-n_queries // n_threads(self.n_jobs))))

        def answer_chunk(start: int) -> int:
            stop = min(start + at_once, n_queries)
            answers[start:stop] = answer(start, stop)
            return stop - start

        bar = {"desc": "neighbours", "total": n_queries, "disable": not pbar}
        with_progress(answer_chunk, range(0, n_queries, at_once), self.n_jobs, bar)
        pairs = max(1, n_queries * available)
        self.bounded_share_ = sum(one.n_bounded for one in answers) / pairs
        self.evaluated_share_ = sum(one.n_evaluated for one in answers) / pairs
        self.transported_share_ = sum(one.n_transported for one in answers) / pairs
        return [one.distances for one in answers], [one.rows for one in answers]


def _left_out(start: int, stop: int, own: bool) -> range | list[int]:
    """Give the reference that each query leaves out."""
    return range(start, stop) if own else [-1] * (stop - start)


def _ragged(arrays: list[NDArray[Any]]) -> NDArray[np.object_]:
    out = np.empty(len(arrays), object)
    for row, array in enumerate(arrays):
        out[row] = array
    return out
