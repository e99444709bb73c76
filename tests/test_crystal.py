"""Crystal and CrystalTable: round trips, indexing, and what they refuse."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import DummySpecies, Element, Lattice, Molecule, PeriodicSite, Species, Structure

from matminer_grid import Crystal, CrystalTable
from matminer_grid.crystals.crystal import as_crystal
from matminer_grid.crystals.inputs import as_crystals
from matminer_grid.crystals.table import read_structures
from tests.conftest import REAL, baddeleyite, cobaltite, perovskite, rock_salt, wustite
from tests.strategies import crystals

FIELDS = ("lattice", "frac_coords", "numbers", "occupancies", "site_index")


def assert_same(a: Crystal, b: Crystal) -> None:
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field), err_msg=field)


def contents(site: PeriodicSite) -> dict[str, float]:
    """Give amounts by element or isotope, without charges, dummies as X (pymatgen's own formulas write D as H)."""
    amounts = {}
    for species, amount in site.species.items():
        name = "X" if isinstance(species, DummySpecies) else getattr(species, "element", species).name
        amounts[name] = amounts.get(name, 0) + amount
    return amounts


def plain(**changes) -> Crystal:
    """Caesium chloride, with some of its arrays replaced."""
    arrays = {
        "lattice": 4.12 * np.eye(3),
        "frac_coords": np.array([[0, 0, 0], [0.5, 0.5, 0.5]]),
        "numbers": np.array([55, 17]),
        "occupancies": np.ones(2),
        "site_index": np.array([0, 1]),
    }
    return Crystal(**(arrays | changes))


def real_table() -> CrystalTable:
    return CrystalTable.from_structures([build() for build in REAL.values()])


class TestRoundTrips:
    def test_pymatgen_to_arrays_and_back(self, real):
        crystal = Crystal.from_structure(real)
        back = crystal.to_structure()
        np.testing.assert_array_equal(back.lattice.matrix, real.lattice.matrix)
        np.testing.assert_array_equal(back.frac_coords, real.frac_coords)
        assert crystal.n_sites == len(real)
        assert crystal.volume == pytest.approx(real.volume, rel=1e-12)
        for before, after in zip(real, back, strict=True):
            assert contents(after) == pytest.approx(contents(before))

    def test_arrays_to_pymatgen_and_back(self, sample):
        for crystal in sample:
            assert_same(Crystal.from_structure(crystal.to_structure()), crystal)

    @given(crystal=crystals())
    def test_any_arrays_keep_what_each_site_holds(self, crystal):
        back = Crystal.from_structure(crystal.to_structure())
        np.testing.assert_array_equal(back.frac_coords, crystal.frac_coords)
        np.testing.assert_allclose(back.site_occupancies, crystal.site_occupancies, rtol=0, atol=1e-12)
        for number in set(crystal.numbers.tolist()):
            amount = crystal.occupancies[crystal.numbers == number].sum()
            assert back.occupancies[back.numbers == number].sum() == pytest.approx(amount)

    @given(st.lists(crystals(), max_size=4))
    def test_tables_to_arrow_and_back(self, several):
        table = CrystalTable.from_crystals(several)
        back = CrystalTable.from_arrow(table.to_arrow())
        assert len(back) == len(several)
        for before, after in zip(several, back, strict=True):
            assert_same(before, after)

    def test_tables_to_parquet_and_back(self, tmp_path):
        table = real_table()
        table.to_parquet(tmp_path / "crystals.parquet")
        for before, after in zip(table, CrystalTable.from_parquet(tmp_path / "crystals.parquet"), strict=True):
            assert_same(before, after)

    def test_tables_through_pandas(self, sample):
        back = CrystalTable.from_arrow(pa.Table.from_pandas(sample[:3].to_arrow().to_pandas()))
        for before, after in zip(sample[:3], back, strict=True):
            assert_same(before, after)

    def test_concatenated_tables(self, sample):
        tables = [sample[:10], sample[:0], sample[10:25]]
        joined, expected = CrystalTable.concatenate(tables), sample[:25]
        for name in vars(expected):
            np.testing.assert_array_equal(getattr(joined, name), getattr(expected, name))
        assert len(CrystalTable.concatenate([])) == 0

    def test_chunks_and_slices_of_arrow_tables(self):
        table = real_table()
        arrow = pa.concat_tables([table.to_arrow(), table.to_arrow().slice(3, 4)])
        for row, expected in ((len(table) + 1, 4), (2, 2)):
            assert_same(CrystalTable.from_arrow(arrow)[row], table[expected])
        assert_same(CrystalTable.from_arrow(arrow.slice(5, 3))[1], table[6])

    def test_tables_to_structures(self, sample):
        for structure, crystal in zip(sample[:10].to_structures(), sample[:10], strict=True):
            assert_same(Crystal.from_structure(structure), crystal)

    def test_only_disordered_rows_store_occupancies(self):
        arrow = CrystalTable.from_structures([rock_salt(), cobaltite()]).to_arrow()
        assert arrow["occupancies"].to_pylist()[0] is None
        assert arrow["site_index"].to_pylist()[0] is None
        assert len(arrow["occupancies"].to_pylist()[1]) == 10


class TestSpecies:
    def test_isotopes_dummies_and_charges_have_numbers(self):
        species = [Species("Fe", 3), Element("D"), Species("D", 1), Element("T"), DummySpecies("X", -2), DummySpecies("Qv")]
        structure = Structure(Lattice.cubic(9), species, np.arange(18).reshape(6, 3) / 20)
        crystal = Crystal.from_structure(structure)
        assert crystal.numbers.tolist() == [26, 201, 201, 301, 0, 0]
        assert crystal.formula == "Fe1 D2 T1 X2"
        assert ["".join(contents(site)) for site in crystal.to_structure()] == ["Fe", "D", "D", "T", "X", "X"]

    def test_one_element_in_two_oxidation_states_is_added_up(self):
        crystal = Crystal.from_structure(wustite())
        assert crystal.numbers[:2].tolist() == [26, 26]
        assert crystal.site_occupancies[0] == pytest.approx(0.92)
        assert crystal.to_structure()[0].species["Fe"] == pytest.approx(0.92)

    def test_formulas_add_up_partial_occupancies(self):
        assert Crystal.from_structure(perovskite()).formula == "Sr1 Ti1 O3"
        assert Crystal.from_structure(cobaltite()).formula == "Na1.48 Co2 O4"

    def test_site_occupancies(self):
        occupancies = Crystal.from_structure(cobaltite()).site_occupancies
        np.testing.assert_allclose(occupancies, [0.23, 0.23, 0.51, 0.51] + 6 * [1])


class TestIndexing:
    def test_integers_give_crystals(self, sample):
        assert_same(sample[len(sample) - 1], sample[-1])
        assert_same(sample[np.int64(3)], list(sample)[3])
        with pytest.raises(IndexError):
            sample[len(sample)]

    @pytest.mark.parametrize(
        "index",
        [slice(2, 9, 3), [7, 0, 7], np.array([5]), np.arange(11) % 2 == 0, slice(None, None, -1), []],
        ids=["slice", "list", "array", "mask", "reversed", "empty"],
    )
    def test_everything_else_gives_tables(self, index):
        table = real_table()
        part = table[index]
        rows = np.arange(len(table))[index]
        assert isinstance(part, CrystalTable)
        assert len(part) == len(rows)
        for crystal, row in zip(part, rows, strict=True):
            assert_same(crystal, table[int(row)])
        np.testing.assert_array_equal(part.n_sites, table.n_sites[index])

    def test_site_occupancies_of_all_crystals(self):
        table = real_table()
        np.testing.assert_array_equal(table.site_occupancies, np.concatenate([crystal.site_occupancies for crystal in table]))

    def test_an_empty_table(self):
        empty = CrystalTable.from_structures([])
        assert len(empty) == len(CrystalTable.from_arrow(empty.to_arrow())) == 0
        assert empty.to_structures() == list(empty) == []
        assert empty.errors() == {}


class TestCoercion:
    def test_one_structure(self):
        crystal = as_crystal(rock_salt())
        assert as_crystal(crystal) is crystal

    def test_one_or_many(self):
        structure, table = rock_salt(), real_table()
        assert as_crystals(structure) == [structure]
        assert as_crystals(table) is table

    def test_what_can_be_read_is_read(self):
        flat = Structure(Lattice.cubic(3.0), ["Fe"], [[np.nan, 0, 0]])
        table, errors = read_structures([rock_salt(), "NaCl", as_crystal(perovskite()), flat, baddeleyite()])
        assert [crystal.formula for crystal in table] == ["Na4 Cl4", "Sr1 Ti1 O3", "Zr4 O8"]
        assert list(errors) == [1, 3]
        assert isinstance(errors[1], TypeError)
        assert isinstance(errors[3], ValueError)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lattice": np.eye(2)}, r"lattice must have the shape \(3, 3\)"),
        ({"frac_coords": np.zeros(6)}, r"frac_coords \(n, 3\), not \(3, 3\) and \(6,\)"),
        ({"numbers": np.array([55])}, r"one entry a species each"),
        ({"numbers": np.array([55, 119])}, r"no element of the atomic number 119; 1 to 118 are elements"),
        ({"numbers": np.array([-1, 17])}, r"no element of the atomic number -1"),
        ({"numbers": np.array([55, 17.5])}, r"numbers must be whole numbers, not \[55.0, 17.5\]"),
        ({"numbers": np.array([55, np.nan])}, r"numbers must be whole numbers"),
        ({"site_index": np.array([0, 0])}, r"site_index must ascend from 0 to n - 1"),
        ({"site_index": np.array([1, 0])}, r"site_index must ascend"),
        ({"site_index": np.array([1, 2])}, r"site_index must ascend"),
        ({"frac_coords": np.zeros((0, 3))}, r"no sites: at least one is needed"),
        ({"lattice": np.diag([4, 4, np.nan])}, r"Cs1 Cl1: the lattice has values that are NaN or infinite"),
        ({"lattice": np.diag([4, 4, 0])}, r"Cs1 Cl1: the cell has no volume \(0 Å\^3\)"),
        ({"lattice": np.array([[4, 0, 0], [0, 4, 0], [4, 4, 1e-12]])}, r"must not lie in one plane"),
        ({"frac_coords": np.array([[0, 0, 0], [0, np.inf, 0]])}, r"Cs1 Cl1: the coordinates of site 1 are NaN or infinite"),
        ({"occupancies": np.array([1, 0.0])}, r"occupancy 0; occupancies must lie in \(0, 1\]"),
        ({"occupancies": np.array([1, -0.5])}, r"occupancy -0.5; occupancies must lie"),
        ({"occupancies": np.array([1.2, 1])}, r"occupancy 1.2; occupancies must lie"),
        ({"occupancies": np.array([np.nan, 1])}, r"occupancy nan; occupancies must lie"),
    ],
)
def test_invalid_arrays(changes, message):
    with pytest.raises(ValueError, match=message):
        plain(**changes)


def test_sites_that_hold_too_much():
    shared = {"numbers": np.array([55, 37, 17]), "site_index": np.array([0, 0, 1])}
    assert plain(**shared, occupancies=np.array([0.6, 0.4 + 1e-9, 1])).site_occupancies[0] == pytest.approx(1)
    with pytest.raises(ValueError, match=r"Cs0.6 Rb0.6 Cl1: site 0 has the total occupancy 1.2; it must not exceed 1"):
        plain(**shared, occupancies=np.array([0.6, 0.6, 1]))


def test_crystals_cannot_be_reassigned():
    with pytest.raises(AttributeError):
        plain().lattice = np.eye(3)


@pytest.mark.parametrize(
    ("structure", "error", "message"),
    [
        ("CsCl", TypeError, r"a pymatgen Structure .* is needed, not str$"),
        (Molecule(["O"], [[0, 0, 0]]), TypeError, r"not Molecule; a molecule has no unit cell"),
        (Structure(Lattice.cubic(3), [], []), ValueError, r"no sites"),
        (Structure(Lattice.cubic(3), ["Fe", {}], np.eye(3)[:2] / 2), ValueError, r"site 1 holds no species"),
        (
            Structure(Lattice(np.eye(3) * 3, pbc=(True, True, False)), ["Fe"], [[0, 0, 0]]),
            ValueError,
            r"Fe1: the lattice must be periodic along all three axes, not \(True, True, False\)",
        ),
    ],
)
def test_invalid_structures(structure, error, message):
    with pytest.raises(error, match=message):
        Crystal.from_structure(structure)
    with pytest.raises(error, match=rf"row 1: .*{message}"):
        CrystalTable.from_structures([rock_salt(), structure])


def with_column(name: str, values: list) -> pa.Table:
    arrow = CrystalTable.from_crystals([plain(), plain()]).to_arrow()
    return arrow.set_column(arrow.column_names.index(name), name, pa.array(values))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("lattice", [[4.0] * 8, [4.0] * 10], r"lattice must hold 9 numbers a row"),
        ("lattice", [None, [4.0] * 9], r"lattice must hold 9 numbers a row"),
        ("lattice", [[None] * 9, [4.0] * 9], r"the column lattice has nulls among its numbers"),
        ("lattice", ["cubic", "cubic"], r"the column lattice must hold lists of double, not string"),
        ("frac_coords", [[0.0] * 5, [0.0] * 7], r"frac_coords must hold 3 numbers a site"),
        ("numbers", [[55.5, 17.0], [55.0, 17.0]], r"the column numbers must hold lists of int64"),
        ("numbers", [[55, 17, 8], [55, 17]], r"numbers without occupancies and site_index must have one entry a site"),
        ("occupancies", [[1.0], None], r"the column occupancies must be null or hold one number a species"),
        ("site_index", [None, [0, 2]], r"one entry a site"),
    ],
)
def test_invalid_arrow_tables(name, values, message):
    with pytest.raises(ValueError, match=message):
        CrystalTable.from_arrow(with_column(name, values))


def test_arrow_tables_without_a_column():
    arrow = CrystalTable.from_crystals([plain()]).to_arrow()
    with pytest.raises(ValueError, match=r"no column 'numbers'; it has lattice, frac_coords, occupancies, site_index"):
        CrystalTable.from_arrow(arrow.drop_columns("numbers"))
    assert_same(CrystalTable.from_arrow(arrow.drop_columns(["occupancies", "site_index"]))[0], plain())


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("lattice", [[0.0] * 9, [1.0, 0, 0, 0, 1, 0, 0, 0, 1]], r"Cs1 Cl1: the cell has no volume"),
        ("lattice", [[np.nan] * 9, [1.0, 0, 0, 0, 1, 0, 0, 0, 1]], r"Cs1 Cl1: the lattice has values"),
        ("frac_coords", [[], [0.0] * 6], r"no sites"),
        ("frac_coords", [[0, 0, 0, 0, 0, np.nan], [0.0] * 6], r"coordinates of site 1"),
        ("numbers", [[55, 500], [55, 17]], r"no element of the atomic number 500"),
        ("numbers", [[55], [55, 17]], r"site_index must ascend"),
        ("occupancies", [[1.0, 0.0], None], r"occupancy 0;"),
        ("occupancies", [[1.0, np.nan], None], r"occupancy nan;"),
        ("site_index", [[1, 0], None], r"site_index must ascend"),
    ],
)
def test_tables_name_their_invalid_rows(name, values, message):
    if name == "frac_coords" and not values[0]:
        arrow = with_column("frac_coords", values).set_column(2, "numbers", pa.array([[], [55, 17]]))
    else:
        arrow = with_column(name, values)
    table = CrystalTable.from_arrow(arrow)
    errors = table.errors()
    assert list(errors) == [0]
    with pytest.raises(ValueError, match=message):
        raise errors[0]
    assert table[1].formula == "Cs1 Cl1"
