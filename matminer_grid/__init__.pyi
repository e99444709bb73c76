from .crystals import Crystal as Crystal
from .crystals import CrystalTable as CrystalTable
from .featurizers.grid import GRIDFeaturizer as GRIDFeaturizer
from .featurizers.hkl import StructureFactorFeaturizer as StructureFactorFeaturizer
from .featurizers.pairs import ReflectionPairsFeaturizer as ReflectionPairsFeaturizer
from .featurizers.powder import PowderPatternFeaturizer as PowderPatternFeaturizer
from .featurizers.reflections import hkl_intensities as hkl_intensities
from .similarity import ApproximateEMDSearch as ApproximateEMDSearch
from .similarity import CrystalDissimilarity as CrystalDissimilarity
from .similarity import CrystalIndex as CrystalIndex
from .similarity import DuplicateTolerance as DuplicateTolerance
from .similarity import EMDSearch as EMDSearch
from .similarity import Evaluation as Evaluation
from .similarity import EvaluationSettings as EvaluationSettings
from .similarity import KnownCrystals as KnownCrystals
from .similarity import add_to_index as add_to_index
from .similarity import build_index as build_index
from .similarity import composition_emd as composition_emd
from .similarity import evaluate_crystals as evaluate_crystals
from .similarity import find_duplicates as find_duplicates
from .similarity import find_pairs as find_pairs
from .similarity import find_prototypes as find_prototypes
from .similarity import grid_emd as grid_emd
from .similarity import grid_emd_by_group as grid_emd_by_group
from .similarity import grid_emd_exact as grid_emd_exact
from .similarity import suggest_tolerance as suggest_tolerance

__version__: str
