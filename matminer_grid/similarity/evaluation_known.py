"""Known crystals with their ids, ready to be compared with generated ones."""

from __future__ import annotations

import json
import warnings
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matminer_grid._validation import without_row
from matminer_grid.crystals.composition import cumulative_fractions
from matminer_grid.crystals.inputs import as_crystals
from matminer_grid.crystals.table import CrystalTable, read_structures
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.similarity.described import DescribedCrystals
from matminer_grid.similarity.dissimilarity import CrystalDissimilarity, checked_dissimilarity
from matminer_grid.similarity.embedded import embedded_search
from matminer_grid.similarity.evaluation_coverage import Points
from matminer_grid.similarity.index import CrystalIndex, to_parameters
from matminer_grid.similarity.near_pairs import Keyed
from matminer_grid.similarity.search import EMDSearch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

BLOCK = 50_000
"""Known crystals that are looked at in one go."""


class KnownCrystals:
    """Reference crystals with their ids, ready to be compared with; can be used again for other generated sets.

    They are held in memory, or on disk in an index: see :meth:`from_index`.

    Parameters
    ----------
    crystals : structures, as a list, tuple, array, Series, one-column DataFrame or CrystalTable
        Invalid ones, and such that the dissimilarity can't describe, are left out; `errors` names them.
    ids : sequence, optional
        One for each crystal; the numbers of the rows by default. Where several crystals have one id, their rows are added.
    dissimilarity : CrystalDissimilarity, optional
        By sites; ``CrystalDissimilarity(resolution="sites")`` by default.
    n_jobs : int, optional
        Number of threads; see :func:`~matminer_grid._threads.n_threads`.

    Attributes
    ----------
    dissimilarity : CrystalDissimilarity
    errors : dict of int to Exception
        Why crystals were left out, by row.
    search : EMDSearch
        Fitted with the others.

    Raises
    ------
    TypeError, ValueError
        There is no valid crystal, or another number of ids; or the dissimilarity is none by sites.

    Warns
    -----
    UserWarning
        Crystals are left out, or ids stand for several.

    Examples
    --------
    >>> from matminer_grid import KnownCrystals
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> data = load_mp_elasticity_table()
    >>> known = KnownCrystals(data.crystals[:20], data.material_id[:20])
    >>> len(known), known.ids[:2]
    (20, ['mp-28369', 'mp-756473'])
    """

    def __init__(
        self,
        crystals: Any,
        ids: Sequence[Any] | NDArray[Any] | None = None,
        *,
        dissimilarity: CrystalDissimilarity | None = None,
        n_jobs: int | None = None,
    ) -> None:
        dissimilarity = site_dissimilarity(dissimilarity)
        structures = as_crystals(crystals)
        if ids is not None and len(ids) != len(structures):
            raise ValueError(f"there are {len(structures)} known crystals and {len(ids)} ids: each needs one")
        valid, described, errors = describe_valid(dissimilarity, structures, n_jobs)
        if errors:
            row, error = next(iter(errors.items()))
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            warnings.warn(f"known crystals are left out: row {row}{more}: {error}", UserWarning, stacklevel=2)
        if len(valid) == 0:
            raise ValueError("there are no known crystals to compare with: at least one that is valid is needed")
        rows = np.delete(np.arange(len(structures)), list(errors))
        names = [str(row) for row in rows] if ids is None else [str(ids[row]) for row in rows.tolist()]
        self._take(EMDSearch(dissimilarity, n_jobs=n_jobs).fit(described), valid, pa.array(names, pa.string()), rows)
        self.errors = errors

    @classmethod
    def from_index(cls, path: str | Path, dissimilarity: CrystalDissimilarity | None = None, *, n_jobs: int | None = None) -> Self:
        """Open an index of :func:`~matminer_grid.build_index`; its crystals stay on disk.

        Parameters
        ----------
        path : str or Path
            The folder.
        dissimilarity : CrystalDissimilarity, optional
            What the index must have been built for.
        n_jobs : int, optional
            Number of threads.

        Raises
        ------
        FileNotFoundError, ValueError
            There is no index; it is cut short, damaged or of another version; or its dissimilarity is another one or none by sites.

        Warns
        -----
        UserWarning
            Ids stand for several crystals.

        Examples
        --------
        >>> import tempfile
        >>> from matminer_grid import CrystalDissimilarity, KnownCrystals, build_index, evaluate_crystals
        >>> from matminer_grid.datasets import load_mp_elasticity_table
        >>> data = load_mp_elasticity_table()
        >>> sites = CrystalDissimilarity(resolution="sites")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = build_index(folder, data.crystals[:50], data.material_id[:50], dissimilarity=sites)
        ...     found = evaluate_crystals(data.crystals[45:55], KnownCrystals.from_index(folder))
        >>> int(found.crystals["novel"].sum())
        5
        """
        search = EMDSearch.load(path, dissimilarity, n_jobs=n_jobs)
        if search.dissimilarity_.resolution != "sites":
            raise ValueError(
                f"{path}: the index compares crystals by GRIDs, and sets are evaluated by sites: build it for "
                'CrystalDissimilarity(resolution="sites")'
            )
        return cls._of(search, None, search.references_.all_ids)

    @classmethod
    def embedded(cls, dissimilarity: CrystalDissimilarity | None = None, *, n_jobs: int | None = None) -> Self:
        """Take the embedded crystals of :func:`load_mp_elasticity_table`, whose index is kept in the user's cache folder."""
        search = embedded_search(site_dissimilarity(dissimilarity), n_jobs=n_jobs)
        if isinstance(search.references_, CrystalIndex):
            return cls._of(search, None, search.references_.all_ids)
        return cls._of(search, search.crystals_, pa.array(load_mp_elasticity_table().material_id, pa.string()))

    @classmethod
    def _of(cls, search: EMDSearch, crystals: CrystalTable | None, ids: Any) -> Self:
        known = cls.__new__(cls)
        known._take(search, crystals, ids, np.arange(len(ids)))
        known.errors = {}
        return known

    def _take(self, search: EMDSearch, crystals: CrystalTable | None, ids: Any, rows: NDArray[np.int64]) -> None:
        self.search = search
        self.dissimilarity = search.dissimilarity_
        self._crystals = crystals
        self._ids = _distinct(ids, rows)

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def crystals(self) -> CrystalTable:
        """All of them; those of an index are mapped into memory, if they were added to it in one go."""
        return self.search.references_.table if self._crystals is None else self._crystals

    @cached_property
    def keyed(self) -> Keyed:
        """All of them with what they are sorted by before others are compared with them."""
        return Keyed.of(self.crystals)

    @property
    def ids(self) -> list[str]:
        """The ids of all."""
        return self._ids.to_pylist()

    def take(self, rows: NDArray[np.int64]) -> CrystalTable:
        """Give some of them."""
        return self.search.references_.crystals(rows) if self._crystals is None else self._crystals[rows]

    def ids_of(self, rows: NDArray[np.int64]) -> list[str]:
        """Give the ids of some of them."""
        return self._ids.take(pa.array(rows)).to_pylist()

    def described(self, rows: NDArray[np.int64]) -> DescribedCrystals:
        """Give some of them as the dissimilarity compares them."""
        if self._crystals is None:
            return self.dissimilarity.describe(self.take(rows), n_jobs=self.search.n_jobs)
        return self.search.references_[rows]

    def release(self) -> None:
        """Let go of the memory that crystals of an index take until they are looked at again."""
        if isinstance(self.search.references_, CrystalIndex):
            self.search.references_.release()

    def blocks(self) -> Iterator[CrystalTable]:
        """Give all of them, some at a time, in the order of their rows."""
        for start in range(0, len(self), BLOCK):
            yield self.take(np.arange(start, min(start + BLOCK, len(self))))
            self.release()

    def points(self) -> Iterator[tuple[NDArray[np.int64], Points]]:
        """Give all of them as coverage compares them, some at a time, each time with their rows."""
        weights = self.dissimilarity.site_weights
        scales = weights.geometry * weights.ranks * weights.ranks.size
        are_bounded = scales.all()  # otherwise the vectors lack neighbours whose distances have no weight
        first = 0
        for clusters in self.search.clusters_:
            for start in range(0, len(clusters), BLOCK):
                part = slice(start, start + BLOCK)
                rows = first + clusters.rows[part]
                bounds = clusters.vectors[part, : scales.size]
                structures = bounds / scales if are_bounded else mean_distances(self.described(rows))
                yield rows, Points(structures, cumulative_fractions(self.take(rows)))
                self.release()
            first += len(clusters)

    def fingerprint(self) -> str:
        """Give a digest of the crystals, their ids and what compares them."""
        digest = sha256(json.dumps(to_parameters(self.dissimilarity), sort_keys=True).encode())
        if self._crystals is None:
            digest.update(json.dumps([part["files"] for part in self.search.references_.manifest["segments"]]).encode())
        else:
            digest.update(json.dumps(self.ids).encode())
            for column in vars(self._crystals).values():
                digest.update(np.ascontiguousarray(column).data)
        return digest.hexdigest()


def site_dissimilarity(dissimilarity: CrystalDissimilarity | None) -> CrystalDissimilarity:
    """Check that a dissimilarity is by sites; make one for None."""
    if dissimilarity is None:
        return CrystalDissimilarity(resolution="sites")
    checked = checked_dissimilarity(dissimilarity)
    if checked.resolution != "sites":
        raise ValueError('sets are evaluated by sites: give CrystalDissimilarity(resolution="sites"), not resolution="grid"')
    return checked


def describe_valid(
    dissimilarity: CrystalDissimilarity, structures: Sequence[Any], n_jobs: int | None = None
) -> tuple[CrystalTable, DescribedCrystals, dict[int, Exception]]:
    """Describe what can be described: those crystals, their descriptions, and the errors of the others by row."""
    errors: dict[int, Exception]
    if isinstance(structures, CrystalTable):
        errors = dict(structures.errors())
        table = structures[[row not in errors for row in range(len(structures))]] if errors else structures
    else:
        table, errors = read_structures(structures)
    rows = np.delete(np.arange(len(structures)), list(errors))
    described, failed = _described(dissimilarity, table, n_jobs)
    errors |= {int(rows[row]): error for row, error in failed.items()}
    return table[np.delete(np.arange(len(table)), list(failed))] if failed else table, described, dict(sorted(errors.items()))


def _described(
    dissimilarity: CrystalDissimilarity, table: CrystalTable, n_jobs: int | None
) -> tuple[DescribedCrystals, dict[int, Exception]]:
    """Describe a table; where that fails, its halves, down to the crystal that is wrong."""
    try:
        return dissimilarity.describe(table, n_jobs=n_jobs), {}
    except (TypeError, ValueError) as error:
        if len(table) == 1:
            return dissimilarity.describe(table[:0]), {0: type(error)(without_row(str(error)))}
    middle = len(table) // 2
    first, failed = _described(dissimilarity, table[:middle], n_jobs)
    second, later = _described(dissimilarity, table[middle:], n_jobs)
    return DescribedCrystals.concatenate([first, second]), failed | {middle + row: error for row, error in later.items()}


def _distinct(ids: Any, rows: NDArray[np.int64]) -> Any:
    """Add the rows to ids that several crystals have."""
    counts = pc.value_counts(ids)
    shared = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if len(shared) == 0:
        return ids
    warnings.warn(f"{len(shared)} ids stand for several known crystals, {shared[0]} first; rows tell them apart", stacklevel=4)
    with_rows = pc.binary_join_element_wise(ids, " (row ", pa.array(rows).cast(pa.string()), ")", "")
    return pc.if_else(pc.is_in(ids, shared), with_rows, ids)


def mean_distances(described: DescribedCrystals) -> NDArray[np.float64]:
    """Give mean distances to the first, second, ... neighbour over their number, in Å, shape (n, n_groups)."""
    by_rank = described.sites.averages[0]
    return by_rank / by_rank.shape[1]


def points_of(crystals: CrystalTable, described: DescribedCrystals) -> Points:
    """Give crystals as coverage compares them."""
    return Points(mean_distances(described), cumulative_fractions(crystals))
