"""Exact search among vectors in clusters: whole clusters, and most members of the others, are ruled out by the triangle inequality.

The members of a cluster stand in the order of their Manhattan distances to its centre. A vector within a distance of the query
differs from it by no more in its distance to any centre, so that only a span of the members has to be looked at.

Vectors are float32 and sums float64: computed distances differ from those of the vectors by a factor of 1 ± ROUNDING at most.
"""

from __future__ import annotations

import numpy as np

from matminer_grid.kernels._jit import jit, jit_sums
from matminer_grid.kernels.arrays import longer

ROUNDING = 2.0**-22
"""Relative error of a computed distance: each difference is rounded by 2^-24, and stored distances once more."""

BLOCK = 64
"""Components that are added up before a distance may be found too large to go on."""


@jit_sums
def _part(point, vector, start, stop):
    total = 0.0
    for k in range(start, stop):
        total += abs(point[k] - vector[k])
    return total


@jit_sums
def manhattan_of_rows(points, vectors, rows, out):
    """Fill the distances from each of the points (m, d) to one row of the vectors (n, d) each, rows (m,), into out (m,)."""
    for i in range(rows.size):
        total = 0.0
        for k in range(points.shape[1]):
            total += abs(points[i, k] - vectors[rows[i], k])
        out[i] = total


@jit_sums
def manhattan_to_vectors(point, vectors, out):
    """Fill the distances from a point (d,) to all vectors (n, d), both float32, into out (n,)."""
    for i in range(vectors.shape[0]):
        total = 0.0
        for k in range(point.size):
            total += abs(point[k] - vectors[i, k])
        out[i] = total


@jit
def _distance_up_to(point, vector, limit):
    """Give the distance of two vectors, or a part of it that is above the limit already."""
    total, start = 0.0, 0
    while start < point.size and total <= limit:
        stop = min(start + BLOCK, point.size)
        total += _part(point, vector, start, stop)
        start = stop
    return total


@jit
def _span(distances, start, stop, low, high):
    """Find the members of a cluster, from start to stop, whose distances to its centre lie from low to high."""
    first = start + np.searchsorted(distances[start:stop], low)
    return first, start + np.searchsorted(distances[start:stop], high, side="right")


@jit
def _reach(limit, to_center):
    """Give how far the computed distances to a centre of two vectors within a limit may be apart."""
    return limit + ROUNDING * (to_center + limit)


@jit
def _cluster_bounds(to_centers, offsets, distances):
    """Bound the distances from a query to the members of each cluster from below."""
    bounds = np.full(to_centers.size, np.inf)
    for cluster in range(to_centers.size):
        start, stop = offsets[cluster], offsets[cluster + 1]
        if start < stop:
            apart, nearest, farthest = to_centers[cluster], distances[start], distances[stop - 1]
            bounds[cluster] = max(0.0, apart - farthest, nearest - apart) - ROUNDING * max(apart, nearest)
    return bounds


@jit
def nearest_in_clusters(point, vectors, to_centers, offsets, distances, rows, left_out, first_row, best, best_rows):
    """Find the vectors nearest to a point, in addition to those found elsewhere; gives how many distances were computed.

    Parameters
    ----------
    point : (d,); vectors : (n, d)
        Float32; the members of each cluster follow one another.
    to_centers : (K,)
        Distances from the point to the centres.
    offsets : (K + 1,); distances : (n,)
        Where clusters begin; distances of members to their centres, ascending in each.
    rows : (n,)
        What the vectors are known by; `left_out` is none of those that are found.
    first_row : int
        It is added to the rows that are found.
    best, best_rows : (m,)
        Distances found so far, ascending, and their rows; kept up to date.
    """
    bounds = _cluster_bounds(to_centers, offsets, distances)
    n_computed, last = 0, best.size - 1
    for cluster in np.argsort(bounds):
        if bounds[cluster] > best[last]:
            break
        apart = to_centers[cluster]
        reach = _reach(best[last], apart)
        first, end = _span(distances, offsets[cluster], offsets[cluster + 1], apart - reach, apart + reach)
        for member in range(first, end):
            if rows[member] == left_out or abs(distances[member] - apart) > _reach(best[last], apart):
                continue
            n_computed += 1
            distance = _distance_up_to(point, vectors[member], best[last])
            place = last + 1
            while place > 0 and best[place - 1] > distance:
                if place <= last:
                    best[place], best_rows[place] = best[place - 1], best_rows[place - 1]
                place -= 1
            if place <= last:
                best[place], best_rows[place] = distance, first_row + rows[member]
    return n_computed


@jit
def within_clusters(point, vectors, to_centers, offsets, distances, rows, limit):
    """Find all vectors within a distance of a point.

    Parameters are those of :func:`nearest_in_clusters`.

    Returns
    -------
    found, apart : (m,)
        Rows and distances, in no order.
    n_computed : int
        How many distances were computed.
    """
    bounds = _cluster_bounds(to_centers, offsets, distances)
    found, apart = np.empty(64, np.int64), np.empty(64)
    n_found, n_computed = 0, 0
    for cluster in range(bounds.size):
        if bounds[cluster] > limit:
            continue
        reach = _reach(limit, to_centers[cluster])
        low, high = to_centers[cluster] - reach, to_centers[cluster] + reach
        first, end = _span(distances, offsets[cluster], offsets[cluster + 1], low, high)
        n_computed += end - first
        for member in range(first, end):
            distance = _distance_up_to(point, vectors[member], limit)
            if distance <= limit:
                if n_found == found.size:
                    found, apart = longer(n_found + 1, found), longer(n_found + 1, apart)
                found[n_found], apart[n_found] = rows[member], distance
                n_found += 1
    return found[:n_found], apart[:n_found], n_computed
