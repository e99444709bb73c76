"""How stiff a net of springs between the sites of a crystal is.

Every spring acts on the scalar product of two bonds of a site, which no rotation changes, as in Keating's model (Phys. Rev. 145
(1966) 637, 10.1103/PhysRev.145.637). That of a bond with itself is a spring along the bond.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from matminer_grid.kernels._jit import jit
from matminer_grid.kernels.arrays import fill
from matminer_grid.kernels.bonds import bond_valence, slow_decay

BENDING = 0.2
"""Stiffness of the angle between two bonds of a site over that of the bonds, in nets that have it."""

WEAK_BOND = 0.03
"""Valence over that of a site's strongest bond, from which on a bond takes part in bending."""

SOFT_MODE = 0.05
"""Share of the mean stiffness that is added to every mode, since nets of central springs have floppy ones."""


class _Net(NamedTuple):
    """Second derivatives of the energy: by strains in Kelvin's notation (6, 6), by sites (3n, 3n), and by both (3n, 6)."""

    strains: Any
    sites: Any
    mixed: Any


@jit
def _add_spring(net, stiffness, u, v, ends):
    """Add a spring on the scalar product of the bonds u and v of a site; the ends are sites with their derivatives of it."""
    root = math.sqrt(2.0)
    by_strain = (
        *(2 * u[0] * v[0], 2 * u[1] * v[1], 2 * u[2] * v[2]),
        *(root * (u[1] * v[2] + u[2] * v[1]), root * (u[0] * v[2] + u[2] * v[0]), root * (u[0] * v[1] + u[1] * v[0])),
    )
    for a in range(6):
        for b in range(6):
            net.strains[a, b] += stiffness * by_strain[a] * by_strain[b]
    for i, by_i in ends:
        for a in range(3):
            for b in range(6):
                net.mixed[3 * i + a, b] += stiffness * by_i[a] * by_strain[b]
            for j, by_j in ends:
                for b in range(3):
                    net.sites[3 * i + a, 3 * j + b] += stiffness * by_i[a] * by_j[b]


@jit
def _add_bonds(net, neighbors, site, occupancies, radii, strengths, slow):
    """Add the springs from a site to its neighbours, each pair of sites once; gives their stiffness as seen from both ends."""
    total = 0.0
    for i in range(neighbors.offsets[site], neighbors.offsets[site + 1]):
        other, distance, vector = neighbors.index[i], neighbors.distances[i], neighbors.vectors[i]
        if other < site:
            continue
        bond = radii[site] + radii[other]
        decay = slow_decay(distance, bond, 6) if slow else bond_valence(distance, bond)
        stiffness = occupancies[site] * occupancies[other] * decay * strengths[site] * strengths[other]
        if stiffness <= 0:
            continue
        if other == site:  # its opposite comes too
            stiffness *= 0.5
        total += 2 * stiffness
        x, y, z = 2 * vector[0], 2 * vector[1], 2 * vector[2]
        ends = (site, (-x, -y, -z)), (other, (x, y, z))
        _add_spring(net, stiffness / (4 * distance * distance), vector, vector, ends)
    return total


@jit
def _add_angles(net, neighbors, site, occupancies, radii, strengths, bending):
    """Add the springs that resist bending between the strong bonds of a site; gives their stiffness."""
    own = slice(neighbors.offsets[site], neighbors.offsets[site + 1])
    index, vectors, distances = neighbors.index[own], neighbors.vectors[own], neighbors.distances[own]
    valences = np.empty(index.size)
    for i in range(index.size):
        valences[i] = occupancies[index[i]] * bond_valence(distances[i], radii[site] + radii[index[i]])
    weakest = WEAK_BOND * max(0.0, valences.max()) if valences.size > 0 else 0.0
    total = 0.0
    for i in range(index.size):
        for j in range(i):
            if valences[i] <= weakest or valences[j] <= weakest:
                continue
            valence = math.sqrt((valences[i] - weakest) * (valences[j] - weakest))
            strength = strengths[site] * math.sqrt(strengths[index[i]] * strengths[index[j]])
            stiffness = bending * occupancies[site] * valence * strength
            total += 4 * stiffness
            u, v = vectors[i], vectors[j]
            ends = (
                (site, (-u[0] - v[0], -u[1] - v[1], -u[2] - v[2])),
                (index[i], (v[0], v[1], v[2])),
                (index[j], (u[0], u[1], u[2])),
            )
            _add_spring(net, stiffness / (distances[i] * distances[j]), u, v, ends)
    return total


@jit
def _forward_substituted(lower, right):
    """Solve lower @ x = right for x, in place of right; np.linalg.solve takes five seconds to compile."""
    for i in range(lower.shape[0]):
        for b in range(right.shape[1]):
            for k in range(i):
                right[i, b] -= lower[i, k] * right[k, b]
            right[i, b] /= lower[i, i]
    return right


@jit
def elastic_constants(neighbors, volume, occupancies, radii, strengths, slow, bending, soft_mode, out):
    """Compute the elastic constants of a net of springs, before and after its sites move to where the strained springs pull them.

    Parameters
    ----------
    neighbors : Neighbors; volume : float
        And the volume of the cell in Å³.
    occupancies, radii, strengths : (n,)
        Of the sites: total occupancies, covalent radii in Å, and factors in the stiffness of their springs.
    slow : bool
        Springs weaken slowly with their length, and not like bond valences.
    bending, soft_mode : float
        Stiffness of the angle between two bonds of a site over that of the bonds, 0 for central springs alone; and the share of the
        mean stiffness that is added to every mode; above 0, since nothing else holds the crystal in place.
    out : (2, 6, 6)
        Filled in Kelvin's notation, with the unit of stiffness / Å: rigid, and relaxed.
    """
    n = 3 * occupancies.size
    net = _Net(np.zeros((6, 6)), np.zeros((n, n)), np.zeros((n, 6)))
    stiffness = 0.0
    for site in range(occupancies.size):
        stiffness += _add_bonds(net, neighbors, site, occupancies, radii, strengths, slow)
        if bending > 0:
            stiffness += _add_angles(net, neighbors, site, occupancies, radii, strengths, bending)
    fill(out[0], net.strains / volume)
    fill(out[1], out[0])
    if stiffness <= 0:
        return
    for i in range(n):
        net.sites[i, i] += soft_mode * stiffness / n
    moved = _forward_substituted(np.linalg.cholesky(net.sites), net.mixed)
    fill(out[1], out[0] - moved.T @ moved / volume)
