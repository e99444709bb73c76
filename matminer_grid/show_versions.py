"""``python -m matminer_grid.show_versions``: what a report of an error needs to know of a machine, and nothing about its user."""

from __future__ import annotations

import locale
import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, requires, version

from matminer_grid._version import __version__

__all__ = ["show_versions"]

SETTINGS = ("NUMBA_DISABLE_JIT", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE", "PYTHONUTF8", "TERM")
"""Variables of the environment that change results, speed or messages."""


def show_versions() -> None:
    """Print the versions of matminer-grid, Python and what they rest on, the system, and settings that matter.

    Examples
    --------
    >>> from matminer_grid.show_versions import show_versions
    >>> show_versions()  # doctest: +ELLIPSIS
    matminer-grid ...
    Python ...
    """
    print(f"matminer-grid {__version__}")
    print(f"Python {platform.python_version()} ({platform.python_implementation()})")
    print(f"system {platform.platform()}, {platform.machine()}, {os.cpu_count()} cores")
    print(f"encoding {locale.getpreferredencoding(False)}, output {getattr(sys.stdout, 'encoding', None)}")
    for name in SETTINGS:
        if name in os.environ:
            print(f"{name}={os.environ[name]}")
    print()
    for name in _packages():
        print(name, _version(name))


def _packages() -> list[str]:
    """List what matminer-grid asks for, with its extras but without what only its checks need; nothing where it isn't installed."""
    try:
        listed = requires("matminer-grid") or []
    except PackageNotFoundError:
        return []
    used = [one for one in listed if not re.search(r"extra == .(test|pytest|browser|notebooks|docs|dev|bench)\b", one)]
    return list(dict.fromkeys(re.split(r"[^\w.-]", one, maxsplit=1)[0] for one in used))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "is not installed"


if __name__ == "__main__":
    show_versions()
