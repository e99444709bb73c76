"""POSCAR, CONTCAR and XDATCAR files to crystals."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from matminer_grid.io.cif_cell import fractional
from matminer_grid.io.cif_sites import Sites, read_number
from matminer_grid.io.records import Parsed
from matminer_grid.io.species import number_of, numbers_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NO_ELEMENTS = "the POSCAR doesn't name its elements (VASP 4); write their symbols on the line before the numbers of atoms"

FLAGS = {"T", "F"}


class Header(NamedTuple):
    """The first lines of a POSCAR: name, lattice, scale of Cartesian coordinates, symbols if they are named, counts, next line."""

    name: str
    lattice: NDArray[np.float64]
    scale: NDArray[np.float64]
    symbols: list[str]
    counts: list[int]
    next: int


def read_poscar(text: str) -> list[Parsed]:
    """Read a POSCAR; a ValueError says what is wrong with it, and where."""
    lines = text.splitlines()
    header = read_header(lines, 0)
    place = header.next
    if place < len(lines) and lines[place].strip()[:1] in {"S", "s"}:
        place += 1
    mode = lines[place].strip()[:1].lower() if place < len(lines) else ""
    if not mode.isalpha():
        raise ValueError(f"line {place + 1}: 'Direct' or 'Cartesian' is needed before the coordinates")
    coords, words = _coordinates(lines, place + 1, header.counts)
    after = place + 1 + len(coords)
    if after < len(lines) and len(_floats(lines[after].split()[:3])) == 3:
        raise ValueError(f"line {after + 1}: {len(coords)} atoms are announced, and more are given")
    warnings: list[str] = []
    symbols = header.symbols or _symbols_elsewhere(header, words, warnings)
    numbers = numbers_of(symbols)
    if len(symbols) == len(header.counts):
        numbers = np.repeat(numbers, header.counts)
    if mode in "ck":
        coords = fractional(header.lattice, coords * header.scale)
    n = len(coords)
    sites = Sites(header.lattice, coords, numbers, np.ones(n), np.arange(n))
    properties = _properties(header.name)
    return [Parsed(str(properties.get("name", "")), sites, warnings=tuple(warnings), properties=properties)]


def read_header(lines: Sequence[str], start: int) -> Header:
    """Read name, scale, lattice, symbols and counts."""
    if len(lines) < start + 6:
        raise ValueError("it is cut short: name, scale, three lattice vectors and numbers of atoms are needed")
    factors = _floats(lines[start + 1].split("!")[0].split())
    if (
        len(factors) not in {1, 3}
        or not all(map(math.isfinite, factors))
        or not all(factors)
        or (len(factors) == 3 and min(factors) < 0)
    ):
        raise ValueError(f"line {start + 2}: a scale, or three positive ones, is needed, not {lines[start + 1].strip()[:80]!r}")
    rows = [_floats(lines[start + 2 + axis].split()[:3]) for axis in range(3)]
    bad = next((axis for axis, row in enumerate(rows) if len(row) != 3), None)
    if bad is not None:
        raise ValueError(
            f"line {start + bad + 3}: three numbers, a lattice vector, are needed, not {lines[start + bad + 2].strip()[:80]!r}"
        )
    lattice = np.array(rows)
    if len(factors) == 1 and factors[0] < 0:  # the volume
        volume = abs(np.linalg.det(lattice))
        factors = [(-factors[0] / volume) ** (1 / 3) if volume > 0 else 1.0]
    scale = np.broadcast_to(np.array(factors), 3)
    words = lines[start + 5].split("!")[0].split()
    symbols: list[str] = []
    place = start + 5
    if words and not words[0].isdecimal():
        symbols = [re.split(r"[_/.]", word)[0] for word in words]
        place += 1
        words = lines[place].split("!")[0].split() if place < len(lines) else []
    if not words or not all(word.isdecimal() for word in words):
        raise ValueError(f"line {place + 1}: numbers of atoms are needed, not {' '.join(words)[:80]!r}")
    counts = [int(word) for word in words]
    if symbols and len(symbols) != len(counts):
        raise ValueError(f"line {place + 1}: {len(symbols)} symbols need as many numbers of atoms, not {len(counts)}")
    if symbols and set(symbols) <= FLAGS:
        raise ValueError(f"line {start + 6}: {' '.join(symbols)} are flags; symbols of elements are needed")
    if not sum(counts):
        raise ValueError(f"line {place + 1}: it has no atoms")
    return Header(lines[start].strip(), lattice * scale, scale, symbols, counts, place + 1)


def read_xdatcar(text: str) -> list[Parsed]:
    """Read all configurations of an XDATCAR, of one cell or each of its own."""
    lines = text.splitlines()
    header = read_header(lines, 0)
    if not header.symbols:
        raise ValueError(NO_ELEMENTS.replace("POSCAR", "XDATCAR"))
    out: list[Parsed] = []
    place = header.next
    while place < len(lines):
        line = lines[place].strip()
        if not line:
            place += 1
            continue
        try:
            if not re.match(r"(?i)direct|cart", line):
                header = read_header(lines, place)
                place = header.next
                continue
            name = "".join(re.findall(r"\d+$", line))
            coords, _ = _coordinates(lines, place + 1, header.counts)
        except ValueError as error:
            out.append(Parsed("", error=str(error)))
            break  # where the next one begins can't be told
        if line[:1].lower() == "c":
            coords = fractional(header.lattice, coords * header.scale)
        n = len(coords)
        numbers = np.repeat(numbers_of(header.symbols), header.counts)
        out.append(Parsed(name, Sites(header.lattice, coords, numbers, np.ones(n), np.arange(n))))
        place += 1 + n
    if not out:
        raise ValueError("it has no configurations")
    return out


def _coordinates(lines: Sequence[str], start: int, counts: Sequence[int]) -> tuple[NDArray[np.float64], list[list[str]]]:
    """Read as many coordinates as are announced, and what else stands on their lines."""
    n = sum(counts)
    if n > len(lines):
        raise ValueError(f"it is cut short: it says that it has {n} atoms, on {len(lines)} lines")
    words = [line.split() for line in lines[start : start + n]]
    values = [_floats(word[:3]) for word in words]
    given = next((row for row, value in enumerate(values) if len(value) != 3), len(values))
    if given < n:
        what = (
            f"line {start + given + 1} is {lines[start + given].strip()[:40]!r}" if start + given < len(lines) else "it ends there"
        )
        raise ValueError(f"{n} atoms are announced and {given} given: {what}")
    return np.array(values), [word[3:] for word in words]


def _symbols_elsewhere(header: Header, words: list[list[str]], warnings: list[str]) -> list[str]:
    """Find the symbols of a VASP 4 file: behind the coordinates, or in the name."""
    behind = [word[-1] if word else "" for word in words]
    if any(behind) and set(behind) <= FLAGS:
        raise ValueError(f"{NO_ELEMENTS}; T and F behind the coordinates are flags")
    if all(symbol and number_of(symbol) is not None for symbol in behind) and not set(behind) & FLAGS:
        return behind
    named = header.name.split()
    if len(named) == len(header.counts) and all(number_of(symbol) is not None for symbol in named):
        warnings.append(f"its elements are taken from its first line: {' '.join(named)}")
        return named
    raise ValueError(NO_ELEMENTS)


def _properties(name: str) -> dict[str, Any]:
    """Read the properties that POSCARs of this package have in their first line."""
    try:
        found = json.loads(name) if name.startswith("{") else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _floats(words: Sequence[str]) -> list[float]:
    """Read words as numbers, as far as they are some."""
    out = []
    for word in words:
        value = read_number(word)
        if math.isnan(value):
            break
        out.append(value)
    return out
