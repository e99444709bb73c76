"""Exact nearest neighbours in references that are spread over partitions."""

from __future__ import annotations

from contextlib import closing
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone

from matminer_grid.crystals.table import CrystalTable
from matminer_grid.io.parquet import load_crystals
from matminer_grid.pipeline._tasks import check_client, count_rows, outcomes, partition_files, piece_name
from matminer_grid.pipeline.features import load_features
from matminer_grid.similarity.dissimilarity import checked_dissimilarity
from matminer_grid.similarity.search import TIE, EMDSearch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from matminer_grid.similarity.dissimilarity import DescribedCrystals

    Neighbors = tuple[NDArray[np.float64], NDArray[np.int64]]


def kneighbors(
    client: Any,
    search: EMDSearch,
    X: Any,
    references: str | Path | Iterable[str | Path],
    k: int = 1,
    *,
    features: str | Path | None = None,
    pbar: bool = False,
) -> Neighbors:
    """Find the k nearest references of each query, exactly, where the references are partitions on a Dask cluster.

    Each partition answers with its best k. The result is that of one :class:`~matminer_grid.similarity.EMDSearch` over all
    partitions: ties go to the lower row.

    Parameters
    ----------
    client : dask.distributed.Client
    search : EMDSearch
        The settings; it needn't be fitted.
    X : structures or DescribedCrystals
        The queries, as for :meth:`EMDSearch.kneighbors`.
    references : str, Path, or several
        A folder of Parquet files of crystals that client and workers see, or the files.
    k : int, default 1
        Number of neighbours.
    features : str or Path, optional
        Folder that :func:`featurize_partitions` wrote for the references, with the search's GRIDFeaturizer. It saves the time to
        featurize them, and leaves out those that failed.
    pbar : bool
        Whether to show progress.

    Returns
    -------
    distances : ndarray of shape (n_queries, k)
        Weighted sums of the dissimilarities, ascending.
    indices : ndarray of shape (n_queries, k)
        Rows of the references: those of all files, one after another in the order of their names.

    Raises
    ------
    ImportError, TypeError
        Dask is missing; `client` is no Dask client, `search` no EMDSearch.
    FileNotFoundError, ValueError
        The queries or k are invalid, or a partition can't be read or featurized: the message names it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from dask.distributed import Client
    >>> from matminer_grid import EMDSearch
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> from matminer_grid.pipeline import kneighbors
    >>> crystals = load_mp_elasticity_table().crystals
    >>> with tempfile.TemporaryDirectory() as folder, Client(processes=False, dashboard_address=None) as client:
    ...     crystals[:20].to_parquet(Path(folder) / "a.parquet")
    ...     crystals[20:40].to_parquet(Path(folder) / "b.parquet")
    ...     distances, indices = kneighbors(client, EMDSearch(), crystals[[7, 23]], folder, k=3)
    >>> indices[:, 0]
    array([ 7, 23])
    """
    check_client(client)
    if not isinstance(search, EMDSearch):
        raise TypeError(f"search must be an EMDSearch, not {type(search).__name__}")
    if not isinstance(k, Integral) or isinstance(k, bool):
        raise TypeError(f"k must be a whole number, not {k!r}")
    queries = checked_dissimilarity(search.dissimilarity).describe(X)
    search = clone(search).set_params(n_jobs=1)
    files = partition_files(references)
    counts = np.array([count_rows(file) for file in files])
    starts = (np.cumsum(counts) - counts)[counts > 0]
    files = [file for file, count in zip(files, counts, strict=True) if count]
    pieces = [None if features is None else Path(features).absolute() / piece_name(file) for file in files]
    available = sum(count_rows(piece or file) for file, piece in zip(files, pieces, strict=True))
    if not 1 <= k <= available:
        raise ValueError(f"k must be between 1 and the number of references, {available}, not {k}")
    tasks = [(file, piece, int(k)) for file, piece in zip(files, pieces, strict=True)]
    best: Neighbors = np.empty((len(queries), 0)), np.empty((len(queries), 0), np.int64)
    shared = {"search": search, "queries": queries}
    with closing(outcomes(client, _nearest_of_partition, tasks, description="neighbours", pbar=pbar, **shared)) as found:
        for number, future in found:
            distances, rows = future.result()
            best = _nearer(best, (distances, rows + starts[number]), int(k))
    return best


def _nearest_of_partition(file: Path, piece: Path | None, k: int, search: EMDSearch, queries: DescribedCrystals) -> Neighbors:
    """Answer with the best k of one partition, or all if it has fewer; rows are those of its file."""
    search = clone(search)
    dissimilarity = checked_dissimilarity(search.dissimilarity)
    crystals = load_crystals(file)[0] if piece is None else None
    try:
        if crystals is not None:
            rows = np.arange(len(crystals))
            search.fit(crystals)
        else:
            names, X = load_features(str(piece))
            rows = np.array([int(name.rpartition(":")[2]) for name in names], dtype=np.int64)
            if len(rows) == 0:
                return np.empty((len(queries), 0)), np.empty((len(queries), 0), np.int64)
            if rows.max() >= count_rows(file):
                raise ValueError(f"it was changed after {piece} had been written")  # noqa: TRY301  it gets the file's name
            table = CrystalTable.from_parquet(file)[rows] if dissimilarity.composition_weight > 0 else None
            search.fit(dissimilarity.describe(table, features=X))
        distances, nearest = search.kneighbors(queries, min(k, len(rows)))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    return distances, rows[nearest]


def _nearer(one: Neighbors, other: Neighbors, k: int) -> Neighbors:
    """Merge two answers to the same queries, by the rule of ties of a local search."""
    distances, rows = (np.concatenate(parts, axis=1) for parts in zip(one, other, strict=True))
    order = np.lexsort((rows, np.rint(distances / TIE)), axis=1)[:, :k]
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(rows, order, axis=1)
