"""Blocks of features as distances: what they describe, how they are scaled, and the weights to start from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from matminer_grid.featurizers import ChemistryFeaturizer

SURROUNDINGS = ("coordination", "valence", "slow")
"""Ways in which neighbours are weighted."""

START_WEIGHTS = {
    "composition": 0.045,
    "sites": 0.09,
    "statistics": 0.011,
    "grid": 0.011,
    "relative grid": 0.006,
    "near": 0.01,
    "order": 0.016,
    "coordination, coordination": 0.005,
    "coordination, valence": 0.009,
    "coordination, slow": 0.009,
    "neighbors, coordination": 0.009,
    "neighbors, valence": 0.009,
    "neighbors, slow": 0.008,
    "differences, coordination": 0.005,
    "differences, valence": 0.005,
    "differences, slow": 0.005,
    "charge": 0.005,
    "global": 0.017,
    "moduli": 0.1,
    "stiffness": 0.01,
    "stiffness ratios": 0.021,
    "extra": 0.05,
}
"""Weights of the blocks of features that the search starts from; distances are relative to the mean between training crystals."""

FAMILIES = {
    "composition": ("composition", "sites", "statistics"),
    "structure": ("grid", "relative grid", "near", "order", *(f"coordination, {kind}" for kind in SURROUNDINGS)),
    "bonding": tuple(f"{what}, {kind}" for what in ("neighbors", "differences") for kind in SURROUNDINGS),
    "stiffness": ("charge", "global", "moduli", "stiffness", "stiffness ratios"),
}
"""Blocks of features by what they describe."""

DIMENSIONLESS = {*FAMILIES["stiffness"], "order", "statistics", *(name for name in FAMILIES["structure"] if "coord" in name)}
"""Blocks whose features are scaled one by one, since they have no common unit."""

SPLIT = {"moduli", "global", "sites"}
"""Blocks that have a weight for each feature or property."""

EXTRA = "extra: "
"""What the names of blocks that the user has added begin with."""

SCALING_PAIRS = 4000
"""Pairs of training crystals from which mean distances are estimated."""


@dataclass(frozen=True)
class Blocks:
    """Where features of one kind stand.

    Parameters
    ----------
    columns : dict of str to slice
        Columns of each block: those of the featurizer, and "extra: NAME" for each that the user has added, standardised.
    weighted : dict of str to slice
        Columns that have a weight in common: blocks, or single features and properties of those in SPLIT.
    """

    columns: dict[str, slice]
    weighted: dict[str, slice]

    @classmethod
    def of(cls, featurizer: ChemistryFeaturizer, widths: Mapping[str, int] | None = None) -> Self:
        """Place the blocks of the featurizer, and behind them added ones of so many columns each."""
        columns, weighted = dict(featurizer.blocks), weighted_blocks(featurizer)
        end = featurizer.n_features
        for name, width in (widths or {}).items():
            columns[f"{EXTRA}{name}"] = weighted[f"{EXTRA}{name}"] = slice(end, end + width)
            end += width
        return cls(columns, weighted)

    @property
    def start(self) -> NDArray[np.float64]:
        """Weights that the search starts from."""
        return np.array([START_WEIGHTS[name.split(": ")[0]] for name in self.weighted])


def feature_scales(features: NDArray[np.float64], blocks: Blocks, random: np.random.Generator) -> NDArray[np.float64]:
    """Factor of each feature, so that the mean distance of two training crystals is 1 in each block, or near it in added ones."""
    pairs = random.integers(0, len(features), (2, SCALING_PAIRS))
    apart = np.abs(features[pairs[0]] - features[pairs[1]]).mean(axis=0)
    scale = np.ones(features.shape[1])
    for name, block in blocks.columns.items():
        mean = apart[block]
        if name.startswith(EXTRA):
            scale[block] = 1 / max(1, (features[:, block] != features[0, block]).any(axis=0).sum())
        elif name in DIMENSIONLESS:
            varies = mean > 1e-9
            scale[block] = np.where(varies, 1 / np.where(varies, mean, 1), 0) / max(1, varies.sum())
        else:
            scale[block] = 1 / max(mean.sum(), 1e-9)
    return scale


def weighted_blocks(featurizer: ChemistryFeaturizer) -> dict[str, slice]:
    """Columns that have a weight in common: blocks of features, or single features and properties of those in SPLIT."""
    labels, out = featurizer.feature_labels(), {}
    for name, block in featurizer.blocks.items():
        if name not in SPLIT:
            out[name] = block
            continue
        for column in range(block.start, block.stop):
            label = labels[column].split(", quantile")[0]
            out[label] = slice(out[label].start if label in out else column, column + 1)
    return out
