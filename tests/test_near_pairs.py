"""Pairs within a tolerance: those that comparing all of them one by one gives, in one set and between two."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition, Lattice, Structure

from matminer_grid import CrystalDissimilarity, CrystalTable, DuplicateTolerance, build_index, find_pairs
from matminer_grid.kernels.coverage import near_in_ranges
from matminer_grid.similarity import CrystalIndex, CrystalPairs, near_pairs
from matminer_grid.similarity.formulas import composition_keys, formula_labels, near_rows
from tests import naive
from tests.conftest import shaken

TOLERANCE = DuplicateTolerance(0.03, 0.04, 0.15)
PARTS = CrystalDissimilarity(resolution="sites", elements="identity", scale_volume=True)


def rock_salt(a: float, cation: str = "Na", anion: str = "Cl") -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0, 0]])


def changed(structure: Structure, rng: np.random.Generator) -> list[Structure]:
    """Strain a crystal, move its atoms, double it, exchange two different atoms, replace an element."""
    strained = Structure.from_sites(structure).apply_strain(rng.normal(0, 0.01, 3), inplace=False)
    moved = shaken(structure, 0.02, int(rng.integers(1000)))
    species = list(structure.species)
    other = next(i for i, one in enumerate(species) if one != species[0])
    species[0], species[other] = species[other], species[0]
    exchanged = Structure(structure.lattice, species, structure.frac_coords)
    replaced = structure.copy()
    replaced.replace_species({structure.species[0]: "Xe"})
    return [strained, moved, structure * (2, 1, 1), exchanged, replaced]


@pytest.fixture(scope="module")
def crystals(embedded) -> CrystalTable:
    """Twelve ordered crystals of several elements, with five changed copies of each, shuffled; and three disordered ones."""
    rng = np.random.default_rng(3)
    rows = [row for row in rng.permutation(len(embedded))[:200].tolist() if embedded[row].n_sites <= 8]
    structures = [embedded[row].to_structure() for row in rows]
    some = [one for one in structures if len(one.elements) > 1 and one.is_ordered][:12]
    everything = [copy for one in some for copy in [one, *changed(one, rng)]]
    alloys = [Structure(Lattice.cubic(a), [{"Cu": 0.75, "Au": 0.25}] * 4, np.eye(4, 3) / 2) for a in (3.7, 3.71)]
    alloys.append(Structure(Lattice.cubic(3.7), [{"Cu": 0.7, "Au": 0.3}] * 4, np.eye(4, 3) / 2))
    everything += alloys
    return CrystalTable.from_structures([everything[i] for i in rng.permutation(len(everything))])


def brute_force(a, b, tolerance, *, same_formula=True, one_set=True):
    """Compare all pairs one by one with the public comparison."""
    limits = {"volume": tolerance.volume, "geometry": tolerance.geometry, "surroundings": tolerance.surroundings}
    found = {}
    for i, left in enumerate(a):
        for j, right in enumerate(b):
            formulas = [Composition(one.formula).reduced_formula for one in (left, right)]
            if (one_set and i >= j) or (same_formula and formulas[0] != formulas[1]):
                continue
            compared = PARTS.compare(left, right)
            ratio = max(compared.volume_ratio, 1 / compared.volume_ratio) - 1
            parts = {"volume": ratio, "geometry": compared.geometry, "surroundings": compared.elements + compared.neighbors}
            if all(parts[name] <= limits[name] + 1e-9 for name in limits):
                found[i, j] = list(parts.values())
    return found


def check(pairs: CrystalPairs, expected: dict) -> None:
    assert list(map(tuple, pairs.rows.tolist())) == sorted(expected)
    np.testing.assert_allclose(pairs.parts, np.array([expected[i, j] for i, j in pairs.rows.tolist()]).reshape(-1, 3), atol=1e-9)


@pytest.mark.parametrize("same_formula", [True, False])
def test_one_set(crystals, same_formula, monkeypatch):
    few = crystals[:26]
    expected = brute_force(few, few, TOLERANCE, same_formula=same_formula)
    assert len(expected) > 3
    check(find_pairs(few, None, TOLERANCE, same_formula=same_formula), expected)
    monkeypatch.setattr(near_pairs, "SITES_AT_ONCE", 30)  # many blocks
    monkeypatch.setattr(near_pairs, "ROWS_AT_ONCE", 1)
    check(find_pairs(few, None, TOLERANCE, same_formula=same_formula, n_jobs=2), expected)


@pytest.mark.parametrize("same_formula", [True, False])
def test_two_sets(crystals, same_formula, monkeypatch, tmp_path):
    a, b = crystals[:14], crystals[10:36]
    expected = brute_force(a, b, TOLERANCE, same_formula=same_formula, one_set=False)
    assert len(expected) > 3
    check(find_pairs(a, b, TOLERANCE, same_formula=same_formula), expected)
    monkeypatch.setattr(near_pairs, "SITES_AT_ONCE", 30)
    check(find_pairs(a, b, TOLERANCE, same_formula=same_formula), expected)
    build_index(tmp_path / "index", b)
    check(find_pairs(a, CrystalIndex(tmp_path / "index"), TOLERANCE, same_formula=same_formula), expected)


def test_disordered_crystals_of_one_formula(crystals):
    alloys = crystals[[row for row, crystal in enumerate(crystals) if (crystal.occupancies < 1).any()]]
    assert len(alloys) == 3
    assert len(find_pairs(alloys, None, TOLERANCE)) == 1
    assert len(find_pairs(alloys, None, DuplicateTolerance(0.03, 0.04, 1.0), same_formula=False)) == 3


def test_a_margin_shows_what_decided():
    a = [rock_salt(5.64), rock_salt(5.64 * 1.02), rock_salt(5.64) * (1, 1, 2)]
    exchanged = rock_salt(5.64)
    exchanged[0], exchanged[4] = "Cl", "Na"
    pairs = find_pairs([*a, exchanged], None, DuplicateTolerance(0.05, 0.03, 0.4), margin=10)
    assert pairs.rows.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    assert pairs.within.tolist() == [False, True, False, False, False, False]
    assert pairs[~pairs.within].decided_by.tolist() == ["volume", "surroundings", "volume", "surroundings", "surroundings"]
    np.testing.assert_allclose(pairs.ratios[0], (1.02**3 - 1) / 0.05)
    assert pairs.shares.shape == (6, 3)
    assert pairs.names == ["volume", "geometry", "surroundings"]
    assert len(pairs[pairs.within]) == 1


def test_a_tolerance_of_0_finds_what_is_exactly_the_same():
    crystals = [rock_salt(5.64), rock_salt(5.64), rock_salt(5.64).get_primitive_structure(), rock_salt(5.6401)]
    for tolerance in (DuplicateTolerance(0, 0, 0), 0, 0.0):
        pairs = find_pairs(crystals, None, tolerance)
        assert pairs.rows.tolist() == [[0, 1], [0, 2], [1, 2]]
        assert (pairs.ratios == 0).all()
        assert pairs.within.all()
    assert find_pairs(crystals, None, DuplicateTolerance(math.inf, 0, 0)).rows.tolist() == [
        [0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3],
    ]  # fmt: skip


@pytest.mark.parametrize("resolution", ["sites", "grid"])
def test_a_single_number(crystals, resolution):
    dissimilarity = CrystalDissimilarity(resolution=resolution)
    formulas = np.array([Composition(one.formula).reduced_formula for one in crystals])
    same = formulas[:, None] == formulas
    matrix = dissimilarity.pairwise(crystals)
    for same_formula in (True, False):
        wanted = np.argwhere((matrix <= 0.5) & (same | (not same_formula)))
        one = find_pairs(crystals, None, 0.5, same_formula=same_formula, dissimilarity=dissimilarity)
        assert one.rows.tolist() == wanted[wanted[:, 0] < wanted[:, 1]].tolist()
        described = dissimilarity.describe(crystals)
        two = find_pairs(described[:30], described, 0.5, same_formula=same_formula, dissimilarity=dissimilarity)
        assert two.rows.tolist() == wanted[wanted[:, 0] < 30].tolist()
        np.testing.assert_allclose(two.parts[:, 0], matrix[tuple(two.rows.T)], atol=1e-9)
    assert find_pairs(crystals, None, 0.1).rows.tolist() == find_pairs(
        crystals, None, 0.1, dissimilarity=CrystalDissimilarity(resolution="sites")
    ).rows.tolist()  # fmt: skip


def test_nothing_to_compare():
    empty = CrystalTable.from_crystals([])
    for pairs in (find_pairs(empty), find_pairs([rock_salt(5.64)]), find_pairs([rock_salt(5.64)], empty), find_pairs(empty, empty)):
        assert pairs.rows.shape == (0, 2)
        assert pairs.parts.shape == (0, 3)
        assert len(pairs.ratios) == len(pairs.within) == len(pairs.decided_by) == 0
    for pairs in (
        find_pairs(empty, None, 0.1),
        find_pairs([rock_salt(5.64)], empty, 0.1),
        find_pairs(empty, [rock_salt(5.64)], 0.1),
    ):
        assert pairs.rows.shape == (0, 2)
        assert pairs.parts.shape == (0, 1)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ((-0.1, 0.1, 0.1), ValueError, "volume of the tolerance must be a finite number of at least 0, not -0.1"),
        ((0.1, math.nan, 0.1), ValueError, "geometry of the tolerance must be a finite number"),
        ((0.1, 0.1, math.inf), ValueError, "surroundings of the tolerance must be a finite number"),
        ((0.1, "0.1", 0.1), TypeError, "geometry of the tolerance must be a number, not '0.1'"),
    ],
)
def test_bad_tolerances(values, error, message):
    with pytest.raises(error, match=message):
        DuplicateTolerance(*values)


def test_bad_calls():
    salt = rock_salt(5.64)
    with pytest.raises(ValueError, match="tolerance must be a finite number of at least 0, not -1"):
        find_pairs([salt], None, -1)
    with pytest.raises(ValueError, match="margin must be a finite number of at least 0, not nan"):
        find_pairs([salt], margin=math.nan)
    with pytest.raises(ValueError, match="beside a single number"):
        find_pairs([salt], dissimilarity=CrystalDissimilarity())
    with pytest.raises(ValueError, match="needs the crystals themselves"):
        find_pairs(PARTS.describe([salt]))
    without = CrystalDissimilarity(composition_weight=0)
    with pytest.raises(ValueError, match="described without compositions: give the structures, or same_formula=False"):
        find_pairs(without.describe([salt, salt]), None, 0.1, dissimilarity=without)
    crowded = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0, 0, 0]])
    with pytest.raises(ValueError, match=r"^row 2: .*Na1 Cl1"):
        find_pairs([salt, salt, crowded, crowded])
    with pytest.raises(ValueError, match=r"^B, row 1: .*Na1 Cl1"):
        find_pairs([Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0, 0, 0.5]])], [salt, crowded])
    with pytest.raises(TypeError, match="row 0"):
        find_pairs(["NaCl"])


def test_formula_labels(embedded):
    formulas = np.array([Composition(one.formula).reduced_formula for one in embedded[:3000]])
    labels = formula_labels(composition_keys(embedded[:3000]))
    assert len(np.unique(labels)) == len(np.unique(formulas)) == len(set(zip(labels.tolist(), formulas.tolist(), strict=True)))


def test_rows_of_some_formulas(embedded):
    keys = composition_keys(embedded[:3000])
    labels = formula_labels(keys)
    wanted = [3, 70, 71, 900]
    assert near_rows(keys, keys[wanted]).tolist() == np.nonzero(np.isin(labels, labels[wanted]))[0].tolist()
    assert near_rows(keys, keys[:0]).tolist() == near_rows(keys[:0], keys).tolist() == []


@given(st.integers(0, 2**32 - 1), st.floats(0, 3), st.floats(0, 3))
def test_kernel(seed, radius, more_radius):
    rng = np.random.default_rng(seed)
    left, right, more_left, more_right = (rng.random(shape) for shape in ((5, 9), (7, 9), (5, 3), (7, 3)))
    first, last = np.sort(rng.integers(0, 8, (2, 5)), axis=0)
    expected = naive.near_in_ranges(left, right, first, last, radius, more_left, more_right, more_radius)
    assert near_in_ranges(left, right, first, last, radius, more_left, more_right, more_radius).tolist() == expected
