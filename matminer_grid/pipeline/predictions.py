"""Predictions of partitioned data sets on a Dask cluster."""

from __future__ import annotations

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
from matminer_grid.pipeline._parts import find_parts, sort_out, stamp
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

    Each worker loads the model once, and logs which elements no training crystal has. What is resumed, what is kept and which
    errors are raised is as for :func:`featurize_partitions`; a ValueError too if the file holds no model.

    Parameters
    ----------
    client, inputs, output, pbar
        As for :func:`featurize_partitions`; :func:`load_predictions` loads the output.
    model : str or Path
        A file that :meth:`GRIDKernelRegressor.save` wrote, where the workers see it.
    return_std : bool
        Whether to give the standard deviations too.

    Returns
    -------
    Report

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from dask.distributed import Client
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> from matminer_grid.pipeline import load_predictions, predict_partitions
    >>> from matminer_grid.models import GRIDKernelRegressor
    >>> data = load_mp_elasticity_table()
    >>> with tempfile.TemporaryDirectory() as folder, Client(processes=False, dashboard_address=":0") as client:
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
    names, crystals, unread = stack(structures)
    columns, failed = _predict(regressor, crystals, return_std)
    kept, errors = sort_out(names, unread, failed)
    return pa.table([kept, *columns], names=["name", "prediction", "std"][: 2 + return_std]), errors


def _predict(model: GRIDKernelRegressor, crystals: CrystalTable, return_std: bool) -> tuple[NDArray[np.float64], dict[int, str]]:
    """Give rows of predictions and of standard deviations; where that fails, of halves, down to the crystal that is wrong."""
    if len(crystals) == 0:
        return np.empty((1 + return_std, 0)), {}
    try:
        return np.atleast_2d(model.predict(crystals, return_std=return_std)), {}
    except ValueError as error:
        if len(crystals) == 1:
            return np.empty((1 + return_std, 0)), {0: str(error.__cause__ or error)}
    middle = len(crystals) // 2
    (first, errors), (second, later) = (_predict(model, half, return_std) for half in (crystals[:middle], crystals[middle:]))
    return np.hstack([first, second]), errors | {middle + row: reason for row, reason in later.items()}
