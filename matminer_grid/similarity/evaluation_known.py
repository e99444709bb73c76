"""Known crystals with their ids, ready to be compared with generated ones."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from matminer_grid.crystals.composition import cumulative_fractions
from matminer_grid.crystals.crystal import KNOWN_NUMBERS
from matminer_grid.crystals.inputs import as_crystals
from matminer_grid.crystals.table import CrystalTable, read_structures
from matminer_grid.similarity.described import DescribedCrystals
from matminer_grid.similarity.dissimilarity import CrystalDissimilarity, checked_dissimilarity
from matminer_grid.similarity.evaluation_coverage import Points
from matminer_grid.similarity.search import EMDSearch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SAME_COMPOSITION = 1e-6
"""Sums of fractions that differ by no more are those of equal compositions."""

NUMBERS = np.array(sorted(KNOWN_NUMBERS))

KEYS = np.random.default_rng(17).random((len(NUMBERS), 3))
"""Three numbers for each species: compositions are equal where the means over their atoms are."""


class KnownCrystals:
    """Reference crystals with their ids, ready to be compared with; can be used again for other generated sets.

    Parameters
    ----------
    crystals : structures, as a list, tuple, array, Series, one-column DataFrame or CrystalTable
        Invalid ones, and such that the dissimilarity can't describe, are left out; `errors` names them.
    ids : sequence, optional
        One for each crystal; the numbers of the rows by default. Where several crystals have one id, their rows are added.
    dissimilarity : CrystalDissimilarity, optional
        By sites; ``CrystalDissimilarity(resolution="sites")`` by default.
    n_jobs : int, optional
        Number of threads; see :func:`~matminer_grid._threads.n_threads`.

    Attributes
    ----------
    crystals : CrystalTable
        Those that were taken.
    ids : list of str
        Theirs.
    errors : dict of int to Exception
        Why the others weren't, by row.
    search : EMDSearch
        Fitted with them.

    Raises
    ------
    TypeError, ValueError
        There is no valid crystal, or another number of ids; or the dissimilarity is none by sites.

    Warns
    -----
    UserWarning
        Crystals are left out, or ids stand for several.

    Examples
    --------
    >>> from matminer_grid import KnownCrystals
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> data = load_mp_elasticity_table()
    >>> known = KnownCrystals(data.crystals[:20], data.material_id[:20])
    >>> len(known), known.ids[:2]
    (20, ['mp-28369', 'mp-756473'])
    """

    def __init__(
        self,
        crystals: Any,
        ids: Sequence[Any] | NDArray[Any] | None = None,
        *,
        dissimilarity: CrystalDissimilarity | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.dissimilarity = site_dissimilarity(dissimilarity)
        structures = as_crystals(crystals)
        if ids is not None and len(ids) != len(structures):
            raise ValueError(f"there are {len(structures)} known crystals and {len(ids)} ids: each needs one")
        valid, described, self.errors = describe_valid(self.dissimilarity, structures, n_jobs)
        if self.errors:
            row, error = next(iter(self.errors.items()))
            more = f" (and {len(self.errors) - 1} more)" if len(self.errors) > 1 else ""
            warnings.warn(f"known crystals are left out: row {row}{more}: {error}", UserWarning, stacklevel=2)
        if len(valid) == 0:
            raise ValueError("there are no known crystals to compare with: at least one that is valid is needed")
        rows = np.delete(np.arange(len(structures)), list(self.errors))
        self.crystals = valid
        self.ids = [str(row) for row in rows] if ids is None else _distinct([str(ids[row]) for row in rows.tolist()], rows)
        self.search = EMDSearch(self.dissimilarity, n_jobs=n_jobs).fit(described)

    def __len__(self) -> int:
        return len(self.crystals)

    def described(self, rows: NDArray[np.int64]) -> DescribedCrystals:
        """Give some of them as the dissimilarity compares them."""
        return self.search.references_[rows]

    def points(self, rows: slice) -> Points:
        """Give some of them as coverage compares them."""
        return points_of(self.crystals[rows], self.described(np.arange(rows.start, rows.stop)))


def site_dissimilarity(dissimilarity: CrystalDissimilarity | None) -> CrystalDissimilarity:
    """Check that a dissimilarity is by sites; make one for None."""
    if dissimilarity is None:
        return CrystalDissimilarity(resolution="sites")
    checked = checked_dissimilarity(dissimilarity)
    if checked.resolution != "sites":
        raise ValueError('sets are evaluated by sites: give CrystalDissimilarity(resolution="sites"), not resolution="grid"')
    return checked


def describe_valid(
    dissimilarity: CrystalDissimilarity, structures: Sequence[Any], n_jobs: int | None = None
) -> tuple[CrystalTable, DescribedCrystals, dict[int, Exception]]:
    """Describe what can be described: those crystals, their descriptions, and the errors of the others by row."""
    errors: dict[int, Exception]
    if isinstance(structures, CrystalTable):
        errors = dict(structures.errors())
        table = structures[[row not in errors for row in range(len(structures))]] if errors else structures
    else:
        table, errors = read_structures(structures)
    rows = np.delete(np.arange(len(structures)), list(errors))
    described, failed = _described(dissimilarity, table, n_jobs)
    errors |= {int(rows[row]): error for row, error in failed.items()}
    return table[np.delete(np.arange(len(table)), list(failed))] if failed else table, described, dict(sorted(errors.items()))


def _described(
    dissimilarity: CrystalDissimilarity, table: CrystalTable, n_jobs: int | None
) -> tuple[DescribedCrystals, dict[int, Exception]]:
    """Describe a table; where that fails, its halves, down to the crystal that is wrong."""
    try:
        return dissimilarity.describe(table, n_jobs=n_jobs), {}
    except (TypeError, ValueError) as error:
        if len(table) == 1:
            return dissimilarity.describe(table[:0]), {0: _without_row(error)}
    middle = len(table) // 2
    first, failed = _described(dissimilarity, table[:middle], n_jobs)
    second, later = _described(dissimilarity, table[middle:], n_jobs)
    return DescribedCrystals.concatenate([first, second]), failed | {middle + row: error for row, error in later.items()}


def _without_row(error: Exception) -> Exception:
    return type(error)(str(error).removeprefix("row 0 ").removeprefix("row 0: "))


def _distinct(ids: list[str], rows: NDArray[np.int64]) -> list[str]:
    """Add the rows to ids that several crystals have."""
    names, counts = np.unique(np.array(ids, dtype=object), return_counts=True)
    shared = set(names[counts > 1].tolist())
    if shared:
        first = next(name for name in ids if name in shared)
        warnings.warn(f"{len(shared)} ids stand for several known crystals, {first} first; rows tell them apart", stacklevel=3)
    return [f"{name} (row {row})" if name in shared else name for name, row in zip(ids, rows.tolist(), strict=True)]


def points_of(crystals: CrystalTable, described: DescribedCrystals) -> Points:
    """Give crystals as coverage compares them."""
    by_rank = described.sites.averages[0]
    return Points(by_rank / by_rank.shape[1], cumulative_fractions(crystals))


def composition_keys(crystals: CrystalTable) -> NDArray[np.float64]:
    """Give three numbers for each crystal, shape (n, 3), that are equal for equal compositions and hardly ever for others."""
    owners = np.repeat(np.arange(len(crystals)), np.diff(crystals.species_offsets))
    weights = crystals.occupancies[:, None] * np.hstack(
        (KEYS[np.searchsorted(NUMBERS, crystals.numbers)], np.ones((len(owners), 1)))
    )
    sums = np.stack([np.bincount(owners, weights=column, minlength=len(crystals)) for column in weights.T], axis=1)
    return sums[:, :3] / sums[:, 3:]
