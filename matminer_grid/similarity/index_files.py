"""The files of an index of crystals: segments that are written once, and a manifest that names those that are part of it.

A segment is a folder of arrays, complete and on the disk before the manifest, which is replaced as a whole, names it. So an index
is at any moment what it was before or what it is afterwards; folders that the manifest doesn't name are what a killed process left.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from matminer_grid._files import replacing
from matminer_grid._platform import lock, open_lock, sync_folder
from matminer_grid._threads import with_progress
from matminer_grid._version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

FORMAT = 1
"""Version of the files, and of what the vectors in them mean."""

MANIFEST, LOCK, SEGMENT = "manifest.json", "lock", "segment-"
KIND = "index of crystals"

BLOCK_SIZE = 2**22
"""Bytes that a checksum reads at once."""


class ArrayWriter:
    """Writes an array, part by part, as an npy file."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")
        self.n = 0
        self._header: tuple[Any, tuple[int, ...], int] | None = None

    def append(self, values: NDArray[Any]) -> None:
        """Add entries along the first axis."""
        if self._header is None:
            self._header = values.dtype, values.shape[1:], 0
            self._header = values.dtype, values.shape[1:], self._write_header()
        self.file.write(np.ascontiguousarray(values).data)
        self.n += len(values)

    def _write_header(self) -> int:
        dtype, shape, _ = self._header or (np.dtype(float), (), 0)
        layout = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (self.n, *shape)}
        np.lib.format.write_array_header_1_0(self.file, layout)  # padded, so that the length may grow
        return self.file.tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self.file:
            if self._header is not None:
                self.file.seek(0)
                if self._write_header() != self._header[2]:
                    raise AssertionError("the header of an npy file has grown with the length of the array")


def open_array(path: Path) -> NDArray[Any]:
    """Map an npy file; what is changed in memory never gets to the file."""
    return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))


def is_of_index(entry: Path) -> bool:
    """Tell whether an entry of a folder is one that an index has."""
    return entry.name in {MANIFEST, LOCK} or entry.name.startswith((SEGMENT, f"{MANIFEST}."))


def is_index(path: Path) -> bool:
    """Tell whether a path is the folder of an index, be it unfinished."""
    return path.is_dir() and ((path / MANIFEST).exists() or any(path.glob(f"{SEGMENT}*")))


def read_manifest(path: Path) -> dict[str, Any]:
    """Read what an index consists of.

    Raises
    ------
    FileNotFoundError, ValueError
        There is none; or it is damaged, or was written in another format.
    """
    file = path / MANIFEST
    try:
        content = json.loads(file.read_bytes())
        found, checksum = content["manifest"], content["checksum"]
    except (FileNotFoundError, NotADirectoryError):
        if path.is_dir() and any(path.glob(f"{SEGMENT}*")):
            raise ValueError(f"{path}: the index was never finished: build it again") from None
        what = "no index, which is a folder with a manifest" if path.exists() else "there is no such index"
        raise FileNotFoundError(f"{path}: {what}; matminer-grid index build makes one") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: it is cut short or damaged ({error}): build the index again") from error
    if not isinstance(found, dict) or found.get("kind") != KIND or checksum != _checksum_of(found):
        raise ValueError(f"{file}: it is damaged or was changed by hand: build the index again")
    if found["format"] != FORMAT:
        raise ValueError(
            f"{path}: the index was written in format {found['format']} by matminer-grid {found['version']}; this is "
            f"{__version__}, which reads format {FORMAT}: build the index again"
        )
    return found


def write_manifest(path: Path, dissimilarity: dict[str, Any], segments: list[dict[str, Any]]) -> None:
    """Replace the manifest, as a whole, and remove the segments that are no longer part of the index."""
    manifest = {"kind": KIND, "format": FORMAT, "version": __version__, "dissimilarity": dissimilarity, "segments": segments}
    with replacing(path / MANIFEST) as file:
        file.write(json.dumps({"manifest": manifest, "checksum": _checksum_of(manifest)}, indent=1).encode())
    remove_leftovers(path, {segment["folder"] for segment in segments})


def remove_leftovers(path: Path, kept: set[str]) -> None:
    """Remove segments other than those that are kept."""
    for folder in path.glob(f"{SEGMENT}*"):
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def _checksum_of(manifest: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(manifest, sort_keys=True).encode())


def sealed(folder: Path) -> dict[str, list[int]]:
    """Wait until the files of a segment are on the disk; give size and checksum of each."""
    sums = {}
    for file in sorted(folder.iterdir()):
        with file.open("rb+") as content:
            os.fsync(content.fileno())
        sums[file.name] = [file.stat().st_size, _checksum(file)]
    sync_folder(folder)
    return sums


def check_segments(path: Path, segments: list[dict[str, Any]], *, contents: bool) -> None:
    """Check that all files of some segments are there in their sizes, and hold what was written to them.

    Raises
    ------
    ValueError
        A file, which is named, is missing, cut short or damaged.
    """
    files = {path / one["folder"] / name: sums for one in segments for name, sums in one["files"].items()}
    for file, (size, _) in files.items():
        found = file.stat().st_size if file.is_file() else None
        if found != size:
            what = "missing" if found is None else f"cut short or damaged: it has {found} bytes instead of {size}"
            raise ValueError(f"{file} is {what}; build the index again")

    def check(file: Path) -> int:
        if _checksum(file) != files[file][1]:
            raise ValueError(f"{file} is damaged: its checksum is wrong; build the index again")
        return 1

    if contents:
        with_progress(check, sorted(files, key=lambda file: -files[file][0]), None, {"disable": True}, batch_size=1)


def _checksum(file: Path) -> int:
    found, buffer = 0, bytearray(BLOCK_SIZE)
    with file.open("rb", buffering=0) as content:
        while n := content.readinto(buffer):
            found = zlib.crc32(memoryview(buffer)[:n], found)
    return found


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Hold the lock of an index; a folder that is new is removed again if nothing is built in it.

    Raises
    ------
    OSError
        Another process writes to the index, or it can't be written to.
    """
    path.mkdir(parents=True, exist_ok=True)
    descriptor = open_lock(path / LOCK)
    try:
        lock(descriptor)
    except BlockingIOError:
        os.close(descriptor)
        raise BlockingIOError(f"{path}: another process is writing to this index; try again when it has ended") from None
    try:
        yield
    finally:
        if not (path / MANIFEST).exists():
            remove_leftovers(path, set())
            with suppress(OSError):
                (path / LOCK).unlink()
                path.rmdir()
        os.close(descriptor)
