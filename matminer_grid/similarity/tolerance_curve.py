"""Number of groups against the tolerance, so that a gap between copies and different crystals is seen."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matminer_grid._validation import check_number
from matminer_grid.similarity.linkage import linked_crystals
from matminer_grid.similarity.near_pairs import as_given, find_pairs
from matminer_grid.similarity.tolerance import DuplicateTolerance, checked_tolerance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matminer_grid.similarity.dissimilarity import CrystalDissimilarity

SMALLEST = 0.01
"""Share of the tolerance below which differences are rounding."""


@dataclass(frozen=True, eq=False)
class ToleranceCurve:
    """How many groups a data set has at each tolerance.

    Parameters
    ----------
    n_crystals : int
    factors : ndarray of shape (m,)
        Factors of the tolerance at which two groups become one, ascending.
    tolerance : DuplicateTolerance or float
        What they are factors of.
    largest : float
        Factor up to which was looked.
    """

    n_crystals: int
    factors: NDArray[np.float64]
    tolerance: DuplicateTolerance | float
    largest: float

    def n_groups(self, factors: Any) -> NDArray[np.int64]:
        """Count the groups at some factors, in the shape of these."""
        return self.n_crystals - np.searchsorted(self.factors, factors, side="right")

    @property
    def gap(self) -> tuple[float, float]:
        """The widest range of factors, by their ratio, between which no groups become one, from 0.01 to the largest."""
        inside = self.factors[(self.factors > SMALLEST) & (self.factors < self.largest)]
        edges = np.concatenate(([SMALLEST], inside, [self.largest]))
        widest = int(np.argmax(edges[1:] / edges[:-1]))
        return float(edges[widest]), float(edges[widest + 1])

    @property
    def suggested(self) -> DuplicateTolerance | float:
        """The tolerance in the middle of the gap, the geometric mean of its ends."""
        factor = float(np.sqrt(np.prod(self.gap)))
        if isinstance(self.tolerance, DuplicateTolerance):
            return DuplicateTolerance(**{name: factor * value for name, value in asdict(self.tolerance).items()})
        return factor * self.tolerance


def suggest_tolerance(
    X: Any,
    tolerance: DuplicateTolerance | float | None = None,
    *,
    largest: float = 2.0,
    same_formula: bool = True,
    dissimilarity: CrystalDissimilarity | None = None,
    n_jobs: int | None = None,
    pbar: bool = False,
) -> ToleranceCurve:
    """Count the groups of :func:`find_duplicates` at all tolerances up to a multiple of one, and find the gap.

    Where copies are nearer to each other than different crystals, the number of groups doesn't change over a range of tolerances:
    one in that range takes copies for the same, and nothing else. Where there is no such range, no tolerance does;
    :func:`~matminer_grid.plotting.plot_groups` shows it.

    Parameters
    ----------
    X : structures, as a list, tuple, array, Series, one-column DataFrame or CrystalTable; or CrystalIndex
        For a single number also DescribedCrystals.
    tolerance : DuplicateTolerance or float, optional
        All its parts are multiplied by the same factors; ``DuplicateTolerance()`` by default.
    largest : float, default 2.0
        Factor up to which tolerances are looked at. Time and memory grow fast with it.
    same_formula, dissimilarity, n_jobs, pbar
        As for :func:`find_duplicates`.

    Returns
    -------
    ToleranceCurve

    Raises
    ------
    TypeError, ValueError
        As :func:`find_duplicates`; or a single number is 0, or `largest` not above 0.01.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from matminer_grid import suggest_tolerance
    >>> def rock_salt(a):
    ...     return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), ["Na", "Cl"], [[0, 0, 0], [0.5, 0, 0]])
    >>> curve = suggest_tolerance([rock_salt(a) for a in (5.64, 5.641, 5.643, 5.7)])
    >>> curve.n_groups([0.01, 0.1, 1.0, 2.0]).tolist(), [round(factor, 2) for factor in curve.gap]
    ([4, 2, 2, 1], [0.05, 1.08])
    """
    check_number("largest", largest, low=SMALLEST, low_ok=False)
    tolerance = checked_tolerance(tolerance)
    if tolerance == 0:
        raise ValueError("tolerance must be above 0, whose multiples are looked at, not 0")
    crystals = as_given(X)
    options: dict[str, Any] = {"same_formula": same_formula, "dissimilarity": dissimilarity, "n_jobs": n_jobs, "pbar": pbar}
    found = find_pairs(crystals, None, tolerance, margin=largest, **options)
    heights = [np.empty(0)] + [linked.joined("complete")[:, 2] for linked in linked_crystals(crystals, found)]
    factors = np.sort(np.concatenate(heights))
    return ToleranceCurve(len(crystals), factors[factors <= largest], tolerance, largest)
