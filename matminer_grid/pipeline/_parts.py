"""How all work on many files resumes: units of files, each of which fills its parts in order; a part that is there is skipped.

A part appears under its name, ``part-UNIT.NUMBER.parquet``, when it is whole. Its metadata tell the files of its unit with size and
time, which structures failed, and whether it is the unit's last part, so the parts alone tell what is left to do.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass, field
from itertools import count, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from matminer_grid._files import replacing
from matminer_grid._platform import lock, open_lock
from matminer_grid._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from numpy.typing import NDArray

    from matminer_grid.io.records import StructureBatch

    Compute = Callable[[list[StructureBatch]], tuple[pa.Table, list[list[str]]]]

METADATA = b"matminer_grid"
"""Entry of a part's schema that holds, as JSON, the run's settings and what is said above."""

FORMAT = 1
"""Version of what the parts hold and what their metadata tell; it is the first of the settings."""

SETTINGS, LOCK, ERRORS = "run.json", ".lock", "errors.jsonl"

PART_SIZE = 2000
"""Structures that are read, computed and written at once."""

UNIT_BYTES = 32_000_000
"""Bytes of files that are put into one unit; a larger file is a unit alone."""

AGAIN = "start in another folder"


@dataclass
class Unit:
    """Files that are read together, and what the parts that are there have of them."""

    name: str
    files: list[list[Any]]  # name of each, and what stamp gave before it was read
    n_parts: int = 0
    n_rows: int = 0
    errors: list[list[str]] = field(default_factory=list)  # name and error of each structure that failed
    warnings: list[list[str]] = field(default_factory=list)  # name and warning, one or more of a structure that was read with some
    has_ended: bool = False

    @property
    def n_done(self) -> int:
        return self.n_rows + len(self.errors)

    def add(self, n_rows: int, metadata: dict[str, Any]) -> None:
        """Count one more part."""
        self.n_parts += 1
        self.n_rows += n_rows
        self.errors += metadata["errors"]
        self.warnings += metadata["warnings"]
        self.has_ended = metadata["ends"]

    def check(self, inputs: Collection[str]) -> None:
        """Refuse to go on, or to take for done, where a file was changed or, if not all is done, isn't given any more."""
        for name, before in self.files if self.n_parts else ():
            if name not in inputs and not self.has_ended:
                raise ValueError(f"{name}: it was computed in part and is not among the inputs any more; {AGAIN}")
            if name in inputs and stamp(Path(name)) != before:
                raise ValueError(
                    f"{name}: it was changed after {self.n_done} structures, its own or read with it, had been computed; remove "
                    f"part-{self.name}.*.parquet to do them anew, or {AGAIN}"
                )


def check_format(path: Path, settings: dict[str, Any]) -> None:
    """Refuse a result whose settings are of a format that this version doesn't know."""
    if settings.get("format") != FORMAT:
        raise ValueError(
            f"{path}: it is in format {settings.get('format')}, of matminer-grid {settings.get('version', 'unknown')}; this is "
            f"{__version__}, which reads format {FORMAT}: compute it again"
        )


def stamp(file: Path) -> list[int]:
    """Give size and time of a file, nothing if it is gone."""
    try:
        status = file.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def part_files(folder: Path, unit: str | None = None) -> list[tuple[str, int, Path]]:
    """Find the parts of a folder, or those of one unit: unit, number and path of each, in order."""
    named = ((re.fullmatch(r"part-(.+)\.(\d+)\.parquet", path.name), path) for path in folder.glob("part-*.parquet"))
    parts = [(match[1], int(match[2]), path) for match, path in named if match]
    return sorted(part for part in parts if unit in {None, part[0]})


def find_parts(folder: Path) -> list[Path]:
    """Find the parts of a folder, in order, of which there must be some."""
    parts = [part for _, _, part in part_files(folder)]
    if not parts:
        raise FileNotFoundError(f"{folder}: the folder holds no part-*.parquet")
    return parts


def read_units(folder: Path, unit: str | None = None) -> dict[str, Unit]:
    """Read what the parts of a folder, or those of one unit, tell; refuse one that is missing, a link, or damaged."""
    units: dict[str, Unit] = {}
    for name, parts in groupby(part_files(folder, unit), key=lambda part: part[0]):
        for expected, (_, number, path) in enumerate(parts):
            if number != expected:
                missing = part_path(folder, name, expected)
                raise ValueError(f"{missing}: the part is missing, and later ones are there; put it back, or {AGAIN}")
            if path.is_symlink():
                raise ValueError(f"{path}: it is a link; the parts of a run must be files of the folder itself")
            try:
                footer = pq.read_metadata(path)
                metadata = json.loads(footer.metadata[METADATA])
                units.setdefault(name, Unit(name, metadata["files"])).add(footer.num_rows, metadata)
            except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path}: it is damaged, or none of ours ({error}); {AGAIN}") from error
    return units


def part_path(folder: Path, unit: str, number: int) -> Path:
    """Name a part."""
    return folder / f"part-{unit}.{number:05d}.parquet"


def plan(folder: Path, files: list[Path], part_size: int) -> list[Unit]:
    """Give the units: those of which parts are there, and new ones for files that are in none of them."""
    units = read_units(folder)
    names = set(map(str, files))
    for unit in units.values():
        unit.check(names)
        names.difference_update(name for name, _ in unit.files)
    free = (f"{number:05d}" for number in count() if f"{number:05d}" not in units)
    new = [Unit(next(free), group) for group in _together((file for file in files if str(file) in names), part_size)]
    return sorted([*units.values(), *new], key=lambda unit: unit.name)


def _together(files: Iterable[Path], most: int) -> Iterator[list[list[Any]]]:
    """Group files, with their stamps, that are read together: up to a number of them and of bytes."""
    group: list[list[Any]] = []
    total = 0
    for file in files:
        when = stamp(file)
        size = when[0] if when else 0
        if group and (len(group) == most or total + size > UNIT_BYTES):
            yield group
            group, total = [], 0
        group.append([str(file), when])
        total += size
    if group:
        yield group


def _in_parts(batches: Iterable[StructureBatch], skip: int, size: int) -> Iterator[tuple[list[StructureBatch], bool]]:
    """Leave out the first structures, and give the others some at a time, with whether they are the last."""
    gathered: list[StructureBatch] = []
    n_free = size
    for batch in batches:
        start = min(skip, len(batch))
        skip -= start
        while start < len(batch):
            if n_free == 0:
                yield gathered, False
                gathered, n_free = [], size
            stop = min(len(batch), start + n_free)
            gathered.append(batch.part(start, stop))
            n_free -= stop - start
            start = stop
    if gathered:
        yield gathered, True


class Folder:
    """A folder of parts with the settings, as JSON has them, that they depend on; used as a context, in which it is locked.

    Other files, parts of other settings (ValueError) and another run (BlockingIOError) are refused.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self.settings = json.loads(json.dumps({"format": FORMAT} | settings))

    def __enter__(self) -> Self:
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{self.path} is no folder; give a folder, or a file name that ends in .parquet")
        own = {SETTINGS, SETTINGS + ".part", LOCK}
        if self.path.is_dir() and not (self.path / SETTINGS).is_file() and {entry.name for entry in self.path.iterdir()} - own:
            raise ValueError(f"{self.path}: the folder holds other files; give a new or an empty one")
        self.path.mkdir(parents=True, exist_ok=True)
        self.lock = open_lock(self.path / LOCK)
        try:
            self._begin()
        except BaseException:  # whatever happened, Ctrl-C included, the lock is given back and the error goes on
            os.close(self.lock)
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self.lock)

    def _begin(self) -> None:
        try:
            lock(self.lock)
        except BlockingIOError as error:
            raise BlockingIOError(error.errno, f"{self.path}: another run is writing to this folder") from error
        file = self.path / SETTINGS
        if not file.is_file():
            with replacing(file) as out:
                out.write(json.dumps(self.settings, indent=1).encode())
            return
        try:
            former = json.loads(file.read_bytes())
        except ValueError as error:
            raise ValueError(f"{file}: it is no JSON ({error}); the folder is not one of ours, or damaged") from error
        new = {name: value for name, value in self.settings.items() if former.get(name) != value}
        if new:
            different = ", ".join(f"{name} {former.get(name)!r}, not {value!r}" for name, value in new.items())
            raise ValueError(f"{self.path}: the folder was begun with {different}; choose another one")

    def join(self, path: Path) -> None:
        """Write all parts, which are of one schema, into one file."""
        parts = find_parts(self.path)
        schema = pq.read_schema(parts[0]).with_metadata({METADATA: json.dumps(self.settings).encode()})
        with replacing(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for part in parts:
                writer.write_table(pq.read_table(part).replace_schema_metadata(schema.metadata))

    def remove(self) -> None:
        """Remove the folder: later parts first, the settings last, so that a run killed meanwhile can be started again."""
        for _, _, part in reversed(part_files(self.path)):
            part.unlink()
        (self.path / SETTINGS).unlink()
        shutil.rmtree(self.path)


def write_parts(folder: Folder, unit: Unit, batches: Iterable[StructureBatch], compute: Compute, part_size: int) -> Iterator[int]:
    """Write the parts of a unit that aren't there, from all its structures; give the number of structures of each.

    `compute` gets structures and gives a table of rows, and name and error of each structure that failed.
    """
    for structures, ends in _in_parts(batches, unit.n_done, part_size):
        table, errors = compute(structures)
        failed = dict(errors)
        warned = [(one.names[row], text) for one in structures for row in sorted(one.warnings) for text in one.warnings[row]]
        kept = [[name, text] for name, text in warned if name not in failed]
        metadata = {"files": unit.files, "errors": errors, "warnings": kept, "ends": ends}
        table = table.replace_schema_metadata({METADATA: json.dumps(folder.settings | metadata)})
        with replacing(part_path(folder.path, unit.name, unit.n_parts)) as file:
            pq.write_table(table, file, compression="zstd")
        unit.add(len(table), metadata)
        yield len(table) + len(errors)


def sort_out(names: NDArray[np.object_], unread: dict[int, str], failed: dict[int, Any]) -> tuple[pa.Array, list[list[str]]]:
    """Give the names of the structures with a result, and name and error of the others; `failed` has rows of what was read."""
    read = np.delete(np.arange(len(names)), list(unread))
    errors = unread | {int(read[row]): str(error) for row, error in failed.items()}
    return pa.array(np.delete(names, list(errors)), pa.string()), [[names[row], errors[row]] for row in sorted(errors)]


def write_errors(path: Path, units: Collection[Unit]) -> Path | None:
    """Write the errors and warnings of units as JSON lines, and give the path; without any the file is removed."""
    lines = [{"name": name, "error": reason} for unit in units for name, reason in unit.errors]
    lines += [{"name": name, "warning": text} for unit in units for name, text in unit.warnings]
    if not lines:
        path.unlink(missing_ok=True)
        return None
    with replacing(path) as file:
        file.writelines(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)
    return path
