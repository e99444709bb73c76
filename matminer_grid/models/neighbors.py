"""The published method: the property, or the class, of the nearest known crystals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import NotFittedError

from matminer_grid._validation import check_choice, check_whole
from matminer_grid.crystals.table import CrystalTable
from matminer_grid.models._checks import checked_classes, checked_targets
from matminer_grid.models.storage import load_arrays, save_arrays
from matminer_grid.similarity.index import from_parameters, to_parameters
from matminer_grid.similarity.search import EMDSearch

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from matminer_grid.similarity.dissimilarity import CrystalDissimilarity


class NeighborsModel(BaseEstimator, ABC):
    """What models on the nearest known crystals share."""

    y_: NDArray[Any]

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

    def save(self, path: str | Path) -> None:
        """Write the fitted model to an npz file; it appears complete or not at all.

        Raises
        ------
        sklearn.exceptions.NotFittedError, OSError, ValueError
            Called before :meth:`fit`; the file can't be written; or the crystals were described ones, whose structures are not
            known.
        """
        self._check_fitted()
        crystals = self.search_.crystals_
        if crystals is None:
            raise ValueError("the training crystals were described ones, whose structures are not known: fit with structures")
        parameters = {name: getattr(self, name) for name in ("n_neighbors", "weights", "n_jobs")}
        parameters["dissimilarity"] = to_parameters(self.dissimilarity_)
        arrays = {f"crystals.{name}": value for name, value in vars(crystals).items()}
        save_arrays(path, type(self).__name__, parameters, arrays | {"y": self.y_})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a fitted model that :meth:`save` wrote; the crystals are described anew, 0.1 ms each.

        Raises
        ------
        OSError, ValueError
            The file can't be read, is cut short or no model, or was written in another format or by another version.
        """
        parameters, arrays = load_arrays(path, cls.__name__)
        parameters["dissimilarity"] = from_parameters(parameters["dissimilarity"])
        crystals = CrystalTable(**{field.name: arrays[f"crystals.{field.name}"] for field in fields(CrystalTable)})
        return cls(**parameters).fit(crystals, arrays["y"])

    @abstractmethod
    def fit(self, X: Any, y: ArrayLike) -> Self:
        """Take in the training crystals; their property is that of the model's kind."""

    def _searching(self, X: Any) -> EMDSearch:
        """Make a search among the training crystals."""
        check_choice("weights", self.weights, ("uniform", "distance"))
        k = check_whole("n_neighbors", self.n_neighbors)
        search = EMDSearch(self.dissimilarity, n_neighbors=k, n_jobs=self.n_jobs).fit(X)
        if k > search.n_samples_fit_:
            raise ValueError(f"n_neighbors must lie between 1 and the {search.n_samples_fit_} training crystals, not {k}")
        return search

    def _take(self, search: EMDSearch) -> Self:
        self.search_ = search
        self.dissimilarity_ = search.dissimilarity_
        return self

    def _check_fitted(self) -> None:
        if not hasattr(self, "search_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet: call fit with known crystals first")

    def _nearest(self, X: Any) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Find the neighbours of crystals: rows, and weights that add up to 1."""
        self._check_fitted()
        queries = self.dissimilarity_.describe(X, n_jobs=self.n_jobs)
        distances, rows = self.search_.kneighbors(queries, self.n_neighbors)
        if self.weights == "uniform":
            return rows, np.full(rows.shape, 1 / rows.shape[1])
        same = distances <= 0
        weights = np.where(same.any(axis=1, keepdims=True), same, 1 / np.where(same, 1, distances))
        return rows, weights / weights.sum(axis=1, keepdims=True)


class GRIDNeighborsRegressor(RegressorMixin, NeighborsModel):
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
    y_ : ndarray of shape (n_samples,) or (n_samples, n_targets)
        Their property, or several.

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

    def fit(self, X: Any, y: ArrayLike) -> Self:
        """Take in the training crystals.

        Parameters
        ----------
        X : structures, as a list, tuple, array, Series, one-column DataFrame or CrystalTable; or DescribedCrystals
            At least as many as `n_neighbors`.
        y : array-like of shape (n_samples,), (n_samples, 1) or (n_samples, n_targets)
            Their property, in any unit, or several.

        Raises
        ------
        TypeError, ValueError
            A parameter, a structure or `y` is invalid, or an element has no place in the composition metric.
        """
        search = self._searching(X)
        self.y_ = checked_targets(y, search.n_samples_fit_)
        return self._take(search)

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Predict the property of crystals, given as for :meth:`fit`.

        Returns
        -------
        ndarray of shape (n_crystals,) or (n_crystals, n_targets)
            In the unit of the training values.

        Raises
        ------
        sklearn.exceptions.NotFittedError, TypeError, ValueError
            Called before :meth:`fit`; or as there.
        """
        rows, weights = self._nearest(X)
        return np.einsum("ij,ij...->i...", weights, self.y_[rows])


class GRIDNeighborsClassifier(ClassifierMixin, NeighborsModel):
    """Classes by the k nearest neighbours under a :class:`~matminer_grid.CrystalDissimilarity`.

    Parameters
    ----------
    n_neighbors : int, default 1
        Number of neighbours.
    weights : {"uniform", "distance"}
        Whether all neighbours count alike or by the inverse of their dissimilarity; one at no distance then counts alone.
    dissimilarity : CrystalDissimilarity, optional
        ``CrystalDissimilarity()`` by default.
    n_jobs : int, optional
        Number of threads; see :func:`~matminer_grid._threads.n_threads`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes, sorted.
    dissimilarity_ : CrystalDissimilarity
        The copy that was used.
    search_ : EMDSearch
        Holds the training crystals.
    y_ : ndarray of shape (n_samples,)
        Their classes.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from matminer_grid.models import GRIDNeighborsClassifier
    >>> def cubic(a, element):
    ...     return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [element], [[0, 0, 0]])
    >>> known = [cubic(3.61, "Cu"), cubic(4.09, "Ag"), cubic(5.26, "Ar"), cubic(5.64, "Kr")]
    >>> model = GRIDNeighborsClassifier(2).fit(known, ["metal", "metal", "gas", "gas"])
    >>> model.predict([cubic(4.08, "Au")]), model.predict_proba([cubic(4.08, "Au")])
    (array(['metal'], dtype='<U5'), array([[0., 1.]]))
    """

    def fit(self, X: Any, y: ArrayLike) -> Self:
        """Take in the training crystals.

        Parameters
        ----------
        X : structures, as a list, tuple, array, Series, one-column DataFrame or CrystalTable; or DescribedCrystals
            At least as many as `n_neighbors`.
        y : array-like of shape (n_samples,)
            Their classes: texts, whole numbers or truth values.

        Raises
        ------
        TypeError, ValueError
            A parameter, a structure or `y` is invalid, or an element has no place in the composition metric.
        """
        search = self._searching(X)
        self.classes_, codes = checked_classes(y, search.n_samples_fit_)
        self.y_ = self.classes_[codes]
        return self._take(search)

    def predict(self, X: Any) -> NDArray[Any]:
        """Give the class that most of the neighbours have, the first in order of those that tie; errors as :meth:`predict_proba`.

        Returns
        -------
        ndarray of shape (n_crystals,)
        """
        best = self._probabilities(X).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Give the share of each class among the neighbours of crystals, given as for :meth:`fit`.

        Returns
        -------
        ndarray of shape (n_crystals, n_classes)
            In the order of `classes_`.

        Raises
        ------
        sklearn.exceptions.NotFittedError, TypeError, ValueError
            Called before :meth:`fit`; or as there.
        """
        return self._probabilities(X)

    def _probabilities(self, X: Any) -> NDArray[np.float64]:
        rows, weights = self._nearest(X)
        belongs = self.y_[rows][..., None] == self.classes_
        return np.minimum(np.einsum("ij,ijk->ik", weights, belongs), 1)  # weights add up to 1 but for rounding
