"""Nearest neighbours under GRID and composition EMD, quickly and nearly always the right ones."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from joblib import Parallel, delayed

from matminer_grid._threads import n_threads
from matminer_grid._validation import check_whole
from matminer_grid.crystals.elements import substitution_dissimilarity
from matminer_grid.similarity.grid_index import TIE, ranked
from matminer_grid.similarity.search import EMDSearch
from matminer_grid.similarity.site_index import SiteIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from matminer_grid.similarity.described import DescribedCrystals
    from matminer_grid.similarity.dissimilarity import CrystalDissimilarity
    from matminer_grid.similarity.grid_index import Answer

LINKS = 16
"""Neighbours that the graph of the index links a reference to; twice as many in its lowest layer."""

BUILD_CANDIDATES = 80
"""References that are looked at to find these neighbours."""

GRID_LENGTH = 25
"""Numbers that the GRID of a crystal is reduced to: sums of neighbouring groups' mean distances."""

SCALE_STEP = 3
"""Elements of the modified Pettifor scale whose cumulative fractions are summed up to one number."""

SUBSTITUTION_SCALE = 0.4
"""Weight of the difference of two compositions' chances to be replaced by each element, exp(-distance)."""

CHUNK_SIZE = 256
"""Queries whose candidates are proposed in one go by a thread."""


class ApproximateEMDSearch(EMDSearch):
    """Nearest neighbours by a weighted sum of GRID and composition earth mover's distance, for references in the 100,000s.

    Each crystal becomes a short vector whose Manhattan distance is near the dissimilarity: sums of the groups' mean distances, and
    of the cumulative element fractions on the modified Pettifor scale. A graph of near vectors (HNSW, in FAISS) proposes
    candidates, and the exact dissimilarity ranks them: distances are exact, but a neighbour may be missed. Vectors tell less of
    the metric "substitution": it takes two to four times as many candidates. :meth:`radius_neighbors` is exact.

    FAISS comes with ``pip install 'matminer-grid[approximate]'``.

    Parameters
    ----------
    dissimilarity, n_neighbors, radius
        As for :class:`EMDSearch`.
    n_candidates : int, default 50
        References that are ranked by their exact dissimilarity. The more, the fewer neighbours are missed and the longer it takes;
        five times the number of neighbours are a good start.
    n_jobs : int, optional
        Number of threads; see :func:`~matminer_grid._threads.n_threads`. With 1 the graph, and so which neighbours are missed, is
        the same every time.

    Attributes
    ----------
    dissimilarity_, references_, n_samples_fit_, evaluated_share_, transported_share_
        As for :class:`EMDSearch`.

    References
    ----------
    Y. A. Malkov and D. A. Yashunin, IEEE Trans. Pattern Anal. Mach. Intell. 42 (2020) 824-836, 10.1109/TPAMI.2018.2889473 (HNSW).
    R.-Z. Zhang, S. Seth and J. Cumby, Digital Discovery 2 (2023) 81-90, 10.1039/D2DD00054G.

    Examples
    --------
    >>> from matminer_grid import ApproximateEMDSearch
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> known = load_mp_elasticity_table().crystals[:500]
    >>> distances, indices = ApproximateEMDSearch().fit(known).kneighbors(known[[123]])
    >>> indices[0, 0].item(), distances[0, 0].item()
    (123, 0.0)
    """

    def __init__(
        self,
        dissimilarity: CrystalDissimilarity | None = None,
        *,
        n_neighbors: int = 5,
        radius: float = 1.0,
        n_candidates: int = 50,
        n_jobs: int | None = None,
    ) -> None:
        super().__init__(dissimilarity, n_neighbors=n_neighbors, radius=radius, n_jobs=n_jobs)
        self.n_candidates = n_candidates

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002  scikit-learn's signature
        """Take in the references, given as for :meth:`EMDSearch.fit`, and build the index.

        Raises
        ------
        ImportError, TypeError, ValueError
            FAISS is not installed; or as :meth:`EMDSearch.fit`.
        """
        faiss = _faiss()
        check_whole("n_candidates", self.n_candidates)
        super().fit(X)
        vectors = self._vectors(self.references_)
        self._graph = faiss.IndexHNSWFlat(vectors.shape[1], LINKS, faiss.METRIC_L1)
        self._graph.hnsw.efConstruction = BUILD_CANDIDATES
        with _openmp_threads(faiss, n_threads(self.n_jobs)):
            self._graph.add(vectors)
        return self

    def _vectors(self, crystals: DescribedCrystals) -> NDArray[np.float32]:
        """Reduce crystals to vectors whose Manhattan distance is near the dissimilarity; on the scale it is never above."""
        if isinstance(self._index, SiteIndex):
            prepared = self._index.prepare(crystals)
            n_groups = crystals.sites.n_groups
            fractions = np.hstack((prepared.first[:, n_groups:], prepared.second))
            parts = [prepared.first[:, :n_groups]]
        else:
            parts = [crystals.grids.means * (self.dissimilarity_.grid_weight * self._index.scales)]
            fractions = self.dissimilarity_.composition_weight * crystals.compositions
        starts = np.unique(np.arange(GRID_LENGTH) * parts[0].shape[1] // GRID_LENGTH)
        parts = [np.add.reduceat(parts[0], starts, axis=1)]
        if self.dissimilarity_.elements == "substitution":
            parts.append(SUBSTITUTION_SCALE * fractions @ np.exp(-substitution_dissimilarity()))
        elif fractions.size:
            parts.append(np.add.reduceat(fractions, np.arange(0, fractions.shape[1], SCALE_STEP), axis=1))
        return np.ascontiguousarray(np.hstack(parts), dtype=np.float32)

    def _nearest_by_query(self, queries: DescribedCrystals, k: int, leave_out_self: bool) -> Callable[[int], Answer]:
        if k > self.n_candidates:
            raise ValueError(f"n_neighbors must be at most n_candidates, {self.n_candidates}, not {k}")
        candidates = self._propose(self._vectors(queries), int(self.n_candidates) + leave_out_self)
        prepared = self._index.prepare(queries)
        weighs_elements = self.dissimilarity_.resolution == "sites" or self.dissimilarity_.composition_metric is not None

        def rank(query: int) -> Answer:
            left_out = query if leave_out_self else -1
            rows = candidates[query]
            rows = rows[(rows >= 0) & (rows != left_out)]  # FAISS fills up with -1
            if len(rows) < k:
                return self._index.nearest(prepared, query, k, left_out)
            bounds = self._index.bounds(prepared, query, rows)
            totals = self._index.totals(prepared, query, rows[:k])  # the nearest vectors come first
            others = rows[k:][bounds[k:] <= totals.max() + TIE]
            rows = np.append(rows[:k], others)
            totals = np.append(totals, self._index.totals(prepared, query, others))
            return *ranked(totals, rows, k), len(rows), len(rows) if weighs_elements else 0

        return rank

    def _propose(self, vectors: NDArray[np.float32], n: int) -> NDArray[np.int64]:
        """Give the rows of n references near each vector, shape (n_queries, n); -1 where fewer were found."""
        faiss = _faiss()
        candidates = np.empty((len(vectors), n), np.int64)
        parameters = faiss.SearchParametersHNSW(efSearch=n)

        def propose(start: int) -> None:
            chunk = slice(start, start + CHUNK_SIZE)
            with _openmp_threads(faiss, 1):  # a thread of joblib each: OpenMP's own would hang in a forked child
                candidates[chunk] = self._graph.search(vectors[chunk], n, params=parameters)[1]

        Parallel(n_jobs=n_threads(self.n_jobs), require="sharedmem")(
            delayed(propose)(start) for start in range(0, len(vectors), CHUNK_SIZE)
        )
        return candidates


def _faiss() -> Any:
    try:
        return import_module("faiss")
    except ImportError as error:
        raise ImportError(
            "approximate search needs FAISS, which is not installed: pip install 'matminer-grid[approximate]' brings it; "
            "EMDSearch, which is exact, does without"
        ) from error


@contextmanager
def _openmp_threads(faiss: Any, n: int) -> Iterator[None]:
    """Let FAISS use n threads of its own in this thread."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(n)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
