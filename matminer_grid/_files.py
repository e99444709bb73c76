"""Files that are whole: the embedded ones, read against their checksums, and those that appear complete or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import contextmanager, suppress
from importlib.resources import files
from itertools import count
from typing import IO, TYPE_CHECKING

from matminer_grid._platform import create, has_locks, lock, open_same, sync_folder

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
            if has_locks():
                part = part.replace(path)  # still locked, so that nobody takes it for left behind
        if part != path:
            part = part.replace(path)
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
    number = 0
    while True:
        part = _part(path, number)
        try:
            descriptor = create(part)
        except FileExistsError:
            number += 1
            continue
        with suppress(OSError):  # the file system has no locks
            lock(descriptor, wait=True)
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
            if not has_locks() or part.is_symlink():
                part.unlink()
                continue
            descriptor = open_same(part)
            try:
                lock(descriptor)
                if os.path.samestat(os.fstat(descriptor), part.lstat()):
                    part.unlink()
            finally:
                os.close(descriptor)
