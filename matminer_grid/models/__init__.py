"""From dissimilarity to property: scikit-learn regressors and classifiers on lists of structures."""

from matminer_grid.models.classifier import GRIDKernelClassifier
from matminer_grid.models.default import default_model
from matminer_grid.models.kernel import GRIDKernelRegressor
from matminer_grid.models.loading import load_model
from matminer_grid.models.neighbors import GRIDNeighborsClassifier, GRIDNeighborsRegressor
from matminer_grid.models.validation import CrossValidation, cross_validate_model

__all__ = [
    "CrossValidation",
    "GRIDKernelClassifier",
    "GRIDKernelRegressor",
    "GRIDNeighborsClassifier",
    "GRIDNeighborsRegressor",
    "cross_validate_model",
    "default_model",
    "load_model",
]
