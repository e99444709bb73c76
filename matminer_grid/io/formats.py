"""One file's bytes to crystals: what pymatgen's parsers read, and pymatgen's JSON without running what it names."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pymatgen.core import DummySpecies, Element, Lattice, Structure
from pymatgen.core.composition import CompositionError
from pymatgen.core.structure import StructureError

from matminer_grid.crystals.crystal import Crystal
from matminer_grid.crystals.elements import DEUTERIUM, DUMMY, TRITIUM
from matminer_grid.crystals.table import CrystalTable, read_structures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MAX_FILE_SIZE = 50_000_000
"""Bytes that one structure file, archive member or JSON line may have, unpacked."""

FORMATS: tuple[tuple[str, str], ...] = (
    ("*.cif", "cif"),
    ("*.mcif", "cif"),
    ("*.vasp", "poscar"),
    ("*.poscar", "poscar"),
    ("*poscar*", "poscar"),
    ("*contcar*", "poscar"),
    ("chgcar*", "poscar"),
    ("locpot*", "poscar"),
    ("*.json", "json"),
    ("*.mson", "json"),
    ("*.cssr", "cssr"),
    ("*.xsf", "xsf"),
    ("*.res", "res"),
)
"""Patterns of file names, in lower case, and the format that each stands for; the first that fits counts."""

UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    CompositionError,
    StructureError,
    Warning,
    re.error,
)
"""What parsers raise for files that they can't read; pymatgen's raise any of these, warnings too."""

READ_AS_DUMMY = "it has species that are no elements; they are read as dummy species"

_ISOTOPES = {"D": DEUTERIUM, "T": TRITIUM}


@dataclass(frozen=True, eq=False)
class StructureRecord:
    """One structure that was read, or the reason why it wasn't.

    Parameters
    ----------
    name : str
        The file; with the member of an archive behind a slash, with ``:12`` for line 12 of JSON lines (from 1) or row 12 of a
        Parquet file (from 0), with ``#2`` for the second structure of a file that holds several.
    crystal : Crystal or None
        None if it couldn't be read.
    error : str or None
        What was wrong, without the name.
    warnings : tuple of str
        What the parser warned of.
    """

    name: str
    crystal: Crystal | None = None
    error: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class StructureBatch:
    """Structures that were read together: those of as many :class:`StructureRecord`, but their crystals in one table.

    Parameters
    ----------
    names : list of str
        One a structure.
    crystals : CrystalTable
        Those that could be read, in order.
    errors : dict of int to str
        Why the others couldn't, by their place among the names.
    warnings : dict of int to tuple of str
        What the parser warned of, likewise.
    """

    names: list[str]
    crystals: CrystalTable
    errors: dict[int, str]
    warnings: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def part(self, start: int, stop: int) -> StructureBatch:
        """Give the structures from `start` to before `stop`."""
        if start == 0 and stop >= len(self):
            return self
        first, last = (place - sum(row < place for row in self.errors) for place in (start, stop))
        errors = {row - start: error for row, error in self.errors.items() if start <= row < stop}
        notes = {row - start: texts for row, texts in self.warnings.items() if start <= row < stop}
        return StructureBatch(self.names[start:stop], self.crystals[first:last], errors, notes)

    def records(self) -> Iterator[StructureRecord]:
        """Give the structures one by one."""
        crystals = iter(self.crystals)
        for row, name in enumerate(self.names):
            error = self.errors.get(row)
            yield StructureRecord(name, next(crystals) if error is None else None, error, self.warnings.get(row, ()))


class Unchecked(NamedTuple):
    """A structure as a parser gives it, with the name and warnings of a :class:`StructureRecord`."""

    name: str
    crystal: Structure | Crystal
    warnings: tuple[str, ...]
    error: None = None


@dataclass(frozen=True, eq=False)
class Source:
    """A file to parse, or its content if it was read already: its name, one of the formats of :data:`FORMATS`, and where it is."""

    name: str
    kind: str
    content: Path | bytes


def format_of(name: str) -> str | None:
    """Give the format that a file's name stands for, None if it is no structure file's.

    Examples
    --------
    >>> format_of("NaCl.CIF"), format_of("POSCAR_relaxed"), format_of("notes.txt")
    ('cif', 'poscar', None)
    """
    lower = name.lower()
    return next((kind for pattern, kind in FORMATS if fnmatch(lower, pattern)), None)


def parse_structures(content: bytes, kind: str) -> tuple[Sequence[Structure | Crystal], list[str]]:
    """Read the structures of one file; whether they are valid crystals is not looked at yet.

    Parameters
    ----------
    content : bytes
        The file, unpacked.
    kind : str
        One of the formats of :data:`FORMATS`.

    Returns
    -------
    list of Structure or Crystal
        At least one; several where a CIF has several blocks or a JSON file is a list.
    list of str
        What the parser warned of.

    Raises
    ------
    ValueError
        The file is too large, damaged, or holds no structure.
    """
    if len(content) > MAX_FILE_SIZE:
        raise ValueError(f"it has more than {MAX_FILE_SIZE / 1e6:.0f} MB, the limit for one structure file")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            structures, notes = (_parse_json(content), []) if kind == "json" else _parse_text(content, kind)
        except UNREADABLE as error:
            raise ValueError(_explain(error, kind)) from error
    notes += [str(warning.message) for warning in caught if not issubclass(warning.category, (DeprecationWarning, FutureWarning))]
    return structures, list(dict.fromkeys(notes))


def in_columns(parsed: Sequence[StructureRecord | Unchecked]) -> StructureBatch:
    """Put structures that were parsed one by one into one table; those that are no valid crystals become errors."""
    errors = {row: str(found.error) for row, found in enumerate(parsed) if found.error is not None}
    rows = [row for row in range(len(parsed)) if row not in errors]
    crystals, invalid = read_structures([parsed[row].crystal for row in rows])
    errors |= {rows[row]: str(error) for row, error in invalid.items()}
    notes = {row: found.warnings for row, found in enumerate(parsed) if found.warnings}
    if DUMMY in crystals.numbers:
        read = [row for row in rows if row not in errors]
        owner = np.repeat(np.arange(len(crystals)), np.diff(crystals.species_offsets))
        for place in np.unique(owner[crystals.numbers == DUMMY]).tolist():
            notes[read[place]] = (*notes.get(read[place], ()), READ_AS_DUMMY)
    return StructureBatch([found.name for found in parsed], crystals, dict(sorted(errors.items())), notes)


def stack(batches: list[StructureBatch]) -> tuple[NDArray[np.object_], CrystalTable, dict[int, str]]:
    """Give the names of all structures, the crystals that could be read, and the errors of the others by row."""
    names: list[str] = []
    errors: dict[int, str] = {}
    for batch in batches:
        errors |= {len(names) + row: error for row, error in batch.errors.items()}
        names += batch.names
    return np.array(names, dtype=object), CrystalTable.concatenate(batch.crystals for batch in batches), errors


def crystal_from_dict(entry: Any) -> Crystal:
    """Read a crystal from the dictionary that pymatgen's `Structure.as_dict` gives.

    Classes that the dictionary names are not imported and properties of sites not decoded, so that a stranger's file can't run
    anything.

    Parameters
    ----------
    entry : dict
        With the keys `lattice` and `sites`; or a larger record with such a dictionary under `structure`.

    Raises
    ------
    ValueError
        The entry is no such dictionary, or no valid crystal.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> crystal_from_dict(Structure(Lattice.cubic(3.35), ["Po"], [[0, 0, 0]]).as_dict()).formula
    'Po1'
    """
    if isinstance(entry, dict) and "lattice" not in entry and "structure" in entry:
        entry = entry["structure"]
    if isinstance(entry, str):
        entry = _loads(entry)
    if not isinstance(entry, dict):
        raise ValueError(f"a dictionary as pymatgen's Structure.as_dict gives it is needed, not {type(entry).__name__}")  # noqa: TRY004  it is the file's content
    if "sites" not in entry:
        raise ValueError(
            "it is no structure: the keys 'lattice' and 'sites' are needed, as pymatgen's Structure.as_dict writes them"
        )
    if "lattice" not in entry:
        raise ValueError("it is a molecule without a unit cell; only crystals can be read")
    try:
        return _build(entry["lattice"], entry["sites"])
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"it is not what pymatgen's Structure.as_dict writes: {_describe(error)}") from error


def _build(lattice: Mapping[str, Any], sites: list[Mapping[str, Any]]) -> Crystal:
    if not all(lattice.get("pbc") or (True, True, True)):
        raise ValueError(f"the lattice must be periodic along all three axes, not {lattice['pbc']}")
    if "matrix" in lattice:
        matrix = np.array(lattice["matrix"], dtype=np.float64)
    else:
        matrix = Lattice.from_parameters(*(float(lattice[name]) for name in ("a", "b", "c", "alpha", "beta", "gamma"))).matrix
    if any("abc" not in site for site in sites):
        raise ValueError("a site has no fractional coordinates 'abc'")
    species = [
        (_number(part), float(part["occu"]), index) for index, site in enumerate(sites) for part in site["species"] if part["occu"]
    ]
    if not species:
        raise ValueError("the structure has no sites: at least one is needed")
    numbers, occupancies, site_index = zip(*species, strict=True)
    coords = np.array([site["abc"] for site in sites], dtype=np.float64)
    return Crystal(matrix, coords, np.array(numbers), np.array(occupancies), np.array(site_index))


def _number(part: Mapping[str, Any]) -> int:
    symbol = part["element"]
    if symbol in _ISOTOPES:
        return _ISOTOPES[symbol]
    if Element.is_valid_symbol(symbol):
        return Element(symbol).Z
    if "oxidation_state" in part and symbol == DummySpecies(symbol).symbol:
        return DUMMY
    raise ValueError(f"there is no element {symbol!r}")


def _loads(content: bytes | str) -> Any:
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no JSON: {error}") from error
    except ValueError as error:
        raise ValueError(f"it is no valid JSON, or cut short: {error}") from error


def _parse_json(content: bytes) -> list[Structure | Crystal]:
    entry = _loads(content)
    if not isinstance(entry, list):
        return [crystal_from_dict(entry)]
    if not entry:
        raise ValueError("it is an empty list; structures are needed")
    crystals: list[Structure | Crystal] = []
    for index, item in enumerate(entry):
        try:
            crystals.append(crystal_from_dict(item))
        except ValueError as error:
            raise ValueError(f"entry {index} of the list: {error}") from error
    return crystals


def _parse_text(content: bytes, kind: str) -> tuple[list[Structure | Crystal], list[str]]:
    text = content.decode("utf-8", errors="replace")
    if not text.strip():
        raise ValueError("it is empty")
    if kind == "cif":
        return _parse_cif(text)
    if kind == "poscar":
        return [_parse_poscar(text)], []
    return [Structure.from_str(text, fmt=kind)], []  # type: ignore[arg-type]


def _parse_cif(text: str) -> tuple[list[Structure | Crystal], list[str]]:
    from pymatgen.io.cif import CifParser  # noqa: PLC0415  0.3 s

    parser = CifParser.from_str(text)
    notes: list[str] = parser.warnings  # type: ignore[attr-defined]  # it is filled below
    try:
        structures = parser.parse_structures(primitive=False, on_error="ignore")
    except ValueError as error:
        raise ValueError("; ".join(notes).replace("\n", " ") or str(error)) from error
    return list(structures), notes


def _parse_poscar(text: str) -> Structure:
    from pymatgen.io.vasp.inputs import BadPoscarWarning, Poscar  # noqa: PLC0415  0.6 s

    _check_poscar(text)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Elements in POSCAR cannot be determined", BadPoscarWarning)
        return Poscar.from_str(text, read_velocities=False).structure


def _check_poscar(text: str) -> None:
    """Refuse more atoms than lines: pymatgen makes a list of them before it reads the first."""
    lines = text.splitlines()
    n_atoms = 0
    for line in lines[5:]:
        words = line.split()
        if words and words[0].isdecimal():
            n_atoms += sum(int(word) for word in words if word.isdecimal())
        elif n_atoms:
            break
    if n_atoms > len(lines):
        raise ValueError(f"it is cut short: it says that it has {n_atoms} atoms, on {len(lines)} lines")


def _explain(error: BaseException, kind: str) -> str:
    if isinstance(error, Warning) and "Elements in POSCAR" in str(error):
        return "the POSCAR doesn't name its elements (VASP 4); write their symbols on the line before the numbers of atoms"
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    if type(error) is ValueError and kind == "json":
        return str(error)
    if isinstance(error, ValueError) and ":" in str(error):
        return str(error)
    return f"it can't be read as {kind.upper()}: {_describe(error)}"


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, (ValueError, Warning)) and text:
        return text[:500]
    return f"{type(error).__name__} {text[:500]}".strip()
