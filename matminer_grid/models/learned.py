"""One property as a process has learned it from features: weights of the distances, noise, calibrated intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matminer_grid.models._distances import feature_scales
from matminer_grid.models.process import LaplacianProcess, tune

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from matminer_grid.models._distances import Blocks

    FloatArray = NDArray[np.float64]

START_NOISE = 0.02

PRIOR = 1.2
"""Strength of the prior that keeps weights where they start, over the number of crystals in the search."""

CALIBRATION_SAMPLES = 1000
"""Training crystals whose leave-one-out residuals calibrate the intervals."""


@dataclass(frozen=True)
class Settings:
    """How a property is learned; the parameters of the models say what each means."""

    tune_samples: int
    tune_iterations: int
    robust_rounds: int
    n_local: int
    random_state: int
    n_jobs: int | None
    report: Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Learned:
    """A property that has been learned: the scale of each feature, weights by block, and the process."""

    scale: FloatArray
    weights: dict[str, float]
    process: LaplacianProcess

    @classmethod
    def fit(cls, features: FloatArray, values: FloatArray, blocks: Blocks, settings: Settings) -> Learned:
        """Learn the values of crystals from their features, each at its place."""
        random = np.random.default_rng(settings.random_state)
        settings.report("find the weights of the distances")
        scale, weights, noise = _search(features, values, blocks, settings, random)
        vectors = (features * scale).astype(np.float32)
        n_jobs = settings.n_jobs
        process = LaplacianProcess.fit(
            vectors, values, noise, rounds=settings.robust_rounds, n_jobs=n_jobs, progress=settings.report
        )
        settings.report("calibrate the intervals")
        sample = random.permutation(len(values))[:CALIBRATION_SAMPLES]
        return cls(scale, weights, process.calibrated(sample, settings.n_local, n_jobs))

    def vectors(self, features: FloatArray) -> NDArray[np.float32]:
        """Weight features, so that Manhattan distances are those of the process."""
        return (features * self.scale).astype(np.float32)


def _search(
    features: FloatArray, values: FloatArray, blocks: Blocks, settings: Settings, random: np.random.Generator
) -> tuple[FloatArray, dict[str, float], float]:
    """Find the scale of each feature, the weights of the blocks, and the noise."""
    scale = feature_scales(features, blocks, random)
    sample = random.permutation(len(values))[: settings.tune_samples]
    found, noise = tune(
        (features[sample] * scale).astype(np.float32),
        values[sample],
        list(blocks.weighted.values()),
        blocks.start,
        START_NOISE,
        iterations=settings.tune_iterations,
        prior=PRIOR / len(sample),
        n_jobs=settings.n_jobs,
    )
    weights = dict(zip(blocks.weighted, found.tolist(), strict=True))
    for name, block in blocks.weighted.items():
        scale[block] *= weights[name]
    return scale, weights, noise
