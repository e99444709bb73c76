"""Exact nearest neighbours by GRID and composition: lower bounds for all references, distances for those that may be near."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matminer_grid.kernels import emd as kernels
from matminer_grid.similarity.composition import SubstitutionIndex
from matminer_grid.similarity.histograms import exact_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matminer_grid.similarity.described import DescribedCrystals
    from matminer_grid.similarity.dissimilarity import CrystalDissimilarity

    Answer = tuple[NDArray[np.float64], NDArray[np.int64], int, int]

TIE = 1e-9
"""Dissimilarities that round to the same multiple of this are a tie, which the lower index wins."""

FIRST_CANDIDATES = 32
"""References that are evaluated first, to know how near a neighbour must be."""


def ranked(totals: NDArray[np.float64], rows: NDArray[np.int64], k: int | None = None) -> tuple[Any, Any]:
    """Give distances and rows, the first k of them, in the order of the distances; ties go to the lower row."""
    order = np.lexsort((rows, np.rint(totals / TIE)))[:k]
    return totals[order], rows[order]


def first_rows(bounds: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Find rows of the lowest bounds, some more than the k that are asked for; infinite bounds are left out."""
    n = max(FIRST_CANDIDATES, 4 * k)
    rows = np.argpartition(bounds, n)[:n] if n < len(bounds) else np.arange(len(bounds))
    return rows[np.isfinite(bounds[rows])]


def manhattan(point: NDArray[np.float64], references: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute the Manhattan distances from a point (d,) to some rows (m,) of the references (n, d)."""
    out = np.empty(len(rows))
    kernels.manhattan_to_rows(point, references, rows, out)
    return out


class GridIndex:
    """References, ready to be compared with one query at a time, for the resolution "grid"."""

    def __init__(self, dissimilarity: CrystalDissimilarity, references: DescribedCrystals) -> None:
        self.dissimilarity = dissimilarity
        self.references = references
        self.scales = dissimilarity.scales
        self._exact_sums = exact_sums(self.scales, references.grids.n_bins)
        self._means = references.grids.means * self.scales
        sums = self._means.sum(axis=1)
        self._order = np.argsort(sums, kind="stable")
        self._sums = sums[self._order]
        self._substitution = None
        if dissimilarity.composition_metric == "substitution":
            self._substitution = SubstitutionIndex(references.compositions)

    def prepare(self, queries: DescribedCrystals) -> DescribedCrystals:
        """Give what the other methods take as queries."""
        return queries

    def nearest(self, queries: DescribedCrystals, query: int, k: int, left_out: int) -> Answer:
        """Answer one query: distances, rows, and how many GRID and composition EMDs it took."""
        grid_bounds = np.empty(len(self.references))
        kernels.manhattan_to_all(queries.grids.means[query] * self.scales, self._means, grid_bounds)
        composition_bounds = self._composition_bounds(queries, query)
        bounds = self.dissimilarity.grid_weight * grid_bounds + composition_bounds
        if left_out >= 0:
            bounds[left_out] = np.inf
        rows = first_rows(bounds, k)
        totals = self.totals(queries, query, rows)
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
        return *ranked(totals, rows, k), evaluated, transported if self.dissimilarity.composition_metric is not None else 0

    def within(self, queries: DescribedCrystals, query: int, radius: float, left_out: int) -> Answer:
        """Answer one query: the references within a radius, as for :meth:`nearest`."""
        limit = radius + TIE
        bound_limit = limit + TIE  # rounding must not lift a bound above the limit
        means = queries.grids.means[query] * self.scales
        reach = bound_limit / self.dissimilarity.grid_weight if self.dissimilarity.grid_weight > 0 else np.inf
        start, stop = np.searchsorted(self._sums, (means.sum() - reach, means.sum() + reach))
        rows = self._order[start:stop]
        rows = rows[rows != left_out]
        bounds = self.dissimilarity.grid_weight * manhattan(means, self._means, rows)
        if self._substitution is None:  # on the scale the composition EMD is cheaper than the GRID EMD, by substitution dearer
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
        return *ranked(totals[near], rows[near]), evaluated, transported if self.dissimilarity.composition_metric is not None else 0

    def _grid_part(self, queries: DescribedCrystals, query: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        out = np.zeros(len(rows))
        if self.dissimilarity.grid_weight > 0:
            own, known = queries.grids, self.references.grids
            arrays = (own.indptr, own.indices, own.data, query, known.indptr, known.indices, known.data, rows, known.n_bins)
            kernels.emd_pairs(*arrays, *self._exact_sums, out)
            out *= self.dissimilarity.grid_weight
        return out

    def _composition_bounds(self, queries: DescribedCrystals, query: int) -> NDArray[np.float64]:
        out = np.zeros(len(self.references))
        if self._substitution is not None:
            out = self._substitution.lower_bounds(queries.compositions[query])
        elif self.dissimilarity.composition_metric is not None:
            kernels.manhattan_to_all(queries.compositions[query], self.references.compositions, out)
        return self.dissimilarity.composition_weight * out

    def _composition_part(self, queries: DescribedCrystals, query: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        out = np.zeros(len(rows))
        if self._substitution is not None:
            out = self._substitution.emd(queries.compositions[query], rows)
        elif self.dissimilarity.composition_metric is not None:
            out = manhattan(queries.compositions[query], self.references.compositions, rows)
        return self.dissimilarity.composition_weight * out

    def totals(self, queries: DescribedCrystals, query: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Evaluate the dissimilarities of a query to some references."""
        return self._grid_part(queries, query, rows) + self._composition_part(queries, query, rows)

    def bounds(self, queries: DescribedCrystals, query: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Bound the dissimilarities of a query to some references from below."""
        out = self.dissimilarity.grid_weight * manhattan(queries.grids.means[query] * self.scales, self._means, rows)
        if self._substitution is not None:
            of_compositions = self._substitution.lower_bounds_of(queries.compositions[query], rows)
            return out + self.dissimilarity.composition_weight * of_compositions
        return out + self._composition_part(queries, query, rows)
