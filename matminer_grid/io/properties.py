"""Crystals with the properties that a file, or a CSV beside the files, has of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from matminer_grid.crystals.table import CrystalTable
from matminer_grid.io.archives import is_packed
from matminer_grid.io.files import find_structure_files, read_batches, read_groups
from matminer_grid.io.records import StructureBatch, stack, stacked

if TYPE_CHECKING:
    from collections.abc import Sequence

TRIED = 20
"""Rows of a CSV by which the column of files is found."""

SHOWN = 12
"""Columns that a message lists."""


@dataclass(frozen=True, eq=False)
class LabelledCrystals:
    """Crystals that were read, with their properties.

    Parameters
    ----------
    names : list of str
        Where each is from.
    crystals : CrystalTable
        n crystals.
    properties : DataFrame
        n rows, numbered from 0, of what is known of them.
    errors : dict of str to str
        What was wrong with those that couldn't be read, by where they are from.
    warnings : dict of str to tuple of str
        What is doubtful about those that were read.
    """

    names: list[str]
    crystals: CrystalTable
    properties: pd.DataFrame
    errors: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, tuple[str, ...]] = field(default_factory=dict)


def read_labelled(path: str | Path, *, n_jobs: int | None = None) -> LabelledCrystals:
    r"""Read crystals and their properties.

    Parameters
    ----------
    path : str or Path
        What :func:`read_structures_from` reads: Parquet, JSON lines, extended XYZ and so on, whose properties stand with the
        structures; a CSV of which one column names structure files, relative to it, with or without their endings; or a folder
        of structure files with one such CSV.
    n_jobs : int, optional
        Processes that parse files, as for :func:`read_structures_from`.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file; a CSV can't be read, or no column of it names files; a folder holds several; or there is no crystal
        that can be read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from pymatgen.core import Lattice, Structure
    >>> from matminer_grid.io import read_labelled
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Structure(Lattice.cubic(3.35), ["Po"], [[0, 0, 0]]).to(str(Path(folder) / "po-1.cif"), fmt="cif")
    ...     _ = (Path(folder) / "gaps.csv").write_text("id,gap\npo-1,0.0\n")
    ...     read = read_labelled(folder)
    >>> read.crystals[0].formula, read.properties["gap"].tolist()
    ('Po1', [0.0])
    """
    path = Path(path)
    csv = path if path.suffix.lower() == ".csv" else None
    if path.is_dir():
        found = sorted(entry for entry in path.iterdir() if entry.suffix.lower() == ".csv" and not entry.name.startswith("."))
        if len(found) > 1:
            raise ValueError(f"{path} holds several CSV files, {_listed([one.name for one in found])}: name the one that is meant")
        csv = found[0] if found else None
    if csv is None:
        read = list(read_batches(path, n_jobs=n_jobs, with_properties=True))
        known = stacked(read, "properties")
        n = sum(map(len, read))
        return _gathered(read, pd.DataFrame([known.get(row, {}) for row in range(n)], index=range(n)), path)
    table, files = _table_of_files(csv)
    return _gathered(_read_rows(csv, files, n_jobs), table, csv)


def _gathered(read: Sequence[StructureBatch], table: pd.DataFrame, path: Path) -> LabelledCrystals:
    """Put together what was read of the rows of a table, and leave out what couldn't be."""
    names, crystals, failed = stack(read)
    errors = {names[row]: error for row, error in failed.items()}
    if len(crystals) == 0:
        first = "".join(f": {name}: {error}" for name, error in list(errors.items())[:1])
        raise ValueError(f"no crystal in {path} can be read{first}")
    kept = [row for row in range(len(names)) if row not in failed]
    warnings = {names[row]: found for row, found in stacked(read, "warnings").items() if row not in failed}
    return LabelledCrystals(names[kept].tolist(), crystals, table.iloc[kept].reset_index(drop=True), errors, warnings)


def _table_of_files(csv: Path) -> tuple[pd.DataFrame, list[Path | str]]:
    """Read a CSV, and find the structure file of each row; a text says why there is none."""
    try:
        table = pd.read_csv(csv)
    except FileNotFoundError:
        raise FileNotFoundError(f"{csv}: there is no such file") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{csv} can't be read as CSV: {str(error).strip()}") from error
    if table.empty:
        raise ValueError(f"{csv} holds no rows")
    stems: dict[str, Path] = {}

    def file_of(value: Any) -> Path | None:
        text = str(value).strip()
        place = csv.parent / text
        return place if text and place.is_file() and place != csv else stems.get(text)

    def fullest() -> tuple[int, str]:
        hits = {name: sum(file_of(value) is not None for value in table[name].head(TRIED)) for name in table.columns}
        return max((n, name) for name, n in hits.items())

    n, column = fullest()
    if not n:
        stems = {_stem(file.name): file for file in reversed(_files_in(csv.parent))}
        n, column = fullest()
    if not n:
        raise ValueError(
            f"no column of {csv} names structure files, whose paths must be relative to it; its columns are "
            f"{_listed(table.columns)}"
        )
    return table, [file_of(value) or f"there is no structure file {str(value)!r} beside {csv}" for value in table[column]]


def _files_in(folder: Path) -> list[Path]:
    try:
        return list(find_structure_files(folder))
    except ValueError:  # it holds none; the CSV may name those of other folders
        return []


def _stem(name: str) -> str:
    """Give a file's name without its endings."""
    return Path(Path(name).stem if is_packed(name) else name).stem


def _read_rows(csv: Path, files: list[Path | str], n_jobs: int | None) -> list[StructureBatch]:
    """Read the file of each row; one that holds no structure, or several, is an error of that row."""
    rows = [row for row, file in enumerate(files) if isinstance(file, Path)]
    found: dict[int, list[StructureBatch]] = {}
    for number, batch in read_groups([[files[row]] for row in rows], n_jobs=n_jobs):
        found.setdefault(rows[number], []).append(batch)
    out = []
    for row, file in enumerate(files):
        batches = found.get(row, [])
        n = sum(map(len, batches))
        if n == 1:
            out.append(batches[0])
            continue
        error = file if isinstance(file, str) else f"{n} structures are in the file; one is needed for each row"
        name = f"{csv}, row {row}" if isinstance(file, str) else str(file)
        out.append(StructureBatch([name], CrystalTable.from_crystals([]), {0: error}))
    return out


def _listed(names: Any) -> str:
    texts = [str(name) for name in names]
    return ", ".join(texts[:SHOWN]) + (f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else "")
