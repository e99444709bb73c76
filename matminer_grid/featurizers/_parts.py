"""Parts of a table that are featurized at once: small enough for Ctrl-C, and put together again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse

from matminer_grid._threads import new_flag, watching
from matminer_grid.crystals.table import CrystalTable, read_structures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from matminer_grid._threads import Flag
    from matminer_grid.crystals.crystal import Crystal

PART_SITES = 4000
"""Sites that are computed before Ctrl-C is looked for."""


def in_parts(
    compute: Callable[[CrystalTable, NDArray[np.float64]], dict[int, Exception]],
    table: CrystalTable,
    out: NDArray[np.float64],
    stop: Flag | None = None,
) -> dict[int, Exception]:
    """Fill rows and give errors by row, as the function does: for some thousand sites at once, so that Ctrl-C is heard in between.

    Where memory fails, one row at a time, to name the large one. A flag that is raised makes it give up.
    """
    stop = new_flag() if stop is None else stop
    errors: dict[int, Exception] = {}
    first = 0
    while first < len(table) and not stop[0]:
        end = int(np.searchsorted(table.site_offsets, table.site_offsets[first] + PART_SITES, side="right")) - 1
        end = max(first + 1, end)
        part = table if end - first == len(table) else table[first:end]
        try:
            with watching(stop):
                found = compute(part, out[first:end])
        except MemoryError as error:
            if len(part) > 1:
                found = {
                    row: problem
                    for row in range(len(part))
                    for problem in in_parts(compute, part[row : row + 1], out[first + row : first + row + 1], stop).values()
                }
            else:
                found = {0: _too_large(part[0], error)}
        errors |= {first + row: problem for row, problem in found.items()}
        first = end
    if stop[0]:
        raise InterruptedError("featurizing was stopped before it came to its end")
    return errors


def _too_large(crystal: Crystal, error: MemoryError) -> MemoryError:
    return MemoryError(
        f"{crystal.formula}: a cell of {crystal.n_sites:,} site(s) and {crystal.volume:,.0f} Å³ takes more memory than there is "
        f"({error}); choose a smaller cutoff, fewer groups or a smaller cell"
    )


def read_valid(structures: Sequence[Any]) -> tuple[CrystalTable, NDArray[np.int64], dict[int, Exception]]:
    """Give the valid structures as a table, their rows, and the errors of the others by row."""
    if isinstance(structures, CrystalTable):
        errors: dict[int, Exception] = dict(structures.errors())
        rows = np.array([row for row in range(len(structures)) if row not in errors], dtype=np.int64)
        return (structures[rows] if errors else structures), rows, errors
    table, errors = read_structures(structures)
    return table, np.array([row for row in range(len(structures)) if row not in errors], dtype=np.int64), errors


def spread_rows(
    parts: list[scipy.sparse.csr_array], rows: NDArray[np.int64], errors: dict[int, Exception], shape: tuple[int, int]
) -> scipy.sparse.csr_array:
    """Stack sparse rows; where some failed, put the others in their places and NaN into the first column of those."""
    stacked = scipy.sparse.vstack(parts, format="csr") if parts else scipy.sparse.csr_array((0, shape[1]))
    if not errors:
        return stacked
    failed = np.array(list(errors), dtype=np.int64)
    marks = scipy.sparse.csr_array((np.full(len(failed), np.nan), (failed, np.zeros(len(failed), np.int64))), shape=shape)
    places = scipy.sparse.csr_array((np.ones(len(rows)), (rows, np.arange(len(rows)))), shape=(shape[0], len(rows)))
    return scipy.sparse.csr_array(places @ stacked + marks)
