"""Neighbour distances, and the GRID made from them.

Everything that reaches from a crystal's arrays to its histogram stands in this one file, since numba's cache notices a change only
in the file of the kernel that was called.

For each site the neighbours are enumerated line by line: in a reduced cell, written as a lower triangular matrix, the images inside
a sphere form an interval on every line along the shortest edge, so no image outside the sphere is looked at (Fincke and Pohst, 1985,
10.1090/S0025-5718-1985-0777278-8). Cells of many sites use linked cells instead, so that the cost of a site does not grow with the
size of the cell. The sphere holds just enough neighbours for the groups asked for and grows where a site needs more.
"""

from __future__ import annotations

import math

import numpy as np

from matminer_grid.kernels._jit import jit

EDGE_TOLERANCE = 1e-8
"""Å. A distance less than this below the edge of a bin counts as on it; sites closer than this coincide."""

SAME_DISTANCE = 1e-12
"""Å. Distances that differ by less share one Gaussian."""

TAIL = 8.5
"""Standard deviations after which a Gaussian holds nothing in double precision."""

LINKED_CELLS_FROM = 64
"""Number of sites from which on linked cells are used."""

COUNT_TOLERANCE = 1e-9
"""Cumulative occupancies this close to a whole number are that number."""

OCCUPANCY_TOLERANCE = 1e-6
"""Rounding that the occupancy of coincident sites may exceed 1 by."""

OK = 0
COINCIDENT_SITES = 1


@jit
def reduce_cell(lattice, frac_coords):
    """Shorten the lattice vectors pairwise, order them by length, and give the sites' coordinates in that cell, in [0, 1)."""
    lattice = lattice.copy()
    frac = frac_coords.copy()
    for _ in range(1000):
        shortened = False
        for i in range(3):
            for j in range(3):
                if i == j:
                    continue
                steps = np.rint(np.sum(lattice[i] * lattice[j]) / np.sum(lattice[j] ** 2))
                if steps != 0:
                    vector = lattice[i] - steps * lattice[j]
                    if np.sum(vector**2) < (1 - 1e-12) * np.sum(lattice[i] ** 2):
                        lattice[i] = vector
                        frac[:, j] += steps * frac[:, i]
                        shortened = True
        if not shortened:
            break
    order = np.argsort(np.array([np.sum(lattice[i] ** 2) for i in range(3)]))
    lattice = lattice[order]
    frac = frac[:, order]
    for site in range(frac.shape[0]):
        for i in range(3):
            frac[site, i] -= np.floor(frac[site, i])
    return lattice, frac


@jit
def lower_triangular(lattice):
    """Rotate the lattice so that its first vector lies along x and its second in the xy plane."""
    out = np.zeros((3, 3))
    basis = np.zeros((3, 3))
    for i in range(3):
        vector = lattice[i].copy()
        for j in range(i):
            out[i, j] = np.sum(lattice[i] * basis[j])
            vector -= out[i, j] * basis[j]
        out[i, i] = math.sqrt(np.sum(vector**2))
        basis[i] = vector / out[i, i]
    return out


@jit
def _neighbors_by_lines(cell, frac, occupancies, site, radius, distances, weights):
    """Append every neighbour of a site within the radius; the buffers grow as needed. Gives count and buffers."""
    a, b, b_x = cell[0, 0], cell[1, 1], cell[1, 0]
    c, c_x, c_y = cell[2, 2], cell[2, 0], cell[2, 1]
    limit = radius * radius
    n = 0
    for other in range(frac.shape[0]):
        f_x = frac[other, 0] - frac[site, 0]
        f_y = frac[other, 1] - frac[site, 1]
        f_z = frac[other, 2] - frac[site, 2]
        for n_z in range(math.ceil(-radius / c - f_z), math.floor(radius / c - f_z) + 1):
            z = f_z + n_z
            left = limit - (c * z) ** 2
            if left < 0:
                continue
            half = math.sqrt(left) / b
            shift = f_y + c_y / b * z
            for n_y in range(math.ceil(-half - shift), math.floor(half - shift) + 1):
                y = f_y + n_y
                across = (c * z) ** 2 + (b * y + c_y * z) ** 2
                if across > limit:
                    continue
                half_line = math.sqrt(limit - across) / a
                start = f_x + (b_x * y + c_x * z) / a
                first = math.ceil(-half_line - start)
                last = math.floor(half_line - start)
                while n + last - first + 1 > distances.size:
                    distances = np.concatenate((distances, np.empty_like(distances)))
                    weights = np.concatenate((weights, np.empty_like(weights)))
                for n_x in range(first, last + 1):
                    x = a * (start + n_x)
                    distances[n] = math.sqrt(x * x + across)
                    weights[n] = occupancies[other]
                    n += 1
    return n, distances, weights


@jit
def _link_cells(cell, frac, radius):
    """Sort the sites into a grid of boxes about half a radius wide. Gives the grid's shape, its offsets and the sites by box."""
    shape = np.empty(3, np.int64)
    volume = cell[0, 0] * cell[1, 1] * cell[2, 2]
    for i in range(3):
        normal = np.cross(cell[(i + 1) % 3], cell[(i + 2) % 3])
        height = volume / math.sqrt(np.sum(normal**2))
        shape[i] = max(1, min(int(2 * height / radius), frac.shape[0]))
    while shape[0] * shape[1] * shape[2] > 4 * frac.shape[0]:
        shape[np.argmax(shape)] = (np.max(shape) + 1) // 2
    box = np.empty(frac.shape[0], np.int64)
    for site in range(frac.shape[0]):
        index = 0
        for i in range(3):
            index = index * shape[i] + min(int(frac[site, i] * shape[i]), shape[i] - 1)
        box[site] = index
    offsets = np.zeros(shape[0] * shape[1] * shape[2] + 1, np.int64)
    for site in range(frac.shape[0]):
        offsets[box[site] + 1] += 1
    offsets = np.cumsum(offsets)
    return shape, offsets, np.argsort(box, kind="mergesort")


@jit
def _neighbors_by_linked_cells(cell, frac, occupancies, site, radius, shape, offsets, members, distances, weights):
    """Do the same as _neighbors_by_lines with the boxes of _link_cells."""
    limit = radius * radius
    volume = cell[0, 0] * cell[1, 1] * cell[2, 2]
    reach = np.empty(3, np.int64)
    home = np.empty(3, np.int64)
    for i in range(3):
        normal = np.cross(cell[(i + 1) % 3], cell[(i + 2) % 3])
        reach[i] = math.ceil(radius * shape[i] * math.sqrt(np.sum(normal**2)) / volume)
        home[i] = min(int(frac[site, i] * shape[i]), shape[i] - 1)
    n = 0
    for step_x in range(home[0] - reach[0], home[0] + reach[0] + 1):
        image_x = math.floor(step_x / shape[0])
        for step_y in range(home[1] - reach[1], home[1] + reach[1] + 1):
            image_y = math.floor(step_y / shape[1])
            for step_z in range(home[2] - reach[2], home[2] + reach[2] + 1):
                image_z = math.floor(step_z / shape[2])
                box = (step_x - image_x * shape[0]) * shape[1] + step_y - image_y * shape[1]
                box = box * shape[2] + step_z - image_z * shape[2]
                while n + offsets[box + 1] - offsets[box] > distances.size:
                    distances = np.concatenate((distances, np.empty_like(distances)))
                    weights = np.concatenate((weights, np.empty_like(weights)))
                for position in range(offsets[box], offsets[box + 1]):
                    other = members[position]
                    f_x = frac[other, 0] - frac[site, 0] + image_x
                    f_y = frac[other, 1] - frac[site, 1] + image_y
                    f_z = frac[other, 2] - frac[site, 2] + image_z
                    x = cell[0, 0] * f_x + cell[1, 0] * f_y + cell[2, 0] * f_z
                    y = cell[1, 1] * f_y + cell[2, 1] * f_z
                    z = cell[2, 2] * f_z
                    squared = x * x + y * y + z * z
                    if squared <= limit:
                        distances[n] = math.sqrt(squared)
                        weights[n] = occupancies[other]
                        n += 1
    return n, distances, weights


@jit
def _without_self(n, distances, weights, occupancy):
    """Drop what lies at zero distance, the site itself among it. Gives the new count and the occupancy of coincident sites."""
    kept = 0
    coincident = 0.0
    for i in range(n):
        if distances[i] < EDGE_TOLERANCE:
            coincident += weights[i]
        else:
            distances[kept] = distances[i]
            weights[kept] = weights[i]
            kept += 1
    return kept, coincident


@jit
def _first_radius(volume, total_occupancy, n_groups, longest):
    """Radius of the sphere that holds n_groups neighbours at mean density, and a little more."""
    if n_groups * volume / total_occupancy > 4 * longest**3:
        return longest
    return min(longest, 1.12 * (0.75 / math.pi * (n_groups + 1) * volume / total_occupancy) ** (1 / 3))


@jit
def _nearest_bin(distance, edges):
    """Bin of a distance, by the rule of EDGE_TOLERANCE; len(edges) - 1 or more lies beyond the last edge."""
    shifted = distance + EDGE_TOLERANCE
    bin_size = edges[1] - edges[0]
    index = min(int(shifted / bin_size), edges.size - 1)
    if shifted < edges[index]:
        return index - 1
    if index + 1 < edges.size and shifted >= edges[index + 1]:
        return index + 1
    return index


@jit
def _snap(count):
    whole = np.rint(count)
    return whole if abs(count - whole) < COUNT_TOLERANCE else count


@jit
def _spread(cumulative, occupancy, weight, n_groups, values, first_bin, n_values, out):
    """Add a neighbour (or a bin of neighbours) to the groups that its interval of cumulative occupancy covers."""
    upper = _snap(cumulative + occupancy)
    group = int(cumulative)
    while group < upper and group < n_groups:
        part = weight * (min(group + 1.0, upper) - max(float(group), cumulative))
        for i in range(n_values):
            out[group, first_bin + i] += part * values[i]
        group += 1
    return upper


@jit
def _gaussian_bins(distance, smearing, edges, values):
    """Integrate a Gaussian over each bin; what lies below zero goes to the first bin. Gives first bin and number of bins."""
    n_bins = edges.size - 1
    bin_size = edges[1] - edges[0]
    first = max(0, int((distance - TAIL * smearing) / bin_size) - 1)
    last = min(n_bins, int((distance + TAIL * smearing) / bin_size) + 1)
    if first >= last:
        return 0, 0
    scale = 1 / (math.sqrt(2.0) * smearing)
    below = -1.0 if first == 0 else math.erf((edges[first] - distance) * scale)
    for i in range(first, last):
        above = math.erf((edges[i + 1] - distance) * scale)
        values[i - first] = 0.5 * (above - below)
        below = above
    return first, last - first


@jit
def _site_histogram(distances, weights, n, weight, edges, n_groups, counts, one, out):
    """Add one site's neighbours to the groups. The order within a bin doesn't matter, so nothing is sorted."""
    n_bins = edges.size - 1
    counts[:] = 0.0
    for i in range(n):
        index = _nearest_bin(distances[i], edges)
        if index < n_bins:
            counts[index] += weights[i]
    cumulative = 0.0
    for index in range(n_bins):
        if counts[index] > 0:
            cumulative = _spread(cumulative, counts[index], weight, n_groups, one, index, 1, out)
            if cumulative >= n_groups:
                break


@jit
def _site_gaussians(distances, weights, n, weight, edges, n_groups, smearing, values, out):
    """Add one site's neighbours to the groups, each as a Gaussian."""
    order = np.argsort(distances[:n])
    cumulative = 0.0
    previous = -1.0
    first, n_values = 0, 0
    for i in order:
        if distances[i] - previous > SAME_DISTANCE:
            previous = distances[i]
            first, n_values = _gaussian_bins(previous, smearing, edges, values)
        cumulative = _spread(cumulative, weights[i], weight, n_groups, values, first, n_values, out)
        if cumulative >= n_groups:
            break


@jit
def neighbors(cell, frac, occupancies, site, needed, radius, longest, linked, shape, offsets, members, distances, weights):
    """Find the neighbours of a site until their occupancies add up to what is needed or the longest radius is reached.

    Gives count, buffers, the radius reached and the occupancy on the site's own point.
    """
    while True:
        if linked:
            n, distances, weights = _neighbors_by_linked_cells(
                cell, frac, occupancies, site, radius, shape, offsets, members, distances, weights
            )
        else:
            n, distances, weights = _neighbors_by_lines(cell, frac, occupancies, site, radius, distances, weights)
        n, coincident = _without_self(n, distances, weights, occupancies[site])
        if radius >= longest or weights[:n].sum() >= needed - COUNT_TOLERANCE:
            return n, distances, weights, radius, coincident
        radius = min(longest, 1.15 * radius)


@jit
def _crystal_grid(lattice, frac_coords, occupancies, edges, n_groups, smearing, out):
    """Fill one crystal's (n_groups, n_bins) array; gives OK or what is wrong with the crystal."""
    reduced, frac = reduce_cell(lattice, frac_coords)
    cell = lower_triangular(reduced)
    n_bins = edges.size - 1
    out[:] = 0.0
    total = occupancies.sum()
    # beyond the longest radius nothing can reach a bin
    longest = edges[n_bins] + (TAIL * smearing if smearing > 0 else 0.0)
    radius = _first_radius(cell[0, 0] * cell[1, 1] * cell[2, 2], total, n_groups, longest)
    linked = frac.shape[0] >= LINKED_CELLS_FROM
    shape, offsets, members = np.ones(3, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64)
    if linked:
        shape, offsets, members = _link_cells(cell, frac, radius)
    distances, weights = np.empty(512), np.empty(512)
    counts, values, one = np.empty(n_bins), np.empty(n_bins), np.ones(1)
    for site in range(frac.shape[0]):
        n, distances, weights, _, coincident = neighbors(
            cell, frac, occupancies, site, n_groups, radius, longest, linked, shape, offsets, members, distances, weights
        )
        if coincident > 1 + OCCUPANCY_TOLERANCE:
            return COINCIDENT_SITES
        weight = occupancies[site] / total
        if smearing > 0:
            _site_gaussians(distances, weights, n, weight, edges, n_groups, smearing, values, out)
        else:
            _site_histogram(distances, weights, n, weight, edges, n_groups, counts, one, out)
    return OK


@jit
def grid_batch(lattices, site_offsets, frac_coords, occupancies, edges, n_groups, smearing, out, status):
    """Fill the GRIDs of many crystals.

    Parameters
    ----------
    lattices : (N, 3, 3); site_offsets : (N + 1,); frac_coords : (S, 3); occupancies : (S,)
        The crystals; occupancies are total ones of each site.
    edges : (n_bins + 1,)
        Edges of the bins in Å.
    n_groups : int
    smearing : float
        Standard deviation in Å; 0 for none.
    out : (N, n_groups, n_bins)
        Filled with the fraction of sites.
    status : (N,) of int
        Filled with OK or COINCIDENT_SITES.
    """
    for i in range(lattices.shape[0]):
        sites = slice(site_offsets[i], site_offsets[i + 1])
        status[i] = _crystal_grid(lattices[i], frac_coords[sites], occupancies[sites], edges, n_groups, smearing, out[i])


@jit
def rdf_batch(lattices, site_offsets, frac_coords, occupancies, edges, out, status):
    """Fill the mean number of neighbours of a site in each bin, over all groups; arguments as for grid_batch, out (N, n_bins)."""
    n_bins = edges.size - 1
    distances, weights = np.empty(4096), np.empty(4096)
    for i in range(lattices.shape[0]):
        sites = slice(site_offsets[i], site_offsets[i + 1])
        occupancy = occupancies[sites]
        reduced, frac = reduce_cell(lattices[i], frac_coords[sites])
        cell = lower_triangular(reduced)
        linked = frac.shape[0] >= LINKED_CELLS_FROM
        shape, offsets, members = np.ones(3, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64)
        if linked:
            shape, offsets, members = _link_cells(cell, frac, edges[n_bins])
        out[i] = 0.0
        status[i] = OK
        for site in range(frac.shape[0]):
            n, distances, weights, _, coincident = neighbors(
                cell,
                frac,
                occupancy,
                site,
                np.inf,
                edges[n_bins],
                edges[n_bins],
                linked,
                shape,
                offsets,
                members,
                distances,
                weights,
            )
            if coincident > 1 + OCCUPANCY_TOLERANCE:
                status[i] = COINCIDENT_SITES
                break
            weight = occupancy[site] / occupancy.sum()
            for j in range(n):
                index = _nearest_bin(distances[j], edges)
                if index < n_bins:
                    out[i, index] += weight * weights[j]


@jit
def ranked_distances(lattice, frac_coords, occupancies, n_groups, cutoff):
    """List what each group is made of, before any binning.

    Gives arrays of one length, group by site's neighbour: group (from 0), distance in Å, and the fraction of sites; and the status.
    Distances at or beyond the cutoff are left out.
    """
    reduced, frac = reduce_cell(lattice, frac_coords)
    cell = lower_triangular(reduced)
    linked = frac.shape[0] >= LINKED_CELLS_FROM
    total = occupancies.sum()
    radius = _first_radius(cell[0, 0] * cell[1, 1] * cell[2, 2], total, n_groups, cutoff)
    shape, offsets, members = np.ones(3, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64)
    if linked:
        shape, offsets, members = _link_cells(cell, frac, radius)
    distances, weights = np.empty(512), np.empty(512)
    groups, ranked, parts = np.empty(1024, np.int64), np.empty(1024), np.empty(1024)
    size = 0
    for site in range(frac.shape[0]):
        n, distances, weights, _, coincident = neighbors(
            cell, frac, occupancies, site, n_groups, radius, cutoff, linked, shape, offsets, members, distances, weights
        )
        if coincident > 1 + OCCUPANCY_TOLERANCE:
            return groups[:0], ranked[:0], parts[:0], COINCIDENT_SITES
        cumulative = 0.0
        for i in np.argsort(distances[:n]):
            if distances[i] >= cutoff or cumulative >= n_groups:
                break
            upper = _snap(cumulative + weights[i])
            group = int(cumulative)
            while group < upper and group < n_groups:
                if size == groups.size:
                    groups = np.concatenate((groups, np.empty_like(groups)))
                    ranked = np.concatenate((ranked, np.empty_like(ranked)))
                    parts = np.concatenate((parts, np.empty_like(parts)))
                groups[size] = group
                ranked[size] = distances[i]
                parts[size] = occupancies[site] / total * (min(group + 1.0, upper) - max(float(group), cumulative))
                size += 1
                group += 1
            cumulative = upper
    return groups[:size], ranked[:size], parts[:size], OK
