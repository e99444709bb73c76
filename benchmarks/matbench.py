"""matbench's structure tasks, official folds and metrics: ``python -m benchmarks.matbench matbench_phonons [--data FILE]``.

The file is that of matminer, matbench_phonons.json.gz and so on; without --data it is looked for in matminer's cache. When all five
folds are there, `<task>.json` is what matbench itself would write, ready to be submitted.

``--embedded`` needs no file: it takes the bulk and shear moduli of those entries of log_kvrh and log_gvrh, 94 % of them, that are
among the embedded ones, identified by formula and value; each stays in its official fold. Targets are then the embedded moduli, in
whole GPa. Beside them stand the scores of published models' own predictions on the same entries.

Finished folds are kept in the output folder, so a stopped run goes on where it was.

A. Dunn et al., npj Comput. Mater. 6 (2020) 138, 10.1038/s41524-020-00406-3.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from joblib import Memory
from sklearn import metrics
from sklearn.model_selection import KFold, StratifiedKFold

from benchmarks._cache import identity, remember
from benchmarks._run import CONSOLE, command_line, write_results
from benchmarks._tables import show
from benchmarks.moduli.task import CV_SEED
from matminer_grid._files import replacing
from matminer_grid.datasets import load_matminer_dataset, load_mp_elasticity_table
from matminer_grid.models import GRIDKernelClassifier, GRIDKernelRegressor

if TYPE_CHECKING:
    import argparse

    from matminer_grid import CrystalTable

EMBEDDED = Path(__file__).parent / "data" / "matbench_embedded.csv.gz"
"""Numbers of the embedded entries in the tasks log_kvrh and log_gvrh, counted from 1."""

COVERAGES = (0.5, 0.8, 0.95)
N_FOLDS = 5
LEAST_RELATIVE = 1e-5
"""Values nearer to 0 are left out of matbench's relative error."""

MATBENCH_VERSION = "0.6"
"""Of the package matbench whose form the results have."""


@dataclass(frozen=True)
class Task:
    """One of matbench's tasks, and what others reach in it: the mean over the five folds of the MAE, or of the area under ROC."""

    target: str
    size: int
    log_target: bool
    others: dict[str, float]
    classes: bool = False


TASKS = {
    f"matbench_{name}": task
    for name, task in {
        "log_kvrh": Task("log10(K_VRH)", 10987, False, {"coNGN": 0.0491, "ALIGNN": 0.0568, "MODNet": 0.0548, "RF": 0.0820}),
        "log_gvrh": Task("log10(G_VRH)", 10987, False, {"coNGN": 0.0670, "ALIGNN": 0.0715, "MODNet": 0.0731, "RF": 0.1040}),
        "phonons": Task("last phdos peak", 1265, True, {"MegNet": 28.76, "ALIGNN": 29.54, "MODNet": 34.28, "RF": 67.61}),
        "dielectric": Task("n", 4764, True, {"MODNet": 0.2711, "ALIGNN": 0.3449, "RF": 0.4196}),
        "jdft2d": Task("exfoliation_en", 636, True, {"MODNet": 33.19, "ALIGNN": 43.42, "RF": 50.04}),
        "perovskites": Task("e_form", 18928, False, {"coGN": 0.0269, "ALIGNN": 0.0288, "MODNet": 0.0908, "RF": 0.2355}),
        "mp_e_form": Task("e_form", 132752, False, {"coGN": 0.0170, "ALIGNN": 0.0215, "MODNet": 0.0448, "RF": 0.1165}),
        "mp_gap": Task("gap pbe", 106113, False, {"coGN": 0.1559, "ALIGNN": 0.1861, "MODNet": 0.2199, "RF": 0.3452}),
        "mp_is_metal": Task(
            "is_metal", 106113, False, {"CGCNN": 0.952, "ALIGNN": 0.913, "MODNet": 0.904, "RF": 0.899}, classes=True
        ),
    }.items()
}
"""By matbench's names; best published, ALIGNN, MODNet 0.1.12 and a random forest on Magpie features, from its board."""

PUBLISHED = {
    "log_kvrh": {"coNGN": (0.0479, 7.93), "ALIGNN": (0.0555, 9.45), "RF": (0.0795, 13.89)},
    "log_gvrh": {"coNGN": (0.0661, 6.09), "ALIGNN": (0.0709, 6.52), "RF": (0.1020, 9.89)},
}
"""MAE of log10 and in GPa of models' predictions as submitted to matbench, on the embedded entries."""

Folds = dict[int, dict[str, Any]]
"""What :func:`run_fold` gives, by the number of the fold."""

MODULI = {"log_kvrh": "K_VRH", "log_gvrh": "G_VRH"}


@dataclass(frozen=True, eq=False)
class Problem:
    """Crystals with values to learn, and the test rows of each fold; all other rows are learned from."""

    crystals: CrystalTable
    y: np.ndarray
    folds: list[np.ndarray]
    log_target: bool
    classes: bool = False


def official_folds(labels: np.ndarray, classes: bool = False) -> list[np.ndarray]:
    """Give the test rows of matbench's folds, for the values of the whole data set in its own order."""
    splitter = (StratifiedKFold if classes else KFold)(N_FOLDS, shuffle=True, random_state=CV_SEED)
    return [test for _, test in splitter.split(np.zeros(len(labels)), labels)]


def embedded_problem(name: str) -> Problem:
    """Take the embedded entries of log_kvrh or log_gvrh with their moduli in GPa."""
    data = load_mp_elasticity_table()
    numbers = pd.read_csv(EMBEDDED, index_col="material_id")[name].reindex(data.material_id)
    rows = np.nonzero(numbers.notna())[0]
    place = numbers.to_numpy()[rows].astype(int) - 1
    official = official_folds(np.zeros(TASKS[f"matbench_{name}"].size))
    folds = [np.nonzero(np.isin(place, test))[0] for test in official]
    return Problem(data.crystals[rows], getattr(data, MODULI[name])[rows], folds, True)


def file_problem(name: str, path: Path | None) -> Problem:
    """Read a task from the file of the user."""
    crystals, frame = load_matminer_dataset(name, path=path, download=False)
    task = TASKS[name]
    values = frame[task.target].to_numpy(bool if task.classes else np.float64)
    return Problem(crystals, values, official_folds(values, task.classes), task.log_target, task.classes)


def run_fold(problem: Problem, fold: int) -> dict[str, Any]:
    """Learn from all rows but those of a fold and predict these: values with intervals, or probabilities; and what was found."""
    test = problem.folds[fold]
    train = np.setdiff1d(np.arange(len(problem.y)), test)
    kind = GRIDKernelClassifier if problem.classes else partial(GRIDKernelRegressor, log_target=problem.log_target)
    with CONSOLE.status("") as status:
        model = kind(progress=status.update)
        model.fit(problem.crystals[train], problem.y[train])
    crystals, intervals = model.describe(problem.crystals[test]), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # elements that this fold's training part lacks
        if problem.classes:
            predicted = model.predict_proba(crystals)[:, 1]
        else:
            predicted = model.predict(crystals)
            intervals = {coverage: np.array(model.predict_interval(crystals, coverage)) for coverage in COVERAGES}
    return {"predicted": predicted, "intervals": intervals, "weights": model.weights_, "noise": float(model.noise_.min())}


def covered(truth: np.ndarray, intervals: dict[float, np.ndarray]) -> dict[str, float]:
    """Tell which shares of values the intervals hold."""
    return {f"coverage {c:.0%}": float(((low <= truth) & (truth <= high)).mean()) for c, (low, high) in intervals.items()}


def official_scores(truth: np.ndarray, predicted: np.ndarray, classes: bool) -> dict[str, float]:
    """Compute what matbench scores; a class is there if its probability is at least a half."""
    if classes:
        label, is_there = truth.astype(bool), predicted >= 0.5
        return {
            "accuracy": float(metrics.accuracy_score(label, is_there)),
            "balanced_accuracy": float(metrics.balanced_accuracy_score(label, is_there)),
            "f1": float(metrics.f1_score(label, is_there)),
            "rocauc": float(metrics.roc_auc_score(label, predicted)),
        }
    error, counts = np.abs(predicted - truth), np.abs(truth) > LEAST_RELATIVE
    return {
        "mae": float(error.mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "mape": float((error[counts] / np.abs(truth[counts])).mean()),
        "max_error": float(error.max()),
    }


def submission(name: str, problem: Problem, folds: Folds, scores: dict[int, dict[str, float]]) -> dict[str, Any]:
    """Give all folds of a task as matbench keeps them, with its digest."""
    digits = len(str(len(problem.y)))
    prefix = name.replace("_", "-").replace("matbench", "mb")
    results = {}
    for fold, found in folds.items():
        ids = [f"{prefix}-{row + 1:0{digits}d}" for row in problem.folds[fold]]
        results[f"fold_{fold}"] = {
            "data": dict(zip(ids, found["predicted"].tolist(), strict=True)),
            "parameters": {"weights": found["weights"], "noise": found["noise"]},
            "scores": scores[fold],
        }
    task = {"@module": "matbench.task", "@class": "MatbenchTask", "benchmark_name": "matbench_v0.1", "dataset_name": name}
    content = {
        "@module": "matbench.bench",
        "@class": "MatbenchBenchmark",
        "version": MATBENCH_VERSION,
        "benchmark_name": "matbench_v0.1",
        "tasks": {name: task | {"results": results}},
        "user_metadata": {"algorithm": f"matminer-grid: GRIDKernel{'Classifier' if problem.classes else 'Regressor'}"},
        "datestamp": datetime.now(UTC).strftime("%Y.%m.%d %H:%M.%S"),
    }
    return content | {"hash": hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}


def run_folds(name: str, problem: Problem, options: argparse.Namespace) -> Folds:
    """Run the folds that are asked for, or read them where all that they depend on is the same."""
    keep = Memory(options.output / "folds", verbose=0).cache(remember, ignore=["compute"])
    known = identity({"task": name, "embedded": options.embedded})

    def announced(fold: int) -> dict[str, Any]:
        CONSOLE.print(f"computing: {name}, fold {fold}", style="dim", markup=False)
        return run_fold(problem, fold)

    chosen = sorted(set(options.fold or range(N_FOLDS)))
    return {fold: keep(known, f"fold {fold}", lambda fold=fold: announced(fold)) for fold in chosen}


def report(name: str, rows: list[dict[str, Any]], others: list[dict[str, Any]], folder: Path) -> None:
    """Print and write the folds, their mean, and what others reach."""
    folds = pd.DataFrame(rows)
    mean = folds.drop(columns="fold").mean().to_dict()
    label = "mean" if len(rows) == N_FOLDS else f"mean of {len(rows)} fold(s)"
    show(pd.DataFrame([*rows, {"fold": label} | mean, *others]), name, CONSOLE)
    write_results(folder / f"{name}_scores.json", {"task": name, "folds": rows, "mean": mean, "others": others})


def run_embedded(name: str, options: argparse.Namespace) -> None:
    """Run and report one of the two moduli."""
    problem = embedded_problem(name)
    rows = []
    for fold, found in run_folds(name, problem, options).items():
        truth, predicted = problem.y[problem.folds[fold]], found["predicted"]
        log, GPa = float(np.abs(np.log10(predicted / truth)).mean()), float(np.abs(predicted - truth).mean())
        rows.append({"fold": str(fold), "MAE of log10": log, "MAE / GPa": GPa} | covered(truth, found["intervals"]))
    others = [{"fold": who, "MAE of log10": log, "MAE / GPa": GPa} for who, (log, GPa) in PUBLISHED[name].items()]
    report(name, rows, others, options.output)


def run_task(name: str, problem: Problem, options: argparse.Namespace) -> None:
    """Run and report a task whose file the user has."""
    task = TASKS[name]
    folds = run_folds(name, problem, options)
    truth = {fold: problem.y[problem.folds[fold]] for fold in folds}
    scores = {fold: official_scores(truth[fold], found["predicted"], task.classes) for fold, found in folds.items()}
    coverage = {fold: {} if task.classes else covered(truth[fold], found["intervals"]) for fold, found in folds.items()}
    rows = [{"fold": str(fold)} | scores[fold] | coverage[fold] for fold in folds]
    main_score = "rocauc" if task.classes else "mae"
    report(name, rows, [{"fold": who, main_score: value} for who, value in task.others.items()], options.output)
    if len(folds) == N_FOLDS:
        with replacing(options.output / f"{name}.json") as file:
            file.write(json.dumps(submission(name, problem, folds, scores)).encode())
        CONSOLE.print(f"for matbench: {name}.json", markup=False)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_line("matbench", __doc__, "results")
    parser.add_argument("task", nargs="?", choices=list(TASKS), help="task to read from a file")
    parser.add_argument("--data", type=Path, metavar="FILE", help="matminer's file of the task; else that of matminer's cache")
    parser.add_argument("--embedded", action="store_true", help="both moduli, on the embedded entries of matbench")
    parser.add_argument("--target", choices=list(MODULI), help="with --embedded: one of the moduli")
    parser.add_argument("--fold", type=int, choices=range(N_FOLDS), action="append", metavar="N", help="run one fold, 0 to 4")
    options = parser.parse_args(arguments)
    if options.embedded == (options.task is not None):
        parser.error(f"give either --embedded or one of the tasks {', '.join(TASKS)}")
    if options.embedded and options.data is not None:
        parser.error("--embedded needs no --data")
    if options.target and not options.embedded:
        parser.error("--target belongs to --embedded; a task has its own target")
    return options


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    options = parse(arguments)
    if options.embedded:
        for name in [options.target] if options.target else MODULI:
            run_embedded(name, options)
        return
    try:
        problem = file_problem(options.task, options.data)
    except FileNotFoundError as error:
        raise SystemExit(f"{error}. Download it there, and give it as --data FILE") from error
    except ValueError as error:
        raise SystemExit(str(error)) from error
    run_task(options.task, problem, options)


if __name__ == "__main__":
    main()
