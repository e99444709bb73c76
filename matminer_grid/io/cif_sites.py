"""The atoms of a CIF block: rows of the file, and the sites of the cell that symmetry makes of them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matminer_grid.crystals.elements import DEUTERIUM, TRITIUM, species_symbol
from matminer_grid.io.species import Species, species_of_label, species_of_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from matminer_grid.io.cif_text import Block

MAX_OCCUPANCY = 1.05
"""Sums of occupancies up to this are rounding, and scaled to 1."""

UNITS_IN_LAST_PLACE = 2.5
"""How far apart, in units of the last printed digit, rounding puts images of a special position."""

COARSEST, FINEST = 5e-3, 1e-4
"""Bounds of that distance, in fractions of the cell."""

FAR = 10
"""Fractional coordinates beyond this are rather in Å, or lost their point."""

_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?)(?:\(\d*\))?\s*")

FRACTIONS = ("_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z")


class Sites(NamedTuple):
    """The arrays of a crystal, before they are checked; as in :class:`~matminer_grid.crystals.crystal.Crystal`."""

    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    numbers: NDArray[np.int64]
    occupancies: NDArray[np.float64]
    site_index: NDArray[np.int64]

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return len(self.frac_coords)


@dataclass
class Remarks:
    """What is to be said of a structure: notes are harmless, warnings tell of something lost or assumed."""

    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass
class Rows:
    """The n rows of an atom list that hold something.

    Steps are the distances, in fractions of the cell, that rounding of the printed coordinates explains; multiplicities are None
    where the file says nothing; kinds are the species as written, charge included; hydrogens those on the atom, as the file says,
    that have no position.
    """

    labels: list[str]
    numbers: NDArray[np.int64]
    coords: NDArray[np.float64]
    steps: NDArray[np.float64]
    occupancies: NDArray[np.float64]
    multiplicities: list[int | None]
    kinds: list[str]
    hydrogens: NDArray[np.float64]


def read_number(text: str) -> float:
    """Read a number, with an uncertainty in brackets perhaps; NaN for what is none."""
    match = _NUMBER.fullmatch(text)
    return float(match.group(1).lower().replace("d", "e")) if match else math.nan


def read_rows(block: Block, formula: Mapping[str, float], remarks: Remarks) -> Rows:
    """Read the atom list of a block; a ValueError names missing columns, or the row whose values can't be read."""
    block.check_single(*FRACTIONS, "_atom_site_type_symbol", "_atom_site_label", "_atom_site_occupancy")
    columns = _coordinates(block)
    n = len(columns[0])
    labels = _column(block, "_atom_site_label", n) or [None] * n
    types = _column(block, "_atom_site_type_symbol", n) or [None] * n
    names = [label or kind or f"row {row + 1}" for row, (label, kind) in enumerate(zip(labels, types, strict=True))]
    occupancies = _occupancies(block, names, remarks)
    keep = occupancies > 0
    if not keep.all():
        remarks.notes.append(f"{some(_where(~keep, names))} left out: occupancy 0")
    flags = _column(block, "_atom_site_calc_flag", n)
    if flags:
        dummies = np.array([flag is not None and flag.lower() in {"dum", "dummy"} for flag in flags]) & keep
        keep &= ~dummies
        if dummies.any():
            remarks.notes.append(f"{some(_where(dummies, names))} left out: dummies, by their calc_flag")
    coords = np.array([[to_float(value) for value in column] for column in columns]).T
    keep &= _placed(coords, columns, keep, names, remarks)
    far = [names[row] for row in np.nonzero(keep)[0].tolist() if np.abs(coords[row]).max() > FAR]
    if far:
        remarks.warnings.append(f"the coordinates of {some(far)} are beyond {FAR}; fractions of the cell are needed")
    species = [
        _species(kind, label) if keep[row] else Species(None) for row, (kind, label) in enumerate(zip(types, labels, strict=True))
    ]
    numbers = _numbers(species, keep, formula, remarks)
    keep &= numbers >= 0
    rows = np.nonzero(keep)[0]
    if not rows.size:
        raise ValueError("no row of its atom list holds an atom with coordinates")
    multiplicities = _column(block, "_atom_site_symmetry_multiplicity", n) or _column(
        block, "_atom_site_site_symmetry_multiplicity", n
    )
    attached = _column(block, "_atom_site_attached_hydrogens", n)
    hydrogens = np.array([_count(attached[row]) for row in rows]) if attached else np.zeros(len(rows))
    return Rows(
        [names[row] for row in rows],
        numbers[rows],
        coords[rows],
        _steps(columns, rows.tolist()),
        occupancies[rows],
        [_whole(multiplicities[row]) if multiplicities else None for row in rows],
        [types[row] or species_symbol(int(numbers[row])) for row in rows],
        hydrogens,
    )


def _coordinates(block: Block) -> list[list[str]]:
    columns = [block.raw(tag) for tag in FRACTIONS]
    missing = [tag for tag, column in zip(FRACTIONS, columns, strict=True) if not column]
    if missing:
        known = next(
            (tag for tag in ("_atom_site_cartn_x", "_atom_site_label", "_atom_site_type_symbol") if tag in block.items), None
        )
        where = f" (the atom list is in line {block.line(known)})" if known else ""
        cartesian = "; it has Cartesian coordinates only" if "_atom_site_cartn_x" in block.items else ""
        lacking = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing or empty"
        raise ValueError(f"{lacking}: fractional coordinates are needed{cartesian}{where}")
    found = [column for column in columns if column is not None]
    if len({len(column) for column in found}) > 1 or len({id(block.items[tag][0]) for tag in FRACTIONS if len(found[0]) > 1}) > 1:
        raise ValueError(f"the coordinates are not in one list; see line {block.line(FRACTIONS[0])}")
    return found


def _column(block: Block, tag: str, n: int) -> list[str | None] | None:
    """Give a column of the atom list without quotes; None if it isn't there or belongs to another list."""
    if tag not in block.items or (block.items[tag][0] is not block.items[FRACTIONS[0]][0] and n > 1):
        return None
    values = block.texts(tag)
    return values if values is not None and len(values) == n else None


def _occupancies(block: Block, names: Sequence[str], remarks: Remarks) -> NDArray[np.float64]:
    n = len(names)
    raw = _column(block, "_atom_site_occupancy", n)
    if raw is None:
        return np.ones(n)
    values = np.array([1.0 if text is None else to_float(text) for text in raw])
    unknown = [name for name, text in zip(names, raw, strict=True) if text is None]
    if unknown:
        remarks.notes.append(f"the occupancy of {some(unknown)} isn't given and taken as 1")
    wrong = ~((values >= 0) & (values <= MAX_OCCUPANCY))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"{names[row]} has the occupancy {raw[row]!r}; a number from 0 to 1 is needed")
    above = _where(values > 1, names)
    if above:
        remarks.notes.append(f"the occupancy of {some(above)} is up to {values.max():g} and taken as 1")
    return np.minimum(values, 1.0)


def _placed(
    coords: NDArray[np.float64], columns: list[list[str]], keep: NDArray[np.bool_], names: Sequence[str], remarks: Remarks
) -> NDArray[np.bool_]:
    """Find the rows that have coordinates; what can't be read is an error, what isn't given a warning."""
    wrong = ~np.isfinite(coords).all(axis=1) & keep
    lost = []
    for row in np.nonzero(wrong)[0].tolist():
        texts = [column[row] for column in columns]
        bad = [text for text, value in zip(texts, coords[row], strict=True) if not math.isfinite(value)]
        unreadable = [text for text in bad if text not in {"?", "."}]
        if unreadable:
            raise ValueError(f"{names[row]} has the coordinate {unreadable[0]!r}, which is no number")
        lost.append(names[row])
    if lost:
        remarks.warnings.append(f"{some(lost)} has no coordinates and is left out")
    return ~wrong


def to_float(text: str) -> float:
    """Read a number as :func:`read_number` does, the quick way first."""
    try:
        return float(text) if "_" not in text else math.nan
    except ValueError:
        return read_number(text.strip("'\""))


def _steps(columns: list[list[str]], rows: Sequence[int]) -> NDArray[np.float64]:
    """Give the distance that rounding of coordinates explains: some units of the last digit of the one with most digits."""
    x, y, z = columns
    most = np.array([max(_decimals(x[row]), _decimals(y[row]), _decimals(z[row])) for row in rows])
    return np.minimum(np.maximum(UNITS_IN_LAST_PLACE * 10.0**-most, FINEST), COARSEST)


@lru_cache(maxsize=65536)
def _decimals(text: str) -> int:
    return len(text.partition("(")[0].lower().partition("e")[0].partition(".")[2])


def _species(kind: str | None, label: str | None) -> Species:
    if kind is not None:
        return species_of_type(kind)
    if label is None:
        raise ValueError("a row of its atom list has neither label nor type: what is on the site can't be told")
    return species_of_label(label)


def _numbers(
    species: Sequence[Species], keep: NDArray[np.bool_], formula: Mapping[str, float], remarks: Remarks
) -> NDArray[np.int64]:
    """Decide what each row holds, by the formula where a label has two readings; -1 for a vacancy."""
    numbers = [-1] * len(species)
    warnings: dict[str, None] = {}
    for row, one in enumerate(species):
        if one.number is None:
            continue
        numbers[row] = one.number
        if one.other is not None and formula:
            first, second = (species_symbol(number) in formula for number in (one.number, one.other))
            if second and not first:
                numbers[row] = one.other
                if not one.warning:
                    had, has = species_symbol(one.number), species_symbol(one.other)
                    warnings[f"labels {had} without a type are read as {has}: the formula has no {had}"] = None
            if first != second and (second or not one.hydrogens):
                continue
        if one.warning:
            warnings[one.warning] = None
    vacant = sum(number < 0 for number, kept in zip(numbers, keep.tolist(), strict=True) if kept)
    if vacant:
        remarks.notes.append(f"{vacant} rows of the atom list are vacancies")
    has_hydrogen = not {1, DEUTERIUM, TRITIUM}.isdisjoint(numbers)
    labelled = "its H have no position"
    remarks.warnings += [text for text in warnings if not (has_hydrogen and text.endswith(labelled))]
    return np.array(numbers)


def _where(mask: NDArray[np.bool_], names: Sequence[str]) -> list[str]:
    return [names[row] for row in np.nonzero(mask)[0].tolist()]


def _count(text: str | None) -> float:
    value = read_number(text) if text is not None else 0.0
    return value if math.isfinite(value) and value > 0 else 0.0


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def some(names: Sequence[str], most: int = 5) -> str:
    """List the first of some names."""
    distinct = list(dict.fromkeys(names))
    return ", ".join(distinct[:most]) + (f" and {len(distinct) - most} more" if len(distinct) > most else "")
