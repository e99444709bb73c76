"""Learning from very many crystals: ``python -m benchmarks.large``.

Models learn a smooth property, known exactly, of 20,000, 50,000 and 130,000 strained, shaken and substituted copies of the embedded
crystals, and predict copies that they have not seen, each in a process of its own. Above 20,000 crystals a prediction rests on the
nearest ones alone; what that costs is measured on bulk moduli, in the first of matbench's official folds (see
:mod:`benchmarks.matbench`), against the process of all pairs. Run it on an idle machine; all sizes take half an hour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pymatgen.core import Element

from benchmarks._processes import fresh_process
from benchmarks._run import CONSOLE, command_line, write_results
from benchmarks._tables import show
from benchmarks.scaling import ELEMENTS
from matminer_grid.crystals.elements import MODIFIED_PETTIFOR_ELEMENTS

if TYPE_CHECKING:
    from matminer_grid import CrystalTable

SIZES = (20_000, 50_000, 130_000)
SMALLEST = 100
N_TESTED = 1000
VOLUME = 20.0
"""Of an atom, in Å³, over which the smooth property falls by the factor e."""

BOUNDS = {"minutes to learn": 30.0, "peak_MB": 8000.0, "ms a prediction": 10.0}
"""What the project promises of 130,000 crystals on two threads."""

LARGEST_LOSS = 0.02
"""Relative, of the mean absolute error on bulk moduli."""

COPIES = """
import time
import numpy as np
from benchmarks._perturbed import perturbed_copies
from benchmarks.large import smooth_property
from benchmarks.scaling import ELEMENTS
from matminer_grid.models import GRIDKernelRegressor
crystals, tested = perturbed_copies({n}, ELEMENTS), perturbed_copies({tested}, ELEMENTS, seed=1)
y, truth = smooth_property(crystals), smooth_property(tested)
model = GRIDKernelRegressor(log_target=False, n_jobs=2)
model.fit(crystals[:{warm}], y[:{warm}]).predict_interval(tested[:5])
start, cpu = time.perf_counter(), time.process_time()
model.fit(crystals, y)
learned, learned_cpu = time.perf_counter(), time.process_time()
predicted = model.predict(tested)
done = time.perf_counter()
result = {{
    "minutes to learn": (learned - start) / 60,
    "CPU minutes": (learned_cpu - cpu) / 60,
    "ms a prediction": 1e3 * (done - learned) / len(tested),
    "MAE over mean deviation": float(np.abs(predicted - truth).mean() / np.abs(truth - np.median(y)).mean()),
}}
for coverage in (0.5, 0.8, 0.95):
    low, high = model.predict_interval(tested, coverage)
    result[f"within {{coverage:.0%}}"] = float(((low <= truth) & (truth <= high)).mean())
result["ms an interval"] = 1e3 * (time.perf_counter() - done) / len(tested) / 3
"""

MODULI = """
import numpy as np
from benchmarks.matbench import embedded_problem, run_fold
from matminer_grid.models import learned
learned.LARGE = {large}
problem = embedded_problem("log_kvrh")
predicted = run_fold(problem, 0)["predicted"]
result = {{"MAE of log10 K": float(np.abs(np.log10(predicted / problem.y[problem.folds[0]])).mean())}}
"""


def smooth_property(crystals: CrystalTable) -> np.ndarray:
    """Give a property, of shape (n,), that depends smoothly on which elements there are and on the volume.

    It is the mean place of the atoms' elements on the modified Pettifor scale, from 0 to 1, times exp(-volume of an atom / VOLUME).
    """
    place = np.zeros(max(ELEMENTS) + 1)
    place[[Element(symbol).Z for symbol in MODIFIED_PETTIFOR_ELEMENTS]] = np.linspace(0, 1, len(MODIFIED_PETTIFOR_ELEMENTS))
    starts = crystals.species_offsets[:-1]
    atoms = np.add.reduceat(crystals.occupancies, starts)
    mean_place = np.add.reduceat(crystals.occupancies * place[crystals.numbers], starts) / atoms
    return mean_place * np.exp(-np.abs(np.linalg.det(crystals.lattices)) / atoms / VOLUME)


def promised(name: str, found: float, bound: float) -> dict[str, Any]:
    """Compare what was found with what it should be at most."""
    return {"promise": name, "found": found, "at most": bound, "outcome": "holds" if found <= bound else "fails"}


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = command_line("large", __doc__, "large.json")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, metavar="N", help="numbers of crystals to learn from")
    parser.add_argument("--no-moduli", action="store_true", help="leave the comparison on bulk moduli out")
    options = parser.parse_args(arguments)
    if options.sizes and min(options.sizes) < SMALLEST:
        parser.error(f"--sizes must be at least {SMALLEST}, not {min(options.sizes)}")
    copies: list[dict[str, Any]] = []
    promises = []
    for n in options.sizes:
        CONSOLE.print(f"computing: {n:,} crystals", style="dim")
        copies.append({"crystals": n} | fresh_process(COPIES.format(n=n, tested=min(n, N_TESTED), warm=SMALLEST)))
        show(pd.DataFrame(copies), "copies of the embedded crystals", CONSOLE)
    if copies:
        promises += [
            promised(f"{name}, {copies[-1]['crystals']:,} crystals", copies[-1][name], bound) for name, bound in BOUNDS.items()
        ]
    moduli = []
    if not options.no_moduli:
        for kind, large in (("all training crystals", 10**9), ("the nearest", 0)):
            CONSOLE.print(f"computing: bulk moduli from {kind}", style="dim")
            moduli.append({"predicted from": kind} | fresh_process(MODULI.format(large=large)))
        whole, local = (row["MAE of log10 K"] for row in moduli)
        promises.append(promised("MAE of log10 K from the nearest", local, (1 + LARGEST_LOSS) * whole))
        show(pd.DataFrame(moduli), "bulk moduli", CONSOLE)
    show(pd.DataFrame(promises), "promises", CONSOLE)
    write_results(options.output / "large.json", {"copies": copies, "moduli": moduli, "promises": promises})


if __name__ == "__main__":
    main()
