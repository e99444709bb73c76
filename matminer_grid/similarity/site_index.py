"""Exact nearest neighbours by the site dissimilarity: lower bounds for all references, plans for the few that may be near."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matminer_grid.kernels.emd import manhattan_to_all
from matminer_grid.kernels.sites import nearest_by_sites, site_dissimilarities
from matminer_grid.similarity.grid_index import TIE, first_rows, manhattan, ranked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matminer_grid.kernels.environments import Environments
    from matminer_grid.similarity.described import DescribedCrystals
    from matminer_grid.similarity.dissimilarity import CrystalDissimilarity
    from matminer_grid.similarity.grid_index import Answer


class Vectors(NamedTuple):
    """Crystals with the vectors that bound their dissimilarities.

    `first` are weighted mean distances at each rank and compositions, shape (n, n_groups + n_elements), and `second` weighted mean
    surroundings, shape (n, n_elements).
    """

    environments: Environments
    first: NDArray[np.float64]
    second: NDArray[np.float64]


class SiteIndex:
    """References, ready to be compared with one query at a time.

    Every plan couples the sites of two crystals rank by rank, their elements, and what surrounds them, so the differences of the
    crystals' mean distances, compositions and mean surroundings add up to no more than the dissimilarity. The first two are
    computed for all references, the third for those that may still be near.
    """

    def __init__(self, dissimilarity: CrystalDissimilarity, references: DescribedCrystals) -> None:
        self.weights = dissimilarity.site_weights
        self.references = self.prepare(references)
        sums = self.references.first[:, : self.weights.ranks.size].sum(axis=1)
        self._order = np.argsort(sums, kind="stable")
        self._sums = sums[self._order]

    def prepare(self, crystals: DescribedCrystals) -> Vectors:
        """Give what the other methods take as queries."""
        by_rank, around = crystals.sites.averages
        parts = [self.weights.geometry * self.weights.ranks * by_rank, self.weights.elements * crystals.compositions]
        return Vectors(crystals.sites.environments, np.hstack(parts), self.weights.neighbors * around)

    def nearest(self, queries: Vectors, query: int, k: int, left_out: int) -> Answer:
        """Answer one query: distances, rows, and for how many references both bounds and the dissimilarity were computed."""
        bounds = np.empty(len(self.references.first))
        manhattan_to_all(queries.first[query], self.references.first, bounds)
        if left_out >= 0:
            bounds[left_out] = np.inf
        rows = first_rows(bounds, k)
        bounds_of_rows, bounds[rows] = bounds[rows], np.inf
        best = np.full(k, np.inf)
        rows, totals, looked_at = self._evaluate(queries, query, rows, bounds_of_rows, best)
        others = np.nonzero(bounds <= best[-1] + TIE)[0]
        more, more_totals, more_looked_at = self._evaluate(queries, query, others, bounds[others], best)
        rows, totals = np.concatenate((rows, more)), np.concatenate((totals, more_totals))
        return *ranked(totals, rows, k), looked_at + more_looked_at, len(rows)

    def _evaluate(
        self,
        queries: Vectors,
        query: int,
        rows: NDArray[np.int64],
        bounds: NDArray[np.float64],
        best: NDArray[np.float64],
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
        """Evaluate rows in the order of both bounds, until none can be among the best, which are kept up to date."""
        both = bounds + manhattan(queries.second[query], self.references.second, rows)
        order = np.argsort(both, kind="stable")
        order = order[both[order] <= best[-1] + TIE]
        totals = np.empty(len(order))
        own, known = queries.environments, self.references.environments
        n = nearest_by_sites(own, query, known, rows[order], both[order], self.weights, best, TIE, totals)
        return rows[order][:n], totals[:n], len(rows)

    def within(self, queries: Vectors, query: int, radius: float, left_out: int) -> Answer:
        """Answer one query: the references within a radius, as for :meth:`nearest`."""
        limit = radius + TIE
        bound_limit = limit + TIE  # rounding must not lift a bound above the limit
        own_sum = queries.first[query][: self.weights.ranks.size].sum()
        start, stop = np.searchsorted(self._sums, (own_sum - bound_limit, own_sum + bound_limit))
        rows = self._order[start:stop]
        rows = rows[rows != left_out]
        bounds = manhattan(queries.first[query], self.references.first, rows)
        near = bounds <= bound_limit
        rows, bounds = rows[near], bounds[near]
        looked_at = len(rows)
        rows = rows[bounds + manhattan(queries.second[query], self.references.second, rows) <= bound_limit]
        totals = self.totals(queries, query, rows)
        near = totals <= limit
        return *ranked(totals[near], rows[near]), looked_at, len(rows)

    def totals(self, queries: Vectors, query: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Evaluate the dissimilarities of a query to some references."""
        out = np.empty(len(rows))
        own = np.full(len(rows), query)
        site_dissimilarities(queries.environments, own, self.references.environments, rows, self.weights, out)
        return out

    def bounds(self, queries: Vectors, query: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Bound the dissimilarities of a query to some references from below."""
        of_first = manhattan(queries.first[query], self.references.first, rows)
        return of_first + manhattan(queries.second[query], self.references.second, rows)
