"""Whether a model can know a crystal: how like it is to those that it was trained on, and what is unlike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from matminer_grid.crystals.composition import cumulative_fractions
from matminer_grid.crystals.elements import species_symbol
from matminer_grid.crystals.problems import doubtful_rows, find_problems
from matminer_grid.featurizers._elemental import LARGEST_NUMBER, element_numbers
from matminer_grid.models.local import LocalProcess
from matminer_grid.models.process import CHUNK, covariance
from matminer_grid.similarity.dissimilarity import CrystalDissimilarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matminer_grid.crystals.table import CrystalTable
    from matminer_grid.models.process import LaplacianProcess

    FloatArray = NDArray[np.float64]
    SingleArray = NDArray[np.float32]

SAMPLE = 500
"""Training crystals whose own nearest neighbours are looked at."""

PAIRS = 4000
"""Pairs of training crystals by which the scale is set."""

FAR = 0.01
"""Share of the training crystals that lie as far from the others as one that is called far."""

HYDROGEN = 0.2
"""Share of hydrogen among the atoms that is high for a crystal that is no molecule."""

MARGIN, MARGIN_OF_FEW = 0.1, 10.0
"""Part of the range of what is usual that a crystal may lie beyond it; MARGIN_OF_FEW / n more where n training crystals tell it."""

SAME = 0.3
"""Dissimilarity by sites up to which two crystals of one composition are the same, as evaluate_crystals has it."""

CANDIDATES = 3
"""Nearest training crystals that may be the same."""

OUTSIDE = 0.01
"""Share of the training crystals beyond the limits of what is usual."""

LOOKED = (
    ("coordination, coordination: relative bond length, quantile 1", "shortest bonds over the sum of the radii"),
    ("coordination, coordination: relative bond length, quantile 6", "longest bonds over the sum of the radii"),
    ("global: log elements' volume", "a logarithm of the packing by the elements' own volumes"),
    ("global: log covalent volume", "a logarithm of the packing by covalent radii"),
    ("global: log valence", "a logarithm of the bond valences"),
)
"""Features that tell of contacts that are too short or too long, and what they are."""


class Near(NamedTuple):
    """The nearest training crystals of n structures: rows, nearest first, and similarities, each of shape (n, CANDIDATES)."""

    rows: NDArray[np.int64]
    similarities: FloatArray


@dataclass(frozen=True, eq=False)
class SimilarityScale:
    """The scale of similarity under the distance that was learned for one property.

    Parameters
    ----------
    typical : float
        Median distance between two training crystals.
    far : float
        Similarity that all but the share FAR of the training crystals have to the nearest other.
    """

    typical: float
    far: float

    @classmethod
    def of(cls, vectors: SingleArray, n_jobs: int | None) -> SimilarityScale:
        """Look at training crystals and their nearest others."""
        random = np.random.default_rng(0)
        n = len(vectors)
        first, second = random.integers(0, n, PAIRS), random.integers(1, n, PAIRS)
        typical = float(np.median(np.abs(vectors[first] - vectors[(first + second) % n]).sum(axis=1)))
        typical = max(typical, 1e-9)
        sample = random.permutation(n)[:SAMPLE]
        own = _nearest(vectors[sample], vectors, typical, n_jobs, left_out=sample)
        return cls(typical, float(np.quantile(own.similarities[:, 0], FAR)))

    def nearest(self, vectors: SingleArray, process: LaplacianProcess | LocalProcess, n_jobs: int | None) -> Near:
        """Find the nearest training crystals."""
        if isinstance(process, LocalProcess):
            rows, distances = process.nearest(vectors, CANDIDATES, n_jobs)
            return Near(rows, np.maximum(1 - distances / self.typical, 0))
        return _nearest(vectors, process.vectors, self.typical, n_jobs)


def _nearest(
    vectors: SingleArray, known: SingleArray, typical: float, n_jobs: int | None, left_out: NDArray[np.int64] | None = None
) -> Near:
    k = min(CANDIDATES, len(known))
    rows, similarities = np.empty((len(vectors), k), np.int64), np.empty((len(vectors), k))
    for start in range(0, len(vectors), CHUNK):
        K = covariance(vectors[start : start + CHUNK], known, n_jobs)
        own = np.arange(len(K))
        if left_out is not None:
            K[own, left_out[start : start + CHUNK]] = 0
        near = np.argpartition(-K, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(K, near, axis=1), axis=1, kind="stable")
        near = np.take_along_axis(near, order, axis=1)
        values = np.take_along_axis(K, near, axis=1).astype(np.float64)
        rows[start : start + CHUNK] = near
        similarities[start : start + CHUNK] = np.maximum(1 + np.log(np.maximum(values, 1e-30)) / typical, 0)
    return Near(rows, similarities)


@dataclass(frozen=True, eq=False)
class Range:
    """What training crystals are like, whatever the property.

    Parameters
    ----------
    limits : ndarray of shape (len(LOOKED), 2)
        Lower and upper limits of the features that tell of contacts, which 99 % of the training crystals keep.
    hydrogen : float
        Share of hydrogen among the atoms that 99 % of the training crystals don't exceed.
    elements : ndarray of int
        Atomic numbers of the elements that they hold.
    margin : float
        Part of the range of the limits that others may lie beyond them.
    """

    limits: FloatArray
    hydrogen: float
    elements: NDArray[np.int64]
    margin: float

    @classmethod
    def of(cls, crystals: CrystalTable, features: FloatArray, labels: list[str]) -> Range:
        """Look at the training crystals."""
        limits = np.quantile(_looked(features, labels), [OUTSIDE / 2, 1 - OUTSIDE / 2], axis=0).T
        numbers = np.unique(element_numbers(crystals)[0])
        hydrogen = float(np.quantile(_hydrogen_shares(crystals), 1 - OUTSIDE))
        return cls(limits, hydrogen, numbers, MARGIN + MARGIN_OF_FEW / len(crystals))

    def flags(self, crystals: CrystalTable, features: FloatArray, labels: list[str]) -> list[dict[str, str]]:
        """Say of each crystal what is unlike the training crystals, by the kind of it."""
        out: list[dict[str, str]] = [{} for _ in range(len(crystals))]
        row: Any
        for row in doubtful_rows(crystals):
            for problem in find_problems(crystals[row]):
                kind = {"contact": "contacts", "density": "vacuum"}.get(problem.kind, problem.kind)
                out[row].setdefault(kind, problem.message)
        margin = self.margin * (self.limits[:, 1] - self.limits[:, 0])
        values = _looked(features, labels)
        beyond = (values < self.limits[:, 0] - margin) | (values > self.limits[:, 1] + margin)
        for row in np.nonzero(beyond.any(axis=1))[0]:
            i = int(np.nonzero(beyond[row])[0][0])
            low, high = self.limits[i]
            message = f"{LOOKED[i][1]} of {values[row, i]:.2f}, where 99 % of the training crystals have {low:.2f} to {high:.2f}"
            out[row].setdefault("contacts", message)
        shares = _hydrogen_shares(crystals)
        for row in np.nonzero((shares > HYDROGEN) & (shares > self.hydrogen))[0]:
            message = f"{shares[row]:.0%} of its atoms are hydrogen, in 99 % of the training crystals up to {self.hydrogen:.0%}"
            out[row]["hydrogen"] = message
        numbers = element_numbers(crystals)[0]
        owner = np.repeat(np.arange(len(crystals)), np.diff(crystals.species_offsets))
        unseen = ~np.isin(numbers, self.elements)
        for row in np.unique(owner[unseen]):
            symbols = ", ".join(species_symbol(int(number)) for number in np.unique(numbers[unseen & (owner == row)]))
            out[row]["elements"] = f"no training crystal holds {symbols}"
        return out


def same_crystals(crystals: CrystalTable, known: CrystalTable, near: Near) -> list[int]:
    """Give for each crystal the row of the training crystal that is the same, -1 if there is none."""
    dissimilarity = CrystalDissimilarity(resolution="sites")
    fractions = cumulative_fractions(crystals)
    out = [-1] * len(crystals)
    for row, (candidates, similarities) in enumerate(zip(near.rows, near.similarities, strict=True)):
        likely = candidates[similarities > 0.5]
        if not len(likely):
            continue
        others = cumulative_fractions([known[int(one)] for one in likely])
        best = SAME
        for candidate in likely[np.abs(others - fractions[row]).max(axis=1) < 1e-6].tolist():
            apart = dissimilarity.distance(crystals[row], known[candidate])
            if apart <= best:
                out[row], best = candidate, apart
    return out


def _looked(features: FloatArray, labels: list[str]) -> FloatArray:
    """Give the features that tell of contacts, shape (n, len(LOOKED))."""
    return features[:, [labels.index(label) for label, _ in LOOKED]]


def element_shares(crystals: CrystalTable) -> SingleArray:
    """Give the share of each element, by its atomic number, in the species of each crystal, shape (n, LARGEST_NUMBER + 1)."""
    per_crystal = np.diff(crystals.species_offsets)
    out = np.zeros((len(crystals), LARGEST_NUMBER + 1), np.float32)
    owner = np.repeat(np.arange(len(crystals)), per_crystal)
    np.add.at(out, (owner, element_numbers(crystals)[0]), (1 / per_crystal)[owner])
    return out


def _hydrogen_shares(crystals: CrystalTable) -> FloatArray:
    owner = np.repeat(np.arange(len(crystals)), np.diff(crystals.species_offsets))
    numbers = element_numbers(crystals)[0]
    hydrogen = np.bincount(owner, weights=crystals.occupancies * (numbers == 1), minlength=len(crystals))
    return hydrogen / np.bincount(owner, weights=crystals.occupancies, minlength=len(crystals))
