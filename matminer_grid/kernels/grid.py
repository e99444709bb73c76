"""The GRID: neighbours' distances, group by group, in bins."""

from __future__ import annotations

import numpy as np

from matminer_grid.kernels._jit import jit
from matminer_grid.kernels.arrays import longer, sort_by_distance
from matminer_grid.kernels.lattice import lower_triangular, reduce_cell
from matminer_grid.kernels.neighbors import (
    COINCIDENT_SITES,
    COUNT_TOLERANCE,
    OCCUPANCY_TOLERANCE,
    OK,
    TOO_MANY_NEIGHBORS,
    find_neighbors,
    first_radius,
    prepare_search,
    too_many,
)
from matminer_grid.kernels.normal import TAIL, gaussian_bins

EDGE_TOLERANCE = 1e-8
"""Å. A distance less than this below the edge of a bin counts as on it."""

SAME_DISTANCE = 1e-12
"""Å. Distances that differ by less share one Gaussian."""


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
    sort_by_distance(distances, weights, n, radius)
    cumulative = 0.0
    previous = -1.0
    first, n_values = 0, 0
    for i in range(n):
        if distances[i] - previous > SAME_DISTANCE:
            previous = distances[i]
            first, n_values = gaussian_bins(previous, smearing, TAIL, bin_size, values)
        cumulative = _spread(cumulative, weights[i], weight, n_groups, values, first, n_values, out)
        if cumulative >= n_groups:
            break


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
    radius = first_radius(volume, total, n_groups, longest)
    if too_many(volume, frac.shape[0], radius):
        return TOO_MANY_NEIGHBORS
    neighborhood = prepare_search(cell, frac, occupancies, radius)
    distances, weights = np.empty(512), np.empty(512)
    counts, values, one = np.empty(n_bins), np.empty(n_bins), np.ones(1)
    for site in range(frac.shape[0]):
        n, coincident, radius, neighborhood, distances, weights = find_neighbors(
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
    bin_size, smearing : float; n_groups : int
        In Å; bin j begins at j times its width, and a smearing of 0 is none.
    out : (N, n_groups, n_bins); status : (N,) of int
        Filled with the fraction of sites, and with OK or a key of PROBLEMS.
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
        if too_many(cell[0, 0] * cell[1, 1] * cell[2, 2], frac.shape[0], cutoff):
            status[i] = TOO_MANY_NEIGHBORS
            continue
        neighborhood = prepare_search(cell, frac, occupancy, cutoff)
        total = occupancy.sum()
        status[i] = OK
        for site in range(frac.shape[0]):
            n, coincident, _, _, distances, weights = find_neighbors(
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
    radius = first_radius(volume, total, n_groups, cutoff)
    if too_many(volume, frac.shape[0], radius):
        return groups[:0], ranked[:0], parts[:0], TOO_MANY_NEIGHBORS
    neighborhood = prepare_search(cell, frac, occupancies, radius)
    distances, weights = np.empty(512), np.empty(512)
    size = 0
    for site in range(frac.shape[0]):
        n, coincident, radius, neighborhood, distances, weights = find_neighbors(
            cell, frac, occupancies, site, n_groups, radius, cutoff, neighborhood, distances, weights
        )
        if coincident > 1 + OCCUPANCY_TOLERANCE:
            return groups[:0], ranked[:0], parts[:0], COINCIDENT_SITES
        cumulative = 0.0
        sort_by_distance(distances, weights, n, radius)
        for i in range(n):
            if distances[i] >= cutoff or cumulative >= n_groups:
                break
            upper = _snap(cumulative + weights[i])
            group = int(cumulative)
            while group < upper and group < n_groups:
                if size == groups.size:
                    groups = longer(size + 1, groups)
                    ranked = longer(size + 1, ranked)
                    parts = longer(size + 1, parts)
                groups[size] = group
                ranked[size] = distances[i]
                parts[size] = occupancies[site] / total * (min(group + 1.0, upper) - max(float(group), cumulative))
                size += 1
                group += 1
            cumulative = upper
    return groups[:size], ranked[:size], parts[:size], OK
