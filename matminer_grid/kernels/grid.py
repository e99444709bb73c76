"""Neighbour distances, and the GRID made from them.

Everything that reaches from a crystal's arrays to its histogram stands in this one file, since numba's cache notices a change only
in the file of the kernel that was called.

In a reduced cell, written as a lower triangular matrix, the translations that can bring any site within reach of any other are
listed once; each pair of sites then runs over that list without branches. Cells of many sites use linked cells instead, so that the
cost of a site does not grow with the size of the cell. The sphere holds just enough neighbours for the groups asked for, at mean
density, and grows where a site needs more.
"""

from __future__ import annotations

import math

import numpy as np

from matminer_grid.kernels._jit import jit
from matminer_grid.kernels._normal import CDF_NODES, LAST_NODE, NODES_PER_UNIT, PDF_NODES, TAIL

EDGE_TOLERANCE = 1e-8
"""Å. A distance less than this below the edge of a bin counts as on it; sites closer than this coincide."""

SAME_DISTANCE = 1e-12
"""Å. Distances that differ by less share one Gaussian."""

LINKED_CELLS_FROM = 128
"""Number of sites from which on linked cells are used."""

COUNT_TOLERANCE = 1e-9
"""Cumulative occupancies this close to a whole number are that number."""

OCCUPANCY_TOLERANCE = 1e-6
"""Rounding that the occupancy of coincident sites may exceed 1 by."""

MAX_NEIGHBORS = 20_000_000
"""Neighbours of a site that a search may have to hold, at mean density; buffers take some 32 bytes for each."""

OK = 0
COINCIDENT_SITES = 1
TOO_MANY_NEIGHBORS = 2
PROBLEMS = {
    COINCIDENT_SITES: "two sites lie on the same point and their occupancies add up to more than 1; "
    "remove one, or make the occupancies add up to 1",
    TOO_MANY_NEIGHBORS: f"a site has more than {MAX_NEIGHBORS:,} neighbours within reach, the limit; "
    "check that the lattice is in Å, or take a smaller cutoff or fewer groups",
}
"""What is wrong with a crystal, by the status that a kernel gives for it."""


@jit
def _dot(u, v):
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


@jit
def reduce_cell(lattice, frac_coords):
    """Shorten the lattice vectors pairwise, order them by length, and give the sites' coordinates in that cell, in [0, 1)."""
    lattice = lattice.copy()
    frac = frac_coords.copy()
    n_sites = frac.shape[0]
    for _ in range(1000):
        shortened = False
        for i in range(3):
            for j in range(3):
                if i == j:
                    continue
                before = _dot(lattice[i], lattice[i])
                overlap = _dot(lattice[i], lattice[j])
                squared = _dot(lattice[j], lattice[j])
                steps = np.rint(overlap / squared)
                if steps != 0 and before - 2 * steps * overlap + steps * steps * squared < (1 - 1e-12) * before:
                    for k in range(3):
                        lattice[i, k] -= steps * lattice[j, k]
                    for site in range(n_sites):
                        frac[site, j] += steps * frac[site, i]
                    shortened = True
        if not shortened:
            break
    for i, j in ((0, 1), (1, 2), (0, 1)):
        if _dot(lattice[i], lattice[i]) > _dot(lattice[j], lattice[j]):
            for k in range(3):
                lattice[i, k], lattice[j, k] = lattice[j, k], lattice[i, k]
            for site in range(n_sites):
                frac[site, i], frac[site, j] = frac[site, j], frac[site, i]
    for site in range(n_sites):
        for i in range(3):
            frac[site, i] -= math.floor(frac[site, i])
    return lattice, frac


@jit
def lower_triangular(lattice):
    """Rotate the lattice so that its first vector lies along x and its second in the xy plane."""
    out = np.zeros((3, 3))
    basis = lattice.copy()
    for i in range(3):
        for j in range(i):
            out[i, j] = _dot(lattice[i], basis[j])
            for k in range(3):
                basis[i, k] -= out[i, j] * basis[j, k]
        out[i, i] = math.sqrt(_dot(basis[i], basis[i]))
        for k in range(3):
            basis[i, k] /= out[i, i]
    return out


@jit
def _heights(cell):
    """Distances between opposite faces of a lower triangular cell: the inverse lengths of its reciprocal vectors."""
    a, b, c = cell[0, 0], cell[1, 1], cell[2, 2]
    across = cell[1, 0] / (a * b)
    along = (cell[1, 0] * cell[2, 1] - b * cell[2, 0]) / (a * b * c)
    heights = np.empty(3)
    heights[0] = 1 / math.sqrt(1 / (a * a) + across * across + along * along)
    heights[1] = 1 / math.sqrt(1 / (b * b) + (cell[2, 1] / (b * c)) ** 2)
    heights[2] = c
    return heights


@jit
def _longer(size, values):
    """Copy an array into one of at least the size, and twice as long."""
    longer = np.empty(max(size, 2 * values.size), values.dtype)
    for i in range(values.size):
        longer[i] = values[i]
    return longer


@jit
def _sort_by_distance(distances, weights, n, longest):
    """Sort the first n distances in place, their weights with them: into boxes of equal numbers, then by insertion."""
    boxes = np.zeros(n + 2, np.int64)
    index = np.empty(n, np.int64)
    per_volume = n / longest**3
    for i in range(n):
        index[i] = min(int(distances[i] ** 3 * per_volume), n)
        boxes[index[i] + 1] += 1
    for i in range(1, n + 2):
        boxes[i] += boxes[i - 1]
    unsorted_distances, unsorted_weights = distances[:n].copy(), weights[:n].copy()
    for i in range(n):
        position = boxes[index[i]]
        boxes[index[i]] += 1
        distances[position] = unsorted_distances[i]
        weights[position] = unsorted_weights[i]
    for i in range(1, n):
        distance, weight = distances[i], weights[i]
        j = i
        while j > 0 and distances[j - 1] > distance:
            distances[j] = distances[j - 1]
            weights[j] = weights[j - 1]
            j -= 1
        distances[j] = distance
        weights[j] = weight


@jit
def translations(cell, radius):
    """List the lattice translations that can bring a site within the radius of another: an array of shape (3, n), in Å.

    The difference of two sites is taken between -1/2 and 1/2 of each edge, so it fits into a box, and into a sphere around it.
    """
    half_x = 0.5 * (cell[0, 0] + abs(cell[1, 0]) + abs(cell[2, 0]))
    half_y = 0.5 * (cell[1, 1] + abs(cell[2, 1]))
    half_z = 0.5 * cell[2, 2]
    reach_x, reach_y, reach_z = radius + half_x, radius + half_y, radius + half_z
    limit = (radius + math.sqrt(half_x**2 + half_y**2 + half_z**2)) ** 2
    out = np.empty((3, 256))
    n = 0
    for n_z in range(math.ceil(-reach_z / cell[2, 2]), math.floor(reach_z / cell[2, 2]) + 1):
        z = n_z * cell[2, 2]
        shift_y = n_z * cell[2, 1]
        for n_y in range(math.ceil((-reach_y - shift_y) / cell[1, 1]), math.floor((reach_y - shift_y) / cell[1, 1]) + 1):
            y = shift_y + n_y * cell[1, 1]
            shift_x = n_z * cell[2, 0] + n_y * cell[1, 0]
            for n_x in range(math.ceil((-reach_x - shift_x) / cell[0, 0]), math.floor((reach_x - shift_x) / cell[0, 0]) + 1):
                x = shift_x + n_x * cell[0, 0]
                if x * x + y * y + z * z > limit:
                    continue
                if n == out.shape[1]:
                    longer = np.empty((3, 2 * n))
                    for i in range(3):
                        for j in range(n):
                            longer[i, j] = out[i, j]
                    out = longer
                out[0, n], out[1, n], out[2, n] = x, y, z
                n += 1
    return out[:, :n].copy()


@jit
def _neighbors_by_translations(cell, frac, occupancies, site, radius, shifts, distances, weights):
    """Find every neighbour of a site within the radius; the buffers grow as needed.

    Gives the count, the sum of their occupancies, the occupancy at zero distance (the site's own included) and the buffers.
    """
    limit, zero = radius * radius, EDGE_TOLERANCE * EDGE_TOLERANCE
    n_shifts = shifts.shape[1]
    if frac.shape[0] * n_shifts > distances.size:
        distances = np.empty(2 * frac.shape[0] * n_shifts)
        weights = np.empty(2 * frac.shape[0] * n_shifts)
    squares = np.empty(n_shifts)
    n = 0
    found = 0.0
    coincident = 0.0
    for other in range(frac.shape[0]):
        f_x = frac[other, 0] - frac[site, 0]
        f_y = frac[other, 1] - frac[site, 1]
        f_z = frac[other, 2] - frac[site, 2]
        f_x -= np.rint(f_x)
        f_y -= np.rint(f_y)
        f_z -= np.rint(f_z)
        x = cell[0, 0] * f_x + cell[1, 0] * f_y + cell[2, 0] * f_z
        y = cell[1, 1] * f_y + cell[2, 1] * f_z
        z = cell[2, 2] * f_z
        for i in range(n_shifts):
            squares[i] = (x + shifts[0, i]) ** 2 + (y + shifts[1, i]) ** 2 + (z + shifts[2, i]) ** 2
        before = n
        for i in range(n_shifts):
            distances[n] = squares[i]
            n += (squares[i] <= limit) & (squares[i] >= zero)
            if squares[i] < zero:
                coincident += occupancies[other]
        for i in range(before, n):
            weights[i] = occupancies[other]
        found += occupancies[other] * (n - before)
    for i in range(n):
        distances[i] = math.sqrt(distances[i])
    return n, found, coincident, distances, weights


@jit
def _link_cells(cell, frac, occupancies, radius):
    """Sort the sites into a grid of boxes about half a radius wide.

    Gives the sites by box, position in Å and occupancy, as an array of shape (4, n), the grid's shape and its boxes' offsets.
    """
    n_sites = frac.shape[0]
    heights = _heights(cell)
    shape = np.empty(3, np.int64)
    for i in range(3):
        shape[i] = max(1, min(int(2 * heights[i] / radius), n_sites))
    while shape[0] * shape[1] * shape[2] > 4 * n_sites:
        widest = 0
        for i in range(1, 3):
            if shape[i] > shape[widest]:
                widest = i
        shape[widest] = (shape[widest] + 1) // 2
    box = np.empty(n_sites, np.int64)
    offsets = np.zeros(shape[0] * shape[1] * shape[2] + 1, np.int64)
    for site in range(n_sites):
        index = 0
        for i in range(3):
            index = index * shape[i] + min(int(frac[site, i] * shape[i]), shape[i] - 1)
        box[site] = index
        offsets[index + 1] += 1
    for i in range(1, offsets.size):
        offsets[i] += offsets[i - 1]
    filled = offsets.copy()
    members = np.empty((4, n_sites))
    for site in range(n_sites):
        place = filled[box[site]]
        filled[box[site]] += 1
        for i in range(3):
            members[i, place] = frac[site, 0] * cell[0, i] + frac[site, 1] * cell[1, i] + frac[site, 2] * cell[2, i]
        members[3, place] = occupancies[site]
    return members, shape, offsets


@jit
def _neighbors_by_linked_cells(cell, frac, site, radius, members, shape, offsets, distances, weights):
    """Do the same as _neighbors_by_translations with the boxes of _link_cells, whole columns of them at a time."""
    limit, zero = radius * radius, EDGE_TOLERANCE * EDGE_TOLERANCE
    heights = _heights(cell)
    reach = np.empty(3, np.int64)
    home = np.empty(3, np.int64)
    own = np.empty(3)
    for i in range(3):
        reach[i] = math.ceil(radius * shape[i] / heights[i])
        home[i] = min(int(frac[site, i] * shape[i]), shape[i] - 1)
        own[i] = frac[site, 0] * cell[0, i] + frac[site, 1] * cell[1, i] + frac[site, 2] * cell[2, i]
    squares = np.empty(members.shape[1])
    n = 0
    found = 0.0
    coincident = 0.0
    for step_x in range(home[0] - reach[0], home[0] + reach[0] + 1):
        image_x = step_x // shape[0]
        for step_y in range(home[1] - reach[1], home[1] + reach[1] + 1):
            image_y = step_y // shape[1]
            column = ((step_x - image_x * shape[0]) * shape[1] + step_y - image_y * shape[1]) * shape[2]
            step_z = home[2] - reach[2]
            while step_z <= home[2] + reach[2]:
                image_z = step_z // shape[2]
                bottom = step_z - image_z * shape[2]
                top = min(shape[2], bottom + home[2] + reach[2] - step_z + 1)
                step_z += top - bottom
                start, stop = offsets[column + bottom], offsets[column + top]
                x = image_x * cell[0, 0] + image_y * cell[1, 0] + image_z * cell[2, 0] - own[0]
                y = image_y * cell[1, 1] + image_z * cell[2, 1] - own[1]
                z = image_z * cell[2, 2] - own[2]
                if n + stop - start > distances.size:
                    distances = _longer(n + stop - start, distances)
                    weights = _longer(n + stop - start, weights)
                for i in range(start, stop):
                    squares[i] = (members[0, i] + x) ** 2 + (members[1, i] + y) ** 2 + (members[2, i] + z) ** 2
                before = n
                for i in range(start, stop):
                    distances[n] = squares[i]
                    weights[n] = members[3, i]
                    n += (squares[i] <= limit) & (squares[i] >= zero)
                    if squares[i] < zero:
                        coincident += members[3, i]
                for i in range(before, n):
                    found += weights[i]
    for i in range(n):
        distances[i] = math.sqrt(distances[i])
    return n, found, coincident, distances, weights


@jit
def _first_radius(volume, total_occupancy, n_groups, longest):
    """Radius of the sphere that holds n_groups neighbours at mean density, and a little more."""
    if n_groups * volume / total_occupancy > 4 * longest**3:
        return longest
    return min(longest, 1.08 * (0.75 / math.pi * (n_groups + 1) * volume / total_occupancy) ** (1 / 3))


@jit
def _too_many(volume, n_sites, radius):
    return 4 / 3 * math.pi * radius**3 * (n_sites / volume) > MAX_NEIGHBORS


@jit
def _nearest_bin(distance, bin_size):
    """Bin of a distance, by the rule of EDGE_TOLERANCE; bin j is [j * bin_size, (j + 1) * bin_size)."""
    shifted = distance + EDGE_TOLERANCE
    index = int(shifted / bin_size)
    return index - (shifted < index * bin_size) + (shifted >= (index + 1) * bin_size)


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
def _normal_cdf(t):
    """Cumulative normal distribution to double precision: Taylor's series of five terms from the nearest node of a table."""
    node = min(max(int(np.rint(t * NODES_PER_UNIT)), -LAST_NODE), LAST_NODE)
    x = node / NODES_PER_UNIT
    h = min(max(t - x, -1.0), 1.0)
    series = (x * x * (x * x - 6) + 3) * h / 120 - x * (x * x - 3) / 24
    series = ((series * h + (x * x - 1) / 6) * h - x / 2) * h + 1
    return CDF_NODES[node + LAST_NODE] + PDF_NODES[node + LAST_NODE] * h * series


@jit
def _gaussian_bins(distance, smearing, bin_size, values):
    """Integrate a Gaussian over each bin; what lies below zero goes to the first bin. Gives first bin and number of bins."""
    first = max(0, int((distance - TAIL * smearing) / bin_size) - 1)
    last = min(values.size, int((distance + TAIL * smearing) / bin_size) + 1)
    if first >= last:
        return 0, 0
    below = 0.0 if first == 0 else _normal_cdf((first * bin_size - distance) / smearing)
    for i in range(first, last):
        above = _normal_cdf(((i + 1) * bin_size - distance) / smearing)
        values[i - first] = max(0.0, above - below)
        below = above
    return first, last - first


@jit
def _site_histogram(distances, weights, n, weight, bin_size, n_groups, counts, one, out):
    """Add one site's neighbours to the groups. The order within a bin doesn't matter, so nothing is sorted."""
    n_bins = counts.size
    counts[:] = 0.0
    for i in range(n):
        index = _nearest_bin(distances[i], bin_size)
        if index < n_bins:
            counts[index] += weights[i]
    cumulative = 0.0
    for index in range(n_bins):
        if counts[index] > 0:
            cumulative = _spread(cumulative, counts[index], weight, n_groups, one, index, 1, out)
            if cumulative >= n_groups:
                break


@jit
def _site_gaussians(distances, weights, n, radius, weight, bin_size, n_groups, smearing, values, out):
    """Add one site's neighbours to the groups, each as a Gaussian."""
    _sort_by_distance(distances, weights, n, radius)
    cumulative = 0.0
    previous = -1.0
    first, n_values = 0, 0
    for i in range(n):
        if distances[i] - previous > SAME_DISTANCE:
            previous = distances[i]
            first, n_values = _gaussian_bins(previous, smearing, bin_size, values)
        cumulative = _spread(cumulative, weights[i], weight, n_groups, values, first, n_values, out)
        if cumulative >= n_groups:
            break


@jit
def _neighborhood(cell, frac, occupancies, radius):
    """Prepare the search: lattice translations for small cells, linked cells (of which there is at least one) for large ones."""
    if frac.shape[0] < LINKED_CELLS_FROM:
        return translations(cell, radius), np.zeros(3, np.int64), np.zeros(0, np.int64)
    return _link_cells(cell, frac, occupancies, radius)


@jit
def _neighbors(cell, frac, occupancies, site, needed, radius, longest, neighborhood, distances, weights):
    """Find the neighbours of a site until their occupancies add up to what is needed or the longest radius is reached.

    Gives the count, the occupancy at zero distance, the radius reached with its neighbourhood, and the buffers.
    """
    while True:
        points, shape, offsets = neighborhood
        if offsets.size == 0:
            n, found, coincident, distances, weights = _neighbors_by_translations(
                cell, frac, occupancies, site, radius, points, distances, weights
            )
        else:
            n, found, coincident, distances, weights = _neighbors_by_linked_cells(
                cell, frac, site, radius, points, shape, offsets, distances, weights
            )
        if radius >= longest or found >= needed - COUNT_TOLERANCE:
            return n, coincident, radius, neighborhood, distances, weights
        radius = min(longest, 1.15 * radius)
        neighborhood = _neighborhood(cell, frac, occupancies, radius)


@jit
def _crystal_grid(lattice, frac_coords, occupancies, bin_size, n_groups, smearing, out):
    """Fill one crystal's (n_groups, n_bins) array; gives OK or what is wrong with the crystal."""
    reduced, frac = reduce_cell(lattice, frac_coords)
    cell = lower_triangular(reduced)
    n_bins = out.shape[1]
    out[:] = 0.0
    total = occupancies.sum()
    # beyond the longest radius nothing can reach a bin
    longest = n_bins * bin_size + (TAIL * smearing if smearing > 0 else 0.0)
    volume = cell[0, 0] * cell[1, 1] * cell[2, 2]
    radius = _first_radius(volume, total, n_groups, longest)
    if _too_many(volume, frac.shape[0], radius):
        return TOO_MANY_NEIGHBORS
    neighborhood = _neighborhood(cell, frac, occupancies, radius)
    distances, weights = np.empty(512), np.empty(512)
    counts, values, one = np.empty(n_bins), np.empty(n_bins), np.ones(1)
    for site in range(frac.shape[0]):
        n, coincident, radius, neighborhood, distances, weights = _neighbors(
            cell, frac, occupancies, site, n_groups, radius, longest, neighborhood, distances, weights
        )
        if coincident > 1 + OCCUPANCY_TOLERANCE:
            return COINCIDENT_SITES
        weight = occupancies[site] / total
        if smearing > 0:
            _site_gaussians(distances, weights, n, radius, weight, bin_size, n_groups, smearing, values, out)
        else:
            _site_histogram(distances, weights, n, weight, bin_size, n_groups, counts, one, out)
    return OK


@jit
def grid_batch(lattices, site_offsets, frac_coords, occupancies, bin_size, n_groups, smearing, out, status):
    """Fill the GRIDs of many crystals.

    Parameters
    ----------
    lattices : (N, 3, 3); site_offsets : (N + 1,); frac_coords : (S, 3); occupancies : (S,)
        The crystals; occupancies are total ones of each site.
    bin_size : float
        Width of a bin in Å; bin j begins at j times that.
    n_groups : int
    smearing : float
        Standard deviation in Å; 0 for none.
    out : (N, n_groups, n_bins)
        Filled with the fraction of sites.
    status : (N,) of int
        Filled with OK or a key of PROBLEMS.
    """
    for i in range(lattices.shape[0]):
        sites = slice(site_offsets[i], site_offsets[i + 1])
        status[i] = _crystal_grid(lattices[i], frac_coords[sites], occupancies[sites], bin_size, n_groups, smearing, out[i])


@jit
def rdf_batch(lattices, site_offsets, frac_coords, occupancies, bin_size, out, status):
    """Fill the mean number of neighbours of a site in each bin, over all groups; arguments as for grid_batch, out (N, n_bins)."""
    n_bins = out.shape[1]
    cutoff = n_bins * bin_size
    distances, weights = np.empty(4096), np.empty(4096)
    for i in range(lattices.shape[0]):
        sites = slice(site_offsets[i], site_offsets[i + 1])
        occupancy = occupancies[sites]
        reduced, frac = reduce_cell(lattices[i], frac_coords[sites])
        cell = lower_triangular(reduced)
        out[i] = 0.0
        if _too_many(cell[0, 0] * cell[1, 1] * cell[2, 2], frac.shape[0], cutoff):
            status[i] = TOO_MANY_NEIGHBORS
            continue
        neighborhood = _neighborhood(cell, frac, occupancy, cutoff)
        total = occupancy.sum()
        status[i] = OK
        for site in range(frac.shape[0]):
            n, coincident, _, _, distances, weights = _neighbors(
                cell, frac, occupancy, site, np.inf, cutoff, cutoff, neighborhood, distances, weights
            )
            if coincident > 1 + OCCUPANCY_TOLERANCE:
                status[i] = COINCIDENT_SITES
                break
            for j in range(n):
                index = _nearest_bin(distances[j], bin_size)
                if index < n_bins:
                    out[i, index] += occupancy[site] / total * weights[j]


@jit
def ranked_distances(lattice, frac_coords, occupancies, n_groups, cutoff):
    """List what each group is made of, before any binning.

    Gives arrays of one length, group by site's neighbour: group (from 0), distance in Å, and the fraction of sites; and the status.
    Distances at or beyond the cutoff are left out.
    """
    reduced, frac = reduce_cell(lattice, frac_coords)
    cell = lower_triangular(reduced)
    total = occupancies.sum()
    groups, ranked, parts = np.empty(1024, np.int64), np.empty(1024), np.empty(1024)
    volume = cell[0, 0] * cell[1, 1] * cell[2, 2]
    radius = _first_radius(volume, total, n_groups, cutoff)
    if _too_many(volume, frac.shape[0], radius):
        return groups[:0], ranked[:0], parts[:0], TOO_MANY_NEIGHBORS
    neighborhood = _neighborhood(cell, frac, occupancies, radius)
    distances, weights = np.empty(512), np.empty(512)
    size = 0
    for site in range(frac.shape[0]):
        n, coincident, radius, neighborhood, distances, weights = _neighbors(
            cell, frac, occupancies, site, n_groups, radius, cutoff, neighborhood, distances, weights
        )
        if coincident > 1 + OCCUPANCY_TOLERANCE:
            return groups[:0], ranked[:0], parts[:0], COINCIDENT_SITES
        cumulative = 0.0
        _sort_by_distance(distances, weights, n, radius)
        for i in range(n):
            if distances[i] >= cutoff or cumulative >= n_groups:
                break
            upper = _snap(cumulative + weights[i])
            group = int(cumulative)
            while group < upper and group < n_groups:
                if size == groups.size:
                    groups = _longer(size + 1, groups)
                    ranked = _longer(size + 1, ranked)
                    parts = _longer(size + 1, parts)
                groups[size] = group
                ranked[size] = distances[i]
                parts[size] = occupancies[site] / total * (min(group + 1.0, upper) - max(float(group), cumulative))
                size += 1
                group += 1
            cumulative = upper
    return groups[:size], ranked[:size], parts[:size], OK


@jit
def compress(dense):
    """Give the non-zero entries of an array (n, width) row by row, NaN among them: offsets of the rows, columns and values."""
    n, width = dense.shape
    offsets = np.zeros(n + 1, np.int64)
    for row in range(n):
        count = 0
        for column in range(width):
            count += dense[row, column] != 0
        offsets[row + 1] = offsets[row] + count
    columns = np.empty(offsets[n], np.int32)
    values = np.empty(offsets[n], dense.dtype)
    for row in range(n):
        position = offsets[row]
        for column in range(width):
            if dense[row, column] != 0:
                columns[position] = column
                values[position] = dense[row, column]
                position += 1
    return offsets, columns, values
