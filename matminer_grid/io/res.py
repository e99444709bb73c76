"""RES files as AIRSS writes them: crystals one behind the other, without symmetry."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from matminer_grid.io.cif_cell import lattice_of
from matminer_grid.io.cif_sites import MAX_OCCUPANCY, Sites, read_number
from matminer_grid.io.records import Parsed
from matminer_grid.io.species import numbers_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

NOT_ATOMS = "TITL ZERR REM UNIT FVAR TEMP SIZE WGHT HKLF PLAN L.S. FMAP BOND CONF ACTA CGLS".split()
"""Commands that say nothing of the crystal."""


@dataclass
class Part:
    """What the lines of one structure have said so far."""

    lattice: NDArray[np.float64] | None = None
    has_latt: bool = False
    elements: list[str] = field(default_factory=list)
    symbols: list[str] = field(default_factory=list)
    coords: list[list[float]] = field(default_factory=list)
    occupancies: list[float] = field(default_factory=list)

    def read(self, words: Sequence[str]) -> None:
        """Read a line; one that is damaged, or stands for symmetry, is a ValueError."""
        word = words[0].upper()
        if word == "CELL":
            values = [read_number(text) for text in words[2:8]]
            if len(values) != 6 or not all(value > 0 for value in values):
                raise ValueError("CELL needs a wavelength, three lengths and three angles")
            self.lattice = lattice_of(*values)
        elif word == "SYMM" or (word == "LATT" and words[1:2] != ["-1"]):
            raise ValueError(f"{' '.join(words)[:60]} stands for symmetry, which is read from CIFs only; convert the file")
        elif word == "LATT":
            self.has_latt = True
        elif word == "SFAC":
            self.elements += words[1:]
        elif word[:4] not in NOT_ATOMS:
            self._read_atom(words)

    def _read_atom(self, words: Sequence[str]) -> None:
        is_atom = re.sub(r"[^A-Za-z].*", "", words[0]).capitalize() in self.elements
        if not is_atom and (len(words) < 5 or not words[1].isdecimal()):
            return  # another of SHELX's commands
        values = [read_number(text) for text in words[2:6]]
        kind = int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0
        if len(values) < 4 or not all(map(math.isfinite, values)) or not 1 <= kind <= len(self.elements):
            raise ValueError(f"the atom can't be read: {' '.join(words)[:60]!r}")
        occupancy = values[3]
        occupancy -= 10 * (10 < occupancy <= 11)  # SHELX's way of fixing it
        if not 0 < occupancy <= MAX_OCCUPANCY:
            raise ValueError(f"the occupancy {words[5]} can't be read; one from 0 to 1 is needed")
        self.symbols.append(self.elements[kind - 1])
        self.coords.append(values[:3])
        self.occupancies.append(min(occupancy, 1.0))


def read_res(text: str) -> list[Parsed]:
    """Read the structures of a RES file as AIRSS writes them, one behind the other."""
    out = []
    for start, lines in _parts(text.splitlines()):
        title = lines[0].split() if lines[0].upper().startswith("TITL") else []
        name = title[1] if len(title) > 1 else ""
        try:
            out.append(_read_part(name, lines, start))
        except ValueError as error:
            out.append(Parsed(name, error=str(error)))
    if not out:
        raise ValueError("it has no structure: TITL, CELL, SFAC and atoms are needed")
    return out


def _parts(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Split before each TITL and behind each END."""
    part: list[str] = []
    start = 0
    for number, line in enumerate(lines):
        word = line.split()[0].upper() if line.split() else ""
        if word == "TITL" and any(text.strip() for text in part):
            yield start, part
            part, start = [], number
        if not part:
            start = number
            if not word or word == "REM":
                continue
        if word == "END":
            yield start, part
            part = []
        else:
            part.append(line)
    if any(text.strip() for text in part):
        yield start, part


def _read_part(name: str, lines: Sequence[str], start: int) -> Parsed:
    part = Part()
    for row, line in enumerate(lines):
        if line.split():
            try:
                part.read(line.split())
            except ValueError as error:
                raise ValueError(f"line {start + row + 1}: {error}") from error
    if part.lattice is None or not part.coords:
        raise ValueError(f"line {start + 1}: {'CELL is missing' if part.lattice is None else 'there are no atoms'}")
    warnings = () if part.has_latt else ("LATT is missing; its atoms are taken for all of the cell (LATT -1)",)
    n = len(part.coords)
    sites = Sites(part.lattice, np.array(part.coords), numbers_of(part.symbols), np.array(part.occupancies), np.arange(n))
    return Parsed(name, sites, warnings=warnings)
