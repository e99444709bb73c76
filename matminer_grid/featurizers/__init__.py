"""Structure to feature vector: what matminer calls."""

from matminer_grid.featurizers.chemistry import ChemistryFeaturizer
from matminer_grid.featurizers.grid import GRIDFeaturizer
from matminer_grid.featurizers.hkl import StructureFactorFeaturizer
from matminer_grid.featurizers.pairs import ReflectionPairsFeaturizer
from matminer_grid.featurizers.powder import PowderPatternFeaturizer

__all__ = [
    "ChemistryFeaturizer",
    "GRIDFeaturizer",
    "PowderPatternFeaturizer",
    "ReflectionPairsFeaturizer",
    "StructureFactorFeaturizer",
]
