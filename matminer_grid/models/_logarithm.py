"""Whether a property is learned better as its logarithm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matminer_grid.models._distances import feature_scales
from matminer_grid.models.learned import START_NOISE, distinct
from matminer_grid.models.process import covariance_of, inverted, left_out

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matminer_grid.models._distances import Blocks
    from matminer_grid.models.learned import Settings


def log_is_better(features: NDArray[np.float64], y: NDArray[np.float64], blocks: Blocks, settings: Settings) -> bool:
    """Tell whether log10 of a property has the smaller leave-one-out error, before any weights are found.

    Errors of the two are compared as the likelihoods of Laplace distributions are: that of the logarithm times the geometric mean
    of the property (G. E. P. Box and D. R. Cox, J. R. Stat. Soc. B 26 (1964) 211-252). Values of 0 or below have no logarithm.
    """
    if y.min() <= 0:
        return False
    rows, _ = distinct(features, y)
    features, y = features[rows], y[rows]
    random = np.random.default_rng(settings.random_state)
    scale = feature_scales(features, blocks, random)
    for weight, block in zip(blocks.start, blocks.weighted.values(), strict=True):
        scale[block] *= weight
    sample = random.permutation(len(y))[: settings.tune_samples]
    vectors, values = (features[sample] * scale).astype(np.float32), y[sample]
    joint = covariance_of(vectors, settings.n_jobs).astype(np.float64)
    joint[np.diag_indices(len(values))] += START_NOISE
    inverse = inverted(joint)
    errors = [np.abs(left_out(inverse, one)[2]).mean() for one in (np.log(values), values)]
    return bool(errors[0] * np.exp(np.log(values).mean()) < errors[1])
