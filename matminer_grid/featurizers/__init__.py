"""Structure to feature vector: what matminer calls."""

from matminer_grid.featurizers.grid import GRIDFeaturizer

__all__ = ["GRIDFeaturizer"]
