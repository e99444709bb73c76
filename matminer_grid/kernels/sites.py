"""The site dissimilarity: what it costs to turn the sites of one crystal into those of another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from matminer_grid.kernels._jit import jit
from matminer_grid.kernels.environments import DIFFERENT
from matminer_grid.kernels.plans import optimal_plan
from matminer_grid.kernels.steps import REACH, difference_by_count, difference_by_rank, differences_of_shares


class SiteWeights(NamedTuple):
    """Weights of the three parts of a dissimilarity, and of the ranks (n_groups,), of sum 1; whether elements stand on a scale."""

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
def _coupling(env, i, env_b, j, graded):
    """Split the distance of two points' surroundings into sums of either side and terms that need both; see _scale_terms."""
    places, n_a = env.elements[i], env.elements[i + 1] - env.elements[i]
    places_b, n_b = env_b.elements[j], env_b.elements[j + 1] - env_b.elements[j]
    a, b = env.places[places : places + n_a], env_b.places[places_b : places_b + n_b]
    to_a, to_b = np.zeros(n_a), np.zeros(n_b)
    terms, lengths = np.empty((n_a + n_b, 2), np.int64), np.empty(n_a + n_b)
    if graded:
        n_terms, constant = _scale_terms(a, n_a, b, n_b, to_a, to_b, terms, lengths)
    else:
        n_terms, constant = _identity_terms(a, n_a, b, n_b, to_a, to_b, terms, lengths)
    columns, columns_b = n_a - int(graded), n_b - int(graded)
    first, first_b = env.points[i], env_b.points[j]
    own = _own_parts(env.means, env.means_from[first], env.points[i + 1] - first, columns, to_a)
    own_b = _own_parts(env_b.means, env_b.means_from[first_b], env_b.points[j + 1] - first_b, columns_b, to_b)
    return terms, lengths, n_terms, columns, columns_b, own, own_b, constant


@jit
def _direct_parts(env, i, env_b, j, weights, coupling, out):
    """Fill out (3, n_i, n_j) with what is quickly known: differences of distances and of elements, and a bound of the third part.

    The third, of surroundings, is bounded by the differences of their means; the bound is exact where there are no terms.
    """
    terms, lengths, n_terms, columns, columns_b, own, own_b, constant = coupling
    # taken out of the tuples once: numba counts references each time
    places, species, steps, distances = env.places[env.elements[i] :], env.species, env.steps, env.distances
    places_b, species_b, steps_b, distances_b = env_b.places[env_b.elements[j] :], env_b.species, env_b.steps, env_b.distances
    counts_from, counts, counts_from_b, counts_b = env.counts_from, env.counts, env_b.counts_from, env_b.counts
    means, means_b = env.means[env.means_from[env.points[i]] :], env_b.means[env_b.means_from[env_b.points[j]] :]
    first, first_b, ranks = env.points[i], env_b.points[j], weights.ranks
    whole = env.whole[i] and env_b.whole[j]
    for u in range(own.size):
        p = first + u
        for v in range(own_b.size):
            q = first_b + v
            if whole:
                out[0, u, v] = difference_by_rank(distances, steps[p], distances_b, steps_b[q], ranks)
            else:
                out[0, u, v] = difference_by_count(
                    counts, counts_from[p], distances, steps[p], counts_b, counts_from_b[q], distances_b, steps_b[q], ranks
                )
            apart = abs(places[species[p]] - places_b[species_b[q]])
            out[1, u, v] = apart if weights.graded or apart == 0.0 else DIFFERENT
            around = constant + (own[u] + own_b[v])
            for term in range(n_terms):
                mean, other = means[u * columns + terms[term, 0]], means_b[v * columns_b + terms[term, 1]]
                around += lengths[term] * abs(mean - other)
            out[2, u, v] = max(0.0, around)


@jit
def _surroundings(env, i, env_b, j, coupling, wanted, out):
    """Fill the exact differences of surroundings into out (n_i, n_j) where they are wanted, two at a time."""
    terms, lengths, n_terms, columns, columns_b, own, own_b, constant = coupling
    balls, times, shares_from, shares = env.balls, env.times, env.shares_from, env.shares
    balls_b, times_b, shares_from_b, shares_b = env_b.balls, env_b.times, env_b.shares_from, env_b.shares
    first, first_b = env.points[i], env_b.points[j]
    for u in range(own.size):
        ball, from_ = balls[first + u], shares_from[first + u]
        v = -1
        for other in range(own_b.size + 1):
            if other < own_b.size and not wanted[u, other]:
                continue
            if v < 0:
                v = other
                continue
            last = other == own_b.size
            q, r = first_b + v, first_b + (v if last else other)
            around, around_other = differences_of_shares(
                times,
                ball,
                shares,
                from_,
                columns,
                times_b,
                balls_b[q],
                balls_b[r],
                shares_b,
                shares_from_b[q],
                shares_from_b[r],
                columns_b,
                terms,
                lengths,
                n_terms,
            )
            out[u, v] = max(0.0, constant + (own[u] + own_b[v]) + around / REACH)
            if not last:
                out[u, other] = max(0.0, constant + (own[u] + own_b[other]) + around_other / REACH)
            v = -1


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
def _have_the_same_elements(env, i, env_b, j):
    first, first_b, n = env.elements[i], env_b.elements[j], env.elements[i + 1] - env.elements[i]
    if env_b.elements[j + 1] - first_b != n:
        return False
    same = True
    for k in range(n):
        same &= env.places[first + k] == env_b.places[first_b + k]
    return same


@jit
def site_plan(env, i, env_b, j, weights):
    """Compare two crystals.

    Surroundings take most of the time. Where both crystals have the same elements, those of different elements are bounded from
    below, and computed only if the best plan by these bounds turns an element into another: else it is the best plan.

    Gives the dissimilarity; the mass (n_i, n_j) that goes from each point to each, at the least cost; and the differences (3, n_i,
    n_j) of points, without weights: of distances in Å, of elements, and of surroundings, exact where mass goes.
    """
    p, q = env.points[i], env_b.points[j]
    n, m = env.points[i + 1] - p, env_b.points[j + 1] - q
    parts, costs, plan = np.empty((3, n, m)), np.empty((n, m)), np.empty((n, m))
    coupling = _coupling(env, i, env_b, j, weights.graded)
    _direct_parts(env, i, env_b, j, weights, coupling, parts)
    n_terms = coupling[2]
    wanted = np.ones((n, m), np.bool_)
    bounded = n_terms > 0 and n > 2 and m > 2 and _have_the_same_elements(env, i, env_b, j)
    if bounded:
        for u in range(n):
            for v in range(m):
                wanted[u, v] = env.species[p + u] == env_b.species[q + v]
    while True:
        if n_terms > 0:
            _surroundings(env, i, env_b, j, coupling, wanted, parts[2])
        for u in range(n):
            for v in range(m):
                costs[u, v] = (
                    weights.geometry * parts[0, u, v] + weights.elements * parts[1, u, v] + weights.neighbors * parts[2, u, v]
                )
        total = optimal_plan(costs, env.masses[p : p + n], env_b.masses[q : q + m], plan)
        if not bounded or not (np.logical_not(wanted) & (plan > 0.0)).any():
            return total, plan, parts
        wanted = np.logical_not(wanted)
        bounded = False


@jit
def site_dissimilarity(env, i, env_b, j, weights):
    """Give the dissimilarity of crystal i of some environments and crystal j of others, the same to the last bit either way."""
    if _comes_first(env, i, env_b, j):
        return site_plan(env, i, env_b, j, weights)[0]
    return site_plan(env_b, j, env, i, weights)[0]


@jit
def site_dissimilarities(env, rows, env_b, rows_b, weights, out):
    """Fill the dissimilarities of pairs of crystals, rows (m,) of either side, into out (m,)."""
    for k in range(rows.size):
        out[k] = site_dissimilarity(env, rows[k], env_b, rows_b[k], weights)


@jit
def parts_of_pairs(env, rows, env_b, rows_b, weights, out):
    """Fill the parts of the dissimilarities of pairs of crystals, rows (m,) of either side, into out (m, 3), without weights.

    They are those of the best plan, the same to the last bit either way: distances in Å, elements and surroundings.
    """
    for k in range(rows.size):
        if _comes_first(env, rows[k], env_b, rows_b[k]):
            _, plan, parts = site_plan(env, rows[k], env_b, rows_b[k], weights)
        else:
            _, plan, parts = site_plan(env_b, rows_b[k], env, rows[k], weights)
        for part in range(3):
            total = 0.0
            for u in range(plan.shape[0]):
                for v in range(plan.shape[1]):
                    if plan[u, v] > 0.0:
                        total += plan[u, v] * parts[part, u, v]
            out[k, part] = total


@jit
def mean_environments(env, graded, by_rank, around):
    """Fill the means over each crystal's points: by_rank (N, n_groups), distances in Å, and around (N, n_places), surroundings.

    The latter are shares at each place of the scale from 1 on, cumulative where it is graded, such that the
    Manhattan distance of two rows is that of their mean surroundings.
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

    Rows and bounds (m,) are the others, and lower bounds of their dissimilarities, ascending; best (k,) holds the least
    dissimilarities so far, ascending, and is kept up to date; a bound may exceed the last of them by tie. Out (m,) is filled as far
    as the number that is returned.
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
