"""Crystals in Parquet files: the columns of `CrystalTable.to_arrow`, or a column of structures as JSON, dictionaries or CIF."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from matminer_grid.crystals._arrow import check_format
from matminer_grid.crystals.table import CrystalTable
from matminer_grid.io.records import Source, StructureBatch, StructureRecord, as_text, checked
from matminer_grid.io.structure_json import crystal_from_dict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd

BATCH_SIZE = 1024
"""Rows that are read at once."""

MAX_VALUES = 200_000_000
"""Numbers that a column may have in one row group."""

REQUIRED = ("lattice", "frac_coords", "numbers")
"""Columns without which there are no crystals."""

OPTIONAL = ("occupancies", "site_index")
"""Columns of disordered crystals."""

PROVENANCE = "matminer_grid.provenance"
"""Key of the Parquet metadata that holds, as JSON, where a file's data are from."""

WARNINGS = "warnings"
"""Column of what was lost, assumed or is doubtful, as import_crystals writes it."""

TEXT_COLUMNS = {"structure": "json", "cif": "cif"}
"""Columns that may stand for those: their names and formats."""

DAMAGED = (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError)
"""What pyarrow raises for damaged files, with names or text that is no UTF-8 too."""


def load_crystals(path: str | Path) -> tuple[CrystalTable, pd.DataFrame]:
    """Load crystals and their properties from a Parquet file with the columns of the embedded data.

    Parameters
    ----------
    path : str or Path
        A file as :meth:`CrystalTable.to_parquet` or :func:`fetch_materials_project` write it: the columns `lattice` (9 numbers, Å),
        `frac_coords` (3 a site), `numbers`, and for disordered crystals `occupancies` and `site_index`.

    Returns
    -------
    CrystalTable
        The N crystals.
    DataFrame
        N rows of all other columns, such as `material_id`, `K_VRH` and `G_VRH` (GPa).

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is no Parquet file, columns are missing (the message names them), or a row is no valid crystal (it names the first).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> from matminer_grid.io import load_crystals
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load_mp_elasticity_table().crystals[:3].to_parquet(Path(folder) / "three.parquet")
    ...     crystals, properties = load_crystals(Path(folder) / "three.parquet")
    >>> len(crystals), properties.shape
    (3, (3, 0))
    """
    file = open_parquet(path)
    missing = missing_columns(file.schema_arrow)
    if missing:
        raise ValueError(f"{path}: {missing}")
    try:
        table = file.read()
        crystals = CrystalTable.from_arrow(table)
        others = [name for name in table.column_names if name not in {*REQUIRED, *OPTIONAL}]
        properties = table.select(others).to_pandas()
    except (*DAMAGED, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    for row, problem in crystals.errors().items():
        raise ValueError(f"{path}: row {row}: {problem}") from problem
    return crystals, properties


def read_provenance(path: str | Path) -> dict[str, Any]:
    """Read where the data of a Parquet file are from: what :func:`fetch_materials_project` wrote into its metadata.

    Parameters
    ----------
    path : str or Path
        A Parquet file.

    Returns
    -------
    dict
        Empty for a file that doesn't say.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, or it is no Parquet file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> from matminer_grid.io import read_provenance
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load_mp_elasticity_table().crystals[:3].to_parquet(Path(folder) / "three.parquet")
    ...     read_provenance(Path(folder) / "three.parquet")
    {}
    """
    metadata = open_parquet(path).schema_arrow.metadata or {}
    try:
        return json.loads(metadata.get(PROVENANCE.encode(), b"{}"))
    except ValueError as error:
        raise ValueError(f"{path}: the metadata {PROVENANCE} is no JSON: {error}") from error


def open_parquet(path: str | Path) -> pq.ParquetFile:
    """Open a Parquet file; a ValueError if it is none, or a column has more than :data:`MAX_VALUES` numbers in a row group."""
    try:
        file = pq.ParquetFile(path)
        file.schema_arrow.names  # noqa: B018  it raises if a name is no UTF-8
        check_format(file.schema_arrow, f"{path}: ")
        _check_sizes(file, path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file") from None
    except DAMAGED as error:
        raise ValueError(f"{path}: it is no Parquet file, or damaged: {error}") from error
    return file


def _check_sizes(file: pq.ParquetFile, path: str | Path) -> None:
    for index in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(index)
        for column in map(group.column, range(group.num_columns)):
            if column.num_values > MAX_VALUES:
                raise ValueError(
                    f"{path}: the column {column.path_in_schema} has {column.num_values} numbers in row group {index}; the limit "
                    f"is {MAX_VALUES}: write smaller row groups"
                )


def missing_columns(schema: pa.Schema) -> str | None:
    """Say which columns a file lacks that is to hold crystals as arrays; None if it lacks none."""
    missing = [name for name in REQUIRED if name not in schema.names]
    if not missing:
        return None
    return (
        f"the columns {', '.join(missing)} are missing; crystals need {', '.join(REQUIRED)}, as CrystalTable.to_parquet writes "
        f"them. The file has {', '.join(schema.names[:20]) or 'no columns'}"
    )


def read_rows(path: Path, *, with_properties: bool = False) -> Iterator[Source | StructureRecord | StructureBatch]:
    """Give the rows of a Parquet file of crystals in batches, or a source to be parsed for each row of JSON or CIF text.

    With properties, what the other columns hold comes with each row; a column `warnings` always does.
    """
    try:
        file = open_parquet(path)
    except (OSError, ValueError) as error:
        yield StructureRecord(str(path), error=str(error).removeprefix(f"{path}: "))
        return
    names = file.schema_arrow.names
    text = next((name for name in TEXT_COLUMNS if name in names), None)
    missing = missing_columns(file.schema_arrow)
    if missing and text is None:
        yield StructureRecord(str(path), error=f"{missing}. A column 'structure' of JSON or dictionaries, or 'cif', would do too")
        return
    columns = [str(text)] if missing else [name for name in (*REQUIRED, *OPTIONAL) if name in names]
    others = [name for name in names if name not in {*REQUIRED, *OPTIONAL, text} and (with_properties or name == WARNINGS)]
    row = 0
    try:
        for batch in file.iter_batches(batch_size=BATCH_SIZE, columns=[*columns, *others]):
            table = pa.Table.from_batches([batch])
            properties = _properties(table.select(others))
            read = _parse_column(path, table.column(str(text)), row, str(text)) if missing else _read_batch(path, table, row)
            for found in read:
                yield _with_properties(found, properties, row)
            row += len(table)
    except DAMAGED as error:
        yield StructureRecord(str(path), error=f"it can't be read on after row {row - 1}: {error}")
        return
    if row == 0:
        yield StructureRecord(str(path), error="it holds no rows")


def _read_batch(path: Path, table: pa.Table, first: int) -> Iterator[StructureRecord | StructureBatch]:
    """Read some rows; where that fails, its halves, down to the row that is wrong."""
    try:
        crystals = CrystalTable.from_arrow(table)
    except ValueError as error:
        if len(table) == 1:
            yield StructureRecord(f"{path}:{first}", error=str(error))
            return
        middle = len(table) // 2
        yield from _read_batch(path, table.slice(0, middle), first)
        yield from _read_batch(path, table.slice(middle), first + middle)
        return
    errors = {row: str(error) for row, error in crystals.errors().items()}
    names = [f"{as_text(str(path))}:{row}" for row in range(first, first + len(crystals))]
    valid = crystals[[row not in errors for row in range(len(crystals))]] if errors else crystals
    yield StructureBatch(names, valid, errors)


def _properties(table: pa.Table) -> list[dict[str, Any]]:
    """Give what other columns hold, by row; empty where they hold nothing but nulls."""
    if not any(column.null_count < len(column) for column in table.columns):
        return []
    return [{name: value for name, value in row.items() if value is not None} for row in table.to_pylist()]


def _with_properties(
    found: Source | StructureRecord | StructureBatch, properties: list[dict[str, Any]], first: int
) -> Source | StructureRecord | StructureBatch:
    """Add to what was read of some rows what the other columns say of them."""
    if not properties:
        return checked(found) if isinstance(found, StructureBatch) else found
    start = int((found.names[0] if isinstance(found, StructureBatch) else found.name).rpartition(":")[2]) - first
    if not isinstance(found, StructureBatch):
        return replace(found, properties=properties[start]) if properties[start] else found
    for row, own in enumerate(properties[start : start + len(found)]):
        text = own.pop(WARNINGS, None)
        if text is not None:
            found.warnings[row] = (str(text),)
        if own:
            found.properties[row] = own
    return checked(found)


def _parse_column(path: Path, column: pa.ChunkedArray, first: int, name: str) -> Iterator[Source | StructureRecord]:
    if pa.types.is_string(column.type):
        column = column.cast(pa.binary())  # it may be no UTF-8
    for row in range(len(column)):
        place = f"{path}:{first + row}"
        try:
            entry = column[row].as_py()
            if entry is None:
                yield StructureRecord(place, error=f"the column {name} is null")
            elif isinstance(entry, (str, bytes)):
                yield Source(place, TEXT_COLUMNS[name], entry.encode() if isinstance(entry, str) else entry)
            else:
                yield StructureRecord(place, crystal_from_dict(entry))
        except ValueError as error:
            yield StructureRecord(place, error=str(error))
