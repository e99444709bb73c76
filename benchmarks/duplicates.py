"""Duplicates among the embedded crystals, beside pymatgen's StructureMatcher: ``python -m benchmarks.duplicates``.

Finds all pairs within several tolerances and times it. Then StructureMatcher, as it comes, judges two kinds of pairs: those within
a dissimilarity of 0.5, of whatever composition, and those of one reduced formula, however far apart; of each kind a sample.
The Materials Project merges what it takes for one material, so that few matching pairs are left in its data.
StructureMatcher scales volumes and allows sites to move by 0.3 of the mean free length per atom, so that it matches strained
copies that are far apart here; it knows which element sits where, which the GRID does not. Run it on an idle machine.
"""

from __future__ import annotations

import time
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pymatgen.analysis.structure_matcher import StructureMatcher
from rich.progress import track
from sklearn.base import clone

from benchmarks._run import CONSOLE, command_line, seconds, write_results
from benchmarks._tables import show
from matminer_grid import CrystalDissimilarity, GRIDFeaturizer, find_duplicates
from matminer_grid.datasets import load_mp_elasticity_table

if TYPE_CHECKING:
    from matminer_grid.datasets.elasticity import ElasticityTable
    from matminer_grid.similarity import DescribedCrystals, Duplicates

BIN_SIZE = 0.01
"""Å."""

TOLERANCES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""The last one says which pairs StructureMatcher sees."""

REPEATS = 3
TARGET_SECONDS = 30.0
"""What the project promises, at most, for all pairs of the embedded crystals, features included."""


DISSIMILARITY = CrystalDissimilarity(GRIDFeaturizer(bin_size=BIN_SIZE))
GRIDS_ALONE = clone(DISSIMILARITY).set_params(composition_weight=0.0)


def all_pairs(described: DescribedCrystals) -> tuple[list[dict[str, Any]], Duplicates]:
    """Find all pairs within each tolerance; counts and times, and what was found within the last."""
    rows = []
    for tolerance in TOLERANCES:
        found: list[Duplicates] = []
        find = partial(find_duplicates, described, tolerance, dissimilarity=DISSIMILARITY, same_formula=False)
        times = seconds(lambda find=find, to=found: to.append(find()), REPEATS)
        sizes = list(map(len, found[-1].groups))
        row = {"tolerance": tolerance, "seconds": float(np.median(times)), "pairs": len(found[-1].pairs), "groups": len(sizes)}
        rows.append(row | {"crystals in groups": sum(sizes), "largest group": max(sizes, default=0)})
    return rows, found[-1]


def pairs_of_one_formula(described: DescribedCrystals, data: ElasticityTable) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of crystals of the same reduced formula, and their dissimilarities: the GRID's alone."""
    pairs, dissimilarities = [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    for rows in pd.Series(data.formula).groupby(data.formula).indices.values():
        if len(rows) > 1:
            i, j = np.triu_indices(len(rows), k=1)
            pairs.append(np.stack((rows[i], rows[j]), axis=1))
            dissimilarities.append(GRIDS_ALONE.pairwise(described[rows])[i, j])
    return np.concatenate(pairs), np.concatenate(dissimilarities)


def match(pairs: np.ndarray, data: ElasticityTable, label: str, matcher: StructureMatcher) -> tuple[np.ndarray, np.ndarray]:
    """Let StructureMatcher judge pairs: what it says, and the seconds it took for each."""
    used = np.unique(pairs)
    structures = dict(zip(used.tolist(), data.crystals[used].to_structures(), strict=True))
    matched, took = np.zeros(len(pairs), bool), np.zeros(len(pairs))
    for index, (i, j) in enumerate(track(pairs.tolist(), description=label, console=CONSOLE, transient=True)):
        start = time.perf_counter()
        matched[index] = matcher.fit(structures[i], structures[j])
        took[index] = time.perf_counter() - start
    return matched, took


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


def judge(pairs: np.ndarray, dissimilarities: np.ndarray, data: ElasticityTable, n: int, label: str) -> dict[str, Any]:
    """Compare with StructureMatcher on n of the pairs, drawn with a seed."""
    drawn = np.sort(np.random.default_rng(0).choice(len(pairs), min(n, len(pairs)), replace=False))
    pairs, dissimilarities = pairs[drawn], dissimilarities[drawn]
    matched, took = match(pairs, data, label, StructureMatcher())
    same = data.formula[pairs[:, 0]] == data.formula[pairs[:, 1]]
    unlike = (dissimilarities <= TOLERANCES[2]) & ~matched & same
    return {
        "pairs": len(pairs),
        "of one formula": int(same.sum()),
        "table": agreement(dissimilarities, matched),
        "table of one formula": agreement(dissimilarities[same], matched[same]),
        "StructureMatcher ms a pair of one formula": {
            "median": float(np.median(took[same])) * 1e3 if same.any() else None,
            "mean": float(took[same].mean()) * 1e3 if same.any() else None,
        },
        "near pairs of one formula that don't match": data.material_id[pairs[unlike]].tolist(),
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = command_line("duplicates", __doc__, "duplicates.json")
    parser.add_argument("--limit", type=int, help="use this many of the crystals, for a quick look")
    parser.add_argument("--pairs", type=int, default=2000, help="pairs of each kind that StructureMatcher judges, at most")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    data = load_mp_elasticity_table()
    if options.limit is not None:
        data = type(data)(*(getattr(data, name)[: options.limit] for name in vars(data)))
    find_duplicates(data.crystals[:10], TOLERANCES[0], dissimilarity=DISSIMILARITY)  # compiled before it is timed
    start = time.perf_counter()
    described = DISSIMILARITY.describe(data.crystals)
    featurize_seconds = time.perf_counter() - start
    counts, found = all_pairs(described)
    n_pairs = len(data) * (len(data) - 1) // 2
    show(pd.DataFrame(counts), f"all {n_pairs:,} pairs of {len(data):,} crystals", CONSOLE)
    largest = max(row["seconds"] for row in counts)
    CONSOLE.print(
        f"features: {featurize_seconds:.2f} s; {(featurize_seconds + largest) / n_pairs * 1e9:.0f} ns a pair with them; "
        f"promised: at most {TARGET_SECONDS:g} s in all"
    )
    judged = {
        f"pairs within {TOLERANCES[-1]:g}": judge(found.pairs.rows, found.pairs.parts[:, 0], data, options.pairs, "near"),
        "pairs of one formula": judge(*pairs_of_one_formula(described, data), data, options.pairs, "one formula"),
    }
    for name, result in judged.items():
        show(pd.DataFrame(result["table"]), f"{name}: {result['pairs']:,}", CONSOLE)
        if 0 < result["of one formula"] < result["pairs"]:
            show(pd.DataFrame(result["table of one formula"]), f"{name}, of one formula: {result['of one formula']:,}", CONSOLE)
        took = result["StructureMatcher ms a pair of one formula"]
        if took["mean"] is not None:
            CONSOLE.print(f"StructureMatcher: {took['mean']:.3g} ms a pair of one formula, median {took['median']:.3g}")
    content = {"crystals": len(data), "featurize_seconds": featurize_seconds, "tolerances": counts, "StructureMatcher": judged}
    write_results(options.output / "duplicates.json", {"target_seconds": TARGET_SECONDS} | content)


if __name__ == "__main__":
    main()
