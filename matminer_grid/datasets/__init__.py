"""Where structures and properties come from."""

from matminer_grid.datasets.elasticity import ElasticityTable, load_mp_elasticity, load_mp_elasticity_table
from matminer_grid.datasets.files import find_structure_files, read_structures_from
from matminer_grid.datasets.formats import StructureRecord, crystal_from_dict
from matminer_grid.datasets.parquet import load_crystals

__all__ = [
    "ElasticityTable",
    "StructureRecord",
    "crystal_from_dict",
    "find_structure_files",
    "load_crystals",
    "load_mp_elasticity",
    "load_mp_elasticity_table",
    "read_structures_from",
]
