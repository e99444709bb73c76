"""What is doubtful about a crystal."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from matminer_grid import Crystal, CrystalTable
from matminer_grid.crystals.problems import doubtful_rows, find_problems, short_contacts
from matminer_grid.models import GRIDKernelRegressor
from tests.conftest import REAL, cobaltite, rock_salt
from tests.strategies import hostile_crystals


def kinds(crystal, **options):
    return [problem.kind for problem in crystal.problems(**options)]


@given(crystal=hostile_crystals(max_sites=20), radius=st.floats(0.1, 3.0))
@settings(max_examples=200)
def test_short_contacts_are_those_of_pymatgen(crystal, radius):
    structure = Structure(Lattice(crystal.lattice), ["H"] * crystal.n_sites, crystal.frac_coords)
    distances = structure.distance_matrix
    found = {(i, j): distance for i, j, distance in short_contacts(crystal.lattice, crystal.frac_coords, radius)}
    for i in range(crystal.n_sites):
        for j in range(i):
            if abs(distances[i, j] - radius) > 1e-9:
                assert ((j, i) in found) == (distances[i, j] < radius)
            if (j, i) in found:
                assert found[j, i] == pytest.approx(distances[i, j], abs=1e-9)


@pytest.mark.parametrize("scale", [np.nan, np.inf, 1e308, 1e200, 1e-3, 0.0])
def test_impossible_lattices_have_no_contacts(scale):
    coords = np.random.default_rng(0).random((5, 3))
    with np.errstate(invalid="ignore"):
        assert short_contacts(np.eye(3) * scale, coords) == []


def test_coordinates_of_any_size():
    coords = np.array([[1e300, 0, 0], [0, 0, 0], [-1e17, 0.5, 0.5]])
    assert short_contacts(5 * np.eye(3), coords) == [(0, 1, 0.0)]


def test_very_many_contacts_end():
    n = 50_000
    assert len(short_contacts(5 * np.eye(3), np.zeros((n, 3)))) == 20 * n + 1001


@pytest.mark.parametrize("name", [name for name in REAL if name != "with_dummies"])
def test_real_crystals_have_none(name):
    assert Crystal.from_structure(REAL[name]()).problems() == []


def test_ghosts_are_named():
    """Na at two places 0.3 Å apart: half occupied both it is disorder, else a ghost."""
    for occupancies, expected in (((0.5, 0.5), []), ((1.0, 0.5), ["contact"])):
        structure = Structure(
            Lattice.cubic(5.64), [{"Na": occupancies[0]}, {"Na": occupancies[1]}, "Cl"], [[0.98, 0, 0], [0.033, 0, 0], [0.5] * 3]
        )
        problems = Crystal.from_structure(structure).problems()
        assert [problem.kind for problem in problems] == expected
    assert problems[0].sites == (0, 1)
    assert "site 0 (Na) and site 1 (Na) are 0.299 Å apart" in str(problems[0])


def test_predictions_for_ghosts_come_with_a_warning(sample):
    model = GRIDKernelRegressor(log_target=False).fit(sample[:60], np.arange(60.0))
    ghost = sample[0].to_structure()
    ghost.append(ghost[0].specie, ghost[0].coords + 0.1, coords_are_cartesian=True)
    for predict in (model.predict, model.predict_interval):
        with pytest.warns(UserWarning, match=r"structure 1 \(.*\): sites nearer than 0.5 Å"):
            predict([sample[1].to_structure(), ghost])


def test_vacuum_and_density():
    graphene = Structure(Lattice.hexagonal(2.46, 15), ["C", "C"], [[1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5]])
    assert kinds(Crystal.from_structure(graphene)) == ["vacuum"]
    atom = Structure(Lattice.cubic(100), ["H"], [[0, 0, 0]])
    assert kinds(Crystal.from_structure(atom)) == ["vacuum", "density"]
    dense = Structure(Lattice.cubic(1.5), ["Os"], [[0, 0, 0]])
    assert kinds(Crystal.from_structure(dense)) == ["density"]


def test_unknown_species():
    (problem,) = Crystal.from_structure(REAL["with_dummies"]()).problems()
    assert problem.kind == "species"
    assert problem.sites == (1, 2)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("NaCl", []),
        ("Na2Cl2", []),
        ("NaClO", ["the formula has 4 O a cell that no site holds"]),
        ("NaCl.2H2O", ["the formula has 16 H a cell that no site holds", "the formula has 8 O a cell that no site holds"]),
        ("Cl", ["the sites hold 4 Na a cell that the formula doesn't have"]),
        ("K", ["no element of the formula K is in it"]),
    ],
)
def test_formula(formula, expected):
    found = [problem.message for problem in Crystal.from_structure(rock_salt()).problems(formula)]
    assert sorted(found) == sorted(expected)


def test_isotopes_are_hydrogen_unless_the_formula_says_otherwise():
    deuteride = Crystal.from_structure(REAL["heavy_lithium_hydride"]())
    assert deuteride.problems("LiH") == []


def test_rows_of_a_table_are_those_with_problems(sample):
    odd = [Structure(Lattice.cubic(100), ["H"], [[0, 0, 0]]), cobaltite(), REAL["with_dummies"](), rock_salt()]
    table = CrystalTable.concatenate([sample, CrystalTable.from_structures(odd)])
    expected = [row for row, crystal in enumerate(table) if find_problems(crystal)]
    assert doubtful_rows(table) == expected
    assert {len(sample), len(sample) + 2} <= set(expected)
