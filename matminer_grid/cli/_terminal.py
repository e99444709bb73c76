"""What people see in a terminal: tables that are whole, and what is under way."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from numbers import Integral
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WIDE = 10_000
"""Columns where a table goes to a file or a pipe: nothing is broken into lines there."""

NARROWEST = 14
"""Characters that a column of text may be folded to."""

SECONDS_BETWEEN = 10.0
"""Between the lines that say what is under way, where the error stream is no terminal."""

SECONDS_BEFORE = 2.0
"""Before the time left is estimated."""

COMPILING = "compiling kernels that were not needed before: once on a machine, up to two minutes"


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """Print a table for people, numbers to the right.

    Numbers are never broken; texts are folded where the window is narrow, and if that doesn't do, the last columns are left out
    and named.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else WIDE)
    kept, dropped = fitting(columns, rows, console.width)
    table = Table()
    for i in kept:
        number = _is_number(rows, i)
        right = i > 0
        table.add_column(
            columns[i], justify="right" if right else "left", overflow="fold", no_wrap=number, min_width=_least(columns, rows, i)
        )
    for row in rows:
        table.add_row(*(row[i] for i in kept))
    console.print(table)
    if dropped:
        typer.echo(f"the window is too narrow for {', '.join(columns[i] for i in dropped)}: --json prints all")


def fitting(columns: list[str], rows: list[list[str]], width: int) -> tuple[list[int], list[int]]:
    """Choose the columns that fit into a width, from the left, and those that don't; the first one stays."""
    kept: list[int] = []
    used = 1
    for i in range(len(columns)):
        used += _least(columns, rows, i) + 3
        if used > width and kept:
            return kept, list(range(i, len(columns)))
        kept.append(i)
    return kept, []


def _is_number(rows: list[list[str]], i: int) -> bool:
    """Tell whether all cells of a column are numbers or empty."""
    try:
        return all(math.isfinite(float(row[i].replace(",", ""))) for row in rows if row[i])
    except ValueError:
        return False


def _least(columns: list[str], rows: list[list[str]], i: int) -> int:
    """Give the least width of a column."""
    longest = max([len(row[i]) for row in rows], default=0)
    head = max(map(len, columns[i].split()), default=0)
    return max(head, longest if _is_number(rows, i) else min(longest, NARROWEST))


def calm_bars() -> None:
    """Let progress bars write a plain line every ten seconds where the error stream is no terminal."""
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_MININTERVAL", f"{SECONDS_BETWEEN:g}")
        os.environ.setdefault("TQDM_BAR_FORMAT", "{desc}: {n_fmt} of {total_fmt}, {elapsed} so far, {remaining} left\n")


@contextmanager
def stages(quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show what is under way on the error stream, with the time left where it is known.

    In a terminal that is one line that goes away, elsewhere a line every ten seconds. Kernels that are being compiled are
    announced.
    """
    from rich.console import Console

    from matminer_grid._threads import listening

    if quiet:
        yield lambda _: None
        return
    console = Console(stderr=True)
    with ExitStack() as stack:
        state = _State(stack.enter_context(console.status("")).update if console.is_terminal else None)
        stack.enter_context(listening(state.told))
        stack.enter_context(_announcing_compilation(state.compiles))
        stack.callback(state.end)
        yield state.stage


class _State:
    """What is under way, and since when."""

    def __init__(self, show: Callable[[str], None] | None) -> None:
        self._show, self._announced = show, False
        self._text, self._since = "", time.monotonic()
        self._count: tuple[str, float, float] | None = None
        self._began = 0.0, 0.0  # when the count did, and with how much
        self._ended = threading.Event()
        if show is None:
            threading.Thread(target=self._lines, daemon=True).start()

    def stage(self, text: str) -> None:
        self._text, self._since, self._count = text, time.monotonic(), None
        self._update()

    def told(self, what: str, done: float, total: float) -> None:
        if self._count is None or self._count[0] != what or done < self._count[1]:
            self._began = time.monotonic(), done
        self._count = what, done, total
        self._update()

    def compiles(self) -> None:
        if not self._announced:
            self._announced = True
            typer.echo(COMPILING, err=True)

    def end(self) -> None:
        self._ended.set()

    def text(self) -> str:
        """Say what is under way."""
        if self._count is None or self._count[1] >= self._count[2]:
            return self._text
        what, done, total = self._count
        passed, more = time.monotonic() - self._began[0], done - self._began[1]
        left = f", {clock(passed * (total - done) / more)} left" if more > 0 and passed > SECONDS_BEFORE else ""
        how_far = f"{done:,} of {total:,}" if isinstance(done, Integral) else f"{done / total:.0%}"
        return f"{self._text or what}: {how_far}{left}"

    def _update(self) -> None:
        if self._show is not None:
            self._show(self.text())

    def _lines(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN):
            typer.echo(f"{self.text()} ({clock(time.monotonic() - self._since)} so far)", err=True)


def clock(seconds: float) -> str:
    """Write a time as minutes and seconds, such as 1:05, or hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def _announcing_compilation(announce: Callable[[], None]) -> Iterator[None]:
    """Call a function whenever numba compiles one of our kernels, rather than reading it from its cache."""
    from numba.core import event

    class Listener(event.Listener):
        def on_start(self, happening: Any) -> None:
            if happening.data["dispatcher"].py_func.__module__.startswith("matminer_grid."):
                announce()

        def on_end(self, _: Any) -> None:
            pass

    with event.install_listener("numba:compile", Listener()):
        yield
