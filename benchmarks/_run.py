"""What every benchmark does around its numbers: read the command line, time, describe the machine, write files."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from rich.console import Console

from matminer_grid import __version__
from matminer_grid._files import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PACKAGES = ("matminer", "numba", "numpy", "POT", "pymatgen", "scikit-learn", "scipy")
mpl.use("Agg")
CONSOLE = Console(width=None if os.isatty(1) else 190)


class Stages:
    """Wall-clock time of named stages, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time spent inside to the stage."""
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def seconds(function: Callable[[], Any], repeats: int = 1) -> np.ndarray:
    """Time a call, repeatedly; shape (repeats,)."""
    times = np.empty(repeats)
    for i in range(repeats):
        start = time.perf_counter()
        function()
        times[i] = time.perf_counter() - start
    return times


def exponent(sizes: Iterable[float], costs: Iterable[float]) -> float:
    """Slope of cost against size on logarithmic axes."""
    return float(np.polyfit(np.log(list(sizes)), np.log(list(costs)), 1)[0])


def draw_costs(panels: list[tuple[str, str, Any, Any]], path: Path) -> None:
    """Draw cost against size on logarithmic axes, one panel for each (name of the size, of the cost, sizes, costs)."""
    figure, axes = plt.subplots(1, len(panels), figsize=(4 * len(panels), 3.6), layout="constrained")
    for ax, (size, cost, sizes, costs) in zip(axes, panels, strict=True):
        ax.loglog(sizes, costs, "o-", color="black")
        ax.set(xlabel=size, ylabel=cost)
        ax.grid(alpha=0.3, which="both")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def command_line(name: str, description: str, what: str) -> argparse.ArgumentParser:
    """Make the parser of a benchmark, with its output folder for what it writes."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description.splitlines()[0])
    parser.add_argument("--output", type=output_folder, default=f"output/{name}", help=f"folder for {what}")
    return parser


def output_folder(name: str) -> Path:
    """Make the output folder."""
    path = Path(name)
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / ".writable").touch()
        (path / ".writable").unlink()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path} can't be written to ({error}); choose another folder") from error
    return path


def provenance() -> dict[str, Any]:
    """When, where and with what a benchmark ran."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "packages": {"matminer-grid": __version__} | {name: version(name) for name in PACKAGES},
    }


def write_results(path: Path, content: dict[str, Any], *more: str) -> dict[str, Any]:
    """Write results as JSON with their provenance, whole or not at all; say so, with the names of other files; give all of it."""
    content = provenance() | content
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    with replacing(path) as file:
        file.write(text.encode())
    CONSOLE.print(f"written to {path.parent}: {', '.join([path.name, *more])}", markup=False)
    return content


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123  Linux only, else what platform knows
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
