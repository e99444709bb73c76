"""Exact search: what evaluating every pair finds, ties included."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from matminer_grid import EMDSearch, GRIDFeaturizer, composition_emd, grid_emd
from matminer_grid.crystals.elements import SUBSTITUTION_ELEMENTS, species_symbol
from matminer_grid.similarity.search import TIE

FEATURIZER = GRIDFeaturizer(cutoff=8.0, bin_size=0.25, n_groups=20)
SETTINGS = {"n_groups": 20, "bin_size": 0.25}


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
        {},
        {"composition_weight": 0},
        {"grid_weight": 0},
        {"composition_metric": "modified_pettifor", "grid_weight": 3.0, "composition_weight": 0.5},
        {"group_weights": np.linspace(2, 0, 20)},
    ],
)
@pytest.mark.parametrize("k", [1, 7])
def test_finds_what_brute_force_finds(known, queries, weights, k):
    search = EMDSearch(FEATURIZER, **weights).fit(known)
    distances, indices = search.kneighbors(queries, k=k)
    grids = [FEATURIZER.featurize_many(table, pbar=False) for table in (queries, known)]
    everything = search.grid_weight * grid_emd(*grids, **SETTINGS, group_weights=search.group_weights)
    if search.composition_weight:
        everything = everything + search.composition_weight * composition_emd(queries, known, metric=search.composition_metric)
    np.testing.assert_allclose(search.dissimilarity(queries), everything, atol=1e-9)
    expected = np.argsort(np.rint(everything / TIE), axis=1, kind="stable")[:, :k]
    assert (indices == expected).all()
    np.testing.assert_allclose(distances, np.take_along_axis(everything, expected, axis=1), atol=1e-9)


def test_ties_go_to_the_lower_index(known):
    search = EMDSearch(FEATURIZER).fit(known)
    distances, indices = search.kneighbors(known[560:600], k=2)
    assert (distances < TIE).all()
    assert (indices[:, 0] < 40).all()
    assert (indices[:, 1] == np.arange(560, 600)).all()


def test_references_as_queries_leave_themselves_out(known):
    distances, indices = EMDSearch(FEATURIZER).fit(known).kneighbors(k=1)
    assert (indices[:40, 0] == np.arange(560, 600)).all()
    assert (indices[:, 0] != np.arange(600)).all()
    assert (distances[:40] < TIE).all()


def test_leaves_most_pairs_out(known, queries):
    search = EMDSearch(FEATURIZER).fit(known)
    search.kneighbors(queries, k=1)
    assert 0 < search.transported_share_ <= search.evaluated_share_ < 0.2


def test_structures_and_features_give_the_same(known, queries):
    by_structures = EMDSearch(FEATURIZER).fit(known).kneighbors(queries.to_structures()[:9], k=3)
    features = FEATURIZER.featurize_sparse(known)
    formulas = [crystal.formula for crystal in queries[:9]]
    by_features = (
        EMDSearch(**SETTINGS).fit(features, known).kneighbors(FEATURIZER.featurize_many(queries[:9], pbar=False), formulas, k=3)
    )
    np.testing.assert_allclose(by_structures[0], by_features[0], atol=1e-12)
    assert (by_structures[1] == by_features[1]).all()


def test_threads_change_nothing(known, queries):
    results = [EMDSearch(FEATURIZER, n_jobs=n).fit(known).kneighbors(queries, k=4) for n in (1, 3)]
    assert (results[0][0] == results[1][0]).all()
    assert (results[0][1] == results[1][1]).all()


def test_clone_keeps_the_parameters():
    search = clone(EMDSearch(FEATURIZER, grid_weight=2.0, composition_metric="modified_pettifor"))
    assert search.grid_weight == 2.0
    assert search.composition_metric == "modified_pettifor"
    assert search.featurizer.cutoff == 8.0


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"grid_weight": -1}, "grid_weight must be a finite number of at least 0"),
        ({"composition_weight": np.nan}, "composition_weight must be a finite number of at least 0"),
        ({"grid_weight": 0, "composition_weight": 0}, "at least one must be above"),
        ({"composition_metric": "pettifor"}, "unknown composition_metric 'pettifor'"),
        ({"n_jobs": 0}, "n_jobs must be"),
        ({"group_weights": [1, 2]}, "one weight a group"),
    ],
)
def test_bad_parameters(known, parameters, message):
    with pytest.raises(ValueError, match=message):
        EMDSearch(FEATURIZER, **parameters).fit(known)


def test_bad_calls(known, queries):
    search = EMDSearch(FEATURIZER)
    with pytest.raises(NotFittedError, match="call fit"):
        search.kneighbors(queries)
    search.fit(known[:5])
    for k in (0, 6, -1):
        with pytest.raises(ValueError, match="k must be between 1 and the number of references, 5"):
            search.kneighbors(queries, k=k)
    with pytest.raises(ValueError, match="number of references, 4"):
        search.kneighbors(k=5)
    with pytest.raises(TypeError, match="k must be a whole number"):
        search.kneighbors(queries, k=1.5)
    with pytest.raises(TypeError, match="EMDSearch\\(featurizer=GRIDFeaturizer"):
        EMDSearch().fit(known)
    with pytest.raises(ValueError, match="compositions are needed"):
        EMDSearch(**SETTINGS).fit(FEATURIZER.featurize_many(known[:5], pbar=False))
    with pytest.raises(ValueError, match="at least one reference"):
        search.fit(known[:0])
    with pytest.raises(ValueError, match="bins a group"):
        EMDSearch(n_groups=20, composition_weight=0).fit(np.eye(3, 40)).kneighbors(np.eye(3, 60))
