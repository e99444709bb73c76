"""A folder of Parquet pieces that is whole at any moment: nothing in it is ever half written under its own name."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from matminer_grid._files import replacing

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

METADATA = b"matminer_grid"
"""Entry of a piece's schema that holds, as JSON, what the run's settings are and what the piece stands for."""

SETTINGS, LOCK, ERRORS = "run.json", ".lock", "errors.jsonl"


@dataclass
class Progress:
    """What the pieces of a former run have done.

    Parameters
    ----------
    pieces : iterable of (int, dict)
        Rows and metadata of each piece, in order.
    """

    pieces: Iterable[tuple[int, dict[str, Any]]]
    n_rows: int = 0
    n_failed: int = 0
    ended: set[str] = field(default_factory=set)
    begun: dict[str, tuple[int, list[int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for n_rows, metadata in self.pieces:
            self.n_rows += n_rows
            self.n_failed += len(metadata["errors"])
            for name, count, has_ended, when in metadata["files"]:
                before = self.begun.pop(name, (0, when))
                if has_ended:
                    self.ended.add(name)
                else:
                    self.begun[name] = (before[0] + count, when)

    def check(self, files: list[Path]) -> None:
        """Refuse to go on where a file that was read in part is gone.

        Raises
        ------
        ValueError
            One is not among the files given.
        """
        gone = self.begun.keys() - set(map(str, files))
        if gone:
            raise ValueError(
                f"{min(gone)}: it was featurized in part and is not among the inputs any more; start in another folder"
            )

    def skip(self, file: Path) -> int:
        """Give the number of a file's records that are done.

        Raises
        ------
        ValueError
            Some are, and the file has been changed since.
        """
        if str(file) not in self.begun:
            return 0
        done, when = self.begun[str(file)]
        if when != stamp(file):
            raise ValueError(f"{file}: it was changed after {done} of its structures had been featurized; start in another folder")
        return done


def stamp(file: Path) -> list[int]:
    """Give size and time of a file, nothing if it is gone."""
    try:
        status = file.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


class Folder:
    """The pieces of one run, ``part-00000.parquet`` and so on, with its settings; used as a context, in which it is locked.

    Parameters
    ----------
    path : Path
        Made if it isn't there.
    settings : dict
        What the pieces depend on, as JSON has it.

    Raises
    ------
    BlockingIOError
        Another process writes to the folder.
    ValueError
        It holds other files, or pieces of other settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self.settings = json.loads(json.dumps(settings))
        self.n_pieces = 0

    def __enter__(self) -> Self:
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{self.path} is no folder; give a folder, or a file name that ends in .parquet")
        own = {SETTINGS, SETTINGS + ".part", LOCK}
        if self.path.is_dir() and not (self.path / SETTINGS).is_file() and {entry.name for entry in self.path.iterdir()} - own:
            raise ValueError(f"{self.path}: the folder holds other files; give a new or an empty one")
        self.path.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        self.lock = os.open(self.path / LOCK, flags, 0o666)
        try:
            self._begin()
        except BaseException:  # whatever happened, Ctrl-C included, the lock is given back and the error goes on
            os.close(self.lock)
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self.lock)

    def _begin(self) -> None:
        if fcntl is not None:
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
        different = [
            f"{name} {former.get(name)!r}, not {value!r}" for name, value in self.settings.items() if former.get(name) != value
        ]
        if different:
            raise ValueError(f"{self.path}: the folder was begun with {', '.join(different)}; choose another one")

    def _piece(self, index: int) -> Path:
        return self.path / f"part-{index:05d}.parquet"

    def pieces(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Give rows and metadata of each piece that is there, in order, and count them.

        Raises
        ------
        ValueError
            One is missing, a link, or damaged.
        """
        there = {entry.name for entry in self.path.glob("part-*.parquet")}
        self.n_pieces = 0
        while self.n_pieces < len(there):
            piece = self._piece(self.n_pieces)
            if piece.name not in there:
                raise ValueError(
                    f"{piece}: the piece is missing, and later ones are there; put it back, or start in another folder"
                )
            if piece.is_symlink():
                raise ValueError(f"{piece}: it is a link; the pieces of a run must be files of the folder itself")
            try:
                footer = pq.read_metadata(piece)
                yield footer.num_rows, json.loads(footer.metadata[METADATA])
            except (pa.ArrowException, KeyError, TypeError) as error:
                raise ValueError(f"{piece}: it is damaged, or none of ours ({error}); start in another folder") from error
            self.n_pieces += 1

    def write(self, table: pa.Table, metadata: dict[str, Any]) -> None:
        """Write the next piece."""
        text = json.dumps(self.settings | metadata).encode()
        sink = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata({METADATA: text}), sink, compression="zstd")
        with replacing(self._piece(self.n_pieces)) as file:
            file.write(sink.getvalue())
        self.n_pieces += 1

    def write_errors(self, path: Path) -> bool:
        """Write the errors of all pieces as JSON lines, and tell whether there are any; without any the file is removed."""
        errors = (error for _, metadata in self.pieces() for error in metadata["errors"])
        first = next(errors, None)
        if first is None:
            path.unlink(missing_ok=True)
            return False
        with replacing(path) as file:
            for name, reason in chain([first], errors):
                file.write(json.dumps({"name": name, "error": reason}, ensure_ascii=False).encode() + b"\n")
        return True

    def join(self, path: Path) -> None:
        """Write all pieces, which are of one schema, into one file."""
        schema = pq.read_schema(self._piece(0)).with_metadata({METADATA: json.dumps(self.settings).encode()})
        with replacing(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for index in range(self.n_pieces):
                writer.write_table(pq.read_table(self._piece(index)).replace_schema_metadata(schema.metadata))

    def remove(self) -> None:
        """Remove the folder: later pieces first, the settings last, so that a run killed meanwhile can be started again."""
        for index in reversed(range(self.n_pieces)):
            self._piece(index).unlink()
        (self.path / SETTINGS).unlink()
        shutil.rmtree(self.path)
