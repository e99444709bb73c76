"""The command ``matminer-grid``: each command reads its arguments, calls the library and prints what comes back."""

import sys
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from matminer_grid._version import __version__
from matminer_grid.cli._help import GroupedCommand
from matminer_grid.cli._terminal import calm_bars
from matminer_grid.cli.compare import compare
from matminer_grid.cli.data import data
from matminer_grid.cli.duplicates import duplicates
from matminer_grid.cli.evaluate import evaluate
from matminer_grid.cli.explore import explore
from matminer_grid.cli.features import featurize
from matminer_grid.cli.index import index
from matminer_grid.cli.models import predict
from matminer_grid.cli.similarity import similar
from matminer_grid.cli.train import train

__all__ = ["app"]


class _Group(TyperGroup):
    """Shows what a terminal or pipe has no letter for, Å in ASCII or part of a file's name, as its number."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return super().main(*args, **kwargs)


app = typer.Typer(cls=_Group, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(data, name="data")
app.add_typer(index, name="index")
for command in (featurize, predict, train, similar, compare, duplicates, evaluate, explore):
    app.command()(command)
for registered in (*app.registered_commands, *data.registered_commands, *index.registered_commands):
    registered.cls = GroupedCommand


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"matminer-grid {__version__}")
        raise typer.Exit


@app.callback()
def main(
    *,
    _version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Crystal-structure similarity across length scales."""
    calm_bars()
