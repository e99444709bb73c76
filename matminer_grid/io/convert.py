"""Crystals from files into one Parquet file, and out of it into files again."""

from __future__ import annotations

import gzip
import json
import re
import warnings
from collections import Counter
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from matminer_grid._files import replacing
from matminer_grid._version import __version__
from matminer_grid.io.files import find_structure_files, read_batches
from matminer_grid.io.parquet import OPTIONAL, PROVENANCE, REQUIRED
from matminer_grid.io.records import stack, stacked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pandas as pd
    from pymatgen.core import Structure

    from matminer_grid.crystals.table import CrystalTable
    from matminer_grid.io.records import StructureBatch

ROW_GROUP = 2000
"""Crystals that are read and written at once."""

LONGEST_NAME = 120
"""Characters of a name that become a file's name."""


@dataclass(frozen=True)
class ImportReport:
    """What :func:`import_crystals` has done.

    Parameters
    ----------
    output : Path
        The Parquet file.
    n_crystals : int
        Rows of it.
    errors : dict of str to str
        What was wrong with the structures that couldn't be read, by name.
    warnings : dict of str to tuple of str
        What was lost, assumed or is doubtful of those that were read, by name.
    """

    output: Path
    n_crystals: int
    errors: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, tuple[str, ...]] = field(default_factory=dict)


def save_crystals(
    path: str | Path, crystals: CrystalTable, properties: pd.DataFrame | None = None, provenance: dict[str, Any] | None = None
) -> None:
    """Write crystals and their properties to a Parquet file with the columns of the embedded data: the inverse of `load_crystals`.

    Parameters
    ----------
    path : str or Path
        The file appears complete or not at all; one that is there is replaced.
    crystals : CrystalTable
        N crystals.
    properties : DataFrame, optional
        N rows of other columns, such as `material_id`, `K_VRH` (GPa).
    provenance : dict, optional
        Where the data are from; kept as JSON in the file's metadata, see :func:`read_provenance`.

    Raises
    ------
    ValueError
        The numbers of rows differ, or a property is named like a column of crystals.
    OSError
        The file can't be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> from matminer_grid.io import load_crystals, save_crystals
    >>> data = load_mp_elasticity_table()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_crystals(Path(folder) / "two.parquet", data.crystals[:2], pd.DataFrame({"K_VRH": data.K_VRH[:2]}))
    ...     crystals, properties = load_crystals(Path(folder) / "two.parquet")
    >>> properties["K_VRH"].tolist() == data.K_VRH[:2].tolist()
    True
    """
    table = crystals.to_arrow()
    if properties is not None:
        if len(properties) != len(crystals):
            raise ValueError(f"{len(crystals)} crystals need as many rows of properties, not {len(properties)}")
        taken = [str(name) for name in properties.columns if name in {*REQUIRED, *OPTIONAL}]
        if taken:
            raise ValueError(f"the properties {', '.join(taken)} are named like columns of crystals; choose other names")
        for name in properties.columns:
            table = table.append_column(str(name), pa.Array.from_pandas(properties[name]))
    with replacing(Path(path)) as file:
        pq.write_table(_with_provenance(table, provenance or {}), file, compression="zstd", row_group_size=ROW_GROUP)


def import_crystals(
    inputs: str | Path | Iterable[str | Path],
    output: str | Path,
    *,
    overwrite: bool = False,
    n_jobs: int | None = None,
    pbar: bool = False,
) -> ImportReport:
    """Gather the crystals of files, folders and archives in one Parquet file, which is read a thousand times faster than CIFs.

    Parameters
    ----------
    inputs : str, Path, or several
        What :func:`read_structures_from` reads.
    output : str or Path
        The Parquet file; it appears complete or not at all. Its column `name` says where each crystal is from, its column
        `warnings` what was lost, assumed or is doubtful of it; null mostly.
    overwrite : bool
        Whether to replace an existing file.
    n_jobs : int, optional
        Processes that parse files, one by default, -1 for one a core.
    pbar : bool
        Whether to show progress.

    Returns
    -------
    ImportReport

    Raises
    ------
    FileExistsError
        The output exists.
    FileNotFoundError, ValueError
        An input doesn't exist, is of no known kind, or there is no crystal in any of them.
    OSError
        The output can't be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from pymatgen.core import Lattice, Structure
    >>> from matminer_grid.io import import_crystals, load_crystals
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Structure(Lattice.cubic(3.35), ["Po"], [[0, 0, 0]]).to(str(Path(folder) / "Po.cif"), fmt="cif")
    ...     report = import_crystals(folder, Path(folder) / "crystals.parquet")
    ...     crystals, properties = load_crystals(report.output)
    >>> crystals[0].formula, [Path(name).name for name in properties["name"]]
    ('Po1', ['Po.cif'])
    """
    output = Path(output)
    if output.exists() and not overwrite:
        raise FileExistsError(f"{output} exists: choose another name, or overwrite it")
    files = list(dict.fromkeys(find_structure_files(inputs)))
    errors: dict[str, str] = {}
    warned: dict[str, tuple[str, ...]] = {}
    n_crystals = 0
    with replacing(output) as file, ExitStack() as closing, tqdm(desc="import", unit=" structures", disable=not pbar) as bar:
        writer: pq.ParquetWriter | None = None
        for batches in _row_groups(read_batches(files, n_jobs=n_jobs)):
            names, crystals, failed = stack(batches)
            errors |= {names[row]: error for row, error in failed.items()}
            found = stacked(batches, "warnings")
            warned |= {names[row]: found[row] for row in sorted(found)}
            texts = ["; ".join(found[row]) if row in found else None for row in range(len(names)) if row not in failed]
            table = crystals.to_arrow().append_column("name", pa.array(np.delete(names, list(failed)), pa.string()))
            table = table.append_column("warnings", pa.array(texts, pa.string()))
            if writer is None:
                table = _with_provenance(table, {"source": ", ".join(_names(inputs))})
                writer = closing.enter_context(pq.ParquetWriter(file, table.schema, compression="zstd"))
            if len(crystals):
                writer.write_table(table.cast(writer.schema))
            n_crystals += len(crystals)
            bar.update(len(names))
        if not n_crystals:
            first = "".join(f": {name}: {error}" for name, error in list(errors.items())[:1])
            raise ValueError(f"no crystal in {', '.join(_names(inputs))}{first}")
    return ImportReport(output, n_crystals, errors, warned)


def _row_groups(batches: Iterable[StructureBatch]) -> Iterator[list[StructureBatch]]:
    """Gather batches until they hold the structures of a row group."""
    gathered: list[StructureBatch] = []
    for batch in batches:
        gathered.append(batch)
        if sum(map(len, gathered)) >= ROW_GROUP:
            yield gathered
            gathered = []
    if gathered:
        yield gathered


def export_crystals(
    output: str | Path,
    crystals: CrystalTable,
    names: Sequence[str] | None = None,
    properties: pd.DataFrame | None = None,
    *,
    fmt: str = "cif",
    pbar: bool = False,
) -> dict[int, str]:
    """Write crystals to files that other programs read: JSON lines, or a folder of CIF or POSCAR files.

    Parameters
    ----------
    output : str or Path
        A name that ends in ``.jsonl`` or ``.jsonl.gz``: one line each with the properties and, under `structure`, the dictionary
        of pymatgen's `Structure.as_dict`. Any other name: a folder, which is made and must be empty.
    crystals : CrystalTable
        N crystals.
    names : sequence of N str, optional
        Names of the files, in which all characters but letters, digits, ``._+-`` are replaced; the number of the row by default.
        In JSON lines they stand under `name`.
    properties : DataFrame, optional
        N rows of other columns; only JSON lines hold them.
    fmt : {"cif", "poscar"}
        Kind of the files in a folder.
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
        The format is unknown, or the numbers of rows differ.
    OSError
        The output can't be written.

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
    if fmt not in WRITERS:
        raise ValueError(f"fmt must be one of {', '.join(map(repr, WRITERS))}, not {fmt!r}")
    for what, given in (("names", names), ("rows of properties", properties)):
        if given is not None and len(given) != len(crystals):
            raise ValueError(f"{len(crystals)} crystals need as many {what}, not {len(given)}")
    bar = tqdm(crystals, desc="export", unit=" structures", disable=not pbar)
    structures = (crystal.to_structure() for crystal in bar)
    if output.name.endswith((".jsonl", ".jsonl.gz")):
        if output.exists():
            raise FileExistsError(f"{output} exists: choose another name")
        with replacing(output) as file:
            _write_lines(file, structures, names, properties, packed=output.suffix == ".gz")
        return {}
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FileExistsError(f"{output} is no empty folder: choose another name")
    output.mkdir(parents=True, exist_ok=True)
    suffix, write = WRITERS[fmt]
    failed = {}
    stems = file_stems(names if names is not None else [str(row) for row in range(len(crystals))])
    for row, (structure, stem) in enumerate(zip(structures, stems, strict=True)):
        try:
            text = write(structure)
        except ValueError as error:
            failed[row] = str(error)
        else:
            (output / f"{stem}{suffix}").write_text(text, encoding="utf-8")
    return failed


def file_stems(names: Iterable[Any]) -> list[str]:
    """Make names into different names of files, on file systems that ignore case too.

    Examples
    --------
    >>> file_stems(["mp-1", "../Na Cl", "MP-1", ""])
    ['mp-1-row-0', 'Na_Cl', 'MP-1-row-2', 'row-3']
    """
    stems = [re.sub(r"[^A-Za-z0-9._+-]", "_", str(name)).lstrip("._")[:LONGEST_NAME] for name in names]
    times = Counter(stem.lower() for stem in stems)
    return [
        stem if stem and times[stem.lower()] == 1 else "-".join(filter(None, (stem, f"row-{row}")))
        for row, stem in enumerate(stems)
    ]


def _cif(structure: Structure) -> str:
    from pymatgen.io.cif import CifWriter  # noqa: PLC0415  0.3 s

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Site labels are not unique")  # pymatgen repeats them for the species of a site
        return str(CifWriter(structure))


def _poscar(structure: Structure) -> str:
    from pymatgen.io.vasp.inputs import Poscar  # noqa: PLC0415  0.6 s

    if not structure.is_ordered:
        raise ValueError("POSCAR files hold no partial occupancies; write CIFs instead")
    return Poscar(structure).get_str(significant_figures=16)


WRITERS: dict[str, tuple[str, Callable[[Structure], str]]] = {"cif": (".cif", _cif), "poscar": (".vasp", _poscar)}
"""Suffix and writer of each format."""


def _write_lines(
    file: IO[bytes], structures: Iterator[Structure], names: Sequence[str] | None, properties: pd.DataFrame | None, *, packed: bool
) -> None:
    records: list[dict[str, Any]] = []
    if properties is not None:
        records = json.loads(properties.to_json(orient="records"))  # NaN becomes null
    with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) if packed else nullcontext(file) as out:
        for row, structure in enumerate(structures):
            entry = {"name": str(names[row])} if names is not None else {}
            entry |= records[row] if records else {}
            out.write(json.dumps(entry | {"structure": structure.as_dict(verbosity=0)}).encode() + b"\n")


def _names(inputs: str | Path | Iterable[str | Path]) -> list[str]:
    return [str(inputs)] if isinstance(inputs, (str, Path)) else list(map(str, inputs))


def _with_provenance(table: pa.Table, provenance: dict[str, Any]) -> pa.Table:
    return table.replace_schema_metadata({PROVENANCE: json.dumps(provenance | {"matminer_grid": __version__}, default=str)})
