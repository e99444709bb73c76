"""Crystals described once, as a dissimilarity compares them."""

from __future__ import annotations

from dataclasses import dataclass
from types import EllipsisType
from typing import TYPE_CHECKING, Any

import numpy as np

from matminer_grid.similarity.histograms import Histograms
from matminer_grid.similarity.sites import Sites

if TYPE_CHECKING:
    from collections.abc import Iterable

    import scipy.sparse
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class DescribedCrystals:
    """Crystals as a :class:`CrystalDissimilarity` compares them; its :meth:`~CrystalDissimilarity.describe` makes them.

    They are taken wherever structures are. A slice, a mask or an integer array gives some of them.

    Parameters
    ----------
    structure : Histograms or Sites
        GRID features, or where the resolution is "sites" what each site sees.
    compositions : ndarray of shape (n, n_elements)
        Element fractions, cumulative on the modified Pettifor scale; without columns where compositions have no weight.
    made_with : dict
        The parameters that both depend on. Weights are none of them: they may change afterwards.

    Examples
    --------
    >>> from matminer_grid import CrystalDissimilarity
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> described = CrystalDissimilarity().describe(load_mp_elasticity_table().crystals[:30])
    >>> len(described), len(described[10:15]), described.features.shape
    (30, 5, (30, 10000))
    """

    structure: Histograms | Sites
    compositions: NDArray[np.float64]
    made_with: dict[str, Any]

    def __len__(self) -> int:
        return len(self.structure)

    @property
    def shape(self) -> tuple[int]:
        """Number of crystals, shape (n,): scikit-learn then indexes them as an array."""
        return (len(self),)

    @property
    def grids(self) -> Histograms:
        """GRID features, of crystals that were described by them."""
        if not isinstance(self.structure, Histograms):
            raise ValueError('crystals described with resolution="sites" have no GRIDs; resolution="grid" makes them')  # noqa: TRY004
        return self.structure

    @property
    def sites(self) -> Sites:
        """What each site sees, of crystals that were described by sites."""
        if not isinstance(self.structure, Sites):
            raise ValueError('crystals described with resolution="grid" have no sites; resolution="sites" makes them')  # noqa: TRY004
        return self.structure

    @property
    def features(self) -> scipy.sparse.csr_array:
        """GRID features, shape (n, n_groups * n_bins)."""
        return self.grids.to_sparse()

    def __getitem__(self, rows: Any) -> DescribedCrystals:
        if isinstance(rows, tuple) and len(rows) == 2 and isinstance(rows[1], EllipsisType):  # scikit-learn's indexing
            rows = rows[0]
        rows = np.atleast_1d(np.arange(len(self))[rows])
        return DescribedCrystals(self.structure[rows], self.compositions[rows], self.made_with)

    @classmethod
    def concatenate(cls, parts: Iterable[DescribedCrystals]) -> DescribedCrystals:
        """Stack crystals that were described in one way, in their order."""
        parts = list(parts)
        if not parts:
            raise ValueError("at least one part is needed")
        first = parts[0]
        for part in parts[1:]:
            if part.made_with != first.made_with or part.compositions.shape[1] != first.compositions.shape[1]:
                raise ValueError(f"the crystals were described in different ways: {first.made_with} and {part.made_with}")
        compositions = np.concatenate([part.compositions for part in parts])
        structures: list[Any] = [part.structure for part in parts]
        structure = type(first.structure).concatenate(structures)
        return cls(structure, compositions, first.made_with)
