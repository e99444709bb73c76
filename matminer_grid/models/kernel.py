"""A Gaussian process on earth mover's distances, which tells the known crystals that a prediction rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.special import ndtr, ndtri
from sklearn.base import RegressorMixin

from matminer_grid._validation import check_number
from matminer_grid.crystals.inputs import as_table
from matminer_grid.featurizers._elemental import element_numbers
from matminer_grid.models._checks import checked_targets
from matminer_grid.models.base import MINIMUM_SAMPLES, KernelModel
from matminer_grid.models.learned import Learned

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from matminer_grid.crystals.table import CrystalTable

    FloatArray = NDArray[np.float64]


class GRIDKernelRegressor(RegressorMixin, KernelModel):
    """Gaussian process on earth mover's distances of geometry, composition, bonding and stiffness.

    Features
    --------
    The covariance of two crystals is exp(-D), where D is a weighted sum of earth mover's distances between the blocks of features
    of a :class:`~matminer_grid.featurizers.ChemistryFeaturizer`. Weights and noise are found in the training data alone, by
    gradient descent on the leave-one-out error of a sample. Outliers get a larger noise, as in a process with Student's t noise.
    Intervals are calibrated on the leave-one-out residuals.

    Parameters
    ----------
    log_target : bool, default True
        Whether the process describes log10 y, so that y must be above 0.
    tune_samples : int, default 1200
        Number of training crystals in the search for weights.
    tune_iterations : int, default 12
        Steps of the search, twice; with 0 the weights stay where they start.
    robust_rounds : int, default 2
        Times that the noise of each crystal is estimated anew.
    n_local : int, default 48
        Number of training crystals that the variance of a prediction takes into account: the most similar ones.
    random_state : int, default 0
        Seed of the samples drawn.
    n_jobs : int, optional
        Number of threads, all cores by default.
    progress : callable, optional
        Called with a line of text at each stage of :meth:`fit`.

    Attributes
    ----------
    weights_ : dict of str to float
        Weight of each block of features, or of single features; blocks are scaled to the mean distance 1 between training crystals.
    noise_ : ndarray of shape (n_samples,)
        Variance of each training value relative to the process; large for outliers.
    residuals_ : ndarray of shape (n_samples,)
        Training value minus leave-one-out prediction, in log10 y if `log_target`.
    crystals_ : CrystalTable
        The training crystals.
    y_ : ndarray of shape (n_samples,)
        Their property.

    References
    ----------
    C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning (2006), chapter 5.4.2 (leave-one-out).
    R.-Z. Zhang, S. Seth and J. Cumby, Digital Discovery 2 (2023) 81-90, 10.1039/D2DD00054G (GRID and its EMD).

    Examples
    --------
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> from matminer_grid.models import GRIDKernelRegressor
    >>> data = load_mp_elasticity_table()
    >>> model = GRIDKernelRegressor(tune_iterations=0).fit(data.crystals[:300], data.K_VRH[:300])
    >>> K, std = model.predict(data.crystals[:5], return_std=True)
    >>> K.shape, std.shape
    ((5,), (5,))
    """

    def __init__(
        self,
        *,
        log_target: bool = True,
        tune_samples: int = 1200,
        tune_iterations: int = 12,
        robust_rounds: int = 2,
        n_local: int = 48,
        random_state: int = 0,
        n_jobs: int | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.log_target = log_target
        self.tune_samples = tune_samples
        self.tune_iterations = tune_iterations
        self.robust_rounds = robust_rounds
        self.n_local = n_local
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.progress = progress

    def fit(self, X: Any, y: ArrayLike) -> Self:
        """Learn from known crystals.

        Parameters
        ----------
        X : list, tuple, array, Series or one-column DataFrame of Structure or Crystal; or CrystalTable
            At least 20.
        y : array-like of shape (n_samples,) or (n_samples, 1)
            Their property, in any unit; above 0 if `log_target`.

        Raises
        ------
        TypeError, ValueError
            A parameter, a structure or `y` is invalid.
        """
        self._check_parameters()
        crystals = as_table(X)
        n = len(crystals)
        targets = checked_targets(y, n)
        if n < MINIMUM_SAMPLES:
            raise ValueError(f"at least {MINIMUM_SAMPLES} training crystals are needed, not {n}")
        if self.log_target and targets.min() <= 0:
            row = int(targets.argmin())
            raise ValueError(
                f"y[{row}] is {targets[row]:g}; with log_target=True all values must be above 0: leave such crystals out"
            )
        features = self._start(crystals)
        self.y_ = targets
        values = np.log10(targets) if self.log_target else targets
        return self._set(Learned.fit(features, values, self.featurizer_, self._settings()))

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict the property of structures.

        Parameters
        ----------
        X : structures, as for :meth:`fit`
        return_std : bool, default False
            Whether to give the standard deviation too: half the width of the interval that covers 68.3 %.

        Returns
        -------
        ndarray of shape (n_samples,), or two of them
            In the unit of the training values. With `log_target` the prediction is the median.

        Warns
        -----
        UserWarning
            A structure holds an element that no training crystal has; its standard deviation is widened.

        Raises
        ------
        sklearn.exceptions.NotFittedError, TypeError, ValueError
            Called before :meth:`fit`; or a structure is invalid.
        """
        crystals, vectors = self._read(X)
        values, variances = self.learned_.process.predict(vectors, self.n_local if return_std else 0, self.n_jobs)
        if not return_std:
            return self._to_unit(values)
        half = self._half_widths(crystals, variances, 2 * ndtr(1.0) - 1)
        return self._to_unit(values), (self._to_unit(values + half) - self._to_unit(values - half)) / 2

    def predict_interval(self, X: Any, coverage: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Give the intervals that hold the property with a probability between 0 and 1, the coverage.

        They are calibrated on the leave-one-out residuals. `X`, errors and warnings are those of :meth:`predict`.

        Returns
        -------
        lower, upper : ndarray of shape (n_samples,)
        """
        if not 0 < check_number("coverage", coverage) < 1:
            raise ValueError(f"coverage must lie between 0 and 1, not {coverage!r}")
        crystals, vectors = self._read(X)
        values, variances = self.learned_.process.predict(vectors, self.n_local, self.n_jobs)
        half = self._half_widths(crystals, variances, coverage)
        return self._to_unit(values - half), self._to_unit(values + half)

    def _half_widths(self, crystals: CrystalTable, variances: FloatArray, coverage: float) -> FloatArray:
        """Give those of the process, widened by the share of species that no training crystal holds."""
        owner = np.repeat(np.arange(len(crystals)), np.diff(crystals.species_offsets))
        unseen = ~np.isin(element_numbers(crystals)[0], element_numbers(self.crystals_)[0])
        share = np.bincount(owner, weights=unseen, minlength=len(crystals)) / np.diff(crystals.species_offsets)
        widening = share * ndtri((1 + coverage) / 2) ** 2 * self.learned_.process.targets.var()
        return np.sqrt(self.learned_.process.half_widths(variances, coverage) ** 2 + widening)

    def _to_unit(self, values: FloatArray) -> FloatArray:
        return 10**values if self.log_target else values
