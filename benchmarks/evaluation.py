"""How long an evaluation takes, and how much memory: ``python -m benchmarks.evaluation``.

Half of the generated crystals are known ones, expanded by 0.1 %; the others are strained, shaken and partly of other elements. The
known ones are the embedded crystals, or so many perturbed copies of them. What is compiled on first use is called once before.
"""

from __future__ import annotations

import resource
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._perturbed import perturbed_copies
from benchmarks._run import CONSOLE, command_line, write_results
from benchmarks._tables import show
from matminer_grid import CrystalTable, KnownCrystals, evaluate_crystals
from matminer_grid.datasets import load_mp_elasticity_table

EXPANSION = 1.001
TARGET_SECONDS = 15.0
"""What the project promises, at most, for 1,000 crystals against the embedded ones."""


def generated_crystals(known: CrystalTable, n: int, numbers: np.ndarray) -> tuple[CrystalTable, np.ndarray]:
    """Make n crystals, and tell which of them are known."""
    rows = np.random.default_rng(1).choice(len(known), n // 2, replace=False)
    copies = known[rows]
    new = perturbed_copies(n - n // 2, numbers.tolist(), seed=2)
    table = CrystalTable.concatenate([replace(copies, lattices=copies.lattices * EXPANSION), new])
    return table, np.arange(n) < n // 2


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = command_line("evaluation", __doc__, "evaluation.json")
    parser.add_argument("--generated", type=int, default=1000, help="crystals that are evaluated")
    parser.add_argument("--known", type=int, help="perturbed copies that they are compared with; the embedded data by default")
    options = parser.parse_args(arguments)
    embedded = load_mp_elasticity_table()
    numbers = np.unique(embedded.crystals.numbers)
    crystals = embedded.crystals if options.known is None else perturbed_copies(options.known, numbers.tolist())
    evaluate_crystals(crystals[:8], KnownCrystals(crystals[:20]))  # compiled before it is timed
    took: dict[str, Any] = {}
    start = time.perf_counter()
    known = KnownCrystals(crystals)
    took["known crystals described"] = time.perf_counter() - start
    generated, are_known = generated_crystals(crystals, options.generated, numbers)
    start, started = time.perf_counter(), time.process_time()
    found = evaluate_crystals(generated, known, pbar=True)
    took["evaluated"] = time.perf_counter() - start
    took["evaluated, time of processors"] = time.process_time() - started
    novel = found.crystals["novel"].to_numpy()
    shares = {"known that are found": float((~novel[are_known]).mean()), "others that are novel": float(novel[~are_known].mean())}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    show(found.measures.reset_index(), f"{len(generated):,} crystals against {len(known):,}", CONSOLE)
    show(pd.DataFrame([took | {"GB": memory} | shares]), "seconds, memory, and planted truth", CONSOLE)
    content = {"generated": len(generated), "known": len(known), "seconds": took, "GB": memory} | shares
    measures = found.to_dict()["measures"]
    write_results(options.output / "evaluation.json", {"target_seconds": TARGET_SECONDS} | content | {"measures": measures})


if __name__ == "__main__":
    main()
