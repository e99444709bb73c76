"""The report's comparison of descriptors and models on elastic moduli: ``python -m benchmarks.bulk_modulus``.

The entries are those that hold none but the 78 elements to Bi, split 80:20 with seed 1, and kNN on 10 GRID EMD + substitution EMD
is that of R.-Z. Zhang, S. Seth and J. Cumby, Digital Discovery 2 (2023) 81-90, 10.1039/D2DD00054G. Beside it stand the other
descriptors, kernel ridge regression and LASSO, as in the AI4SD report 10.5258/SOTON/P0038: hyperparameters are chosen by grid
search with threefold cross-validation on at most 2,500 entries of the training part, mean absolute error in GPa as the score; the
models are then fitted on all of it. Predictions of KRR and LASSO are clipped to the range of the training part.

Finished cells are kept in the output folder, so a stopped run goes on where it was.
"""

from __future__ import annotations

import argparse
import resource
import warnings
from typing import TYPE_CHECKING, Any

import pandas as pd
from joblib import Memory

from benchmarks import _report as report
from benchmarks._cache import identity, remember, set_aside
from benchmarks._claims import PUBLISHED, PUBLISHED_SOURCE, check_claims
from benchmarks._run import CONSOLE, Stages, command_line, write_results
from benchmarks._tables import records
from benchmarks.moduli.cells import (
    CURVES,
    DEFAULT,
    KERNEL_MODEL,
    REFERENCES,
    VARIANTS,
    Cell,
    all_cells,
    compute,
    first_of_its_kind,
    learning_curve,
    not_applicable,
)
from benchmarks.moduli.features import DESCRIPTORS, Features
from benchmarks.moduli.task import N_TUNING, SPLITS, TARGETS, Task, load_task
from matminer_grid.cli._terminal import stages as under_way

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np

QUICK_ENTRIES = 1500
ARRAYS = ["predicted", "rests_on", "train_predicted"]
ORDER = ("vectors", "described", "histograms", "EMD")
"""Of what cells need, as it is computed."""

MAIN_ROWS = (("kNN, k = 1", "GPa"), ("KRR", "log10"))
"""Model and scale of the rows whose predictions for each entry go into results.json, where they are made with EMD."""


class Run:
    """A run of some cells: computed, or read from disk where all that they depend on is the same.

    Attributes
    ----------
    rows : DataFrame
        What :func:`benchmarks.moduli.cells.compute` gives, with name, descriptor, dissimilarity, variant, its short name, and
        title, its name for readers.
    learning_curves : dict of dict
        By the title of the row: model, sizes n of the training part, and the MAE of each.
    """

    def __init__(self, task: Task, folder: Path, identity: dict[str, Any], progress: Callable[[str], None]) -> None:
        self.task = task
        self._progress = progress
        self.features = Features(task)
        self.learning_curves: dict[str, dict[str, list[float]]] = {}
        self._identity = identity
        self._remember = Memory(folder / "cells", verbose=0).cache(remember, ignore=["compute"])

    def compute(self, cells: list[Cell], *, with_curves: bool) -> None:
        """Fill the table; cells that need vectors come first, matrices last: they are never in memory together."""
        found = {}
        for cell in sorted(cells, key=lambda cell: ORDER.index(cell.needs[0])):
            self.features.keep(set(cell.needs), cell.descriptor)
            found[cell] = self._kept(cell.name, lambda cell=cell: compute(cell, self.task, self.features))
            for row in found[cell]:
                name = ", ".join(part for part in (cell.descriptor, row["model"], cell.label, row["target_scale"]) if part)
                row |= {"name": name, "descriptor": cell.descriptor, "dissimilarity": cell.label, "variant": cell.dissimilarity}
                row["title"] = report.readable(row)
                if with_curves and CURVES.get(row["model"]) == row["target_scale"] and first_of_its_kind(cell):
                    chosen = row["hyperparameters"][0]
                    curve = self._kept(
                        f"learning curve: {cell.name}",
                        lambda cell=cell, chosen=chosen: learning_curve(cell, self.task, self.features, chosen),
                    )
                    self.learning_curves[row["title"]] = {"model": cell.model} | curve
        self.rows = pd.DataFrame([row for cell in cells for row in found[cell]])

    def check_rdf(self) -> float:
        """Compare our RDF with matminer's."""
        return self._kept("RDF against matminer", lambda: self.features.check_rdf(self.task.seed))

    @property
    def main_rows(self) -> pd.DataFrame:
        """Rows of the EMD that stand for their descriptors: nearest neighbours and KRR on log10."""
        is_main = pd.Series([pair in MAIN_ROWS for pair in zip(self.rows["model"], self.rows["target_scale"], strict=True)])
        return self.rows[is_main & (self.rows["variant"] == "EMD")]

    @property
    def fourier(self) -> pd.DataFrame:
        """Rows of the Fourier experiment."""
        rows = self.rows
        fourier = rows["descriptor"].str.startswith("structure factors") & (rows["variant"] == "RBF")
        return rows[fourier & (rows["target_scale"] == "log10")]

    def parity(self) -> dict[str, dict[str, Any]]:
        """List each prediction of the best row, the main rows, and the Fourier experiment, there of the training part too.

        The smallest error comes first. Each prediction has the training crystals that it rests on: material_id, formula, share.
        """
        task, out = self.task, {}
        rows = self.rows
        others = rows[(rows["model"] == KERNEL_MODEL.model) | (rows["MAE"] == rows["MAE"].min())]
        chosen = pd.concat([self.main_rows, others, self.fourier])
        for _, row in chosen[~chosen.index.duplicated()].sort_values("MAE", kind="stable").iterrows():
            parts = [("", task.tested, row["predicted"], row["rests_on"])]
            if row["variant"] == "RBF":
                parts.append((", training part", task.train, row["train_predicted"], None))
            for part, entries, predicted, known in parts:
                out[row["title"] + part] = {
                    "material_id": task.material_id[entries].tolist(),
                    "formula": task.formula[entries].tolist(),
                    "true": task.modulus[entries].tolist(),
                    "predicted": predicted.round(2).tolist(),
                    "rests_on": None if known is None else [self._named(*one) for one in zip(*known, strict=True)],
                }
        return out

    def _named(self, rows: np.ndarray, shares: np.ndarray) -> list[tuple[str, str, float]]:
        ids, formulas = self.task.material_id[rows].tolist(), self.task.formula[rows].tolist()
        return list(zip(ids, formulas, shares.round(3).tolist(), strict=True))

    def draw(self, target: str, folder: Path) -> list[str]:
        """Draw what the run has numbers for; give the names of the files."""
        files = []
        for _, row in self.main_rows[self.main_rows["descriptor"] == "GRID + composition"].iterrows():
            files.append("parity_krr.png" if row["model"] == "KRR" else "parity.png")
            report.draw_parity(self.task, target, row["predicted"], row["title"], folder / files[-1])
        if len(self.fourier):
            files.append("fourier.png")
            report.draw_fourier(self.task, target, self.fourier, folder / files[-1])
        if self.learning_curves:
            files.append("learning_curves.png")
            report.draw_learning_curves(report.best_curves(self.learning_curves), folder / files[-1])
        return files

    def _kept(self, name: str, work: Callable[[], Any]) -> Any:
        def announced() -> Any:
            CONSOLE.print(f"computing: {name}", style="dim", markup=False)
            self._progress(name)
            return work()

        return self._remember(self._identity, name, announced)


def chosen_cells(options: argparse.Namespace) -> list[Cell]:
    """List the cells that the command line asks for, in the order of the table."""
    cells = all_cells()
    if options.only:
        return [cell for cell in cells if any(cell.descriptor == d and m in {None, cell.model} for d, m in options.only)]
    return cells if options.full or options.quick else [cell for cell in cells if cell in DEFAULT]


def published_rows() -> pd.DataFrame:
    """Give the report's figures as rows of the table."""
    names = [f"published: {row['descriptor']}" for row in PUBLISHED]
    empty = {"variant": "", "target_scale": "", "note": PUBLISHED_SOURCE}
    return pd.DataFrame(PUBLISHED).assign(name=names, title=names, descriptor=names, **empty)


def parse(arguments: list[str] | None) -> tuple[argparse.Namespace, argparse.ArgumentParser]:
    """Read the command line."""
    parser = command_line("bulk_modulus", __doc__, "results.json and figures")
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--full", action="store_true", help="compute every cell and the learning curves, which takes many times as long"
    )
    size.add_argument(
        "--quick", action="store_true", help=f"compute every cell on {QUICK_ENTRIES:,} random entries, about a minute"
    )
    parser.add_argument("--target", choices=TARGETS, default="K_VRH", help="modulus to predict")
    parser.add_argument(
        "--split", choices=SPLITS, default="random", help="; ".join(f"{name}: {what}" for name, what in SPLITS.items())
    )
    parser.add_argument("--cv", type=int, metavar="FOLDS", help="cross-validate with this many folds instead of one 80:20 split")
    parser.add_argument(
        "--only",
        type=read_selection,
        action="append",
        metavar="DESCRIPTOR[:MODEL]",
        help=f"compute these cells only; descriptors: {', '.join(ROWS)}; models: {', '.join(VARIANTS)}",
    )
    parser.add_argument("--limit", type=int, help="take a random sample of this many entries, for a quick look")
    parser.add_argument("--seed", type=int, default=1, help="seed of the split, 1 as published")
    options = parser.parse_args(arguments)
    if options.cv is not None and not 2 <= options.cv <= 20:
        parser.error(f"--cv must be between 2 and 20 folds, not {options.cv}")
    if options.limit is None and options.quick:
        options.limit = QUICK_ENTRIES
    return options, parser


ROWS = (*DESCRIPTORS, *(cell.descriptor for cell in REFERENCES))
"""What --only chooses from."""


def read_selection(text: str) -> tuple[str, str | None]:
    """Read DESCRIPTOR[:MODEL]; a descriptor may have a colon of its own."""
    descriptor, _, model = (text, "", "") if text in ROWS else text.rpartition(":")
    descriptor = descriptor.strip() or text
    if descriptor not in ROWS:
        raise argparse.ArgumentTypeError(f"unknown descriptor {descriptor!r}; choose one of {', '.join(map(repr, ROWS))}")
    if model and model.strip() not in VARIANTS:
        raise argparse.ArgumentTypeError(f"unknown model {model.strip()!r}; choose one of {', '.join(map(repr, VARIANTS))}")
    return descriptor, model.strip() or None


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    options, parser = parse(arguments)
    try:
        task = load_task(options.limit, options.seed, options.target, options.split, options.cv)
    except ValueError as error:
        parser.error(str(error))
    warnings.filterwarnings("ignore", module="pymatgen|matminer")
    stages, folder, every = Stages(), options.output, options.full or options.quick
    numbers_depend_on = identity({key: getattr(options, key) for key in ("target", "split", "cv", "limit", "seed")})
    set_aside(folder / "results.json", numbers_depend_on, CONSOLE)
    cells = chosen_cells(options)
    tuned_on = min(N_TUNING, len(task.train))
    CONSOLE.print(
        f"{options.target} of {len(task.crystals):,} crystals, {options.split} split, {len(task.folds)} fold(s): "
        f"{len(task.train):,} to learn from, {len(task.tested):,} tested; hyperparameters chosen on {tuned_on:,} of the training "
        f"part; {len(cells)} cells"
    )
    with stages("total"), under_way(quiet=False) as progress:
        run = Run(task, folder, numbers_depend_on, progress)
        run.compute(cells, with_curves=every)
        rdf_difference = run.check_rdf() if any(cell.descriptor == "RDF" for cell in cells) else None
        files = run.draw(options.target, folder)
    stages.seconds["features"] = run.features.seconds
    rows = run.rows.drop(columns=ARRAYS)
    claims = check_claims(rows, published=options.target == "K_VRH" and options.split == "random" and options.limit is None)
    if options.target == "K_VRH":
        rows = pd.concat([rows, published_rows()], ignore_index=True)
    left_out = not_applicable() if every else []
    report.show_run(rows, claims, left_out, f"{TARGETS[options.target].capitalize()}, {options.split} split")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    CONSOLE.print(f"total {stages.seconds['total']:.1f} s, of it features {run.features.seconds:.1f} s; peak memory {peak:.0f} MB")
    content = {
        "identity": numbers_depend_on,
        "entries": len(task.crystals),
        "test_entries": len(task.tested),
        "tuned_on": tuned_on,
        "rows": records(rows),
        "not_applicable": left_out,
        "claims": records(claims),
        "parity": run.parity(),
        "learning_curves": run.learning_curves,
        "rdf_against_matminer": rdf_difference,
        "seconds": stages.seconds,
        "peak_MB": peak,
    }
    content = write_results(folder / "results.json", content, "index.html", *files)
    report.write_bulk_modulus_page(folder / "index.html", content)


if __name__ == "__main__":
    main()
