"""How far crystals of one prototype are apart: ``python -m benchmarks.prototype_pairs``.

Pairs of small embedded crystals of equal anonymous formulas, under the best renaming of elements and at equal volume, by how far
they are apart beside the default tolerance. Of each range a sample is shown to pymatgen's ``StructureMatcher.fit_anonymous``, and
it is told how many have one space group. Neither is the truth: the matcher is generous, and space groups change with a small
displacement.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.analysis.structure_matcher import StructureMatcher

from benchmarks._run import CONSOLE, command_line, write_results
from benchmarks._tables import records, show
from benchmarks.sets import references
from matminer_grid import CrystalTable, find_pairs
from matminer_grid.similarity import SAME_PROTOTYPE, CrystalPairs
from matminer_grid.similarity.compare import symmetry_dataset
from matminer_grid.similarity.prototypes import Renamed

EDGES = (0.0, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0)
"""Ranges of the larger of geometry and surroundings, as a share of its tolerance."""


def near_pairs(crystals: CrystalTable) -> CrystalPairs:
    """Find the pairs of one anonymous formula up to the largest of the edges."""
    renamed = Renamed.of(crystals)
    wide = replace(
        SAME_PROTOTYPE, geometry=EDGES[-1] * SAME_PROTOTYPE.geometry, surroundings=EDGES[-1] * SAME_PROTOTYPE.surroundings
    )
    return replace(renamed.best(find_pairs(renamed.first, renamed.all, wide)), tolerance=SAME_PROTOTYPE)


def judge(crystals: CrystalTable, n_judged: int, seed: int) -> pd.DataFrame:
    """Ask StructureMatcher and spglib about pairs of each range."""
    rng = np.random.default_rng(seed)
    pairs, structures, matcher = near_pairs(crystals), crystals.to_structures(), StructureMatcher()
    groups: dict[int, int | None] = {}

    def space_group(row: int) -> int | None:
        if row not in groups:
            found = symmetry_dataset(crystals[row])
            groups[row] = None if found is None else found.number
        return groups[row]

    rows = []
    for low, high in pairwise(EDGES):
        inside = np.nonzero((pairs.ratios > low) & (pairs.ratios <= high) if low else pairs.ratios <= high)[0]
        some = pairs.rows[rng.permutation(inside)[:n_judged]].tolist()
        row: dict[str, Any] = {"times the tolerance": f"{low:g} to {high:g}", "pairs": len(inside), "judged": len(some)}
        if some:
            row["fit_anonymous agrees"] = float(np.mean([matcher.fit_anonymous(structures[a], structures[b]) for a, b in some]))
            row["one space group"] = float(np.mean([space_group(a) == space_group(b) for a, b in some]))
        rows.append(row)
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = command_line("prototype_pairs", __doc__, "prototype_pairs.json")
    parser.add_argument("--crystals", type=int, default=1500, help="small embedded crystals that are compared")
    parser.add_argument("--judged", type=int, default=100, help="pairs that are judged, of each range")
    parser.add_argument("--seed", type=int, default=1, help="seed of what is drawn")
    options = parser.parse_args(arguments)
    for name in ("crystals", "judged"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1")
    warnings.simplefilter("ignore")
    crystals = references(options.crystals, options.seed)
    table = judge(crystals, options.judged, options.seed)
    limits = {name: limit for name, limit in asdict(SAME_PROTOTYPE).items() if np.isfinite(limit)}
    show(table, f"{len(crystals):,} crystals; tolerance {limits}", CONSOLE)
    write_results(options.output / "prototype_pairs.json", {"crystals": len(crystals), "limits": limits, "ranges": records(table)})


if __name__ == "__main__":
    main()
