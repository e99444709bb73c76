"""Powder patterns: the fraction of the intensity in each bin of |S|."""

from __future__ import annotations

import numpy as np

from matminer_grid.kernels._jit import jit
from matminer_grid.kernels.arrays import fill
from matminer_grid.kernels.normal import gaussian_bins
from matminer_grid.kernels.structure_factor import NO_REFLECTIONS, OK, S_TOLERANCE, TOO_MANY_REFLECTIONS, structure_factors

TAIL = 6.5
"""Standard deviations after which a Gaussian is cut off; 4e-11 of it lie beyond. More would take reflections farther out."""


@jit
def powder_batch(scatterers, bin_size, smearing, limit, out, status, counts, stop):
    """Fill the fraction of the intensity that falls into each bin of |S| into out (N, n_bins); bins and smearing are in Å⁻¹.

    Scatterers, limit and stop are as for structure_factors; status and counts (N,) are filled with OK, TOO_MANY_REFLECTIONS or
    NO_REFLECTIONS, and with the number of reflections.
    """
    s_max = out.shape[1] * bin_size + TAIL * smearing
    values = np.empty(out.shape[1])
    for row in range(out.shape[0]):
        _, _, s, real, imag, counts[row] = structure_factors(scatterers, row, s_max, limit, stop)
        out[row] = 0.0
        status[row] = TOO_MANY_REFLECTIONS if counts[row] > limit else OK
        for i in range(s.size):
            intensity = real[i] ** 2 + imag[i] ** 2
            if smearing > 0:
                first, n_values = gaussian_bins(s[i], smearing, TAIL, bin_size, values)
                for j in range(n_values):
                    out[row, first + j] += intensity * values[j]
            else:
                index = int((s[i] + S_TOLERANCE) / bin_size)
                if index < out.shape[1]:
                    out[row, index] += intensity
        total = out[row].sum()
        if total > 0:
            fill(out[row], out[row] / total)
        elif status[row] == OK:
            status[row] = NO_REFLECTIONS
