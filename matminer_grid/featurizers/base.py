"""The batch path shared by all featurizers: threads, progress and errors."""

from __future__ import annotations

import traceback
from abc import abstractmethod
from contextlib import closing
from copy import deepcopy
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
import scipy.sparse
from joblib.parallel import get_active_backend
from matminer.featurizers.base import BaseFeaturizer
from matminer.utils.utils import homogenize_multiindex
from sklearn.utils import Tags, TransformerTags

from matminer_grid._private import become
from matminer_grid._threads import in_threads, n_threads, new_flag, progress_bar
from matminer_grid.crystals.crystal import Crystal, as_crystal
from matminer_grid.crystals.inputs import as_crystals
from matminer_grid.featurizers._parts import in_parts, read_valid, spread_rows
from matminer_grid.kernels.arrays import compress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from numpy.typing import NDArray
    from pymatgen.core import Structure

    from matminer_grid._threads import Flag
    from matminer_grid.crystals.table import CrystalTable

T = TypeVar("T")

CHUNK_SIZE = 128
"""Structures handed to a kernel at once."""

CACHED_ROWS = 8
"""Rows of dense features that stay in cache while they are made sparse."""

COPPER = Crystal(1.8 * (1 - np.eye(3)), np.zeros((1, 3)), np.array([29]), np.ones(1), np.zeros(1, np.int64))
"""A crystal to compile the kernels with."""


class CrystalFeaturizer(BaseFeaturizer):
    """Base of the featurizers of this package: crystals in, one row of floats each out.

    A subclass gives :meth:`feature_labels` and fills rows in ``_featurize_table``; all of matminer's ways to call a featurizer
    follow from that. Unlike matminer's base class, `featurize_many` computes in threads rather than in forked processes and hands
    back one array, `transform` raises an error where a row fails rather than hiding it, and `clone` keeps the number of jobs.
    """

    @abstractmethod
    def _check_parameters(self) -> None:
        """Raise a ValueError or TypeError if a parameter is out of range."""

    @property
    @abstractmethod
    def n_features(self) -> int:
        """Number of features."""

    @abstractmethod
    def _featurize_table(self, table: CrystalTable, out: NDArray[np.float64]) -> dict[int, Exception]:
        """Fill the rows of `out`; give the errors of the rows that failed."""

    def precheck(self, structure: Structure | Crystal) -> bool:
        """Tell whether a structure can be featurized; disorder, isotopes and dummy species are fine.

        Parameters
        ----------
        structure : pymatgen.core.Structure or Crystal

        Returns
        -------
        bool
        """
        try:
            as_crystal(structure)
        except (TypeError, ValueError):
            return False
        return True

    def implementors(self) -> list[str]:
        """Who wrote the featurizer."""
        return ["matminer-grid developers"]

    def featurize(self, structure: Structure | Crystal) -> NDArray[np.float64]:
        """Compute the features of one structure.

        Parameters
        ----------
        structure : pymatgen.core.Structure or Crystal
            The structure; it may be disordered.

        Returns
        -------
        ndarray of shape (n_features,)

        Raises
        ------
        TypeError, ValueError
            What is wrong with the structure or with a parameter; the message starts with the structure's formula.
        """
        self._check_parameters()
        features = np.empty((1, self.n_features))
        for error in self._fill([structure], features).values():
            raise error
        return features[0]

    def featurize_many(
        self, entries: Any, ignore_errors: bool = False, return_errors: bool = False, pbar: bool | dict[str, Any] = True
    ) -> Any:
        """Compute the features of many structures, in threads.

        Parameters
        ----------
        entries : list, tuple, ndarray, Series or one-column DataFrame of Structure; or CrystalTable
            The structures; each may also stand in a tuple of its own, as matminer does it.
        ignore_errors : bool
            Whether rows that fail become NaN instead of raising.
        return_errors : bool
            Whether to hand back the error's text, or NaN, behind each row's features; needs `ignore_errors`.
        pbar : bool or dict
            Whether to show a progress bar, or tqdm's options for it.

        Returns
        -------
        ndarray of shape (n_structures, n_features)
            With `return_errors` a list of lists, whose last items are the texts.

        Raises
        ------
        TypeError, ValueError
            As :meth:`featurize`, with the row in front.
        """
        features, errors = self._compute(entries, ignore_errors=ignore_errors, return_errors=return_errors, pbar=pbar)
        if return_errors:
            return [[*row, _error_text(errors.get(i))] for i, row in enumerate(features.tolist())]
        return features

    def featurize_sparse(
        self, entries: Any, ignore_errors: bool = False, pbar: bool | dict[str, Any] = False
    ) -> scipy.sparse.csr_array:
        """Compute the features of many structures as a sparse matrix, without the dense one in memory.

        Parameters are as for :meth:`featurize_many`. Rows that fail under `ignore_errors` hold one NaN, in the first column.

        Returns
        -------
        scipy.sparse.csr_array of shape (n_structures, n_features)
        """
        return self._compute_sparse(entries, ignore_errors=ignore_errors, pbar=pbar)[0]

    def _compute_sparse(
        self, entries: Any, *, ignore_errors: bool, pbar: bool | dict[str, Any] = False
    ) -> tuple[scipy.sparse.csr_array, dict[int, Exception]]:
        self._check_parameters()
        structures = as_crystals(entries)
        stop = new_flag()

        def compute(start: int) -> tuple[scipy.sparse.csr_array, dict[int, Exception]]:
            chunk = structures[start : start + CHUNK_SIZE]
            table, rows, errors = read_valid(chunk)
            buffer = np.empty((min(CACHED_ROWS, len(table)), self.n_features))
            parts = []
            for first in range(0, len(table), CACHED_ROWS):
                dense = buffer[: len(table) - first]
                for row, error in in_parts(self._featurize_table, table[first : first + CACHED_ROWS], dense, stop).items():
                    errors[int(rows[first + row])] = error
                    dense[row] = 0
                offsets, columns, values = compress(dense)
                parts.append(scipy.sparse.csr_array((values, columns, offsets), shape=dense.shape))
            return spread_rows(parts, rows, errors, (len(chunk), self.n_features)), dict(sorted(errors.items()))

        all_errors: dict[int, Exception] = {}
        blocks = [scipy.sparse.csr_array((0, self.n_features))]
        for errors, block in self._in_chunks(compute, len(structures), stop, ignore_errors, pbar):
            all_errors |= errors
            blocks.append(block)
        return scipy.sparse.vstack(blocks, format="csr"), all_errors

    def featurize_dataframe(
        self,
        df: pd.DataFrame,
        col_id: str | list[str],
        ignore_errors: bool = False,
        return_errors: bool = False,
        inplace: bool = False,
        multiindex: bool = False,
        pbar: bool | dict[str, Any] = True,
    ) -> pd.DataFrame | None:
        """Compute the features of a column of structures and add them as columns.

        Parameters
        ----------
        df : DataFrame
            Holds the structures.
        col_id : str or list of one str
            The column that holds them.
        ignore_errors, return_errors, pbar
            As for :meth:`featurize_many`; the texts go to the column "<class name> Exceptions".
        inplace : bool
            Whether to add the columns to `df` itself and give None.
        multiindex : bool
            Whether to label columns with the pair (featurizer, feature).

        Returns
        -------
        DataFrame or None

        Raises
        ------
        ValueError
            A column of the same name exists; the frame has a multiindex but `multiindex` is off; or as :meth:`featurize_many`.
        """
        if isinstance(df.columns, pd.MultiIndex) and not multiindex:
            raise ValueError("the frame's columns are a MultiIndex: set multiindex=True to featurize it")
        labels = self._generate_column_labels(multiindex, return_errors)
        for label in df.columns.intersection(pd.Index(labels)):
            raise ValueError(f"the column {label!r} exists in the frame already; drop or rename it")
        features, errors = self._compute(df[col_id], ignore_errors=ignore_errors, return_errors=return_errors, pbar=pbar)
        result = pd.DataFrame(features, index=df.index)
        if return_errors:
            result[len(result.columns)] = pd.Series([_error_text(errors.get(i)) for i in range(len(df))], df.index, dtype=object)
        result.columns = pd.Index(labels) if not isinstance(labels, pd.Index) else labels
        if multiindex:
            df = homogenize_multiindex(df if inplace else df.copy(deep=False), "Input Data")
        featurized = pd.concat([df, result], axis=1)
        if inplace:
            become(df, featurized)
            return None
        return featurized

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Compute the features of many structures for scikit-learn; errors are raised, as :meth:`featurize_many` does."""
        return self.featurize_many(X, pbar=False)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:  # noqa: ARG002  scikit-learn's signature
        """Labels of the features as scikit-learn asks for them."""
        return np.array(self.feature_labels(), dtype=object)

    def set_n_jobs(self, n_jobs: int) -> None:
        """Set the number of threads of `featurize_many`, and of processes where matminer's own pool calls the featurizer.

        In a worker of joblib's `Parallel`, as in scikit-learn's searches with `n_jobs`, one thread computes whatever the number.
        For more than one the kernels are compiled now, so that no process of a pool has to.
        """
        super().set_n_jobs(n_jobs)
        if n_jobs != 1:
            self._compile()

    @property
    def _n_threads(self) -> int:
        """Number of threads: one where joblib has spread the work over its workers already, so that cores aren't shared."""
        return 1 if get_active_backend()[0].nesting_level else n_threads(self.n_jobs)

    def _generate_column_labels(self, multiindex: bool, return_errors: bool) -> Any:
        self._compile()  # matminer asks for the labels before it starts a pool of processes
        return super()._generate_column_labels(multiindex, return_errors)

    def _compile(self) -> None:
        self._check_parameters()
        self._fill([COPPER], np.empty((1, self.n_features)))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags = TransformerTags()  # which matminer's order of base classes leaves out
        tags.requires_fit = False
        return tags

    def __sklearn_clone__(self) -> CrystalFeaturizer:
        twin = type(self)(**self.get_params(deep=False))
        for name in ("_n_jobs", "_chunksize", "_sklearn_output_config", "_metadata_request"):
            if hasattr(self, name):
                setattr(twin, name, deepcopy(getattr(self, name)))
        return twin

    def _compute(
        self, entries: Any, *, ignore_errors: bool, return_errors: bool, pbar: bool | dict[str, Any]
    ) -> tuple[NDArray[np.float64], dict[int, Exception]]:
        if return_errors and not ignore_errors:
            raise ValueError("return_errors needs ignore_errors=True: otherwise the first error is raised")
        self._check_parameters()
        structures = as_crystals(entries)
        features = np.empty((len(structures), self.n_features))
        stop = new_flag()

        def compute(start: int) -> tuple[None, dict[int, Exception]]:
            rows = slice(start, start + CHUNK_SIZE)
            return None, self._fill(structures[rows], features[rows], stop)

        all_errors: dict[int, Exception] = {}
        for errors, _ in self._in_chunks(compute, len(structures), stop, ignore_errors, pbar):
            all_errors |= errors
        return features, all_errors

    def _in_chunks(
        self,
        compute: Callable[[int], tuple[T, dict[int, Exception]]],
        n: int,
        stop: Flag,
        ignore_errors: bool,
        pbar: bool | dict[str, Any],
    ) -> Iterator[tuple[dict[int, Exception], T]]:
        """Call a function with the first row of each chunk, in threads; give the errors by row and its results, in order.

        Unless errors are ignored, that of the first row that failed is raised.
        """
        starts = range(0, n, CHUNK_SIZE)
        options = {"desc": type(self).__name__, "total": n, "disable": not pbar}
        with (
            progress_bar(**options | (pbar if isinstance(pbar, dict) else {})) as bar,
            closing(self._in_threads(compute, starts, stop)) as results,
        ):
            for start, (result, errors) in zip(starts, results, strict=True):
                if errors and not ignore_errors:
                    row, error = next(iter(errors.items()))
                    raise type(error)(
                        f"row {start + row}: {error} (ignore_errors=True skips such rows when featurizing many)"
                    ) from error
                bar.update(min(CHUNK_SIZE, n - start))
                yield {start + row: error for row, error in errors.items()}, result

    def _in_threads(self, compute: Callable[[int], T], starts: range, stop: Flag) -> Generator[T]:
        """Call a function with the first row of each chunk; give its results in order."""
        n_threads = self._n_threads
        if n_threads == 1 or len(starts) < 2:
            return (compute(start) for start in starts)
        return in_threads(compute, starts, n_threads, stop)

    def _fill(self, structures: Sequence[Any], out: NDArray[np.float64], stop: Flag | None = None) -> dict[int, Exception]:
        """Fill one row of `out` for each structure, with NaN where it fails; give the errors by row."""
        table, rows, errors = read_valid(structures)
        features = out if not errors else np.empty((len(table), self.n_features))
        failed = in_parts(self._featurize_table, table, features, stop)
        if features is not out:
            out[rows] = features
        errors |= {int(rows[row]): error for row, error in failed.items()}
        out[list(errors)] = np.nan
        return dict(sorted(errors.items()))


def _error_text(error: Exception | None) -> str | float:
    return float("nan") if error is None else "".join(traceback.format_exception(error))
