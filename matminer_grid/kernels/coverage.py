"""Which vectors of two sets are near each other."""

from __future__ import annotations

import numpy as np

from matminer_grid.kernels._jit import jit
from matminer_grid.kernels.arrays import longer

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


@jit
def near_in_ranges(left, right, first, last, radius, more_left, more_right, more_radius):
    """Find pairs of vectors of two sets that are near each other by two Manhattan distances at once.

    Parameters
    ----------
    left : (m, d); right : (n, d)
        Vectors.
    first, last : (m,)
        Each vector of the left is compared with those of the right from one to before the other.
    radius, more_radius : float
        Largest distances.
    more_left : (m, e); more_right : (n, e)
        Vectors of the second distance.

    Returns
    -------
    (p, 2)
        Rows of the left and of the right, ascending.
    """
    found, n_found = np.empty((64, 2), np.int64), 0
    for i in range(len(left)):
        for j in range(first[i], last[i]):
            if _is_near(left[i], right[j], radius) and _is_near(more_left[i], more_right[j], more_radius):
                if n_found == len(found):
                    found = longer(n_found + 1, found)
                found[n_found, 0], found[n_found, 1] = i, j
                n_found += 1
    return found[:n_found]
