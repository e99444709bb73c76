"""Measures of sets of crystals, word by word as they are defined."""

import itertools
import math

import numpy as np
from pymatgen.core import Composition


def covered(left: np.ndarray, right: np.ndarray, radius: float, more_left=None, more_right=None, more_radius=math.inf) -> tuple:
    """Tell which vectors have one of the other set within a radius, and within a second one by more vectors of the same."""
    near_left, near_right = [False] * len(left), [False] * len(right)
    for i, j in itertools.product(range(len(left)), range(len(right))):
        within = sum(abs(a - b) for a, b in zip(left[i], right[j], strict=True)) <= radius
        if within and more_left is not None:
            within = sum(abs(a - b) for a, b in zip(more_left[i], more_right[j], strict=True)) <= more_radius
        near_left[i] |= within
        near_right[j] |= within
    return near_left, near_right


def vendi(kernel: np.ndarray) -> float:
    """Give the exponential of the entropy of a density matrix, by its logarithm."""
    values, vectors = np.linalg.eigh(kernel / len(kernel))
    values = np.where(values > 0, values, 0)
    density = vectors @ np.diag(values / values.sum()) @ vectors.T
    logarithm = vectors @ np.diag(np.log(np.where(values > 0, values / values.sum(), 1))) @ vectors.T
    return math.exp(-np.trace(density @ logarithm))


def squared_mmd(kernel: np.ndarray, n: int) -> float:
    """Add up the three means of the definition."""
    own, others = range(n), range(n, len(kernel))
    means = [
        sum(kernel[i, j] for i in left for j in right) / (len(left) * len(right))
        for left, right in ((own, own), (others, others), (own, others))
    ]
    return means[0] + means[1] - 2 * means[2]


def pair_mean(dissimilarities: np.ndarray) -> float:
    """Give the mean of D / (1 + D) over all pairs."""
    n = len(dissimilarities)
    values = [dissimilarities[i, j] / (1 + dissimilarities[i, j]) for i in range(n) for j in range(n) if i != j]
    return sum(values) / (n * (n - 1))


def charges_balance(formula: str) -> bool:
    """Ask pymatgen."""
    return len(Composition(formula).oxi_state_guesses(max_sites=-1)) > 0
