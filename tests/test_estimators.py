"""scikit-learn's manners, for every estimator and featurizer: its own checks as far as structures allow, and more."""

import pickle

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import IStructure
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted

from matminer_grid import (
    ApproximateEMDSearch,
    Crystal,
    CrystalDissimilarity,
    CrystalTable,
    EMDSearch,
    GRIDFeaturizer,
    PowderPatternFeaturizer,
    ReflectionPairsFeaturizer,
    StructureFactorFeaturizer,
)
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.featurizers import ChemistryFeaturizer
from matminer_grid.models import GRIDKernelClassifier, GRIDKernelRegressor, GRIDNeighborsClassifier, GRIDNeighborsRegressor

SMALL_GRID = GRIDFeaturizer(cutoff=6.0, bin_size=0.5, n_groups=8)
SMALL = CrystalDissimilarity(SMALL_GRID)
REGRESSORS = [GRIDNeighborsRegressor(dissimilarity=SMALL), GRIDKernelRegressor(log_target=False, tune_iterations=0)]
CLASSIFIERS = [GRIDNeighborsClassifier(3, dissimilarity=SMALL), GRIDKernelClassifier(tune_iterations=0)]
SEARCHES = [EMDSearch(SMALL), ApproximateEMDSearch(SMALL)]
FEATURIZERS = [
    SMALL_GRID,
    StructureFactorFeaturizer(),
    PowderPatternFeaturizer(),
    ReflectionPairsFeaturizer(),
    ChemistryFeaturizer(),
]
FITTED = [*REGRESSORS, *CLASSIFIERS, *SEARCHES]
ESTIMATORS = [*FITTED, SMALL, *FEATURIZERS]


def name_of(value):
    return type(value).__name__


def every(estimators):
    return pytest.mark.parametrize("estimator", estimators, ids=name_of)


class Numbers:
    """Takes rows of numbers, as scikit-learn's checks hand them over, and makes a crystal of each."""

    @staticmethod
    def crystals(X):
        X = np.asarray(X, dtype=np.float64)
        waves = np.sin(X @ np.linspace(0.4, 0.9, X.shape[1]))
        sites = np.array([29, 79]), np.ones(2), np.arange(2)
        return [Crystal(np.eye(3) * (4 + wave), [[0, 0, 0], [0.5, 0.5, 0.5 + 0.1 * wave]], *sites) for wave in waves]

    def fit(self, X, y=None):
        return super().fit(self.crystals(X), y)


class NumbersToValues(Numbers):
    def predict(self, X):
        return super().predict(self.crystals(X))


class NeighborsOfNumbers(NumbersToValues, GRIDNeighborsRegressor):
    pass


class KernelOfNumbers(NumbersToValues, GRIDKernelRegressor):
    pass


class NumbersToClasses(NumbersToValues):
    def predict_proba(self, X):
        return super().predict_proba(self.crystals(X))


class NeighborsClassesOfNumbers(NumbersToClasses, GRIDNeighborsClassifier):
    pass


class KernelClassesOfNumbers(NumbersToClasses, GRIDKernelClassifier):
    pass


class SearchOfNumbers(Numbers, EMDSearch):
    pass


class GRIDOfNumbers(Numbers, GRIDFeaturizer):
    def transform(self, X):
        return super().transform(self.crystals(X))


ADAPTED = [
    NeighborsOfNumbers(dissimilarity=SMALL),
    KernelOfNumbers(log_target=False, tune_iterations=0),
    NeighborsClassesOfNumbers(dissimilarity=SMALL),
    KernelClassesOfNumbers(tune_iterations=0),
    SearchOfNumbers(SMALL),
    GRIDOfNumbers(cutoff=6.0, bin_size=0.5, n_groups=8),
]

NO_COLUMNS = "structures have no columns to count or to name, so there is no n_features_in_"
NO_ARRAY = "structures are no array of numbers; that other objects are refused, and which, test_crystal and test_matminer show"

CANT_APPLY = {
    "check_array_api_input": NO_ARRAY,
    "check_classifier_data_not_an_array": NO_ARRAY,
    "check_classifiers_train": NO_COLUMNS,
    "check_complex_data": NO_ARRAY,
    "check_dtype_object": NO_ARRAY,
    "check_estimator_sparse_array": NO_ARRAY,
    "check_estimator_sparse_matrix": NO_ARRAY,
    "check_estimator_sparse_tag": NO_ARRAY,
    "check_estimators_dtypes": NO_ARRAY,
    "check_estimators_empty_data_messages": NO_ARRAY,
    "check_estimators_nan_inf": "NaN in coordinates is Crystal's own error, which test_crystal looks at",
    "check_f_contiguous_array_estimator": NO_ARRAY,
    "check_fit1d": NO_ARRAY,
    "check_fit2d_1feature": NO_COLUMNS,
    "check_fit2d_1sample": "the kernel model says that it needs 20 crystals, in other words than the check knows",
    "check_fit2d_predict1d": NO_ARRAY,
    "check_n_features_in": NO_COLUMNS,
    "check_n_features_in_after_fitting": NO_COLUMNS,
    "check_readonly_memmap_input": NO_ARRAY,
    "check_regressor_data_not_an_array": NO_ARRAY,
    "check_regressors_train": "it asks for a score on data whose columns mean something; benchmarks score the models",
    "check_regressors_no_decision_function": "it fits 10 rows, and the kernel model needs 20 crystals",
    "check_supervised_y_2d": "it asks for a warning; y of one column says clearly what is meant, and test_targets looks at it",
    "check_supervised_y_no_nan": "our message names the row, as test_targets shows, not the words that the check knows",
    "check_transformer_data_not_an_array": NO_ARRAY,
    "check_mixin_order": "matminer's BaseFeaturizer puts BaseEstimator before TransformerMixin",
    "check_transformer_preserve_dtypes": NO_ARRAY,
}
"""Checks of scikit-learn that don't run here, with the reason."""


def checks_of(estimator):
    return [(one, check) for one, check in estimator_checks.estimator_checks_generator(estimator) if check]


def check_name(check):
    return check.func.__name__


GENERATED = [(estimator, check) for adapted in ADAPTED for estimator, check in checks_of(adapted)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("estimator", "check"),
    [(estimator, check) for estimator, check in GENERATED if check_name(check) not in CANT_APPLY],
    ids=lambda value: check_name(value) if hasattr(value, "func") else name_of(value),
)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.skipif(not hasattr(estimator_checks, "check_estimator_sparse_tag"), reason="this scikit-learn has fewer checks")
def test_the_table_names_checks_that_exist():
    assert [name for name in CANT_APPLY if not hasattr(estimator_checks, name)] == []
    assert CANT_APPLY.keys() - {check_name(check) for _, check in GENERATED} <= {"check_array_api_input"}


@pytest.fixture(scope="module")
def structures():
    """Forty structures of at most eight sites."""
    table = load_mp_elasticity_table().crystals
    return table[np.nonzero(table.n_sites <= 8)[0][10:410:10]].to_structures()


@pytest.fixture(scope="module")
def y(structures):
    return np.array([structure.density for structure in structures])


def answer(estimator, X):
    """What an estimator says of structures."""
    for method in ("predict_proba", "predict", "kneighbors", "pairwise", "transform"):
        if hasattr(estimator, method):
            return np.concatenate([np.asarray(part, float).ravel() for part in np.atleast_1d(getattr(estimator, method)(X))])
    raise AssertionError(f"{estimator} answers nothing")


def fit(estimator, X, y):
    if not hasattr(estimator, "fit"):
        return estimator
    if is_classifier(estimator):
        return estimator.fit(X, np.where(y > np.median(y), "dense", "light"))
    return estimator.fit(X, y) if is_regressor(estimator) else estimator.fit(X)


@every(ESTIMATORS)
def test_constructor_stores_its_arguments_untouched(estimator):
    for name in estimator.get_params(deep=False):
        value = object()
        made = type(estimator)(**{name: value})
        assert getattr(made, name) is value
        assert set(vars(made)) >= set(made.get_params(deep=False))


@every(ESTIMATORS)
def test_clone_and_parameters(estimator):
    twin = clone(estimator)
    assert twin is not estimator
    assert repr(twin) == repr(estimator)
    assert twin.get_params().keys() == estimator.get_params().keys()
    for name, value in estimator.get_params(deep=False).items():
        assert twin.set_params(**{name: value}) is twin
        assert getattr(twin, name) is value
    with pytest.raises(ValueError, match="Invalid parameter"):
        twin.set_params(no_such_parameter=1)


@every([*REGRESSORS[:1], *SEARCHES])
def test_parameters_of_parameters(estimator):
    twin = clone(estimator).set_params(dissimilarity__grid_weight=3.0, dissimilarity__featurizer__bin_size=0.25)
    assert twin.dissimilarity.grid_weight == 3.0
    assert twin.dissimilarity.featurizer.bin_size == 0.25
    assert estimator.dissimilarity.grid_weight == 10.0


@pytest.mark.filterwarnings("ignore:no training crystal")
@every(ESTIMATORS)
def test_fit_pickle_and_fit_again(estimator, structures, y):
    twin = clone(estimator)
    parameters = twin.get_params(deep=False)
    copies, y_copy = [structure.copy() for structure in structures], y.copy()
    assert fit(twin, structures, y) is twin
    expected = answer(twin, structures[:5])
    assert structures == copies
    np.testing.assert_array_equal(y, y_copy)
    assert all(value is parameters[name] for name, value in twin.get_params(deep=False).items())
    np.testing.assert_array_equal(answer(pickle.loads(pickle.dumps(twin)), structures[:5]), expected)  # noqa: S301  its own
    np.testing.assert_array_equal(answer(fit(twin, structures, y), structures[:5]), expected)
    np.testing.assert_array_equal(answer(fit(clone(twin), structures, y), structures[:5]), expected)


@every(FITTED)
def test_not_fitted(estimator, structures):
    twin = clone(estimator)
    with pytest.raises(NotFittedError):
        check_is_fitted(twin)
    for name in ("predict", "predict_proba", "predict_interval", "explain", "kneighbors", "radius_neighbors"):
        if hasattr(twin, name):
            with pytest.raises(NotFittedError):
                getattr(twin, name)(structures[0])


@pytest.mark.filterwarnings("ignore:no training crystal")
@every(ESTIMATORS)
def test_structures_in_any_container(estimator, structures, y):
    as_objects = np.empty(len(structures), dtype=object)
    as_objects[:] = structures
    frame = pd.DataFrame({"structure": structures})
    containers = [
        tuple(structures),
        as_objects,
        as_objects[:, None],
        frame["structure"],
        frame.set_axis(np.arange(100, 100 + len(frame))[::-1])["structure"],
        frame,
        CrystalTable.from_structures(structures),
        [Crystal.from_structure(structure) for structure in structures],
        [IStructure.from_sites(structure) for structure in structures],
    ]
    expected = answer(fit(clone(estimator), structures, y), structures)
    for X in containers:
        np.testing.assert_array_equal(answer(fit(clone(estimator), X, y), X), expected)
    with pytest.raises(ValueError, match="one column of structures is needed, not 2"):
        answer(fit(clone(estimator), structures, y), frame.assign(other=1))


@pytest.mark.filterwarnings("ignore:no training crystal")
@every(REGRESSORS)
def test_targets(estimator, structures, y):
    expected = clone(estimator).fit(structures, y).predict(structures[:3])
    for same in (y[:, None], pd.Series(y, index=np.arange(len(y))[::-1]), y.tolist(), pd.DataFrame({"y": y}), y.astype(object)):
        np.testing.assert_array_equal(clone(estimator).fit(structures, same).predict(structures[:3]), expected)
    for wrong in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match=r"y\[7\] is NaN or infinite"):
            clone(estimator).fit(structures, np.where(np.arange(len(y)) == 7, wrong, y))
    for shape in (y[:-1], y[None], y[:, None, None], np.empty((len(y), 0)), 3.0):
        with pytest.raises(ValueError, match=f"one number a structure, {len(y)} in all"):
            clone(estimator).fit(structures, shape)
    with pytest.raises(ValueError, match="requires y to be passed"):
        clone(estimator).fit(structures, None)


@pytest.mark.filterwarnings("ignore:no training crystal")
@every(REGRESSORS)
def test_several_targets(estimator, structures, y):
    both = np.stack([y, -(y**2)], axis=1)
    model = clone(estimator).fit(structures, both)
    expected = [clone(estimator).fit(structures, one).predict(structures[:6]) for one in both.T]
    np.testing.assert_allclose(model.predict(structures[:6]), np.stack(expected, axis=1), rtol=1e-9)
    frame = pd.DataFrame(both, columns=["density", "other"])
    named = clone(estimator).fit(structures, frame).predict(structures[:6])
    np.testing.assert_allclose(named, np.stack(expected, axis=1), rtol=1e-9)
    assert model.score(structures, both) > 0.7
    both[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"y\[3, 1\] is NaN or infinite; leave"):
        clone(estimator).fit(structures, both)


@pytest.mark.filterwarnings("ignore:no training crystal")
@every(CLASSIFIERS)
def test_classes(estimator, structures, y):
    kinds = np.digitize(y, np.quantile(y, [0.33, 0.67]))
    names = np.array(["light", "medium", "dense"])[kinds]
    expected = clone(estimator).fit(structures, names)
    assert expected.classes_.tolist() == ["dense", "light", "medium"]
    probabilities = expected.predict_proba(structures)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (expected.predict(structures) == expected.classes_[probabilities.argmax(axis=1)]).all()
    assert expected.score(structures, names) > 0.7
    for same in (names[:, None], names.tolist(), names.astype(object), pd.Series(names), pd.Series(names, dtype="category")):
        np.testing.assert_array_equal(clone(estimator).fit(structures, same).predict_proba(structures), probabilities)
    assert clone(estimator).fit(structures, kinds).predict(structures[:3]).dtype.kind == "i"
    assert clone(estimator).fit(structures, kinds > 0).classes_.tolist() == [False, True]
    for wrong, message in (
        (None, "requires y to be passed"),
        (names[:-1], f"one class a structure, {len(y)} in all"),
        (np.where(kinds == 0, np.nan, kinds), r"y\[\d+\] is missing or NaN"),
        ([None, *names[1:]], r"y\[0\] is missing or NaN"),
        (np.array([3, *names[1:].tolist()], dtype=object), "classes of one kind, such as texts, not int and str"),
        (y, "Unknown label type"),
    ):
        with pytest.raises(ValueError, match=message):
            clone(estimator).fit(structures, wrong)


@pytest.mark.filterwarnings("ignore:no training crystal")
@every([*REGRESSORS, *CLASSIFIERS])
def test_saved_models(estimator, structures, y, tmp_path):
    model = fit(clone(estimator), structures, y)
    model.save(tmp_path / "model.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["model.npz"]
    loaded = type(estimator).load(tmp_path / "model.npz")
    np.testing.assert_array_equal(answer(loaded, structures), answer(model, structures))
    np.testing.assert_array_equal(loaded.y_, model.y_)
    if hasattr(model, "explain"):
        assert loaded.explain(structures[0]).equals(model.explain(structures[0]))
    with pytest.raises(NotFittedError):
        clone(estimator).save(tmp_path / "other.npz")
    with pytest.raises(ValueError, match=f"holds a {name_of(estimator)}, no "):
        next(type(other) for other in FITTED if type(other) is not type(estimator)).load(tmp_path / "model.npz")


@pytest.mark.filterwarnings("ignore:no training crystal")
@every(REGRESSORS)
def test_scores_and_cross_validation(estimator, structures, y):
    fitted = clone(estimator).fit(structures, y)
    assert 0.9 < fitted.score(structures, y) <= 1
    predicted = cross_val_predict(estimator, structures, y, cv=2)
    half = len(structures) // 2
    np.testing.assert_array_equal(predicted[:half], clone(estimator).fit(structures[half:], y[half:]).predict(structures[:half]))
    np.testing.assert_array_equal(cross_val_predict(estimator, CrystalTable.from_structures(structures), y, cv=2), predicted)
    np.testing.assert_array_equal(cross_val_predict(estimator, pd.DataFrame({"structure": structures}), y, cv=2), predicted)


def test_grid_search_reaches_the_dissimilarity(structures, y):
    choices = {"dissimilarity__grid_weight": [0.0, 10.0], "dissimilarity__featurizer__bin_size": [0.5, 1.0], "n_neighbors": [1, 3]}
    search = GridSearchCV(REGRESSORS[0], choices, cv=2, error_score="raise").fit(structures, y)
    assert len(search.cv_results_["params"]) == 8
    best = search.best_estimator_
    assert best.dissimilarity_.grid_weight == search.best_params_["dissimilarity__grid_weight"]
    assert best.dissimilarity_ is not best.dissimilarity
    assert SMALL.grid_weight == 10.0
    assert search.predict(structures[:3]).shape == (3,)


@every([estimator for estimator in FITTED if "dissimilarity" in estimator.get_params(deep=False)])  # the others learn one
def test_the_dissimilarity_is_copied(estimator, structures, y):
    fitted = fit(clone(estimator), structures, y)
    expected = answer(fitted, structures[:3])
    fitted.dissimilarity.set_params(grid_weight=0.0)
    np.testing.assert_array_equal(answer(fitted, structures[:3]), expected)


@every(FEATURIZERS)
def test_feature_names_and_frames(estimator, structures):
    featurizer = clone(estimator)
    names = featurizer.get_feature_names_out()
    assert names.tolist() == featurizer.feature_labels()
    assert len(set(names.tolist())) == len(names)
    frame = pd.DataFrame({"structure": structures}, index=np.arange(len(structures))[::-1])
    out = featurizer.set_output(transform="pandas").fit_transform(frame)
    assert out.columns.tolist() == names.tolist()
    np.testing.assert_array_equal(out.to_numpy(), clone(estimator).transform(structures))
    assert not hasattr(featurizer, "n_features_in_")


@every(FEATURIZERS[:2])
def test_features_in_a_pipeline(estimator, structures, y):
    pipeline = make_pipeline(clone(estimator), Ridge())
    assert cross_val_predict(pipeline, structures, y, cv=2).shape == y.shape
    assert pipeline.fit(structures, y)[:-1].get_feature_names_out().tolist() == estimator.feature_labels()


@every(FITTED)
def test_structures_have_no_columns(estimator, structures, y):
    fitted = fit(clone(estimator), structures, y)
    assert not hasattr(fitted, "n_features_in_")
    assert not hasattr(fitted, "feature_names_in_")


@every(FITTED)
def test_jobs(estimator, structures, y):
    expected = answer(fit(clone(estimator).set_params(n_jobs=1), structures, y), structures)
    for n_jobs in (None, 2, -1):
        np.testing.assert_array_equal(answer(fit(clone(estimator).set_params(n_jobs=n_jobs), structures, y), structures), expected)
    for wrong in (0, 1.5, "many"):
        with pytest.raises((TypeError, ValueError), match="n_jobs"):
            answer(fit(clone(estimator).set_params(n_jobs=wrong), structures, y), structures)
