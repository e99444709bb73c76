"""Exact nearest neighbours: bounds rule out most references, and the others are evaluated, the most promising first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from matminer_grid.similarity.clusters import Clusters, lower_bounds, reach, rounded
from matminer_grid.similarity.grid_index import TIE, GridIndex, Pairs, ranked
from matminer_grid.similarity.site_index import SiteIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from matminer_grid.similarity.described import DescribedCrystals
    from matminer_grid.similarity.dissimilarity import CrystalDissimilarity
    from matminer_grid.similarity.grid_index import Evaluated

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

FIRST_CANDIDATES = 32
"""References of the lowest bounds that are looked at first, to know how near a neighbour must be."""

CHUNK_SIZE = 4096
"""Crystals whose vectors are made at once."""


class Answer(NamedTuple):
    """Neighbours of a query, nearest first, and how many references it took.

    Parameters
    ----------
    distances, rows : ndarray of shape (m,)
    n_bounded, n_evaluated, n_transported : int
        References whose bounds, GRID EMDs or plans of sites, and composition EMDs or plans of sites were computed.
    """

    distances: FloatArray
    rows: IntArray
    n_bounded: int
    n_evaluated: int
    n_transported: int


class References(Protocol):
    """Crystals to be searched.

    Parameters
    ----------
    at_once : int
        How many references of a query are described before it is looked at again how near a neighbour must be.
    """

    at_once: int

    @property
    def segments(self) -> Sequence[Clusters]:
        """The vectors of the first crystals, of those that follow, and so on."""
        ...

    def __len__(self) -> int: ...

    def described(self, rows: IntArray) -> tuple[DescribedCrystals, IntArray]:
        """Describe some references; gives also where each of the rows stands among what is described."""
        ...


class DescribedReferences:
    """References that are described already."""

    at_once = 2**62

    def __init__(self, index: GridIndex | SiteIndex, crystals: DescribedCrystals, n_jobs: int | None) -> None:
        self.crystals = crystals
        parts = [rounded(index.vectors(crystals[start : start + CHUNK_SIZE])) for start in range(0, len(crystals), CHUNK_SIZE)]
        vectors = np.concatenate([part[0] for part in parts])
        self.segments: Sequence[Clusters] = [Clusters.of(vectors, max(part[1] for part in parts), n_jobs=n_jobs)]

    def __len__(self) -> int:
        return len(self.crystals)

    def described(self, rows: IntArray) -> tuple[DescribedCrystals, IntArray]:
        """Give all references."""
        return self.crystals, rows


class _Query:
    """A query under way: what is near it by the bounds."""

    def __init__(self, vector: FloatArray, references: References, left_out: int) -> None:
        (self.point,), self.error = rounded(vector[None])
        self.segments = references.segments
        self.to_centers = [segment.to_centers(self.point) for segment in self.segments]
        self.first_rows = np.cumsum([0, *map(len, self.segments)]).tolist()
        self.left_out = left_out
        self.n_bounded = self.n_evaluated = self.n_transported = 0
        self.rows, self.totals = np.empty(0, np.int64), np.empty(0)

    def nearest(self, n: int) -> tuple[IntArray, FloatArray]:
        """Give the rows of the lowest bounds, with their bounds, ascending."""
        best, rows = np.full(n, np.inf), np.full(n, -1)
        for segment, to_centers, first in zip(self.segments, self.to_centers, self.first_rows, strict=False):
            self.n_bounded += segment.nearest(self.point, to_centers, self.left_out - first, first, best, rows)
        error = max(segment.error for segment in self.segments)
        found = rows >= 0
        return rows[found], lower_bounds(best[found], self.error + error)

    def within(self, limit: float) -> tuple[IntArray, FloatArray]:
        """Give the rows whose bounds are within a limit, with their bounds, ascending."""
        all_rows, all_bounds = [], []
        for segment, to_centers, first in zip(self.segments, self.to_centers, self.first_rows, strict=False):
            error = self.error + segment.error
            rows, distances, n_bounded = segment.within(self.point, to_centers, reach(limit, error))
            self.n_bounded += n_bounded
            all_rows.append(first + rows)
            all_bounds.append(lower_bounds(distances, error))
        rows, bounds = np.concatenate(all_rows), np.concatenate(all_bounds)
        order = np.argsort(bounds, kind="stable")
        order = order[rows[order] != self.left_out]
        return rows[order], bounds[order]

    def take(self, rows: IntArray, found: Evaluated) -> None:
        """Add what was evaluated."""
        self.rows, self.totals = np.append(self.rows, rows), np.append(self.totals, found.totals)
        self.n_evaluated += found.n_evaluated
        self.n_transported += found.n_transported

    def answer(self, k: int | None = None) -> Answer:
        """Give what was found, the first k of it."""
        found = np.isfinite(self.totals)
        distances, rows = ranked(self.totals[found], self.rows[found], k)
        return Answer(distances, rows, self.n_bounded, self.n_evaluated, self.n_transported)


class _Nearest(_Query):
    """A query for the k nearest references: first those of the lowest bounds, then all that may be nearer than what was found."""

    def __init__(self, vector: FloatArray, references: References, left_out: int, k: int) -> None:
        super().__init__(vector, references, left_out)
        self.best = np.full(k, np.inf)
        self.waiting, self.bounds = self.nearest(min(len(references), max(FIRST_CANDIDATES, 2 * k)))
        self.is_complete = False

    def next(self, n: int) -> tuple[IntArray, FloatArray]:
        """Give up to n rows to be evaluated, with their bounds; none if the query is answered."""
        limit = self.best[-1] + TIE
        if not self.is_complete and (len(self.waiting) == 0 or self.bounds[0] > limit):
            rows, bounds = self.within(limit)
            new = ~np.isin(rows, self.rows)
            self.waiting, self.bounds, self.is_complete = rows[new], bounds[new], True
        n = min(n, int(np.searchsorted(self.bounds, limit, side="right")))
        rows, bounds = self.waiting[:n], self.bounds[:n]
        self.waiting, self.bounds = self.waiting[n:], self.bounds[n:]
        return rows, bounds


class _Within(_Query):
    """A query for all references within a radius."""

    def __init__(self, vector: FloatArray, references: References, left_out: int, radius: float) -> None:
        super().__init__(vector, references, left_out)
        self.limit = radius + TIE
        self.waiting, _ = self.within(self.limit + TIE)  # rounding must not lift a bound above the limit

    def next(self, n: int) -> tuple[IntArray, FloatArray]:
        """Give up to n rows to be evaluated; none if the query is answered."""
        rows, self.waiting = self.waiting[:n], self.waiting[n:]
        return rows, np.zeros(len(rows))


def search_index(dissimilarity: CrystalDissimilarity, references: DescribedCrystals | None = None) -> GridIndex | SiteIndex:
    """Make what evaluates a dissimilarity for search."""
    return SiteIndex(dissimilarity) if dissimilarity.resolution == "sites" else GridIndex(dissimilarity, references)


class ExactSearch:
    """Exact nearest neighbours of some queries at a time, whose references are described together."""

    def __init__(self, index: GridIndex | SiteIndex, references: References) -> None:
        self.index = index
        self.references = references

    def nearest(self, queries: DescribedCrystals, k: int, left_out: Sequence[int]) -> list[Answer]:
        """Find the k nearest references of each query, but the one that it leaves out; -1 is none."""
        vectors = self.index.vectors(queries)
        searches = [_Nearest(vector, self.references, row, k) for vector, row in zip(vectors, left_out, strict=True)]

        def evaluate(search: _Nearest, pairs: Pairs, bounds: FloatArray) -> Evaluated:
            return self.index.evaluate(pairs, bounds, search.best)

        self._run(searches, queries, max(k, self.references.at_once), evaluate)
        return [search.answer(k) for search in searches]

    def within(self, queries: DescribedCrystals, radius: float, left_out: Sequence[int]) -> list[Answer]:
        """Find all references within a radius of each query, as :meth:`nearest` does."""
        vectors = self.index.vectors(queries)
        searches = [_Within(vector, self.references, row, radius) for vector, row in zip(vectors, left_out, strict=True)]

        def evaluate(search: _Within, pairs: Pairs, _: FloatArray) -> Evaluated:
            found = self.index.within(pairs, search.limit)
            return found._replace(totals=np.where(found.totals <= search.limit, found.totals, np.inf))

        self._run(searches, queries, self.references.at_once, evaluate)
        return [search.answer() for search in searches]

    def _run(self, searches: Sequence[Any], queries: DescribedCrystals, n: int, evaluate: Callable[..., Evaluated]) -> None:
        """Evaluate what each query still wants, n references of each at a time, until none wants more."""
        under_way = list(enumerate(searches))
        while True:
            wanted = [search.next(n) for _, search in under_way]
            under_way = [one for one, (rows, _) in zip(under_way, wanted, strict=True) if len(rows)]
            wanted = [one for one in wanted if len(one[0])]
            if not wanted:
                return
            known, places = self.references.described(np.concatenate([rows for rows, _ in wanted]))
            first = 0
            for (query, search), (rows, bounds) in zip(under_way, wanted, strict=True):
                pairs = Pairs(queries, query, known, places[first : first + len(rows)])
                search.take(rows, evaluate(search, pairs, bounds))
                first += len(rows)
