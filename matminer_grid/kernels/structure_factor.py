"""Structure factors of all reflections up to a length of the scattering vector S, which is 1/d, without the factor 2π.

The phase factor of a site is a product of one factor per axis, exp(2πi h x) exp(2πi k y) exp(2πi l z), and each of these comes
from the one before it by a multiplication. Reflections are enumerated line by line in a reduced reciprocal cell, so that none
outside the sphere is looked at.
"""

from __future__ import annotations

import math

import numpy as np

from matminer_grid.kernels._jit import jit
from matminer_grid.kernels.lattice import dot, inverse, lower_triangular, reciprocal, shorten_pairwise

S_TOLERANCE = 1e-9
"""Å⁻¹. A reflection less than this beyond a limit or below the edge of a bin counts as on it."""

OK = 0
TOO_MANY_REFLECTIONS = 1
NO_REFLECTIONS = 2


@jit
def scattering_factor(coefficients, squared, b_iso):
    """Give f at s² in Å⁻²: the constant and s² times Gaussians of `coefficients`, times the Debye-Waller factor."""
    gaussians = 0.0
    for i in range(1, coefficients.size, 2):
        if coefficients[i] != 0:
            gaussians += coefficients[i] * math.exp(-coefficients[i + 1] * squared)
    f = coefficients[0] + squared * gaussians
    return f * math.exp(-b_iso * squared) if b_iso > 0 else f


@jit
def by_kind(kinds):
    """Order the scatterers by kind: their order and where each kind starts."""
    order = np.empty(kinds.size, np.int64)
    starts = np.zeros(kinds.size + 1, np.int64)
    placed, n_kinds = 0, 0
    for i in range(kinds.size):
        seen = False
        for g in range(n_kinds):
            seen |= kinds[order[starts[g]]] == kinds[i]
        if not seen:
            for j in range(i, kinds.size):
                if kinds[j] == kinds[i]:
                    order[placed] = j
                    placed += 1
            n_kinds += 1
            starts[n_kinds] = placed
    return order, starts[: n_kinds + 1]


@jit
def phase_factors(frac, site_index, order, reach):
    """Tabulate exp(2πi h x) for each axis, scatterer and |h| up to the axis' reach; index [axis, scatterer, reach + h]."""
    longest = 2 * max(reach[0], reach[1], reach[2]) + 1
    real, imag = np.empty((3, order.size, longest)), np.empty((3, order.size, longest))
    for axis in range(3):
        origin = reach[axis]
        for i in range(order.size):
            x = frac[site_index[order[i]], axis]
            x = 2 * math.pi * (x - math.floor(x))
            step_real, step_imag = math.cos(x), math.sin(x)
            a, b = 1.0, 0.0
            real[axis, i, origin], imag[axis, i, origin] = a, b
            for h in range(1, origin + 1):
                a, b = a * step_real - b * step_imag, a * step_imag + b * step_real
                real[axis, i, origin + h], imag[axis, i, origin + h] = a, b
                real[axis, i, origin - h], imag[axis, i, origin - h] = a, -b
    return real, imag


@jit
def _line(cell, s_max, n_y, n_z):
    """First and last index of the reflections on a line of the half sphere; one of each Friedel pair, and not (000)."""
    y = cell[1, 1] * n_y + cell[2, 1] * n_z
    z = cell[2, 2] * n_z
    left = (s_max + S_TOLERANCE) ** 2 - y * y - z * z
    if left < 0:
        return 0, -1
    half = math.sqrt(left) / cell[0, 0]
    shift = (cell[1, 0] * n_y + cell[2, 0] * n_z) / cell[0, 0]
    first = math.ceil(-half - shift)
    if n_y == 0 and n_z == 0:
        first = 1
    return first, math.floor(half - shift)


@jit
def _reflection_count(cell, s_max, reach):
    n = 0
    for n_z in range(reach[2] + 1):
        for n_y in range(0 if n_z == 0 else -reach[1], reach[1] + 1):
            first, last = _line(cell, s_max, n_y, n_z)
            n += max(0, last - first + 1)
    return n


@jit
def _fill_line(cell, steps, first, n_y, n_z, hkl, vectors, s):
    """Fill the indices, scattering vectors and lengths of the reflections of a line."""
    y = cell[1, 1] * n_y + cell[2, 1] * n_z
    z = cell[2, 2] * n_z
    for i in range(s.size):
        x = cell[0, 0] * (first + i) + cell[1, 0] * n_y + cell[2, 0] * n_z
        vectors[i, 0], vectors[i, 1], vectors[i, 2] = x, y, z
        s[i] = math.sqrt(x * x + y * y + z * z)
        for axis in range(3):
            hkl[i, axis] = math.floor((first + i) * steps[0, axis] + n_y * steps[1, axis] + n_z * steps[2, axis] + 0.5)


@jit
def one_crystal(scatterers, row):
    """Give one of many crystals: lattice, frac_coords, kinds, occupancies and site_index; and the coefficients and b_iso of all."""
    lattices, site_offsets, frac, species_offsets, kinds, occupancies, site_index, coefficients, b_iso = scatterers
    sites = slice(site_offsets[row], site_offsets[row + 1])
    species = slice(species_offsets[row], species_offsets[row + 1])
    return lattices[row], frac[sites], kinds[species], occupancies[species], site_index[species], coefficients, b_iso


@jit
def structure_factors(scatterers, row, s_max, limit, stop):
    """Compute the structure factors per occupied site of one of each Friedel pair, without (000), up to s_max.

    Parameters
    ----------
    scatterers : tuple; row : int
        One of many crystals: lattices, site_offsets, frac_coords and species_offsets of a CrystalTable; kinds, rows of the
        coefficients (M,); the table's occupancies and site_index; coefficients (n_kinds, 9), as for scattering_factor; and b_iso
        in Å².
    s_max : float; limit : int
        In Å⁻¹, and the number of reflections that is too many.
    stop : (1,) of bool
        Once another thread makes it true, what is left is skipped; the arrays hold the reflections that were done.

    Returns
    -------
    hkl : (N, 3); vectors : (N, 3); s : (N,); real, imag : (N,); count : int
        Indices in the given cell, scattering vectors (in a rotated frame) and their lengths in Å⁻¹, the structure factors. The
        arrays are empty where the count exceeds the limit.
    """
    lattice, frac, kinds, occupancies, site_index, coefficients, b_iso = one_crystal(scatterers, row)
    basis = reciprocal(lattice)
    old_in_new = np.eye(3)
    shorten_pairwise(basis, old_in_new)
    steps = inverse(old_in_new)
    cell = lower_triangular(basis)
    edges = reciprocal(basis)
    reach = np.empty(3, np.int64)
    for i in range(3):
        reach[i] = math.floor((s_max + 2 * S_TOLERANCE) * math.sqrt(dot(edges[i], edges[i])))
    count = _reflection_count(cell, s_max, reach)
    size = count if count <= limit else 0
    hkl = np.empty((size, 3), np.int64)
    vectors, s = np.empty((size, 3)), np.empty(size)
    real, imag = np.zeros(size), np.zeros(size)
    if size == 0:
        return hkl, vectors, s, real, imag, count
    coords = np.zeros((frac.shape[0], 3))
    for site in range(frac.shape[0]):
        for i in range(3):
            coords[site, i] = dot(steps[i], frac[site])
    order, starts = by_kind(kinds)
    phase_real, phase_imag = phase_factors(coords, site_index, order, reach)
    sum_real, sum_imag = np.empty(2 * reach[0] + 1), np.empty(2 * reach[0] + 1)
    occupied = occupancies.sum()
    n = 0
    for n_z in range(reach[2] + 1):
        for n_y in range(0 if n_z == 0 else -reach[1], reach[1] + 1):
            first, last = _line(cell, s_max, n_y, n_z)
            length = last - first + 1
            if length <= 0 or stop[0]:
                continue
            end = n + length
            _fill_line(cell, steps, first, n_y, n_z, hkl[n:end], vectors[n:end], s[n:end])
            for g in range(starts.size - 1):
                sum_real[:length], sum_imag[:length] = 0.0, 0.0
                for j in range(starts[g], starts[g + 1]):
                    weight = occupancies[order[j]] / occupied
                    y_real, y_imag = phase_real[1, j, reach[1] + n_y], phase_imag[1, j, reach[1] + n_y]
                    z_real, z_imag = phase_real[2, j, reach[2] + n_z], phase_imag[2, j, reach[2] + n_z]
                    a = weight * (y_real * z_real - y_imag * z_imag)
                    b = weight * (y_real * z_imag + y_imag * z_real)
                    start = reach[0] + first
                    for i in range(length):
                        sum_real[i] += a * phase_real[0, j, start + i] - b * phase_imag[0, j, start + i]
                        sum_imag[i] += a * phase_imag[0, j, start + i] + b * phase_real[0, j, start + i]
                kind = coefficients[kinds[order[starts[g]]]]
                for i in range(length):
                    f = scattering_factor(kind, 0.25 * s[n + i] ** 2, b_iso)
                    real[n + i] += f * sum_real[i]
                    imag[n + i] += f * sum_imag[i]
            n = end
    return hkl[:n], vectors[:n], s[:n], real[:n], imag[:n], count


@jit
def mean_squared_f0(scatterers, row):
    """Mean of f(0)² over what occupies the sites of a crystal."""
    _, _, kinds, occupancies, _, coefficients, _ = one_crystal(scatterers, row)
    total, occupied = 0.0, 0.0
    for i in range(kinds.size):
        total += occupancies[i] * coefficients[kinds[i], 0] ** 2
        occupied += occupancies[i]
    return total / occupied
