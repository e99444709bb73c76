"""The command that draws a map of crystals: ``matminer-grid explore``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matminer_grid.cli._common import (
    Overwrite,
    Readings,
    Strict,
    check_output,
    clear_errors,
    read_data,
    reduced_formula,
    stages,
    with_option_groups,
)
from matminer_grid.cli.reports import drawn
from matminer_grid.cli.similarity import Alike  # noqa: TC001  typer reads the annotations

if TYPE_CHECKING:
    import pandas as pd

    from matminer_grid import CrystalTable

SETS = ("data", "reference")
"""What the points of a map belong to, where there are two sets."""

NEEDED = {"chemiscope": "chemiscope", "umap": "umap-learn"}
"""Modules of the extra, and the packages that have them."""


@dataclass(frozen=True)
class Layout:
    """How the map is laid out and coloured."""

    color: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of numbers that colours the points.")] = None
    n_neighbors: Annotated[int, typer.Option("-k", "--n-neighbors", min=2, help="Neighbours that the map keeps together.")] = 15
    sample: Annotated[int, typer.Option(min=2, help="Most crystals of a set; of more a random sample is shown.")] = 20_000
    seed: Annotated[int, typer.Option(min=0, help="Of the sample and the layout.")] = 0


@with_option_groups
def explore(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="DATA", help="A Parquet file of crystals, or structure files and folders; the embedded data by default."
        ),
    ] = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page, an HTML file.")] = Path("map.html"),
    reference: Annotated[Path | None, typer.Option(help="Known crystals to show beside them: Parquet, or structure files.")] = None,
    alike: Alike,
    layout: Layout,
    overwrite: Overwrite = False,
    strict: Strict = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the places on the map and the neighbours as JSON.")] = False,
) -> None:
    """Draw a map of crystals: a page that works offline, where alike crystals stand together and a click shows one in 3-D.

    Example: matminer-grid explore my.parquet --color K_VRH --scale-volume -o map.html

    Other axes are volume, composition and geometry. With --scale-volume lattices count at one volume a site: shape without size.
    """
    from concurrent.futures import ThreadPoolExecutor

    from matminer_grid._files import replacing
    from matminer_grid.plotting import crystal_map
    from matminer_grid.similarity import embed_crystals

    with clear_errors(), stages(as_json) as progress:
        check_output(output, overwrite)
        _check_extra()
        progress("read the crystals")
        read, notes = _both(inputs, reference, layout, strict=strict)
        _check_color(read, layout.color, inputs)
        dissimilarity = alike.dissimilarity()
        progress("check the crystals")
        read.keep_described(dissimilarity.describe)
        progress(f"find the neighbours and space groups of {len(read.crystals):,} crystals, and lay them out")
        with ThreadPoolExecutor(1) as aside:  # processes find space groups while one core lays out
            space_groups = aside.submit(_space_groups, read.crystals)
            embedding = embed_crystals(read.crystals, dissimilarity, n_neighbors=layout.n_neighbors, random_state=layout.seed)
            properties = _properties(read, space_groups.result())
        progress("write the page")
        cells = [drawn(crystal) for crystal in read.crystals]
        near = embedding.neighbors, embedding.dissimilarities
        numeric = [name for name in read.properties.select_dtypes("number") if read.properties[name].notna().any()]
        notes.append(f"{len(cells):,} {'crystal' if len(cells) == 1 else 'crystals'}. {_meaning(alike)}")
        page = crystal_map(cells, properties, embedding.axes, *near, color=layout.color or next(iter(numeric), None), notes=notes)
        with replacing(output) as file:
            file.write(page.encode())
    if as_json:
        places = embedding.axes.to_dict("list")
        answer = {"output": str(output), "names": read.names, "axes": places, "notes": notes}
        typer.echo(json.dumps(answer | {"neighbors": near[0].tolist(), "dissimilarities": near[1].round(4).tolist()}))
    else:
        typer.echo("\n".join(notes))
        typer.echo(f"{output}: open it in a browser")
    read.end()


def _check_extra() -> None:
    """Look for what a map needs beside the package before anything long is computed."""
    from importlib.util import find_spec

    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise ImportError(f"a map needs {' and '.join(missing)}: pip install 'matminer-grid[explore]'")


def _both(inputs: list[Path] | None, reference: Path | None, layout: Layout, *, strict: bool) -> tuple[Readings, list[str]]:
    """Read the crystals and those to show beside them, samples of large sets; gives also what is to be said of that."""
    import numpy as np
    import pandas as pd

    from matminer_grid import CrystalTable

    notes, parts = [], []
    for name, paths in zip(SETS, (inputs, [reference] if reference else None), strict=True):
        if name == "reference" and reference is None:
            continue
        read = read_data(paths, strict=strict)
        frame = read.properties
        if len(read.crystals) > layout.sample:
            rows = np.sort(np.random.default_rng(layout.seed).choice(len(read.crystals), layout.sample, replace=False))
            notes.append(f"A random sample of {layout.sample:,} of {len(read.crystals):,} crystals; --sample shows more.")
            read = Readings([read.names[row] for row in rows], read.crystals[rows], [[]] * len(rows), read.n_failed)
            frame = frame.iloc[rows]
        read.properties = frame.assign(set=name) if reference else frame
        parts.append(read)
    if len(parts) == 1:
        return parts[0], notes
    columns = pd.concat([read.properties for read in parts], ignore_index=True)
    crystals = CrystalTable.concatenate([read.crystals for read in parts])
    names = [name for read in parts for name in read.names]
    return Readings(names, crystals, [[]] * len(names), sum(read.n_failed for read in parts), columns), notes


def _check_color(read: Readings, color: str | None, inputs: list[Path] | None) -> None:
    from matminer_grid.plotting.crystal_map import check_color

    if color is None:
        return
    where = "the embedded data" if not inputs else " ".join(map(str, inputs))
    try:
        check_color(read.properties, color)
    except ValueError as error:
        hint = "" if len(read.properties.columns) else "; data import turns structure files with properties into Parquet"
        raise ValueError(f"{where}: --color {color}: {error}{hint}") from error


def _properties(read: Readings, space_groups: list[str]) -> pd.DataFrame:
    """Give what the map shows of each crystal."""
    import pandas as pd
    from pandas.api.types import is_numeric_dtype, is_string_dtype

    formulas = {text: reduced_formula(text) for text in {crystal.formula for crystal in read.crystals}}
    own = {"name": read.names, "formula": [formulas[crystal.formula] for crystal in read.crystals]}
    own |= {"space group": space_groups, "sites": read.crystals.n_sites.tolist()}
    columns = read.properties
    kept = [
        name
        for name in columns
        if name not in {*own, "material_id"} and (is_numeric_dtype(columns[name]) or is_string_dtype(columns[name].dropna()))
    ]
    return pd.DataFrame(own).join(columns[kept].reset_index(drop=True))


def _space_groups(crystals: CrystalTable) -> list[str]:
    """Find the space groups, on all cores; crystals of one shape share the answer."""
    import functools

    import numpy as np

    from matminer_grid._private import worker_processes
    from matminer_grid._threads import n_threads
    from matminer_grid.similarity.compare import site_contents, space_group_symbol

    first: dict[Any, int] = {}
    shapes = []
    for row, crystal in enumerate(crystals):
        contents = site_contents(crystal)
        order = {content: place for place, content in enumerate(dict.fromkeys(contents))}
        metric = (crystal.lattice @ crystal.lattice.T / np.cbrt(crystal.volume) ** 2).round(4).tobytes()
        shape = metric, crystal.frac_coords.round(5).tobytes(), tuple(order[content] for content in contents)
        shapes.append(first.setdefault(shape, row))
    distinct = list(first.values())
    apply = functools.partial(worker_processes(n_threads(None)).map, chunksize=64) if len(distinct) > 500 else map
    found = apply(space_group_symbol, [crystals[row] for row in distinct])
    symbols = dict(zip(distinct, found, strict=True))
    return [symbols[row] for row in shapes]


def _meaning(alike: Alike) -> str:
    what = "which element sits where" if alike.metric == "sites" else "distances and compositions"
    volume = "at one volume a site, so that size doesn't matter" if alike.scale_volume else "size included"
    return f"Crystals stand together that are alike by {what}, {volume}; distances between groups of points mean little."
