"""CIF: pymatgen's parser as an oracle where it is right, and the symbols of space groups against gemmi's and spglib's tables."""

import warnings
from functools import cache

import gemmi
import numpy as np
import pytest
import spglib
from pymatgen.core import Structure
from pymatgen.io.cif import CifParser, CifWriter

from matminer_grid import Crystal
from matminer_grid.io.cif import read_cif
from matminer_grid.io.records import in_columns
from matminer_grid.io.symmetry import group_of_hall, group_of_operators, group_of_setting, settings_of_symbol
from tests.conftest import REAL
from tests.strange_files import block

PRINTED = 1.001e-6
"""A unit of the sixth digit: the embedded coordinates have no more, and ours are means of the images that rounding puts apart."""


def read_one(text: str):
    (record,) = in_columns(read_cif(text.encode())).records()
    return record


def with_symmetry(structure: Structure) -> str:
    """Write a structure with the operators of its space group."""
    return str(CifWriter(structure, symprec=0.01, refine_struct=False))


def by_pymatgen(text: str) -> Structure:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (structure,) = CifParser.from_str(text).parse_structures(primitive=False)
    return structure


MERGED = 1e-4
"""Images nearer than this part of the cell are one site, in their middle."""


def assert_same(crystal: Crystal, other: Crystal, what: str, tolerance: float = PRINTED) -> None:
    """Compare lattice, number of sites, and each site's species and place; sites may come in another order."""
    np.testing.assert_allclose(crystal.lattice, other.lattice, rtol=0, atol=1e-4, err_msg=what)
    assert crystal.n_sites == other.n_sites, what
    assert len(crystal.numbers) == len(other.numbers), what
    apart = crystal.frac_coords[crystal.site_index][:, None] - other.frac_coords[other.site_index]
    near = (np.abs(apart - np.rint(apart)) <= tolerance).all(axis=2)
    near &= crystal.numbers[:, None] == other.numbers
    near &= np.abs(crystal.occupancies[:, None] - other.occupancies) <= 1e-8
    assert (near.sum(axis=0) == 1).all(), what
    assert (near.sum(axis=1) == 1).all(), what


def compare(crystal: Crystal, what: str) -> None:
    text = with_symmetry(crystal.to_structure())
    record = read_one(text)
    assert record.crystal is not None, f"{what}: {record.error}"
    assert_same(record.crystal, Crystal.from_structure(by_pymatgen(text)), what)


def test_a_sample_is_read_as_pymatgen_reads_it(sample):
    for row in range(60):
        compare(sample[row], f"row {row} of the sample: {sample[row].formula}")


@pytest.mark.slow
@pytest.mark.timeout(36_000)
def test_every_embedded_crystal_is_read_as_pymatgen_reads_it_or_said_why_not(embedded):
    """Some have their symmetry only within 0.01 Å, and pymatgen writes operators of them such as -x+733/752.

    Those are refused, or read with a warning, or read as the embedded crystal is where pymatgen's parser loses or doubles sites.
    """
    same, refused = 0, 0
    for row in range(len(embedded)):
        what = f"row {row}: {embedded[row].formula}"
        text = with_symmetry(embedded[row].to_structure())
        record, other = read_one(text), Crystal.from_structure(by_pymatgen(text))
        if record.crystal is None:
            refused += 1
            assert "symmetry operator" in record.error, what
        elif record.crystal.n_sites == other.n_sites:
            same += 1
            assert_same(record.crystal, other, what, MERGED)
        else:
            assert record.warnings or record.crystal.n_sites == embedded.n_sites[row], what
    assert refused <= 39
    assert same >= 12_134


@pytest.mark.slow
@pytest.mark.timeout(36_000)
def test_every_embedded_crystal_made_symmetric_is_read_as_pymatgen_reads_it(embedded):
    """Cells and coordinates that obey their symmetry exactly, as databases give them."""
    for row in range(len(embedded)):
        what = f"row {row}: {embedded[row].formula}"
        text = str(CifWriter(embedded[row].to_structure(), symprec=0.01))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (structure,) = CifParser.from_str(text, frac_tolerance=0).parse_structures(primitive=False)
        record = read_one(text)
        assert record.error is None, what
        assert record.notes == (), what
        assert not [warning for warning in record.warnings if "vacuum" not in warning], what
        assert_same(record.crystal, Crystal.from_structure(structure), what)


@pytest.mark.parametrize("name", [name for name in REAL if name not in {"split_alloy", "with_dummies", "wustite"}])
def test_disorder_and_isotopes_are_read_as_pymatgen_reads_them(name):
    """Wüstite's two kinds of iron are one species in a Crystal, the others pymatgen itself can't read back."""
    text = str(CifWriter(REAL[name]()))
    assert_same(read_one(text).crystal, Crystal.from_structure(by_pymatgen(text)), name)


@cache
def operators(rotations: bytes, translations: bytes) -> frozenset:
    turns = np.frombuffer(rotations, dtype=np.int64).reshape(-1, 9)
    shifts = np.frombuffer(translations, dtype=np.int64).reshape(-1, 3)
    return frozenset((*turn, *shift) for turn, shift in zip(turns.tolist(), shifts.tolist(), strict=True))


def operators_of(rotations, translations) -> frozenset:
    """Give operators as a set: elements of the rotations, translations in 1/24 of the cell."""
    turns = np.rint(rotations).astype(np.int64)
    shifts = np.rint(24 * np.asarray(translations)).astype(np.int64) % 24
    return operators(turns.tobytes(), shifts.tobytes())


class TestSpaceGroups:
    @pytest.mark.parametrize("number", range(1, 231))
    def test_every_symbol_of_gemmis_table(self, number):
        for group in gemmi.spacegroup_table():
            if group.number != number:
                continue
            extension = group.ext.strip("\x00 ")
            for symbol in {group.xhm(), f"{group.hm} :{extension}" if extension else group.hm, group.hm.replace(" ", "_")}:
                if "(a)" in symbol or symbol.endswith("a)") or "(a)" in group.hm or group.hm.endswith("a)"):
                    continue  # gemmi's own names of two settings that have no symbol
                named = settings_of_symbol(symbol)
                assert named is not None, symbol
                assert group.xhm() in named.settings, symbol
                assert named.numbers == {number}, symbol
            own = group_of_setting(group.xhm())
            by_operators = group_of_operators(tuple(op.triplet() for op in group.operations()))
            by_symbol = group_of_hall(group.hall)
            assert own.number == by_operators.number == by_symbol.number == number
            first, second, third = (operators_of(g.rotations, g.translations) for g in (own, by_operators, by_symbol))
            assert first == second == third

    def test_every_setting_of_spglibs_table(self):
        """A symbol of spglib stands for a setting that has the operators of spglib, of one of the settings of that symbol."""
        of_symbol: dict[str, list[frozenset]] = {}
        numbers = {}
        for hall in range(1, 531):
            kind = spglib.get_spacegroup_type(hall)
            database = spglib.get_symmetry_from_database(hall)
            theirs = operators_of(database["rotations"], database["translations"])
            ours = group_of_hall(kind.hall_symbol)
            assert operators_of(ours.rotations, ours.translations) == theirs, kind.hall_symbol
            assert ours.number == kind.number
            symbol = kind.international_full.split("=")[0].strip()
            of_symbol.setdefault(symbol, []).append(theirs)
            numbers[symbol] = kind.number
        assert len(of_symbol) > 400
        for symbol, known in of_symbol.items():
            named = settings_of_symbol(symbol)
            assert named is not None, symbol
            assert numbers[symbol] in named.numbers, symbol
            groups = [group_of_setting(xhm) for xhm in named.settings]
            assert any(operators_of(group.rotations, group.translations) in known for group in groups), symbol

    @pytest.mark.parametrize(
        ("symbol", "setting"),
        [
            ("R -3 m H", "R -3 m:H"),
            ("R-3mR", "R -3 m:R"),
            ("F d -3 m S", "F d -3 m:1"),
            ("Fd-3mZ", "F d -3 m:2"),
            ("F d -3 m O2", "F d -3 m:2"),
            ("F d -3 m (origin choice 2)", "F d -3 m:2"),
            ("P4/nmmS", "P 4/n m m:1"),
            ("F 4/m -3 2/m", "F m -3 m"),
            ("P 2/n 21/m 21/a", "P n m a"),
            ("Fm3m", "F m -3 m"),
            ("P63/mmc", "P 63/m m c"),
            ("P6(3)/mmc", "P 63/m m c"),
            ("P 6~3~/m m c", "P 63/m m c"),
            ("P2(1)2(1)2(1)", "P 21 21 21"),
            ("P 21/c 1 1", "P 21/c 1 1"),
            ("C m c e", "C m c a"),
            ("B b e m", "B b c m"),
            ("p n m a", "P n m a"),
        ],
    )
    def test_spellings(self, symbol, setting):
        assert settings_of_symbol(symbol).settings == (setting,)

    @pytest.mark.parametrize("symbol", ["C 4/m m m", "F d -3 m :3", "F q -3 m", "P 7", "", "P 1-", "166", "R -3 m :1"])
    def test_what_is_no_symbol_is_not_guessed(self, symbol):
        """C 4/m m m, P 4/m m m in a larger cell, was read as C m m m."""
        assert settings_of_symbol(symbol) is None


class TestFormula:
    @pytest.mark.parametrize(
        ("formula", "units", "warnings"),
        [
            ("Na Cl", 4, []),
            ("'Na1 Cl1'", 4, []),
            ("'Na4 Cl4'", 1, []),
            ("'Na Cl'", 8, ["the sites make 4 formula units a cell, the file says 8"]),
            ("'Na Cl H2 O'", 4, ["the formula has 8 H a cell that no site holds", "the formula has 4 O a cell that no site holds"]),
            ("'Na0.9 Cl'", 4, ["the sites hold 0.4 Na a cell that the formula doesn't have"]),
            ("'Na2 Cl'", 4, ["the formula has 4 Na a cell that no site holds"]),
            ("Na", 4, ["the sites hold 4 Cl a cell that the formula doesn't have"]),
            ("'K Br'", 4, ["the formula K Br and the sites have no element in common"]),
        ],
    )
    def test_amounts(self, formula, units, warnings):
        quoted = formula if " " not in formula or formula.startswith("'") else f"'{formula}'"
        more = f"_chemical_formula_sum {quoted}\n_cell_formula_units_Z {units}"
        record = read_one(block("a", group="'F m -3 m'", more=more))
        assert record.crystal.formula == "Na4 Cl4"
        assert list(record.warnings) == warnings


class TestSpecies:
    @pytest.mark.parametrize("kind", ["PO43-", "CO32-", "CO2-", "NO3-", "SO42-", "CN-", "PO4", "SiO4"])
    def test_groups_of_atoms_are_refused(self, kind):
        """PO43- was read as polonium, CO32- as cobalt."""
        text = block("a", group="'P 1'", atoms=[f"A1 {kind} 0 0 0 1"])
        assert read_one(text).error == f"the type {kind!r} is a group of atoms; each of them needs a position of its own"

    @pytest.mark.parametrize(
        ("kind", "symbol"),
        [("CO3+", "Co"), ("NI2+", "Ni"), ("BI3-", "Bi"), ("Co2-", "Co"), ("O-2", "O"), ("C-13", "C"), ("D+", "D"), ("Siva", "Si")],
    )
    def test_charges_and_capital_letters(self, kind, symbol):
        record = read_one(block("a", (2.5, 2.5, 2.5, 90, 90, 90), [f"A1 {kind} 0 0 0 1"], group="'P 1'"))
        assert (record.crystal.formula, record.warnings) == (f"{symbol}1", ())

    @pytest.mark.parametrize(
        ("label", "symbol", "warning"),
        [
            ("OWat", "O", "its H have no position"),
            ("Al/Si1", "Al", "names two elements; it is read as Al"),
            ("KNa1", "K", "names two elements; it is read as K"),
            ("TO1", "T", "is read as tritium"),
            ("DA", "D", "is read as deuterium"),
            ("No1", "No", "is read as element 102, of which no crystal is known"),
            ("SI1", "Si", "is read as Si"),
            ("M1", "X", "names no element"),
        ],
    )
    def test_labels_that_may_mean_something_else_are_warned_of(self, label, symbol, warning):
        text = block("a", group="'P 1'", atoms=[f"{label} 0 0 0"], columns="label fract_x fract_y fract_z")
        record = read_one(text)
        assert record.crystal.formula == f"{symbol}1"
        assert warning in record.warnings[0]

    @pytest.mark.parametrize("label", ["NaM1", "CaM2", "TiA", "SiT", "Si_1", "OB1", "C13", "Fe2+"])
    def test_labels_of_minerals_name_one_element(self, label):
        text = block("a", group="'P 1'", atoms=[f"{label} 0 0 0"], columns="label fract_x fract_y fract_z")
        assert read_one(text).warnings == ()
