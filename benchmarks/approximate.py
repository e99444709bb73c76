"""How good and how fast approximate search is: ``python -m benchmarks.approximate``.

References and queries are perturbed copies of the embedded crystals (`benchmarks/_perturbed.py`), different ones. Exact and
approximate search answer the same queries in the same number of threads, features given; times are medians of repeated runs. A
neighbour counts as found if it is no farther away than the exact k-th. Run it on an idle machine. What else was tried stands in
``benchmarks/notes/approximate.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pymatgen.core import Element

from benchmarks._perturbed import perturbed_copies
from benchmarks._run import CONSOLE, command_line, seconds, write_results
from benchmarks._tables import records, show
from matminer_grid import ApproximateEMDSearch, CrystalDissimilarity, EMDSearch
from matminer_grid.crystals.composition import METRICS
from matminer_grid.similarity.grid_index import TIE

if TYPE_CHECKING:
    from matminer_grid.similarity import DescribedCrystals

REPEATS = 5
CANDIDATES = (20, 30, 50, 100, 200)
TARGETS = {"recall": 0.95, "times as fast": 20.0}
"""What the project promises, at least, at the default number of candidates."""


def index_megabytes(search: ApproximateEMDSearch) -> float:
    """Memory of the index: the vectors and the graph, beside the features that exact search holds too."""
    import faiss  # noqa: PLC0415  an extra

    return faiss.serialize_index(search._graph).nbytes / 1e6


def compare(size: int, n_queries: int, k: int, metric: str, n_jobs: int) -> dict[str, Any]:
    """Fit both, and answer the queries with either."""
    crystals = perturbed_copies(size + n_queries, [Element(symbol).Z for symbol in METRICS[metric]])
    dissimilarity = CrystalDissimilarity(elements="graded" if metric == "modified_pettifor" else metric)
    described = dissimilarity.describe(crystals)
    known, query = described[:size], described[size:]
    exact = EMDSearch(dissimilarity, n_neighbors=k, n_jobs=n_jobs)
    approximate = ApproximateEMDSearch(dissimilarity, n_neighbors=k, n_jobs=n_jobs)
    fitting = {"exact": float(seconds(lambda: exact.fit(known))[0])}
    fitting["approximate"] = float(seconds(lambda: approximate.fit(known))[0])
    true_distances = exact.kneighbors(query)[0]
    exact_ms = _milliseconds(exact, query)
    rows = [{"search": "exact", "candidates": None, "default": False, "recall": 1.0, "ms a query": exact_ms, "times as fast": 1.0}]
    default = approximate.n_candidates
    for n_candidates in sorted(n for n in {*CANDIDATES, default} if n >= k):
        approximate.set_params(n_candidates=n_candidates)
        distances = approximate.kneighbors(query)[0]
        ms = _milliseconds(approximate, query)
        row = {"search": "approximate", "candidates": n_candidates, "default": n_candidates == default}
        recall = float((distances <= true_distances[:, -1:] + TIE).mean())
        row |= {"recall": recall, "ms a query": ms, "times as fast": exact_ms / ms}
        rows.append(row | {"EMDs a query": approximate.evaluated_share_ * size})
    return {
        "references": size,
        "queries": n_queries,
        "k": k,
        "composition_metric": metric,
        "threads": n_jobs,
        "fit_seconds": fitting,
        "index_megabytes": index_megabytes(approximate),
        "features_megabytes": (known.grids.data.nbytes + known.grids.indices.nbytes) / 1e6,
        "rows": records(pd.DataFrame(rows)),
    }


def _milliseconds(search: EMDSearch, query: DescribedCrystals) -> float:
    return float(np.median(seconds(lambda: search.kneighbors(query), REPEATS))) / len(query) * 1e3


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = command_line("approximate", __doc__, "approximate.json")
    parser.add_argument("--size", type=int, default=100_000, help="number of references")
    parser.add_argument("--queries", type=int, default=1000, help="number of queries")
    parser.add_argument("-k", type=int, default=10, help="number of neighbours")
    parser.add_argument("--metric", choices=tuple(METRICS), default="modified_pettifor", help="between compositions")
    parser.add_argument("--threads", type=int, default=2, help="of either search")
    options = parser.parse_args(arguments)
    results = compare(options.size, options.queries, options.k, options.metric, options.threads)
    title = f"{options.k} nearest of {options.size:,}, {options.queries:,} queries, {options.metric}, {options.threads} threads"
    show(pd.DataFrame(results["rows"]), title, CONSOLE)
    fitting = results["fit_seconds"]
    CONSOLE.print(
        f"fit: exact {fitting['exact']:.1f} s, approximate {fitting['approximate']:.1f} s; "
        f"index {results['index_megabytes']:.0f} MB beside {results['features_megabytes']:.0f} MB of features"
    )
    CONSOLE.print(f"promised: recall >= {TARGETS['recall']:g} at >= {TARGETS['times as fast']:g} times the speed of exact search")
    write_results(options.output / "approximate.json", {"targets": TARGETS} | results)


if __name__ == "__main__":
    main()
