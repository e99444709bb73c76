"""Every way in which matminer and scikit-learn call a featurizer, beside matminer's own."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from joblib import parallel_config
from matminer.featurizers.base import BaseFeaturizer, MultipleFeaturizer
from matminer.featurizers.structure import RadialDistributionFunction
from pymatgen.core import Structure
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from matminer_grid import GRIDFeaturizer
from tests.conftest import rock_salt

PROCESSES = pytest.mark.timeout(120)
"""Forked processes can hang where threads or OpenMP were used before; then the test fails rather than the run."""


def make(n_jobs: int = 1, **parameters) -> GRIDFeaturizer:
    featurizer = GRIDFeaturizer(**({"cutoff": 5.0, "bin_size": 0.5, "n_groups": 6} | parameters))
    featurizer.set_n_jobs(n_jobs)
    return featurizer


@pytest.fixture
def frame(structures) -> pd.DataFrame:
    return pd.DataFrame({"structure": structures[:12], "K": np.arange(12.0)}, index=pd.Index(range(100, 112), name="id"))


@pytest.fixture
def broken(frame) -> pd.DataFrame:
    """The frame with something that is no structure, and a structure without sites."""
    frame["structure"] = frame["structure"].astype(object)
    frame.loc[103, "structure"] = "NaCl"
    frame.at[110, "structure"] = Structure(rock_salt().lattice, [], [])  # noqa: PD008  loc would unpack the structure
    return frame


class TestFrames:
    def test_features_become_columns(self, frame, structures):
        featurizer = make()
        result = featurizer.featurize_dataframe(frame, "structure", pbar=False)
        assert result.columns.tolist() == ["structure", "K", *featurizer.feature_labels()]
        assert result.index.equals(frame.index)
        assert (result.dtypes.iloc[2:] == np.float64).all()
        expected = [featurizer.featurize(structure) for structure in structures[:12]]
        np.testing.assert_array_equal(result.iloc[:, 2:].to_numpy(), expected)
        assert frame.columns.tolist() == ["structure", "K"]

    @pytest.mark.parametrize(
        "options",
        [{}, {"multiindex": True}, {"ignore_errors": True}, {"ignore_errors": True, "return_errors": True}],
        ids=["plain", "multiindex", "ignore", "return"],
    )
    def test_the_same_frame_as_by_matminers_own_method(self, frame, options):
        expected = BaseFeaturizer.featurize_dataframe(make(), frame.copy(), "structure", pbar=False, **options)
        result = make().featurize_dataframe(frame, "structure", pbar=False, **options)
        pd.testing.assert_frame_equal(result, expected, check_column_type=False, check_dtype=False)

    def test_errors_name_the_row(self, broken):
        with pytest.raises(TypeError, match=r"row 3: a pymatgen Structure .* not str \(ignore_errors=True skips"):
            make().featurize_dataframe(broken, "structure", pbar=False)

    def test_ignored_errors_are_rows_of_nan(self, broken):
        result = make().featurize_dataframe(broken, ["structure"], ignore_errors=True, pbar=False)
        missing = result.iloc[:, 2:].isna()
        assert missing.all(axis=1).tolist() == missing.any(axis=1).tolist() == [row in {103, 110} for row in broken.index]

    def test_returned_errors_have_a_column(self, broken):
        result = make().featurize_dataframe(broken, "structure", ignore_errors=True, return_errors=True, pbar=False)
        texts = result["GRIDFeaturizer Exceptions"]
        assert texts.notna().tolist() == [row in {103, 110} for row in broken.index]
        assert "TypeError: a pymatgen Structure" in texts[103]
        assert "ValueError: the structure has no sites" in texts[110]
        with pytest.raises(ValueError, match=r"return_errors needs ignore_errors=True"):
            make().featurize_dataframe(broken, "structure", return_errors=True, pbar=False)

    def test_in_place(self, frame):
        expected = make().featurize_dataframe(frame, "structure", pbar=False)
        assert make().featurize_dataframe(frame, "structure", inplace=True, pbar=False) is None
        pd.testing.assert_frame_equal(frame, expected)

    def test_in_place_with_thousands_of_columns(self, frame):
        assert GRIDFeaturizer().featurize_dataframe(frame, "structure", inplace=True, pbar=False) is None
        assert frame.shape == (12, 10_002)

    def test_multiindex(self, frame):
        result = make().featurize_dataframe(frame, "structure", multiindex=True, pbar=False)
        assert result.columns[:2].tolist() == [("Input Data", "structure"), ("Input Data", "K")]
        assert result["GRIDFeaturizer"].columns.tolist() == make().feature_labels()
        assert frame.columns.tolist() == ["structure", "K"]
        with pytest.raises(ValueError, match="set multiindex=True"):
            make(n_groups=2).featurize_dataframe(result, ("Input Data", "structure"), pbar=False)
        make().featurize_dataframe(frame, "structure", multiindex=True, inplace=True, pbar=False)
        pd.testing.assert_frame_equal(frame, result)

    def test_a_second_featurizer_joins_a_multiindex(self, frame):
        rdf = RadialDistributionFunction(cutoff=5.0)
        rdf.set_n_jobs(1)
        first = rdf.featurize_dataframe(frame, "structure", multiindex=True, pbar=False)
        both = make().featurize_dataframe(first, ("Input Data", "structure"), multiindex=True, pbar=False)
        assert list(dict.fromkeys(both.columns.get_level_values(0))) == [
            "Input Data",
            "RadialDistributionFunction",
            "GRIDFeaturizer",
        ]

    def test_columns_are_not_overwritten(self, frame):
        result = make().featurize_dataframe(frame, "structure", pbar=False)
        with pytest.raises(ValueError, match=r"column 'grid 1 \[0.00000 - 0.50000\]A' exists in the frame already"):
            make().featurize_dataframe(result, "structure", pbar=False)
        with pytest.raises(ValueError, match=r"one column of structures is needed, not 2"):
            make().featurize_dataframe(frame, ["structure", "K"], pbar=False)

    @pytest.mark.parametrize(("pbar", "expected"), [(True, "GRIDFeaturizer: 100%"), ({"desc": "crystals"}, "crystals: 100%")])
    def test_progress(self, frame, pbar, expected, capsys):
        make().featurize_dataframe(frame, "structure", pbar=pbar)
        assert expected in capsys.readouterr().err
        make().featurize_dataframe(frame, "structure", pbar=False)
        assert not capsys.readouterr().err

    def test_fitting_and_prechecking(self, broken):
        passed = make().precheck_dataframe(broken.reset_index(), "structure", return_frac=False)["GRIDFeaturizer precheck pass"]
        assert passed.tolist() == [row not in {103, 110} for row in broken.index]
        assert make().precheck_dataframe(broken, "structure") == pytest.approx(10 / 12)
        valid = broken.drop(index=[103, 110])
        pd.testing.assert_frame_equal(
            make().fit_featurize_dataframe(valid, "structure", pbar=False),
            make().featurize_dataframe(valid, "structure", pbar=False),
        )


class TestMany:
    @pytest.mark.parametrize("wrap", [list, tuple, pd.Series, lambda s: [(x,) for x in s], lambda s: pd.DataFrame({"s": s})])
    def test_containers(self, structures, wrap):
        features = make().featurize_many(wrap(structures[:5]), pbar=False)
        assert isinstance(features, np.ndarray)
        assert features.dtype == np.float64
        np.testing.assert_array_equal(features, [make().featurize(structure) for structure in structures[:5]])

    def test_arrays_of_objects(self, structures):
        flat = np.empty(3, dtype=object)
        flat[:] = structures[:3]
        expected = make().featurize_many(structures[:3], pbar=False)
        np.testing.assert_array_equal(make().featurize_many(flat, pbar=False), expected)
        np.testing.assert_array_equal(make().featurize_many(flat.reshape(-1, 1), pbar=False), expected)

    def test_nothing_to_do(self):
        assert make().featurize_many([], pbar=False).shape == (0, 60)
        assert make().featurize_sparse([]).shape == (0, 60)

    @pytest.mark.parametrize("entries", ["NaCl", iter([]), 3, None])
    def test_what_is_no_list(self, entries):
        with pytest.raises(
            TypeError, match="a list, tuple, array, Series, one-column DataFrame or CrystalTable of structures is needed, not"
        ):
            make().featurize_many(entries, pbar=False)

    @pytest.mark.parametrize("smearing", [0.0, 0.1])
    def test_the_same_numbers_for_any_number_of_jobs(self, sample, smearing):
        expected = make(1, smearing=smearing).featurize_many(sample, pbar=False)
        for n_jobs in (2, 3, -1):
            features = make(n_jobs, smearing=smearing).featurize_many(sample, pbar=False)
            np.testing.assert_array_equal(features, expected)

    @PROCESSES
    def test_a_backend_of_processes_does_not_leave_the_array_empty(self, sample):
        expected = make(1).featurize_many(sample, pbar=False)
        with parallel_config(backend="loky", n_jobs=2):
            np.testing.assert_array_equal(make(2).featurize_many(sample, pbar=False), expected)

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_the_first_error_is_raised(self, structures, n_jobs):
        entries = [*structures, None, *structures[:20], "x"]
        with pytest.raises(TypeError, match=r"row 140: .* not NoneType"):
            make(n_jobs).featurize_many(entries, pbar=False)
        with pytest.raises(TypeError, match=r"row 140: .* not NoneType"):
            make(n_jobs).featurize_sparse(entries)
        features = make(n_jobs).featurize_many(entries, ignore_errors=True, pbar=False)
        assert np.flatnonzero(np.isnan(features).any(axis=1)).tolist() == [140, 161]

    def test_returned_errors_stand_behind_the_features(self, structures):
        rows = make().featurize_many([structures[0], None], ignore_errors=True, return_errors=True, pbar=False)
        assert [len(row) for row in rows] == [61, 61]
        assert rows[0][:60] == make().featurize(structures[0]).tolist()
        assert np.isnan(rows[0][60])
        assert np.isnan(rows[1][:60]).all()
        assert rows[1][60].rstrip().endswith("is needed, not NoneType")

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_sparse_features(self, sample, n_jobs):
        sparse = make(n_jobs).featurize_sparse(sample)
        assert isinstance(sparse, scipy.sparse.csr_array)
        np.testing.assert_array_equal(sparse.toarray(), make().featurize_many(sample, pbar=False))

    def test_sparse_features_mark_rows_that_failed(self, structures):
        sparse = make().featurize_sparse([structures[0], None], ignore_errors=True).toarray()
        np.testing.assert_array_equal(sparse[0], make().featurize(structures[0]))
        assert np.isnan(sparse[1, 0])
        assert not sparse[1, 1:].any()


class TestProcesses:
    @PROCESSES
    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_matminers_own_batch_path(self, structures, n_jobs):
        featurizer = make(n_jobs)
        expected = featurizer.featurize_many(structures[:25], pbar=False)
        np.testing.assert_array_equal(BaseFeaturizer.featurize_many(featurizer, structures[:25], pbar=False), expected)

    @PROCESSES
    def test_matminers_pool_after_threads(self, sample, structures):
        featurizer = make(2)
        threaded = featurizer.featurize_many(sample, pbar=False)
        pooled = BaseFeaturizer.featurize_many(featurizer, structures[:25], pbar=False)
        np.testing.assert_array_equal(pooled, threaded[:25])

    @PROCESSES
    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_beside_matminers_rdf(self, frame, n_jobs):
        grid, rdf = make(), RadialDistributionFunction(cutoff=5.0)
        both = MultipleFeaturizer([grid, rdf])
        both.set_n_jobs(n_jobs)
        result = both.featurize_dataframe(frame, "structure", pbar=False)
        assert result.columns.tolist() == ["structure", "K", *grid.feature_labels(), *rdf.feature_labels()]
        expected = [[*grid.featurize(s), *rdf.featurize(s)] for s in frame["structure"]]
        np.testing.assert_array_equal(result.iloc[:, 2:].to_numpy(), expected)
        assert both.citations() == grid.citations()

    @PROCESSES
    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_errors_beside_matminers_rdf(self, broken, n_jobs):
        both = MultipleFeaturizer([make(), RadialDistributionFunction(cutoff=5.0)])
        both.set_n_jobs(n_jobs)
        result = both.featurize_dataframe(broken, "structure", ignore_errors=True, return_errors=True, pbar=False)
        for column in ("GRIDFeaturizer Exceptions", "RadialDistributionFunction Exceptions"):
            assert result[column].notna().tolist() == [row in {103, 110} for row in broken.index]

    @pytest.mark.parametrize("featurizer", [make(), RadialDistributionFunction(cutoff=5.0)], ids=["ours", "matminer's"])
    def test_iterating_over_featurizers_fails_as_it_does_for_matminers_rdf(self, structures, featurizer):
        """Matminer's MultipleFeaturizer adds up Python lists in this mode, and structure featurizers give arrays."""
        multiple = MultipleFeaturizer([featurizer, featurizer], iterate_over_entries=False)
        multiple.set_n_jobs(1)
        with pytest.raises(ValueError, match="could not be broadcast together"):
            multiple.featurize_many(structures[:2], pbar=False)


class TestScikitLearn:
    def test_fit_transform(self, structures):
        features = make().fit_transform(structures)
        np.testing.assert_array_equal(features, make().featurize_many(structures, pbar=False))
        np.testing.assert_array_equal(make().fit(structures).transform(pd.Series(structures)), features)

    def test_transform_raises_where_matminer_hides_errors(self):
        with pytest.raises(TypeError, match="row 1: "):
            make().transform([rock_salt(), None])

    def test_pipeline_and_grid_search(self, structures):
        moduli = np.linspace(1, 100, len(structures))
        search = GridSearchCV(make_pipeline(make(), Ridge()), {"gridfeaturizer__smearing": [0.0, 0.2]}, cv=2)
        search.fit(structures, moduli)
        best = search.best_params_["gridfeaturizer__smearing"]
        expected = Ridge().fit(make(smearing=best).transform(structures), moduli)
        np.testing.assert_allclose(search.predict(structures), expected.predict(make(smearing=best).transform(structures)))

    def test_parameters_take_effect_whenever_they_are_set(self, structures):
        featurizer = make()
        featurizer.featurize(structures[0])
        changed = {"cutoff": 4.0, "bin_size": 0.2, "n_groups": 3, "smearing": 0.1}
        assert featurizer.set_params(**changed).get_params() == changed
        assert len(featurizer.feature_labels()) == len(featurizer.featurize(structures[0])) == 60
        np.testing.assert_array_equal(featurizer.featurize(structures[0]), GRIDFeaturizer(**changed).featurize(structures[0]))
        with pytest.raises(ValueError, match="Invalid parameter 'sigma'"):
            featurizer.set_params(sigma=1)

    def test_clones_keep_parameters_and_settings(self, structures):
        featurizer = make(2, smearing=0.05).set_output(transform="pandas")
        featurizer.set_chunksize(7)
        twin = clone(featurizer)
        assert twin is not featurizer
        assert twin.get_params() == featurizer.get_params()
        assert (twin.n_jobs, twin.chunksize) == (2, 7)
        assert isinstance(twin.transform(structures[:2]), pd.DataFrame)

    def test_pickles(self, structures):
        featurizer = make(2, smearing=0.05)
        twin = pickle.loads(pickle.dumps(featurizer))  # noqa: S301  just written
        assert twin.get_params() == featurizer.get_params()
        assert twin.n_jobs == 2
        np.testing.assert_array_equal(twin.featurize(structures[0]), featurizer.featurize(structures[0]))

    def test_pandas_output(self, frame):
        featurizer = make().set_output(transform="pandas")
        features = featurizer.fit_transform(frame[["structure"]])
        assert features.columns.tolist() == featurizer.feature_labels()
        assert features.index.equals(frame.index)
        np.testing.assert_array_equal(features.to_numpy(), make().transform(frame["structure"]))
        assert featurizer.transform(list(frame["structure"])).shape == (12, 60)

    def test_prints_its_parameters(self):
        assert repr(GRIDFeaturizer(n_groups=5)) == "GRIDFeaturizer(n_groups=5)"


def test_the_structure_that_takes_too_much_memory_is_named(sample):
    class Greedy(GRIDFeaturizer):
        def _featurize_table(self, table, out):
            if (table.n_sites > 20).any():
                raise MemoryError("no more")
            return super()._featurize_table(table, out)

    crystals = sample[np.argsort(sample.n_sites)[-8:]]
    large = np.nonzero(crystals.n_sites > 20)[0]
    assert 0 < len(large) < 8
    features = Greedy().featurize_many(crystals, ignore_errors=True, pbar=False)
    assert np.nonzero(np.isnan(features).any(axis=1))[0].tolist() == large.tolist()
    small = crystals.n_sites <= 20
    np.testing.assert_array_equal(features[small], GRIDFeaturizer().featurize_many(crystals[small], pbar=False))
    first = crystals[int(large[0])]
    with pytest.raises(MemoryError, match=f"row {large[0]}: {first.formula}: a cell of {first.n_sites} site"):
        Greedy().featurize_many(crystals, pbar=False)
