"""The command ``matminer-grid``: each command reads its arguments, calls the library and prints what comes back."""

import typer

from matminer_grid.cli.compare import compare
from matminer_grid.cli.data import data
from matminer_grid.cli.evaluate import evaluate
from matminer_grid.cli.features import featurize
from matminer_grid.cli.index import index
from matminer_grid.cli.models import predict
from matminer_grid.cli.similarity import duplicates, similar

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(data, name="data")
app.add_typer(index, name="index")
for command in (featurize, predict, similar, compare, duplicates, evaluate):
    app.command()(command)


@app.callback()
def main() -> None:
    """Crystal-structure similarity across length scales."""
