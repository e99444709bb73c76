"""One record for each structure of a file, good or bad, and many of them in columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from matminer_grid.crystals.problems import doubtful_rows, find_problems
from matminer_grid.crystals.table import CrystalTable, read_structures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from matminer_grid.crystals.crystal import Crystal


@dataclass(frozen=True, eq=False)
class StructureRecord:
    """One structure that was read, or the reason why it wasn't.

    Parameters
    ----------
    name : str
        The file; with the member of an archive behind a slash, with ``:12`` for line 12 of JSON lines (from 1) or row 12 of a
        Parquet file (from 0), with ``#2:name`` for the second structure of a file that holds several, and its name if it has one.
    crystal : Crystal or None
        None if it couldn't be read.
    error : str or None
        What was wrong, without the name.
    notes : tuple of str
        What was put right on the way, and is harmless.
    warnings : tuple of str
        What was lost or had to be assumed, and what is doubtful about the crystal.
    properties : dict
        What else the file says of the structure: its own `name` or id, energies and the like.
    """

    name: str
    crystal: Crystal | None = None
    error: str | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class StructureBatch:
    """Structures that were read together: those of as many :class:`StructureRecord`, but their crystals in one table.

    There are crystals of those only that could be read. Errors, notes, warnings and properties stand by the place of the structure
    among the names, for those that have any.
    """

    names: list[str]
    crystals: CrystalTable
    errors: dict[int, str] = field(default_factory=dict)
    notes: dict[int, tuple[str, ...]] = field(default_factory=dict)
    warnings: dict[int, tuple[str, ...]] = field(default_factory=dict)
    properties: dict[int, Mapping[str, Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def part(self, start: int, stop: int) -> StructureBatch:
        """Give the structures from `start` to before `stop`."""
        if start == 0 and stop >= len(self):
            return self
        first, last = (place - sum(row < place for row in self.errors) for place in (start, stop))
        errors, notes, warnings, properties = (
            {row - start: value for row, value in entries.items() if start <= row < stop}
            for entries in (self.errors, self.notes, self.warnings, self.properties)
        )
        return StructureBatch(self.names[start:stop], self.crystals[first:last], errors, notes, warnings, properties)  # type: ignore[arg-type]

    def records(self) -> Iterator[StructureRecord]:
        """Give the structures one by one."""
        crystals = iter(self.crystals)
        for row, name in enumerate(self.names):
            error = self.errors.get(row)
            crystal = next(crystals) if error is None else None
            yield StructureRecord(
                name, crystal, error, self.notes.get(row, ()), self.warnings.get(row, ()), self.properties.get(row, {})
            )


class Parsed(NamedTuple):
    """A structure as a parser gives it, or what is wrong with it; as :class:`StructureRecord`, but for these.

    The name is that which it has in its file, or "". The crystal, a Structure, a Crystal or the arrays of one, is not checked yet;
    labels are the names of its sites.
    """

    name: str = ""
    crystal: Any = None
    error: str | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    properties: Mapping[str, Any] = {}
    labels: Sequence[str] | None = None


@dataclass(frozen=True, eq=False)
class Source:
    """A file to parse, or its content if it was read already: its name, its format, where it is, what is said of it elsewhere."""

    name: str
    kind: str
    content: Path | bytes
    properties: Mapping[str, Any] = field(default_factory=dict)


def in_columns(parsed: Sequence[Parsed]) -> StructureBatch:
    """Put structures that were parsed one by one into one table; those that are no valid crystals become errors."""
    errors = {row: found.error for row, found in enumerate(parsed) if found.error is not None}
    rows = [row for row in range(len(parsed)) if row not in errors]
    crystals, invalid = read_structures([parsed[row].crystal for row in rows])
    errors |= {rows[row]: str(error) for row, error in invalid.items()}
    return checked(
        StructureBatch(
            [as_text(found.name) for found in parsed],
            crystals,
            dict(sorted(errors.items())),
            {row: found.notes for row, found in enumerate(parsed) if found.notes},
            {row: found.warnings for row, found in enumerate(parsed) if found.warnings},
            {row: found.properties for row, found in enumerate(parsed) if found.properties},
        ),
        {row: found.labels for row, found in enumerate(parsed) if found.labels is not None},
    )


def as_text(name: str) -> str:
    r"""Give a name as text that every file can hold: bytes of a file's name that are no UTF-8 become \xff and the like."""
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a letter, from JSON say
        return name.encode("utf-8", "backslashreplace").decode("utf-8")


def checked(batch: StructureBatch, labels: Mapping[int, Sequence[str]] | None = None) -> StructureBatch:
    """Add to the warnings what is doubtful about the crystals themselves."""
    doubtful = doubtful_rows(batch.crystals)
    if doubtful:
        read = [row for row in range(len(batch)) if row not in batch.errors]
        for place in doubtful:
            row = read[place]
            known = batch.warnings.get(row, ())
            found = find_problems(batch.crystals[place], labels=(labels or {}).get(row))
            new = tuple(problem.message for problem in found if not _is_told(problem.message, problem.kind, known))
            batch.warnings[row] = (*known, *new)
    return batch


def _is_told(message: str, kind: str, known: tuple[str, ...]) -> bool:
    return any(message in text for text in known) or (kind == "species" and any("read as a dummy" in text for text in known))


def strictly(batch: StructureBatch) -> StructureBatch:
    """Take the warnings of a batch for errors."""
    warned = {row: "; ".join(texts) for row, texts in batch.warnings.items() if row not in batch.errors}
    read = [row for row in range(len(batch)) if row not in batch.errors]
    crystals = batch.crystals[np.array([row not in warned for row in read], dtype=bool)]
    return StructureBatch(batch.names, crystals, dict(sorted((batch.errors | warned).items())), batch.notes, {}, batch.properties)


def stack(batches: Sequence[StructureBatch]) -> tuple[NDArray[np.object_], CrystalTable, dict[int, str]]:
    """Give the names of all structures, the crystals that could be read, and the errors of the others by row."""
    names: list[str] = []
    errors: dict[int, str] = {}
    for batch in batches:
        errors |= {len(names) + row: error for row, error in batch.errors.items()}
        names += batch.names
    return np.array(names, dtype=object), CrystalTable.concatenate(batch.crystals for batch in batches), errors


def stacked(batches: Sequence[StructureBatch], attribute: str) -> dict[int, Any]:
    """Give the notes, warnings or properties of many batches by row of all."""
    out: dict[int, Any] = {}
    first = 0
    for batch in batches:
        out |= {first + row: value for row, value in getattr(batch, attribute).items()}
        first += len(batch)
    return out
