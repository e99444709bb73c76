"""Cross-validate GRIDKernelRegressor on the embedded moduli: ``python -m benchmarks.model --cv 5 [--target G_VRH]``.

Protocol: the entries with an elastic anisotropy from 0 to 100 and without noble gases (or all, with --all), shuffled into folds
with the seed 18012019 of matbench; each score is the mean over the folds. A model sees the training part of its fold alone.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import KFold

from benchmarks._run import output_folder, provenance, write_json
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.models import GRIDKernelRegressor

SEED = 18012019
NOBLE_GASES = (2, 10, 18, 36, 54, 86)
COVERAGES = (0.5, 0.8, 0.95)
TARGETS = ("K_VRH", "G_VRH")
SCORES = {"MAE_log10": ".4f", "MAE": ".2f", "median": ".2f", "RMSE": ".2f"} | {f"coverage_{c:.0%}": ".3f" for c in COVERAGES}
"""Scores, with their format."""

TIMES = {
    "training_seconds": ".0f",
    "training_cpu_seconds": ".0f",
    "prediction_ms": ".2f",
    "prediction_cpu_ms": ".2f",
    "peak_memory_GB": ".1f",
}
"""What it takes, wall-clock and summed over all threads, with the format."""


def usable_rows(target: str, everything: bool) -> np.ndarray:
    """List the entries of the task; what has no logarithm is left out in any case."""
    data = load_mp_elasticity_table()
    usable = getattr(data, target) > 0
    if not everything:
        owner = np.repeat(np.arange(len(data)), np.diff(data.crystals.species_offsets))
        noble = np.isin(np.arange(len(data)), owner[np.isin(data.crystals.numbers, NOBLE_GASES)])
        usable &= (data.elastic_anisotropy >= 0) & (data.elastic_anisotropy <= 100) & ~noble
    return np.nonzero(usable)[0]


def run_fold(
    target: str, train: np.ndarray, test: np.ndarray, console: Console
) -> tuple[dict[str, float], dict[str, Any], np.ndarray]:
    """Train and test once: scores with times and memory, weights of the distances, predictions."""
    data = load_mp_elasticity_table()
    y = getattr(data, target)
    start, start_cpu = time.perf_counter(), time.process_time()
    with console.status("") as status:
        model = GRIDKernelRegressor(progress=status.update).fit(data.crystals[train], y[train])
    trained, trained_cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # elements that this fold's training part lacks
        predicted, _ = model.predict(data.crystals[test], return_std=True)
        done, done_cpu = time.perf_counter(), time.process_time()
        intervals = [model.predict_interval(data.crystals[test], coverage) for coverage in COVERAGES]
    error = np.abs(predicted - y[test])
    scores = {
        "MAE_log10": float(np.abs(np.log10(predicted / y[test])).mean()),
        "MAE": float(error.mean()),
        "median": float(np.median(error)),
        "RMSE": float(np.sqrt((error**2).mean())),
    }
    for coverage, (lower, upper) in zip(COVERAGES, intervals, strict=True):
        scores[f"coverage_{coverage:.0%}"] = float(((lower <= y[test]) & (y[test] <= upper)).mean())
    scores |= {
        "training_seconds": trained - start,
        "training_cpu_seconds": trained_cpu - start_cpu,
        "prediction_ms": 1e3 * (done - trained) / len(test),
        "prediction_cpu_ms": 1e3 * (done_cpu - trained_cpu) / len(test),
        "peak_memory_GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }
    return scores, {"weights": model.weights_, "noise": float(model.noise_.min())}, predicted


def show(title: str, folds: list[dict[str, float]], console: Console) -> None:
    """Print a row for each fold and their mean, first of the scores and then of what they took."""
    for formats in (SCORES, TIMES):
        table = Table(title=title)
        for name in ("fold", *(name.replace("_", " ") for name in formats)):
            table.add_column(name, justify="right")
        for i, fold in enumerate(folds):
            table.add_row(str(i + 1), *(f"{fold[name]:{style}}" for name, style in formats.items()))
        table.add_section()
        table.add_row("mean", *(f"{np.mean([fold[name] for fold in folds]):{style}}" for name, style in formats.items()))
        console.print(table)


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model", description=__doc__.splitlines()[0])
    parser.add_argument("--cv", type=int, default=5, help="number of folds")
    parser.add_argument("--folds", type=int, help="run only so many of them")
    parser.add_argument("--target", choices=TARGETS, default="K_VRH")
    parser.add_argument("--all", action="store_true", help="keep failed calculations and noble gases")
    parser.add_argument("--limit", type=int, help="take a random sample of this many entries, for a quick look")
    parser.add_argument("--output", type=Path, default=Path("output/model"), help="folder for the JSON file")
    options = parser.parse_args(arguments)
    rows = usable_rows(options.target, options.all)
    if options.limit is not None:
        if not 100 <= options.limit <= len(rows):
            raise SystemExit(f"--limit must be between 100 and {len(rows)}, not {options.limit}")
        rows = np.sort(np.random.default_rng(SEED).choice(rows, options.limit, replace=False))
    if not 2 <= options.cv <= 20:
        raise SystemExit(f"--cv must be between 2 and 20 folds, not {options.cv}")
    folder = output_folder(options.output)
    console = Console()
    results, models = [], []
    predictions = np.full(len(rows), np.nan)
    splits = list(KFold(options.cv, shuffle=True, random_state=SEED).split(rows))[: options.folds]
    for i, (train, test) in enumerate(splits):
        scores, model, predictions[test] = run_fold(options.target, rows[train], rows[test], console)
        results.append(scores)
        models.append(model)
        console.print(f"fold {i + 1}: " + "  ".join(f"{name} {scores[name]:{style}}" for name, style in SCORES.items()))
    show(f"{options.target} of {len(rows)} crystals, {options.cv}-fold cross-validation", results, console)
    mean = {name: float(np.mean([fold[name] for fold in results])) for name in results[0]}
    data = load_mp_elasticity_table()
    content = {
        "target": options.target,
        "entries": len(rows),
        "cleaned": not options.all,
        "cv": options.cv,
        "seed": SEED,
        "mean": mean,
        "folds": results,
        "models": models,
        "predictions": {str(data.material_id[rows[i]]): round(float(predictions[i]), 2) for i in np.nonzero(predictions > 0)[0]},
        "run": provenance(),
    }
    write_json(folder / f"{options.target}{'_all' if options.all else ''}.json", content)


if __name__ == "__main__":
    main()
