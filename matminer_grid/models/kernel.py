"""A Gaussian process on earth mover's distances, which tells the known crystals that a prediction rests on."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import NotFittedError

from matminer_grid._threads import n_threads
from matminer_grid.crystals.elements import species_symbol
from matminer_grid.crystals.inputs import as_table
from matminer_grid.featurizers import ChemistryFeaturizer, GRIDFeaturizer
from matminer_grid.models._checks import checked_targets
from matminer_grid.models._distances import FAMILIES, START_WEIGHTS, feature_scales, weighted_blocks
from matminer_grid.models._explain import local_shares, published_distances
from matminer_grid.models._process import covariance, local_variances, solve, tune
from matminer_grid.models._store import load_model, save_model
from matminer_grid.similarity.grid import grid_emd_by_group

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray
    from pymatgen.core import Structure

    from matminer_grid.crystals.crystal import Crystal
    from matminer_grid.crystals.table import CrystalTable

    FloatArray = NDArray[np.float64]

START_NOISE = 0.02

PRIOR = 1.2
"""Strength of the prior that keeps weights where they start, over the number of crystals in the search."""

CHUNK = 256
"""Structures whose covariances with all training crystals are in memory at once."""

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

    def fit(self, structures: Any, y: ArrayLike) -> Self:
        """Learn from known crystals.

        Parameters
        ----------
        structures : list of Structure or Crystal, or CrystalTable
            At least 20.
        y : array-like of shape (n_samples,)
            Their property, in any unit; above 0 if `log_target`.

        Raises
        ------
        TypeError, ValueError
            A parameter, a structure or `y` is invalid.
        """
        self._check_parameters()
        crystals = as_table(structures)
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
        features = self._featurizer.featurize_many(crystals, pbar=False)
        self._report("find the weights of the distances")
        self._scale = feature_scales(features, self._featurizer, random)
        vectors = (features * self._scale).astype(np.float32)
        values = np.log10(targets) if self.log_target else targets
        blocks = weighted_blocks(self._featurizer)
        sample = random.permutation(n)[: self.tune_samples]
        start = np.array([START_WEIGHTS[name.split(": ")[0]] for name in blocks])
        weights, noise = tune(
            vectors[sample],
            values[sample],
            list(blocks.values()),
            start,
            START_NOISE,
            iterations=self.tune_iterations,
            prior=PRIOR / len(sample),
            n_jobs=self.n_jobs,
        )
        self.weights_ = dict(zip(blocks, weights.tolist(), strict=True))
        for name, block in blocks.items():
            self._scale[block] *= self.weights_[name]
        vectors = (features * self._scale).astype(np.float32)
        solution = solve(covariance(vectors, vectors, self.n_jobs), values, noise, self.robust_rounds, self._report)
        self.crystals_, self.y_ = crystals, targets
        self._vectors, self._values = vectors, values
        self._mean, self._coefficients = solution.mean, solution.coefficients
        self._base_noise, self.noise_, self.residuals_ = noise, solution.noise, solution.residuals
        self._elements = np.unique(crystals.numbers)
        self._report("calibrate the intervals")
        self._calibrate(random)
        return self

    def predict(self, structures: Any, return_std: bool = False) -> Any:
        """Predict the property of structures.

        Parameters
        ----------
        structures : list of Structure or Crystal, or CrystalTable
        return_std : bool, default False
            Whether to give the standard deviation too: half the width of the interval that covers 68.3 %.

        Returns
        -------
        ndarray of shape (n_structures,), or two of them
            In the unit of the training values. With `log_target` the prediction is the median.

        Warns
        -----
        UserWarning
            A structure holds an element that no training crystal has; its standard deviation is widened.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Called before :meth:`fit`.
        TypeError, ValueError
            A structure is invalid.
        """
        crystals, vectors = self._read(structures)
        values, variances = self._evaluate(vectors, with_variance=return_std)
        if not return_std:
            return self._to_unit(values)
        half = self._half_widths(crystals, variances, 2 * ndtr(1.0) - 1)
        return self._to_unit(values), (self._to_unit(values + half) - self._to_unit(values - half)) / 2

    def predict_interval(self, structures: Any, coverage: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Give the intervals that hold the property with a probability, calibrated on the leave-one-out residuals.

        Parameters
        ----------
        structures
            As for :meth:`predict`, which tells the errors and warnings too.
        coverage : float, default 0.95
            The probability, between 0 and 1.

        Returns
        -------
        lower, upper : ndarray of shape (n_structures,)
        """
        if not 0 < coverage < 1:
            raise ValueError(f"coverage must lie between 0 and 1, not {coverage!r}")
        crystals, vectors = self._read(structures)
        values, variances = self._evaluate(vectors, with_variance=True)
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
        crystals, vectors = self._read([structure])
        value = float(self._evaluate(vectors, with_variance=False)[0][0])
        similarity = covariance(vectors, self._vectors, self.n_jobs)[0].astype(np.float64)
        near = np.argsort(-similarity, kind="stable")[: 4 * self.n_local]
        shares = local_shares(similarity[near], self._vectors[near], self.noise_[near], self.n_jobs)
        listed = np.argsort(-np.abs(shares), kind="stable")[:n]
        rows, shares = near[listed], shares[listed]
        contributions = shares * self._values[rows]
        known = [self.crystals_[int(row)] for row in rows]
        table = {
            "row": [*rows.tolist(), -1],
            "formula": [*(crystal.formula for crystal in known), "all others"],
            "value": [*self.y_[rows], np.nan],
            "share": [*shares, 1 - shares.sum()],
            "contribution": [*contributions, value - contributions.sum()],
            "similarity": [*similarity[rows], np.nan],
        }
        parts = published_distances(crystals[0], known)
        apart = np.abs(self._vectors[rows] - vectors[0]).astype(np.float64)
        for family, names in FAMILIES.items():
            parts[family] = np.sum([apart[:, self._featurizer.blocks[name]].sum(axis=1) for name in names], axis=0)
        return pd.DataFrame(table | {name: [*part, np.nan] for name, part in parts.items()})

    def compare_shells(self, structure: Structure | Crystal, row: int, n_groups: int = 100) -> FloatArray:
        """Tell which neighbour shells of a structure agree with those of a training crystal.

        Parameters
        ----------
        structure : Structure or Crystal
        row : int
            Number of the training crystal.
        n_groups : int, default 100
            Number of neighbours.

        Returns
        -------
        ndarray of shape (n_groups,)
            EMD of each group of the two GRIDs, in Å.

        Raises
        ------
        sklearn.exceptions.NotFittedError, TypeError, ValueError
            As :meth:`predict`.
        """
        crystals = self._read([structure])[0]
        featurizer = GRIDFeaturizer(n_groups=n_groups)
        x, y = featurizer.featurize_many([crystals[0], self.crystals_[row]], pbar=False)
        return grid_emd_by_group(x, y, n_groups=n_groups, bin_size=featurizer.bin_size)

    def save(self, path: str | Path) -> None:
        """Write the fitted model to an npz file, about 70 MB for 11,000 crystals; it appears complete or not at all.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        sklearn.exceptions.NotFittedError, OSError
            Called before :meth:`fit`; the file can't be written.
        """
        self._check_fitted()
        save_model(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model that :meth:`save` wrote.

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        GRIDKernelRegressor
            Fitted.

        Raises
        ------
        OSError, ValueError
            The file can't be read, is cut short or no model, or was written by another version.
        """
        model = cls()
        load_model(model, path)
        return model

    @property
    def _featurizer(self) -> ChemistryFeaturizer:
        featurizer = ChemistryFeaturizer()
        featurizer.set_n_jobs(n_threads(self.n_jobs))
        return featurizer

    def _check_parameters(self) -> None:
        for name, least in (("tune_samples", MINIMUM_SAMPLES), ("tune_iterations", 0), ("robust_rounds", 0), ("n_local", 2)):
            value = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")

    def _check_fitted(self) -> None:
        if not hasattr(self, "_vectors"):
            raise NotFittedError("this GRIDKernelRegressor is not fitted yet: call fit with known crystals first")

    def _report(self, text: str) -> None:
        if self.progress is not None:
            self.progress(text)

    def _read(self, structures: Any) -> tuple[CrystalTable, NDArray[np.float32]]:
        self._check_fitted()
        crystals = as_table(structures)
        features = self._featurizer.featurize_many(crystals, pbar=False)
        unseen = np.setdiff1d(crystals.numbers, self._elements)
        if len(unseen):
            symbols = ", ".join(species_symbol(int(number)) for number in unseen)
            warnings.warn(
                f"no training crystal holds {symbols}: predictions with it are uncertain, and their intervals widened", stacklevel=3
            )
        return crystals, (features * self._scale).astype(np.float32)

    def _evaluate(self, vectors: NDArray[np.float32], with_variance: bool) -> tuple[FloatArray, FloatArray]:
        """Give means, and variances relative to the process, noise included (zeros unless asked for)."""
        values, variances = np.empty(len(vectors)), np.zeros(len(vectors))
        for start in range(0, len(vectors), CHUNK):
            rows = slice(start, start + CHUNK)
            K = covariance(vectors[rows], self._vectors, self.n_jobs)
            values[rows] = self._mean + K @ self._coefficients
            if with_variance:
                variances[rows] = self._variances(K)
        return values, variances

    def _variances(self, K: NDArray[np.float32]) -> FloatArray:
        return local_variances(K, self._vectors, self.noise_, min(self.n_local, K.shape[1])) + self._base_noise

    def _calibrate(self, random: np.random.Generator) -> None:
        """Keep the sorted ratios of leave-one-out residuals to the standard deviations that a prediction would state."""
        sample = random.permutation(len(self._vectors))[:1000]
        variances = np.empty(len(sample))
        for start in range(0, len(sample), CHUNK):
            rows = sample[start : start + CHUNK]
            K = covariance(self._vectors[rows], self._vectors, self.n_jobs)
            K[np.arange(len(rows)), rows] = 0  # left out
            variances[start : start + CHUNK] = self._variances(K)
        self._ratios = np.sort(np.abs(self.residuals_[sample]) / np.sqrt(variances))

    def _half_widths(self, crystals: CrystalTable, variances: FloatArray, coverage: float) -> FloatArray:
        n = len(self._ratios)
        level = min(1.0, np.ceil(coverage * (n + 1)) / n)
        calibrated = np.quantile(self._ratios, level) ** 2 * variances
        owner = np.repeat(np.arange(len(crystals)), np.diff(crystals.species_offsets))
        unseen = ~np.isin(crystals.numbers, self._elements)
        share = np.bincount(owner, weights=unseen, minlength=len(crystals)) / np.diff(crystals.species_offsets)
        return np.sqrt(calibrated + share * ndtri((1 + coverage) / 2) ** 2 * self._values.var())

    def _to_unit(self, values: FloatArray) -> FloatArray:
        return 10**values if self.log_target else values
