"""A Gaussian process whose covariance is exp(-weighted Manhattan distance), judged by closed-form leave-one-out.

Beside it there may be a smooth part, a normal curve of the Euclidean distance.

The noise of each training crystal grows with its leave-one-out residual, as in the EM algorithm for Student's t, so that failed
calculations lose their say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import scipy.linalg
from joblib import Parallel, delayed

from matminer_grid._threads import n_threads, progress_bar
from matminer_grid.kernels.manhattan import manhattan_and_squared_tile, manhattan_tile
from matminer_grid.models._calibration import MAD_TO_SIGMA

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    SingleArray = NDArray[np.float32]
    IntArray = NDArray[np.int64]

ROWS = 64
"""Rows of a distance matrix that a thread fills at once."""

LANES = 32
"""Numbers that a loop over vectors takes at once; what is left over at the end is taken one by one."""

DEGREES_OF_FREEDOM = 2.0
"""Of Student's t distribution of the noise."""

LARGEST_FACTOR = 8192
"""Rows of a matrix that LAPACK factorises at once; OpenBLAS 0.3.30 ends the process at 16,000 on two threads."""

LARGEST_GROUP = 0.2
"""Share of the crystals that may be left out together: without more of them, the rest is another training set."""

NOT_POSITIVE = "the covariance matrix is not positive definite; raise the noise"

CHUNK = 256
"""Structures whose covariances with all training crystals are in memory at once."""


class Smooth(NamedTuple):
    """The smooth part of a covariance, variance exp(-(Euclidean distance / length)² / 2)."""

    variance: float = 0.0
    length: float = 1.0


ROUGH = Smooth()
"""No smooth part."""


def covariance(left: SingleArray, right: SingleArray, n_jobs: int | None = None, smooth: Smooth = ROUGH) -> SingleArray:
    """Compute exp(-Manhattan distance), and the smooth part, of weighted vectors (m, d) and (n, d), in threads; shape (m, n)."""
    out = np.empty((len(left), len(right)), np.float32)

    def fill(start: int) -> None:
        _fill(left[start : start + ROWS], right, out[start : start + ROWS], smooth)

    if left.shape[1] and out.size:
        Parallel(n_jobs=n_threads(n_jobs), require="sharedmem")(delayed(fill)(start) for start in range(0, len(left), ROWS))
    return out


def covariance_of(vectors: SingleArray, n_jobs: int | None = None, smooth: Smooth = ROUGH) -> SingleArray:
    """Compute the covariances of vectors (n, d) with each other, of which only half are different."""
    n = len(vectors)
    out = np.empty((n, n), np.float32)

    def fill(start: int) -> None:
        end = min(start + ROWS, n)
        part = np.empty((end - start, n - start), np.float32)
        _fill(vectors[start:end], vectors[start:], part, smooth)
        out[start:end, start:] = part
        out[end:, start:end] = part[:, end - start :].T

    Parallel(n_jobs=n_threads(n_jobs), require="sharedmem")(delayed(fill)(start) for start in range(0, n, ROWS))
    return out


def noisy_covariance(vectors: SingleArray, noise: FloatArray, smooth: Smooth, n_jobs: int | None = None) -> FloatArray:
    """Compute the covariances of vectors (n, d) with each other, with the variances of their noise (n,), in double precision."""
    return covariance_of(vectors, n_jobs, smooth).astype(np.float64) + np.diag(noise)


def _fill(left: SingleArray, right: SingleArray, out: SingleArray, smooth: Smooth) -> None:
    if not smooth.variance:
        manhattan_tile(left, right, out)
        np.exp(np.negative(out, out=out), out=out)
        return
    squared = np.empty_like(out)
    manhattan_and_squared_tile(left, right, out, squared)
    np.exp(np.negative(out, out=out), out=out)
    squared *= -0.5 / smooth.length**2
    out += np.float32(smooth.variance) * np.exp(squared, out=squared)


def padded_width(width: int) -> int:
    """Give the width to which vectors are padded with zeros, so that nothing is left over at their end."""
    return -(-width // LANES) * LANES


@dataclass(frozen=True, eq=False)
class LaplacianProcess:
    """A process that has learned the values of n crystals. All variances are relative to that of its part that is not smooth.

    Values are predicted as mean + covariance @ coefficients. `base_noise` is the variance of the noise of a crystal that is no
    outlier, `noise` that of each, `residuals` values minus leave-one-out predictions, and `deviations` the standard deviations that
    such a prediction would state. `group_residuals` and `group_deviations` are those where all crystals of a group are left out
    together; they are NaN for groups of more than LARGEST_GROUP of all.
    """

    vectors: SingleArray
    targets: FloatArray
    coefficients: FloatArray
    mean: float
    base_noise: float
    noise: FloatArray
    residuals: FloatArray
    deviations: FloatArray
    group_residuals: FloatArray
    group_deviations: FloatArray
    smooth: Smooth

    @classmethod
    def fit(
        cls,
        vectors: SingleArray,
        targets: FloatArray,
        noise: float,
        *,
        smooth: Smooth = ROUGH,
        rounds: int,
        n_local: int = 0,
        groups: IntArray | None = None,
        n_jobs: int | None = None,
    ) -> Self:
        """Learn values; the noise of each is estimated anew from the leave-one-out residuals, in so many rounds.

        Predictions will state variances from the n_local nearest crystals; without, there are no deviations. `groups` (n,) holds
        the number of the group of each crystal; without, each is one of its own.
        """
        n = len(targets)
        K = covariance_of(vectors, n_jobs, smooth)
        factors = np.ones(n)
        groups = np.arange(n) if groups is None else groups
        bar = progress_bar(desc="solve", total=rounds + 1, disable=True)
        noisy = np.empty((n, n))
        for i in range(rounds + 1):
            noisy[:] = K
            noisy[np.diag_indices(n)] += noise * factors
            inverse = inverted(noisy)  # in the same memory
            mean, coefficients, residuals = left_out(inverse, targets)
            if i < rounds:
                factors = outlier_factors(residuals)
            bar.update(1)
        noises = noise * factors
        shared = np.nonzero(np.bincount(groups)[groups] > 1)[0]
        group_residuals = left_out_groups(inverse, coefficients, groups)
        del noisy, inverse
        deviations = group_deviations = np.zeros(0)
        if n_local:
            deviations = np.sqrt(left_out_variances(K, noises, n_local, np.arange(n), np.arange(n)) + noise)
            group_deviations = deviations.copy()
            group_deviations[shared] = np.sqrt(left_out_variances(K, noises, n_local, groups, shared) + noise)
        return cls(
            vectors, targets, coefficients, mean, noise, noises, residuals, deviations, group_residuals, group_deviations, smooth
        )

    def predict(self, vectors: SingleArray, n_local: int = 0, n_jobs: int | None = None) -> tuple[FloatArray, FloatArray]:
        """Give means and variances, noise included; a variance takes the n_local nearest crystals into account and is 0 without."""
        means, variances = np.empty(len(vectors)), np.zeros(len(vectors))
        for start in range(0, len(vectors), CHUNK):
            rows = slice(start, start + CHUNK)
            K = covariance(vectors[rows], self.vectors, n_jobs, self.smooth)
            means[rows] = self.mean + K @ self.coefficients
            if n_local:
                variances[rows] = self._variances(K, n_local)
        return means, variances

    def _variances(self, K: SingleArray, n_local: int) -> FloatArray:
        near = nearest(K, n_local)
        joint = np.stack([covariance_of(self.vectors[rows], 1, self.smooth) for rows in near])
        return unexplained(np.take_along_axis(K, near, axis=1), joint, self.noise[near]) + self.base_noise

    def shares(
        self, vectors: SingleArray, n_near: int, n_jobs: int | None = None
    ) -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
        """Weigh the nearest training crystals in a prediction from them alone, their mean unknown.

        Gives rows from the largest share down, shares, which add up to 1, and exp(-Manhattan distance) to the one row of `vectors`.
        """
        similarities = covariance(vectors, self.vectors, n_jobs)[0].astype(np.float64)
        near = np.argsort(-similarities, kind="stable")[:n_near]
        k = covariance(vectors, self.vectors[near], n_jobs, self.smooth)[0].astype(np.float64)
        shares = kriging_shares(noisy_covariance(self.vectors[near], self.noise[near], self.smooth, n_jobs), k)
        order = np.argsort(-np.abs(shares), kind="stable")
        return near[order], shares[order], similarities[near[order]]


def kriging_shares(joint: FloatArray, similarities: FloatArray) -> FloatArray:
    """Give the weights, which add up to 1, of n known values in a prediction whose mean is unknown: ordinary kriging.

    `joint` (n, n) holds the covariances of the known crystals, noise included, `similarities` (n,) those with the new one.
    """
    shares, mean_shares = solved(joint, np.stack([similarities, np.ones(len(joint))], axis=1)).T
    return shares + (1 - shares.sum()) * mean_shares / mean_shares.sum()


def solved(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """Solve a system of equations of a positive definite matrix, which is overwritten."""
    _, found, failed = scipy.linalg.lapack.dposv(matrix.T, right, lower=1, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError(NOT_POSITIVE)
    return found


def left_out(inverse: FloatArray, targets: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Give the mean of a process, its coefficients, and values minus leave-one-out predictions, from the inverted covariances."""
    ones = times(inverse, np.ones(len(targets)))
    mean = float(ones @ targets / ones.sum())
    coefficients = times(inverse, targets - mean)
    return mean, coefficients, coefficients / inverse.diagonal()


def left_out_groups(inverse: FloatArray, coefficients: FloatArray, groups: IntArray) -> FloatArray:
    """Give values minus predictions where the crystals of each group are left out together; NaN for those of too large groups.

    D. Ginsbourger and C. Schärer, 10.48550/arXiv.2101.03108.
    """
    residuals = coefficients / inverse.diagonal()
    sizes = np.bincount(groups)
    for group in np.nonzero(sizes > 1)[0]:
        rows = np.nonzero(groups == group)[0]
        if small_enough(sizes[group], len(groups)):
            residuals[rows] = scipy.linalg.solve(inverse[np.ix_(rows, rows)], coefficients[rows], lower=True, assume_a="pos")
        else:
            residuals[rows] = np.nan
    return residuals


def small_enough(size: Any, n: int) -> Any:
    """Tell whether a group may be left out of n crystals."""
    return size <= max(LARGEST_GROUP * n, 1)


def nearest(K: SingleArray, n_local: int) -> NDArray[np.int64]:
    """Give the columns of the largest covariances in each row, at most n_local of them, in any order."""
    n_local = min(n_local, K.shape[1])
    return np.argpartition(-K, n_local - 1, axis=1)[:, :n_local]


def unexplained(k: SingleArray, joint: SingleArray, noise: FloatArray) -> FloatArray:
    """Give the variance of the process at m points that k crystals near each leave, at least 0.

    Covariances of points and crystals (m, k), of the crystals (m, k, k), and the variances of their noise (m, k).
    """
    prior = joint[:, 0, 0].astype(np.float64)
    with_noise = joint.astype(np.float64)
    diagonal = np.arange(k.shape[1])
    with_noise[:, diagonal, diagonal] += noise
    shares = np.linalg.solve(with_noise, k[..., None].astype(np.float64))[..., 0]
    return np.maximum(prior - (k * shares).sum(axis=1), 0)


def left_out_variances(K: SingleArray, noise: FloatArray, n_local: int, groups: IntArray, asked: IntArray) -> FloatArray:
    """Give the variances of the process at m of its crystals that the n_local nearest of other groups leave.

    `K` holds the covariances of all. Variances of crystals in too large groups are NaN.
    """
    n, sizes = len(K), np.bincount(groups)[groups[asked]]
    variances = np.full(len(asked), np.nan)
    judged = np.nonzero(small_enough(sizes, n))[0]
    n_local = min(n_local, n - int(sizes[judged].max(initial=1)))
    for start in range(0, len(judged), CHUNK):
        places = judged[start : start + CHUNK]
        rows = asked[places]
        own = K[rows]
        own[groups[rows, None] == groups] = -1
        near = nearest(own, n_local)
        joint = K[near[:, :, None], near[:, None, :]]
        variances[places] = unexplained(np.take_along_axis(own, near, axis=1), joint, noise[near])
    return variances


def outlier_factors(residuals: FloatArray) -> FloatArray:
    """By how much the noise of each crystal exceeds that of most, for its residual: the EM step for Student's t, at least 1."""
    sizes = np.abs(residuals)
    scale = max(MAD_TO_SIGMA * float(np.median(sizes)), 1e-12 * float(sizes.max())) or 1.0
    return np.maximum(1, (DEGREES_OF_FREEDOM + (residuals / scale) ** 2) / (DEGREES_OF_FREEDOM + 1))


def inverted(matrix: FloatArray) -> FloatArray:
    """Invert a positive definite matrix in place; the lower triangle of the result, in Fortran's order, is right."""
    if len(matrix) > LARGEST_FACTOR:
        return _inverted_by_halves(matrix)
    transposed = matrix.T  # LAPACK's order, without a copy
    factor, failed = scipy.linalg.lapack.dpotrf(transposed, lower=1, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError(NOT_POSITIVE)
    return scipy.linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)[0]


def _inverted_by_halves(matrix: FloatArray) -> FloatArray:
    """Invert a positive definite matrix in place: its first half, then what that leaves of the second, the Schur complement."""
    half = len(matrix) // 2
    first, mixed, second = matrix[:half, :half], matrix[half:, :half], matrix[half:, half:]
    first[:] = mirrored(inverted(first.copy()))
    shares = mixed @ first
    second -= shares @ mixed.T
    second[:] = mirrored(inverted(second.copy()))
    np.matmul(second, shares, out=mixed)
    first += shares.T @ mixed
    np.negative(mixed, out=mixed)
    matrix[:half, half:] = mixed.T
    return matrix.T


def mirrored(lower: FloatArray) -> FloatArray:
    """Copy the lower triangle of a matrix to the upper one, in place."""
    for start in range(0, len(lower), ROWS):
        end = start + ROWS
        own = lower[start:end, start:end]
        own[:] = np.tril(own) + np.tril(own, -1).T
        lower[start:end, end:] = lower[end:, start:end].T
    return lower


def times(lower: FloatArray, vector: FloatArray) -> FloatArray:
    """Multiply a symmetric matrix, of which the lower triangle is stored in Fortran's order, with a vector."""
    return scipy.linalg.blas.dsymv(1.0, lower, vector, lower=1)
