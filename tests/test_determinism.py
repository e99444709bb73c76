"""The same numbers, to the last bit, for any number of threads, any order and any pieces; and the same as in former versions."""

import json

import numpy as np
import pytest

from matminer_grid import CrystalTable, GRIDFeaturizer, grid_emd
from matminer_grid.featurizers import base
from tests import reference


def make(n_jobs: int = 1, smearing: float = 0.0) -> GRIDFeaturizer:
    featurizer = GRIDFeaturizer(smearing=smearing)
    featurizer.set_n_jobs(n_jobs)
    return featurizer


@pytest.fixture(scope="module", params=[0.0, 0.1])
def smearing(request):
    return request.param


@pytest.fixture(scope="module")
def expected(sample, smearing):
    return make(smearing=smearing).featurize_many(sample, pbar=False)


@pytest.mark.parametrize("n_jobs", [2, 3, 7, -1])
def test_threads(sample, smearing, expected, n_jobs):
    featurizer = make(n_jobs, smearing)
    np.testing.assert_array_equal(featurizer.featurize_many(sample, pbar=False), expected)
    np.testing.assert_array_equal(featurizer.featurize_sparse(sample).toarray(), expected)


def test_order(sample, smearing, expected):
    order = np.random.default_rng(1).permutation(len(sample))
    np.testing.assert_array_equal(make(2, smearing).featurize_many(sample[order], pbar=False), expected[order])


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_chunks(sample, smearing, expected, size, monkeypatch):
    monkeypatch.setattr(base, "CHUNK_SIZE", size)
    monkeypatch.setattr(base, "CACHED_ROWS", size)
    np.testing.assert_array_equal(make(2, smearing).featurize_many(sample, pbar=False), expected)
    np.testing.assert_array_equal(make(2, smearing).featurize_sparse(sample).toarray(), expected)


def test_pieces(sample, smearing, expected):
    featurizer = make(smearing=smearing)
    pieces = [featurizer.featurize_many(sample[start : start + 30], pbar=False) for start in range(0, len(sample), 30)]
    np.testing.assert_array_equal(np.concatenate(pieces), expected)
    np.testing.assert_array_equal([featurizer.featurize(crystal) for crystal in sample[:40]], expected[:40])


def test_bad_rows_change_nothing(sample, smearing, expected):
    entries = list(sample)
    for row in (0, 63, 64, 150):
        entries.insert(row, None)
    features = make(2, smearing).featurize_many(entries, ignore_errors=True, pbar=False)
    bad = np.isnan(features).any(axis=1)
    assert np.nonzero(bad)[0].tolist() == [0, 63, 64, 150]
    assert np.isnan(features[bad]).all()
    np.testing.assert_array_equal(features[~bad], expected)


def test_rdf(sample):
    expected = make().rdf_many(sample)
    np.testing.assert_array_equal(make(3).rdf_many(sample), expected)
    np.testing.assert_array_equal(make().rdf_many(CrystalTable.from_crystals(reversed(list(sample))))[::-1], expected)


def test_emd_matrix(expected):
    matrix = grid_emd(expected, n_groups=100, bin_size=0.1, n_jobs=1, pbar=False)
    np.testing.assert_array_equal(grid_emd(expected, n_groups=100, bin_size=0.1, n_jobs=3, pbar=False), matrix)
    order = np.random.default_rng(2).permutation(len(expected))
    other = grid_emd(expected[order], n_groups=100, bin_size=0.1, pbar=False)
    np.testing.assert_allclose(other, matrix[np.ix_(order, order)], rtol=0, atol=1e-12)


def test_the_numbers_of_former_versions():
    """If a change is intended, say so in CHANGELOG.md and run ``python -m tests.reference``."""
    pinned = json.loads(reference.FILE.read_text())
    found = json.loads(json.dumps(reference.compute()))
    assert found.keys() == pinned.keys()
    for name, parts in pinned.items():
        if isinstance(parts, list):
            for row, former in zip(found[name], parts, strict=True):
                assert row == pytest.approx(former, rel=0, abs=2e-9), name
        else:
            for crystal, former in parts.items():
                now = found[name][crystal]
                assert now["values"] == pytest.approx(former["values"], rel=0, abs=2e-9), f"{name} of {crystal}"
                assert now == former | {"values": now["values"]}, f"{name} of {crystal}"
