"""ChemistryFeaturizer: kernels against their slow twins and against closed forms; blocks by name; every cell; bad input."""

import numpy as np
import pytest
from hypothesis import given
from pymatgen.core import Lattice, Structure
from scipy.stats import wasserstein_distance

from matminer_grid import Crystal
from matminer_grid.featurizers import ChemistryFeaturizer
from matminer_grid.featurizers.chemistry import GLOBAL, MODULI, SHELLS, SITE_PROPERTIES, SPRINGS, STATISTICS
from matminer_grid.kernels import bonds, springs
from matminer_grid.kernels.lattice import reduce_cell
from matminer_grid.kernels.manhattan import quantile_means
from matminer_grid.kernels.neighbors import OK, TOO_MANY_NEIGHBORS
from tests import naive_chemistry as naive
from tests.conftest import FCC, REAL, cobaltite, disordered_alloy, hcp, rock_salt, with_dummies
from tests.strategies import crystals, hostile_crystals

BCC = np.array([[0, 0, 0], [0.5, 0.5, 0.5]])


def listed(crystal):
    lattice, frac = reduce_cell(crystal.lattice, crystal.frac_coords)
    return bonds.list_neighbors(lattice, frac, crystal.site_occupancies, SHELLS[-1])


def surroundings(crystal, radii, electronegativities=None, properties=None):
    status, neighbors = listed(crystal)
    assert status == OK
    properties = np.zeros((crystal.n_sites, 1)) if properties is None else properties
    electronegativities = np.ones(crystal.n_sites) if electronegativities is None else electronegativities
    out = bonds.Surroundings.zeros(crystal.n_sites, len(SHELLS) - 1, properties.shape[1])
    bonds.describe_sites(neighbors, crystal.site_occupancies, radii, electronegativities, properties, SHELLS, out)
    return out


def elastic(crystal, radii, strengths, *, slow=False, bending=0.0, soft_mode=springs.SOFT_MODE):
    out = np.empty((2, 6, 6))
    neighbors = listed(crystal)[1]
    springs.elastic_constants(neighbors, crystal.volume, crystal.site_occupancies, radii, strengths, slow, bending, soft_mode, out)
    return out


def cubic(edge, coords, symbol="Si"):
    return Crystal.from_structure(Structure(Lattice.cubic(edge), [symbol] * len(coords), coords))


def invariants(constants):
    """What doesn't depend on the orientation: of the elastic constants the eigenvalues and the bulk modulus."""
    return np.array([*np.linalg.eigvalsh(constants), constants[:3, :3].sum()])


def of_sites(crystal):
    """Radii, strengths, electronegativities and properties drawn for the sites."""
    rng = np.random.default_rng(crystal.n_sites)
    return (*(rng.uniform(low, 1.8, crystal.n_sites) for low in (0.6, 0.3, 0.8)), rng.normal(size=(crystal.n_sites, 3)))


def compare_with_twins(crystal):
    if listed(crystal)[0] == TOO_MANY_NEIGHBORS:
        return
    radii, strengths, electronegativities, properties = of_sites(crystal)
    found = surroundings(crystal, radii, electronegativities, properties)
    for site in range(crystal.n_sites):
        expected = naive.describe_site(crystal, site, radii, electronegativities, properties, SHELLS)
        for name, values in expected.items():
            scale = max(1.0, np.abs(values).max())
            np.testing.assert_allclose(getattr(found, name)[site], values, rtol=1e-7, atol=1e-7 * scale, err_msg=name)
    for slow, bending in ((False, 0.2), (True, 0.0)):
        ours = elastic(crystal, radii, strengths, slow=slow, bending=bending)
        theirs = naive.elastic_constants(crystal, radii, strengths, slow, bending, springs.SOFT_MODE)
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(invariants(one), invariants(other), rtol=1e-6, atol=1e-7 * np.trace(theirs[0]))


def test_twins_on_embedded_crystals(embedded):
    small = np.nonzero(embedded.n_sites <= 8)[0]
    for row in np.random.default_rng(3).choice(small, 12, replace=False):
        compare_with_twins(embedded[int(row)])


@pytest.mark.parametrize("name", [name for name in REAL if name not in ("with_dummies", "split_alloy")])
def test_twins_on_real_crystals(name):
    compare_with_twins(Crystal.from_structure(REAL[name]()))


@given(crystals())
def test_twins(crystal):
    compare_with_twins(crystal)


@pytest.mark.compiled
@given(hostile_crystals(max_sites=6))
def test_twins_on_hostile_crystals(crystal):
    compare_with_twins(crystal)


@pytest.mark.parametrize(
    ("structure", "number", "tolerance"),
    [
        ((4.0, FCC), 12, 0.03),  # Hoppe: 12.02
        ((4.0, [[0, 0, 0]]), 6, 0.05),
        ((5.0, [*FCC, *(FCC + 0.5)]), 6, 0.05),  # rock salt, of radii alike
        ((5.0, [*FCC, *(FCC + 0.25)]), 4, 1e-5),  # diamond
    ],
)
def test_coordination(structure, number, tolerance):
    crystal = cubic(*structure)
    found = surroundings(crystal, np.ones(crystal.n_sites)).coordination[:, bonds.WEIGHTS.index("coordination")]
    assert found == pytest.approx(np.full(crystal.n_sites, number), abs=tolerance)


def test_bond_valences_and_charges_in_closed_form():
    """Rock salt whose next nearest neighbours, of the same element, lie beyond NEAR: six equal bonds."""
    crystal, distance = cubic(9.0, [*FCC, *(FCC + 0.5)]), 4.5
    radii = np.repeat([1.9, 1.4], 4)
    found = surroundings(crystal, radii, np.repeat([0.9, 3.2], 4), np.repeat([[1.0], [5.0]], 4, axis=0))
    inside, bond = (1 - (distance / 6) ** 2) ** 2, radii[0] + radii[4]
    valence = 6 * inside * np.exp((bond - distance) / 0.37)
    ionic = valence * (1 - np.exp(-(2.3**2) / 4))
    expected = {"valence": valence, "slow": 6 * inside * (bond / distance) ** 4}
    for name, value in expected.items():
        k = bonds.WEIGHTS.index(name)
        np.testing.assert_allclose(found.coordination[:, k], value)
        np.testing.assert_allclose(found.lengths[:, k], distance / bond)
        np.testing.assert_allclose(found.neighbors[:, k, 0], np.repeat([5.0, 1.0], 4))
        np.testing.assert_allclose(found.differences[:, k, 0], 4.0)
    np.testing.assert_allclose(found.charges, [[ionic, ionic]] * 4 + [[-ionic, ionic]] * 4)
    np.testing.assert_allclose(found.shells[:, :6], distance)


def nearest(structure, number):
    """Vectors to so many nearest neighbours, and their lengths."""
    vectors = np.array([vector for _, vector in naive.neighbors(Crystal.from_structure(structure), 0, 7.0)])
    vectors = vectors[np.argsort(np.linalg.norm(vectors, axis=1))][:number]
    return vectors, np.linalg.norm(vectors, axis=1)


@pytest.mark.parametrize(
    ("name", "number", "q4", "q6"),  # W. Mickel et al., J. Chem. Phys. 138 (2013) 044501, 10.1063/1.4774084
    [("fcc", 12, 0.191, 0.575), ("hcp", 12, 0.097, 0.485), ("bcc", 8, 0.509, 0.629), ("bcc", 14, 0.036, 0.511)],
)
def test_order_parameters_of_the_literature(name, number, q4, q6):
    ideal = Structure(Lattice.hexagonal(3.0, 3.0 * np.sqrt(8 / 3)), ["Mg"] * 2, hcp().frac_coords)
    cubes = {"fcc": (4.0, FCC), "bcc": (3.0, BCC)}
    structure = ideal if name == "hcp" else cubic(*cubes[name]).to_structure()
    vectors, distances = nearest(structure, number)
    out = np.empty(len(bonds.ORDERS))
    bonds.orientational_order(vectors, distances, np.ones(number), out)
    found = dict(zip(bonds.ORDERS.tolist(), out, strict=True))
    assert found[4] == pytest.approx(q4, abs=1e-3)
    assert found[6] == pytest.approx(q6, abs=1e-3)
    assert found[1] == pytest.approx(0, abs=1e-7)
    crystal = Crystal.from_structure(structure)
    if number == 12:  # Hoppe's weights give those beyond the nearest less than a thousandth
        weighted = surroundings(crystal, np.ones(crystal.n_sites)).orders[0]
        np.testing.assert_allclose(weighted, out, atol=0.01)


@pytest.mark.parametrize("slow", [False, True])
def test_central_forces_between_nearest_neighbours_of_fcc(slow):
    """C11 = 2 C12 = 2 C44 = 2 k / a, and no relaxation, since each site is a centre of inversion."""
    edge, radius, strength = 7.0, 1.6, 1.3
    distance = edge / np.sqrt(2)  # the next nearest neighbours lie beyond NEAR
    inside = (1 - (distance / 6) ** 2) ** 2
    decay = inside * ((2 * radius / distance) ** 6 if slow else np.exp((2 * radius - distance) / 0.37))
    k = strength**2 * decay
    rigid, relaxed = elastic(cubic(edge, FCC), np.full(4, radius), np.full(4, strength), slow=slow)
    c11, c12, c44 = rigid[0, 0], rigid[0, 1], rigid[3, 3] / 2  # Kelvin's notation doubles shear
    np.testing.assert_allclose([c11, c12, c44], np.array([2, 1, 1]) * k / edge, rtol=1e-10)
    np.testing.assert_allclose(relaxed, rigid, atol=1e-10 * c11)


def test_central_forces_are_isotropic_to_cauchy():
    """Central forces alone give C12 = C44 and its like for any crystal, before the sites relax."""
    rigid = elastic(Crystal.from_structure(REAL["baddeleyite"]()), np.full(12, 1.2), np.ones(12))[0]
    root = np.sqrt(2)
    for i, j, k in ((0, 1, 5), (0, 2, 4), (1, 2, 3)):
        assert rigid[i, j] == pytest.approx(rigid[k, k] / 2)
    assert rigid[0, 3] / root == pytest.approx(rigid[4, 5] / 2, abs=1e-12)


@pytest.mark.parametrize("bending", [0.0, 0.05, 0.2, 1.0])
def test_diamond_of_keating(bending):
    """C11 = (α + 3β) / a, C12 = (α - β) / a, C44 = 4αβ / (α + β) / a (Keating 1966); rigid, C44 is (α + β) / a."""
    edge, radius = 9.0, 1.8
    distance = edge * np.sqrt(3) / 4  # the next nearest neighbours lie beyond NEAR
    k = (1 - (distance / 6) ** 2) ** 2 * np.exp((2 * radius - distance) / 0.37)
    alpha, beta = k / 3, 4 / 3 * bending * (1 - springs.WEAK_BOND) * k
    crystal = cubic(edge, [*FCC, *(FCC + 0.25)])
    rigid, relaxed = elastic(crystal, np.full(8, radius), np.ones(8), bending=bending, soft_mode=1e-9)
    expected = np.array([alpha + 3 * beta, alpha - beta, 4 * alpha * beta / (alpha + beta)]) / edge
    np.testing.assert_allclose([relaxed[0, 0], relaxed[0, 1], relaxed[3, 3] / 2], expected, rtol=1e-6, atol=1e-7 * k)
    np.testing.assert_allclose([rigid[0, 0], rigid[0, 1], rigid[3, 3] / 2], [*expected[:2], (alpha + beta) / edge], rtol=1e-10)


def test_every_block_holds_what_its_labels_say():
    featurizer = ChemistryFeaturizer()
    row = featurizer.featurize(Structure(Lattice.cubic(9.0), ["Si"] * 8, [*FCC, *(FCC + 0.25)]))
    found = dict(zip(featurizer.feature_labels(), row, strict=True))
    assert len(found) == featurizer.n_features == sum(block.stop - block.start for block in featurizer.blocks.values())
    assert found["global: log volume"] == pytest.approx(np.log(9**3 / 8))
    assert found["global: elements"] == 1
    assert found["near: neighbours 1 to 1, quantile 1"] == pytest.approx(9 * np.sqrt(3) / 4)
    assert found["coordination, coordination: log number, quantile 3"] == pytest.approx(np.log(4.01), abs=1e-4)
    assert found["charge: charge, quantile 1"] == 0
    for name in SITE_PROPERTIES:
        assert found[f"statistics: {STATISTICS[0]} {name}"] == pytest.approx(found[f"sites: {name}, quantile 1"])
        assert found[f"statistics: {STATISTICS[1]} {name}"] == pytest.approx(0, abs=1e-12)
    for net in SPRINGS:
        for state in ("rigid", "relaxed"):
            values = [found[f"moduli: {net} springs, {state}, log {modulus}"] for modulus in MODULI]
            assert values[0] >= values[2] - 0.05  # Voigt's averages are bounds of Reuss', but for the floor of soft modes
            assert values[1] >= values[3] - 0.05
            assert found[f"stiffness ratios: {net} springs, {state}, log {MODULI[1]} over K Voigt"] == pytest.approx(
                values[1] - values[0]
            )
    assert all(f"global: {name}" in found for name in GLOBAL)


def test_labels_of_salt_know_cation_from_anion():
    featurizer = ChemistryFeaturizer(2)
    found = dict(zip(featurizer.feature_labels(), featurizer.featurize(rock_salt()), strict=True))
    assert found["charge: charge, quantile 1"] == pytest.approx(-found["charge: charge, quantile 2"])
    assert found["charge: ionic valence, quantile 1"] == pytest.approx(found["charge: charge, quantile 2"])
    assert found["global: elements"] == 2


@pytest.mark.parametrize("name", [name for name in REAL if name != "with_dummies"])
def test_chemistry_is_the_same_for_every_cell(name):
    structure = REAL[name]()
    featurizer = ChemistryFeaturizer()
    expected = featurizer.featurize(structure)
    assert expected.shape == (len(featurizer.feature_labels()),)
    assert np.isfinite(expected).all()
    supercell = structure * (2, 1, 1)
    supercell.apply_strain(0)
    np.testing.assert_allclose(featurizer.featurize(supercell), expected, rtol=1e-6, atol=1e-6)


def test_chemistry_of_disorder_is_an_average():
    featurizer = ChemistryFeaturizer()
    mean = {label: i for i, label in enumerate(featurizer.feature_labels())}["statistics: mean Row"]
    alloy, copper, gold = (featurizer.featurize(s)[mean] for s in (disordered_alloy(), *_pure(disordered_alloy(), "Cu", "Au")))
    assert alloy == pytest.approx(0.75 * copper + 0.25 * gold)
    assert np.isfinite(featurizer.featurize(cobaltite())).all()


def test_chemistry_refuses_what_it_cannot_describe():
    featurizer = ChemistryFeaturizer()
    with pytest.raises(ValueError, match="give the primitive cell"):
        featurizer.featurize(rock_salt() * (6, 6, 6))
    salt = rock_salt()
    twice = Structure.from_sites([*salt, salt[0]])
    with pytest.raises(ValueError, match="two sites lie on the same point"):
        featurizer.featurize(twice)
    rows = featurizer.featurize_many([salt, with_dummies(), twice, salt], ignore_errors=True, pbar=False)
    assert np.isnan(rows[1:3]).all()
    np.testing.assert_array_equal(rows[0], rows[3])
    lonely = Structure(Lattice.cubic(30), ["Ar"], [[0, 0, 0]])
    assert np.isfinite(featurizer.featurize(lonely)).all()
    with pytest.raises(ValueError, match="check that the lattice is in Å"):
        featurizer.featurize(Structure(Lattice.cubic(0.0564), salt.species, salt.frac_coords))
    with pytest.raises(ValueError, match="n_quantiles"):
        ChemistryFeaturizer(0).featurize(salt)
    with pytest.raises(TypeError, match="n_quantiles"):
        ChemistryFeaturizer(2.5).featurize(salt)


def _pure(structure, *symbols):
    return [Structure(structure.lattice, [symbol] * len(structure), structure.frac_coords) for symbol in symbols]


def test_quantile_means_are_wasserstein_distances():
    rng = np.random.default_rng(3)
    values, offsets = rng.normal(size=(24, 1)), np.array([0, 12, 24])
    out = np.empty((2, 1, 12))
    quantile_means(values, np.ones(24), offsets, out)
    assert np.abs(out[0] - out[1]).mean() == pytest.approx(wasserstein_distance(values[:12, 0], values[12:, 0]))
