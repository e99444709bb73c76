"""Tries an installed package, outside the checkout: ``python smoke.py FOLDER``, where FOLDER is what it must come from."""

import sys
from pathlib import Path

import matminer_grid
from matminer_grid import GRIDFeaturizer, grid_emd
from matminer_grid.datasets import load_mp_elasticity_table

folder = Path(sys.argv[1]).resolve()
home = Path(matminer_grid.__file__).resolve()
if folder not in home.parents:
    sys.exit(f"{home} was imported, which is not in {folder}")
if not (home.parent / "py.typed").is_file():
    sys.exit("py.typed is missing")
data = load_mp_elasticity_table()
features = GRIDFeaturizer(n_groups=12).featurize_many(data.crystals[:3], pbar=False)
matrix = grid_emd(features, n_groups=12, bin_size=0.1, pbar=False)
if len(data) != 12_178 or matrix.shape != (3, 3) or not matrix[0, 1] > 0:
    sys.exit(f"unexpected: {len(data)} crystals, EMDs {matrix.tolist()}")
print(f"matminer-grid {matminer_grid.__version__} works from {folder.name}")
