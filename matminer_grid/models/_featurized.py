"""Crystals with the features that kernel models read."""

from __future__ import annotations

from dataclasses import dataclass
from types import EllipsisType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matminer_grid.crystals.table import CrystalTable


@dataclass(frozen=True, eq=False)
class FeaturizedCrystals:
    """Crystals with the features that kernel models read; their method `describe` makes them.

    The models take them wherever they take structures. A slice, a mask or an integer array gives some of them.

    Parameters
    ----------
    crystals : CrystalTable
        n crystals.
    features : ndarray of shape (n, n_features)
        Those of a :class:`~matminer_grid.featurizers.ChemistryFeaturizer`.

    Examples
    --------
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> from matminer_grid.models import GRIDKernelRegressor
    >>> described = GRIDKernelRegressor().describe(load_mp_elasticity_table().crystals[:30])
    >>> len(described), len(described[10:15])
    (30, 5)
    """

    crystals: CrystalTable
    features: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.crystals)

    @property
    def shape(self) -> tuple[int]:
        """Number of crystals, shape (n,): scikit-learn then indexes them as an array."""
        return (len(self),)

    def __getitem__(self, rows: Any) -> FeaturizedCrystals:
        if isinstance(rows, tuple) and len(rows) == 2 and isinstance(rows[1], EllipsisType):  # scikit-learn's indexing
            rows = rows[0]
        rows = np.atleast_1d(np.arange(len(self))[rows])
        return FeaturizedCrystals(self.crystals[rows], self.features[rows])
