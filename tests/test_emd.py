"""GRID EMD: equal to its slow twin, scipy's and POT's Wasserstein distances, and a metric that moves with the atoms."""

import numpy as np
import ot
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

from matminer_grid import Crystal, GRIDFeaturizer, grid_emd, grid_emd_by_group, grid_emd_exact
from matminer_grid.kernels.emd import BLOCK
from tests import naive
from tests.conftest import REAL
from tests.strategies import crystals, rotation, unimodular

N_GROUPS, BIN_SIZE = 20, 0.25
FEATURIZER = GRIDFeaturizer(cutoff=8.0, bin_size=BIN_SIZE, n_groups=N_GROUPS)


@pytest.fixture(scope="module")
def features(sample):
    return FEATURIZER.featurize_many(sample, pbar=False)


@pytest.fixture(scope="module")
def sparse_features():
    """Some 150 GRIDs of a gas, with missing mass, and a few crystals."""
    rng = np.random.default_rng(3)
    gases = [Structure(Lattice.cubic(a), ["Ar"] * 3, rng.random((3, 3))) for a in rng.uniform(5, 20, 150)]
    return FEATURIZER.featurize_many(gases + [make() for make in REAL.values()], pbar=False)


def manhattan(X, Y, weights=1.0):
    cumulative = [np.cumsum(Z.reshape(len(Z), N_GROUPS, -1), axis=2) * np.reshape(weights, (-1, 1)) for Z in (X, Y)]
    return cdist(*(Z.reshape(len(Z), -1) for Z in cumulative), "cityblock") * BIN_SIZE / N_GROUPS


@pytest.mark.parametrize("data", ["features", "sparse_features"])
@pytest.mark.parametrize("rows", [1, 2, BLOCK, BLOCK + 1, 150])
def test_square_matrix_is_the_manhattan_distance_of_cumulative_histograms(data, rows, request):
    X = request.getfixturevalue(data)[:rows]
    matrix = grid_emd(X, n_groups=N_GROUPS, bin_size=BIN_SIZE)
    np.testing.assert_allclose(matrix, manhattan(X, X), atol=1e-12)
    assert (matrix == matrix.T).all()
    assert (np.diag(matrix) == 0).all()


@pytest.mark.parametrize("data", ["features", "sparse_features"])
def test_rectangular_matrix(data, request):
    X = request.getfixturevalue(data)
    matrix = grid_emd(X[:37], X[20:150], n_groups=N_GROUPS, bin_size=BIN_SIZE)
    np.testing.assert_allclose(matrix, manhattan(X[:37], X[20:150]), atol=1e-12)


def test_naive_twin(features):
    shaped = features[:6].reshape(6, N_GROUPS, -1)
    matrix = grid_emd(features[:6], n_groups=N_GROUPS, bin_size=BIN_SIZE)
    for i, p in enumerate(shaped):
        for j, q in enumerate(shaped):
            assert matrix[i, j] == pytest.approx(naive.grid_emd(p, q, BIN_SIZE), abs=1e-12)


def test_sparse_features_give_the_same(features):
    dense = grid_emd(features, n_groups=N_GROUPS, bin_size=BIN_SIZE)
    for convert in (scipy.sparse.csr_array, scipy.sparse.coo_array, scipy.sparse.csc_matrix):
        assert (grid_emd(convert(features), n_groups=N_GROUPS, bin_size=BIN_SIZE) == dense).all()


def test_numbers_do_not_depend_on_threads_or_type(features):
    serial = grid_emd(features, n_groups=N_GROUPS, bin_size=BIN_SIZE, n_jobs=1)
    assert (grid_emd(features, n_groups=N_GROUPS, bin_size=BIN_SIZE, n_jobs=3) == serial).all()
    single = np.empty(serial.shape, np.float32)
    grid_emd(features, n_groups=N_GROUPS, bin_size=BIN_SIZE, out=single)
    np.testing.assert_allclose(single, serial, atol=1e-5)


def test_result_goes_where_it_is_asked_to(features, tmp_path):
    out = np.memmap(tmp_path / "matrix", dtype=np.float32, mode="w+", shape=(len(features), len(features)))
    assert grid_emd(features, n_groups=N_GROUPS, bin_size=BIN_SIZE, out=out) is out
    np.testing.assert_allclose(out, manhattan(features, features), atol=1e-5)


def test_group_weights_are_scaled_to_the_mean_one(features):
    weights = np.linspace(3, 0, N_GROUPS)
    matrix = grid_emd(features, n_groups=N_GROUPS, bin_size=BIN_SIZE, group_weights=weights)
    np.testing.assert_allclose(matrix, manhattan(features, features, weights / weights.mean()), atol=1e-12)
    same = grid_emd(features, n_groups=N_GROUPS, bin_size=BIN_SIZE, group_weights=np.full(N_GROUPS, 7.0))
    np.testing.assert_allclose(same, manhattan(features, features), atol=1e-12)


def test_groups_against_scipy_and_pot(sample):
    """Complete groups are distributions: both libraries measure the same between them."""
    featurizer = GRIDFeaturizer(cutoff=20.0, bin_size=0.5, n_groups=5)
    grids = [featurizer.grid(sample[i]) for i in range(8)]
    centres = featurizer.bin_edges[:-1]
    for p in grids:
        for q in grids:
            found = grid_emd_by_group(p, q, n_groups=5, bin_size=0.5)
            for group in range(5):
                assert found[group] == pytest.approx(wasserstein_distance(centres, centres, p[group], q[group]), abs=1e-9)
                assert found[group] == pytest.approx(ot.wasserstein_1d(centres, centres, p[group], q[group]), abs=1e-9)
            total = grid_emd(p.reshape(1, -1), q.reshape(1, -1), n_groups=5, bin_size=0.5)[0, 0]
            assert total == pytest.approx(found.mean(), abs=1e-12)


def test_missing_mass_lies_at_the_cutoff():
    """One group complete at 1 Å, the other empty below a cutoff of 4 Å."""
    near, nothing = np.zeros((1, 8)), np.zeros((1, 8))
    near[0, 2] = 1
    assert grid_emd(near, nothing, n_groups=1, bin_size=0.5)[0, 0] == pytest.approx(3.0)


@given(crystals(), crystals())
def test_exact_against_the_naive_twin(a, b):
    found = grid_emd_exact(a, b, cutoff=5.0, n_groups=12)
    assert found == pytest.approx(naive.grid_emd_exact(a, b, 12, 5.0), abs=1e-9)


def test_exact_groups_against_scipy():
    a, b = REAL["rock_salt"](), REAL["baddeleyite"]()
    expected = []
    for n_groups in range(1, 7):
        lists = [
            [naive.neighbors(crystal, site, 12.0)[0][n_groups - 1] for site in range(crystal.n_sites)]
            for crystal in (Crystal.from_structure(a), Crystal.from_structure(b))
        ]
        expected.append(wasserstein_distance(*lists))
        assert grid_emd_exact(a, b, n_groups=n_groups) == pytest.approx(np.mean(expected), abs=1e-9)


def test_binned_is_within_one_bin_of_exact(structures):
    X = GRIDFeaturizer().featurize_many(structures[:12], pbar=False)
    binned = grid_emd(X, n_groups=100, bin_size=0.1)
    for i in range(12):
        for j in range(i):
            assert abs(grid_emd_exact(structures[i], structures[j]) - binned[i, j]) <= 0.1


@given(crystals(partial=False), st.integers(0, 10**6), st.sampled_from([1e-4, 1e-2, 0.2]))
def test_exact_moves_by_at_most_twice_the_displacement(crystal, seed, step):
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(crystal.n_sites, 3))
    moves = directions / np.linalg.norm(directions, axis=1, keepdims=True) * rng.uniform(0, step, (crystal.n_sites, 1))
    moved = Crystal(
        crystal.lattice,
        crystal.frac_coords + moves @ np.linalg.inv(crystal.lattice),
        crystal.numbers,
        crystal.occupancies,
        crystal.site_index,
    )
    assert grid_emd_exact(crystal, moved, cutoff=6.0, n_groups=15) <= 2 * step + 1e-9


@given(crystals(), crystals(), crystals())
def test_exact_is_a_pseudometric(a, b, c):
    def d(x, y):
        return grid_emd_exact(x, y, cutoff=5.0, n_groups=10)

    assert d(a, a) == 0
    assert d(a, b) == d(b, a) >= 0
    assert d(a, c) <= d(a, b) + d(b, c) + 1e-9


def test_triangle_inequality(features):
    matrix = grid_emd(features[:60], n_groups=N_GROUPS, bin_size=BIN_SIZE)
    detours = matrix[:, :, None] + matrix[None, :, :]  # from i over j to k
    assert (matrix[:, None, :] <= detours + 1e-9).all()


@given(crystals(), st.integers(0, 10**6))
def test_exact_is_zero_between_settings_of_one_crystal(crystal, seed):
    rng = np.random.default_rng(seed)
    structure = crystal.to_structure()
    other = structure.copy()
    other.make_supercell(unimodular(rng), to_unit_cell=True)
    order = rng.permutation(len(other))
    turned = Structure(
        other.lattice.matrix @ rotation(rng),
        [other[i].species for i in order],
        other.frac_coords[order] + rng.random(3),
    )
    assert grid_emd_exact(structure, turned, cutoff=5.0, n_groups=10) == pytest.approx(0, abs=1e-9)


BAD = [
    ({"n_groups": 7}, "no multiple of n_groups = 7"),
    ({"n_groups": 0}, "n_groups must be at least 1"),
    ({"bin_size": 0}, "bin_size must be a finite number above 0"),
    ({"bin_size": np.nan}, "bin_size must be a finite number above 0"),
    ({"n_jobs": 0}, "n_jobs must be a whole number other than 0"),
    ({"out": np.zeros((2, 2))}, "out must be a writeable array or memmap of shape"),
    ({"out": np.zeros((5, 5), np.int64)}, "out must be a writeable array or memmap of shape"),
    ({"group_weights": np.ones(3)}, "one weight a group"),
    ({"group_weights": -np.ones(N_GROUPS)}, "not negative"),
    ({"group_weights": np.zeros(N_GROUPS)}, "not all zero"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_parameters(features, change, message):
    with pytest.raises(ValueError, match=message):
        grid_emd(features[:5], **{"n_groups": N_GROUPS, "bin_size": BIN_SIZE} | change)


def test_bad_features(features):
    broken = features[:5].copy()
    broken[3, 17] = np.nan
    with pytest.raises(ValueError, match="nan in row 3"):
        grid_emd(broken, n_groups=N_GROUPS, bin_size=BIN_SIZE)
    with pytest.raises(ValueError, match="a group of X sums to 2; groups are distributions"):
        grid_emd([[0, 2, 0, 0]], n_groups=2, bin_size=BIN_SIZE)
    with pytest.raises(ValueError, match="X must be a two-dimensional array of numbers"):
        grid_emd(features[0], n_groups=N_GROUPS, bin_size=BIN_SIZE)
    with pytest.raises(ValueError, match="Y must be a two-dimensional array of numbers"):
        grid_emd(features[:2], ["NaCl"], n_groups=N_GROUPS, bin_size=BIN_SIZE)
    nearer = GRIDFeaturizer(cutoff=4.0, bin_size=BIN_SIZE, n_groups=N_GROUPS).featurize_many([REAL["hcp"]()], pbar=False)
    with pytest.raises(ValueError, match="both must come from one GRIDFeaturizer"):
        grid_emd(features[:2], nearer, n_groups=N_GROUPS, bin_size=BIN_SIZE)


def test_bad_structures():
    with pytest.raises(TypeError, match="a pymatgen Structure"):
        grid_emd_exact("NaCl", REAL["rock_salt"]())
    twice = Structure(Lattice.cubic(4), ["Fe", "Fe"], [[0, 0, 0], [0, 0, 1]])
    with pytest.raises(ValueError, match=r"Fe2: two sites lie on the same point"):
        grid_emd_exact(twice, REAL["rock_salt"]())
    with pytest.raises(ValueError, match="cutoff must be a finite number above 0"):
        grid_emd_exact(REAL["hcp"](), REAL["hcp"](), cutoff=-1)
    with pytest.raises(ValueError, match="x and y must both have"):
        grid_emd_by_group(np.zeros(6), np.zeros(4), n_groups=2, bin_size=0.1)
