"""Bases of a lattice, one vector a row: products, reciprocals and reductions."""

from __future__ import annotations

import math

import numpy as np

from matminer_grid.kernels._jit import jit
from matminer_grid.kernels.arrays import longer


@jit
def dot(u, v):
    """Scalar product of two vectors."""
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


@jit
def product(a, b):
    """Multiply two (3, 3) matrices."""
    out = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            for k in range(3):
                out[i, j] += a[i, k] * b[k, j]
    return out


@jit
def determinant(m):
    """Give the determinant of a (3, 3) matrix."""
    return (
        m[0, 0] * (m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1])
        - m[0, 1] * (m[1, 0] * m[2, 2] - m[1, 2] * m[2, 0])
        + m[0, 2] * (m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0])
    )


@jit
def reciprocal(basis):
    """Give the reciprocal basis, without the factor 2π; that of the reciprocal basis is the basis."""
    out = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            a, b, c, d = (j + 1) % 3, (j + 2) % 3, (i + 1) % 3, (i + 2) % 3
            out[i, j] = basis[c, a] * basis[d, b] - basis[d, a] * basis[c, b]
    volume = determinant(basis)
    for i in range(3):
        for j in range(3):
            out[i, j] /= volume
    return out


@jit
def inverse(matrix):
    """Invert a (3, 3) matrix; integers of determinant 1 or -1 give integers without any rounding."""
    return reciprocal(matrix).T.copy()


@jit
def heights(basis):
    """Distances between opposite faces of the cell: the inverse lengths of its reciprocal vectors."""
    across = reciprocal(basis)
    out = np.empty(3)
    for i in range(3):
        out[i] = 1 / math.sqrt(dot(across[i], across[i]))
    return out


@jit
def lower_triangular(lattice):
    """Rotate the lattice so that its first vector lies along x and its second in the xy plane."""
    out = np.zeros((3, 3))
    basis = lattice.copy()
    for i in range(3):
        for j in range(i):
            out[i, j] = dot(lattice[i], basis[j])
            for k in range(3):
                basis[i, k] -= out[i, j] * basis[j, k]
        out[i, i] = math.sqrt(dot(basis[i], basis[i]))
        for k in range(3):
            basis[i, k] /= out[i, i]
    return out


@jit
def _order_by_length(basis, frac):
    """Order the vectors of a basis by length, and the coordinates in it likewise, in place."""
    for i in (0, 1, 0):
        j = i + 1
        if dot(basis[i], basis[i]) > dot(basis[j], basis[j]):
            for axis in range(3):
                basis[i, axis], basis[j, axis] = basis[j, axis], basis[i, axis]
            for site in range(frac.shape[0]):
                frac[site, i], frac[site, j] = frac[site, j], frac[site, i]


@jit
def shorten_pairwise(basis, frac):
    """Shorten the vectors of a basis pairwise and order them by length, in place, and adapt the coordinates (n, 3) to it."""
    for _ in range(1000):
        shortened = False
        for i in range(3):
            for j in range(3):
                if i == j:
                    continue
                before = dot(basis[i], basis[i])
                overlap = dot(basis[i], basis[j])
                squared = dot(basis[j], basis[j])
                steps = np.rint(overlap / squared)
                if steps != 0 and before - 2 * steps * overlap + steps * steps * squared < (1 - 1e-12) * before:
                    for k in range(3):
                        basis[i, k] -= steps * basis[j, k]
                    for site in range(frac.shape[0]):
                        frac[site, j] += steps * frac[site, i]
                    shortened = True
        if not shortened:
            break
    _order_by_length(basis, frac)


@jit
def reduce_cell(lattice, frac_coords):
    """Shorten the lattice vectors pairwise, order them by length, and give the sites' coordinates in that cell, in [0, 1)."""
    lattice = lattice.copy()
    frac = frac_coords.copy()
    shorten_pairwise(lattice, frac)
    for site in range(frac.shape[0]):
        for i in range(3):
            frac[site, i] -= math.floor(frac[site, i])
    return lattice, frac


@jit
def _shortened(basis, i, j, n_j, k, n_k):
    """Add n_j times vector j and n_k times vector k to vector i if that makes it shorter; tells whether it did."""
    squared = 0.0
    for axis in range(3):
        squared += (basis[i, axis] + n_j * basis[j, axis] + n_k * basis[k, axis]) ** 2
    if squared >= (1 - 1e-12) * dot(basis[i], basis[i]):
        return False
    for axis in range(3):
        basis[i, axis] += n_j * basis[j, axis] + n_k * basis[k, axis]
    return True


@jit
def reduce_minkowski(basis):
    """Make a basis Minkowski-reduced, shortest vector first, in place."""
    changed = True
    while changed:
        changed = False
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            changed |= _shortened(basis, i, j, -np.rint(dot(basis[i], basis[j]) / dot(basis[j], basis[j])), k, 0.0)
            changed |= _shortened(basis, i, k, -np.rint(dot(basis[i], basis[k]) / dot(basis[k], basis[k])), j, 0.0)
            for n in range(4):
                changed |= _shortened(basis, i, j, 1.0 - n % 2 * 2, k, 1.0 - n // 2 * 2)
    _order_by_length(basis, basis[:0])


@jit
def translations(cell, radius):
    """List the lattice translations that can bring a site within the radius of another: an array of shape (3, n), in Å.

    The difference of two sites is taken between -1/2 and 1/2 of each edge, so it fits into a box, and into a sphere around it.
    """
    half_x = 0.5 * (cell[0, 0] + abs(cell[1, 0]) + abs(cell[2, 0]))
    half_y = 0.5 * (cell[1, 1] + abs(cell[2, 1]))
    half_z = 0.5 * cell[2, 2]
    reach_x, reach_y, reach_z = radius + half_x, radius + half_y, radius + half_z
    limit = (radius + math.sqrt(half_x**2 + half_y**2 + half_z**2)) ** 2
    out = np.empty((256, 3))
    n = 0
    for n_z in range(math.ceil(-reach_z / cell[2, 2]), math.floor(reach_z / cell[2, 2]) + 1):
        z = n_z * cell[2, 2]
        shift_y = n_z * cell[2, 1]
        for n_y in range(math.ceil((-reach_y - shift_y) / cell[1, 1]), math.floor((reach_y - shift_y) / cell[1, 1]) + 1):
            y = shift_y + n_y * cell[1, 1]
            shift_x = n_z * cell[2, 0] + n_y * cell[1, 0]
            for n_x in range(math.ceil((-reach_x - shift_x) / cell[0, 0]), math.floor((reach_x - shift_x) / cell[0, 0]) + 1):
                x = shift_x + n_x * cell[0, 0]
                if x * x + y * y + z * z > limit:
                    continue
                if n == out.shape[0]:
                    out = longer(n + 1, out)
                out[n, 0], out[n, 1], out[n, 2] = x, y, z
                n += 1
    return out[:n].T.copy()
