"""Partition by partition: features and predictions of crystals, each partition's in a Parquet file of its own."""

from __future__ import annotations

import json
import math
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.base import clone

from matminer_grid._files import replacing
from matminer_grid._version import __version__
from matminer_grid.featurizers.grid import GRIDFeaturizer
from matminer_grid.io.formats import stack
from matminer_grid.models.kernel import GRIDKernelRegressor
from matminer_grid.pipeline._pieces import Folder, stamp
from matminer_grid.pipeline._tasks import check_client, count_rows, outcomes, partition_files, piece_name
from matminer_grid.pipeline.features import compute_files, feature_settings, featurize_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from matminer_grid.crystals.table import CrystalTable
    from matminer_grid.featurizers.base import CrystalFeaturizer
    from matminer_grid.io.formats import StructureBatch


@dataclass(frozen=True)
class PartitionsReport:
    """What was done with a partitioned data set.

    Parameters
    ----------
    output : Path
        The folder, with a Parquet file for each partition.
    errors_file : Path or None
        JSON lines with the `name` and the `error` of each structure and partition that failed; None if none did.
    n_rows : int
        Rows written, those of former runs included.
    n_failed : int
        Structures that couldn't be read or computed, those of failed partitions left out.
    n_resumed : int
        How many of both a former run had done already.
    failed_partitions : dict of Path to str
        Partitions of which nothing was kept, and why; they are tried again when the same call is made again.
    """

    output: Path
    errors_file: Path | None = None
    n_rows: int = 0
    n_failed: int = 0
    n_resumed: int = 0
    failed_partitions: dict[Path, str] = field(default_factory=dict)


def featurize_partitions(
    client: Any,
    inputs: str | Path | Iterable[str | Path],
    output: str | Path,
    featurizer: CrystalFeaturizer | None = None,
    *,
    layout: str = "sparse",
    dtype: str = "float64",
    pbar: bool = False,
) -> PartitionsReport:
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
        A folder that client and workers see; it is made. :func:`~matminer_grid.pipeline.features.load_features` loads it.
    featurizer : CrystalFeaturizer, optional
        GRIDFeaturizer() by default.
    layout : {"sparse", "list"}
        As for :func:`~matminer_grid.pipeline.features.featurize_files`.
    dtype : {"float64", "float32"}
        Type of the values.
    pbar : bool
        Whether to show progress.

    Returns
    -------
    PartitionsReport
        Partitions that can't be read are told there by name; the others are kept.

    Raises
    ------
    ImportError, TypeError
        Dask is missing; `client` is no Dask client.
    FileNotFoundError, ValueError
        There are no partitions; `output` holds something else, or was begun with other arguments.
    BlockingIOError
        Another run is writing to the same folder.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from dask.distributed import Client
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> from matminer_grid.pipeline import featurize_partitions
    >>> from matminer_grid.pipeline.features import load_features
    >>> crystals = load_mp_elasticity_table().crystals
    >>> with tempfile.TemporaryDirectory() as folder, Client(processes=False, dashboard_address=None) as client:
    ...     (Path(folder) / "crystals").mkdir()
    ...     crystals[:3].to_parquet(Path(folder) / "crystals" / "a.parquet")
    ...     crystals[3:5].to_parquet(Path(folder) / "crystals" / "b.parquet")
    ...     report = featurize_partitions(client, Path(folder) / "crystals", Path(folder) / "features")
    ...     names, features = load_features(report.output)
    >>> report.n_rows, features.shape
    (5, (5, 10000))
    """
    check_client(client)
    featurizer = GRIDFeaturizer() if featurizer is None else clone(featurizer)
    featurizer.set_n_jobs(1)
    settings = feature_settings(featurizer, layout, dtype)
    write = partial(featurize_files, featurizer=featurizer, layout=layout, dtype=dtype)
    return _by_partition(client, inputs, output, write, settings, "featurize", pbar)


def predict_partitions(
    client: Any,
    model: str | Path,
    inputs: str | Path | Iterable[str | Path],
    output: str | Path,
    *,
    return_std: bool = False,
    pbar: bool = False,
) -> PartitionsReport:
    """Predict a property of the crystals of a partitioned data set on a Dask cluster.

    Each worker loads the model once, and logs which elements no training crystal has. What is resumed and what is kept is as for
    :func:`featurize_partitions`.

    Parameters
    ----------
    client : dask.distributed.Client
    model : str or Path
        A file that :meth:`GRIDKernelRegressor.save` wrote, where the workers see it.
    inputs, output
        As for :func:`featurize_partitions`; :func:`load_predictions` loads the output.
    return_std : bool
        Whether to give the standard deviations too.
    pbar : bool
        Whether to show progress.

    Returns
    -------
    PartitionsReport

    Raises
    ------
    ImportError, TypeError, FileNotFoundError, ValueError, BlockingIOError
        As for :func:`featurize_partitions`; or the file holds no model.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from dask.distributed import Client
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> from matminer_grid.pipeline import load_predictions, predict_partitions
    >>> from matminer_grid.models import GRIDKernelRegressor
    >>> data = load_mp_elasticity_table()
    >>> with tempfile.TemporaryDirectory() as folder, Client(processes=False, dashboard_address=None) as client:
    ...     path = Path(folder)
    ...     GRIDKernelRegressor(tune_iterations=0).fit(data.crystals[:100], data.K_VRH[:100]).save(path / "model.npz")
    ...     data.crystals[:5].to_parquet(path / "five.parquet")
    ...     report = predict_partitions(client, path / "model.npz", path / "five.parquet", path / "K", return_std=True)
    ...     predictions = load_predictions(report.output)
    >>> list(predictions.columns), len(predictions)
    (['name', 'prediction', 'std'], 5)
    """
    check_client(client)
    model = Path(model).absolute()
    GRIDKernelRegressor.load(model)
    settings = {"model": sha256(model.read_bytes()).hexdigest(), "return_std": return_std, "version": __version__}
    write = partial(_predict_file, model=str(model), return_std=return_std, settings=settings)
    return _by_partition(client, inputs, output, write, settings, "predict", pbar)


def load_predictions(path: str | Path) -> pd.DataFrame:
    """Load what :func:`predict_partitions` wrote.

    Parameters
    ----------
    path : str or Path
        The folder.

    Returns
    -------
    DataFrame
        The columns `name` (file and row of each crystal), `prediction` and, if it was asked for, `std`, both in the unit of the
        training values.

    Raises
    ------
    FileNotFoundError
        The folder holds no predictions.

    Examples
    --------
    >>> load_predictions("no-such-folder")
    Traceback (most recent call last):
        ...
    FileNotFoundError: no-such-folder: the folder holds no part-*.parquet
    """
    pieces = sorted(Path(path).glob("part-*.parquet"))
    if not pieces:
        raise FileNotFoundError(f"{path}: the folder holds no part-*.parquet")
    return pd.concat([pd.read_parquet(piece) for piece in pieces], ignore_index=True)


def _by_partition(
    client: Any,
    inputs: str | Path | Iterable[str | Path],
    output: str | Path,
    write: Callable[[list[Path], Path], Any],
    settings: dict[str, Any],
    description: str,
    pbar: bool,
) -> PartitionsReport:
    """Have the output of each partition written by a worker, and gather what failed."""
    from distributed import KilledWorker  # noqa: PLC0415  an extra

    files = partition_files(inputs)
    output = Path(output).absolute()
    done: dict[Path, tuple[int, int, bool]] = {}
    failed: dict[Path, str] = {}
    with Folder(output, settings):
        tasks = [(file, output / piece_name(file)) for file in files]
        with closing(outcomes(client, _write_partition, tasks, description=description, pbar=pbar, write=write)) as ended:
            for number, future in ended:
                error = future.exception()
                if error is None:
                    done[files[number]] = future.result()
                elif isinstance(error, (ValueError, OSError, MemoryError, KilledWorker)):
                    failed[files[number]] = str(error).removeprefix(f"{files[number]}: ") or type(error).__name__
                else:
                    raise error
        errors_file = output / "errors.jsonl"
        has_errors = _gather_errors(files, failed, errors_file)
    return PartitionsReport(
        output,
        errors_file if has_errors else None,
        n_rows=sum(n_rows for n_rows, _, _ in done.values()),
        n_failed=sum(n_failed for _, n_failed, _ in done.values()),
        n_resumed=sum(n_rows + n_failed for n_rows, n_failed, resumed in done.values() if resumed),
        failed_partitions={file: failed[file] for file in files if file in failed},
    )


def _write_partition(file: Path, piece: Path, write: Callable[[list[Path], Path], Any]) -> tuple[int, int, bool]:
    """Write a partition's output unless it is there; give the numbers of rows and errors, and whether it was there."""
    n_source = count_rows(file)
    if n_source == 0:
        return 0, 0, False
    errors_file = _errors_file(piece)
    resumed = piece.exists() and not piece.with_name(piece.name + ".parts").exists()
    if not resumed:
        write([file], piece)
    n_rows = count_rows(piece)
    errors = [json.loads(line) for line in errors_file.read_bytes().splitlines()] if errors_file.exists() else []
    for error in errors:
        if error["name"] == str(file):
            piece.unlink()
            errors_file.unlink()
            raise ValueError(f"{file}: {error['error']}")
    if n_rows + len(errors) != n_source:
        raise ValueError(f"{file}: it was changed after it had been done; remove {piece} to do it anew")
    return n_rows, len(errors), resumed


def _errors_file(piece: Path) -> Path:
    return piece.with_name(piece.name + ".errors.jsonl")


def _gather_errors(files: list[Path], failed: dict[Path, str], errors_file: Path) -> bool:
    """Write the errors of all partitions into one file, in order, and tell whether there are any."""
    sources = [(file, _errors_file(errors_file.parent / piece_name(file))) for file in files]
    if not failed and not any(source.exists() for _, source in sources):
        errors_file.unlink(missing_ok=True)
        return False
    with replacing(errors_file) as out:
        for file, source in sources:
            if file in failed:
                out.write(json.dumps({"name": str(file), "error": failed[file]}, ensure_ascii=False).encode() + b"\n")
            elif source.exists():
                out.write(source.read_bytes())
    return True


def _predict_file(files: list[Path], piece: Path, *, model: str, return_std: bool, settings: dict[str, Any]) -> None:
    regressor = _load_once(model, *stamp(Path(model)))
    compute_files(files, piece, partial(_predicted, model=regressor, return_std=return_std), settings)


@lru_cache(maxsize=2)
def _load_once(path: str, *_stamp: int) -> GRIDKernelRegressor:
    return GRIDKernelRegressor.load(path).set_params(n_jobs=1)


def _predicted(structures: list[StructureBatch], model: GRIDKernelRegressor, return_std: bool) -> tuple[pa.Table, list[list[str]]]:
    """Give the rows of the structures that the model can predict, and name and error of the others, in order."""
    names, crystals, reasons = stack(structures)
    read = np.delete(np.arange(len(names)), list(reasons))
    values = np.full((len(names), 2), math.nan)
    reasons |= {int(read[row]): error for row, error in _fill_predictions(model, crystals, return_std, values, read).items()}
    kept = np.delete(np.arange(len(names)), list(reasons))
    columns = {"name": pa.array(names[kept], pa.string()), "prediction": values[kept, 0]}
    if return_std:
        columns["std"] = values[kept, 1]
    return pa.table(columns), [[names[row], reasons[row]] for row in sorted(reasons)]


def _fill_predictions(
    model: GRIDKernelRegressor, crystals: CrystalTable, return_std: bool, values: NDArray[np.float64], rows: NDArray[np.int64]
) -> dict[int, str]:
    """Fill predictions and standard deviations; where that fails, of halves, down to the crystal that is wrong."""
    if len(crystals) == 0:
        return {}
    try:
        predicted = model.predict(crystals, return_std=return_std)
    except ValueError as error:
        if len(crystals) == 1:
            return {0: str(error.__cause__ or error)}
        middle = len(crystals) // 2
        errors = _fill_predictions(model, crystals[:middle], return_std, values, rows[:middle])
        later = _fill_predictions(model, crystals[middle:], return_std, values, rows[middle:])
        return errors | {middle + row: reason for row, reason in later.items()}
    if return_std:
        values[rows, 0], values[rows, 1] = predicted
    else:
        values[rows, 0] = predicted
    return {}
