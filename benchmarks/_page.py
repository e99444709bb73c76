"""A benchmark's results as one HTML file that works offline: sentences, figures, tables that sort, and where they come from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from jinja2 import ChoiceLoader, FileSystemLoader
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from benchmarks._tables import best, header, is_numeric, text
from matminer_grid._files import replacing
from matminer_grid.plotting.pages import packed, templates

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

REPORT = Markup('<a href="https://doi.org/10.5258/SOTON/P0038">10.5258/SOTON/P0038</a>')
PAPER = Markup('<a href="https://doi.org/10.1039/D2DD00054G">10.1039/D2DD00054G</a>')
TEMPLATES = templates().overlay(loader=ChoiceLoader([FileSystemLoader(Path(__file__).parent), templates().loader]))
"""The pages of the benchmarks look like the package's reports, whose head they share."""

CLASSES = {"holds": "good", "fails": "bad", "does not hold": "bad", "does not come out": "bad"}
"""How an outcome is coloured."""


@dataclass(frozen=True)
class Section:
    """A part of a page: its anchor, its heading, and its paragraphs, HTML, figures, alone or side by side, and tables."""

    anchor: str
    heading: str
    parts: Sequence[str | Markup | go.Figure | list[go.Figure] | pd.DataFrame]


def write_page(path: Path, title: str, subtitle: str | Markup, sections: Sequence[Section], results: dict[str, Any]) -> None:
    """Write a page, whole or not at all; text is escaped unless it is Markup.

    At its end stands where it comes from, as :func:`benchmarks._run.provenance` gives it in the results, with the "seconds" and the
    "identity" of a run if there are any.
    """
    drawn: list[Any] = []
    shown = [{"anchor": s.anchor, "heading": s.heading, "parts": [_rendered(part, drawn) for part in s.parts]} for s in sections]
    values = {"sections": shown, "provenance": _provenance(results), "plotly": get_plotlyjs().replace("</script", "<\\/script")}
    html = TEMPLATES.get_template("_page.html").render(
        title=title, notes=[subtitle] if subtitle else [], data=packed(drawn), **values
    )
    with replacing(path) as file:
        file.write(html.encode())


def outcomes(statements: Sequence[str], outcome: Sequence[str]) -> str:
    """Say in a sentence how many statements hold, and which don't."""
    others = [f"{text} ({word})" for text, word in zip(statements, outcome, strict=True) if word != "holds"]
    hold = f"{len(outcome) - len(others)} of {len(outcome)} statements hold"
    return f"{hold}; the others: {'; '.join(others)}." if others else f"All {len(outcome)} statements that were checked hold."


def _rendered(part: str | Markup | go.Figure | pd.DataFrame | list[go.Figure], drawn: list[Any]) -> str | dict[str, Any]:
    """Turn what a section holds into what the template shows; a column "X, small" stands below X in small type."""
    if isinstance(part, str):
        return part
    if isinstance(part, (go.Figure, list)):
        return {"figures": [_figure(one, drawn) for one in ([part] if isinstance(part, go.Figure) else part)]}
    columns = [column for column in part if not column.endswith(", small")]
    numeric = {column: is_numeric(part[column]) for column in columns}
    marks = {column: best(part, column) for column in columns}
    rows = []
    for _, row in part.iterrows():
        cells = []
        for column in columns:
            value = row[column]
            shown = text(value, column)
            kinds = {"number": numeric[column], "best": shown and value == marks[column]}
            classes = [name for name, applies in kinds.items() if applies] + ([CLASSES[value]] if column == "outcome" else [])
            cell = {"text": shown, "value": value if shown else "", "small": text(row.get(f"{column}, small"))}
            cells.append(cell | {"classes": " ".join(classes), "label": header(column)})
        rows.append(cells)
    return {"heads": [{"text": header(column), "numeric": numeric[column]} for column in columns], "rows": rows}


def _figure(figure: go.Figure, drawn: list[Any]) -> dict[str, Any]:
    """Put a figure aside for the script; its meta may say what it shows ("label"), its "id", and that it is "square" or "tall"."""
    figure.update_layout(template="simple_white", margin={"l": 64, "r": 16, "t": 36, "b": 56}, hovermode="closest")
    drawn.append(json.loads(figure.to_json()))
    about = figure.layout.meta or {}
    shape = next((name for name in ("square", "tall") if name in about), "")
    return {"number": len(drawn) - 1, "label": about.get("label", "Figure"), "id": about.get("id"), "shape": shape}


def _provenance(results: dict[str, Any]) -> dict[str, str]:
    entries = {name.capitalize(): str(results[name]) for name in ("date", "machine", "python")}
    if "identity" in results:
        entries |= {name.capitalize(): str(value) for name, value in results["identity"]["options"].items()}
        entries["Code and data"] = results["identity"]["code"]
    entries["Versions"] = ", ".join(f"{name} {version}" for name, version in results["packages"].items())
    if "seconds" in results:
        entries["Time"] = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in results["seconds"].items())
    return entries
