"""Exact nearest neighbours under GRID and composition EMD, without the full matrix."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import scipy.sparse
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from tqdm.auto import tqdm

from matminer_grid._threads import n_threads
from matminer_grid.crystals.composition import METRICS
from matminer_grid.crystals.inputs import as_crystals
from matminer_grid.kernels import emd as kernels
from matminer_grid.similarity.composition import SubstitutionIndex, composition_vectors
from matminer_grid.similarity.grid import Histograms, group_scales

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Answer = tuple[NDArray[np.float64], NDArray[np.int64], int, int]

TIE = 1e-9
"""Dissimilarities that round to the same multiple of this are a tie, which the lower index wins."""

FIRST_CANDIDATES = 32
"""References that are evaluated first, to know how near a neighbour must be."""

CHUNK_SIZE = 16
"""Queries answered in one go by a thread."""


def check_radius(name: str, radius: float) -> None:
    """Refuse what is no radius.

    Raises
    ------
    TypeError, ValueError
        It is no number, negative or not finite.
    """
    if not isinstance(radius, Real) or isinstance(radius, bool):
        raise TypeError(f"{name} must be a number, not {radius!r}")
    if not (math.isfinite(radius) and float(radius) >= 0):
        raise ValueError(f"{name} must be a finite number of at least 0, not {radius!r}")


class EMDSearch(BaseEstimator):
    """Exact nearest neighbours by a weighted sum of GRID and composition earth mover's distance.

    For each query all references are bounded from below: the GRID EMD by the differences of the groups' mean distances (exact
    where one distribution lies above the other throughout), the composition EMD by relaxed transport. Only references whose bound
    does not exceed the k-th best dissimilarity found so far are evaluated, first their GRID EMD and then their composition EMD.
    The result is that of evaluating all of them; ties go to the lower index.

    Parameters
    ----------
    featurizer : GRIDFeaturizer, optional
        Makes the features of structures, and sets `n_groups` and `bin_size`. Without it, features are given instead of structures.
    n_groups : int, default 100
        Number of groups of the features, where there is no featurizer.
    bin_size : float, default 0.1
        Width of their bins in Å, where there is no featurizer.
    grid_weight, composition_weight : float, default 10.0 and 1.0
        Weights of the two dissimilarities, those of the published method by default. 0 leaves one out.
    composition_metric : {"substitution", "modified_pettifor"}
        As for :func:`composition_emd`.
    group_weights : array-like of shape (n_groups,), optional
        As for :func:`grid_emd`.
    n_jobs : int, optional
        Number of threads, all cores by default.

    Attributes
    ----------
    n_samples_fit_ : int
        Number of references.
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
    >>> from matminer_grid import EMDSearch, GRIDFeaturizer
    >>> def rock_salt(a, cation, anion):
    ...     return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0, 0]])
    >>> known = [rock_salt(5.64, "Na", "Cl"), rock_salt(4.21, "Mg", "O"), rock_salt(6.29, "K", "Cl")]
    >>> search = EMDSearch(GRIDFeaturizer()).fit(known)
    >>> distances, indices = search.kneighbors([rock_salt(5.97, "Na", "Br")], k=2)
    >>> indices
    array([[0, 2]])
    """

    def __init__(
        self,
        featurizer: Any = None,
        *,
        n_groups: int = 100,
        bin_size: float = 0.1,
        grid_weight: float = 10.0,
        composition_weight: float = 1.0,
        composition_metric: str = "substitution",
        group_weights: ArrayLike | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.featurizer = featurizer
        self.n_groups = n_groups
        self.bin_size = bin_size
        self.grid_weight = grid_weight
        self.composition_weight = composition_weight
        self.composition_metric = composition_metric
        self.group_weights = group_weights
        self.n_jobs = n_jobs

    def fit(self, X: Any, compositions: Any = None) -> Self:
        """Take in the references.

        Parameters
        ----------
        X : structures, or features of shape (n, n_groups * n_bins)
            Structures as a list or CrystalTable, if there is a featurizer; else GRID features, dense or sparse.
        compositions : list of str, Composition, Structure or Crystal, or CrystalTable, optional
            What has the references' compositions; not needed with structures or a composition weight of 0.

        Raises
        ------
        TypeError, ValueError
            A parameter, the features or the compositions are invalid.
        """
        self._check_parameters()
        grids, compositions = self._read(X, compositions)
        if len(grids) == 0:
            raise ValueError("at least one reference is needed")
        self._grids = grids
        self._means = grids.means * self._scales
        sums = self._means.sum(axis=1)
        self._order = np.argsort(sums, kind="stable")
        self._sums = sums[self._order]
        self._fractions = self._composition_vectors(compositions)
        self._index = None
        if self._fractions is not None and self.composition_metric == "substitution":
            self._index = SubstitutionIndex(self._fractions)
        self.n_samples_fit_ = len(grids)
        return self

    def kneighbors(
        self, X: Any = None, compositions: Any = None, k: int = 1, *, pbar: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Find the k nearest references of each query.

        Parameters
        ----------
        X, compositions
            The queries, as for :meth:`fit`. Without them the references themselves are the queries, none its own neighbour.
        k : int, default 1
            Number of neighbours.
        pbar : bool, default False
            Whether to show a progress bar.

        Returns
        -------
        distances : ndarray of shape (n_queries, k)
            Weighted sums of the dissimilarities, ascending.
        indices : ndarray of shape (n_queries, k)
            Rows of the references.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Called before :meth:`fit`.
        TypeError, ValueError
            k is below 1 or above the number of references, or the queries are invalid.
        """
        grids, fractions = self._queries(X, compositions)
        leave_out_self = X is None
        available = self.n_samples_fit_ - leave_out_self
        if not isinstance(k, Integral) or isinstance(k, bool):
            raise TypeError(f"k must be a whole number, not {k!r}")
        if not 1 <= k <= available:
            raise ValueError(f"k must be between 1 and the number of references, {available}, not {k}")
        answer = self._nearest_by_query(grids, fractions, int(k), leave_out_self)
        distances, indices = self._answer_all(answer, len(grids), available, pbar)
        return np.array(distances).reshape(-1, k), np.array(indices, np.int64).reshape(-1, k)

    def radius_neighbors(
        self, X: Any = None, compositions: Any = None, radius: float = 1.0, *, pbar: bool = False
    ) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
        """Find all references of each query within a radius.

        References are sorted by the sum of their groups' mean distances, of which only a window is looked at: that sum differs by
        no more than the GRID EMD. In it the bounds of :meth:`kneighbors` apply. The smaller the radius, the quicker.

        Parameters
        ----------
        X, compositions
            The queries, as for :meth:`fit`. Without them the references themselves are the queries, none its own neighbour.
        radius : float, default 1.0
            Largest weighted sum of the dissimilarities; one equal to it counts as within, to 1e-9.
        pbar : bool, default False
            Whether to show a progress bar.

        Returns
        -------
        distances : ndarray of shape (n_queries,) of ndarrays
            Weighted sums of the dissimilarities, ascending.
        indices : ndarray of shape (n_queries,) of ndarrays
            Rows of the references.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Called before :meth:`fit`.
        TypeError, ValueError
            The radius is no number, negative or not finite, or the queries are invalid.

        Examples
        --------
        >>> search = EMDSearch(n_groups=1, composition_weight=0).fit(np.eye(4))  # one distance each, in bins of 0.1 Å
        >>> distances, indices = search.radius_neighbors(np.eye(4)[:1], radius=2.0)
        >>> distances[0].round(2), indices[0]
        (array([0., 1., 2.]), array([0, 1, 2]))
        """
        grids, fractions = self._queries(X, compositions)
        check_radius("radius", radius)
        leave_out_self = X is None

        def answer(query: int) -> Answer:
            return self._within(grids, fractions, query, float(radius), query if leave_out_self else -1)

        found = self._answer_all(answer, len(grids), self.n_samples_fit_ - leave_out_self, pbar)
        return _ragged(found[0]), _ragged(found[1])

    def dissimilarity(self, X: Any, compositions: Any = None) -> NDArray[np.float64]:
        """Evaluate the dissimilarity of each query to all references, leaving none out.

        Parameters
        ----------
        X, compositions
            The queries, as for :meth:`fit`.

        Returns
        -------
        ndarray of shape (n_queries, n_samples_fit_)

        Raises
        ------
        sklearn.exceptions.NotFittedError, TypeError, ValueError
            As :meth:`kneighbors`.
        """
        grids, fractions = self._queries(X, compositions)
        out = np.empty((len(grids), self.n_samples_fit_))
        everything = np.arange(self.n_samples_fit_)

        def evaluate(query: int) -> None:
            out[query] = self._grid_part(grids, query, everything) + self._composition_part(fractions, query, everything)

        Parallel(n_jobs=n_threads(self.n_jobs), require="sharedmem")(delayed(evaluate)(query) for query in range(len(grids)))
        return out

    def _queries(self, X: Any, compositions: Any) -> tuple[Histograms, NDArray[np.float64] | None]:
        if not hasattr(self, "n_samples_fit_"):
            raise NotFittedError("call fit with the references first")
        if X is None:
            return self._grids, self._fractions
        grids, compositions = self._read(X, compositions)
        if grids.n_bins != self._grids.n_bins:
            raise ValueError(f"the queries have {grids.n_bins} bins a group and the references {self._grids.n_bins}")
        return grids, self._composition_vectors(compositions)

    def _nearest_by_query(
        self, grids: Histograms, fractions: NDArray[np.float64] | None, k: int, leave_out_self: bool
    ) -> Callable[[int], Answer]:
        return lambda query: self._nearest(grids, fractions, query, k, query if leave_out_self else -1)

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

    def _within(self, grids: Histograms, fractions: NDArray[np.float64] | None, query: int, radius: float, left_out: int) -> Answer:
        """Answer one query: distances, rows, and how many GRID and composition EMDs it took."""
        limit = radius + TIE
        bound_limit = limit + TIE  # rounding must not lift a bound above the limit
        means = grids.means[query] * self._scales
        reach = bound_limit / self.grid_weight if self.grid_weight > 0 else np.inf
        start, stop = np.searchsorted(self._sums, (means.sum() - reach, means.sum() + reach))
        rows = self._order[start:stop]
        rows = rows[rows != left_out]
        bounds = np.empty(len(rows))
        kernels.manhattan_to_rows(means, self._means, rows, bounds)
        bounds *= self.grid_weight
        if self._index is None:  # on the scale the composition EMD is cheaper than the GRID EMD, by substitution dearer
            near = bounds <= bound_limit
            rows, bounds = rows[near], bounds[near]
            bounds += self._composition_part(fractions, query, rows)
        rows = rows[bounds <= bound_limit]
        evaluated = len(rows)
        totals = self._grid_part(grids, query, rows)
        near = totals <= limit
        rows, totals = rows[near], totals[near]
        transported = len(rows)
        totals += self._composition_part(fractions, query, rows)
        near = totals <= limit
        rows, totals = rows[near], totals[near]
        order = np.lexsort((rows, np.rint(totals / TIE)))
        return totals[order], rows[order], evaluated, transported if self.composition_weight > 0 else 0

    def _nearest(self, grids: Histograms, fractions: NDArray[np.float64] | None, query: int, k: int, left_out: int) -> Answer:
        """Answer one query: distances, rows, and how many GRID and composition EMDs it took."""
        grid_bounds = np.empty(self.n_samples_fit_)
        kernels.manhattan_to_all(grids.means[query] * self._scales, self._means, grid_bounds)
        composition_bounds = self._composition_bounds(fractions, query)
        bounds = self.grid_weight * grid_bounds + composition_bounds
        if left_out >= 0:
            bounds[left_out] = np.inf
        first = max(FIRST_CANDIDATES, 4 * k)
        rows = np.argpartition(bounds, first)[:first] if first < len(bounds) else np.arange(len(bounds))
        rows = rows[np.isfinite(bounds[rows])]
        totals = self._grid_part(grids, query, rows) + self._composition_part(fractions, query, rows)
        evaluated = transported = len(rows)
        limit = np.partition(totals, k - 1)[k - 1] + TIE
        bounds[rows] = np.inf
        others = np.nonzero(bounds <= limit)[0]
        if len(others):
            grid_parts = self._grid_part(grids, query, others)
            evaluated += len(others)
            near = grid_parts + composition_bounds[others] <= limit
            others, grid_parts = others[near], grid_parts[near]
            order = np.argsort(grid_parts + composition_bounds[others], kind="stable")
            for start in range(0, len(order), FIRST_CANDIDATES):
                part = order[start : start + FIRST_CANDIDATES]
                part = part[grid_parts[part] + composition_bounds[others[part]] <= limit]
                if len(part) == 0:
                    break
                totals = np.append(totals, grid_parts[part] + self._composition_part(fractions, query, others[part]))
                rows = np.append(rows, others[part])
                transported += len(part)
                limit = np.partition(totals, k - 1)[k - 1] + TIE
        best = np.lexsort((rows, np.rint(totals / TIE)))[:k]
        return totals[best], rows[best], evaluated, transported if self.composition_weight > 0 else 0

    def _grid_part(self, grids: Histograms, query: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        out = np.empty(len(rows))
        if self.grid_weight == 0:
            out[:] = 0
            return out
        known = self._grids
        kernels.emd_pairs(
            grids.indptr,
            grids.indices,
            grids.data,
            query,
            known.indptr,
            known.indices,
            known.data,
            rows,
            known.n_bins,
            self._scales,
            out,
        )
        out *= self.grid_weight
        return out

    def _composition_bounds(self, fractions: NDArray[np.float64] | None, query: int) -> NDArray[np.float64]:
        if fractions is None or self._fractions is None:
            return np.zeros(self.n_samples_fit_)
        if self._index is not None:
            return self.composition_weight * self._index.lower_bounds(fractions[query])
        out = np.empty(self.n_samples_fit_)
        kernels.manhattan_to_all(fractions[query], self._fractions, out)
        return self.composition_weight * out

    def _composition_part(self, fractions: NDArray[np.float64] | None, query: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        if fractions is None or self._fractions is None:
            return np.zeros(len(rows))
        if self._index is not None:
            return self.composition_weight * self._index.emd(fractions[query], rows)
        out = np.empty(len(rows))
        kernels.manhattan_to_rows(fractions[query], self._fractions, rows, out)
        return self.composition_weight * out

    @property
    def _scales(self) -> NDArray[np.float64]:
        source = self if self.featurizer is None else self.featurizer
        return group_scales(source.n_groups, source.bin_size, self.group_weights)

    def _check_parameters(self) -> None:
        for name in ("grid_weight", "composition_weight"):
            weight = getattr(self, name)
            if not isinstance(weight, Real) or not (math.isfinite(weight) and float(weight) >= 0):
                raise ValueError(f"{name} must be a finite number of at least 0, not {weight!r}")
        if self.grid_weight == 0 and self.composition_weight == 0:
            raise ValueError("grid_weight and composition_weight are both 0; at least one must be above")
        if self.composition_metric not in METRICS:
            raise ValueError(
                f"unknown composition_metric {self.composition_metric!r}; choose one of {', '.join(map(repr, METRICS))}"
            )
        n_threads(self.n_jobs)

    def _read(self, X: Any, compositions: Any) -> tuple[Histograms, Any]:
        is_features = scipy.sparse.issparse(X) or (isinstance(X, np.ndarray) and X.dtype != object)
        if is_features:
            n_groups = self.n_groups if self.featurizer is None else self.featurizer.n_groups
            features = X
        else:
            if self.featurizer is None:
                raise TypeError(
                    f"features of a GRIDFeaturizer are needed, as an array or sparse array, not {type(X).__name__}; "
                    "to search structures, use EMDSearch(featurizer=GRIDFeaturizer())"
                )
            structures = as_crystals(X)
            n_groups = self.featurizer.n_groups
            features = self.featurizer.featurize_sparse(structures)
            compositions = structures if compositions is None else compositions
        if self.composition_weight > 0 and compositions is None:
            raise ValueError("with a composition weight above 0 the compositions are needed beside the features")
        return Histograms.from_features(features, n_groups), compositions

    def _composition_vectors(self, compositions: Any) -> NDArray[np.float64] | None:
        if self.composition_weight == 0:
            return None
        return composition_vectors(compositions, self.composition_metric)


def _ragged(arrays: list[NDArray[Any]]) -> NDArray[np.object_]:
    out = np.empty(len(arrays), object)
    for row, array in enumerate(arrays):
        out[row] = array
    return out
