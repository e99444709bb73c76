"""Structure files, folders and archives of them, JSON lines and Parquet: one record for each structure, good or bad."""

from __future__ import annotations

import os
import stat
import warnings
from collections import deque
from concurrent.futures import BrokenExecutor, Future
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matminer_grid._private import worker_processes
from matminer_grid._threads import n_processes
from matminer_grid.io.archives import DAMAGED, is_archive, is_packed, members, open_binary, read_limited
from matminer_grid.io.ase import read_ase_database
from matminer_grid.io.formats import MAX_FILE_SIZE, format_of, parse_structures
from matminer_grid.io.parquet import open_parquet, read_rows
from matminer_grid.io.records import Parsed, Source, StructureBatch, StructureRecord, in_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHUNK_FILES = 32
"""Files that a process gets at once."""

CHUNK_BYTES = 8_000_000
"""Bytes of archive members or lines that a process gets at once."""

BATCH_SITES = 10_000
"""Sites of structures that wait to be put into columns."""

WINDOW = 8
"""Chunks a process that are under way or wait to be fetched."""

MANY = (None, "lines", "ase", "xyz", "xdatcar")
"""Formats of files whose structures can't be counted before they are read; None stands for archives."""

SUPPORTED = (
    "CIF, POSCAR, CONTCAR and XDATCAR (.vasp), pymatgen's JSON, extended XYZ, CSSR, XSF and RES files, plain or packed "
    "(.gz, .bz2, .xz), zip and tar archives of them, JSON lines (.jsonl), Parquet, and ASE's databases (.db)"
)


def find_structure_files(paths: str | Path | Iterable[str | Path]) -> Iterator[Path]:
    """Find structure files: those given by name, and all in the folders given, with their subfolders, sorted.

    In folders, files of other kinds and hidden ones are passed over, and links to folders not followed.

    Parameters
    ----------
    paths : str, Path, or several
        Files and folders.

    Raises
    ------
    FileNotFoundError
        There is no such file or folder.
    ValueError
        A folder holds no structure file, or a file is of no known kind.

    Examples
    --------
    >>> list(find_structure_files("no-such-folder"))
    Traceback (most recent call last):
        ...
    FileNotFoundError: no-such-folder: there is no such file or folder
    """
    for found in _find(paths):
        if isinstance(found, StructureRecord):
            error = ValueError if Path(found.name).exists() else FileNotFoundError
            raise error(f"{found.name}: {found.error}")
        yield found


def read_structures_from(paths: str | Path | Iterable[str | Path], *, n_jobs: int | None = None) -> Iterator[StructureRecord]:
    """Read structures from files, folders, archives, JSON lines, Parquet files and ASE databases, one after another.

    Nothing is raised for a file that can't be read: its record says what is wrong, and the others are read. No more is held in
    memory than a few hundred structures, whatever the number of files.

    Parameters
    ----------
    paths : str, Path, or several
        Files and folders; folders are searched with their subfolders, in sorted order.
    n_jobs : int, optional
        Processes that parse, this one included: one by default, -1 for one a core. A CIF takes half a millisecond and a process a
        second or two to start, in which this one goes on, so others are worth while for thousands of files.

    Yields
    ------
    StructureRecord
        In the order of the paths, whatever the number of processes.

    Raises
    ------
    ValueError
        `n_jobs` is 0.

    Warns
    -----
    UserWarning
        Once, at the end, if structures were read with warnings; each record has its own under `warnings`.

    Notes
    -----
    Cells and sites are taken as the file has them: CIFs with their symmetry applied, not reduced to the primitive cell.
    A file, an archive's member or a line may have 50 MB unpacked (`formats.MAX_FILE_SIZE`).

    Examples
    --------
    >>> [record.error for record in read_structures_from("missing.cif")]
    ['there is no such file or folder']
    """
    return _summarised(read_batches(paths, n_jobs=n_jobs, with_properties=True))


def _summarised(batches: Iterable[StructureBatch]) -> Iterator[StructureRecord]:
    """Give the records, and one warning at the end that says how many had warnings."""
    n, first = 0, ""
    for batch in batches:
        for record in batch.records():
            if record.warnings and record.crystal is not None:
                first = first or f"{record.name}: {record.warnings[0]}"
                n += 1
            yield record
    warn_of(n, first)


def warn_of(n: int, first: str) -> None:
    """Warn once of all structures that were read with warnings."""
    if n:
        noun = "structure was" if n == 1 else "structures were"
        warnings.warn(f"{n} {noun} read with warnings, the first: {first}", UserWarning, stacklevel=3)


def read_batches(
    paths: str | Path | Iterable[str | Path], *, n_jobs: int | None = None, with_properties: bool = False
) -> Iterator[StructureBatch]:
    """Read what :func:`read_structures_from` reads, many structures at a time, in columns; properties of Parquet if asked for."""
    return (batch for _, batch in _read([paths], n_processes(n_jobs), with_properties))


def read_groups(
    groups: Iterable[str | Path | Iterable[str | Path]], *, n_jobs: int | None = None, with_properties: bool = False
) -> Iterator[tuple[int, StructureBatch]]:
    """Read groups of files, one after another without a pause between them; each batch comes with the number of its group."""
    return _read(groups, n_processes(n_jobs), with_properties)


def _read(groups: Iterable[Any], n_jobs: int, with_properties: bool) -> Iterator[tuple[int, StructureBatch]]:
    """Parse in this process and n_jobs - 1 others; this one does all while the others start, and helps when they lag behind."""
    pending: deque[tuple[int, list[Any], Future[list[StructureBatch]] | None]] = deque()
    started = worker_processes(n_jobs - 1).submit(os.getpid) if n_jobs > 1 else None

    def first() -> Iterator[tuple[int, StructureBatch]]:
        number, chunk, future = pending.popleft()
        return ((number, batch) for batch in _result(chunk, future))

    for number, paths in enumerate(groups):
        for chunk in _chunks(_sources(paths, with_properties)):
            future: Future[list[StructureBatch]] | None = None
            if started is not None and isinstance(chunk[0], Source):
                if len(pending) < WINDOW * n_jobs and _is_done(started):
                    future = worker_processes(n_jobs - 1).submit(_parse_chunk, chunk)
                elif pending:  # the others have enough to do
                    future = Future()
                    future.set_result(_parse_chunk(chunk))
            pending.append((number, chunk, future))
            while pending and (future is None or pending[0][2] is None or pending[0][2].done()):
                yield from first()
    while pending:
        yield from first()


def _is_done(started: Future[int]) -> bool:
    return started.done()


def _result(chunk: list[Any], future: Future[list[StructureBatch]] | None) -> list[StructureBatch]:
    """Fetch what a chunk holds; if a process died, read its files one by one to find the one that kills."""
    if future is None:
        return chunk if isinstance(chunk[0], StructureBatch) else _parse_chunk(chunk)
    try:
        return future.result()
    except BrokenExecutor:
        return [batch for source in chunk for batch in _parse_alone(source)]


def _parse_alone(source: Source) -> list[StructureBatch]:
    try:
        return worker_processes(1).submit(_parse_chunk, [source]).result()
    except BrokenExecutor:
        return [in_columns([Parsed(source.name, error="the process that read it was killed, perhaps for want of memory")])]


def _parse_chunk(sources: list[Source | StructureRecord]) -> list[StructureBatch]:
    """Parse files or their content; structures of many sites make several batches, so that few wait to be put into columns."""
    batches = []
    parsed: list[Parsed] = []
    n_sites = 0
    for source in sources:
        found = [as_parsed(source)] if isinstance(source, StructureRecord) else parse_source(source)
        parsed += found
        n_sites += sum(0 if one.crystal is None else one.crystal.n_sites for one in found)
        if n_sites > BATCH_SITES:
            batches.append(in_columns(parsed))
            parsed, n_sites = [], 0
    return [*batches, in_columns(parsed)] if parsed else batches


def as_parsed(record: StructureRecord) -> Parsed:
    """Give a record as what a parser gives, to be checked and put in columns."""
    return Parsed(record.name, record.crystal, record.error, record.notes, record.warnings, record.properties)


def parse_source(source: Source) -> list[Parsed]:
    """Parse one file or its content; each structure is named by the file, and by its number and name where there are several."""
    try:
        content = _content(source.content) if isinstance(source.content, Path) else source.content
        found = parse_structures(content, source.kind)
    except ValueError as error:
        return [Parsed(source.name, error=str(error))]
    if source.properties:
        found = [one._replace(properties={**one.properties, **source.properties}) for one in found]
    if len(found) == 1:
        return [found[0]._replace(name=source.name)]
    return [
        one._replace(name=f"{source.name}#{number}{f':{one.name}' if one.name else ''}")
        for number, one in enumerate(found, start=1)
    ]


def _content(path: Path) -> bytes:
    try:
        with open_binary(path) as file:
            return read_limited(file)
    except OSError as error:
        raise ValueError(f"it can't be opened: {error.strerror or error}") from error
    except DAMAGED as error:
        raise ValueError(str(error)) from error


def _chunks(sources: Iterable[Source | StructureRecord | StructureBatch]) -> Iterator[list[Any]]:
    """Gather sources to be parsed, and apart from them records that are there already; batches stay alone."""
    for kind, group in groupby(sources, type):
        chunk: list[Any] = []
        size = 0
        for source in group:
            if isinstance(source, StructureBatch):
                yield [source]
                continue
            chunk.append(source)
            size += 0 if kind is StructureRecord or isinstance(source.content, Path) else len(source.content)  # type: ignore[union-attr]
            if len(chunk) == CHUNK_FILES or size > CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
        if chunk:
            yield chunk


def _find(paths: str | Path | Iterable[str | Path]) -> Iterator[Path | StructureRecord]:
    for path in [Path(paths)] if isinstance(paths, (str, Path)) else map(Path, paths):
        try:
            mode = path.stat().st_mode
        except OSError as error:
            why = (
                "there is no such file or folder" if isinstance(error, FileNotFoundError) else f"it can't be read: {error.strerror}"
            )
            yield StructureRecord(str(path), error=why)
            continue
        if stat.S_ISDIR(mode):
            found = False
            for file in _walk(path):
                found = True
                yield file
            if not found:
                yield StructureRecord(str(path), error=f"the folder holds no structure files; {SUPPORTED} can be read")
        elif not stat.S_ISREG(mode):
            yield StructureRecord(str(path), error="it is neither a file nor a folder")
        elif _is_known(path.name):
            yield path
        else:
            yield StructureRecord(str(path), error=f"files of this kind can't be read; {SUPPORTED} can")


def count_structures(files: Iterable[Path]) -> int | None:
    """Tell how many structures files hold, by rows of Parquet and one for each other; None where one may hold many."""
    total = 0
    for file in files:
        kind = None if is_archive(file.name) else _kind(file.name)
        if kind in MANY:
            return None
        try:
            total += open_parquet(file).metadata.num_rows if kind == "parquet" else 1
        except (OSError, ValueError):
            total += 1  # a file that can't be read is one error
    return total


def _walk(folder: Path) -> Iterator[Path | StructureRecord]:
    """Give the structure files of a folder; what disappears meanwhile is passed over, what can't be read is named."""
    try:
        with os.scandir(folder) as entries:
            ordered = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        yield StructureRecord(str(folder), error=f"the folder can't be read: {error.strerror}")
        return
    for entry in ordered:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        elif _is_known(entry.name) and entry.is_file():
            yield Path(entry.path)


def _is_known(name: str) -> bool:
    return is_archive(name) or _kind(name) is not None


def _kind(name: str) -> str | None:
    """Give a file's format, "lines" and "parquet" included, whether it is packed or not."""
    bare = name.rpartition(".")[0] if is_packed(name) else name
    for ending, kind in ((".jsonl", "lines"), (".ndjson", "lines"), (".parquet", "parquet"), (".pq", "parquet"), (".db", "ase")):
        if bare.lower().endswith(ending):
            return kind if bare is name or kind == "lines" else None
    return format_of(bare)


def _sources(
    paths: str | Path | Iterable[str | Path], with_properties: bool
) -> Iterator[Source | StructureRecord | StructureBatch]:
    for found in _find(paths):
        if isinstance(found, StructureRecord):
            yield found
        elif is_archive(found.name):
            yield from _archive(found)
        else:
            kind = _kind(found.name)
            if kind == "lines":
                yield from _lines(found)
            elif kind == "parquet":
                yield from read_rows(found, with_properties=with_properties)
            elif kind == "ase":
                yield from read_ase_database(found)
            else:
                yield Source(str(found), str(kind), found)


def _archive(path: Path) -> Iterator[Source | StructureRecord]:
    found = False
    try:
        for member, content in members(path):
            base = member.rpartition("/")[2]
            kind = _kind(base)
            if base.startswith(".") or (kind is None and isinstance(content, bytes)):
                continue
            found = True
            name = f"{path}/{member}"
            if isinstance(content, ValueError):
                yield StructureRecord(name, error=str(content))
            elif kind in {"lines", "parquet", "ase"} or is_packed(base):
                yield StructureRecord(name, error="only plain structure files are read from archives; unpack this one first")
            else:
                yield Source(name, str(kind), content)
    except ValueError as error:
        yield StructureRecord(str(path), error=str(error))
        return
    if not found:
        yield StructureRecord(str(path), error=f"the archive holds no structure files; {SUPPORTED} can be read")


def _lines(path: Path) -> Iterator[Source | StructureRecord]:
    number = n_structures = 0
    try:
        with open_binary(path) as file:
            while line := file.readline(MAX_FILE_SIZE + 1):
                number += 1
                if len(line) > MAX_FILE_SIZE:
                    error = f"the line has more than {MAX_FILE_SIZE / 1e6:.0f} MB, the limit; the rest of the file is not read"
                    yield StructureRecord(f"{path}:{number}", error=error)
                    return
                if line.strip():
                    n_structures += 1
                    yield Source(f"{path}:{number}", "json", line)
    except DAMAGED as error:
        yield StructureRecord(str(path), error=f"it can't be read on after line {number}: {error}")
        return
    if n_structures == 0:
        yield StructureRecord(str(path), error="it is empty; one structure in JSON on each line is needed")
