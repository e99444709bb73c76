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
from matminer_grid import ApproximateEMDSearch, CrystalDissimilarity, EMDSearch, GRIDFeaturizer
from matminer_grid.crystals.elements import SUBSTITUTION_ELEMENTS, species_symbol
from matminer_grid.similarity.grid_index import TIE

pytest.importorskip("faiss")

FEATURIZER = GRIDFeaturizer(cutoff=8.0, bin_size=0.1, n_groups=40)
DISSIMILARITY = CrystalDissimilarity(FEATURIZER)


@pytest.fixture(scope="module")
def crystals(embedded):
    """Two thousand crystals of the 78 elements."""
    within = np.isin(embedded.numbers, [n for n in np.unique(embedded.numbers) if species_symbol(int(n)) in SUBSTITUTION_ELEMENTS])
    outside = np.unique(np.repeat(np.arange(len(embedded)), np.diff(embedded.species_offsets))[~within])
    return embedded[np.random.default_rng(7).permutation(np.setdiff1d(np.arange(len(embedded)), outside))[:2000]]


@pytest.fixture(scope="module")
def described(crystals):
    return DISSIMILARITY.describe(crystals)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"composition_weight": 0},
        {"grid_weight": 0},
        {"group_weights": np.linspace(2, 0, 40)},
        {"elements": "substitution"},
    ],
)
def test_finds_nearly_what_exact_search_finds(crystals, parameters):
    dissimilarity = CrystalDissimilarity(FEATURIZER, **parameters)
    described = dissimilarity.describe(crystals)
    n_candidates = 200 if "elements" in parameters else 50
    search = ApproximateEMDSearch(dissimilarity, n_candidates=n_candidates).fit(described[:1800])
    distances, indices = search.kneighbors(described[1800:], 10)
    true_distances, _ = exact_twin(search).fit(described[:1800]).kneighbors(described[1800:], 10)
    assert (distances >= true_distances - TIE).all()
    assert (distances <= true_distances[:, -1:] + TIE).mean() >= 0.95
    everything = dissimilarity.pairwise(described[1800:], described[:1800])
    assert (distances == np.take_along_axis(everything, indices, axis=1)).all()
    assert (np.diff(distances, axis=1) >= -TIE).all()
    assert all(len(set(row)) == 10 for row in indices.tolist())


def exact_twin(search: ApproximateEMDSearch) -> EMDSearch:
    return EMDSearch(search.dissimilarity)


def test_references_as_queries_leave_themselves_out(described):
    search = ApproximateEMDSearch(DISSIMILARITY, n_neighbors=3).fit(described)
    distances, indices = search.kneighbors()
    assert indices.shape == distances.shape == (2000, 3)
    assert (indices != np.arange(2000)[:, None]).all()
    exact, _ = exact_twin(search).fit(described).kneighbors(n_neighbors=3)
    assert (distances <= exact[:, -1:] + TIE).mean() >= 0.95


def test_all_references_are_candidates_of_few(described):
    approximate = ApproximateEMDSearch(DISSIMILARITY).fit(described[:9])
    exact = exact_twin(approximate).fit(described[:9])
    for queries in (described[9:20], None):
        found, expected = approximate.kneighbors(queries, 8), exact.kneighbors(queries, 8)
        assert (found[0] == expected[0]).all()
        assert (found[1] == expected[1]).all()


def test_equal_references(described):
    search = ApproximateEMDSearch(DISSIMILARITY).fit(described[np.zeros(300, np.int64)])
    distances, indices = search.kneighbors(described[:1], 10)
    assert (distances == 0).all()
    assert len(set(indices[0].tolist())) == 10


def test_structures_and_described_ones_give_the_same(crystals, described):
    search = ApproximateEMDSearch(DISSIMILARITY, n_jobs=1).fit(crystals[:300])
    by_structures = search.kneighbors(crystals[300:310].to_structures(), 3)
    distances, indices = search.fit(described[:300]).kneighbors(described[300:310], 3)
    np.testing.assert_allclose(by_structures[0], distances, atol=1e-12)
    assert (by_structures[1] == indices).all()


def test_one_thread_builds_the_same_graph_every_time(described):
    results = [
        ApproximateEMDSearch(DISSIMILARITY, n_candidates=10, n_jobs=1)
        .fit(described)
        .set_params(n_jobs=n_jobs)
        .kneighbors(described[:600], 10)
        for n_jobs in (1, 1, 3)
    ]
    for distances, indices in results[1:]:
        assert (distances == results[0][0]).all()
        assert (indices == results[0][1]).all()


def test_exact_within_a_radius(described):
    search = ApproximateEMDSearch(DISSIMILARITY).fit(described[:500])
    _, indices = search.radius_neighbors(described[500:520], radius=8.0)
    _, expected = exact_twin(search).fit(described[:500]).radius_neighbors(described[500:520], 8.0)
    assert [rows.tolist() for rows in indices] == [rows.tolist() for rows in expected]
    assert sum(map(len, indices)) > 20


def test_pickled_with_its_index(described):
    search = ApproximateEMDSearch(DISSIMILARITY).fit(described[:500])
    again = pickle.loads(pickle.dumps(search))  # noqa: S301  our own
    found, expected = (s.kneighbors(described[500:600]) for s in (again, search))
    assert (found[1] == expected[1]).all()


def test_clone_keeps_the_parameters():
    search = clone(ApproximateEMDSearch(CrystalDissimilarity(FEATURIZER, grid_weight=2.0), n_candidates=77))
    parameters = search.get_params()
    assert parameters["n_candidates"] == 77
    assert parameters["dissimilarity__grid_weight"] == 2.0
    assert parameters["dissimilarity__featurizer__n_groups"] == 40


def test_bad_calls(described):
    search = ApproximateEMDSearch(DISSIMILARITY, n_candidates=5)
    with pytest.raises(NotFittedError, match="call fit"):
        search.kneighbors(described)
    search.fit(described[:30])
    with pytest.raises(ValueError, match="n_neighbors must be at most n_candidates, 5, not 6"):
        search.kneighbors(described, 6)
    with pytest.raises(ValueError, match="number of references, 30"):
        search.kneighbors(described, 31)
    for n_candidates, error in ((0, ValueError), (2.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="n_candidates must be"):
            search.set_params(n_candidates=n_candidates).fit(described[:30])


def test_without_faiss(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match="pip install 'matminer-grid\\[approximate\\]'"):
        ApproximateEMDSearch().fit([])


def test_faiss_is_imported_when_it_is_needed():
    script = "import sys; from matminer_grid import ApproximateEMDSearch, EMDSearch, find_duplicates; print('faiss' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork")
def test_a_forked_child_does_not_hang(described):
    """After a parallel build and search in the parent, a child searches with threads of its own."""
    search = ApproximateEMDSearch(DISSIMILARITY, n_jobs=2).fit(described)
    expected = search.kneighbors(described[:400], 2)[1]
    with multiprocessing.get_context("fork").Pool(1) as pool:
        found = pool.apply_async(search.kneighbors, (described[:400], 2)).get()[1]
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
    exact, *approximate = results["rows"]
    assert exact["recall"] == 1
    assert approximate[-1]["recall"] > 0.95
    assert sum(row["default"] for row in approximate) == 1
