"""Earth mover's distance between mixtures: amounts of members, between any two of which there is a distance."""

from __future__ import annotations

import numpy as np

from matminer_grid.kernels._jit import jit
from matminer_grid.kernels.plans import optimal_plan


@jit
def _cost_of_few(distance, few, amounts_few, many, amounts_many):
    """Cost where `few` are one or two.

    Two sources: a unit sent to sink j from the first instead of the second costs ``distance[first, j] - distance[second, j]`` more,
    so the first serves the sinks in ascending order of that difference until it is used up.
    """
    cost = 0.0
    first = few[0]
    if few.shape[0] == 1:
        for j in range(many.shape[0]):
            cost += amounts_many[j] * distance[first, many[j]]
        return cost
    second = few[1]
    left = amounts_few[0]
    previous, previous_j = -np.inf, -1
    for _ in range(many.shape[0]):
        smallest, sink = np.inf, -1
        for j in range(many.shape[0]):
            difference = distance[first, many[j]] - distance[second, many[j]]
            served = difference < previous or (difference == previous and j <= previous_j)
            if not served and difference < smallest:
                smallest, sink = difference, j
        from_first = min(left, amounts_many[sink])
        left -= from_first
        cost += from_first * distance[first, many[sink]] + (amounts_many[sink] - from_first) * distance[second, many[sink]]
        previous, previous_j = smallest, sink
    return cost


@jit
def comes_later(members_a, amounts_a, members_b, amounts_b):
    """Tell whether the first of two mixtures stands behind the second: by number of members, then members, then amounts."""
    n = members_a.shape[0]
    if n != members_b.shape[0]:
        return n > members_b.shape[0]
    for i in range(n):
        if members_a[i] != members_b[i]:
            return members_a[i] > members_b[i]
    for i in range(n):
        if amounts_a[i] != amounts_b[i]:
            return amounts_a[i] > amounts_b[i]
    return False


@jit
def transport_cost(distance, members_a, amounts_a, members_b, amounts_b):
    """Cost of the cheapest transport between two mixtures, for a symmetric distance.

    It is 0 for equal ones, and the same in both directions to the last bit: the one that comes first is the source.
    """
    if members_a.size == members_b.size and np.all(members_a == members_b) and np.all(amounts_a == amounts_b):
        return 0.0
    if comes_later(members_a, amounts_a, members_b, amounts_b):
        members_a, members_b = members_b, members_a
        amounts_a, amounts_b = amounts_b, amounts_a
    n, m = members_a.size, members_b.size
    if n <= 2:
        return _cost_of_few(distance, members_a, amounts_a, members_b, amounts_b)
    costs = np.empty((n, m))
    for i in range(n):
        for j in range(m):
            costs[i, j] = distance[members_a[i], members_b[j]]
    return optimal_plan(costs, amounts_a, amounts_b, np.empty((n, m)))


@jit
def transport_costs(distance, members, amounts, offsets, all_members, all_amounts, rows, out):
    """Cost from one mixture to each of the given rows of a sparse table of mixtures."""
    for i in range(rows.shape[0]):
        start, stop = offsets[rows[i]], offsets[rows[i] + 1]
        out[i] = transport_cost(distance, members, amounts, all_members[start:stop], all_amounts[start:stop])
