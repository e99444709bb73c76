"""Files that are whole: the embedded ones, read against their checksums, and those that appear complete or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import contextmanager, suppress
from importlib.resources import files
from itertools import count
from typing import IO, TYPE_CHECKING

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = files("matminer_grid") / "datasets" / "data"
CHECKSUMS = "SHA256SUMS"


def read_embedded(name: str) -> bytes:
    """Read a file of ``datasets/data`` after checking it against the list of checksums beside it."""
    listed = dict(line.split()[::-1] for line in (DATA / CHECKSUMS).read_text(encoding="ascii").splitlines())
    if name not in listed:
        raise ValueError(f"{name} is none of the embedded files; those are {', '.join(listed)}")
    content = (DATA / name).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != listed[name]:
        raise ValueError(
            f"{DATA / name} is damaged or was changed: its SHA-256 checksum is {found} and should be {listed[name]}; "
            "install matminer-grid anew, or write the file again with scripts/build_mp_elasticity.py"
        )
    return content


def lock(descriptor: int) -> None:
    """Lock an open file, on systems that have such locks; another process that has it locked is a BlockingIOError."""
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file under another name and, once it is on the disk, give it its own; links are replaced, not followed.

    Several processes may write the same file at once: each writes a part of its own, ``<name>.part``, ``<name>.1.part`` and so on,
    and the last one to end wins. Parts that killed processes left are removed. Where the disk is full, the OSError says what to do.
    """
    _remove_leftovers(path)
    part: Path | None = None
    try:
        part, descriptor = _create_part(path)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if fcntl is not None:
                part = part.replace(path)  # still locked, so that nobody takes it for left behind
        if fcntl is None:
            part = part.replace(path)  # Windows renames closed files only
        sync_folder(path.parent)
    except OSError as error:
        if error.errno in NO_SPACE:
            raise OSError(
                error.errno,
                f"there is no space left for {path} ({os.strerror(error.errno or 0)}); what was written before is whole: free "
                "some, and start again with the same arguments to go on",
            ) from error
        raise
    finally:
        if part is not None and part != path:
            part.unlink(missing_ok=True)


def _part(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}.part" if number else f"{path.name}.part")


def _create_part(path: Path) -> tuple[Path, int]:
    """Create a part that no other process writes to, and lock it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    number = 0
    while True:
        part = _part(path, number)
        try:
            descriptor = os.open(part, flags, 0o666)
        except FileExistsError:
            number += 1
            continue
        if fcntl is not None:
            with suppress(OSError):  # the file system has no locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return part, descriptor
        os.close(descriptor)  # another process took it for left behind before it was locked


def _remove_leftovers(path: Path) -> None:
    """Remove the parts of writers that are gone: those that are not locked, on Windows those that are not open."""
    for number in count():
        part = _part(path, number)
        if not os.path.lexists(part):
            return
        with suppress(OSError):  # another process writes to it, or has just removed it
            if fcntl is None or part.is_symlink():
                part.unlink()
                continue
            descriptor = os.open(part, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                lock(descriptor)
                if os.path.samestat(os.fstat(descriptor), part.lstat()):
                    part.unlink()
            finally:
                os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
