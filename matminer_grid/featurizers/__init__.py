"""Structure to feature vector: what matminer calls."""

from matminer_grid.featurizers.chemistry import ChemistryFeaturizer
from matminer_grid.featurizers.grid import GRIDFeaturizer
from matminer_grid.featurizers.structure_factor import StructureFactorFeaturizer

__all__ = ["ChemistryFeaturizer", "GRIDFeaturizer", "StructureFactorFeaturizer"]
