"""Differences of step functions: how far two points see different things."""

from __future__ import annotations

from matminer_grid.kernels._jit import jit, jit_sums

REACH = 3.0
"""Largest radius of a ball, in units of (volume / number of sites)^(1/3): it holds some 113 neighbours."""


@jit_sums
def difference_by_rank(distances, start, others, other_start, weights):
    """Sum of differences of two points' distances, rank by rank."""
    total = 0.0
    for rank in range(weights.size):
        total += weights[rank] * abs(distances[start + rank] - others[other_start + rank])
    return total


@jit
def _weight_between(count, following, weights):
    """Integral of the weights of the ranks from one count to another."""
    total = 0.0
    rank = int(count)
    while rank < following:
        total += weights[rank] * (min(rank + 1.0, following) - max(float(rank), count))
        rank += 1
    return total


@jit
def difference_by_count(counts, i, distances, j, other_counts, k, other_distances, m, weights):
    """Integral over the count of the difference of two points' distances, weighted; indices tell where their steps begin."""
    total, count = 0.0, 0.0
    while count < weights.size:
        upper, other_upper = counts[i], other_counts[k]
        following = min(upper, other_upper)
        total += _weight_between(count, following, weights) * abs(distances[j] - other_distances[m])
        count = following
        step, other_step = upper <= following, other_upper <= following
        i += step
        j += step
        k += other_step
        m += other_step
    return total


@jit
def differences_of_shares(
    times, i, shares, j, n_columns, other_times, k, k_2, other_shares, m, m_2, other_columns, terms, lengths, n_terms
):
    """Integrals over the time of weighted differences of shares; a term is a column of the first and one of the second.

    A point is compared with two others at once: the processor need not wait for either.
    """
    i_2, j_2 = i, j
    total, total_2 = 0.0, 0.0
    time, time_2 = 0.0, 0.0
    while time < REACH or time_2 < REACH:
        upper, other_upper = times[i + 1], other_times[k + 1]
        upper_2, other_upper_2 = times[i_2 + 1], other_times[k_2 + 1]
        following, following_2 = min(upper, other_upper), min(upper_2, other_upper_2)
        apart, apart_2 = 0.0, 0.0
        for term in range(n_terms):
            column, other_column = terms[term, 0], terms[term, 1]
            apart += lengths[term] * abs(shares[j + column] - other_shares[m + other_column])
            apart_2 += lengths[term] * abs(shares[j_2 + column] - other_shares[m_2 + other_column])
        total += (following - time) * apart
        total_2 += (following_2 - time_2) * apart_2
        time, time_2 = following, following_2
        step, other_step = (upper <= time) & (time < REACH), (other_upper <= time) & (time < REACH)
        step_2, other_step_2 = (upper_2 <= time_2) & (time_2 < REACH), (other_upper_2 <= time_2) & (time_2 < REACH)
        i += step
        j += step * n_columns
        k += other_step
        m += other_step * other_columns
        i_2 += step_2
        j_2 += step_2 * n_columns
        k_2 += other_step_2
        m_2 += other_step_2 * other_columns
    return total, total_2
