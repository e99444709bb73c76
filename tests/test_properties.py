"""What holds for every crystal, tried on hostile ones: needles, plates, skewed settings, partial, shared and split sites.

``HYPOTHESIS_PROFILE=long`` tries each property on a thousand of them.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matminer_grid import (
    Crystal,
    CrystalDissimilarity,
    CrystalTable,
    EMDSearch,
    GRIDFeaturizer,
    PowderPatternFeaturizer,
    ReflectionPairsFeaturizer,
    StructureFactorFeaturizer,
    composition_emd,
    grid_emd,
    grid_emd_by_group,
    grid_emd_exact,
)
from tests import naive
from tests.strategies import hostile_crystals, in_another_setting, moved, reordered, supercell, turned, unimodular

CUTOFF, BIN_SIZE, N_GROUPS = 5.0, 0.25, 24
SEEDS = st.integers(0, 2**32 - 1)
SMEARINGS = st.sampled_from([0.0, 0.05, 0.4])
ANY = hostile_crystals()
FEW_SITES = hostile_crystals(max_sites=10)


def grid(crystal: Crystal, smearing: float = 0.0, n_groups: int = N_GROUPS) -> np.ndarray:
    return GRIDFeaturizer(cutoff=CUTOFF, bin_size=BIN_SIZE, n_groups=n_groups, smearing=smearing).grid(crystal)


def exact(a: Crystal, b: Crystal, n_groups: int = N_GROUPS) -> float:
    return grid_emd_exact(a, b, cutoff=CUTOFF, n_groups=n_groups)


def same(a: np.ndarray, b: np.ndarray, atol: float = 1e-9) -> None:
    np.testing.assert_allclose(a, b, rtol=0, atol=atol)


class TestGRID:
    @given(crystal=FEW_SITES, seed=SEEDS, smearing=SMEARINGS)
    def test_a_disguised_crystal_equals_the_slow_twin_of_the_compact_one(self, crystal, seed, smearing):
        edges = np.arange(0, CUTOFF + BIN_SIZE / 2, BIN_SIZE)
        expected = naive.grid(crystal, edges, N_GROUPS, smearing)
        same(grid(in_another_setting(crystal, np.random.default_rng(seed)), smearing), expected)

    @given(crystal=ANY, shape=st.tuples(*[st.integers(1, 3)] * 3), smearing=SMEARINGS)
    def test_supercells(self, crystal, shape, smearing):
        same(grid(supercell(crystal, np.diag(shape)), smearing), grid(crystal, smearing))

    @given(crystal=ANY, seed=SEEDS, smearing=SMEARINGS)
    def test_other_vectors_of_the_same_lattice(self, crystal, seed, smearing):
        matrix = unimodular(np.random.default_rng(seed), steps=9)
        same(grid(supercell(crystal, matrix), smearing), grid(crystal, smearing))

    @given(crystal=ANY, seed=SEEDS, smearing=SMEARINGS)
    def test_order_of_sites(self, crystal, seed, smearing):
        same(grid(reordered(crystal, np.random.default_rng(seed)), smearing), grid(crystal, smearing))

    @given(crystal=ANY, seed=SEEDS, smearing=SMEARINGS)
    def test_rotations_and_mirrors(self, crystal, seed, smearing):
        same(grid(turned(crystal, np.random.default_rng(seed)), smearing), grid(crystal, smearing))

    @given(crystal=ANY, seed=SEEDS, smearing=SMEARINGS)
    def test_translations(self, crystal, seed, smearing):
        vector = 20 * np.random.default_rng(seed).normal(size=3)
        same(grid(moved(crystal, vector), smearing), grid(crystal, smearing))

    @given(crystal=ANY, seed=SEEDS)
    def test_everything_at_once(self, crystal, seed):
        same(grid(in_another_setting(crystal, np.random.default_rng(seed))), grid(crystal))

    @given(crystal=ANY)
    def test_splitting_shared_sites(self, crystal):
        split = Crystal(
            crystal.lattice,
            crystal.frac_coords[crystal.site_index],
            crystal.numbers,
            crystal.occupancies,
            np.arange(len(crystal.numbers)),
        )
        same(grid(split), grid(crystal))

    @given(crystal=ANY)
    def test_a_scale_of_two_with_cutoff_and_bins(self, crystal):
        twice = Crystal(2 * crystal.lattice, crystal.frac_coords, crystal.numbers, crystal.occupancies, crystal.site_index)
        featurizer = GRIDFeaturizer(cutoff=2 * CUTOFF, bin_size=2 * BIN_SIZE, n_groups=N_GROUPS)
        same(featurizer.grid(twice), grid(crystal))

    @given(crystal=ANY, smearing=SMEARINGS)
    def test_mass_is_lost_at_the_cutoff_and_never_gained(self, crystal, smearing):
        found = grid(crystal, smearing)
        mass = found.sum(axis=1)
        assert np.isfinite(found).all()
        assert found.min() >= 0
        assert mass.max() <= 1 + 1e-9
        assert (np.diff(mass) <= 1e-9).all()

    @given(crystal=FEW_SITES)
    def test_mass_is_the_fraction_of_sites_with_enough_neighbours(self, crystal):
        occupancies = crystal.site_occupancies
        expected = np.zeros(N_GROUPS)
        for site in range(crystal.n_sites):
            distances, weights = naive.neighbors(crystal, site, CUTOFF)
            found = weights[distances + naive.ON_AN_EDGE < CUTOFF].sum()
            expected += occupancies[site] / occupancies.sum() * np.clip(found - np.arange(N_GROUPS), 0, 1)
        same(grid(crystal).sum(axis=1), expected)

    @given(crystal=ANY)
    def test_groups_sum_to_the_rdf(self, crystal):
        featurizer = GRIDFeaturizer(cutoff=CUTOFF, bin_size=BIN_SIZE)
        shells = 4 / 3 * np.pi * np.diff(featurizer.bin_edges**3)
        neighbors = featurizer.rdf(crystal) * shells / crystal.volume  # of a site, in each bin
        n_groups = 2 * int(np.ceil(neighbors.sum())) + 40
        # no site has that many neighbours: sites of one crystal differ in density by less than that, or groups are still filled
        while (summed := grid(crystal, n_groups=n_groups))[-1].any():
            n_groups *= 2
        np.testing.assert_allclose(summed.sum(axis=0), neighbors, rtol=1e-9, atol=1e-9)

    @given(crystal=FEW_SITES, seed=SEEDS)
    def test_rdf_of_a_disguised_crystal_equals_the_slow_twin(self, crystal, seed):
        featurizer = GRIDFeaturizer(cutoff=CUTOFF, bin_size=BIN_SIZE)
        other = in_another_setting(crystal, np.random.default_rng(seed))
        expected = naive.rdf(crystal, featurizer.bin_edges) * other.volume / crystal.volume
        np.testing.assert_allclose(featurizer.rdf(other), expected, rtol=1e-8, atol=1e-8)

    @given(crystal=ANY, n_groups=st.integers(1, N_GROUPS))
    def test_the_first_groups_are_the_same_however_many_follow(self, crystal, n_groups):
        same(grid(crystal, n_groups=n_groups), grid(crystal)[:n_groups])

    @given(first=ANY, second=ANY, third=ANY)
    def test_rows_do_not_depend_on_their_company(self, first, second, third):
        featurizer = GRIDFeaturizer(cutoff=CUTOFF, bin_size=BIN_SIZE, n_groups=N_GROUPS)
        crystals = [first, second, third, first]
        expected = [featurizer.featurize(crystal) for crystal in crystals]
        np.testing.assert_array_equal(featurizer.featurize_many(crystals, pbar=False), expected)
        np.testing.assert_array_equal(featurizer.featurize_sparse(CrystalTable.from_crystals(crystals)).toarray(), expected)


class TestEMD:
    @given(crystal=ANY, seed=SEEDS)
    def test_no_distance_between_settings_of_one_crystal(self, crystal, seed):
        assert exact(crystal, crystal) == pytest.approx(0, abs=1e-12)
        assert exact(crystal, in_another_setting(crystal, np.random.default_rng(seed))) == pytest.approx(0, abs=1e-9)

    @given(a=ANY, b=ANY, c=ANY)
    def test_exact_distances_are_symmetric_bounded_and_take_no_detour(self, a, b, c):
        between = {(i, j): exact(x, y) for (i, x), (j, y) in itertools.product(enumerate((a, b, c)), repeat=2)}
        for i, j, k in itertools.permutations(range(3)):
            assert 0 <= between[i, j] <= CUTOFF
            assert between[i, j] == pytest.approx(between[j, i], abs=1e-12)
            assert between[i, k] <= between[i, j] + between[j, k] + 1e-9

    @given(crystal=ANY, seed=SEEDS, step=st.sampled_from([1e-6, 1e-3, 0.1, 1.0]))
    def test_moving_atoms_by_a_step_changes_it_by_at_most_two(self, crystal, seed, step):
        rng = np.random.default_rng(seed)
        points, point = np.unique(np.rint(crystal.frac_coords * 1e5).astype(int) % 10**5, axis=0, return_inverse=True)
        directions = rng.normal(size=(len(points), 3))
        moves = directions / np.linalg.norm(directions, axis=1, keepdims=True) * rng.uniform(0, step, (len(points), 1))
        # sites that share a point move together: they are no neighbours of one another
        assert exact(crystal, moved(crystal, moves[point.ravel()])) <= 2 * step + 1e-9

    @given(a=FEW_SITES, b=FEW_SITES)
    def test_exact_against_the_slow_twin(self, a, b):
        assert exact(a, b, 12) == pytest.approx(naive.grid_emd_exact(a, b, 12, CUTOFF), abs=1e-9)

    @given(a=ANY, b=ANY)
    def test_bins_change_it_by_at_most_one_bin(self, a, b):
        X = np.stack([grid(crystal).ravel() for crystal in (a, b)])
        assert abs(grid_emd(X, n_groups=N_GROUPS, bin_size=BIN_SIZE)[0, 1] - exact(a, b)) <= BIN_SIZE + 1e-7

    @given(crystals=st.lists(ANY, min_size=3, max_size=5))
    def test_matrices_are_metric_and_equal_the_slow_twin(self, crystals):
        grids = [grid(crystal) for crystal in crystals]
        X = np.stack([g.ravel() for g in grids])
        matrix = grid_emd(X, n_groups=N_GROUPS, bin_size=BIN_SIZE)
        assert (matrix == matrix.T).all()
        assert (np.diag(matrix) == 0).all()
        assert (matrix[:, None, :] <= matrix[:, :, None] + matrix[None, :, :] + 1e-9).all()
        for i, j in itertools.combinations(range(len(grids)), 2):
            assert matrix[i, j] == pytest.approx(naive.grid_emd(grids[i], grids[j], BIN_SIZE), abs=1e-9)
            by_group = grid_emd_by_group(grids[i], grids[j], n_groups=N_GROUPS, bin_size=BIN_SIZE)
            assert matrix[i, j] == pytest.approx(by_group.mean(), abs=1e-9)

    @given(crystals=st.lists(ANY, min_size=2, max_size=6), query=ANY)
    def test_the_search_finds_the_nearest(self, crystals, query):
        X = np.stack([grid(crystal).ravel() for crystal in (*crystals, query)])
        dissimilarity = CrystalDissimilarity(GRIDFeaturizer(CUTOFF, BIN_SIZE, N_GROUPS), composition_weight=0)
        described = dissimilarity.describe(None, features=X)
        distances, rows = EMDSearch(dissimilarity).fit(described[:-1]).kneighbors(described[-1:], 1)
        expected = grid_emd(X[-1:], X[:-1], n_groups=N_GROUPS, bin_size=BIN_SIZE)[0] * dissimilarity.grid_weight
        assert distances[0, 0] == pytest.approx(expected.min(), abs=1e-9)
        assert expected[rows[0, 0]] == pytest.approx(expected.min(), abs=1e-9)

    @given(a=ANY, b=ANY, c=ANY, seed=SEEDS)
    def test_compositions(self, a, b, c, seed):
        matrix = composition_emd([a, b, c])
        assert (np.diag(matrix) == 0).all()
        np.testing.assert_allclose(matrix, matrix.T, rtol=0, atol=1e-12)
        assert (matrix[:, None, :] <= matrix[:, :, None] + matrix[None, :, :] + 1e-9).all()
        other = in_another_setting(a, np.random.default_rng(seed))
        assert composition_emd([a], [other])[0, 0] == pytest.approx(0, abs=1e-9)


def reflections(crystal: Crystal, representation: str, **parameters) -> np.ndarray:
    """Features of a small part of reciprocal space, so that large cells stay quick."""
    kind, defaults = {
        "radial": (PowderPatternFeaturizer, {"s_max": 0.3}),
        "pairs": (ReflectionPairsFeaturizer, {"s_max": 0.3, "n_radial": 4}),
        "hkl": (StructureFactorFeaturizer, {"hkl_max": 2, "s_max": np.inf}),
    }[representation]
    return kind(scattering="geometry", **(defaults | parameters)).featurize(crystal)


def has_reflections(crystal: Crystal) -> bool:
    """Tell whether the cell is long enough for a reflection well within the sphere."""
    return np.linalg.norm(np.linalg.inv(crystal.lattice), axis=0).min() < 0.25


class TestStructureFactors:
    @pytest.mark.parametrize("representation", ["radial", "pairs"])
    @given(crystal=FEW_SITES.filter(has_reflections), seed=SEEDS)
    def test_everything_at_once(self, representation, crystal, seed):
        found = reflections(in_another_setting(crystal, np.random.default_rng(seed)), representation)
        np.testing.assert_allclose(found, reflections(crystal, representation), rtol=1e-6, atol=1e-8)

    @given(crystal=FEW_SITES, seed=SEEDS)
    def test_everything_at_once_on_the_grid_of_the_niggli_cell(self, crystal, seed):
        found = reflections(in_another_setting(crystal, np.random.default_rng(seed)), "hkl")
        np.testing.assert_allclose(found, reflections(crystal, "hkl"), rtol=1e-6, atol=1e-8)

    @pytest.mark.parametrize("representation", ["radial", "pairs", "hkl"])
    @given(crystal=FEW_SITES.filter(has_reflections))
    def test_friedel(self, representation, crystal):
        """A crystal and its image under inversion have the same intensities."""
        inverted = Crystal(crystal.lattice, -crystal.frac_coords, crystal.numbers, crystal.occupancies, crystal.site_index)
        parameters = {"cell": "as_given"} if representation == "hkl" else {}
        expected = reflections(crystal, representation, **parameters)
        np.testing.assert_allclose(reflections(inverted, representation, **parameters), expected, rtol=1e-9, atol=1e-10)

    @given(crystal=FEW_SITES, axis=st.integers(0, 2))
    def test_absences_of_a_doubled_cell(self, crystal, axis):
        doubled = supercell(crystal, np.diag([2 if i == axis else 1 for i in range(3)]))
        featurizer = StructureFactorFeaturizer(scattering="geometry", cell="as_given", hkl_max=2, s_max=np.inf)
        odd = featurizer.hkl[:, axis] % 2 == 1
        same(featurizer.featurize(doubled)[odd], np.zeros(odd.sum()))

    @given(crystal=FEW_SITES, seed=SEEDS)
    def test_a_shift_of_the_origin_and_the_order_of_sites(self, crystal, seed):
        rng = np.random.default_rng(seed)
        other = reordered(moved(crystal, rng.normal(size=3)), rng)
        same(reflections(other, "hkl", cell="as_given"), reflections(crystal, "hkl", cell="as_given"))


class TestRoundTrips:
    @given(crystals=st.lists(ANY, min_size=1, max_size=4))
    def test_arrow_keeps_every_bit(self, crystals):
        table = CrystalTable.from_crystals(crystals)
        back = CrystalTable.from_arrow(table.to_arrow())
        for name in ("lattices", "site_offsets", "frac_coords", "species_offsets", "numbers", "occupancies", "site_index"):
            np.testing.assert_array_equal(getattr(back, name), getattr(table, name))

    @given(crystal=ANY)
    def test_pymatgen_and_back(self, crystal):
        same(grid(Crystal.from_structure(crystal.to_structure())), grid(crystal))
