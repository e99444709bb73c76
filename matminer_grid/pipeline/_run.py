"""What a run over many files is, on one machine and on Dask: plan the units, have each fill its parts, tell what was done."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from matminer_grid._validation import check_whole
from matminer_grid.io import find_structure_files
from matminer_grid.io.files import count_structures, read_batches, read_groups
from matminer_grid.pipeline._parts import (
    ERRORS,
    PART_SIZE,
    SETTINGS,
    Folder,
    Unit,
    part_files,
    plan,
    read_units,
    stamp,
    write_errors,
    write_parts,
)
from matminer_grid.pipeline._tasks import check_client, count_rows, outcomes, partition_files, unit_name

if TYPE_CHECKING:
    from matminer_grid.pipeline._parts import Compute
    from matminer_grid.pipeline._tasks import Paths

LARGEST_PART = 100_000


@dataclass(frozen=True)
class Report:
    """What was done with files or partitions.

    Parameters
    ----------
    output : Path
        The Parquet file, or the folder of parts.
    errors_file : Path or None
        JSON lines with the `name` and the `error` of each structure and partition that failed, and the `name` and `warning` of
        those that were read with one; None if there are none.
    n_rows : int
        Rows written, those of former runs included.
    n_failed : int
        Structures that couldn't be read or computed, those of failed partitions left out.
    n_resumed : int
        How many of both a former run had done already.
    n_warned : int
        Structures that were read with a warning: something was lost, assumed or is doubtful.
    failed_partitions : dict of Path to str
        On Dask: partitions of which nothing was kept, and why; they are tried again when the same call is made again.
    """

    output: Path
    errors_file: Path | None
    n_rows: int
    n_failed: int
    n_resumed: int
    n_warned: int = 0
    failed_partitions: dict[Path, str] = field(default_factory=dict)


def remove_output(output: str | Path) -> None:
    """Remove what a former run wrote, so that the next one begins anew; other files in its folder stay."""
    output = Path(output)
    if output.suffix == ".parquet":
        parts = output.with_name(output.name + ".parts")
        written = [output, output.with_name(output.name + ".errors.jsonl")]
    else:
        parts, written = output, []
    written += [*sorted(parts.glob("part-*.parquet")), parts / SETTINGS, parts / ERRORS]
    for path in written:
        path.unlink(missing_ok=True)


def compute_files(
    inputs: Paths,
    output: str | Path,
    compute: Compute,
    settings: dict[str, Any],
    *,
    n_jobs: int,
    part_size: int,
    pbar: bool,
    with_properties: bool = False,
) -> Report:
    """Write what a function computes from the structures of files; the settings are all that the rows depend on, as JSON has it."""
    check_whole("part_size", part_size, high=LARGEST_PART)
    output = Path(output)
    single = output.suffix == ".parquet"
    files = list(dict.fromkeys(find_structure_files(inputs)))
    parts = output.with_name(output.name + ".parts") if single else output
    if single and output.exists() and not parts.exists():
        raise FileExistsError(f"{output} exists already; remove it, or choose another name")
    errors_file = output.with_name(output.name + ".errors.jsonl") if single else output / ERRORS
    with Folder(parts, settings) as folder:
        units = plan(folder.path, files, part_size)
        n_resumed = sum(unit.n_done for unit in units)
        todo = [unit for unit in units if not unit.has_ended]
        try:
            total = count_structures(files) if pbar else None
            with tqdm(desc="structures", initial=n_resumed, total=total, unit="", disable=not pbar) as bar:
                groups = ([name for name, _ in unit.files] for unit in todo)
                batches = read_groups(groups, n_jobs=n_jobs, with_properties=with_properties)
                for number, group in groupby(batches, key=itemgetter(0)):
                    for n_done in write_parts(folder, todo[number], map(itemgetter(1), group), compute, part_size):
                        bar.update(n_done)
        except BaseException:  # Ctrl-C too: the list of what failed is written before the error goes on
            with suppress(OSError):  # the disk is full; the parts hold the errors too
                write_errors(errors_file, units)
            raise
        written = write_errors(errors_file, units)
        if not any(unit.n_parts for unit in units):
            more = f", or in {len(files) - 1} more" if len(files) > 1 else ""
            raise ValueError(f"{files[0]}: no structures found in it{more}")
        if single:
            folder.join(output)
            folder.remove()
    return _report(output, written, units, n_resumed)


def compute_partitions(
    client: Any,
    inputs: Paths,
    output: str | Path,
    compute: Compute,
    settings: dict[str, Any],
    *,
    pbar: bool,
    with_properties: bool = False,
) -> Report:
    """Write what a function computes from the structures of partitions, each a unit that a worker of a Dask cluster does."""
    check_client(client)
    from distributed import KilledWorker  # noqa: PLC0415  an extra

    files = partition_files(inputs)
    failed: dict[Path, str] = {}
    with Folder(Path(output).absolute(), settings) as folder:
        before = read_units(folder.path)
        task = partial(_write_partition, folder=folder, compute=compute, with_properties=with_properties)
        with closing(outcomes(client, task, [(file,) for file in files], description="partitions", pbar=pbar)) as ended:
            for number, future in ended:
                file, error = files[number], future.exception()
                if isinstance(error, (ValueError, OSError, MemoryError, KilledWorker)):
                    failed[file] = str(error).removeprefix(f"{file}: ") or type(error).__name__
                elif error is not None:
                    raise error
        units = read_units(folder.path)
        failed = {file: failed[file] for file in files if file in failed}
        lost = Unit("", [], errors=[[str(file), reason] for file, reason in failed.items()])
        errors_file = write_errors(folder.path / ERRORS, [*units.values(), lost])
    n_resumed = sum(unit.n_done for name, unit in before.items() if name in units)
    return _report(folder.path, errors_file, list(units.values()), n_resumed, failed)


def _report(
    output: Path, errors_file: Path | None, units: list[Unit], n_resumed: int, failed: dict[Path, str] | None = None
) -> Report:
    n_rows, n_failed = sum(unit.n_rows for unit in units), sum(len(unit.errors) for unit in units)
    n_warned = len({name for unit in units for name, _ in unit.warnings})
    return Report(output, errors_file, n_rows, n_failed, n_resumed, n_warned, failed or {})


def _write_partition(file: Path, folder: Folder, compute: Compute, with_properties: bool) -> None:
    """Fill the parts of a partition; if it can't be read to its end, none is kept."""
    name = unit_name(file)
    unit = read_units(folder.path, name).get(name) or Unit(name, [[str(file), stamp(file)]])
    if unit.files[0][0] != str(file):
        raise ValueError(f"{file}: {folder.path} has parts of its name that are from {unit.files[0][0]}; choose another folder")
    unit.check({str(file)})
    if unit.has_ended or count_rows(file) == 0:
        return
    for _ in write_parts(folder, unit, read_batches(file, with_properties=with_properties), compute, PART_SIZE):
        pass
    reason = dict(unit.errors).get(str(file))
    if reason is not None:
        for _, _, part in reversed(part_files(folder.path, name)):
            part.unlink()
        raise ValueError(f"{file}: {reason}")
