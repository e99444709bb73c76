"""CrystalDissimilarity: distances that are distances, for structures in any container, with scikit-learn's manners."""

import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from joblib import Parallel, cpu_count, delayed
from pymatgen.core import IStructure
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import DBSCAN, OPTICS
from sklearn.exceptions import NotFittedError
from sklearn.manifold import MDS, TSNE
from sklearn.model_selection import GridSearchCV, cross_val_score

from matminer_grid import (
    ApproximateEMDSearch,
    CrystalDissimilarity,
    CrystalTable,
    EMDSearch,
    GRIDFeaturizer,
    composition_emd,
    find_pairs,
    grid_emd,
)
from matminer_grid._threads import n_processes, n_threads
from matminer_grid.models import GRIDNeighborsRegressor
from matminer_grid.similarity import DescribedCrystals
from tests.strategies import crystals

FEATURIZER = GRIDFeaturizer(cutoff=6.0, bin_size=0.3, n_groups=12)
SIZES = {"n_groups": 12, "bin_size": 0.3, "pbar": False}
BOTH = [CrystalDissimilarity(FEATURIZER), CrystalDissimilarity(FEATURIZER, elements="substitution")]
IDS = ["modified_pettifor", "substitution"]


@pytest.fixture(scope="module")
def some(sample) -> CrystalTable:
    """A hundred crystals of the 78 elements."""
    within = [row for row in range(len(sample)) if not np.isin(sample[row].numbers, [2, 10, 18, 36, 54]).any()]
    return sample[[row for row in within if sample[row].numbers.max() <= 83][:100]]


@pytest.fixture(scope="module")
def with_supercells(embedded) -> CrystalTable:
    """Five hundred embedded crystals, fifty of them supercells of others."""
    small = np.nonzero(embedded.n_sites <= 6)[0][:50]
    cells = [structure * (2, 1, 1) for structure in embedded[small].to_structures()]
    others = np.random.default_rng(3).choice(np.setdiff1d(np.arange(len(embedded)), small), 400, replace=False)
    return CrystalTable.concatenate([embedded[small], CrystalTable.from_structures(cells), embedded[others]])


class TestDistances:
    @pytest.mark.parametrize("dissimilarity", BOTH, ids=IDS)
    def test_bits(self, some, dissimilarity):
        """Whatever is compared with what, in which order and by which kernel: the same bits, and 0 for equal rows."""
        described = dissimilarity.describe(some)
        matrix = dissimilarity.pairwise(described)
        assert (matrix == matrix.T).all()
        assert (np.diag(matrix) == 0).all()
        assert (matrix >= 0).all()
        order = np.random.default_rng(0).permutation(len(some))
        assert (dissimilarity.pairwise(described[order], described) == matrix[order]).all()
        assert (dissimilarity.pairwise(described, described[order]) == matrix[:, order]).all()
        assert (dissimilarity.pairwise(described[order]) == matrix[order][:, order]).all()
        distances, rows = EMDSearch(dissimilarity, n_neighbors=100).fit(described).kneighbors(described)
        assert (distances == np.take_along_axis(matrix, rows, axis=1)).all()
        assert dissimilarity.distance(some[3], some[7]) == matrix[3, 7]

    def test_parts(self, some):
        X = FEATURIZER.featurize_sparse(some)
        for weights in (None, np.linspace(3, 0, 12)):
            matrix = grid_emd(X, X, **SIZES, group_weights=weights)
            assert (matrix == grid_emd(X, **SIZES, group_weights=weights)).all()
            assert (matrix == matrix.T).all()
            assert (np.diag(matrix) == 0).all()
        for metric in IDS:
            matrix = composition_emd(some, some[:], metric, pbar=False)
            assert (matrix == composition_emd(some, metric=metric, pbar=False)).all()
            assert (matrix == matrix.T).all()
            assert (np.diag(matrix) == 0).all()

    @given(st.lists(crystals(), min_size=3, max_size=3), st.floats(0, 0.2))
    def test_axioms(self, three, smearing):
        featurizer = GRIDFeaturizer(cutoff=4.0, bin_size=0.25, n_groups=8, smearing=smearing)
        three = [*three, three[0]]
        for matrix in (
            CrystalDissimilarity(featurizer, composition_weight=0).pairwise(three, list(three)),
            composition_emd(["NaCl", "Na3Cl", "K2O", "NaCl"]),
        ):
            assert (matrix == matrix.T).all()
            assert (np.diag(matrix) == 0).all()
            assert matrix[0, 3] == 0
            assert (matrix >= 0).all()
            assert (matrix[:, None, :] <= matrix[:, :, None] + matrix[None, :, :] + 1e-9).all()

    @pytest.mark.filterwarnings("ignore")  # of the libraries: iterations, threads and divisions
    def test_scipy_and_scikit_learn_take_the_matrix_as_it_is(self, with_supercells):
        matrix = CrystalDissimilarity().pairwise(with_supercells)
        assert matrix.shape == (500, 500)
        assert (matrix == matrix.T).all()
        assert (np.diag(matrix) == 0).all()
        assert (matrix[np.arange(50), np.arange(50, 100)] < 1e-9).all()
        assert np.isfinite(linkage(squareform(matrix, checks=True), "average")).all()
        same = DBSCAN(eps=1e-6, min_samples=2, metric="precomputed").fit_predict(matrix)
        assert (same[:50] >= 0).all()
        assert (same[:50] == same[50:100]).all()
        assert OPTICS(metric="precomputed", min_samples=5).fit_predict(matrix).shape == (500,)
        name = "metric" if "metric_mds" in inspect.signature(MDS).parameters else "dissimilarity"
        places = [
            TSNE(metric="precomputed", init="random", max_iter=250, random_state=0).fit_transform(matrix),
            MDS(n_init=1, max_iter=20, random_state=0, **{name: "precomputed"}).fit_transform(matrix),
        ]
        assert all(np.isfinite(place).all() and place.shape == (500, 2) for place in places)

    @pytest.mark.filterwarnings("ignore")  # umap's own
    def test_umap_takes_the_matrix_as_it_is(self, with_supercells):
        umap = pytest.importorskip("umap")
        matrix = CrystalDissimilarity().pairwise(with_supercells)
        place = umap.UMAP(metric="precomputed", n_epochs=20, random_state=0).fit_transform(matrix)
        assert place.shape == (500, 2)
        assert np.isfinite(place).all()


class TestGRIDArrays:
    def test_one_crystal(self, some):
        """What `grid` gives is one crystal, also where its width would pass for features."""
        for featurizer in (FEATURIZER, GRIDFeaturizer(6.0, 0.5, 12), GRIDFeaturizer(6.0, 0.25, 12)):
            sizes = {"n_groups": 12, "bin_size": featurizer.bin_size, "pbar": False}
            X = featurizer.featurize_many(some[:9], pbar=False)
            expected = grid_emd(X[:1], X, **sizes)
            assert (grid_emd(featurizer.grid(some[0]), X, **sizes) == expected).all()
            assert (grid_emd(X, scipy.sparse.csr_array(featurizer.grid(some[0])), **sizes) == expected.T).all()

    def test_as_many_crystals_as_groups(self, some):
        X = FEATURIZER.featurize_many(some[:12], pbar=False)
        assert grid_emd(X, **SIZES).shape == (12, 12)

    @pytest.mark.parametrize(
        ("n_groups", "message"), [(24, "the mean distance of group 3 is below that of group 2"), (6, "sums to 2; groups are")]
    )
    def test_another_number_of_groups(self, n_groups, message):
        featurizer = GRIDFeaturizer(cutoff=6.0, bin_size=0.3, n_groups=12)
        iron = IStructure(2.87 * np.eye(3), ["Fe", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]])
        with pytest.raises(ValueError, match=message):
            grid_emd(featurizer.featurize_many([iron], pbar=False), n_groups=n_groups, bin_size=0.3)


class TestDescribed:
    def test_rows(self, some):
        dissimilarity = BOTH[0]
        described = dissimilarity.describe(some)
        matrix = dissimilarity.pairwise(described)
        mask = np.arange(100) % 3 == 0
        for rows in (slice(10, 20), np.array([5, 5, 2]), mask, [7], 7):
            part = described[rows]
            kept = np.atleast_1d(np.arange(100)[rows])
            assert len(part) == len(kept)
            assert (dissimilarity.pairwise(part, described) == matrix[kept]).all()
        again = DescribedCrystals.concatenate([described[:30], described[30:31], described[31:]])
        assert (dissimilarity.pairwise(again) == matrix).all()
        assert (again.features != FEATURIZER.featurize_sparse(some)).nnz == 0
        assert (dissimilarity.pairwise(pickle.loads(pickle.dumps(described))) == matrix).all()  # noqa: S301  our own

    def test_taken_wherever_structures_are(self, some):
        dissimilarity = BOTH[0]
        described = dissimilarity.describe(some)
        assert dissimilarity.describe(described) is described
        y = np.arange(100.0)
        for estimator in (EMDSearch(dissimilarity), GRIDNeighborsRegressor(3, dissimilarity=dissimilarity)):
            arguments = () if isinstance(estimator, EMDSearch) else (y,)
            ask = EMDSearch.kneighbors if isinstance(estimator, EMDSearch) else GRIDNeighborsRegressor.predict
            found = ask(estimator.fit(described, *arguments), described[:9])
            np.testing.assert_array_equal(found, ask(clone(estimator).fit(some, *arguments), some[:9]))
        pairs = [find_pairs(X, None, 2.0, dissimilarity=dissimilarity).rows for X in (described, some)]
        np.testing.assert_array_equal(*pairs)

    def test_weights_may_change_afterwards(self, some):
        described = BOTH[0].describe(some)
        for weights in ({"grid_weight": 3.0}, {"grid_weight": 0}, {"composition_weight": 0}, {"group_weights": np.arange(12.0)}):
            dissimilarity = CrystalDissimilarity(FEATURIZER, **weights)
            np.testing.assert_array_equal(dissimilarity.pairwise(described), dissimilarity.pairwise(some))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {"featurizer": GRIDFeaturizer(6.0, 0.3, 12, smearing=0.1)},
                "with smearing=0.0, and the dissimilarity has smearing=0.1",
            ),
            ({"featurizer": None}, "with cutoff=6.0, and the dissimilarity has cutoff=10.0"),
            ({"elements": "substitution"}, "has elements='substitution': describe them with it"),
        ],
    )
    def test_for_another_dissimilarity(self, some, change, message):
        described = BOTH[0].describe(some[:5])
        with pytest.raises(ValueError, match=message):
            clone(BOTH[0]).set_params(**change).pairwise(described)

    def test_bad_calls(self, some):
        X = FEATURIZER.featurize_sparse(some[:5])
        dissimilarity = BOTH[0]
        with pytest.raises(ValueError, match="described already"):
            dissimilarity.describe(dissimilarity.describe(some[:5]), features=X)
        with pytest.raises(ValueError, match=r"have 20 bins in each of 12 groups and GRIDFeaturizer\(.*\) makes 40"):
            CrystalDissimilarity(GRIDFeaturizer(6.0, 0.15, 12)).describe(some[:5], features=X)
        with pytest.raises(ValueError, match="5 rows of features and 4 compositions"):
            dissimilarity.describe(some[:4], features=X)
        with pytest.raises(ValueError, match="compositions are needed beside the features"):
            dissimilarity.describe(None, features=X)
        for numbers in (X, X.toarray()):
            with pytest.raises(TypeError, match="structures are needed, not an array of numbers"):
                dissimilarity.describe(numbers)
        grids_alone = CrystalDissimilarity(FEATURIZER, composition_weight=0).describe(some[:5])
        with pytest.raises(ValueError, match="described without compositions"):
            dissimilarity.pairwise(grids_alone)
        with pytest.raises(ValueError, match="described in different ways"):
            DescribedCrystals.concatenate([dissimilarity.describe(some[:5]), grids_alone])
        with pytest.raises(ValueError, match="at least one part"):
            DescribedCrystals.concatenate([])
        with pytest.raises(ValueError, match="two crystals are needed, not 2 and 1"):
            dissimilarity.distance(some[:2], some[0])
        with pytest.raises(ValueError, match="unknown preset 'report'; choose one of 'default', 'zhang2023'"):
            CrystalDissimilarity.from_preset("report")
        with pytest.raises(TypeError, match=r"featurizer must be a GRIDFeaturizer, not 0\.1"):
            CrystalDissimilarity(0.1).describe(some)
        for wrong in (FEATURIZER, "zhang2023"):
            with pytest.raises(TypeError, match=r"dissimilarity must be a CrystalDissimilarity, such as .*, not"):
                find_pairs(some, None, 0.1, dissimilarity=wrong)
        with pytest.raises(ValueError, match=r"row 1 .*: Ne is none of the 78 elements"):
            BOTH[1].describe([some[0], IStructure(4.4 * np.eye(3), ["Ne"], [[0, 0, 0]])])


CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "Series": lambda structures: pd.Series(structures, index=range(5, 5 + len(structures))),
    "DataFrame": lambda structures: pd.DataFrame({"structure": structures}),
    "table": CrystalTable.from_structures,
    "immutable": lambda structures: [IStructure.from_sites(structure) for structure in structures],
    "crystals": lambda structures: list(CrystalTable.from_structures(structures)),
}


@pytest.mark.parametrize("name", [*CONTAINERS, "array", "column"])
def test_structures_in_any_container(some, name):
    structures = some[:12].to_structures()
    array = np.empty(12, object)
    array[:] = structures
    X = {"array": array, "column": array.reshape(-1, 1)}[name] if name in {"array", "column"} else CONTAINERS[name](structures)
    dissimilarity = BOTH[0]
    expected = dissimilarity.pairwise(some[:12])
    np.testing.assert_allclose(dissimilarity.pairwise(X), expected, atol=1e-9)
    search = EMDSearch(dissimilarity).fit(X)
    np.testing.assert_allclose(search.kneighbors(X, 3)[0], np.sort(expected, axis=1)[:, :3], atol=1e-9)
    y = np.arange(12.0)[:, None]
    np.testing.assert_array_equal(GRIDNeighborsRegressor(dissimilarity=dissimilarity).fit(X, y).predict(X), y[:, 0])


ESTIMATORS = [
    EMDSearch(BOTH[0], n_neighbors=3),
    ApproximateEMDSearch(BOTH[0], n_neighbors=3, n_jobs=1),
    GRIDNeighborsRegressor(3, dissimilarity=BOTH[0]),
]


class TestManners:
    """scikit-learn's rules, as far as they make sense.

    Its own `check_estimator` hands over arrays of numbers, which aren't structures: checks of dtypes, NaN, sparse input, numbers of
    features, feature names and set_output (there are no transformers here) can't apply.
    """

    @pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda one: type(one).__name__)
    def test_estimators(self, some, estimator):
        if isinstance(estimator, ApproximateEMDSearch):
            pytest.importorskip("faiss")
        arguments = (np.arange(100.0),) if isinstance(estimator, GRIDNeighborsRegressor) else ()
        ask = "predict" if arguments else "kneighbors"
        before = estimator.get_params()
        with pytest.raises(NotFittedError):
            getattr(clone(estimator), ask)(some)
        fitted = clone(estimator)
        assert fitted.fit(some[:50], *[y[:50] for y in arguments]) is fitted
        assert fitted.fit(some, *arguments) is fitted
        fresh = clone(estimator).fit(some, *arguments)
        again = pickle.loads(pickle.dumps(fitted))  # noqa: S301  our own
        expected = getattr(fresh, ask)(some[:20])
        for one in (fitted, again):
            np.testing.assert_array_equal(getattr(one, ask)(some[:20]), expected)
        assert fitted.dissimilarity_ is not fitted.dissimilarity
        assert {name: value for name, value in fitted.get_params().items() if "dissimilarity" not in name} == {
            name: value for name, value in before.items() if "dissimilarity" not in name
        }
        assert repr(fitted.dissimilarity) == repr(estimator.dissimilarity) == repr(fitted.dissimilarity_)
        assert not [name for name in vars(clone(fitted)) if name.endswith("_")]

    def test_parameters_are_stored_untouched(self):
        weights = [1.0] * 12
        dissimilarity = CrystalDissimilarity(FEATURIZER, group_weights=weights)
        assert dissimilarity.featurizer is FEATURIZER
        assert dissimilarity.group_weights is weights
        assert isinstance(dissimilarity, BaseEstimator)
        for estimator in (EMDSearch, ApproximateEMDSearch, GRIDNeighborsRegressor):
            assert estimator(dissimilarity=dissimilarity).dissimilarity is dissimilarity
            assert estimator().dissimilarity is None

    def test_readable(self):
        published = CrystalDissimilarity.from_preset("zhang2023")
        assert " ".join(repr(published).split()) == (
            "CrystalDissimilarity(elements='substitution', featurizer=GRIDFeaturizer(smearing=0.1))"
        )
        assert repr(CrystalDissimilarity.from_preset("default")) == "CrystalDissimilarity()"

    @pytest.mark.parametrize("described", [False, True])
    def test_grid_search_reaches_the_parameters(self, some, described):
        y = np.log(some.n_sites + 1.0)
        X = BOTH[0].describe(some) if described else some.to_structures()
        grid = {"dissimilarity__grid_weight": [0, 10.0], "n_neighbors": [1, 3]}
        if not described:
            grid |= {"dissimilarity__featurizer__bin_size": [0.3, 0.6]}
        search = GridSearchCV(GRIDNeighborsRegressor(dissimilarity=BOTH[0]), grid, cv=2, error_score="raise").fit(X, y)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        best = search.best_params_["dissimilarity__grid_weight"]
        assert search.best_estimator_.dissimilarity_.grid_weight == best

    def test_cross_validation_of_described_crystals(self, some):
        y = np.log(some.n_sites + 1.0)
        model = GRIDNeighborsRegressor(3, dissimilarity=BOTH[0])
        scores = [cross_val_score(model, X, y, cv=3) for X in (some.to_structures(), BOTH[0].describe(some))]
        np.testing.assert_allclose(*scores, atol=1e-9)


def test_n_jobs_means_one_thing():
    """Threads: None is all cores, but one in joblib's workers. Processes: None is one."""
    assert n_threads(None) == cpu_count()
    assert Parallel(n_jobs=2, backend="threading")(delayed(n_threads)(None) for _ in range(2)) == [1, 1]
    assert n_processes(None) == 1
    for count in (n_threads, n_processes):
        assert [count(n) for n in (1, 3, -1, -1000)] == [1, 3, cpu_count(), 1]
        for wrong in (0, 1.5, "2"):
            with pytest.raises(ValueError, match="n_jobs must be a whole number other than 0"):
                count(wrong)
