"""A Gaussian process on earth mover's distances, which tells the known crystals that a prediction rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import ndtr, ndtri
from sklearn.base import RegressorMixin

from matminer_grid._validation import check_number
from matminer_grid.featurizers._elemental import LARGEST_NUMBER
from matminer_grid.models._checks import checked_targets, target_names
from matminer_grid.models._logarithm import log_is_better
from matminer_grid.models.applicability import element_shares
from matminer_grid.models.base import KernelModel, as_known
from matminer_grid.models.learned import UNSEEN, Learned
from matminer_grid.similarity.formulas import SAME_COMPOSITION, composition_keys, formula_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from matminer_grid.crystals.table import CrystalTable
    from matminer_grid.models.base import Extra

    FloatArray = NDArray[np.float64]


class GRIDKernelRegressor(RegressorMixin, KernelModel):
    """Gaussian process on earth mover's distances of geometry, composition, bonding and stiffness.

    Features
    --------
    The covariance of two crystals is exp(-D), where D is a weighted sum of earth mover's distances between the blocks of features
    of a :class:`~matminer_grid.featurizers.ChemistryFeaturizer`. Weights and noise are found in the training data alone, by
    gradient descent on the leave-one-out error of a sample. Where the error of more of them is clearly smaller with it, a smooth
    part is added, for what changes slowly from crystal to crystal: a normal curve of the Euclidean distance of the weighted
    features. Outliers get a larger noise, as in a process with Student's t noise. Intervals are calibrated on the leave-one-out
    residuals, which the search has made too small by a known factor; what few of them can't tell, a Student's t distribution does.
    Those of a composition that no training crystal has rest on residuals where all crystals of a composition are left out.
    Above 20,000 training crystals a prediction rests on the 320 most similar ones, and outliers are found among four thousand that
    lie together, so that no matrix of all pairs is needed.

    Parameters
    ----------
    log_target : bool or "auto", default "auto"
        Whether the process describes log10 y, so that y must be above 0. "auto" decides for each property: where all values are
        above 0 and the logarithm has the smaller leave-one-out error.
    tune_samples : int, default 4000
        Number of training crystals in the search for weights. Up to 1,200 begin it; with more, all of these go on from there.
    tune_iterations : int, default 8
        Steps of the search, twice for those that begin it, once for more; with 0 the weights stay where they start, and no smooth
        part is sought.
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
    weights_ : dict of str to float, or list of them for several properties
        Weight of each block of features, or of single features; blocks are scaled to the mean distance 1 between training crystals.
    noise_ : ndarray of shape (n_samples,) or (n_samples, n_targets)
        Variance of each training value relative to exp(-D); large for outliers.
    residuals_ : ndarray of shape (n_samples,) or (n_samples, n_targets)
        Training value minus leave-one-out prediction, in log10 y where that was learned.
    crystals_ : CrystalTable
        The training crystals.
    names_, target_names_ : list of str or None
        What they and the properties are called.
    y_ : ndarray of shape (n_samples,) or (n_samples, n_targets)
        Their property.

    References
    ----------
    C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning (2006), chapter 5.4.2 (leave-one-out).
    R.-Z. Zhang, S. Seth and J. Cumby, Digital Discovery 2 (2023) 81-90, 10.1039/D2DD00054G (GRID and its EMD).

    Examples
    --------
    >>> import numpy as np
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> from matminer_grid.models import GRIDKernelRegressor
    >>> data = load_mp_elasticity_table()
    >>> model = GRIDKernelRegressor(tune_iterations=0).fit(data.crystals[:300], data.K_VRH[:300])
    >>> K, std = model.predict(data.crystals[:5], return_std=True)
    >>> K.shape, std.shape
    ((5,), (5,))

    Several properties, and a descriptor of one's own:

    >>> moduli = np.stack([data.K_VRH[:300], data.G_VRH[:300]], axis=1)
    >>> extra = {"anisotropy": data.elastic_anisotropy[:300]}
    >>> model = GRIDKernelRegressor(tune_iterations=0).fit(data.crystals[:300], moduli, extra=extra)
    >>> model.predict(data.crystals[:5], extra={"anisotropy": data.elastic_anisotropy[:5]}).shape
    (5, 2)
    """

    def __init__(
        self,
        *,
        log_target: bool | str = "auto",
        tune_samples: int = 4000,
        tune_iterations: int = 8,
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

    def fit(self, X: Any, y: ArrayLike, *, extra: Extra = None, names: Sequence[str] | None = None) -> Self:
        """Learn from known crystals.

        Parameters
        ----------
        X : list, tuple, array, Series or one-column DataFrame of Structure or Crystal; or CrystalTable
            At least 20.
        y : array-like of shape (n_samples,), (n_samples, 1) or (n_samples, n_targets)
            Their property, in any unit, or several. A Series or DataFrame names them.
        extra : dict of str to array-like of shape (n_samples,) or (n_samples, width), optional
            Descriptors of your own, such as computed energies or latent vectors, by name. Each is one more block of features, whose
            columns are standardised by their median and quartiles, and whose weight is found like the others'. Predictions then
            need them too.
        names : sequence of str, optional
            What the crystals are called, for :meth:`explain` and files.

        Raises
        ------
        TypeError, ValueError
            A parameter, a structure, `y` or `extra` is invalid.
        """
        self._check_parameters()
        if self.log_target not in {True, False, "auto"}:
            raise ValueError(f'log_target must be True, False or "auto", not {self.log_target!r}')
        X = as_known(X)
        targets = checked_targets(y, len(X))
        self.target_names_ = target_names(y)
        columns = targets.reshape(len(targets), -1).T
        features = self._start(X, extra, names)
        self.y_ = targets
        labels = self._labels(columns)
        blocks, settings = self.blocks_, self._settings()
        for label, values in zip(labels, columns, strict=True):
            self._check_values(label, values)
        elements = element_shares(self.crystals_)
        keys = composition_keys(self.crystals_)
        groups, self._compositions = formula_labels(keys), cKDTree(keys)
        self._logs, learned = [], []
        for label, values in zip(labels, columns, strict=True):
            if len(columns) > 1:
                self._report(f"learn {label}")
            log = log_is_better(features, values, blocks, settings) if self.log_target == "auto" else bool(self.log_target)
            self._logs.append(log)
            learned.append(Learned.fit(features, np.log10(values) if log else values, blocks, settings, elements, groups))
        return self._set(learned)

    def predict(self, X: Any, return_std: bool = False, *, extra: Extra = None) -> Any:
        """Predict the property of structures.

        Parameters
        ----------
        X : structures, as for :meth:`fit`
        return_std : bool, default False
            Whether to give the standard deviation too: half the width of the interval that covers 68.3 %.
        extra : dict of str to array-like, optional
            The descriptors that :meth:`fit` got, of these structures.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets), or two of them
            In the unit of the training values. Where their logarithm was learned the prediction is the median.

        Warns
        -----
        UserWarning
            A structure holds an element that no training crystal has, so that its prediction is uncertain.

        Raises
        ------
        sklearn.exceptions.NotFittedError, TypeError, ValueError
            Called before :meth:`fit`; a structure is invalid; or `extra` lacks what the model learned from, or has more.
        """
        if not return_std:
            return self._predict(X, extra)[0]
        values, (lower, upper) = self._predict(X, extra, 2 * ndtr(1.0) - 1)
        return values, (upper - lower) / 2

    def predict_interval(self, X: Any, coverage: float = 0.95, *, extra: Extra = None) -> tuple[FloatArray, FloatArray]:
        """Give the intervals that hold the property with a probability between 0 and 1, the coverage.

        They are calibrated on the residuals of training crystals that are left out: of a composition that no training crystal has,
        on those where their whole composition is. Elements that no training crystal holds widen them. Nothing like a
        crystal with another doubt of :meth:`applicability` was seen: its interval holds at least as much of the normal distribution
        with the mean and spread of the training values, down to 0 where their logarithm was learned. `X`, `extra`, errors and
        warnings are those of :meth:`predict`.

        Returns
        -------
        lower, upper : ndarray of shape (n_samples,) or (n_samples, n_targets)
        """
        if not 0 < check_number("coverage", coverage) < 1:
            raise ValueError(f"coverage must lie between 0 and 1, not {coverage!r}")
        return self._predict(X, extra, coverage)[1]

    @property
    def log_target_(self) -> bool | list[bool]:
        """Whether log10 y was learned; a list for several properties."""
        self._check_fitted()
        return self._logs[0] if len(self._logs) == 1 else list(self._logs)

    def _predict(self, X: Any, extra: Extra, *coverages: float) -> list[Any]:
        """Give predictions and, for each coverage, the ends of intervals; with a column for each property if there are several."""
        crystals, features = self._read(X, extra)
        new = self._new_compositions(crystals) if coverages else np.zeros(0, bool)
        found = []
        for number, (learned, log) in enumerate(zip(self.learned_, self._logs, strict=True)):
            n_local = self.n_local if coverages else 0
            values, variances = learned.process.predict(learned.vectors(features), n_local, self.n_jobs)
            ends = [10**values if log else values]
            flags = self._look(crystals, features, number)[1] if coverages else []
            doubtful = np.array([bool(one.keys() - {"elements"}) for one in flags])
            for coverage in coverages:
                half = self._half_widths(learned, crystals, variances, coverage, new)
                lower, upper = (10**end if log else end for end in (values - half, values + half))
                ends += self._widened(lower, upper, doubtful, number, coverage)
            found.append(ends)
        flat = found[0] if self.y_.ndim == 1 else [np.stack(columns, axis=1) for columns in zip(*found, strict=True)]
        return [flat[0], *zip(flat[1::2], flat[2::2], strict=True)]

    def _widened(
        self, lower: FloatArray, upper: FloatArray, doubtful: NDArray[np.bool_], number: int, coverage: float
    ) -> tuple[FloatArray, FloatArray]:
        """Let the intervals of doubtful crystals hold as much of the normal distribution with the spread of the training values."""
        y = self._known_values(number)[self.learned_[number].rows]  # equal ones once
        reach = ndtri((1 + coverage) / 2) * y.std()
        low = max(y.mean() - reach, 0.0) if self._logs[number] else y.mean() - reach
        return np.where(doubtful, np.minimum(lower, low), lower), np.where(doubtful, np.maximum(upper, y.mean() + reach), upper)

    def _labels(self, columns: FloatArray) -> list[str]:
        """Name the properties for messages."""
        if len(columns) == 1:
            return ["y"]
        names = self.target_names_ or [""] * len(columns)
        return [f"y[:, {i}]{f' ({name})' if name else ''}" for i, name in enumerate(names)]

    def _check_values(self, label: str, values: FloatArray) -> None:
        if values.min() == values.max():
            raise ValueError(f"{label} is the same for all crystals, {values[0]:g}: there is nothing to learn")
        if self.log_target is True and values.min() <= 0:
            place = label.replace("[:", f"[{values.argmin()}") if "[:" in label else f"{label}[{values.argmin()}]"
            raise ValueError(
                f"{place} is {values.min():g}; with log_target=True all values must be above 0: "
                'say log_target=False or "auto", or leave such crystals out'
            )

    def _new_compositions(self, crystals: CrystalTable) -> NDArray[np.bool_]:
        """Tell which crystals have a composition that no training crystal has."""
        apart, _ = self._compositions.query(composition_keys(crystals), distance_upper_bound=SAME_COMPOSITION)
        return ~np.isfinite(apart)

    def _half_widths(
        self, learned: Learned, crystals: CrystalTable, variances: FloatArray, coverage: float, new: NDArray[np.bool_]
    ) -> FloatArray:
        """Give those of the property, the larger the more of the species no training crystal holds."""
        seen = np.isin(np.arange(LARGEST_NUMBER + 1), self.range_.elements)
        unseen = element_shares(crystals)[:, ~seen].sum(axis=1)
        return learned.half_widths(variances + UNSEEN * unseen, coverage, new)

    def _own_arrays(self) -> dict[str, NDArray[Any]]:
        return {"logs": np.array(self._logs)}

    def _set_own(self, arrays: dict[str, Any]) -> None:
        self._logs = arrays["logs"].tolist()
        self._compositions = cKDTree(composition_keys(self.crystals_))
