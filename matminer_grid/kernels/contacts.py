"""Sites that are too near to each other, and planes without sites: what is looked for when a crystal comes in."""

from __future__ import annotations

import math

import numpy as np

from matminer_grid.kernels._jit import jit
from matminer_grid.kernels.lattice import determinant, heights

MOST_IMAGES = 10
"""Images of a cell along an edge that are looked at: cells that are flatter than this part of the radius are no crystals'."""


@jit
def _nearest(lattice, delta, images):
    """Shortest distance of two points over the images of the cell, from a difference within half a cell."""
    shortest = np.inf
    for i in range(-images[0], images[0] + 1):
        for j in range(-images[1], images[1] + 1):
            for k in range(-images[2], images[2] + 1):
                a, b, c = delta[0] + i, delta[1] + j, delta[2] + k
                x = a * lattice[0, 0] + b * lattice[1, 0] + c * lattice[2, 0]
                y = a * lattice[0, 1] + b * lattice[1, 1] + c * lattice[2, 1]
                z = a * lattice[0, 2] + b * lattice[1, 2] + c * lattice[2, 2]
                shortest = min(shortest, x * x + y * y + z * z)
    return math.sqrt(shortest)


@jit
def close_pairs(lattice, frac, radius, first, second, distance):
    """Find pairs of different sites nearer than a radius, over all images of the cell, each pair once.

    As many as fit are written into `first`, `second` and `distance`; the number of all is returned, or the first of very many.
    Nothing is found where the lattice isn't finite, or flat.
    """
    n = len(frac)
    across = heights(lattice)
    images = np.zeros(3, np.int64)
    bins = np.ones(3, np.int64)
    most = math.ceil(n ** (1 / 3))
    for axis in range(3):
        if not radius / MOST_IMAGES < across[axis] < np.inf:  # no cell of a crystal; int() of NaN or infinity is anything
            return 0
        if across[axis] <= 2 * radius:
            images[axis] = math.ceil(radius / across[axis] + 0.5)
        else:
            bins[axis] = most if across[axis] >= most * radius else int(across[axis] / radius)
    place = np.empty((n, 3), np.int64)
    start = np.zeros(bins[0] * bins[1] * bins[2] + 1, np.int64)
    for site in range(n):
        for axis in range(3):
            wrapped = frac[site, axis] - np.floor(frac[site, axis])
            place[site, axis] = min(int(wrapped * bins[axis]), bins[axis] - 1) if wrapped >= 0 else 0
        start[(place[site, 0] * bins[1] + place[site, 1]) * bins[2] + place[site, 2] + 1] += 1
    for index in range(1, len(start)):
        start[index] += start[index - 1]
    filled = start.copy()
    members = np.empty(n, np.int64)
    for site in range(n):
        index = (place[site, 0] * bins[1] + place[site, 1]) * bins[2] + place[site, 2]
        members[filled[index]] = site
        filled[index] += 1
    found = 0
    delta = np.empty(3)
    for site in range(n):
        for i in range(min(bins[0], 3)):
            for j in range(min(bins[1], 3)):
                for k in range(min(bins[2], 3)):
                    x, y = (place[site, 0] + i - 1) % bins[0], (place[site, 1] + j - 1) % bins[1]
                    index = (x * bins[1] + y) * bins[2] + (place[site, 2] + k - 1) % bins[2]
                    for member in range(start[index], start[index + 1]):
                        other = members[member]
                        if other <= site:
                            continue
                        for axis in range(3):
                            step = frac[other, axis] - frac[site, axis]
                            delta[axis] = step - np.rint(step)
                        apart = _nearest(lattice, delta, images)
                        if apart < radius:
                            if found < len(first):
                                first[found], second[found], distance[found] = site, other, apart
                            found += 1
                            if found > 20 * n + 1000:
                                return found
    return found


@jit
def count_close_pairs(lattices, offsets, frac, totals, radius, counts):
    """Count, in each of many crystals, pairs of sites nearer than a radius whose occupancies add up to more than 1.001."""
    for row in range(len(lattices)):
        own = frac[offsets[row] : offsets[row + 1]]
        first, second, distance = np.empty(64, np.int64), np.empty(64, np.int64), np.empty(64)
        found = close_pairs(lattices[row], own, radius, first, second, distance)
        for pair in range(min(found, 64)):
            if totals[offsets[row] + first[pair]] + totals[offsets[row] + second[pair]] > 1.001:
                counts[row] += 1
        if found > 64:
            counts[row] += 1


@jit
def widest_gaps(lattices, offsets, frac, gaps, volumes):
    """Find the thickest layer without sites in Å, parallel to a face of the cell, and the volume, of each of many crystals."""
    for row in range(len(lattices)):
        across = heights(lattices[row])
        volumes[row] = abs(determinant(lattices[row]))
        start, stop = offsets[row], offsets[row + 1]
        for axis in range(3):
            values = np.empty(stop - start)
            for site in range(start, stop):
                values[site - start] = frac[site, axis] - np.floor(frac[site, axis])
            values.sort()
            widest = values[0] + 1 - values[-1]
            for index in range(1, len(values)):
                widest = max(widest, values[index] - values[index - 1])
            gaps[row] = max(gaps[row], widest * across[axis])
