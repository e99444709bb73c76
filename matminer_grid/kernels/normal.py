"""The normal distribution, expanded from the nodes of a table."""

from __future__ import annotations

import math

import numpy as np

from matminer_grid.kernels._jit import jit

TAIL = 8.5
"""Standard deviations after which a Gaussian holds nothing in double precision."""

NODES_PER_UNIT = 128
LAST_NODE = int(TAIL * NODES_PER_UNIT)
_NODES = [node / NODES_PER_UNIT for node in range(-LAST_NODE, LAST_NODE + 1)]
CDF_NODES = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in _NODES])
PDF_NODES = np.array([math.exp(-x * x / 2) / math.sqrt(2 * math.pi) for x in _NODES])
"""Cumulative distribution and density at the nodes."""


@jit
def normal_cdf(t):
    """Cumulative normal distribution to double precision: Taylor's series of five terms from the nearest node of a table."""
    node = min(max(int(np.rint(t * NODES_PER_UNIT)), -LAST_NODE), LAST_NODE)
    x = node / NODES_PER_UNIT
    h = min(max(t - x, -1.0), 1.0)
    series = (x * x * (x * x - 6) + 3) * h / 120 - x * (x * x - 3) / 24
    series = ((series * h + (x * x - 1) / 6) * h - x / 2) * h + 1
    return CDF_NODES[node + LAST_NODE] + PDF_NODES[node + LAST_NODE] * h * series


@jit
def gaussian_bins(center, smearing, tail, bin_size, values):
    """Integrate a Gaussian over each bin; what lies below zero goes to the first bin. Gives first bin and number of bins."""
    first = max(0, int((center - tail * smearing) / bin_size) - 1)
    last = min(values.size, int((center + tail * smearing) / bin_size) + 1)
    if first >= last:
        return 0, 0
    below = 0.0 if first == 0 else normal_cdf((first * bin_size - center) / smearing)
    for i in range(first, last):
        above = normal_cdf(((i + 1) * bin_size - center) / smearing)
        values[i - first] = max(0.0, above - below)
        below = above
    return first, last - first
