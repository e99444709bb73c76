"""Build an index of crystals, and extend it."""

from __future__ import annotations

import shutil
import uuid
import warnings
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tqdm.auto import tqdm

from matminer_grid._validation import without_row
from matminer_grid.crystals.inputs import as_table
from matminer_grid.crystals.table import CrystalTable
from matminer_grid.io.files import read_batches
from matminer_grid.similarity.clusters import clustered, rounded
from matminer_grid.similarity.dissimilarity import CrystalDissimilarity, checked_dissimilarity
from matminer_grid.similarity.exact import search_index
from matminer_grid.similarity.index import CRYSTALS, IDS, CrystalIndex, read_ids, to_parameters
from matminer_grid.similarity.index_files import (
    MANIFEST,
    SEGMENT,
    ArrayWriter,
    is_of_index,
    open_array,
    read_manifest,
    remove_leftovers,
    sealed,
    write_manifest,
    writing,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from matminer_grid.io.records import StructureBatch

BATCH_SIZE = 2048
"""Crystals that are described at once."""

ID_COLUMNS = ("material_id", "name")
"""Properties that name a crystal of a file, if it has one of them; otherwise its place does."""

UNSORTED = "unsorted"
SCHEMA = pa.schema({"id": pa.string()})

SORTED_AT_ONCE = 65_536
"""Vectors that are put in the order of their clusters at once."""


@dataclass
class IndexReport:
    """What building or extending an index did.

    Parameters
    ----------
    path : Path
        The index.
    n_crystals : int
        Crystals in it.
    n_added : int
        Those that were added.
    errors : dict of str to str
        Why others were not, by name.
    """

    path: Path
    n_crystals: int = 0
    n_added: int = 0
    errors: dict[str, str] = field(default_factory=dict)


def build_index(
    path: str | Path,
    X: Any,
    ids: Sequence[str] | None = None,
    *,
    dissimilarity: CrystalDissimilarity | None = None,
    overwrite: bool = False,
    n_jobs: int | None = None,
    pbar: bool = False,
) -> IndexReport:
    """Build an index of crystals for exact search: a folder that :meth:`EMDSearch.load` opens.

    It appears whole or not at all, whenever the process ends. Memory doesn't grow with the number of crystals in files.

    Parameters
    ----------
    path : str or Path
        The folder.
    X : structures, as for :meth:`EMDSearch.fit`; or paths of files and folders, as for :func:`read_structures_from`
        Of files, crystals that can't be read or described are named in the report and cost the others nothing.
    ids : sequence of str, optional
        Names of the structures; their numbers by default. Crystals of files are named by the properties `material_id` or `name`, or
        else by file and place.
    dissimilarity : CrystalDissimilarity, optional
        ``CrystalDissimilarity()`` by default.
    overwrite : bool, default False
        Whether an index that is there is replaced.
    n_jobs : int, optional
        Number of threads; see :func:`~matminer_grid._threads.n_threads`.
    pbar : bool, default False
        Whether to show a progress bar.

    Returns
    -------
    IndexReport

    Raises
    ------
    FileExistsError
        The folder holds an index, and `overwrite` is off; or it holds something else.
    OSError
        Another process writes to the index, or it can't be written to.
    TypeError, ValueError
        There is no crystal; a structure or a parameter is invalid; or the ids don't fit.

    Warns
    -----
    UserWarning
        Several crystals have one id.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from matminer_grid import EMDSearch, add_to_index, build_index
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> crystals = load_mp_elasticity_table().crystals
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     crystals[:50].to_parquet(Path(folder) / "some.parquet")
    ...     report = build_index(Path(folder) / "index", Path(folder) / "some.parquet")
    ...     report.n_crystals, add_to_index(report.path, crystals[50:60]).n_crystals
    (50, 60)
    """
    path = Path(path)
    dissimilarity = checked_dissimilarity(dissimilarity)
    if path.exists() and not (path.is_dir() and all(is_of_index(entry) for entry in path.iterdir())):
        raise FileExistsError(f"{path} exists and is no index: choose another folder")
    report = IndexReport(path)
    with writing(path):
        if (path / MANIFEST).exists() and not overwrite:
            raise FileExistsError(f"{path}: there is an index already: add to it, or replace it with overwrite")
        entry, ids_of_all = _write_segment(path, _batches(X, ids, 0, report), dissimilarity, n_jobs, pbar)
        _warn_of_repeated(path, ids_of_all)
        write_manifest(path, to_parameters(dissimilarity), [entry])
    report.n_crystals = report.n_added = entry["crystals"]
    return report


def add_to_index(
    path: str | Path, X: Any, ids: Sequence[str] | None = None, *, n_jobs: int | None = None, pbar: bool = False
) -> IndexReport:
    """Add crystals to an index, whose rows follow those that it has; these are not described again.

    Parameters, errors and warnings are those of :func:`build_index`. An id that the index has is refused, and nothing added.

    Raises
    ------
    FileNotFoundError, OSError, TypeError, ValueError
        There is no index; it is cut short or of another version; an id is taken; or as :func:`build_index`.
    """
    path = Path(path)
    read_manifest(path)
    with writing(path):
        index = CrystalIndex(path, contents=False)
        report = IndexReport(path)
        remove_leftovers(path, {one["folder"] for one in index.manifest["segments"]})
        batches = _new_only(path, _batches(X, ids, len(index), report), index)
        entry, ids_of_all = _write_segment(path, batches, index.dissimilarity, n_jobs, pbar)
        _warn_of_repeated(path, ids_of_all)
        write_manifest(path, index.manifest["dissimilarity"], [*index.manifest["segments"], entry])
    report.n_added = entry["crystals"]
    report.n_crystals = len(index) + report.n_added
    return report


class _Batch(NamedTuple):
    """Crystals with their ids, and where to say which could not be described; None if they all must be."""

    ids: list[str]
    crystals: CrystalTable
    errors: dict[str, str] | None


def _batches(X: Any, ids: Sequence[str] | None, first: int, report: IndexReport) -> Iterator[_Batch]:
    """Give the crystals of files or structures, some at a time."""
    if isinstance(X, (str, Path)) or (isinstance(X, (list, tuple)) and len(X) and all(isinstance(one, (str, Path)) for one in X)):
        if ids is not None:
            raise ValueError("ids belong to structures; crystals of files are named by their properties material_id or name")
        for batch in read_batches(X, with_properties=True):
            report.errors |= {batch.names[row]: error for row, error in batch.errors.items()}
            rows = [row for row in range(len(batch)) if row not in batch.errors]
            yield _Batch([_name_of(batch, row) for row in rows], batch.crystals, report.errors)
        return
    crystals = as_table(X)
    names = [str(row) for row in range(first, first + len(crystals))] if ids is None else [str(one) for one in ids]
    if len(names) != len(crystals):
        raise ValueError(f"there are {len(crystals)} crystals and {len(names)} ids")
    for start in range(0, len(crystals), BATCH_SIZE):
        part = slice(start, start + BATCH_SIZE)
        yield _Batch(names[part], crystals[part], None)


def _name_of(batch: StructureBatch, row: int) -> str:
    properties = batch.properties.get(row, {})
    return str(next((properties[name] for name in ID_COLUMNS if name in properties), batch.names[row]))


def _new_only(path: Path, batches: Iterator[_Batch], index: CrystalIndex) -> Iterator[_Batch]:
    """Refuse ids that the index has."""
    for batch in batches:
        taken = index.all_ids.filter(pc.is_in(index.all_ids, value_set=pa.array(batch.ids, pa.string())))
        if len(taken):
            raise ValueError(f"{path}: the index has a crystal of the id {taken[0].as_py()!r} already; nothing was added")
        yield batch


def _warn_of_repeated(path: Path, ids: pa.ChunkedArray) -> None:
    counts = pc.value_counts(ids)
    repeated = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if len(repeated):
        warnings.warn(
            f"{path}: {len(repeated)} ids stand for more than one crystal, the first is {repeated[0].as_py()!r}", stacklevel=3
        )


def _write_segment(
    path: Path, batches: Iterable[_Batch], dissimilarity: CrystalDissimilarity, n_jobs: int | None, pbar: bool
) -> tuple[dict[str, Any], pa.ChunkedArray]:
    """Write a segment; gives its entry of the manifest, and the ids in it."""
    folder = path / f"{SEGMENT}{uuid.uuid4().hex[:12]}"
    folder.mkdir()
    try:
        with _SegmentWriter(folder, dissimilarity, n_jobs) as writer, tqdm(desc="index", unit=" crystals", disable=not pbar) as bar:
            for batch in _regrouped(batches):
                writer.add(batch)
                bar.update(len(batch.ids))
        writer.sort()
        ids = read_ids(folder)
        return {"folder": folder.name, "crystals": writer.n, "error": writer.error, "files": sealed(folder)}, ids
    except BaseException:  # Ctrl-C too: no half of a segment stays behind, and the error goes on
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _regrouped(batches: Iterable[_Batch]) -> Iterator[_Batch]:
    """Join small batches."""
    waiting: list[_Batch] = []

    def joined() -> _Batch:
        ids = [name for batch in waiting for name in batch.ids]
        return _Batch(ids, CrystalTable.concatenate(batch.crystals for batch in waiting), waiting[0].errors)

    for batch in batches:
        waiting.append(batch)
        if sum(len(one.ids) for one in waiting) >= BATCH_SIZE:
            yield joined()
            waiting = []
    if waiting:
        yield joined()


class _SegmentWriter(ExitStack):
    """Writes the files of a segment."""

    def __init__(self, folder: Path, dissimilarity: CrystalDissimilarity, n_jobs: int | None) -> None:
        super().__init__()
        self.folder, self.dissimilarity, self.n_jobs = folder, dissimilarity, n_jobs
        self.index = search_index(dissimilarity)
        self.n, self.error = 0, 0.0
        self.ends: dict[str, int] = {}
        self.columns = {name: self.enter_context(ArrayWriter(folder / f"{name}.npy")) for name in (*CRYSTALS, UNSORTED)}
        self.ids = self.enter_context(pa.ipc.new_file(str(folder / IDS), SCHEMA))

    def add(self, batch: _Batch) -> None:
        """Describe and write some crystals; those that can't be described are halved down to the one."""
        try:
            described = self.dissimilarity.describe(batch.crystals, n_jobs=self.n_jobs)
        except ValueError as problem:
            if batch.errors is None:
                raise
            n = len(batch.ids)
            if n == 1:
                batch.errors[batch.ids[0]] = without_row(str(problem))
                return
            for half in (slice(0, n // 2), slice(n // 2, n)):
                self.add(_Batch(batch.ids[half], batch.crystals[half], batch.errors))
            return
        vectors, error = rounded(self.index.vectors(described))
        self.error = max(self.error, error)
        for name in CRYSTALS:
            values = getattr(batch.crystals, name)
            if name.endswith("_offsets"):
                values = values + self.ends.get(name, 0)
                self.ends[name], values = values[-1], values if self.n == 0 else values[1:]
            self.columns[name].append(values)
        self.columns[UNSORTED].append(vectors)
        self.ids.write_batch(pa.record_batch([pa.array(batch.ids, pa.string())], schema=SCHEMA))
        self.n += len(batch.ids)

    def sort(self) -> None:
        """Sort the vectors into clusters; there must be some."""
        if self.n == 0:
            raise ValueError(f"{self.folder.parent}: there is no crystal to be put into the index")
        unsorted = self.folder / f"{UNSORTED}.npy"
        vectors = open_array(unsorted)
        order, offsets, centers, distances = clustered(vectors, self.n_jobs)
        arrays: dict[str, NDArray[Any]] = {"rows": order, "offsets": offsets, "centers": centers, "distances": distances}
        for name, values in arrays.items():
            np.save(self.folder / f"{name}.npy", values)
        with ArrayWriter(self.folder / "vectors.npy") as out:
            for start in range(0, self.n, SORTED_AT_ONCE):
                out.append(vectors[order[start : start + SORTED_AT_ONCE]])
        unsorted.unlink()
