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
from matminer_grid.similarity.exact import Answer
from matminer_grid.similarity.grid_index import TIE, Pairs, ranked
from matminer_grid.similarity.search import EMDSearch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from matminer_grid.similarity.described import DescribedCrystals
    from matminer_grid.similarity.dissimilarity import CrystalDissimilarity

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

    @classmethod
    def load(cls, *_: Any, **__: Any) -> Self:
        """Refuse: an index holds no graph, and is searched exactly."""
        raise TypeError("an index on disk is searched exactly: open it with EMDSearch.load")

    def _vectors(self, crystals: DescribedCrystals) -> NDArray[np.float32]:
        """Reduce crystals to vectors whose Manhattan distance is near the dissimilarity; on the scale it is never above."""
        n_groups = self._index.n_groups
        bounding = self._index.vectors(crystals)
        parts, fractions = [bounding[:, :n_groups]], bounding[:, n_groups:]
        starts = np.unique(np.arange(GRID_LENGTH) * parts[0].shape[1] // GRID_LENGTH)
        parts = [np.add.reduceat(parts[0], starts, axis=1)]
        if self.dissimilarity_.elements == "substitution":
            fractions = self.dissimilarity_.composition_weight * crystals.compositions
            parts.append(SUBSTITUTION_SCALE * fractions @ np.exp(-substitution_dissimilarity()))
        elif fractions.size:
            parts.append(np.add.reduceat(fractions, np.arange(0, fractions.shape[1], SCALE_STEP), axis=1))
        return np.ascontiguousarray(np.hstack(parts), dtype=np.float32)

    def _nearest(self, queries: Any, k: int, leave_out_self: bool) -> Callable[[int, int], list[Answer]]:
        if k > self.n_candidates:
            raise ValueError(f"n_neighbors must be at most n_candidates, {self.n_candidates}, not {k}")
        candidates = self._propose(self._vectors(queries), int(self.n_candidates) + leave_out_self)
        weighs_elements = self.dissimilarity_.resolution == "sites" or self.dissimilarity_.composition_metric is not None

        def rank(query: int) -> Answer:
            left_out = query if leave_out_self else -1
            rows = candidates[query]
            rows = rows[(rows >= 0) & (rows != left_out)]  # FAISS fills up with -1
            if len(rows) < k:
                return self._search.nearest(queries[[query]], k, [left_out])[0]
            pairs = Pairs(queries, query, self.references_, rows)
            bounds = self._index.bounds(pairs)
            totals = self._index.totals(pairs.part(np.arange(k)))  # the nearest vectors come first
            others = k + np.nonzero(bounds[k:] <= totals.max() + TIE)[0]
            totals = np.append(totals, self._index.totals(pairs.part(others)))
            rows = np.append(rows[:k], rows[others])
            return Answer(*ranked(totals, rows, k), len(bounds), len(rows), len(rows) if weighs_elements else 0)

        return lambda start, stop: [rank(query) for query in range(start, stop)]

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
