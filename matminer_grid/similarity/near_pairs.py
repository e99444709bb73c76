"""All pairs of crystals within a tolerance, in one set or between two: exact, and in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from matminer_grid._threads import in_threads, n_threads, new_flag, progress_bar
from matminer_grid._validation import check_number, without_row
from matminer_grid.kernels.coverage import near_in_ranges
from matminer_grid.kernels.sites import parts_of_pairs
from matminer_grid.similarity.described import DescribedCrystals
from matminer_grid.similarity.dissimilarity import CrystalDissimilarity, checked_dissimilarity, structures_as_table
from matminer_grid.similarity.evaluation_distributions import volumes_per_atom
from matminer_grid.similarity.formulas import SAME_COMPOSITION, composition_keys, formula_labels, near_rows
from matminer_grid.similarity.grid_index import TIE
from matminer_grid.similarity.index import CrystalIndex
from matminer_grid.similarity.search import EMDSearch
from matminer_grid.similarity.tolerance import CrystalPairs, DuplicateTolerance, checked_tolerance, limits_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from matminer_grid.crystals.table import CrystalTable

    IntArray = NDArray[np.int64]
    FloatArray = NDArray[np.float64]

SITES_AT_ONCE = 30_000
"""Sites of the crystals that are described together: some 100 MB."""

KEPT_BLOCKS = 2
"""Described blocks that are kept: one of either side."""

ROWS_AT_ONCE = 32
"""Crystals that a thread compares with others in one go."""

SLACK = 1e-6
"""Difference of logarithms of volumes that is let through before the ratio is looked at."""


def by_sites() -> CrystalDissimilarity:
    """Make the dissimilarity that a single number is one of, by default."""
    return CrystalDissimilarity(resolution="sites")


def by_parts() -> CrystalDissimilarity:
    """Make the dissimilarity whose parts are judged."""
    return CrystalDissimilarity(resolution="sites", elements="identity", scale_volume=True)


def find_pairs(
    A: Any,
    B: Any = None,
    tolerance: DuplicateTolerance | float | None = None,
    *,
    same_formula: bool = True,
    dissimilarity: CrystalDissimilarity | None = None,
    margin: float = 1.0,
    n_jobs: int | None = None,
    pbar: bool = False,
) -> CrystalPairs:
    """Find all pairs of crystals within a tolerance, in one set or between two.

    None is missed. By parts, crystals are compared in the order of their formulas and volumes, so that only those are described
    that have one of the same formula and of nearly the same volume beside them, a block of them at a time: apart from the crystals
    and what is found, memory doesn't grow with their number.

    Parameters
    ----------
    A, B : structures, as a list, tuple, array, Series, one-column DataFrame or CrystalTable; or CrystalIndex
        Without `B` the crystals of `A` are compared with each other. For a single number also DescribedCrystals.
    tolerance : DuplicateTolerance or float, optional
        By parts, ``DuplicateTolerance()`` by default; or the largest dissimilarity.
    same_formula : bool, default True
        Whether only crystals of equal reduced formulas are compared.
    dissimilarity : CrystalDissimilarity, optional
        Only for a single number; ``CrystalDissimilarity(resolution="sites")`` by default.
    margin : float, default 1.0
        Pairs are found up to so many times the tolerance; :attr:`CrystalPairs.within` tells which are within it, and
        :attr:`CrystalPairs.decided_by` which part decided.
    n_jobs : int, optional
        Number of threads; see :func:`~matminer_grid._threads.n_threads`.
    pbar : bool, default False
        Whether to show a progress bar.

    Returns
    -------
    CrystalPairs

    Raises
    ------
    TypeError, ValueError
        A tolerance or the margin is no number, negative or not finite; a structure is invalid; a dissimilarity is given beside a
        tolerance by parts, or described crystals; or these have no compositions, which `same_formula` needs.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from matminer_grid import find_pairs
    >>> def rock_salt(a, cation, anion):
    ...     return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0, 0]])
    >>> crystals = [rock_salt(a, "Na", anion) for a, anion in ((5.64, "Cl"), (5.64, "Br"), (5.66, "Cl"), (5.76, "Cl"))]
    >>> pairs = find_pairs(crystals, margin=2)
    >>> pairs.rows.tolist(), pairs.parts[:, 0].round(3), pairs.decided_by.tolist(), pairs.within
    ([[0, 2], [2, 3]], array([0.011, 0.054]), ['volume', 'volume'], array([ True, False]))
    """
    tolerance = checked_tolerance(tolerance)
    margin = check_number("margin", margin)
    if isinstance(tolerance, float):
        rows, parts = _by_dissimilarity(A, B, margin * tolerance, dissimilarity, same_formula, n_jobs, pbar)
        return CrystalPairs(rows, parts, tolerance)
    if dissimilarity is not None:
        raise ValueError(
            "a tolerance by parts has a dissimilarity of its own; give a dissimilarity only beside a single number as the tolerance"
        )
    left, right = Keyed.of(A), None if B is None else Keyed.of(B)
    limits = {name: margin * limit if limit else 0.0 for name, limit in limits_of(tolerance).items()}
    rows, parts = _Sweep(left, right, limits, same_formula, n_jobs).run(pbar)
    order = np.lexsort((rows[:, 1], rows[:, 0]))
    return CrystalPairs(rows[order], parts[order], tolerance)


def as_given(crystals: Any) -> Any:
    """Give structures as a table that is checked; described crystals stay what they are."""
    if isinstance(crystals, DescribedCrystals):
        return crystals
    return crystals.table if isinstance(crystals, CrystalIndex) else structures_as_table(crystals)


def with_volumes(crystals: Any) -> CrystalTable:
    """Give structures as a table that is checked; described crystals, which have no volumes, are refused."""
    if isinstance(crystals, DescribedCrystals):
        raise ValueError(  # noqa: TRY004  the type is right where the tolerance is a number
            "a tolerance by parts needs the crystals themselves, whose volumes described crystals don't tell; give the structures, "
            "or a single number as the tolerance"
        )
    return as_given(crystals)


def all_pairs(
    crystals: Any, tolerance: DuplicateTolerance | float, dissimilarity: CrystalDissimilarity | None, n_jobs: int | None
) -> CrystalPairs:
    """Compare all pairs of some crystals, however far apart."""
    if isinstance(tolerance, DuplicateTolerance):
        return all_between(crystals, None, tolerance, n_jobs)
    matrix = (by_sites() if dissimilarity is None else dissimilarity).pairwise(crystals, n_jobs=n_jobs)
    rows = np.triu_indices(len(matrix), k=1)
    return CrystalPairs(np.stack(rows, axis=1), matrix[rows][:, None], tolerance)


def all_between(a: CrystalTable, b: CrystalTable | None, tolerance: DuplicateTolerance, n_jobs: int | None) -> CrystalPairs:
    """Compare all pairs of equal formulas by parts, of one set or of two, however far apart."""
    limits = dict.fromkeys(limits_of(tolerance), np.inf)
    keyed = Keyed.of(a), None if b is None else Keyed.of(b)
    return CrystalPairs(*_Sweep(*keyed, limits, True, n_jobs).run(False), tolerance)


def _by_dissimilarity(
    A: Any, B: Any, radius: float, dissimilarity: CrystalDissimilarity | None, same_formula: bool, n_jobs: int | None, pbar: bool
) -> tuple[IntArray, FloatArray]:
    """Find pairs by one number: rows (m, 2), ascending, and dissimilarities (m, 1)."""
    dissimilarity = by_sites() if dissimilarity is None else checked_dissimilarity(dissimilarity)
    a, b = as_given(A), None if B is None else as_given(B)
    if isinstance(a, DescribedCrystals) != isinstance(b, DescribedCrystals) and b is not None:
        a, b = (dissimilarity.describe(one, n_jobs=n_jobs) for one in (a, b))  # of one kind
    if len(a) == 0 or (b is not None and len(b) == 0):
        return np.empty((0, 2), np.int64), np.empty((0, 1))
    search = EMDSearch(dissimilarity, n_jobs=n_jobs).fit(a if b is None else b)
    distances, found = search.radius_neighbors(None if b is None else a, radius, pbar=pbar)
    rows = np.stack((np.repeat(np.arange(len(found)), [len(one) for one in found]), np.concatenate([*found, []])), axis=1)
    rows, apart = rows.astype(np.int64), np.concatenate([*distances, []])
    keep = np.ones(len(rows), np.bool_) if b is not None else rows[:, 0] < rows[:, 1]  # each pair is found from both sides
    rows, apart = rows[keep], apart[keep]
    if same_formula and len(rows):
        left = _keys(a)
        right = left if b is None else _keys(b)
        same = (np.abs(left[rows[:, 0]] - right[rows[:, 1]]) <= SAME_COMPOSITION).all(axis=1)
        rows, apart = rows[same], apart[same]
    order = np.lexsort((rows[:, 1], rows[:, 0]))
    return rows[order], apart[order, None]


def _keys(crystals: Any) -> FloatArray:
    """Give numbers that are equal for equal compositions."""
    if not isinstance(crystals, DescribedCrystals):
        return composition_keys(crystals)
    if not crystals.compositions.size:
        raise ValueError("the crystals were described without compositions: give the structures, or same_formula=False")
    return crystals.compositions


@dataclass(frozen=True, eq=False)
class Keyed:
    """N crystals with what they are sorted by: keys of compositions (N, 3), and volumes a site in Å³ (N,)."""

    crystals: CrystalTable
    keys: FloatArray
    volumes: FloatArray

    @classmethod
    def of(cls, crystals: Any) -> Keyed:
        """Check structures, and compute what they are sorted by; what has been computed is taken as it is."""
        if isinstance(crystals, Keyed):
            return crystals
        table = with_volumes(crystals)
        return cls(table, composition_keys(table), volumes_per_atom(table))


class _Sweep:
    """Crystals in the order of their formulas and volumes, each with the range of those that it may be the same as."""

    def __init__(self, a: Keyed, b: Keyed | None, limits: dict[str, float], same_formula: bool, n_jobs: int | None) -> None:
        self.limits, self.n_jobs = limits, n_jobs
        self.dissimilarity = by_parts()
        self.weights = self.dissimilarity.site_weights
        self.sides = (a.crystals, a.crystals if b is None else b.crystals)
        self.volumes = [one.volumes for one in ((a,) if b is None else (a, b))]
        every = np.arange(len(self.sides[1]))
        rows = near_rows(b.keys, a.keys) if b is not None and same_formula else every  # of few formulas among many
        keys = [a.keys] if b is None else [a.keys, b.keys[rows]]
        labels = formula_labels(np.concatenate(keys)) if same_formula else np.zeros(sum(map(len, keys)), np.int64)
        logs = np.log(a.volumes if b is None else np.concatenate((a.volumes, b.volumes[rows])))
        width = float(np.ptp(logs)) if len(logs) else 0.0
        reach = min(float(np.log1p(limits["volume"])), width) + SLACK
        places = labels * (width + reach + 1) + logs  # formulas lie farther apart than their volumes reach
        own, other = places[: len(a.keys)], places[len(a.keys) :] if b is not None else places
        self.own_order, self.order = np.argsort(own, kind="stable"), np.argsort(other, kind="stable")
        own, other = own[self.own_order], other[self.order]
        self.order = rows[self.order]
        self.last = np.searchsorted(other, own + reach, side="right")
        self.first = np.arange(1, len(own) + 1) if b is None else np.searchsorted(other, own - reach)
        self._leave_out_alone(b is None)

    def _leave_out_alone(self, one_set: bool) -> None:
        """Leave out the crystals that need not be compared with any other."""
        wanted = self.last > self.first
        starts = np.bincount(self.first[wanted], minlength=len(self.order) + 1)
        ends = np.bincount(self.last[wanted], minlength=len(self.order) + 1)
        covered = np.cumsum(starts - ends)[: len(self.order)] > 0
        if one_set:
            wanted |= covered
            covered = wanted
        places = np.append(0, np.cumsum(covered))
        self.first, self.last = places[self.first[wanted]], places[self.last[wanted]]
        self.own_order, self.order = self.own_order[wanted], self.order[covered]
        self.blocks = [_blocks(self.sides[0], self.own_order), _blocks(self.sides[1], self.order)]
        self.described: dict[tuple[int, int], tuple[Any, ...]] = {}

    def run(self, pbar: bool) -> tuple[IntArray, FloatArray]:
        """Compare block with block: rows (m, 2) and parts (m, 3)."""
        found = [(np.empty((0, 2), np.int64), np.empty((0, 3)))]
        starts, others = self.blocks
        with progress_bar(desc="pairs", total=len(self.own_order), disable=not pbar) as progress:
            for start, stop in pairwise(starts):
                first, last = self.first[start:stop], self.last[start:stop]
                for begin, end in pairwise(others):
                    if begin < last.max() and end > first.min():
                        found.extend(self._compare((start, stop), (begin, end)))
                progress.update(stop - start)
        rows, parts = (np.concatenate(one) for one in zip(*found, strict=True))
        rows = np.stack((self.own_order[rows[:, 0]], self.order[rows[:, 1]]), axis=1)
        return np.sort(rows, axis=1) if len(self.volumes) == 1 else rows, parts

    def _compare(self, own: tuple[int, int], other: tuple[int, int]) -> Iterator[tuple[IntArray, FloatArray]]:
        """Compare the crystals of two blocks in threads."""
        left, right = self._block(0, own), self._block(1, other)
        first, last = (np.clip(one[own[0] : own[1]], *other) - other[0] for one in (self.first, self.last))
        wanted = np.nonzero(first < last)[0]
        chunks = [wanted[start : start + ROWS_AT_ONCE] for start in range(0, len(wanted), ROWS_AT_ONCE)]
        compare = partial(self._compare_rows, left, right, first, last)
        for rows, parts in in_threads(compare, chunks, n_threads(self.n_jobs), new_flag()):
            yield np.add(rows, (own[0], other[0])), parts

    def _compare_rows(
        self, left: tuple[Any, ...], right: tuple[Any, ...], first: IntArray, last: IntArray, rows: IntArray
    ) -> tuple[IntArray, FloatArray]:
        """Compare some rows of a block with their ranges of another: bounds first, then plans."""
        sites, by_rank, around, volumes = left
        other_sites, other_by_rank, other_around, other_volumes = right
        geometry, surroundings = self.limits["geometry"] + TIE, self.limits["surroundings"] + TIE
        near = near_in_ranges(
            by_rank[rows], other_by_rank, first[rows], last[rows], geometry + TIE, around[rows], other_around, surroundings + TIE
        )
        i, j = rows[near[:, 0]], near[:, 1]
        ratios = volumes[i] / other_volumes[j]
        apart = np.maximum(ratios, 1 / ratios) - 1
        keep = apart <= self.limits["volume"] + TIE
        i, j, apart = i[keep], j[keep], apart[keep]
        found = np.empty((len(i), 3))
        parts_of_pairs(sites, i, other_sites, j, self.weights, found)
        parts = np.stack((apart, found[:, 0], found[:, 1] + found[:, 2]), axis=1)
        keep = (parts[:, 1] <= geometry) & (parts[:, 2] <= surroundings)
        return np.stack((i, j), axis=1)[keep], parts[keep]

    def _block(self, side: int, block: tuple[int, int]) -> tuple[Any, ...]:
        """Describe a block of one of the sets: environments, vectors that bound what is apart, and volumes."""
        side = 0 if len(self.volumes) == 1 else side
        key = (side, block[0])
        if key not in self.described:
            rows = (self.own_order if side == 0 else self.order)[block[0] : block[1]]
            described = self._describe(self.sides[side][rows], rows, "" if len(self.volumes) == 1 else ("A, ", "B, ")[side])
            by_rank, around = described.sites.averages
            vectors = self.weights.ranks * by_rank, np.hstack((around, described.compositions))
            self.described[key] = described.sites.environments, *vectors, self.volumes[side][rows]
        self.described[key] = self.described.pop(key)  # used last
        while len(self.described) > KEPT_BLOCKS:
            del self.described[next(iter(self.described))]
        return self.described[key]

    def _describe(self, crystals: CrystalTable, rows: IntArray, which: str) -> DescribedCrystals:
        try:
            return self.dissimilarity.describe(crystals, n_jobs=self.n_jobs)
        except ValueError:
            for row, crystal in zip(rows.tolist(), crystals, strict=True):
                try:
                    self.dissimilarity.describe([crystal])
                except ValueError as error:
                    raise ValueError(f"{which}row {row}: {without_row(str(error))}") from error
            raise


def _blocks(crystals: CrystalTable, order: IntArray) -> list[int]:
    """Divide crystals, in some order, into blocks of so many sites: where each begins, and the end."""
    sites = np.cumsum(np.diff(crystals.site_offsets)[order])
    return np.unique(np.append(np.nonzero(np.diff(sites // SITES_AT_ONCE, prepend=-1))[0], len(order))).tolist()
