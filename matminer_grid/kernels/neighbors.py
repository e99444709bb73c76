"""The neighbours of a site, over all periodic images.

In a reduced cell, written as a lower triangular matrix, the translations that can bring any site within reach of any other are
listed once; each pair of sites then runs over that list without branches. Cells of many sites use linked cells instead, so that the
cost of a site does not grow with the size of the cell. The sphere holds just enough neighbours for what is asked for, at mean
density, and grows where a site needs more.
"""

from __future__ import annotations

import math

import numpy as np

from matminer_grid.kernels._jit import jit
from matminer_grid.kernels.arrays import longer
from matminer_grid.kernels.lattice import heights, translations

SAME_PLACE = 1e-8
"""Å. Sites closer than this coincide, and are no neighbours."""

LINKED_CELLS_FROM = 128
"""Number of sites from which on linked cells are used."""

COUNT_TOLERANCE = 1e-9
"""Cumulative occupancies this close to a whole number are that number."""

OCCUPANCY_TOLERANCE = 1e-6
"""Rounding that the occupancy of coincident sites may exceed 1 by."""

MAX_NEIGHBORS = 20_000_000
"""Neighbours of a site that a search may have to hold, at mean density; buffers take some 32 bytes for each."""

OK = 0
COINCIDENT_SITES = 1
TOO_MANY_NEIGHBORS = 2
PROBLEMS = {
    COINCIDENT_SITES: "two sites lie on the same point and their occupancies add up to more than 1; "
    "remove one, or make the occupancies add up to 1",
    TOO_MANY_NEIGHBORS: f"a site has more than {MAX_NEIGHBORS:,} neighbours within reach, the limit; "
    "check that the lattice is in Å, or take a smaller cutoff or fewer groups",
}
"""What is wrong with a crystal, by the status that a kernel gives for it."""


@jit
def _neighbors_by_translations(cell, frac, occupancies, site, radius, shifts, distances, weights):
    """Find every neighbour of a site within the radius; the buffers grow as needed.

    Gives the count, the sum of their occupancies, the occupancy at zero distance (the site's own included) and the buffers.
    """
    limit, zero = radius * radius, SAME_PLACE * SAME_PLACE
    n_shifts = shifts.shape[1]
    if frac.shape[0] * n_shifts > distances.size:
        distances = np.empty(2 * frac.shape[0] * n_shifts)
        weights = np.empty(2 * frac.shape[0] * n_shifts)
    squares = np.empty(n_shifts)
    n, found, coincident = 0, 0.0, 0.0
    for other in range(frac.shape[0]):
        f_x = frac[other, 0] - frac[site, 0]
        f_y = frac[other, 1] - frac[site, 1]
        f_z = frac[other, 2] - frac[site, 2]
        f_x -= np.rint(f_x)
        f_y -= np.rint(f_y)
        f_z -= np.rint(f_z)
        x = cell[0, 0] * f_x + cell[1, 0] * f_y + cell[2, 0] * f_z
        y = cell[1, 1] * f_y + cell[2, 1] * f_z
        z = cell[2, 2] * f_z
        for i in range(n_shifts):
            squares[i] = (x + shifts[0, i]) ** 2 + (y + shifts[1, i]) ** 2 + (z + shifts[2, i]) ** 2
        before = n
        for i in range(n_shifts):
            distances[n] = squares[i]
            n += (squares[i] <= limit) & (squares[i] >= zero)
            if squares[i] < zero:
                coincident += occupancies[other]
        for i in range(before, n):
            weights[i] = occupancies[other]
        found += occupancies[other] * (n - before)
    for i in range(n):
        distances[i] = math.sqrt(distances[i])
    return n, found, coincident, distances, weights


@jit
def _link_cells(cell, frac, occupancies, radius):
    """Sort the sites into a grid of boxes about half a radius wide.

    Gives the sites by box, position in Å and occupancy, as an array of shape (4, n), the grid's shape and its boxes' offsets.
    """
    n_sites = frac.shape[0]
    height = heights(cell)
    shape = np.empty(3, np.int64)
    for i in range(3):
        shape[i] = max(1, min(int(2 * height[i] / radius), n_sites))
    while shape[0] * shape[1] * shape[2] > 4 * n_sites:
        widest = 0
        for i in range(1, 3):
            if shape[i] > shape[widest]:
                widest = i
        shape[widest] = (shape[widest] + 1) // 2
    box = np.empty(n_sites, np.int64)
    offsets = np.zeros(shape[0] * shape[1] * shape[2] + 1, np.int64)
    for site in range(n_sites):
        index = 0
        for i in range(3):
            index = index * shape[i] + min(int(frac[site, i] * shape[i]), shape[i] - 1)
        box[site] = index
        offsets[index + 1] += 1
    for i in range(1, offsets.size):
        offsets[i] += offsets[i - 1]
    filled = offsets.copy()
    members = np.empty((4, n_sites))
    for site in range(n_sites):
        place = filled[box[site]]
        filled[box[site]] += 1
        for i in range(3):
            members[i, place] = frac[site, 0] * cell[0, i] + frac[site, 1] * cell[1, i] + frac[site, 2] * cell[2, i]
        members[3, place] = occupancies[site]
    return members, shape, offsets


@jit
def _neighbors_by_linked_cells(cell, frac, site, radius, members, shape, offsets, distances, weights):
    """Do the same as _neighbors_by_translations with the boxes of _link_cells, whole columns of them at a time."""
    limit, zero = radius * radius, SAME_PLACE * SAME_PLACE
    height = heights(cell)
    reach = np.empty(3, np.int64)
    home = np.empty(3, np.int64)
    own = np.empty(3)
    for i in range(3):
        reach[i] = math.ceil(radius * shape[i] / height[i])
        home[i] = min(int(frac[site, i] * shape[i]), shape[i] - 1)
        own[i] = frac[site, 0] * cell[0, i] + frac[site, 1] * cell[1, i] + frac[site, 2] * cell[2, i]
    squares = np.empty(members.shape[1])
    n, found, coincident = 0, 0.0, 0.0
    for step_x in range(home[0] - reach[0], home[0] + reach[0] + 1):
        image_x = step_x // shape[0]
        for step_y in range(home[1] - reach[1], home[1] + reach[1] + 1):
            image_y = step_y // shape[1]
            column = ((step_x - image_x * shape[0]) * shape[1] + step_y - image_y * shape[1]) * shape[2]
            step_z = home[2] - reach[2]
            while step_z <= home[2] + reach[2]:
                image_z = step_z // shape[2]
                bottom = step_z - image_z * shape[2]
                top = min(shape[2], bottom + home[2] + reach[2] - step_z + 1)
                step_z += top - bottom
                start, stop = offsets[column + bottom], offsets[column + top]
                x = image_x * cell[0, 0] + image_y * cell[1, 0] + image_z * cell[2, 0] - own[0]
                y = image_y * cell[1, 1] + image_z * cell[2, 1] - own[1]
                z = image_z * cell[2, 2] - own[2]
                if n + stop - start > distances.size:
                    distances = longer(n + stop - start, distances)
                    weights = longer(n + stop - start, weights)
                for i in range(start, stop):
                    squares[i] = (members[0, i] + x) ** 2 + (members[1, i] + y) ** 2 + (members[2, i] + z) ** 2
                before = n
                for i in range(start, stop):
                    distances[n] = squares[i]
                    weights[n] = members[3, i]
                    n += (squares[i] <= limit) & (squares[i] >= zero)
                    if squares[i] < zero:
                        coincident += members[3, i]
                for i in range(before, n):
                    found += weights[i]
    for i in range(n):
        distances[i] = math.sqrt(distances[i])
    return n, found, coincident, distances, weights


@jit
def first_radius(volume, total_occupancy, n_groups, longest):
    """Radius of the sphere that holds n_groups neighbours at mean density, and a little more."""
    if n_groups * volume / total_occupancy > 4 * longest**3:
        return longest
    return min(longest, 1.08 * (0.75 / math.pi * (n_groups + 1) * volume / total_occupancy) ** (1 / 3))


@jit
def too_many(volume, n_sites, radius):
    """Tell whether a sphere holds more neighbours at mean density than a search may."""
    return 4 / 3 * math.pi * radius**3 * (n_sites / volume) > MAX_NEIGHBORS


@jit
def prepare_search(cell, frac, occupancies, radius):
    """Prepare the search: lattice translations for small cells, linked cells (of which there is at least one) for large ones."""
    if frac.shape[0] < LINKED_CELLS_FROM:
        return translations(cell, radius), np.zeros(3, np.int64), np.zeros(0, np.int64)
    return _link_cells(cell, frac, occupancies, radius)


@jit
def find_neighbors(cell, frac, occupancies, site, needed, radius, longest, neighborhood, distances, weights):
    """Find the neighbours of a site until their occupancies add up to what is needed or the longest radius is reached.

    Gives the count, the occupancy at zero distance, the radius reached with its neighbourhood, and the buffers.
    """
    while True:
        points, shape, offsets = neighborhood
        if offsets.size == 0:
            n, found, coincident, distances, weights = _neighbors_by_translations(
                cell, frac, occupancies, site, radius, points, distances, weights
            )
        else:
            n, found, coincident, distances, weights = _neighbors_by_linked_cells(
                cell, frac, site, radius, points, shape, offsets, distances, weights
            )
        if radius >= longest or found >= needed - COUNT_TOLERANCE:
            return n, coincident, radius, neighborhood, distances, weights
        radius = min(longest, 1.15 * radius)
        neighborhood = prepare_search(cell, frac, occupancies, radius)


@jit
def find_vectors(cell, frac, occupancies, site, needed, radius, longest, shifts, indices, vectors, distances):
    """Do the same as find_neighbors, with which site each neighbour is and the vector to it in Å, from `translations`.

    Gives the count, the occupancy at zero distance, the radius reached with its translations, and the buffers.
    """
    zero = SAME_PLACE * SAME_PLACE
    while True:
        n, found, coincident = 0, 0.0, 0.0
        for other in range(frac.shape[0]):
            f_x = frac[other, 0] - frac[site, 0]
            f_y = frac[other, 1] - frac[site, 1]
            f_z = frac[other, 2] - frac[site, 2]
            f_x -= np.rint(f_x)
            f_y -= np.rint(f_y)
            f_z -= np.rint(f_z)
            for i in range(shifts.shape[1]):
                x = cell[0, 0] * f_x + cell[1, 0] * f_y + cell[2, 0] * f_z + shifts[0, i]
                y = cell[1, 1] * f_y + cell[2, 1] * f_z + shifts[1, i]
                z = cell[2, 2] * f_z + shifts[2, i]
                squared = x * x + y * y + z * z
                if squared > radius * radius:
                    continue
                if squared < zero:
                    coincident += occupancies[other]
                    continue
                if n == distances.size:
                    indices, vectors, distances = longer(n + 1, indices), longer(n + 1, vectors), longer(n + 1, distances)
                indices[n], distances[n] = other, math.sqrt(squared)
                vectors[n, 0], vectors[n, 1], vectors[n, 2] = x, y, z
                found += occupancies[other]
                n += 1
        if radius >= longest or found >= needed - COUNT_TOLERANCE:
            return n, coincident, radius, shifts, indices, vectors, distances
        radius = min(longest, 1.15 * radius)
        shifts = translations(cell, radius)
