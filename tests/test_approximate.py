"""Approximate search: exact distances, nearly always the right neighbours, and no threads that hang a fork."""

import json
import multiprocessing
import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from benchmarks._perturbed import perturbed_copies
from benchmarks.approximate import main
from matminer_grid import ApproximateEMDSearch, EMDSearch, GRIDFeaturizer
from matminer_grid.crystals.elements import SUBSTITUTION_ELEMENTS, species_symbol
from matminer_grid.similarity.search import TIE

pytest.importorskip("faiss")

FEATURIZER = GRIDFeaturizer(cutoff=8.0, bin_size=0.1, n_groups=40)
SETTINGS = {"n_groups": 40, "bin_size": 0.1}


@pytest.fixture(scope="module")
def crystals(embedded):
    """Two thousand crystals of the 78 elements."""
    within = np.isin(embedded.numbers, [n for n in np.unique(embedded.numbers) if species_symbol(int(n)) in SUBSTITUTION_ELEMENTS])
    outside = np.unique(np.repeat(np.arange(len(embedded)), np.diff(embedded.species_offsets))[~within])
    return embedded[np.random.default_rng(7).permutation(np.setdiff1d(np.arange(len(embedded)), outside))[:2000]]


@pytest.fixture(scope="module")
def features(crystals):
    return FEATURIZER.featurize_sparse(crystals)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"composition_weight": 0},
        {"grid_weight": 0},
        {"group_weights": np.linspace(2, 0, 40)},
        {"composition_metric": "substitution", "n_candidates": 200},
    ],
)
def test_finds_nearly_what_exact_search_finds(crystals, features, parameters):
    approximate = ApproximateEMDSearch(**SETTINGS, **parameters).fit(features[:1800], crystals[:1800])
    exact = exact_twin(approximate).fit(features[:1800], crystals[:1800])
    distances, indices = approximate.kneighbors(features[1800:], crystals[1800:], k=10)
    true_distances, _ = exact.kneighbors(features[1800:], crystals[1800:], k=10)
    assert (distances >= true_distances - TIE).all()
    assert (distances <= true_distances[:, -1:] + TIE).mean() >= 0.95
    everything = exact.dissimilarity(features[1800:], crystals[1800:])
    np.testing.assert_allclose(distances, np.take_along_axis(everything, indices, axis=1), atol=1e-9)
    assert (np.diff(distances, axis=1) >= -TIE).all()
    assert all(len(set(row)) == 10 for row in indices.tolist())


def exact_twin(search: ApproximateEMDSearch) -> EMDSearch:
    return EMDSearch(**{name: value for name, value in search.get_params(deep=False).items() if name != "n_candidates"})


def test_references_as_queries_leave_themselves_out(crystals, features):
    search = ApproximateEMDSearch(**SETTINGS).fit(features, crystals)
    distances, indices = search.kneighbors(k=3)
    assert indices.shape == distances.shape == (2000, 3)
    assert (indices != np.arange(2000)[:, None]).all()
    exact, _ = exact_twin(search).fit(features, crystals).kneighbors(k=3)
    assert (distances <= exact[:, -1:] + TIE).mean() >= 0.95


def test_all_references_are_candidates_of_few(crystals, features):
    approximate = ApproximateEMDSearch(**SETTINGS).fit(features[:9], crystals[:9])
    exact = exact_twin(approximate).fit(features[:9], crystals[:9])
    for queries in ((features[9:20], crystals[9:20]), (None, None)):
        found, expected = approximate.kneighbors(*queries, k=8), exact.kneighbors(*queries, k=8)
        np.testing.assert_allclose(found[0], expected[0], atol=1e-12)
        assert (found[1] == expected[1]).all()


def test_equal_references(crystals, features):
    rows = np.zeros(300, np.int64)
    search = ApproximateEMDSearch(**SETTINGS).fit(features[rows], crystals[rows])
    distances, indices = search.kneighbors(features[:1], crystals[:1], k=10)
    assert (distances < TIE).all()
    assert len(set(indices[0].tolist())) == 10


def test_structures_and_features_give_the_same(crystals, features):
    by_structures = (
        ApproximateEMDSearch(FEATURIZER, n_jobs=1).fit(crystals[:300]).kneighbors(crystals[300:310].to_structures(), k=3)
    )
    by_features = ApproximateEMDSearch(**SETTINGS, n_jobs=1).fit(features[:300], crystals[:300])
    distances, indices = by_features.kneighbors(features[300:310], crystals[300:310], k=3)
    np.testing.assert_allclose(by_structures[0], distances, atol=1e-12)
    assert (by_structures[1] == indices).all()


def test_one_thread_builds_the_same_graph_every_time(crystals, features):
    results = [
        ApproximateEMDSearch(**SETTINGS, n_candidates=10, n_jobs=1)
        .fit(features, crystals)
        .set_params(n_jobs=n_jobs)
        .kneighbors(features[:600], crystals[:600], k=10)
        for n_jobs in (1, 1, 3)
    ]
    for distances, indices in results[1:]:
        assert (distances == results[0][0]).all()
        assert (indices == results[0][1]).all()


def test_exact_within_a_radius(crystals, features):
    search = ApproximateEMDSearch(**SETTINGS).fit(features[:500], crystals[:500])
    _, indices = search.radius_neighbors(features[500:520], crystals[500:520], radius=8.0)
    _, expected = exact_twin(search).fit(features[:500], crystals[:500]).radius_neighbors(features[500:520], crystals[500:520], 8.0)
    assert [rows.tolist() for rows in indices] == [rows.tolist() for rows in expected]
    assert sum(map(len, indices)) > 20


def test_pickled_with_its_index(crystals, features):
    search = ApproximateEMDSearch(**SETTINGS).fit(features[:500], crystals[:500])
    again = pickle.loads(pickle.dumps(search))  # noqa: S301  our own
    found, expected = (s.kneighbors(features[500:600], crystals[500:600], k=5) for s in (again, search))
    assert (found[1] == expected[1]).all()


def test_clone_keeps_the_parameters():
    search = clone(ApproximateEMDSearch(FEATURIZER, n_candidates=77, grid_weight=2.0))
    assert (search.n_candidates, search.grid_weight, search.featurizer.n_groups) == (77, 2.0, 40)


def test_bad_calls(crystals, features):
    search = ApproximateEMDSearch(**SETTINGS, n_candidates=5)
    with pytest.raises(NotFittedError, match="call fit"):
        search.kneighbors(features, crystals)
    search.fit(features[:30], crystals[:30])
    with pytest.raises(ValueError, match="k must be at most n_candidates, 5, not 6"):
        search.kneighbors(features, crystals, k=6)
    with pytest.raises(ValueError, match="number of references, 30"):
        search.kneighbors(features, crystals, k=31)
    for n_candidates in (0, 2.5, True):
        with pytest.raises(ValueError, match="n_candidates must be a whole number of at least 1"):
            search.set_params(n_candidates=n_candidates).fit(features[:30], crystals[:30])


def test_without_faiss(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match="pip install 'matminer-grid\\[approximate\\]'"):
        ApproximateEMDSearch(n_groups=1, composition_weight=0).fit(np.eye(3))


def test_faiss_is_imported_when_it_is_needed():
    script = "import sys; from matminer_grid import ApproximateEMDSearch, EMDSearch, find_duplicates; print('faiss' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork")
def test_a_forked_child_does_not_hang(crystals, features):
    """After a parallel build and search in the parent, a child searches with threads of its own."""
    search = ApproximateEMDSearch(**SETTINGS, n_jobs=2).fit(features, crystals)
    expected = search.kneighbors(features[:400], crystals[:400], k=2)[1]
    with multiprocessing.get_context("fork").Pool(1) as pool:
        found = pool.apply_async(search.kneighbors, (features[:400], crystals[:400], 2)).get()[1]
    assert (found == expected).all()


def test_perturbed_copies():
    numbers = [3, 8, 9, 11, 12, 16, 17, 26, 27, 28]
    copies, again = (perturbed_copies(300, numbers, seed=4) for _ in range(2))
    assert not copies.errors()
    assert set(copies.numbers.tolist()) <= set(numbers)
    assert (copies.frac_coords == again.frac_coords).all()
    assert (copies.numbers == again.numbers).all()
    assert len(np.unique(copies.lattices, axis=0)) == 300


@pytest.mark.parametrize("metric", ["modified_pettifor", "substitution"])
def test_benchmark(tmp_path, metric):
    main(["--size", "300", "--queries", "20", "-k", "5", "--metric", metric, "--output", str(tmp_path)])
    results = json.loads((tmp_path / "approximate.json").read_text())
    recalls = [row["recall"] for row in results["approximate"]]
    assert recalls[-1] > 0.95
    assert sum(row["default"] for row in results["approximate"]) == 1
