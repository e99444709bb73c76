"""Named data: the embedded moduli, the Materials Project's entries, matminer's data sets."""

from matminer_grid.datasets.elasticity import ElasticityTable, load_mp_elasticity, load_mp_elasticity_table
from matminer_grid.datasets.materials_project import fetch_materials_project
from matminer_grid.datasets.matminer_data import load_matminer_dataset

__all__ = [
    "ElasticityTable",
    "fetch_materials_project",
    "load_matminer_dataset",
    "load_mp_elasticity",
    "load_mp_elasticity_table",
]
