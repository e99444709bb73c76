"""CIF files: groups, species and blocks, and mutations that know the grammar.

The long fuzz run: HYPOTHESIS_PROFILE=long pytest tests/test_cif.py -k mutated -o timeout=1800
"""

import re
from dataclasses import dataclass, field

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matminer_grid.io import cif_text
from matminer_grid.io.cif import read_cif
from matminer_grid.io.cif_cell import lattice_of
from matminer_grid.io.records import in_columns
from matminer_grid.io.species import species_of_label, species_of_type
from matminer_grid.io.symmetry import group_of_operators, settings_of_number
from tests.more_cases import cif


def read(content):
    return list(in_columns(read_cif(content if isinstance(content, bytes) else content.encode())).records())


class TestSymmetry:
    def test_every_number(self):
        for number in range(1, 231):
            assert gemmi.find_spacegroup_by_name(settings_of_number(number).settings[0]).number == number
        assert settings_of_number(231) is None

    def test_products_are_those_of_gemmi(self):
        ops = [op.wrap() for op in gemmi.find_spacegroup_by_name("P 41 3 2").operations()]
        group = group_of_operators(tuple(op.triplet() for op in ops))
        assert group.number == 213
        place = {op.triplet(): row for row, op in enumerate(ops)}
        named = [gemmi.Op().triplet(), *(op.triplet() for op in ops if op != gemmi.Op())]
        for i in (0, 5, 23):
            for j in (1, 7, 11):
                product = (ops[place[named[i]]] * ops[place[named[j]]]).wrap().triplet()
                assert named[group.products[i, j]] == product

    def test_settings_without_a_symbol(self):
        """Cu3Au's group with its origin moved by an eighth."""
        moved = gemmi.Op("x+1/8,y+1/8,z+1/8")
        operators = [(moved * op * moved.inverse()).triplet() for op in gemmi.find_spacegroup_by_name("P m -3 m").operations()]
        group = group_of_operators(tuple(operators))
        assert (group.number, group.name) == (221, "")

    @pytest.mark.parametrize(
        ("operators", "message"),
        [
            (["x,y"], "can't be read"),
            (["x,y,y"], "changes volumes"),
            (["h,k,l"], "can't be read"),
            (["x,y,z", "x,y,0.3+z"], "can't be read"),
            ([f"x+{n}/24,y+{m}/24,z+{k}/24" for n in range(24) for m in range(8) for k in range(5)], "the limit is 768"),
        ],
    )
    def test_operators_that_are_none(self, operators, message):
        with pytest.raises(ValueError, match=message):
            group_of_operators(tuple(operators))


class TestParts:
    @pytest.mark.parametrize("angles", [(90, 90, 90), (60, 60, 60), (81.2, 100.3, 119.5), (90, 90, 120)])
    def test_lattice_as_pymatgen_has_it(self, angles):
        from pymatgen.core import Lattice

        np.testing.assert_allclose(lattice_of(3, 4, 5, *angles), Lattice.from_parameters(3, 4, 5, *angles).matrix, atol=1e-12)

    @pytest.mark.parametrize("number", range(1, 119))
    def test_elements_are_themselves(self, number):
        symbol = gemmi.Element(number).name
        for text in (symbol, f"{symbol}2+", f"{symbol}1-", f"{symbol}0+", symbol.lower()):
            assert species_of_type(text).number == number
        if len(symbol) == 2 or symbol not in {"D", "T"}:
            assert species_of_label(f"{symbol}1").number == number

    def test_text_is_split_before_blocks_only(self):
        text = b"# data_no\ndata_one\n_a 'data_no'\n_t\n;\ndata_no\n;\ndata_two\n"
        assert [(name, line) for name, line, _ in cif_text.split_blocks(text)] == [("one", 1), ("two", 7)]

    def test_a_large_block(self):
        """A hundred thousand atoms, in seconds."""
        n = 100_000
        coords = np.random.default_rng(0).permutation(47**3)[:n]
        triples = zip(*(axis.tolist() for axis in np.unravel_index(coords, (47, 47, 47))), strict=True)
        rows = "\n".join(f"Na{i} Na {a / 47:.5f} {b / 47:.5f} {c / 47:.5f} 1" for i, (a, b, c) in enumerate(triples))
        (record,) = read(cif(rows, "_space_group_name_H-M_alt 'P 1'", cell=(150, 150, 150, 90, 90, 90)))
        assert record.crystal.n_sites == n
        assert record.warnings == ()

    def test_a_block_that_symmetry_makes_too_large(self):
        rows = "\n".join(f"Na{i} Na 0.{i:05d} 0.1 0.2 1" for i in range(11_000))
        (record,) = read(cif(rows))
        assert record.error == "symmetry would make up to 2112000 sites of its 11000 rows; the limit is 2000000"


OPERATORS = [op.triplet() for op in gemmi.find_spacegroup_by_name("F m -3 m").operations()]
SYMMETRY = {
    "name": [("_space_group_name_H-M_alt", "'F m -3 m'")],
    "hall": [("_space_group_name_Hall", "'-F 4 2 3'")],
    "number": [("_space_group_IT_number", "225")],
    "operators": [("_space_group_symop_operation_xyz", OPERATORS)],
    "all": [
        ("_symmetry_space_group_name_H-M", "Fm-3m"),
        ("_symmetry_Int_Tables_number", "225"),
        ("_symmetry_equiv_pos_as_xyz", OPERATORS),
    ],
}
CELL = [(f"length_{x}", "5.64") for x in "abc"] + [(f"angle_{x}", "90") for x in ("alpha", "beta", "gamma")]
ATOMS = {"label": ["Na1", "Cl1"], "type_symbol": ["Na", "Cl"], "occupancy": ["1", "1.0"]} | {
    f"fract_{x}": ["0", "0.5"] for x in "xyz"
}
GARBAGE = ["?", ".", "junk", "'F q -3 m'", "999", "'x, y'", ";\ntext\n;", "1e999", "nan", "0,25", "''", "-1"]
BROKEN_OPERATORS = ["'x,y'", "'x,y,y'", "'q,y,z'", "'x,y,z+1/7'", "?", "junk", "'x y z'"]


@dataclass
class Draft:
    """A block of a CIF in parts, and whether it is sound beside its symmetry, and its symmetry."""

    symmetry: list
    cell: list = field(default_factory=lambda: [[f"_cell_{tag}", value] for tag, value in CELL])
    atoms: dict = field(default_factory=lambda: {column: list(values) for column, values in ATOMS.items()})
    end: str = ""
    is_sound: bool = True
    is_symmetric: bool = True

    def text(self, name):
        lines = [f"data_{name}", *(f"{tag}\n{value}" for tag, value in self.cell)]
        for tag, value in self.symmetry:
            many = isinstance(value, list)
            lines += ["loop_", tag, *(text if text[0] in "'?" else f"'{text}'" for text in value)] if many else [tag, value]
        lines += ["loop_", *(f"_atom_site_{column}" for column in self.atoms)]
        lines += [values[row] for row in range(2) for values in self.atoms.values()]
        return "\n".join(lines) + "\n" + self.end

    @property
    def has_atoms(self):
        return any(tag.removeprefix("_atom_site_") in {column.lower() for column in self.atoms} for tag in cif_text.ATOM_TAGS)


def spoil_cell(draft, draw):
    draft.cell[draw(st.integers(0, 5))][1] = draw(st.sampled_from(GARBAGE))
    draft.is_sound = False


def spoil_names(draft, draw):
    for item in draft.symmetry:
        if not isinstance(item[1], list):
            item[1] = draw(st.sampled_from(GARBAGE))
            draft.is_symmetric = False


def spoil_operators(draft, draw):
    for item in draft.symmetry:
        if isinstance(item[1], list) and item[1]:
            place = draw(st.integers(0, len(item[1]) - 1))
            item[1][place : place + 1] = draw(st.sampled_from([[], *([text] for text in BROKEN_OPERATORS)]))
            draft.is_symmetric = False


def spoil_value(draft, draw):
    draft.atoms[draw(st.sampled_from(sorted(draft.atoms)))][0] = draw(st.sampled_from(GARBAGE))
    draft.is_sound = False


def drop_column(draft, draw):
    if len(draft.atoms) > 1:
        del draft.atoms[draw(st.sampled_from(sorted(draft.atoms)))]
        draft.is_sound = False


def add_values(draft, draw):
    draft.end = draw(st.sampled_from(["K1\n", "K1 0.5\n", "'unfinished\n", "loop_\n", "_tag\n"]))
    draft.is_sound = False


def add_comment(draft, draw):
    draft.end = draft.end or "# data_comment\n"


def use_capitals(draft, draw):
    draft.atoms = {column.upper(): values for column, values in draft.atoms.items()}


MUTATIONS = [spoil_cell, spoil_names, spoil_operators, spoil_value, drop_column, add_values, add_comment, use_capitals]
WITHOUT_ATOMS = "data_global\n_publ_section_title 'no atoms'\n_publ_comment\n;\ndata_fake\n_atom_site_label\n;\n"


@st.composite
def blocks(draw):
    """Draw a block of a CIF: its text, whether it lists atoms, whether it is sound beside its symmetry, whether that is sound."""
    if draw(st.integers(0, 5)) == 0:
        return WITHOUT_ATOMS, False, True, True
    kind = draw(st.sampled_from(list(SYMMETRY)))
    draft = Draft([[tag, list(value) if isinstance(value, list) else value] for tag, value in SYMMETRY[kind]])
    for mutate in draw(st.lists(st.sampled_from(MUTATIONS), max_size=3)):
        mutate(draft, draw)
    return draft.text(draw(st.sampled_from(["a", "a", "b", ""]))), draft.has_atoms, draft.is_sound, draft.is_symmetric


@given(parts=st.lists(blocks(), min_size=1, max_size=4))
def test_mutated_files_lose_no_record_and_no_symmetry(parts):
    """There is a record for each block with atoms, in order; what was sound is read; a broken group is never P1 in silence."""
    text = "".join(part[0] for part in parts)
    listed = [part for part in parts if part[1]]
    if not listed:
        with pytest.raises(ValueError, match=r"no CIF with atoms|line \d"):
            read(text)
        return
    records = read(text)
    assert len(records) == len(listed)
    for record, (_, _, is_sound, is_symmetric) in zip(records, listed, strict=True):
        assert (record.crystal is None) == (record.error is not None)
        if is_sound and is_symmetric:
            assert record.error is None
            assert record.crystal.formula == "Na4 Cl4"
            assert record.warnings == ()
        elif is_sound and record.crystal is not None and not record.warnings:
            assert record.crystal.formula == "Na4 Cl4"


@given(content=st.binary(max_size=300).map(lambda noise: re.sub(rb"\x00", b"", noise)), where=st.integers(0, 400))
def test_noise_between_sound_blocks_costs_them_nothing(content, where):
    """Noise may break the block that it is in, and open text fields or quotes only in that block."""
    noise = re.sub(rb"(?i)data_|save_|global_|;|[\r\x80-\xff]", b"_", content)
    middle = cif(name="two").encode()
    where %= len(middle) - 9
    text = cif(name="one").encode() + middle[: 9 + where] + noise + middle[9 + where :] + cif(name="three").encode()
    records = read(text)
    assert records[0].crystal.formula == records[-1].crystal.formula == "Na4 Cl4"
    assert 2 <= len(records) <= 3
