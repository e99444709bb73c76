"""Search, duplicates and models by the site dissimilarity, against brute force."""

import numpy as np
import pytest
from sklearn.base import clone

from matminer_grid import ApproximateEMDSearch, CrystalDissimilarity, EMDSearch, GRIDFeaturizer, find_pairs
from matminer_grid.models import GRIDNeighborsRegressor
from matminer_grid.similarity import DescribedCrystals
from matminer_grid.similarity.grid_index import TIE, Pairs
from matminer_grid.similarity.site_index import SiteIndex
from tests.conftest import REAL
from tests.test_sites import drawn_crystals

FEATURIZER = GRIDFeaturizer(cutoff=7.0, n_groups=40)
SETTINGS = {
    "graded": {},
    "identity": {"elements": "identity"},
    "no elements": {"elements": "none"},
    "one volume": {"scale_volume": True},
    "weights": {"group_weights": np.arange(40), "neighbor_weight": 0, "composition_weight": 2.0},
    "surroundings only": {"grid_weight": 0, "composition_weight": 0},
}


@pytest.fixture(scope="module")
def crystals(embedded):
    """Ordered and disordered crystals, some of them twice."""
    mixed = drawn_crystals(60, 7)
    return type(embedded).concatenate([embedded[1000:1200], mixed, embedded[1000:1020], mixed[:5]])


@pytest.mark.parametrize("name", SETTINGS)
def test_search_finds_what_brute_force_finds(crystals, name):
    dissimilarity = CrystalDissimilarity(FEATURIZER, resolution="sites", **SETTINGS[name])
    described = dissimilarity.describe(crystals)
    everything = dissimilarity.pairwise(described)
    assert (everything == everything.T).all()
    assert (np.diag(everything) == 0).all()
    search = EMDSearch(dissimilarity).fit(described)
    for k in (1, 4):
        distances, indices = search.kneighbors(described[::3], k)
        expected = np.argsort(np.rint(everything[::3] / TIE), axis=1, kind="stable")[:, :k]
        assert (indices == expected).all()
        assert (distances == np.take_along_axis(everything[::3], expected, axis=1)).all()
        assert 0 < search.transported_share_ <= search.evaluated_share_ <= 1
    others = np.array([row[0] for row in search.kneighbors(n_neighbors=1, return_distance=False)])
    assert (others != np.arange(len(crystals))).all()
    for radius in (0.0, 0.3, 5.0):
        distances, indices = search.radius_neighbors(described[::3], radius)
        for query, row in enumerate(range(0, len(crystals), 3)):
            expected = np.nonzero(everything[row] <= radius + TIE)[0]
            expected = expected[np.lexsort((expected, np.rint(everything[row, expected] / TIE)))]
            assert indices[query].tolist() == expected.tolist()
            assert (distances[query] == everything[row, expected]).all()


@pytest.mark.parametrize("name", SETTINGS)
def test_bounds_are_never_above(crystals, name):
    dissimilarity = CrystalDissimilarity(FEATURIZER, resolution="sites", **SETTINGS[name])
    described, index = dissimilarity.describe(crystals), SiteIndex(dissimilarity)
    vectors = index.vectors(described)
    rows = np.arange(len(crystals))
    for query in rows[::5]:
        pairs = Pairs(described, query, described, rows)
        assert (index.bounds(pairs) <= index.totals(pairs) + TIE).all()
        assert (np.abs(vectors - vectors[query]).sum(axis=1) <= index.bounds(pairs) + TIE).all()


def test_few_of_the_embedded_are_transported(embedded):
    """One in a hundred at most; in fact one in a thousand, with more references fewer."""
    search = EMDSearch(CrystalDissimilarity(resolution="sites")).fit(embedded[:3000])
    search.kneighbors(embedded[3000:3100], 1)
    assert search.transported_share_ < 0.01


def test_never_below_grids_without_bins(crystals):
    sites = CrystalDissimilarity(FEATURIZER, resolution="sites").pairwise(crystals)
    grids = CrystalDissimilarity(GRIDFeaturizer(cutoff=7.0, n_groups=40, bin_size=0.001)).pairwise(crystals)
    assert (sites >= grids - 10 * 0.001 - TIE).all()


def test_described_crystals_are_sliced_and_stacked(crystals):
    dissimilarity = CrystalDissimilarity(FEATURIZER, resolution="sites")
    described = dissimilarity.describe(crystals)
    expected = dissimilarity.pairwise(described)
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(crystals))[:50]
    assert (dissimilarity.pairwise(described[rows]) == expected[np.ix_(rows, rows)]).all()
    stacked = DescribedCrystals.concatenate([described[200:], described[:7]])
    order = np.concatenate((np.arange(200, len(crystals)), np.arange(7)))
    assert (dissimilarity.pairwise(stacked, described) == expected[order]).all()
    assert len(described[:0]) == 0
    assert dissimilarity.pairwise(described[:0], described).shape == (0, len(crystals))
    with pytest.raises(ValueError, match="have no GRIDs"):
        _ = described.features


def test_duplicates_have_the_same_elements_on_the_same_sites(crystals):
    alloys = [REAL["disordered_alloy"](), REAL["split_alloy"](), REAL["rock_salt"]()]
    ordered = REAL["disordered_alloy"]()
    for site, element in enumerate(["Au", "Cu", "Cu", "Cu"]):
        ordered[site] = element
    found = find_pairs([*alloys, ordered], None, 0.01)
    assert found.rows.tolist() == [[0, 1]]
    by_grid = find_pairs([*alloys, ordered], None, 0.01, dissimilarity=CrystalDissimilarity())
    assert by_grid.rows.tolist() == [[0, 1], [0, 3], [1, 3]]
    dissimilarity = CrystalDissimilarity(FEATURIZER, resolution="sites")
    found = find_pairs(crystals, None, 0.05, dissimilarity=dissimilarity, same_formula=False)
    i, j = np.nonzero(np.triu(dissimilarity.pairwise(crystals) <= 0.05 + TIE, 1))
    assert found.rows.tolist() == np.stack((i, j), axis=1).tolist()


def test_models_and_approximate_search_take_it(crystals, embedded):
    dissimilarity = CrystalDissimilarity(FEATURIZER, resolution="sites")
    volumes = np.abs(np.linalg.det(crystals.lattices)) / crystals.n_sites
    model = GRIDNeighborsRegressor(dissimilarity=dissimilarity).fit(crystals, volumes)
    np.testing.assert_array_equal(model.predict(crystals[:50]), volumes[:50])
    assert clone(model).get_params()["dissimilarity__resolution"] == "sites"
    pytest.importorskip("faiss")
    approximate = ApproximateEMDSearch(dissimilarity, n_candidates=200).fit(crystals)
    exact = EMDSearch(dissimilarity).fit(crystals)
    assert (approximate.kneighbors(crystals[:60], 3)[1] == exact.kneighbors(crystals[:60], 3)[1]).mean() > 0.98


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"elements": "substitution"}, "no metric"),
        ({"resolution": "atoms"}, "unknown resolution 'atoms'"),
        ({"neighbor_weight": -1}, "neighbor_weight"),
        ({"grid_weight": 0, "composition_weight": 0, "neighbor_weight": 0}, "are all 0"),
        ({"grid_weight": 0, "elements": "none"}, "grid_weight is 0"),
        ({"scale_volume": 17.0}, "scale_volume must be True or False"),
    ],
)
def test_parameters_that_are_wrong(crystals, parameters, message):
    dissimilarity = CrystalDissimilarity(**{"resolution": "sites"} | parameters)
    with pytest.raises((ValueError, TypeError), match=message):
        dissimilarity.describe(crystals)


def test_descriptions_that_do_not_fit(crystals):
    sites = CrystalDissimilarity(FEATURIZER, resolution="sites")
    described = sites.describe(crystals[:5])
    for parameters in ({"resolution": "grid"}, {"elements": "identity"}, {"scale_volume": True}):
        with pytest.raises(ValueError, match=f"described with {next(iter(parameters))}="):
            clone(sites).set_params(**parameters).pairwise(described)
    with pytest.raises(ValueError, match="give crystals"):
        sites.describe(crystals[:5], features=FEATURIZER.featurize_sparse(crystals[:5]))
