"""The full matrix of dissimilarities, block by block."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import fields
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from matminer_grid._files import replacing
from matminer_grid._validation import check_choice, check_whole
from matminer_grid._version import __version__
from matminer_grid.pipeline._parts import SETTINGS, Folder, check_format
from matminer_grid.pipeline._tasks import check_client, outcomes
from matminer_grid.pipeline.features import DTYPES
from matminer_grid.similarity.described import DescribedCrystals
from matminer_grid.similarity.dissimilarity import CrystalDissimilarity, checked_dissimilarity
from matminer_grid.similarity.histograms import Histograms
from matminer_grid.similarity.sites import Sites

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_SIZE = 2000
"""Rows and columns of a block."""


def emd_matrix(
    client: Any,
    X: Any,
    output: str | Path,
    Y: Any = None,
    *,
    dissimilarity: CrystalDissimilarity | None = None,
    dtype: str = "float64",
    block_size: int = BLOCK_SIZE,
    pbar: bool = False,
) -> Path:
    """Compute the dissimilarities of all pairs of crystals on a Dask cluster, as a Parquet file for each block.

    The same call, made again, goes on where a former one was stopped: blocks that are there are skipped.

    Parameters
    ----------
    client, pbar
        As for :func:`featurize_partitions`.
    X : structures or DescribedCrystals
        As for :meth:`CrystalDissimilarity.describe`, which also takes features that exist, such as :func:`load_features` loads.
    output : str or Path
        A folder that client and workers see; it is made. :func:`load_emd_matrix` loads it.
    Y : structures or DescribedCrystals, optional
        Crystals to compare with. Without them those of X are compared with each other, and only the upper triangle of blocks is
        computed and kept.
    dissimilarity : CrystalDissimilarity, optional
        ``CrystalDissimilarity()`` by default.
    dtype : {"float64", "float32"}
        Type of the values; sums are made in float64 in any case.
    block_size : int
        Rows and columns of a block.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ImportError, TypeError, ValueError, BlockingIOError
        As for :func:`featurize_partitions`; or the crystals or a parameter are invalid.

    Examples
    --------
    >>> import tempfile
    >>> from dask.distributed import Client
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> from matminer_grid.pipeline import emd_matrix, load_emd_matrix
    >>> crystals = load_mp_elasticity_table().crystals[:30]
    >>> with tempfile.TemporaryDirectory() as folder, Client(processes=False, dashboard_address=":0") as client:
    ...     matrix = load_emd_matrix(emd_matrix(client, crystals, folder, block_size=20))
    >>> matrix.shape
    (30, 30)
    """
    check_client(client)
    check_choice("dtype", dtype, DTYPES)
    check_whole("block_size", block_size)
    dissimilarity = checked_dissimilarity(dissimilarity)
    sides = {"X": dissimilarity.describe(X)} | ({} if Y is None else {"Y": dissimilarity.describe(Y)})
    columns = "X" if Y is None else "Y"
    made_with = sides["X"].made_with
    settings = {
        "content": "EMD matrix",
        "shape": [len(sides[name]) for name in ("X", columns)],
        "symmetric": Y is None,
        "dissimilarity": made_with
        | {"scales": dissimilarity.scales.tolist()}
        | {name: float(getattr(dissimilarity, name)) for name in ("grid_weight", "composition_weight", "neighbor_weight")},
        "dtype": dtype,
        "block_size": int(block_size),
        "data": {name: _checksum(side) for name, side in sides.items()},
        "version": __version__,
    }
    with Folder(Path(output).absolute(), settings) as folder:
        todo = [block for block in _blocks(settings) if not _block_file(folder.path, block).exists()]
        for name, numbers in (("X", {row for row, _ in todo}), (columns, {column for _, column in todo})):
            for number in sorted(numbers):
                some = sides[name][number * block_size : (number + 1) * block_size]
                with replacing(_side_file(folder.path, name, number)) as file:
                    np.savez(file, **_arrays(some))
        tasks = [(folder.path, block, columns, dissimilarity, made_with, dtype) for block in todo]
        with closing(outcomes(client, _write_block, tasks, description="EMD blocks", pbar=pbar)) as done:
            for _, future in done:
                future.result()
        for side in folder.path.glob("side-*.npz"):
            side.unlink()
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
        In float64 or float32, as it was written.

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
    check_format(folder, settings)
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


def _arrays(side: DescribedCrystals) -> dict[str, Any]:
    """Give what crystals are described by, as arrays by name."""
    arrays = {field.name: np.asarray(getattr(side.structure, field.name)) for field in fields(side.structure)}
    return arrays | {"compositions": side.compositions}


def _checksum(side: DescribedCrystals) -> str:
    digest = sha256()
    for array in _arrays(side).values():
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _blocks(settings: dict[str, Any]) -> list[tuple[int, int]]:
    numbers = [range(-(-length // settings["block_size"])) for length in settings["shape"]]
    return [(row, column) for row, column in product(*numbers) if row <= column or not settings["symmetric"]]


def _block_file(folder: Path, block: tuple[int, int]) -> Path:
    return folder / f"block-{block[0]:05d}-{block[1]:05d}.parquet"


def _side_file(folder: Path, name: str, number: int) -> Path:
    """Name what holds the crystals of a block's rows or columns, where every worker can read it, workers that come later too."""
    return folder / f"side-{name}-{number:05d}.npz"


def _read_side(file: Path, made_with: dict[str, Any]) -> DescribedCrystals:
    with np.load(file, allow_pickle=False) as arrays:
        values: dict[str, Any] = {name: array if array.ndim else array.item() for name, array in arrays.items()}
    compositions = values.pop("compositions")
    structure = Sites(**values) if made_with["resolution"] == "sites" else Histograms(**values)
    return DescribedCrystals(structure, compositions, made_with)


def _write_block(
    folder: Path, block: tuple[int, int], columns: str, dissimilarity: CrystalDissimilarity, made_with: dict[str, Any], dtype: str
) -> None:
    file = _block_file(folder, block)
    if file.exists():
        return
    x = _read_side(_side_file(folder, "X", block[0]), made_with)
    square = columns == "X" and block[0] == block[1]
    y = None if square else _read_side(_side_file(folder, columns, block[1]), made_with)
    matrix = dissimilarity.pairwise(x, y, n_jobs=1)
    values = pa.array(matrix.astype(dtype).ravel())
    table = pa.table({"emd": pa.FixedSizeListArray.from_arrays(values, matrix.shape[1])})
    with replacing(file) as out:
        pq.write_table(table, out, compression="zstd", use_dictionary=False)
