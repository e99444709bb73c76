"""A benchmark's results as one HTML file that works offline: tables that sort, figures to look into, and where they come from.

Style and script stand in ``_page.css`` and ``_page.js``; Plotly is inlined. All text is escaped.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plotly.offline import get_plotlyjs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

REPORT = '<a href="https://doi.org/10.5258/SOTON/P0038">10.5258/SOTON/P0038</a>'
PAPER = '<a href="https://doi.org/10.1039/D2DD00054G">10.1039/D2DD00054G</a>'
PROVENANCE = {
    "date": "Date",
    "machine": "Machine",
    "python": "Python",
    "target": "Target",
    "seed": "Seed",
    "dataset_sha256": "Data, SHA-256",
}
"""What stands at the end of a page, where the results have it, with its name there."""

SCORES = {
    "MAE": "MAE / GPa",
    "median": "Median / GPa",
    "RMSE": "RMSE / GPa",
    "MAE_log10": "MAE of log₁₀",
    "relative_MAE": "Relative MAE / %",
    "R2": "R²",
}
"""Headers of the scores; "median" is the median absolute error."""

OUTCOMES = {
    "holds": '<span class="good">holds</span>',
    "fails": '<span class="bad">fails</span>',
    "absent": '<span class="bad">does not come out</span>',
}


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what is shown (HTML), and what the table is sorted by if that is something else."""

    html: str
    value: str | float | None = None


@dataclass(frozen=True)
class Section:
    """A part of a page: its anchor, its heading, and its body as HTML."""

    anchor: str
    heading: str
    body: str = field(repr=False)


def table(headers: Sequence[str], rows: Iterable[Sequence[Cell | str | float | None]]) -> str:
    """Make a table that sorts by a click on a header; columns of numbers stand to the right.

    Parameters
    ----------
    headers : sequence of str
    rows : iterable of sequences of Cell, str, float or None
        Plain text is escaped; None is an empty cell, sorted last.
    """
    cells = [[cell if isinstance(cell, Cell) else _plain(cell) for cell in row] for row in rows]
    numeric = [
        any(isinstance(row[i].value, (int, float)) for row in cells)
        and all(row[i].html == "" or isinstance(row[i].value, (int, float)) for row in cells)
        for i in range(len(headers))
    ]
    classes = [' class="number"' if is_number else "" for is_number in numeric]
    head = "".join(f'<th scope="col"{c}><button>{escape(h)}</button></th>' for h, c in zip(headers, classes, strict=True))
    body = "\n".join(
        "<tr>" + "".join(f"<td{c}{_sorted_by(cell)}>{cell.html}</td>" for cell, c in zip(row, classes, strict=True)) + "</tr>"
        for row in cells
    )
    return f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def write_page(
    path: Path, title: str, subtitle: str, sections: Sequence[Section], data: dict[str, Any], results: dict[str, Any]
) -> None:
    """Write a page with everything in it.

    Parameters
    ----------
    path : Path
        Usually index.html in the output folder.
    title, subtitle : str
        Plain text and HTML.
    sections : sequence of Section
    data : dict
        What the script draws from: "parity", "learning_curves" and "unit", or "series" and "units".
    results : dict
        Where it comes from, as :func:`benchmarks._run.provenance` gives it, with "seconds", "seed" and
        "dataset_sha256" if there are any.

    Raises
    ------
    ValueError
        The data hold numbers that are NaN or infinite, which JSON doesn't know.
    """
    folder = Path(__file__).parent
    sections = [*sections, Section("provenance", "Where it comes from", _provenance(results))]
    links = "".join(f'<a href="#{escape(s.anchor)}">{escape(s.heading)}</a>' for s in sections)
    parts = "\n".join(f'<section id="{escape(s.anchor)}"><h2>{escape(s.heading)}</h2>\n{s.body}\n</section>' for s in sections)
    embedded = json.dumps(data, allow_nan=False, ensure_ascii=False).replace("<", "\\u003c")
    html = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>
{(folder / "_page.css").read_text(encoding="utf-8")}</style>
</head>
<body>
<header><div><h1>{escape(title)}</h1>
<p>{subtitle}</p>
<nav>{links}</nav></div></header>
<main>
{parts}
</main>
<footer>Written by matminer-grid. Works offline.</footer>
<script>{get_plotlyjs()}</script>
<script id="data" type="application/json">{embedded}</script>
<script>
{(folder / "_page.js").read_text(encoding="utf-8")}</script>
</body>
</html>
"""
    part = path.with_suffix(".part")
    part.write_text(html, encoding="utf-8")
    part.replace(path)


def write_bulk_modulus_page(path: Path, results: dict[str, Any]) -> None:
    """Write the page of :mod:`benchmarks.bulk_modulus`.

    Parameters
    ----------
    path : Path
    results : dict
        "rows", a list of {"descriptor", "model", "dissimilarity", "target_scale", "scores": {name: [value, low, high]}, "seconds",
        "note"}; and, where there are any, "parity", {row: {"material_id", "formula", "true", "predicted", "neighbour_id"}} with
        lists of one length (neighbour_id may be None), "learning_curves", {row: {"n", "MAE"}},
        "claims", "not_applicable" and "identity" as :mod:`benchmarks.bulk_modulus` writes them, and what :func:`write_page` reads.

    Raises
    ------
    KeyError
        A part of the results is missing.
    """
    identity = results["identity"]
    results = results | identity["options"] | {"dataset_sha256": identity["dataset"]}
    unit = "GPa"
    sections = [Section("scores", "Scores on the test part", _scores(results["rows"], results.get("not_applicable", ())))]
    if results.get("claims"):
        sections.append(Section("claims", "What was said, and what comes out", _claims(results["claims"])))
    data: dict[str, Any] = {"unit": unit}
    if results.get("parity"):
        data["parity"] = _interned(results["parity"]) | {"unit": unit}
        sections.append(Section("parity", "Predictions one by one", _parity(results["parity"])))
    if results.get("learning_curves"):
        data["learning_curves"] = results["learning_curves"]
        body = (
            "<p>Error on the same test crystals as the training part grows; both axes are logarithmic.</p>"
            '<div class="plot curves" data-draw="curves"></div>'
        )
        sections.append(Section("learning-curves", "Learning curves", body))
    subtitle = (
        f"{results['entries']:,} crystals of the Materials Project; k-nearest neighbours, kernel ridge regression and "
        f"LASSO on GRID, RDF, composition and structure factors, after {REPORT} and {PAPER}."
    )
    name = "shear modulus" if results["target"].startswith("G") else "bulk modulus"
    write_page(path, f"Predicting the {name}", subtitle, sections, data, results)


def _plain(cell: str | float | None) -> Cell:
    if cell is None:
        return Cell("")
    return Cell(escape(cell)) if isinstance(cell, str) else Cell(f"{cell:g}", cell)


def _sorted_by(cell: Cell) -> str:
    return "" if cell.value is None else f' data-value="{escape(str(cell.value))}"'


def _score(score: Sequence[float] | None) -> Cell:
    if score is None:
        return Cell("")
    value, low, high = (*score, None, None)[:3]
    digits = ".3f" if abs(value) < 2 else ".1f"
    interval = "" if low is None or high is None else f"<small>{low:{digits}} to {high:{digits}}</small>"
    return Cell(f"{value:{digits}}{interval}", value)


def _scores(rows: Sequence[dict[str, Any]], not_applicable: Sequence[dict[str, str]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row["scores"]))
    headers = [
        "Descriptor",
        "Model",
        "Dissimilarity",
        "Target as",
        *(SCORES.get(name, name) for name in names),
        "Time / s",
    ]
    lines = []
    for row in rows:
        note = f"<small>{escape(row['note'])}</small>" if row["note"] else ""
        text = [
            row["descriptor"],
            Cell(escape(row["model"]) + note, row["model"]),
            row["dissimilarity"] or "",
            row["target_scale"] or "",
        ]
        seconds = None if row["seconds"] is None else Cell(f"{row['seconds']:.1f}", row["seconds"])
        lines.append([*text, *(_score(row["scores"].get(name)) for name in names), seconds])
    missing = [[row["descriptor"], row["model"], row["dissimilarity"], row["note"]] for row in not_applicable]
    reasons = "<h3>What makes no sense</h3>" + table(["Descriptor", "Model", "Dissimilarity", "Why"], missing) if missing else ""
    return "<p>A click on a header sorts the table. Small figures: bootstrap intervals.</p>" + table(headers, lines) + reasons


def _claims(claims: Sequence[dict[str, Any]]) -> str:
    lines = []
    for claim in claims:
        outcome = "holds" if claim["holds"] else "fails"
        values = [Cell(f"{claim[key]:.2f} {escape(claim['unit'])}", claim[key]) for key in ("first_value", "second_value")]
        statement = Cell(
            escape(claim["claim"]) + (f"<small>{escape(claim['why'])}</small>" if claim["why"] else ""), claim["claim"]
        )
        lines.append([statement, Cell(OUTCOMES[outcome], outcome), claim["first"], values[0], claim["second"], values[1]])
    return table(["Statement", "Outcome", "Of this", "its error", "and this", "its error"], lines)


def _parity(parity: dict[str, Any]) -> str:
    options = "".join(f'<option value="{escape(row)}">{escape(row)}</option>' for row in parity)
    return (
        f'<p><label>Row <select id="parity-row">{options}</select></label> '
        '<label><input type="checkbox" id="parity-log" checked> logarithmic axes</label></p>'
        '<div class="plot parity" data-draw="parity"></div>'
        '<p class="picked" id="picked" aria-live="polite">'
        "Click a point: its material, and the neighbour that decided the prediction.</p>"
    )


def _interned(parity: dict[str, Any]) -> dict[str, Any]:
    """Keep each list once: rows of one split share their materials and true values."""
    lists: list[list[Any]] = []
    places: dict[str, int] = {}
    rows: dict[str, dict[str, int | None]] = {}
    for name, row in parity.items():
        rows[name] = {}
        for key, values in row.items():
            if values is None:
                rows[name][key] = None
                continue
            text = json.dumps(values)
            if text not in places:
                places[text] = len(lists)
                lists.append(values)
            rows[name][key] = places[text]
    return {"lists": lists, "rows": rows}


def _provenance(results: dict[str, Any]) -> str:
    entries = {name: str(results[key]) for key, name in PROVENANCE.items() if key in results}
    entries["Versions"] = ", ".join(f"{name} {version}" for name, version in results["packages"].items())
    if "seconds" in results:
        entries["Time"] = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in results["seconds"].items())
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in entries.items()) + "</dl>"
