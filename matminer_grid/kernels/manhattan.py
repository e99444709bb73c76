"""Distributions as vectors whose Manhattan distance is that of the distributions, and the distances of many, tile by tile."""

from __future__ import annotations

import numpy as np

from matminer_grid.kernels._jit import jit, jit_sums

TILE = 32
"""Vectors of either side whose distances are computed while both are in cache."""


@jit_sums
def manhattan_tile(left, right, out):
    """Fill the Manhattan distances of the vectors left (m, d) to the vectors right (n, d), both float32, into out (m, n)."""
    zero = left[0, 0] - left[0, 0]
    for start in range(0, right.shape[0], TILE):
        for i in range(left.shape[0]):
            for j in range(start, min(start + TILE, right.shape[0])):
                total = zero
                for k in range(left.shape[1]):
                    total += abs(left[i, k] - right[j, k])
                out[i, j] = total


@jit_sums
def manhattan_and_squared_tile(left, right, manhattan, squared):
    """Fill Manhattan distances, and squared Euclidean ones, of left (m, d) to right (n, d), all float32, into arrays (m, n)."""
    zero = left[0, 0] - left[0, 0]
    for start in range(0, right.shape[0], TILE):
        for i in range(left.shape[0]):
            for j in range(start, min(start + TILE, right.shape[0])):
                total, total_squared = zero, zero
                for k in range(left.shape[1]):
                    apart = abs(left[i, k] - right[j, k])
                    total += apart
                    total_squared += apart * apart
                manhattan[i, j] = total
                squared[i, j] = total_squared


@jit
def quantile_means(values, weights, offsets, out):
    """Fill the means of each crystal's distribution of site values between equidistant quantiles.

    Values (S, F) and weights (S,) are those of all sites; crystal i has the sites offsets[i]:offsets[i + 1]. The means, of shape
    (N, F, Q), ascend along the last axis. The mean absolute difference of two crystals' rows is a lower bound of the Wasserstein-1
    distance of their distributions, and tends to it as Q grows.
    """
    n_quantiles = out.shape[2]
    out[:] = 0.0
    for i in range(out.shape[0]):
        own = slice(offsets[i], offsets[i + 1])
        shares = weights[own] / weights[own].sum() * n_quantiles
        for f in range(out.shape[1]):
            filled, q = 0.0, 0
            for rank in np.argsort(values[own, f].copy()):
                left = shares[rank]
                while left > 1e-12 and q < n_quantiles:
                    part = min(left, 1 - filled)
                    out[i, f, q] += part * values[offsets[i] + rank, f]
                    filled += part
                    left -= part
                    if filled > 1 - 1e-9:
                        q += 1
                        filled = 0.0
            if q < n_quantiles and filled > 0:
                out[i, f, q] /= filled
