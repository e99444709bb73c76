"""Models of the comparison: hyperparameters by cross-validation inside the training part, then a fit on all of it.

Kernel ridge regression and LASSO learn the modulus in GPa and its decadic logarithm side by side, so that both share every
factorisation; the score is the mean absolute error in GPa for either.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from scipy.linalg import cho_factor, cho_solve
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso
from sklearn.utils import gen_batches

from matminer_grid._threads import progress_bar
from matminer_grid.models import GRIDKernelRegressor
from matminer_grid.models.process import kriging_shares

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.moduli.task import Task
    from matminer_grid.models._featurized import FeaturizedCrystals

SCALES = ("GPa", "log10")
"""Scales on which the modulus is learned; the columns of every two-column target."""

LINEAR_ALPHAS = tuple(10.0**exponent for exponent in range(-8, 2))
LAPLACIAN_ALPHAS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
RBF_ALPHAS = (1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 1.0)
"""RBF kernels are smoother, so that less regularisation may do; it takes float64."""

FLOAT32_ALPHA = 0.003
"""The smallest α for which a kernel in float32 is precise enough."""

GAMMAS = (0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""In units of 1 / median dissimilarity."""

GAMMAS_OF_TWO = ((0.0625, 0.125, 0.25, 0.5), (0.25, 0.5, 1.0, 2.0))
"""For GRID and composition together, each in units of 1 / its median."""

LASSO_ALPHAS = tuple(10.0 ** (-0.5 * step) for step in range(1, 11))
"""In units of the smallest one that leaves no feature."""

LASSO_UPDATES = 20_000_000
"""Updates of a coordinate after which a fit counts as not converged."""

LASSO_TOLERANCE = 0.01
N_TREES = 200
CHUNK = 1000
"""Rows of a kernel that are computed at once."""

N_WEIGHED = 192
"""Nearest training crystals that share a prediction of a kernel model, as in :meth:`GRIDKernelRegressor.explain`."""

N_LISTED = 3
"""Of them those of the largest share are kept."""


class RestsOn(NamedTuple):
    """The training rows of the largest share in each prediction, and these shares; both of shape (n_test, n)."""

    rows: np.ndarray
    shares: np.ndarray


@dataclass
class Prediction:
    """What one model predicts for the test rows, on one scale, in GPa."""

    predicted: np.ndarray
    hyperparameters: dict[str, float] = field(default_factory=dict)
    rests_on: RestsOn | None = None
    train_predicted: np.ndarray | None = None
    note: str = ""


class LinearKernel:
    """Scalar products of vectors; the kernel has no hyperparameters."""

    alphas = LINEAR_ALPHAS
    dtype = np.float64

    def __init__(self, X: np.ndarray) -> None:
        self.X = X

    def grid(self, _rows: np.ndarray) -> list[dict[str, float]]:
        """Give the one choice."""
        return [{}]

    def __call__(self, rows: np.ndarray, columns: np.ndarray, _parameters: dict[str, float], _dtype: Any) -> np.ndarray:
        """Evaluate the kernel."""
        return self.X[rows] @ self.X[columns].T


class ExponentialKernel:
    """exp(-Σ γ·dissimilarity): the RBF kernel of squared Euclidean distances, the Laplacian kernel of EMDs.

    Matrices of dissimilarities are given by the name of their γ; α is chosen among `alphas`, below FLOAT32_ALPHA in float64.
    """

    def __init__(self, alphas: tuple[float, ...], **dissimilarities: np.ndarray) -> None:
        self.alphas = alphas
        self.dissimilarities = dissimilarities
        self.dtype = np.float32 if min(alphas) >= FLOAT32_ALPHA else np.float64

    def grid(self, rows: np.ndarray) -> list[dict[str, float]]:
        """Give multiples of 1 / median dissimilarity among the rows."""
        factors = (GAMMAS,) if len(self.dissimilarities) == 1 else GAMMAS_OF_TWO
        gammas = []
        for matrix, multiples in zip(self.dissimilarities.values(), factors, strict=True):
            values = matrix[np.ix_(rows, rows)]
            median = float(np.median(values[~np.eye(len(rows), dtype=bool)]))
            gammas.append([multiple / (median or 1.0) for multiple in multiples])
        return [dict(zip(self.dissimilarities, choice, strict=True)) for choice in product(*gammas)]

    def __call__(self, rows: np.ndarray, columns: np.ndarray, parameters: dict[str, float], dtype: Any) -> np.ndarray:
        """Evaluate the kernel as precisely as `self.dtype`, in blocks, as an array of `dtype`."""
        K = np.empty((len(rows), len(columns)), dtype)
        for part in gen_batches(len(rows), CHUNK):
            exponent = np.zeros((len(rows[part]), len(columns)), self.dtype)
            for name, matrix in self.dissimilarities.items():
                exponent -= parameters[name] * matrix[np.ix_(rows[part], columns)]
            K[part] = np.exp(exponent, out=exponent)
        return K


Kernel = LinearKernel | ExponentialKernel


class Target:
    """The modulus on both scales, as differences from the training mean, and back."""

    def __init__(self, modulus: np.ndarray) -> None:
        both = np.column_stack((modulus, np.log10(modulus)))
        self._mean = both.mean(axis=0)
        self._range = modulus.min(), modulus.max()
        self.centred = both - self._mean

    def modulus(self, centred: np.ndarray, scale: str) -> np.ndarray:
        """Turn predictions on a scale into GPa; they are clipped to the range of the training part."""
        column = SCALES.index(scale)
        values = centred + self._mean[column]
        if scale == "log10":
            values = 10.0 ** np.clip(values, *np.log10(self._range))
        return np.clip(values, *self._range)

    def errors(self, centred: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Mean absolute errors in GPa of two columns of predictions."""
        return np.array([np.abs(self.modulus(centred[:, i], scale) - truth).mean() for i, scale in enumerate(SCALES)])


def kernel_ridge(task: Task, kernel: Kernel, train: np.ndarray, test: np.ndarray) -> dict[str, Prediction]:
    """Fit kernel ridge regression; give predictions on both scales, with a note where a choice ended at the end of its grid."""
    chosen, notes = tune_kernel_ridge(task, kernel, train)
    predictions = fit_kernel_ridge(task, kernel, chosen, train, test)
    for scale, note in notes.items():
        predictions[scale].note = note
    return predictions


def tune_kernel_ridge(task: Task, kernel: Kernel, train: np.ndarray) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Choose the kernel's hyperparameters and α on both scales by grid search; tell which ended at the end of their grid."""
    rows, folds = task.tuning(train)
    grid = kernel.grid(rows)
    bar = progress_bar(desc="hyperparameters", total=len(grid) * len(folds) * len(kernel.alphas), disable=True)

    def tried() -> Iterator[tuple[dict[str, float], np.ndarray]]:
        for parameters in grid:
            K = kernel(rows, rows, parameters, kernel.dtype)
            errors = np.zeros((len(kernel.alphas), len(SCALES)))
            for inside, outside in folds:
                target = Target(task.modulus[rows[inside]])
                inner, outer = K[np.ix_(inside, inside)], K[np.ix_(outside, inside)]
                for i, alpha in enumerate(kernel.alphas):
                    predicted = outer @ _solve(inner.copy(), alpha, target.centred)
                    errors[i] += target.errors(predicted, task.modulus[rows[outside]]) / len(folds)
                    bar.update(1)
            yield from (({**parameters, "alpha": alpha}, errors[i]) for i, alpha in enumerate(kernel.alphas))

    choices, errors = zip(*tried(), strict=True)
    chosen = {scale: choices[row] for scale, row in zip(SCALES, np.argmin(errors, axis=0), strict=True)}
    return chosen, {scale: note_ends(choice, choices) for scale, choice in chosen.items()}


def fit_kernel_ridge(
    task: Task, kernel: Kernel, chosen: dict[str, dict[str, float]], train: np.ndarray, test: np.ndarray
) -> dict[str, Prediction]:
    """Fit with given hyperparameters; scales that share them share the factorisation."""
    target = Target(task.modulus[train])
    out = {}
    for parameters in {tuple(choice.items()): choice for choice in chosen.values()}.values():
        scales = [scale for scale in chosen if chosen[scale] == parameters]
        y = target.centred[:, [SCALES.index(scale) for scale in scales]]
        known = None
        if isinstance(kernel, LinearKernel) and kernel.X.shape[1] < len(train):
            X = kernel.X[train]
            weights = _solve(X.T @ X, parameters["alpha"], X.T @ y)
            fitted, predicted = X @ weights, kernel.X[test] @ weights
        else:
            weights = _solve(kernel(train, train, parameters, np.float64), parameters["alpha"], y)
            fitted = y - parameters["alpha"] * weights
            K = kernel(test, train, parameters, kernel.dtype)
            predicted = K @ weights
            if isinstance(kernel, ExponentialKernel):
                known = rests_on(K, kernel, parameters, train)
        for i, scale in enumerate(scales):
            on_test, on_train = target.modulus(predicted[:, i], scale), target.modulus(fitted[:, i], scale)
            out[scale] = Prediction(on_test, parameters, known, on_train)
    return {scale: out[scale] for scale in chosen}


def rests_on(K: np.ndarray, kernel: Kernel, parameters: dict[str, float], train: np.ndarray) -> RestsOn:
    """Weigh the nearest training rows in each prediction; `K` is the kernel between test and training rows."""
    n = min(N_WEIGHED, len(train))
    listed = min(N_LISTED, n)
    rows, shares = np.empty((len(K), listed), np.int64), np.empty((len(K), listed))
    for i, similarities in enumerate(K):
        near = np.argpartition(-similarities, n - 1)[:n]
        joint = kernel(train[near], train[near], parameters, np.float64)
        joint.flat[:: n + 1] += parameters["alpha"]
        found = kriging_shares(joint, similarities[near])
        largest = np.argsort(-np.abs(found), kind="stable")[:listed]
        rows[i], shares[i] = train[near[largest]], found[largest]
    return RestsOn(rows, shares)


class LassoPath:
    """LASSO on both scales along a path of descending α, each fit starting from the last; y of shape (n, 2) has the mean 0."""

    def __init__(self, X: np.ndarray, y: np.ndarray) -> None:
        self._mean = X.mean(axis=0)
        self._X = np.asfortranarray(X)
        self._X -= self._mean
        self._y = np.asfortranarray(y)
        self._alpha_max = np.abs(self._X.T @ y).max(axis=0) / len(X)
        settings = {"max_iter": max(1000, LASSO_UPDATES // X.shape[1]), "tol": LASSO_TOLERANCE, "fit_intercept": False}
        gram = self._X.T @ self._X
        self._models = [Lasso(precompute=gram, copy_X=False, warm_start=True, **settings) for _ in SCALES]

    def follow(self, alpha: float) -> None:
        """Fit with an α given in units of the smallest one that leaves no feature, both scales in threads."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            Parallel(n_jobs=2, prefer="threads")(delayed(self._fit)(column, alpha) for column in range(len(SCALES)))

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predict both scales."""
        return (X - self._mean) @ np.column_stack([model.coef_ for model in self._models])

    def note(self, column: int) -> str:
        """Say how many features are used on a scale, and whether the last fit converged."""
        model = self._models[column]
        converged = "" if model.n_iter_ < model.max_iter else ", not converged"
        return f"{(model.coef_ != 0).sum()} of {len(model.coef_)} features{converged}"

    def _fit(self, column: int, alpha: float) -> None:
        self._models[column].set_params(alpha=alpha * self._alpha_max[column]).fit(self._X, self._y[:, column], check_input=False)


def lasso(task: Task, X: np.ndarray, train: np.ndarray, test: np.ndarray) -> dict[str, Prediction]:
    """Fit LASSO on both scales; smaller α are tried until the error of both has risen."""
    rows, folds = task.tuning(train)
    targets = [Target(task.modulus[rows[inside]]) for inside, _ in folds]
    paths = [LassoPath(X[rows[inside]], target.centred) for (inside, _), target in zip(folds, targets, strict=True)]
    errors: list[np.ndarray] = []
    bar = progress_bar(desc="hyperparameters", total=len(LASSO_ALPHAS), disable=True)
    for alpha in LASSO_ALPHAS:
        errors.append(np.zeros(len(SCALES)))
        for path, target, (_, outside) in zip(paths, targets, folds, strict=True):
            path.follow(alpha)
            errors[-1] += target.errors(path.predict(X[rows[outside]]), task.modulus[rows[outside]]) / len(folds)
        bar.update(1)
        if (errors[-1] > np.min(errors, axis=0)).all():
            break
    del paths, path
    chosen = {scale: LASSO_ALPHAS[i] for scale, i in zip(SCALES, np.argmin(errors, axis=0), strict=True)}
    return fit_lasso(task, X, chosen, train, test)


def fit_lasso(task: Task, X: np.ndarray, chosen: dict[str, float], train: np.ndarray, test: np.ndarray) -> dict[str, Prediction]:
    """Fit LASSO with a given α, in units of the smallest one that leaves no feature, for each scale."""
    target = Target(task.modulus[train])
    path = LassoPath(X[train], target.centred)
    out = {}
    followed = LASSO_ALPHAS[: LASSO_ALPHAS.index(min(chosen.values())) + 1]
    bar = progress_bar(desc="LASSO", total=len(followed), disable=True)
    for alpha in followed:
        path.follow(alpha)
        bar.update(1)
        for scale in [scale for scale in chosen if chosen[scale] == alpha]:
            column = SCALES.index(scale)
            note = path.note(column) + (", α at the lower end of its grid" if alpha == LASSO_ALPHAS[-1] else "")
            predicted = target.modulus(path.predict(X[test])[:, column], scale)
            out[scale] = Prediction(predicted, {"alpha / alpha_max": alpha}, note=note)
    return {scale: out[scale] for scale in chosen}


def random_forest(task: Task, X: np.ndarray, train: np.ndarray, test: np.ndarray) -> dict[str, Prediction]:
    """Fit a random forest on both scales, with a third of the features at each split."""
    target = Target(task.modulus[train])
    out = {}
    for column, scale in enumerate(SCALES):
        forest = RandomForestRegressor(N_TREES, max_features=1 / 3, n_jobs=2, random_state=task.seed)
        forest.fit(X[train], target.centred[:, column])
        note = f"{N_TREES} trees, a third of the features at each split"
        out[scale] = Prediction(target.modulus(forest.predict(X[test]), scale), note=note)
    return out


def grid_kernel_regression(task: Task, described: FeaturizedCrystals, train: np.ndarray, test: np.ndarray) -> Prediction:
    """Fit the package's own model, which learns on a scale of its own and chooses its weights inside the training part."""
    model = GRIDKernelRegressor(log_target=True).fit(described[train], task.modulus[train])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # elements that the training part lacks
        predicted = model.predict(described[test])
    learned = model.learned_[0]
    vectors, kept = learned.vectors(described.features[test]), train[learned.rows]
    found = [learned.process.shares(vectors[i : i + 1], N_WEIGHED, n_jobs=1)[:2] for i in range(len(test))]
    rows, shares = (np.array([one[part][:N_LISTED] for one in found]) for part in (0, 1))
    return Prediction(predicted, rests_on=RestsOn(kept[rows], shares))


def neighbour_mean(task: Task, neighbours: np.ndarray) -> Prediction:
    """Predict the mean modulus of the neighbours, shape (n_test, k)."""
    shares = np.full(neighbours.shape, 1 / neighbours.shape[1])
    return Prediction(task.modulus[neighbours].mean(axis=1), rests_on=RestsOn(neighbours, shares))


def note_ends(choice: dict[str, float], choices: Sequence[dict[str, float]]) -> str:
    """Name the hyperparameters that are at either end of what was tried."""
    ends = []
    for name, value in choice.items():
        values = sorted({other[name] for other in choices})
        if len(values) > 1 and value in {values[0], values[-1]}:
            ends.append(f"{name} at the {'lower' if value == values[0] else 'upper'} end of its grid")
    return ", ".join(ends)


def _solve(A: np.ndarray, alpha: float, y: np.ndarray) -> np.ndarray:
    """Solve (A + α) w = y for a symmetric A, which is overwritten; scikit-learn's KernelRidge would copy a kernel of 700 MB."""
    A.flat[:: len(A) + 1] += alpha
    factor: Any = cho_factor(A.T, lower=True, overwrite_a=True, check_finite=False)
    return cho_solve(factor, y.astype(A.dtype, copy=False), check_finite=False)
