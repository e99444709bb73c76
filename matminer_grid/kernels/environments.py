"""What each site of a crystal sees: how many neighbours lie within r, and what the ball of radius t around it is made of.

Both are step functions. Sites that see the same, to rounding, become one point that carries their masses together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from matminer_grid.kernels._jit import jit
from matminer_grid.kernels.arrays import fill, sort_by_distance
from matminer_grid.kernels.lattice import lower_triangular, reduce_cell
from matminer_grid.kernels.neighbors import (
    COINCIDENT_SITES,
    COUNT_TOLERANCE,
    OCCUPANCY_TOLERANCE,
    OK,
    SAME_PLACE,
    TOO_MANY_NEIGHBORS,
    find_neighbors,
    first_radius,
    prepare_search,
    too_many,
)
from matminer_grid.kernels.neighbors import PROBLEMS as SEARCH_PROBLEMS
from matminer_grid.kernels.steps import REACH, difference_by_count, difference_by_rank, differences_of_shares

DIFFERENT = 10.0
"""Distance of two different elements where they are the same or not: as far as ten places of the graded scale."""

SAME = 1e-11
"""Sites whose environments differ by no more (in Å, and in units of the scale of elements) are one point."""

MAX_POINTS = 2_000
"""Distinct points that a crystal may have: to compare two such crystals takes seconds."""

TOO_MANY_POINTS = 4
PROBLEMS = SEARCH_PROBLEMS | {
    TOO_MANY_POINTS: f"the crystal has more than {MAX_POINTS:,} distinct sites, the limit of the site dissimilarity; "
    'compare it by resolution="grid", or a smaller cell of it'
}
"""What is wrong with a crystal, by the status that a kernel gives for it."""


class Environments(NamedTuple):
    """Distinct points of N crystals, P points in all: the species on sites, with what is around them.

    Each point has a list of steps, distances (Å) at which neighbours lie, each with the number of neighbours up to there,
    and a list of times, radii in the crystal's own unit from which on its ball holds certain shares of elements.

    Parameters
    ----------
    points : (N + 1,)
        Where the points of each crystal begin.
    masses : (P,)
        Fraction of the crystal's atoms.
    species : (P,)
        Which of the crystal's elements, counted from 0.
    whole : (N,)
        Whether every neighbour counts 1, so that all steps of all points end at the first entries of `counts`.
    steps : (P + 1,); distances : (T,)
        Where the steps of each point begin; ascending, clipped at the cutoff.
    counts_from : (P,); counts : (n_groups + ...,)
        Where the counts begin that belong to them.
    elements : (N + 1,); places : (E,)
        Elements of each crystal as ascending places on a scale.
    balls : (P + 1,); times : (Q,)
        Where the times of each point begin; the first is 0 and the last REACH.
    shares_from : (P,); shares : (R,)
        Shares from each time on, one number a column and time. For a graded scale a column is the share up to an element (the last,
        always 1, left out), else the share of an element.
    means_from : (P,); means : (...,)
        Mean of each column over all times.
    """

    points: np.ndarray
    masses: np.ndarray
    species: np.ndarray
    whole: np.ndarray
    steps: np.ndarray
    distances: np.ndarray
    counts_from: np.ndarray
    counts: np.ndarray
    elements: np.ndarray
    places: np.ndarray
    balls: np.ndarray
    times: np.ndarray
    shares_from: np.ndarray
    shares: np.ndarray
    means_from: np.ndarray
    means: np.ndarray


@jit
def _is_crowded(cell, frac, occupancies, site):
    """Tell whether the sites on one point add up to more than one atom."""
    total = 0.0
    apart = np.empty(3)
    for other in range(frac.shape[0]):
        for axis in range(3):
            apart[axis] = frac[other, axis] - frac[site, axis]
            apart[axis] -= np.rint(apart[axis])
        x = cell[0, 0] * apart[0] + cell[1, 0] * apart[1] + cell[2, 0] * apart[2]
        y = cell[1, 1] * apart[1] + cell[2, 1] * apart[2]
        if x * x + y * y + (cell[2, 2] * apart[2]) ** 2 < SAME_PLACE * SAME_PLACE:
            total += occupancies[other]
    return total > 1 + OCCUPANCY_TOLERANCE


@jit
def _whole_steps(distances, n, n_groups, cutoff):
    """Give the first n_groups distances, clipped at the cutoff."""
    out = np.full(n_groups, cutoff)
    for rank in range(min(n, n_groups)):
        out[rank] = min(distances[rank], cutoff)
    return out


@jit
def _partial_steps(distances, numbers, n, occupancies, n_groups, cutoff):
    """Give the distances of neighbours that may count less than 1, each once, and the counts up to them."""
    steps, ends = np.empty(n + 1), np.empty(n + 1)
    cumulative, size = 0.0, 0
    for i in range(n):
        if cumulative >= n_groups or distances[i] >= cutoff:
            break
        cumulative += occupancies[int(numbers[i]) - 1]
        if abs(cumulative - np.rint(cumulative)) < COUNT_TOLERANCE:
            cumulative = np.rint(cumulative)
        if size == 0 or distances[i] - steps[size - 1] > SAME:
            steps[size] = distances[i]
            size += 1
        ends[size - 1] = min(cumulative, float(n_groups))
    if cumulative < n_groups:
        steps[size] = cutoff
        size += 1
        ends[size - 1] = n_groups
    return steps[:size].copy(), ends[:size].copy()


@jit
def _balls(distances, numbers, n, unit, site_species, columns, occupancies, n_elements):
    """Give the radii, in the crystal's unit, from which on a ball holds the amounts (n_radii, n_elements) of neighbours."""
    radii, amounts = np.empty(n + 1), np.zeros((n + 1, n_elements))
    radii[0], size = 0.0, 1
    for i in range(n):
        if n_elements == 1 or distances[i] >= REACH * unit:
            break
        if size == 1 or distances[i] / unit - radii[size - 1] > SAME / unit:
            radii[size] = distances[i] / unit
            for k in range(n_elements):
                amounts[size, k] = amounts[size - 1, k]
            size += 1
        site = int(numbers[i]) - 1
        for k in range(site_species[site], site_species[site + 1]):
            amounts[size - 1, columns[k]] += occupancies[k]
    return radii[:size], amounts[:size]


@jit
def _shares(own, radii, amounts, graded):
    """Give times, shares and their means of a point of an element of its own, which counts 1."""
    size, n_elements = amounts.shape
    n_columns = n_elements - 1 if graded else n_elements
    times, shares, means = np.empty(size + 1), np.empty(size * n_columns), np.zeros(n_columns)
    fill(times, radii)
    times[size] = REACH
    for i in range(size):
        total, cumulative = 1.0, 0.0
        for k in range(n_elements):
            total += amounts[i, k]
        for k in range(n_columns):
            share = (amounts[i, k] + (k == own)) / total
            cumulative += share
            shares[i * n_columns + k] = cumulative if graded else share
            means[k] += shares[i * n_columns + k] * (times[i + 1] - times[i]) / REACH
    return times, shares, means


@jit
def _mean_distance(steps, ends):
    total, before = 0.0, 0.0
    for i in range(steps.size):
        total += (ends[i] - before) * steps[i]
        before = ends[i]
    return total / before


@jit
def _same_point(first, whole, n_groups, elements, graded, point, points):
    """Find a point from the first on that is the same as the given one; -1 if there is none."""
    species, key, steps, ends, times, shares = point
    all_species, keys, all_steps, all_ends, all_times, all_shares = points
    n_columns = elements.size - 1 if graded else elements.size
    weights = np.full(n_groups, 1 / n_groups)
    lengths, terms = np.full(n_columns, 0.5 * DIFFERENT), np.empty((n_columns, 2), np.int64)
    for k in range(n_columns):
        terms[k, 0] = terms[k, 1] = k
        if graded:
            lengths[k] = elements[k + 1] - elements[k]
    for q in range(first, len(keys)):
        if all_species[q] != species or abs(keys[q] - key) > SAME:
            continue
        if whole:
            apart = difference_by_rank(steps, 0, all_steps[q], 0, weights)
        else:
            apart = difference_by_count(ends, 0, steps, 0, all_ends[q], 0, all_steps[q], 0, weights)
        if apart > SAME:
            continue
        around, _ = differences_of_shares(
            times, 0, shares, 0, n_columns, all_times[q], 0, 0, all_shares[q], 0, 0, n_columns, terms, lengths, n_columns
        )
        if around <= REACH * SAME:
            return q
    return -1


@jit
def _within_reach(cell, frac, occupancies, site, needed, cutoff, search, distances, numbers):
    """Find a site's neighbours, nearest first, with their numbers from 1, until enough are found or the cutoff is reached.

    Gives their number, whether another site lies on the same point, the buffers and the search, whose radius may have grown.
    """
    numbering, radius, prepared = search  # numbers in the place of occupancies: a neighbour's weight then tells which site it is
    while True:
        n, coincident, _, _, distances, numbers = find_neighbors(
            cell, frac, numbering, site, 0.0, radius, radius, prepared, distances, numbers
        )
        found = 0.0
        for i in range(n):
            found += occupancies[int(numbers[i]) - 1]
        if radius >= cutoff or found >= needed - COUNT_TOLERANCE:
            break
        radius = min(cutoff, 1.15 * radius)
        prepared = prepare_search(cell, frac, numbering, radius)
    sort_by_distance(distances, numbers, n, radius)
    return n, coincident != numbering[site], distances, numbers, (numbering, radius, prepared)


@jit
def _add_points(lattice, frac_coords, site_species, elements, columns, species_occupancies, settings, masses, points, means):
    """Append the points of a crystal; gives OK or what is wrong with it, whether neighbours count 1, and the species' points."""
    n_groups, cutoff, graded = settings
    all_species, keys, all_steps, all_ends, all_times, all_shares = points
    n_sites, first = frac_coords.shape[0], len(masses)
    owners = np.empty(columns.size, np.int64)
    occupancies = np.zeros(n_sites)
    for site in range(n_sites):
        occupancies[site] = species_occupancies[site_species[site] : site_species[site + 1]].sum()
    total = occupancies.sum()
    whole = np.abs(occupancies - 1).max() <= COUNT_TOLERANCE
    reduced, frac = reduce_cell(lattice, frac_coords)
    cell = lower_triangular(reduced)
    volume = cell[0, 0] * cell[1, 1] * cell[2, 2]
    unit = (volume / total) ** (1 / 3)
    radius = max(first_radius(volume, total, n_groups, cutoff), REACH * unit)
    if too_many(volume, n_sites, radius):
        return TOO_MANY_NEIGHBORS, whole, owners
    numbering = np.arange(1.0, n_sites + 1)
    search = (numbering, radius, prepare_search(cell, frac, numbering, radius))
    distances, numbers, whole_ends = np.empty(512), np.empty(512), np.arange(1.0, n_groups + 1)
    for site in range(n_sites):
        n, shared, distances, numbers, search = _within_reach(
            cell, frac, occupancies, site, n_groups, cutoff, search, distances, numbers
        )
        if shared and _is_crowded(cell, frac, occupancies, site):
            return COINCIDENT_SITES, whole, owners
        if whole:
            steps, ends = _whole_steps(distances, n, n_groups, cutoff), whole_ends
        else:
            steps, ends = _partial_steps(distances, numbers, n, occupancies, n_groups, cutoff)
        key = _mean_distance(steps, ends)
        radii, amounts = _balls(distances, numbers, n, unit, site_species, columns, species_occupancies, elements.size)
        for k in range(site_species[site], site_species[site + 1]):
            times, shares, own_means = _shares(columns[k], radii, amounts, graded)
            point = (columns[k], key, steps, ends, times, shares)
            same = _same_point(first, whole, n_groups, elements, graded, point, points)
            if same < 0:
                same = len(masses)
                masses.append(0.0)
                all_species.append(columns[k])
                keys.append(key)
                all_steps.append(steps)
                all_ends.append(ends)
                all_times.append(times)
                all_shares.append(shares)
                means.append(own_means)
            masses[same] += species_occupancies[k] / total
            owners[k] = same - first
    return TOO_MANY_POINTS if len(masses) - first > MAX_POINTS else OK, whole, owners


@jit
def _joined(arrays):
    """Stack arrays; gives their lengths too."""
    sizes = np.empty(len(arrays), np.int64)
    for i in range(len(arrays)):
        sizes[i] = arrays[i].size
    out, size = np.empty(sizes.sum()), 0
    for i in range(len(arrays)):
        fill(out[size:], arrays[i])
        size += sizes[i]
    return out, sizes


@jit
def environments_batch(lattices, sites, frac_coords, species, codes, species_occupancies, settings):
    """Find the distinct points of many crystals.

    Parameters
    ----------
    lattices : (N, 3, 3); sites : (N + 1,); frac_coords : (S, 3)
        The crystals, and where the sites of each begin.
    species : (S + 1,); codes, species_occupancies : (M,)
        Where the species of each site begin; their places on a scale of elements and their occupancies.
    settings : tuple
        Number of groups; the cutoff in Å; whether elements are graded.

    Returns
    -------
    status : (N,); owners : (M,)
        OK or what is wrong, and the point of each species, counted from 0 in each crystal.
    n_points, whole, n_elements : (N,); masses, point_species, n_steps, n_times : (P,)
    distances, counts, places, times, shares, means
        As in Environments, `counts` of those points only whose neighbours may count less than 1.
    """
    n_crystals = lattices.shape[0]
    status, n_points = np.zeros(n_crystals, np.int64), np.zeros(n_crystals, np.int64)
    whole, n_elements = np.zeros(n_crystals, np.bool_), np.zeros(n_crystals, np.int64)
    owners = np.zeros(codes.size, np.int64)
    masses = [0.0 for _ in range(0)]
    points = (
        [0 for _ in range(0)],
        [0.0 for _ in range(0)],
        [np.empty(0) for _ in range(0)],
        [np.empty(0) for _ in range(0)],
        [np.empty(0) for _ in range(0)],
        [np.empty(0) for _ in range(0)],
    )
    means = [np.empty(0) for _ in range(0)]
    partial_ends = [np.empty(0) for _ in range(0)]
    places = [np.empty(0) for _ in range(0)]
    for i in range(n_crystals):
        first = len(masses)
        own_sites = species[sites[i] : sites[i + 1] + 1]
        own = slice(own_sites[0], own_sites[-1])
        elements = np.unique(codes[own])
        columns = np.searchsorted(elements, codes[own])
        status[i], whole[i], owners[own] = _add_points(
            lattices[i],
            frac_coords[sites[i] : sites[i + 1]],
            own_sites - own_sites[0],
            elements,
            columns,
            species_occupancies[own],
            settings,
            masses,
            points,
            means,
        )
        n_points[i] = len(masses) - first
        n_elements[i] = elements.size
        places.append(elements)
        if not whole[i]:
            partial_ends.extend(points[3][first:])
    distances, n_steps = _joined(points[2])
    times, n_times = _joined(points[4])
    return (
        status,
        owners,
        n_points,
        whole,
        n_elements,
        np.array(masses),
        np.array(points[0]),
        n_steps,
        n_times,
        distances,
        _joined(partial_ends)[0],
        _joined(places)[0],
        times,
        _joined(points[5])[0],
        _joined(means)[0],
    )
