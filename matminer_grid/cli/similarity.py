"""The command that finds known crystals like a given one: ``matminer-grid similar``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003  typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from matminer_grid.cli._common import (
    Readings,
    Strict,
    check_output,
    clear_errors,
    labelled,
    print_table,
    read_files,
    reduced_formula,
    stages,
    with_option_groups,
)
from matminer_grid.cli.reports import MATERIAL_PAGE, Report, similar_report, write_report

if TYPE_CHECKING:
    from collections.abc import Callable

    from matminer_grid import Crystal, CrystalDissimilarity, CrystalTable, EMDSearch

    Pictures = list[tuple[Crystal, list[Crystal]]]  # a query, and the nearest

SAME_FRACTION = 1e-6
"""Element fractions that differ by no more are equal."""

AT_ONCE = 65_536
"""References whose formulas are looked at in one go."""

SHOWN = 5
"""References of the same formula that are named on the console."""

SHORT = {
    "dissimilarity": "total",
    "at_equal_volume": "same V",
    "distances": "dist. Å",
    "elements": "elem.",
    "surroundings": "surr.",
    "volume_ratio": "V ratio",
}
"""Names of columns on the console."""

BELOW = ("space_group", "page")
"""What stands below the table on the console."""


@dataclass(frozen=True)
class Alike:
    """What "alike" means."""

    metric: Annotated[
        str, typer.Option(help="sites: which element sits where; grid: distances and composition, each on its own.")
    ] = "sites"
    elements: Annotated[
        str, typer.Option(help="How elements are compared: graded, identity, none; for grid also substitution.")
    ] = "graded"
    scale_volume: Annotated[bool, typer.Option("--scale-volume", help="Compare at one volume a site.")] = False
    bin_size: Annotated[float, typer.Option(help="Width of the bins of a GRID in Å.")] = 0.1

    def dissimilarity(self) -> CrystalDissimilarity:
        """Make the object that the library takes."""
        from matminer_grid import CrystalDissimilarity, GRIDFeaturizer

        featurizer = GRIDFeaturizer(bin_size=self.bin_size)
        return CrystalDissimilarity(featurizer, resolution=self.metric, elements=self.elements, scale_volume=self.scale_volume)


@with_option_groups
def similar(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Structure files, or folders of them.")],
    *,
    alike: Alike,
    n_neighbors: Annotated[int, typer.Option("-k", "--n-neighbors", min=1, help="Number of materials.")] = 5,
    against: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            "--against",
            help="Known crystals: an index, or a Parquet file of crystals; the embedded data by default.",
        ),
    ] = None,
    prototype: Annotated[
        bool, typer.Option("--prototype", help="Those of equal anonymous formula, whatever their elements and volume.")
    ] = False,
    strict: Strict = False,
    report: Report = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find the materials nearest to each crystal, with the parts of their dissimilarity.

    Example: matminer-grid similar my.cif -k 5 --report similar.html

    By sites: the differences of neighbours' distances (Å), of elements, and of what surrounds them (places on the modified Pettifor
    scale), and the dissimilarity at equal volume.
    """
    with clear_errors(), stages(as_json) as progress:
        if prototype and alike != Alike():
            raise ValueError("--prototype says itself what is alike: leave out --metric, --elements, --scale-volume and --bin-size")
        if report is not None:
            check_output(report, overwrite=True)
        read = read_files(files, strict=strict)
        progress("open the crystals to compare with")
        find = _of_one_prototype if prototype else _nearest
        answers, pictures = find(read, against, alike, n_neighbors, progress)
        if report is not None:
            write_report(report, similar_report(answers, pictures))
    if as_json:
        typer.echo(json.dumps(answers))
    else:
        _print_similar(answers)
    read.end()


def _nearest(
    read: Readings, against: Path | None, alike: Alike, n_neighbors: int, progress: Callable[[str], None]
) -> tuple[list[dict[str, Any]], Pictures]:
    """Find the nearest crystals of each, and those of its formula."""
    search, known, label = opened(against, alike)
    queries = read.keep_described(search.dissimilarity_.describe)
    progress(f"compare with {len(known):,} crystals")
    distances, rows = search.kneighbors(queries, min(n_neighbors, len(known)))
    answers: list[dict[str, Any]] = []
    for name, crystal, warned, total, found in zip(read.names, read.crystals, read.warnings, distances, rows, strict=True):
        progress(f"{name}: look at the nearest")
        describe = _by_sites if search.dissimilarity_.resolution == "sites" else _by_grid
        nearest = [
            {"material": name_of, "formula": reduced_formula(known[row])}
            | {"dissimilarity": round(distance, 4)}
            | describe(search.dissimilarity_, crystal, known[row], distance)
            | _page_of(name_of)
            for name_of, row, distance in zip(label(found), found.tolist(), total.tolist(), strict=True)
        ]
        same_rows, apart = _of_one_formula(search, known, crystal)
        same = [
            {"material": name_of, "dissimilarity": round(distance, 4)}
            for name_of, distance in zip(label(same_rows), apart.tolist(), strict=True)
        ]
        answer = {"file": name, "formula": reduced_formula(crystal), "warnings": warned, "known_as": same, "nearest": nearest}
        answers.append(answer)
    pictures = [(crystal, [known[row] for row in found.tolist()]) for crystal, found in zip(read.crystals, rows, strict=True)]
    return answers, pictures


def _of_one_prototype(
    read: Readings, against: Path | None, _: Alike, n_neighbors: int, progress: Callable[[str], None]
) -> tuple[list[dict[str, Any]], Pictures]:
    """Find the nearest crystals of each but for elements and volume."""
    from matminer_grid import CrystalIndex
    from matminer_grid.similarity import nearest_prototypes
    from matminer_grid.similarity.compare import space_group_symbol
    from matminer_grid.similarity.near_pairs import by_parts

    label: Callable[[int], str]
    if against is not None and against.is_dir():
        index = CrystalIndex(against)
        known, label = index.table, lambda row: index.ids(np.array([row]))[0]
    else:
        known, labels = labelled(against)
        label = labels.__getitem__
    read.keep_described(by_parts().describe)
    answers: list[dict[str, Any]] = []
    pictures: Pictures = []
    for name, crystal, warned in zip(read.names, read.crystals, read.warnings, strict=True):
        progress(f"{name}: compare with those of its anonymous formula")
        try:
            found = nearest_prototypes(crystal, known, n_neighbors)
        except ValueError as error:
            typer.echo(f"{name}: {error}", err=True)
            read.n_failed += 1
            continue
        nearest = [
            {
                "material": label(match.row),
                "formula": reduced_formula(known[match.row]),
                "dissimilarity": round(match.dissimilarity, 4),
                "distances": round(match.geometry, 4),
                "surroundings": round(match.surroundings, 4),
                "volume_ratio": round(match.volume_ratio, 4),
                "renaming": ", ".join(f"{old} → {new}" for old, new in match.renaming.items()),
                "space_group": space_group_symbol(known[match.row]),
                **_page_of(label(match.row)),
            }
            for match in found
        ]
        answer = {"file": name, "formula": reduced_formula(crystal), "warnings": warned, "known_as": [], "nearest": nearest}
        answers.append(answer)
        pictures.append((crystal, [known[match.row] for match in found]))
    return answers, pictures


def _page_of(name: str) -> dict[str, str]:
    return {"page": MATERIAL_PAGE.format(name)} if name.startswith("mp-") else {}


def opened(against: Path | None, alike: Alike) -> tuple[EMDSearch, CrystalTable, Callable[[Any], list[str]]]:
    """Open an index, or the embedded data's, or fit a search with the crystals of a file: it, its crystals, and names by rows.

    An index says itself what "alike" means; options that say something else are refused.
    """
    from matminer_grid import EMDSearch
    from matminer_grid.similarity.embedded import embedded_search

    if against is not None and not against.is_dir():
        crystals, labels = labelled(against)
        search = EMDSearch(alike.dissimilarity()).fit(crystals)
        return search, crystals, lambda rows: [labels[row] for row in rows]
    if against is None:
        search = embedded_search(alike.dissimilarity())
        if search.crystals_ is not None:
            labels = labelled(None)[1]
            return search, search.crystals_, lambda rows: [labels[row] for row in rows]
    else:
        search = EMDSearch.load(against, None if alike == Alike() else alike.dissimilarity())
    index: Any = search.references_
    return search, index.table, index.ids


def _of_one_formula(search: EMDSearch, known: CrystalTable, crystal: Crystal) -> tuple[Any, Any]:
    """Find the references of a crystal's formula, however far away, nearest first: rows and dissimilarities."""
    from matminer_grid.crystals.composition import element_fractions

    rows = np.empty(0, np.int64)
    if search.dissimilarity_.elements != "none":
        own = element_fractions([crystal])
        starts = range(0, len(known), AT_ONCE)
        apart = [np.abs(element_fractions(known[start : start + AT_ONCE]) - own).max(axis=1) for start in starts]
        rows = np.nonzero(np.concatenate(apart) < SAME_FRACTION)[0]
    if len(rows) == 0:
        return rows, np.empty(0)
    distances = search.dissimilarity_.pairwise([crystal], search.references_[rows])[0]
    order = np.argsort(distances, kind="stable")
    return rows[order], distances[order]


def _by_sites(dissimilarity: CrystalDissimilarity, a: Crystal, b: Crystal, _: float) -> dict[str, Any]:
    compared = dissimilarity.compare(a, b)
    return {
        "at_equal_volume": round(compared.at_equal_volume, 4),
        "distances": round(compared.geometry, 4),
        "elements": round(compared.elements, 4),
        "surroundings": round(compared.neighbors, 4),
        "volume_ratio": round(compared.volume_ratio, 4),
        "space_group": compared.space_groups[1],
    }


def _by_grid(dissimilarity: CrystalDissimilarity, a: Crystal, b: Crystal, total: float) -> dict[str, Any]:
    from matminer_grid import composition_emd

    metric = dissimilarity.composition_metric
    part = 0.0 if metric is None else float(composition_emd([a], [b], metric, pbar=False)[0, 0])
    return {"grid_emd": round((total - part) / dissimilarity.grid_weight, 4), "composition_emd": round(part, 4)}


def _print_similar(answers: list[dict[str, Any]]) -> None:
    for answer in answers:
        known = ", ".join(f"{line['material']} ({line['dissimilarity']:g})" for line in answer["known_as"][:SHOWN])
        typer.echo(f"{answer['file']}: {answer['formula']}{f'; known as {known}' if known else ''}")
        if not answer["nearest"]:
            typer.echo("no crystal has its anonymous formula")
            continue
        columns = [name for name in answer["nearest"][0] if name not in BELOW]
        rows = [[str(line[name]) for name in columns] for line in answer["nearest"]]
        print_table([SHORT.get(name, name.replace("_", " ")) for name in columns], rows)
        for line in answer["nearest"]:
            more = [line[name] for name in BELOW if name in line]
            if more:
                typer.echo(f"{line['material']}: {', '.join(more)}")
