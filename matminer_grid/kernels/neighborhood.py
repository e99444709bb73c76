"""What the neighbours of each site are, how far they are, how they are arranged, and how stiff a net of springs they make.

Weights fall off smoothly with distance, so that no feature depends on which of two equally distant neighbours comes first, or jumps
where a neighbour crosses a limit. Cells should be reduced beforehand: that saves time, and changes nothing else.
"""

from __future__ import annotations

import math

import numpy as np

from matminer_grid.kernels._jit import jit

SAME_PLACE = 1e-8
"""Å. Sites closer than this coincide, and are no neighbours."""

BOND_SOFTNESS = 0.37
"""Å. Length over which a bond's valence falls by e (Brown and Altermatt, Acta Cryst. B41 (1985) 244, 10.1107/S0108768185002063)."""

NEAR = 6.0
"""Å. Radius within which neighbours are weighted."""

FAR = 12.0
"""Å. Distances of ranked neighbours are clipped here."""

N_WEIGHTS = 3
"""Ways to weight neighbours: Hoppe's effective coordination, bond valence, and a slow decay."""

N_SPRINGS = 4
"""Nets of springs: the third has a slow decay and the others that of the bond valence; the last has angles that resist too."""

BENDING = 0.2
"""Stiffness of the angle between two bonds of a site over that of the bonds, as in Keating's model."""

WEAK_BOND = 0.03
"""Valence over that of a site's strongest bond, from which on a bond takes part in bending."""

ORDERS = np.array([1, 2, 3, 4, 6])
"""Degrees of the bond-orientational order parameters."""

SOFT_MODE = 0.05
"""Share of the mean stiffness that is added to every mode, since nets of central springs have floppy ones."""

OK = 0
COINCIDENT_SITES = 1


@jit
def _heights(lattice):
    """Distances between opposite faces of the cell, and its volume."""
    volume = 0.0
    cross = np.empty(3)
    heights = np.empty(3)
    for i in range(3):
        u, v = lattice[(i + 1) % 3], lattice[(i + 2) % 3]
        cross[0] = u[1] * v[2] - u[2] * v[1]
        cross[1] = u[2] * v[0] - u[0] * v[2]
        cross[2] = u[0] * v[1] - u[1] * v[0]
        volume = abs(lattice[i, 0] * cross[0] + lattice[i, 1] * cross[1] + lattice[i, 2] * cross[2])
        heights[i] = volume / math.sqrt(cross[0] ** 2 + cross[1] ** 2 + cross[2] ** 2)
    return heights, volume


@jit
def _find(lattice, heights, frac, site, radius, index, vector, distance):
    """Find the neighbours of a site within the radius; the buffers grow as needed. Gives their count and the buffers."""
    n = 0
    limit = radius * radius
    reach = radius / heights
    for other in range(frac.shape[0]):
        f = frac[other] - frac[site]
        for a in range(math.ceil(-f[0] - reach[0]), math.floor(reach[0] - f[0]) + 1):
            for b in range(math.ceil(-f[1] - reach[1]), math.floor(reach[1] - f[1]) + 1):
                for c in range(math.ceil(-f[2] - reach[2]), math.floor(reach[2] - f[2]) + 1):
                    f_a, f_b, f_c = f[0] + a, f[1] + b, f[2] + c
                    x = f_a * lattice[0, 0] + f_b * lattice[1, 0] + f_c * lattice[2, 0]
                    y = f_a * lattice[0, 1] + f_b * lattice[1, 1] + f_c * lattice[2, 1]
                    z = f_a * lattice[0, 2] + f_b * lattice[1, 2] + f_c * lattice[2, 2]
                    squared = x * x + y * y + z * z
                    if squared > limit:
                        continue
                    if n == distance.size:
                        longer_index, longer_vector, longer = np.empty(2 * n, np.int64), np.empty((2 * n, 3)), np.empty(2 * n)
                        longer_index[:n] = index
                        longer_vector[:n] = vector
                        longer[:n] = distance
                        index, vector, distance = longer_index, longer_vector, longer
                    index[n] = other
                    vector[n, 0], vector[n, 1], vector[n, 2] = x, y, z
                    distance[n] = math.sqrt(squared)
                    n += 1
    return n, index, vector, distance


@jit
def _sort_with_rank(values, rank):
    """Sort values in place, and what belongs to them likewise, by Shell's method."""
    gap = 1
    while gap < values.size // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, values.size):
            value, own_rank = values[i], rank[i]
            j = i
            while j >= gap and values[j - gap] > value:
                values[j] = values[j - gap]
                rank[j] = rank[j - gap]
                j -= gap
            values[j] = value
            rank[j] = own_rank
        gap //= 3


@jit
def _effective_coordination(ratio, occupancy, n, weight):
    """Fill Hoppe's weights exp(1 - (x/x0)^6), x0 being the weighted mean itself, of bond lengths x relative to the radii."""
    mean = ratio[0]
    for i in range(1, n):
        mean = min(mean, ratio[i])
    for _ in range(12):
        total, moment = 0.0, 0.0
        for i in range(n):
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
def _orientational_order(vector, distance, weight, n, out):
    """Fill Steinhardt's bond-orientational order parameters, weighted, by the addition theorem."""
    out[:] = 0.0
    total = 0.0
    for i in range(n):
        if weight[i] < 1e-4:
            continue
        total += weight[i]
        for j in range(i + 1):
            if weight[j] < 1e-4:
                continue
            cosine = 0.0
            for k in range(3):
                cosine += vector[i, k] * vector[j, k]
            cosine = min(1.0, max(-1.0, cosine / (distance[i] * distance[j])))
            factor = weight[i] * weight[j] * (1 if i == j else 2)
            for k in range(ORDERS.size):
                out[k] += factor * _legendre(ORDERS[k], cosine)
    for k in range(ORDERS.size):
        out[k] = math.sqrt(max(0.0, out[k])) / total


@jit
def _shell_means(distance, occupancy, n, edges, out):
    """Fill the mean distance of the neighbours from edges[k] to edges[k + 1] in the order of distance, clipped at FAR."""
    ascending, part_of = distance[:n].copy(), occupancy.copy()
    _sort_with_rank(ascending, part_of)
    out[:] = 0.0
    shell, counted = 0, 0.0
    for i in range(n):
        left = part_of[i]
        while left > 0 and shell < out.size:
            part = min(left, edges[shell + 1] - counted)
            out[shell] += part * min(ascending[i], FAR)
            counted += part
            left -= part
            if counted >= edges[shell + 1] - 1e-9:
                counted = edges[shell + 1]
                shell += 1
    if shell < out.size:
        out[shell] += (edges[shell + 1] - counted) * FAR
        for k in range(shell + 1, out.size):
            out[k] = (edges[k + 1] - edges[k]) * FAR
    for k in range(out.size):
        out[k] /= edges[k + 1] - edges[k]


@jit
def _add_spring(stiffness, vector, distance, site, other, volume, elastic, hessian, coupling):
    """Add a spring from a site to a neighbour to the elastic constants (Voigt order), the Hessian and the strain coupling."""
    n_x, n_y, n_z = vector[0] / distance, vector[1] / distance, vector[2] / distance
    root = math.sqrt(2.0)
    strain = (n_x * n_x, n_y * n_y, n_z * n_z, root * n_y * n_z, root * n_x * n_z, root * n_x * n_y)
    unit = (n_x, n_y, n_z)
    for a in range(6):
        for b in range(6):
            elastic[a, b] += 0.5 / volume * stiffness * distance * distance * strain[a] * strain[b]
    for a in range(3):
        for b in range(6):
            coupling[3 * site + a, b] += stiffness * distance * unit[a] * strain[b]
        if site != other:
            for b in range(3):
                hessian[3 * site + a, 3 * site + b] += stiffness * unit[a] * unit[b]
                hessian[3 * site + a, 3 * other + b] -= stiffness * unit[a] * unit[b]


@jit
def _add_bending(stiffness, u, v, site, at_u, at_v, volume, elastic, hessian, coupling):
    """Add Keating's spring on the scalar product of two bonds u and v of a site, which is invariant under rotation."""
    root = math.sqrt(2.0)
    change = np.empty(6)
    for a in range(3):
        change[a] = 2 * u[a] * v[a]
    change[3] = root * (u[1] * v[2] + u[2] * v[1])
    change[4] = root * (u[0] * v[2] + u[2] * v[0])
    change[5] = root * (u[0] * v[1] + u[1] * v[0])
    for a in range(6):
        for b in range(6):
            elastic[a, b] += stiffness / volume * change[a] * change[b]
    for a in range(3):
        for b in range(6):
            coupling[3 * site + a, b] += stiffness * (u[a] + v[a]) * change[b]
            coupling[3 * at_u + a, b] -= stiffness * v[a] * change[b]
            coupling[3 * at_v + a, b] -= stiffness * u[a] * change[b]
        for b in range(3):
            ends = ((site, -u[a] - v[a], -u[b] - v[b]), (at_u, v[a], v[b]), (at_v, u[a], u[b]))
            for i, left, _ in ends:
                for j, _, right in ends:
                    hessian[3 * i + a, 3 * j + b] += stiffness * left * right


@jit
def _relaxed(elastic, hessian, coupling, stiffness, volume):
    """Elastic constants after the sites have moved to where the strained springs, of that stiffness in all, pull them."""
    n = hessian.shape[0]
    if stiffness <= 0:
        return elastic.copy()
    for i in range(n):
        hessian[i, i] += SOFT_MODE * stiffness / n
    moved = np.linalg.solve(hessian, coupling)
    out = elastic.copy()
    for a in range(6):
        for b in range(6):
            for i in range(n):
                out[a, b] -= coupling[i, a] * moved[i, b] / volume
    return out


@jit
def describe_crystal(lattice, frac, occupancies, radii, strengths, electronegativities, properties, edges, sites, elastic):
    """Describe the surroundings of each site of a crystal.

    Parameters
    ----------
    lattice : (3, 3); frac : (n, 3); occupancies : (n,)
        The crystal, in a reduced cell; occupancies are total ones of the sites.
    radii : (n,)
        Covalent radii in Å.
    strengths : (n, N_SPRINGS)
        Factor of each site in the stiffness of its springs.
    electronegativities : (n,)
    properties : (n, P)
        Elemental properties of the sites.
    edges : (n_shells + 1,)
        Ranks of neighbours between which distances are averaged.
    sites : (n, n_shells + N_WEIGHTS * (2 + 2 * P) + 2 + ORDERS.size)
        Filled: shell distances; for each weight the coordination, the mean bond length over radii, the neighbours' mean properties
        and the mean absolute differences to them; charge, ionic valence and order parameters.
    elastic : (N_SPRINGS, 2, 6, 6)
        Filled with the elastic constants of the nets of springs, in Kelvin's notation, before and after relaxation.

    Returns
    -------
    int
        OK or COINCIDENT_SITES.
    """
    n_sites, n_properties, n_shells = properties.shape[0], properties.shape[1], edges.size - 1
    heights, volume = _heights(lattice)
    radius = 1.1 * (0.75 / math.pi * (edges[n_shells] + 1) * volume / occupancies.sum()) ** (1 / 3)
    radius = min(FAR, max(NEAR, radius))
    index, vector, distance = np.empty(512, np.int64), np.empty((512, 3)), np.empty(512)
    hessian = np.zeros((N_SPRINGS, 3 * n_sites, 3 * n_sites))
    coupling = np.zeros((N_SPRINGS, 3 * n_sites, 6))
    total_stiffness = np.zeros(N_SPRINGS)
    elastic[:] = 0.0
    sites[:] = 0.0
    for site in range(n_sites):
        while True:
            found, index, vector, distance = _find(lattice, heights, frac, site, radius, index, vector, distance)
            counted = 0.0
            coincident = 0.0
            n = 0
            for i in range(found):
                if distance[i] < SAME_PLACE:
                    coincident += occupancies[index[i]]
                    continue
                counted += occupancies[index[i]]
                index[n], distance[n] = index[i], distance[i]
                vector[n] = vector[i]
                n += 1
            if coincident > 1 + 1e-6:
                return COINCIDENT_SITES
            if counted >= edges[n_shells] or radius >= FAR:
                break
            radius = min(FAR, 1.2 * radius)
        occupancy, ratio = np.empty(n), np.empty(n)
        for i in range(n):
            occupancy[i] = occupancies[index[i]]
            ratio[i] = distance[i] / (radii[site] + radii[index[i]])
        out = sites[site]
        _shell_means(distance, occupancy, n, edges, out[:n_shells])
        if n == 0:
            continue
        weight = np.empty((N_WEIGHTS, n))
        _effective_coordination(ratio, occupancy, n, weight[0])
        for i in range(n):
            other = index[i]
            bond = radii[site] + radii[other]
            inside = max(0.0, 1 - (distance[i] / NEAR) ** 2) ** 2
            valence = inside * math.exp((bond - distance[i]) / BOND_SOFTNESS)
            weight[1, i] = occupancy[i] * valence
            weight[2, i] = occupancy[i] * inside * (bond / distance[i]) ** 4
            for k in range(N_SPRINGS):
                decay = valence if k != 2 else inside * (bond / distance[i]) ** 6
                stiffness = occupancies[site] * occupancy[i] * decay * strengths[site, k] * strengths[other, k]
                total_stiffness[k] += stiffness
                if stiffness > 0:
                    _add_spring(stiffness, vector[i], distance[i], site, other, volume, elastic[k, 0], hessian[k], coupling[k])
        strongest = 0.0
        for i in range(n):
            strongest = max(strongest, weight[1, i])
        for i in range(n):
            for j in range(i):
                both = (weight[1, i] - WEAK_BOND * strongest) * (weight[1, j] - WEAK_BOND * strongest)
                if weight[1, i] <= WEAK_BOND * strongest or weight[1, j] <= WEAK_BOND * strongest:
                    continue
                last = N_SPRINGS - 1
                strength = strengths[site, last] * math.sqrt(strengths[index[i], last] * strengths[index[j], last])
                stiffness = BENDING * occupancies[site] * math.sqrt(both) * strength / (distance[i] * distance[j])
                total_stiffness[last] += 4 * stiffness * distance[i] * distance[j]
                _add_bending(
                    stiffness,
                    vector[i],
                    vector[j],
                    site,
                    index[i],
                    index[j],
                    volume,
                    elastic[last, 0],
                    hessian[last],
                    coupling[last],
                )
        column = n_shells
        for k in range(N_WEIGHTS):
            total = 0.0
            for i in range(n):
                w = weight[k, i]
                if w <= 0:
                    continue
                total += w
                out[column + 1] += w * ratio[i]
                for p in range(n_properties):
                    value = properties[index[i], p]
                    out[column + 2 + p] += w * value
                    out[column + 2 + n_properties + p] += w * abs(value - properties[site, p])
            out[column] = total
            if total > 0:
                for j in range(column + 1, column + 2 + 2 * n_properties):
                    out[j] /= total
            column += 2 + 2 * n_properties
        for i in range(n):
            step = electronegativities[index[i]] - electronegativities[site]
            ionic = 1 - math.exp(-0.25 * step * step)
            out[column] += weight[1, i] * ionic * (1 if step > 0 else -1)
            out[column + 1] += weight[1, i] * ionic
        _orientational_order(vector, distance, weight[0], n, out[column + 2 :])
    for k in range(N_SPRINGS):
        elastic[k, 1] = _relaxed(elastic[k, 0], hessian[k], coupling[k], total_stiffness[k], volume)
    return OK


@jit
def quantile_means(values, weights, offsets, out):
    """Fill the means of each crystal's distribution of site values between equidistant quantiles.

    Parameters
    ----------
    values : (S, F); weights : (S,); offsets : (N + 1,)
        Values and weights of all sites; crystal i has the sites offsets[i]:offsets[i + 1].
    out : (N, F, Q)
        Filled, ascending along the last axis. The mean absolute difference of two crystals' rows is a lower bound of the
        Wasserstein-1 distance of their distributions, and tends to it as Q grows.
    """
    n_quantiles = out.shape[2]
    for i in range(out.shape[0]):
        first, last = offsets[i], offsets[i + 1]
        total = weights[first:last].sum()
        for f in range(out.shape[1]):
            ascending, share = values[first:last, f].copy(), weights[first:last] / total * n_quantiles
            _sort_with_rank(ascending, share)
            filled, q = 0.0, 0
            for j in range(n_quantiles):
                out[i, f, j] = 0.0
            for rank in range(last - first):
                left = share[rank]
                while left > 1e-12 and q < n_quantiles:
                    part = min(left, 1 - filled)
                    out[i, f, q] += part * ascending[rank]
                    filled += part
                    left -= part
                    if filled > 1 - 1e-9:
                        q += 1
                        filled = 0.0
            if q < n_quantiles and filled > 0:
                out[i, f, q] /= filled
