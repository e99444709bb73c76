"""The normal distribution at the nodes of a table, from which kernels expand it."""

from __future__ import annotations

import math

import numpy as np

TAIL = 8.5
"""Standard deviations after which a Gaussian holds nothing in double precision."""

NODES_PER_UNIT = 128
LAST_NODE = int(TAIL * NODES_PER_UNIT)
_NODES = [node / NODES_PER_UNIT for node in range(-LAST_NODE, LAST_NODE + 1)]
CDF_NODES = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in _NODES])
PDF_NODES = np.array([math.exp(-x * x / 2) / math.sqrt(2 * math.pi) for x in _NODES])
"""Cumulative distribution and density at the nodes."""
