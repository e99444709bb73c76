"""Files that are whole: the embedded ones, read against their checksums, and those that appear complete or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import contextmanager
from importlib.resources import files
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = files("matminer_grid") / "datasets" / "data"
CHECKSUMS = "SHA256SUMS"


def read_embedded(name: str) -> bytes:
    """Read a file of ``datasets/data`` after checking it against the list of checksums beside it.

    Parameters
    ----------
    name : str
        Name of the file.

    Raises
    ------
    ValueError
        The file is not on the list, or its SHA-256 checksum is another one.
    """
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

    Raises
    ------
    OSError
        It can't be written; where the disk is full, the message says what to do.
    """
    part = path.with_name(path.name + ".part")
    try:
        part.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(part, flags, 0o666), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync(path.parent)
    except OSError as error:
        if error.errno in NO_SPACE:
            raise OSError(
                error.errno,
                f"there is no space left for {path} ({os.strerror(error.errno or 0)}); what was written before is whole: make "
                "room, and start again with the same arguments to go on",
            ) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
