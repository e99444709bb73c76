"""The commands on indexes of crystals: ``matminer-grid index build``, ``add`` and ``info``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matminer_grid.cli._common import FAILED, Inputs, clear_errors, print_table, with_option_groups
from matminer_grid.cli.similarity import Alike  # noqa: TC001

if TYPE_CHECKING:
    from matminer_grid.similarity import IndexReport

index = typer.Typer(no_args_is_help=True, help="Indexes of many crystals, for exact search on disk.")

Folder = Annotated[Path, typer.Argument(metavar="INDEX", help="The folder of the index.")]
Jobs = Annotated[int | None, typer.Option("--jobs", "-j", help="Number of threads; all cores by default.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@with_option_groups
def build(
    inputs: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="INDEX", help="The folder of the index.")],
    *,
    alike: Alike,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an index that is there.")] = False,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Build an index of the crystals of files, for `similar --reference`; those that can't be read or described are named.

    Example: matminer-grid index build my.parquet -o my.index

    It appears whole or not at all, and says by itself what "alike" means.
    """
    from matminer_grid import build_index

    with clear_errors():
        options: dict[str, Any] = {"overwrite": overwrite, "n_jobs": jobs, "pbar": not as_json}
        _print_report(build_index(output, inputs, dissimilarity=alike.dissimilarity(), **options), as_json)


@index.command()
def add(folder: Folder, inputs: Inputs, *, jobs: Jobs = None, as_json: Json = False) -> None:
    """Add the crystals of files to an index; those that it has are not described again. Ids that it has are refused.

    Example: matminer-grid index add my.index more.parquet
    """
    from matminer_grid import add_to_index

    with clear_errors():
        _print_report(add_to_index(folder, inputs, n_jobs=jobs, pbar=not as_json), as_json)


@index.command()
def info(
    folder: Folder,
    *,
    sizes_only: Annotated[bool, typer.Option("--sizes-only", help="Don't read all files to check that they are whole.")] = False,
    as_json: Json = False,
) -> None:
    """Check an index, and say what is in it.

    Example: matminer-grid index info my.index
    """
    from matminer_grid import CrystalIndex

    with clear_errors():
        opened = CrystalIndex(folder, contents=not sizes_only)
        size = sum(number for part in opened.manifest["segments"] for number, _ in part["files"].values())
        answer = {
            "index": str(folder),
            "crystals": len(opened),
            "segments": [part["crystals"] for part in opened.manifest["segments"]],
            "bytes": size,
            "format": opened.manifest["format"],
            "version": opened.manifest["version"],
            "dissimilarity": opened.manifest["dissimilarity"],
        }
    if as_json:
        typer.echo(json.dumps(answer))
        return
    shown = answer | opened.manifest["dissimilarity"]
    del shown["dissimilarity"]
    print_table(["", ""], [[name, _text(value)] for name, value in shown.items()])


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number:g}" for name, number in value.items())
    if isinstance(value, list):
        return " + ".join(f"{number:,}" for number in value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _print_report(report: IndexReport, as_json: bool) -> None:
    """Print what was done; what could not be added is an exit code of 1."""
    if as_json:
        answer = {"index": str(report.path), "crystals": report.n_crystals, "added": report.n_added, "errors": report.errors}
        typer.echo(json.dumps(answer))
    else:
        typer.echo(f"{report.n_added:,} crystals added to {report.path}, which has {report.n_crystals:,}")
        for name, error in report.errors.items():
            typer.echo(f"{name}: {error}", err=True)
    if report.errors:
        raise typer.Exit(FAILED)


index.command()(build)
