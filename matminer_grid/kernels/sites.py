"""The site dissimilarity: what it costs to turn the sites of one crystal into those of another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from matminer_grid.kernels._jit import jit
from matminer_grid.kernels.environments import DIFFERENT
from matminer_grid.kernels.plans import optimal_plan
from matminer_grid.kernels.steps import REACH, difference_by_count, difference_by_rank, difference_of_shares


class SiteWeights(NamedTuple):
    """Weights of the three parts of a dissimilarity.

    Parameters
    ----------
    geometry, elements, neighbors : float
    ranks : (n_groups,)
        Weights of the ranks, of sum 1.
    graded : bool
        Whether elements stand on a scale; otherwise they are the same or not.
    """

    geometry: float
    elements: float
    neighbors: float
    ranks: np.ndarray
    graded: bool


@jit
def _scale_terms(a, n_a, b, n_b, to_a, to_b, terms, lengths):
    """Split the distance of two compositions on a scale into what depends on one side only, and terms of one column of either side.

    `to_a` and `to_b` are filled with the factors of single columns, `terms` and `lengths` with the others; gives their number and
    the constant.
    """
    constant, n_terms = 0.0, 0
    k_a, k_b = 0, 0
    place = min(a[0], b[0])
    while k_a < n_a or k_b < n_b:
        k_a += k_a < n_a and a[k_a] == place
        k_b += k_b < n_b and b[k_b] == place
        following = np.inf
        if k_a < n_a:
            following = a[k_a]
        if k_b < n_b:
            following = min(following, b[k_b])
        if following == np.inf:
            break
        length = following - place
        if 0 < k_a < n_a and 0 < k_b < n_b:
            terms[n_terms, 0], terms[n_terms, 1], lengths[n_terms] = k_a - 1, k_b - 1, length
            n_terms += 1
        elif 0 < k_a < n_a:  # the other is 0 or 1 throughout
            to_a[k_a - 1] += length if k_b == 0 else -length
            constant += 0.0 if k_b == 0 else length
        elif 0 < k_b < n_b:
            to_b[k_b - 1] += length if k_a == 0 else -length
            constant += 0.0 if k_a == 0 else length
        elif (k_a == 0) != (k_b == 0):
            constant += length
        place = following
    return n_terms, constant


@jit
def _identity_terms(a, n_a, b, n_b, to_a, to_b, terms, lengths):
    """Do the same where elements are the same or not: total variation, times DIFFERENT."""
    n_terms, k_a, k_b = 0, 0, 0
    while k_a < n_a or k_b < n_b:
        if k_b == n_b or (k_a < n_a and a[k_a] < b[k_b]):
            to_a[k_a] = 0.5 * DIFFERENT
            k_a += 1
        elif k_a == n_a or b[k_b] < a[k_a]:
            to_b[k_b] = 0.5 * DIFFERENT
            k_b += 1
        else:
            terms[n_terms, 0], terms[n_terms, 1], lengths[n_terms] = k_a, k_b, 0.5 * DIFFERENT
            n_terms += 1
            k_a += 1
            k_b += 1
    return n_terms, 0.0


@jit
def _own_parts(means, start, n_points, n_columns, factors):
    """Multiply each point's mean shares with the factors of their columns."""
    out = np.zeros(n_points)
    for p in range(n_points):
        for k in range(n_columns):
            out[p] += factors[k] * means[start + p * n_columns + k]
    return out


@jit
def ground_distances(env, i, env_b, j, weights, out):
    """Fill the three parts of the distance of each point of a crystal to each of another, without their weights.

    Parameters
    ----------
    env, env_b : Environments; i, j : int
        Two crystals.
    weights : SiteWeights
    out : (3, n_i, n_j)
        Filled with the difference of distances in Å, of elements and of what surrounds them in units of the scale.
    """
    graded = weights.graded
    places, n_a = env.elements[i], env.elements[i + 1] - env.elements[i]
    places_b, n_b = env_b.elements[j], env_b.elements[j + 1] - env_b.elements[j]
    a, b = env.places[places : places + n_a], env_b.places[places_b : places_b + n_b]
    columns, columns_b = n_a - int(graded), n_b - int(graded)
    to_a, to_b = np.zeros(n_a), np.zeros(n_b)
    terms, lengths = np.empty((n_a + n_b, 2), np.int64), np.empty(n_a + n_b)
    if graded:
        n_terms, constant = _scale_terms(a, n_a, b, n_b, to_a, to_b, terms, lengths)
    else:
        n_terms, constant = _identity_terms(a, n_a, b, n_b, to_a, to_b, terms, lengths)
    first, first_b = env.points[i], env_b.points[j]
    n, m = env.points[i + 1] - first, env_b.points[j + 1] - first_b
    own = _own_parts(env.means, env.means_from[first], n, columns, to_a)
    own_b = _own_parts(env_b.means, env_b.means_from[first_b], m, columns_b, to_b)
    whole = env.whole[i] and env_b.whole[j]
    ranks = weights.ranks
    # taken out of the tuples once: numba counts references each time
    species, steps, distances, counts_from, counts = env.species, env.steps, env.distances, env.counts_from, env.counts
    balls, times, shares_from, shares = env.balls, env.times, env.shares_from, env.shares
    species_b, steps_b, distances_b, counts_from_b, counts_b = (
        env_b.species,
        env_b.steps,
        env_b.distances,
        env_b.counts_from,
        env_b.counts,
    )
    balls_b, times_b, shares_from_b, shares_b = env_b.balls, env_b.times, env_b.shares_from, env_b.shares
    for u in range(n):
        p = first + u
        for v in range(m):
            q = first_b + v
            if whole:
                out[0, u, v] = difference_by_rank(distances, steps[p], distances_b, steps_b[q], ranks)
            else:
                out[0, u, v] = difference_by_count(
                    counts, counts_from[p], distances, steps[p], counts_b, counts_from_b[q], distances_b, steps_b[q], ranks
                )
            apart = abs(a[species[p]] - b[species_b[q]])
            out[1, u, v] = apart if graded or apart == 0.0 else DIFFERENT
            around = 0.0
            if n_terms > 0:
                around = difference_of_shares(
                    times,
                    balls[p],
                    shares,
                    shares_from[p],
                    columns,
                    times_b,
                    balls_b[q],
                    shares_b,
                    shares_from_b[q],
                    columns_b,
                    terms,
                    lengths,
                    n_terms,
                )
            out[2, u, v] = max(0.0, constant + (own[u] + own_b[v]) + around / REACH)


@jit
def _compare(values, start, others, other_start, n):
    """Give -1, 0 or 1: which of two lists of numbers comes first."""
    for k in range(n):
        if values[start + k] != others[other_start + k]:
            return -1 if values[start + k] < others[other_start + k] else 1
    return 0


@jit
def _comes_first(env, i, env_b, j):
    """Order two crystals by their points, so that sums are made in one order whichever comes first."""
    p, q = env.points[i], env_b.points[j]
    n, n_b = env.points[i + 1] - p, env_b.points[j + 1] - q
    if n != n_b:
        return n < n_b
    order = _compare(env.masses, p, env_b.masses, q, n)
    if order == 0:
        steps, steps_b = env.steps[p + n] - env.steps[p], env_b.steps[q + n] - env_b.steps[q]
        order = _compare(env.distances, env.steps[p], env_b.distances, env_b.steps[q], min(steps, steps_b))
    if order == 0:
        times, times_b = env.balls[p + n] - env.balls[p], env_b.balls[q + n] - env_b.balls[q]
        order = _compare(env.times, env.balls[p], env_b.times, env_b.balls[q], min(times, times_b))
    if order == 0:
        elements, elements_b = env.elements[i + 1] - env.elements[i], env_b.elements[j + 1] - env_b.elements[j]
        order = _compare(env.places, env.elements[i], env_b.places, env_b.elements[j], min(elements, elements_b))
    if order == 0:
        order = _compare(env.species, p, env_b.species, q, n)
    return order <= 0


@jit
def site_plan(env, i, env_b, j, weights):
    """Give the dissimilarity of two crystals, the plan (n_i, n_j) that it is the cost of, and the parts of its ground distances."""
    p, q = env.points[i], env_b.points[j]
    n, m = env.points[i + 1] - p, env_b.points[j + 1] - q
    parts, costs, plan = np.empty((3, n, m)), np.empty((n, m)), np.empty((n, m))
    ground_distances(env, i, env_b, j, weights, parts)
    for u in range(n):
        for v in range(m):
            costs[u, v] = weights.geometry * parts[0, u, v] + weights.elements * parts[1, u, v] + weights.neighbors * parts[2, u, v]
    total = optimal_plan(costs, env.masses[p : p + n], env_b.masses[q : q + m], plan)
    return total, plan, parts


@jit
def site_dissimilarity(env, i, env_b, j, weights):
    """Give the dissimilarity of crystal i of some environments and crystal j of others, the same to the last bit either way."""
    if _comes_first(env, i, env_b, j):
        return site_plan(env, i, env_b, j, weights)[0]
    return site_plan(env_b, j, env, i, weights)[0]


@jit
def site_dissimilarities(env, i, env_b, rows, weights, out):
    """Fill the dissimilarities of a crystal to some of others into out (m,)."""
    for k in range(rows.size):
        out[k] = site_dissimilarity(env, i, env_b, rows[k], weights)


@jit
def mean_environments(env, graded, by_rank, around):
    """Fill the means over each crystal's points: of the distance at each rank, and of what surrounds them.

    Parameters
    ----------
    env : Environments
    graded : bool
    by_rank : (N, n_groups)
        Filled, in Å.
    around : (N, n_places)
        Filled with shares at each place of the scale from 1 on, cumulative where it is graded, such that the Manhattan distance of
        two rows is that of their mean surroundings.
    """
    n_groups = by_rank.shape[1]
    by_rank[:], around[:] = 0.0, 0.0
    for crystal in range(by_rank.shape[0]):
        first_element = env.elements[crystal]
        n_elements = env.elements[crystal + 1] - first_element
        n_columns = n_elements - 1 if graded else n_elements
        for p in range(env.points[crystal], env.points[crystal + 1]):
            mass, count = env.masses[p], 0.0
            for k in range(env.steps[p + 1] - env.steps[p]):
                end, distance = env.counts[env.counts_from[p] + k], env.distances[env.steps[p] + k]
                rank = int(count)
                while rank < min(end, float(n_groups)):
                    by_rank[crystal, rank] += mass * distance * (min(rank + 1.0, end) - max(float(rank), count))
                    rank += 1
                count = end
            for k in range(n_columns):
                mean = mass * env.means[env.means_from[p] + k]
                place = int(env.places[first_element + k]) - 1
                if not graded:
                    around[crystal, place] += 0.5 * DIFFERENT * mean
                    continue
                for other in range(place, int(env.places[first_element + k + 1]) - 1):
                    around[crystal, other] += mean
        last = int(env.places[first_element + n_elements - 1]) - 1
        if graded and last >= 0:
            around[crystal, last:] = 1.0


@jit
def nearest_by_sites(env, i, env_b, rows, bounds, weights, best, tie, out):
    """Fill the dissimilarities of a crystal to others in the order of their lower bounds, until none can be among the best.

    Parameters
    ----------
    env, env_b : Environments; i : int
    rows, bounds : (m,)
        Other crystals, and lower bounds of their dissimilarities, ascending.
    weights : SiteWeights
    best : (k,)
        The least dissimilarities so far, ascending; kept up to date.
    tie : float
        A bound may exceed the last of them by this.
    out : (m,)
        Filled as far as the number that is returned.
    """
    for index in range(rows.size):
        if bounds[index] > best[-1] + tie:
            return index
        out[index] = site_dissimilarity(env, i, env_b, rows[index], weights)
        place = best.size
        while place > 0 and best[place - 1] > out[index]:
            if place < best.size:
                best[place] = best[place - 1]
            place -= 1
        if place < best.size:
            best[place] = out[index]
    return rows.size
