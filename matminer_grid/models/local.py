"""A process of very many crystals: each prediction is made from the training crystals nearest under the learned distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from matminer_grid._threads import Parts, n_threads
from matminer_grid.kernels.manhattan import manhattan_tile
from matminer_grid.models.process import (
    ROUGH,
    LaplacianProcess,
    Smooth,
    covariance,
    kriging_shares,
    noisy_covariance,
    padded_width,
    solved,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    SingleArray = NDArray[np.float32]

N_NEIGHBORS = 320
"""Training crystals that a prediction is made from."""

CANDIDATES = 3
"""Crystals whose distances are computed, over those that are taken."""

GROUP = 16
"""Features whose sum stands for them in the bound that candidates are chosen by."""

LEAF = 4096
"""Crystals, at most, that lie together and among which outliers are found."""

JUDGED = 2000
"""Crystals that are predicted from all others, to tell how large errors are."""

ROWS = 16
"""Crystals that a thread predicts at once."""


@dataclass(frozen=True, eq=False)
class LocalProcess:
    """What :class:`LaplacianProcess` is, without a matrix of all pairs; its arrays mean the same.

    Outliers are found among the crystals of a leaf, which lie together; `deviations` are those of JUDGED crystals, NaN for others.
    The nearest crystals are those among the candidates that a lower bound proposes, the Manhattan distance of `sums` of features:
    nearly always the true ones. The mean of those nearest is unknown, as in ordinary kriging.
    """

    vectors: SingleArray
    sums: SingleArray
    targets: FloatArray
    base_noise: float
    noise: FloatArray
    residuals: FloatArray
    deviations: FloatArray
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
        n_jobs: int | None = None,
    ) -> Self:
        """Learn values; the noise of each crystal and its residual are found in its leaf, or the residual from its nearest."""
        sums = sums_of_groups(vectors)
        noises, residuals, deviations = np.empty(len(targets)), np.empty(len(targets)), np.full(len(targets), np.nan)
        parts = leaves(sums)
        work = Parts("solve", len(parts) + 1)
        for rows in parts:
            with work.part(1):
                leaf = LaplacianProcess.fit(vectors[rows], targets[rows], noise, smooth=smooth, rounds=rounds, n_jobs=n_jobs)
            noises[rows], residuals[rows] = leaf.noise, leaf.residuals
        process = cls(vectors, sums, targets, noise, noises, residuals, deviations, smooth)
        if n_local:
            judged = np.random.default_rng(0).permutation(len(targets))[:JUDGED]
            with work.part(1):
                means, variances = process._from_nearest(vectors[judged], n_jobs, judged)
            residuals[judged], deviations[judged] = targets[judged] - means, np.sqrt(variances)
        return process

    def predict(self, vectors: SingleArray, n_local: int = 0, n_jobs: int | None = None) -> tuple[FloatArray, FloatArray]:  # noqa: ARG002  the crystals that a mean rests on give its variance too
        """Give means and variances, noise included."""
        return self._from_nearest(vectors, n_jobs)

    def _from_nearest(
        self, vectors: SingleArray, n_jobs: int | None, left_out: NDArray[np.int64] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Give means and variances, from all crystals but one for each vector, if they are named."""
        out = np.empty((2, len(vectors)))

        def fill(start: int) -> None:
            part = slice(start, start + ROWS)
            found, _ = self._nearest(vectors[part], N_NEIGHBORS + (left_out is not None))
            for i, rows in enumerate(found, start):
                near = rows if left_out is None else rows[rows != left_out[i]]
                k = self._covariances(vectors[i], near)
                joint = self._joint(near)
                both = solved(joint, np.stack([k, np.ones(len(k))], axis=1))
                lacking = 1 - both[:, 0].sum()
                shares = both[:, 0] + lacking * both[:, 1] / both[:, 1].sum()
                variance = float(1 + self.smooth.variance - k @ both[:, 0] + lacking**2 / both[:, 1].sum())
                out[:, i] = shares @ self.targets[near], max(variance, 0.0) + self.base_noise

        with threadpool_limits(1, user_api="blas"):
            _in_threads(fill, len(vectors), n_jobs)
        return out[0], out[1]

    def shares(
        self,
        vectors: SingleArray,
        n_near: int,
        n_jobs: int | None = None,  # noqa: ARG002  one crystal is no work for threads
    ) -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
        """Weigh the nearest training crystals in a prediction from them alone, as :meth:`LaplacianProcess.shares`."""
        rows, distances = self._nearest(vectors, n_near)
        near = rows[0]
        shares = kriging_shares(self._joint(near), self._covariances(vectors[0], near))
        order = np.argsort(-np.abs(shares), kind="stable")
        return near[order], shares[order], np.exp(-distances[0][order])

    def nearest(self, vectors: SingleArray, n: int, n_jobs: int | None = None) -> tuple[NDArray[np.int64], FloatArray]:
        """Give the n training crystals nearest to each of m vectors, nearest first: rows and distances, both of shape (m, n)."""
        n = min(n, len(self.targets))
        rows, distances = np.empty((len(vectors), n), np.int64), np.empty((len(vectors), n))

        def fill(start: int) -> None:
            part = slice(start, start + ROWS)
            rows[part], distances[part] = self._nearest(vectors[part], n)

        _in_threads(fill, len(vectors), n_jobs)
        return rows, distances

    def _nearest(self, vectors: SingleArray, n: int) -> tuple[NDArray[np.int64], FloatArray]:
        n = min(n, len(self.targets))
        n_candidates = min(CANDIDATES * n + GROUP, len(self.targets))
        bounds = np.empty((len(vectors), len(self.targets)), np.float32)
        manhattan_tile(sums_of_groups(vectors), self.sums, bounds)
        rows, distances = np.empty((len(vectors), n), np.int64), np.empty((len(vectors), n))
        for i, bound in enumerate(bounds):
            candidates = np.sort(np.argpartition(bound, n_candidates - 1)[:n_candidates])
            found = np.empty((1, n_candidates), np.float32)
            manhattan_tile(vectors[i : i + 1], self.vectors[candidates], found)
            order = np.argsort(found[0], kind="stable")[:n]
            rows[i], distances[i] = candidates[order], found[0][order]
        return rows, distances

    def _covariances(self, vector: SingleArray, rows: NDArray[np.int64]) -> FloatArray:
        """Give the covariances of a crystal with training crystals."""
        return covariance(vector[None], self.vectors[rows], 1, self.smooth)[0].astype(np.float64)

    def _joint(self, rows: NDArray[np.int64]) -> FloatArray:
        """Give the covariances of training crystals, noise included."""
        return noisy_covariance(self.vectors[rows], self.noise[rows], self.smooth, 1)


def _in_threads(fill: Callable[[int], None], n: int, n_jobs: int | None) -> None:
    """Call a function for each ROWS rows of n."""
    Parallel(n_jobs=n_threads(n_jobs), require="sharedmem")(delayed(fill)(start) for start in range(0, n, ROWS))


def sums_of_groups(vectors: SingleArray) -> SingleArray:
    """Add up features in groups; Manhattan distances of the sums are never above those of the vectors."""
    starts = np.arange(0, vectors.shape[1], GROUP)
    sums = np.zeros((len(vectors), padded_width(len(starts))), np.float32)
    np.add.reduceat(vectors, starts, axis=1, out=sums[:, : len(starts)])
    return sums


def leaves(sums: SingleArray) -> list[NDArray[np.int64]]:
    """Divide crystals into parts that lie together: each is halved where its widest sum has its median, until it is small."""
    parts, out = [np.arange(len(sums))], []
    while parts:
        rows = parts.pop()
        if len(rows) <= LEAF:
            out.append(rows)
            continue
        own = sums[rows]
        widest = int(np.abs(own - np.median(own, axis=0)).mean(axis=0).argmax())
        order = np.argsort(own[:, widest], kind="stable")
        parts += [np.sort(rows[order[len(rows) // 2 :]]), np.sort(rows[order[: len(rows) // 2]])]
    return out
