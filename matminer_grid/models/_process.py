"""A Gaussian process whose kernel is exp(-Manhattan distance), robust to outliers, judged by closed-form leave-one-out.

The covariance of two crystals is K = exp(-sum_k w_k |x_k - x'_k|): a product of Laplacian kernels, one for each earth mover's
distance. The noise of each training crystal grows with its leave-one-out residual, as in the EM algorithm for Student's t, so that
failed calculations lose their say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.linalg
from joblib import Parallel, delayed
from scipy.optimize import minimize

from matminer_grid._threads import n_threads
from matminer_grid.kernels.manhattan import manhattan_tile, weighted_sum_of_distances

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    SingleArray = NDArray[np.float32]

ROWS = 64
"""Rows of a distance matrix that a thread fills at once."""

DEGREES_OF_FREEDOM = 2.0
"""Of Student's t distribution of the noise."""

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


class Solution(NamedTuple):
    """What is known of the training crystals after a fit."""

    mean: float
    coefficients: FloatArray  # (n,), so that a prediction is mean + covariance @ coefficients
    noise: FloatArray  # (n,), variance of each training value relative to the process
    residuals: FloatArray  # (n,), value minus leave-one-out prediction
    variances: FloatArray  # (n,), of these residuals relative to the process, own noise included


def solve(K: SingleArray, y: FloatArray, noise: float, rounds: int, progress: Callable[[str], None] | None = None) -> Solution:
    """Fit the process, reweighting outliers in each of so many rounds.

    Parameters
    ----------
    K : ndarray of shape (n, n)
        Covariance of the training crystals.
    y : ndarray of shape (n,)
    noise : float
        Variance of the noise of a crystal that is no outlier, relative to the process.
    rounds : int
        Times that the noise is estimated anew from the leave-one-out residuals.
    progress : callable, optional
        Called with a text before each round.
    """
    n = len(y)
    factors = np.ones(n)
    for i in range(rounds + 1):
        if progress is not None:
            progress(f"solve for {n} crystals, round {i + 1} of {rounds + 1}")
        inverse = K.astype(np.float64)
        inverse[np.diag_indices(n)] += noise * factors
        inverse = _inverse(inverse)
        ones = _times(inverse, np.ones(n))
        mean = float(ones @ y / ones.sum())
        coefficients = _times(inverse, y - mean)
        diagonal = inverse.diagonal().copy()
        residuals = coefficients / diagonal
        if i < rounds:
            factors = outlier_factors(residuals)
    return Solution(mean, coefficients, noise * factors, residuals, 1 / diagonal)


def local_variances(K: SingleArray, vectors: SingleArray, noise: FloatArray, n_local: int) -> FloatArray:
    """Variance of new values, relative to the process and without noise, from the most similar training crystals alone.

    Parameters
    ----------
    K : ndarray of shape (m, n)
        Covariances of the new crystals with those of training.
    vectors : ndarray of shape (n, d); noise : ndarray of shape (n,)
        Of the training crystals.
    n_local : int
        Number of training crystals taken into account for each.
    """
    near = np.argpartition(-K, n_local - 1, axis=1)[:, :n_local]
    joint = np.empty((len(K), n_local, n_local))
    for i, rows in enumerate(near):
        joint[i] = covariance(vectors[rows], vectors[rows], 1) + np.diag(noise[rows])
    k = np.take_along_axis(K, near, axis=1).astype(np.float64)
    return np.maximum(1 - (k * np.linalg.solve(joint, k[..., None])[..., 0]).sum(axis=1), 0)


def outlier_factors(residuals: FloatArray) -> FloatArray:
    """By how much the noise of each crystal exceeds that of most, for its residual: the EM step for Student's t, at least 1."""
    scale = max(MAD_TO_SIGMA * float(np.median(np.abs(residuals))), 1e-12)
    return np.maximum(1, (DEGREES_OF_FREEDOM + (residuals / scale) ** 2) / (DEGREES_OF_FREEDOM + 1))


def tune(
    vectors: SingleArray,
    y: FloatArray,
    blocks: list[slice],
    start: FloatArray,
    noise: float,
    *,
    iterations: int,
    prior: float,
    rounds: int = 2,
    n_jobs: int | None = None,
) -> tuple[FloatArray, float]:
    """Find the weight of each block and the noise by gradient descent on the leave-one-out error.

    The error is the pseudo-Huber loss of the residuals, which tends to their absolute value; a weak prior keeps the logarithms of
    the weights near where they start.

    Parameters
    ----------
    vectors : ndarray of shape (n, d)
        Unweighted.
    y : ndarray of shape (n,)
    blocks : list of slice
        Columns of each block.
    start : ndarray of shape (n_blocks,)
        Weights to start from.
    noise : float
        Noise to start from.
    iterations, rounds : int
        Steps of the L-BFGS algorithm in each round; outliers are found anew before each round but the first.
    prior : float
        Strength of the prior.

    Returns
    -------
    weights : ndarray of shape (n_blocks,)
    noise : float
    """
    n = len(y)
    spread = np.repeat(np.arange(len(blocks)), [block.stop - block.start for block in blocks])
    centred = y - np.median(y)
    initial = np.log(np.append(start, noise))
    factors = np.ones(n)
    softness = max(0.1 * MAD_TO_SIGMA * float(np.median(np.abs(centred))), 1e-3 * float(centred.std()), 1e-12)

    def loss(parameters: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        weights = np.exp(parameters[:-1])[spread]
        weighted = vectors * weights.astype(np.float32)
        K = covariance(weighted, weighted, n_jobs)
        inverse = K + 3.0  # a constant with a wide prior, since the mean is unknown
        inverse[np.diag_indices(n)] += np.exp(parameters[-1]) * factors
        inverse = _inverse(inverse, symmetric=True)
        coefficients, diagonal = inverse @ centred, inverse.diagonal()
        residuals = coefficients / diagonal
        size = np.sqrt(1 + (residuals / softness) ** 2)
        value = softness * (size - 1).mean()
        slope = residuals / softness / size / diagonal / n
        adjoint = (inverse * (slope * residuals)) @ inverse - np.outer(inverse @ slope, coefficients)
        gradient = np.empty(len(parameters))
        gradient[-1] = np.exp(parameters[-1]) * (adjoint.diagonal() @ factors)
        adjoint = (-0.5 * (adjoint + adjoint.T) * K).astype(np.float32)
        by_feature = np.zeros(vectors.shape[1], np.float32)
        weighted_sum_of_distances(weighted, adjoint, by_feature)
        gradient[:-1] = np.bincount(spread, weights=by_feature, minlength=len(blocks))
        step = parameters - initial
        return value + 0.5 * prior * float(step @ step) / len(step), gradient + prior * step / len(step), residuals

    parameters = initial
    bounds = [(np.log(1e-4), np.log(1e2))] * len(blocks) + [(np.log(1e-3), np.log(3.0))]
    for _ in range(rounds if iterations else 0):
        result = minimize(
            lambda p: loss(p)[:2], parameters, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": iterations}
        )
        parameters = result.x
        factors = outlier_factors(loss(parameters)[2])
    return np.exp(parameters[:-1]), float(np.exp(parameters[-1]))


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
