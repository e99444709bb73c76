"""Intervals that hold their share: from errors over the deviations that were stated, of which there may be few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy.stats import t as student

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

DEGREES_OF_FREEDOM = 3.0
"""Of Student's t distribution that errors are expected to follow, in units of what was stated."""

EXPECTED = 30.0
"""Errors that the expectation counts as much as."""

SPREAD = 2.0
"""Errors that the spread of the values counts as much as, where errors tell the scale of the expectation."""

OPTIMISM, ONSET, WHOLE_SEARCH = 65.0, 140.0, 8
"""Leave-one-out errors of m crystals are too small by exp(-OPTIMISM / (m + ONSET)) after a search for weights of so many steps."""

POINTS = 400
"""Quantiles that stand for the expectation."""

MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""

STEPS = 30
"""Of the EM algorithm, which converges in some ten."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What errors are like.

    Parameters
    ----------
    ratios : ndarray of shape (n,)
        Sizes of errors over the relative standard deviations that were stated, ascending.
    scale : float
        That of the Student's t distribution that they are expected to follow.
    """

    ratios: FloatArray
    scale: float

    @classmethod
    def of(cls, ratios: FloatArray, values: FloatArray) -> Self:
        """Learn from the ratios of crystals, in any order, and from their values."""
        spread = MAD_TO_SIGMA * float(np.median(np.abs(values - np.median(values))))
        return cls(np.sort(ratios), error_scale(ratios, spread or float(values.std())))

    def factor(self, coverage: float) -> float:
        """Give the factor on stated deviations that makes intervals of a coverage.

        It is the quantile of the ratios, together with some that are expected: what a few ratios can't tell, Student's t
        distribution does; many speak for themselves.
        """
        levels = (np.arange(POINTS) + 0.5) / POINTS
        expected = self.scale * student.ppf((1 + levels) / 2, DEGREES_OF_FREEDOM)
        sizes = np.concatenate([self.ratios, expected])
        order = np.argsort(sizes, kind="stable")
        counts = np.repeat([1.0, EXPECTED / POINTS], [len(self.ratios), POINTS])[order]
        return float(np.interp(coverage * counts.sum(), np.cumsum(counts), sizes[order]))


def optimism(n: int, steps: int) -> float:
    """Factor by which leave-one-out errors of n crystals are raised: a search for weights of so many steps made them small."""
    return float(np.exp(OPTIMISM / (n + ONSET) * min(1, steps / WHOLE_SEARCH)))


def error_scale(ratios: FloatArray, spread: float) -> float:
    """Scale of Student's t distribution that ratios follow, by the EM algorithm; a few are drawn to the spread of the values."""
    squares = ratios**2
    scale = max(float(np.median(squares)), 1e-6 * spread**2)
    for _ in range(STEPS):
        weights = (DEGREES_OF_FREEDOM + 1) / (DEGREES_OF_FREEDOM + squares / scale)
        scale = (float(weights @ squares) + SPREAD * spread**2) / (len(ratios) + SPREAD)
    return float(np.sqrt(scale))
