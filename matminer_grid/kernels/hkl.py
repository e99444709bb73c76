"""Intensities of the reflections of a grid of Miller indices, in a setting of the cell that is chosen by them."""

from __future__ import annotations

import math

import numpy as np

from matminer_grid.kernels._jit import jit
from matminer_grid.kernels.lattice import dot, reciprocal
from matminer_grid.kernels.structure_factor import (
    S_TOLERANCE,
    by_kind,
    mean_squared_f0,
    one_crystal,
    phase_factors,
    scattering_factor,
)

SAME_INTENSITY = 1e-9
"""Intensities that differ by less than this part of the mean f(0)² are the same in the choice of a setting; the largest is given.
Rounding reaches 1e-12 of it, so that differences which rounding lifts over the limit are rare."""


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
def _hkl_row(scatterers, row, base, settings, s_max, hkl, out):
    """List the intensities in the setting whose list is the largest, compared reflection by reflection."""
    lattice, frac_coords, kinds, occupancies, site_index, coefficients, b_iso = one_crystal(scatterers, row)
    same = SAME_INTENSITY * mean_squared_f0(scatterers, row)
    star = reciprocal(base)
    frac = np.zeros(frac_coords.shape)
    for site in range(frac.shape[0]):
        for i in range(3):
            for j in range(3):
                frac[site, i] += frac_coords[site, j] * dot(lattice[j], star[i])
    hkl_max = hkl[hkl.shape[0] - 1, 0]
    reach = np.zeros(3, np.int64)
    for n in range(settings.shape[0]):
        for i in range(3):
            needed = abs(settings[n, i, 0]) + abs(settings[n, i, 1]) + abs(settings[n, i, 2])
            reach[i] = max(reach[i], math.floor(hkl_max * needed + 1e-6))
    order, starts = by_kind(kinds)
    real, imag = phase_factors(frac, site_index, order, reach)
    known = np.full((2 * reach[0] + 1, 2 * reach[1] + 1, 2 * reach[2] + 1), -1.0)
    alive = np.ones(settings.shape[0], np.bool_)
    values = np.empty(settings.shape[0])
    index = np.empty(3, np.int64)
    place = np.empty(3, np.int64)
    for n_hkl in range(hkl.shape[0]):
        largest = 0.0
        for n in range(settings.shape[0]):
            if not alive[n]:
                continue
            absent = False
            for i in range(3):
                exact = settings[n, i, 0] * hkl[n_hkl, 0] + settings[n, i, 1] * hkl[n_hkl, 1] + settings[n, i, 2] * hkl[n_hkl, 2]
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
                    component = index[0] * star[0, axis] + index[1] * star[1, axis] + index[2] * star[2, axis]
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
        out[n_hkl] = largest


@jit
def hkl_batch(scatterers, s_max, bases, setting_offsets, settings, hkl, out):
    """Fill |F|² of the reflections hkl, 0 beyond s_max, in that setting of each crystal whose list is the largest.

    Parameters
    ----------
    scatterers, s_max
        As for structure_factors.
    bases : (N, 3, 3); setting_offsets : (N + 1,); settings : (K, 3, 3)
        A basis of each crystal's primitive lattice, and its settings, which turn the indices of `hkl` into indices of the basis.
        Where these are no whole numbers, the reflection is absent.
    hkl : (n_hkl, 3) of int; out : (N, n_hkl)
        The last row of `hkl` begins with the largest index.
    """
    for row in range(out.shape[0]):
        own = settings[setting_offsets[row] : setting_offsets[row + 1]]
        _hkl_row(scatterers, row, bases[row], own, s_max, hkl, out[row])
