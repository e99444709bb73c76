"""What other packages may change: what is used of matminer's base class, and that each private interface has another way."""

import inspect
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from matminer.featurizers.base import BaseFeaturizer, MultipleFeaturizer
from matminer.utils.utils import homogenize_multiindex

from matminer_grid import GRIDFeaturizer, _private
from matminer_grid.io import read_structures_from
from tests.conftest import perovskite, rock_salt
from tests.test_machines import SMALL


class TestMatminer:
    """A change that breaks the package is named here, before its users see it."""

    @pytest.mark.parametrize(
        ("method", "parameters"),
        [
            ("featurize", ["self", "*x"]),
            ("featurize_many", ["self", "entries", "ignore_errors", "return_errors", "pbar"]),
            (
                "featurize_dataframe",
                ["self", "df", "col_id", "ignore_errors", "return_errors", "inplace", "multiindex", "pbar"],
            ),
            ("featurize_wrapper", ["self", "x", "return_errors", "ignore_errors"]),
            ("transform", ["self", "X"]),
            ("fit", ["self", "X", "y", "**fit_kwargs"]),
            ("precheck", ["self", "x"]),
            ("set_n_jobs", ["self", "n_jobs"]),
            ("set_chunksize", ["self", "chunksize"]),
            ("feature_labels", ["self"]),
            ("citations", ["self"]),
            ("implementors", ["self"]),
            ("_generate_column_labels", ["self", "multiindex", "return_errors"]),
        ],
    )
    def test_methods_of_the_base_class(self, method, parameters):
        found = inspect.signature(getattr(BaseFeaturizer, method)).parameters.values()
        assert [str(one).partition(":")[0].partition("=")[0] for one in found] == parameters

    def test_attributes_that_clone_copies(self):
        featurizer = GRIDFeaturizer()
        featurizer.set_n_jobs(2)
        featurizer.set_chunksize(3)
        assert (featurizer._n_jobs, featurizer._chunksize) == (2, 3)
        assert (featurizer.n_jobs, featurizer.chunksize) == (2, 3)

    def test_its_pool_calls_featurize_wrapper(self):
        """matminer's own batch path reaches featurize through featurize_wrapper, one entry in a tuple."""
        featurizer = GRIDFeaturizer(cutoff=4.0, bin_size=1.0, n_groups=2)
        found = featurizer.featurize_wrapper((rock_salt(),), return_errors=False, ignore_errors=False)
        np.testing.assert_array_equal(found, featurizer.featurize(rock_salt()))

    def test_labels_of_columns(self):
        featurizer = GRIDFeaturizer(cutoff=4.0, bin_size=2.0, n_groups=1)
        plain = BaseFeaturizer._generate_column_labels(featurizer, multiindex=False, return_errors=True)
        assert list(plain) == [*featurizer.feature_labels(), "GRIDFeaturizer Exceptions"]
        both = BaseFeaturizer._generate_column_labels(featurizer, multiindex=True, return_errors=False)
        assert [tuple(label) for label in both] == [("GRIDFeaturizer", label) for label in featurizer.feature_labels()]

    def test_a_frame_gets_a_multiindex(self):
        frame = homogenize_multiindex(pd.DataFrame({"a": [1]}), "Input Data")
        assert frame.columns.tolist() == [("Input Data", "a")]

    def test_several_featurizers_ask_for_these(self):
        both = MultipleFeaturizer([GRIDFeaturizer(cutoff=4.0, bin_size=2.0, n_groups=1)])
        assert both.feature_labels() == both.featurizers[0].feature_labels()


class OldFrame(pd.DataFrame):
    """A frame without what pandas uses for inplace=True."""

    @property
    def _update_inplace(self):
        raise AttributeError


@pytest.mark.parametrize("frame_type", [pd.DataFrame, OldFrame])
@pytest.mark.parametrize("multiindex", [False, True])
def test_a_frame_becomes_another(frame_type, multiindex):
    index = pd.Index([3, 5], name="id")
    frame = frame_type({"a": [1, 2], "b": ["x", "y"]}, index=index)
    names = [("in", "a"), ("in", "b"), ("out", "c"), ("out", "d")] if multiindex else ["a", "b", "c", "d"]
    columns = pd.MultiIndex.from_tuples(names) if multiindex else pd.Index(names)
    other = pd.DataFrame([[1, "x", 0.5, 1.5], [2, "y", 2.5, 3.5]], index=index)
    other.columns = columns
    assert _private.become(frame, other) is None
    pd.testing.assert_frame_equal(pd.DataFrame(frame), other)


def test_many_columns_without_pandas_help_warn_of_nothing():
    frame = OldFrame({"a": [1.0]})
    other = pd.DataFrame(np.arange(300.0)[None], columns=["a", *map(str, range(299))])
    _private.become(frame, other)
    assert frame.shape == (1, 300)


def test_files_are_read_by_threads_without_joblibs_pool(tmp_path, monkeypatch):
    for number in range(4):
        (rock_salt() if number % 2 else perovskite()).to(filename=str(tmp_path / f"{number}.cif"))
    expected = [(one.name, one.crystal.formula) for one in read_structures_from(tmp_path)]
    monkeypatch.setitem(sys.modules, "joblib.executor", None)
    assert isinstance(_private.worker_processes(1), ThreadPoolExecutor)
    assert [(one.name, one.crystal.formula) for one in read_structures_from(tmp_path, n_jobs=2)] == expected


@pytest.mark.parametrize(
    "change",
    [
        "del caching.IndexDataCacheFile",
        "caching.IndexDataCacheFile.__init__ = lambda self: None",
        "caching.FunctionCache.__init__ = lambda self, function: None",
    ],
)
def test_kernels_are_compiled_without_numbas_cache(tmp_path, change):
    """What numba keeps machine code by may be gone, take other arguments, or keep other attributes."""
    script = tmp_path / "small.py"
    script.write_text(f"from numba.core import caching\n{change}\n{SMALL}", encoding="utf-8")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.stdout == "42\n", done.stderr
    assert "kernels are compiled in each process" in done.stderr
