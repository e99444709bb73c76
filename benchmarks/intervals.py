"""Intervals of models that know few crystals: ``python -m benchmarks.intervals [--data FILE]``.

Models learn from crystals drawn at random and predict others, again and again: 50, 80 and 95 % of these should be within their
intervals, whatever the number of crystals learned from. Properties are the embedded bulk and shear moduli and those of
:mod:`benchmarks.properties`, where --data says where their files are. The draws are others than those by which the calibration was
chosen.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks._run import CONSOLE, command_line, write_results
from benchmarks._tables import records, show
from benchmarks.properties import COVERAGES, PROPERTIES, interval_scores, load_task
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.models import GRIDKernelRegressor
from matminer_grid.models.default import clean_rows

if TYPE_CHECKING:
    from matminer_grid import CrystalTable

DRAWS = {20: 100, 30: 60, 50: 40, 100: 20, 300: 8, 1000: 4}
"""Crystals that a model knows: how often they are drawn. With 20 draws the share of one property was known to 1.3 % only."""

POOL = 3000
"""Crystals of a property that are drawn from."""

N_TESTED = 500
SEED = 6000

WITHIN = 0.02
"""How far the share within an interval may be from what it should be, in the mean over the properties."""

LEAST, WIDEST = 0.90, 3.0
"""Share of any property that the 95 % intervals must hold, and their width over what the errors ask for."""


class Sample(NamedTuple):
    """Some crystals with a property, all above 0 and learned as a logarithm, or not."""

    crystals: CrystalTable
    y: np.ndarray
    log_target: bool


def samples(data: Path | None) -> dict[str, Sample]:
    """Take POOL crystals of each property at random, or all if there are no more; a ValueError says what is wrong with a file."""
    random = np.random.default_rng(SEED)
    table, rows = load_mp_elasticity_table(), random.permutation(clean_rows())[:POOL]
    found = {name: Sample(table.crystals[rows], getattr(table, name)[rows], True) for name in ("K_VRH", "G_VRH")}
    for name in PROPERTIES if data else ():
        task = load_task(name, data).sample(POOL)
        found[name] = Sample(task.crystals, task.y, task.log_target)
    return found


def judge(sample: Sample, sizes: list[int]) -> pd.DataFrame:
    """Learn from each number of crystals again and again: one row a draw."""
    described = GRIDKernelRegressor().describe(sample.crystals)
    rows = []
    for n in (size for size in sizes if size + N_TESTED <= len(sample.y)):
        for draw in range(DRAWS[n]):
            order = np.random.default_rng([SEED, n, draw]).permutation(len(sample.y))
            known, tested = order[:n], order[n : n + N_TESTED]
            model = GRIDKernelRegressor(log_target=sample.log_target).fit(described[known], sample.y[known])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # elements that the model doesn't know
                predicted = model.predict(described[tested])
                intervals = {coverage: np.array(model.predict_interval(described[tested], coverage)) for coverage in COVERAGES}
            rows.append({"learned from": n} | interval_scores(sample.y[tested], predicted, intervals))
    return pd.DataFrame(rows)


def summary(draws: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Average over draws, and then over properties."""
    by_property = draws.groupby(["learned from", "property"], sort=False).mean().reset_index()
    shares = draws.groupby(["learned from", "property"], sort=False)["within 95%"]
    by_property["standard error of within 95%"] = shares.sem().to_numpy()
    by_property["95% in the worst draw"] = shares.min().to_numpy()
    by_property = by_property.sort_values("learned from", kind="stable")
    of_draws = ["standard error of within 95%", "95% in the worst draw"]
    means = by_property.drop(columns=["property", *of_draws]).groupby("learned from").mean().reset_index()
    return means, by_property


def check(means: pd.DataFrame, by_property: pd.DataFrame) -> pd.DataFrame:
    """Compare with what the project promises."""
    off = max(float((means[f"within {coverage:.0%}"] - coverage).abs().max()) for coverage in COVERAGES)
    found = {
        f"shares within intervals, means over the properties, are off by no more than {WITHIN}": (off, off <= WITHIN),
        f"95% intervals hold at least {LEAST} of each property": (
            float(by_property["within 95%"].min()),
            bool(by_property["within 95%"].min() >= LEAST),
        ),
        f"they are no wider than {WIDEST:g} times what the errors ask for": (
            float(by_property["95% width over need"].max()),
            bool(by_property["95% width over need"].max() <= WIDEST),
        ),
    }
    return pd.DataFrame(
        [{"promise": name, "found": value, "outcome": "holds" if good else "fails"} for name, (value, good) in found.items()]
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = command_line("intervals", __doc__, "intervals.json")
    parser.add_argument("--data", type=Path, metavar="PATH", help="file or folder of benchmarks.properties, for its properties too")
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        choices=list(DRAWS),
        default=list(DRAWS),
        metavar="N",
        help="numbers of crystals learned from",
    )
    options = parser.parse_args(arguments)
    try:
        chosen = samples(options.data)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    parts: list[Any] = []
    for name, sample in chosen.items():
        CONSOLE.print(f"computing: {name}, {len(sample.y):,} crystals", style="dim", markup=False)
        parts.append(judge(sample, sorted(options.sizes)).assign(property=name))
    means, by_property = summary(pd.concat(parts, ignore_index=True))
    show(by_property, "Shares of other crystals within intervals", CONSOLE, by="learned from")
    show(means, "Means over the properties", CONSOLE)
    claims = check(means, by_property)
    show(claims, "What is promised", CONSOLE)
    content = {"means": records(means), "by_property": records(by_property), "promises": records(claims)}
    write_results(options.output / "intervals.json", content)


if __name__ == "__main__":
    main()
