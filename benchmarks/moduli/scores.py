"""The scores of predicted moduli: how they are computed, each with a bootstrap interval, and how they are shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RESAMPLES = 500
CHUNK = 50
"""Resamples that are in memory together."""


@dataclass(frozen=True)
class Score:
    """How a score is shown, on the console, in pages, README and site."""

    label: str
    unit: str
    digits: int
    lower_is_better: bool = True

    @property
    def header(self) -> str:
        """Name and unit."""
        return f"{self.label} / {self.unit}" if self.unit else self.label


SCORES = {
    "MAE": Score("MAE", "GPa", 1),
    "median": Score("median", "GPa", 1),
    "RMSE": Score("RMSE", "GPa", 1),
    "MAE_log10": Score("MAE of log10", "", 3),
    "relative_MAE": Score("relative MAE", "%", 1),
    "R2": Score("R²", "", 3, lower_is_better=False),
}
"""By the name of their column; "median" is the median absolute error."""


def statistics(truth: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the scores of moduli in GPa along the last axis; the relative MAE is the mean of |predicted - truth| / truth."""
    error = np.abs(predicted - truth)
    spread = ((truth - truth.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    squares = (error**2).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample may hold one value only
        r_squared = 1 - squares / spread
    return {
        "MAE": error.mean(axis=-1),
        "median": np.median(error, axis=-1),
        "RMSE": np.sqrt(squares / error.shape[-1]),
        "MAE_log10": np.abs(np.log10(predicted) - np.log10(truth)).mean(axis=-1),
        "relative_MAE": 100 * (error / truth).mean(axis=-1),
        "R2": r_squared,
    }


def scores(truth: np.ndarray, predicted: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Compute every score with its 95 % interval, "MAE", "MAE low", "MAE high" and so on: percentiles of resampled entries.

    The same seed draws the same entries for every model, so that rows can be compared.
    """
    rng = np.random.default_rng(seed)
    resampled: dict[str, list[np.ndarray]] = {name: [] for name in SCORES}
    for _ in range(0, RESAMPLES, CHUNK):
        rows = rng.integers(0, len(truth), (CHUNK, len(truth)))
        for name, values in statistics(truth[rows], predicted[rows]).items():
            resampled[name].append(values)
    out = {}
    for name, value in statistics(truth, predicted).items():
        low, high = np.nanpercentile(np.concatenate(resampled[name]), (2.5, 97.5))
        out |= {name: float(value), f"{name} low": float(low), f"{name} high": float(high)}
    return out
