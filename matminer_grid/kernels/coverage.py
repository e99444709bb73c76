"""Which vectors of two sets have one of the other set near them."""

from __future__ import annotations

import numpy as np

from matminer_grid.kernels._jit import jit

STRIDE = 8
"""Entries that are added up before a sum is looked at."""


@jit
def _is_near(a, b, radius):
    total = 0.0
    for start in range(0, a.size, STRIDE):
        for k in range(start, min(start + STRIDE, a.size)):
            total += abs(a[k] - b[k])
        if total > radius:
            return False
    return True


@jit
def mark_near(left, left_sums, right, right_sums, radius, more_left, more_right, more_radius, near_left, near_right):
    """Mark vectors of either set that are near one of the other by two Manhattan distances at once.

    Parameters
    ----------
    left : (m, d); left_sums : (m,)
        Vectors and the sums of their entries.
    right : (n, d); right_sums : (n,)
        Likewise, in the order of ascending sums, which differ by no more than the vectors do.
    radius, more_radius : float
        Largest distances; an infinite second one is not computed.
    more_left : (m, e); more_right : (n, e)
        Vectors of the second distance.
    near_left : (m,); near_right : (n,)
        Set to True for such vectors; True entries are left as they are.
    """
    for i in range(len(left)):
        first = np.searchsorted(right_sums, left_sums[i] - radius, side="left")
        last = np.searchsorted(right_sums, left_sums[i] + radius, side="right")
        for j in range(first, last):
            if near_left[i] and near_right[j]:
                continue
            if _is_near(left[i], right[j], radius) and (
                more_radius == np.inf or _is_near(more_left[i], more_right[j], more_radius)
            ):
                near_left[i] = near_right[j] = True
