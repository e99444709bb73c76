"""The commands that compare crystals: ``matminer-grid similar`` and ``duplicates``."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003  typer reads the annotations
from typing import Annotated, Any

import typer

from matminer_grid.cli._common import Readings, Strict, clear_errors, print_table, read_files, row_names, stages


def similar(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A structure file.")],
    *,
    k: Annotated[int, typer.Option("-k", min=1, help="Number of materials.")] = 5,
    against: Annotated[Path | None, typer.Option(help="A Parquet file of crystals; the embedded data by default.")] = None,
    strict: Strict = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find the materials nearest by 10 GRID EMD + composition EMD (modified Pettifor scale), with both parts."""
    from matminer_grid import CrystalDissimilarity, EMDSearch, composition_emd
    from matminer_grid.datasets import load_mp_elasticity_table
    from matminer_grid.io import load_crystals

    with clear_errors(), stages(as_json) as progress:
        read = read_files([file], strict=strict)
        search = EMDSearch()
        queries = read.keep_described(CrystalDissimilarity().describe)
        labels: Any
        if against is None:
            embedded = load_mp_elasticity_table()
            known, labels = embedded.crystals, embedded.material_id
        else:
            known, properties = load_crystals(against)
            labels = row_names(properties) or list(range(len(known)))
        progress(f"compare with {len(known):,} crystals")
        distances, rows = search.fit(known).kneighbors(queries, min(k, len(known)))
        answers: list[dict[str, Any]] = []
        for name, crystal, warned, total, found in zip(read.names, read.crystals, read.warnings, distances, rows, strict=True):
            compositions = composition_emd([crystal], known[found], pbar=False)[0]
            nearest = [
                {
                    "material": str(labels[row]),
                    "formula": known[int(row)].formula,
                    "dissimilarity": round(float(distance), 4),
                    "grid_emd": round(float(distance - part) / search.dissimilarity_.grid_weight, 4),
                    "composition_emd": round(float(part), 4),
                }
                for row, distance, part in zip(found, total, compositions, strict=True)
            ]
            answers.append({"file": name, "formula": crystal.formula, "warnings": warned, "nearest": nearest})
    if as_json:
        typer.echo(json.dumps(answers))
    for answer in () if as_json else answers:
        typer.echo(f"{answer['file']}: {answer['formula']}")
        nearest = answer["nearest"]
        print_table(list(nearest[0]), [[str(value) for value in line.values()] for line in nearest])
    read.end()


def duplicates(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="DATA", help="A Parquet file of crystals, or structure files and folders; the embedded data by default."
        ),
    ] = None,
    *,
    tolerance: Annotated[float, typer.Option("--tolerance", "-t", help="Largest dissimilarity of a pair.")] = 0.05,
    composition_weight: Annotated[float, typer.Option(help="Weight of the composition EMD; raise it with the tolerance.")] = 1.0,
    strict: Strict = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all pairs.")] = False,
) -> None:
    """Find groups of equal or nearly equal crystals: 10 GRID EMD + composition EMD (modified Pettifor scale) within the tolerance.

    GRIDs have bins of 0.01 Å. A tolerance of 0.05 allows a mean difference of distances of 0.005 Å, one of 0.5 ten times as much.
    """
    from pymatgen.core import Composition

    from matminer_grid import CrystalDissimilarity, GRIDFeaturizer, find_duplicates

    with clear_errors(), stages(as_json) as progress:
        progress("read the crystals")
        read = labelled_crystals(inputs, strict)
        progress(f"compare {len(read.crystals):,} crystals")
        dissimilarity = CrystalDissimilarity(GRIDFeaturizer(bin_size=0.01), composition_weight=composition_weight)
        found = find_duplicates(read.keep_described(dissimilarity.describe), tolerance, dissimilarity=dissimilarity)
        readable, table = read.names, read.crystals
        groups = [
            {
                "materials": [readable[row] for row in group.tolist()],
                "formulas": [Composition(table[row].formula).reduced_formula for row in group.tolist()],
            }
            for group in found.groups
        ]
        farthest = dict.fromkeys((found.labels[group[0]].item() for group in found.groups), 0.0)
        pairs = list(zip(found.pairs.tolist(), found.dissimilarities.tolist(), strict=True))
        for (first, _), apart in pairs:
            label = found.labels[first].item()
            farthest[label] = max(farthest[label], apart)
    if as_json:
        answer = {
            "crystals": len(table),
            "distinct": len(found.distinct),
            "tolerance": tolerance,
            "groups": groups,
            "warnings": {name: texts for name, texts in zip(read.names, read.warnings, strict=True) if texts},
            "pairs": [[readable[i], readable[j], round(dissimilarity, 4)] for (i, j), dissimilarity in pairs],
        }
        typer.echo(json.dumps(answer))
    else:
        typer.echo(f"{len(table):,} crystals, {len(found.distinct):,} of them distinct; {len(pairs):,} pairs within {tolerance:g}")
        lines = [
            [", ".join(dict.fromkeys(group["formulas"])), ", ".join(group["materials"]), f"{largest:.4f}"]
            for group, largest in zip(groups, farthest.values(), strict=True)
        ]
        if lines:
            print_table(["formula", "materials", "largest dissimilarity of a pair"], lines)
    read.end()


def labelled_crystals(inputs: list[Path] | None, strict: bool) -> Readings:
    """Read a data set: the embedded one, a Parquet file of crystals, or files."""
    from matminer_grid.datasets import load_mp_elasticity_table
    from matminer_grid.io import load_crystals

    if not inputs:
        embedded = load_mp_elasticity_table()
        return Readings(embedded.material_id.tolist(), embedded.crystals, [[]] * len(embedded))
    if len(inputs) == 1 and inputs[0].suffix == ".parquet":
        crystals, properties = load_crystals(inputs[0])
        if len(crystals) == 0:
            raise ValueError(f"{inputs[0]}: the file holds no crystals")
        labels = row_names(properties) or [str(row) for row in range(len(crystals))]
        return Readings(labels, crystals, [[]] * len(crystals))
    return read_files(inputs, strict=strict)
