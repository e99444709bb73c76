"""What a run prints and draws: the table, the checked statements, parity plots, the Fourier experiment, learning curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from rich.table import Table

from benchmarks._task import TARGETS
from matminer_grid.plotting import plot_parity

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from benchmarks._task import Task

COLUMNS = {
    "MAE": ("MAE / GPa", ".2f"),
    "median": ("median / GPa", ".2f"),
    "RMSE": ("RMSE / GPa", ".1f"),
    "MAE_log10": ("MAE log10", ".4f"),
    "relative_MAE": ("rel. MAE / %", ".1f"),
    "R2": ("R²", ".3f"),
}
"""Scores in the printed table, with header and format."""


def show_rows(rows: list[dict[str, Any]], left_out: list[dict[str, str]], title: str, console: Console) -> None:
    """Print the table of scores, each MAE with its 95 % interval, and below it what makes no sense."""
    table = Table(title=title)
    for header in ("descriptor", "model", "dissimilarity or kernel", "scale"):
        table.add_column(header)
    for header, _ in COLUMNS.values():
        table.add_column(header, justify="right")
    table.add_column("s", justify="right")
    previous = None
    for row in rows:
        if previous not in {None, row["descriptor"]}:
            table.add_section()
        previous = row["descriptor"]
        scores = row["scores"]
        cells = [f"{scores[name][0]:{style}}" if name in scores else "" for name, (_, style) in COLUMNS.items()]
        if scores.get("MAE", [None, None])[1] is not None:
            cells[0] += f" [{scores['MAE'][1]:.1f}, {scores['MAE'][2]:.1f}]"
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f}"
        table.add_row(row["descriptor"], row["model"], row["dissimilarity"], row["target_scale"], *map(_plain, cells), seconds)
    if left_out:
        table.add_section()
    for entry in left_out:
        table.add_row(entry["descriptor"], entry["model"], entry["dissimilarity"], "n/a")
    console.print(table)
    for descriptor, reason in {entry["descriptor"]: entry["note"] for entry in left_out}.items():
        console.print(f"n/a: {descriptor} with EMD: {reason}", markup=False)


def show_claims(claims: list[dict[str, Any]], console: Console) -> None:
    """Print each statement with its two numbers."""
    if not claims:
        return
    table = Table(title="The report's statements, by the test set")
    for header, justify in (
        ("statement", "left"),
        ("first", "left"),
        ("", "right"),
        ("second", "left"),
        ("", "right"),
        ("", "left"),
    ):
        table.add_column(header, justify=justify)
    for claim in claims:
        values = [f"{claim[key]:.2f} {claim['unit']}" for key in ("first_value", "second_value")]
        verdict = "[green]holds[/]" if claim["holds"] else "[red]does not hold[/]"
        table.add_row(claim["claim"], claim["first"], values[0], claim["second"], values[1], verdict)
    console.print(table)
    for statement, why in {claim["claim"]: claim["why"] for claim in claims if claim["why"]}.items():
        console.print(f"does not hold: {statement}: {why}", markup=False)


def show_fourier(rows: list[dict[str, Any]], console: Console) -> None:
    """Print train and test errors of the structure factors beside the report's 28 %."""
    chosen = fourier_rows(rows)
    if not chosen:
        return
    table = Table(title="Fourier experiment: KRR on log10 of the modulus, as the report's figure 4")
    for header in (
        "representation",
        "kernel",
        "MAE / GPa: train",
        "test",
        "relative MAE / %: train",
        "test",
        "MAE of ln / %: train",
        "test",
    ):
        table.add_column(header, justify="left" if header in {"representation", "kernel"} else "right")
    for row in chosen:
        cells = []
        for name, factor, style in (("MAE", 1.0, ".1f"), ("relative_MAE", 1.0, ".1f"), ("MAE_log10", 100 * np.log(10), ".1f")):
            cells += [f"{row[part][name][0] * factor:{style}}" for part in ("train_scores", "scores")]
        table.add_row(row["descriptor"].removeprefix("structure factors: "), row["variant"], *cells)
    console.print(table)
    console.print(
        "The report gives a test MAE of 28 % for predictions of log10 K without saying of what; the relative MAE of K, the mean of "
        "|error| / K, is what is compared with it here. The MAE of ln K, in %, is the other reading.",
        markup=False,
    )


def fourier_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pick KRR on structure factors and log10, RBF and linear kernel."""
    return [
        row
        for row in rows
        if row["descriptor"].startswith("structure factors")
        and row["model"] == "KRR"
        and row["target_scale"] == "log10"
        and row["variant"] in {"RBF", "linear"}
    ]


def draw_parity(task: Task, target: str, predicted: np.ndarray, title: str, path: Path) -> None:
    """Draw predictions of the test rows against true moduli."""
    axes = plot_parity(task.modulus[task.tested], predicted, quantity=TARGETS[target], unit="GPa")
    axes.set_title(title)
    axes.figure.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(axes.figure)


def draw_fourier(task: Task, target: str, predictions: dict[str, tuple[np.ndarray, np.ndarray]], path: Path) -> None:
    """Draw figure 4 of the report for each representation: training part on the left, test part on the right."""
    figure, axes = plt.subplots(len(predictions), 2, figsize=(11, 4.4 * len(predictions)), layout="constrained", squeeze=False)
    for pair, (name, (train, test)) in zip(axes, predictions.items(), strict=True):
        parts = (("training part", task.modulus[task.train], train), ("test part", task.modulus[task.tested], test))
        for ax, (part, truth, predicted) in zip(pair, parts, strict=True):
            plot_parity(truth, predicted, ax=ax, quantity=TARGETS[target], unit="GPa", log=True)
            ax.set_title(f"{name}, {part}")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_learning_curves(curves: dict[str, dict[str, list[float]]], path: Path) -> None:
    """Draw the test MAE against the number of training crystals, on logarithmic axes."""
    figure, ax = plt.subplots(figsize=(7, 5.8), layout="constrained")
    for marker, (name, curve) in zip("os^Dv", curves.items(), strict=False):
        ax.loglog(curve["n"], curve["MAE"], marker=marker, label=name)
    ax.set(xlabel="Training crystals", ylabel="Test MAE (GPa)")
    ax.grid(alpha=0.3, which="both")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("{x:g}")
    ax.set_xticks(curve["n"], labels=[f"{n:,}" for n in curve["n"]])
    ax.set_xticks([], minor=True)
    figure.legend(loc="outside lower center", frameon=False, fontsize="small")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _plain(text: str) -> str:
    """Keep rich from reading square brackets as markup."""
    return text.replace("[", r"\[")
