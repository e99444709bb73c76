"""How good and how fast approximate search is: ``python -m benchmarks.approximate``.

References and queries are perturbed copies of the embedded crystals (`benchmarks/_perturbed.py`), different ones. Exact and
approximate search answer the same queries in the same number of threads, features given; times are medians of repeated runs. A
neighbour counts as found if it is no farther away than the exact k-th. Run it on an idle machine. What else was tried stands in
``benchmarks/notes/approximate.md``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Element
from rich.console import Console
from rich.table import Table

from benchmarks._perturbed import perturbed_copies
from benchmarks._run import output_folder, provenance, write_json
from matminer_grid import ApproximateEMDSearch, EMDSearch, GRIDFeaturizer
from matminer_grid.crystals.composition import METRICS
from matminer_grid.similarity.search import TIE

if TYPE_CHECKING:
    from collections.abc import Callable

REPEATS = 5
CANDIDATES = (20, 30, 50, 100, 200)
TARGETS = {"recall": 0.95, "times as fast": 20.0}
"""What the project promises, at least, at the default number of candidates."""


def milliseconds(function: Callable[[], Any], per: int) -> float:
    """Time a call repeatedly; median, in ms per item."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) / per * 1e3


def seconds(function: Callable[[], Any]) -> float:
    """Time one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def index_megabytes(search: ApproximateEMDSearch) -> float:
    """Memory of the index: the vectors and the graph, beside the features that exact search holds too."""
    import faiss  # noqa: PLC0415  an extra

    return faiss.serialize_index(search._graph).nbytes / 1e6


def compare(size: int, n_queries: int, k: int, metric: str, n_jobs: int) -> dict[str, Any]:
    """Fit both, and answer the queries with either."""
    crystals = perturbed_copies(size + n_queries, [Element(symbol).Z for symbol in METRICS[metric]])
    features = GRIDFeaturizer().featurize_sparse(crystals)
    known, query = (features[:size], crystals[:size]), (features[size:], crystals[size:])
    exact = EMDSearch(composition_metric=metric, n_jobs=n_jobs)
    approximate = ApproximateEMDSearch(composition_metric=metric, n_jobs=n_jobs)
    fitting = {"exact": seconds(lambda: exact.fit(*known)), "approximate": seconds(lambda: approximate.fit(*known))}
    true_distances = exact.kneighbors(*query, k=k)[0]
    exact_ms = milliseconds(lambda: exact.kneighbors(*query, k=k), n_queries)
    rows = []
    default = approximate.n_candidates
    for n_candidates in sorted({*CANDIDATES, default}):
        if n_candidates >= k:
            approximate.set_params(n_candidates=n_candidates)
            distances = approximate.kneighbors(*query, k=k)[0]
            ms = milliseconds(lambda: approximate.kneighbors(*query, k=k), n_queries)
            rows.append(
                {
                    "candidates": n_candidates,
                    "default": n_candidates == default,
                    "recall": float((distances <= true_distances[:, -1:] + TIE).mean()),
                    "ms": ms,
                    "times as fast": exact_ms / ms,
                    "evaluated a query": approximate.evaluated_share_ * size,
                }
            )
    return {
        "references": size,
        "queries": n_queries,
        "k": k,
        "composition_metric": metric,
        "threads": n_jobs,
        "fit_seconds": fitting,
        "index_megabytes": index_megabytes(approximate),
        "features_megabytes": (features[:size].data.nbytes + features[:size].indices.nbytes) / 1e6,
        "exact_ms": exact_ms,
        "approximate": rows,
    }


def show(results: dict[str, Any], console: Console) -> None:
    """Print a table."""
    k = results["k"]
    table = Table(
        title=f"{k} nearest of {results['references']:,}, {results['queries']:,} queries, {results['composition_metric']}, "
        f"{results['threads']} threads"
    )
    for index, header in enumerate(("", f"recall@{k}", "ms a query", "times as fast", "EMDs a query")):
        table.add_column(header, justify="right" if index else "left")
    table.add_row("exact", "1", f"{results['exact_ms']:.3f}", "1", "")
    for row in results["approximate"]:
        table.add_row(
            f"{row['candidates']} candidates{' (default)' if row['default'] else ''}",
            f"{row['recall']:.4f}",
            f"{row['ms']:.3f}",
            f"{row['times as fast']:.1f}",
            f"{row['evaluated a query']:.1f}",
        )
    console.print(table)
    fitting = results["fit_seconds"]
    console.print(
        f"fit: exact {fitting['exact']:.1f} s, approximate {fitting['approximate']:.1f} s; "
        f"index {results['index_megabytes']:.0f} MB beside {results['features_megabytes']:.0f} MB of features"
    )
    console.print(f"promised: recall >= {TARGETS['recall']:g} at >= {TARGETS['times as fast']:g} times the speed of exact search")


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.approximate", description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=100_000, help="number of references")
    parser.add_argument("--queries", type=int, default=1000, help="number of queries")
    parser.add_argument("-k", type=int, default=10, help="number of neighbours")
    parser.add_argument("--metric", choices=tuple(METRICS), default="modified_pettifor", help="between compositions")
    parser.add_argument("--threads", type=int, default=2, help="of either search")
    parser.add_argument("--output", type=Path, default=Path("output/approximate"), help="folder for approximate.json")
    options = parser.parse_args(arguments)
    folder = output_folder(options.output)
    results = compare(options.size, options.queries, options.k, options.metric, options.threads)
    console = Console()
    show(results, console)
    write_json(folder / "approximate.json", provenance() | {"targets": TARGETS} | results)
    console.print(f"written: {folder / 'approximate.json'}")


if __name__ == "__main__":
    main()
