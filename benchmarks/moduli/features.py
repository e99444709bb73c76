"""Descriptors of the task's crystals as vectors and as dissimilarity matrices, made when they are first needed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from matminer.featurizers.composition import ElementProperty
from matminer.featurizers.structure.rdf import RadialDistributionFunction
from pymatgen.core import Composition
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import gen_batches

from matminer_grid import (
    CrystalDissimilarity,
    EMDSearch,
    GRIDFeaturizer,
    PowderPatternFeaturizer,
    ReflectionPairsFeaturizer,
    StructureFactorFeaturizer,
    composition_emd,
    grid_emd,
)
from matminer_grid._threads import Parts, progress_bar
from matminer_grid.crystals.composition import element_fractions
from matminer_grid.models import GRIDKernelRegressor

if TYPE_CHECKING:
    from collections.abc import Callable

    import scipy.sparse

    from benchmarks.moduli.task import Task
    from matminer_grid.models._featurized import FeaturizedCrystals

STRUCTURE_FACTORS = {
    "structure factors: hkl": StructureFactorFeaturizer(),
    "structure factors: radial": PowderPatternFeaturizer(),
    "structure factors: pairs": ReflectionPairsFeaturizer(),
}
"""Descriptor and its featurizer."""

DESCRIPTORS = ("composition", "RDF", "GRID", "GRID + composition", *STRUCTURE_FACTORS)
"""In the order of the table."""

EMD_NEIGHBOURS = {
    "GRID + composition": ("GRID", {}),
    "GRID": ("GRID", {"composition_weight": 0.0}),
    "composition": ("GRID", {"grid_weight": 0.0}),
    "RDF": ("RDF", {"composition_weight": 0.0}),
    "structure factors: radial": ("structure factors: radial", {"composition_weight": 0.0}),
}
"""Histograms and weights of the EMD search for each descriptor that has one; the weights are the published 10:1 by default."""

CHUNK = 1000
"""Rows of a matrix that are computed at once."""

RDF_CHECKS = 200
"""Structures on which our RDF is compared with matminer's."""


class Features:
    """What models learn from, for the crystals of a task; of a kind and a descriptor it is kept until it is released.

    Vectors are divided by the root mean square of their norms over all entries, so that one grid of hyperparameters fits every
    descriptor; those of "GRID + composition" are both vectors side by side, and those of structure factors are square roots of
    intensities.

    Attributes
    ----------
    seconds : float
        Time spent here so far, search apart.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.seconds = 0.0
        self._featurizer = GRIDFeaturizer.from_preset("zhang2023")
        self._kept: dict[tuple[str, str], Any] = {}
        self._depth = 0

    def keep(self, kinds: set[str], descriptor: str) -> None:
        """Forget all but some kinds of a descriptor and its histograms; of the kind "EMD" its parts stay, of "histograms" GRID."""
        others = {"EMD": descriptor.split(" + "), "histograms": ["GRID"]}
        for kind, of in list(self._kept):
            if (kind, of) != ("histograms", descriptor) and not (kind in kinds and of in [descriptor, *others.get(kind, [])]):
                del self._kept[kind, of]

    def vectors(self, descriptor: str) -> np.ndarray:
        """Give the vectors of a descriptor, shape (n, d)."""
        return self._once("vectors", descriptor, self._vectors)

    def histograms(self, descriptor: str) -> np.ndarray | scipy.sparse.csr_array:
        """Give GRIDs, RDFs as matminer has them, or intensities."""
        return self._once("histograms", descriptor, self._histograms)

    def emd(self, descriptor: str) -> np.ndarray:
        """Give the matrix of earth mover's distances, in float32; of compositions that on the modified Pettifor scale."""
        return self._once("EMD", descriptor, self._emd)

    def squared_euclidean(self, descriptor: str) -> np.ndarray:
        """Give the matrix of squared Euclidean distances of the vectors, in float32."""
        return self._once("squared Euclidean", descriptor, self._squared_euclidean)

    def magpie(self) -> np.ndarray:
        """Give matminer's Magpie features of the compositions."""
        return self._once("vectors", "Magpie", self._magpie)

    def described(self) -> FeaturizedCrystals:
        """Give the crystals as the package's own model reads them."""
        return self._once("described", "", lambda _: GRIDKernelRegressor().describe(self.task.crystals))

    def neighbours(self, descriptor: str, dissimilarity: str, train: np.ndarray, test: np.ndarray, k: int) -> np.ndarray:
        """Find the k nearest training rows of each test row, shape (n_test, k)."""
        if dissimilarity != "EMD":
            # RDFs of simple crystals tie often and rounding decides: the protocol's rows are of matminer's RDF as it is
            X = (self.histograms if (descriptor, dissimilarity) == ("RDF", "cosine") else self.vectors)(descriptor)
            search = NearestNeighbors(n_neighbors=k, metric=dissimilarity.lower(), algorithm="brute").fit(X[train])
            return train[search.kneighbors(X[test], return_distance=False)]
        source, weights = EMD_NEIGHBOURS[descriptor]
        histograms, n_groups, bin_size = self._distributions(source)
        featurizer = GRIDFeaturizer(histograms.shape[1] // n_groups * bin_size, bin_size, n_groups)
        dissimilarity = CrystalDissimilarity(featurizer, elements="substitution", **weights)
        described = dissimilarity.describe(self.task.crystals, features=histograms)
        return train[EMDSearch(dissimilarity).fit(described[train]).kneighbors(described[test], k, return_distance=False)]

    def check_rdf(self, seed: int) -> float:
        """Compare our RDFs with matminer's on random structures; give the largest difference relative to the highest bin.

        The two bins at an edge that a distance is within 1e-8 Å of are left out: there rounding decides in matminer's.
        """
        crystals, featurizer = self.task.crystals, self._featurizer
        peer = RadialDistributionFunction(cutoff=featurizer.cutoff, bin_size=featurizer.bin_size)
        rows = np.random.default_rng(seed).choice(len(crystals), min(RDF_CHECKS, len(crystals)), replace=False)
        rdfs = featurizer.rdf_many(crystals[rows])
        largest = 0.0
        bar = progress_bar(desc="check RDF against matminer", total=len(rows), disable=True)
        for row, ours in zip(rows.tolist(), rdfs, strict=True):
            bar.update(1)
            structure = crystals[row].to_structure()
            distances = structure.get_neighbor_list(featurizer.cutoff + 0.1)[3]
            edges = np.rint(distances / featurizer.bin_size).astype(int)
            touched = edges[np.abs(distances - edges * featurizer.bin_size) < 1e-8]
            compared = ~np.isin(np.arange(featurizer.n_bins), np.concatenate((touched - 1, touched)))
            theirs = peer.featurize(structure)
            largest = max(largest, float(np.abs(theirs - ours)[compared].max() / theirs.max()))
        if largest > 1e-9:
            raise SystemExit(f"our RDF is {largest:.2g} of the highest bin off matminer's: that is a bug, please report it")
        return largest

    def _once(self, kind: str, descriptor: str, make: Callable[[str], Any]) -> Any:
        if (kind, descriptor) not in self._kept:
            start, self._depth = time.perf_counter(), self._depth + 1
            self._kept[kind, descriptor] = make(descriptor)
            self._depth -= 1
            if self._depth == 0:
                self.seconds += time.perf_counter() - start
        return self._kept[kind, descriptor]

    def _histograms(self, descriptor: str) -> np.ndarray | scipy.sparse.csr_array:
        if descriptor == "GRID":
            return self._featurizer.featurize_sparse(self.task.crystals)
        if descriptor == "RDF":
            return self._featurizer.rdf_many(self.task.crystals)
        return STRUCTURE_FACTORS[descriptor].featurize_many(self.task.crystals, pbar=False)

    def _distributions(self, descriptor: str) -> tuple[np.ndarray | scipy.sparse.csr_array, int, float]:
        """Give histograms that EMDs are computed of, with their number of groups and bin size."""
        histograms = self.histograms(descriptor)
        if descriptor == "GRID":
            return histograms, self._featurizer.n_groups, self._featurizer.bin_size
        if descriptor == "RDF":
            return histograms / histograms.sum(axis=1, keepdims=True), 1, self._featurizer.bin_size
        return histograms, 1, STRUCTURE_FACTORS["structure factors: radial"].bin_size

    def _vectors(self, descriptor: str) -> np.ndarray:
        if descriptor == "GRID + composition":
            return np.hstack([self._vectors("GRID"), self._vectors("composition")]) / np.sqrt(2)
        if descriptor == "GRID":
            grids = self._histograms("GRID")  # which need not be kept beside them
            X = grids[:, np.unique(grids.indices)].toarray()  # bins that are empty in every crystal add nothing
        elif descriptor == "RDF":
            X = self.histograms("RDF") / self.task.crystals.n_sites[:, None]  # matminer's grows with the cell
        elif descriptor == "composition":
            X = element_fractions(self.task.crystals, "substitution")
        else:
            X = np.sqrt(self.histograms(descriptor))  # amplitudes, for all alike, so that only the representation differs
        X /= np.sqrt(np.einsum("ij,ij->", X, X) / len(X))
        return X

    def _emd(self, descriptor: str) -> np.ndarray:
        n = len(self.task.crystals)
        if descriptor != "composition":
            histograms, n_groups, bin_size = self._distributions(descriptor)
            matrix = np.empty((histograms.shape[0],) * 2, np.float32)
            return grid_emd(histograms, n_groups=n_groups, bin_size=bin_size, out=matrix, pbar=False)
        matrix = np.empty((n, n), np.float32)
        work = Parts("composition EMD", n)
        for part in gen_batches(n, CHUNK):
            with work.part(part.stop - part.start):
                matrix[part] = composition_emd(self.task.crystals[part], self.task.crystals, n_jobs=2, pbar=False)
        return matrix

    def _squared_euclidean(self, descriptor: str) -> np.ndarray:
        X = self.vectors(descriptor)
        matrix = np.empty((len(X), len(X)), np.float32)
        for part in gen_batches(len(X), CHUNK):  # differences are taken in float64
            matrix[part] = euclidean_distances(X[part], X, squared=True)
        np.fill_diagonal(matrix, 0)
        return matrix

    def _magpie(self, _: str) -> np.ndarray:
        formulas, rows = np.unique(self.task.formula.astype(str), return_inverse=True)
        featurizer = ElementProperty.from_preset("magpie", impute_nan=True)
        bar, known = progress_bar(desc="Magpie features", total=len(formulas), disable=True), []
        for formula in formulas.tolist():
            known.append(featurizer.featurize(Composition(formula)))
            bar.update(1)
        return np.array(known)[rows]
