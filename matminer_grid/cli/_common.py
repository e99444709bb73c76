"""What the commands share: options in groups, reading files, errors without a traceback, stages, tables."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

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


def read_files(inputs: list[Path]) -> tuple[list[str], list[Any]]:
    """Read what can be read: names and crystals; name the others on the error stream."""
    from matminer_grid.io import read_structures_from

    names, crystals = [], []
    for record in read_structures_from(inputs):
        if record.crystal is None:
            typer.echo(f"{record.name}: {record.error}", err=True)
            names.append("")
        else:
            names.append(record.name)
            crystals.append(record.crystal)
    if not names:
        raise ValueError(f"no structure files in {', '.join(map(str, inputs))}")
    return names, crystals


@contextmanager
def stages(quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show what is under way, in one line on the error stream that goes away."""
    from rich.console import Console

    console = Console(stderr=True, quiet=quiet)
    with console.status("") as status:
        yield status.update


def with_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take dataclasses: each of their fields is an option of its own."""
    hints = get_type_hints(command, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    options: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        kind = groups.get(parameter.name)
        if kind is None:
            options.append(parameter.replace(annotation=hints[parameter.name]))
            continue
        types = get_type_hints(kind, include_extras=True)
        options += [
            inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=types[field.name])
            for field in fields(kind)
        ]

    def grouped(**values: Any) -> None:
        for name, kind in groups.items():
            values[name] = kind(  # type: ignore[operator]
                **{field.name: values.pop(field.name) for field in fields(kind)}
            )
        command(**values)

    grouped.__name__, grouped.__doc__ = command.__name__, command.__doc__
    grouped.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    grouped.__annotations__ = {option.name: option.annotation for option in options}
    return grouped
