"""How far crystals may be apart that count as the same."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matminer_grid._validation import check_number
from matminer_grid.similarity.grid_index import TIE

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class DuplicateTolerance:
    """How far two crystals may be apart that count as the same, part by part: all three must be within.

    A sum lets one part make up for another: to exchange two atoms of a cell of 64 changes the surroundings by some 0.2, and to
    expand rock salt by half a per cent the site dissimilarity by 0.3. By parts the first are different crystals, and the second the
    same. The defaults take copies for the same that are strained by half a per cent in any direction, or whose atoms are moved by
    0.02 Å, and tell nearly all such apart in which two different atoms of up to 64 are exchanged. Polytypes of long periods are
    within them.

    Geometry and surroundings are those of ``CrystalDissimilarity(resolution="sites", elements="identity", scale_volume=True)``:
    at 17 Å³ a site, where different elements are 10 apart, under the plan of least cost that turns the sites of one crystal into
    those of the other.

    Parameters
    ----------
    volume : float, default 0.03
        Largest relative difference of the volumes a site: the larger over the smaller, less 1. Infinite where size doesn't matter.
    geometry : float, default 0.035
        Largest mean difference of the distances to the nearest 100 neighbours, in Å, at equal volume.
    surroundings : float, default 0.09
        Largest mean difference of the sites' elements and of the compositions of the balls around them, where 10 is as different as
        can be.

    Raises
    ------
    TypeError, ValueError
        A tolerance is no number, negative or NaN, or one other than the volume's infinite.

    Examples
    --------
    >>> from matminer_grid import DuplicateTolerance
    >>> DuplicateTolerance(volume=0.05)
    DuplicateTolerance(volume=0.05, geometry=0.035, surroundings=0.09)
    """

    volume: float = 0.03
    geometry: float = 0.035
    surroundings: float = 0.09

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name != "volume" or value != math.inf:
                check_number(f"{name} of the tolerance", value)


def checked_tolerance(tolerance: Any) -> DuplicateTolerance | float:
    """Check a tolerance: by parts, the default one for None, or a single number."""
    if tolerance is None:
        return DuplicateTolerance()
    return tolerance if isinstance(tolerance, DuplicateTolerance) else check_number("tolerance", tolerance)


def limits_of(tolerance: DuplicateTolerance | float) -> dict[str, float]:
    """Give the largest value of each part by its name; a single number is that of the dissimilarity."""
    if isinstance(tolerance, DuplicateTolerance):
        return {name: float(value) for name, value in asdict(tolerance).items()}
    return {"dissimilarity": tolerance}


@dataclass(frozen=True, eq=False)
class CrystalPairs:
    """Pairs of crystals, the parts of what they are apart, and whether that is within a tolerance.

    Parameters
    ----------
    rows : ndarray of shape (m, 2)
        Of the crystals of each pair; ascending, within one set also those of a pair.
    parts : ndarray of shape (m, n_parts)
        What they are apart: volume, geometry (Å) and surroundings, or the dissimilarity alone.
    tolerance : DuplicateTolerance or float
        What they were judged by.
    """

    rows: NDArray[np.int64]
    parts: NDArray[np.float64]
    tolerance: DuplicateTolerance | float

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> CrystalPairs:
        """Give some of the pairs, by a slice, a mask or an integer array."""
        return CrystalPairs(self.rows[index], self.parts[index], self.tolerance)

    @property
    def names(self) -> list[str]:
        """Names of the parts."""
        return list(limits_of(self.tolerance))

    @property
    def shares(self) -> NDArray[np.float64]:
        """Each part as a share of its tolerance, shape (m, n_parts), at most 1 where it is within.

        Of a tolerance of 0 it is 0 for what is the same, else infinite.
        """
        limits = np.array(list(limits_of(self.tolerance).values()))
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = self.parts / limits
        return np.where(self.parts <= limits + TIE, np.where(limits == 0, 0.0, np.minimum(shares, 1.0)), shares)

    @property
    def ratios(self) -> NDArray[np.float64]:
        """The largest part as a share of its tolerance, shape (m,): at most 1 for pairs within."""
        return self.shares.max(axis=1)

    @property
    def within(self) -> NDArray[np.bool_]:
        """Whether every part is within its tolerance, shape (m,); one equal to it is, to 1e-9."""
        return self.ratios <= 1

    @property
    def decided_by(self) -> NDArray[np.str_]:
        """Name of the part nearest to its tolerance or farthest beyond it, shape (m,)."""
        return np.array(self.names)[self.shares.argmax(axis=1)]
