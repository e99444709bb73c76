"""The published method: the property of the nearest known crystals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import NotFittedError

from matminer_grid._validation import check_choice, check_whole
from matminer_grid.models._checks import checked_targets
from matminer_grid.similarity.search import EMDSearch

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from matminer_grid.similarity.dissimilarity import CrystalDissimilarity


class GRIDNeighborsRegressor(RegressorMixin, BaseEstimator):
    """k-nearest neighbours by a :class:`~matminer_grid.CrystalDissimilarity`.

    Parameters
    ----------
    n_neighbors : int, default 1
        Number of neighbours.
    weights : {"uniform", "distance"}
        Whether all neighbours count alike or by the inverse of their dissimilarity; one at no distance then counts alone.
    dissimilarity : CrystalDissimilarity, optional
        ``CrystalDissimilarity()`` by default; ``CrystalDissimilarity.from_preset("zhang2023")`` is that of the paper.
    n_jobs : int, optional
        Number of threads; see :func:`~matminer_grid._threads.n_threads`.

    Attributes
    ----------
    dissimilarity_ : CrystalDissimilarity
        The copy that was used.
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
        dissimilarity: CrystalDissimilarity | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.weights = weights
        self.dissimilarity = dissimilarity
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: ArrayLike) -> Self:
        """Take in the training crystals.

        Parameters
        ----------
        X : structures, as a list, tuple, array, Series, one-column DataFrame or CrystalTable; or DescribedCrystals
            At least as many as `n_neighbors`.
        y : array-like of shape (n_samples,) or (n_samples, 1)
            Their property, in any unit.

        Raises
        ------
        TypeError, ValueError
            A parameter, a structure or `y` is invalid, or an element has no place in the composition metric.
        """
        check_choice("weights", self.weights, ("uniform", "distance"))
        k = check_whole("n_neighbors", self.n_neighbors)
        search = EMDSearch(self.dissimilarity, n_neighbors=k, n_jobs=self.n_jobs).fit(X)
        if k > search.n_samples_fit_:
            raise ValueError(f"n_neighbors must lie between 1 and the {search.n_samples_fit_} training crystals, not {k}")
        self.y_ = checked_targets(y, search.n_samples_fit_)
        self.search_ = search
        self.dissimilarity_ = search.dissimilarity_
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Predict the property of crystals, given as for :meth:`fit`.

        Returns
        -------
        ndarray of shape (n_crystals,)
            In the unit of the training values.

        Raises
        ------
        sklearn.exceptions.NotFittedError, TypeError, ValueError
            Called before :meth:`fit`; or as there.
        """
        if not hasattr(self, "search_"):
            raise NotFittedError("this GRIDNeighborsRegressor is not fitted yet: call fit with known crystals first")
        queries = self.dissimilarity_.describe(X, n_jobs=self.n_jobs)
        distances, indices = self.search_.kneighbors(queries, self.n_neighbors)
        known = self.y_[indices]
        if self.weights == "uniform":
            return known.mean(axis=1)
        same = distances <= 0
        weights = np.where(same.any(axis=1, keepdims=True), same, 1 / np.where(same, 1, distances))
        return (weights * known).sum(axis=1) / weights.sum(axis=1)
