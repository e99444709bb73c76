"""Reports: pages that say the answer first, then what it rests on, with crystals to turn around."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from matminer_grid.plotting.crystals import CrystalPicture
from matminer_grid.plotting.pages import packed, write_template

if TYPE_CHECKING:
    from collections.abc import Sequence

DIGITS = 4
"""Significant digits of numbers in tables."""

MARGIN = {"l": 64, "r": 16, "b": 56}
"""Pixels around a figure that says nothing of them."""

STACKED = 4
"""Columns from which on the rows of a table become lists in a narrow window."""


@dataclass(frozen=True, eq=False)
class Card:
    """A crystal on a report: its picture and what is said of it.

    Parameters
    ----------
    name : str
    lines : sequence of str
        What is said below the picture.
    symbols, positions, cell
        As for :meth:`CrystalPicture.of`.
    link : str
        Address of a page about it.
    """

    name: str
    lines: Sequence[str]
    symbols: Sequence[str]
    positions: Any
    cell: Any
    link: str = ""


@dataclass(frozen=True, eq=False)
class Section:
    """A part of a report.

    Parameters
    ----------
    heading : str
    parts : sequence
        A str is a paragraph, a dict of str the facts that count most, a DataFrame a table, a list of :class:`Card` crystals side
        by side, and a plotly figure is drawn.
    """

    heading: str
    parts: Sequence[str | dict[str, str] | pd.DataFrame | list[Card] | go.Figure] = field(default_factory=list)


def report_page(title: str, sections: Sequence[Section], notes: Sequence[str] = ()) -> str:
    """Make a report, in one file that works offline, in light and dark, and on paper.

    Parameters
    ----------
    title : str
        What the report is about.
    sections : sequence of Section
        The answer first, then what it rests on.
    notes : sequence of str
        Paragraphs below the title.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> from matminer_grid.plotting import Card, Section, report_page
    >>> iron = Card("mp-13", ["Fe, Im-3m"], ["Fe"], [[0, 0, 0]], [[2.87, 0, 0], [0, 2.87, 0], [0, 0, 2.87]])
    >>> page = report_page("my.cif", [Section("Answer", [{"bulk modulus": "182 GPa"}, "Like iron.", [iron]])])
    >>> page.startswith("<!DOCTYPE html>")
    True
    """
    drawn: dict[str, Any] = {"crystals": [], "figures": []}
    shown = [{"heading": section.heading, "parts": [_shown(part, drawn) for part in section.parts]} for section in sections]
    needs_script = bool(drawn["crystals"] or drawn["figures"])
    script = get_plotlyjs().replace("</script", "<\\/script") if needs_script else ""
    return write_template("report.html", title, notes, sections=shown, data=packed(drawn), plotly=script)


def _shown(part: Any, drawn: dict[str, Any]) -> dict[str, Any]:
    """Turn a part into what the template shows; what scripts draw is put aside."""
    if isinstance(part, str):
        return {"kind": "text", "text": part}
    if isinstance(part, dict):
        return {"kind": "facts", "facts": part}
    if isinstance(part, pd.DataFrame):
        numeric = {name: pd.api.types.is_numeric_dtype(part[name]) for name in part}
        rows = [
            [{"text": _text(value), "numeric": numeric[name], "label": str(name)} for name, value in row.items()]
            for _, row in part.iterrows()
        ]
        heads = [{"text": str(name), "numeric": numeric[name]} for name in part]
        return {"kind": "table", "heads": heads, "rows": rows, "stacked": len(heads) >= STACKED}
    if isinstance(part, go.Figure):
        figure = json.loads(part.to_json())
        figure["layout"].setdefault("margin", MARGIN | {"t": 44 if part.layout.title.text else 12})
        drawn["figures"].append(figure)
        shown = {"number": len(drawn["figures"]) - 1, "label": part.layout.meta or "Figure"}
        return {"kind": "figure", **shown, "square": bool(part.layout.yaxis.scaleanchor)}
    return {"kind": "cards", "cards": [_card(card, drawn) for card in part]}


def _card(card: Card, drawn: dict[str, Any]) -> dict[str, Any]:
    picture = CrystalPicture.of(card.symbols, card.positions, card.cell)
    drawn["crystals"].append(picture.data())
    lines = [*card.lines, *([f"{picture.left_out} atoms are not drawn"] if picture.left_out else [])]
    legend = [{"symbol": symbol, "color": picture.colors[picture.symbols.index(symbol)]} for symbol in sorted({*picture.symbols})]
    label = f"The unit cell of {card.name}"
    shown = {"name": card.name, "lines": lines, "link": card.link, "legend": legend, "svg": picture.svg(label)}
    return shown | {"number": len(drawn["crystals"]) - 1}


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.{DIGITS}g}"
    return "" if value is None else str(value)
