"""The neighbours of each site: how far they are, what they are and how they are arranged.

Weights fall off smoothly with distance, so that nothing depends on which of two equally distant neighbours comes first, or jumps
where a neighbour crosses a limit. Cells should be reduced beforehand: that saves time, and changes nothing else.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from matminer_grid.kernels._jit import jit
from matminer_grid.kernels.arrays import fill, longer
from matminer_grid.kernels.lattice import determinant, lower_triangular, translations
from matminer_grid.kernels.neighbors import COINCIDENT_SITES, OCCUPANCY_TOLERANCE, OK, TOO_MANY_NEIGHBORS, find_vectors
from matminer_grid.kernels.neighbors import PROBLEMS as SEARCH_PROBLEMS

BOND_SOFTNESS = 0.37
"""Å. Length over which a bond's valence falls by e (Brown and Altermatt, Acta Cryst. B41 (1985) 244, 10.1107/S0108768185002063)."""

NEAR = 6.0
"""Å. Radius within which bonds have a valence, and springs."""

FAR = 12.0
"""Å. Distances of ranked neighbours are clipped here."""

WEIGHTS = ("coordination", "valence", "slow")
"""Ways to weight neighbours: Hoppe's effective coordination, bond valence, and a slow decay."""

N_WEIGHTS = len(WEIGHTS)

ORDERS = np.array([1, 2, 3, 4, 6])
"""Degrees of the bond-orientational order parameters."""

ROUNDING = 1e-14
"""Squares of order parameters below this are 0 by symmetry, in any cell."""

MAX_PAIRS = 1e9
"""Pairs of neighbours of one site, summed over the sites, that a crystal may have at mean density."""

PROBLEMS = {
    **SEARCH_PROBLEMS,
    TOO_MANY_NEIGHBORS: "its sites have more neighbours than can be described; check that the lattice is in Å",
}
"""What is wrong with a crystal, by the status that list_neighbors gives for it."""


class Neighbors(NamedTuple):
    """The neighbours of all sites; those of site i are offsets[i]:offsets[i + 1]."""

    offsets: Any
    """(n + 1,)"""
    index: Any
    """(k,) which site each is an image of."""
    vectors: Any
    """(k, 3) from the site to the neighbour, in Å."""
    distances: Any
    """(k,) in Å."""


class Surroundings(NamedTuple):
    """What is around each of n sites, for N_WEIGHTS ways to weight its neighbours and P properties of sites."""

    shells: Any
    """(n, n_shells) mean distances to ranked neighbours in Å."""
    coordination: Any
    """(n, N_WEIGHTS) sums of the weights."""
    lengths: Any
    """(n, N_WEIGHTS) mean bond lengths over the sum of the radii."""
    neighbors: Any
    """(n, N_WEIGHTS, P) mean properties of the neighbours."""
    differences: Any
    """(n, N_WEIGHTS, P) mean absolute differences to the neighbours."""
    charges: Any
    """(n, 2) ionic parts of the bond valences, with the sign of the charge that they leave on the site, and without."""
    orders: Any
    """(n, len(ORDERS)) Steinhardt's order parameters, under the weights of the effective coordination."""

    @classmethod
    def zeros(cls, n: int, n_shells: int, n_properties: int) -> Surroundings:
        """Make arrays of zeros, for describe_sites to fill."""
        widths = (n_shells,), (N_WEIGHTS,), (N_WEIGHTS,), (N_WEIGHTS, n_properties), (N_WEIGHTS, n_properties), (2,), (len(ORDERS),)
        return cls(*(np.zeros((n, *width)) for width in widths))


@jit
def list_neighbors(lattice, frac, occupancies, needed):
    """List the neighbours of each site within NEAR, and beyond, up to FAR, until their occupancies add up to what is needed.

    Gives OK, or COINCIDENT_SITES or TOO_MANY_NEIGHBORS with a list that is not complete, and Neighbors, whose vectors are those of
    the rotated lattice of which the first lies along x, and the second in the xy plane.
    """
    n_sites, volume = frac.shape[0], abs(determinant(lattice))
    offsets = np.zeros(n_sites + 1, np.int64)
    index, vectors, distances = np.empty(512, np.int64), np.empty((512, 3)), np.empty(512)
    own_index, own_vectors, own_distances = index.copy(), vectors.copy(), distances.copy()
    radius = 1.1 * (0.75 / math.pi * (needed + 1) * volume / occupancies.sum()) ** (1 / 3)
    radius = min(FAR, max(NEAR, radius))
    if n_sites * (4 / 3 * math.pi * radius**3 * n_sites / volume) ** 2 > MAX_PAIRS:
        return TOO_MANY_NEIGHBORS, Neighbors(offsets, index, vectors, distances)
    cell = lower_triangular(lattice)
    shifts = translations(cell, radius)
    for site in range(n_sites):
        n, coincident, radius, shifts, own_index, own_vectors, own_distances = find_vectors(
            cell, frac, occupancies, site, needed, radius, FAR, shifts, own_index, own_vectors, own_distances
        )
        if coincident > 1 + OCCUPANCY_TOLERANCE:
            return COINCIDENT_SITES, Neighbors(offsets, index, vectors, distances)
        first, last = offsets[site], offsets[site] + n
        if last > distances.size:
            index, vectors, distances = longer(last, index), longer(last, vectors), longer(last, distances)
        fill(index[first:], own_index[:n])
        fill(vectors[first:], own_vectors[:n])
        fill(distances[first:], own_distances[:n])
        offsets[site + 1] = last
    return OK, Neighbors(offsets, index[:last], vectors[:last], distances[:last])


@jit
def _inside(distance):
    """Factor that falls smoothly from 1 to 0 at NEAR."""
    return max(0.0, 1 - (distance / NEAR) ** 2) ** 2


@jit
def bond_valence(distance, bond):
    """Valence of a bond, the length of which would be that of a single one."""
    return _inside(distance) * math.exp((bond - distance) / BOND_SOFTNESS)


@jit
def slow_decay(distance, bond, power):
    """Weight of a bond that falls with a power of its length over that of a single one."""
    return _inside(distance) * (bond / distance) ** power


@jit
def effective_coordination(ratio, occupancy, weight):
    """Fill Hoppe's weights exp(1 - (x/x0)^6), x0 being the weighted mean itself, of bond lengths x relative to the radii."""
    mean = ratio.min()
    for _ in range(12):
        total, moment = 0.0, 0.0
        for i in range(ratio.size):
            weight[i] = 0.0
            if ratio[i] < 2 * mean:  # beyond, it would be 1e-27
                weight[i] = occupancy[i] * math.exp(1 - (ratio[i] / mean) ** 6)
            total += weight[i]
            moment += weight[i] * ratio[i]
        mean = moment / total


@jit
def _legendre(order, x):
    previous, value = 1.0, x
    for k in range(2, order + 1):
        previous, value = value, ((2 * k - 1) * x * value - (k - 1) * previous) / k
    return value


@jit
def orientational_order(vectors, distances, weight, out):
    """Fill Steinhardt's bond-orientational order parameters, weighted, by the addition theorem."""
    out[:] = 0.0
    total = 0.0
    for i in range(weight.size):
        if weight[i] < 1e-4:
            continue
        total += weight[i]
        for j in range(i + 1):
            if weight[j] < 1e-4:
                continue
            cosine = 0.0
            for k in range(3):
                cosine += vectors[i, k] * vectors[j, k]
            cosine = min(1.0, max(-1.0, cosine / (distances[i] * distances[j])))
            factor = weight[i] * weight[j] * (1 if i == j else 2)
            for k in range(ORDERS.size):
                out[k] += factor * _legendre(ORDERS[k], cosine)
    for k in range(ORDERS.size):
        share = out[k] / total**2
        out[k] = math.sqrt(share) if share > ROUNDING else 0.0


@jit
def shell_means(distances, occupancy, edges, out):
    """Fill the mean distance of the neighbours from edges[k] to edges[k + 1] in the order of distance, clipped at FAR."""
    out[:] = 0.0
    shell, counted = 0, 0.0
    for i in np.argsort(distances):
        left = occupancy[i]
        while left > 0 and shell < out.size:
            part = min(left, edges[shell + 1] - counted)
            out[shell] += part * min(distances[i], FAR)
            counted += part
            left -= part
            if counted >= edges[shell + 1] - 1e-9:
                counted = edges[shell + 1]
                shell += 1
    for k in range(shell, out.size):
        out[k] += (edges[k + 1] - max(counted, edges[k])) * FAR
    for k in range(out.size):
        out[k] /= edges[k + 1] - edges[k]


@jit
def _weighted_means(weight, ratio, index, properties, site, means, differences):
    """Add up means of the neighbours' properties, and of absolute differences to them; gives the weight and mean bond length."""
    total, length = 0.0, 0.0
    for i in range(weight.size):
        if weight[i] <= 0:
            continue
        total += weight[i]
        length += weight[i] * ratio[i]
        for p in range(means.size):
            value = properties[index[i], p]
            means[p] += weight[i] * value
            differences[p] += weight[i] * abs(value - properties[site, p])
    if total > 0:
        length /= total
        for p in range(means.size):
            means[p] /= total
            differences[p] /= total
    return total, length


@jit
def describe_sites(neighbors, occupancies, radii, electronegativities, properties, edges, out):
    """Fill Surroundings of zeros for the n sites of a crystal; those of a site without neighbours stay zeros, but for its shells.

    Given are the Neighbors of all sites, total occupancies (n,), covalent radii in Å (n,), electronegativities (n,), elemental
    properties (n, P), and the ranks of neighbours between which distances are averaged (n_shells + 1,).
    """
    for site in range(occupancies.size):
        own = slice(neighbors.offsets[site], neighbors.offsets[site + 1])
        index, vectors, distances = neighbors.index[own], neighbors.vectors[own], neighbors.distances[own]
        occupancy = occupancies[index]
        shell_means(distances, occupancy, edges, out.shells[site])
        if index.size == 0:
            continue
        bonds = radii[site] + radii[index]
        ratio = distances / bonds
        weights = np.empty((N_WEIGHTS, index.size))
        effective_coordination(ratio, occupancy, weights[0])
        for i in range(index.size):
            weights[1, i] = occupancy[i] * bond_valence(distances[i], bonds[i])
            weights[2, i] = occupancy[i] * slow_decay(distances[i], bonds[i], 4)
            step = electronegativities[index[i]] - electronegativities[site]
            ionic = weights[1, i] * (1 - math.exp(-0.25 * step * step))
            out.charges[site, 0] += ionic if step > 0 else -ionic
            out.charges[site, 1] += ionic
        for k in range(N_WEIGHTS):
            out.coordination[site, k], out.lengths[site, k] = _weighted_means(
                weights[k], ratio, index, properties, site, out.neighbors[site, k], out.differences[site, k]
            )
        orientational_order(vectors, distances, weights[0], out.orders[site])
