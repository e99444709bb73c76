"""GRIDFeaturizer against its slow twin, against matminer's RDF, and against what it must not depend on."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matminer.featurizers.structure import RadialDistributionFunction
from pymatgen.core import Composition, Lattice, Molecule, PeriodicSite, Structure

from matminer_grid import Crystal, CrystalTable, GRIDFeaturizer
from matminer_grid.kernels.neighbors import LINKED_CELLS_FROM
from tests import naive
from tests.conftest import FCC, REAL, disordered_alloy, perovskite, rock_salt, split_alloy
from tests.strategies import crystals, rotation, unimodular

SMEARINGS = (0.0, 0.03, 0.1, 0.7)


def transformed(structure: Structure, rng: np.random.Generator) -> Structure:
    """Describe the same crystal by another cell: skewed, doubled, reordered, rotated and shifted."""
    cell = structure.copy()
    cell.make_supercell(unimodular(rng) @ np.diag(rng.permutation([1, 1, 2])), to_unit_cell=False)
    shifts = rng.integers(-3, 4, size=(len(cell), 3)) + rng.random(3)
    order = rng.permutation(len(cell))
    lattice = Lattice(cell.lattice.matrix @ rotation(rng))
    sites = [PeriodicSite(cell[i].species, cell[i].frac_coords + shifts[i], lattice) for i in order]
    return Structure.from_sites(sites)


def on_an_edge(structure: Structure, featurizer: GRIDFeaturizer) -> np.ndarray:
    """Bins beside an edge that a distance lies on, where rounding decides in other codes."""
    distances = structure.get_neighbor_list(featurizer.cutoff + 0.1)[3]
    edge = np.rint(distances / featurizer.bin_size).astype(int)
    close = edge[np.abs(distances - edge * featurizer.bin_size) < 1e-8]
    beside = np.zeros(featurizer.n_bins + 2, dtype=bool)
    beside[np.concatenate((close, close - 1)).clip(0, featurizer.n_bins + 1)] = True
    return beside[: featurizer.n_bins]


@pytest.mark.parametrize("smearing", SMEARINGS)
def test_matches_the_slow_twin_on_real_crystals(real, smearing):
    featurizer = GRIDFeaturizer(cutoff=6.0, bin_size=0.1, n_groups=40, smearing=smearing)
    expected = naive.grid(Crystal.from_structure(real), featurizer.bin_edges, 40, smearing)
    np.testing.assert_allclose(featurizer.grid(real), expected, rtol=0, atol=1e-12)


@given(crystal=crystals(), smearing=st.sampled_from(SMEARINGS))
def test_matches_the_slow_twin_on_any_crystal(crystal, smearing):
    featurizer = GRIDFeaturizer(cutoff=5.0, bin_size=0.25, n_groups=30, smearing=smearing)
    expected = naive.grid(crystal, featurizer.bin_edges, 30, smearing)
    np.testing.assert_allclose(featurizer.grid(crystal), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("smearing", [5e-324, 9e-9])
def test_a_smearing_narrower_than_the_tolerance_of_edges_is_none(real, smearing):
    np.testing.assert_array_equal(GRIDFeaturizer(smearing=smearing).grid(real), GRIDFeaturizer().grid(real))


@pytest.mark.parametrize("smearing", [0.0, 0.1])
def test_matches_the_slow_twin_on_large_cells(embedded, smearing):
    featurizer = GRIDFeaturizer(cutoff=5.0, bin_size=0.1, n_groups=60, smearing=smearing)
    large = np.nonzero(embedded.n_sites >= LINKED_CELLS_FROM)[0]
    for row in large[[0, len(large) // 2, -1]]:
        expected = naive.grid(embedded[int(row)], featurizer.bin_edges, 60, smearing)
        np.testing.assert_allclose(featurizer.grid(embedded[int(row)]), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n_groups", [1, 7, 300])
def test_large_supercells_equal_their_primitive_cell(n_groups):
    featurizer = GRIDFeaturizer(cutoff=8.0, n_groups=n_groups)
    expected = featurizer.grid(perovskite())
    for shape in ([3, 3, 3], [6, 5, 1], [30, 1, 1]):
        supercell = perovskite().make_supercell(shape)
        assert len(supercell) >= LINKED_CELLS_FROM
        np.testing.assert_allclose(featurizer.grid(supercell), expected, rtol=0, atol=1e-9)
        skewed = transformed(supercell, np.random.default_rng(n_groups))
        np.testing.assert_allclose(featurizer.grid(skewed), expected, rtol=0, atol=1e-9)


def test_rdf_matches_the_slow_twin(real):
    featurizer = GRIDFeaturizer(cutoff=6.0, bin_size=0.1)
    expected = naive.rdf(Crystal.from_structure(real), featurizer.bin_edges)
    np.testing.assert_allclose(featurizer.rdf(real), expected, rtol=1e-12)


@pytest.mark.parametrize("smearing", [0.0, 0.1])
@pytest.mark.parametrize("seed", range(3))
def test_is_the_same_for_every_choice_of_cell(real, smearing, seed):
    featurizer = GRIDFeaturizer(n_groups=60, smearing=smearing)
    other = transformed(real, np.random.default_rng(seed))
    np.testing.assert_allclose(featurizer.grid(other), featurizer.grid(real), rtol=0, atol=1e-9)


@given(crystal=crystals(), seed=st.integers(0, 2**32 - 1))
def test_any_crystal_is_the_same_for_every_choice_of_cell(crystal, seed):
    featurizer = GRIDFeaturizer(cutoff=5.0, bin_size=0.5, n_groups=25, smearing=0.2)
    other = transformed(crystal.to_structure(), np.random.default_rng(seed))
    np.testing.assert_allclose(featurizer.grid(other), featurizer.grid(crystal), rtol=0, atol=1e-9)


@pytest.mark.parametrize("smearing", [0.0, 0.1])
def test_embedded_crystals_are_the_same_for_every_choice_of_cell(structures, smearing):
    featurizer = GRIDFeaturizer(smearing=smearing)
    rng = np.random.default_rng(0)
    for structure in structures[:40]:
        other = transformed(structure, rng)
        np.testing.assert_allclose(featurizer.grid(other), featurizer.grid(structure), rtol=0, atol=1e-9, err_msg=structure.formula)


@pytest.mark.parametrize("smearing", SMEARINGS)
def test_splitting_mixed_sites_changes_nothing(smearing):
    featurizer = GRIDFeaturizer(smearing=smearing)
    np.testing.assert_allclose(featurizer.grid(split_alloy()), featurizer.grid(disordered_alloy()), rtol=0, atol=1e-12)


@given(crystal=crystals())
def test_splitting_any_mixed_site_changes_nothing(crystal):
    split = Crystal(
        crystal.lattice,
        crystal.frac_coords[crystal.site_index],
        crystal.numbers,
        crystal.occupancies,
        np.arange(len(crystal.numbers)),
    )
    featurizer = GRIDFeaturizer(cutoff=5.0, bin_size=0.25, n_groups=30)
    np.testing.assert_allclose(featurizer.grid(split), featurizer.grid(crystal), rtol=0, atol=1e-9)


def test_a_fully_mixed_site_counts_as_a_full_one():
    pure = Structure(Lattice.cubic(3.73), ["Cu"] * 4, FCC)
    np.testing.assert_array_equal(GRIDFeaturizer().grid(disordered_alloy()), GRIDFeaturizer().grid(pure))


def test_half_occupied_sites_fill_half_a_group_each():
    half = Structure(Lattice.cubic(3.0), [{"Po": 0.5}], [[0, 0, 0]])
    grid = GRIDFeaturizer(cutoff=5.0, bin_size=1.0, n_groups=8).grid(half)
    # 6 halves at 3 Å fill groups 1 to 3, 12 halves at 4.24 Å groups 4 to 9
    expected = np.zeros((8, 5))
    expected[:3, 3] = 1
    expected[3:, 4] = 1
    np.testing.assert_allclose(grid, expected, rtol=0, atol=1e-12)


def test_groups_sum_to_matminers_rdf(sample):
    featurizer, reference = GRIDFeaturizer(n_groups=1500), RadialDistributionFunction(cutoff=10.0, bin_size=0.1)
    shells = 4 / 3 * np.pi * np.diff(featurizer.bin_edges**3)
    compared = 0
    for crystal in sample:
        structure = crystal.to_structure()
        clear = ~on_an_edge(structure, featurizer)
        expected = reference.featurize(structure)[: featurizer.n_bins]
        summed = featurizer.grid(crystal).sum(axis=0) * crystal.volume / shells
        np.testing.assert_allclose(summed[clear], expected[clear], rtol=1e-9, err_msg=crystal.formula)
        np.testing.assert_allclose(featurizer.rdf(crystal)[clear], expected[clear], rtol=1e-9, err_msg=crystal.formula)
        compared += clear.sum()
    assert len(sample) >= 200
    assert compared > 0.95 * len(sample) * featurizer.n_bins


@pytest.mark.parametrize("smearing", [0.0, 0.1])
def test_the_first_groups_do_not_depend_on_how_many_follow(sample, smearing):
    every = GRIDFeaturizer(n_groups=200, smearing=smearing).featurize_many(sample, pbar=False).reshape(200, 200, 100)
    for n_groups in (1, 4, 13, 40, 110):
        first = GRIDFeaturizer(n_groups=n_groups, smearing=smearing).featurize_many(sample, pbar=False)
        np.testing.assert_allclose(first.reshape(200, n_groups, 100), every[:, :n_groups], rtol=0, atol=1e-12)


@pytest.mark.parametrize("edges", [(2.46, 2.46, 30.0), (2.46, 25.0, 30.0), (2.0, 2.1, 60.0), (20.0, 21.0, 22.0)])
@pytest.mark.parametrize("smearing", [0.0, 0.1])
def test_matches_the_slow_twin_where_space_is_mostly_empty(edges, smearing):
    coords = np.array([[0, 0, 0], [0.3, 0.02, 0.01], [0.05, 0.4, 0.04], [0.01, 0.06, 0.2]])
    crystal = Crystal(np.diag(edges), coords, np.full(4, 6), np.ones(4), np.arange(4))
    featurizer = GRIDFeaturizer(n_groups=50, smearing=smearing)
    expected = naive.grid(crystal, featurizer.bin_edges, 50, smearing)
    np.testing.assert_allclose(featurizer.grid(crystal), expected, rtol=0, atol=1e-12)


def test_a_group_misses_the_sites_with_too_few_neighbours(real):
    crystal = Crystal.from_structure(real)
    featurizer = GRIDFeaturizer(cutoff=6.0, n_groups=120)
    total = crystal.site_occupancies.sum()
    filled = np.zeros(120)
    for site in range(crystal.n_sites):
        distances, occupancies = naive.neighbors(crystal, site, 6.0)
        neighbors = occupancies[distances + naive.ON_AN_EDGE < 6.0].sum()
        filled += crystal.site_occupancies[site] / total * np.clip(neighbors - np.arange(120), 0, 1)
    np.testing.assert_allclose(featurizer.grid(real).sum(axis=1), filled, rtol=0, atol=1e-9)


@given(crystal=crystals(), smearing=st.sampled_from(SMEARINGS))
def test_groups_lose_mass_but_never_gain_it(crystal, smearing):
    grid = GRIDFeaturizer(cutoff=6.0, n_groups=40, smearing=smearing).grid(crystal)
    mass = grid.sum(axis=1)
    assert np.isfinite(grid).all()
    assert grid.min() >= 0
    assert mass.max() <= 1 + 1e-9
    assert (np.diff(mass) <= 1e-9).all()


def test_smearing_at_zero_and_at_the_cutoff():
    # one neighbour at 1 Å along x; a Gaussian of 1 Å reaches below 0 and beyond the cutoff of 2 Å
    chain = Crystal(np.diag([1.0, 50.0, 50.0]), np.zeros((1, 3)), np.array([1]), np.ones(1), np.zeros(1))
    grid = GRIDFeaturizer(cutoff=2.0, bin_size=1.0, n_groups=4, smearing=1.0).grid(chain)
    np.testing.assert_allclose(grid[:2], [[0.5, 0.3413447460685429]] * 2, rtol=0, atol=1e-12)
    # the next two lie on the cutoff itself, and half of each reaches below it
    np.testing.assert_allclose(grid[2:], [[0.15865525393145707, 0.3413447460685429]] * 2, rtol=0, atol=1e-12)


def test_distances_just_below_an_edge_count_as_on_it():
    featurizer = GRIDFeaturizer(cutoff=5.0, bin_size=1.0, n_groups=1)
    for edge, expected in ((3.0, 3), (3.0 - 0.9e-8, 3), (3.0 - 1.1e-8, 2), (3.0 + 1e-12, 3)):
        cubic = Crystal(edge * np.eye(3), np.zeros((1, 3)), np.array([84]), np.ones(1), np.zeros(1))
        assert np.flatnonzero(featurizer.grid(cubic)[0]).tolist() == [expected]


def test_distances_on_the_cutoff_are_left_out():
    assert GRIDFeaturizer(cutoff=2.82, bin_size=0.01, n_groups=6).grid(rock_salt()).sum() == 0
    assert GRIDFeaturizer(cutoff=2.83, bin_size=0.01, n_groups=6).grid(rock_salt()).sum() == pytest.approx(6)


def test_known_neighbours_of_rock_salt():
    grid = GRIDFeaturizer().grid(rock_salt())
    bins = np.floor(np.sqrt([1, 2, 3]) * 2.82 / 0.1).astype(int)
    for groups, index in ((slice(0, 6), bins[0]), (slice(6, 18), bins[1]), (slice(18, 26), bins[2])):
        assert (np.delete(grid[groups], index, axis=1) == 0).all()
        np.testing.assert_allclose(grid[groups, index], 1, rtol=0, atol=1e-12)


def test_displacements_change_the_exact_distance_by_at_most_twice_as_much():
    rng = np.random.default_rng(5)
    crystal = Crystal.from_structure(REAL["baddeleyite"]())
    for size in (0.01, 0.1):
        directions = rng.normal(size=(crystal.n_sites, 3))
        moves = size * directions / np.linalg.norm(directions, axis=1, keepdims=True)
        moved = Crystal(
            crystal.lattice,
            crystal.frac_coords + moves @ np.linalg.inv(crystal.lattice),
            crystal.numbers,
            crystal.occupancies,
            crystal.site_index,
        )
        exact = naive.grid_emd_exact(crystal, moved, 20, 5.0)
        assert 0 < exact <= 2 * size
        featurizer = GRIDFeaturizer(cutoff=5.0, bin_size=0.1, n_groups=20)
        binned = naive.grid_emd(featurizer.grid(crystal), featurizer.grid(moved), 0.1)
        assert abs(binned - exact) < 0.1


def test_labels_name_group_and_bin_like_matminers_rdf():
    featurizer = GRIDFeaturizer(n_groups=2)
    labels = featurizer.feature_labels()
    assert len(labels) == len(set(labels)) == featurizer.n_features == 200
    assert labels[20] == "grid 1 [2.00000 - 2.10000]A"
    assert labels[-1] == "grid 2 [9.90000 - 10.00000]A"
    intervals = [label.removeprefix("rdf ") for label in RadialDistributionFunction(cutoff=10.0).feature_labels()]
    assert [label.removeprefix("grid 1 ") for label in labels[:100]] == intervals
    labels.clear()
    assert len(featurizer.feature_labels()) == 200


def test_featurize_is_the_grid_row_by_row():
    featurizer = GRIDFeaturizer(n_groups=3)
    features, labels = featurizer.featurize(rock_salt()), featurizer.feature_labels()
    assert features.shape == (300,)
    np.testing.assert_array_equal(features.reshape(3, 100), featurizer.grid(rock_salt()))
    assert labels[int(np.flatnonzero(features[100:])[0]) + 100] == "grid 2 [2.80000 - 2.90000]A"


def test_presets():
    assert GRIDFeaturizer.from_preset("report").get_params() == GRIDFeaturizer().get_params()
    assert GRIDFeaturizer.from_preset("zhang2023").get_params() == GRIDFeaturizer(smearing=0.1).get_params()
    with pytest.raises(ValueError, match=r"unknown preset 'x'; choose one of 'report', 'zhang2023'"):
        GRIDFeaturizer.from_preset("x")


def test_citations_and_implementors():
    (citation,) = GRIDFeaturizer().citations()
    assert citation.startswith("@article{")
    assert citation.count("{") == citation.count("}")
    assert "10.1039/D2DD00054G" in citation
    assert GRIDFeaturizer().implementors() == ["matminer-grid developers"]


def test_precheck_tells_what_can_be_featurized(real):
    assert GRIDFeaturizer().precheck(real)
    assert GRIDFeaturizer().precheck(Crystal.from_structure(real))
    assert not GRIDFeaturizer().precheck("NaCl")
    assert not GRIDFeaturizer().precheck(Structure(Lattice.cubic(3), [], []))


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"cutoff": 0}, ValueError, r"cutoff must be a finite number above 0 Å, not 0"),
        ({"cutoff": -1.0}, ValueError, r"cutoff must be a finite number above 0 Å, not -1"),
        ({"cutoff": np.nan}, ValueError, r"cutoff must be a finite number above 0 Å, not nan"),
        ({"cutoff": "10"}, TypeError, r"cutoff must be a number in Å, not '10'"),
        ({"bin_size": 0.0}, ValueError, r"bin_size must be a finite number above 0 Å, not 0"),
        ({"bin_size": np.inf}, ValueError, r"bin_size must be a finite number above 0 Å, not inf"),
        ({"bin_size": 0.3}, ValueError, r"multiple of bin_size, and 10.0 Å is none of 0.3: 9.9 would be, or the bin size 0.30303"),
        ({"bin_size": 20.0}, ValueError, r"10.0 Å is none of 20.0: 20 would be, or the bin size 10"),
        ({"n_groups": 0}, ValueError, r"n_groups must be at least 1, not 0"),
        ({"n_groups": 2.5}, TypeError, r"n_groups must be a whole number, not 2.5"),
        ({"n_groups": True}, TypeError, r"n_groups must be a whole number, not True"),
        ({"smearing": -0.1}, ValueError, r"smearing must be a finite number of at least 0 Å, not -0.1"),
        ({"smearing": np.nan}, ValueError, r"smearing must be a finite number of at least 0 Å, not nan"),
        ({"smearing": None}, TypeError, r"smearing must be a number in Å, not None"),
    ],
)
def test_parameters_out_of_range(parameters, error, message):
    featurizer = GRIDFeaturizer(**parameters)
    for call in (
        lambda: featurizer.featurize(rock_salt()),
        lambda: featurizer.featurize_many([rock_salt()], ignore_errors=True, pbar=False),
        featurizer.feature_labels,
    ):
        with pytest.raises(error, match=message):
            call()


def invalid_structures() -> dict[str, tuple[object, type[Exception], str]]:
    """What can't be featurized: the object, the error and its message."""
    cubic = Lattice.cubic(4.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flat = Structure(Lattice([[4, 0, 0], [0, 4, 0], [4, 4, 0]]), ["Fe"], [[0, 0, 0]])
    crowded = Structure(cubic, ["Fe"], [[0, 0, 0]])
    crowded.sites[0]._species = Composition({"Fe": 0.8, "Ni": 0.4})  # pymatgen itself refuses it
    return {
        "no sites": (Structure(cubic, [], []), ValueError, r"no sites: at least one is needed"),
        "NaN coordinates": (
            Structure(cubic, ["Fe"], [[0, np.nan, 0]]),
            ValueError,
            r"Fe1: the coordinates of site 0 are NaN or inf",
        ),
        "infinite coordinates": (
            Structure(cubic, ["O", "Fe"], [[0, 0, 0], [np.inf, 0, 0]]),
            ValueError,
            r"O1 Fe1: the coordinates of site 1 are NaN or infinite; they must be finite",
        ),
        "NaN lattice": (
            Structure(Lattice(np.full((3, 3), np.nan)), ["Fe"], [[0, 0, 0]]),
            ValueError,
            r"Fe1: the lattice has values",
        ),
        "flat cell": (flat, ValueError, r"Fe1: the cell has no volume"),
        "coincident sites": (
            Structure(cubic, ["Fe", "Ni"], [[0, 0, 0], [1, 0, 0]]),
            ValueError,
            r"Fe1 Ni1: two sites lie on the same point and their occupancies add up to more than 1",
        ),
        "occupancy over 1": (crowded, ValueError, r"Fe0.8 Ni0.4: site 0 has the total occupancy 1.2; it must not exceed 1"),
        "slab": (
            Structure(Lattice(4 * np.eye(3), pbc=(True, True, False)), ["Fe"], [[0, 0, 0]]),
            ValueError,
            r"Fe1: the lattice must be periodic along all three axes",
        ),
        "molecule": (Molecule(["O"], [[0, 0, 0]]), TypeError, r"Structure .* is needed, not Molecule; a molecule has no unit cell"),
        "text": ("NaCl", TypeError, r"a pymatgen Structure .* is needed, not str"),
        "nothing": (None, TypeError, r"a pymatgen Structure .* is needed, not NoneType"),
    }


@pytest.mark.parametrize("name", invalid_structures())
def test_invalid_structures(name):
    invalid, error, message = invalid_structures()[name]
    featurizer = GRIDFeaturizer(cutoff=4.0, n_groups=5)
    with pytest.raises(error, match=message):
        featurizer.featurize(invalid)
    with pytest.raises(error, match=rf"row 1: .*{message}.*ignore_errors=True"):
        featurizer.featurize_many([rock_salt(), invalid], pbar=False)
    features = featurizer.featurize_many([rock_salt(), invalid, perovskite()], ignore_errors=True, pbar=False)
    assert np.isnan(features).all(axis=1).tolist() == [False, True, False]
    np.testing.assert_array_equal(features[0], featurizer.featurize(rock_salt()))
    np.testing.assert_array_equal(features[2], featurizer.featurize(perovskite()))


@pytest.mark.parametrize("name", invalid_structures())
def test_invalid_structures_have_no_rdf(name):
    invalid, error, message = invalid_structures()[name]
    with pytest.raises(error, match=message):
        GRIDFeaturizer().rdf(invalid)
    with pytest.raises(error, match=rf"row 1: .*{message}"):
        GRIDFeaturizer().rdf_many([rock_salt(), invalid])


def test_invalid_rows_of_tables():
    table = CrystalTable.from_structures([rock_salt(), perovskite()])
    table.frac_coords[10] = np.nan
    for call in (GRIDFeaturizer().rdf_many, GRIDFeaturizer().transform, GRIDFeaturizer().featurize_sparse):
        with pytest.raises(ValueError, match=r"row 1: Sr1 Ti1 O3: the coordinates of site 2 are NaN or infinite"):
            call(table)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_rdfs_of_many(sample, n_jobs):
    featurizer = GRIDFeaturizer(cutoff=6.0)
    featurizer.set_n_jobs(n_jobs)
    np.testing.assert_array_equal(featurizer.rdf_many(sample), [featurizer.rdf(crystal) for crystal in sample])
    np.testing.assert_array_equal(featurizer.rdf_many(sample[:2].to_structures()), featurizer.rdf_many(sample[:2]))
    assert featurizer.rdf_many([]).shape == (0, 60)


def test_tables_structures_and_crystals_give_the_same(sample):
    featurizer = GRIDFeaturizer(cutoff=5.0, n_groups=12)
    expected = featurizer.featurize_many(sample[:5], pbar=False)
    for same in (sample[:5].to_structures(), list(sample[:5]), CrystalTable.from_crystals(sample[:5])):
        np.testing.assert_array_equal(featurizer.featurize_many(same, pbar=False), expected)
