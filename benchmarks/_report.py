"""What a run of :mod:`benchmarks.bulk_modulus` prints, draws and shows as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup

from benchmarks._page import PAPER, REPORT, Section, write_page
from benchmarks._run import CONSOLE
from benchmarks._tables import show, text
from benchmarks.moduli.scores import SCORES
from benchmarks.moduli.task import TARGETS
from matminer_grid.plotting import plot_learning_curve, plot_parity

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.moduli.task import Task

LN = 100 * np.log(10)
TICKS = [1, 2, 5, 10, 20, 50, 100, 200, 500]
"""Of logarithmic axes, in GPa."""

LEARNING = "Test error over the number of training crystals; the table below has the numbers"
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


def readable(row: dict[str, Any]) -> str:
    """Name a row of the table for readers, such as "GRID + composition, nearest neighbour"."""
    model, variant = row["model"], row["variant"]
    by = "" if variant in {"EMD", ""} else f" by {variant} distance" if row["model"].startswith("kNN") else f", {variant} kernel"
    names = {"kNN, k = 1": "nearest neighbour", "kNN, k = 5": "mean of 5 nearest neighbours", "KRR": "kernel ridge regression"}
    learned = " of log10" if row["target_scale"] == "log10" else ""
    return row["descriptor"] if model == "reference" else f"{row['descriptor']}, {names.get(model, model)}{learned}{by}"


def write_bulk_modulus_page(path: Path, results: dict[str, Any]) -> None:
    """Write the page of what results.json holds: the answer and its picture, then the tables."""
    rows = pd.DataFrame(results["rows"])
    target = TARGETS[results["identity"]["options"]["target"]]
    sections = [Section("answer", "In short", [in_short(rows, results, target), *_parity(results["parity"], target)])]
    if results["learning_curves"]:
        sections.append(Section("learning-curves", "Learning curves", _curves(results["learning_curves"])))
    table = shown_rows(rows)
    table["model, small"] = rows["note"]
    for score in SCORES.keys() & set(table):
        table[f"{score}, small"] = _intervals(rows, score)
    scores: list[Any] = ["A click on a header sorts the table. Small figures: 95 % intervals, by bootstrap.", table]
    if results["not_applicable"]:
        scores += [Markup("<h3>What makes no sense</h3>"), pd.DataFrame(results["not_applicable"])]
    sections.append(Section("scores", "Scores on the test part", scores))
    if results["claims"]:
        claims = pd.DataFrame(results["claims"])
        claims["statement, small"] = claims.pop("why")
        sections.append(Section("claims", "What was said, and what comes out", [claims]))
    subtitle = Markup(
        "{:,} crystals of the Materials Project; k-nearest neighbours, kernel ridge regression and LASSO on GRID, RDF, composition "
        "and structure factors, after {} and {}."
    ).format(results["entries"], REPORT, PAPER)
    write_page(path, f"Predicting the {target}", subtitle, sections, results)


def in_short(rows: pd.DataFrame, results: dict[str, Any], target: str) -> str:
    """Say in three sentences what comes out."""
    own = rows[(rows["model"] != "reference") & rows["MAE low"].notna()].sort_values("MAE")
    first = own.iloc[0]
    n = results["test_entries"]
    said = (
        f"{first['title']} predicts the {target} of {n:,} crystals, which it was not shown, best: its mean absolute error is "
        f"{text(first['MAE'], 'MAE')} GPa ({_intervals(own, 'MAE')[0]} with 95 % probability), its median error "
        f"{text(first['median'], 'median')} GPa."
    )
    protocol = own[(own["descriptor"] == "GRID + composition") & (own["model"] == "kNN, k = 1") & (own["variant"] == "EMD")]
    if len(protocol):
        said += f" The published protocol, {protocol['title'].iloc[0]}, has {text(protocol['MAE'].iloc[0], 'MAE')} GPa."
    reference = rows[rows["model"] == "reference"]
    if len(reference):
        said += f" The median as the prediction for all has an error of {text(reference['MAE'].iloc[0], 'MAE')} GPa."
    return said


def _parity(parity: dict[str, dict[str, Any]], target: str) -> list[Markup | go.Figure]:
    """Draw the predictions of each row; the page shows the one that is chosen, the best one at first."""
    ends = [f(one[key]) for f in (min, max) for one in parity.values() for key in ("true", "predicted")]
    line = [min(ends), max(ends)]
    figure = go.Figure(
        go.Scatter(x=line, y=line, mode="lines", line={"color": "#7f8a97", "dash": "dash", "width": 1.5}, hoverinfo="skip")
    )
    for i, one in enumerate(parity.values()):
        known = one["rests_on"] or [[]] * len(one["true"])
        first = ["rests most on {1} {0}".format(*names[0]) if names else "" for names in known]
        about = [list(entry) for entry in zip(one["formula"], one["material_id"], known, first, strict=True)]
        hover = (
            "<b>%{customdata[0]}</b> %{customdata[1]}<br>true %{x} GPa, predicted %{y:.4g} GPa<br>%{customdata[3]}<extra></extra>"
        )
        figure.add_scatter(
            x=one["true"], y=one["predicted"], customdata=about, hovertemplate=hover, mode="markers", opacity=0.65, visible=i == 0
        )
    figure.update_traces(marker={"size": 6, "color": "#3b8bd0"})
    label = f"Predicted against true {target} of each crystal; the table of scores says the same in numbers"
    figure.update_layout(showlegend=False, meta={"id": "parity-plot", "square": True, "label": label})
    figure.update_xaxes(title=f"True {target} (GPa)", type="log", constrain="domain", tickvals=TICKS)
    figure.update_yaxes(title=f"Predicted {target} (GPa)", type="log", scaleanchor="x", constrain="domain", tickvals=TICKS)
    options = Markup("").join(Markup("<option>{}</option>").format(name) for name in parity)
    return [
        Markup('<p class="controls"><label>Model <select id="parity-row">{}</select></label> ').format(options)
        + Markup('<label><input type="checkbox" id="parity-log" checked> logarithmic axes</label></p>'),
        figure,
        Markup('<p class="picked" id="picked" aria-live="polite">')
        + "Click a point: its material, and the known crystals of the largest share in its prediction."
        + Markup("</p>"),
    ]


def best_curves(curves: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Pick the learning curve of each model that ends lowest."""
    ordered = sorted(curves.items(), key=lambda item: item[1]["MAE"][-1])
    firsts = {curve["model"]: (name, curve) for name, curve in reversed(ordered)}
    return dict(sorted(firsts.values(), key=lambda item: item[1]["MAE"][-1]))


def _curves(curves: dict[str, dict[str, Any]]) -> list[str | go.Figure | pd.DataFrame]:
    """Draw the learning curve of each model that ends lowest; a table has all of them."""
    figure = go.Figure()
    for i, (name, curve) in enumerate(best_curves(curves).items()):
        hover = "%{x:,} crystals: MAE %{y:.3g} GPa<extra></extra>"
        look: dict[str, Any] = {"mode": "lines+markers", "marker": {"symbol": i, "size": 8}, "hovertemplate": hover}
        figure.add_scatter(x=curve["n"], y=curve["MAE"], name=name.replace(", ", ",<br>"), **look)
    sizes = sorted({n for curve in curves.values() for n in curve["n"]})
    figure.update_layout(legend={"orientation": "h", "y": -0.2}, showlegend=True, meta={"label": LEARNING, "tall": True})
    figure.update_xaxes(title="Training crystals", type="log", tickvals=sizes, ticktext=[f"{n:,}" for n in sizes])
    figure.update_yaxes(title="Test MAE (GPa)", type="log", tickvals=[*range(5, 10), *range(10, 50, 5), *range(50, 101, 10)])
    ordered = sorted(curves.items(), key=lambda item: item[1]["MAE"][-1])
    errors = [{f"n = {n:,}": error for n, error in zip(curve["n"], curve["MAE"], strict=True)} for _, curve in ordered]
    table = pd.DataFrame([{"MAE / GPa of": name} | row for (name, _), row in zip(ordered, errors, strict=True)])
    said = (
        "The error on the same test crystals as the training part grows; both axes are logarithmic. Drawn is, for each model, the "
        "descriptor that ends lowest."
    )
    return [said, figure, table.round(1)]


def _intervals(rows: pd.DataFrame, score: str) -> list[str]:
    """Write the 95 % interval of a score, where there is one."""
    ends = [rows[f"{score} {end}"] for end in ("low", "high")]
    return [" to ".join(text(value, score) for value in pair) if pd.notna(pair[0]) else "" for pair in zip(*ends, strict=True)]


def draw_parity(task: Task, target: str, predicted: np.ndarray, title: str, path: Path) -> None:
    """Draw predictions of the test rows against true moduli."""
    axes = plot_parity(task.modulus[task.tested], predicted, quantity=TARGETS[target], title=title)
    axes.figure.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(axes.figure)


def draw_fourier(task: Task, target: str, rows: pd.DataFrame, path: Path) -> None:
    """Draw figure 4 of the report for each representation: training part on the left, test part on the right."""
    figure, axes = plt.subplots(len(rows), 2, figsize=(11, 4.4 * len(rows)), layout="constrained", squeeze=False)
    for pair, (_, row) in zip(axes, rows.iterrows(), strict=True):
        parts = (("training part", task.train, row["train_predicted"]), ("test part", task.tested, row["predicted"]))
        for ax, (part, entries, predicted) in zip(pair, parts, strict=True):
            title = f"{row['title']},\n{part}"
            plot_parity(task.modulus[entries], predicted, ax=ax, quantity=TARGETS[target], log=True, title=title)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_learning_curves(curves: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw the test MAE against the number of training crystals, on logarithmic axes."""
    figure, ax = plt.subplots(figsize=(7, 5.4), layout="constrained")
    for name, curve in curves.items():
        plot_learning_curve(curve["n"], curve["MAE"], label=name, ax=ax, score="Test MAE")
    ax.get_legend().remove()
    figure.legend(loc="outside lower center", frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
