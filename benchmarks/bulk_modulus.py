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
import os
import resource
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from rich.console import Console

from benchmarks import _report as report
from benchmarks._cells import (
    DEFAULT,
    LEARNING_CURVES,
    MODELS,
    REFERENCES,
    Cell,
    all_cells,
    compute,
    dissimilarity_label,
    is_structure_factor,
    learning_curve,
    not_applicable,
)
from benchmarks._claims import PUBLISHED, PUBLISHED_SOURCE, check_claims
from benchmarks._features import DESCRIPTORS, Features
from benchmarks._page import write_bulk_modulus_page
from benchmarks._run import Stages, output_folder, provenance, write_json
from benchmarks._store import CellStore, identity, set_aside
from benchmarks._task import N_TUNING, SPLITS, TARGETS, Task, load_task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

QUICK_ENTRIES = 1500
PARITY_ROWS = (("kNN, k = 1", "GPa"), ("KRR", "log10"))
"""Model and scale of the rows whose predictions for each entry go into results.json, where they are made with EMD."""


class Run:
    """A run of some cells: computed or read from disk.

    Parameters
    ----------
    task : Task
    folder : Path
        The output folder.
    identity : dict
        What the numbers depend on.
    console : rich.console.Console
    """

    def __init__(self, task: Task, folder: Path, identity: dict[str, Any], console: Console) -> None:
        self.task = task
        self.features = Features(task, folder / "magpie.npz")
        self.rows: list[dict[str, Any]] = []
        self.parity: dict[str, dict[str, Any]] = {}
        self.fourier: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.predictions: dict[str, np.ndarray] = {}
        self.learning_curves: dict[str, dict[str, list[float]]] = {}
        self._store = CellStore(folder / "cells", identity, console)
        self._console = console

    def cell(self, cell: Cell) -> None:
        """Add a cell's rows."""
        self.features.release(cell.descriptor)
        content = self._kept(cell.name, lambda: compute(cell, self.task, self.features))
        arrays = content["arrays"]
        for i, row in enumerate(content["rows"]):
            label = dissimilarity_label(cell)
            name = ", ".join(part for part in (cell.descriptor, row["model"], label, row["target_scale"]) if part)
            head = {"name": name, "descriptor": cell.descriptor, "dissimilarity": label, "variant": cell.dissimilarity}
            self.rows.append(head | row | {"seconds": content["seconds"]})
            self.predictions[name] = arrays[f"predicted_{i}"]
            is_main = (row["model"], row["target_scale"]) in PARITY_ROWS and cell.dissimilarity == "EMD"
            fourier = is_structure_factor(cell) and cell.dissimilarity == "RBF" and row["target_scale"] == "log10"
            if is_main or fourier:
                self.parity[name] = self._parity(self.task.tested, arrays[f"predicted_{i}"], arrays.get(f"neighbour_{i}"))
            if fourier:
                self.fourier[cell.descriptor] = arrays[f"train_predicted_{i}"], arrays[f"predicted_{i}"]
                self.parity[f"{name}, training part"] = self._parity(self.task.train, arrays[f"train_predicted_{i}"], None)

    def learning_curve(self, cell: Cell) -> None:
        """Add a cell's learning curve, with the hyperparameters that its row has."""
        row = next(
            row
            for row in self.rows
            if (row["descriptor"], row["variant"]) == (cell.descriptor, cell.dissimilarity)
            and (row["model"], row["target_scale"]) in PARITY_ROWS
            and row["model"].startswith(cell.model)
        )
        self.features.release(cell.descriptor)
        chosen = row["hyperparameters"][0]
        content = self._kept(
            f"learning curve: {cell.name}", lambda: ({"curve": learning_curve(cell, self.task, self.features, chosen)}, {})
        )
        self.learning_curves[row["name"]] = content["curve"]

    def check_rdf(self) -> float:
        """Compare our RDF with matminer's."""
        content = self._kept("RDF against matminer", lambda: ({"difference": self.features.check_rdf(self.task.seed)}, {}))
        return content["difference"]

    def _kept(self, name: str, compute_cell: Callable[[], tuple[dict[str, Any], dict[str, np.ndarray]]]) -> dict[str, Any]:
        content = self._store.load(name)
        if content is None:
            self._console.print(f"computing: {name}", style="dim", markup=False)
            fresh, arrays = compute_cell()
            self._store.save(name, fresh, arrays)
            content = fresh | {"arrays": arrays}
        return content

    def _parity(self, rows: np.ndarray, predicted: np.ndarray, neighbour: np.ndarray | None) -> dict[str, Any]:
        task = self.task
        return {
            "material_id": task.material_id[rows].tolist(),
            "formula": task.formula[rows].tolist(),
            "true": task.modulus[rows].tolist(),
            "predicted": predicted.round(2).tolist(),
            "neighbour_id": None if neighbour is None else task.material_id[neighbour].tolist(),
        }


def chosen_cells(options: argparse.Namespace) -> Sequence[Cell]:
    """List the cells that the command line asks for, in the order in which they are computed."""
    cells = all_cells()
    if options.only:
        return [cell for cell in cells if any(cell.descriptor == d and m in {None, cell.model} for d, m in options.only)]
    return cells if options.full or options.quick else [cell for cell in cells if cell in DEFAULT]


def published_rows() -> list[dict[str, Any]]:
    """Give the report's figures as rows of the table."""
    return [
        {
            "name": f"published: {descriptor}",
            "descriptor": f"published: {descriptor}",
            "model": model,
            "dissimilarity": dissimilarity,
            "variant": "",
            "target_scale": "",
            "scores": {name: [value, None, None] for name, value in scores.items()},
            "hyperparameters": [],
            "seconds": None,
            "note": PUBLISHED_SOURCE,
        }
        for descriptor, model, dissimilarity, scores in PUBLISHED
    ]


def draw(run: Run, target: str, folder: Path) -> list[str]:
    """Draw what the run has numbers for; give the names of the files."""
    files = []
    for file, descriptor, model, scale in (
        ("parity.png", "GRID + composition", "kNN, k = 1", "GPa"),
        ("parity_krr.png", "GRID + composition", "KRR", "log10"),
    ):
        for row in run.rows:
            if (row["descriptor"], row["model"], row["target_scale"], row["variant"]) == (descriptor, model, scale, "EMD"):
                report.draw_parity(run.task, target, run.predictions[row["name"]], row["name"], folder / file)
                files.append(file)
    if run.fourier:
        report.draw_fourier(run.task, target, run.fourier, folder / "fourier.png")
        files.append("fourier.png")
    if run.learning_curves:
        report.draw_learning_curves(run.learning_curves, folder / "learning_curves.png")
        files.append("learning_curves.png")
    return files


def parse(arguments: list[str] | None) -> tuple[argparse.Namespace, argparse.ArgumentParser]:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk_modulus", description=__doc__.splitlines()[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--full", action="store_true", help="compute every cell and the learning curves, up to 40 min")
    size.add_argument(
        "--quick", action="store_true", help=f"compute every cell on {QUICK_ENTRIES:,} random entries, about a minute"
    )
    parser.add_argument("--target", choices=TARGETS, default="K_VRH", help="modulus to predict")
    parser.add_argument("--split", choices=SPLITS, default="random", help="grouped: no reduced formula on both sides")
    parser.add_argument("--cv", type=int, metavar="FOLDS", help="cross-validate with this many folds instead of one 80:20 split")
    parser.add_argument(
        "--only",
        type=read_selection,
        action="append",
        metavar="DESCRIPTOR[:MODEL]",
        help=f"compute these cells only; descriptors: {', '.join((*DESCRIPTORS, *REFERENCES))}; models: {', '.join(MODELS)}",
    )
    parser.add_argument("--limit", type=int, help="take a random sample of this many entries, for a quick look")
    parser.add_argument("--output", type=Path, default=Path("output/bulk_modulus"), help="folder for results.json and figures")
    parser.add_argument("--seed", type=int, default=1, help="seed of the split, 1 as published")
    options = parser.parse_args(arguments)
    if options.cv is not None and not 2 <= options.cv <= 20:
        parser.error(f"--cv must be between 2 and 20 folds, not {options.cv}")
    if options.limit is None and options.quick:
        options.limit = QUICK_ENTRIES
    return options, parser


def read_selection(text: str) -> tuple[str, str | None]:
    """Read DESCRIPTOR[:MODEL]; a descriptor may have a colon of its own."""
    descriptors = (*DESCRIPTORS, *REFERENCES)
    descriptor, _, model = (text, "", "") if text in descriptors else text.rpartition(":")
    descriptor = descriptor.strip() or text
    if descriptor not in descriptors:
        raise argparse.ArgumentTypeError(f"unknown descriptor {descriptor!r}; choose one of {', '.join(map(repr, descriptors))}")
    if model and model.strip() not in MODELS:
        raise argparse.ArgumentTypeError(f"unknown model {model.strip()!r}; choose one of {', '.join(map(repr, MODELS))}")
    return descriptor, model.strip() or None


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    options, parser = parse(arguments)
    try:
        task = load_task(options.limit, options.seed, options.target, options.split, options.cv)
        folder = output_folder(options.output)
    except (ValueError, SystemExit) as error:
        parser.error(str(error))
    mpl.use("Agg")
    warnings.filterwarnings("ignore", module="pymatgen|matminer")
    console, stages = Console(width=None if os.isatty(1) else 190), Stages()
    numbers_depend_on = identity({key: getattr(options, key) for key in ("target", "split", "cv", "limit", "seed")})
    results = folder / "results.json"
    set_aside(results, numbers_depend_on, console)
    cells = chosen_cells(options)
    tuned_on = min(N_TUNING, len(task.train))
    console.print(
        f"{options.target} of {len(task.crystals):,} crystals, {options.split} split, {len(task.folds)} fold(s): "
        f"{len(task.train):,} to learn from, {len(task.tested):,} tested; hyperparameters chosen on {tuned_on:,} of the training "
        f"part; {len(cells)} cells"
    )
    with stages("total"):
        run = Run(task, folder, numbers_depend_on, console)
        for cell in cells:
            run.cell(cell)
            if cell in LEARNING_CURVES and (options.full or options.quick):
                run.learning_curve(cell)
        rdf_difference = run.check_rdf() if any(cell.descriptor == "RDF" for cell in cells) else None
        published = published_rows() if options.target == "K_VRH" else []
        files = draw(run, options.target, folder)
    stages.seconds["features"] = run.features.seconds
    as_published = options.target == "K_VRH" and options.split == "random" and options.limit is None
    claims = check_claims(run.rows, published=as_published)
    left_out = not_applicable() if options.full or options.quick else []
    report.show_rows(run.rows + published, left_out, f"{TARGETS[options.target].capitalize()}, {options.split} split", console)
    report.show_fourier(run.rows, console)
    report.show_claims(claims, console)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    console.print(f"total {stages.seconds['total']:.1f} s, of it features {run.features.seconds:.1f} s; peak memory {peak:.0f} MB")
    content = provenance() | {
        "identity": numbers_depend_on,
        "entries": len(task.crystals),
        "test_entries": len(task.tested),
        "tuned_on": tuned_on,
        "rows": run.rows + published,
        "not_applicable": left_out,
        "claims": claims,
        "parity": run.parity,
        "learning_curves": run.learning_curves,
        "rdf_against_matminer": rdf_difference,
        "seconds": stages.seconds,
        "peak_MB": peak,
    }
    write_json(results, content)
    write_bulk_modulus_page(folder / "index.html", content)
    console.print(f"written to {folder}: {', '.join(['results.json', 'index.html', *files])}", markup=False)


if __name__ == "__main__":
    main()
