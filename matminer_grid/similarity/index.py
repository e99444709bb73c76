"""Crystals in a folder, ready for exact search: memory-mapped, and described anew where a search needs it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

from matminer_grid._platform import release_pages
from matminer_grid.crystals.table import CrystalTable
from matminer_grid.featurizers.grid import GRIDFeaturizer
from matminer_grid.similarity.clusters import Clusters
from matminer_grid.similarity.dissimilarity import RESOLUTIONS, CrystalDissimilarity
from matminer_grid.similarity.index_files import check_segments, open_array, read_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matminer_grid.similarity.described import DescribedCrystals

CRYSTALS = tuple(one.name for one in fields(CrystalTable))
CLUSTERS = tuple(one.name for one in fields(Clusters) if one.name != "error")
IDS = "ids.arrow"
"""Files of a segment: the arrays of its crystals and of its clusters, and ids."""


class CrystalIndex:
    """Crystals in a folder, ready for exact search by one dissimilarity; :func:`build_index` makes it.

    Crystals and the vectors that bound their dissimilarities are mapped into memory, so that it is opened at once and holds more
    than memory does. What a search needs of the few crystals that may be near is computed anew.

    Parameters
    ----------
    path : str or Path
        The folder.
    contents : bool, default True
        Whether all files are read to check that they hold what was written to them; otherwise only their sizes are checked.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no index; or it is cut short, damaged or of another version.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from matminer_grid import CrystalIndex, EMDSearch, build_index
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> data = load_mp_elasticity_table()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = build_index(Path(folder) / "index", data.crystals[:300], data.material_id[:300])
    ...     index = CrystalIndex(report.path)
    ...     distances, rows = EMDSearch.load(report.path).kneighbors(data.crystals[[123]], n_neighbors=2)
    ...     index.ids(rows[0])[0] == data.material_id[123], distances[0, 0].item()
    (True, 0.0)
    """

    at_once = 4  # as :class:`~matminer_grid.similarity.exact.References` has it
    queries_at_once = 32  # whose references are described together

    def __init__(self, path: str | Path, *, contents: bool = True) -> None:
        self.path = Path(path)
        self.manifest = read_manifest(self.path)
        self.dissimilarity = from_parameters(self.manifest["dissimilarity"])
        check_segments(self.path, self.manifest["segments"], contents=contents)
        self._parts = [_Segment.open(self.path / one["folder"], one["error"]) for one in self.manifest["segments"]]
        self.segments: Sequence[Clusters] = [part.clusters for part in self._parts]
        self._first_rows = np.cumsum([0, *map(len, self.segments)])

    def __len__(self) -> int:
        return int(self._first_rows[-1])

    def __getitem__(self, rows: Any) -> DescribedCrystals:
        """Describe some of the crystals."""
        return self.dissimilarity.describe(self.crystals(np.arange(len(self))[rows]), n_jobs=1)

    def described(self, rows: NDArray[np.int64]) -> tuple[DescribedCrystals, NDArray[np.int64]]:
        """Describe some of the crystals, each once; gives also where each of the rows stands among them."""
        distinct, places = np.unique(rows, return_inverse=True)
        return self.dissimilarity.describe(self.crystals(distinct), n_jobs=1), places

    def crystals(self, rows: NDArray[np.int64]) -> CrystalTable:
        """Give some of the crystals, rows of shape (m,), in the order of the rows."""
        part = np.searchsorted(self._first_rows, rows, side="right") - 1
        order = np.argsort(part, kind="stable")
        tables = [self._parts[p].crystals[rows[order[part[order] == p]] - self._first_rows[p]] for p in np.unique(part)]
        table = CrystalTable.concatenate(tables)
        return table if (order[1:] > order[:-1]).all() else table[np.argsort(order)]

    @cached_property
    def table(self) -> CrystalTable:
        """All crystals; mapped, if they were added in one go."""
        tables = [part.crystals for part in self._parts]
        return tables[0] if len(tables) == 1 else CrystalTable.concatenate(tables)

    def release(self) -> None:
        """Let go of the memory that was mapped to crystals and vectors, until they are read again."""
        for part in self._parts:
            for array in (*vars(part.crystals).values(), *vars(part.clusters).values()):
                release_pages(array)

    def ids(self, rows: NDArray[np.int64]) -> list[str]:
        """Give the ids of some of the crystals."""
        return self.all_ids.take(pa.array(rows)).to_pylist()

    @cached_property
    def all_ids(self) -> pa.ChunkedArray:
        """The ids of all crystals."""
        return pa.chunked_array([chunk for part in self._parts for chunk in part.ids.chunks])


def read_ids(folder: Path) -> pa.ChunkedArray:
    """Map the ids of a segment."""
    with pa.memory_map(str(folder / IDS)) as file:
        return pa.ipc.open_file(file).read_all().column(0)


@dataclass(frozen=True, eq=False)
class _Segment:
    """Crystals that were added in one go, mapped into memory."""

    crystals: CrystalTable
    clusters: Clusters
    ids: pa.ChunkedArray

    @classmethod
    def open(cls, folder: Path, error: float) -> Self:
        """Map the files of a segment."""
        crystals, clusters = ({name: open_array(folder / f"{name}.npy") for name in names} for names in (CRYSTALS, CLUSTERS))
        return cls(CrystalTable(**crystals), Clusters(**clusters, error=error), read_ids(folder))


def to_parameters(dissimilarity: CrystalDissimilarity) -> dict[str, Any]:
    """Give all that a dissimilarity depends on, as JSON can hold it."""
    featurizer = dissimilarity.featurizer or GRIDFeaturizer()
    resolution = dissimilarity.resolution
    weights = ["grid_weight", "composition_weight"] + ["neighbor_weight"] * (resolution == "sites")
    groups = dissimilarity.group_weights
    return {
        "resolution": resolution,
        "elements": dissimilarity.elements,
        "scale_volume": bool(dissimilarity.scale_volume),
        "featurizer": {name: (int if name == "n_groups" else float)(getattr(featurizer, name)) for name in RESOLUTIONS[resolution]},
        "group_weights": None if groups is None else np.asarray(groups, np.float64).tolist(),
        **{name: float(getattr(dissimilarity, name)) for name in weights},
    }


def from_parameters(parameters: dict[str, Any]) -> CrystalDissimilarity:
    """Make the dissimilarity again."""
    return CrystalDissimilarity(**parameters | {"featurizer": GRIDFeaturizer(**parameters["featurizer"])})


def check_same(path: Path, own: CrystalDissimilarity, asked: CrystalDissimilarity) -> None:
    """Refuse an index whose dissimilarity is not the one that is asked for.

    Raises
    ------
    ValueError
        It is another one; the message says in what.
    """
    found, wanted = map(to_parameters, (own, asked))
    for parameters in (found, wanted):
        parameters.update(parameters.pop("featurizer"))
    for name in wanted:
        if found.get(name) != wanted[name]:
            raise ValueError(
                f"{path}: the index was built with {name}={found.get(name)!r}, and {name}={wanted[name]!r} is asked for: build "
                "another index for that"
            )
