"""Exact search: what evaluating every pair finds, ties included."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from matminer_grid import CrystalDissimilarity, EMDSearch, GRIDFeaturizer, composition_emd, grid_emd
from matminer_grid.crystals.elements import SUBSTITUTION_ELEMENTS, species_symbol
from matminer_grid.similarity.grid_index import TIE

FEATURIZER = GRIDFeaturizer(cutoff=8.0, bin_size=0.25, n_groups=20)
SETTINGS = {"n_groups": 20, "bin_size": 0.25}
DEFAULT = CrystalDissimilarity(FEATURIZER)
PUBLISHED = CrystalDissimilarity(FEATURIZER, elements="substitution")


@pytest.fixture(scope="module")
def known(embedded):
    """Six hundred crystals of the 78 elements, the first forty twice."""
    rows = np.random.default_rng(11).permutation(len(embedded))[:700]
    within = [r for r in rows.tolist() if all(species_symbol(n) in SUBSTITUTION_ELEMENTS for n in embedded[r].numbers.tolist())]
    return embedded[[*within[:560], *within[:40]]]


@pytest.fixture(scope="module")
def queries(known, embedded):
    within = [c for c in embedded[3000:3090] if all(species_symbol(n) in SUBSTITUTION_ELEMENTS for n in c.numbers.tolist())]
    return type(known).from_crystals([*within, *known[:20]])


@pytest.mark.parametrize(
    "weights",
    [
        {"elements": "substitution"},
        {"composition_weight": 0},
        {"grid_weight": 0, "elements": "substitution"},
        {"grid_weight": 3.0, "composition_weight": 0.5},
        {"group_weights": np.linspace(2, 0, 20)},
    ],
)
@pytest.mark.parametrize("k", [1, 7])
def test_finds_what_brute_force_finds(known, queries, weights, k):
    dissimilarity = CrystalDissimilarity(FEATURIZER, **weights)
    distances, indices = EMDSearch(dissimilarity).fit(known).kneighbors(queries, k)
    grids = [FEATURIZER.featurize_many(table, pbar=False) for table in (queries, known)]
    everything = dissimilarity.grid_weight * grid_emd(*grids, **SETTINGS, group_weights=dissimilarity.group_weights)
    if dissimilarity.composition_weight:
        compositions = composition_emd(queries, known, metric=dissimilarity.composition_metric)
        everything = everything + dissimilarity.composition_weight * compositions
    assert (dissimilarity.pairwise(queries, known) == everything).all()
    expected = np.argsort(np.rint(everything / TIE), axis=1, kind="stable")[:, :k]
    assert (indices == expected).all()
    assert (distances == np.take_along_axis(everything, expected, axis=1)).all()


def test_ties_go_to_the_lower_index(known):
    distances, indices = EMDSearch(PUBLISHED).fit(known).kneighbors(known[560:600], 2)
    assert (distances == 0).all()
    assert (indices[:, 0] < 40).all()
    assert (indices[:, 1] == np.arange(560, 600)).all()


def test_references_as_queries_leave_themselves_out(known):
    distances, indices = EMDSearch(DEFAULT, n_neighbors=1).fit(known).kneighbors()
    assert (indices[:40, 0] == np.arange(560, 600)).all()
    assert (indices[:, 0] != np.arange(600)).all()
    assert (distances[:40] == 0).all()


def test_leaves_most_pairs_out(known, queries):
    search = EMDSearch(PUBLISHED).fit(known)
    search.kneighbors(queries, 1)
    assert 0 < search.transported_share_ <= search.evaluated_share_ < 0.2


def test_structures_and_features_give_the_same(known, queries):
    search = EMDSearch(PUBLISHED).fit(known)
    by_structures = search.kneighbors(queries.to_structures()[:9], 3)
    formulas = [crystal.formula for crystal in queries[:9]]
    described = PUBLISHED.describe(formulas, features=FEATURIZER.featurize_many(queries[:9], pbar=False))
    search.fit(PUBLISHED.describe(known, features=FEATURIZER.featurize_sparse(known)))
    by_features = search.kneighbors(described, 3)
    np.testing.assert_allclose(by_structures[0], by_features[0], atol=1e-12)
    assert (by_structures[1] == by_features[1]).all()


def test_threads_change_nothing(known, queries):
    results = [EMDSearch(PUBLISHED, n_jobs=n).fit(known).kneighbors(queries, 4) for n in (1, 3)]
    assert (results[0][0] == results[1][0]).all()
    assert (results[0][1] == results[1][1]).all()


def test_defaults_of_the_constructor(known, queries):
    search = EMDSearch(DEFAULT, n_neighbors=4, radius=2.0).fit(known)
    distances, indices = search.kneighbors(queries)
    assert distances.shape == indices.shape == (len(queries), 4)
    assert (search.kneighbors(queries, return_distance=False) == indices).all()
    distances, indices = search.radius_neighbors(queries)
    assert all((row <= 2 + TIE).all() for row in distances)
    alone = search.radius_neighbors(queries, 2.0, return_distance=False)
    assert [row.tolist() for row in alone] == [row.tolist() for row in indices]


def test_the_default_knows_every_element_of_the_embedded_data(embedded):
    """Thorium and neon are none of the substitution table's."""
    search = EMDSearch().fit(embedded)
    rows = np.unique(np.repeat(np.arange(len(embedded)), np.diff(embedded.species_offsets))[np.isin(embedded.numbers, [10, 90])])
    distances, indices = search.kneighbors(embedded[rows[:20]], 1)
    assert (distances == 0).all()
    assert (indices[:, 0] <= rows[:20]).all()


def test_clone_keeps_the_parameters_and_fit_leaves_them_alone(known):
    dissimilarity = CrystalDissimilarity(FEATURIZER, grid_weight=2.0)
    search = clone(EMDSearch(dissimilarity, n_neighbors=3))
    assert search.n_neighbors == 3
    assert search.dissimilarity is not dissimilarity
    assert search.dissimilarity.featurizer.cutoff == 8.0
    search.set_params(dissimilarity__grid_weight=4.0, dissimilarity__featurizer__n_groups=5).fit(known[:9])
    assert search.dissimilarity_ is not search.dissimilarity
    assert search.dissimilarity_.grid_weight == 4.0
    assert search.references_.grids.means.shape == (9, 5)
    assert dissimilarity.grid_weight == 2.0


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"grid_weight": -1}, "grid_weight must be a finite number of at least 0"),
        ({"composition_weight": np.nan}, "composition_weight must be a finite number of at least 0"),
        ({"grid_weight": 0, "composition_weight": 0}, "at least one must be above"),
        ({"elements": "pettifor"}, "unknown elements 'pettifor'"),
        ({"group_weights": [1, 2]}, "one weight a group"),
        ({"featurizer": GRIDFeaturizer(bin_size=0)}, "bin_size must be a finite number above 0 Å"),
    ],
)
def test_bad_parameters(known, parameters, message):
    with pytest.raises(ValueError, match=message):
        EMDSearch(CrystalDissimilarity(**{"featurizer": FEATURIZER} | parameters)).fit(known)


def test_bad_calls(known, queries):
    search = EMDSearch(DEFAULT)
    with pytest.raises(NotFittedError, match="call fit"):
        search.kneighbors(queries)
    search.fit(known[:5])
    with pytest.raises(ValueError, match="n_neighbors must be between 1 and the number of references, 5"):
        search.kneighbors(queries, 6)
    for k in (0, -1):
        with pytest.raises(ValueError, match="n_neighbors must be at least 1"):
            search.kneighbors(queries, k)
    with pytest.raises(ValueError, match="number of references, 4"):
        search.kneighbors(n_neighbors=5)
    with pytest.raises(TypeError, match="n_neighbors must be a whole number"):
        search.kneighbors(queries, 1.5)
    with pytest.raises(ValueError, match="n_jobs must be"):
        EMDSearch(DEFAULT, n_jobs=0).fit(known)
    with pytest.raises(TypeError, match="dissimilarity must be a CrystalDissimilarity"):
        EMDSearch(FEATURIZER).fit(known)
    with pytest.raises(TypeError, match=r"describe\(crystals, features=X\)"):
        search.fit(FEATURIZER.featurize_many(known[:5], pbar=False))
    with pytest.raises(ValueError, match="at least one reference"):
        search.fit(known[:0])
