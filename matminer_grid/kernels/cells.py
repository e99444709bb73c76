"""The cells of a lattice that reflections may be indexed in.

A lattice has many bases, and rules such as Niggli's leave several of them where edges or angles are equal, or equal within
rounding. All of them are listed here, so that what is chosen later doesn't depend on which one a structure came in.
"""

from __future__ import annotations

import math

import numpy as np

from matminer_grid.kernels._jit import jit
from matminer_grid.kernels.arrays import fill, longer
from matminer_grid.kernels.lattice import determinant, dot, inverse, product, reduce_minkowski

LENGTH_TOLERANCE = 1e-9
"""Å. Differences that exceed a tolerance by less than this don't exceed it, so that rounding never decides."""

NIGGLI = 0
EQUIVALENT = 1
AS_GIVEN = 2

OK = 0
OTHER_LATTICE = 3


@jit
def _same_length(a, b, tolerance):
    return abs(math.sqrt(a) - math.sqrt(b)) <= tolerance + LENGTH_TOLERANCE


@jit
def _add_vector(basis, vector):
    """Add a vector to an integer lattice whose basis is upper triangular, in place."""
    for i in range(3):
        while vector[i] != 0:
            n = basis[i, i] // vector[i]
            for axis in range(3):
                basis[i, axis], vector[axis] = vector[axis], basis[i, axis] - n * vector[axis]


@jit
def _holds_vector(basis, vector):
    """Tell whether an integer lattice, given as in _add_vector, holds a vector."""
    rest = vector.copy()
    for i in range(3):
        n = rest[i] // basis[i, i]
        for axis in range(3):
            rest[axis] -= n * basis[i, axis]
        if rest[i] != 0:
            return False
    return True


@jit
def _distance(lattice, x, y, z):
    """Length of a vector, wrapped to the nearest image; exact for vectors much shorter than the cell."""
    x -= np.rint(x)
    y -= np.rint(y)
    z -= np.rint(z)
    squared = 0.0
    for axis in range(3):
        squared += (x * lattice[0, axis] + y * lattice[1, axis] + z * lattice[2, axis]) ** 2
    return math.sqrt(squared)


@jit
def _maps_onto_itself(lattice, frac, contents, shift, tolerance):
    """Tell whether a shift moves each site onto one of the same content."""
    for i in range(frac.shape[0]):
        found = False
        for j in range(frac.shape[0]):
            if contents[j] == contents[i]:
                x = frac[i, 0] + shift[0] - frac[j, 0]
                y = frac[i, 1] + shift[1] - frac[j, 1]
                z = frac[i, 2] + shift[2] - frac[j, 2]
                if _distance(lattice, x, y, z) <= tolerance + LENGTH_TOLERANCE:
                    found = True
                    break
        if not found:
            return False
    return True


@jit
def primitive_lattice(lattice, frac, contents, tolerance):
    """Replace a lattice by the primitive one, found from the pure translations; sites stay where they are.

    A translation has an order that divides the number of sites of each content, so its coordinates are fractions known beforehand:
    the lattice is exact however far the sites are off, and the same whichever supercell is looked at.
    """
    n_sites = frac.shape[0]
    order, rarest, fewest = 0, 0, n_sites + 1
    for i in range(n_sites):
        count = 0
        for j in range(n_sites):
            if contents[j] == contents[i]:
                count += 1
        order = math.gcd(order, count)
        if count < fewest:
            fewest, rarest = count, i
    if order == 1:
        return
    basis = order * np.eye(3, dtype=np.int64)
    vector = np.empty(3, np.int64)
    shift = np.empty(3)
    for j in range(n_sites):
        if contents[j] != contents[rarest]:
            continue
        for axis in range(3):
            vector[axis] = int(np.rint((frac[j, axis] - frac[rarest, axis]) * order))
            shift[axis] = vector[axis] / order
        if not _holds_vector(basis, vector) and _maps_onto_itself(lattice, frac, contents, shift, tolerance):
            _add_vector(basis, vector)
    fill(lattice, product(basis, lattice) / order)


@jit
def _is_niggli(a, b, c, tolerance):
    """Tell whether a cell of shortest edges is the Niggli cell, where lengths closer than the tolerance are equal.

    The conditions are those of Krivy and Gruber (1976, 10.1107/S0567739476000636) beyond the main ones.
    """
    aa, bb, cc = dot(a, a), dot(b, b), dot(c, c)
    xi, eta, zeta = 2 * dot(b, c), 2 * dot(a, c), 2 * dot(a, b)
    # what a length of the cell's largest edge changes by within the tolerance
    small = 4 * tolerance * math.sqrt(cc) + LENGTH_TOLERANCE
    positive = xi > small and eta > small and zeta > small
    if not positive and not (xi <= small and eta <= small and zeta <= small):
        return False
    if _same_length(aa, bb, tolerance) and abs(xi) > abs(eta) + small:
        return False
    if _same_length(bb, cc, tolerance) and abs(eta) > abs(zeta) + small:
        return False
    if positive:
        if abs(xi - bb) <= small and zeta > 2 * eta + small:
            return False
        if abs(eta - aa) <= small and zeta > 2 * xi + small:
            return False
        return not (abs(zeta - aa) <= small and eta > 2 * xi + small)
    if abs(xi + bb) <= small and zeta < -small:
        return False
    if abs(eta + aa) <= small and zeta < -small:
        return False
    if abs(zeta + aa) <= small and eta < -small:
        return False
    return not (abs(xi + eta + zeta + aa + bb) <= small and 2 * (aa + eta) + zeta > small)


@jit
def settings(wanted, niggli, tolerance):
    """List the bases of a lattice whose edges are as long as the wanted basis', as integers in terms of that one.

    Of these only Niggli cells are kept (all, should the tolerance leave none), or else cells whose angles are as wanted too. Only
    bases of the same handedness are listed: the others are their negatives, with the same intensities.
    """
    combinations = np.empty((3, 125, 3))
    vectors = np.empty((3, 125, 3))
    counts = np.zeros(3, np.int64)
    vector = np.empty(3)
    for x in range(-2, 3):
        for y in range(-2, 3):
            for z in range(-2, 3):
                for axis in range(3):
                    vector[axis] = x * wanted[0, axis] + y * wanted[1, axis] + z * wanted[2, axis]
                for i in range(3):
                    if _same_length(dot(vector, vector), dot(wanted[i], wanted[i]), tolerance):
                        combinations[i, counts[i], 0] = x
                        combinations[i, counts[i], 1] = y
                        combinations[i, counts[i], 2] = z
                        fill(vectors[i, counts[i]], vector)
                        counts[i] += 1
    small = 0.0
    for i in range(3):
        small = max(small, 2 * tolerance * math.sqrt(dot(wanted[i], wanted[i])) + LENGTH_TOLERANCE)
    setting = np.empty((3, 3))
    out = np.empty((64, 3, 3))
    n = 0
    for attempt in range(2):
        for p in range(counts[0]):
            for q in range(counts[1]):
                for r in range(counts[2]):
                    fill(setting[0], combinations[0, p])
                    fill(setting[1], combinations[1, q])
                    fill(setting[2], combinations[2, r])
                    if abs(determinant(setting) - 1) > 0.5:
                        continue
                    a, b, c = vectors[0, p], vectors[1, q], vectors[2, r]
                    if niggli:
                        if attempt == 0 and not _is_niggli(a, b, c, tolerance):
                            continue
                    elif (
                        abs(dot(b, c) - dot(wanted[1], wanted[2])) > small
                        or abs(dot(a, c) - dot(wanted[0], wanted[2])) > small
                        or abs(dot(a, b) - dot(wanted[0], wanted[1])) > small
                    ):
                        continue
                    if n == out.shape[0]:
                        out = longer(0, out)
                    fill(out[n], setting)
                    n += 1
        if n > 0:
            break
    return out[:n]


@jit
def settings_batch(lattices, site_offsets, frac, contents, wanted, mode, tolerance, bases, status):
    """Find the settings that the reflections of many crystals may be indexed in.

    Parameters
    ----------
    lattices, wanted : (N, 3, 3); site_offsets : (N + 1,); frac : (S, 3); contents : (S,) of int
        The crystals, a number for each content of a site, and the cells to index in for the mode EQUIVALENT, in which cells with
        the same edges and angles count as one.
    mode : NIGGLI, EQUIVALENT or AS_GIVEN; tolerance : float
        Å; how far sites may be from a translation of the lattice, and lengths from each other to count as equal.
    bases : (N, 3, 3); status : (N,) of int
        Filled with a basis of the primitive lattice, for AS_GIVEN with the given one, and with OK, or OTHER_LATTICE where the
        wanted cell doesn't belong to the primitive lattice.

    Returns
    -------
    setting_offsets : (N + 1,); settings : (K, 3, 3)
        For each crystal, matrices that turn indices hkl into indices of the basis.
    """
    offsets = np.zeros(lattices.shape[0] + 1, np.int64)
    out = np.empty((32 * lattices.shape[0], 3, 3))
    for row in range(lattices.shape[0]):
        sites = slice(site_offsets[row], site_offsets[row + 1])
        status[row] = OK
        base = lattices[row].copy()
        found, to_base = np.eye(3).reshape(1, 3, 3), np.eye(3)
        if mode != AS_GIVEN:
            primitive_lattice(base, frac[sites], contents[sites], tolerance)
            reduce_minkowski(base)
            target = base if mode == NIGGLI else wanted[row]
            found = settings(target, mode == NIGGLI, tolerance)
            if mode == EQUIVALENT:
                to_base = product(target, inverse(base))
                for i in range(3):
                    for j in range(3):
                        whole = np.rint(to_base[i, j])
                        if abs(to_base[i, j] - whole) > 1e-5:
                            status[row] = OTHER_LATTICE
                        to_base[i, j] = whole
                if status[row] == OTHER_LATTICE:
                    to_base = np.eye(3)  # the rounded one may have no inverse
        fill(bases[row], base)
        n = offsets[row]
        offsets[row + 1] = n + found.shape[0]
        while out.shape[0] < offsets[row + 1]:
            out = longer(0, out)
        for m in range(found.shape[0]):
            fill(out[n + m], inverse(product(found[m], to_base)))
    return offsets, out[: offsets[-1]]
