"""How many threads, and threads that Ctrl-C stops: Python looks at signals only after a compiled function has returned."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from joblib import Parallel, cpu_count, delayed
from joblib.parallel import get_active_backend
from tqdm.auto import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from numpy.typing import NDArray

    Flag = NDArray[np.bool_]

T = TypeVar("T")

SITES_AT_ONCE = 1000
"""Sites that no kernel takes longer than about a second for: a million reflections of so many take 1.2 s."""

POLL_SECONDS = 0.2
"""Waiting without a limit could not be interrupted on Windows."""

_watched = threading.local()

_listeners: list[Any] = []
"""Who is told how far work has come: what it is, how much is done, of how much."""

_around: list[Parts] = []
"""Work that what is under way is a part of, the outermost first."""


def n_threads(n_jobs: int | None) -> int:
    """Read `n_jobs` as the whole package does: how many threads share the work.

    None is all cores, unlike in scikit-learn, since the kernels release the GIL; but one inside of joblib's own workers, which
    share the cores already. A number is that many; -1 is all cores, -2 all but one. Results don't depend on it. Where processes
    are needed instead, None is one of them: see :func:`n_processes`.
    """
    if n_jobs is None:
        return 1 if get_active_backend()[0].nesting_level else cpu_count()
    if not isinstance(n_jobs, Integral) or n_jobs == 0:
        raise ValueError(f"n_jobs must be a whole number other than 0, or None for all cores, not {n_jobs!r}")
    return int(n_jobs) if n_jobs > 0 else max(1, cpu_count() + 1 + int(n_jobs))


def n_processes(n_jobs: int | None) -> int:
    """Read `n_jobs` where it is a number of processes: as :func:`n_threads`, but one for None, since each takes time and memory."""
    return 1 if n_jobs is None else n_threads(n_jobs)


def with_progress(
    function: Callable[[Any], int], arguments: Iterable[Any], n_jobs: int | None, bar: dict[str, Any], batch_size: Any = "auto"
) -> None:
    """Call a function for each argument, in threads; what it gives, how much was done, moves a progress bar of tqdm's options."""
    tasks = [delayed(function)(argument) for argument in arguments]
    threads = min(n_threads(n_jobs), max(1, len(tasks)))
    amounts = Parallel(n_jobs=threads, require="sharedmem", return_as="generator_unordered", batch_size=batch_size)(tasks)
    with progress_bar(**bar) as progress:
        for amount in amounts:
            progress.update(amount)


@contextmanager
def listening(listener: Callable[[str, float, float], None]) -> Iterator[None]:
    """Tell a function how far work has come, instead of showing bars: what it is, how much is done, and of how much."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def progress_bar(**options: Any) -> Any:
    """Make a bar of tqdm's options, or, where somebody listens, what tells them as much."""
    return _Told(options["desc"], options["total"]) if _listeners and options.get("desc") else tqdm(**options)


class Parts:
    """Work of several parts, of amounts that are in proportion to the time they take; whoever listens is told of the whole.

    Progress bars inside of a part, and parts of it, move the whole: `part` is a context manager around each.
    """

    def __init__(self, what: str, total: float) -> None:
        self.what, self.total, self.done, self._amount = what, float(total), 0.0, 0.0

    @contextmanager
    def part(self, amount: float) -> Iterator[None]:
        """Do a part of the work inside."""
        _tell(self.what, self.done, self.total)
        self._amount = amount
        _around.append(self)
        try:
            yield
        finally:
            _around.pop()
        self.done += amount
        _tell(self.what, self.done, self.total)

    def moved(self, share: float) -> None:
        """Take note of the share of the present part that is done."""
        outer = _around.pop()  # what is around it is told
        try:
            _tell(self.what, self.done + share * self._amount, self.total)
        finally:
            _around.append(outer)


def _tell(what: str, done: float, total: float) -> None:
    """Tell what is around, or else the last listener, how much is done."""
    if _around:
        _around[-1].moved(done / total if total else 1.0)
    elif _listeners:
        _listeners[-1](what, done, total)


class _Told:
    """Tells the last listener how much is done."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done = what, total, 0
        _tell(what, 0, total)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, amount: int) -> None:
        self.done += amount
        _tell(self.what, self.done, self.total)


def new_flag() -> Flag:
    """Make a flag, an array of one bool, that makes work stop early when it becomes true."""
    return np.zeros(1, np.bool_)


@contextmanager
def watching(stop: Flag) -> Iterator[None]:
    """Let the kernels that are called in this thread watch a flag."""
    _watched.stop = stop
    try:
        yield
    finally:
        del _watched.stop


def interruptible(kernel: Callable[..., T], *arguments: Any, n_sites: int) -> T:
    """Call a kernel whose last argument is a flag; for many sites in a thread, so that Ctrl-C is heard and raises the flag.

    Only the main thread gets signals. In others the kernel just runs, and watches the flag of :func:`watching`.
    """
    stop = getattr(_watched, "stop", None)
    stop = new_flag() if stop is None else stop
    if n_sites <= SITES_AT_ONCE or threading.current_thread() is not threading.main_thread():
        return kernel(*arguments, stop)
    try:
        (result,) = in_threads(lambda _: kernel(*arguments, stop), [None], 1, stop)
    except Exception:
        stop[0] = False  # the kernel failed, MemoryError say, and others may go on
        raise
    return result


def in_threads(function: Callable[[Any], T], arguments: Iterable[Any], n_threads: int, stop: Flag) -> Generator[T]:
    """Call a function for each argument, in threads, and give the results in order; few wait to be fetched.

    If it is broken off, by an error, Ctrl-C or `close`, the flag is raised, and what has begun is waited for, a second at most.
    """
    pool = ThreadPoolExecutor(n_threads)
    pending: deque[Future[T]] = deque()
    try:
        for argument in arguments:
            pending.append(pool.submit(function, argument))
            if len(pending) > 2 * n_threads:
                yield _first(pending)
        while pending:
            yield _first(pending)
    except BaseException:  # Ctrl-C and the generator's end too: the threads are told before it goes on
        stop[0] = True
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        begun = [future for future in pending if not future.cancelled()]
        finished = not wait(begun, timeout=1).not_done  # a kernel that is being compiled looks at the flag later
        pool.shutdown(wait=finished)


def _first(pending: deque[Future[T]]) -> T:
    while not pending[0].done():
        wait([pending[0]], timeout=POLL_SECONDS)
    return pending.popleft().result()
