"""What other packages don't promise to keep and is used all the same: each in one function, with another way if it is gone.

numba's cache of machine code, the last of them, is in ``kernels/_cache.py``.
"""

from __future__ import annotations

import warnings
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def worker_processes(n: int) -> Executor:
    """Give joblib's pool of processes, which one that is killed doesn't harm for long; threads where joblib doesn't offer it."""
    try:
        from joblib.executor import get_memmapping_executor  # noqa: PLC0415  it may be gone
    except ImportError:
        return _threads(n)
    return get_memmapping_executor(n, timeout=60)


@cache
def _threads(n: int) -> Executor:
    return ThreadPoolExecutor(n)


def become(frame: pd.DataFrame, other: pd.DataFrame) -> None:
    """Let a frame hold what another one holds, which has its rows and columns and more columns behind them.

    It is what pandas does itself for ``inplace=True``. Setting thousands of columns one by one leaves a fragmented frame.
    """
    update = getattr(frame, "_update_inplace", None)
    if update is not None:
        update(other)
        return
    first = len(frame.columns)
    frame.columns = other.columns[:first]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="DataFrame is highly fragmented")
        for position in range(first, len(other.columns)):
            frame.insert(position, other.columns[position], other.iloc[:, position], allow_duplicates=True)
