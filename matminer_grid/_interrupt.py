"""Ctrl-C during kernels that take long: Python looks at signals only after a compiled function has returned."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

SITES_AT_ONCE = 1000
"""Sites that no kernel takes longer than about a second for: a million reflections of so many take 1.2 s."""

POLL_SECONDS = 0.2
"""Waiting without a limit could not be interrupted on Windows."""


def interruptible(kernel: Callable[..., Any], *arguments: Any, n_sites: int) -> Any:
    """Call a kernel whose last argument, an array of one bool, makes it return early when it becomes true; Ctrl-C does that.

    For many sites the kernel runs in a thread while this one waits. Only the main thread gets signals; in others, it just runs.
    """
    stop = np.zeros(1, np.bool_)
    if n_sites <= SITES_AT_ONCE or threading.current_thread() is not threading.main_thread():
        return kernel(*arguments, stop)
    pool = ThreadPoolExecutor(max_workers=1)
    future = pool.submit(kernel, *arguments, stop)
    try:
        while not future.done():
            wait([future], timeout=POLL_SECONDS)
    finally:
        stop[0] = True
        wait([future], timeout=1)  # a kernel that is being compiled looks at the flag later
        pool.shutdown(wait=future.done())
    return future.result()
