"""Generated crystals in files against known ones, in parts that a later run goes on from."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
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
from matminer_grid.pipeline._parts import ERRORS, PART_SIZE, Folder, find_parts, sort_out
from matminer_grid.pipeline._run import Report, compute_files
from matminer_grid.similarity.evaluation import Evaluation, evaluate_set, known_crystals
from matminer_grid.similarity.evaluation_crystals import crystal_rows
from matminer_grid.similarity.evaluation_known import describe_valid
from matminer_grid.similarity.evaluation_settings import EvaluationSettings
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
    output, tolerance = Path(output), checked_tolerance(tolerance)
    settings = EvaluationSettings() if settings is None else settings
    if (output / MEASURES).exists() and not overwrite:
        raise FileExistsError(f"{output}: the folder holds an evaluation already; remove it, or choose another folder")
    known = known_crystals(reference, None, n_jobs)
    compute = partial(_rows, known=known, tolerance=tolerance, n_jobs=n_jobs)
    depends_on = {"known": known.fingerprint(), "tolerance": limits_of(tolerance), "version": __version__}
    output.mkdir(parents=True, exist_ok=True)
    parts = output / PARTS
    report = compute_files(generated, parts, compute, depends_on, n_jobs=1, part_size=PART_SIZE, pbar=pbar, with_properties=True)
    table = pa.concat_tables([pq.read_table(part) for part in find_parts(parts)], promote_options="default")
    if len(table) == 0:
        raise ValueError(f"none of the {report.n_failed} generated crystals can be evaluated; {report.errors_file} says why")
    crystals, frame = CrystalTable.from_arrow(table), table.drop_columns([*REQUIRED, *OPTIONAL]).to_pandas()
    if frame["energy_above_hull"].isna().all():
        frame = frame.drop(columns="energy_above_hull")
    described = known.dissimilarity.describe(crystals, n_jobs=n_jobs)
    found = evaluate_set(frame, crystals, described, known, tolerance, settings, n_jobs=n_jobs, pbar=pbar)
    return EvaluationReport(found, _write(output, crystals, found, report, depends_on))


def _rows(
    structures: list[StructureBatch], known: KnownCrystals, tolerance: DuplicateTolerance | float, n_jobs: int | None
) -> tuple[pa.Table, list[list[str]]]:
    """Give the crystals with what is said of them, and name and error of those that could not be compared."""
    names, read, unread = stack(structures)
    crystals, described, failed = describe_valid(known.dissimilarity, read, n_jobs)
    kept, errors = sort_out(names, unread, failed)
    frame = crystal_rows(crystals, described, known, tolerance, n_jobs=n_jobs)
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
