"""What a prediction rests on: weights of the training values, and the published distances to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matminer_grid.crystals.composition import cumulative_fractions
from matminer_grid.featurizers import GRIDFeaturizer
from matminer_grid.models._process import covariance
from matminer_grid.similarity.grid import grid_emd_by_group

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matminer_grid.crystals.crystal import Crystal

    FloatArray = NDArray[np.float64]


def local_shares(similarity: FloatArray, vectors: NDArray[np.float32], noise: FloatArray, n_jobs: int | None) -> FloatArray:
    """Weights of some training values in a prediction from them alone, their mean unknown: they add up to 1.

    Parameters
    ----------
    similarity : ndarray of shape (n,)
        Covariances with the structure.
    vectors : ndarray of shape (n, d); noise : ndarray of shape (n,)
        Of the training crystals.
    """
    joint = covariance(vectors, vectors, n_jobs).astype(np.float64) + np.diag(noise)
    shares, mean_shares = np.linalg.solve(joint, np.stack([similarity, np.ones(len(noise))], axis=1)).T
    return shares + (1 - shares.sum()) * mean_shares / mean_shares.sum()


def published_distances(crystal: Crystal, known: list[Crystal]) -> dict[str, FloatArray]:
    """EMD of GRIDs in Å, with the settings of the report, and of compositions on the modified Pettifor scale."""
    featurizer = GRIDFeaturizer()
    grids = featurizer.featurize_many([crystal, *known], pbar=False)
    n_groups, bin_size = featurizer.n_groups, featurizer.bin_size
    cumulative = cumulative_fractions([crystal, *known])
    return {
        "grid_emd": np.array(
            [grid_emd_by_group(grids[0], grid, n_groups=n_groups, bin_size=bin_size).mean() for grid in grids[1:]]
        ),
        "composition_emd": np.abs(cumulative[1:] - cumulative[0]).sum(axis=1),
    }
