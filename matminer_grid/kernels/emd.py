"""Earth mover's distance of GRIDs: Manhattan distance of cumulative histograms, with the bins left out that cannot differ.

Each group is narrow, so its cumulative distribution is 0 below and 1 above a short window. References are packed in blocks of
similar ones; of each group a block holds only the window in which one of them is neither 0 nor 1. The windows of all groups stand
in one line, so that the distance inside them is a plain Manhattan distance; outside them the block is 0 or 1 throughout, and the
sum over the row alone is looked up.

Cumulative histograms are rounded to multiples of a power of two, small enough for 2^53 of them to hold any sum that occurs. So all
sums are exact: their order doesn't matter, a distance is the same in both directions and by both kernels, and 0 for equal rows.
"""

from __future__ import annotations

import numpy as np

from matminer_grid.kernels._jit import jit, jit_sums

BLOCK = 32
"""References in a block."""

COMPLETE = 1e-12
"""A group whose sum is less than 1 by no more than this counts as complete."""


@jit
def summarize(indptr, indices, data, n_bins, means, first, last):
    """Fill, for each row and group, the mean bin and the window [first, last) outside which the cumulative sum is 0 or 1.

    Gives the largest sum of a group. The mean is that of bins clipped at n_bins, so that differences of means bound the EMD from
    below. What exceeds a sum of 1 doesn't count. Histograms (n, n_groups * n_bins) are compressed by rows, indices ascending;
    means, first and last are of shape (n, n_groups).
    """
    n_groups = means.shape[1]
    largest = 0.0
    for row in range(means.shape[0]):
        position = indptr[row]
        for group in range(n_groups):
            total, mean = 0.0, 0.0
            first[row, group] = n_bins
            last[row, group] = n_bins
            while position < indptr[row + 1] and indices[position] < (group + 1) * n_bins:
                column = indices[position] - group * n_bins
                if first[row, group] == n_bins:
                    first[row, group] = column
                mean += min(data[position], max(0.0, 1 - total)) * column
                total += data[position]
                last[row, group] = column
                position += 1
            largest = max(largest, total)
            if total < 1 - COMPLETE:
                last[row, group] = n_bins
            means[row, group] = mean + max(0.0, 1 - total) * last[row, group]
    return largest


@jit
def _level(total, group_ends, scale, rounder):
    """Give a cumulative sum times its scale, rounded; at the end of a group that is complete it is the scale itself."""
    if total >= 1 or (group_ends and total >= 1 - COMPLETE):
        return scale
    return (total * scale + rounder) - rounder


@jit
def cumulate(indptr, indices, data, row, n_bins, scales, rounder, cumulative):
    """Fill one row's cumulative histograms, each group times its scale: an array of shape (n_groups * n_bins,)."""
    position, end = indptr[row], indptr[row + 1]
    index = 0
    for group in range(scales.size):
        total, level = 0.0, 0.0
        for _ in range(n_bins):
            if position < end and indices[position] == index:
                total += data[position]
                position += 1
                group_ends = position == end or indices[position] >= (group + 1) * n_bins
                level = _level(total, group_ends, scales[group], rounder)
            cumulative[index] = level
            index += 1


@jit
def pack_blocks(indptr, indices, data, order, n_bins, scales, rounder, starts, stops, offsets, packed):
    """Fill the windows of each block of references.

    Parameters
    ----------
    indptr, indices, data : arrays; order : (n,) of int
        Histograms of the references, compressed by rows, and the order in which they are packed.
    n_bins : int; scales : (n_groups,); rounder : float
        Factor of each group, a multiple of the unit that sums are rounded to, and 1.5 * 2^52 times that unit: what is added to it
        and taken off again is rounded.
    starts, stops : (n_blocks, n_groups) of int; offsets : (n_blocks + 1,) of int; packed : (offsets[-1],)
        Window of each block and group, and where each block begins in what is filled: its references follow one another, each with
        all its windows.
    """
    cumulative = np.empty(scales.size * n_bins)
    for block in range(starts.shape[0]):
        index = offsets[block]
        for position in range(block * BLOCK, min((block + 1) * BLOCK, order.size)):
            cumulate(indptr, indices, data, order[position], n_bins, scales, rounder, cumulative)
            for group in range(scales.size):
                for column in range(starts[block, group], stops[block, group]):
                    packed[index] = cumulative[group * n_bins + column]
                    index += 1


@jit
def _window(cumulative, below, scales, n_bins, starts, stops, out):
    """Copy a row's part of a block's windows; give the distance from 0 below them and 1 above them."""
    outside = 0.0
    line = 0
    for group in range(scales.size):
        start, stop = starts[group], stops[group]
        first = group * (n_bins + 1)
        outside += below[first + start] + (n_bins - stop) * scales[group] - (below[first + n_bins] - below[first + stop])
        for column in range(group * n_bins + start, group * n_bins + stop):
            out[line] = cumulative[column]
            line += 1
    return outside


@jit_sums
def _manhattan_of_two(u, v, packed, from_u, from_v):
    """Fill the Manhattan distances of two rows to the references of a block, which are read once for both."""
    width = u.size
    for i in range(from_u.size):
        to_u, to_v = 0.0, 0.0
        for j in range(width):
            value = packed[i * width + j]
            to_u += abs(u[j] - value)
            to_v += abs(v[j] - value)
        from_u[i] = to_u
        from_v[i] = to_v


@jit
def emd_tile(indptr, indices, data, rows, n_bins, scales, rounder, starts, stops, offsets, packed, order, first_block, out):
    """Fill the distances from some rows (t,) to all references of the blocks from first_block on, into those rows of out.

    Histograms are compressed by rows; rows are few enough that their cumulative histograms stay in cache. Of out (m, n_references)
    the columns are filled whose references are in the blocks. The other arguments are as for :func:`pack_blocks`.
    """
    size = scales.size * n_bins
    cumulative = np.empty((rows.size, size))
    below = np.zeros((rows.size, size + scales.size))
    for i in range(rows.size):
        cumulate(indptr, indices, data, rows[i], n_bins, scales, rounder, cumulative[i])
        for group in range(scales.size):
            total = 0.0
            for column in range(n_bins):
                total += cumulative[i, group * n_bins + column]
                below[i, group * (n_bins + 1) + column + 1] = total
    windows = np.empty((2, size))
    inside = np.empty((2, BLOCK))
    outside = np.empty(2)
    for block in range(first_block, starts.shape[0]):
        references = order[block * BLOCK : (block + 1) * BLOCK]
        values = packed[offsets[block] : offsets[block + 1]]
        width = values.size // references.size
        for i in range(0, rows.size, 2):
            for k in range(2):
                row = min(i + k, rows.size - 1)
                outside[k] = _window(cumulative[row], below[row], scales, n_bins, starts[block], stops[block], windows[k])
            n = references.size
            _manhattan_of_two(windows[0, :width], windows[1, :width], values, inside[0, :n], inside[1, :n])
            for k in range(min(2, rows.size - i)):
                for j in range(references.size):
                    out[rows[i + k], references[j]] = outside[k] + inside[k, j]


@jit
def emd_pairs(indptr, indices, data, row, other_indptr, other_indices, other_data, others, n_bins, scales, rounder, out):
    """Fill the distances from one row to some rows (m,) of other histograms into out (m,), by merging what is not zero.

    Histograms are compressed by rows; n_bins, scales and rounder are as for :func:`pack_blocks`.
    """
    for k in range(others.size):
        i, i_end = indptr[row], indptr[row + 1]
        j, j_end = other_indptr[others[k]], other_indptr[others[k] + 1]
        moved = 0.0
        for group in range(scales.size):
            column, end = group * n_bins, (group + 1) * n_bins
            total_i, total_j, level_i, level_j = 0.0, 0.0, 0.0, 0.0
            next_i = indices[i] if i < i_end else end
            next_j = other_indices[j] if j < j_end else end
            while True:
                following = min(next_i, next_j, end)
                moved += abs(level_i - level_j) * (following - column)
                column = following
                if following == end:
                    break
                if next_i == following:
                    total_i += data[i]
                    i += 1
                    next_i = indices[i] if i < i_end else end
                    level_i = _level(total_i, next_i >= end, scales[group], rounder)
                if next_j == following:
                    total_j += other_data[j]
                    j += 1
                    next_j = other_indices[j] if j < j_end else end
                    level_j = _level(total_j, next_j >= end, scales[group], rounder)
        out[k] = moved


@jit
def emd_by_group(groups, distances, parts, cutoff, out):
    """Fill each group's EMD between two lists of distances, clipped at the cutoff, in Å, into out (n_groups,).

    Groups, distances and parts (n,) hold both lists in one, sorted by group and then by distance; the parts of the second are
    negative.
    """
    index = 0
    for group in range(out.size):
        difference, moved, position = 0.0, 0.0, 0.0
        while index < groups.size and groups[index] == group:
            moved += abs(difference) * (distances[index] - position)
            position = distances[index]
            difference += parts[index]
            index += 1
        out[group] = moved + abs(difference) * (cutoff - position)


@jit_sums
def manhattan_to_rows(point, references, rows, out):
    """Fill the Manhattan distances from a point (d,) to some rows (m,) of the references (n, d) into out (m,)."""
    for i in range(rows.size):
        total = 0.0
        for j in range(point.size):
            total += abs(point[j] - references[rows[i], j])
        out[i] = total


@jit
def mirror(matrix, rank):
    """Copy each entry whose row comes before its column in rank to the mirror image's place, block by block."""
    n = matrix.shape[0]
    side = 64
    for top in range(0, n, side):
        for left in range(0, n, side):
            for i in range(top, min(top + side, n)):
                for j in range(left, min(left + side, n)):
                    if rank[i] > rank[j]:
                        matrix[i, j] = matrix[j, i]
