"""Feature vectors to dissimilarity, nearest neighbours and duplicates."""

from matminer_grid.similarity.approximate import ApproximateEMDSearch
from matminer_grid.similarity.compare import Comparison, ShellDifference, SiteMatch
from matminer_grid.similarity.composition import SubstitutionIndex, composition_emd, substitution_emd_pair
from matminer_grid.similarity.described import DescribedCrystals
from matminer_grid.similarity.dissimilarity import CrystalDissimilarity
from matminer_grid.similarity.duplicates import Duplicates, find_duplicates
from matminer_grid.similarity.embedding import CrystalEmbedding, embed_crystals
from matminer_grid.similarity.evaluation import Evaluation, evaluate_crystals
from matminer_grid.similarity.evaluation_known import KnownCrystals
from matminer_grid.similarity.evaluation_settings import EvaluationSettings, Measure
from matminer_grid.similarity.grid import grid_emd, grid_emd_by_group, grid_emd_exact
from matminer_grid.similarity.index import CrystalIndex
from matminer_grid.similarity.index_build import IndexReport, add_to_index, build_index
from matminer_grid.similarity.near_pairs import find_pairs
from matminer_grid.similarity.prototypes import SAME_PROTOTYPE, PrototypeMatch, find_prototypes, nearest_prototypes
from matminer_grid.similarity.search import EMDSearch
from matminer_grid.similarity.splits import Leakage, crystal_groups, leakage
from matminer_grid.similarity.tolerance import CrystalPairs, DuplicateTolerance
from matminer_grid.similarity.tolerance_curve import ToleranceCurve, suggest_tolerance

__all__ = [
    "SAME_PROTOTYPE",
    "ApproximateEMDSearch",
    "Comparison",
    "CrystalDissimilarity",
    "CrystalEmbedding",
    "CrystalIndex",
    "CrystalPairs",
    "DescribedCrystals",
    "DuplicateTolerance",
    "Duplicates",
    "EMDSearch",
    "Evaluation",
    "EvaluationSettings",
    "IndexReport",
    "KnownCrystals",
    "Leakage",
    "Measure",
    "PrototypeMatch",
    "ShellDifference",
    "SiteMatch",
    "SubstitutionIndex",
    "ToleranceCurve",
    "add_to_index",
    "build_index",
    "composition_emd",
    "crystal_groups",
    "embed_crystals",
    "evaluate_crystals",
    "find_duplicates",
    "find_pairs",
    "find_prototypes",
    "grid_emd",
    "grid_emd_by_group",
    "grid_emd_exact",
    "leakage",
    "nearest_prototypes",
    "substitution_emd_pair",
    "suggest_tolerance",
]
