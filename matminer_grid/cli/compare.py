"""The command that sets two crystals side by side: ``matminer-grid compare``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matminer_grid.cli._common import STANDARD_INPUT, check_output, clear_errors, print_table, read_files, stages
from matminer_grid.cli.reports import Report, compare_report, write_report

if TYPE_CHECKING:
    from matminer_grid.similarity import Comparison

SHOWN = 12
"""Matches and shells that are printed; JSON holds all of them."""


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A structure file, or the id of an embedded material such as mp-2998.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    *,
    elements: Annotated[str, typer.Option(help="How elements are compared: graded, identity or none.")] = "graded",
    scale_volume: Annotated[bool, typer.Option("--scale-volume", help="Bring both to one volume a site first.")] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw a picture: png, svg or pdf.")] = None,
    report: Report = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two crystals site by site: how unlike they are, which site became which, and what differs around it.

    Example: matminer-grid compare relaxed.cif mp-2998 --report compared.html
    """
    from matminer_grid import CrystalDissimilarity

    with clear_errors(), stages(as_json) as progress:
        for file in (plot, report):
            if file is not None:
                check_output(file, overwrite=True)
        progress("read and compare the crystals")
        crystals = [one_crystal(text) for text in (a, b)]
        dissimilarity = CrystalDissimilarity(resolution="sites", elements=elements, scale_volume=scale_volume)
        compared = dissimilarity.compare(*crystals)
        if plot is not None:
            _draw(compared, dissimilarity, (a, b), plot)
        if report is not None:
            weights = dissimilarity.grid_weight, dissimilarity.composition_weight, dissimilarity.neighbor_weight
            write_report(report, compare_report(compared, (a, b), crystals, weights))
    if as_json:
        typer.echo(json.dumps({"a": a, "b": b} | compared.to_dict()))
        return
    _print(compared, a, b)


def one_crystal(text: str) -> Any:
    """Read a file of one structure, or take an embedded material by its id."""
    from matminer_grid.datasets import load_mp_elasticity_table

    path = Path(text)
    if path != STANDARD_INPUT and not path.exists():
        embedded = load_mp_elasticity_table()
        rows = (embedded.material_id == text).nonzero()[0]
        if len(rows) == 0:
            raise ValueError(f"{text}: there is no such file, and no embedded material of that id")
        return embedded.crystals[int(rows[0])]
    crystals = read_files([path]).crystals
    if len(crystals) > 1:
        raise ValueError(f"{text}: one structure is needed, not {len(crystals)}")
    return crystals[0]


def _print(compared: Comparison, a: str, b: str) -> None:
    for name, formula, space_group in zip((a, b), compared.formulas, compared.space_groups, strict=True):
        typer.echo(f"{name}: {formula}, {space_group}")
    typer.echo(
        f"dissimilarity {compared.total:.4f}, at equal volume {compared.at_equal_volume:.4f}; "
        f"volume a site of the second: {compared.volume_ratio:.4f} of the first\n"
        f"distances {compared.geometry:.4f} Å, elements {compared.elements:.4f}, surroundings {compared.neighbors:.4f}; "
        f"{'the same formula' if compared.same_formula else 'different formulas'}"
    )
    matches = [
        [f"{match.a} → {match.b}", f"{match.share:.3f}"]
        + [f"{value:.4f}" for value in (match.geometry, match.elements, match.neighbors, match.cost)]
        for match in compared.matches[:SHOWN]
    ]
    print_table(["which site became which", "share", "distances (Å)", "elements", "surroundings", "cost"], matches)
    shells = [
        [
            f"{compared.matches[shell.match].a} → {compared.matches[shell.match].b}",
            f"{shell.first:g} to {shell.last:g}" if shell.last > shell.first else f"{shell.first:g}",
            f"{shell.pair_a} {shell.distance_a:.3f}",
            f"{shell.pair_b} {shell.distance_b:.3f}",
        ]
        for shell in compared.shells[:SHOWN]
    ]
    if shells:
        print_table(["neighbours that differ", "ranks", "first (Å)", "second (Å)"], shells)
    if len(compared.matches) > SHOWN or len(compared.shells) > SHOWN:
        typer.echo(f"{len(compared.matches)} matches and {len(compared.shells)} shells in all: --json prints them")


def _draw(compared: Comparison, dissimilarity: Any, names: tuple[str, str], file: Path) -> None:
    from matplotlib.figure import Figure

    from matminer_grid.plotting import plot_parts, plot_site_matches

    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
    matches = compared.matches
    first, second = [match.a for match in matches], [match.b for match in matches]
    plot_site_matches(first, second, [match.share for match in matches], [match.cost for match in matches], ax=left)
    left.set_title(" → ".join(f"{Path(name).name}: {formula}" for name, formula in zip(names, compared.formulas, strict=True)))
    parts = {
        "distances": dissimilarity.grid_weight * compared.geometry,
        "elements": dissimilarity.composition_weight * compared.elements,
        "surroundings": dissimilarity.neighbor_weight * compared.neighbors,
    }
    plot_parts(parts, ax=right)
    figure.savefig(file, dpi=150)
