"""The command ``matminer-grid``: each command reads its arguments, calls the library and prints what comes back."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003  typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
data = typer.Typer(no_args_is_help=True, help="Data sets of crystals and their properties.")
app.add_typer(data, name="data")

FAILED, INTERRUPTED = 1, 130


@app.callback()
def main() -> None:
    """Crystal-structure similarity across length scales."""


@contextmanager
def clear_errors() -> Iterator[None]:
    """Print what the library says of bad input, without a traceback, and end with exit code 1; 130 after Ctrl-C."""
    try:
        yield
    except (OSError, TypeError, ValueError) as error:
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


@app.command()
def featurize(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Files, folders and archives of structures; Parquet, JSON lines.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="A file that ends in .parquet, or a folder of pieces.")],
    *,
    preset: Annotated[str, typer.Option(help="Published settings: report or zhang2023.")] = "report",
    cutoff: Annotated[float | None, typer.Option(help="In Å, instead of the preset's.")] = None,
    bin_size: Annotated[float | None, typer.Option(help="In Å, instead of the preset's.")] = None,
    n_groups: Annotated[int | None, typer.Option(help="Number of neighbours, instead of the preset's.")] = None,
    smearing: Annotated[float | None, typer.Option(help="In Å, instead of the preset's.")] = None,
    layout: Annotated[str, typer.Option(help="sparse (indices and values) or list (all features).")] = "sparse",
    float32: Annotated[bool, typer.Option("--float32", help="Write single precision.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Processes that parse and threads that compute; -1: one a core.")] = -1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Compute GRIDs of structure files and write them to Parquet.

    Structures that fail are listed in errors.jsonl (beside a single file: NAME.errors.jsonl); the exit code is then 1. A run that
    was stopped goes on where it was when the same command is given again.
    """
    from matminer_grid.featurizers.grid import GRIDFeaturizer
    from matminer_grid.pipeline import featurize_files

    with clear_errors():
        featurizer = GRIDFeaturizer.from_preset(preset)
        changed = {"cutoff": cutoff, "bin_size": bin_size, "n_groups": n_groups, "smearing": smearing}
        featurizer.set_params(**{name: value for name, value in changed.items() if value is not None})
        featurizer.set_n_jobs(jobs)
        dtype = "float32" if float32 else "float64"
        report = featurize_files(inputs, output, featurizer, layout=layout, dtype=dtype, n_jobs=jobs, pbar=not as_json)
    if as_json:
        answer: dict[str, Any] = {
            name: value if isinstance(value, int) else value and str(value) for name, value in vars(report).items()
        }
        typer.echo(json.dumps(answer))
    else:
        resumed = f", of which {report.n_resumed} structures had been done before" if report.n_resumed else ""
        typer.echo(f"{report.n_rows} rows in {report.output}{resumed}")
        if report.errors_file:
            typer.echo(f"structures that failed: {report.n_failed}; see {report.errors_file}", err=True)
    if report.n_failed:
        raise typer.Exit(FAILED)


@data.command()
def info(
    file: Annotated[Path | None, typer.Argument(help="A Parquet file of crystals; the embedded elastic moduli by default.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Say what a data set holds: crystals, sites, elements, and the range of each property."""
    import numpy as np
    import pandas as pd

    from matminer_grid.datasets import load_crystals, load_mp_elasticity_table, read_provenance

    with clear_errors():
        if file is None:
            embedded = load_mp_elasticity_table()
            crystals = embedded.crystals
            properties = pd.DataFrame({name: getattr(embedded, name) for name in ("K_VRH", "G_VRH", "elastic_anisotropy")})
            provenance: dict[str, Any] = {"source": "Materials Project (CC BY 4.0), the entries of gridrdf 0.3.0"}
        else:
            crystals, properties = load_crystals(file)
            provenance = read_provenance(file)
    numbers = properties.select_dtypes("number")
    ranges = {str(name): [float(column.min()), float(column.median()), float(column.max())] for name, column in numbers.items()}
    sites = crystals.n_sites if len(crystals) else np.zeros(1, np.int64)
    n_sites = [int(sites.min()), float(np.median(sites)), int(sites.max())]
    n_elements = len(np.unique(crystals.numbers))
    name = str(file or "mp_elasticity (embedded)")
    if as_json:
        answer = {"data": name, "crystals": len(crystals), "sites": n_sites, "elements": n_elements, "properties": ranges}
        typer.echo(json.dumps(answer | {"provenance": provenance}, default=str))
        return
    typer.echo(f"{name}: {len(crystals):,} crystals of {n_elements} elements")
    rows = [[quantity, *(f"{value:g}" for value in values)] for quantity, values in ({"sites a cell": n_sites} | ranges).items()]
    print_table(["", "least", "median", "most"], rows)
    for key, value in provenance.items():
        typer.echo(f"{key}: {value}")
