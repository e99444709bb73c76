"""Crystals to files that other programs read."""

from __future__ import annotations

import gzip
import math
import re
from collections import Counter
from contextlib import nullcontext
from pathlib import Path, PurePath
from typing import IO, TYPE_CHECKING, Any

import pandas as pd
from tqdm.auto import tqdm

from matminer_grid._files import replacing
from matminer_grid.io.archives import is_packed
from matminer_grid.io.convert import save_crystals
from matminer_grid.io.formats import format_of
from matminer_grid.io.writers import write_cif, write_json_line, write_poscar, write_xyz

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from matminer_grid.crystals.crystal import Crystal
    from matminer_grid.crystals.table import CrystalTable

    Writer = Callable[[Crystal, Mapping[str, Any]], str]

FOLDERS: dict[str, tuple[str, Writer]] = {"cif": (".cif", write_cif), "poscar": (".vasp", write_poscar), "xyz": (".xyz", write_xyz)}
"""Suffix and writer of each kind of files in a folder."""

FILES: dict[str, Writer] = {
    ".jsonl": write_json_line,
    ".jsonl.gz": write_json_line,
    ".cif": write_cif,
    ".xyz": write_xyz,
    ".extxyz": write_xyz,
}
"""Endings of files that hold many crystals one behind the other, and what writes each."""

TABLES = (".parquet", ".csv")
"""Endings of files that are written as a whole."""

LONGEST_NAME = 120
"""Characters of a name that become a file's name."""


def export_crystals(
    output: str | Path,
    crystals: CrystalTable,
    names: Sequence[str] | None = None,
    properties: pd.DataFrame | None = None,
    *,
    fmt: str | None = None,
    pbar: bool = False,
) -> dict[int, str]:
    """Write crystals and their properties such that :func:`import_crystals` gives them again.

    Parameters
    ----------
    output : str or Path
        The ending says what is written: ``.jsonl``, ``.jsonl.gz``, ``.cif``, ``.xyz`` or ``.extxyz``, one file with a line, block
        or frame each; ``.parquet``; ``.csv``, names, formulas and properties without the structures. A name without ending is a
        folder, which is made and must be empty.
    crystals : CrystalTable
        N crystals.
    names : sequence of N str, optional
        Kept as the property `name`. Files in a folder are named so, with all characters but letters, digits, ``._+-`` replaced;
        by the number of the row if there are none.
    properties : DataFrame, optional
        N rows of other columns.
    fmt : {"cif", "poscar", "xyz"}, optional
        Kind of the files in a folder, CIF by default.
    pbar : bool
        Whether to show progress.

    Returns
    -------
    dict of int to str
        By row, why a crystal couldn't be written: POSCAR files hold no disorder.

    Raises
    ------
    FileExistsError
        The file exists, or the folder isn't empty.
    ValueError
        The format or ending is unknown, or the numbers of rows differ.
    OSError
        The output can't be written.

    Notes
    -----
    CIFs keep lengths and angles of the lattice vectors, but not how they are turned in space; the other formats keep the vectors.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> from matminer_grid.io import export_crystals
    >>> data = load_mp_elasticity_table()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     failed = export_crystals(Path(folder) / "poscars", data.crystals[:2], data.material_id[:2], fmt="poscar")
    ...     sorted(path.name for path in (Path(folder) / "poscars").iterdir()), failed
    (['mp-28369.vasp', 'mp-756473.vasp'], {})
    """
    output = Path(output)
    ending = check_output(output, fmt)
    for what, given in (("names", names), ("rows of properties", properties)):
        if given is not None and len(given) != len(crystals):
            raise ValueError(f"{len(crystals)} crystals need as many {what}, not {len(given)}")
    if ending in TABLES:
        _write_table(output, crystals, names, properties)
        return {}
    entries = zip(
        tqdm(crystals, desc="export", unit=" structures", disable=not pbar), _rows(crystals, names, properties), strict=True
    )
    if ending:
        with replacing(output) as file:
            return _write_one_file(file, entries, FILES[ending], packed=ending.endswith(".gz"))
    return _write_folder(
        output, entries, names if names is not None else list(map(str, range(len(crystals)))), *FOLDERS[fmt or "cif"]
    )


def check_output(output: Path, fmt: str | None = None) -> str:
    """Check that crystals can be written there, with the errors of :func:`export_crystals`; gives the ending, "" for a folder."""
    ending = _ending(output, fmt)
    if output.exists() and (ending or not output.is_dir() or any(output.iterdir())):
        raise FileExistsError(f"{output} exists{'' if ending else ' and is no empty folder'}: choose another name")
    return ending


def _ending(output: Path, fmt: str | None) -> str:
    """Give the ending that says what is to be written; "" for a folder."""
    if fmt is not None and fmt not in FOLDERS:
        raise ValueError(f"fmt must be one of {', '.join(map(repr, FOLDERS))}, not {fmt!r}")
    name = output.name.lower()
    found = next((ending for ending in (*FILES, *TABLES) if name.endswith(ending)), "")
    known = ", ".join((*FILES, *TABLES))
    if output.is_dir():
        return ""
    if found and fmt is not None and FILES.get(found) is not FOLDERS[fmt][1]:
        raise ValueError(f"{output} is no name for files of the format {fmt!r}: give a folder, whose name has no ending")
    if not found and (output.suffix or format_of(output.name)):
        raise ValueError(f"{output}: can't tell what to write; files end in {known}, and a folder's name has no ending")
    return found


def _rows(crystals: CrystalTable, names: Sequence[str] | None, properties: pd.DataFrame | None) -> Iterator[dict[str, Any]]:
    """Give the properties of each crystal as JSON has them; NaN becomes None."""
    columns = {} if properties is None else {str(name): properties[name].tolist() for name in properties.columns}
    for row in range(len(crystals)):
        entry = {} if names is None else {"name": str(names[row])}
        yield entry | {name: _plain(values[row]) for name, values in columns.items() if not (name == "name" and names is not None)}


def _plain(value: Any) -> Any:
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if value is pd.NaT or value is pd.NA else str(value)


def _write_one_file(
    file: IO[bytes], entries: Iterable[tuple[Crystal, dict[str, Any]]], write: Writer, *, packed: bool
) -> dict[int, str]:
    failed = {}
    with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) if packed else nullcontext(file) as out:
        for row, (crystal, properties) in enumerate(entries):
            try:
                out.write(write(crystal, properties).encode())
            except ValueError as error:
                failed[row] = str(error)
    return failed


def _write_folder(
    output: Path, entries: Iterable[tuple[Crystal, dict[str, Any]]], names: Sequence[str], suffix: str, write: Writer
) -> dict[int, str]:
    output.mkdir(parents=True, exist_ok=True)
    failed = {}
    for row, ((crystal, properties), stem) in enumerate(zip(entries, file_stems(names), strict=True)):
        try:
            text = write(crystal, properties)
        except ValueError as error:
            failed[row] = str(error)
        else:
            (output / f"{stem}{suffix}").write_text(text, encoding="utf-8")
    return failed


def _write_table(output: Path, crystals: CrystalTable, names: Sequence[str] | None, properties: pd.DataFrame | None) -> None:
    """Write Parquet, or a CSV of what is known of the crystals."""
    frame = pd.DataFrame(index=range(len(crystals))) if properties is None else properties.reset_index(drop=True)
    if names is not None and not any(frame[column].astype(str).tolist() == list(map(str, names)) for column in frame.columns):
        frame = pd.concat([pd.Series(list(map(str, names)), name="name"), frame.drop(columns="name", errors="ignore")], axis=1)
    if output.suffix.lower() == ".parquet":
        save_crystals(output, crystals, frame)
        return
    position = int("name" in frame.columns[:1])
    frame.insert(position, "formula", [crystal.formula for crystal in crystals], allow_duplicates="formula" in frame)
    with replacing(output) as file:
        file.write(frame.to_csv(index=False).encode())


def file_stems(names: Iterable[Any]) -> list[str]:
    """Make names into different names of files, on file systems that ignore case too; endings of structure files go.

    Examples
    --------
    >>> file_stems(["mp-1", "../Na Cl", "MP-1", "", "salts/NaCl.cif"])
    ['mp-1-row-0', 'Na_Cl', 'MP-1-row-2', 'row-3', 'salts_NaCl']
    """
    stems = [re.sub(r"[^A-Za-z0-9._+-]", "_", _without_ending(str(name))).lstrip("._")[:LONGEST_NAME] for name in names]
    times = Counter(stem.lower() for stem in stems)
    return [
        stem if stem and times[stem.lower()] == 1 else "-".join(filter(None, (stem, f"row-{row}")))
        for row, stem in enumerate(stems)
    ]


def _without_ending(name: str) -> str:
    bare = str(PurePath(name).with_suffix("")) if is_packed(name) else name
    return str(PurePath(bare).with_suffix("")) if PurePath(bare).suffix and format_of(f"a{PurePath(bare).suffix}") else bare
