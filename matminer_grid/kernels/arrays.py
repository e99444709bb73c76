"""Arrays that grow, sorting and sparse rows."""

from __future__ import annotations

import numpy as np

from matminer_grid.kernels._jit import jit


@jit
def fill(out, values):
    """Put values into the beginning of a contiguous array; for a slice numba compiles the text of its error, for seconds."""
    flat, source = out.ravel(), values.ravel()
    for i in range(source.size):
        flat[i] = source[i]


@jit
def longer(size, values):
    """Copy an array into one of at least the size along its first axis, and twice as long."""
    out = np.empty((max(size, 2 * values.shape[0]), *values.shape[1:]), values.dtype)
    fill(out, values)
    return out


@jit
def sort_by_distance(distances, weights, n, longest):
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
