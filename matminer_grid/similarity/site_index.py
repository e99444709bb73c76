"""The site dissimilarity as exact search needs it: vectors that bound it from below, and plans for the few that may be near."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matminer_grid.kernels.sites import nearest_by_sites, site_dissimilarities
from matminer_grid.similarity.grid_index import TIE, Evaluated, Pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matminer_grid.similarity.described import DescribedCrystals
    from matminer_grid.similarity.dissimilarity import CrystalDissimilarity


class SiteIndex:
    """Evaluates the dissimilarity of one crystal to others for the resolution "sites".

    Every plan couples the sites of two crystals rank by rank, their elements, and what surrounds them, so the differences of the
    crystals' mean distances, compositions and mean surroundings add up to no more than the dissimilarity.
    """

    def __init__(self, dissimilarity: CrystalDissimilarity) -> None:
        self.weights = dissimilarity.site_weights

    @property
    def n_groups(self) -> int:
        """Number of the first columns of the vectors, which stand for distances."""
        return self.weights.ranks.size

    def vectors(self, crystals: DescribedCrystals) -> NDArray[np.float64]:
        """Give vectors whose Manhattan distances are no larger than the dissimilarities."""
        by_rank, around = crystals.sites.averages
        parts = [self.weights.geometry * self.weights.ranks * by_rank, self.weights.elements * crystals.compositions]
        return np.hstack([*parts, self.weights.neighbors * around] if crystals.compositions.size else parts[:1])

    def evaluate(self, pairs: Pairs, bounds: NDArray[np.float64], best: NDArray[np.float64]) -> Evaluated:
        """Evaluate pairs in the order of their bounds, until none can be among the best, which are kept up to date."""
        totals = np.full(len(bounds), np.inf)
        own, known = pairs.queries.sites.environments, pairs.known.sites.environments
        n = int(nearest_by_sites(own, pairs.query, known, pairs.rows, bounds, self.weights, best, TIE, totals))
        return Evaluated(totals, n, n)

    def within(self, pairs: Pairs, limit: float) -> Evaluated:  # noqa: ARG002  as GridIndex has it
        """Evaluate pairs that may be within a limit."""
        return Evaluated(self.totals(pairs), len(pairs.rows), len(pairs.rows))

    def totals(self, pairs: Pairs) -> NDArray[np.float64]:
        """Evaluate the dissimilarities of pairs."""
        out = np.empty(len(pairs.rows))
        own, known = pairs.queries.sites.environments, pairs.known.sites.environments
        site_dissimilarities(own, np.full(len(pairs.rows), pairs.query), known, pairs.rows, self.weights, out)
        return out

    def bounds(self, pairs: Pairs) -> NDArray[np.float64]:
        """Bound the dissimilarities of pairs from below."""
        own, known = (
            (*one.sites.averages, *([one.compositions] if one.compositions.size else [])) for one in (pairs.queries, pairs.known)
        )
        weights = self.weights.geometry * self.weights.ranks, self.weights.neighbors, self.weights.elements
        apart = zip(weights, own, known, strict=False)
        return np.sum([(weight * np.abs(b[pairs.rows] - a[pairs.query])).sum(axis=1) for weight, a, b in apart], axis=0)
