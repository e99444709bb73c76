"""Tables of results: a DataFrame as text, the same on the console, in pages, in the README and on the site."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.markup import escape
from rich.table import Table

from benchmarks.moduli.scores import SCORES

if TYPE_CHECKING:
    from rich.console import Console

LARGE = 9999.5
"""From here on numbers are written without decimals, and with commas: four digits would be an exponent."""


def header(column: str) -> str:
    """Head a column: a score with its unit."""
    return SCORES[column].header if column in SCORES else column


def text(value: Any, column: str = "", more_digits: int = 0) -> str:
    """Write a value: a score with its digits but at least two that count, another number to four, nothing for what is missing."""
    if value is None or value != value:  # noqa: PLR0124  NaN
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Real):
        if column in SCORES:
            counting = 1 - math.floor(math.log10(abs(value))) if value and math.isfinite(value) else 0
            return f"{value:.{max(SCORES[column].digits + more_digits, counting)}f}"
        if isinstance(value, Integral):
            return f"{value:,}"
        return f"{value:,.0f}" if LARGE <= abs(value) < math.inf else f"{value:.4g}"
    return str(value).replace(">=", "≥").replace("<=", "≤")


def listed(values: dict[str, Any]) -> pd.DataFrame:
    """List named values of different kinds one below the other."""
    return pd.DataFrame({"what": list(values), "found": pd.Series(list(values.values()), dtype=object)})


def is_numeric(values: pd.Series) -> bool:
    """Tell whether a column holds numbers and nothing else, but what is missing."""
    there = values.dropna()
    return len(there) > 0 and all(isinstance(value, Real) and not isinstance(value, bool) for value in there)


def best(frame: pd.DataFrame, column: str) -> float | None:
    """Give the best of a column of scores."""
    if column not in SCORES or frame[column].isna().all():
        return None
    return frame[column].min() if SCORES[column].lower_is_better else frame[column].max()


def show(frame: pd.DataFrame, title: str, console: Console, *, more_digits: int = 0, by: str | None = None) -> None:
    """Print a table, the best scores bold, with a line wherever the column `by` changes."""
    table = Table(title=title)
    for column in frame:
        table.add_column(escape(header(column)), justify="right" if is_numeric(frame[column]) else "left")
    marks = {column: best(frame, column) for column in frame}
    for _, row in frame.iterrows():
        cells = {column: escape(text(value, column, more_digits)) for column, value in row.items()}
        bold = {column: f"[bold]{cells[column]}[/]" for column, mark in marks.items() if mark is not None and row[column] == mark}
        table.add_row(*(cells | bold).values(), end_section=False)
    if by is not None:
        for line, changes in zip(table.rows, (frame[by] != frame[by].shift(-1)).tolist(), strict=True):
            line.end_section = changes
    console.print(table)


def markdown(frame: pd.DataFrame) -> str:
    """Make a Markdown table, numbers to the right."""
    rule = "|".join("---:" if is_numeric(frame[column]) else "---" for column in frame)
    rows = [[text(value, column) for column, value in row.items()] for _, row in frame.iterrows()]
    lines = [[header(column) for column in frame], *rows]
    head, *body = [f"| {' | '.join(map(_escape, cells))} |" for cells in lines]
    return "\n".join([head, f"|{rule}|", *body])


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Give the rows for a JSON file, with None for what is missing."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def _escape(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
