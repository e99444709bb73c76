"""Feature vectors to dissimilarity, and exact nearest neighbours."""

from matminer_grid.similarity.composition import SubstitutionIndex, composition_emd, substitution_emd_pair
from matminer_grid.similarity.grid import grid_emd, grid_emd_by_group, grid_emd_exact
from matminer_grid.similarity.search import EMDSearch

__all__ = [
    "EMDSearch",
    "SubstitutionIndex",
    "composition_emd",
    "grid_emd",
    "grid_emd_by_group",
    "grid_emd_exact",
    "substitution_emd_pair",
]
