"""Exact nearest neighbours in references that are spread over partitions."""

from __future__ import annotations

import json
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matminer_grid._validation import check_whole
from matminer_grid.crystals.table import CrystalTable
from matminer_grid.featurizers.grid import GRIDFeaturizer
from matminer_grid.io.parquet import load_crystals
from matminer_grid.pipeline._parts import SETTINGS, part_files, read_units
from matminer_grid.pipeline._tasks import check_client, count_rows, outcomes, partition_files, unit_name
from matminer_grid.pipeline.features import read_features
from matminer_grid.similarity.dissimilarity import CrystalDissimilarity, checked_dissimilarity
from matminer_grid.similarity.grid_index import TIE
from matminer_grid.similarity.index_files import MANIFEST
from matminer_grid.similarity.search import EMDSearch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from matminer_grid.similarity.described import DescribedCrystals

    Neighbors = tuple[NDArray[np.float64], NDArray[np.int64]]

QUERIES_AT_ONCE = 256
"""Queries that a worker answers in one go, where references are an index."""


def kneighbors(
    client: Any,
    inputs: str | Path | Iterable[str | Path],
    X: Any,
    *,
    n_neighbors: int = 5,
    dissimilarity: CrystalDissimilarity | None = None,
    features: str | Path | None = None,
    pbar: bool = False,
) -> Neighbors:
    """Find the nearest references of each query, exactly, where the references are partitions on a Dask cluster.

    Each partition answers with its best. The result is that of one :class:`~matminer_grid.similarity.EMDSearch` over all
    partitions: ties go to the lower row.

    Parameters
    ----------
    client, pbar
        As for :func:`featurize_partitions`.
    inputs : str, Path, or several
        The references: a folder of Parquet files of crystals that client and workers see, or the files; or the folder of an index
        of :func:`~matminer_grid.build_index`, whose dissimilarity it then is.
    X : structures or DescribedCrystals
        The queries, as for :meth:`EMDSearch.kneighbors`.
    n_neighbors : int, default 5
        Number of neighbours.
    dissimilarity : CrystalDissimilarity, optional
        ``CrystalDissimilarity()`` by default.
    features : str or Path, optional
        Folder that :func:`featurize_partitions` wrote for the references, with the dissimilarity's featurizer. It saves the time
        to featurize them, and leaves out those that failed.

    Returns
    -------
    distances, indices : ndarray of shape (n_queries, n_neighbors)
        Dissimilarities, ascending, and rows of the references: those of all files, one after another in the order of their names.

    Raises
    ------
    ImportError, TypeError, FileNotFoundError, ValueError
        As for :func:`featurize_partitions`; or an argument is invalid, or a partition, which is named, can't be read or featurized
        or lacks its features.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from dask.distributed import Client
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> from matminer_grid.pipeline import kneighbors
    >>> crystals = load_mp_elasticity_table().crystals
    >>> with tempfile.TemporaryDirectory() as folder, Client(processes=False, dashboard_address=":0") as client:
    ...     crystals[:20].to_parquet(Path(folder) / "a.parquet")
    ...     crystals[20:40].to_parquet(Path(folder) / "b.parquet")
    ...     distances, indices = kneighbors(client, folder, crystals[[7, 23]], n_neighbors=3)
    >>> indices[:, 0]
    array([ 7, 23])
    """
    check_client(client)
    check_whole("n_neighbors", n_neighbors)
    if isinstance(inputs, (str, Path)) and (Path(inputs) / MANIFEST).exists():
        return _kneighbors_in_index(client, Path(inputs).absolute(), X, int(n_neighbors), dissimilarity, pbar=pbar)
    dissimilarity = checked_dissimilarity(dissimilarity)
    queries = dissimilarity.describe(X)
    files = partition_files(inputs)
    if features is not None:
        _check_settings(Path(features), dissimilarity)
    counts = np.array([count_rows(file) for file in files])
    starts = (np.cumsum(counts) - counts)[counts > 0]
    files = [file for file, count in zip(files, counts, strict=True) if count]
    parts = [None if features is None else _parts_of(file, Path(features).absolute()) for file in files]
    available = sum(count_rows(one) for file, some in zip(files, parts, strict=True) for one in some or [file])
    if n_neighbors > available:
        raise ValueError(f"n_neighbors must be between 1 and the number of references, {available}, not {n_neighbors}")
    tasks = [(file, some, int(n_neighbors)) for file, some in zip(files, parts, strict=True)]
    best = _none(queries)
    shared = {"dissimilarity": dissimilarity, "queries": queries}
    with closing(outcomes(client, _nearest_of_partition, tasks, description="neighbours", pbar=pbar, **shared)) as found:
        for number, future in found:
            distances, rows = future.result()
            best = _nearer(best, (distances, rows + starts[number]), int(n_neighbors))
    return best


def _kneighbors_in_index(
    client: Any, path: Path, X: Any, k: int, dissimilarity: CrystalDissimilarity | None, *, pbar: bool
) -> Neighbors:
    """Share the queries among the workers, each of which opens the index."""
    search = EMDSearch.load(path, dissimilarity)
    queries = search.dissimilarity_.describe(X)
    if k > search.n_samples_fit_:
        raise ValueError(f"n_neighbors must be between 1 and the number of references, {search.n_samples_fit_}, not {k}")
    starts = range(0, len(queries), QUERIES_AT_ONCE)
    written = (path / MANIFEST).stat().st_mtime_ns
    tasks = [(path, written, queries[start : start + QUERIES_AT_ONCE], k) for start in starts]
    distances, rows = np.empty((len(queries), k)), np.empty((len(queries), k), np.int64)
    with closing(outcomes(client, _nearest_in_index, tasks, description="neighbours", pbar=pbar)) as found:
        for number, future in found:
            own = slice(starts[number], starts[number] + QUERIES_AT_ONCE)
            distances[own], rows[own] = future.result()
    return distances, rows


def _nearest_in_index(path: Path, written: int, queries: DescribedCrystals, k: int) -> Neighbors:
    return _opened(path, written).kneighbors(queries, k)


@lru_cache(maxsize=1)
def _opened(path: Path, _written: int) -> EMDSearch:
    """Open an index that was written at a time, once in a worker."""
    return EMDSearch.load(path, contents=False, n_jobs=1)


def _none(queries: DescribedCrystals) -> Neighbors:
    return np.empty((len(queries), 0)), np.empty((len(queries), 0), np.int64)


def _check_settings(folder: Path, dissimilarity: CrystalDissimilarity) -> None:
    """Refuse features that another featurizer than the dissimilarity's has made."""
    own = json.loads(json.dumps((dissimilarity.featurizer or GRIDFeaturizer()).get_params()))
    file = folder / SETTINGS
    made_with = json.loads(file.read_bytes())["parameters"] if file.is_file() else own
    if made_with != own:
        raise ValueError(f"{folder}: its features were made with {made_with}, and the dissimilarity's featurizer has {own}")


def _parts_of(file: Path, folder: Path) -> list[Path]:
    """Find the parts of a partition's features; all must be there, and the partition be as it was."""
    unit = read_units(folder, unit_name(file)).get(unit_name(file))
    if unit is None or not unit.has_ended:
        raise FileNotFoundError(f"{folder}: features of {file} are missing; call featurize_partitions")
    unit.check({str(file)})
    return [part for _, _, part in part_files(folder, unit.name)]


def _nearest_of_partition(
    file: Path, parts: list[Path] | None, k: int, dissimilarity: CrystalDissimilarity, queries: DescribedCrystals
) -> Neighbors:
    """Answer with the best k of one partition, or all if it has fewer; rows are those of its file."""
    try:
        if parts is None:
            described = dissimilarity.describe(load_crystals(file)[0], n_jobs=1)
            rows = np.arange(len(described))
        else:
            names, X = read_features(parts)
            rows = np.array([int(name.rpartition(":")[2]) for name in names], dtype=np.int64)
            if len(rows) == 0:
                return _none(queries)
            crystals = CrystalTable.from_parquet(file)[rows] if dissimilarity.composition_weight > 0 else None
            described = dissimilarity.describe(crystals, features=X)
        search = EMDSearch(dissimilarity, n_jobs=1).fit(described)
        distances, nearest = search.kneighbors(queries, min(k, len(rows)))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    return distances, rows[nearest]


def _nearer(one: Neighbors, other: Neighbors, k: int) -> Neighbors:
    """Merge two answers to the same queries, by the rule of ties of a local search."""
    distances, rows = (np.concatenate(parts, axis=1) for parts in zip(one, other, strict=True))
    order = np.lexsort((rows, np.rint(distances / TIE)), axis=1)[:, :k]
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(rows, order, axis=1)
