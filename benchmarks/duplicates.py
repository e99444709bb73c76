"""Duplicates among the embedded crystals, beside pymatgen's StructureMatcher: ``python -m benchmarks.duplicates``.

Finds all pairs within several tolerances and times it. Then StructureMatcher, as it comes, judges two kinds of pairs: those within
a dissimilarity of 0.5, of whatever composition, and those of one reduced formula, however far apart; of each kind a sample.
The Materials Project merges what it takes for one material, so that few matching pairs are left in its data.
StructureMatcher scales volumes and allows sites to move by 0.3 of the mean free length per atom, so that it matches strained
copies that are far apart here; it knows which element sits where, which the GRID does not. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pymatgen.analysis.structure_matcher import StructureMatcher
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks._run import output_folder, provenance, write_json
from matminer_grid import GRIDFeaturizer, find_duplicates, grid_emd
from matminer_grid.datasets import load_mp_elasticity_table

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from matminer_grid.datasets.elasticity import ElasticityTable

BIN_SIZE = 0.01
"""Å."""

GRID_WEIGHT = 10.0
"""That of find_duplicates."""

TOLERANCES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""The last one says which pairs StructureMatcher sees."""

REPEATS = 3
TARGET_SECONDS = 30.0
"""What the project promises, at most, for all pairs of the embedded crystals, features included."""


def all_pairs(features: csr_array, data: ElasticityTable) -> tuple[list[dict[str, Any]], Any]:
    """Find all pairs within each tolerance; counts and times, and what was found within the last."""
    rows = []
    for tolerance in TOLERANCES:
        times = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            found = find_duplicates(features, data.crystals, tolerance, bin_size=BIN_SIZE)
            times.append(time.perf_counter() - start)
        rows.append(
            {
                "tolerance": tolerance,
                "seconds": float(np.median(times)),
                "pairs": len(found.pairs),
                "groups": len(found.groups),
                "crystals in groups": sum(map(len, found.groups)),
                "largest group": max(map(len, found.groups), default=0),
            }
        )
    return rows, found


def pairs_of_one_formula(features: csr_array, data: ElasticityTable) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of crystals of the same reduced formula, and their dissimilarities: the GRID's alone."""
    pairs, dissimilarities = [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    for rows in pd.Series(data.formula).groupby(data.formula).indices.values():
        if len(rows) == 1:
            continue
        i, j = np.triu_indices(len(rows), k=1)
        distances = grid_emd(features[rows], n_groups=100, bin_size=BIN_SIZE, pbar=False)
        pairs.append(np.stack((rows[i], rows[j]), axis=1))
        dissimilarities.append(GRID_WEIGHT * distances[i, j])
    return np.concatenate(pairs), np.concatenate(dissimilarities)


def match(pairs: np.ndarray, data: ElasticityTable, label: str, console: Console) -> tuple[np.ndarray, np.ndarray]:
    """Let StructureMatcher judge pairs: what it says, and the seconds it took for each."""
    matcher = StructureMatcher()
    used = np.unique(pairs)
    structures = dict(zip(used.tolist(), data.crystals[used].to_structures(), strict=True))
    matched, seconds = np.zeros(len(pairs), bool), np.zeros(len(pairs))
    for index, (i, j) in enumerate(track(pairs.tolist(), description=label, console=console, transient=True)):
        start = time.perf_counter()
        matched[index] = matcher.fit(structures[i], structures[j])
        seconds[index] = time.perf_counter() - start
    return matched, seconds


def agreement(dissimilarities: np.ndarray, matched: np.ndarray) -> list[dict[str, Any]]:
    """Count near and far pairs that match and don't, at each tolerance."""
    return [
        {
            "tolerance": tolerance,
            "near, match": int((near & matched).sum()),
            "near, no match": int((near & ~matched).sum()),
            "far, match": int((~near & matched).sum()),
            "far, no match": int((~near & ~matched).sum()),
        }
        for tolerance in TOLERANCES
        for near in [dissimilarities <= tolerance]
    ]


def judge(
    pairs: np.ndarray, dissimilarities: np.ndarray, data: ElasticityTable, n: int, label: str, console: Console
) -> dict[str, Any]:
    """Compare with StructureMatcher on n of the pairs, drawn with a seed."""
    drawn = np.sort(np.random.default_rng(0).choice(len(pairs), min(n, len(pairs)), replace=False))
    pairs, dissimilarities = pairs[drawn], dissimilarities[drawn]
    matched, seconds = match(pairs, data, label, console)
    same = data.formula[pairs[:, 0]] == data.formula[pairs[:, 1]]
    unlike = (dissimilarities <= TOLERANCES[2]) & ~matched & same
    return {
        "pairs": len(pairs),
        "of one formula": int(same.sum()),
        "table": agreement(dissimilarities, matched),
        "table of one formula": agreement(dissimilarities[same], matched[same]),
        "StructureMatcher ms a pair of one formula": {
            "median": float(np.median(seconds[same])) * 1e3 if same.any() else None,
            "mean": float(seconds[same].mean()) * 1e3 if same.any() else None,
        },
        "near pairs of one formula that don't match": data.material_id[pairs[unlike]].tolist(),
    }


def show(title: str, rows: list[dict[str, Any]], console: Console) -> None:
    """Print a table of numbers."""
    table = Table(title=title)
    for name in rows[0]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else f"{value:,}" for value in row.values()))
    console.print(table)


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.duplicates", description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, help="use this many of the crystals, for a quick look")
    parser.add_argument("--pairs", type=int, default=2000, help="pairs of each kind that StructureMatcher judges, at most")
    parser.add_argument("--output", type=Path, default=Path("output/duplicates"), help="folder for duplicates.json")
    options = parser.parse_args(arguments)
    folder = output_folder(options.output)
    warnings.simplefilter("ignore")
    console = Console()
    data = load_mp_elasticity_table()
    if options.limit is not None:
        data = type(data)(*(getattr(data, name)[: options.limit] for name in vars(data)))
    featurizer = GRIDFeaturizer(bin_size=BIN_SIZE)
    featurizer.featurize_sparse(data.crystals[:10])  # compiled before it is timed
    start = time.perf_counter()
    features = featurizer.featurize_sparse(data.crystals)
    featurize_seconds = time.perf_counter() - start
    find_duplicates(features[:10], data.crystals[:10], bin_size=BIN_SIZE)
    counts, found = all_pairs(features, data)
    n_pairs = len(data) * (len(data) - 1) // 2
    show(f"all {n_pairs:,} pairs of {len(data):,} crystals", counts, console)
    largest = max(row["seconds"] for row in counts)
    console.print(
        f"features: {featurize_seconds:.2f} s; {(featurize_seconds + largest) / n_pairs * 1e9:.0f} ns a pair with them; "
        f"promised: at most {TARGET_SECONDS:g} s in all"
    )
    judged = {
        f"pairs within {TOLERANCES[-1]:g}": judge(found.pairs, found.dissimilarities, data, options.pairs, "near", console),
        "pairs of one formula": judge(*pairs_of_one_formula(features, data), data, options.pairs, "one formula", console),
    }
    for name, result in judged.items():
        show(f"{name}: {result['pairs']:,}", result["table"], console)
        if 0 < result["of one formula"] < result["pairs"]:
            show(f"{name}, of one formula: {result['of one formula']:,}", result["table of one formula"], console)
        took = result["StructureMatcher ms a pair of one formula"]
        if took["mean"] is not None:
            console.print(f"StructureMatcher: {took['mean']:.3g} ms a pair of one formula, median {took['median']:.3g}")
    content = {"crystals": len(data), "featurize_seconds": featurize_seconds, "tolerances": counts, "StructureMatcher": judged}
    write_json(folder / "duplicates.json", provenance() | {"target_seconds": TARGET_SECONDS} | content)
    console.print(f"written: {folder / 'duplicates.json'}")


if __name__ == "__main__":
    main()
