"""The command ``matminer-grid train``: a model of a property of one's own."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003  typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matminer_grid.cli._common import (
    FAILED,
    Overwrite,
    Readings,
    check_output,
    clear_errors,
    print_table,
    row_names,
    stages,
    with_option_groups,
)
from matminer_grid.cli.reports import Report, write_report
from matminer_grid.cli.train_report import score_text, train_report

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from matminer_grid.io import LabelledCrystals
    from matminer_grid.models import CrossValidation, GRIDKernelClassifier, GRIDKernelRegressor

SHOWN = 3
"""Crystals of one kind that a message names."""

DISTINCT = "distinct"
"""Groups of crystals that are the same, rather than those of a column."""


@dataclass(frozen=True)
class Validation:
    """How the model is judged."""

    folds: Annotated[int, typer.Option(min=2, help="Folds of the cross-validation.")] = 5
    groups: Annotated[
        str | None,
        typer.Option(
            metavar=f"{DISTINCT}|COLUMN",
            help=f"Keep crystals in one fold that are the same ({DISTINCT}), or that a column says belong together.",
        ),
    ] = None
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw parity, calibration and error against similarity: png, svg or pdf.")
    ] = None
    report: Report = None


@with_option_groups
def train(
    data: Annotated[
        Path, typer.Argument(help="Crystals with properties: Parquet, JSON lines, extended XYZ, a CSV that names files, a folder.")
    ],
    *,
    target: Annotated[str, typer.Option(help="The column to learn.")],
    id_column: Annotated[str | None, typer.Option("--id", help="The column that names the crystals.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to keep the model, as npz.")] = None,
    classify: Annotated[bool, typer.Option("--classify", help="Learn classes instead of numbers.")] = False,
    validation: Validation,
    overwrite: Overwrite = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train a model of any property, and say by cross-validation how good it is; ``predict --model`` uses it.

    Example: matminer-grid train my.parquet --target gap -o gap.npz --report gap.html

    Crystals without a value are left out. Those that can't be read or described are named, and the exit code is then 1.
    """
    import warnings

    from matminer_grid.io import read_labelled
    from matminer_grid.models import GRIDKernelClassifier, GRIDKernelRegressor, cross_validate_model

    with clear_errors(), warnings.catch_warnings(), stages(as_json) as progress:
        warnings.simplefilter("ignore", UserWarning)  # what was read is warned of below
        if output is not None and output.exists() and not overwrite:
            raise FileExistsError(f"{output} exists: choose another name, or give --overwrite")
        for file in (validation.plot, validation.report):
            if file is not None:
                check_output(file, overwrite=True)
        progress(f"read {data}")
        known = usable(read_labelled(data), target, id_column, classify, validation.groups)
        model: GRIDKernelRegressor | GRIDKernelClassifier
        model = GRIDKernelClassifier(progress=progress) if classify else GRIDKernelRegressor(progress=progress)
        progress(f"describe {len(known.names)} crystals")
        described = known.described(model)
        known.group(validation.folds)
        progress(f"cross-validate with {validation.folds} folds")
        found = cross_validate_model(model, described, known.values, n_splits=validation.folds, groups=known.groups)
        model.fit(described, known.series(target), names=known.names)
        if output is not None:
            model.save(output)
        if validation.plot is not None:
            draw(found, target, validation.plot)
        if validation.report is not None:
            write_report(validation.report, train_report(target, known.names, known.crystals, found, known.kept_together))
    log = getattr(model, "log_target_", None)
    if as_json:
        typer.echo(json.dumps(report(found, known, target, log) | {"model": None if output is None else str(output)}))
    else:
        show(found, known, target, log)
        if output is not None:
            typer.echo(f"kept in {output}: matminer-grid predict --model {output} FILE...")
    if known.n_failed:
        raise typer.Exit(FAILED)


@dataclass
class Known:
    """Crystals with values to learn, and how many were left out for want of one, or failed."""

    names: list[str]
    crystals: Any
    values: np.ndarray
    n_missing: int = 0
    n_failed: int = 0
    grouped_by: str | None = None
    groups: np.ndarray | None = None

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return 0 if self.groups is None else len(set(self.groups.tolist()))

    @property
    def kept_together(self) -> str:
        """What the folds keep together, in words; nothing without groups."""
        if self.groups is None:
            return ""
        of = "crystals that are the same" if self.grouped_by == DISTINCT else f"crystals of one {self.grouped_by}"
        return f"{of} in one fold, {self.n_groups:,} groups"

    def group(self, folds: int) -> None:
        """Look for crystals that are the same, if that is asked for; refuse fewer groups than folds."""
        from matminer_grid.similarity import crystal_groups

        if self.grouped_by == DISTINCT:
            self.groups = crystal_groups(self.crystals)
        if self.groups is not None and self.n_groups < folds:
            what = f"{self.n_groups} of the crystals differ" if self.grouped_by == DISTINCT else f"there are {self.n_groups}"
            raise ValueError(
                f"{folds} folds need as many groups, or one would be empty, and by --groups {self.grouped_by} {what}: give fewer "
                "--folds, or leave --groups out"
            )

    def described(self, model: Any) -> Any:
        """Describe the crystals; those that can't be are named and left out."""
        read = Readings(self.names, self.crystals, [[] for _ in self.names], self.n_failed)
        described = read.keep_described(model.describe)
        self.names, self.crystals, self.n_failed = read.names, read.crystals, read.n_failed
        self.values = self.values[read.rows]
        self.groups = None if self.groups is None else self.groups[read.rows]
        return described

    def series(self, target: str) -> pd.Series:
        """Give the values with the name of the property."""
        import pandas as pd

        return pd.Series(self.values, name=target)


def usable(read: LabelledCrystals, target: str, id_column: str | None, classify: bool, groups: str | None) -> Known:
    """Take the crystals that have a value; what can't be read or has an infinite value is named and counted as failed."""
    import numpy as np

    for name, error in read.errors.items():
        typer.echo(f"{name}: {error}", err=True)
    for name, found in read.warnings.items():
        typer.echo(f"{name}: warning: {'; '.join(found)}", err=True)
    names = read.names
    if id_column is not None:
        names = column_of(read.properties, id_column, "--id").astype(str).tolist()
    else:
        names = row_names(read.properties) or names
    column = column_of(read.properties, target, "--target")
    values = classes_of(column) if classify else numbers_of(column, names)
    missing = column.isna().to_numpy() if classify else np.isnan(values)
    infinite = np.zeros(len(values), bool) if classify else np.isinf(values)
    for row in np.nonzero(infinite)[0]:
        typer.echo(f"{names[row]}: {target} is infinite; it is left out", err=True)
    if missing.any():
        some = ", ".join(names[row] for row in np.nonzero(missing)[0][:SHOWN])
        more = f" and {missing.sum() - SHOWN} more" if missing.sum() > SHOWN else ""
        typer.echo(f"without {target}, and left out: {missing.sum()} of {len(values)} crystals: {some}{more}", err=True)
    kept = np.nonzero(~missing & ~infinite)[0]
    if len(kept) == 0:
        raise ValueError(f"no crystal has a value in the column {target!r}: give another --target")
    if (values[kept] == values[kept[0]]).all():
        raise ValueError(
            f"the column {target!r} is {values[kept[0]]} for all crystals, so nothing can be learned: give another --target"
        )
    return Known(
        [names[row] for row in kept],
        read.crystals[kept],
        values[kept],
        int(missing.sum()),
        len(read.errors) + int(infinite.sum()),
        groups,
        None if groups in {None, DISTINCT} else groups_of(column_of(read.properties, groups, "--groups").iloc[kept], names, kept),
    )


def groups_of(column: pd.Series, names: list[str], rows: np.ndarray) -> np.ndarray:
    """Give the groups that a column tells, as texts; each crystal needs one."""
    import numpy as np

    without = rows[column.isna().to_numpy()]
    if len(without):
        some = ", ".join(names[row] for row in without[:SHOWN])
        raise ValueError(
            f"the column {column.name!r} for --groups is empty for {len(without)} crystals, such as {some}, so it says not "
            "where they belong: fill it in, or leave these crystals out"
        )
    return column.astype(str).to_numpy(dtype=np.str_)


def column_of(properties: pd.DataFrame, name: str, option: str) -> pd.Series:
    """Give a column; the error says which there are, and the option that names it."""
    if name in properties:
        return properties[name]
    columns = [str(column) for column in properties.columns]
    close = difflib.get_close_matches(name, columns, n=1)
    listed = f"it has {', '.join(columns)}" if columns else "its structures come without properties"
    raise ValueError(f"there is no column {name!r} for {option}; {listed}{f'; is it {close[0]}?' if close else ''}")


def numbers_of(column: pd.Series, names: list[str]) -> np.ndarray:
    """Give the values of a column, NaN where there is none; texts and truth values are an error that says what to do."""
    import numpy as np
    import pandas as pd

    if column.dtype == bool or set(column.dropna().map(type)) == {bool}:
        raise ValueError(f"the column {column.name!r} holds truth values: give --classify to learn them, or another --target")
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    texts = np.nonzero(np.isnan(values) & column.notna().to_numpy())[0]
    if len(texts):
        raise ValueError(
            f"the column {column.name!r} holds texts such as {str(column.iloc[texts[0]])!r} ({names[texts[0]]}), where numbers are "
            "due: give --classify to learn them as classes, or another --target"
        )
    return values


def classes_of(column: pd.Series) -> np.ndarray:
    """Give the classes of a column: truth values, whole numbers, or texts."""
    import numpy as np

    known = column.dropna()
    if column.dtype == bool or column.dtype.kind in "iu":
        return column.to_numpy()
    if set(known.map(type)) == {bool}:
        return column.fillna(False).astype(bool).to_numpy()
    if column.dtype.kind == "f":
        if (known % 1 != 0).any():
            raise ValueError(f"the column {column.name!r} holds numbers that are no classes: leave --classify out to learn them")
        return column.fillna(0).astype(np.int64).to_numpy()
    return column.fillna("").astype(str).to_numpy(dtype=np.str_)


def report(found: CrossValidation, known: Known, target: str, log: bool | None) -> dict[str, Any]:
    """Gather what JSON tells."""
    return {
        "target": target,
        "crystals": len(known.names),
        "without_value": known.n_missing,
        "failed": known.n_failed,
        **({} if log is None else {"log_target": log}),
        "folds": int(found.folds.max()) + 1,
        **({} if known.groups is None else {"groups": {"by": known.grouped_by, "number": known.n_groups}}),
        "scores": {name: float(f"{value:.6g}") for name, value in found.scores().items()},
        "calibration": found.calibration().round(4).to_dict("records"),
        "by_similarity": found.by_similarity().map(lambda value: float(f"{value:.6g}")).to_dict("records"),
    }


def show(found: CrossValidation, known: Known, target: str, log: bool | None) -> None:
    """Print the scores."""
    what = f"{target} of {len(known.names)} crystals, {int(found.folds.max()) + 1} folds"
    told = [what, *([known.kept_together] if known.groups is not None else []), *(["its logarithm is learned"] if log else [])]
    typer.echo("; ".join(told))
    rows = [[name, score_text(name, value)] for name, value in found.scores().items()]
    print_table(["score", "cross-validated"], rows)


def draw(found: CrossValidation, target: str, file: Path) -> None:
    """Draw parity, calibration, and error against similarity; of classes the last two."""
    from matplotlib.figure import Figure

    from matminer_grid.plotting import plot_calibration, plot_error_by_distance, plot_parity

    calibration = found.calibration()
    classes = found.classes is not None
    figure = Figure(figsize=(9.6 if classes else 14.0, 4.4), layout="constrained")
    *parity, middle, right = figure.subplots(1, 2 if classes else 3, squeeze=False)[0]
    for ax in parity:
        plot_parity(found.truth, found.predicted, ax=ax, unit="", quantity=target)
    what = "of the class" if classes else "within the interval"
    plot_calibration(calibration["stated"], calibration["observed"], ax=middle, what=what)
    errors = (found.predicted != found.truth).astype(float) if classes else found.predicted - found.truth
    label = "Similarity to the nearest training crystal"
    plot_error_by_distance(found.similarity, errors, ax=right, unit="", quantity=target, label=label)
    figure.savefig(file, dpi=110)
