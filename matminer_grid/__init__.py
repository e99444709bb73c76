"""Crystal-structure similarity across length scales, as a plugin for matminer.

Nothing heavy runs at import: names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from matminer_grid._version import __version__

if TYPE_CHECKING:
    from matminer_grid.crystals import Crystal, CrystalTable
    from matminer_grid.featurizers.grid import GRIDFeaturizer
    from matminer_grid.featurizers.hkl import StructureFactorFeaturizer
    from matminer_grid.featurizers.pairs import ReflectionPairsFeaturizer
    from matminer_grid.featurizers.powder import PowderPatternFeaturizer
    from matminer_grid.featurizers.reflections import hkl_intensities
    from matminer_grid.similarity import (
        ApproximateEMDSearch,
        CrystalDissimilarity,
        EMDSearch,
        composition_emd,
        find_duplicates,
        grid_emd,
        grid_emd_by_group,
        grid_emd_exact,
    )

_HOMES = {
    "ApproximateEMDSearch": "matminer_grid.similarity",
    "Crystal": "matminer_grid.crystals",
    "CrystalDissimilarity": "matminer_grid.similarity",
    "CrystalTable": "matminer_grid.crystals",
    "EMDSearch": "matminer_grid.similarity",
    "GRIDFeaturizer": "matminer_grid.featurizers.grid",
    "PowderPatternFeaturizer": "matminer_grid.featurizers.powder",
    "ReflectionPairsFeaturizer": "matminer_grid.featurizers.pairs",
    "StructureFactorFeaturizer": "matminer_grid.featurizers.hkl",
    "composition_emd": "matminer_grid.similarity",
    "find_duplicates": "matminer_grid.similarity",
    "grid_emd": "matminer_grid.similarity",
    "grid_emd_by_group": "matminer_grid.similarity",
    "grid_emd_exact": "matminer_grid.similarity",
    "hkl_intensities": "matminer_grid.featurizers.reflections",
}

__all__ = [
    "ApproximateEMDSearch",
    "Crystal",
    "CrystalDissimilarity",
    "CrystalTable",
    "EMDSearch",
    "GRIDFeaturizer",
    "PowderPatternFeaturizer",
    "ReflectionPairsFeaturizer",
    "StructureFactorFeaturizer",
    "__version__",
    "composition_emd",
    "find_duplicates",
    "grid_emd",
    "grid_emd_by_group",
    "grid_emd_exact",
    "hkl_intensities",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
