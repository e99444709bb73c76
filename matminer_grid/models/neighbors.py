"""The published method: the property of the nearest known crystals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import NotFittedError

from matminer_grid.crystals.inputs import as_table
from matminer_grid.featurizers import GRIDFeaturizer
from matminer_grid.models._checks import checked_targets
from matminer_grid.similarity.search import EMDSearch

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class GRIDNeighborsRegressor(RegressorMixin, BaseEstimator):
    """k-nearest neighbours by GRID and composition earth mover's distance.

    Features
    --------
    The defaults are the published method: 10 times the GRID EMD plus the composition EMD made from the substitution table, one
    neighbour.

    Parameters
    ----------
    n_neighbors : int, default 1
        Number of neighbours.
    weights : {"uniform", "distance"}
        Whether all neighbours count alike or by the inverse of their dissimilarity; one at no distance then counts alone.
    featurizer : GRIDFeaturizer, optional
        Makes the GRIDs; that of the paper, with a smearing of 0.1 Å, by default.
    grid_weight, composition_weight, composition_metric, n_jobs
        As for :class:`~matminer_grid.similarity.search.EMDSearch`.

    Attributes
    ----------
    search_ : EMDSearch
        Holds the training crystals.
    y_ : ndarray of shape (n_samples,)
        Their property.

    References
    ----------
    R.-Z. Zhang, S. Seth and J. Cumby, Digital Discovery 2 (2023) 81-90, 10.1039/D2DD00054G.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from matminer_grid.models import GRIDNeighborsRegressor
    >>> def rock_salt(a, cation, anion):
    ...     return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0, 0]])
    >>> known = [rock_salt(5.64, "Na", "Cl"), rock_salt(4.21, "Mg", "O"), rock_salt(6.29, "K", "Cl")]
    >>> model = GRIDNeighborsRegressor().fit(known, [24.0, 160.0, 17.0])
    >>> model.predict([rock_salt(5.97, "Na", "Br")])
    array([24.])
    """

    def __init__(
        self,
        n_neighbors: int = 1,
        *,
        weights: str = "uniform",
        featurizer: Any = None,
        grid_weight: float = 10.0,
        composition_weight: float = 1.0,
        composition_metric: str = "substitution",
        n_jobs: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.weights = weights
        self.featurizer = featurizer
        self.grid_weight = grid_weight
        self.composition_weight = composition_weight
        self.composition_metric = composition_metric
        self.n_jobs = n_jobs

    def fit(self, structures: Any, y: ArrayLike) -> Self:
        """Take in the training crystals.

        Parameters
        ----------
        structures : list of Structure or Crystal, or CrystalTable
            At least as many as `n_neighbors`.
        y : array-like of shape (n_samples,)
            Their property, in any unit.

        Raises
        ------
        TypeError, ValueError
            A parameter, a structure or `y` is invalid, or an element has no place in the composition metric.
        """
        if self.weights not in {"uniform", "distance"}:
            raise ValueError(f"weights must be 'uniform' or 'distance', not {self.weights!r}")
        crystals = as_table(structures)
        self.y_ = checked_targets(y, len(crystals))
        if not 1 <= self.n_neighbors <= len(crystals):
            raise ValueError(f"n_neighbors must lie between 1 and the {len(crystals)} training crystals, not {self.n_neighbors}")
        self.search_ = EMDSearch(
            GRIDFeaturizer.from_preset("zhang2023") if self.featurizer is None else self.featurizer,
            grid_weight=self.grid_weight,
            composition_weight=self.composition_weight,
            composition_metric=self.composition_metric,
            n_jobs=self.n_jobs,
        ).fit(crystals)
        return self

    def predict(self, structures: Any) -> NDArray[np.float64]:
        """Predict the property of structures.

        Parameters
        ----------
        structures : list of Structure or Crystal, or CrystalTable

        Returns
        -------
        ndarray of shape (n_structures,)
            In the unit of the training values.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Called before :meth:`fit`.
        TypeError, ValueError
            A structure is invalid, or an element has no place in the composition metric.
        """
        if not hasattr(self, "search_"):
            raise NotFittedError("this GRIDNeighborsRegressor is not fitted yet: call fit with known crystals first")
        distances, indices = self.search_.kneighbors(as_table(structures), k=self.n_neighbors)
        known = self.y_[indices]
        if self.weights == "uniform":
            return known.mean(axis=1)
        same = distances <= 0
        weights = np.where(same.any(axis=1, keepdims=True), same, 1 / np.where(same, 1, distances))
        return (weights * known).sum(axis=1) / weights.sum(axis=1)
