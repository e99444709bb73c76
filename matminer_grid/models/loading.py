"""Models from files, of whatever kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matminer_grid.models.classifier import GRIDKernelClassifier
from matminer_grid.models.kernel import GRIDKernelRegressor
from matminer_grid.models.neighbors import GRIDNeighborsClassifier, GRIDNeighborsRegressor
from matminer_grid.models.storage import kind_of

if TYPE_CHECKING:
    from pathlib import Path

KINDS = {
    kind.__name__: kind for kind in (GRIDKernelClassifier, GRIDKernelRegressor, GRIDNeighborsClassifier, GRIDNeighborsRegressor)
}
"""Models by the names of their classes."""


def load_model(path: str | Path) -> Any:
    """Read a fitted model of any kind that its method `save` wrote.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    GRIDKernelClassifier, GRIDKernelRegressor, GRIDNeighborsClassifier or GRIDNeighborsRegressor

    Raises
    ------
    OSError, ValueError
        The file can't be read, is cut short or no model, or was written in another format or by another version.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> from matminer_grid.models import GRIDNeighborsRegressor, load_model
    >>> data = load_mp_elasticity_table()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     GRIDNeighborsRegressor().fit(data.crystals[:5], data.K_VRH[:5]).save(Path(folder) / "model.npz")
    ...     print(load_model(Path(folder) / "model.npz"))
    GRIDNeighborsRegressor(dissimilarity=CrystalDissimilarity(featurizer=GRIDFeaturizer()))
    """
    kind = kind_of(path)
    if kind not in KINDS:
        raise ValueError(f"{path} holds a {kind}, no model of crystals")
    return KINDS[kind].load(path)
