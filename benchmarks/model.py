"""Cross-validate GRIDKernelRegressor on the embedded moduli: ``python -m benchmarks.model --cv 5 [--target G_VRH]``.

Protocol: the entries with an elastic anisotropy from 0 to 100 and without noble gases (or all, with --all), shuffled into folds
with the seed 18012019 of matbench; each score is the mean over the folds. A model sees the training part of its fold alone.
"""

from __future__ import annotations

import resource
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold

from benchmarks._run import CONSOLE, command_line, write_results
from benchmarks._tables import records, show, text
from benchmarks.moduli.scores import SCORES, statistics
from benchmarks.moduli.task import CV_SEED, TARGETS, holds_only
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.models import GRIDKernelRegressor

NOBLE_GASES = (2, 10, 18, 36, 54, 86)
COVERAGES = (0.5, 0.8, 0.95)


def usable_rows(target: str, everything: bool) -> np.ndarray:
    """List the entries of the task; what has no logarithm is left out in any case."""
    data = load_mp_elasticity_table()
    usable = getattr(data, target) > 0
    if not everything:
        others = np.setdiff1d(data.crystals.numbers, NOBLE_GASES)
        usable &= (data.elastic_anisotropy >= 0) & (data.elastic_anisotropy <= 100) & holds_only(data.crystals, others)
    return np.nonzero(usable)[0]


def run_fold(target: str, train: np.ndarray, test: np.ndarray) -> tuple[dict[str, float], dict[str, Any], np.ndarray]:
    """Train and test once: scores with times and memory, weights of the distances, predictions."""
    data = load_mp_elasticity_table()
    y = getattr(data, target)
    start, start_cpu = time.perf_counter(), time.process_time()
    with CONSOLE.status("") as status:
        model = GRIDKernelRegressor(log_target=True, progress=status.update).fit(data.crystals[train], y[train])
    trained, trained_cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # elements that this fold's training part lacks
        predicted, _ = model.predict(data.crystals[test], return_std=True)
        done, done_cpu = time.perf_counter(), time.process_time()
        intervals = [model.predict_interval(data.crystals[test], coverage) for coverage in COVERAGES]
    scores = {name: float(value) for name, value in statistics(y[test], predicted).items()}
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


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = command_line("model", __doc__, "the JSON file")
    parser.add_argument("--cv", type=int, default=5, help="number of folds")
    parser.add_argument("--folds", type=int, help="run only so many of them")
    parser.add_argument("--target", choices=TARGETS, default="K_VRH")
    parser.add_argument("--all", action="store_true", help="keep failed calculations and noble gases")
    parser.add_argument("--limit", type=int, help="take a random sample of this many entries, for a quick look")
    options = parser.parse_args(arguments)
    rows = usable_rows(options.target, options.all)
    if options.limit is not None:
        if not 100 <= options.limit <= len(rows):
            raise SystemExit(f"--limit must be between 100 and {len(rows)}, not {options.limit}")
        rows = np.sort(np.random.default_rng(CV_SEED).choice(rows, options.limit, replace=False))
    if not 2 <= options.cv <= 20:
        raise SystemExit(f"--cv must be between 2 and 20 folds, not {options.cv}")
    results, models = [], []
    predictions = np.full(len(rows), np.nan)
    splits = list(KFold(options.cv, shuffle=True, random_state=CV_SEED).split(rows))[: options.folds]
    for i, (train, test) in enumerate(splits):
        scores, model, predictions[test] = run_fold(options.target, rows[train], rows[test])
        results.append({"fold": str(i + 1)} | scores)
        models.append(model)
        CONSOLE.print(f"fold {i + 1}: " + "  ".join(f"{name} {text(scores[name], name, 1)}" for name in SCORES))
    folds = pd.DataFrame(results)
    mean = folds.drop(columns="fold").mean()
    table = pd.concat([folds, pd.DataFrame([{"fold": "mean"} | mean.to_dict()])])
    title = f"{options.target} of {len(rows)} crystals, {options.cv}-fold cross-validation"
    for columns in (list(SCORES), [column for column in mean.index if column not in SCORES]):
        part = table[["fold", *columns]].rename(columns=lambda name: name if name in SCORES else name.replace("_", " "))
        show(part, title, CONSOLE, more_digits=1)
    data = load_mp_elasticity_table()
    content = {
        "target": options.target,
        "entries": len(rows),
        "cleaned": not options.all,
        "cv": options.cv,
        "seed": CV_SEED,
        "mean": mean.to_dict(),
        "folds": records(folds.drop(columns="fold")),
        "models": models,
        "predictions": {str(data.material_id[rows[i]]): round(float(predictions[i]), 2) for i in np.nonzero(predictions > 0)[0]},
    }
    write_results(options.output / f"{options.target}{'_all' if options.all else ''}.json", content)


if __name__ == "__main__":
    main()
