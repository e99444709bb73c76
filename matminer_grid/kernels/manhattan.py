"""Manhattan distances of many single-precision vectors, tile by tile."""

from __future__ import annotations

from matminer_grid.kernels._jit import jit_sums

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
def weighted_sum_of_distances(vectors, weights, out):
    """Fill out (d,) with the sums over all pairs of weights[i, j] * abs(vectors[i, k] - vectors[j, k]), weights symmetric."""
    for i in range(vectors.shape[0]):
        for j in range(i):
            weight = 2 * weights[i, j]
            for k in range(vectors.shape[1]):
                out[k] += weight * abs(vectors[i, k] - vectors[j, k])
