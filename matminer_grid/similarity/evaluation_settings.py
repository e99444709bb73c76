"""How sets are evaluated, what a measure is, and the draws that its interval comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from matminer_grid._validation import check_number, check_whole
from matminer_grid.similarity.evaluation_sets import draw_counts, mean_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class EvaluationSettings:
    """How sets are evaluated: sizes of samples, thresholds and intervals.

    Parameters
    ----------
    sample : int, default 300
        Most crystals of each set, drawn at random, for what needs the dissimilarities of all pairs: transport and MMD.
    space_group_sample : int, default 200
        Most crystals of each set for space groups, which take spglib up to 40 ms a crystal.
    vendi_sample : int, default 10_000
        Most crystals for the Vendi score; above 2,000 its eigenvalues are estimated.
    n_pairs : int, default 50_000
        Most pairs for the continuous uniqueness.
    structure_radius : float, default 0.1
        Coverage: largest mean difference of mean distances in Å.
    composition_radius : float, default 1.0
        Coverage: largest earth mover's distance of compositions in places of the modified Pettifor scale.
    stable, metastable : float, default 0.0 and 0.1
        Largest energy above hull of stable and of metastable crystals, in eV an atom.
    confidence : float, default 0.95
        Probability of the intervals.
    n_bootstrap : int, default 200
        Draws of a bootstrap.
    n_permutations : int, default 500
        Random splits for the p-value.
    seed : int, default 0
        Of all that is drawn at random.

    Raises
    ------
    TypeError, ValueError
        A number is out of range.
    """

    sample: int = 300
    space_group_sample: int = 200
    vendi_sample: int = 10_000
    n_pairs: int = 50_000
    structure_radius: float = 0.1
    composition_radius: float = 1.0
    stable: float = 0.0
    metastable: float = 0.1
    confidence: float = 0.95
    n_bootstrap: int = 200
    n_permutations: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("sample", "space_group_sample", "vendi_sample", "n_pairs", "n_bootstrap", "n_permutations"):
            check_whole(name, getattr(self, name))
        check_whole("seed", self.seed, low=0)
        for name in ("structure_radius", "composition_radius"):
            check_number(name, getattr(self, name))
        for name in ("stable", "metastable"):
            check_number(name, getattr(self, name), low=-100.0, unit="eV an atom")
        if not 0 < check_number("confidence", self.confidence) < 1:
            raise ValueError(f"confidence must be between 0 and 1, not {self.confidence!r}")


class Measure(NamedTuple):
    """A measure of a set.

    Parameters
    ----------
    name : str
    value : float
    low, high : float
        Ends of its interval; NaN without one.
    basis : str
        What it was computed from, and what was resampled for the interval.
    """

    name: str
    value: float
    low: float
    high: float
    basis: str


class Shares(NamedTuple):
    """Draws for the bootstrap of means over the generated crystals: `counts` (n_bootstrap, n) how often each was drawn."""

    counts: NDArray[np.uint16]
    confidence: float
    basis: str

    @classmethod
    def draw(cls, n: int, settings: EvaluationSettings, rng: np.random.Generator) -> Shares:
        """Draw n crystals, with replacement, many times."""
        return cls(draw_counts(n, settings.n_bootstrap, rng), settings.confidence, f"all {n} generated; they are resampled")

    def mean(self, name: str, values: Any) -> Measure:
        """Give the mean of a value of each crystal as a measure."""
        values = np.asarray(values, np.float64)
        return Measure(name, float(values.mean()), *mean_interval(values, self.counts, self.confidence), self.basis)
