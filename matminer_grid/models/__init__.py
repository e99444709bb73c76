"""From dissimilarity to property: scikit-learn regressors on lists of structures."""

from matminer_grid.models.default import default_model
from matminer_grid.models.kernel import GRIDKernelRegressor
from matminer_grid.models.neighbors import GRIDNeighborsRegressor

__all__ = ["GRIDKernelRegressor", "GRIDNeighborsRegressor", "default_model"]
