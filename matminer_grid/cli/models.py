"""The command ``matminer-grid predict``."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003  typer reads the annotations
from typing import Annotated, Any

import typer

from matminer_grid.cli._common import Strict, clear_errors, print_table, read_files, stages


def predict(
    inputs: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Structure files, folders and archives.")],
    *,
    neighbors: Annotated[int, typer.Option("--neighbors", "-k", min=0, help="Known materials to list.")] = 5,
    coverage: Annotated[float, typer.Option(min=0.01, max=0.99, help="Probability of the intervals.")] = 0.95,
    limit: Annotated[int | None, typer.Option(min=20, help="Train on so many entries only, for a quick look.")] = None,
    strict: Strict = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Predict bulk and shear modulus with intervals, and tell the known materials that the prediction rests on.

    The models of the embedded data are trained when they are first needed, in two or three minutes, and kept in the user's cache.
    """
    import warnings

    from matminer_grid.datasets import load_mp_elasticity_table
    from matminer_grid.featurizers.chemistry import ChemistryFeaturizer
    from matminer_grid.models.default import TARGETS, clean_rows, default_model

    with clear_errors(), warnings.catch_warnings(), stages(as_json) as progress:
        warnings.simplefilter("ignore")
        read = read_files(inputs, strict=strict)
        read.keep_described(lambda some: ChemistryFeaturizer().featurize_many(some, pbar=False))
        crystals = read.crystals
        models = {}
        answers: list[dict[str, Any]] = [
            {"file": name, "formula": crystal.formula, "warnings": found}
            for name, crystal, found in zip(read.names, crystals, read.warnings, strict=True)
        ]
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", ".*sites nearer than")  # said when the files were read
        warnings.showwarning = lambda message, *_, **__: typer.echo(f"warning: {message}", err=True)
        for target in TARGETS:
            models[target] = default_model(target, limit=limit, progress=progress)
            values = models[target].predict(crystals)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the same as just now
                intervals = zip(*models[target].predict_interval(crystals, coverage), strict=True)
            for answer, value, (lower, upper) in zip(answers, values, intervals, strict=True):
                answer[target] = {"value": round(float(value), 2), "interval": [round(float(lower), 2), round(float(upper), 2)]}
        if neighbors:
            warnings.simplefilter("ignore")
            ids = None if limit else load_mp_elasticity_table().material_id[clean_rows()]
            for answer, crystal in zip(answers, crystals, strict=True):
                answer["rests_on"] = rests_on(models["K_VRH"], crystal, neighbors, ids)
    if as_json:
        typer.echo(json.dumps(answers))
    else:
        for answer in answers:
            show_prediction(answer, coverage)
    read.end()


def rests_on(model: Any, crystal: Any, n: int, ids: Any) -> list[dict[str, Any]]:
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
