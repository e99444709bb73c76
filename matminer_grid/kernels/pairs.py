"""Sums over pairs of reflections, without pairs.

The power cos^2n of the angle between two directions is a product of two symmetric tensors, one for each direction, and therefore
the sum over all pairs is the product of two sums over reflections.
"""

from __future__ import annotations

import numpy as np

from matminer_grid.kernels._jit import jit
from matminer_grid.kernels.arrays import fill
from matminer_grid.kernels.structure_factor import OK, TOO_MANY_REFLECTIONS, mean_squared_f0, structure_factors


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
    pairs[:] = 0.0
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
def pairs_batch(scatterers, s_max, n_radial, n_angle, limit, out, status, counts, stop):
    """Fill the distribution over pairs of reflections, and behind it the self term.

    Arguments are as for powder_batch; out is (N, n_radial (n_radial + 1) / 2 * n_angle + n_radial), by pairs of shells, then angle.
    """
    pairs, self_term = np.empty((n_radial, n_radial, n_angle)), np.empty(n_radial)
    for row in range(out.shape[0]):
        _, vectors, s, real, imag, counts[row] = structure_factors(scatterers, row, s_max, limit, stop)
        status[row] = TOO_MANY_REFLECTIONS if counts[row] > limit else OK
        scale = mean_squared_f0(scatterers, row)
        for i in range(s.size):
            taper = max(0.0, 1 - (s[i] / s_max) ** 2) ** 2
            real[i] = taper * (real[i] ** 2 + imag[i] ** 2) / scale
        moments, squares = _moments(vectors, s, real, s_max, n_radial, 2 * (n_angle - 1))
        pair_distribution(moments, squares, pairs, self_term)
        n = 0
        for i in range(n_radial):
            for j in range(i, n_radial):
                fill(out[row, n:], pairs[i, j])
                n += n_angle
        fill(out[row, n:], self_term)
