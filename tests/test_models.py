"""Models: scikit-learn's conventions, invariance, calibrated uncertainty, explanations that add up, bad input."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Molecule, Structure
from scipy.spatial.distance import pdist
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from threadpoolctl import threadpool_limits

from matminer_grid import Crystal, CrystalDissimilarity, CrystalTable
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.io import read_labelled
from matminer_grid.kernels.manhattan import manhattan_and_squared_tile, manhattan_tile
from matminer_grid.models import (
    GRIDKernelClassifier,
    GRIDKernelRegressor,
    GRIDNeighborsClassifier,
    GRIDNeighborsRegressor,
    process,
)
from matminer_grid.models._extra import learn_scales, standardised
from matminer_grid.models.default import cached_file, clean_rows, default_model
from matminer_grid.models.learned import Learned, distinct
from matminer_grid.models.process import (
    ROUGH,
    LaplacianProcess,
    Smooth,
    covariance,
    covariance_of,
    left_out_variances,
    outlier_factors,
)
from matminer_grid.models.search import (
    SMOOTH_FEWEST,
    LeaveOneOutError,
    block_distances,
    smooth_part,
    softness,
    tune,
    typical_deviations,
)
from matminer_grid.models.storage import load_arrays, save_arrays
from tests.conftest import rock_salt, with_dummies

SMALL = {"tune_samples": 100, "tune_iterations": 2, "n_local": 24}


@pytest.fixture(scope="module")
def data():
    """Three hundred crystals and their bulk moduli in GPa, none of a failed calculation."""
    table = load_mp_elasticity_table()
    within = (table.elastic_anisotropy >= 0) & (table.elastic_anisotropy < 100)
    rows = np.random.default_rng(7).permutation(np.nonzero(within)[0])[:300]
    rows = rows[[not np.isin([*range(84, 120), 2, 10, 18, 36, 54], table.crystals[int(row)].numbers).any() for row in rows]]
    return table.crystals[rows], table.K_VRH[rows]


@pytest.fixture(scope="module")
def split(data):
    crystals, K = data
    return crystals[:200], K[:200], crystals[200:], K[200:]


@pytest.fixture(scope="module")
def fitted(split):
    return GRIDKernelRegressor(**SMALL).fit(*split[:2])


def quiet_call(method, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return method(*arguments, **options)


def quiet_predict(model, structures, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return model.predict(structures, **options)


def quiet_interval(model, structures):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return model.predict_interval(structures)


@pytest.mark.parametrize("model", [GRIDKernelRegressor(**SMALL), GRIDNeighborsRegressor(3, weights="distance")])
def test_follows_scikit_learn(model, split):
    train, K, test, _ = split
    before = model.get_params()
    twin = clone(model)
    assert twin.get_params() == before
    assert twin.set_params(n_jobs=1).n_jobs == 1
    with pytest.raises(NotFittedError, match="call fit"):
        twin.predict(test)
    assert twin.fit(train[:60], K[:60]) is twin
    assert quiet_predict(twin, test[:4]).shape == (4,)
    assert {k: v for k, v in twin.get_params().items() if k != "n_jobs"} == {k: v for k, v in before.items() if k != "n_jobs"}


@pytest.mark.filterwarnings("ignore:no training crystal")
def test_cross_val_score_takes_lists_of_structures(split):
    structures = split[0][:60].to_structures()
    scores = cross_val_score(
        GRIDKernelRegressor(tune_iterations=0), structures, split[1][:60], cv=2, scoring="r2", error_score="raise"
    )
    assert scores.shape == (2,)


def test_kernel_model_beats_median_and_neighbors(fitted, split):
    train, K_train, test, K_test = split
    error = np.abs(np.log10(quiet_predict(fitted, test) / K_test)).mean()
    published = GRIDNeighborsRegressor(dissimilarity=CrystalDissimilarity.from_preset("zhang2023"))
    neighbors = np.abs(np.log10(published.fit(train, K_train).predict(test) / K_test)).mean()
    median = np.abs(np.log10(np.median(K_train) / K_test)).mean()
    assert error < 0.45 * median
    assert error < 0.7 * neighbors


def test_same_for_every_cell(fitted, split):
    structures = split[2][:6].to_structures()
    expected = quiet_predict(fitted, structures, return_std=True)
    rng = np.random.default_rng(0)
    changed = []
    for structure in structures:
        supercell = structure.copy()
        supercell.make_supercell([[1, 1, 0], [0, 2, 0], [0, 1, 1]])
        supercell.translate_sites(range(len(supercell)), rng.random(3))
        changed.append(Structure.from_sites([supercell[i] for i in rng.permutation(len(supercell))]))
    for found, value in zip(quiet_predict(fitted, changed, return_std=True), expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-4)
    np.testing.assert_allclose(quiet_predict(fitted, CrystalTable.from_structures(structures)), expected[0], rtol=1e-12)
    np.testing.assert_allclose(quiet_predict(fitted, [Crystal.from_structure(s) for s in structures]), expected[0], rtol=1e-12)


def test_uncertainty(fitted, split):
    train, K_train, test, K_test = split
    _, std = quiet_predict(fitted, test, return_std=True)
    assert (std > 0).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        intervals = {coverage: fitted.predict_interval(test, coverage) for coverage in (0.5, 0.95)}
    for coverage, (lower, upper) in intervals.items():
        assert abs(((lower <= K_test) & (K_test <= upper)).mean() - coverage) < 0.15
    assert (intervals[0.95][0] < intervals[0.5][0]).all()
    relative = quiet_predict(fitted, train[:50], return_std=True)[1] / K_train[:50]
    assert np.median(relative) < np.median(std / K_test)
    with pytest.raises(ValueError, match="between 0 and 1"):
        fitted.predict_interval(test, 95)


def test_explanation_adds_up(fitted, split):
    crystal = split[2][3]
    table = fitted.explain(crystal, n=4)
    assert len(table) == 5
    assert table["share"].sum() == pytest.approx(1)
    assert 10 ** table["contribution"].sum() == pytest.approx(quiet_predict(fitted, [crystal])[0])
    known = table.iloc[:-1]
    np.testing.assert_allclose(known["value"], fitted.y_[known["row"]])
    parts = known[["composition", "structure", "bonding", "stiffness"]].sum(axis=1)
    np.testing.assert_allclose(np.exp(-parts), known["similarity"], rtol=1e-4)
    shells = fitted.compare_shells(crystal, int(known["row"][0]))
    assert shells.shape == (100,)
    assert shells.mean() == pytest.approx(known["grid_emd"][0])


def test_known_crystal_explains_itself(fitted, split):
    table = fitted.explain(split[0][5])
    assert table["row"][0] == 5
    assert table["similarity"][0] == pytest.approx(1)
    assert table["grid_emd"][0] == table["composition_emd"][0] == 0


def test_rows_that_are_none(fitted, split):
    for row in (-1, 200):  # -1 stands for all others in an explanation
        with pytest.raises(ValueError, match="row must be between 0 and 199"):
            fitted.compare_shells(split[2][0], row)
    with pytest.raises(ValueError, match="n must be at least 0"):
        fitted.explain(split[2][0], n=-2)
    assert fitted.explain(split[2][0], n=0)["row"].tolist() == [-1]


def test_unseen_element_warns_and_widens(fitted):
    uranium = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.9), ["U", "N"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    titanium = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.9), ["Ti", "N"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.warns(UserWarning, match="no training crystal holds U"):
        value, std = fitted.predict([uranium], return_std=True)
    known_value, known_std = fitted.predict([titanium], return_std=True)
    assert std[0] / value[0] > 1.15 * known_std[0] / known_value[0]


def test_outlier_loses_its_say(split):
    train, K, test, _ = split
    spoiled = K[:150].copy()
    spoiled[10] *= 30
    model = GRIDKernelRegressor(tune_iterations=0).fit(train[:150], spoiled)
    assert model.noise_[10] > 20 * np.median(model.noise_)
    clean = GRIDKernelRegressor(tune_iterations=0).fit(train[:150], K[:150])
    change = np.abs(np.log10(quiet_predict(model, test[:50]) / quiet_predict(clean, test[:50])))
    assert change.max() < 0.1


class TestOneAnswer:
    """Neither order nor duplicates of rows nor units nor threads change predictions; the last bits of features hardly do."""

    @pytest.fixture(scope="class")
    def predict(self, split):
        def predict(rows, **parameters):
            model = GRIDKernelRegressor(tune_samples=100, tune_iterations=6, **parameters).fit(split[0][rows], split[1][rows])
            return np.array([*quiet_predict(model, split[2], return_std=True), *quiet_interval(model, split[2])])

        return predict

    @pytest.fixture(scope="class")
    def expected(self, predict):
        return predict(np.arange(200), n_jobs=1)

    @pytest.mark.parametrize("n_jobs", [2, 5])
    def test_threads(self, predict, expected, n_jobs):
        with threadpool_limits(1 if n_jobs == 5 else 3):
            np.testing.assert_allclose(predict(np.arange(200), n_jobs=n_jobs), expected, rtol=1e-6)

    @pytest.mark.parametrize("seed", [0, 1])
    def test_order_and_duplicates(self, predict, expected, seed):
        random = np.random.default_rng(seed)
        rows = random.permutation(200)
        np.testing.assert_allclose(predict(rows), expected, rtol=1e-6)
        np.testing.assert_allclose(predict(np.append(rows, random.integers(0, 200, 30))), expected, rtol=1e-6)

    @pytest.mark.parametrize(("factor", "offset"), [(1000.0, 0.0), (1e-9, 0.0), (-2.5, 40.0)])
    def test_units(self, split, factor, offset):
        """Values in another unit, and from another zero, of either sign, are predicted as the same ones."""
        y = np.log10(split[1])

        def predict(values):
            model = GRIDKernelRegressor(tune_samples=100, log_target=False).fit(split[0], values)
            return *quiet_predict(model, split[2], return_std=True), quiet_interval(model, split[2])

        (known, std, ends), (found, wide, reach) = predict(y), predict(factor * y + offset)
        np.testing.assert_allclose((found - offset) / factor, known, rtol=1e-6)
        np.testing.assert_allclose(wide / abs(factor), std, rtol=1e-6)
        np.testing.assert_allclose(np.sort((np.array(reach) - offset) / factor, axis=0), ends, rtol=1e-6, atol=1e-6)

    def test_last_bits_of_features(self, fitted, split):
        features = fitted.featurizer_.featurize_many(split[0], pbar=False)
        values, test = np.log10(split[1]), fitted.featurizer_.featurize_many(split[2], pbar=False)
        noise = 1 + 1e-12 * np.random.default_rng(0).normal(size=features.shape)
        found = []
        for known in (features, features * noise):
            learned = Learned.fit(known, values, fitted.blocks_, fitted._settings())
            found.append(learned.process.predict(learned.vectors(test))[0])
        np.testing.assert_allclose(found[1], found[0], rtol=1e-3)

    def test_attributes_have_the_rows_of_the_caller(self, fitted, split):
        rows = np.append(np.random.default_rng(0).permutation(200), [7, 7])
        model = GRIDKernelRegressor(**SMALL).fit(split[0][rows], split[1][rows])
        np.testing.assert_allclose(model.residuals_, fitted.residuals_[rows], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(model.noise_, fitted.noise_[rows], rtol=1e-6)
        table, own = (one.explain(split[2][3], n=4).iloc[:4] for one in (model, fitted))
        np.testing.assert_allclose(table["share"], own["share"], rtol=1e-4)
        assert rows[table["row"]].tolist() == own["row"].tolist()
        assert table["formula"].tolist() == own["formula"].tolist()
        np.testing.assert_allclose(table["value"], own["value"])


def test_distinct_by_hand():
    features = np.array([[2.0, 1.0], [0.0, 1.0], [2.0, 1.0 + 1e-13], [2.0, 1.0], [0.0, 1.0]])
    rows, places = distinct(features, np.array([5.0, 1.0, 5.0, 4.0, 1.0]))
    assert sorted(rows.tolist()) in ([0, 1, 3], [1, 2, 3])
    assert places[0] == places[2] != places[3]
    assert places[1] == places[4]
    assert len(rows) == 3


def test_copies_are_no_training_crystals(split):
    rows = np.arange(40) % 19
    with pytest.raises(ValueError, match="only 19 of the 40 training crystals differ; at least 20"):
        GRIDKernelRegressor().fit(split[0][rows], split[1][rows])


def test_linear_target(split):
    train, K, test, _ = split
    shifted = GRIDKernelRegressor(log_target=False, tune_iterations=0).fit(train[:80], K[:80] - 100)
    plain = GRIDKernelRegressor(log_target=False, tune_iterations=0).fit(train[:80], K[:80])
    np.testing.assert_allclose(quiet_predict(shifted, test[:5]) + 100, quiet_predict(plain, test[:5]), rtol=1e-6)


@pytest.mark.parametrize(
    ("parameters", "y", "message"),
    [
        ({"log_target": True}, np.arange(30) - 3.0, r'y\[0\] is -3; with log_target=True .* say log_target=False or "auto"'),
        ({"log_target": True}, np.stack([np.arange(30) + 1.0, np.arange(30)], axis=1), r"y\[0, 1\] is 0; with log_target=True"),
        ({"log_target": "log"}, np.arange(30), "log_target must be True, False"),
        ({}, np.ones(30), "y is the same for all crystals, 1: there is nothing to learn"),
        ({}, np.stack([np.arange(30), np.ones(30)], axis=1), r"y\[:, 1\] is the same for all"),
        ({}, np.where(np.arange(30) % 5 == 4, np.inf, 1.0), r"y\[4\] is NaN or infinite, and 5 more are; leave"),
        ({}, np.ones(29), "one number a structure, 30"),
        ({}, np.where(np.arange(30) == 4, np.nan, 1.0), r"y\[4\] is NaN"),
        ({}, ["much"] * 30, "y must hold numbers.*a classifier takes names"),
        ({"tune_samples": 3}, np.arange(30), "tune_samples must be at least 20"),
        ({"tune_samples": 20.5}, np.ones(30), "tune_samples must be a whole number"),
        ({"robust_rounds": -1}, np.ones(30), "robust_rounds"),
    ],
)
def test_bad_training_data(split, parameters, y, message):
    with pytest.raises((TypeError, ValueError), match=message):
        GRIDKernelRegressor(**parameters).fit(split[0][:30], y)


def test_bad_structures(fitted, split):
    with pytest.raises(ValueError, match="at least 20 training crystals"):
        GRIDKernelRegressor().fit(split[0][:5], np.ones(5))
    with pytest.raises(TypeError, match=r"row 1.*molecule has no unit cell"):
        fitted.predict([rock_salt(), Molecule(["H"], [[0, 0, 0]])])
    with pytest.raises(TypeError, match=r"a list, tuple, array, .* of structures is needed, not int"):
        fitted.predict(3)
    with pytest.raises(ValueError, match="known from H to Lr"):
        fitted.predict([with_dummies()])
    with pytest.raises(ValueError, match="n_neighbors"):
        GRIDNeighborsRegressor(7).fit(split[0][:5], np.ones(5))
    with pytest.raises(ValueError, match="weights"):
        GRIDNeighborsRegressor(weights="inverse").fit(split[0][:5], np.ones(5))


def test_neighbors_know_themselves(split):
    train, K, _, _ = split
    model = GRIDNeighborsRegressor(4, weights="distance").fit(train[:40], K[:40])
    np.testing.assert_allclose(model.predict(train[:10]), K[:10])
    plain = GRIDNeighborsRegressor(40).fit(train[:40], K[:40])
    np.testing.assert_allclose(plain.predict(train[:2]), K[:40].mean())


def test_manhattan_kernels():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(9, 40)).astype(np.float32), rng.normal(size=(70, 40)).astype(np.float32)
    out = np.empty((9, 70), np.float32)
    manhattan_tile(x, y, out)
    np.testing.assert_allclose(out, np.abs(x[:, None] - y).sum(axis=2), rtol=1e-5)
    np.testing.assert_allclose(covariance(x, y), np.exp(-out), rtol=1e-5)
    np.testing.assert_array_equal(covariance_of(y), covariance(y, y))
    squared = np.empty((9, 70), np.float32)
    manhattan_and_squared_tile(x, y, out, squared)
    np.testing.assert_allclose(out, np.abs(x[:, None] - y).sum(axis=2), rtol=1e-5)
    np.testing.assert_allclose(squared, ((x[:, None] - y) ** 2).sum(axis=2), rtol=1e-5)
    smooth = Smooth(4.0, 10.0)
    np.testing.assert_allclose(covariance(x, y, 2, smooth), np.exp(-out) + 4 * np.exp(-squared / 200), rtol=1e-5)
    np.testing.assert_array_equal(covariance_of(y, 2, smooth), covariance(y, y, 1, smooth))


@pytest.mark.parametrize("n", [17, 64, 129, 300])
def test_large_matrices_are_inverted_by_halves(n, monkeypatch):
    monkeypatch.setattr(process, "LARGEST_FACTOR", 16)
    vectors = np.random.default_rng(n).normal(size=(n, 5)).astype(np.float32)
    matrix = covariance_of(vectors).astype(np.float64) + 0.01 * np.eye(n)
    expected = np.linalg.inv(matrix)
    np.testing.assert_allclose(np.tril(process.inverted(matrix)), np.tril(expected), atol=1e-12 * np.abs(expected).max())


def test_a_matrix_that_has_no_inverse(monkeypatch):
    for largest in (16, 8192):
        monkeypatch.setattr(process, "LARGEST_FACTOR", largest)
        with pytest.raises(np.linalg.LinAlgError, match="raise the noise"):
            process.inverted(np.diag(np.append(np.ones(30), -1.0)))


def test_the_smooth_part_is_found_where_there_is_one():
    random = np.random.default_rng(1)
    x = random.normal(size=(400, 20)).astype(np.float32)
    slope = 0.2 * x[:, :10].sum(axis=1).astype(np.float64)
    noise = random.normal(size=400)
    assert smooth_part(0.2 * x, slope + 0.01 * noise, 0.02).length > 1
    assert smooth_part(0.2 * x, noise, 0.02) == ROUGH
    few = slice(SMOOTH_FEWEST - 1)
    assert smooth_part(0.2 * x[few], slope[few], 0.02) == ROUGH
    assert smooth_part(np.ones((300, 3), np.float32), noise[:300], 0.02) == ROUGH  # all at one place
    rough, smooth = (
        LaplacianProcess.fit(0.2 * x[:300], slope[:300], 0.02, rounds=0, smooth=part)
        for part in (ROUGH, smooth_part(0.2 * x[:300], slope[:300], 0.02))
    )
    errors = [np.abs(process.predict(0.2 * x[300:])[0] - slope[300:]).mean() for process in (rough, smooth)]
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize("smooth", [ROUGH, Smooth(4.0, 0.7)])
def test_groups_left_out_in_closed_form(smooth):
    rng = np.random.default_rng(6)
    x = rng.random((40, 4)).astype(np.float32)
    y = np.sin(4 * x[:, 0]).astype(np.float64)
    y[::9] += 1
    groups = rng.permutation(np.repeat(np.arange(12), [1, 1, 1, 1, 2, 2, 3, 4, 5, 5, 6, 9]))  # the last: more than a fifth
    process = LaplacianProcess.fit(x, y, 0.05, smooth=smooth, rounds=2, n_local=25, groups=groups)
    K = covariance(x, x, 1, smooth).astype(np.float64)
    for i, group in enumerate(groups):
        if group == 11:
            assert np.isnan([process.group_residuals[i], process.group_deviations[i]]).all()
            continue
        kept = groups != group
        predicted = process.mean + K[i, kept] @ np.linalg.solve(
            K[np.ix_(kept, kept)] + np.diag(process.noise[kept]), y[kept] - process.mean
        )
        assert y[i] - predicted == pytest.approx(process.group_residuals[i], rel=1e-3, abs=1e-5)
        near = np.nonzero(kept)[0][np.argsort(-K[i, kept], kind="stable")[:25]]
        joint = K[np.ix_(near, near)] + np.diag(process.noise[near])
        variance = K[i, i] - K[i, near] @ np.linalg.solve(joint, K[i, near]) + 0.05
        assert process.group_deviations[i] == pytest.approx(np.sqrt(variance), rel=1e-3)
    alone = np.bincount(groups)[groups] == 1
    np.testing.assert_allclose(process.group_residuals[alone], process.residuals[alone], rtol=1e-9)
    np.testing.assert_array_equal(process.group_deviations[alone], process.deviations[alone])
    every = LaplacianProcess.fit(x, y, 0.05, smooth=smooth, rounds=2, n_local=25)
    np.testing.assert_array_equal(every.residuals, process.residuals)
    np.testing.assert_array_equal(every.group_deviations, every.deviations)


@pytest.mark.parametrize("smooth", [ROUGH, Smooth(4.0, 0.7)])
def test_leave_one_out_in_closed_form(smooth):
    rng = np.random.default_rng(5)
    x = rng.random((30, 4)).astype(np.float32)
    y = np.sin(4 * x[:, 0]).astype(np.float64)
    process = LaplacianProcess.fit(x, y, 0.05, smooth=smooth, rounds=0)
    kept = np.arange(30) != 7
    k = covariance(x[7:8], x[kept], 1, smooth).astype(np.float64)[0]
    joint = covariance(x[kept], x[kept], 1, smooth).astype(np.float64) + 0.05 * np.eye(29)
    predicted = process.mean + k @ np.linalg.solve(joint, y[kept] - process.mean)
    assert y[7] - predicted == pytest.approx(process.residuals[7], rel=1e-3)
    variance = 1.05 + smooth.variance - k @ np.linalg.solve(joint, k)
    for n_local in (29, 48):
        K = covariance_of(x, 1, smooth)
        left = left_out_variances(K, process.noise, n_local, np.arange(30), np.array([3, 7]))[1]
        assert left + 0.05 == pytest.approx(variance, rel=1e-3)
    stated = LaplacianProcess.fit(x, y, 0.05, smooth=smooth, rounds=0, n_local=29).deviations
    assert stated[7] == pytest.approx(np.sqrt(variance), rel=1e-3)
    _, variances = LaplacianProcess.fit(x[kept], y[kept], 0.05, smooth=smooth, rounds=0).predict(x[7:8], 29)
    assert variances[0] == pytest.approx(variance, rel=1e-3)


@pytest.fixture(scope="module")
def with_extra(split):
    """A property that only a descriptor of the user's own tells."""
    hidden = np.random.default_rng(3).normal(size=200)
    extra = {"hidden": 1e3 * hidden[:80] - 1e5, "noise": np.random.default_rng(4).normal(size=(80, 3))}
    model = GRIDKernelRegressor(**SMALL).fit(split[0][:80], hidden[:80], extra=extra, names=[f"row {i}" for i in range(80)])
    return model, extra, hidden


def test_extra_blocks(with_extra, split, tmp_path):
    model, _, hidden = with_extra
    others = {"hidden": 1e3 * hidden[80:] - 1e5, "noise": np.zeros((120, 3))}
    found = quiet_predict(model, split[0][80:], extra=others)
    assert np.corrcoef(found, hidden[80:])[0, 1] > 0.5
    assert model.weights_["extra: hidden"] > model.weights_["extra: noise"]
    without = GRIDKernelRegressor(**SMALL).fit(split[0][:80], hidden[:80])
    assert np.abs(found - hidden[80:]).mean() < 0.9 * np.abs(quiet_predict(without, split[0][80:]) - hidden[80:]).mean()
    table = model.explain(split[0][90], 3, extra={"hidden": [-1e5], "noise": np.zeros((1, 3))})
    parts = table.iloc[:-1][["composition", "structure", "bonding", "stiffness", "extra"]].sum(axis=1)
    np.testing.assert_allclose(np.exp(-parts), table.iloc[:-1]["similarity"], rtol=1e-4)
    assert table["name"].tolist() == [*(f"row {row}" for row in table["row"][:-1]), "all others"]
    model.save(tmp_path / "model.npz")
    loaded = GRIDKernelRegressor.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(quiet_predict(loaded, split[0][80:], extra=others), found)
    assert loaded.names_ == model.names_
    for wrong, message in (
        (None, "trained with extra 'hidden', 'noise': hand it over"),
        ({"hidden": others["hidden"]}, "trained with extra 'noise'"),
        (others | {"more": np.zeros(120)}, "extra 'more' is unknown to the model, which was trained with extra 'hidden', 'noise'"),
        (others | {"noise": np.zeros((120, 2))}, r"extra\['noise'\] had 3 columns in training, and has 2 here"),
        (others | {"hidden": np.zeros(7)}, r"extra\['hidden'\] must have .* 120 in all, and has the shape \(7,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            model.predict(split[0][80:], extra=wrong)
    with pytest.raises(ValueError, match="extra 'hidden' is unknown to the model, which was trained without extra"):
        without.predict(split[0][80:], extra={"hidden": others["hidden"]})


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ([1.0] * 30, "extra must be a dict of names and arrays"),
        ({3: np.ones(30)}, "extra must name each block by a text, not 3"),
        ({"a": np.ones(29)}, r"extra\['a'\] must have .* 30 in all, and has the shape \(29,\)"),
        ({"a": np.ones((30, 0))}, r"and has the shape \(30, 0\)"),
        ({"a": np.ones((30, 2, 2))}, r"and has the shape \(30, 2, 2\)"),
        ({"a": ["much"] * 30}, r"extra\['a'\] must hold numbers"),
        ({"a": np.where(np.arange(30) == 4, np.nan, 1.0)}, r"extra\['a'\]\[4\] is NaN or infinite"),
        ({"a": np.ones(30)}, r"extra\['a'\] is the same for all training crystals"),
    ],
)
def test_bad_extra(split, extra, message):
    with pytest.raises((TypeError, ValueError), match=message):
        GRIDKernelRegressor(tune_iterations=0).fit(split[0][:30], np.arange(30.0), extra=extra)


def test_an_outlier_does_not_set_the_scale_of_an_extra_block(split):
    values = np.linspace(0, 1, 60)
    spoiled = np.where(np.arange(60) == 7, 1e12, values)
    scales = [learn_scales({"a": one[:, None]})["a"] for one in (values, spoiled)]
    np.testing.assert_allclose(scales[0], scales[1], rtol=0.05)
    assert np.isfinite(standardised({"a": spoiled[:, None]}, {"a": scales[1]}, 60)).all()
    mostly_zero = np.where(np.arange(60) < 5, 1.0, 0.0)[:, None]
    assert learn_scales({"a": mostly_zero})["a"][1] > 0


def test_the_logarithm_is_chosen_where_it_is_better(split):
    train, K, *_ = split
    model = GRIDKernelRegressor(tune_iterations=0).fit(train[:100], K[:100])
    assert model.log_target_ is True
    powers = np.stack([K[:100], np.log(K[:100]), K[:100] - 60, np.maximum(K[:100] - 60, 0)], axis=1)
    assert GRIDKernelRegressor(tune_iterations=0).fit(train[:100], powers).log_target_ == [True, False, False, False]
    same = GRIDKernelRegressor(tune_iterations=0, log_target=True).fit(train[:100], K[:100])
    np.testing.assert_array_equal(quiet_predict(same, train[100:120]), quiet_predict(model, train[100:120]))


@pytest.mark.filterwarnings("ignore:no training crystal")
def test_several_targets_by_name(split, tmp_path):
    train, K, test, _ = split
    both = pd.DataFrame({"K": K[:60], "shifted": K[:60] - 100})
    model = GRIDKernelRegressor(tune_iterations=0).fit(train[:60], both)
    lower, upper = model.predict_interval(test[:4])
    value, std = model.predict(test[:4], return_std=True)
    assert lower.shape == upper.shape == value.shape == std.shape == (4, 2)
    assert ((lower < value) & (value < upper)).all()
    assert model.noise_.shape == model.residuals_.shape == (60, 2)
    table = model.explain(test[0], target="shifted")
    assert table["contribution"].sum() == pytest.approx(value[0, 1])
    assert table.equals(model.explain(test[0], target=1))
    np.testing.assert_allclose(table["value"][:-1], model.y_[table["row"][:-1], 1])
    with pytest.raises(ValueError, match="no target 'G'; the names of the targets are K, shifted"):
        model.explain(test[0], target="G")
    with pytest.raises(ValueError, match="target must be between 0 and 1"):
        model.explain(test[0], target=2)
    model.save(tmp_path / "model.npz")
    loaded = GRIDKernelRegressor.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(quiet_predict(loaded, test[:4]), value)
    assert loaded.target_names_ == ["K", "shifted"]
    assert loaded.log_target_ == model.log_target_


@pytest.mark.parametrize("size", [60, 200])
def test_probabilities_are_better_than_shares_and_neighbors(size):
    table = load_mp_elasticity_table()
    rows = np.random.default_rng(2).permutation(clean_rows())[:500]
    described = GRIDKernelClassifier().describe(table.crystals[rows])
    K, G = table.K_VRH[rows], table.G_VRH[rows]
    for kinds in (np.digitize(K, np.quantile(K, [0.4, 0.8])), (G < 0.57 * K).astype(int)):
        losses = []
        for seed in range(3):
            order = np.random.default_rng(seed).permutation(len(rows))
            train, test = order[:size], order[-250:]
            ours = GRIDKernelClassifier().fit(described[train], kinds[train])
            near = GRIDNeighborsClassifier(10, weights="distance").fit(described.crystals[train], kinds[train])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                found = [ours.predict_proba(described[test]), near.predict_proba(described.crystals[test])]
            found.append(np.tile(np.bincount(kinds[train]) / size, (len(test), 1)))
            of_the_true = [np.maximum(p[np.arange(len(test)), kinds[test]], 1e-6) for p in found]
            losses.append([-np.log(p).mean() for p in of_the_true])
        ours_mean, near_mean, share_mean = np.mean(losses, axis=0)
        assert ours_mean < 0.98 * min(near_mean, share_mean)


def test_probabilities_of_neighbors_are_no_larger_than_one():
    """Weights of seven neighbours add up to a little more, and scikit-learn refuses that."""
    crystals = load_mp_elasticity_table().crystals
    for n_neighbors in (5, 7, 10):
        near = GRIDNeighborsClassifier(n_neighbors, weights="distance").fit(crystals[:60], np.arange(60) < 30)
        near.y_ = np.full(60, True)  # all neighbours are of one class
        found = near.predict_proba(crystals[60:200])
        assert found.max() == 1
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize("name", ["K_VRH", "G_VRH", "band_gap"])
@pytest.mark.parametrize("size", [40, 120])
def test_the_logarithm_is_not_left_to_chance(name, size):
    if name == "band_gap":
        read = read_labelled(Path(__file__).parents[1] / "notebooks" / "data" / "band_gaps.parquet")
        crystals, y = read.crystals, read.properties[name].to_numpy()
    else:
        table = load_mp_elasticity_table()
        rows = np.nonzero((table.K_VRH > 1) & (table.G_VRH > 1) & (table.crystals.n_sites <= 8))[0][::12]
        crystals, y = table.crystals[rows], getattr(table, name)[rows]
    model = GRIDKernelRegressor(tune_iterations=0, robust_rounds=0)
    described = model.describe(crystals)
    for seed in range(3):
        sample = np.random.default_rng(seed).permutation(len(y))[:size]
        assert model.fit(described[sample], y[sample]).log_target_ is True, seed
        upside_down = y[sample].max() + y[sample].min() - y[sample]  # a long lower tail
        assert model.fit(described[sample], upside_down).log_target_ is False, seed


def test_probabilities_are_calibrated(data):
    crystals, _ = data
    volumes = np.array([abs(np.linalg.det(crystal.lattice)) / crystal.n_sites for crystal in crystals])
    noisy = volumes * np.exp(np.random.default_rng(2).normal(scale=0.25, size=len(volumes)))
    roomy = noisy > np.median(volumes)
    model = GRIDKernelClassifier(**SMALL).fit(crystals[:200], roomy[:200])
    probability = quiet_call(model.predict_proba, crystals[200:])[:, 1]
    truth = roomy[200:]
    assert ((probability > 0.5) == truth).mean() > 0.75
    assert abs(probability.mean() - truth.mean()) < 0.12
    sure = np.abs(probability - 0.5) > 0.3
    assert sure.sum() > 20
    assert ((probability > 0.5) == truth)[sure].mean() > 0.8
    table = model.explain(crystals[210])
    assert set(table["value"][:-1]) <= {True, False}


def test_a_class_of_one_member(split):
    kinds = np.array(["a"] * 20 + ["b"] * 9 + ["alone"])
    with pytest.raises(ValueError, match=r"the class 'alone' has one member, y\[29\]"):
        GRIDKernelClassifier().fit(split[0][:30], kinds)
    with pytest.raises(ValueError, match="y holds one class only, 'a'"):
        GRIDKernelClassifier().fit(split[0][:30], ["a"] * 30)
    with pytest.raises(ValueError, match="at least 20 training crystals"):
        GRIDKernelClassifier().fit(split[0][:10], kinds[15:25])


def test_block_distances():
    x = np.random.default_rng(7).normal(size=(150, 9)).astype(np.float32)
    blocks = [slice(0, 2), slice(2, 9)]
    expected = [pdist(x[:, block], "cityblock") for block in blocks]
    np.testing.assert_allclose(block_distances(x, blocks, 2), expected, rtol=1e-5)


def test_error_of_the_search():
    rng = np.random.default_rng(8)
    x, y = rng.random((70, 3)).astype(np.float32), rng.normal(size=70)
    blocks = [slice(0, 1), slice(1, 3)]
    initial, parameters = np.zeros(3), np.log([0.7, 1.5, 0.1])
    error = LeaveOneOutError(block_distances(x, blocks, 1), y, initial, 0.3)
    error.find_outliers(parameters)
    assert error.factors.max() > 1
    found, gradient = error(parameters)
    weighted = (x * [0.7, 1.5, 1.5]).astype(np.float32)
    joint = covariance(weighted, weighted) + 3.0 + np.diag(0.1 * error.factors)
    inverse = np.linalg.inv(joint)
    centred = y - np.median(y)
    residuals = inverse @ centred / inverse.diagonal()  # the slow twin: by the inverse as it is
    residuals /= 1.4826 * np.median(np.abs(centred))
    loss = error.softness * (np.sqrt(1 + (residuals / error.softness) ** 2) - 1).mean() + 0.5 * 0.3 * (parameters**2).mean()
    assert found == pytest.approx(loss, rel=1e-5)
    step = 1e-4
    slopes = [(error(parameters + e)[0] - error(parameters - e)[0]) / (2 * step) for e in step * np.eye(3)]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-3, atol=1e-5)


def test_softness_of_values_that_hardly_vary():
    assert softness(typical_deviations(np.zeros(9))) == 1
    nearly = typical_deviations(np.append(np.zeros(99), 5.0))  # the median deviation is 0
    assert 0 < softness(nearly) < 0.1
    np.testing.assert_allclose(nearly.std(), 10)


def test_tuning_finds_what_matters():
    rng = np.random.default_rng(6)
    x = rng.random((150, 2)).astype(np.float32)
    y = np.sin(6 * x[:, 0]).astype(np.float64)
    weights, noise = tune(x, y, [slice(0, 1), slice(1, 2)], np.ones(2), 0.05, steps=[15, 15], prior=1e-5)
    assert weights[0] > 5 * weights[1]
    assert noise > 0


def test_outlier_factors():
    factors = outlier_factors(np.array([0.01, -0.01, 0.012, 0.009, 1.0]))
    assert factors[:4].max() < 2
    assert factors[4] > 100
    assert outlier_factors(np.zeros(5)).tolist() == [1] * 5
    hostile = outlier_factors(1e-200 * np.array([0, 0, 0, 1.0]))
    assert np.isfinite(hostile).all()
    assert (hostile >= 1).all()


def test_saved_model_predicts_the_same(fitted, split, tmp_path):
    path = tmp_path / "model.npz"
    fitted.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.npz"]
    loaded = GRIDKernelRegressor.load(path)
    assert loaded.get_params() == fitted.get_params()
    for found, value in zip(
        quiet_predict(loaded, split[2], return_std=True), quiet_predict(fitted, split[2], return_std=True), strict=True
    ):
        np.testing.assert_array_equal(found, value)
    assert loaded.explain(split[2][0]).equals(fitted.explain(split[2][0]))


def test_damaged_model_is_refused(fitted, tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    fitted.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cut short"):
        GRIDKernelRegressor.load(path)
    path.write_bytes(whole)
    monkeypatch.setattr("matminer_grid.models.storage.__version__", "0.0.0")
    with pytest.raises(ValueError, match=r"written in format 9 by matminer-grid .*this is 0\.0\.0.*train anew"):
        GRIDKernelRegressor.load(path)
    with pytest.raises(NotFittedError):
        GRIDKernelRegressor().save(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"header": '{"version": "0.1.0"}'}, r"format 1 by matminer-grid 0\.1\.0; .* reads format 9: train anew"),
        ({"header": "[3]"}, "no model of matminer-grid"),
        ({"features": np.ones(3)}, "no model of matminer-grid"),
    ],
)
def test_files_that_are_no_models(tmp_path, content, message):
    np.savez(tmp_path / "x.npz", **content)
    with pytest.raises(ValueError, match=message):
        GRIDKernelRegressor.load(tmp_path / "x.npz")
    np.save(tmp_path / "x.npy", np.ones(3))
    with pytest.raises(ValueError, match="no model of matminer-grid"):
        GRIDKernelRegressor.load(tmp_path / "x.npy")


def test_stored_arrays(tmp_path):
    path = tmp_path / "x"
    save_arrays(path, "Model", {"n": np.int64(3), "name": None}, {"a": np.arange(3), "b": np.array(2.5)})
    parameters, arrays = load_arrays(path, "Model")
    assert parameters == {"n": 3, "name": None}
    assert list(arrays) == ["a", "b"]
    np.testing.assert_array_equal(arrays["a"], [0, 1, 2])
    with pytest.raises(ValueError, match="holds a Model, no Other"):
        load_arrays(path, "Other")
    with pytest.raises(TypeError, match="can't be saved"):
        save_arrays(path, "Model", {"seed": np.random.default_rng(0)}, {})
    assert load_arrays(path, "Model")[0] == {"n": 3, "name": None}


def test_default_model_is_kept(monkeypatch, tmp_path, fitted):
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_, **__: str(tmp_path))
    trained = []

    def fit(self, crystals, y, names):
        trained.append(len(y))
        self.__dict__.update(fitted.__dict__)
        return self

    monkeypatch.setattr(GRIDKernelRegressor, "fit", fit)
    assert (default_model("K_VRH").y_ == default_model("K_VRH").y_).all()
    assert trained == [len(clean_rows())] == [11347]
    cached_file("K_VRH").write_bytes(b"cut short")
    with pytest.warns(UserWarning, match="trained anew"):
        default_model("K_VRH")
    assert len(trained) == 2
    default_model("K_VRH", limit=50)
    assert trained[-1] == 50
    with pytest.raises(ValueError, match="unknown target"):
        default_model("E_VRH")
    with pytest.raises(ValueError, match="limit must be at least 20"):
        default_model("K_VRH", limit=5)
