"""How far crystals lie apart, and in what: the published distances, and the parts of a model's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matminer_grid.crystals.composition import cumulative_fractions
from matminer_grid.featurizers import GRIDFeaturizer
from matminer_grid.models._distances import EXTRA, FAMILIES
from matminer_grid.similarity.grid import grid_emd_by_group

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matminer_grid.crystals.crystal import Crystal

    FloatArray = NDArray[np.float64]


def shell_distances(crystal: Crystal, known: list[Crystal], n_groups: int = 100) -> FloatArray:
    """EMD of each group of GRIDs to those of known crystals, in Å, with the settings of the report; of shape (n, n_groups)."""
    featurizer = GRIDFeaturizer(n_groups=n_groups)
    grid, *others = featurizer.featurize_many([crystal, *known], pbar=False)
    bin_size = featurizer.bin_size
    emds = [grid_emd_by_group(grid, other, n_groups=n_groups, bin_size=bin_size) for other in others]
    return np.reshape(emds, (-1, n_groups))


def published_distances(crystal: Crystal, known: list[Crystal]) -> dict[str, FloatArray]:
    """EMD of GRIDs in Å, with the settings of the report, and of compositions on the modified Pettifor scale."""
    cumulative = cumulative_fractions([crystal, *known])
    return {
        "grid_emd": shell_distances(crystal, known).mean(axis=1),
        "composition_emd": np.abs(cumulative[1:] - cumulative[0]).sum(axis=1),
    }


def parts_by_family(vector: NDArray[np.float32], known: NDArray[np.float32], blocks: dict[str, slice]) -> dict[str, FloatArray]:
    """Parts of the distance that the process sees, by what the blocks of features describe."""
    apart = np.abs(known - vector).astype(np.float64)
    added = tuple(name for name in blocks if name.startswith(EXTRA))
    families = FAMILIES | ({"extra": added} if added else {})
    return {family: np.sum([apart[:, blocks[name]].sum(axis=1) for name in names], axis=0) for family, names in families.items()}
