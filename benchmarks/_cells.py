"""The cells of the comparison: which combinations there are, which make no sense, and how one is computed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks._features import DESCRIPTORS, EMD_NEIGHBOURS, STRUCTURE_FACTORS
from benchmarks._models import (
    LAPLACIAN_ALPHAS,
    RBF_ALPHAS,
    ExponentialKernel,
    LinearKernel,
    Prediction,
    fit_kernel_ridge,
    grid_kernel_regression,
    kernel_ridge,
    lasso,
    neighbour_mean,
    random_forest,
)
from benchmarks._scores import scores

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._features import Features
    from benchmarks._task import Task

NEIGHBORS = (1, 5)
MODELS = ("kNN", "KRR", "LASSO")
REFERENCES = ("median of the training part", "Magpie", "GRID + chemistry")
VARIANTS = {"kNN": ("EMD", "cosine", "Euclidean"), "KRR": ("EMD", "RBF", "linear"), "LASSO": ("",)}
"""Dissimilarity or kernel of each model; KRR with "EMD" has the Laplacian kernel exp(-γ·EMD)."""

NO_EMD = {
    "structure factors: hkl": "Miller indices have no order along which intensity could be moved",
    "structure factors: pairs": "its features lie in three dimensions, where the EMD has no closed form",
}
"""Why a descriptor has no EMD."""

LEARNING_SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)


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


GRID_AND_COMPOSITION = Cell("GRID + composition", "KRR", "EMD")
KERNEL_MODEL = Cell("GRID + chemistry", "GRIDKernelRegressor")
DEFAULT = (
    Cell("GRID + composition", "kNN", "EMD"),
    Cell("GRID", "kNN", "EMD"),
    Cell("composition", "kNN", "EMD"),
    Cell("RDF", "kNN", "EMD"),
    Cell("RDF", "kNN", "cosine"),
    GRID_AND_COMPOSITION,
    Cell("GRID", "KRR", "EMD"),
    Cell("GRID", "KRR", "linear"),
    Cell("RDF", "KRR", "linear"),
    Cell("GRID", "LASSO"),
    Cell("RDF", "LASSO"),
    Cell("median of the training part", "reference"),
)
"""Cells of the default run."""

LEARNING_CURVES = (
    Cell("GRID + composition", "kNN", "EMD"),
    Cell("GRID", "kNN", "EMD"),
    GRID_AND_COMPOSITION,
    Cell("GRID", "KRR", "EMD"),
    Cell("composition", "KRR", "EMD"),
)
"""Cells whose error is followed over the size of the training part."""


def all_cells() -> list[Cell]:
    """List every cell that makes sense, descriptor by descriptor."""
    cells = [
        Cell(descriptor, model, variant)
        for descriptor in DESCRIPTORS
        for model in MODELS
        for variant in VARIANTS[model]
        if not (variant == "EMD" and descriptor in NO_EMD)
    ]
    return [*cells, Cell("median of the training part", "reference"), Cell("Magpie", "random forest"), KERNEL_MODEL]


def not_applicable() -> list[dict[str, str]]:
    """List the combinations that make no sense, with the reason."""
    return [
        {"descriptor": descriptor, "model": model, "dissimilarity": "EMD", "note": reason}
        for descriptor, reason in NO_EMD.items()
        for model in ("kNN", "KRR")
    ]


def compute(cell: Cell, task: Task, features: Features) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Fit and test a cell on every fold.

    Returns
    -------
    content : dict
        Seconds without those spent on features, and the rows of the table: model, scale, scores, hyperparameters, note.
    arrays : dict of str to ndarray
        Of row i, in the order of ``task.tested``: ``predicted_i``, and where there is one ``neighbour_i``, the row of the
        deciding training crystal; ``train_predicted_i`` for the first fold's training rows.
    """
    start, features_before = time.perf_counter(), features.seconds
    folds = [_predictions(cell, task, features, train, test) for train, test in task.folds]
    seconds = time.perf_counter() - start - (features.seconds - features_before)
    truth = task.modulus[task.tested]
    rows: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}
    for i, (model, scale) in enumerate(folds[0]):
        parts: list[Prediction] = [fold[model, scale] for fold in folds]
        predicted = np.concatenate([part.predicted for part in parts])
        row = {
            "model": model,
            "target_scale": scale,
            "scores": scores(truth, predicted),
            "hyperparameters": [part.hyperparameters for part in parts],
            "note": parts[0].note,
        }
        arrays[f"predicted_{i}"] = predicted
        if parts[0].neighbour is not None:
            arrays[f"neighbour_{i}"] = np.concatenate([part.neighbour for part in parts])
        if parts[0].train_predicted is not None:
            arrays[f"train_predicted_{i}"] = parts[0].train_predicted
            row["train_scores"] = scores(task.modulus[task.train], parts[0].train_predicted)
        rows.append(row)
    return {"seconds": round(seconds, 3), "rows": rows}, arrays


def learning_curve(cell: Cell, task: Task, features: Features, chosen: dict[str, float]) -> dict[str, list[float]]:
    """Follow the test MAE over the size of the training part, of the first fold and with the hyperparameters of the whole of it."""
    order = np.random.default_rng(task.seed).permutation(task.train)
    curve: dict[str, list[float]] = {"n": [], "MAE": []}
    for share in LEARNING_SHARES:
        train = np.sort(order[: max(*NEIGHBORS, round(share * len(order)))])
        if cell.model == "kNN":
            predicted = neighbour_mean(task, features.neighbours(cell.descriptor, "EMD", train, task.test, 1)).predicted
        else:
            kernel = _kernel(cell, features)
            predicted = fit_kernel_ridge(task, kernel, {"log10": chosen}, train, task.test)["log10"].predicted
        curve["n"].append(len(train))
        curve["MAE"].append(float(np.abs(predicted - task.modulus[task.test]).mean()))
    return curve


def _predictions(
    cell: Cell, task: Task, features: Features, train: np.ndarray, test: np.ndarray
) -> dict[tuple[str, str], Prediction]:
    """Predict the test rows, by the row's model and scale."""
    if cell.model == "reference":
        return {("reference", "GPa"): Prediction(np.full(len(test), np.median(task.modulus[train])))}
    if cell.model == "kNN":
        neighbours = features.neighbours(cell.descriptor, cell.dissimilarity, train, test, max(NEIGHBORS))
        return {(f"kNN, k = {k}", "GPa"): neighbour_mean(task, neighbours[:, :k]) for k in NEIGHBORS}
    if cell == KERNEL_MODEL:
        return {("GRIDKernelRegressor", "GPa"): grid_kernel_regression(task, train, test)}
    fits: dict[str, Callable[[], dict[str, Prediction]]] = {
        "KRR": lambda: kernel_ridge(task, _kernel(cell, features), train, test),
        "LASSO": lambda: lasso(task, features.vectors(cell.descriptor), train, test),
        "random forest": lambda: random_forest(task, features.magpie(), train, test),
    }
    return {(cell.model, scale): prediction for scale, prediction in fits[cell.model]().items()}


def _kernel(cell: Cell, features: Features) -> LinearKernel | ExponentialKernel:
    if cell.dissimilarity == "linear":
        return LinearKernel(features.vectors(cell.descriptor))
    if cell.dissimilarity == "RBF":
        return ExponentialKernel(RBF_ALPHAS, gamma=features.squared_euclidean(cell.descriptor))
    if cell.descriptor == "GRID + composition":
        return ExponentialKernel(LAPLACIAN_ALPHAS, gamma_grid=features.emd("GRID"), gamma_composition=features.emd("composition"))
    return ExponentialKernel(LAPLACIAN_ALPHAS, gamma=features.emd(cell.descriptor))


def dissimilarity_label(cell: Cell) -> str:
    """Name the dissimilarity or kernel of a cell in full."""
    if cell.model == "KRR":
        composition = "composition" in cell.descriptor
        label = "exp(-γ·EMD), modified Pettifor" if composition else "exp(-γ·EMD)"
        return {"EMD": label, "RBF": "RBF kernel", "linear": "linear kernel"}[cell.dissimilarity]
    if cell.model == "kNN" and cell.dissimilarity == "EMD" and cell.descriptor in EMD_NEIGHBOURS:
        return {"GRID + composition": "10 GRID EMD + substitution EMD", "composition": "substitution EMD"}.get(
            cell.descriptor, "EMD"
        )
    return cell.dissimilarity


def is_structure_factor(cell: Cell) -> bool:
    """Tell whether the descriptor is one of reciprocal space."""
    return cell.descriptor in STRUCTURE_FACTORS
