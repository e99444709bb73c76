"""Structure factors, and the three descriptions made from them.

Everything that reaches from a crystal's arrays to its features stands in this one file, since numba's cache notices a change only
in the file of the kernel that was called. Scattering vectors S have the length 1/d, without the factor 2π.

The phase factor of a site is a product of one factor per axis, exp(2πi h x) exp(2πi k y) exp(2πi l z), and each of these comes
from the one before it by a multiplication. Reflections are enumerated line by line in a reduced reciprocal cell, so that none
outside the sphere is looked at.

The sums over pairs of reflections need no pairs. The power cos^2n of the angle between two directions is a product of two symmetric
tensors, one for each direction, and therefore the sum over all pairs is the product of two sums over reflections.
"""

from __future__ import annotations

import math

import numpy as np

from matminer_grid.kernels._jit import jit
from matminer_grid.kernels.normal import CDF_NODES, LAST_NODE, NODES_PER_UNIT, PDF_NODES

S_TOLERANCE = 1e-9
"""Å⁻¹. A reflection less than this beyond a limit or below the edge of a bin counts as on it."""

TAIL = 6.5
"""Standard deviations after which a Gaussian is cut off; 4e-11 of it lie beyond. More would take reflections farther out."""

SAME_INTENSITY = 1e-9
"""Intensities that differ by less than this part of the mean f(0)² are the same in the choice of a setting; the largest is given.
Rounding reaches 1e-12 of it, so that differences which rounding lifts over the limit are rare."""

OK = 0
TOO_MANY_REFLECTIONS = 1
NO_REFLECTIONS = 2


@jit
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@jit
def _reciprocal(basis):
    """Give the reciprocal basis, as rows; that of the reciprocal basis is the basis."""
    out = np.empty((3, 3))
    volume = 0.0
    for i in range(3):
        for j in range(3):
            a, b, c, d = (j + 1) % 3, (j + 2) % 3, (i + 1) % 3, (i + 2) % 3
            out[i, j] = basis[c, a] * basis[d, b] - basis[d, a] * basis[c, b]
            if i == 0:
                volume += basis[0, j] * out[0, j]
    for i in range(3):
        for j in range(3):
            out[i, j] /= volume
    return out


@jit
def _reduce(basis, steps):
    """Shorten the vectors of a basis pairwise and order them by length, in place; fills the new ones in terms of the old."""
    for i in range(3):
        for j in range(3):
            steps[i, j] = 1.0 if i == j else 0.0
    shortened = True
    while shortened:
        shortened = False
        for i in range(3):
            for j in range(3):
                n = np.rint(_dot(basis[i], basis[j]) / _dot(basis[j], basis[j])) if i != j else 0.0
                squared = 0.0
                for axis in range(3):
                    squared += (basis[i, axis] - n * basis[j, axis]) ** 2
                if n != 0 and squared < (1 - 1e-12) * _dot(basis[i], basis[i]):
                    for axis in range(3):
                        basis[i, axis] -= n * basis[j, axis]
                        steps[i, axis] -= n * steps[j, axis]
                    shortened = True
    for last in range(2, 0, -1):
        for i in range(last):
            if _dot(basis[i], basis[i]) > _dot(basis[i + 1], basis[i + 1]):
                for axis in range(3):
                    basis[i, axis], basis[i + 1, axis] = basis[i + 1, axis], basis[i, axis]
                    steps[i, axis], steps[i + 1, axis] = steps[i + 1, axis], steps[i, axis]


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
def _by_kind(kinds):
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
def _phase_factors(frac, site_index, order, reach):
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
def _lower_triangular(basis):
    """Rotate a basis so that its first vector lies along x and its second in the xy plane."""
    out = np.zeros((3, 3))
    for i in range(3):
        for j in range(i + 1):
            value = _dot(basis[i], basis[j])
            for k in range(j):
                value -= out[i, k] * out[j, k]
            out[i, j] = math.sqrt(value) if i == j else value / out[j, j]
    return out


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
def structure_factors(lattice, frac, kinds, occupancies, site_index, coefficients, b_iso, s_max, limit, stop):
    """Compute the structure factors per occupied site of one of each Friedel pair, without (000), up to s_max.

    Parameters
    ----------
    lattice : (3, 3); frac : (n, 3); kinds, occupancies, site_index : (m,)
        One crystal; `kinds` are rows of the coefficients.
    coefficients : (n_kinds, 9)
        As for scattering_factor.
    b_iso, s_max : float
        In Å² and Å⁻¹.
    limit : int
        Number of reflections that is too many.
    stop : (1,) of bool
        Once another thread makes it true, what is left is skipped; the arrays hold the reflections that were done.

    Returns
    -------
    hkl : (N, 3); vectors : (N, 3); s : (N,); real, imag : (N,); count : int
        Indices in the given cell, scattering vectors (in a rotated frame) and their lengths in Å⁻¹, the structure factors. The
        arrays are empty where the count exceeds the limit.
    """
    reciprocal = _reciprocal(lattice)
    steps = np.empty((3, 3))
    _reduce(reciprocal, steps)
    cell = _lower_triangular(reciprocal)
    edges = _reciprocal(reciprocal)
    reach = np.empty(3, np.int64)
    for i in range(3):
        reach[i] = math.floor((s_max + 2 * S_TOLERANCE) * math.sqrt(_dot(edges[i], edges[i])))
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
            coords[site, i] = _dot(steps[i], frac[site])
    order, starts = _by_kind(kinds)
    phase_real, phase_imag = _phase_factors(coords, site_index, order, reach)
    sum_real, sum_imag = np.empty(2 * reach[0] + 1), np.empty(2 * reach[0] + 1)
    occupied = 0.0
    for i in range(occupancies.size):
        occupied += occupancies[i]
    n = 0
    for n_z in range(reach[2] + 1):
        for n_y in range(0 if n_z == 0 else -reach[1], reach[1] + 1):
            first, last = _line(cell, s_max, n_y, n_z)
            length = last - first + 1
            if length <= 0 or stop[0]:
                continue
            y = cell[1, 1] * n_y + cell[2, 1] * n_z
            z = cell[2, 2] * n_z
            for i in range(length):
                x = cell[0, 0] * (first + i) + cell[1, 0] * n_y + cell[2, 0] * n_z
                vectors[n + i, 0], vectors[n + i, 1], vectors[n + i, 2] = x, y, z
                s[n + i] = math.sqrt(x * x + y * y + z * z)
                for axis in range(3):
                    index = (first + i) * steps[0, axis] + n_y * steps[1, axis] + n_z * steps[2, axis]
                    hkl[n + i, axis] = math.floor(index + 0.5)
            for g in range(starts.size - 1):
                for i in range(length):
                    sum_real[i] = 0.0
                    sum_imag[i] = 0.0
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
            n += length
    return hkl[:n], vectors[:n], s[:n], real[:n], imag[:n], count


@jit
def mean_squared_f0(kinds, occupancies, coefficients):
    """Mean of f(0)² over what occupies the sites."""
    total, occupied = 0.0, 0.0
    for i in range(kinds.size):
        total += occupancies[i] * coefficients[kinds[i], 0] ** 2
        occupied += occupancies[i]
    return total / occupied


@jit
def _normal_cdf(t):
    """Cumulative normal distribution to double precision: Taylor's series of five terms from the nearest node of a table."""
    node = min(max(int(np.rint(t * NODES_PER_UNIT)), -LAST_NODE), LAST_NODE)
    x = node / NODES_PER_UNIT
    h = min(max(t - x, -1.0), 1.0)
    series = (x * x * (x * x - 6) + 3) * h / 120 - x * (x * x - 3) / 24
    series = ((series * h + (x * x - 1) / 6) * h - x / 2) * h + 1
    return CDF_NODES[node + LAST_NODE] + PDF_NODES[node + LAST_NODE] * h * series


@jit
def _gaussian_bins(s, smearing, bin_size, weight, out):
    """Add a Gaussian, integrated over each bin; what lies below zero goes to the first bin."""
    first = max(0, int((s - TAIL * smearing) / bin_size) - 1)
    last = min(out.size, int((s + TAIL * smearing) / bin_size) + 2)
    below = 0.0 if first == 0 else _normal_cdf((first * bin_size - s) / smearing)
    for i in range(first, last):
        above = _normal_cdf(((i + 1) * bin_size - s) / smearing)
        out[i] += weight * max(0.0, above - below)
        below = above


@jit
def radial_batch(
    lattices,
    site_offsets,
    frac,
    species_offsets,
    kinds,
    occupancies,
    site_index,
    coefficients,
    b_iso,
    bin_size,
    smearing,
    limit,
    out,
    status,
    counts,
    stop,
):
    """Fill the fraction of the intensity that falls into each bin of |S|.

    Parameters
    ----------
    lattices, site_offsets, frac, species_offsets, occupancies, site_index
        As in CrystalTable.
    kinds : (M,)
        Row of the coefficients for each species.
    coefficients, b_iso, limit, stop
        As for structure_factors.
    bin_size, smearing : float
        In Å⁻¹.
    out : (N, n_bins)
    status, counts : (N,) of int
        Filled with OK, TOO_MANY_REFLECTIONS or NO_REFLECTIONS, and with the number of reflections.
    """
    s_max = out.shape[1] * bin_size + TAIL * smearing
    for row in range(lattices.shape[0]):
        sites = slice(site_offsets[row], site_offsets[row + 1])
        species = slice(species_offsets[row], species_offsets[row + 1])
        _, _, s, real, imag, counts[row] = structure_factors(
            *(lattices[row], frac[sites], kinds[species], occupancies[species], site_index[species]),
            *(coefficients, b_iso, s_max, limit, stop),
        )
        for i in range(out.shape[1]):
            out[row, i] = 0.0
        status[row] = TOO_MANY_REFLECTIONS if counts[row] > limit else OK
        for i in range(s.size):
            intensity = real[i] ** 2 + imag[i] ** 2
            if smearing > 0:
                _gaussian_bins(s[i], smearing, bin_size, intensity, out[row])
            else:
                index = int((s[i] + S_TOLERANCE) / bin_size)
                if index < out.shape[1]:
                    out[row, index] += intensity
        total = 0.0
        for i in range(out.shape[1]):
            total += out[row, i]
        if total > 0:
            for i in range(out.shape[1]):
                out[row, i] /= total
        elif status[row] == OK:
            status[row] = NO_REFLECTIONS


@jit
def _moments(vectors, s, weights, s_max, n_radial, degree):
    """Sum the weighted monomials x^a y^b z^c, a + b + c = degree, of the directions over soft shells of |S|.

    Gives the sums, shape (n_radial, degree + 1, degree + 1) with a and b as indices, and the sums of squared weights that
    reflections share between a shell and itself, and a shell and the next one, shape (n_radial, 2).
    """
    moments = np.zeros((n_radial, degree + 1, degree + 1))
    squares = np.zeros((n_radial, 2))
    powers = np.ones((3, degree + 1))
    for n in range(s.size):
        shell = min(max(s[n] / s_max * n_radial - 0.5, 0.0), n_radial - 1.0)
        lower = min(int(shell), max(n_radial - 2, 0))
        upper_part = shell - lower
        for axis in range(3):
            for i in range(degree):
                powers[axis, i + 1] = powers[axis, i] * vectors[n, axis] / s[n]
        for a in range(degree + 1):
            for b in range(degree + 1 - a):
                monomial = weights[n] * powers[0, a] * powers[1, b] * powers[2, degree - a - b]
                moments[lower, a, b] += (1 - upper_part) * monomial
                if n_radial > 1:
                    moments[lower + 1, a, b] += upper_part * monomial
        square = weights[n] ** 2
        squares[lower, 0] += (1 - upper_part) ** 2 * square
        squares[lower, 1] += upper_part * (1 - upper_part) * square
        if n_radial > 1:
            squares[lower + 1, 0] += upper_part**2 * square
    return moments, squares


@jit
def _binomial(n, k):
    value = 1.0
    for i in range(k):
        value *= (n - i) / (i + 1)
    return value


@jit
def pair_distribution(moments, squares, pairs, self_term):
    """Fill the distribution over pairs of shells and angles, shape (n_radial, n_radial, n_angle), and the self term, (n_radial,).

    Sums run over the full sphere and the moments over one half of it.
    """
    n_radial, n_angle = pairs.shape[0], pairs.shape[2]
    for i in range(n_radial):
        for j in range(n_radial):
            for c in range(n_angle):
                pairs[i, j, c] = 0.0
    for order in range(n_angle - 1, -1, -1):
        # sums over all pairs of cos²θ to the power of the order
        degree = 2 * order
        for i in range(n_radial):
            for j in range(i, n_radial):
                value = 0.0
                for a in range(degree + 1):
                    for b in range(degree + 1 - a):
                        paths = _binomial(degree, a) * _binomial(degree - a, b)
                        value += paths * moments[i, a, b] * moments[j, a, b]
                value *= 4 if i == j else 8
                # Bernstein polynomials of cos²θ: each is a soft bin, and they add up to 1
                for c in range(order + 1):
                    sign = -1.0 if (order - c) % 2 else 1.0
                    pairs[i, j, c] += sign * _binomial(n_angle - 1, c) * _binomial(n_angle - 1 - c, order - c) * value
        # since x² + y² + z² = 1, these moments hold those of the next lower degree
        for i in range(n_radial):
            for a in range(degree - 1):
                for b in range(degree - 1 - a):
                    moments[i, a, b] += moments[i, a + 2, b] + moments[i, a, b + 2]
    for i in range(n_radial):
        # a reflection meets itself and its Friedel mate at cos²θ = 1
        pairs[i, i, n_angle - 1] -= 4 * squares[i, 0]
        self_term[i] = 4 * (squares[i, 0] + squares[i, 1] + (squares[i - 1, 1] if i > 0 else 0.0))
        if i + 1 < n_radial:
            pairs[i, i + 1, n_angle - 1] -= 8 * squares[i, 1]
        for j in range(n_radial):
            for c in range(n_angle):
                pairs[i, j, c] = max(0.0, pairs[i, j, c]) if j >= i else 0.0


@jit
def pairs_batch(
    lattices,
    site_offsets,
    frac,
    species_offsets,
    kinds,
    occupancies,
    site_index,
    coefficients,
    b_iso,
    s_max,
    n_radial,
    n_angle,
    limit,
    out,
    status,
    counts,
    stop,
):
    """Fill the distribution over pairs of reflections, and behind it the self term.

    Arguments are as for radial_batch; out is (N, n_radial (n_radial + 1) / 2 * n_angle + n_radial), by pairs of shells, then angle.
    """
    pairs, self_term = np.empty((n_radial, n_radial, n_angle)), np.empty(n_radial)
    for row in range(lattices.shape[0]):
        sites = slice(site_offsets[row], site_offsets[row + 1])
        species = slice(species_offsets[row], species_offsets[row + 1])
        _, vectors, s, real, imag, counts[row] = structure_factors(
            *(lattices[row], frac[sites], kinds[species], occupancies[species], site_index[species]),
            *(coefficients, b_iso, s_max, limit, stop),
        )
        status[row] = TOO_MANY_REFLECTIONS if counts[row] > limit else OK
        scale = mean_squared_f0(kinds[species], occupancies[species], coefficients)
        for i in range(s.size):
            taper = max(0.0, 1 - (s[i] / s_max) ** 2) ** 2
            real[i] = taper * (real[i] ** 2 + imag[i] ** 2) / scale
        moments, squares = _moments(vectors, s, real, s_max, n_radial, 2 * (n_angle - 1))
        pair_distribution(moments, squares, pairs, self_term)
        n = 0
        for i in range(n_radial):
            for j in range(i, n_radial):
                for c in range(n_angle):
                    out[row, n] = pairs[i, j, c]
                    n += 1
        for i in range(n_radial):
            out[row, n + i] = self_term[i]


@jit
def _intensity(index, real, imag, reach, order, starts, kinds, occupancies, coefficients, b_iso, squared):
    """|F|² of one reflection from the tables of phase factors."""
    total_real, total_imag, total = 0.0, 0.0, 0.0
    for g in range(starts.size - 1):
        sum_real, sum_imag = 0.0, 0.0
        for j in range(starts[g], starts[g + 1]):
            a, b = real[0, j, reach[0] + index[0]], imag[0, j, reach[0] + index[0]]
            c, d = real[1, j, reach[1] + index[1]], imag[1, j, reach[1] + index[1]]
            a, b = a * c - b * d, a * d + b * c
            c, d = real[2, j, reach[2] + index[2]], imag[2, j, reach[2] + index[2]]
            weight = occupancies[order[j]]
            sum_real += weight * (a * c - b * d)
            sum_imag += weight * (a * d + b * c)
            total += weight
        f = scattering_factor(coefficients[kinds[order[starts[g]]]], squared, b_iso)
        total_real += f * sum_real
        total_imag += f * sum_imag
    return (total_real**2 + total_imag**2) / total**2


@jit
def _hkl_row(base, settings, frac, kinds, occupancies, site_index, coefficients, b_iso, s_max, hkl, same, out):
    """List the intensities in the setting whose list is the largest, compared reflection by reflection."""
    reciprocal = _reciprocal(base)
    hkl_max = hkl[hkl.shape[0] - 1, 0]
    reach = np.zeros(3, np.int64)
    for n in range(settings.shape[0]):
        for i in range(3):
            needed = abs(settings[n, i, 0]) + abs(settings[n, i, 1]) + abs(settings[n, i, 2])
            reach[i] = max(reach[i], math.floor(hkl_max * needed + 1e-6))
    order, starts = _by_kind(kinds)
    real, imag = _phase_factors(frac, site_index, order, reach)
    known = np.empty((2 * reach[0] + 1, 2 * reach[1] + 1, 2 * reach[2] + 1))
    for i in range(known.shape[0]):
        for j in range(known.shape[1]):
            for k in range(known.shape[2]):
                known[i, j, k] = -1.0
    alive = np.ones(settings.shape[0], np.bool_)
    values = np.empty(settings.shape[0])
    index = np.empty(3, np.int64)
    place = np.empty(3, np.int64)
    for row in range(hkl.shape[0]):
        largest = 0.0
        for n in range(settings.shape[0]):
            if not alive[n]:
                continue
            absent = False
            for i in range(3):
                exact = settings[n, i, 0] * hkl[row, 0] + settings[n, i, 1] * hkl[row, 1] + settings[n, i, 2] * hkl[row, 2]
                index[i] = math.floor(exact + 0.5)
                place[i] = reach[i] + index[i]
                absent |= abs(exact - index[i]) > 1e-6
            values[n] = 0.0
            if absent:
                continue
            values[n] = known[place[0], place[1], place[2]]
            if values[n] < 0:
                squared = 0.0
                for axis in range(3):
                    component = index[0] * reciprocal[0, axis] + index[1] * reciprocal[1, axis] + index[2] * reciprocal[2, axis]
                    squared += 0.25 * component**2
                values[n] = 0.0
                if 2 * math.sqrt(squared) <= s_max + S_TOLERANCE:
                    values[n] = _intensity(
                        index, real, imag, reach, order, starts, kinds, occupancies, coefficients, b_iso, squared
                    )
                known[place[0], place[1], place[2]] = values[n]
                known[2 * reach[0] - place[0], 2 * reach[1] - place[1], 2 * reach[2] - place[2]] = values[n]
            largest = max(largest, values[n])
        for n in range(settings.shape[0]):
            alive[n] &= values[n] >= largest - same
        out[row] = largest


@jit
def hkl_batch(
    lattices,
    site_offsets,
    frac,
    species_offsets,
    kinds,
    occupancies,
    site_index,
    coefficients,
    b_iso,
    s_max,
    bases,
    setting_offsets,
    settings,
    hkl,
    out,
):
    """Fill |F|² of the reflections hkl, 0 beyond s_max, in that setting of each crystal whose list is the largest.

    Arguments are as for radial_batch, and:

    Parameters
    ----------
    bases : (N, 3, 3)
        A basis of each crystal's primitive lattice.
    setting_offsets : (N + 1,); settings : (K, 3, 3)
        The settings of each crystal; they turn the indices of `hkl` into indices of the basis. Where these are no whole numbers,
        the reflection is absent.
    hkl : (n_hkl, 3) of int
        The last row begins with the largest index.
    out : (N, n_hkl)
    """
    for row in range(lattices.shape[0]):
        species = slice(species_offsets[row], species_offsets[row + 1])
        reciprocal = _reciprocal(bases[row])
        coords = np.zeros((site_offsets[row + 1] - site_offsets[row], 3))
        for site in range(coords.shape[0]):
            for i in range(3):
                for j in range(3):
                    part = frac[site_offsets[row] + site, j]
                    coords[site, i] += part * _dot(lattices[row, j], reciprocal[i])
        same = SAME_INTENSITY * mean_squared_f0(kinds[species], occupancies[species], coefficients)
        _hkl_row(
            bases[row],
            settings[setting_offsets[row] : setting_offsets[row + 1]],
            coords,
            kinds[species],
            occupancies[species],
            site_index[species],
            coefficients,
            b_iso,
            s_max,
            hkl,
            same,
            out[row],
        )
