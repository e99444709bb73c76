"""A Gaussian process on earth mover's distances, which tells the known crystals that a prediction rests on."""

from __future__ import annotations

import warnings
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import NotFittedError

from matminer_grid._threads import n_threads
from matminer_grid._validation import check_number, check_whole
from matminer_grid.crystals.elements import species_symbol
from matminer_grid.crystals.inputs import as_table
from matminer_grid.crystals.problems import warn_of_ghosts
from matminer_grid.crystals.table import CrystalTable
from matminer_grid.featurizers import ChemistryFeaturizer
from matminer_grid.featurizers._elemental import element_numbers
from matminer_grid.models._checks import checked_targets
from matminer_grid.models._distances import START_WEIGHTS, feature_scales, weighted_blocks
from matminer_grid.models.explanations import parts_by_family, published_distances, shell_distances
from matminer_grid.models.process import LaplacianProcess, tune
from matminer_grid.models.storage import load_arrays, save_arrays

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray
    from pymatgen.core import Structure

    from matminer_grid.crystals.crystal import Crystal

    FloatArray = NDArray[np.float64]

START_NOISE = 0.02

PRIOR = 1.2
"""Strength of the prior that keeps weights where they start, over the number of crystals in the search."""

CALIBRATION_SAMPLES = 1000
"""Training crystals whose leave-one-out residuals calibrate the intervals."""

N_EXPLAINING = 4
"""Training crystals that an explanation weighs, over `n_local`."""

MINIMUM_SAMPLES = 20
"""Training crystals needed."""


class GRIDKernelRegressor(RegressorMixin, BaseEstimator):
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
        random = np.random.default_rng(self.random_state)
        self._report(f"describe {n} crystals")
        self.featurizer_ = ChemistryFeaturizer()
        features = self._features(crystals)
        self._report("find the weights of the distances")
        values = np.log10(targets) if self.log_target else targets
        noise = self._tune(features, values, random)
        vectors = (features * self._scale).astype(np.float32)
        process = LaplacianProcess.fit(vectors, values, noise, rounds=self.robust_rounds, n_jobs=self.n_jobs, progress=self._report)
        self._report("calibrate the intervals")
        sample = random.permutation(n)[:CALIBRATION_SAMPLES]
        return self._set(process.calibrated(sample, self.n_local, self.n_jobs), crystals, targets)

    def _set(self, process: LaplacianProcess, crystals: CrystalTable, targets: FloatArray) -> Self:
        self.process_, self.crystals_, self.y_ = process, crystals, targets
        self.noise_, self.residuals_ = process.noise, process.residuals
        return self

    def _tune(self, features: FloatArray, values: FloatArray, random: np.random.Generator) -> float:
        """Find the weights and scales of the features; give the noise."""
        self._scale = feature_scales(features, self.featurizer_, random)
        blocks = weighted_blocks(self.featurizer_)
        sample = random.permutation(len(values))[: self.tune_samples]
        weights, noise = tune(
            (features[sample] * self._scale).astype(np.float32),
            values[sample],
            list(blocks.values()),
            np.array([START_WEIGHTS[name.split(": ")[0]] for name in blocks]),
            START_NOISE,
            iterations=self.tune_iterations,
            prior=PRIOR / len(sample),
            n_jobs=self.n_jobs,
        )
        self.weights_ = dict(zip(blocks, weights.tolist(), strict=True))
        for name, block in blocks.items():
            self._scale[block] *= self.weights_[name]
        return noise

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
        values, variances = self.process_.predict(vectors, self.n_local if return_std else 0, self.n_jobs)
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
        values, variances = self.process_.predict(vectors, self.n_local, self.n_jobs)
        half = self._half_widths(crystals, variances, coverage)
        return self._to_unit(values - half), self._to_unit(values + half)

    def explain(self, structure: Structure | Crystal, n: int = 5) -> pd.DataFrame:
        """Tell which training crystals a prediction rests on.

        Parameters
        ----------
        structure : Structure or Crystal
        n : int, default 5
            Number of training crystals to list, those of the largest share.

        Returns
        -------
        DataFrame
            A row for each, and a last one for all others, with the columns

            - row : number of the training crystal, -1 for all others
            - formula : str, of its cell
            - value : its property
            - share : weight of its value in the prediction; all shares add up to 1
            - contribution : share times value (log10 of it if `log_target`); all add up to the prediction (its log10)
            - similarity : covariance, between 0 and 1
            - grid_emd : EMD of the two GRIDs in Å, with the settings of the report
            - composition_emd : EMD of the two compositions on the modified Pettifor scale
            - structure, composition, bonding, stiffness : parts of the distance; the similarity is exp(-their sum)

        Raises
        ------
        sklearn.exceptions.NotFittedError, TypeError, ValueError
            As :meth:`predict`.
        """
        check_whole("n", n, low=0)
        crystals, vectors = self._read([structure])
        rows, shares, similarities = (
            column[:n] for column in self.process_.shares(vectors, N_EXPLAINING * self.n_local, self.n_jobs)
        )
        contributions = shares * self.process_.targets[rows]
        total = float(self.process_.predict(vectors, n_jobs=self.n_jobs)[0][0])
        known = [self.crystals_[int(row)] for row in rows]
        table = {
            "row": [*rows.tolist(), -1],
            "formula": [*(crystal.formula for crystal in known), "all others"],
            "value": [*self.y_[rows], np.nan],
            "share": [*shares, 1 - shares.sum()],
            "contribution": [*contributions, total - contributions.sum()],
            "similarity": [*similarities, np.nan],
        }
        parts = published_distances(crystals[0], known)
        parts |= parts_by_family(vectors[0], self.process_.vectors[rows], self.featurizer_.blocks)
        return pd.DataFrame(table | {name: [*part, np.nan] for name, part in parts.items()})

    def compare_shells(self, structure: Structure | Crystal, row: int, n_groups: int = 100) -> FloatArray:
        """Give the EMD of each of the first `n_groups` neighbour shells to those of the training crystal of this row, in Å.

        Raises
        ------
        sklearn.exceptions.NotFittedError, TypeError, ValueError
            As :meth:`predict`, or there is no such row.
        """
        self._check_fitted()
        check_whole("n_groups", n_groups)
        check_whole("row", row, low=0, high=len(self.crystals_) - 1)
        return shell_distances(as_table([structure])[0], [self.crystals_[row]], n_groups)[0]

    def save(self, path: str | Path) -> None:
        """Write the fitted model to an npz file, about 70 MB for 11,000 crystals; it appears complete or not at all.

        Raises
        ------
        sklearn.exceptions.NotFittedError, OSError, TypeError
            Called before :meth:`fit`; the file can't be written; a parameter is no number.
        """
        self._check_fitted()
        parameters = {name: value for name, value in self.get_params().items() if name != "progress"}
        process = {name: np.asarray(value) for name, value in vars(self.process_).items()}
        crystals = {f"crystals.{name}": value for name, value in vars(self.crystals_).items()}
        own = {"y": self.y_, "scale": self._scale, "weights": np.array(list(self.weights_.values()))}
        save_arrays(path, type(self).__name__, parameters, process | crystals | own)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a fitted model that :meth:`save` wrote.

        Raises
        ------
        OSError, ValueError
            The file can't be read, is cut short or no model, or was written in another format or by another version.
        """
        parameters, arrays = load_arrays(path, cls.__name__)
        model = cls(**parameters)
        model.featurizer_ = ChemistryFeaturizer()
        model.weights_ = dict(zip(weighted_blocks(model.featurizer_), arrays["weights"].tolist(), strict=True))
        model._scale = arrays["scale"]
        process = LaplacianProcess(**{field.name: arrays[field.name][()] for field in fields(LaplacianProcess)})
        crystals = CrystalTable(**{field.name: arrays[f"crystals.{field.name}"] for field in fields(CrystalTable)})
        return model._set(process, crystals, arrays["y"])

    def _check_parameters(self) -> None:
        for name, least in (("tune_samples", MINIMUM_SAMPLES), ("tune_iterations", 0), ("robust_rounds", 0), ("n_local", 2)):
            check_whole(name, getattr(self, name), low=least)

    def _check_fitted(self) -> None:
        if not hasattr(self, "process_"):
            raise NotFittedError("this GRIDKernelRegressor is not fitted yet: call fit with known crystals first")

    def _report(self, text: str) -> None:
        if self.progress is not None:
            self.progress(text)

    def _features(self, crystals: CrystalTable) -> FloatArray:
        threads = n_threads(self.n_jobs)
        if self.featurizer_.n_jobs != threads:
            self.featurizer_.set_n_jobs(threads)
        return self.featurizer_.featurize_many(crystals, pbar=False)

    def _read(self, X: Any) -> tuple[CrystalTable, NDArray[np.float32]]:
        self._check_fitted()
        crystals = as_table(X)
        warn_of_ghosts(crystals)
        features = self._features(crystals)
        unseen = np.setdiff1d(element_numbers(crystals)[0], element_numbers(self.crystals_)[0])
        if len(unseen):
            symbols = ", ".join(species_symbol(int(number)) for number in unseen)
            warnings.warn(
                f"no training crystal holds {symbols}: predictions with it are uncertain, and their intervals widened", stacklevel=3
            )
        return crystals, (features * self._scale).astype(np.float32)

    def _half_widths(self, crystals: CrystalTable, variances: FloatArray, coverage: float) -> FloatArray:
        """Give those of the process, widened by the share of species that no training crystal holds."""
        owner = np.repeat(np.arange(len(crystals)), np.diff(crystals.species_offsets))
        unseen = ~np.isin(element_numbers(crystals)[0], element_numbers(self.crystals_)[0])
        share = np.bincount(owner, weights=unseen, minlength=len(crystals)) / np.diff(crystals.species_offsets)
        widening = share * ndtri((1 + coverage) / 2) ** 2 * self.process_.targets.var()
        return np.sqrt(self.process_.half_widths(variances, coverage) ** 2 + widening)

    def _to_unit(self, values: FloatArray) -> FloatArray:
        return 10**values if self.log_target else values
