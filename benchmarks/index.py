"""Exact search among millions of crystals on disk: ``python -m benchmarks.index``.

Indexes of more and more perturbed copies of the embedded crystals, by GRID and composition and by sites: how long they take to be
built from Parquet, how large they are, how soon they are open, and what the nearest neighbour of a query costs, each index in a
process of its own. Answers are compared with all pairs of the smallest index. Run it on an idle machine; 10⁶ crystals take a
quarter of an hour and 5 GB of disk.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._perturbed import perturbed_copies
from benchmarks._processes import fresh_process
from benchmarks._run import CONSOLE, command_line, draw_costs, exponent, write_results
from benchmarks._tables import show
from benchmarks.scaling import ELEMENTS, FILE_SIZE, write_crystals
from matminer_grid import CrystalDissimilarity, CrystalTable
from matminer_grid.similarity.grid_index import TIE

RESOLUTIONS = ("grid", "sites")

TARGETS = {
    "minutes to build": 5.0,
    "kB a crystal": 2.5,
    "seconds to open": 2.0,
    "ms a query, grid": 2.0,
    "ms a query, sites": 8.0,
    "exponent, grid": 0.6,
    "exponent, sites": 0.6,
}
"""What the project promises, of 10⁶ references on two threads."""

QUERY_SEED = 2**31
"""Of the queries, so that none is a reference."""

N_CHECKED = 50
"""Queries whose answers are compared with all pairs."""

BUILD = """
import time
from matminer_grid import CrystalDissimilarity, build_index
from matminer_grid.datasets import load_mp_elasticity_table
dissimilarity = CrystalDissimilarity(resolution={resolution!r})
dissimilarity.describe(load_mp_elasticity_table().crystals[:50])
start, cpu = time.perf_counter(), time.process_time()
report = build_index({index!r}, {inputs!r}, dissimilarity=dissimilarity, n_jobs=2)
result = {{"seconds": time.perf_counter() - start, "CPU seconds": time.process_time() - cpu, "crystals": report.n_crystals}}
"""
QUERY = """
import time
from matminer_grid import EMDSearch, CrystalTable
queries = CrystalTable.from_parquet({queries!r})
start = time.perf_counter()
search = EMDSearch.load({index!r}, n_jobs=2)
opened = time.perf_counter()
described = search.dissimilarity_.describe(queries)
search.kneighbors(described[:10], 1)
before, cpu = time.perf_counter(), time.process_time()
distances, rows = search.kneighbors(described, 1)
seconds, cpu = time.perf_counter() - before, time.process_time() - cpu
n = len(search.references_)
result = {{
    "seconds to open": opened - start,
    "ms a query": seconds / len(queries) * 1e3,
    "CPU ms a query": cpu / len(queries) * 1e3,
    "bounded": search.bounded_share_ * n,
    "evaluated": search.evaluated_share_ * n,
    "distances": distances[:, 0].tolist(),
    "rows": rows[:, 0].tolist(),
}}
"""


def measure(resolution: str, inputs: Path, queries: Path, folder: Path) -> dict[str, Any]:
    """Build an index and search it, each in a process of its own."""
    index = folder / "index"
    built = fresh_process(BUILD.format(resolution=resolution, index=str(index), inputs=str(inputs)))
    size = sum(file.stat().st_size for file in index.rglob("*") if file.is_file())
    searched = fresh_process(QUERY.format(index=str(index), queries=str(queries)))
    return {
        "n": built["crystals"],
        "minutes to build": built["seconds"] / 60,
        "CPU µs a crystal": built["CPU seconds"] / built["crystals"] * 1e6,
        "MB to build": built["peak_MB"],
        "kB a crystal": size / built["crystals"] / 1e3,
        "MB to search": searched.pop("peak_MB"),
        **searched,
    }


def is_exact(resolution: str, inputs: Path, queries: Path, found: dict[str, Any]) -> bool:
    """Tell whether answers are those of evaluating all pairs."""
    crystals = CrystalTable.concatenate(CrystalTable.from_parquet(file) for file in sorted(inputs.iterdir()))
    few = CrystalTable.from_parquet(queries)[:N_CHECKED]
    everything = CrystalDissimilarity(resolution=resolution).pairwise(few, crystals)
    rows = np.rint(everything / TIE).argmin(axis=1)
    same = rows.tolist() == found["rows"][: len(few)]
    return same and everything[np.arange(len(few)), rows].tolist() == found["distances"][: len(few)]


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = command_line("index", __doc__, "index.json and index.png")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="numbers of references")
    parser.add_argument("--queries", type=int, default=1000, help="queries, answered in one batch")
    options = parser.parse_args(arguments)
    runs: dict[str, list[dict[str, Any]]] = {resolution: [] for resolution in RESOLUTIONS}
    exact = {}
    with TemporaryDirectory(dir=options.output) as temporary:
        queries = Path(temporary) / "queries.parquet"
        perturbed_copies(options.queries, ELEMENTS, QUERY_SEED).to_parquet(queries)
        for n in sorted(options.sizes):
            inputs = write_crystals(Path(temporary) / f"{n}", n, FILE_SIZE)
            for resolution in RESOLUTIONS:
                with TemporaryDirectory(dir=temporary) as folder:
                    run = measure(resolution, inputs, queries, Path(folder))
                if resolution not in exact:
                    exact[resolution] = is_exact(resolution, inputs, queries, run)
                del run["distances"], run["rows"]
                runs[resolution].append(run)
                CONSOLE.print({"resolution": resolution} | run)
    frame = pd.DataFrame([{"resolution": resolution} | run for resolution in RESOLUTIONS for run in runs[resolution]])
    show(frame, "exact search on disk", CONSOLE)
    last = {resolution: of_one[-1] for resolution, of_one in runs.items()}
    reached = {name: max(run[name] for run in last.values()) for name in ("minutes to build", "kB a crystal", "seconds to open")}
    reached |= {f"ms a query, {resolution}": last[resolution]["ms a query"] for resolution in RESOLUTIONS}
    if len(options.sizes) > 1:
        for resolution, of_one in runs.items():
            reached[f"exponent, {resolution}"] = exponent([run["n"] for run in of_one], [run["ms a query"] for run in of_one])
    rows = [{"": name, "reached": value, "promised of 10⁶": f"<= {TARGETS[name]:g}"} for name, value in reached.items()]
    show(pd.DataFrame(rows), "promised", CONSOLE)
    CONSOLE.print(f"answers are those of all pairs: {exact}")
    panels = [
        (f"references, {resolution}", "time a query / ms", [run["n"] for run in of_one], [run["ms a query"] for run in of_one])
        for resolution, of_one in runs.items()
    ]
    draw_costs(panels, options.output / "index.png")
    write_results(options.output / "index.json", {"runs": runs, "reached": reached, "exact": exact}, "index.png")


if __name__ == "__main__":
    main()
