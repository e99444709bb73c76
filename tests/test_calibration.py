"""Intervals that hold their share, of few training crystals and many."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy.stats import t as student

from matminer_grid.crystals.inputs import as_table
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.models import GRIDKernelRegressor
from matminer_grid.models._calibration import DEGREES_OF_FREEDOM, Calibration, error_scale, optimism
from matminer_grid.models.default import clean_rows
from matminer_grid.models.learned import Learned
from matminer_grid.models.search import searches

LEVELS = (0.5, 0.8, 0.95)


@pytest.fixture(scope="module")
def described():
    """Features, log10 K and log10 G of 600 crystals, and a model that says how to learn."""
    data = load_mp_elasticity_table()
    rows = np.random.default_rng(3).permutation(clean_rows())[:600]
    described = GRIDKernelRegressor().describe(data.crystals[rows])
    model = GRIDKernelRegressor(log_target=True, tune_iterations=0, n_jobs=1).fit(described[:30], data.K_VRH[rows[:30]])
    return described.features, {"K": np.log10(data.K_VRH[rows]), "G": np.log10(data.G_VRH[rows])}, model


def look(described, target, n, seed):
    """Learn from n crystals and predict 200 others: sizes of errors, half the widths of three intervals."""
    features, values, model = described
    order = np.random.default_rng(seed).permutation(len(features))
    known, tested = order[:n], order[n : n + 200]
    model.set_params(tune_iterations=8, tune_samples=1200)
    found = Learned.fit(features[known], values[target][known], model.blocks_, model._settings())
    means, variances = found.process.predict(found.vectors(features[tested]), model.n_local)
    return np.abs(means - values[target][tested]), [found.half_widths(variances, level, np.ones(200, bool)) for level in LEVELS]


def test_scale_of_students_t():
    errors = 0.3 * student.rvs(DEGREES_OF_FREEDOM, size=20_000, random_state=0)
    assert error_scale(errors, 1.0) == pytest.approx(0.3, rel=0.02)
    errors[:200] = 1e6
    assert error_scale(errors, 1.0) == pytest.approx(0.3, rel=0.05)
    assert 0.1 < error_scale(np.full(3, 0.01), 1.0) < 1  # a few are drawn to the spread
    assert error_scale(np.full(3000, 0.01), 1.0) < 0.05


@pytest.mark.parametrize("level", LEVELS)
def test_many_errors_give_their_own_quantile(level):
    errors = np.random.default_rng(0).exponential(size=20_000)
    found = Calibration.of(errors, np.linspace(-1, 1, 20_000))
    assert found.factor(level) == pytest.approx(np.quantile(errors, level), rel=0.01)


def test_one_large_error_of_few_is_no_interval():
    found = Calibration.of(np.append(np.linspace(0.1, 2, 19), 1000), np.linspace(-2, 2, 20))
    assert 2 < found.factor(0.95) < 6
    assert (np.diff([found.factor(level) for level in (0.1, 0.5, 0.9, 0.97)]) > 0).all()


def ratios(process):
    """Sizes of leave-one-out errors over what would be stated."""
    return np.abs(process.residuals) / process.deviations


def test_errors_of_the_search_are_raised(described):
    assert optimism(20, 8) > optimism(300, 8) > optimism(300, 2) > optimism(300, 0) == 1
    features, values, model = described
    model.set_params(tune_iterations=1, tune_samples=40)
    found = Learned.fit(features[:80], values["K"][:80], model.blocks_, model._settings())
    raised = found.calibration.ratios / np.sort(ratios(found.process))
    assert 1 < raised.mean() < optimism(40, 1)
    model.set_params(tune_iterations=0)
    found = Learned.fit(features[:80], values["K"][:80], model.blocks_, model._settings())
    np.testing.assert_array_equal(found.calibration.ratios, np.sort(ratios(found.process)))


def test_many_crystals_go_on_from_what_few_found(monkeypatch, described):
    assert searches(1200, 8) == [(1200, [8, 8])]
    assert searches(4000, 8) == [(1200, [8, 8]), (4000, [8])]
    assert searches(4000, 0) == []
    monkeypatch.setattr("matminer_grid.models.search.FIRST", 60)
    features, values, model = described
    y = values["G"][:300]
    errors = []
    for taken in (60, 300):
        model.set_params(tune_iterations=8, tune_samples=taken)
        found = Learned.fit(features[:300], y, model.blocks_, model._settings())
        errors.append(np.abs(found.residuals).mean())
    assert errors[1] < 0.97 * errors[0]


def test_values_of_which_most_are_equal():
    found = Calibration.of(np.zeros(30), np.append(np.zeros(29), 1.0))
    assert 0 < found.factor(0.95) < 1


@pytest.mark.parametrize("n", [20, 30, 60])
@pytest.mark.parametrize("target", ["K", "G"])
def test_few_crystals(described, target, n):
    held, widths, needed = [], [], []
    for seed in range(8):
        errors, halves = look(described, target, n, seed)
        held.append([(errors <= half).mean() for half in halves])
        widths.append(halves[2].mean())
        needed.append(np.quantile(errors, 0.95))
    assert 0.9 < np.mean(held, axis=0)[2] < 0.995
    assert np.abs(np.mean(held, axis=0) - LEVELS).max() < 0.15
    assert np.mean(widths) < 2 * np.mean(needed)
    assert (np.array(widths) < 4 * np.mean(needed)).all()


def test_hundreds_of_crystals(described):
    held = []
    for seed in range(2):
        errors, halves = look(described, "K", 300, seed)
        held.append([(errors <= half).mean() for half in halves])
    assert np.abs(np.mean(held, axis=0) - LEVELS).max() < 0.08


def test_a_new_composition_is_judged_by_errors_without_the_whole_composition(described):
    features, values, model = described
    random, n, of_a_kind = np.random.default_rng(0), 400, 3
    features = np.repeat(features[:n], of_a_kind, axis=0)
    features = features * (1 + 1e-3 * random.normal(size=features.shape))
    y = np.repeat(values["G"][:n], of_a_kind) + 0.01 * random.normal(size=n * of_a_kind)
    kind = np.repeat(np.arange(n), of_a_kind)
    tested = np.arange(n * of_a_kind) % of_a_kind == 0
    new = (kind >= n // 2)[tested]
    known = (kind < n // 2) & ~tested
    model.set_params(tune_iterations=0)
    found = Learned.fit(features[known], y[known], model.blocks_, model._settings(), groups=kind[known])
    means, variances = found.process.predict(found.vectors(features[tested]), model.n_local)
    errors = np.abs(means - y[tested])
    held = np.array([errors <= found.half_widths(variances, level, new) for level in LEVELS])
    swapped = np.array([errors <= found.half_widths(variances, level, ~new) for level in LEVELS])
    for part in (new, ~new):
        assert np.abs(held[:, part].mean(axis=1) - LEVELS).max() < 0.09
    assert swapped[0, new].mean() < 0.35
    assert swapped[0, ~new].mean() > 0.65


def test_compositions_that_a_model_knows():
    data = load_mp_elasticity_table()
    rows = np.random.default_rng(3).permutation(clean_rows())[:300]
    model = GRIDKernelRegressor(tune_iterations=0, log_target=True).fit(data.crystals[rows], data.K_VRH[rows])
    oxide = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.21), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    known = data.crystals[int(rows[7])].to_structure()
    tested = as_table([known, known * 2, oxide, Structure(Lattice.cubic(2.9), ["Ta"], [[0, 0, 0]])])
    assert model._new_compositions(tested).tolist() == [False, False, True, True]
