"""Crystal-structure similarity across length scales, as a plugin for matminer.

Nothing heavy runs at import: names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from matminer_grid._version import __version__

if TYPE_CHECKING:
    from matminer_grid.crystal import Crystal, CrystalTable
    from matminer_grid.featurizers.grid import GRIDFeaturizer

_HOMES = {
    "Crystal": "matminer_grid.crystal",
    "CrystalTable": "matminer_grid.crystal",
    "GRIDFeaturizer": "matminer_grid.featurizers.grid",
}

__all__ = ["Crystal", "CrystalTable", "GRIDFeaturizer", "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
