"""Files that may hold several crystals one behind the other: extended XYZ and XSF; and CSSR."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from matminer_grid.crystals.elements import species_symbol
from matminer_grid.io.cif_cell import fractional, lattice_of
from matminer_grid.io.cif_sites import Sites, read_number
from matminer_grid.io.records import Parsed
from matminer_grid.io.species import numbers_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MOLECULE = "it is a molecule without a unit cell; only crystals can be read"

_WORD = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s="'{\[]+)"""
_PAIR = re.compile(rf"""({_WORD})(?:\s*=\s*({_WORD}|\{{[^}}]*\}}|\[[^\]]*\]))?""")


def read_xyz(text: str) -> list[Parsed]:
    """Read the frames of an extended XYZ file, with their lattice, and the properties of their second line."""
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
        if end > len(lines):
            out.append(Parsed("", error=f"line {place + 1}: {n} atoms are announced and {max(0, len(lines) - place - 2)} given"))
            break
        try:
            out.append(_xyz_frame(lines[place + 1], lines[place + 2 : end], place))
        except ValueError as error:
            out.append(Parsed("", error=str(error)))
        place = end
    if not out:
        raise ValueError("it has no frames")
    return out


def _xyz_frame(comment: str, rows: Sequence[str], place: int) -> Parsed:
    keys = {_plain(key): _plain(value) for key, value in _PAIR.findall(comment)}
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
    properties = {key: _scalar(value) for key, value in keys.items()}
    return Parsed(str(properties.get("name", "")), crystal, notes=notes, properties=properties)


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
        numbers = numbers_of(symbols)
    else:
        numbers = values("Z")[:, 0].astype(np.int64)
    positions = values("pos")
    coords = fractional(lattice, positions)
    occupancies = values("occupancy")[:, 0] if "occupancy" in columns else np.ones(len(words))
    sites = values("site")[:, 0].astype(np.int64) if "site" in columns else np.arange(len(words))
    first = np.nonzero(np.diff(sites, prepend=-1))[0]
    return Sites(lattice, coords[first], numbers, occupancies, sites)


def _plain(value: str) -> str:
    if value[:1] == '"':
        try:
            return str(json.loads(value, strict=False))
        except ValueError:
            return re.sub(r"\\(.)", r"\1", value[1:-1])
    if value[:1] == "'":
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value[1:-1] if value[:1] in {"[", "{"} else value


def _scalar(text: str) -> Any:
    if text.startswith("_JSON "):
        try:
            return json.loads(text.removeprefix("_JSON "))
        except ValueError:
            return text
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
    """Read an XSF file of a crystal, or the steps of an animation; slabs, polymers and molecules are a ValueError."""
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    keywords = {line.split()[0].upper() for line in lines if line}
    for word, what in (
        ("SLAB", "periodic in two directions only"),
        ("POLYMER", "periodic in one direction only"),
        ("MOLECULE", MOLECULE),
    ):
        if word in keywords:
            raise ValueError(f"{word}: {what if word == 'MOLECULE' else f'it is {what}; only crystals can be read'}")
    dimension = next(
        (lines[row + 1].split()[:1] for row, line in enumerate(lines[:-1]) if line.upper().startswith("DIM-GROUP")), ["3"]
    )
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
    symbols = [species_symbol(int(row[0])) if row[0].isdecimal() and 0 < int(row[0]) < 119 else row[0] for row in rows]
    coords = fractional(lattice, np.array(values))
    return Sites(lattice, coords, numbers_of(symbols), np.ones(n), np.arange(n))


def read_cssr(text: str) -> list[Parsed]:
    """Read a CSSR file without symmetry; another space group than P 1 is a ValueError."""
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
    coords = fractional(lattice, np.array(values)) if cartesian else np.array(values)
    symbols = [re.sub(r"[^A-Za-z].*", "", row[1]) for row in rows]
    return [Parsed("", Sites(lattice, coords, numbers_of(symbols), np.ones(n), np.arange(n)))]
