"""Classes learned beside other models: ``python -m benchmarks.classes [--data FILE]``.

Whether embedded crystals are ductile by Pugh's rule; and where --data says where the files of :mod:`benchmarks.properties` are,
whether crystals lie on the convex hull, may be ferroelectric, and which of three ranges their band gap is in. Five folds, random,
or leak-free: no reduced formula is on both sides. Each model sees the training part alone, and has its usual parameters; what it
says of all folds is judged together.
"""

from __future__ import annotations

import time
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from benchmarks._run import CONSOLE, command_line, write_results
from benchmarks._tables import records, show
from benchmarks.moduli.task import CV_SEED
from benchmarks.properties import SPLITS, TREES, Task, load_column
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.models import CrossValidation, GRIDKernelClassifier, GRIDNeighborsClassifier
from matminer_grid.models.default import clean_rows

if TYPE_CHECKING:
    from collections.abc import Callable

CRYSTALS = 3000
"""Of the embedded ones, drawn at random."""

PUGH = 0.57
"""Shear modulus over bulk modulus below which a crystal is ductile."""

RANGES = (1.0, 3.0)
"""Ends in eV of the ranges of band gaps."""

KERNEL = "GRIDKernelClassifier"


def ductile() -> Task:
    """Classify embedded crystals by Pugh's rule."""
    table = load_mp_elasticity_table()
    rows = np.random.default_rng(CV_SEED).permutation(clean_rows())[:CRYSTALS]
    kind = np.where(table.G_VRH[rows] < PUGH * table.K_VRH[rows], "ductile", "brittle")
    return Task(table.crystals[rows].to_structures(), kind, log_target=False)


def stable(data: Path) -> Task:
    """Classify crystals by whether they lie on the convex hull."""
    structures, energy = load_column(data, "flla_2015", "e_above_hull")
    return Task(structures, np.where(energy <= 0, "stable", "unstable"), log_target=False)


def ferroelectric(data: Path) -> Task:
    """Classify crystals by whether their symmetry lets them be ferroelectric."""
    structures, found = load_column(data, "dielectric_constant", "pot_ferroelectric")
    return Task(structures, np.where(found > 0, "ferroelectric", "other"), log_target=False)


def gap(data: Path) -> Task:
    """Classify crystals by the range of their band gap."""
    structures, values = load_column(data, "dielectric_constant", "band_gap")
    names = [f"below {RANGES[0]:g} eV", "between", f"above {RANGES[1]:g} eV"]
    return Task(structures, np.array(names)[np.digitize(values, RANGES)], log_target=False)


def kernel(task: Task, train: np.ndarray, test: np.ndarray, **parameters: int) -> np.ndarray:
    """Give the probabilities of the kernel model."""
    return GRIDKernelClassifier(**parameters).fit(task.described[train], task.y[train]).predict_proba(task.described[test])


def neighbors(task: Task, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Give those of the five nearest neighbours by GRID and composition."""
    model = GRIDNeighborsClassifier(5, weights="distance").fit(task.crystals[train], task.y[train])
    return model.predict_proba(task.crystals[test])


def sklearn_model(make: Callable[[], Any], features: str) -> Callable[..., np.ndarray]:
    """Make a function that gives the probabilities of a model of scikit-learn on features of a task."""

    def predict(task: Task, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        X = getattr(task, features)
        with threadpool_limits(1, "openmp"):  # threads of gradient boosting that wait for each other take the time of others
            return make().fit(X[train], task.y[train]).predict_proba(X[test])

    return predict


def forest() -> Any:
    """Make a random forest; elements without a property get its mean."""
    return make_pipeline(SimpleImputer(), RandomForestClassifier(TREES, random_state=0, n_jobs=-1))


MODELS: dict[str, Callable[..., np.ndarray]] = {
    KERNEL: kernel,
    f"{KERNEL}, weights searched": partial(kernel, tune_iterations=8),
    "Magpie, volume, density: random forest": sklearn_model(forest, "magpie_and_cell"),
    "our features: histogram gradient boosting": sklearn_model(lambda: HistGradientBoostingClassifier(random_state=0), "features"),
    "GRID + composition: kNN, k = 5": neighbors,
}


def judge(task: Task, split: str, model: str) -> dict[str, Any]:
    """Predict each crystal by a model that has not seen it: what the probabilities of all are worth, and what they hold."""
    classes = np.unique(task.y)
    probabilities, reference, folds = np.zeros((len(task.y), len(classes))), np.empty_like(task.y), np.zeros(len(task.y), np.int64)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # elements that the training part lacks
        for fold, (train, test) in enumerate(task.folds(split)):
            probabilities[test], folds[test] = MODELS[model](task, train, test), fold
            names, counts = np.unique(task.y[train], return_counts=True)
            reference[test] = names[counts.argmax()]
    predicted = classes[probabilities.argmax(axis=1)]
    found = CrossValidation(
        task.y, predicted, reference, folds, np.zeros(len(task.y)), probabilities=probabilities, classes=classes
    )
    areas = [roc_auc_score(task.y == name, stated) for name, stated in zip(classes, probabilities.T, strict=True)]
    scores, curve = found.scores(), found.calibration()
    off = float(np.average((curve["stated"] - curve["observed"]).abs(), weights=curve["crystals"]))
    return {
        "model": model,
        "wrong (%)": 100 * (1 - scores["accuracy"]),
        "of the commonest (%)": 100 * (1 - scores["accuracy of the commonest"]),
        "ROC-AUC": float(np.mean(areas)),
        "Brier score": scores["Brier score"],
        "probabilities off by (%)": 100 * off,
        "CPU s": time.process_time() - start,
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = command_line("classes", __doc__, "classes.json")
    parser.add_argument("--data", type=Path, metavar="PATH", help="file or folder of benchmarks.properties, for its crystals too")
    options = parser.parse_args(arguments)
    tasks: dict[str, Callable[[], Task]] = {"ductile or brittle": ductile}
    if options.data:
        others = {"on the convex hull": stable, "may be ferroelectric": ferroelectric, "range of the band gap": gap}
        tasks |= {name: partial(make, options.data) for name, make in others.items()}
    try:
        read = {name: make() for name, make in tasks.items()}
    except ValueError as error:
        raise SystemExit(str(error)) from error
    content = []
    for name, task in read.items():
        shares = {str(kind): float((task.y == kind).mean()) for kind in np.unique(task.y)}
        splits = {split: pd.DataFrame([judge(task, split, model) for model in MODELS]) for split in SPLITS}
        for split, frame in splits.items():
            show(frame, f"{name}, {len(task.y):,} crystals, {SPLITS[split]}, five together", CONSOLE)
        content.append(
            {"task": name, "crystals": len(task.y), "classes": shares}
            | {"splits": {split: records(frame) for split, frame in splits.items()}}
        )
    write_results(options.output / "classes.json", {"tasks": content})


if __name__ == "__main__":
    main()
