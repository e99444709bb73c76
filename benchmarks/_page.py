"""A benchmark's results as one HTML file that works offline: tables that sort, Plotly's figures, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from benchmarks._tables import best, header, is_numeric, text
from matminer_grid._files import replacing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

REPORT = Markup('<a href="https://doi.org/10.5258/SOTON/P0038">10.5258/SOTON/P0038</a>')
PAPER = Markup('<a href="https://doi.org/10.1039/D2DD00054G">10.1039/D2DD00054G</a>')
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
CLASSES = {"holds": "good", "fails": "bad", "does not hold": "bad", "does not come out": "bad"}
"""How an outcome is coloured."""


@dataclass(frozen=True)
class Section:
    """A part of a page: its anchor, its heading, and its paragraphs, HTML, figures and tables."""

    anchor: str
    heading: str
    parts: Sequence[str | Markup | go.Figure | pd.DataFrame]


def write_page(path: Path, title: str, subtitle: str | Markup, sections: Sequence[Section], results: dict[str, Any]) -> None:
    """Write a page, whole or not at all; text is escaped unless it is Markup.

    At its end stands where it comes from, as :func:`benchmarks._run.provenance` gives it in the results, with the "seconds" and the
    "identity" of a run if there are any.
    """
    shown = [{"anchor": s.anchor, "heading": s.heading, "parts": [_rendered(part) for part in s.parts]} for s in sections]
    html = TEMPLATES.get_template("_page.html").render(
        title=title, subtitle=subtitle, sections=shown, provenance=_provenance(results), plotly=get_plotlyjs()
    )
    with replacing(path) as file:
        file.write(html.encode())


def figure_html(figure: go.Figure, identifier: str | None = None) -> Markup:
    """Give Plotly's HTML of a figure, which draws itself when the page is opened."""
    figure.update_layout(template="simple_white", margin={"l": 64, "r": 16, "t": 36, "b": 56}, hovermode="closest")
    config = {"responsive": True, "displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "select2d"]}
    return Markup(figure.to_html(full_html=False, include_plotlyjs=False, config=config, div_id=identifier))  # noqa: S704


def _rendered(part: str | Markup | go.Figure | pd.DataFrame) -> str | dict[str, Any]:
    """Turn what a section holds into what the template shows; a column "X, small" stands below X in small type."""
    if isinstance(part, str):
        return part
    if isinstance(part, go.Figure):
        return figure_html(part)
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
            cells.append(cell | {"classes": " ".join(classes)})
        rows.append(cells)
    return {"heads": [{"text": header(column), "numeric": numeric[column]} for column in columns], "rows": rows}


def _provenance(results: dict[str, Any]) -> dict[str, str]:
    entries = {name.capitalize(): str(results[name]) for name in ("date", "machine", "python")}
    if "identity" in results:
        entries |= {name.capitalize(): str(value) for name, value in results["identity"]["options"].items()}
        entries["Code and data"] = results["identity"]["code"]
    entries["Versions"] = ", ".join(f"{name} {version}" for name, version in results["packages"].items())
    if "seconds" in results:
        entries["Time"] = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in results["seconds"].items())
    return entries
