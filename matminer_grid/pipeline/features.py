"""Featurize files to Parquet in pieces: in bounded memory, and such that a run that was stopped goes on where it was.

The output is a folder of ``part-00000.parquet``, ``part-00001.parquet``, ..., each written under another name, synced and renamed,
so that whatever bears such a name is whole. A piece's metadata says which records of which files it stands for and which of them
failed, so the pieces alone tell what is left to do.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse
from tqdm.auto import tqdm

from matminer_grid._version import __version__
from matminer_grid.featurizers.grid import GRIDFeaturizer
from matminer_grid.io import find_structure_files
from matminer_grid.io.files import read_batches
from matminer_grid.io.formats import stack
from matminer_grid.pipeline._pieces import METADATA, Folder, Progress, stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from matminer_grid.featurizers.base import CrystalFeaturizer
    from matminer_grid.io.formats import StructureBatch
PIECE_SIZE = 2000
"""Structures that are read, featurized and written at once."""

LARGEST_PIECE = 100_000

COLUMNS = {"sparse": ["name", "indices", "values"], "list": ["name", "features"]}
"""Columns of each layout."""


@dataclass(frozen=True)
class FeaturizeReport:
    """What :func:`featurize_files` has done.

    Parameters
    ----------
    output : Path
        The Parquet file, or the folder of pieces.
    errors_file : Path or None
        JSON lines with the `name` and the `error` of each structure that failed; None if none did.
    n_rows : int
        Rows of features.
    n_failed : int
        Structures that couldn't be read or featurized.
    n_resumed : int
        How many of both a former run had done already.
    """

    output: Path
    errors_file: Path | None
    n_rows: int
    n_failed: int
    n_resumed: int


def featurize_files(
    inputs: str | Path | Iterable[str | Path],
    output: str | Path,
    featurizer: CrystalFeaturizer | None = None,
    *,
    layout: str = "sparse",
    dtype: str = "float64",
    n_jobs: int = 1,
    piece_size: int = PIECE_SIZE,
    pbar: bool = False,
) -> FeaturizeReport:
    """Featurize the structures of files and folders into a Parquet file, or a folder of them, in bounded memory.

    A run that was stopped, by Ctrl-C, a full disk or a lost machine, goes on where it was if it is started again with the same
    arguments; no row is lost or doubled. Structures that fail are listed in ``errors.jsonl`` and hold nothing up.

    Parameters
    ----------
    inputs : str, Path, or several
        What :func:`~matminer_grid.datasets.read_structures_from` reads: files, folders, archives, JSON lines, Parquet, databases.
    output : str or Path
        A name that ends in ``.parquet``: one file is written, from pieces gathered beside it in a folder ``NAME.parts``, and its
        errors go to ``NAME.errors.jsonl``. Any other name: a folder, which is made, of pieces and ``errors.jsonl``.
    featurizer : CrystalFeaturizer, optional
        GRIDFeaturizer() by default. Its number of jobs is the number of threads that compute.
    layout : {"sparse", "list"}
        "sparse": the columns `indices` and `values`, lists of the positions and values of features that aren't zero. "list": the
        column `features`, lists of all of them. Both have the column `name`, of the file and the row, line or member within it.
    dtype : {"float64", "float32"}
        Type of the values.
    n_jobs : int
        Processes that parse files, -1 for one a core.
    piece_size : int
        Structures in a piece.
    pbar : bool
        Whether to show progress.

    Returns
    -------
    FeaturizeReport

    Raises
    ------
    FileNotFoundError, ValueError
        An input doesn't exist or is of no known kind; the output holds something else, or was begun with other arguments.
    BlockingIOError
        Another run is writing to the same folder.
    OSError
        The disk is full; what was written until then is whole.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> from matminer_grid.pipeline.features import featurize_files, load_features
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load_mp_elasticity_table().crystals[:5].to_parquet(Path(folder) / "five.parquet")
    ...     report = featurize_files(Path(folder) / "five.parquet", Path(folder) / "features.parquet")
    ...     names, features = load_features(report.output)
    >>> report.n_rows, report.n_failed, features.shape
    (5, 0, (5, 10000))
    """
    featurizer = GRIDFeaturizer() if featurizer is None else featurizer
    compute = partial(_featurized, featurizer=featurizer, layout=layout, dtype=dtype)
    settings = feature_settings(featurizer, layout, dtype)
    return compute_files(inputs, output, compute, settings, n_jobs=n_jobs, piece_size=piece_size, pbar=pbar)


def feature_settings(featurizer: CrystalFeaturizer, layout: str, dtype: str) -> dict[str, Any]:
    """Tell, as JSON has it, what files of features depend on.

    Raises
    ------
    ValueError
        The layout or the dtype is unknown.
    """
    if layout not in COLUMNS:
        raise ValueError(f"layout must be one of {', '.join(map(repr, COLUMNS))}, not {layout!r}")
    if dtype not in {"float64", "float32"}:
        raise ValueError(f"dtype must be 'float64' or 'float32', not {dtype!r}")
    return {
        "featurizer": type(featurizer).__name__,
        "parameters": featurizer.get_params(),
        "n_features": len(featurizer.feature_labels()),
        "layout": layout,
        "dtype": dtype,
        "version": __version__,
    }


def compute_files(
    inputs: str | Path | Iterable[str | Path],
    output: str | Path,
    compute: Callable[[list[StructureBatch]], tuple[pa.Table, list[list[str]]]],
    settings: dict[str, Any],
    *,
    n_jobs: int = 1,
    piece_size: int = PIECE_SIZE,
    pbar: bool = False,
) -> FeaturizeReport:
    """Write what a function computes from the structures of files, as :func:`featurize_files` does with features.

    Parameters
    ----------
    inputs, output, n_jobs, piece_size, pbar
        As for :func:`featurize_files`, which tells the errors too.
    compute : callable
        Gets structures, which :func:`stack` stacks; gives a table of rows, and name and error of each structure that failed.
    settings : dict
        What the rows depend on, as JSON has it; a run with others doesn't go on in the same place.

    Returns
    -------
    FeaturizeReport
    """
    if not isinstance(piece_size, int) or not 1 <= piece_size <= LARGEST_PIECE:
        raise ValueError(f"piece_size must be a whole number from 1 to {LARGEST_PIECE}, not {piece_size!r}")
    output = Path(output)
    single = output.suffix == ".parquet"
    files = list(dict.fromkeys(find_structure_files(inputs)))

    parts = output.with_name(output.name + ".parts") if single else output
    if single and output.exists() and not parts.exists():
        raise FileExistsError(f"{output} exists already; remove it, or choose another name")
    errors_file = output.with_name(output.name + ".errors.jsonl") if single else output / "errors.jsonl"
    with Folder(parts, settings) as folder:
        progress = Progress(folder.pieces())
        progress.check(files)
        resumed = progress.n_rows + progress.n_failed
        try:
            with tqdm(desc="featurize", initial=resumed, unit=" structures", disable=not pbar) as bar:
                for structures, ranges in _pieces(files, progress, n_jobs, piece_size):
                    table, errors = compute(structures)
                    folder.write(table, {"files": ranges, "errors": errors})
                    progress.n_rows += len(table)
                    progress.n_failed += len(errors)
                    bar.update(len(table) + len(errors))
        except BaseException:  # Ctrl-C too: the list of what failed is written before the error goes on
            with suppress(OSError):  # the disk is full; the pieces hold the errors too
                folder.write_errors(errors_file)
            raise
        has_errors = folder.write_errors(errors_file)
        if not folder.n_pieces:
            raise ValueError(
                f"{files[0]}: no structures found in it" + (f", or in {len(files) - 1} more" if len(files) > 1 else "")
            )
        if single:
            folder.join(output)
            folder.remove()
    return FeaturizeReport(output, errors_file if has_errors else None, progress.n_rows, progress.n_failed, resumed)


def load_features(path: str | Path) -> tuple[NDArray[np.object_], scipy.sparse.csr_array | NDArray[Any]]:
    """Load what :func:`featurize_files` wrote.

    Parameters
    ----------
    path : str or Path
        The Parquet file, or the folder of pieces.

    Returns
    -------
    names : ndarray of shape (n,)
        File, and row, line or member within it, of each structure.
    features : scipy.sparse.csr_array or ndarray of shape (n, n_features)
        Sparse or dense, as it was written.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, or it isn't one that :func:`featurize_files` wrote.

    Examples
    --------
    >>> load_features("no-such-file.parquet")
    Traceback (most recent call last):
        ...
    FileNotFoundError: no-such-file.parquet
    """
    path = Path(path)
    pieces = sorted(path.glob("part-*.parquet")) if path.is_dir() else [path]
    if not pieces:
        raise FileNotFoundError(f"{path}: the folder holds no part-*.parquet")
    tables = [pq.read_table(piece) for piece in pieces]
    text = (tables[0].schema.metadata or {}).get(METADATA)
    if text is None:
        raise ValueError(f"{pieces[0]}: featurize_files didn't write it; its schema has no entry {METADATA.decode()!r}")
    n_features = json.loads(text)["n_features"]
    table = pa.concat_tables([table.replace_schema_metadata() for table in tables]).combine_chunks()
    names = table["name"].to_numpy()
    if "features" in table.column_names:
        return names, table["features"].combine_chunks().flatten().to_numpy().reshape(len(table), n_features)
    indices = table["indices"].combine_chunks()
    offsets = np.concatenate(([0], np.cumsum(indices.value_lengths().to_numpy())))
    values = table["values"].combine_chunks().flatten().to_numpy()
    return names, scipy.sparse.csr_array((values, indices.flatten().to_numpy(), offsets), shape=(len(table), n_features))


class Span(NamedTuple):
    """Structures of one file: a part of a batch, and whether the file ends with it."""

    file: Path
    batch: StructureBatch
    start: int
    stop: int
    ends: bool


def _pieces(
    files: list[Path], progress: Progress, n_jobs: int, piece_size: int
) -> Iterator[tuple[list[StructureBatch], list[list[Any]]]]:
    """Give the structures that are left to do, some at a time, with the files that they are from.

    Of each file: the name, the number of its structures in this piece, whether it ended, and if not its size and time.
    """
    gathered: list[Span] = []
    room = piece_size
    for span in _left_to_do([file for file in files if str(file) not in progress.ended], progress, n_jobs):
        start = span.start
        while start < span.stop:
            stop = min(span.stop, start + room)
            gathered.append(span._replace(start=start, stop=stop, ends=span.ends and stop == span.stop))
            room -= stop - start
            start = stop
            if room == 0:
                yield _piece(gathered)
                gathered, room = [], piece_size
    if gathered:
        yield _piece(gathered)


def _piece(spans: list[Span]) -> tuple[list[StructureBatch], list[list[Any]]]:
    ranges = []
    for file, group in groupby(spans, key=attrgetter("file")):
        from_file = list(group)
        ends = from_file[-1].ends
        ranges.append([str(file), sum(span.stop - span.start for span in from_file), ends, None if ends else stamp(file)])
    parts: list[Span] = []
    for span in spans:
        if parts and parts[-1].batch is span.batch and parts[-1].stop == span.start:
            parts[-1] = parts[-1]._replace(stop=span.stop)
        else:
            parts.append(span)
    return [part.batch.part(part.start, part.stop) for part in parts], ranges


def _left_to_do(files: list[Path], progress: Progress, n_jobs: int) -> Iterator[Span]:
    """Give the structures that are left to do, by file; those that a file has left follow one another."""
    position, skip = -1, 0
    waiting: Span | None = None
    for batch in read_batches(files, n_jobs=n_jobs):
        for following, start, stop in _by_file(batch, files, position):
            if waiting:
                yield waiting._replace(ends=following != position)
                waiting = None
            if following != position:
                position, skip = following, progress.skip(files[following])
            done = min(skip, stop - start)
            skip -= done
            if start + done < stop:
                waiting = Span(files[position], batch, start + done, stop, ends=False)
    if waiting:
        yield waiting._replace(ends=True)


def _by_file(batch: StructureBatch, files: list[Path], position: int) -> Iterator[tuple[int, int, int]]:
    """Give the files whose structures a batch holds, by their position, with the first row of each and the one behind its last.

    The first of them is at the given position or behind it.
    """
    start = 0
    while start < len(batch):
        position = next(i for i in range(max(0, position), len(files)) if _is_from(batch.names[start], files[i]))
        stop = start + 1
        if _is_from(batch.names[-1], files[position]):
            stop = len(batch)
        while stop < len(batch) and _is_from(batch.names[stop], files[position]):
            stop += 1
        yield position, start, stop
        start = stop


def _is_from(name: str, file: Path) -> bool:
    place = str(file)
    return name.startswith(place) and name[len(place) : len(place) + 1] in {"", "/", ":", "#"}


def _featurized(
    structures: list[StructureBatch], featurizer: CrystalFeaturizer, layout: str, dtype: str
) -> tuple[pa.Table, list[list[str]]]:
    """Give the rows of the structures that could be featurized, and name and error of the others, in order."""
    names, crystals, reasons = stack(structures)
    features: Any
    if layout == "sparse":
        features, failed = featurizer._compute_sparse(crystals, ignore_errors=True)
    else:
        features, failed = featurizer._compute(crystals, ignore_errors=True, return_errors=False, pbar=False)
    if failed:
        features = features[np.delete(np.arange(len(crystals)), list(failed))]
        read = np.delete(np.arange(len(names)), list(reasons))
        reasons |= {int(read[row]): str(error) for row, error in failed.items()}
    columns = [pa.array(np.delete(names, list(reasons)), pa.string())]
    if layout == "sparse":
        offsets = pa.array(features.indptr.astype(np.int32))
        columns.append(pa.ListArray.from_arrays(offsets, pa.array(features.indices.astype(np.int32))))
        columns.append(pa.ListArray.from_arrays(offsets, pa.array(features.data.astype(dtype))))
    else:
        offsets = pa.array(np.arange(len(features) + 1, dtype=np.int32) * features.shape[1])
        columns.append(pa.ListArray.from_arrays(offsets, pa.array(features.ravel().astype(dtype))))
    return pa.table(columns, names=COLUMNS[layout]), [[names[row], reasons[row]] for row in sorted(reasons)]
