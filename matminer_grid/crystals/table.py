"""Many crystals in columns: from and to pymatgen, Arrow and Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pymatgen.core import Composition, IStructure, Structure

from matminer_grid.crystals._arrow import FORMAT, FORMAT_KEY, check_format, column_of_lists, lists
from matminer_grid.crystals.crystal import (
    ARRAYS,
    KNOWN_NUMBERS,
    MINIMUM_RELATIVE_VOLUME,
    OCCUPANCY_TOLERANCE,
    Crystal,
    structure_arrays,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CrystalTable(Sequence[Crystal]):
    """Many crystals in columns: N crystals with S sites and M species in all.

    Indexing with an integer gives a :class:`Crystal`, with a slice, a mask or an integer array a smaller table.

    Parameters
    ----------
    lattices : ndarray of shape (N, 3, 3)
        Lattice vectors as rows, in Å.
    site_offsets, species_offsets : ndarray of shape (N + 1,)
        Crystal i has the sites ``site_offsets[i]:site_offsets[i + 1]`` and likewise its species.
    frac_coords : ndarray of shape (S, 3)
        Fractional coordinates.
    numbers, occupancies, site_index : ndarray of shape (M,)
        As in :class:`Crystal`; `site_index` counts from 0 in each crystal.

    Examples
    --------
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> table = load_mp_elasticity_table().crystals
    >>> len(table), table[0].formula
    (12178, 'Ge2 H6 Cl2')
    """

    lattices: FloatArray
    site_offsets: IntArray
    frac_coords: FloatArray
    species_offsets: IntArray
    numbers: IntArray
    occupancies: FloatArray
    site_index: IntArray

    def __len__(self) -> int:
        return len(self.lattices)

    @overload
    def __getitem__(self, index: int) -> Crystal: ...
    @overload
    def __getitem__(self, index: slice | ArrayLike) -> CrystalTable: ...
    def __getitem__(self, index: Any) -> Crystal | CrystalTable:
        columns: tuple[Any, ...] = self.numbers, self.occupancies, self.site_index
        if isinstance(index, (int, np.integer)):
            i = range(len(self))[index]
            own_sites = slice(self.site_offsets[i], self.site_offsets[i + 1])
            own_species = slice(self.species_offsets[i], self.species_offsets[i + 1])
            return Crystal(self.lattices[i], self.frac_coords[own_sites], *(column[own_species] for column in columns))
        rows = np.asarray(index)
        if rows.dtype.kind != "i" or rows.min(initial=0) < 0:
            rows = np.arange(len(self))[index]
        sites, site_offsets = _gather(self.site_offsets, rows)
        species, species_offsets = _gather(self.species_offsets, rows)
        of_species = (column[species] for column in columns)
        return CrystalTable(self.lattices[rows], site_offsets, self.frac_coords[sites], species_offsets, *of_species)

    def __iter__(self) -> Iterator[Crystal]:
        return (self[i] for i in range(len(self)))

    @property
    def n_sites(self) -> IntArray:
        """Number of sites of each crystal, shape (N,)."""
        return np.diff(self.site_offsets)

    @property
    def site_occupancies(self) -> FloatArray:
        """Total occupancy of every site, shape (S,)."""
        site = self.site_index + np.repeat(self.site_offsets[:-1], np.diff(self.species_offsets))
        return np.bincount(site, weights=self.occupancies, minlength=len(self.frac_coords)).astype(np.float64, copy=False)

    @classmethod
    def from_crystals(cls, crystals: Iterable[Crystal]) -> CrystalTable:
        """Stack crystals, in their order."""
        return _stacked([[getattr(crystal, name) for name in ARRAYS] for crystal in crystals])

    @classmethod
    def concatenate(cls, tables: Iterable[CrystalTable]) -> CrystalTable:
        """Stack tables, in their order."""
        tables = list(tables) or [cls.from_crystals([])]
        columns = {}
        for name in (field.name for field in fields(cls)):
            arrays = [getattr(table, name) for table in tables]
            if name.endswith("_offsets"):
                arrays = [np.zeros(1, np.int64), np.cumsum(np.concatenate([np.diff(array) for array in arrays]))]
            columns[name] = np.concatenate(arrays)
        return cls(**columns)

    @classmethod
    def from_structures(cls, structures: Iterable[Structure | Crystal]) -> CrystalTable:
        """Stack the arrays of pymatgen structures, or crystals; errors name the row.

        Raises
        ------
        TypeError, ValueError
            As :meth:`Crystal.from_structure`, with the row in front.
        """
        table, errors = read_structures(list(structures))
        for row, error in errors.items():
            raise type(error)(f"row {row}: {error}") from error
        return table

    def errors(self) -> dict[int, ValueError]:
        """Find the rows that are no valid crystals; gives a dict of them to the ValueErrors that :class:`Crystal` raises."""
        edges = np.linalg.norm(self.lattices, axis=2).prod(axis=1)
        with np.errstate(invalid="ignore"):
            volumes = np.abs(np.linalg.det(self.lattices))
            suspicious = ~((volumes > MINIMUM_RELATIVE_VOLUME * edges) & np.isfinite(volumes)) | (self.n_sites == 0)
        site_owner = np.repeat(np.arange(len(self)), self.n_sites)
        suspicious[site_owner[~np.isfinite(self.frac_coords).all(axis=1)]] = True
        totals = self.site_occupancies
        suspicious[site_owner[~((totals > 0) & (totals <= 1 + OCCUPANCY_TOLERANCE))]] = True
        species_owner = np.repeat(np.arange(len(self)), np.diff(self.species_offsets))
        steps = np.diff(self.site_index, prepend=0)
        first = self.species_offsets[:-1][np.diff(self.species_offsets) > 0]
        steps[first] = self.site_index[first]
        first_or_next = (steps == 0) | (steps == 1)
        first_or_next[first] = steps[first] == 0
        known = np.isin(self.numbers, list(KNOWN_NUMBERS))
        possible = (self.occupancies > 0) & (self.occupancies <= 1 + OCCUPANCY_TOLERANCE)
        suspicious[species_owner[~(first_or_next & known & possible)]] = True
        errors = {}
        for row in np.nonzero(suspicious)[0].tolist():
            try:
                self[row]
            except ValueError as error:
                errors[row] = error
        return errors

    def to_structures(self) -> list[Structure]:
        """Build the pymatgen structures of all crystals."""
        compositions: dict[tuple[tuple[int, float], ...], Composition] = {}
        return [crystal._to_structure(compositions) for crystal in self]

    def to_arrow(self) -> pa.Table:
        """Give the crystals as an Arrow table, one row each.

        Its columns are `lattice` (9 values, rows of the matrix in Å), `frac_coords` (3 a site), `numbers`, and for disordered
        crystals `occupancies` and `site_index` (null where every site holds one species fully).
        """
        ordered = self._ordered()
        return pa.table(
            {
                "lattice": pa.FixedSizeListArray.from_arrays(pa.array(self.lattices.ravel()), 9),
                "frac_coords": lists(3 * self.site_offsets, self.frac_coords.ravel()),
                "numbers": lists(self.species_offsets, self.numbers.astype(np.int16)),
                "occupancies": lists(self.species_offsets, self.occupancies, null=ordered),
                "site_index": lists(self.species_offsets, self.site_index.astype(np.int32), null=ordered),
            },
            metadata={FORMAT_KEY: FORMAT},
        )

    def _ordered(self) -> NDArray[np.bool_]:
        partial = np.zeros(len(self), dtype=bool)
        owner = np.repeat(np.arange(len(self)), np.diff(self.species_offsets))
        partial[owner[self.occupancies != 1]] = True
        return ~partial & (np.diff(self.species_offsets) == np.diff(self.site_offsets))

    @classmethod
    def from_arrow(cls, table: pa.Table) -> CrystalTable:
        """Read crystals from the columns that :meth:`to_arrow` writes, beside which there may be others.

        Rows are not checked; :meth:`errors` does that.

        Raises
        ------
        ValueError
            A column is missing or holds something else, lists don't fit together, or the format is of another version.
        """
        check_format(table.schema)
        lattice_offsets, lattices = column_of_lists(table, "lattice", pa.float64())
        if (np.diff(lattice_offsets) != 9).any():
            raise ValueError("the column lattice must hold 9 numbers a row: the lattice vectors in Å")
        coordinate_offsets, frac_coords = column_of_lists(table, "frac_coords", pa.float64())
        species_offsets, numbers = column_of_lists(table, "numbers", pa.int64())
        site_offsets = coordinate_offsets // 3
        if (3 * site_offsets != coordinate_offsets).any():
            raise ValueError("the column frac_coords must hold 3 numbers a site")
        n_species = np.diff(species_offsets)
        occupancies = np.ones(len(numbers))
        site_index = np.arange(len(numbers)) - np.repeat(species_offsets[:-1], n_species)
        for name, values, kind in (("occupancies", occupancies, pa.float64()), ("site_index", site_index, pa.int64())):
            if name in table.column_names:
                offsets, filled = column_of_lists(table, name, kind)
                length = np.diff(offsets)
                given = length > 0
                if (length[given] != n_species[given]).any():
                    raise ValueError(f"the column {name} must be null or hold one number a species")
                values[np.repeat(given, n_species)] = filled
        if ((site_index < 0) | (site_index >= np.repeat(np.diff(site_offsets), n_species))).any():
            raise ValueError("numbers without occupancies and site_index must have one entry a site")
        of_species = species_offsets, numbers, occupancies, site_index
        return cls(lattices.reshape(-1, 3, 3), site_offsets, frac_coords.reshape(-1, 3), *of_species)

    def to_parquet(self, path: str | Path) -> None:
        """Write the columns of :meth:`to_arrow` to a Parquet file."""
        pq.write_table(self.to_arrow(), path, compression="zstd")

    @classmethod
    def from_parquet(cls, path: str | Path) -> CrystalTable:
        """Read crystals from a Parquet file with the columns of :meth:`to_arrow`.

        Raises
        ------
        OSError, ValueError
            The file can't be read, or as :meth:`from_arrow`.
        """
        return cls.from_arrow(pq.read_table(path))


def read_structures(structures: Sequence[Any]) -> tuple[CrystalTable, dict[int, Exception]]:
    """Read what can be read: a table of the valid structures, in order, and the errors of the others by row.

    Entries may be pymatgen structures, :class:`Crystal` objects, or tuples of the five arrays of one.
    """
    errors: dict[int, Exception] = {}
    parts: list[Any] = []
    for row, structure in enumerate(structures):
        if isinstance(structure, Crystal):
            parts.append([getattr(structure, name) for name in ARRAYS])
        elif isinstance(structure, tuple):
            parts.append(structure)
        elif isinstance(structure, IStructure) and structure.sites and structure.lattice.pbc == (True, True, True):
            parts.append(structure_arrays(structure))
        else:
            errors[row] = _error_of(structure)
    table = _stacked(parts)
    invalid = table.errors()
    if invalid:
        read = [row for row in range(len(structures)) if row not in errors]
        for row, error in invalid.items():
            structure = structures[read[row]]
            errors[read[row]] = error if isinstance(structure, tuple) else _error_of(structure)
        table = table[[row for row in range(len(table)) if row not in invalid]]
    return table, dict(sorted(errors.items()))


def _stacked(parts: Sequence[Any]) -> CrystalTable:
    """Stack the five arrays of each crystal."""
    columns = list(zip(*parts, strict=True)) or [(), (), (), (), ()]

    def joined(place: int, kind: Any, *shape: int) -> NDArray[Any]:
        arrays = [np.asarray(array, dtype=kind) for array in columns[place]]
        return np.concatenate([np.zeros((0, *shape), kind), *arrays])

    lattices = np.array(columns[0], dtype=np.float64).reshape(-1, 3, 3)
    site_offsets, species_offsets = (np.cumsum([0, *map(len, columns[place])]) for place in (1, 2))
    of_species = joined(2, np.int64), joined(3, np.float64), joined(4, np.int64)
    return CrystalTable(lattices, site_offsets, joined(1, np.float64, 3), species_offsets, *of_species)


def _error_of(structure: Any) -> Exception:
    try:
        Crystal.from_structure(structure)
    except (TypeError, ValueError) as error:
        return error
    raise AssertionError("a structure that can be read was taken for an invalid one")


def _gather(offsets: IntArray, rows: IntArray) -> tuple[IntArray, IntArray]:
    lengths = offsets[rows + 1] - offsets[rows]
    new = np.concatenate(([0], np.cumsum(lengths)))
    return np.arange(new[-1]) + np.repeat(offsets[rows] - new[:-1], lengths), new
