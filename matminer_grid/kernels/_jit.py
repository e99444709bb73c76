"""The one wrapper around numba's compiler."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache

F = TypeVar("F", bound=Callable[..., Any])

UNUSABLE = (OSError, EOFError, UnpicklingError)
"""What numba raises where its cache can't be read or written, or was cut short."""


def jit(function: F) -> F:
    """Compile on first call, without the GIL, and keep the machine code on disk where numba finds a place for it."""
    return _compiled(function, fastmath=False)


def jit_sums(function: F) -> F:
    """Do the same for a kernel whose sums may be added up in any order, so that they can be vectorised. NaN stays NaN."""
    return _compiled(function, fastmath={"reassoc", "nsz", "contract"})


def _compiled(function: F, fastmath: bool | set[str]) -> F:
    compiled = numba.njit(nogil=True, error_model="numpy", fastmath=fastmath)(function)
    if not numba.config.DISABLE_JIT:
        try:
            compiled._cache = _Cache(function)  # what cache=True does, with numba's own class
        except RuntimeError:  # numba found no folder that it may write its cache to
            return cast("F", compiled)
    return cast("F", compiled)


class _Cache(FunctionCache):
    """Numba's cache of machine code, without which work goes on: where a disk is full, kernels are compiled in each process."""

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except UNUSABLE as error:
            warnings.warn(
                f"machine code could not be kept in {self.cache_path} ({error}); it will be compiled anew in each process. "
                "NUMBA_CACHE_DIR names another folder",
                RuntimeWarning,
                stacklevel=2,
            )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except UNUSABLE:  # as good as not there
            return None
