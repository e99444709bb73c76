"""The commands ``matminer-grid data``: data sets from the network and from files, to files, and what is in them."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003  typer reads the annotations
from typing import Annotated

import typer

from matminer_grid.cli._common import FAILED, DataFile, Inputs, Overwrite, Strict, clear_errors, data_set, print_table, row_names

Modulus = Annotated[tuple[float, float], typer.Option(help="Materials Project: least and largest, in GPa.")]

data = typer.Typer(no_args_is_help=True, help="Data sets of crystals and their properties.")


@data.command()
def fetch(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="materials_project, or one of matminer's data sets, such as matbench_log_kvrh.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The Parquet file to write.")],
    *,
    file: Annotated[Path | None, typer.Option(help="A matminer data set's file that was downloaded otherwise.")] = None,
    bulk_modulus: Modulus = (0.0, 1000.0),
    shear_modulus: Modulus = (0.0, 1000.0),
    with_warnings: Annotated[bool, typer.Option(help="Materials Project: keep crystals that it warns of.")] = True,
    overwrite: Overwrite = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the provenance as JSON.")] = False,
) -> None:
    """Fetch a data set from the network and keep it as Parquet.

    Example: matminer-grid data fetch matbench_log_kvrh -o moduli.parquet

    The Materials Project needs a key in the environment, as MP_API_KEY; a fetch that broke off goes on where it was when the same
    command is given again.
    """
    from matminer_grid.datasets import fetch_materials_project, load_matminer_dataset
    from matminer_grid.io import save_crystals

    with clear_errors():
        if source == "materials_project":
            provenance = fetch_materials_project(
                output,
                bulk_modulus=bulk_modulus,
                shear_modulus=shear_modulus,
                with_warnings=with_warnings,
                overwrite=overwrite,
                pbar=not as_json,
            )
        else:
            if output.exists() and not overwrite:
                raise FileExistsError(f"{output} exists: choose another name, or say --overwrite")
            crystals, properties = load_matminer_dataset(source, path=file)
            provenance = {"source": f"matminer's data set {source}", "n_kept": len(crystals)}
            save_crystals(output, crystals, properties, provenance)
    typer.echo(json.dumps(provenance) if as_json else f"{provenance['n_kept']:,} crystals in {output}")


@data.command("import")
def import_(
    inputs: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", help="The Parquet file to write.")],
    *,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Processes that parse; -1: one a core.")] = -1,
    overwrite: Overwrite = False,
    strict: Strict = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Gather the crystals of many files in one Parquet file, for the other commands to read; those that fail are named.

    Example: matminer-grid data import folder/ more.zip -o my.parquet
    """
    from matminer_grid.io import import_crystals

    with clear_errors():
        report = import_crystals(inputs, output, overwrite=overwrite, n_jobs=jobs, strict=strict, pbar=not as_json)
    if as_json:
        answer = {"output": str(report.output), "crystals": report.n_crystals, "errors": report.errors, "warnings": report.warnings}
        typer.echo(json.dumps(answer))
    else:
        typer.echo(f"{report.n_crystals:,} crystals in {report.output}")
        for name, error in report.errors.items():
            typer.echo(f"{name}: {error}", err=True)
        for name, texts in report.warnings.items():
            typer.echo(f"{name}: warning: {'; '.join(texts)}", err=True)
    if report.errors:
        raise typer.Exit(FAILED)


@data.command()
def export(
    file: DataFile = None,
    *,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="A file: .jsonl, .jsonl.gz, .cif, .xyz, .parquet, .csv (properties); or a folder."),
    ],
    fmt: Annotated[
        str | None, typer.Option("--format", help="Files in a folder: cif (as they are by default), poscar or xyz.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Write the crystals of a data set and their properties to files that other programs read, and `data import` reads again.

    Example: matminer-grid data export my.parquet -o my.xyz
    """
    from matminer_grid.io import export_crystals

    with clear_errors():
        crystals, properties = data_set(file)
        names = row_names(properties)
        failed = export_crystals(output, crystals, names, properties, fmt=fmt, pbar=not as_json)
    n_written = len(crystals) - len(failed)
    errors = {f"{names[row] if names else f'crystal {row + 1}'} ({crystals[row].formula})": text for row, text in failed.items()}
    if as_json:
        typer.echo(json.dumps({"output": str(output), "crystals": n_written, "errors": errors}))
    else:
        typer.echo(f"{n_written:,} crystals in {output}")
        for name, error in errors.items():
            typer.echo(f"{name}: {error}", err=True)
    if failed:
        raise typer.Exit(FAILED)


@data.command()
def info(
    file: DataFile = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Say what a data set holds: crystals, sites, elements, and the range of each property.

    Example: matminer-grid data info my.parquet
    """
    import numpy as np

    from matminer_grid.io import read_provenance

    with clear_errors():
        crystals, properties = data_set(file)
        embedded = {"source": "Materials Project (CC BY 4.0), the entries of gridrdf 0.3.0"}
        provenance = embedded if file is None else read_provenance(file)
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
