"""Lists of numbers in columns of Arrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from matminer_grid._version import __version__

if TYPE_CHECKING:
    from numpy.typing import NDArray

    IntArray = NDArray[np.int64]

FORMAT_KEY, FORMAT = b"matminer_grid.format", b"1"
"""Entry of a schema's metadata that says what its columns of crystals mean, and what it says now; without it they mean the same."""


def check_format(schema: pa.Schema, place: str = "") -> None:
    """Refuse columns of crystals of a format that this version doesn't know; the place starts the message."""
    found = (schema.metadata or {}).get(FORMAT_KEY, FORMAT)
    if found != FORMAT:
        raise ValueError(
            f"{place}the crystals are in format {found.decode(errors='replace')}; this is matminer-grid {__version__}, which reads "
            f"format {FORMAT.decode()}: read them with the version that wrote them, or a newer one"
        )


def lists(offsets: IntArray, values: NDArray[Any], null: NDArray[np.bool_] | None = None) -> pa.ListArray:
    """Make a column of lists of numbers; rows may be null."""
    if null is None:
        return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(values))
    keep = np.repeat(~null, np.diff(offsets))
    lengths = np.where(null, 0, np.diff(offsets))
    short = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(short), pa.array(values[keep]), mask=pa.array(null))


def column_of_lists(table: pa.Table, name: str, kind: pa.DataType) -> tuple[IntArray, NDArray[Any]]:
    """Read a column of lists as offsets and values; a null row is an empty list."""
    if name not in table.column_names:
        raise ValueError(f"the table has no column {name!r}; it has {', '.join(table.column_names)}")
    chunked = table.column(name)
    column = chunked.combine_chunks() if chunked.num_chunks != 1 else chunked.chunk(0)
    try:
        column = column.cast(pa.list_(kind))
    except pa.ArrowException as error:
        raise ValueError(f"the column {name} must hold lists of {kind}, not {column.type}: {error}") from error
    values = column.flatten()
    if values.null_count:
        raise ValueError(f"the column {name} has nulls among its numbers")
    lengths = np.nan_to_num(column.value_lengths().to_numpy(zero_copy_only=False)).astype(np.int64)
    return np.concatenate(([0], np.cumsum(lengths))), values.to_numpy()
