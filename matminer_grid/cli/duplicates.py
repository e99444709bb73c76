"""The command that finds crystals which stand in a data set more than once: ``matminer-grid duplicates``."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, dataclass, is_dataclass
from functools import partial
from pathlib import Path  # noqa: TC003  typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from matminer_grid.cli._common import (
    Readings,
    Strict,
    clear_errors,
    print_table,
    read_data,
    reduced_formula,
    row_names,
    stages,
    with_option_groups,
)
from matminer_grid.cli._tolerance import Sameness  # noqa: TC001  typer reads the annotations
from matminer_grid.cli.reports import MOST_CARDS, Report, duplicates_report, write_report

if TYPE_CHECKING:
    from collections.abc import Callable

    from matminer_grid import DuplicateTolerance
    from matminer_grid.similarity import CrystalPairs, Duplicates

SHOWN = 6
"""Members of a group that are named on the console."""


@dataclass(frozen=True)
class Grouping:
    """What is compared, and how groups are joined."""

    linkage: Annotated[str, typer.Option(help="How groups are joined: complete, which makes no chains; average, single.")] = (
        "complete"
    )
    any_formula: Annotated[bool, typer.Option("--any-formula", help="Compare crystals of different formulas too.")] = False
    prototype: Annotated[
        bool,
        typer.Option("--prototype", help="Groups of one prototype, whatever elements and volume, with tolerances of their own."),
    ] = False
    margin: Annotated[
        float, typer.Option(help="With --json, list pairs up to so many times the tolerance, and what told them apart.")
    ] = 1.0

    def tolerance(self, sameness: Sameness) -> DuplicateTolerance | float:
        """Give the tolerance that the options name; prototypes have one of their own."""
        from matminer_grid import DuplicateTolerance
        from matminer_grid.similarity import SAME_PROTOTYPE

        if self.prototype and sameness.tolerance is not None:
            raise ValueError("--tolerance is one number instead of those of prototypes: give either")
        return sameness.tolerance_from(SAME_PROTOTYPE if self.prototype else DuplicateTolerance())

    def find(self, crystals: Any, tolerance: DuplicateTolerance | float) -> Duplicates:
        """Find the groups."""
        from matminer_grid import find_duplicates
        from matminer_grid.similarity import find_prototypes

        if not self.prototype:
            options: dict[str, Any] = {"same_formula": not self.any_formula, "linkage": self.linkage, "margin": self.margin}
            return find_duplicates(crystals, tolerance, **options)
        if self.any_formula or self.margin != 1:
            raise ValueError(
                "--prototype compares equal anonymous formulas, and lists no pairs beyond: leave out --any-formula and --margin"
            )
        return find_prototypes(crystals, tolerance, linkage=self.linkage)  # type: ignore[arg-type]


@with_option_groups
def duplicates(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="DATA", help="A Parquet file of crystals, or structure files and folders; the embedded data by default."
        ),
    ] = None,
    *,
    sameness: Sameness,
    grouping: Grouping,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the data without duplicates: .parquet, .jsonl, .cif, .xyz, .csv, or a folder."),
    ] = None,
    strict: Strict = False,
    report: Report = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all pairs and their parts.")] = False,
) -> None:
    """Find groups of crystals that are the same, to tolerances for volume, geometry and surroundings, or to one number.

    Example: matminer-grid duplicates my.parquet -o distinct.parquet --report duplicates.html

    Groups don't depend on the order of the files. Of each group the crystal that is least apart from the others is named first, and
    is the one that -o keeps. The spread is the largest difference within a group; 1 is the tolerance.
    """
    from matminer_grid.cli._common import check_output as check_page
    from matminer_grid.io.export import check_output

    with clear_errors(), stages(as_json) as progress, warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: typer.echo(f"warning: {message}", err=True)
        if output is not None:
            check_output(output)
        if report is not None:
            check_page(report, overwrite=True)
        tolerance = grouping.tolerance(sameness)  # wrong options are told of before anything is read
        progress("read the crystals")
        read = read_data(inputs, strict=strict)
        progress(f"compare {len(read.crystals):,} crystals")
        found = _found(read, partial(grouping.find, tolerance=tolerance))
        groups = _groups(read, found)
        if report is not None:
            write_report(report, duplicates_report(groups, _pictures(read, groups), len(read.crystals), _within(found)))
        failed = {}
        if output is not None:
            progress(f"write {output}")
            failed = _write(output, read, found.distinct)
    if as_json:
        typer.echo(json.dumps(_answer(read, found, groups)))
    else:
        _print(read, found, groups, output)
    for name, error in failed.items():
        typer.echo(f"{name}: {error}", err=True)
    read.n_failed += len(failed)
    read.end()


def _found(read: Readings, find: Callable[[Any], Duplicates]) -> Duplicates:
    """Find the groups; crystals that can't be compared are named and left out."""
    from matminer_grid.similarity.near_pairs import by_parts

    try:
        return find(read.crystals)
    except (TypeError, ValueError):
        read.keep_described(by_parts().describe)
    return find(read.crystals)


def _groups(read: Readings, found: Duplicates) -> list[dict[str, Any]]:
    """Describe the groups, the largest first: the representative is the first of the members."""
    from matminer_grid.similarity.compare import space_group_symbol

    groups = []
    for rows in found.groups:
        label = found.labels[rows[0]]
        first = int(found.representatives[label])
        members = [first, *(row for row in rows.tolist() if row != first)]
        groups.append(
            {
                "formula": reduced_formula(read.crystals[first]),
                "formulas": sorted({reduced_formula(read.crystals[row]) for row in members}),
                "space_group": space_group_symbol(read.crystals[first]),
                "spread": round(float(found.spreads[label]), 4),
                "materials": [read.names[row] for row in members],
            }
        )
    return sorted(groups, key=lambda group: (-len(group["materials"]), group["formula"]))


def _pictures(read: Readings, groups: list[dict[str, Any]]) -> list[list[Any]]:
    """Give the first crystals of each group, for pages."""
    row_of = {name: row for row, name in enumerate(read.names)}
    return [[read.crystals[row_of[name]] for name in group["materials"][:MOST_CARDS]] for group in groups]


def _within(found: Duplicates) -> str:
    """Tell the tolerance."""
    limits = found.pairs.tolerance
    return ", ".join(f"{name} {value:g}" for name, value in asdict(limits).items()) if is_dataclass(limits) else f"{limits:g}"


def _pairs(read: Readings, pairs: CrystalPairs) -> list[dict[str, Any]]:
    lines = zip(pairs.rows.tolist(), pairs.parts.tolist(), pairs.ratios.tolist(), pairs.decided_by.tolist(), strict=True)
    return [
        {"materials": [read.names[i], read.names[j]]}
        | {name: round(part, 5) for name, part in zip(pairs.names, parts, strict=True)}
        | {"ratio": round(ratio, 4) if np.isfinite(ratio) else None, "decided_by": decided}
        for (i, j), parts, ratio, decided in lines
    ]


def _answer(read: Readings, found: Duplicates, groups: list[dict[str, Any]]) -> dict[str, Any]:
    limits = found.pairs.tolerance
    tolerance = (
        {name: value if np.isfinite(value) else None for name, value in asdict(limits).items()} if is_dataclass(limits) else limits
    )
    return {
        "crystals": len(read.crystals),
        "distinct": len(found.distinct),
        "tolerance": tolerance,
        "groups": groups,
        "warnings": {name: texts for name, texts in zip(read.names, read.warnings, strict=True) if texts},
        "pairs": _pairs(read, found.pairs),
        "near": _pairs(read, found.near),
    }


def _print(read: Readings, found: Duplicates, groups: list[dict[str, Any]], output: Path | None) -> None:
    n, n_distinct = len(read.crystals), len(found.distinct)
    typer.echo(f"{n:,} crystals, {n_distinct:,} of them distinct; {len(found.pairs):,} pairs within {_within(found)}")
    lines = []
    for group in groups:
        members, more = group["materials"][:SHOWN], len(group["materials"]) - SHOWN
        names = ", ".join(members) + (f", … ({more} more)" if more > 0 else "")
        lines.append(
            [", ".join(group["formulas"]), group["space_group"], f"{group['spread']:.3f}", str(len(group["materials"])), names]
        )
    if lines:
        print_table(["formula", "space group", "spread", "crystals", "materials, the one to keep first"], lines)
    group_in_chain = found.chains[found.representatives]
    n_cut = int((np.bincount(group_in_chain, minlength=1)[group_in_chain] > 1).sum())
    if n_cut:
        typer.echo(f"chains: {n_cut} of {n_distinct:,} groups hold a crystal within the tolerance of one of another group")
    if output is not None:
        typer.echo(f"{n_distinct:,} crystals in {output}")


def _write(output: Path, read: Readings, rows: Any) -> dict[str, str]:
    """Write some of the crystals with all that is known of them; gives those that could not be written, and why."""
    from matminer_grid.io import export_crystals

    names = [read.names[row] for row in rows.tolist()]
    properties = read.properties.iloc[rows].reset_index(drop=True)
    failed = export_crystals(output, read.crystals[rows], row_names(properties), properties, pbar=False)
    return {names[row]: text for row, text in failed.items()}
