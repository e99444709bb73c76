"""Importing the package is cheap, and everything it promises is there."""

import subprocess
import sys

import pytest

import matminer_grid
from matminer_grid import _version

HEAVY = ("numba", "pymatgen", "matminer", "sklearn", "pandas", "pyarrow", "scipy", "matplotlib", "numpy")


@pytest.mark.timeout(60)
def test_nothing_heavy_is_imported():
    program = f"import sys, matminer_grid; print(sorted(set({HEAVY}) & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
    assert not result.stderr


@pytest.mark.parametrize("name", matminer_grid.__all__)
def test_public_names_resolve_and_are_documented(name):
    value = getattr(matminer_grid, name)
    assert name in dir(matminer_grid)
    assert value.__doc__
    assert value.__module__.startswith("matminer_grid")


def test_version():
    assert matminer_grid.__version__ == _version.__version__


def test_unknown_names():
    with pytest.raises(AttributeError, match="No matminer_grid attribute Grid"):
        _ = matminer_grid.Grid
