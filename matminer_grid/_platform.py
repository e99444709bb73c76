"""What only some systems have, in one place: locks, open files that may be renamed, names that wait for the disk, mapped memory.

Windows has none of them. There a file is closed before it gets its name, and two runs into one folder aren't kept apart.
"""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING, Any

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from pathlib import Path


def has_locks() -> bool:
    """Tell whether files can be locked, and renamed while they are open."""
    return fcntl is not None


def lock(descriptor: int, *, wait: bool = False) -> None:
    """Lock an open file, where that can be; another process that has it locked is waited for, or a BlockingIOError."""
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def create(path: Path) -> int:
    """Create a file to be written to and open it; one that is there, a link too, is a FileExistsError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.open(path, flags, 0o666)


def open_lock(path: Path) -> int:
    """Open a file that is there to be locked, and create it if need be; a link is an OSError, where that can be told."""
    return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)


def open_same(path: Path) -> int:
    """Open a file to read it; a link is an OSError, where that can be told."""
    return os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where a folder can be opened."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def release_pages(array: Any) -> None:
    """Let go of the memory of an array that is mapped from a file, and unchanged, until it is read again, where that can be."""
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "base", None)
    if array is not None and hasattr(mmap, "MADV_DONTNEED"):
        array.madvise(mmap.MADV_DONTNEED)
