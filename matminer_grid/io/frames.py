"""Files that may hold several crystals one behind the other: extended XYZ, XSF, AIRSS's RES; and CSSR."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from matminer_grid.crystals.elements import DUMMY
from matminer_grid.io.cif_cell import lattice_of
from matminer_grid.io.cif_sites import MAX_OCCUPANCY, Sites, read_number
from matminer_grid.io.records import Parsed
from matminer_grid.io.species import number_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

MOLECULE = "it is a molecule without a unit cell; only crystals can be read"

_PAIR = re.compile(r"""([A-Za-z_][\w.+\-/:]*)(?:\s*=\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\{[^}]*\}|\[[^\]]*\]|\S+))?""")


def read_xyz(text: str) -> list[Parsed]:
    """Read the frames of an extended XYZ file, with their lattice, and the properties of their second line.

    Raises
    ------
    ValueError
        It is no XYZ file.
    """
    lines = text.splitlines()
    out: list[Parsed] = []
    place = 0
    while place < len(lines):
        if not lines[place].strip():
            place += 1
            continue
        n = lines[place].strip()
        if not n.isdecimal():
            message = f"line {place + 1}: a number of atoms is needed, not {n[:60]!r}"
            if not out:
                raise ValueError(message)
            out.append(Parsed("", error=f"{message}; what follows can't be read"))
            break
        end = place + 2 + int(n)
        try:
            if end > len(lines):
                raise ValueError(f"line {place + 1}: {n} atoms are announced and {max(0, len(lines) - place - 2)} given")
            out.append(_xyz_frame(lines[place + 1], lines[place + 2 : end], place))
        except ValueError as error:
            out.append(Parsed("", error=str(error)))
        place = end
    if not out:
        raise ValueError("it has no frames")
    return out


def _xyz_frame(comment: str, rows: Sequence[str], place: int) -> Parsed:
    keys = {key: _plain(value) for key, value in _PAIR.findall(comment)}
    lattice = next((keys.pop(key) for key in list(keys) if key.lower() in {"lattice", "cell"}), None)
    if lattice is None:
        raise ValueError(f"line {place + 2}: it has no Lattice: {MOLECULE}")
    numbers = np.array([read_number(word) for word in lattice.replace(",", " ").split()])
    if len(numbers) != 9 or not np.isfinite(numbers).all():
        raise ValueError(f"line {place + 2}: Lattice must have 9 numbers, not {lattice[:80]!r}")
    periodic = keys.pop("pbc", "T T T").replace(",", " ").split()
    if [word[:1].upper() in {"T", "1"} for word in periodic] != [True] * 3:
        raise ValueError(f"line {place + 2}: it must be periodic along all three axes, not pbc={' '.join(periodic)!r}")
    if not rows:
        raise ValueError(f"line {place + 1}: the structure has no sites: at least one is needed")
    columns, start = {}, 0
    layout = keys.pop("Properties", "species:S:1:pos:R:3").split(":")
    for name, width in zip(layout[::3], layout[2::3], strict=False):
        if not width.isdecimal():
            raise ValueError(f"line {place + 2}: Properties can't be read: {':'.join(layout)[:80]!r}")
        columns[name] = slice(start, start + int(width))
        start += int(width)
    words = [row.split() for row in rows]
    short = next((row for row, word in enumerate(words) if len(word) < start), None)
    if short is not None:
        raise ValueError(f"line {place + 3 + short}: {start} columns are needed, not {len(words[short])}")
    crystal = _xyz_sites(numbers.reshape(3, 3), words, columns, place)
    other = sorted(columns.keys() - {"species", "Z", "pos", "occupancy", "site"})
    notes = (f"columns that are no part of a crystal are not read: {', '.join(other)}",) if other else ()
    return Parsed(str(keys.get("name", "")), crystal, notes=notes, properties={key: _scalar(value) for key, value in keys.items()})


def _xyz_sites(lattice: NDArray[np.float64], words: Sequence[Sequence[str]], columns: dict[str, slice], place: int) -> Sites:
    def values(name: str) -> NDArray[np.float64]:
        found = np.array([[read_number(word) for word in row[columns[name]]] for row in words])
        wrong = np.nonzero(~np.isfinite(found).all(axis=1))[0]
        if len(wrong):
            raise ValueError(f"line {place + 3 + wrong[0]}: {name} can't be read: {' '.join(words[wrong[0]][columns[name]])!r}")
        return found

    if "pos" not in columns or not {"species", "Z"} & columns.keys():
        raise ValueError(f"line {place + 2}: the columns species and pos are needed")
    if "species" in columns:
        symbols = [row[columns["species"]][0] for row in words]
        numbers = np.array([DUMMY if (number := number_of(symbol)) is None else number for symbol in symbols])
    else:
        numbers = values("Z")[:, 0].astype(np.int64)
    positions = values("pos")
    if abs(np.linalg.det(lattice)) == 0:
        raise ValueError(f"line {place + 2}: the cell has no volume; its three lattice vectors must not lie in one plane")
    coords = np.linalg.solve(lattice.T, positions.T).T
    occupancies = values("occupancy")[:, 0] if "occupancy" in columns else np.ones(len(words))
    sites = values("site")[:, 0].astype(np.int64) if "site" in columns else np.arange(len(words))
    first = np.nonzero(np.diff(sites, prepend=-1))[0]
    return Sites(lattice, coords[first], numbers, occupancies, sites)


def _plain(value: str) -> str:
    if value[:1] in {'"', "'"}:
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value[1:-1] if value[:1] in {"[", "{"} else value


def _scalar(text: str) -> Any:
    if text in {"", "T", "True", "true"}:
        return True
    if text in {"F", "False", "false"}:
        return False
    for kind in (int, float):
        try:
            return kind(text) if "_" not in text else text
        except ValueError:
            continue
    return text


def read_xsf(text: str) -> list[Parsed]:
    """Read an XSF file of a crystal, or the steps of an animation.

    Raises
    ------
    ValueError
        It is a slab, a polymer or a molecule, or damaged.
    """
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    keywords = {line.split()[0].upper() for line in lines if line}
    for word, what in (("SLAB", "periodic in two directions only"), ("POLYMER", "periodic in one direction only"), ("MOLECULE", MOLECULE)):
        if word in keywords:
            raise ValueError(f"{word}: {what if word == 'MOLECULE' else f'it is {what}; only crystals can be read'}")
    dimension = next((lines[row + 1].split()[:1] for row, line in enumerate(lines[:-1]) if line.upper().startswith("DIM-GROUP")), ["3"])
    if dimension != ["3"]:
        raise ValueError(f"DIM-GROUP {' '.join(dimension)}: it isn't periodic in three directions; only crystals can be read")
    if "PRIMVEC" not in keywords or "PRIMCOORD" not in keywords:
        raise ValueError(f"it has no PRIMVEC and PRIMCOORD{': ' + MOLECULE if 'ATOMS' in keywords else '; a crystal needs both'}")
    out: list[Parsed] = []
    lattice = None
    for row, line in enumerate(lines):
        word, _, step = line.partition(" ")
        if word.upper() == "PRIMVEC":
            lattice = _vectors(lines, row + 1)
        elif word.upper() == "PRIMCOORD":
            try:
                out.append(Parsed(step.strip(), _xsf_sites(lattice, lines, row + 1)))
            except ValueError as error:
                out.append(Parsed(step.strip(), error=str(error)))
    return out


def _vectors(lines: Sequence[str], start: int) -> NDArray[np.float64]:
    rows = [[read_number(word) for word in line.split()[:3]] for line in lines[start : start + 3]]
    if [len(row) for row in rows] != [3, 3, 3] or not np.isfinite(rows).all():
        raise ValueError(f"line {start + 1}: three lattice vectors are needed")
    return np.array(rows)


def _xsf_sites(lattice: NDArray[np.float64] | None, lines: Sequence[str], start: int) -> Sites:
    if lattice is None:
        raise ValueError(f"line {start}: PRIMVEC is needed before PRIMCOORD")
    words = lines[start].split() if start < len(lines) else []
    if not words or not words[0].isdecimal() or int(words[0]) < 1:
        raise ValueError(f"line {start + 1}: a number of atoms is needed")
    n = int(words[0])
    rows = [line.split() for line in lines[start + 1 : start + 1 + n]]
    values = [[read_number(word) for word in row[1:4]] for row in rows]
    given = next((k for k, row in enumerate(values) if len(row) != 3 or not np.isfinite(row).all()), len(values))
    if given < n:
        raise ValueError(f"line {start + 1}: {n} atoms are announced and {given} given")
    numbers = [int(row[0]) if row[0].isdecimal() else number_of(row[0]) for row in rows]
    if abs(np.linalg.det(lattice)) == 0:
        raise ValueError("the cell has no volume; its three lattice vectors must not lie in one plane")
    coords = np.linalg.solve(lattice.T, np.array(values).T).T
    return Sites(lattice, coords, np.array([DUMMY if number is None else number for number in numbers]), np.ones(n), np.arange(n))


def read_res(text: str) -> list[Parsed]:
    """Read the structures of a RES file as AIRSS writes them, one behind the other.

    Raises
    ------
    ValueError
        There is none in it.
    """
    out = []
    for start, lines in _res_parts(text.splitlines()):
        title = lines[0].split() if lines[0].upper().startswith("TITL") else []
        name = title[1] if len(title) > 1 else ""
        try:
            out.append(Parsed(name, *_res_sites(lines, start)))
        except ValueError as error:
            out.append(Parsed(name, error=str(error)))
    if not out:
        raise ValueError("it has no structure: TITL, CELL, SFAC and atoms are needed")
    return out


def _res_parts(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
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


_RES_COMMANDS = {
    *("TITL", "CELL", "LATT", "SYMM", "SFAC", "ZERR", "REM", "UNIT", "FVAR", "TEMP", "SIZE", "WGHT", "HKLF", "PLAN", "L.S.", "FMAP", "BOND", "CONF", "ACTA"),
}


def _res_sites(lines: Sequence[str], start: int) -> tuple[Sites, None, tuple[str, ...], tuple[str, ...]]:
    lattice, elements, coords, numbers, occupancies = None, [], [], [], []
    warnings: list[str] = []
    has_latt = False
    for row, line in enumerate(lines):
        words = line.split()
        word = words[0].upper() if words else ""
        where = f"line {start + row + 1}"
        if word == "CELL":
            values = [read_number(text) for text in words[2:8]]
            if len(values) != 6 or not all(value > 0 for value in values):
                raise ValueError(f"{where}: CELL needs a wavelength, three lengths and three angles")
            lattice = lattice_of(*values)
        elif word == "LATT":
            has_latt = True
            if words[1:2] != ["-1"]:
                raise ValueError(f"{where}: LATT {' '.join(words[1:2])} stands for symmetry, which is read from CIFs only; convert the file")
        elif word == "SYMM":
            raise ValueError(f"{where}: SYMM stands for symmetry, which is read from CIFs only; convert the file")
        elif word == "SFAC":
            elements += words[1:]
        elif word and word not in _RES_COMMANDS and word[:4] not in _RES_COMMANDS:
            is_atom = re.sub(r"[^A-Z].*", "", word).capitalize() in elements
            if not is_atom and (len(words) < 5 or not words[1].isdecimal()):
                continue  # another of SHELX's commands
            values = [read_number(text) for text in words[2:6]]
            known = len(words) > 1 and words[1].isdecimal() and 1 <= int(words[1]) <= len(elements)
            if len(values) < 3 or not all(map(math.isfinite, values)) or not known:
                raise ValueError(f"{where}: the atom can't be read: {line.strip()[:60]!r}")
            occupancy = values[3] - 10 if len(values) == 4 and 10 < values[3] <= 11 else values[3] if len(values) == 4 else 1.0
            if not 0 < occupancy <= MAX_OCCUPANCY:
                raise ValueError(f"{where}: the occupancy {words[5]} can't be read; one from 0 to 1 is needed")
            symbol = elements[int(words[1]) - 1]
            number = number_of(symbol)
            coords.append(values[:3])
            numbers.append(DUMMY if number is None else number)
            occupancies.append(min(occupancy, 1.0))
    if lattice is None or not coords:
        raise ValueError(f"line {start + 1}: {'CELL is missing' if lattice is None else 'there are no atoms'}")
    if not has_latt:
        warnings.append("LATT is missing; its atoms are taken for all of the cell (LATT -1)")
    n = len(coords)
    return Sites(lattice, np.array(coords), np.array(numbers), np.array(occupancies), np.arange(n)), None, (), tuple(warnings)


def read_cssr(text: str) -> list[Parsed]:
    """Read a CSSR file without symmetry.

    Raises
    ------
    ValueError
        It is damaged, or its space group isn't P 1.
    """
    lines = text.splitlines()
    if len(lines) < 4:
        raise ValueError("it is cut short: lengths, angles, the number of atoms and a title are needed")
    numbers = [read_number(word) for word in (*lines[0].split()[-3:], *lines[1].split()[:3])]
    if len(numbers) != 6 or not all(value > 0 for value in numbers):
        raise ValueError("lines 1 and 2: three lengths and three angles are needed")
    group = re.search(r"SPGR\s*=\s*(\d+)", lines[1])
    if group and group.group(1) != "1":
        raise ValueError(f"line 2: its space group is {group.group(1)}; symmetry is read from CIFs only, convert the file")
    words = lines[2].split()
    if not words or not words[0].isdecimal() or int(words[0]) < 1:
        raise ValueError("line 3: a number of atoms is needed")
    n, cartesian = int(words[0]), words[1:2] == ["1"]
    rows = [line.split() for line in lines[4 : 4 + n]]
    values = [[read_number(word) for word in row[2:5]] for row in rows]
    given = next((k for k, row in enumerate(values) if len(row) != 3 or not np.isfinite(row).all()), len(values))
    if given < n:
        raise ValueError(f"{n} atoms are announced and {given} given: see line {5 + given}")
    lattice = lattice_of(*numbers)
    coords = np.linalg.solve(lattice.T, np.array(values).T).T if cartesian else np.array(values)
    symbols = [re.sub(r"[^A-Za-z].*", "", row[1]) for row in rows]
    kinds = [number_of(symbol) for symbol in symbols]
    return [Parsed("", Sites(lattice, coords, np.array([DUMMY if kind is None else kind for kind in kinds]), np.ones(n), np.arange(n)))]
