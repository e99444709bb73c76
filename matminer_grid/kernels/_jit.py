"""The one wrapper around numba's compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def jit(function: F) -> F:
    """Compile on first call, without the GIL, and keep the machine code on disk where numba finds a place for it."""
    try:
        return cast("F", numba.njit(cache=True, nogil=True, error_model="numpy")(function))
    except RuntimeError:  # numba found no folder that it may write its cache to
        return cast("F", numba.njit(nogil=True, error_model="numpy")(function))
