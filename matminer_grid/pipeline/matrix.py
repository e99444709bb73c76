"""The full matrix of earth mover's distances, block by block."""

from __future__ import annotations

import json
from contextlib import closing
from hashlib import sha256
from io import BytesIO
from itertools import product
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse

from matminer_grid._files import replacing
from matminer_grid._version import __version__
from matminer_grid.crystals.composition import METRICS
from matminer_grid.pipeline._pieces import SETTINGS, Folder
from matminer_grid.pipeline._tasks import check_client, outcomes
from matminer_grid.similarity.composition import composition_vectors, vectors_emd
from matminer_grid.similarity.grid import grid_emd
from matminer_grid.similarity.histograms import Histograms, group_scales

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

BLOCK_SIZE = 2000
"""Rows and columns of a block."""


def emd_matrix(
    client: Any,
    X: ArrayLike | scipy.sparse.sparray,
    output: str | Path,
    Y: ArrayLike | scipy.sparse.sparray | None = None,
    *,
    n_groups: int,
    bin_size: float,
    group_weights: ArrayLike | None = None,
    compositions: Any = None,
    compositions_Y: Any = None,
    grid_weight: float = 1.0,
    composition_weight: float = 0.0,
    composition_metric: str = "substitution",
    dtype: str = "float64",
    block_size: int = BLOCK_SIZE,
    pbar: bool = False,
) -> Path:
    """Compute the earth mover's distances between all pairs of crystals on a Dask cluster, as a Parquet file for each block.

    The same call, made again, goes on where a former one was stopped.

    Parameters
    ----------
    client : dask.distributed.Client
    X : array-like or scipy.sparse array of shape (n_X, n_groups * n_bins)
        Features of a GRIDFeaturizer, such as :func:`~matminer_grid.pipeline.features.load_features` loads.
    output : str or Path
        A folder that client and workers see; it is made. :func:`load_emd_matrix` loads it.
    Y : array-like or scipy.sparse array of shape (n_Y, n_groups * n_bins), optional
        Features to compare with. Without it X is compared with itself, and only the upper triangle of blocks is computed and kept.
    n_groups, bin_size, group_weights
        As for :func:`~matminer_grid.similarity.grid_emd`.
    compositions, compositions_Y : optional
        Compositions of X and Y, as for :func:`~matminer_grid.similarity.composition_emd`, if they have a weight.
    grid_weight, composition_weight : float, default 1.0 and 0.0
        The matrix is the sum of both dissimilarities with these weights; 10 and 1 are those of the published method.
    composition_metric : {"substitution", "modified_pettifor"}
        As for :func:`~matminer_grid.similarity.composition_emd`.
    dtype : {"float64", "float32"}
        Type of the values; sums are made in float64 in any case.
    block_size : int
        Rows and columns of a block.
    pbar : bool
        Whether to show progress.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ImportError, TypeError
        Dask is missing; `client` is no Dask client.
    ValueError
        The features, compositions or a parameter are invalid; `output` holds something else, or was begun with other arguments.
    BlockingIOError
        Another run is writing to the same folder.

    References
    ----------
    R.-Z. Zhang, S. Seth and J. Cumby, Digital Discovery 2 (2023) 81-90, 10.1039/D2DD00054G.

    Examples
    --------
    >>> import tempfile
    >>> from dask.distributed import Client
    >>> from matminer_grid import GRIDFeaturizer
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> from matminer_grid.pipeline import emd_matrix, load_emd_matrix
    >>> X = GRIDFeaturizer().featurize_sparse(load_mp_elasticity_table().crystals[:30])
    >>> with tempfile.TemporaryDirectory() as folder, Client(processes=False, dashboard_address=None) as client:
    ...     matrix = load_emd_matrix(emd_matrix(client, X, folder, n_groups=100, bin_size=0.1, block_size=20))
    >>> matrix.shape
    (30, 30)
    """
    check_client(client)
    _check_parameters(bin_size, grid_weight, composition_weight, composition_metric, dtype, block_size)
    metric = composition_metric if composition_weight > 0 else None
    sides = {"X": _side(X, compositions, n_groups, metric, "X")}
    if Y is not None:
        sides["Y"] = _side(Y, compositions_Y, n_groups, metric, "Y")
        if sides["X"]["shape"][1] != sides["Y"]["shape"][1]:
            raise ValueError(
                f"X has {sides['X']['shape'][1]} columns and Y {sides['Y']['shape'][1]}; both must come from one featurizer"
            )
    columns = "X" if Y is None else "Y"
    settings = {
        "content": "EMD matrix",
        "shape": [int(sides[name]["shape"][0]) for name in ("X", columns)],
        "symmetric": Y is None,
        "n_groups": int(n_groups),
        "bin_size": float(bin_size),
        "scales": group_scales(n_groups, bin_size, group_weights).tolist(),
        "grid_weight": float(grid_weight),
        "composition_weight": float(composition_weight),
        "composition_metric": metric,
        "dtype": dtype,
        "block_size": block_size,
        "data": {name: _checksum(side) for name, side in sides.items()},
        "version": __version__,
    }
    weights = None if group_weights is None else np.asarray(group_weights, dtype=np.float64)
    with Folder(Path(output).absolute(), settings) as folder:
        todo = [block for block in _blocks(settings) if not _block_file(folder.path, block).exists()]
        for name, numbers in (("X", {row for row, _ in todo}), (columns, {column for _, column in todo})):
            for number in sorted(numbers):
                _write_side(folder.path, name, number, sides[name], block_size)
        tasks = [(folder.path, row, column, columns, folder.settings, weights) for row, column in todo]
        with closing(outcomes(client, _write_block, tasks, description="EMD blocks", pbar=pbar)) as done:
            for _, future in done:
                future.result()
        for file in folder.path.glob("side-*.npz"):
            file.unlink()
    return folder.path


def load_emd_matrix(path: str | Path, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Load the matrix that :func:`emd_matrix` wrote.

    Parameters
    ----------
    path : str or Path
        The folder.
    out : ndarray or numpy.memmap of shape (n_X, n_Y), optional
        Where to put it, for matrices larger than the memory.

    Returns
    -------
    ndarray of shape (n_X, n_Y)
        In float64 or float32, as it was written; GRID distances alone are in Å.

    Raises
    ------
    FileNotFoundError, ValueError
        The folder holds no matrix, blocks are missing, or `out` is of another shape.

    Examples
    --------
    >>> load_emd_matrix("no-such-folder")
    Traceback (most recent call last):
        ...
    FileNotFoundError: no-such-folder: the folder holds no EMD matrix
    """
    folder = Path(path)
    settings = json.loads((folder / SETTINGS).read_bytes()) if (folder / SETTINGS).is_file() else {}
    if settings.get("content") != "EMD matrix":
        raise FileNotFoundError(f"{folder}: the folder holds no EMD matrix")
    blocks = _blocks(settings)
    missing = [block for block in blocks if not _block_file(folder, block).exists()]
    if missing:
        raise ValueError(f"{folder}: {len(missing)} of {len(blocks)} blocks are missing; call emd_matrix again to compute them")
    shape = tuple(settings["shape"])
    matrix = np.empty(shape, settings["dtype"]) if out is None else out
    if matrix.shape != shape:
        raise ValueError(f"out must have the shape {shape}, not {matrix.shape}")
    for row, column in blocks:
        table = pq.read_table(_block_file(folder, (row, column)))
        values = table["emd"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
        rows, columns = (slice(number * settings["block_size"], (number + 1) * settings["block_size"]) for number in (row, column))
        matrix[rows, columns] = values
        if settings["symmetric"] and row != column:
            matrix[columns, rows] = values.T
    return matrix


def _check_parameters(
    bin_size: Any, grid_weight: Any, composition_weight: Any, composition_metric: Any, dtype: Any, block_size: Any
) -> None:
    if not isinstance(bin_size, Real) or not 0 < float(bin_size) < np.inf:
        raise ValueError(f"bin_size must be a number above 0 Å, not {bin_size!r}")
    for name, weight in (("grid_weight", grid_weight), ("composition_weight", composition_weight)):
        if not isinstance(weight, Real) or not 0 <= float(weight) < np.inf:
            raise ValueError(f"{name} must be a finite number of at least 0, not {weight!r}")
    if composition_metric not in METRICS:
        raise ValueError(f"unknown composition_metric {composition_metric!r}; choose one of {', '.join(map(repr, METRICS))}")
    if dtype not in {"float64", "float32"}:
        raise ValueError(f"dtype must be 'float64' or 'float32', not {dtype!r}")
    if not isinstance(block_size, int) or block_size < 1:
        raise ValueError(f"block_size must be a whole number of at least 1, not {block_size!r}")


def _side(X: Any, compositions: Any, n_groups: int, metric: str | None, name: str) -> dict[str, Any]:
    """Check and compress the features of one side, with its composition vectors if they count."""
    features = Histograms.from_features(X, n_groups, name)
    side = {
        "data": features.data,
        "indices": features.indices,
        "indptr": features.indptr,
        "shape": np.array([len(features), n_groups * features.n_bins]),
    }
    if metric is not None:
        if compositions is None:
            raise ValueError(f"with a composition weight above 0 the compositions of {name} are needed")
        side["compositions"] = composition_vectors(compositions, metric)
        if len(side["compositions"]) != len(features):
            raise ValueError(f"{name} has {len(features)} rows and {len(side['compositions'])} compositions")
    return side


def _checksum(side: dict[str, Any]) -> str:
    digest = sha256()
    for name in sorted(side):
        digest.update(np.ascontiguousarray(side[name]).data)
    return digest.hexdigest()


def _blocks(settings: dict[str, Any]) -> list[tuple[int, int]]:
    numbers = [range(-(-length // settings["block_size"])) for length in settings["shape"]]
    return [(row, column) for row, column in product(*numbers) if row <= column or not settings["symmetric"]]


def _block_file(folder: Path, block: tuple[int, int]) -> Path:
    return folder / f"block-{block[0]:05d}-{block[1]:05d}.parquet"


def _side_file(folder: Path, name: str, number: int) -> Path:
    return folder / f"side-{name}-{number:05d}.npz"


def _write_side(folder: Path, name: str, number: int, side: dict[str, Any], block_size: int) -> None:
    """Put the rows of a block where every worker can read them, workers that come later too."""
    rows = slice(number * block_size, (number + 1) * block_size)
    indptr = side["indptr"][rows.start : rows.stop + 1]
    values = slice(indptr[0], indptr[-1])
    arrays = {"data": side["data"][values], "indices": side["indices"][values], "indptr": indptr - indptr[0]}
    arrays["shape"] = np.array([len(indptr) - 1, side["shape"][1]])
    if "compositions" in side:
        arrays["compositions"] = side["compositions"][rows]
    content = BytesIO()
    np.savez(content, **arrays)
    with replacing(_side_file(folder, name, number)) as file:
        file.write(content.getbuffer())


def _read_side(folder: Path, name: str, number: int) -> tuple[scipy.sparse.csr_array, NDArray[np.float64] | None]:
    with np.load(_side_file(folder, name, number), allow_pickle=False) as file:
        features = scipy.sparse.csr_array((file["data"], file["indices"], file["indptr"]), shape=tuple(file["shape"]))
        return features, file.get("compositions")


def _write_block(
    folder: Path, row: int, column: int, columns: str, settings: dict[str, Any], group_weights: NDArray[np.float64] | None
) -> None:
    file = _block_file(folder, (row, column))
    if file.exists():
        return
    square = settings["symmetric"] and row == column
    x, from_compositions = _read_side(folder, "X", row)
    y, to_compositions = (None, None) if square else _read_side(folder, columns, column)
    sizes = {"n_groups": settings["n_groups"], "bin_size": settings["bin_size"], "group_weights": group_weights}
    matrix = settings["grid_weight"] * grid_emd(x, y, **sizes, n_jobs=1, pbar=False)
    if from_compositions is not None:
        metric = settings["composition_metric"]
        matrix += settings["composition_weight"] * vectors_emd(from_compositions, to_compositions, metric, n_jobs=1)
    values = pa.array(matrix.astype(settings["dtype"]).ravel())
    sink = pa.BufferOutputStream()
    table = pa.table({"emd": pa.FixedSizeListArray.from_arrays(values, matrix.shape[1])})
    pq.write_table(table, sink, compression="zstd", use_dictionary=False)
    with replacing(file) as out:
        out.write(sink.getvalue())
