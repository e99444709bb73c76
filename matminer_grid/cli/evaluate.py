"""The command ``matminer-grid evaluate``."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003  typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from matminer_grid.cli._common import (
    FAILED,
    Inputs,
    check_output,
    clear_errors,
    print_table,
    read_files,
    row_names,
    stages,
    with_option_groups,
)
from matminer_grid.cli._tolerance import Sameness  # noqa: TC001  typer reads the annotations
from matminer_grid.cli.reports import Report, evaluate_report, write_report

if TYPE_CHECKING:
    import pandas as pd

    from matminer_grid import KnownCrystals

SHOWN = 10
"""Crystals that are listed on the console."""


@dataclass(frozen=True)
class Samples:
    """What is drawn at random."""

    sample: Annotated[int, typer.Option(min=2, help="Most crystals of each set for transport and MMD.")] = 300
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn at random.")] = 0


@with_option_groups
def evaluate(
    generated: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder for crystals.parquet and evaluation.json.")],
    *,
    reference: Annotated[
        Path | None, typer.Option(help="Known crystals: an index, Parquet, or structure files; the embedded data by default.")
    ] = None,
    sameness: Sameness,
    samples: Samples,
    report: Report = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write an evaluation that is there anew.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the measures as JSON.")] = False,
) -> None:
    """Evaluate generated crystals against known ones: valid, unique, novel; coverage, diversity, distributions.

    Example: matminer-grid evaluate generated.xyz -o out --report evaluation.html

    Crystals that can't be read or compared are listed in errors.jsonl; the exit code is then 1. A run that was stopped goes on
    where it was when the same command is given again.
    """
    import warnings

    from matminer_grid import DuplicateTolerance
    from matminer_grid.io import load_crystals
    from matminer_grid.pipeline import evaluate_files
    from matminer_grid.pipeline.evaluation import CRYSTALS
    from matminer_grid.similarity import EvaluationSettings

    with clear_errors(), warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: typer.echo(f"warning: {message}", err=True)
        if report is not None:
            check_output(report, overwrite=True)
        tolerance = sameness.tolerance_from(DuplicateTolerance())
        settings = EvaluationSettings(sample=samples.sample, seed=samples.seed)
        with stages(as_json) as progress:
            progress("read the known crystals")
            known, n_lost = known_from(reference)
        found, files = evaluate_files(
            generated, output, known, tolerance=tolerance, settings=settings, overwrite=overwrite, pbar=not as_json
        )
        if report is not None:
            structures, crystals = load_crystals(output / CRYSTALS)
            write_report(report, evaluate_report(found.measures, crystals, structures, found.n_known))
    if as_json:
        typer.echo(json.dumps(found.to_dict() | {"failed": files.n_failed}))
    else:
        show_crystals(found.crystals)
        rows = [[str(name), *_numbers(row), str(row["basis"])] for name, row in found.measures.iterrows()]
        print_table(["measure", "value", "interval", "of"], rows)
        typer.echo(f"{len(found.crystals)} crystals against {found.n_known} known ones; see {output}")
    if files.n_failed:
        typer.echo(f"crystals that failed: {files.n_failed}; see {files.errors_file}", err=True)
    if files.n_failed or n_lost:
        raise typer.Exit(FAILED)


def known_from(reference: Path | None) -> tuple[KnownCrystals, int]:
    """Read the known crystals, and tell how many can't be read or compared; those are named, and cost the others nothing."""
    from matminer_grid import CrystalTable, KnownCrystals
    from matminer_grid.io.parquet import missing_columns, open_parquet
    from matminer_grid.similarity.index_files import is_index

    if reference is None:
        return KnownCrystals.embedded(), 0
    if is_index(reference):
        return KnownCrystals.from_index(reference), 0
    n_failed = 0
    if reference.suffix == ".parquet" and not missing_columns(open_parquet(reference).schema_arrow):
        table = open_parquet(reference).read()
        ids = table.select([name for name in ("material_id", "name") if name in table.column_names]).to_pandas()
        crystals, names = CrystalTable.from_arrow(table), row_names(ids)
        if len(crystals) == 0:
            raise ValueError(f"{reference}: the file holds no crystals")
    else:
        read = read_files([reference])
        crystals, names, n_failed = read.crystals, read.names, read.n_failed
    known = KnownCrystals(crystals, names)
    return known, n_failed + len(known.errors)


def show_crystals(crystals: pd.DataFrame) -> None:
    """Print the first crystals: what they are, and the nearest known ones."""
    rows = []
    for line in crystals.head(SHOWN).to_dict("records"):
        known = line["known_as"] or "novel"
        nearest = f"{line['nearest']} {line['nearest_formula']}"
        valid = "yes" if line["valid"] else str(line["why_not"])
        rows.append([line["name"], line["formula"], valid, known, nearest, f"{line['dissimilarity']:.4g}", str(line["group"])])
    print_table(["crystal", "formula", "valid", "known as", "nearest", "dissimilarity", "group"], rows)
    if len(crystals) > SHOWN:
        typer.echo(f"… and {len(crystals) - SHOWN} more")


def _numbers(row: pd.Series) -> list[str]:
    interval = "" if math.isnan(row["low"]) else f"{row['low']:.4g} to {row['high']:.4g}"
    return [f"{row['value']:.4g}", interval]
