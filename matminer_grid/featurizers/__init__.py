"""Structure to feature vector: what matminer calls."""

from matminer_grid.featurizers.chemistry import ChemistryFeaturizer
from matminer_grid.featurizers.grid import GRIDFeaturizer

__all__ = ["ChemistryFeaturizer", "GRIDFeaturizer"]
