"""CIF text to blocks: gemmi reads it; where it can't, each block is read alone, so that one that is broken costs no other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gemmi import cif

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ATOM_TAGS = [f"_atom_site_{name}" for name in "label type_symbol fract_x fract_y fract_z cartn_x occupancy".split()]
"""Any of these makes a block one with atoms."""

_HEADER = re.compile(rb"^[ \t]*data_(\S*)", re.IGNORECASE)
_ATOMS = re.compile(
    rb"^\s*(?:loop_\s+)?_atom_site[_.](?:label|type_symbol|fract_[xyz]|cartn_x|occupancy)\b", re.IGNORECASE | re.MULTILINE
)


class Block:
    """The items of gemmi's block by their tags, in lower case, with ``_`` for the dots of newer dictionaries.

    The source is the text that gemmi read, and the offset the number of lines of the file before it.
    """

    def __init__(self, block: Any, source: bytes, offset: int = 0) -> None:
        self.name: str = block.name.strip()
        self.source = source
        self.offset = offset
        self.items: dict[str, tuple[Any, int, Any]] = {}  # item, column, and the value or the number of columns
        self.repeated: dict[str, int] = {}
        self._values: dict[int, list[str]] = {}
        for item in block:
            pair = item.pair
            if pair is not None:
                self._add(pair[0], (item, -1, pair[1]))
            elif item.loop is not None:
                tags = item.loop.tags
                for column, tag in enumerate(tags):
                    self._add(tag, (item, column, len(tags)))

    def _add(self, tag: str, place: tuple[Any, int, Any]) -> None:
        key = tag.lower().replace(".", "_")
        if key in self.items:
            self.repeated[key] = place[0].line_number + self.offset
        else:
            self.items[key] = place

    @property
    def has_atoms(self) -> bool:
        """Whether it lists atoms."""
        return any(tag in self.items for tag in ATOM_TAGS)

    def raw(self, tag: str) -> list[str] | None:
        """Give the values of a tag as they are written; None where it isn't."""
        found = self.items.get(tag)
        if found is None:
            return None
        item, column, value = found
        if column < 0:
            return [value]
        values = self._values.get(id(item))
        if values is None:
            values = self._values[id(item)] = item.loop.values
        return values[column::value]

    def beside(self, tag: str) -> list[str]:
        """Give the values of the other columns of a tag's list, as they are written."""
        item, column, _ = self.items[tag]
        if column < 0 or item.loop.width() == 1:
            return []
        width = item.loop.width()
        return [value for place, value in enumerate(item.loop.values) if place % width != column]

    def texts(self, tag: str) -> list[str | None] | None:
        """Give the values of a tag without their quotes, None for ``?`` and ``.``."""
        raw = self.raw(tag)
        return None if raw is None else unquoted(raw)

    def text(self, *tags: str) -> str | None:
        """Give the first value that is written under one of some tags."""
        for tag in tags:
            found = self.items.get(tag)
            if found is not None:
                raw = [found[2]] if found[1] < 0 else (self.raw(tag) or ["?"])
                value = unquoted(raw[:1])[0]
                if value is not None and value.strip():
                    return value.strip()
        return None

    def line(self, tag: str) -> int:
        """Give the line of a tag."""
        return self.items[tag][0].line_number + self.offset

    def line_of(self, tag: str, value: str) -> int:
        """Give the line of a value of a tag."""
        first = self.items[tag][0].line_number
        lines = self.source.split(b"\n")
        wanted = value.encode()
        found = (number for number in range(first - 1, len(lines)) if wanted in lines[number])
        return next(found, first - 1) + 1 + self.offset

    def check_single(self, *tags: str) -> None:
        """Refuse, with a ValueError, a block that gives one of these tags twice, since one of both would be lost."""
        for tag in tags:
            if tag in self.repeated:
                raise ValueError(
                    f"{tag} is given twice, in lines {self.line(tag)} and {self.repeated[tag]}; which counts isn't clear"
                )


def unquoted(raw: Iterable[str]) -> list[str | None]:
    """Give values without their quotes, None for ``?``, ``.`` and what is missing."""
    return [None if value in {"?", ".", ""} else cif.as_string(value) if value[0] in "'\";" else value for value in raw]


def as_text(content: bytes) -> bytes:
    """Bring a file to the ASCII that CIFs are written in: UTF-16 is decoded, foreign letters become ``?``, NUL bytes an error."""
    if content[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        content = content.decode("utf-16", errors="replace").encode("ascii", errors="replace")
    content = content.removeprefix(b"\xef\xbb\xbf")
    if b"\x00" in content:
        line = content[: content.index(b"\x00")].count(b"\n") + 1
        raise ValueError(f"line {line}: it has NUL bytes; it is no text, or damaged")
    if not content.isascii():
        content = content.decode("utf-8", errors="replace").encode("ascii", errors="replace")
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return content


def read_blocks(content: bytes) -> Iterator[Block | tuple[str, str]]:
    """Give each block with atoms of what :func:`as_text` gives, in order, or its name and what is wrong with it."""
    try:
        blocks = [Block(block, content) for block in cif.read_string(content, check_level=0)]
    except (ValueError, RuntimeError):
        yield from _one_by_one(content)
        return
    yield from (block for block in blocks if block.has_atoms)


def _one_by_one(content: bytes) -> Iterator[Block | tuple[str, str]]:
    for name, offset, text in split_blocks(content):
        try:
            blocks = [Block(block, text, offset) for block in cif.read_string(text, check_level=0)]
        except (ValueError, RuntimeError) as error:
            if _ATOMS.search(text) or not _HEADER.match(text):
                yield name, _syntax_error(str(error), offset)
            continue
        yield from (block for block in blocks if block.has_atoms)


def split_blocks(content: bytes) -> list[tuple[str, int, bytes]]:
    """Split text before each line that begins with ``data_`` outside of a text field; name, lines before, and text of each.

    What stands before the first block belongs to it, unless there is none.
    """
    starts: list[tuple[str, int, int]] = []
    in_text = False
    position = 0
    for number, line in enumerate(content.split(b"\n")):
        if line.startswith(b";"):
            in_text = not in_text
        elif not in_text:
            header = _HEADER.match(line)
            if header:
                starts.append((header.group(1).decode("ascii"), number, position))
        position += len(line) + 1
    if not starts:
        return [("", 0, content)] if content.strip() else []
    first = starts[0]
    if _ATOMS.search(content[: first[2]]):  # atoms before any block
        starts.insert(0, ("", 0, 0))
    ends = [start for _, _, start in starts[1:]] + [len(content)]
    return [(name, number, content[start:end]) for (name, number, start), end in zip(starts, ends, strict=True)]


def _syntax_error(message: str, offset: int) -> str:
    match = re.match(r"data:(\d+):(\d+)\(\d+\): (.*)", " ".join(message.split()))
    if not match:
        return f"it is no CIF: {' '.join(message.split())[:300]}"
    line, _, text = match.groups()
    loop = re.match(r"Wrong number of values in loop (\S+)", text)
    if loop:
        return f"line {int(line) + offset}: the loop {loop.group(1)} has a row that is cut short, or a value too many"
    return f"line {int(line) + offset}: {text[:1].lower()}{text[1:300]}"
