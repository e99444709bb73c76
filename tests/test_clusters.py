"""Vectors in clusters: what looking at all of them finds, whatever they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from matminer_grid.kernels.clusters import ROUNDING
from matminer_grid.similarity.clusters import Clusters, lower_bounds, reach, rounded


def naive_distances(query, vectors):
    """Manhattan distances, one component after the other."""
    return np.array([sum(abs(float(a) - float(b)) for a, b in zip(query, vector, strict=True)) for vector in vectors])


VALUES = st.floats(-100, 100, width=32) | st.sampled_from([0.0, 1.0, 1 / 3, 1e-30, 99.9])


@given(arrays(np.float64, st.tuples(st.integers(1, 60), st.integers(1, 5)), elements=VALUES), st.data())
def test_search_in_clusters_finds_what_looking_at_all_does(vectors, data):
    query = data.draw(arrays(np.float64, vectors.shape[1:], elements=VALUES) | st.sampled_from(list(vectors)))
    left_out = data.draw(st.integers(-1, len(vectors) - 1))
    clusters = Clusters.of(*rounded(vectors))
    (point,), error = rounded(query[None])
    to_centers = clusters.to_centers(point)
    exact = naive_distances(query, vectors)
    margin = error + clusters.error

    computed = naive_distances(point, clusters.vectors[np.argsort(clusters.rows)])
    assert (lower_bounds(computed, margin) <= exact).all()
    m = data.draw(st.integers(1, 8))
    best, rows = np.full(m, np.inf), np.full(m, -1)
    clusters.nearest(point, to_centers, left_out, 1000, best, rows)
    computed[left_out if left_out >= 0 else len(computed) :][:1] = np.inf
    expected = np.sort(computed)[:m]
    np.testing.assert_allclose(best[: len(expected)], expected, rtol=ROUNDING)
    there = rows[np.isfinite(best)]
    np.testing.assert_allclose(computed[there - 1000], best[np.isfinite(best)], rtol=ROUNDING)
    assert len(set(there.tolist())) == len(there) == min(m, len(vectors) - (left_out >= 0))

    limit = data.draw(st.sampled_from(exact.tolist()) | st.floats(0, 300))
    found, distances, n_looked_at = clusters.within(point, to_centers, reach(limit, margin))
    assert len(set(found.tolist())) == len(found) <= n_looked_at <= len(vectors)
    assert set(np.nonzero(exact <= limit)[0].tolist()) <= set(found.tolist())
    assert (lower_bounds(distances, margin) <= exact[found] + 1e-12).all()


@pytest.mark.parametrize("n", [1, 2, 1000])
def test_clusters_hold_every_vector_once_in_order(n):
    vectors = np.random.default_rng(n).normal(size=(n, 12)).repeat(2, axis=0)
    clusters = Clusters.of(*rounded(vectors), n_jobs=1)
    assert sorted(clusters.rows.tolist()) == list(range(2 * n))
    assert clusters.offsets[0] == 0
    assert clusters.offsets[-1] == 2 * n
    np.testing.assert_array_equal(clusters.vectors, vectors.astype(np.float32)[clusters.rows])
    for cluster, center in enumerate(clusters.centers):
        own = slice(clusters.offsets[cluster], clusters.offsets[cluster + 1])
        assert (np.diff(clusters.distances[own]) >= 0).all()
        np.testing.assert_allclose(clusters.distances[own], naive_distances(center, clusters.vectors[own]), rtol=ROUNDING)


@pytest.mark.compiled
def test_most_vectors_are_never_looked_at():
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.normal(size=(200, 30)), 50, axis=0) + rng.normal(0, 0.01, size=(10_000, 30))
    clusters = Clusters.of(*rounded(vectors))
    looked_at = []
    for query in vectors[::500].astype(np.float32):
        best, rows = np.full(1, np.inf), np.full(1, -1)
        looked_at.append(clusters.nearest(query, clusters.to_centers(query), -1, 0, best, rows))
    assert np.mean(looked_at) < 500
