"""Crystals in the databases of the Atomic Simulation Environment (extra ``[ase]``)."""

from __future__ import annotations

import sqlite3
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from matminer_grid.crystals.crystal import Crystal
from matminer_grid.io.records import StructureRecord

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


MAGIC = b"SQLite format 3\x00"
"""How a SQLite file begins."""


def read_ase_database(path: Path) -> Iterator[StructureRecord]:
    """Give a record for each row of an ASE database in an SQLite file, named by its id.

    Numbers, positions, cells and key-value pairs are read; calculators, constraints and data are not touched.

    References
    ----------
    A. Hjorth Larsen et al., J. Phys.: Condens. Matter 29 (2017) 273002, 10.1088/1361-648X/aa680e.
    """
    if find_spec("ase") is None:
        yield StructureRecord(str(path), error="ASE is needed for its databases: pip install 'matminer-grid[ase]'")
        return
    from ase.db import connect  # noqa: PLC0415  an extra

    last = 0
    try:
        with path.open("rb") as file:
            start = file.read(len(MAGIC))
        if start != MAGIC:
            yield StructureRecord(str(path), error="it is no ASE database in an SQLite file")
            return
        for row in connect(path, type="db", use_lock_file=False).select():
            last = row.id
            yield _record(f"{path}:{row.id}", row)
    except (sqlite3.Error, OSError, ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:
        where = f"on after row {last}" if last else "as an ASE database"
        yield StructureRecord(str(path), error=f"it can't be read {where}: {error}")
        return
    if last == 0:
        yield StructureRecord(str(path), error="the database holds no rows")


def _record(name: str, row: Any) -> StructureRecord:
    try:
        if not np.any(row.pbc):
            return StructureRecord(name, error="it is a molecule without a unit cell; only crystals can be read")
        if not np.all(row.pbc):
            return StructureRecord(name, error=f"it must be periodic along all three axes, not {np.asarray(row.pbc).tolist()}")
        n = len(row.numbers)
        coords = np.array(np.linalg.solve(row.cell.T, row.positions.T).T, dtype=np.float64)
        return StructureRecord(
            name, Crystal(row.cell, coords, np.asarray(row.numbers), np.ones(n), np.arange(n)), properties=row.key_value_pairs
        )
    except (ValueError, TypeError) as error:
        return StructureRecord(name, error=str(error))
