"""A Gaussian process whose covariance is exp(-weighted Manhattan distance), judged by closed-form leave-one-out.

The noise of each training crystal grows with its leave-one-out residual, as in the EM algorithm for Student's t, so that failed
calculations lose their say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import scipy.linalg
from joblib import Parallel, delayed
from scipy.optimize import minimize
from scipy.spatial.distance import squareform

from matminer_grid._threads import n_threads
from matminer_grid.kernels.manhattan import manhattan_tile

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.float64]
    SingleArray = NDArray[np.float32]

ROWS = 64
"""Rows of a distance matrix that a thread fills at once."""

DEGREES_OF_FREEDOM = 2.0
"""Of Student's t distribution of the noise."""

TUNING_ROUNDS = 2
"""Searches for weights, with outliers found anew in between."""

PAIRS = 1 << 14
"""Pairs of crystals whose distances are added up while they are in cache."""

VALUE_BITS = 36
GRADIENT_BITS = 18
"""Bits of the loss and of its gradient that the search sees; sums in another order change the 40th or so."""

CHUNK = 256
"""Structures whose covariances with all training crystals are in memory at once."""

MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


def covariance(left: SingleArray, right: SingleArray, n_jobs: int | None = None) -> SingleArray:
    """Compute exp(-Manhattan distance) of weighted vectors (m, d) and (n, d), in threads, as an array of shape (m, n)."""
    out = np.empty((len(left), len(right)), np.float32)

    def fill(start: int) -> None:
        part = out[start : start + ROWS]
        manhattan_tile(left[start : start + ROWS], right, part)
        np.exp(np.negative(part, out=part), out=part)

    if left.shape[1] and out.size:
        Parallel(n_jobs=n_threads(n_jobs), require="sharedmem")(delayed(fill)(start) for start in range(0, len(left), ROWS))
    return out


@dataclass(frozen=True, eq=False)
class LaplacianProcess:
    """A process that has learned the values of n crystals. All variances are relative to that of the process.

    Values are predicted as mean + covariance @ coefficients. `base_noise` is the variance of the noise of a crystal that is no
    outlier, `noise` that of each, `residuals` values minus leave-one-out predictions, and `ratios` their sizes over the standard
    deviations that a prediction would state, ascending, filled by :meth:`calibrated`.
    """

    vectors: SingleArray
    targets: FloatArray
    coefficients: FloatArray
    mean: float
    base_noise: float
    noise: FloatArray
    residuals: FloatArray
    ratios: FloatArray

    @classmethod
    def fit(
        cls,
        vectors: SingleArray,
        targets: FloatArray,
        noise: float,
        *,
        rounds: int,
        n_jobs: int | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> Self:
        """Learn values; the noise of each is estimated anew from the leave-one-out residuals, in so many rounds."""
        n = len(targets)
        K = covariance(vectors, vectors, n_jobs)
        factors = np.ones(n)
        for i in range(rounds + 1):
            if progress is not None:
                progress(f"solve for {n} crystals, round {i + 1} of {rounds + 1}")
            inverse = K.astype(np.float64)
            inverse[np.diag_indices(n)] += noise * factors
            inverse = _inverse(inverse)
            ones = _times(inverse, np.ones(n))
            mean = float(ones @ targets / ones.sum())
            coefficients = _times(inverse, targets - mean)
            residuals = coefficients / inverse.diagonal()
            if i < rounds:
                factors = outlier_factors(residuals)
        return cls(vectors, targets, coefficients, mean, noise, noise * factors, residuals, np.zeros(0))

    def predict(self, vectors: SingleArray, n_local: int = 0, n_jobs: int | None = None) -> tuple[FloatArray, FloatArray]:
        """Give means and variances, noise included; a variance takes the n_local nearest crystals into account and is 0 without."""
        means, variances = np.empty(len(vectors)), np.zeros(len(vectors))
        for start in range(0, len(vectors), CHUNK):
            rows = slice(start, start + CHUNK)
            K = covariance(vectors[rows], self.vectors, n_jobs)
            means[rows] = self.mean + K @ self.coefficients
            if n_local:
                variances[rows] = self._variances(K, n_local)
        return means, variances

    def calibrated(self, sample: NDArray[np.int64], n_local: int, n_jobs: int | None = None) -> Self:
        """Give a process whose intervals hold as many of these training crystals, each left out, as they should."""
        variances = self.left_out_variances(sample, n_local, n_jobs)
        return replace(self, ratios=np.sort(np.abs(self.residuals[sample]) / np.sqrt(variances)))

    def half_widths(self, variances: FloatArray, coverage: float) -> FloatArray:
        """Give half the widths of intervals that hold the value with a probability, from the variances of :meth:`predict`."""
        n = len(self.ratios)
        return np.quantile(self.ratios, min(1.0, np.ceil(coverage * (n + 1)) / n)) * np.sqrt(variances)

    def left_out_variances(self, rows: NDArray[np.int64], n_local: int, n_jobs: int | None = None) -> FloatArray:
        """Give the variances that predictions of these training crystals would have, had they been left out."""
        variances = np.empty(len(rows))
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            K = covariance(self.vectors[chunk], self.vectors, n_jobs)
            K[np.arange(len(chunk)), chunk] = 0
            variances[start : start + CHUNK] = self._variances(K, n_local)
        return variances

    def _variances(self, K: SingleArray, n_local: int) -> FloatArray:
        n_local = min(n_local, K.shape[1])
        near = np.argpartition(-K, n_local - 1, axis=1)[:, :n_local]
        joint = np.empty((len(K), n_local, n_local))
        for i, rows in enumerate(near):
            joint[i] = covariance(self.vectors[rows], self.vectors[rows], 1) + np.diag(self.noise[rows])
        k = np.take_along_axis(K, near, axis=1).astype(np.float64)
        return np.maximum(1 - (k * np.linalg.solve(joint, k[..., None])[..., 0]).sum(axis=1), 0) + self.base_noise

    def shares(
        self, vectors: SingleArray, n_near: int, n_jobs: int | None = None
    ) -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
        """Weigh the nearest training crystals in a prediction from them alone, their mean unknown.

        Gives rows from the largest share down, shares, which add up to 1, and covariances with the one row of `vectors`.
        """
        similarities = covariance(vectors, self.vectors, n_jobs)[0].astype(np.float64)
        near = np.argsort(-similarities, kind="stable")[:n_near]
        joint = covariance(self.vectors[near], self.vectors[near], n_jobs).astype(np.float64) + np.diag(self.noise[near])
        shares, mean_shares = np.linalg.solve(joint, np.stack([similarities[near], np.ones(len(near))], axis=1)).T
        shares += (1 - shares.sum()) * mean_shares / mean_shares.sum()
        order = np.argsort(-np.abs(shares), kind="stable")
        return near[order], shares[order], similarities[near[order]]


def outlier_factors(residuals: FloatArray) -> FloatArray:
    """By how much the noise of each crystal exceeds that of most, for its residual: the EM step for Student's t, at least 1."""
    scale = max(MAD_TO_SIGMA * float(np.median(np.abs(residuals))), 1e-12)
    return np.maximum(1, (DEGREES_OF_FREEDOM + (residuals / scale) ** 2) / (DEGREES_OF_FREEDOM + 1))


def tune(
    vectors: FloatArray,
    y: FloatArray,
    blocks: list[slice],
    start: FloatArray,
    noise: float,
    *,
    iterations: int,
    prior: float,
    n_jobs: int | None = None,
) -> tuple[FloatArray, float]:
    """Find the weight of each block and the noise by gradient descent on the leave-one-out error.

    The error is the pseudo-Huber loss of the residuals, which tends to their absolute value; a prior keeps the logarithms of the
    weights near where they start. In each of two rounds the L-BFGS algorithm takes `iterations` steps; outliers are found anew in
    between. The vectors (n, d) are not weighted; `blocks` are columns that have a weight in common.
    """
    if not iterations:
        return start, noise
    n = len(y)
    distances = _block_distances(vectors, blocks, n_jobs)
    centred = y - np.median(y)
    initial = np.log(np.append(start, noise))
    factors = np.ones(n)
    softness = max(0.1 * MAD_TO_SIGMA * float(np.median(np.abs(centred))), 1e-3 * float(centred.std()), 1e-12)

    def loss(parameters: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        weights = np.exp(parameters[:-1])
        K = squareform(np.exp(-_weighted_sum(distances, weights)), checks=False)
        inverse = K + 3.0  # a constant with a wide prior, since the mean is unknown
        inverse[np.diag_indices(n)] += 1 + np.exp(parameters[-1]) * factors
        inverse = _inverse(inverse, symmetric=True)
        coefficients, diagonal = inverse @ centred, inverse.diagonal()
        residuals = coefficients / diagonal
        size = np.sqrt(1 + (residuals / softness) ** 2)
        value = softness * (size - 1).mean()
        slope = residuals / softness / size / diagonal / n
        adjoint = (inverse * (slope * residuals)) @ inverse - np.outer(inverse @ slope, coefficients)
        gradient = np.empty(len(parameters))
        gradient[-1] = np.exp(parameters[-1]) * (adjoint.diagonal() @ factors)
        by_pair = squareform(-(adjoint + adjoint.T) * K, checks=False)
        gradient[:-1] = weights * np.einsum("bp,p->b", distances, by_pair)
        step = parameters - initial
        value, gradient = value + 0.5 * prior * float(step @ step) / len(step), gradient + prior * step / len(step)
        return float(_rounded(value, VALUE_BITS)), _rounded(gradient, GRADIENT_BITS), residuals

    parameters = initial
    bounds = [(np.log(1e-4), np.log(1e2))] * len(blocks) + [(np.log(1e-3), np.log(3.0))]
    for _ in range(TUNING_ROUNDS):
        result = minimize(
            lambda p: loss(p)[:2], parameters, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": iterations}
        )
        parameters = result.x
        factors = outlier_factors(loss(parameters)[2])
    return np.exp(parameters[:-1]), float(np.exp(parameters[-1]))


def _block_distances(vectors: FloatArray, blocks: list[slice], n_jobs: int | None) -> SingleArray:
    """Manhattan distances of all pairs in each block, of shape (blocks, pairs), pairs as in scipy's condensed matrices."""
    n = len(vectors)
    pairs = np.triu_indices(n, 1)
    out = np.empty((len(blocks), len(pairs[0])), np.float32)

    def fill(i: int) -> None:
        matrix, part = np.empty((n, n), np.float32), np.ascontiguousarray(vectors[:, blocks[i]])
        manhattan_tile(part, part, matrix)
        out[i] = matrix[pairs]

    Parallel(n_jobs=n_threads(n_jobs), require="sharedmem")(delayed(fill)(i) for i in range(len(blocks)))
    return out


def _weighted_sum(rows: SingleArray, weights: FloatArray) -> FloatArray:
    """Add up rows in double precision, always in the same order."""
    total = np.zeros(rows.shape[1])
    for start in range(0, len(total), PAIRS):
        part = total[start : start + PAIRS]
        for row, weight in zip(rows, weights, strict=True):
            part += weight * row[start : start + PAIRS]
    return total


def _rounded(values: ArrayLike, bits: int) -> FloatArray:
    """Round values to so many bits of the largest, so that what threads do to the last bits never reaches the search."""
    values = np.asarray(values, np.float64)
    unit = 2.0 ** (np.frexp(np.abs(values).max())[1] - bits)
    return np.round(values / unit) * unit


def _inverse(matrix: NDArray[np.floating], symmetric: bool = False) -> FloatArray:
    """Invert a positive definite matrix in place; without `symmetric`, the lower triangle alone is right."""
    transposed = matrix.T  # LAPACK's order, without a copy
    factor, failed = scipy.linalg.lapack.dpotrf(transposed, lower=1, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError("the covariance matrix is not positive definite; raise the noise")
    inverse, _ = scipy.linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
    if symmetric:
        lower = np.tril(inverse)
        return lower + np.tril(inverse, -1).T
    return inverse


def _times(lower: FloatArray, vector: FloatArray) -> FloatArray:
    """Multiply a symmetric matrix, of which the lower triangle is stored in Fortran's order, with a vector."""
    return scipy.linalg.blas.dsymv(1.0, lower, vector, lower=1)
