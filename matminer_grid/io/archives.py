"""Members of zip and tar archives, read in memory: nothing is unpacked to disk."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING

from matminer_grid.io.formats import MAX_FILE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_ARCHIVE_SIZE = 20_000_000_000
"""Bytes that all members of an archive may have, unpacked."""

BLOCK = 1 << 16
"""Bytes read at once."""

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
"""Endings of the archives that can be read."""

_OPENERS = {"gz": gzip.open, "tgz": gzip.open, "bz2": bz2.open, "tbz2": bz2.open, "xz": lzma.open, "txz": lzma.open}

DAMAGED = (OSError, EOFError, ValueError, RuntimeError, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, zlib.error)
"""What the standard library raises for damaged archives and packed files."""


def is_archive(name: str) -> bool:
    """Tell by its ending whether a file is an archive."""
    return name.lower().endswith(ARCHIVES)


def is_packed(name: str) -> bool:
    """Tell by its ending whether a file is a single packed one, such as ``NaCl.cif.gz``."""
    return name.lower().endswith((".gz", ".bz2", ".xz")) and not is_archive(name)


def open_binary(path: Path) -> IO[bytes]:
    """Open a file for reading, unpacking it if its ending says that it is packed."""
    opener = _OPENERS.get(path.suffix.lower().removeprefix("."))
    return opener(path, "rb") if opener else path.open("rb")  # type: ignore[operator]


def read_limited(file: IO[bytes]) -> bytes:
    """Read a file as far as :data:`MAX_FILE_SIZE`; more is a ValueError."""
    blocks = []
    size = 0
    while block := file.read(BLOCK):  # a read of the limit itself would set aside as much memory
        blocks.append(block)
        size += len(block)
        if size > MAX_FILE_SIZE:
            raise ValueError(f"it has more than {MAX_FILE_SIZE / 1e6:.0f} MB, the limit for one structure file")
        if len(block) < BLOCK:
            break
    return b"".join(blocks)


def members(path: Path) -> Iterator[tuple[str, bytes | ValueError]]:
    """Give the names of a zip or tar archive's files and what they hold, or what is wrong with them.

    Absolute names, names with "..", links and devices are refused, as are members of more than :data:`MAX_FILE_SIZE` bytes. For an
    archive that is damaged, or has more than :data:`MAX_ARCHIVE_SIZE` bytes unpacked, a ValueError follows what stands before.
    """
    try:
        yield from _zip_members(path) if path.suffix.lower() == ".zip" else _tar_members(path)
    except DAMAGED as error:
        raise ValueError(f"the archive is damaged or can't be read: {error}") from error


def _zip_members(path: Path) -> Iterator[tuple[str, bytes | ValueError]]:
    with zipfile.ZipFile(path) as archive:
        _check_total(sum(info.file_size for info in archive.infolist()))
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            if info.is_dir():
                continue
            is_link = info.create_system == 3 and (info.external_attr >> 16) & 0o170000 == 0o120000
            problem = _problem(info.filename, info.file_size, is_link)
            if problem:
                yield info.filename, ValueError(problem)
                continue
            try:
                with archive.open(info) as file:
                    content = read_limited(file)
            except DAMAGED as error:
                yield info.filename, ValueError(f"it can't be unpacked: {error}")
            else:
                yield info.filename, content


def _tar_members(path: Path) -> Iterator[tuple[str, bytes | ValueError]]:
    total = 0
    with open_binary(path) as packed, _Metered(packed) as metered, tarfile.open(fileobj=metered, mode="r|") as archive:
        while True:
            metered.budget += 2 * MAX_FILE_SIZE  # for headers: those of one member are held in memory
            info = archive.next()
            if info is None:
                return
            archive.members = []  # type: ignore[attr-defined]  # or all of them are held
            metered.budget = info.size
            total += info.size
            _check_total(total)
            if info.isdir():
                continue
            problem = _problem(info.name, info.size, not info.isreg())
            file = None if problem else archive.extractfile(info)
            yield (info.name, ValueError(problem)) if file is None else (info.name, read_limited(file))


def _check_total(size: int) -> None:
    if size > MAX_ARCHIVE_SIZE:
        raise ValueError(f"its members have more than {MAX_ARCHIVE_SIZE / 1e9:.0f} GB together, the limit for one archive")


def _problem(name: str, size: int, is_link: bool) -> str | None:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or parts[0].endswith(":") or ".." in parts:
        return "its name leads out of the archive (an absolute path, or '..'); it is not read"
    if is_link:
        return "it is a link or a device, not a file; it is not read"
    if size > MAX_FILE_SIZE:
        return f"it has {size / 1e6:.0f} MB; the limit for one structure file is {MAX_FILE_SIZE / 1e6:.0f} MB"
    return None


class _Metered(io.RawIOBase):
    """A stream that gives no more bytes than its budget: a tar header can claim any size."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.budget = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content = self.file.read(size)
        self.budget -= len(content)
        if self.budget < -MAX_FILE_SIZE:
            raise ValueError(f"a header has more than {MAX_FILE_SIZE / 1e6:.0f} MB")
        return content
