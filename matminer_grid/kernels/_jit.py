"""The one wrapper around numba's compiler."""

from __future__ import annotations

import warnings
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
    compiled = numba.njit(nogil=True, error_model="numpy", fastmath=fastmath)(function)
    if not numba.config.DISABLE_JIT:
        _keep_machine_code(compiled, function)
    return cast("F", compiled)


def _keep_machine_code(compiled: Any, function: Callable[..., Any]) -> None:
    """Give a compiled function a cache, as ``cache=True`` does, with numba's own class; do without where that is gone."""
    try:
        from matminer_grid.kernels._cache import Cache  # noqa: PLC0415  it needs what numba may change

        compiled._cache = Cache(function)
    except RuntimeError:  # numba found no folder that it may write its cache to
        return
    except (ImportError, AttributeError, TypeError) as error:
        warnings.warn(
            f"numba {numba.__version__} keeps machine code in another way than this version of matminer-grid knows ({error}): "
            "kernels are compiled in each process",
            RuntimeWarning,
            stacklevel=2,
        )
