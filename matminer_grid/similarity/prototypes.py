"""Crystals of one prototype: the same structure at equal volume, but for a one-to-one renaming of the elements."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from itertools import permutations, product
from math import factorial, inf, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from matminer_grid._validation import check_choice, check_whole
from matminer_grid.crystals.elements import MODIFIED_PETTIFOR, species_symbol
from matminer_grid.kernels.sites import parts_of_pairs
from matminer_grid.similarity.duplicates import grouped
from matminer_grid.similarity.evaluation_distributions import volumes_per_atom
from matminer_grid.similarity.formulas import SAME_COMPOSITION, composition_keys
from matminer_grid.similarity.linkage import DIGITS, LINKAGES
from matminer_grid.similarity.near_pairs import all_between, by_parts, find_pairs, with_volumes
from matminer_grid.similarity.tolerance import CrystalPairs, DuplicateTolerance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from matminer_grid.crystals.table import CrystalTable
    from matminer_grid.similarity.duplicates import Duplicates

    IntArray = NDArray[np.int64]
    FloatArray = NDArray[np.float64]

SAME_PROTOTYPE = DuplicateTolerance(volume=inf, geometry=0.06, surroundings=0.2)
"""How far crystals of one prototype may be apart, by default; beyond, StructureMatcher soon agrees with no more than half."""

SHARE_DIGITS = 6
"""Decimals of the shares of elements: what is equal to these is as frequent."""

MOST_RENAMINGS = 720
"""Renamings of a crystal's elements that are tried: those of six elements of equal amounts."""


def find_prototypes(
    X: Any,
    tolerance: DuplicateTolerance | None = None,
    *,
    linkage: str = "complete",
    n_jobs: int | None = None,
    pbar: bool = False,
) -> Duplicates:
    """Find groups of crystals of one prototype: rock salts, say, whatever their elements and size.

    Crystals are compared whose anonymous formulas are equal, as ABC3 is that of SrTiO3 and of KMgF3: at 17 Å³ a site, under the
    one-to-one renaming of elements that brings them nearest, of those that keep the formula. Distances alone would take rock salt
    for simple cubic, and zincblende for diamond.

    Parameters
    ----------
    X : structures, as a list, tuple, array, Series, one-column DataFrame or CrystalTable; or CrystalIndex
    tolerance : DuplicateTolerance, optional
        ``DuplicateTolerance(volume=inf, geometry=0.06, surroundings=0.2)`` by default.
    linkage : {"complete", "average", "single"}
        As for :func:`find_duplicates`.
    n_jobs : int, optional
        Number of threads; see :func:`~matminer_grid._threads.n_threads`.
    pbar : bool, default False
        Whether to show a progress bar.

    Returns
    -------
    Duplicates

    Raises
    ------
    TypeError, ValueError
        As :func:`find_duplicates`; or the tolerance is a single number.

    Warns
    -----
    UserWarning
        A crystal has more than 720 renamings, as seven elements of equal amounts have, and is left alone; or groups are wider than
        the tolerance.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from matminer_grid import find_prototypes
    >>> def cubic(a, group, elements, sites):
    ...     return Structure.from_spacegroup(group, Lattice.cubic(a), elements, sites)
    >>> salt = [[0, 0, 0], [0.5, 0, 0]]
    >>> crystals = [cubic(5.64, "Fm-3m", ["Na", "Cl"], salt), cubic(4.21, "Fm-3m", ["O", "Mg"], salt)]
    >>> crystals += [cubic(5.41, "F-43m", ["Zn", "S"], [[0, 0, 0], [0.25] * 3]), cubic(3.57, "Fd-3m", ["C"], [[0, 0, 0]])]
    >>> find_prototypes(crystals).labels
    array([0, 0, 1, 2])
    """
    check_choice("linkage", linkage, LINKAGES)
    tolerance = SAME_PROTOTYPE if tolerance is None else tolerance
    if not isinstance(tolerance, DuplicateTolerance):
        raise TypeError(f"the tolerance of prototypes must be a DuplicateTolerance, not {tolerance!r}")
    given = with_volumes(X)
    renamed = Renamed.of(given)
    if renamed.too_many:
        row = renamed.too_many[0]
        warnings.warn(
            f"{len(renamed.too_many)} crystals have more than {MOST_RENAMINGS} renamings that keep the formula and are left alone, "
            f"first row {row}",
            UserWarning,
            stacklevel=2,
        )
    found = find_pairs(renamed.first, renamed.all, tolerance, n_jobs=n_jobs, pbar=pbar)

    def compare(rows: IntArray) -> CrystalPairs:
        own = Renamed.of(given[rows])
        return own.best(all_between(own.first, own.all, tolerance, n_jobs))

    return grouped(given, renamed.best(found), linkage, compare)


@dataclass(frozen=True)
class PrototypeMatch:
    """A known crystal that is like a crystal but for its elements and size.

    Parameters
    ----------
    row : int
        Of the known crystals.
    dissimilarity : float
        At equal volume under the best renaming, where different elements are 10 apart.
    geometry, surroundings, volume_ratio : float
        Its parts as :class:`DuplicateTolerance` has them, in Å and places; the known crystal's volume a site over the other's.
    renaming : dict of str to str
        Which element of the known crystal stands for which of the other.
    """

    row: int
    dissimilarity: float
    geometry: float
    surroundings: float
    volume_ratio: float
    renaming: dict[str, str]


def nearest_prototypes(crystal: Any, known: Any, n_neighbors: int = 5, *, n_jobs: int | None = None) -> list[PrototypeMatch]:
    """Find the known crystals of equal anonymous formula that are nearest to a crystal at equal volume, whatever their elements.

    Parameters
    ----------
    crystal : Structure or Crystal
    known : structures, as a list, tuple, array, Series, one-column DataFrame or CrystalTable; or CrystalIndex
    n_neighbors : int, default 5
        Number of known crystals; fewer, where fewer have the anonymous formula.
    n_jobs : int, optional
        Number of threads; see :func:`~matminer_grid._threads.n_threads`.

    Returns
    -------
    list of PrototypeMatch
        The nearest first; ties go to the lower row.

    Raises
    ------
    TypeError, ValueError
        A structure is invalid; n_neighbors is below 1; or the crystal has more than 720 renamings.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from matminer_grid.similarity import nearest_prototypes
    >>> def rock_salt(a, cation, anion):
    ...     return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0, 0]])
    >>> cesium_chloride = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3])
    >>> found = nearest_prototypes(rock_salt(4.21, "Mg", "O"), [cesium_chloride, rock_salt(5.64, "Na", "Cl")])
    >>> [(match.row, round(match.dissimilarity, 2), match.renaming) for match in found]
    [(1, 0.0, {'Na': 'Mg', 'Cl': 'O'}), (0, 5.12, {'Cs': 'Mg', 'Cl': 'O'})]
    """
    n_neighbors = check_whole("n_neighbors", n_neighbors)
    own = with_volumes([crystal])
    queries = Renamed.of(own)
    if queries.too_many:
        raise ValueError(f"{own[0].formula} has more than {MOST_RENAMINGS} renamings that keep the formula: too many to try")
    others = with_volumes(known)
    ranked = Ranked.of(others)
    apart = np.abs(composition_keys(ranked.crystals) - composition_keys(queries.first)).max(axis=1, initial=0.0)
    rows = np.nonzero(apart <= SAME_COMPOSITION)[0]
    dissimilarity = by_parts()
    a, b = (dissimilarity.describe(one, n_jobs=n_jobs) for one in (queries.all, ranked.crystals[rows]))
    variants, places = (grid.ravel() for grid in np.meshgrid(np.arange(len(a)), np.arange(len(b)), indexing="ij"))
    parts = np.empty((len(variants), 3))
    weights = dissimilarity.site_weights
    parts_of_pairs(a.sites.environments, variants, b.sites.environments, places, weights, parts)
    totals = (parts @ (weights.geometry, weights.elements, weights.neighbors)).reshape(len(a), len(b))
    totals = totals.round(DIGITS)
    best = totals.argmin(axis=0) if len(b) else np.empty(0, np.int64)
    ratios = volumes_per_atom(others[rows]) / volumes_per_atom(own)
    found = []
    for place in np.argsort(totals.min(axis=0, initial=np.inf), kind="stable")[:n_neighbors].tolist():
        variant, row = int(best[place]), int(rows[place])
        geometry, elements, surroundings = parts[variant * len(b) + place].tolist()
        names = dict(zip(_symbols(ranked.elements(row)[1]), _symbols(queries.elements[variant]), strict=True))
        total = float(totals[variant, place])
        found.append(PrototypeMatch(row, total, geometry, elements + surroundings, float(ratios[place]), names))
    return found


@dataclass(frozen=True, eq=False)
class Ranked:
    """Crystals whose elements are numbered from the most frequent one on.

    Parameters
    ----------
    crystals : CrystalTable
        N crystals; the elements of each are 1, 2, ...
    starts : ndarray of shape (N + 1,)
        Where the elements of each begin.
    shares : ndarray
        Of each element, descending.
    numbers : ndarray
        Its atomic number.
    """

    crystals: CrystalTable
    starts: IntArray
    shares: FloatArray
    numbers: IntArray

    @classmethod
    def of(cls, crystals: CrystalTable) -> Ranked:
        """Give the elements their numbers; as frequent ones in the order of the modified Pettifor scale."""
        n = len(crystals)
        rows = np.repeat(np.arange(n), np.diff(crystals.species_offsets))
        width = int(crystals.numbers.max(initial=0)) + 1
        codes, which = np.unique(rows * width + crystals.numbers, return_inverse=True)
        row_of, number_of = codes // width, codes % width
        amounts = np.bincount(which, crystals.occupancies, len(codes))
        shares = (amounts / np.bincount(rows, crystals.occupancies, n)[row_of]).round(SHARE_DIGITS)
        order = np.lexsort((_places(number_of), -shares, row_of))
        starts = np.searchsorted(row_of, np.arange(n + 1))
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order)) - starts[row_of] + 1
        return cls(replace(crystals, numbers=rank[which]), starts, shares[order], number_of[order])

    def elements(self, row: int) -> tuple[FloatArray, IntArray]:
        """Give shares and atomic numbers of the elements of a crystal."""
        own = slice(self.starts[row], self.starts[row + 1])
        return self.shares[own], self.numbers[own]


@dataclass(frozen=True, eq=False)
class Renamed:
    """Crystals with numbered elements, and all renamings where several elements are as frequent.

    Parameters
    ----------
    first : CrystalTable
        N crystals.
    all : CrystalTable
        All renamings of each, those of a crystal behind one another.
    owners : ndarray of shape (n_all,)
        Whose they are.
    elements : list of (n_elements,)
        The atomic numbers that stand for 1, 2, ... in each of `all`.
    too_many : list of int
        Rows with more than MOST_RENAMINGS; `all` holds none of them.
    """

    first: CrystalTable
    all: CrystalTable
    owners: IntArray
    elements: list[IntArray]
    too_many: list[int]

    @classmethod
    def of(cls, crystals: CrystalTable) -> Renamed:
        """Rename elements in all ways."""
        ranked = Ranked.of(crystals)
        ways: list[IntArray] = []
        owners: list[int] = []
        elements: list[IntArray] = []
        too_many: list[int] = []
        for row in range(len(crystals)):
            shares, numbers = ranked.elements(row)
            renamings = _renamings(shares)
            if renamings is None:
                too_many.append(row)
                continue
            for renaming in renamings:
                ways.append(renaming + 1)
                owners.append(row)
                elements.append(numbers[np.argsort(renaming)])
        places = np.array(owners, np.int64)
        table = ranked.crystals[places]
        offsets = np.cumsum([0, *map(len, ways)])[:-1]
        renamed = np.concatenate([*ways, np.empty(0, np.int64)])
        numbers = renamed[np.repeat(offsets, np.diff(table.species_offsets)) + table.numbers - 1]
        return cls(ranked.crystals, replace(table, numbers=numbers), places, elements, too_many)

    def best(self, pairs: CrystalPairs) -> CrystalPairs:
        """Choose the renaming under which each pair is nearest, of pairs of `first` and `all`."""
        rows = np.stack((pairs.rows[:, 0], self.owners[pairs.rows[:, 1]]), axis=1)
        order = np.lexsort((pairs.ratios, rows[:, 1], rows[:, 0]))
        order = order[rows[order, 0] < rows[order, 1]]
        _, nearest = np.unique(rows[order], axis=0, return_index=True)
        return CrystalPairs(rows[order[nearest]], pairs.parts[order[nearest]], pairs.tolerance)


def _places(numbers: IntArray) -> IntArray:
    """Give places on the modified Pettifor scale: where several renamings are as good, like elements then stand for each other."""
    present, which = np.unique(numbers, return_inverse=True)
    beyond = len(MODIFIED_PETTIFOR)
    places = [MODIFIED_PETTIFOR.get(species_symbol(number), beyond + number) for number in present.tolist()]
    return np.array(places, np.int64)[which]


def _renamings(shares: FloatArray) -> Iterator[IntArray] | None:
    """Give all permutations of elements of equal shares, descending; None for too many."""
    ties = np.split(np.arange(len(shares)), np.nonzero(np.diff(shares))[0] + 1)
    if prod(factorial(len(tie)) for tie in ties) > MOST_RENAMINGS:
        return None
    return (np.concatenate(choice) for choice in product(*(list(map(np.array, permutations(tie))) for tie in ties)))


def _symbols(numbers: IntArray) -> list[str]:
    return [species_symbol(number) for number in numbers.tolist()]
