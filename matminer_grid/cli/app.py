"""The command ``matminer-grid``: each command reads its arguments, calls the library and prints what comes back."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003  typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matminer_grid.cli._common import FAILED, clear_errors, print_table, row_names
from matminer_grid.cli.data import data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(data, name="data")


@app.callback()
def main() -> None:
    """Crystal-structure similarity across length scales."""


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
    from matminer_grid.pipeline.features import featurize_files

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


def read_files(inputs: list[Path]) -> tuple[list[str], list[Any]]:
    """Read what can be read: names and crystals; name the others on the error stream."""
    from matminer_grid.io import read_structures_from

    names, crystals = [], []
    for record in read_structures_from(inputs):
        if record.crystal is None:
            typer.echo(f"{record.name}: {record.error}", err=True)
            names.append("")
        else:
            names.append(record.name)
            crystals.append(record.crystal)
    if not names:
        raise ValueError(f"no structure files in {', '.join(map(str, inputs))}")
    return names, crystals


@contextmanager
def stages(quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show what is under way, in one line on the error stream that goes away."""
    from rich.console import Console

    console = Console(stderr=True, quiet=quiet)
    with console.status("") as status:
        yield status.update


@app.command()
def predict(
    inputs: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Structure files, folders and archives.")],
    *,
    neighbors: Annotated[int, typer.Option("--neighbors", "-k", min=0, help="Known materials to list.")] = 5,
    coverage: Annotated[float, typer.Option(min=0.01, max=0.99, help="Probability of the intervals.")] = 0.95,
    limit: Annotated[int | None, typer.Option(min=20, help="Train on so many entries only, for a quick look.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Predict bulk and shear modulus with intervals, and tell the known materials that the prediction rests on.

    The models of the embedded data are trained when they are first needed, in two or three minutes, and kept in the user's cache.
    """
    import warnings

    from matminer_grid.models.default import TARGETS, clean_rows, default_model

    with clear_errors(), warnings.catch_warnings(), stages(as_json) as progress:
        warnings.simplefilter("ignore")
        names, crystals = read_files(inputs)
        readable = [name for name in names if name]
        models = {}
        answers: list[dict[str, Any]] = [{"file": name, "formula": c.formula} for name, c in zip(readable, crystals, strict=True)]
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_, **__: typer.echo(f"warning: {message}", err=True)
        for target in TARGETS if crystals else ():
            models[target] = default_model(target, limit=limit, progress=progress)
            values = models[target].predict(crystals)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the same as just now
                intervals = zip(*models[target].predict_interval(crystals, coverage), strict=True)
            for answer, value, (lower, upper) in zip(answers, values, intervals, strict=True):
                answer[target] = {"value": round(float(value), 2), "interval": [round(float(lower), 2), round(float(upper), 2)]}
        if neighbors and crystals:
            warnings.simplefilter("ignore")
            ids = training_ids(None if limit else clean_rows())
            for answer, crystal in zip(answers, crystals, strict=True):
                answer["rests_on"] = telling(models["K_VRH"], crystal, neighbors, ids)
    if as_json:
        typer.echo(json.dumps(answers))
    else:
        for answer in answers:
            show_prediction(answer, coverage)
    if len(readable) < len(names):
        raise typer.Exit(FAILED)


def training_ids(rows: Any) -> Any:
    """Give the identifiers of the embedded entries in these rows; None for a model of some of them."""
    from matminer_grid.datasets import load_mp_elasticity_table

    return None if rows is None else load_mp_elasticity_table().material_id[rows]


def telling(model: Any, crystal: Any, n: int, ids: Any) -> list[dict[str, Any]]:
    """List the training crystals of the largest share in a prediction of the bulk modulus."""
    table = model.explain(crystal, n).iloc[:-1]
    out = []
    for line in table.to_dict("records"):
        entry = {"material_id": str(ids[line["row"]])} if ids is not None else {}
        entry |= {"formula": line["formula"], "K_VRH": line["value"], "share": round(line["share"], 4)}
        out.append(entry | {name: round(line[name], 4) for name in ("grid_emd", "composition_emd")})
    return out


def show_prediction(answer: dict[str, Any], coverage: float) -> None:
    """Print one prediction and what it rests on."""
    typer.echo(f"{answer['file']}: {answer['formula']}")
    for target in ("K_VRH", "G_VRH"):
        value, (lower, upper) = answer[target]["value"], answer[target]["interval"]
        typer.echo(f"  {target} {value:.4g} GPa, {coverage:.0%} between {lower:.4g} and {upper:.4g}")
    known = answer.get("rests_on", [])
    if known:
        keys = list(known[0])
        print_table(
            keys, [[f"{line[key]:g}" if isinstance(line[key], float) else str(line[key]) for key in keys] for line in known]
        )


@app.command()
def similar(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A structure file.")],
    *,
    k: Annotated[int, typer.Option("-k", min=1, help="Number of materials.")] = 5,
    against: Annotated[Path | None, typer.Option(help="A Parquet file of crystals; the embedded data by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find the materials nearest by 10 GRID EMD + composition EMD (modified Pettifor scale), with both parts."""
    from matminer_grid import EMDSearch, GRIDFeaturizer, composition_emd
    from matminer_grid.datasets import load_mp_elasticity_table
    from matminer_grid.io import load_crystals

    with clear_errors(), stages(as_json) as progress:
        names, crystals = read_files([file])
        if not crystals:
            raise typer.Exit(FAILED)
        labels: Any
        if against is None:
            embedded = load_mp_elasticity_table()
            known, labels = embedded.crystals, embedded.material_id
        else:
            known, properties = load_crystals(against)
            labels = row_names(properties) or list(range(len(known)))
        progress(f"compare with {len(known):,} crystals")
        search = EMDSearch(GRIDFeaturizer(), composition_metric="modified_pettifor").fit(known)
        distances, rows = search.kneighbors(crystals, k=min(k, len(known)))
        answers = []
        for name, crystal, total, found in zip(filter(None, names), crystals, distances, rows, strict=True):
            compositions = composition_emd([crystal], known[found], pbar=False)[0]
            nearest = [
                {
                    "material": str(labels[row]),
                    "formula": known[int(row)].formula,
                    "dissimilarity": round(float(distance), 4),
                    "grid_emd": round(float(distance - part) / search.grid_weight, 4),
                    "composition_emd": round(float(part), 4),
                }
                for row, distance, part in zip(found, total, compositions, strict=True)
            ]
            answers.append({"file": name, "formula": crystal.formula, "nearest": nearest})
    if as_json:
        typer.echo(json.dumps(answers))
        return
    for answer in answers:
        typer.echo(f"{answer['file']}: {answer['formula']}")
        print_table(list(answer["nearest"][0]), [[str(value) for value in line.values()] for line in answer["nearest"]])


@app.command()
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
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all pairs.")] = False,
) -> None:
    """Find groups of equal or nearly equal crystals: 10 GRID EMD + composition EMD (modified Pettifor scale) within the tolerance.

    GRIDs have bins of 0.01 Å. A tolerance of 0.05 allows a mean difference of distances of 0.005 Å, one of 0.5 ten times as much.
    """
    from pymatgen.core import Composition

    from matminer_grid import CrystalTable, GRIDFeaturizer, find_duplicates

    with clear_errors(), stages(as_json) as progress:
        progress("read the crystals")
        labels, crystals = labelled_crystals(inputs)
        readable = [label for label in labels if label]
        if not readable:
            raise typer.Exit(FAILED)
        progress(f"compare {len(crystals):,} crystals")
        table = crystals if isinstance(crystals, CrystalTable) else CrystalTable.from_crystals(crystals)
        featurizer = GRIDFeaturizer(bin_size=0.01)
        found = find_duplicates(table, tolerance=tolerance, featurizer=featurizer, composition_weight=composition_weight)
        groups = [
            {
                "materials": [readable[row] for row in group.tolist()],
                "formulas": [Composition(table[row].formula).reduced_formula for row in group.tolist()],
            }
            for group in found.groups
        ]
        farthest = dict.fromkeys((found.labels[group[0]].item() for group in found.groups), 0.0)
        pairs = list(zip(found.pairs.tolist(), found.dissimilarities.tolist(), strict=True))
        for (first, _), dissimilarity in pairs:
            label = found.labels[first].item()
            farthest[label] = max(farthest[label], dissimilarity)
    if as_json:
        answer = {
            "crystals": len(table),
            "distinct": len(found.distinct),
            "tolerance": tolerance,
            "groups": groups,
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
    if len(readable) < len(labels):
        raise typer.Exit(FAILED)


def labelled_crystals(inputs: list[Path] | None) -> tuple[list[str], Any]:
    """Read a data set: the embedded one, a Parquet file of crystals, or files, of which those that fail have an empty label."""
    from matminer_grid.datasets import load_mp_elasticity_table
    from matminer_grid.io import load_crystals

    if not inputs:
        embedded = load_mp_elasticity_table()
        return embedded.material_id.tolist(), embedded.crystals
    if len(inputs) == 1 and inputs[0].suffix == ".parquet":
        crystals, properties = load_crystals(inputs[0])
        if len(crystals) == 0:
            raise ValueError(f"{inputs[0]}: the file holds no crystals")
        return row_names(properties) or [str(row) for row in range(len(crystals))], crystals
    return read_files(inputs)
