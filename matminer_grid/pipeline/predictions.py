"""Predictions of partitioned data sets on a Dask cluster."""

from __future__ import annotations

import math
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from matminer_grid._version import __version__
from matminer_grid.io.records import stack
from matminer_grid.models.kernel import GRIDKernelRegressor
from matminer_grid.pipeline._parts import find_parts, stamp
from matminer_grid.pipeline._run import Report, compute_partitions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from matminer_grid.crystals.table import CrystalTable
    from matminer_grid.io.records import StructureBatch


def predict_partitions(
    client: Any,
    model: str | Path,
    inputs: str | Path | Iterable[str | Path],
    output: str | Path,
    *,
    return_std: bool = False,
    pbar: bool = False,
) -> Report:
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
    Report

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
    model = Path(model).absolute()
    GRIDKernelRegressor.load(model)
    settings = {"model": sha256(model.read_bytes()).hexdigest(), "return_std": return_std, "version": __version__}
    compute = partial(_predicted, model=model, return_std=return_std)
    return compute_partitions(client, inputs, output, compute, settings, pbar=pbar)


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
    return pd.concat([pd.read_parquet(part) for part in find_parts(Path(path))], ignore_index=True)


@lru_cache(maxsize=2)
def _load_once(path: Path, *_stamp: int) -> GRIDKernelRegressor:
    return GRIDKernelRegressor.load(path).set_params(n_jobs=1)


def _predicted(structures: list[StructureBatch], model: Path, return_std: bool) -> tuple[pa.Table, list[list[str]]]:
    """Give the rows of the structures that the model can predict, and name and error of the others, in order."""
    regressor = _load_once(model, *stamp(model))
    names, crystals, reasons = stack(structures)
    read = np.delete(np.arange(len(names)), list(reasons))
    values = np.full((len(names), 2), math.nan)
    reasons |= {int(read[row]): error for row, error in _fill_predictions(regressor, crystals, return_std, values, read).items()}
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
