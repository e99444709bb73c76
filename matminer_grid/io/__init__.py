"""Files and databases to crystals, and back."""

from matminer_grid.io.convert import ImportReport, import_crystals, save_crystals
from matminer_grid.io.export import export_crystals
from matminer_grid.io.files import find_structure_files, read_structures_from
from matminer_grid.io.parquet import load_crystals, read_provenance
from matminer_grid.io.records import StructureRecord
from matminer_grid.io.structure_json import crystal_from_dict

__all__ = [
    "ImportReport",
    "StructureRecord",
    "crystal_from_dict",
    "export_crystals",
    "find_structure_files",
    "import_crystals",
    "load_crystals",
    "read_provenance",
    "read_structures_from",
    "save_crystals",
]
