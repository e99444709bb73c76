"""A crystal as plain arrays, which every kernel reads. It knows nothing of symmetry and holds no pymatgen objects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Composition, DummySpecies, Element, IStructure, Lattice, PeriodicSite, SiteCollection, Species, Structure

from matminer_grid.crystals.elements import DEUTERIUM, DUMMY, TRITIUM, species_amounts, species_symbol

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matminer_grid.crystals.problems import Problem

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

OCCUPANCY_TOLERANCE = 1e-6
"""Rounding that a site's total occupancy may exceed 1 by."""

MINIMUM_RELATIVE_VOLUME = 1e-9
"""A cell whose volume is less than this fraction of the product of its edges counts as flat."""

ARRAYS = {"lattice": np.float64, "frac_coords": np.float64, "numbers": np.int64, "occupancies": np.float64, "site_index": np.int64}
"""What a crystal consists of, and the types."""

KNOWN_NUMBERS = frozenset((DUMMY, *range(1, 119), DEUTERIUM, TRITIUM))
"""Numbers that a species may have."""


@cache
def species_number(species: Element | Species | DummySpecies) -> int:
    """Give the number that stands for a species of pymatgen; oxidation states are dropped."""
    if isinstance(species, DummySpecies):
        return DUMMY
    element = species if isinstance(species, Element) else species.element
    return {"D": DEUTERIUM, "T": TRITIUM}.get(element.name, element.Z)


def structure_arrays(structure: IStructure) -> tuple[Any, ...]:
    """Give the arrays of a pymatgen structure in the order of :data:`ARRAYS`."""
    species = [
        (species_number(kind), occupancy, index)
        for index, site in enumerate(structure.sites)
        for kind, occupancy in site.species.items()
    ]
    columns = zip(*species, strict=True) if species else ((), (), ())
    coords = np.array([site.frac_coords for site in structure.sites])
    own = (np.array(column, kind) for column, kind in zip(columns, (np.int64, np.float64, np.int64), strict=True))
    return structure.lattice.matrix, coords, *own


@dataclass(frozen=True, eq=False)
class Crystal:
    """One crystal structure as arrays, for n sites that hold m species (m = n where every site is ordered).

    Parameters
    ----------
    lattice : ndarray of shape (3, 3)
        Lattice vectors as rows, in Å.
    frac_coords : ndarray of shape (n, 3)
        Fractional coordinates of the sites.
    numbers : ndarray of shape (m,)
        Atomic numbers of the species; 0 is a dummy species, 201 deuterium and 301 tritium.
    occupancies : ndarray of shape (m,)
        Occupancy of each species, in (0, 1].
    site_index : ndarray of shape (m,)
        The site that each species is on, ascending.

    Raises
    ------
    ValueError
        No sites, values that are not finite, a flat cell, an occupancy outside (0, 1], an unknown atomic number, or shapes that
        don't fit together. The message starts with the formula where there is one.

    Examples
    --------
    >>> import numpy as np
    >>> from matminer_grid import Crystal
    >>> polonium = Crystal(3.35 * np.eye(3), np.zeros((1, 3)), np.array([84]), np.ones(1), np.array([0]))
    >>> polonium.formula, polonium.n_sites, round(polonium.volume, 2)
    ('Po1', 1, 37.6)
    """

    lattice: FloatArray
    frac_coords: FloatArray
    numbers: IntArray
    occupancies: FloatArray
    site_index: IntArray

    def __post_init__(self) -> None:
        for name, dtype in ARRAYS.items():
            values = np.asarray(getattr(self, name))
            if dtype is np.int64 and values.dtype.kind not in "iu" and not (values == np.rint(values)).all():
                raise ValueError(f"{name} must be whole numbers, not {values.tolist()}")
            object.__setattr__(self, name, np.ascontiguousarray(values, dtype=dtype))
        n = len(self.frac_coords)
        if self.lattice.shape != (3, 3) or self.frac_coords.shape != (n, 3):
            raise ValueError(
                f"lattice must have the shape (3, 3) and frac_coords (n, 3), not {self.lattice.shape} and {self.frac_coords.shape}"
            )
        if not len(self.numbers) == len(self.occupancies) == len(self.site_index):
            raise ValueError("numbers, occupancies and site_index must have one entry a species each")
        if n == 0 or len(self.numbers) == 0:
            raise ValueError("the structure has no sites: at least one is needed")
        steps = np.diff(self.site_index)
        if self.site_index[0] != 0 or self.site_index[-1] != n - 1 or not ((steps == 0) | (steps == 1)).all():
            raise ValueError("site_index must ascend from 0 to n - 1 and name every site: each site holds a species")
        unknown = set(self.numbers.tolist()) - KNOWN_NUMBERS
        if unknown:
            raise ValueError(
                f"there is no element of the atomic number {min(unknown)}; 1 to 118 are elements, {DUMMY} is a dummy species, "
                f"{DEUTERIUM} deuterium and {TRITIUM} tritium"
            )
        problem = self._problem()
        if problem:
            raise ValueError(f"{self.formula}: {problem}")

    def _problem(self) -> str | None:
        if not np.isfinite(self.lattice).all():
            return "the lattice has values that are NaN or infinite; it must be finite, in Å"
        if not np.isfinite(self.frac_coords).all():
            site = int(np.nonzero(~np.isfinite(self.frac_coords).all(axis=1))[0][0])
            return f"the coordinates of site {site} are NaN or infinite; they must be finite fractions of the cell"
        edges = np.linalg.norm(self.lattice, axis=1)
        if not self.volume > MINIMUM_RELATIVE_VOLUME * edges.prod():
            return f"the cell has no volume ({self.volume:.3g} Å^3); its three lattice vectors must not lie in one plane"
        impossible = self.occupancies[~((self.occupancies > 0) & (self.occupancies <= 1 + OCCUPANCY_TOLERANCE))]
        if impossible.size:
            return f"a species has the occupancy {impossible[0]:g}; occupancies must lie in (0, 1]"
        totals = self.site_occupancies
        if totals.max() > 1 + OCCUPANCY_TOLERANCE:
            return f"site {int(totals.argmax())} has the total occupancy {totals.max():g}; it must not exceed 1"
        return None

    @property
    def n_sites(self) -> int:
        """Number of sites in the cell."""
        return len(self.frac_coords)

    @property
    def volume(self) -> float:
        """Volume of the cell in Å^3."""
        return float(abs(np.linalg.det(self.lattice)))

    @property
    def site_occupancies(self) -> FloatArray:
        """Total occupancy of each site, shape (n,)."""
        return np.bincount(self.site_index, weights=self.occupancies, minlength=self.n_sites).astype(np.float64, copy=False)

    @property
    def formula(self) -> str:
        """Formula of the cell, elements in the order in which they first appear."""
        amounts = species_amounts(self.numbers, self.occupancies)
        return " ".join(f"{symbol}{amount:.6g}" for symbol, amount in amounts.items())

    @classmethod
    def from_structure(cls, structure: Structure) -> Crystal:
        """Take over the arrays of a pymatgen structure.

        Parameters
        ----------
        structure : pymatgen.core.Structure or IStructure
            Ordered or disordered; oxidation states are dropped, deuterium and dummy species are kept.

        Raises
        ------
        TypeError
            `structure` is not a periodic pymatgen structure.
        ValueError
            The structure is invalid, as in the class's constructor.
        """
        if not isinstance(structure, IStructure):
            raise TypeError(
                f"a pymatgen Structure (a crystal with a lattice) is needed, not {type(structure).__name__}"
                + ("; a molecule has no unit cell" if isinstance(structure, SiteCollection) else "")
            )
        if not all(structure.lattice.pbc):
            raise ValueError(f"{structure.formula}: the lattice must be periodic along all three axes, not {structure.lattice.pbc}")
        sites = structure.sites
        if not sites:
            raise ValueError("the structure has no sites: at least one is needed")
        for index, site in enumerate(sites):
            if not site.species:
                raise ValueError(f"{structure.formula}: site {index} holds no species; remove it or give it an occupancy")
        return cls(*structure_arrays(structure))

    def problems(self, formula: str | None = None) -> list[Problem]:
        """List what is doubtful about the crystal, though it can be described.

        Parameters
        ----------
        formula : str, optional
            What it should hold; missing and extra atoms are listed too.

        Returns
        -------
        list of Problem
            Each with its `kind`, a `message` and `sites`: sites nearer than 0.5 Å whose occupancies add up to more than 1, a layer
            of more than 8 Å without sites, a density that no crystal has, species that are no elements, differences to the formula.

        Examples
        --------
        >>> import numpy as np
        >>> from matminer_grid import Crystal
        >>> atom = Crystal(100 * np.eye(3), np.zeros((1, 3)), np.array([1]), np.ones(1), np.array([0]))
        >>> [problem.kind for problem in atom.problems()]
        ['vacuum', 'density']
        """
        from matminer_grid.crystals.problems import find_problems  # noqa: PLC0415  it needs kernels

        return find_problems(self, formula)

    def to_structure(self) -> Structure:
        """Build the pymatgen structure of the same cell, sites and species."""
        return self._to_structure({})

    def _to_structure(self, compositions: dict[tuple[tuple[int, float], ...], Composition]) -> Structure:
        lattice = Lattice(self.lattice)
        bounds = np.searchsorted(self.site_index, np.arange(self.n_sites + 1))
        entries = list(zip(self.numbers.tolist(), self.occupancies.tolist(), strict=True))
        sites = []
        for index, coords in enumerate(self.frac_coords):
            key = tuple(entries[bounds[index] : bounds[index + 1]])
            if key not in compositions:
                amounts: dict[Element | DummySpecies, float] = {}
                for number, occupancy in key:  # Fe2+ beside Fe3+ is iron twice
                    species = DummySpecies("X") if number == DUMMY else Element(species_symbol(number))
                    amounts[species] = amounts.get(species, 0.0) + occupancy
                compositions[key] = Composition(amounts)
            label = "".join(dict.fromkeys(species_symbol(number) for number, _ in key))
            sites.append(PeriodicSite(compositions[key], coords, lattice, label=label, skip_checks=True))
        return Structure.from_sites(sites)


def as_crystal(structure: Structure | Crystal) -> Crystal:
    """Give a structure as a :class:`Crystal`; one that is a Crystal already is handed back."""
    return structure if isinstance(structure, Crystal) else Crystal.from_structure(structure)
