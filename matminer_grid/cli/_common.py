"""What the commands share: errors without a traceback, tables, names of rows."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

FAILED, INTERRUPTED = 1, 130


@contextmanager
def clear_errors() -> Iterator[None]:
    """Print what the library says of bad input, without a traceback, and end with exit code 1; 130 after Ctrl-C."""
    try:
        yield
    except (ImportError, OSError, TypeError, ValueError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(FAILED) from error
    except KeyboardInterrupt as error:
        typer.echo("stopped", err=True)
        raise typer.Exit(INTERRUPTED) from error


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """Print a table for people, numbers to the right."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def row_names(properties: pd.DataFrame) -> list[str] | None:
    """Give what names the rows of a data set, if it has a column that does."""
    column = next((column for column in ("material_id", "name") if column in properties), None)
    return None if column is None else properties[column].astype(str).tolist()
