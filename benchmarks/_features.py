"""Descriptors of the task's crystals as vectors and as dissimilarity matrices, made when they are first needed."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from matminer.featurizers.composition import ElementProperty
from matminer.featurizers.structure.rdf import RadialDistributionFunction
from pymatgen.core import Composition
from sklearn.neighbors import NearestNeighbors
from tqdm.auto import tqdm

from benchmarks._run import provenance
from benchmarks._store import DAMAGED, write_npz
from matminer_grid import EMDSearch, GRIDFeaturizer, StructureFactorFeaturizer, composition_emd, grid_emd
from matminer_grid.crystals.composition import element_fractions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import scipy.sparse

    from benchmarks._task import Task

STRUCTURE_FACTORS = {f"structure factors: {representation}": representation for representation in ("hkl", "radial", "pairs")}
"""Descriptor and representation of the StructureFactorFeaturizer."""

DESCRIPTORS = ("composition", "RDF", "GRID", "GRID + composition", *STRUCTURE_FACTORS)
"""In the order in which they are computed."""

EMD_NEIGHBOURS = {
    "GRID + composition": ("GRID", {}),
    "GRID": ("GRID", {"composition_weight": 0.0}),
    "composition": ("GRID", {"grid_weight": 0.0}),
    "RDF": ("RDF", {"composition_weight": 0.0}),
    "structure factors: radial": ("radial", {"composition_weight": 0.0}),
}
"""Histograms and weights of the EMD search for each descriptor that has one; the weights are the published 10:1 by default."""

CHUNK = 1000
"""Rows of a matrix that are computed at once."""

RDF_CHECKS = 200
"""Structures on which our RDF is compared with matminer's."""


class Features:
    """What models learn from, for the crystals of a task; the matrices of one descriptor are kept at a time.

    Vectors are divided by the root mean square of their norms over all entries, so that one grid of hyperparameters fits every
    descriptor; those of "GRID + composition" are both vectors side by side, and those of structure factors are square roots of
    intensities.

    Parameters
    ----------
    task : Task
    magpie_file : Path
        Where matminer's Magpie features are kept.

    Attributes
    ----------
    seconds : float
        Time spent here so far.
    """

    def __init__(self, task: Task, magpie_file: Path) -> None:
        self.task = task
        self.seconds = 0.0
        self._magpie_file = magpie_file
        self._featurizer = GRIDFeaturizer.from_preset("zhang2023")
        self._kept: dict[tuple[str, str], np.ndarray] = {}
        self._depth = 0

    def release(self, descriptor: str) -> None:
        """Forget what the descriptor doesn't need."""
        needed = {descriptor, *descriptor.split(" + ")}
        self._kept = {
            (kind, of): value for (kind, of), value in self._kept.items() if of == descriptor or (kind == "EMD" and of in needed)
        }

    def vectors(self, descriptor: str) -> np.ndarray:
        """Give the vectors of a descriptor, shape (n, d)."""
        with self._timed():
            key = ("vectors", descriptor)
            if key not in self._kept:
                self._kept[key] = self._vectors(descriptor)
            return self._kept[key]

    def emd(self, descriptor: str) -> np.ndarray:
        """Give the matrix of earth mover's distances, in float32; of compositions that on the modified Pettifor scale."""
        with self._timed():
            key = ("EMD", descriptor)
            if key not in self._kept:
                if descriptor == "composition":
                    matrix = composition_emd(self.task.crystals, n_jobs=2, pbar=False).astype(np.float32)
                else:
                    histograms, n_groups, bin_size = self._histograms(EMD_NEIGHBOURS[descriptor][0])
                    matrix = grid_emd(histograms, n_groups=n_groups, bin_size=bin_size, dtype=np.float32, pbar=False)
                self._kept[key] = matrix
            return self._kept[key]

    def squared_euclidean(self, descriptor: str) -> np.ndarray:
        """Give the matrix of squared Euclidean distances of the vectors, in float32."""
        with self._timed():
            key = ("squared Euclidean", descriptor)
            if key not in self._kept:
                X = self.vectors(descriptor)
                squares = (X**2).sum(axis=1)
                matrix = np.empty((len(X), len(X)), np.float32)
                for start in range(0, len(X), CHUNK):  # differences are taken in float64
                    part = slice(start, start + CHUNK)
                    matrix[part] = np.maximum(squares[part, None] + squares - 2 * X[part] @ X.T, 0)
                np.fill_diagonal(matrix, 0)
                self._kept[key] = matrix
            return self._kept[key]

    def neighbours(self, descriptor: str, dissimilarity: str, train: np.ndarray, test: np.ndarray, k: int) -> np.ndarray:
        """Find the k nearest training rows of each test row, shape (n_test, k)."""
        if dissimilarity != "EMD":
            # RDFs of simple crystals tie often and rounding decides: the protocol's rows are of matminer's RDF as it is
            X = self._rdf if (descriptor, dissimilarity) == ("RDF", "cosine") else self.vectors(descriptor)
            search = NearestNeighbors(n_neighbors=k, metric=dissimilarity.lower(), algorithm="brute").fit(X[train])
            return train[search.kneighbors(X[test], return_distance=False)]
        source, weights = EMD_NEIGHBOURS[descriptor]
        with self._timed():
            histograms, n_groups, bin_size = self._histograms(source)
        emd_search = EMDSearch(n_groups=n_groups, bin_size=bin_size, **weights)
        emd_search.fit(histograms[train], self.task.crystals[train])
        return train[emd_search.kneighbors(histograms[test], self.task.crystals[test], k=k)[1]]

    def magpie(self) -> np.ndarray:
        """Give matminer's Magpie features of the compositions, kept on disk by formula."""
        with self._timed():
            return self._magpie()

    def check_rdf(self, seed: int) -> float:
        """Compare our RDFs with matminer's on random structures; give the largest difference relative to the highest bin.

        The two bins at an edge that a distance is within 1e-8 Å of are left out: there rounding decides in matminer's.
        """
        crystals, featurizer = self.task.crystals, self._featurizer
        peer = RadialDistributionFunction(cutoff=featurizer.cutoff, bin_size=featurizer.bin_size)
        rows = np.random.default_rng(seed).choice(len(crystals), min(RDF_CHECKS, len(crystals)), replace=False)
        largest = 0.0
        for row in tqdm(rows.tolist(), desc="check RDF against matminer"):
            structure = crystals[row].to_structure()
            distances = structure.get_neighbor_list(featurizer.cutoff + 0.1)[3]
            edges = np.rint(distances / featurizer.bin_size).astype(int)
            touched = edges[np.abs(distances - edges * featurizer.bin_size) < 1e-8]
            compared = ~np.isin(np.arange(featurizer.n_bins), np.concatenate((touched - 1, touched)))
            theirs = peer.featurize(structure)
            largest = max(largest, float(np.abs(theirs - self._rdf[row])[compared].max() / theirs.max()))
        if largest > 1e-9:
            raise SystemExit(
                f"our RDF differs from matminer's by {largest:.2g} of the highest bin: that is a bug, please report it"
            )
        return largest

    @cached_property
    def _grids(self) -> scipy.sparse.csr_array:
        return self._featurizer.featurize_sparse(self.task.crystals)

    @cached_property
    def _rdf(self) -> np.ndarray:
        return self._featurizer.rdf_many(self.task.crystals)

    def _histograms(self, source: str) -> tuple[np.ndarray | scipy.sparse.csr_array, int, float]:
        """Give histograms that EMDs are computed of, with their number of groups and bin size."""
        if source == "GRID":
            return self._grids, self._featurizer.n_groups, self._featurizer.bin_size
        if source == "RDF":
            return self._rdf / self._rdf.sum(axis=1, keepdims=True), 1, self._featurizer.bin_size
        return self._structure_factors(source), 1, StructureFactorFeaturizer(source).bin_size

    def _structure_factors(self, representation: str) -> np.ndarray:
        key = ("intensities", f"structure factors: {representation}")
        if key not in self._kept:
            self._kept[key] = StructureFactorFeaturizer(representation).featurize_many(self.task.crystals, pbar=False)
        return self._kept[key]

    def _vectors(self, descriptor: str) -> np.ndarray:
        if descriptor == "GRID + composition":
            return np.hstack([self._vectors("GRID"), self._vectors("composition")]) / np.sqrt(2)
        if descriptor == "GRID":
            # bins that are empty in every crystal add nothing
            X = self._grids[:, np.unique(self._grids.indices)].toarray()
        elif descriptor == "RDF":
            # matminer's grows with the cell; divided by the number of sites it does not
            X = self._rdf / self.task.crystals.n_sites[:, None]
        elif descriptor == "composition":
            X = element_fractions(self.task.crystals, "substitution")
        else:
            # amplitudes, for all three alike, so that only the representation differs
            X = np.sqrt(self._structure_factors(STRUCTURE_FACTORS[descriptor]))
        X /= np.sqrt(np.einsum("ij,ij->", X, X) / len(X))
        return X

    def _magpie(self) -> np.ndarray:
        formulas, rows = np.unique(self.task.formula.astype(str), return_inverse=True)
        version = provenance()["packages"]["matminer"]
        known: dict[str, np.ndarray] = {}
        if self._magpie_file.exists():
            try:
                with np.load(self._magpie_file, allow_pickle=False) as stored:
                    if str(stored["matminer"]) == version:
                        known = dict(zip(stored["formulas"].tolist(), stored["features"], strict=True))
            except DAMAGED as error:
                tqdm.write(f"{self._magpie_file.name} can't be read: {error}; it is computed again")
        missing = [formula for formula in formulas.tolist() if formula not in known]
        featurizer = ElementProperty.from_preset("magpie", impute_nan=True)
        for formula in tqdm(missing, desc="Magpie features"):
            known[formula] = np.array(featurizer.featurize(Composition(formula)))
        if missing:
            content = {"matminer": np.array(version), "formulas": np.array(list(known)), "features": np.array(list(known.values()))}
            write_npz(self._magpie_file, content)
        return np.array([known[formula] for formula in formulas.tolist()])[rows]

    @contextmanager
    def _timed(self) -> Iterator[None]:
        start = time.perf_counter()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self.seconds += time.perf_counter() - start
