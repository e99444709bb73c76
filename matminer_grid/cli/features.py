"""The command ``matminer-grid featurize``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003  typer reads the annotations
from typing import Annotated, Any

import typer

from matminer_grid.cli._common import FAILED, Inputs, Overwrite, clear_errors, with_option_groups


@dataclass(frozen=True)
class GridOptions:
    """Which GRID is meant."""

    preset: Annotated[str, typer.Option(help="Published settings: report or zhang2023.")] = "report"
    cutoff: Annotated[float | None, typer.Option(help="In Å, instead of the preset's.")] = None
    bin_size: Annotated[float | None, typer.Option(help="In Å, instead of the preset's.")] = None
    n_groups: Annotated[int | None, typer.Option(help="Number of neighbours, instead of the preset's.")] = None
    smearing: Annotated[float | None, typer.Option(help="In Å, instead of the preset's.")] = None

    def featurizer(self) -> Any:
        """Make the featurizer."""
        from matminer_grid.featurizers.grid import GRIDFeaturizer

        changed = {name: value for name, value in vars(self).items() if name != "preset" and value is not None}
        return GRIDFeaturizer.from_preset(self.preset).set_params(**changed)


@dataclass(frozen=True)
class Columns:
    """How features are written."""

    layout: Annotated[str, typer.Option(help="sparse (indices and values) or list (all features).")] = "sparse"
    float32: Annotated[bool, typer.Option("--float32", help="Write single precision.")] = False


@with_option_groups
def featurize(
    inputs: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", help="A file that ends in .parquet, or a folder of parts.")],
    *,
    grid: GridOptions,
    columns: Columns,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Processes that parse and threads that compute; -1: one a core.")] = -1,
    overwrite: Overwrite = False,
    strict: Annotated[bool, typer.Option("--strict", help="End with exit code 1 where something was read with a warning.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Compute GRIDs of structure files and write them to Parquet.

    Example: matminer-grid featurize folder/ -o features.parquet

    Structures that fail are listed in errors.jsonl (beside a single file: NAME.errors.jsonl); the exit code is then 1. A run that
    was stopped goes on where it was when the same command is given again; with --overwrite it begins anew.
    """
    from matminer_grid.pipeline import featurize_files
    from matminer_grid.pipeline._run import remove_output

    with clear_errors():
        featurizer = grid.featurizer()
        featurizer.set_n_jobs(jobs)
        dtype = "float32" if columns.float32 else "float64"
        if overwrite:
            remove_output(output)
        report = featurize_files(inputs, output, featurizer, layout=columns.layout, dtype=dtype, n_jobs=jobs, pbar=not as_json)
    if as_json:
        answer: dict[str, Any] = {name: value for name, value in vars(report).items() if name != "failed_partitions"}
        lines = (
            [json.loads(line) for line in report.errors_file.read_text(encoding="utf-8").splitlines()] if report.errors_file else []
        )
        answer["errors"] = {line["name"]: line["error"] for line in lines if "error" in line}
        answer["warnings"] = [[line["name"], line["warning"]] for line in lines if "warning" in line]
        typer.echo(json.dumps(answer, default=str))
    else:
        resumed = f", of which {report.n_resumed} structures had been done before" if report.n_resumed else ""
        typer.echo(f"{report.n_rows} rows in {report.output}{resumed}")
        if report.errors_file:
            counts = f"structures that failed: {report.n_failed}; read with a warning: {report.n_warned}"
            with report.errors_file.open(encoding="utf-8") as lines_of_errors:
                for line in map(json.loads, lines_of_errors):
                    typer.echo(f"{line['name']}: {line.get('error') or 'warning: ' + line['warning']}", err=True)
            typer.echo(f"{counts}; see {report.errors_file}", err=True)
    if report.n_failed or (strict and report.n_warned):
        raise typer.Exit(FAILED)
