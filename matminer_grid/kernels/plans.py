"""Optimal transport between two distributions over points whose distances are at hand: the plan of least cost.

Closed forms where one side has one point or two; else flows along shortest paths with potentials, exact to rounding.
"""

from __future__ import annotations

import numpy as np

from matminer_grid.kernels._jit import jit

ROUNDING = 1e-15
"""Mass that may be left over where both sides sum to 1 to rounding."""


@jit
def _serve_by_two(costs, first_mass, masses, plan):
    """Fill the plan of two sources: the first serves the sinks that gain most by it, until it is used up."""
    left = first_mass
    for sink in np.argsort(costs[0] - costs[1]):
        plan[0, sink] = min(left, masses[sink])
        plan[1, sink] = masses[sink] - plan[0, sink]
        left -= plan[0, sink]


@jit
def _serve_nearest(costs, free, missing, plan, v):
    """Serve each sink from its nearest source, as far as that goes; v is filled with the costs, the sinks' potentials."""
    for sink in range(costs.shape[1]):
        source = np.argmin(costs[:, sink])
        v[sink] = costs[source, sink]
        plan[source, sink] = min(free[source], missing[sink])
        free[source] -= plan[source, sink]
        missing[sink] -= plan[source, sink]


@jit
def _shortest_paths(costs, plan, free, u, v, lengths, parents):
    """Find the cheapest paths from the sources with mass left to all nodes, by Dijkstra over reduced costs.

    Nodes are the sources and then the sinks; mass goes from any source to any sink, and back along what the plan holds. The
    potentials take up the lengths, so that the edges of the paths cost nothing.
    """
    n, m = costs.shape
    done = np.zeros(n + m, np.bool_)
    for node in range(n + m):
        lengths[node] = 0.0 if node < n and free[node] > ROUNDING else np.inf
        parents[node] = -1
    for _ in range(n + m):
        node, nearest = -1, np.inf
        for other in range(n + m):
            if not done[other] and lengths[other] < nearest:
                node, nearest = other, lengths[other]
        if node < 0:  # sources of next to no mass are out of reach
            break
        done[node] = True
        if node < n:
            for sink in range(m):
                length = nearest + max(0.0, costs[node, sink] - u[node] - v[sink])
                if length < lengths[n + sink]:
                    lengths[n + sink] = length
                    parents[n + sink] = node
        else:
            for source in range(n):
                if plan[source, node - n] > 0.0 and nearest < lengths[source]:
                    lengths[source] = nearest
                    parents[source] = node
    for node in range(n + m):
        if done[node]:
            if node < n:
                u[node] -= lengths[node]
            else:
                v[node - n] += lengths[node]


@jit
def _send(sink, parents, free, missing, plan):
    """Send to a sink what its path lets through."""
    n = free.size
    amount = missing[sink]
    node = n + sink
    while parents[node] >= 0:
        if node < n:
            amount = min(amount, plan[node, parents[node] - n])
        node = parents[node]
    amount = min(amount, free[node])
    free[node] -= amount
    missing[sink] -= amount
    node = n + sink
    while parents[node] >= 0:
        if node < n:
            plan[node, parents[node] - n] -= amount
        else:
            plan[parents[node], node - n] += amount
        node = parents[node]


@jit
def optimal_plan(costs, masses_a, masses_b, plan):
    """Fill the plan (n, m), what goes from each point to each, of least cost between two distributions, and give its cost.

    Costs (n, m) are not negative; masses (n,) and (m,) are above 0, with equal sums.
    """
    n, m = costs.shape
    if n == 1:
        plan[0] = masses_b
    elif m == 1:
        plan[:, 0] = masses_a
    elif n == 2:
        _serve_by_two(costs, masses_a[0], masses_b, plan)
    elif m == 2:
        _serve_by_two(costs.T, masses_b[0], masses_a, plan.T)
    else:
        plan[:] = 0.0
        free, missing = masses_a.copy(), masses_b.copy()
        u, v = np.zeros(n), np.empty(m)
        _serve_nearest(costs, free, missing, plan, v)
        lengths, parents = np.empty(n + m), np.empty(n + m, np.int64)
        while free.max() > ROUNDING and missing.max() > ROUNDING:
            _shortest_paths(costs, plan, free, u, v, lengths, parents)
            for sink in range(m):
                if missing[sink] > 0.0:
                    _send(sink, parents, free, missing, plan)
    total = 0.0
    for i in range(n):
        for j in range(m):
            total += plan[i, j] * costs[i, j]
    return total
