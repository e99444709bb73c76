"""The site dissimilarity against its definition, its bounds, and crystals that must or must not be told apart."""

import numba
import numpy as np
import ot
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks._pairs import pairs
from matminer_grid import Crystal, CrystalTable, composition_emd, grid_emd_exact
from matminer_grid.crystals.crystal import as_crystal
from matminer_grid.kernels.environments import Environments
from matminer_grid.kernels.plans import optimal_plan
from matminer_grid.kernels.sites import SiteWeights, site_dissimilarity, site_plan
from matminer_grid.similarity.sites import Sites, scaled_to_common_volume
from tests import naive_sites as naive
from tests.conftest import REAL
from tests.strategies import crystals, hostile_crystals, in_another_setting, unimodular

EQUAL = 1e-9


def described(table: CrystalTable, elements: str = "graded", cutoff: float = 10.0) -> Environments:
    return Sites.from_crystals(table, elements, cutoff=cutoff, n_groups=100)[0].environments


def weights(elements: str = "graded", group_weights: np.ndarray | None = None, parts=(10.0, 1.0, 1.0)) -> SiteWeights:
    ranks = np.full(100, 0.01) if group_weights is None else group_weights / group_weights.sum()
    return SiteWeights(*parts, ranks, elements != "identity")


def between(a: Crystal, b: Crystal, elements: str = "graded", **parameters) -> float:
    environments = described(CrystalTable.from_crystals([a, b]), elements, **parameters)
    return site_dissimilarity(environments, 0, environments, 1, weights(elements))


@pytest.mark.parametrize("elements", ["graded", "identity", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("volume", [None, 17.0])
def test_equal_to_the_definition(elements, weighted, volume, sample):
    rng = np.random.default_rng([len(elements), weighted, volume is None])
    small = [crystal for crystal in sample if crystal.n_sites <= 5][:8]
    mixed = [
        as_crystal(REAL[name]()) for name in ("disordered_alloy", "split_alloy", "wustite", "cobaltite", "heavy_lithium_hydride")
    ]
    known = small + mixed
    group_weights = rng.random(100) * (rng.random(100) > 0.3) if weighted else None
    table = CrystalTable.from_crystals(known)
    environments = described(table if volume is None else scaled_to_common_volume(table), elements)
    for i, j in [(int(rng.integers(8)), int(rng.integers(8))), (int(rng.integers(8)), 8), (10, 11), (9, 12)]:
        expected = naive.site_dissimilarity(known[i], known[j], elements, 10.0, group_weights, volume=volume)
        found = site_dissimilarity(environments, i, environments, j, weights(elements, group_weights))
        assert found == pytest.approx(expected, abs=EQUAL), (i, j)


@given(a=crystals(), b=crystals(), elements=st.sampled_from(["graded", "identity"]))
def test_equal_to_the_definition_on_random_crystals(a, b, elements):
    assert between(a, b, elements, cutoff=4.0) == pytest.approx(naive.site_dissimilarity(a, b, elements, 4.0), abs=EQUAL)


def test_plans_are_those_of_other_solvers():
    rng = np.random.default_rng(0)
    for case in range(200):
        n, m = rng.integers(1, 12, 2)
        costs = 20 * rng.random((n, m)) if case % 2 else rng.integers(0, 4, (n, m)).astype(float)
        a, b = (np.full(size, 1 / size) if case % 3 == 0 else rng.dirichlet(np.ones(size)) for size in (n, m))
        plan = np.empty((n, m))
        total = optimal_plan(costs, a, b, plan)
        np.testing.assert_allclose(plan.sum(axis=1), a, atol=1e-14)
        np.testing.assert_allclose(plan.sum(axis=0), b, atol=1e-14)
        assert (plan >= 0).all()
        assert total == pytest.approx(ot.emd2(a, b, costs), abs=1e-12)
        if case % 10 == 0:
            assert total == pytest.approx(naive.transport(costs, a, b), abs=1e-9)


def test_a_plan_with_a_source_of_next_to_no_mass():
    costs, plan = np.arange(9.0).reshape(3, 3), np.empty((3, 3))
    assert optimal_plan(costs, np.array([1e-18, 0.5, 0.5]), np.full(3, 1 / 3), plan) == pytest.approx(5.5)


@pytest.mark.parametrize("elements", ["graded", "identity"])
def test_one_crystal_in_any_description(elements, embedded):
    rng = np.random.default_rng(16)
    small = np.nonzero(embedded.n_sites <= 20)[0]
    rows = rng.choice(small, 1000, replace=False)
    others = CrystalTable.from_crystals([in_another_setting(embedded[int(row)], rng) for row in rows])
    known, found = described(embedded[rows], elements), described(others, elements)
    apart = [site_dissimilarity(known, i, found, i, weights(elements)) for i in range(len(rows))]
    assert max(apart) <= EQUAL


@given(crystal=hostile_crystals(max_sites=20), seed=st.integers(0, 2**32 - 1), elements=st.sampled_from(["graded", "identity"]))
def test_one_hostile_crystal_in_any_description(crystal, seed, elements):
    assert between(crystal, in_another_setting(crystal, np.random.default_rng(seed)), elements, cutoff=5.0) <= EQUAL


def drawn_crystals(n: int, seed: int) -> CrystalTable:
    """Draw crystals of up to six sites and four elements, every second one with partial and mixed occupancies."""
    rng = np.random.default_rng(seed)
    drawn = []
    for index in range(n):
        sites = rng.integers(1, 7)
        lattice = np.diag(rng.uniform(2.5, 6, 3)) + np.tril(rng.uniform(-1, 1, (3, 3)), -1)
        coords = np.where(rng.random((sites, 3)) < 0.5, rng.choice([0, 0.25, 1 / 3, 0.5], (sites, 3)), rng.random((sites, 3)))
        coords = coords[np.sort(np.unique(coords.round(6), axis=0, return_index=True)[1])]
        sites, kinds = len(coords), rng.choice(94, 4, replace=False) + 1
        index_of_species = np.arange(sites)
        if index % 2:
            index_of_species = np.repeat(index_of_species, rng.integers(1, 3, sites))
        occupancies = 1 / np.bincount(index_of_species)[index_of_species]
        if index % 2:
            occupancies *= rng.choice([1.0, 0.7, 0.05], sites)[index_of_species]
        numbers = rng.choice(kinds, len(index_of_species))
        drawn.append(Crystal(unimodular(rng) @ lattice, coords, numbers, occupancies, index_of_species))
    return CrystalTable.from_crystals(drawn)


@pytest.mark.parametrize("elements", ["graded", "identity", "none"])
def test_pseudo_metric(elements):
    n = 20 if numba.config.DISABLE_JIT else 60
    table = drawn_crystals(n, 1)
    environments, weighted = described(table, elements, cutoff=6.0), weights(elements)
    matrix = np.array([[site_dissimilarity(environments, i, environments, j, weighted) for j in range(n)] for i in range(n)])
    assert (matrix == matrix.T).all()
    assert (np.diag(matrix) == 0).all()
    assert (matrix >= 0).all()
    through = (matrix[:, :, None] + matrix[None]).min(axis=1)  # of 216,000 triples
    assert (matrix <= through + EQUAL).all()


def check_bounds(table: CrystalTable, n_pairs: int, seed: int) -> None:
    """Compare pairs with the GRID's earth mover's distance without bins plus that of compositions."""
    rng = np.random.default_rng(seed)
    group_weights = rng.random(100) * (rng.random(100) > 0.3)
    for elements in ("graded", "identity"):
        for groups in (None, group_weights):
            environments, weighted = described(table, elements, cutoff=6.0), weights(elements, groups)
            for i, j in rng.integers(0, len(table), (n_pairs // 4, 2)).tolist():
                a, b = table[i], table[j]
                bound = 10 * grid_emd_exact(a, b, cutoff=6.0, group_weights=groups)
                bound += composition_emd([a], [b], pbar=False)[0, 0] if elements == "graded" else 10 * total_variation(a, b)
                assert site_dissimilarity(environments, i, environments, j, weighted) >= bound - EQUAL


def total_variation(a: Crystal, b: Crystal) -> float:
    fractions = [np.bincount(c.numbers, c.occupancies, minlength=100) / c.occupancies.sum() for c in (a, b)]
    return float(np.abs(fractions[0] - fractions[1]).sum() / 2)


def test_bounds():
    check_bounds(drawn_crystals(100, 2), 200 if numba.config.DISABLE_JIT else 1000, 3)


@pytest.mark.slow
def test_bounds_on_many_pairs():
    check_bounds(drawn_crystals(1000, 4), 20_000, 5)


@pytest.mark.parametrize("elements", ["graded", "identity"])
@pytest.mark.parametrize("name", pairs())
def test_pairs_apart_and_together(name, elements):
    a, b, different = pairs()[name]
    apart = between(as_crystal(a), as_crystal(b), elements)
    assert (apart > 1e-3) == different
    assert different or apart <= EQUAL


MEASURED = {
    "CuAu, layers along [001] and [111]": (0.0, 0.0, 0.1132, 0.566),
    "TiNiSn, Ni and Sn exchanged": (0.1326, 0.0, 1.6716, 0.8351),
    "Cu3Au, ordered and random": (0.0, 0.0, 0.0687, 0.3437),
    "NaCl, two of 64 atoms exchanged": (0.0, 0.0, 1.3465, 0.1496),
    "NaCl, expanded by 0.5 %": (0.0309, 0.0, 0.0, 0.0),
    "NaCl and KCl": (0.7125, 0.5, 0.5, 5.0),
}
"""Geometry in Å, elements and surroundings on the graded scale, surroundings by identity."""


@pytest.mark.parametrize("name", MEASURED)
def test_parts(name):
    a, b, _ = pairs()[name]
    geometry, of_elements, graded, identity = MEASURED[name]
    for elements, expected in (("graded", graded), ("identity", identity)):
        environments = described(CrystalTable.from_structures([a, b]), elements)
        total, plan, parts = site_plan(environments, 0, environments, 1, weights(elements))
        found = (plan * parts).sum(axis=(1, 2))
        assert total == pytest.approx(found @ [10, 1, 1], abs=1e-12)
        np.testing.assert_allclose(
            found, [geometry, of_elements if elements == "graded" else 10 * of_elements, expected], atol=1e-4
        )


def test_continuity_and_its_constant(embedded):
    """Move every atom by up to ε: geometry changes by 2ε at most, surroundings by what docs/definitions.md says."""
    rng = np.random.default_rng(5)
    for row in rng.choice(np.nonzero(embedded.n_sites <= 12)[0], 60, replace=False):
        crystal = embedded[int(row)]
        unit = (crystal.volume / crystal.n_sites) ** (1 / 3)
        for epsilon in (1e-2, 1e-4, 1e-6):
            vectors = rng.normal(size=(crystal.n_sites, 3))
            vectors *= epsilon / np.linalg.norm(vectors, axis=1, keepdims=True)
            other = Crystal(
                crystal.lattice,
                crystal.frac_coords + vectors @ np.linalg.inv(crystal.lattice),
                crystal.numbers,
                crystal.occupancies,
                crystal.site_index,
            )
            for elements, farthest in (("graded", 102.0), ("identity", 10.0)):
                environments = described(CrystalTable.from_crystals([crystal, other]), elements)
                around = 400  # more than the atoms in any ball here
                limit = 10 * 2 * epsilon + 2 * epsilon / (3 * unit) * farthest * np.log(1 + around)
                assert site_dissimilarity(environments, 0, environments, 1, weights(elements)) <= limit + EQUAL


@pytest.mark.parametrize("elements", ["graded", "identity"])
def test_vanishing_occupancy_changes_nothing(elements):
    salt = as_crystal(REAL["rock_salt"]())
    coords = np.concatenate((salt.frac_coords, [[0.25, 0.25, 0.25]]))
    for occupancy in (1e-3, 1e-5, 1e-7):
        filled = Crystal(salt.lattice, coords, np.append(salt.numbers, 26), np.append(salt.occupancies, occupancy), np.arange(9))
        assert between(salt, filled, elements) <= 1000 * occupancy


def test_sites_within_the_tolerance_are_one():
    """Parts of a site that lie less than 1e-8 Å apart are no neighbours of each other; farther ones are."""
    alloy = as_crystal(REAL["split_alloy"]())
    mixed = as_crystal(REAL["disordered_alloy"]())
    shift = np.where(np.arange(8)[:, None] < 4, 0.0, [1.0, 0.0, 0.0]) / 3.73
    for length, near in ((5e-9, True), (1e-6, False)):
        split = Crystal(alloy.lattice, alloy.frac_coords + length * shift, alloy.numbers, alloy.occupancies, alloy.site_index)
        assert (between(split, mixed) <= 1e-6) == near


def test_what_has_no_place_is_refused():
    table = CrystalTable.from_structures([REAL["rock_salt"](), REAL["with_dummies"]()])
    with pytest.raises(ValueError, match=r"row 1 \(.*\): X has no place on the modified Pettifor scale"):
        described(table)
    assert len(described(table, "none").whole) == 2


def test_coincident_sites_are_refused():
    salt = as_crystal(REAL["rock_salt"]())
    coords = np.concatenate((salt.frac_coords, salt.frac_coords[:1]))
    twice = Crystal(salt.lattice, coords, np.append(salt.numbers, 11), np.ones(9), np.arange(9))
    with pytest.raises(ValueError, match=r"row 1 \(Na5 Cl4\): .*occupancies add up to more than 1"):
        described(CrystalTable.from_crystals([salt, twice, salt]))


def test_too_many_points_are_refused():
    coords = np.random.default_rng(0).random((2100, 3))
    glass = Crystal(40 * np.eye(3), coords, np.full(2100, 14), np.ones(2100), np.arange(2100))
    with pytest.raises(ValueError, match="more than 2,000 distinct sites"):
        described(CrystalTable.from_crystals([glass]))


def test_linked_cells_find_the_same(embedded):
    """A supercell of more than 128 sites, whose neighbours are found in another way."""
    for row in (0, 17, 101):
        crystal = embedded[row]
        large = as_crystal(crystal.to_structure() * (4, 4, 4))
        assert large.n_sites > 128
        assert between(crystal, large) <= EQUAL
