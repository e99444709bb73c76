"""How long an evaluation takes, and how much memory: ``python -m benchmarks.evaluation``.

Half of the generated crystals are known ones, expanded by 0.1 %; the others are strained, shaken and partly of other elements. The
known ones are the embedded crystals, or so many perturbed copies of them, in an index on disk. Each evaluation runs in a process of
its own, on two threads; opening the index and what is compiled on first use come before it. Run it on an idle machine:
``--generated 10000 --known 1000000`` takes a quarter of an hour and 5 GB of disk.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._perturbed import perturbed_copies
from benchmarks._processes import fresh_process
from benchmarks._run import CONSOLE, command_line, write_results
from benchmarks._tables import show
from benchmarks.index import BUILD, QUERY_SEED
from benchmarks.scaling import ELEMENTS, FILE_SIZE, write_crystals
from matminer_grid import CrystalTable
from matminer_grid.datasets import load_mp_elasticity_table

EXPANSION = 1.001

TARGETS = {
    "1,000 against the embedded crystals": {"seconds": 15.0},
    "10,000 against 1,000,000": {"seconds": 600.0, "peak_MB": 3000.0},
}
"""What the project promises, at most."""

EVALUATE = """
import time
from matminer_grid import CrystalTable, KnownCrystals, evaluate_crystals
generated, index = CrystalTable.from_parquet({generated!r}), {index!r}
start = time.perf_counter()
known = KnownCrystals.embedded(n_jobs=2) if index is None else KnownCrystals.from_index(index, n_jobs=2)
opened = time.perf_counter()
evaluate_crystals(generated[:8], known, n_jobs=2)
before, cpu = time.perf_counter(), time.process_time()
found = evaluate_crystals(generated, known, n_jobs=2)
result = {{
    "seconds to open": opened - start,
    "seconds": time.perf_counter() - before,
    "CPU seconds": time.process_time() - cpu,
    "known": len(known),
    "novel": found.crystals["novel"].tolist(),
    "measures": found.to_dict()["measures"],
}}
"""


def generated_crystals(known: CrystalTable, n: int) -> CrystalTable:
    """Make n crystals, the first half of them known."""
    rows = np.random.default_rng(1).choice(len(known), n // 2, replace=False)
    copies = known[rows]
    new = perturbed_copies(n - n // 2, ELEMENTS, QUERY_SEED)
    return CrystalTable.concatenate([replace(copies, lattices=copies.lattices * EXPANSION), new])


def build(folder: Path, n: int) -> tuple[str, CrystalTable]:
    """Build an index of n perturbed copies; gives its path, and the crystals of its first files."""
    inputs = write_crystals(folder / "crystals", n, FILE_SIZE)
    index = str(folder / "index")
    built = fresh_process(BUILD.format(resolution="sites", index=index, inputs=str(inputs)))
    CONSOLE.print(f"index of {built['crystals']:,}: {built['seconds']:.1f} s, {built['peak_MB']:.0f} MB")
    return index, CrystalTable.from_parquet(min(inputs.iterdir()))


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = command_line("evaluation", __doc__, "evaluation.json")
    parser.add_argument("--generated", type=int, default=1000, help="crystals that are evaluated")
    parser.add_argument("--known", type=int, help="perturbed copies that they are compared with; the embedded data by default")
    options = parser.parse_args(arguments)
    with TemporaryDirectory(dir=options.output) as temporary:
        folder, index, crystals = Path(temporary), None, load_mp_elasticity_table().crystals
        if options.known is not None:
            index, crystals = build(folder, options.known)
        if not 8 <= options.generated <= 2 * len(crystals):
            parser.error(f"--generated must be between 8 and {2 * len(crystals)}, not {options.generated}")
        generated_crystals(crystals, options.generated).to_parquet(folder / "generated.parquet")
        run: dict[str, Any] = fresh_process(EVALUATE.format(generated=str(folder / "generated.parquet"), index=index))
    novel, measures = np.array(run.pop("novel")), run.pop("measures")
    known = np.arange(len(novel)) < options.generated // 2
    run |= {"known that are found": float((~novel[known]).mean()), "others that are novel": float(novel[~known].mean())}
    name = f"{options.generated:,} against " + ("the embedded crystals" if index is None else f"{options.known:,}")
    table = pd.DataFrame(measures).T.rename_axis("measure").reset_index()
    show(table, name, CONSOLE)
    show(pd.DataFrame([run]), "seconds, memory, and planted truth", CONSOLE)
    for what, most in TARGETS.get(name, {}).items():
        CONSOLE.print(f"{what}: {run[what]:.1f}, promised at most {most:g}: {'holds' if run[what] <= most else 'fails'}")
    content = {"name": name, "generated": options.generated, "targets": TARGETS.get(name, {}), "run": run, "measures": measures}
    write_results(options.output / "evaluation.json", content)


if __name__ == "__main__":
    main()
