"""How much of the known crystals a generated set covers, and how much of it is near known ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matminer_grid._threads import in_threads, n_threads, new_flag, progress_bar
from matminer_grid.kernels.coverage import mark_near

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

QUERIES_AT_ONCE = 32
"""Generated crystals that a thread compares in one go."""

ROUNDING = 1e-6
"""What rounding may add to a distance."""


class Points(NamedTuple):
    """Crystals as coverage compares them.

    Parameters
    ----------
    structures : ndarray of shape (n, n_groups)
        Mean distances to the first, second, ... neighbour, divided by n_groups, in Å.
    compositions : ndarray of shape (n, 103)
        Cumulative fractions on the modified Pettifor scale.
    """

    structures: NDArray[np.float64]
    compositions: NDArray[np.float64]


class Coverage(NamedTuple):
    """Which crystals have one of the other set near them, by "structure", by "composition", and by "both" at once."""

    generated: dict[str, NDArray[np.bool_]]
    known: dict[str, NDArray[np.bool_]]


def find_coverage(
    generated: Points,
    known: Iterable[tuple[NDArray[np.int64], Points]],
    n_known: int,
    radii: tuple[float, float],
    *,
    n_jobs: int | None = None,
    pbar: bool = False,
) -> Coverage:
    """Find the generated crystals that have a known one near them, and the other way round.

    Structures are as far apart as their mean distances to each neighbour differ, on the mean over the first n_groups, in Å;
    compositions as their earth mover's distance on the modified Pettifor scale, in places. Both are parts of a lower bound of the
    site dissimilarity. Known crystals come in blocks, so that memory is bounded.

    Parameters
    ----------
    generated : Points
    known : iterable of tuples of an ndarray and Points
        Rows of some of the known crystals, each once, and their points.
    n_known : int
        Number of known crystals.
    radii : tuple of two floats
        Largest distance of structures, in Å, and of compositions, in places.

    Returns
    -------
    Coverage
    """
    own = {name: np.zeros(len(generated.structures), np.bool_) for name in ("structure", "composition", "both")}
    theirs = {name: np.zeros(n_known, np.bool_) for name in own}
    with progress_bar(desc="coverage", total=n_known, unit="", disable=not pbar) as bar:
        for rows, points in known:
            theirs["structure"][rows] = _mark(generated, points, (0, radii[0]), (1, np.inf), own["structure"], n_jobs)
            theirs["composition"][rows] = _mark(generated, points, (1, radii[1]), (0, np.inf), own["composition"], n_jobs)
            theirs["both"][rows] = _mark(generated, points, (0, radii[0]), (1, radii[1]), own["both"], n_jobs)
            bar.update(len(rows))
    return Coverage(own, theirs)


def _mark(
    generated: Points,
    known: Points,
    first: tuple[int, float],
    second: tuple[int, float],
    near_left: NDArray[np.bool_],
    n_jobs: int | None,
) -> NDArray[np.bool_]:
    """Find what is near by a part and its radius, and by a second part as well: mark the generated in place, give the known."""
    (part, radius), (other, other_radius) = first, second
    order = np.argsort(known[part].sum(axis=1), kind="stable")
    left, right = generated[part].astype(np.float32), known[part][order].astype(np.float32)
    more_left, more_right = generated[other].astype(np.float32), known[other][order].astype(np.float32)
    left_sums, right_sums = generated[part].sum(axis=1), known[part][order].sum(axis=1)
    near_right = np.zeros(len(order), np.bool_)

    def mark(start: int) -> None:
        rows = slice(start, start + QUERIES_AT_ONCE)
        pair = left[rows], left_sums[rows], right, right_sums, radius + ROUNDING
        mark_near(*pair, more_left[rows], more_right, other_radius + ROUNDING, near_left[rows], near_right)

    for _ in in_threads(mark, range(0, len(left), QUERIES_AT_ONCE), n_threads(n_jobs), new_flag()):
        pass
    near_known = np.empty_like(near_right)
    near_known[order] = near_right
    return near_known
