"""Crystals as arrays: one, many in columns, their compositions, and what is known of their elements."""

from matminer_grid.crystals.crystal import Crystal
from matminer_grid.crystals.table import CrystalTable

__all__ = ["Crystal", "CrystalTable"]
