"""Features of files and folders, in Parquet."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse
from sklearn.base import clone

from matminer_grid._validation import check_choice
from matminer_grid._version import __version__
from matminer_grid.featurizers.grid import GRIDFeaturizer
from matminer_grid.io.records import stack
from matminer_grid.pipeline._parts import METADATA, PART_SIZE, check_format, find_parts, sort_out
from matminer_grid.pipeline._run import Report, compute_files, compute_partitions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from matminer_grid.featurizers.base import CrystalFeaturizer
    from matminer_grid.io.records import StructureBatch

COLUMNS = {"sparse": ["name", "indices", "values"], "list": ["name", "features"]}
"""Columns of each layout."""

DTYPES = ("float64", "float32")


def featurize_files(
    inputs: str | Path | Iterable[str | Path],
    output: str | Path,
    featurizer: CrystalFeaturizer | None = None,
    *,
    layout: str = "sparse",
    dtype: str = "float64",
    n_jobs: int = 1,
    part_size: int = PART_SIZE,
    pbar: bool = False,
) -> Report:
    """Featurize the structures of files and folders into a Parquet file, or a folder of them, in bounded memory.

    A run that was stopped, by Ctrl-C, a full disk or a lost machine, goes on where it was if it is started again with the same
    arguments; no row is lost or doubled. Structures that fail are listed in ``errors.jsonl`` and hold nothing up.

    Parameters
    ----------
    inputs : str, Path, or several
        What :func:`~matminer_grid.io.read_structures_from` reads: files, folders, archives, JSON lines, Parquet, databases.
    output : str or Path
        A name that ends in ``.parquet``: one file is written, from parts gathered beside it in a folder ``NAME.parts``, and its
        errors go to ``NAME.errors.jsonl``. Any other name: a folder, which is made, of parts and ``errors.jsonl``.
    featurizer : CrystalFeaturizer, optional
        GRIDFeaturizer() by default. Its number of jobs is the number of threads that compute.
    layout : {"sparse", "list"}
        "sparse": the columns `indices` and `values`, lists of the positions and values of features that aren't zero. "list": the
        column `features`, lists of all of them. Both have the column `name`, of the file and the row, line or member within it.
    dtype : {"float64", "float32"}
        Type of the values.
    n_jobs : int
        Processes that parse files, -1 for one a core.
    part_size : int
        Structures in a part.
    pbar : bool
        Whether to show progress.

    Returns
    -------
    Report

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
    >>> from matminer_grid.pipeline import featurize_files, load_features
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
    return compute_files(inputs, output, compute, settings, n_jobs=n_jobs, part_size=part_size, pbar=pbar)


def featurize_partitions(
    client: Any,
    inputs: str | Path | Iterable[str | Path],
    output: str | Path,
    featurizer: CrystalFeaturizer | None = None,
    *,
    layout: str = "sparse",
    dtype: str = "float64",
    pbar: bool = False,
) -> Report:
    """Featurize a partitioned data set of crystals on a Dask cluster.

    The worker that featurizes a partition writes its output. A partition that is done isn't repeated, neither when a worker is lost
    nor when the same call is made again; one that was begun goes on after its last 2,000 structures.

    Parameters
    ----------
    client : dask.distributed.Client
    inputs : str, Path, or several
        A folder of Parquet files, or the files: crystals as :meth:`CrystalTable.to_parquet` writes them, or a column of
        structures as JSON or CIF.
    output : str or Path
        A folder that client and workers see; it is made. :func:`load_features` loads it.
    featurizer, layout, dtype, pbar
        As for :func:`featurize_files`.

    Returns
    -------
    Report
        Partitions that can't be read are told there by name; the others are kept.

    Raises
    ------
    ImportError, TypeError
        Dask is missing; `client` is no Dask client.
    FileNotFoundError, ValueError, BlockingIOError
        As for :func:`featurize_files`; or there are no partitions.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from dask.distributed import Client
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> from matminer_grid.pipeline import featurize_partitions, load_features
    >>> crystals = load_mp_elasticity_table().crystals
    >>> with tempfile.TemporaryDirectory() as folder, Client(processes=False, dashboard_address=":0") as client:
    ...     crystals[:3].to_parquet(Path(folder) / "a.parquet")
    ...     crystals[3:5].to_parquet(Path(folder) / "b.parquet")
    ...     report = featurize_partitions(client, folder, Path(folder) / "features")
    ...     names, features = load_features(report.output)
    >>> report.n_rows, features.shape
    (5, (5, 10000))
    """
    featurizer = GRIDFeaturizer() if featurizer is None else clone(featurizer)
    featurizer.set_n_jobs(1)
    compute = partial(_featurized, featurizer=featurizer, layout=layout, dtype=dtype)
    return compute_partitions(client, inputs, output, compute, feature_settings(featurizer, layout, dtype), pbar=pbar)


def feature_settings(featurizer: CrystalFeaturizer, layout: str, dtype: str) -> dict[str, Any]:
    """Check layout and dtype, and tell, as JSON has it, what files of features depend on."""
    check_choice("layout", layout, COLUMNS)
    check_choice("dtype", dtype, DTYPES)
    return {
        "featurizer": type(featurizer).__name__,
        "parameters": featurizer.get_params(),
        "n_features": len(featurizer.feature_labels()),
        "layout": layout,
        "dtype": dtype,
        "version": __version__,
    }


def load_features(path: str | Path) -> tuple[NDArray[np.object_], scipy.sparse.csr_array | NDArray[Any]]:
    """Load what :func:`featurize_files` wrote.

    Parameters
    ----------
    path : str or Path
        The Parquet file, or the folder of parts.

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
    return read_features(find_parts(path) if path.is_dir() else [path])


def read_features(parts: list[Path]) -> tuple[NDArray[np.object_], scipy.sparse.csr_array | NDArray[Any]]:
    """Load what stands in some parts, as :func:`load_features` does."""
    tables = [pq.read_table(part) for part in parts]
    text = (tables[0].schema.metadata or {}).get(METADATA)
    if text is None:
        raise ValueError(f"{parts[0]}: featurize_files didn't write it; its schema has no entry {METADATA.decode()!r}")
    settings = json.loads(text)
    check_format(parts[0], settings)
    n_features = settings["n_features"]
    table = pa.concat_tables([table.replace_schema_metadata() for table in tables]).combine_chunks()
    names = table["name"].to_numpy()
    if "features" in table.column_names:
        return names, table["features"].combine_chunks().flatten().to_numpy().reshape(len(table), n_features)
    indices = table["indices"].combine_chunks()
    offsets = np.concatenate(([0], np.cumsum(indices.value_lengths().to_numpy())))
    values = table["values"].combine_chunks().flatten().to_numpy()
    return names, scipy.sparse.csr_array((values, indices.flatten().to_numpy(), offsets), shape=(len(table), n_features))


def _featurized(
    structures: list[StructureBatch], featurizer: CrystalFeaturizer, layout: str, dtype: str
) -> tuple[pa.Table, list[list[str]]]:
    """Give the rows of the structures that could be featurized, and name and error of the others, in order."""
    names, crystals, unread = stack(structures)
    features: Any
    if layout == "sparse":
        features, failed = featurizer._compute_sparse(crystals, ignore_errors=True)
    else:
        features, failed = featurizer._compute(crystals, ignore_errors=True, return_errors=False, pbar=False)
    if failed:
        features = features[np.delete(np.arange(len(crystals)), list(failed))]
    kept, errors = sort_out(names, unread, failed)
    columns = [kept]
    if layout == "sparse":
        offsets = pa.array(features.indptr.astype(np.int32))
        columns.append(pa.ListArray.from_arrays(offsets, pa.array(features.indices.astype(np.int32))))
        columns.append(pa.ListArray.from_arrays(offsets, pa.array(features.data.astype(dtype))))
    else:
        offsets = pa.array(np.arange(len(features) + 1, dtype=np.int32) * features.shape[1])
        columns.append(pa.ListArray.from_arrays(offsets, pa.array(features.ravel().astype(dtype))))
    return pa.table(columns, names=COLUMNS[layout]), errors
