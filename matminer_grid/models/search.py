"""The search for the weights of a process, and for its smooth part, by its leave-one-out error, in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed
from scipy.linalg import blas
from scipy.optimize import minimize
from scipy.spatial.distance import squareform
from sklearn.metrics.pairwise import euclidean_distances

from matminer_grid._threads import n_threads, progress_bar
from matminer_grid.kernels.manhattan import manhattan_tile
from matminer_grid.models._calibration import MAD_TO_SIGMA
from matminer_grid.models.process import ROUGH, ROWS, Smooth, covariance_of, inverted, mirrored, outlier_factors, times

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.float64]
    SingleArray = NDArray[np.float32]

FIRST, FIRST_ROUNDS = 1200, 2
"""Crystals, at most, that begin the search for weights, and their rounds, with outliers found anew before each."""

PAIRS = 1 << 12
"""Pairs of crystals whose distances are in cache in double precision."""

WIDE_PRIOR = 3.0
"""Variance of the unknown mean, over that of the process."""

SMOOTH_PARTS = ((1, 1), (4, 1), (4, 2), (4, 4), (16, 4), (16, 8))
"""Variances of smooth parts that are tried, and their lengths over the root mean square distance from the mean."""

SMOOTH_FEWEST, SMOOTH_MOST = 200, 4000
"""Crystals, at least, that can tell whether there is a smooth part, and as many as are asked."""

STANDARD_ERRORS = 2.0
"""By which the leave-one-out error must be smaller with a smooth part."""

VALUE_BITS = 36
GRADIENT_BITS = 18
"""Bits of the loss and of its gradient that the search sees; sums in another order change the 40th or so."""


def searches(n: int, iterations: int) -> list[tuple[int, list[int]]]:
    """Plan the search for weights among n crystals: how many take part, the first ones, and how many steps each round has.

    What few of them found is where all of them start, so that one round is enough for these.
    """
    if not iterations:
        return []
    first = (min(n, FIRST), [iterations] * FIRST_ROUNDS)
    return [first] if n <= FIRST else [first, (n, [iterations])]


def tune(
    vectors: SingleArray,
    y: FloatArray,
    blocks: list[slice],
    start: FloatArray,
    noise: float,
    *,
    steps: list[int],
    prior: float,
    n_jobs: int | None = None,
) -> tuple[FloatArray, float]:
    """Find the weight of each block and the noise by gradient descent on the leave-one-out error.

    The error is the pseudo-Huber loss of the residuals, which tends to their absolute value, in units of the typical deviation of
    `y`; a prior keeps the logarithms of the weights near where they start. In each round outliers are found anew, and the L-BFGS
    algorithm takes as many steps as `steps` says of it. The vectors (n, d) are not weighted; `blocks` are columns of one
    weight.
    """
    initial = np.log(np.append(start, noise))
    error = LeaveOneOutError(block_distances(vectors, blocks, n_jobs), y, initial, prior)
    parameters = initial
    bounds = [(np.log(1e-4), np.log(1e2))] * len(blocks) + [(np.log(1e-3), np.log(3.0))]
    bar = progress_bar(desc="weights", total=sum(steps), disable=True)
    options: dict[str, Any] = {"bounds": bounds, "callback": lambda _: bar.update(1)}
    for most in steps:
        error.find_outliers(parameters)
        found = minimize(error, parameters, jac=True, method="L-BFGS-B", options={"maxiter": most}, **options)
        bar.update(most - found.nit)  # it may end early
        parameters = found.x
    return np.exp(parameters[:-1]), float(np.exp(parameters[-1]))


class LeaveOneOutError:
    """The leave-one-out error of n crystals as a function of the logarithms of weights and noise, with its gradient.

    Parameters
    ----------
    distances : ndarray of float32, shape (n_blocks, n_pairs)
        Those of all pairs in each block, pairs as in scipy's condensed matrices.
    y : ndarray of shape (n,)
    initial : ndarray of shape (n_blocks + 1,)
        Logarithms that a prior of the strength `prior` keeps the parameters near.
    """

    def __init__(self, distances: SingleArray, y: FloatArray, initial: FloatArray, prior: float) -> None:
        self.distances, self.initial, self.prior = distances, initial, prior
        self.centred = typical_deviations(y)
        self.factors = np.ones(len(y))
        self.softness = softness(self.centred)

    def __call__(self, parameters: FloatArray) -> tuple[float, FloatArray]:
        """Give the error and its gradient, rounded so that what threads do to the last bits never reaches the search."""
        n = len(self.centred)
        similarities, inverse, coefficients = self._solve(parameters)
        diagonal = inverse.diagonal().copy()
        residuals = coefficients / diagonal
        size = np.sqrt(1 + (residuals / self.softness) ** 2)
        value = self.softness * (size - 1).mean()
        slope = residuals / self.softness / size / diagonal / n
        # the derivative by the matrix is inverse diag(slope residuals) inverse - outer(inverse slope, coefficients), made symmetric
        change = times(inverse, slope)
        half = mirrored(inverse)  # in place, as what follows
        half *= np.sqrt(slope * residuals)[:, None]
        adjoint = blas.dsyrk(1.0, half, trans=1, lower=1)
        adjoint = blas.dsyr2(-0.5, change, coefficients, lower=1, a=adjoint, overwrite_a=1)
        gradient = np.empty(len(parameters))
        gradient[-1] = np.exp(parameters[-1]) * (adjoint.diagonal() @ self.factors)
        rows = adjoint.T
        by_pair = np.concatenate([rows[i, i + 1 :] for i in range(n)])
        by_pair *= similarities
        gradient[:-1] = -2 * np.exp(parameters[:-1]) * self._sums(by_pair)
        step = parameters - self.initial
        value, gradient = value + 0.5 * self.prior * float(step @ step) / len(step), gradient + self.prior * step / len(step)
        return float(_rounded(value, VALUE_BITS)), _rounded(gradient, GRADIENT_BITS)

    def find_outliers(self, parameters: FloatArray) -> None:
        """Raise the noise of the crystals that the others contradict."""
        _, inverse, coefficients = self._solve(parameters)
        self.factors = outlier_factors(coefficients / inverse.diagonal())

    def _solve(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Give the similarities of pairs, the inverse of the covariance, of which the lower triangle is right, and coefficients."""
        weights = np.exp(parameters[:-1])
        similarities = np.empty(self.distances.shape[1])
        for part in self._parts():
            similarities[part] = weights @ self.distances[:, part].astype(np.float64)
        np.exp(np.negative(similarities, out=similarities), out=similarities)
        matrix = squareform(similarities, checks=False)
        matrix += WIDE_PRIOR
        matrix[np.diag_indices(len(matrix))] += 1 + np.exp(parameters[-1]) * self.factors
        inverse = inverted(matrix)
        return similarities, inverse, times(inverse, self.centred)

    def _sums(self, by_pair: FloatArray) -> FloatArray:
        """Sum up the distances of each block, with a factor for each pair."""
        total = np.zeros(len(self.distances))
        for part in self._parts():
            total += self.distances[:, part].astype(np.float64) @ by_pair[part]
        return total

    def _parts(self) -> list[slice]:
        return [slice(start, start + PAIRS) for start in range(0, self.distances.shape[1], PAIRS)]


def typical_deviations(y: FloatArray) -> FloatArray:
    """Give deviations from the median in units of their typical size, so that the unit of a property changes nothing."""
    centred = y - np.median(y)
    return centred / (max(_typical(centred), 0.1 * float(centred.std())) or 1.0)


def softness(centred: FloatArray) -> float:
    """Give the size of residuals from which the pseudo-Huber loss grows in proportion."""
    return max(0.1 * _typical(centred), 1e-3 * float(centred.std())) or 1.0


def _typical(centred: FloatArray) -> float:
    return MAD_TO_SIGMA * float(np.median(np.abs(centred)))


def smooth_part(vectors: SingleArray, y: FloatArray, noise: float, n_jobs: int | None = None) -> Smooth:
    """Find the smooth part under which crystals have the smallest leave-one-out error, if it is smaller than chance would have it.

    There is time and memory for SMOOTH_MOST weighted vectors (n, d). `noise` is relative to the part that is not smooth, and so is
    the variance that is found. Outliers are those without a smooth part.
    """
    n = len(y)
    if n < SMOOTH_FEWEST:
        return ROUGH
    centred = typical_deviations(y)
    soft = softness(centred)
    rough, squared = (
        covariance_of(vectors, n_jobs).astype(np.float64),
        euclidean_distances(vectors.astype(np.float64), squared=True),
    )
    spread = max(float(np.sqrt(squared.mean() / 2)), 1e-9)

    def residuals(smooth: Smooth, factors: FloatArray) -> FloatArray:
        matrix = rough + smooth.variance * np.exp(-0.5 / smooth.length**2 * squared) + WIDE_PRIOR
        matrix[np.diag_indices(n)] += noise * factors
        inverse = inverted(matrix)
        return times(inverse, centred) / inverse.diagonal()

    factors = outlier_factors(residuals(ROUGH, np.ones(n)))

    def losses(smooth: Smooth) -> FloatArray:
        return soft * (np.sqrt(1 + (residuals(smooth, factors) / soft) ** 2) - 1)

    without, best, gain = losses(ROUGH), ROUGH, 0.0
    for variance, length in SMOOTH_PARTS:
        smooth = Smooth(float(variance), length * spread)
        gains = without - losses(smooth)
        found = float(_rounded(gains.mean(), VALUE_BITS))
        if found > max(gain, STANDARD_ERRORS * float(gains.std()) / np.sqrt(n)):
            best, gain = smooth, found
    return best


def block_distances(vectors: SingleArray, blocks: list[slice], n_jobs: int | None) -> SingleArray:
    """Manhattan distances of all pairs in each block, of shape (blocks, pairs), pairs as in scipy's condensed matrices."""
    n = len(vectors)
    out = np.empty((len(blocks), n * (n - 1) // 2), np.float32)

    def fill(i: int) -> None:
        own = np.ascontiguousarray(vectors[:, blocks[i]])
        end = 0
        for start in range(0, n, ROWS):
            tile = np.empty((len(own[start : start + ROWS]), n - start), np.float32)
            manhattan_tile(own[start : start + ROWS], own[start:], tile)
            for row, distances in enumerate(tile, 1):
                begin, end = end, end + n - start - row
                out[i, begin:end] = distances[row:]

    Parallel(n_jobs=n_threads(n_jobs), require="sharedmem")(delayed(fill)(i) for i in range(len(blocks)))
    return out


def _rounded(values: ArrayLike, bits: int) -> FloatArray:
    """Round values to so many bits of the largest."""
    values = np.asarray(values, np.float64)
    unit = 2.0 ** (np.frexp(np.abs(values).max())[1] - bits)
    return np.round(values / unit) * unit
