"""The cells of the comparison: which combinations there are, which make no sense, and how one is computed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.moduli import models
from benchmarks.moduli.features import DESCRIPTORS
from benchmarks.moduli.models import Prediction
from benchmarks.moduli.scores import scores, statistics
from matminer_grid._threads import Parts

if TYPE_CHECKING:
    from benchmarks.moduli.features import Features
    from benchmarks.moduli.task import Task

NEIGHBORS = (1, 5)
VARIANTS = {"kNN": ("EMD", "cosine", "Euclidean"), "KRR": ("EMD", "RBF", "linear"), "LASSO": ("",)}
"""Dissimilarity or kernel of each model; KRR with "EMD" has the Laplacian kernel exp(-γ·EMD)."""

NO_EMD = {
    "structure factors: hkl": "Miller indices have no order along which intensity could be moved",
    "structure factors: pairs": "its features lie in three dimensions, where the EMD has no closed form",
}
"""Why a descriptor has no EMD."""

LEARNING_SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)

LEARNING_LEAST = 20
"""Training crystals that a learning curve begins with, at least."""


@dataclass(frozen=True)
class Cell:
    """A descriptor, a model and its dissimilarity or kernel."""

    descriptor: str
    model: str
    dissimilarity: str = ""

    @property
    def name(self) -> str:
        """How the cell is called in files and messages."""
        return ", ".join(part for part in (self.descriptor, self.model, self.dissimilarity) if part)

    @property
    def label(self) -> str:
        """The dissimilarity or kernel in full."""
        if self.model == "KRR":
            scale = ", modified Pettifor" if "composition" in self.descriptor else ""
            return {"EMD": f"exp(-γ·EMD){scale}", "RBF": "RBF kernel", "linear": "linear kernel"}[self.dissimilarity]
        if self.dissimilarity == "EMD":
            substitution = {"GRID + composition": "10 GRID EMD + substitution EMD", "composition": "substitution EMD"}
            return substitution.get(self.descriptor, "EMD")
        return self.dissimilarity

    @property
    def needs(self) -> tuple[str, ...]:
        """Kinds of features that it is computed from."""
        if self == KERNEL_MODEL:
            return ("described",)
        if self.dissimilarity == "EMD":
            return ("histograms",) if self.model == "kNN" else ("EMD",)
        return ("vectors", "squared Euclidean") if self.dissimilarity == "RBF" else ("vectors",)


MEDIAN = Cell("median of the training part", "reference")
MAGPIE = Cell("Magpie", "random forest")
KERNEL_MODEL = Cell("GRID + chemistry", "GRIDKernelRegressor")
REFERENCES = (MEDIAN, MAGPIE, KERNEL_MODEL)
DEFAULT = (
    Cell("composition", "kNN", "EMD"),
    Cell("RDF", "kNN", "EMD"),
    Cell("RDF", "kNN", "cosine"),
    Cell("RDF", "KRR", "linear"),
    Cell("RDF", "LASSO"),
    Cell("GRID", "kNN", "EMD"),
    Cell("GRID", "KRR", "EMD"),
    Cell("GRID", "KRR", "linear"),
    Cell("GRID", "LASSO"),
    Cell("GRID + composition", "kNN", "EMD"),
    Cell("GRID + composition", "KRR", "EMD"),
    MEDIAN,
)
"""Cells of the default run."""

CURVES = {"kNN, k = 1": "GPa", "KRR": "log10", "LASSO": "log10", "random forest": "log10", "GRIDKernelRegressor": "GPa"}
"""Models whose error is followed over the size of the training part, for each descriptor, with the scale that is learned."""


def all_cells() -> list[Cell]:
    """List every cell that makes sense, in the order of the table."""
    cells = [Cell(descriptor, model, variant) for descriptor in DESCRIPTORS for model in VARIANTS for variant in VARIANTS[model]]
    return [cell for cell in cells if not (cell.dissimilarity == "EMD" and cell.descriptor in NO_EMD)] + list(REFERENCES)


def not_applicable() -> list[dict[str, str]]:
    """List the combinations that make no sense, with the reason."""
    return [
        {"descriptor": descriptor, "model": model, "dissimilarity": "EMD", "note": reason}
        for descriptor, reason in NO_EMD.items()
        for model in ("kNN", "KRR")
    ]


def compute(cell: Cell, task: Task, features: Features) -> list[dict[str, Any]]:
    """Fit and test a cell on every fold.

    Returns
    -------
    list of dict
        Its rows of the table: model, target_scale, scores with their intervals, those on the training part ("MAE train" and so on),
        hyperparameters of each fold, note, seconds without those spent on features. And arrays: "predicted" in the order of
        ``task.tested``, "rests_on", the training rows of the largest share in each and these shares, or None, and "train_predicted"
        for the first fold's training rows, or None.
    """
    start, features_before = time.perf_counter(), features.seconds
    folds = [_predictions(cell, task, features, train, test) for train, test in task.folds]
    seconds = time.perf_counter() - start - (features.seconds - features_before)
    rows = []
    for model, scale in folds[0]:
        parts = [fold[model, scale] for fold in folds]
        predicted = np.concatenate([part.predicted for part in parts])
        row = {"model": model, "target_scale": scale} | scores(task.modulus[task.tested], predicted)
        row |= {"hyperparameters": [part.hyperparameters for part in parts], "note": parts[0].note, "seconds": round(seconds, 3)}
        fitted = parts[0].train_predicted
        if fitted is not None:
            row |= {f"{name} train": float(value) for name, value in statistics(task.modulus[task.train], fitted).items()}
        known = None
        if parts[0].rests_on is not None:
            known = models.RestsOn(*(np.concatenate(arrays) for arrays in zip(*(part.rests_on for part in parts), strict=True)))
        rows.append(row | {"predicted": predicted, "rests_on": known, "train_predicted": fitted})
    return rows


def learning_curve(cell: Cell, task: Task, features: Features, chosen: dict[str, float]) -> dict[str, list[float]]:
    """Follow the test MAE over the size of the training part, of the first fold and with the hyperparameters of the whole of it."""
    order = np.random.default_rng(task.seed).permutation(task.train)
    curve: dict[str, list[float]] = {"n": [], "MAE": []}
    sizes = sorted({min(len(order), max(LEARNING_LEAST, round(share * len(order)))) for share in LEARNING_SHARES})
    work = Parts("learning curve", sum(size**2 for size in sizes))
    for size in sizes:
        train = np.sort(order[:size])
        with work.part(size**2):
            predicted = _with_hyperparameters(cell, task, features, chosen, train).predicted
        curve["n"].append(len(train))
        curve["MAE"].append(float(np.abs(predicted - task.modulus[task.test]).mean()))
    return curve


def _with_hyperparameters(cell: Cell, task: Task, features: Features, chosen: dict[str, float], train: np.ndarray) -> Prediction:
    """Predict the test rows of the first fold without another search for hyperparameters."""
    if cell.model == "kNN":
        return models.neighbour_mean(task, features.neighbours(cell.descriptor, cell.dissimilarity, train, task.test, 1))
    if cell.model == "KRR":
        return models.fit_kernel_ridge(task, _kernel(cell, features), {"log10": chosen}, train, task.test)["log10"]
    if cell.model == "LASSO":
        alphas = {"log10": chosen["alpha / alpha_max"]}
        return models.fit_lasso(task, features.vectors(cell.descriptor), alphas, train, task.test)["log10"]
    return _predictions(cell, task, features, train, task.test)[cell.model, CURVES[cell.model]]


def first_of_its_kind(cell: Cell) -> bool:
    """Tell whether it has the first dissimilarity or kernel of its model that the descriptor has."""
    return (
        cell in REFERENCES
        or next(one for one in all_cells() if (one.descriptor, one.model) == (cell.descriptor, cell.model)) == cell
    )


def _predictions(
    cell: Cell, task: Task, features: Features, train: np.ndarray, test: np.ndarray
) -> dict[tuple[str, str], Prediction]:
    """Predict the test rows, by the row's model and scale."""
    if cell == MEDIAN:
        return {("reference", "GPa"): Prediction(np.full(len(test), np.median(task.modulus[train])))}
    if cell == KERNEL_MODEL:
        return {(cell.model, "GPa"): models.grid_kernel_regression(task, features.described(), train, test)}
    if cell.model == "kNN":
        neighbours = features.neighbours(cell.descriptor, cell.dissimilarity, train, test, max(NEIGHBORS))
        return {(f"kNN, k = {k}", "GPa"): models.neighbour_mean(task, neighbours[:, :k]) for k in NEIGHBORS}
    if cell.model == "KRR":
        by_scale = models.kernel_ridge(task, _kernel(cell, features), train, test)
    elif cell.model == "LASSO":
        by_scale = models.lasso(task, features.vectors(cell.descriptor), train, test)
    else:
        by_scale = models.random_forest(task, features.magpie(), train, test)
    return {(cell.model, scale): prediction for scale, prediction in by_scale.items()}


def _kernel(cell: Cell, features: Features) -> models.LinearKernel | models.ExponentialKernel:
    if cell.dissimilarity == "linear":
        return models.LinearKernel(features.vectors(cell.descriptor))
    if cell.dissimilarity == "RBF":
        return models.ExponentialKernel(models.RBF_ALPHAS, gamma=features.squared_euclidean(cell.descriptor))
    if cell.descriptor == "GRID + composition":
        emds = {"gamma_grid": features.emd("GRID"), "gamma_composition": features.emd("composition")}
        return models.ExponentialKernel(models.LAPLACIAN_ALPHAS, **emds)
    return models.ExponentialKernel(models.LAPLACIAN_ALPHAS, gamma=features.emd(cell.descriptor))
