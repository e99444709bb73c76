"""Small files in the shape of public bug reports, each with what is right: read so, or refused by name, and never in silence."""

from pathlib import Path

import pytest

from matminer_grid.io import find_structure_files, read_structures_from
from tests.more_cases import MORE

CASES = Path(__file__).parent / "cases"

RIGHT = {
    # file: for each structure its formula, or the error; then what its notes and its warnings say
    "silicon_setting_1.cif": [("Si8", "", "")],
    "rock_salt_hall_symbol.cif": [("Na4 Cl4", "", "")],
    "rock_salt_full_symbol.cif": [("Na4 Cl4", "", "")],
    "rock_salt_number_only.cif": [("Na4 Cl4", "the setting F m -3 m was assumed", "")],
    "arsenic_rhombohedral_axes.cif": [("As2", "", "")],
    "spinel_bare_symbol.cif": [("Mg8 Al16 O32", "formula and distances speak for F d -3 m:2", "")],
    "broken_operator.cif": [("line 11: the symmetry operator '-x, -y' can't be read", "", "")],
    "occupancy_dot.cif": [("Na4 Cl4", "the occupancy of Na1, Cl1 isn't given and taken as 1", "")],
    "occupancy_1.001.cif": [("Co1.33467 Cr1.33067 Ni1.33467", "add up to 1.001 and are scaled to 1", "")],
    "molecule_listed_twice.cif": [("C2 N2", "C1A is C1 again, and read once", "")],
    "deuterium_and_hydrogen.cif": [("Li4 D3.6 H0.4", "", "")],
    "implicit_hydrogen.cif": [("N4 Cl4", "", "the formula has 16 H a cell that no site holds")],
    "hydroxide_type.cif": [("Mg1 O2", "", "OH is read as O: its 1 H have no position")],
    "ghost_atoms.cif": [("Ge6 O6", "", "sites nearer than 0.5 Å whose occupancies add up to more than 1: Ge1 and Ge1")],
    "dummy_site.cif": [("Li4 X4", "", "the type 'X' is no element; it is read as a dummy")],
    "blocks_of_one_name.cif": [("Na1", "", ""), ("K1", "", "")],
    "second_block_bad.cif": [
        ("Na4 Cl4", "", ""),
        ("Na1 has the coordinate '0,25', which is no number", "", ""),
        ("Na4 Cl4", "K1 left out: occupancy 0", ""),
    ],
    "truncated_row.cif": [("line 12: the loop _atom_site_* has a row that is cut short", "", "")],
    "cartesian_only.cif": [("fractional coordinates are needed; it has Cartesian coordinates only", "", "")],
    "POSCAR_flags": [("the POSCAR doesn't name its elements (VASP 4)", "", "")],
    "POSCAR_short": [("3 atoms are announced and 2 given", "", "")],
    "POSCAR_3scale": [("Ga1 As1", "", "")],
    "two_structures.res": [("Na1 Cl1", "", ""), ("Mg1 O1", "", "")],
    "slab.xsf": [("SLAB: it is periodic in two directions only", "", "")],
    "extended.xyz": [("Na2 Cl2", "", "")],
    "poscar_energies.csv": [("files of this kind can't be read", "", "")],
    "isolated_h.vasp": [("H1", "", "a vacuum: a layer of 100.0 Å holds no sites")],
}


def test_every_file_is_looked_at():
    assert sorted(RIGHT) == sorted(path.name for path in CASES.iterdir())


def check(path: Path, right: list[tuple[str, str, str]]) -> None:
    records = list(read_structures_from(path))
    assert len(records) == len(right)
    for number, (record, (expected, note, warning)) in enumerate(zip(records, right, strict=True), start=1):
        if record.crystal is None:
            assert expected in record.error
        else:
            assert record.crystal.formula == expected
        for said, found in ((note, record.notes), (warning, record.warnings)):
            assert any(said in text for text in found) if said else not found
        if len(records) > 1:
            assert record.name.startswith(f"{path}#{number}")


@pytest.mark.filterwarnings("ignore:.*read with warnings")
@pytest.mark.parametrize("name", RIGHT)
def test_read_right_or_refused(name):
    check(CASES / name, RIGHT[name])


@pytest.mark.filterwarnings("ignore:.*read with warnings")
@pytest.mark.parametrize("what", MORE)
def test_more_are_read_right_or_refused(what, tmp_path):
    name, content, right = MORE[what]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    check(tmp_path / name, right)


def test_what_is_no_structure_file_is_left_alone_in_a_folder():
    found = {path.name for path in find_structure_files(CASES)}
    assert found == set(RIGHT) - {"poscar_energies.csv"}


def test_python_hears_of_warnings_once():
    with pytest.warns(UserWarning, match=r"2 structures were read with warnings, the first: .*hydroxide_type.cif: OH is read as O"):
        records = list(read_structures_from([CASES / "hydroxide_type.cif", CASES / "ghost_atoms.cif", CASES / "extended.xyz"]))
    assert [bool(record.warnings) for record in records] == [True, True, False]
