"""What a run of :mod:`benchmarks.bulk_modulus` prints, draws and shows as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from markupsafe import Markup

from benchmarks._page import PAPER, REPORT, Section, figure_html, write_page
from benchmarks._run import CONSOLE
from benchmarks._tables import show, text
from benchmarks.moduli.scores import SCORES
from benchmarks.moduli.task import TARGETS
from matminer_grid.plotting import plot_parity

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.moduli.task import Task

LN = 100 * np.log(10)
HEADS = {"dissimilarity": "dissimilarity or kernel", "target_scale": "scale", "seconds": "time / s"}


def shown_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Pick the columns of the table, in their order."""
    scores = [name for name in SCORES if name in rows and rows[name].notna().any()]
    return rows[["descriptor", "model", "dissimilarity", "target_scale", *scores, "seconds"]].rename(columns=HEADS)


def show_run(rows: pd.DataFrame, claims: pd.DataFrame, left_out: list[dict[str, str]], title: str) -> None:
    """Print the table, each MAE with its 95 % interval, what makes no sense, the Fourier experiment and the checked statements."""
    table = shown_rows(rows)
    table.insert(5, "95 % interval", _intervals(rows, "MAE"))
    show(table, title, CONSOLE, more_digits=1, by="descriptor")
    for descriptor, reason in {entry["descriptor"]: entry["note"] for entry in left_out}.items():
        CONSOLE.print(f"n/a: {descriptor} with EMD: {reason}", markup=False)
    fourier = fourier_rows(rows)
    if len(fourier):
        show(fourier, "Fourier experiment: KRR on log10 of the modulus, as the report's figure 4", CONSOLE)
        CONSOLE.print(
            "The report gives a test MAE of 28 % for predictions of log10 K without saying of what; the relative MAE of K, the "
            "mean of |error| / K, is what is compared with it here. The MAE of ln K, in %, is the other reading.",
            markup=False,
        )
    if len(claims):
        show(claims.drop(columns="why"), "The report's statements, by the test set", CONSOLE)
    for statement, why in claims.loc[claims["why"] != "", ["statement", "why"]].drop_duplicates().itertuples(index=False):
        CONSOLE.print(f"does not hold: {statement}: {why}", markup=False)


def fourier_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Put train and test errors of KRR on structure factors beside each other."""
    chosen = (rows["model"] == "KRR") & (rows["target_scale"] == "log10") & rows["variant"].isin(["RBF", "linear"])
    rows = rows[chosen & rows["descriptor"].str.startswith("structure factors")]
    table = {"representation": rows["descriptor"].str.removeprefix("structure factors: "), "kernel": rows["variant"]}
    scores = ("MAE / GPa", "MAE", 1), ("relative MAE / %", "relative_MAE", 1), ("MAE of ln / %", "MAE_log10", LN)
    for name, score, factor in scores:
        if len(rows):
            table |= {f"{name}, train": rows[f"{score} train"] * factor, f"{name}, test": rows[score] * factor}
    return pd.DataFrame(table)


def write_bulk_modulus_page(path: Path, results: dict[str, Any]) -> None:
    """Write the page of what results.json holds."""
    rows = pd.DataFrame(results["rows"])
    table = shown_rows(rows)
    table["model, small"] = rows["note"]
    for score in SCORES.keys() & set(table):
        table[f"{score}, small"] = _intervals(rows, score)
    scores: list[Any] = ["A click on a header sorts the table. Small figures: bootstrap intervals.", table]
    if results["not_applicable"]:
        scores += [Markup("<h3>What makes no sense</h3>"), pd.DataFrame(results["not_applicable"])]
    sections = [Section("scores", "Scores on the test part", scores)]
    if results["claims"]:
        claims = pd.DataFrame(results["claims"])
        claims["statement, small"] = claims.pop("why")
        sections.append(Section("claims", "What was said, and what comes out", [claims]))
    if results["parity"]:
        sections.append(Section("parity", "Predictions one by one", _parity(results["parity"])))
    if results["learning_curves"]:
        curves = pd.concat([pd.DataFrame(curve | {"row": name}) for name, curve in results["learning_curves"].items()])
        labels = {"n": "Training crystals", "MAE": "Test MAE (GPa)", "row": ""}
        figure = px.line(curves, x="n", y="MAE", color="row", symbol="row", log_x=True, log_y=True, labels=labels)
        figure.update_layout(legend={"orientation": "h", "y": -0.2})
        caption = "Error on the same test crystals as the training part grows; both axes are logarithmic."
        sections.append(Section("learning-curves", "Learning curves", [caption, figure]))
    subtitle = Markup(
        "{:,} crystals of the Materials Project; k-nearest neighbours, kernel ridge regression and LASSO on GRID, RDF, composition "
        "and structure factors, after {} and {}."
    ).format(results["entries"], REPORT, PAPER)
    target = TARGETS[results["identity"]["options"]["target"]]
    write_page(path, f"Predicting the {target}", subtitle, sections, results)


def _parity(parity: dict[str, dict[str, Any]]) -> list[Markup]:
    """Draw the predictions of each row; the page shows the one that is chosen."""
    ends = [f(one[key]) for f in (min, max) for one in parity.values() for key in ("true", "predicted")]
    line = [min(ends), max(ends)]
    figure = go.Figure(
        go.Scatter(x=line, y=line, mode="lines", line={"color": "#1c2430", "dash": "dash", "width": 1}, hoverinfo="skip")
    )
    for i, one in enumerate(parity.values()):
        about = np.array([one["formula"], one["material_id"], one["neighbour_id"] or [""] * len(one["true"])]).T
        by = "<br>decided by %{customdata[2]}" if one["neighbour_id"] else ""
        hover = f"<b>%{{customdata[0]}}</b> %{{customdata[1]}}<br>true %{{x}} GPa, predicted %{{y:.4g}} GPa{by}<extra></extra>"
        figure.add_scatter(
            x=one["true"], y=one["predicted"], customdata=about, hovertemplate=hover, mode="markers", opacity=0.45, visible=i == 0
        )
    figure.update_traces(marker={"size": 6, "color": "#0072b2"})
    figure.update_layout(showlegend=False, height=640, width=720)
    figure.update_xaxes(title="True (GPa)", type="log")
    figure.update_yaxes(title="Predicted (GPa)", type="log", scaleanchor="x")
    options = Markup("").join(Markup("<option>{}</option>").format(name) for name in parity)
    return [
        Markup('<p><label>Row <select id="parity-row">{}</select></label> ').format(options)
        + Markup('<label><input type="checkbox" id="parity-log" checked> logarithmic axes</label></p>'),
        figure_html(figure, "parity-plot"),
        Markup('<p class="picked" id="picked" aria-live="polite">')
        + "Click a point: its material, and the neighbour that decided the prediction."
        + Markup("</p>"),
    ]


def _intervals(rows: pd.DataFrame, score: str) -> list[str]:
    """Write the 95 % interval of a score, where there is one."""
    ends = [rows[f"{score} {end}"] for end in ("low", "high")]
    return [" to ".join(text(value, score) for value in pair) if pd.notna(pair[0]) else "" for pair in zip(*ends, strict=True)]


def draw_parity(task: Task, target: str, predicted: np.ndarray, title: str, path: Path) -> None:
    """Draw predictions of the test rows against true moduli."""
    axes = plot_parity(task.modulus[task.tested], predicted, quantity=TARGETS[target], unit="GPa")
    axes.set_title(title)
    axes.figure.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(axes.figure)


def draw_fourier(task: Task, target: str, rows: pd.DataFrame, path: Path) -> None:
    """Draw figure 4 of the report for each representation: training part on the left, test part on the right."""
    figure, axes = plt.subplots(len(rows), 2, figsize=(11, 4.4 * len(rows)), layout="constrained", squeeze=False)
    for pair, (_, row) in zip(axes, rows.iterrows(), strict=True):
        parts = (("training part", task.train, row["train_predicted"]), ("test part", task.tested, row["predicted"]))
        for ax, (part, entries, predicted) in zip(pair, parts, strict=True):
            plot_parity(task.modulus[entries], predicted, ax=ax, quantity=TARGETS[target], unit="GPa", log=True)
            ax.set_title(f"{row['descriptor']}, {part}")
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
