"""The dissimilarity by GRID and composition as exact search needs it: vectors that bound it, and distances for what may be near."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from matminer_grid.crystals.elements import SUBSTITUTION_ELEMENTS, substitution_dissimilarity
from matminer_grid.kernels import emd as kernels
from matminer_grid.similarity.composition import SubstitutionIndex
from matminer_grid.similarity.histograms import exact_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matminer_grid.similarity.described import DescribedCrystals
    from matminer_grid.similarity.dissimilarity import CrystalDissimilarity

TIE = 1e-9
"""Dissimilarities that round to the same multiple of this are a tie, which the lower index wins."""

AT_ONCE = 16
"""GRID EMDs that are evaluated before it is looked at again how near a neighbour must be."""


class Pairs(NamedTuple):
    """A crystal and some others that it is to be compared with."""

    queries: DescribedCrystals
    query: int
    known: DescribedCrystals
    rows: NDArray[np.int64]

    def part(self, places: NDArray[np.int64]) -> Pairs:
        """Give some of the pairs."""
        return self._replace(rows=self.rows[places])


class Evaluated(NamedTuple):
    """Dissimilarities, infinite where it was clear that they are no neighbour's; and how many pairs it took."""

    totals: NDArray[np.float64]
    n_evaluated: int
    n_transported: int


def ranked(totals: NDArray[np.float64], rows: NDArray[np.int64], k: int | None = None) -> tuple[Any, Any]:
    """Give distances and rows, the first k of them, in the order of the distances; ties go to the lower row."""
    order = np.lexsort((rows, np.rint(totals / TIE)))[:k]
    return totals[order], rows[order]


class GridIndex:
    """Evaluates the dissimilarity of one crystal to others for the resolution "grid".

    Parameters
    ----------
    dissimilarity : CrystalDissimilarity
    references : DescribedCrystals, optional
        Crystals that queries will be compared with often.
    """

    def __init__(self, dissimilarity: CrystalDissimilarity, references: DescribedCrystals | None = None) -> None:
        self.dissimilarity = dissimilarity
        self.scales = dissimilarity.scales
        self._is_transport = dissimilarity.composition_metric == "substitution"
        self._references = references
        self._substitution = None if references is None or not self._is_transport else SubstitutionIndex(references.compositions)

    @property
    def n_groups(self) -> int:
        """Number of the first columns of the vectors, which stand for distances."""
        return len(self.scales)

    def vectors(self, crystals: DescribedCrystals) -> NDArray[np.float64]:
        """Give vectors whose Manhattan distances are no larger than the dissimilarities."""
        parts = [self.dissimilarity.grid_weight * self.scales * crystals.grids.means]
        if self.dissimilarity.composition_metric is not None:
            factor = _least_costs() if self._is_transport else 1.0
            parts.append(self.dissimilarity.composition_weight * factor * crystals.compositions)
        return np.hstack(parts)

    def evaluate(self, pairs: Pairs, bounds: NDArray[np.float64], best: NDArray[np.float64]) -> Evaluated:
        """Evaluate pairs in the order of their bounds, until none can be among the best, which are kept up to date."""
        totals = np.full(len(bounds), np.inf)
        of_compositions = self._composition_bounds(pairs)
        order = np.arange(len(bounds))
        if self._is_transport:
            bounds = np.maximum(bounds, self._grid_bounds(pairs) + of_compositions)
            order = np.argsort(bounds, kind="stable")
        n_evaluated = n_transported = 0
        for start in range(0, len(order), AT_ONCE):
            part = order[start : start + AT_ONCE]
            part = part[bounds[part] <= best[-1] + TIE]
            if len(part) == 0:
                break
            found = self._up_to(pairs.part(part), of_compositions[part], best[-1] + TIE)
            n_evaluated, n_transported = n_evaluated + len(part), n_transported + found.n_transported
            totals[part] = found.totals
            best[:] = np.sort(np.append(best, found.totals))[: len(best)]
        return Evaluated(totals, n_evaluated, n_transported)

    def within(self, pairs: Pairs, limit: float) -> Evaluated:
        """Evaluate the pairs that may be within a limit."""
        totals = np.full(len(pairs.rows), np.inf)
        of_compositions = self._composition_bounds(pairs)
        near = np.arange(len(totals))
        if self._is_transport:
            near = np.nonzero(self._grid_bounds(pairs) + of_compositions <= limit)[0]
        found = self._up_to(pairs.part(near), of_compositions[near], limit)
        totals[near] = found.totals
        return found._replace(totals=totals)

    def _up_to(self, pairs: Pairs, of_compositions: NDArray[np.float64], limit: float) -> Evaluated:
        """Evaluate pairs, compositions only where they may still be within a limit."""
        totals = np.full(len(pairs.rows), np.inf)
        grids = self._grid_part(pairs)
        near = np.nonzero(grids + of_compositions <= limit)[0]
        totals[near] = grids[near] + (self._composition_part(pairs.part(near)) if self._is_transport else of_compositions[near])
        return Evaluated(totals, len(totals), len(near) if self.dissimilarity.composition_metric is not None else 0)

    def totals(self, pairs: Pairs) -> NDArray[np.float64]:
        """Evaluate the dissimilarities of pairs."""
        return self._grid_part(pairs) + self._composition_part(pairs)

    def bounds(self, pairs: Pairs) -> NDArray[np.float64]:
        """Bound the dissimilarities of pairs from below."""
        return self._grid_bounds(pairs) + self._composition_bounds(pairs)

    def _grid_part(self, pairs: Pairs) -> NDArray[np.float64]:
        out = np.zeros(len(pairs.rows))
        if self.dissimilarity.grid_weight > 0:
            own, known = pairs.queries.grids, pairs.known.grids
            of_query = own.indptr, own.indices, own.data, pairs.query
            of_known = known.indptr, known.indices, known.data, pairs.rows, known.n_bins
            kernels.emd_pairs(*of_query, *of_known, *exact_sums(self.scales, known.n_bins), out)
            out *= self.dissimilarity.grid_weight
        return out

    def _grid_bounds(self, pairs: Pairs) -> NDArray[np.float64]:
        own, known = pairs.queries.grids.means[pairs.query], pairs.known.grids.means[pairs.rows]
        return self.dissimilarity.grid_weight * (self.scales * np.abs(known - own)).sum(axis=1)

    def _composition_part(self, pairs: Pairs) -> NDArray[np.float64]:
        own = pairs.queries.compositions
        out = np.zeros(len(pairs.rows))
        if self._is_transport:
            index, rows = self._transport_of(pairs)
            out = index.emd(own[pairs.query], rows)
        elif self.dissimilarity.composition_metric is not None:
            kernels.manhattan_to_rows(own[pairs.query], pairs.known.compositions, pairs.rows, out)
        return self.dissimilarity.composition_weight * out

    def _composition_bounds(self, pairs: Pairs) -> NDArray[np.float64]:
        if not self._is_transport:
            return self._composition_part(pairs)
        index, rows = self._transport_of(pairs)
        return self.dissimilarity.composition_weight * index.lower_bounds_of(pairs.queries.compositions[pairs.query], rows)

    def _transport_of(self, pairs: Pairs) -> tuple[SubstitutionIndex, NDArray[np.int64]]:
        if self._substitution is not None and pairs.known is self._references:
            return self._substitution, pairs.rows
        return SubstitutionIndex(pairs.known.compositions[pairs.rows]), np.arange(len(pairs.rows))


def _least_costs() -> NDArray[np.float64]:
    """Give, for each element, half of what it costs at least to turn an atom of it into one of another, or the other way round."""
    apart = substitution_dissimilarity() + np.diag(np.full(len(SUBSTITUTION_ELEMENTS), np.inf))
    return apart.min(axis=1) / 2
