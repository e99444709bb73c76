"""Figure 2 of the report and more: which dissimilarity sees what a chemist sees? ``python -m benchmarks.similarity``.

Series of related crystals (see :mod:`benchmarks.prototypes`) are compared with GRID and RDF under the earth mover's distance,
cosine and Euclidean distance, and by pairs of reflections, with the report's parameters (10 Å, 0.1 Å, 100 groups;
10.5258/SOTON/P0038). The report's statements are checked one by one with their numbers; the exit code is 1 if a required one fails.
Where a statement doesn't come out, it is looked at over lattice constants, bin sizes and readings, and the page shows all of them.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup
from scipy.spatial.distance import cdist

from benchmarks._page import REPORT, Section, write_page
from benchmarks._run import CONSOLE, Stages, command_line, write_results
from benchmarks._similarity_checks import Check, examine_layered, run_checks
from benchmarks.prototypes import BUILDERS, SRTIO3_EDGE, Series, intergrowth_series, ruddlesden_popper_series
from matminer_grid import GRIDFeaturizer, ReflectionPairsFeaturizer, grid_emd
from matminer_grid.plotting import plot_dissimilarity_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray
    from pymatgen.core import Structure

    Matrices = dict[str, NDArray[np.float64]]

UNITS = {
    "GRID, EMD": "Å",
    "GRID, cosine": "",
    "GRID, Euclidean": "",
    "RDF, EMD": "Å",
    "RDF, cosine": "",
    "RDF of matminer, EMD": "Å",
    "structure-factor pairs": "",
}
"""Methods in the order of the page, with the unit of their dissimilarity."""

MARKERS = dict(zip(UNITS, "osD^v<P", strict=True))

EXAMINED_BIN_SIZES = (0.1, 0.05, 0.01)
"""In Å."""

SAME = 1e-9
"""Dissimilarities below this are rounding."""


def dissimilarities(structures: Sequence[Structure], featurizer: GRIDFeaturizer) -> Matrices:
    """Compare structures pair by pair with every method, in the order of `UNITS`.

    RDFs are those of matminer, which grow with the size of the cell: for "RDF, EMD" they are scaled to the sum 1, for "RDF of
    matminer, EMD" they are not, and the EMD is the Manhattan distance of their cumulative sums.
    """
    grids = featurizer.featurize_many(list(structures), pbar=False)
    rdfs = featurizer.rdf_many(list(structures))
    distributions = rdfs / rdfs.sum(axis=1, keepdims=True)
    pairs = ReflectionPairsFeaturizer().featurize_many(list(structures), pbar=False)
    matrices = {
        "GRID, EMD": grid_emd(grids, n_groups=featurizer.n_groups, bin_size=featurizer.bin_size, pbar=False),
        "GRID, cosine": cdist(grids, grids, "cosine"),
        "GRID, Euclidean": cdist(grids, grids),
        "RDF, EMD": grid_emd(distributions, n_groups=1, bin_size=featurizer.bin_size, pbar=False),
        "RDF, cosine": cdist(rdfs, rdfs, "cosine"),
        "RDF of matminer, EMD": featurizer.bin_size * cdist(np.cumsum(rdfs, axis=1), np.cumsum(rdfs, axis=1), "cityblock"),
        "structure-factor pairs": cdist(pairs, pairs, "cityblock"),
    }
    return {name: np.where(matrix < SAME, 0.0, matrix) for name, matrix in matrices.items()}


def examine() -> list[dict[str, str | float]]:
    """Look at the report's statement on RDFs of Ruddlesden-Popper phases over cells and bin sizes, both readings, both measures."""
    edges = sorted({*np.arange(3.85, 4.005, 0.01).round(2).tolist(), SRTIO3_EDGE})
    variants = {"measured": ruddlesden_popper_series()}
    variants |= {f"intergrowth, a = {edge:.3f} Å": intergrowth_series(edge) for edge in edges}
    return [
        examine_layered(cells, bin_size, dissimilarities(series.structures, GRIDFeaturizer(bin_size=bin_size)))
        for bin_size in EXAMINED_BIN_SIZES
        for cells, series in variants.items()
    ]


def summarize(examined: list[dict[str, str | float]]) -> list[str]:
    """Say how often each reading of that statement comes out, and what is behind it."""
    keys = [key for key in examined[0] if key.startswith("from")]
    values = {key: [float(row[key]) for row in examined] for key in keys}
    said = "; ".join(
        f"{key}, {sum(v > 1 for v in values[key])} (ratio {min(values[key]):.3f} to {max(values[key]):.3f})" for key in keys
    )
    bins = ", ".join(f"{bin_size:g}" for bin_size in EXAMINED_BIN_SIZES)
    counted = (
        f"The report's statement on the RDF was looked at in two readings over {len(examined)} combinations of cells and bin sizes "
        f"({bins} Å). It comes out so many times of {len(examined)}: {said}."
    )
    behind = (
        "Read from SrTiO₃, as the check has it, it never comes out: the intermediate phases share the two highest bins of their "
        "RDF (2.7 and 4.7 Å, in bins of 0.1 Å) with SrTiO₃, SrO at most the first. Read from SrO, RDF + EMD has SrTiO₃ and the "
        "farthest intermediate phase within some percent of each other, and lattice constant and bin size decide which is farther, "
        "so nothing is concluded from it. The report doesn't give its cells. Taken as matminer gives it, the RDF is proportional "
        "to the number of atoms in the cell: then SrO and SrTiO₃ with their small cells are near each other, as the report says, "
        "and would be far apart in other cells of the same crystals."
    )
    cosine = (
        "Whether GRID + cosine distinguishes the intermediate phases less depends on where one stands: among themselves and seen "
        "from SrTiO₃ it spreads them more than GRID + EMD, seen from SrO less."
    )
    return [counted, behind, cosine]


def draw_matrices(series: Series, matrices: Matrices, path: Path) -> None:
    """Draw the matrices of a series side by side."""
    figure, axes = plt.subplots(2, 4, figsize=(20, 10), layout="constrained")
    for ax in axes.flat[len(UNITS) : -1]:
        ax.set_axis_off()
    for ax, (method, unit) in zip(axes.flat, UNITS.items(), strict=False):
        plot_dissimilarity_matrix(matrices[method], series.labels, ax=ax, unit=unit)
        ax.set_title(method.replace(",", " +"))
    _draw_rows(axes.flat[-1], series, matrices)
    figure.suptitle(series.title, fontsize="x-large")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw_rows(ax: Axes, series: Series, matrices: Matrices) -> None:
    at = series.values  # noqa: PD011  no frame
    for (method, marker), color in zip(
        MARKERS.items(), plt.colormaps["cividis"](np.linspace(0.0, 0.85, len(MARKERS))), strict=True
    ):
        row = matrices[method][0]
        ax.plot(at, row / (row.max() or 1.0), marker=marker, markersize=4, linewidth=1.2, color=color, label=method)
    if at[0] > at[-1]:
        ax.invert_xaxis()
    ax.set(title=f"Seen from {series.labels[0]}", xlabel=series.parameter, ylabel="dissimilarity / largest of its method")
    ax.legend(frameon=False, fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)


def write_similarity_page(path: Path, results: dict[str, Any]) -> None:
    """Write the page of what similarity.json holds: the answer and its picture, what was said, and the matrices of each series."""
    checks = pd.DataFrame(results["checks"])
    checks["series"] = [results["series"][name]["title"] for name in checks["series"]]
    legend = "Largest dissimilarity to an intermediate phase, that of SrO and SrTiO₃ = 1; the statement comes out above 1."
    examined = [*results["notes"], legend, pd.DataFrame(results["examined"])]
    shown = ["series", "outcome", "statement", "numbers", "said_by"]
    sections = [
        Section("answer", "In short", in_short(results)),
        Section("checks", "What was said, and what comes out", [checks[shown].rename(columns={"said_by": "said by"})]),
        Section("examined", "What doesn't come out, looked at more closely", examined),
    ]
    for name, series in results["series"].items():
        matrices = [_matrix(series, method, results["units"][method]) for method in series["matrices"]]
        picture = Markup('<p><a href="{}.png">The matrices as a picture</a></p>').format(name)
        sections.append(Section(name.replace("_", "-"), series["title"], [matrices, _rows(series), picture]))
    p = results["parameters"]
    subtitle = Markup(
        "Figure 2 of {} and more: series of related crystals, compared with every method. Cutoff {:g} Å, bins of {:g} Å, {} groups."
    ).format(REPORT, p["cutoff"], p["bin_size"], p["n_groups"])
    write_page(path, "Which dissimilarity sees what a chemist sees?", subtitle, sections, results)


def in_short(results: dict[str, Any]) -> list[str | list[go.Figure]]:
    """Say in three sentences what comes out, and draw the report's figure 2: the first series by GRID and by RDF."""
    checks, series = pd.DataFrame(results["checks"]), next(iter(results["series"].values()))
    required = checks[checks["required"]]
    said = (
        f"{len(results['series'])} series of related crystals were compared with {len(results['units'])} methods. "
        f"Of {len(checks)} statements on them {(checks['outcome'] == 'holds').sum()} hold, among them "
        f"{(required['outcome'] == 'holds').sum()} of the {len(required)} that must. What the report says and doesn't "
        "come out is looked at more closely below."
    )
    methods = [method for method in ("GRID, EMD", "RDF, EMD") if method in series["matrices"]]
    below = f"{series['title']}: light is alike, dark is different."
    return [said, [_matrix(series, method, results["units"][method]) for method in methods], below]


def _matrix(series: dict[str, Any], method: str, unit: str) -> go.Figure:
    """Draw a matrix, with its numbers where there are few."""
    values, labels = np.array(series["matrices"][method]), series["labels"]
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=labels,
            y=labels,
            colorscale="cividis_r",
            zmin=0,
            zmax=values.max() or 1,
            texttemplate="%{z:.3~g}" if len(labels) <= 5 else None,
            hovertemplate=f"%{{y}} and %{{x}}: %{{z:.4f}} {unit}<extra></extra>",
            colorbar={"thickness": 10, "title": unit},
        )
    )
    name = method.replace(",", " +")
    figure.update_layout(title=name, font={"size": 11}, meta={"label": f"{series['title']}: dissimilarities by {name}"})
    figure.update_xaxes(type="category", constrain="domain")
    figure.update_yaxes(type="category", autorange="reversed", scaleanchor="x")
    return figure


def _rows(series: dict[str, Any]) -> go.Figure:
    """Draw the dissimilarities to the first crystal by every method."""
    figure = go.Figure()
    for method, matrix in series["matrices"].items():
        row = np.array(matrix[0])
        figure.add_scatter(x=series["values"], y=row / (row.max() or 1), name=method.replace(",", " +"), mode="lines+markers")
    falling = series["values"][0] > series["values"][-1]
    figure.update_xaxes(title=series["parameter"], autorange="reversed" if falling else True)
    figure.update_yaxes(title=f"Dissimilarity to {series['labels'][0]}, largest = 1", rangemode="tozero")
    label = f"{series['title']}: dissimilarity to {series['labels'][0]} by each method"
    figure.update_layout(legend={"orientation": "h", "y": -0.2}, meta={"label": label, "tall": True})
    return figure


def show_checks(checks: Sequence[Check]) -> None:
    """Print each statement with its outcome and numbers."""
    colors = {"holds": "green", "fails": "red", "does not come out": "yellow"}
    for check in checks:
        outcome = f"[{colors[check.outcome]}]{check.outcome}[/]"
        CONSOLE.print(f"{outcome} ({check.series}; {check.said_by}) {check.statement}: {check.numbers}", highlight=False)


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    folder = command_line("similarity", __doc__, "similarity.json, figures and the page").parse_args(arguments).output
    stages = Stages()
    with stages("total"):
        series = {name: build() for name, build in BUILDERS.items()}
        with stages("dissimilarities"):
            featurizer = GRIDFeaturizer.from_preset("report")
            matrices = {name: dissimilarities(one.structures, featurizer) for name, one in series.items()}
            displaced = series["displacement"].structures
            smeared = dissimilarities(displaced, GRIDFeaturizer.from_preset("zhang2023"))["GRID, EMD"]
        checks = run_checks(series, matrices, smeared)
        with stages("examination"):
            examined = examine()
        with stages("figures"):
            for name, one in series.items():
                draw_matrices(one, matrices[name], folder / f"{name}.png")
    show_checks(checks)
    notes = summarize(examined)
    CONSOLE.print(*notes, sep="\n")
    content = {
        "parameters": featurizer.get_params(),
        "units": UNITS,
        "checks": [asdict(check) | {"outcome": check.outcome} for check in checks],
        "notes": notes,
        "examined": examined,
        "series": {
            name: {
                "title": one.title,
                "parameter": one.parameter,
                "values": one.values,  # noqa: PD011  no frame
                "labels": one.labels,
                "matrices": {method: matrix.round(6).tolist() for method, matrix in matrices[name].items()},
            }
            for name, one in series.items()
        },
        "seconds": stages.seconds,
    }
    content = write_results(folder / "similarity.json", content, "index.html", *(f"{name}.png" for name in series))
    write_similarity_page(folder / "index.html", content)
    if failed := [check.statement for check in checks if check.required and not check.holds]:
        raise SystemExit(f"{len(failed)} of {len(checks)} checks failed: " + "; ".join(failed))


if __name__ == "__main__":
    main()
