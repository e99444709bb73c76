"""The one wrapper around numba's compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def jit(function: F) -> F:
    """Compile on first call, without the GIL, and keep the machine code on disk where numba finds a place for it."""
    return _compiled(function, fastmath=False)


def jit_sums(function: F) -> F:
    """Do the same for a kernel whose sums may be added up in any order, so that they can be vectorised. NaN stays NaN."""
    return _compiled(function, fastmath={"reassoc", "nsz", "contract"})


def _compiled(function: F, fastmath: bool | set[str]) -> F:
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}
    try:
        return cast("F", numba.njit(cache=True, **options)(function))
    except RuntimeError:  # numba found no folder that it may write its cache to
        return cast("F", numba.njit(**options)(function))
