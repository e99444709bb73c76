"""The command ``matminer-grid predict``."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003  typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from matminer_grid.cli._common import Strict, check_output, clear_errors, print_table, read_files, reduced_formula, stages
from matminer_grid.cli.reports import Report, how_known, in_digits, predict_report, write_report

if TYPE_CHECKING:
    from collections.abc import Callable


def predict(
    inputs: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Structure files, folders and archives.")],
    *,
    model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A model that train has kept; those of K and G by default.")
    ] = None,
    n_neighbors: Annotated[int, typer.Option("-k", "--n-neighbors", min=0, help="Known materials to list.")] = 5,
    coverage: Annotated[float, typer.Option(min=0.01, max=0.99, help="Probability of the intervals.")] = 0.95,
    limit: Annotated[int | None, typer.Option(min=20, help="Train on so many entries only, for a quick look.")] = None,
    strict: Strict = False,
    report: Report = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Predict bulk and shear modulus with intervals, or what a model of yours tells, and list the crystals that it rests on.

    Example: matminer-grid predict my.cif --report prediction.html

    The models of the embedded data are trained when they are first needed, in two or three minutes, and kept in the user's cache.
    """
    import warnings

    from matminer_grid.models import GRIDKernelRegressor

    with clear_errors(), warnings.catch_warnings(), stages(as_json) as progress:
        warnings.simplefilter("ignore")
        if model is not None and limit is not None:
            raise ValueError("--limit is for the models of the embedded data: leave it out with --model")
        if report is not None:
            check_output(report, overwrite=True)
        read = read_files(inputs, strict=strict)
        described = read.keep_described(GRIDKernelRegressor().describe)
        sources = embedded_sources(limit, progress) if model is None else sources_of(model)
        answers: list[dict[str, Any]] = [
            {"file": name, "formula": crystal.formula, "warnings": found}
            for name, crystal, found in zip(read.names, read.crystals, read.warnings, strict=True)
        ]
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", ".*sites nearer than")  # said when the files were read
        warnings.showwarning = lambda message, *_, **__: typer.echo(f"warning: {message}", err=True)
        for source in sources:
            for answer, found in zip(answers, source.predict(described, coverage), strict=True):
                answer[source.name] = found
            warnings.simplefilter("ignore" if model is not None else "always")  # one model's properties have one set of warnings
        warnings.simplefilter("ignore")
        for answer, found in zip(answers, known_by(sources[0], described), strict=True):
            answer["applicability"] = found
        pictures: list[tuple[Any, list[Any]]] = [(crystal, []) for crystal in read.crystals]
        for answer, (crystal, known) in zip(answers, pictures, strict=True) if n_neighbors else ():
            key = "material_id" if model is None else "name"
            answer["rests_on"], rows = rests_on(sources[0], crystal, n_neighbors, key)
            known.extend(sources[0].model.crystals_[row] for row in rows)
        if report is not None:
            units = {source.name: source.unit for source in sources}
            write_report(report, predict_report(answers, pictures, units, coverage))
    if as_json:
        typer.echo(json.dumps(answers))
    else:
        for answer in answers:
            show_prediction(answer, sources, coverage)
    read.end()


class Source(NamedTuple):
    """One property, or classes, and the model that tells it."""

    name: str
    model: Any
    column: int = 0
    unit: str = ""

    def predict(self, described: Any, coverage: float) -> list[dict[str, Any]]:
        """Give value and interval of each crystal, or its class and their probabilities."""
        if hasattr(self.model, "predict_proba"):
            classes = self.model.classes_.tolist()
            found = []
            for row in self.model.predict_proba(described).tolist():
                probabilities = {str(name): round(p, 4) for name, p in zip(classes, row, strict=True)}
                found.append({"value": classes[row.index(max(row))], "probabilities": probabilities})
            return found
        values, (lower, upper) = self.model._predict(described, None, coverage)
        columns = [values, lower, upper] if values.ndim == 1 else [one[:, self.column] for one in (values, lower, upper)]
        return [
            {"value": shortened(value), "interval": [shortened(low), shortened(high)]}
            for value, low, high in zip(*(column.tolist() for column in columns), strict=True)
        ]


def embedded_sources(limit: int | None, progress: Callable[[str], None]) -> list[Source]:
    """Load or train the models of the embedded data."""
    from matminer_grid.models.default import TARGETS, default_model

    return [Source(target, default_model(target, limit=limit, progress=progress), unit="GPa") for target in TARGETS]


def sources_of(path: Path) -> list[Source]:
    """Load a model, and list what it tells."""
    from matminer_grid.models import load_model
    from matminer_grid.models.base import KernelModel

    model = load_model(path)
    if not isinstance(model, KernelModel):
        raise TypeError(f"{path} holds a {type(model).__name__}, for Python's load_model; --model needs one that train keeps")
    if model.extra_:
        raise ValueError(
            f"{path}: the model was trained with descriptors that files don't hold, {', '.join(model.extra_)}: predict with it in "
            "Python, where predict(..., extra=...) takes them"
        )
    if hasattr(model, "classes_"):
        return [Source(model.property_ or "class", model)]
    n = len(model.learned_)
    names = model.target_names_ or (["value"] if n == 1 else [f"value {i}" for i in range(n)])
    return [Source(name, model, i) for i, name in enumerate(names)]


def known_by(source: Source, described: Any) -> list[dict[str, Any]]:
    """Tell of each crystal whether the model can know it: the nearest training crystal, and what is doubtful."""
    out = []
    for line in source.model.applicability(described, target=source.column).to_dict("records"):
        named = {"name": line["name"]} if "name" in line else {}
        value = line["value"]
        nearest = named | {"formula": line["formula"], "value": shortened(value) if isinstance(value, float) else value}
        found = {"similarity": round(line["similarity"], 4), "known": line["known"], "nearest": nearest}
        out.append(found | {"doubts": list(line["doubts"]), "why": line["why"]})
    return out


def rests_on(source: Source, crystal: Any, n: int, key: str) -> tuple[list[dict[str, Any]], list[int]]:
    """List the training crystals of the largest share in a prediction; gives also their rows."""
    table = source.model.explain(crystal, n, target=source.column).iloc[:-1]
    out = []
    for line in table.to_dict("records"):
        entry = {key: line["name"]} if "name" in line else {}
        value = line["value"]
        entry |= {"formula": line["formula"], source.name: shortened(value) if isinstance(value, float) else value}
        entry |= {"share": round(line["share"], 4)}
        out.append(entry | {name: round(line[name], 4) for name in ("grid_emd", "composition_emd")})
    return out, table["row"].tolist()


def show_prediction(answer: dict[str, Any], sources: list[Source], coverage: float) -> None:
    """Print one prediction and what it rests on."""
    typer.echo(f"{answer['file']}: {reduced_formula(answer['formula'])}")
    for source in sources:
        found = answer[source.name]
        if "probabilities" in found:
            told = ", ".join(f"{name} {p:.0%}" for name, p in found["probabilities"].items())
            typer.echo(f"  {source.name} {found['value']}: {told}")
            continue
        low, high = found["interval"]
        value, low, high = (in_digits(number, high - low) for number in (found["value"], low, high))
        typer.echo(f"  {source.name} {f'{value} {source.unit}'.strip()}, {coverage:.0%} between {low} and {high}")
    for line in how_known(answer["applicability"], sources[0].name):
        typer.echo(f"  {line}")
    known = answer.get("rests_on", [])
    if known:
        keys = list(known[0])
        known = [line | {"formula": reduced_formula(line["formula"])} for line in known]
        print_table(
            keys, [[f"{line[key]:g}" if isinstance(line[key], float) else str(line[key]) for key in keys] for line in known]
        )
        if any(line["share"] < 0 for line in known):
            typer.echo("  a share below 0 corrects for what nearer crystals already say")


def shortened(value: float) -> float:
    """Round to six digits."""
    return float(f"{value:.6g}")
