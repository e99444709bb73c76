"""The process of the nearest crystals against that of all pairs, its slow twin."""

import numpy as np
import pytest

from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.models import GRIDKernelRegressor, learned, local
from matminer_grid.models.default import clean_rows
from matminer_grid.models.local import LocalProcess, leaves, sums_of_groups
from matminer_grid.models.process import ROUGH, LaplacianProcess, Smooth


def smooth(n: int, seed: int = 0):
    """Points in six dimensions with a smooth value."""
    random = np.random.default_rng(seed)
    x = random.random((n, 6)).astype(np.float32)
    return x, np.sin(3 * x[:, 0]) + x[:, 1].astype(np.float64) ** 2


@pytest.fixture
def true_nearest(monkeypatch):
    """Take each feature for itself in the bound, so that the nearest that it proposes are the true ones."""
    monkeypatch.setattr(local, "GROUP", 1)


def test_bound():
    x = np.random.default_rng(0).normal(size=(30, 50)).astype(np.float32)
    sums = sums_of_groups(x)
    assert sums.shape == (30, 32)
    assert (sums[:, 4:] == 0).all()
    bound, distance = (np.abs(v[:, None] - v).sum(axis=2) for v in (sums, x))
    assert (bound <= distance + 1e-4).all()


def test_leaves_hold_everything_once(monkeypatch):
    monkeypatch.setattr(local, "LEAF", 40)
    x, _ = smooth(500)
    parts = leaves(x)
    assert max(map(len, parts)) <= 40
    assert sorted(np.concatenate(parts)) == list(range(500))
    assert np.mean([x[rows].std(axis=0).mean() for rows in parts]) < 0.9 * x.std(axis=0).mean()
    assert len(leaves(np.zeros((100, 6), np.float32))) == 4  # all the same


@pytest.mark.usefixtures("true_nearest")
def test_nearest_by_brute_force():
    x, y = smooth(1500)
    process = LocalProcess.fit(x, y, 0.05, rounds=0)
    tested, _ = smooth(40, seed=1)
    apart = np.abs(tested[:, None] - x).sum(axis=2)
    rows, distances = process.nearest(tested, 50, 2)
    np.testing.assert_allclose(distances, np.take_along_axis(apart, rows, axis=1), rtol=1e-4)
    assert (np.diff(distances) >= 0).all()
    np.testing.assert_allclose(distances, np.sort(apart, axis=1)[:, :50], rtol=1e-4)
    assert (process.nearest(x[:20], 1)[0][:, 0] == np.arange(20)).all()
    assert process.nearest(tested, 9999)[0].shape == (40, 1500)


def test_nearest_of_crystals_by_the_bound():
    data = load_mp_elasticity_table()
    rows = np.random.default_rng(1).permutation(clean_rows())[:900]
    model = GRIDKernelRegressor(log_target=True, tune_iterations=0, n_jobs=1).fit(data.crystals[rows], data.K_VRH[rows])
    vectors = model.learned_[0].process.vectors
    process = LocalProcess.fit(vectors[:800], np.zeros(800), 0.05, rounds=0)
    apart = np.array([np.abs(vectors[:800] - one).sum(axis=1) for one in vectors[800:]])
    found, expected = process.nearest(vectors[800:], 50)[1].mean(axis=1), np.sort(apart, axis=1)[:, :50].mean(axis=1)
    assert (found < 1.05 * expected).all()
    assert (found < 1.01 * expected).mean() > 0.8


@pytest.mark.usefixtures("true_nearest")
@pytest.mark.parametrize("part", [ROUGH, Smooth(4.0, 1.5)])
def test_all_crystals_taken_give_the_full_process(monkeypatch, part):
    monkeypatch.setattr(local, "N_NEIGHBORS", 10_000)
    x, y = smooth(300)
    y[::50] += 3
    full, near = (kind.fit(x, y, 0.05, smooth=part, rounds=2, n_local=299) for kind in (LaplacianProcess, LocalProcess))
    np.testing.assert_allclose(near.noise, full.noise, rtol=1e-5)
    found, expected = (np.abs(process.residuals) / process.deviations for process in (near, full))
    np.testing.assert_allclose(found, expected, rtol=0.03, atol=1e-3)  # the mean is unknown here, and no crystal in it
    tested, _ = smooth(40, seed=1)
    means, variances = near.predict(tested)
    expected, without_mean = full.predict(tested, 300)
    np.testing.assert_allclose(means, expected, rtol=1e-4)
    assert (variances >= without_mean - 1e-6).all()  # the mean is unknown here
    np.testing.assert_allclose(variances, without_mean, atol=0.02)
    for found, known in zip(near.shares(tested[:1], 20), full.shares(tested[:1], 20), strict=True):
        np.testing.assert_allclose(found, known, rtol=1e-4)


@pytest.mark.usefixtures("true_nearest")
def test_a_tenth_of_the_crystals(monkeypatch):
    monkeypatch.setattr(local, "LEAF", 1000)
    x, y = smooth(4000)
    y += np.random.default_rng(2).normal(0, 0.05, len(y))
    y[::97] += 3
    tested, truth = smooth(200, seed=1)
    full, near = (kind.fit(x, y, 0.05, rounds=2) for kind in (LaplacianProcess, LocalProcess))
    errors = [np.abs(process.predict(tested)[0] - truth).mean() for process in (full, near)]
    assert errors[1] < 1.4 * errors[0]  # a tenth of the crystals, with noise: the mean of all tells more
    spoiled = np.arange(len(y)) % 97 == 0
    assert np.median(near.noise[spoiled]) > 20 * np.median(near.noise[~spoiled])
    np.testing.assert_array_equal(near.predict(tested, n_jobs=1), near.predict(tested, n_jobs=3))


def test_errors_of_left_out_crystals_are_those_of_others(monkeypatch):
    monkeypatch.setattr(local, "LEAF", 200)
    monkeypatch.setattr(local, "N_NEIGHBORS", 100)
    monkeypatch.setattr(local, "JUDGED", 500)
    x, y = smooth(3000)
    process = LocalProcess.fit(x, y, 1e-3, rounds=0, n_local=48)
    judged = np.isfinite(process.deviations)
    assert judged.sum() == 500
    known = (np.abs(process.residuals) / process.deviations)[judged]
    tested, truth = smooth(500, seed=1)
    means, variances = process.predict(tested)
    ratios = np.abs(means - truth) / np.sqrt(variances)
    for level in (0.5, 0.8, 0.95):
        assert (ratios <= np.quantile(known, level)).mean() == pytest.approx(level, abs=0.06)
    assert np.isnan(LocalProcess.fit(x[:300], y[:300], 1e-3, rounds=0).deviations).all()


@pytest.mark.filterwarnings("ignore:no training crystal")
def test_chosen_for_large_sets(monkeypatch, tmp_path):
    data = load_mp_elasticity_table()
    rows = np.random.default_rng(0).permutation(clean_rows())[:330]
    crystals, K = data.crystals[rows], data.K_VRH[rows]
    model = GRIDKernelRegressor(log_target=True, tune_samples=100, tune_iterations=1, n_jobs=1)
    full = model.fit(crystals[:280], K[:280]).predict(crystals[280:])
    monkeypatch.setattr(learned, "LARGE", 200)
    model.fit(crystals[:280], K[:280])
    assert isinstance(model.learned_[0].process, LocalProcess)
    predicted, std = model.predict(crystals[280:], return_std=True)
    np.testing.assert_allclose(predicted, full, rtol=0.3)
    assert np.abs(np.log10(predicted / full)).mean() < 0.02
    assert (std > 0).all()
    low, high = model.predict_interval(crystals[280:])
    assert ((low <= K[280:]) & (K[280:] <= high)).mean() > 0.85
    table = model.explain(crystals[290], n=3)
    assert table["share"].sum() == pytest.approx(1)
    assert 10 ** table["contribution"].sum() == pytest.approx(predicted[10])
    assert model.applicability(crystals[:5])["known"].all()
    model.save(tmp_path / "model.npz")
    again = GRIDKernelRegressor.load(tmp_path / "model.npz")
    assert isinstance(again.learned_[0].process, LocalProcess)
    np.testing.assert_array_equal(again.predict(crystals[280:]), predicted)
