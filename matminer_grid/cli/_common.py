"""What the commands share: options in groups, reading files, errors without a traceback."""

from __future__ import annotations

import inspect
import re
import sys
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matminer_grid._validation import without_row
from matminer_grid.cli._terminal import print_table, stages  # noqa: F401  the commands take them from here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd

    from matminer_grid.crystals import Crystal, CrystalTable

FAILED, NOTHING_TO_DO, INTERRUPTED = 1, 2, 130
"""Exit codes: a structure or the command failed; wrong usage, as typer has it, or nothing to do; Ctrl-C. 0 is all well."""

Inputs = Annotated[
    list[Path], typer.Argument(metavar="INPUT...", help="Files, folders and archives of structures; Parquet, JSON lines.")
]
DataFile = Annotated[Path | None, typer.Argument(help="A Parquet file of crystals; the embedded elastic moduli by default.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")]
Strict = Annotated[bool, typer.Option("--strict", help="Take warnings of what was read for errors.")]


@contextmanager
def clear_errors() -> Iterator[None]:
    """Print what the library says of bad input, without a traceback, and end with exit code 1; 130 after Ctrl-C."""
    try:
        yield
    except (ImportError, OSError, TypeError, ValueError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(FAILED) from error
    except KeyboardInterrupt as error:
        typer.echo("stopped", err=True)
        raise typer.Exit(INTERRUPTED) from error


def data_set(file: Path | None) -> tuple[CrystalTable, pd.DataFrame]:
    """Load the crystals of a Parquet file and their properties; the embedded data without one."""
    from matminer_grid.datasets import load_mp_elasticity_table
    from matminer_grid.io import load_crystals

    if file is not None:
        return load_crystals(file)
    embedded = load_mp_elasticity_table()
    return embedded.crystals, embedded.properties()


def row_names(properties: pd.DataFrame) -> list[str] | None:
    """Give what names the rows of a data set, if it has a column that does."""
    column = next((column for column in ("material_id", "name") if column in properties), None)
    return None if column is None else properties[column].astype(str).tolist()


def labelled(file: Path | None) -> tuple[CrystalTable, list[str]]:
    """Load the crystals of a Parquet file, or the embedded ones, with the names of their rows or else their numbers."""
    crystals, properties = data_set(file)
    return crystals, row_names(properties) or [str(row) for row in range(len(crystals))]


def reduced_formula(crystal: Crystal | str) -> str:
    """Give the reduced formula of a crystal or a formula; what does it is slow to import."""
    from matminer_grid.crystals import composition

    return composition.reduced_formula(crystal)


@dataclass
class Readings:
    """What a command has read: crystals with their names, warnings and properties, and how many could not be read or used."""

    names: list[str]
    crystals: CrystalTable
    warnings: list[list[str]]
    n_failed: int = 0
    properties: Any = None
    rows: list[int] = field(init=False)

    def __post_init__(self) -> None:
        """Take note of the numbers of what was read; `rows` are those of what is left."""
        self.rows = list(range(len(self.names)))

    def keep_described(self, describe: Callable[[Any], Any]) -> Any:
        """Describe the crystals; those that can't be are named on the error stream and left out, and cost the others nothing."""
        while len(self.crystals):
            try:
                return describe(self.crystals)
            except (TypeError, ValueError):
                bad = {i: reason for i, crystal in enumerate(self.crystals) if (reason := _reason(describe, crystal))}
                if not bad:
                    raise
            for i, reason in bad.items():
                typer.echo(f"{self.names[i]}: {reason}", err=True)
            kept = [i for i in range(len(self.crystals)) if i not in bad]
            self.names, self.warnings = [self.names[i] for i in kept], [self.warnings[i] for i in kept]
            self.rows = [self.rows[i] for i in kept]
            self.crystals = self.crystals[kept]
            self.properties = None if self.properties is None else self.properties.iloc[kept]
            self.n_failed += len(bad)
        raise typer.Exit(FAILED)

    def end(self) -> None:
        """End with exit code 1 if something could not be read or used."""
        if self.n_failed:
            raise typer.Exit(FAILED)


def _reason(describe: Callable[[Any], Any], crystal: Any) -> str | None:
    """Say why a crystal can't be described; None if it can."""
    try:
        describe([crystal])
    except (TypeError, ValueError) as error:
        return without_row(str(error))
    return None


STANDARD_INPUT = Path("-")
"""Stands for the standard input among the files."""

FIRST_LETTERS = {".cif": r"(?m)^\s*(data_|_cell_|loop_)", ".json": r"\A\s*[\[{]", ".xyz": r"\A\s*\d+\s*\n"}
"""How formats are told from each other where there is no name; what is none of them is read as POSCAR."""


def standard_input(folder: str) -> Path:
    """Write the standard input to a file in a folder, whose name tells the format."""
    if sys.stdin is None:
        raise ValueError("-: the standard input is closed")
    text = typer.get_binary_stream("stdin").read()
    start = text[:100_000].decode("utf-8", errors="replace")
    ending = next((ending for ending, pattern in FIRST_LETTERS.items() if re.search(pattern, start)), ".vasp")
    file = Path(folder) / f"stdin{ending}"
    file.write_bytes(text)
    return file


def read_files(inputs: list[Path], *, strict: bool = False) -> Readings:
    """Read what can be read; name the others, and all warnings, on the error stream. With `strict` a warning is an error."""
    import tempfile

    if STANDARD_INPUT not in inputs:
        return _read_files(inputs, strict)
    with tempfile.TemporaryDirectory() as folder:
        file = standard_input(folder)
        return _read_files([file if path == STANDARD_INPUT else path for path in inputs], strict, {str(file): "-"})


def _read_files(inputs: list[Path], strict: bool, renamed: dict[str, str] | None = None) -> Readings:
    import pandas as pd

    from matminer_grid.crystals import CrystalTable
    from matminer_grid.io import read_structures_from

    names, crystals, warned, properties, n_failed = [], [], [], [], 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the summary of what is printed one by one
        for record in read_structures_from(inputs):
            name = record.name
            for path, shown in (renamed or {}).items():
                name = name.replace(path, shown)
            if record.crystal is None or (strict and record.warnings):
                typer.echo(f"{name}: {record.error or '; '.join(record.warnings)}", err=True)
                n_failed += 1
                continue
            for text in record.warnings:
                typer.echo(f"{name}: warning: {text}", err=True)
            names.append(name)
            crystals.append(record.crystal)
            warned.append(list(record.warnings))
            properties.append({"name": name} | dict(record.properties))
    if not names:
        raise typer.Exit(NOTHING_TO_DO if all(path.is_dir() and not any(path.iterdir()) for path in inputs) else FAILED)
    return Readings(names, CrystalTable.from_crystals(crystals), warned, n_failed, pd.DataFrame(properties))


def read_data(inputs: list[Path] | None, *, strict: bool = False) -> Readings:
    """Read a data set: the embedded one, a Parquet file of crystals, or files."""
    if inputs and (len(inputs) > 1 or inputs[0].suffix != ".parquet"):
        return read_files(inputs, strict=strict)
    file = inputs[0] if inputs else None
    crystals, properties = data_set(file)
    if len(crystals) == 0:
        raise ValueError(f"{file}: the file holds no crystals")
    names = row_names(properties) or [str(row) for row in range(len(crystals))]
    return Readings(names, crystals, [[]] * len(crystals), 0, properties)


def check_output(path: Path, overwrite: bool) -> None:
    """Check that a file can be written before anything long is computed for it.

    Raises
    ------
    OSError, ValueError
        The file is there already and not to be replaced, or its folder is missing or can't be written to.
    """
    import tempfile

    if path.is_dir():
        raise ValueError(f"{path}: it is a folder, and a file is to be written")
    if path.exists() and not overwrite:
        raise ValueError(f"{path}: the file is there already; --overwrite replaces it")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OSError(f"{path}: the folder can't be written to ({error.strerror})") from error


def with_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take dataclasses: each of their fields is an option of its own, in a group that the docstring heads."""
    parameters = inspect.signature(command, eval_str=True).parameters
    grouped_names = [name for name, parameter in parameters.items() if is_dataclass(parameter.annotation)]
    groups = {name: inspect.signature(parameters[name].annotation, eval_str=True).parameters for name in grouped_names}
    for name, own in groups.items():
        heading = (parameters[name].annotation.__doc__ or "").splitlines()[0].rstrip(".")
        for option in own.values():
            option.annotation.__metadata__[0].rich_help_panel = heading
    options: list[inspect.Parameter] = []
    for name, parameter in parameters.items():
        of_group = groups.get(name, {}).values()
        options += [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in of_group] or [parameter]

    def grouped(**values: Any) -> None:
        for name, of_group in groups.items():
            values[name] = parameters[name].annotation(**{option: values.pop(option) for option in of_group})
        command(**values)

    grouped.__name__, grouped.__doc__ = command.__name__, command.__doc__
    grouped.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    grouped.__annotations__ = {option.name: option.annotation for option in options}
    return grouped
