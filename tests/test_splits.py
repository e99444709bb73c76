"""Groups for splits, and what a test part shares with a training part: planted truth, brute force, and the order of the data."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from sklearn.model_selection import GroupKFold, GroupShuffleSplit

from benchmarks._pairs import zinc_sulfide
from matminer_grid import CrystalDissimilarity, CrystalTable, DuplicateTolerance, crystal_groups, find_pairs, leakage
from tests.conftest import rock_salt, with_dummies

SITES = CrystalDissimilarity(resolution="sites")


@pytest.fixture(scope="module")
def few(embedded) -> CrystalTable:
    """Thirty small crystals of different compositions; the first ten again as supercells, the next five expanded by 0.2 %."""
    rows = np.nonzero(embedded.n_sites <= 8)[0][:400:10]
    formulas = [embedded[row].to_structure().composition.reduced_formula for row in rows]
    table = embedded[rows[np.sort(np.unique(formulas, return_index=True)[1])][:30]]
    cells = CrystalTable.from_structures([structure * (1, 2, 1) for structure in table[:10].to_structures()])
    return CrystalTable.concatenate([table, cells, replace(table[10:15], lattices=table[10:15].lattices * 1.002)])


def same_group(labels: np.ndarray) -> np.ndarray:
    return labels[:, None] == labels


def linked(near: np.ndarray) -> np.ndarray:
    """Tell which things a chain of near ones links, by adding one step after another."""
    reached = near | np.eye(len(near), dtype=bool)
    for _ in range(len(near)):
        reached = (reached.astype(int) @ near.astype(int) > 0) | reached
    return reached


def test_planted_duplicates_share_a_label(few):
    labels = crystal_groups(few)
    np.testing.assert_array_equal(labels[30:], labels[:15])
    assert sorted(set(labels.tolist())) == list(range(30))


@given(st.integers(0, 2**32 - 1))
def test_the_order_changes_nothing(few, seed):
    order = np.random.default_rng(seed).permutation(len(few))
    np.testing.assert_array_equal(crystal_groups(few[order]), crystal_groups(few)[order])


@pytest.mark.parametrize("tolerance", [0.0, 1.0, 8.0, 30.0])
def test_groups_are_those_of_all_pairs(few, tolerance):
    near = SITES.pairwise(few) <= tolerance + 1e-9
    formulas = np.array([one.to_structure().composition.reduced_formula for one in few])
    near &= formulas[:, None] == formulas
    np.testing.assert_array_equal(same_group(crystal_groups(few, tolerance)), linked(near))


def test_no_pair_within_the_tolerance_is_split():
    chain = CrystalTable.from_structures([Structure(Lattice.cubic(4 * 1.004**step), ["Po"], [[0, 0, 0]]) for step in range(8)])
    tolerance = DuplicateTolerance(volume=0.015)
    pairs = find_pairs(chain, tolerance=tolerance)
    assert len(pairs) == 7  # neighbours only
    assert len(set(crystal_groups(chain, tolerance).tolist())) == 1


def test_polymorphs():
    crystals = [zinc_sulfide("ABC"), rock_salt(), zinc_sulfide("AB"), zinc_sulfide("ABC") * (2, 1, 1)]
    apart, together = crystal_groups(crystals), crystal_groups(crystals, polymorphs=True)
    np.testing.assert_array_equal(same_group(apart)[0], [True, False, False, True])
    np.testing.assert_array_equal(same_group(together)[0], [True, False, True, True])


def test_prototypes():
    salts = [rock_salt(), Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.21), ["O", "Mg"], [[0, 0, 0], [0.5, 0, 0]])]
    crystals = [*salts, zinc_sulfide("ABC"), Structure(Lattice.cubic(3.35), ["Po"], [[0, 0, 0]])]
    apart, together = crystal_groups(crystals), crystal_groups(crystals, prototypes=True)
    assert len(set(apart.tolist())) == 4
    np.testing.assert_array_equal(same_group(together)[0], [True, True, False, False])
    found = leakage([crystals[0], crystals[3]], crystals[1:3]).crystals
    assert found["prototype"].tolist() == [True, False]
    assert not found["polymorph"].any()


def test_scikit_learn_takes_the_labels(few):
    labels = crystal_groups(few)
    for splitter in (GroupKFold(4), GroupShuffleSplit(3, test_size=0.3, random_state=0)):
        for train, test in splitter.split(few.n_sites, groups=labels):
            assert leakage(few[train], few[test]).counts["duplicate"] == 0


def test_one_crystal_and_none():
    assert crystal_groups(rock_salt()).tolist() == [0]
    with pytest.raises(ValueError, match="no crystals to be grouped"):
        crystal_groups([])
    with pytest.raises(ValueError, match="there are no training crystals"):
        leakage([], [rock_salt()])
    with pytest.raises(ValueError, match="there are no test crystals"):
        leakage([rock_salt()], [])
    with pytest.raises(ValueError, match="tolerance must be a finite number"):
        crystal_groups([rock_salt()], -1.0)


def test_invalid_crystals_are_named():
    with pytest.raises(ValueError, match="row 1"):
        crystal_groups([rock_salt(), with_dummies(), with_dummies()])
    with pytest.raises(TypeError, match="test part: row 1"):
        leakage([rock_salt()], [rock_salt(), None])
    with pytest.raises(ValueError, match=r"training part: row 0 .*no place on the modified Pettifor scale"):
        leakage([with_dummies()], [rock_salt()])


def test_leakage_of_planted_twins(few):
    found = leakage(few[:30], few[30:])
    assert found.counts == {"crystals": 15, "duplicate": 15, "polymorph": 0, "prototype": 15}
    assert found.crystals["duplicate_of"].tolist() == list(range(15))
    matrix = SITES.pairwise(few[30:], few[:30])
    np.testing.assert_allclose(found.crystals["dissimilarity"], matrix.min(axis=1), atol=1e-12)
    assert found.crystals["nearest"].tolist() == matrix.argmin(axis=1).tolist()


def test_leakage_tells_polymorphs_from_duplicates():
    cubic, hexagonal = zinc_sulfide("ABC"), zinc_sulfide("AB")
    found = leakage([hexagonal, rock_salt(), cubic], [cubic * (1, 1, 2), rock_salt(), zinc_sulfide("ABAC")]).crystals
    assert found["duplicate"].tolist() == [True, True, False]
    assert found["duplicate_of"].tolist() == [2, 1, -1]
    assert found["polymorph"].tolist() == [True, False, True]


def test_polymorphs_are_those_of_equal_formulas(embedded):
    train, test = embedded[:200], embedded[150:300]
    found = leakage(train, test)
    formulas = [[one.to_structure().composition.reduced_formula for one in part] for part in (train, test)]
    pairs = find_pairs(test, train)
    duplicates = {tuple(pair) for pair in pairs.rows[pairs.within].tolist()}
    for row, formula in enumerate(formulas[1]):
        others = [i for i, known in enumerate(formulas[0]) if known == formula and (row, i) not in duplicates]
        assert found.crystals["polymorph"][row] == bool(others)
    assert found.counts["duplicate"] >= 50
    assert found.counts["polymorph"] > 0


def test_the_nearest_of_several_duplicates_is_told():
    copies = [Structure(Lattice.cubic(a), ["Po"], [[0, 0, 0]]) for a in (3.36, 3.353, 3.35)]
    found = leakage(copies, [Structure(Lattice.cubic(3.351), ["Po"], [[0, 0, 0]])]).crystals
    assert found["duplicate_of"].tolist() == found["nearest"].tolist() == [2]


def test_by_a_single_number_and_another_dissimilarity(few):
    identity = CrystalDissimilarity(resolution="sites", elements="identity")
    found = leakage(few[:30], few[30:], 1.0, dissimilarity=identity)
    near = identity.pairwise(few[30:], few[:30])
    np.testing.assert_array_equal(found.crystals["duplicate"], near.min(axis=1) <= 1.0)
    np.testing.assert_allclose(found.crystals["dissimilarity"], near.min(axis=1), atol=1e-12)
