"""Broken CIFs: no crash, no record lost, and no P 1 in silence where a group or operators were given.

The long run, 30,000 inputs: HYPOTHESIS_PROFILE=long pytest tests/test_cif_fuzz.py -o timeout=1800
"""

import re

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matminer_grid.io.formats import parse_structures
from matminer_grid.io.records import in_columns
from tests.strange_files import block

CELLS = {
    "P -1": (15.3, 18.6, 21.9, 81, 92, 103),
    "P 1 21/c 1": (15.3, 18.6, 21.9, 90, 103, 90),
    "C 1 2/c 1": (15.3, 18.6, 21.9, 90, 103, 90),
    "P n m a": (15.3, 18.6, 21.9, 90, 90, 90),
    "I 41/a m d:2": (15.3, 15.3, 21.9, 90, 90, 90),
    "R -3 m:H": (15.3, 15.3, 36.9, 90, 90, 120),
    "R -3 m:R": (15.3, 15.3, 15.3, 72, 72, 72),
    "P 63/m m c": (15.3, 15.3, 21.9, 90, 90, 120),
    "F m -3 m": (30.2, 30.2, 30.2, 90, 90, 90),
    "F d -3 m:2": (30.2, 30.2, 30.2, 90, 90, 90),
}
ROW = "Ga1 Ga 0.1373 0.2191 0.3467 1"
"""One atom on a general position: P 1 shows at once."""

HOSTILE = [
    *("?", ".", "0", "-1", "0,25", "1e400", "nan", "inf", "1/3", "0.5(", "1_0", "x", "x,y", "'x,y,q'", "x,y,z+1/7", "-x,-y,-z"),
    *(
        "Xx",
        "OH",
        "NH4+",
        "231",
        "9" * 30,
        "''",
        "F",
        "Q",
        "'F q -3 m'",
        "'R 3 m :Q'",
        "_tag",
        "loop_",
        "stop_",
        "save_",
        "global_",
    ),
    *("#", "[1]", "{a:b}", "$x", "\u00e9", "\u2212x", "\\", "0.13.7", "1.06", "100"),
]
"""Words that stand where others belong."""

ATOM_TAG = re.compile(r"^\s*_atom_site_(label|type_symbol|fract_[xyz]|occupancy)\b", re.MULTILINE)
IDENTITY = re.compile(r"[\s'\"]*x\s*,\s*y\s*,\s*z[\s'\"]*")


@st.composite
def blocks(draw, name: str) -> str:
    """Write a block whose group is given in one of the ways that files have."""
    group = gemmi.find_spacegroup_by_name(name)
    way = draw(st.sampled_from(["symbol", "operators", "symbol and operators", "Hall", "number", "all"]))
    symbol = f"'{group.hm} :{group.ext}'" if group.ext.strip("\x00 ") else f"'{group.hm}'"
    more = []
    if way in {"Hall", "all"}:
        more.append(f"_space_group_name_Hall '{group.hall}'")
    if way in {"number", "all"}:
        more.append(f"_space_group_IT_number {group.number}")
    return block(
        draw(st.sampled_from(["a", "b", "a"])),
        CELLS[name],
        [ROW],
        group=symbol if way in {"symbol", "symbol and operators", "all"} else None,
        operators=[op.triplet() for op in group.operations()] if "operators" in way or way == "all" else (),
        more="\n".join(more),
    )


@st.composite
def with_other_words(draw, name: str) -> str:
    """Put other words in the place of some values; blocks and tags stay."""
    lines = "".join(draw(st.lists(blocks(name), min_size=1, max_size=3))).splitlines()
    values = [row for row, line in enumerate(lines) if not re.match(r"data_|loop_|_atom_site|_symmetry_equiv", line)]
    for row in draw(st.lists(st.sampled_from(values), min_size=1, max_size=3)):
        words = re.findall(r"'[^']*'|\S+", lines[row])
        first = 1 if lines[row].startswith("_") else 0
        if len(words) > first:
            words[draw(st.integers(first, len(words) - 1))] = draw(st.sampled_from(HOSTILE))
            lines[row] = " ".join(words)
    return "\n".join(lines) + "\n"


@st.composite
def with_other_lines(draw, name: str) -> str:
    """Leave out, repeat, exchange or cut lines."""
    lines = "".join(draw(st.lists(blocks(name), min_size=1, max_size=3))).splitlines()
    for _ in range(draw(st.integers(1, 3))):
        if not lines:
            break
        row, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        change = draw(st.sampled_from(["leave out", "repeat", "exchange", "cut", "end"]))
        if change == "leave out":
            del lines[row]
        elif change == "repeat":
            lines.insert(other, lines[row])
        elif change == "exchange":
            lines[row], lines[other] = lines[other], lines[row]
        elif change == "cut":
            lines[row] = lines[row][: draw(st.integers(0, len(lines[row])))]
        else:
            del lines[row + 1 :]
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines)


@st.composite
def with_other_bytes(draw, name: str) -> bytes:
    """Change, insert and delete bytes anywhere."""
    content = bytearray("".join(draw(st.lists(blocks(name), min_size=1, max_size=2))).encode())
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(content) - 1))
        stop = place + draw(st.integers(0, 3))
        content[place:stop] = draw(st.binary(max_size=3))
        content = content or bytearray(b"#")
    return bytes(content)


def parts(text: str) -> list[str]:
    """Split a text, which has no text fields, where a line begins a block."""
    return re.split(r"(?im)^(?=[ \t]*data_)", text.replace("\r\n", "\n").replace("\r", "\n"))


def read(content: bytes):
    """Read a file as the reader of files does; None where it is refused as a whole, which any other exception isn't."""
    try:
        return list(in_columns(parse_structures(content, "cif")).records())
    except ValueError:
        return None


def check_records(records) -> None:
    for record in records:
        assert (record.crystal is None) != (record.error is None)
        assert record.error is None or 0 < len(record.error) < 2000
        if record.crystal is not None:
            assert np.isfinite(record.crystal.frac_coords).all()
            assert (record.crystal.site_occupancies <= 1 + 1e-9).all()


def gives_symmetry(text: str) -> bool:
    """Tell whether a block says more of its symmetry than P 1."""
    for line in text.splitlines():
        match = re.match(r"_(?:symmetry_space_group_name_H-M|space_group_name_Hall|space_group_IT_number)\s+(\S.*)", line)
        if match and match.group(1).strip() not in {"?", ".", "0", "''", "#", "1", "P", "'P 1'"}:
            return True
        words = line.strip().strip("'")
        if words.count(",") == 2 and " " not in words and not IDENTITY.fullmatch(line):
            return True
    return False


def of_reading(record) -> list[str]:
    """Give the warnings of what was lost or assumed: those of an empty or dense cell would hide that there is none."""
    return [text for text in record.warnings if not re.match("a vacuum|a density|sites nearer", text)]


def check_no_silent_p1(text: str, record) -> None:
    rows = len(set(re.findall(r"(?m)^Ga1 .*", text)))  # one that is repeated is one site
    if record.crystal is not None and record.crystal.n_sites <= rows and gives_symmetry(text):
        assert of_reading(record), f"{record.crystal.n_sites} sites in silence of\n{text}"


@pytest.mark.parametrize("name", CELLS)
@given(data=st.data())
def test_fuzz_whole_files_are_read_right(name, data):
    """Without a change, each block has as many sites as the group has operators."""
    text = "".join(data.draw(st.lists(blocks(name), min_size=1, max_size=4)))
    order = len(list(gemmi.find_spacegroup_by_name(name).operations()))
    records = read(text.encode())
    assert len(records) == text.count("data_")
    for record, part in zip(records, parts(text)[1:], strict=True):
        origin_open = "IT_number" in part and "H-M" not in part and "Hall" not in part and name.endswith(":2")
        assert record.error is None
        assert record.crystal.n_sites == order
        assert not of_reading(record) or origin_open


@pytest.mark.parametrize("change", [with_other_words, with_other_lines])
@pytest.mark.parametrize("name", CELLS)
@given(data=st.data())
def test_fuzz_grammar(name, change, data):
    text = data.draw(change(name))
    with_atoms = [part for part in parts(text) if ATOM_TAG.search(part)]
    records = read(text.encode())
    if records is None:
        assert not with_atoms, text
        return
    check_records(records)
    if not with_atoms:  # a file that can't be read is one failure
        assert [record.crystal for record in records] == [None], text
        return
    assert len(records) == len(with_atoms), text
    for record, part in zip(records, with_atoms, strict=True):
        check_no_silent_p1(part, record)


@pytest.mark.parametrize("name", CELLS)
@given(data=st.data())
def test_fuzz_bytes(name, data):
    records = read(data.draw(with_other_bytes(name)))
    check_records(records or ())
