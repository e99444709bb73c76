"""Where structures and properties come from."""

from matminer_grid.datasets.convert import ImportReport, export_crystals, import_crystals, save_crystals
from matminer_grid.datasets.elasticity import ElasticityTable, load_mp_elasticity, load_mp_elasticity_table
from matminer_grid.datasets.files import find_structure_files, read_structures_from
from matminer_grid.datasets.formats import StructureRecord, crystal_from_dict
from matminer_grid.datasets.materials_project import fetch_materials_project
from matminer_grid.datasets.matminer_data import load_matminer_dataset
from matminer_grid.datasets.parquet import load_crystals, read_provenance

__all__ = [
    "ElasticityTable",
    "ImportReport",
    "StructureRecord",
    "crystal_from_dict",
    "export_crystals",
    "fetch_materials_project",
    "find_structure_files",
    "import_crystals",
    "load_crystals",
    "load_matminer_dataset",
    "load_mp_elasticity",
    "load_mp_elasticity_table",
    "read_provenance",
    "read_structures_from",
    "save_crystals",
]
