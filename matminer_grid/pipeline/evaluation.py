"""Generated crystals in files against known ones, in parts that a later run goes on from."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from matminer_grid._files import replacing
from matminer_grid._version import __version__
from matminer_grid.crystals.table import CrystalTable
from matminer_grid.io.parquet import OPTIONAL, REQUIRED
from matminer_grid.io.records import stack, stacked
from matminer_grid.pipeline._parts import ERRORS, PART_SIZE, Folder, find_parts, sort_out, stamp
from matminer_grid.pipeline._run import Report, compute_files, compute_partitions
from matminer_grid.similarity.evaluation import Evaluation, evaluate_set, known_crystals
from matminer_grid.similarity.evaluation_crystals import crystal_rows
from matminer_grid.similarity.evaluation_known import describe_valid
from matminer_grid.similarity.evaluation_settings import EvaluationSettings
from matminer_grid.similarity.index_files import MANIFEST
from matminer_grid.similarity.tolerance import checked_tolerance, limits_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from matminer_grid.io.records import StructureBatch
    from matminer_grid.similarity.evaluation_known import KnownCrystals
from matminer_grid.similarity.tolerance import DuplicateTolerance

CRYSTALS, MEASURES, PARTS = "crystals.parquet", "evaluation.json", "parts"
"""What an evaluation's folder holds: a row for each crystal, the measures, and until both are written the parts."""

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("formula", "why_not", "charge", "nearest", "nearest_formula", "known_as", "decided_by")),
        *((name, pa.int64()) for name in ("n_sites", "n_elements")),
        *((name, pa.bool_()) for name in ("valid", "novel")),
        *(
            (name, pa.float64())
            for name in ("volume_per_atom", "density", "dissimilarity", "distances", "elements", "surroundings")
        ),
        *((name, pa.float64()) for name in ("volume_ratio", "at_equal_volume", "energy_above_hull")),
    ]
)
"""What is said of each crystal in a part."""

ENERGIES = ("energy_above_hull", "e_above_hull", "e_hull", "ehull")
"""Properties that are energies above hull, in eV an atom."""


class EvaluationReport(NamedTuple):
    """What was done with files of generated crystals.

    Parameters
    ----------
    evaluation : Evaluation
        Its `crystals` are named by file; `errors` is empty.
    files : Report
        Which crystals could not be read or compared; its output is the folder.
    """

    evaluation: Evaluation
    files: Report


def evaluate_files(
    generated: str | Path | Iterable[str | Path],
    output: str | Path,
    reference: Any = None,
    *,
    tolerance: DuplicateTolerance | float | None = None,
    settings: EvaluationSettings | None = None,
    n_jobs: int | None = None,
    overwrite: bool = False,
    pbar: bool = False,
) -> EvaluationReport:
    """Evaluate the generated crystals of files and folders against known ones, in bounded memory, into a folder.

    What is said of each crystal is computed and written some 2,000 at a time: a run that was stopped goes on where it was if it is
    started again with the same arguments. The measures of the set follow. See :func:`evaluate_crystals` for both.

    Parameters
    ----------
    generated : str, Path, or several
        What :func:`~matminer_grid.io.read_structures_from` reads: files, folders, archives, JSON lines, Parquet, databases. A
        property `energy_above_hull`, `e_above_hull`, `e_hull` or `ehull` (eV an atom) gives shares of stable crystals.
    output : str or Path
        A folder, which is made. ``crystals.parquet`` has the crystals and the columns of :func:`evaluate_crystals`,
        ``evaluation.json`` the measures, and ``errors.jsonl`` the name and error of crystals that failed.
    reference, tolerance, settings
        As for :func:`evaluate_crystals`.
    n_jobs : int, optional
        Number of threads that compute; see :func:`~matminer_grid._threads.n_threads`.
    overwrite : bool
        Whether to write an evaluation that is there anew.
    pbar : bool
        Whether to show progress.

    Returns
    -------
    EvaluationReport

    Raises
    ------
    FileExistsError
        The folder holds an evaluation.
    FileNotFoundError, ValueError, BlockingIOError, OSError
        As for :func:`featurize_files` and :func:`evaluate_crystals`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from matminer_grid import KnownCrystals
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> from matminer_grid.pipeline import evaluate_files
    >>> data = load_mp_elasticity_table()
    >>> known = KnownCrystals(data.crystals[:50], data.material_id[:50])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data.crystals[40:60].to_parquet(Path(folder) / "some.parquet")
    ...     report = evaluate_files(Path(folder) / "some.parquet", Path(folder) / "out", known)
    ...     written = sorted(path.name for path in (Path(folder) / "out").iterdir())
    >>> written, report.files.n_failed
    (['crystals.parquet', 'evaluation.json'], 0)
    >>> report.evaluation.measures.value["novel"].item()
    0.5
    """
    output, tolerance = _checked(output, overwrite), checked_tolerance(tolerance)
    known = known_crystals(reference, None, n_jobs)
    compute = partial(_rows, known=known, tolerance=tolerance, n_jobs=n_jobs)
    depends_on = _depends_on(known, tolerance)
    parts = output / PARTS
    report = compute_files(generated, parts, compute, depends_on, n_jobs=1, part_size=PART_SIZE, pbar=pbar, with_properties=True)
    return _measured(output, report, known, tolerance, settings, n_jobs=n_jobs, pbar=pbar)


def evaluate_partitions(
    client: Any,
    inputs: str | Path | Iterable[str | Path],
    output: str | Path,
    reference: str | Path | None = None,
    *,
    tolerance: DuplicateTolerance | float | None = None,
    settings: EvaluationSettings | None = None,
    overwrite: bool = False,
    pbar: bool = False,
) -> EvaluationReport:
    """Evaluate the generated crystals of a partitioned data set against an index, on a Dask cluster.

    The workers say what there is to say of each crystal; each opens the index once. The measures of the set are computed here, on
    all cores. What is resumed, what is kept and which errors are raised is as for :func:`featurize_partitions`.

    Parameters
    ----------
    client, inputs, pbar
        As for :func:`featurize_partitions`. Properties are read as by :func:`evaluate_files`.
    output : str or Path
        A folder that client and workers see; it is made, and gets what :func:`evaluate_files` writes.
    reference : str or Path, optional
        The folder of an index, where the workers see it; the embedded data by default, of which each worker has its own copy.
    tolerance, settings
        As for :func:`evaluate_crystals`.
    overwrite : bool
        Whether to write an evaluation that is there anew.

    Returns
    -------
    EvaluationReport

    Raises
    ------
    FileExistsError
        The folder holds an evaluation.
    OSError
        Partitions failed, each named in ``errors.jsonl`` of the folder ``parts``: the measures would be of a part of the set. The
        same call tries them again.
    FileNotFoundError, ValueError, BlockingIOError, TypeError, ImportError
        As for :func:`featurize_partitions` and :func:`evaluate_crystals`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from dask.distributed import Client
    >>> from matminer_grid import CrystalDissimilarity, build_index
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> from matminer_grid.pipeline import evaluate_partitions
    >>> data = load_mp_elasticity_table()
    >>> sites = CrystalDissimilarity(resolution="sites")
    >>> with tempfile.TemporaryDirectory() as folder, Client(processes=False, dashboard_address=":0") as client:
    ...     path = Path(folder)
    ...     index = build_index(path / "index", data.crystals[:50], data.material_id[:50], dissimilarity=sites).path
    ...     data.crystals[40:60].to_parquet(path / "some.parquet")
    ...     report = evaluate_partitions(client, path / "some.parquet", path / "out", index)
    >>> report.evaluation.measures.value["novel"].item()
    0.5
    """
    output, tolerance = _checked(output, overwrite).absolute(), checked_tolerance(tolerance)
    path = None if reference is None else Path(reference).absolute()
    known = known_crystals(path, None, None)
    manifest = [] if path is None else stamp(path / MANIFEST)
    compute = partial(_rows_on_worker, reference=path, manifest=tuple(manifest), tolerance=tolerance)
    depends_on = _depends_on(known, tolerance)
    report = compute_partitions(client, inputs, output / PARTS, compute, depends_on, pbar=pbar, with_properties=True)
    if report.failed_partitions:
        file, reason = next(iter(report.failed_partitions.items()))
        more = f", and {len(report.failed_partitions) - 1} more failed" if len(report.failed_partitions) > 1 else ""
        raise OSError(f"{file}: {reason}{more}; the set can't be measured without them. The same call tries them again")
    return _measured(output, report, known, tolerance, settings, pbar=pbar)


def _checked(output: str | Path, overwrite: bool) -> Path:
    """Make the folder; refuse one that holds an evaluation."""
    output = Path(output)
    if (output / MEASURES).exists() and not overwrite:
        raise FileExistsError(f"{output}: the folder holds an evaluation already; remove it, or choose another folder")
    output.mkdir(parents=True, exist_ok=True)
    return output


def _depends_on(known: KnownCrystals, tolerance: DuplicateTolerance | float) -> dict[str, Any]:
    """Give what the rows depend on, as JSON has it."""
    return {"known": known.fingerprint(), "tolerance": limits_of(tolerance), "version": __version__}


def _measured(
    output: Path,
    report: Report,
    known: KnownCrystals,
    tolerance: DuplicateTolerance | float,
    settings: EvaluationSettings | None,
    *,
    n_jobs: int | None = None,
    pbar: bool = False,
) -> EvaluationReport:
    """Measure the set of which the parts are written, and write what was found in their place."""
    settings = EvaluationSettings() if settings is None else settings
    table = pa.concat_tables([pq.read_table(part) for part in find_parts(output / PARTS)], promote_options="default")
    if len(table) == 0:
        raise ValueError(f"none of the {report.n_failed} generated crystals can be evaluated; {report.errors_file} says why")
    crystals, frame = CrystalTable.from_arrow(table), table.drop_columns([*REQUIRED, *OPTIONAL]).to_pandas()
    if frame["energy_above_hull"].isna().all():
        frame = frame.drop(columns="energy_above_hull")
    found = evaluate_set(frame, crystals, known, tolerance, settings, n_jobs=n_jobs, pbar=pbar)
    return EvaluationReport(found, _write(output, crystals, found, report, _depends_on(known, tolerance)))


@lru_cache(maxsize=2)
def _known_once(reference: Path | None, manifest: tuple[int, ...]) -> KnownCrystals:  # noqa: ARG001  an index that grew is another
    return known_crystals(reference, None, 1)


def _rows_on_worker(
    structures: list[StructureBatch], reference: Path | None, manifest: tuple[int, ...], tolerance: DuplicateTolerance | float
) -> tuple[pa.Table, list[list[str]]]:
    return _rows(structures, _known_once(reference, manifest), tolerance, 1)


def _rows(
    structures: list[StructureBatch], known: KnownCrystals, tolerance: DuplicateTolerance | float, n_jobs: int | None
) -> tuple[pa.Table, list[list[str]]]:
    """Give the crystals with what is said of them, and name and error of those that could not be compared."""
    names, read, unread = stack(structures)
    crystals, _, failed = describe_valid(known.dissimilarity, read, n_jobs)
    kept, errors = sort_out(names, unread, failed)
    frame = crystal_rows(crystals, known, tolerance, n_jobs=n_jobs)
    of_files = stacked(structures, "properties")
    rows = np.delete(np.arange(len(names)), list(unread))
    rows = np.delete(rows, list(failed))
    frame["energy_above_hull"] = [energy_above_hull(of_files.get(row, {})) for row in rows.tolist()]
    table = crystals.to_arrow()
    for name in frame.columns:
        table = table.append_column(SCHEMA.field(name), pa.array(frame[name], SCHEMA.field(name).type, from_pandas=True))
    return table.add_column(0, "name", kept), errors


def _write(output: Path, crystals: CrystalTable, found: Evaluation, report: Report, depends_on: dict[str, Any]) -> Report:
    """Write what was found, the measures last, and remove the parts."""
    table = pa.Table.from_pandas(found.crystals, preserve_index=False).replace_schema_metadata(None)
    columns = crystals.to_arrow()
    for name in columns.column_names:
        table = table.append_column(columns.schema.field(name), columns[name])
    with replacing(output / CRYSTALS) as file:
        pq.write_table(table, file, compression="zstd")
    errors_file = None
    if report.errors_file is not None:
        errors_file = output / ERRORS
        with replacing(errors_file) as file:
            file.write(report.errors_file.read_bytes())
    with replacing(output / MEASURES) as file:
        answer = found.to_dict() | {"failed": report.n_failed}
        file.write(json.dumps(answer, indent=1, ensure_ascii=False).encode())
    with Folder(report.output, depends_on) as folder:
        folder.remove()
    return replace(report, output=output, errors_file=errors_file)


def energy_above_hull(properties: Mapping[str, Any]) -> float:
    """Give the energy above hull that a file tells of a crystal; NaN if it tells none."""
    value = next((properties[name] for name in ENERGIES if name in properties), None)
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")
