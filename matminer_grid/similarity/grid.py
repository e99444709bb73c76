"""Earth mover's distance between GRIDs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matminer_grid._threads import n_threads, with_progress
from matminer_grid._validation import check_number, check_whole
from matminer_grid.crystals.crystal import Crystal, as_crystal
from matminer_grid.kernels import emd as kernels
from matminer_grid.kernels.grid import ranked_distances
from matminer_grid.kernels.neighbors import OK, PROBLEMS
from matminer_grid.similarity.histograms import Histograms, exact_sums, group_scales

if TYPE_CHECKING:
    import scipy.sparse
    from numpy.typing import ArrayLike, NDArray
    from pymatgen.core import Structure

EXACT_UNIT = 2.0**-51
"""Fractions of sites are rounded to it where they are summed up to 1, so that their order doesn't matter."""

TILE = 16
"""Rows whose cumulative histograms are in cache together."""


def grid_emd(
    X: ArrayLike | scipy.sparse.sparray,
    Y: ArrayLike | scipy.sparse.sparray | None = None,
    *,
    n_groups: int,
    bin_size: float,
    group_weights: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    n_jobs: int | None = None,
    pbar: bool = True,
) -> NDArray[Any]:
    r"""Earth mover's distance between GRIDs: the mean over groups of the one-dimensional Wasserstein-1 distance.

    With F and G the cumulative histograms of group i,

    .. math:: d = \frac{b}{n} \sum_{i=1}^{n} w_i \sum_j |F_{ij} - G_{ij}|

    where b is the bin size and n the number of groups: a Manhattan distance of cumulative histograms. What is missing from a group
    lies at the cutoff. The distance is symmetric to the last bit, never below 0 and exactly 0 for equal rows.

    Parameters
    ----------
    X : array-like or scipy.sparse array of shape (n_X, n_groups * n_bins)
        Features of a GRIDFeaturizer; its `featurize_sparse` takes a fiftieth of the memory. An array of shape (n_groups, n_bins),
        as its `grid` gives it, is one crystal.
    Y : array-like or scipy.sparse array of shape (n_Y, n_groups * n_bins), optional
        Features to compare with; `X` itself by default.
    n_groups : int
        Number of groups of the features.
    bin_size : float
        Width of a bin in Å.
    group_weights : array-like of shape (n_groups,), optional
        Weights of the groups; they are scaled to the mean 1. All are 1 by default.
    out : ndarray or numpy.memmap of shape (n_X, n_Y), optional
        Where to put the result, in float64 or float32, for matrices larger than the memory. Sums are made in float64 in any case.
    n_jobs : int, optional
        Number of threads; see :func:`~matminer_grid._threads.n_threads`.
    pbar : bool, default True
        Whether to show a progress bar on work of more than two seconds.

    Returns
    -------
    ndarray of shape (n_X, n_Y)
        In Å.

    Raises
    ------
    TypeError, ValueError
        Features that are not two-dimensional, of the wrong width, not finite, or not those of so many groups; weights or `out` that
        don't fit.

    References
    ----------
    R.-Z. Zhang, S. Seth and J. Cumby, Digital Discovery 2 (2023) 81-90, 10.1039/D2DD00054G.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from matminer_grid import GRIDFeaturizer, grid_emd
    >>> cells = [Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), ["Cu"], [[0, 0, 0]]) for a in (3.5, 3.6, 3.8)]
    >>> X = GRIDFeaturizer(bin_size=0.01, n_groups=12).featurize_many(cells, pbar=False)
    >>> grid_emd(X, n_groups=12, bin_size=0.01).round(2)  # the nearest neighbours are a / sqrt(2) away
    array([[0.  , 0.07, 0.21],
           [0.07, 0.  , 0.14],
           [0.21, 0.14, 0.  ]])
    """
    check_number("bin_size", bin_size, low_ok=False, unit="Å")
    left = Histograms.from_features(X, n_groups, "X")
    right = left if Y is None else Histograms.from_features(Y, n_groups, "Y")
    if left.n_bins != right.n_bins:
        raise ValueError(
            f"X has {left.n_bins} bins a group and Y {right.n_bins}, so that their cutoffs differ; both must come from one "
            "GRIDFeaturizer"
        )
    return histograms_emd(left, right, group_scales(n_groups, bin_size, group_weights), out=out, n_jobs=n_jobs, pbar=pbar)


def grid_emd_by_group(x: ArrayLike, y: ArrayLike, *, n_groups: int, bin_size: float) -> NDArray[np.float64]:
    """Earth mover's distance of each group between two GRIDs; their mean is :func:`grid_emd`.

    Parameters
    ----------
    x, y : array-like of shape (n_groups * n_bins,) or (n_groups, n_bins)
        Features of a GRIDFeaturizer.
    n_groups : int
    bin_size : float
        In Å.

    Returns
    -------
    ndarray of shape (n_groups,)
        In Å.

    Raises
    ------
    ValueError
        Features of different or wrong sizes.

    Examples
    --------
    >>> grid_emd_by_group([1, 0, 0, 0, 1, 0], [0, 0, 1, 0, 1, 0], n_groups=2, bin_size=0.5)
    array([1., 0.])
    """
    u, v = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    check_whole("n_groups", n_groups)
    if u.size != v.size or u.size == 0 or u.size % n_groups:
        raise ValueError(f"x and y must both have n_groups * n_bins values with n_groups = {n_groups}, not {u.size} and {v.size}")
    difference = np.cumsum((u.ravel() - v.ravel()).reshape(n_groups, -1), axis=1)
    return bin_size * np.abs(difference).sum(axis=1)


def grid_emd_exact(
    a: Structure | Crystal,
    b: Structure | Crystal,
    *,
    cutoff: float = 10.0,
    n_groups: int = 100,
    group_weights: ArrayLike | None = None,
) -> float:
    """Earth mover's distance between the GRIDs of two structures without bins: the limit of small ones.

    It is a pseudometric, symmetric to the last bit and 0 for equal sites. Moving every atom of a structure by at most ε, in the
    same cell, changes it by at most 2ε.

    Parameters
    ----------
    a, b : pymatgen.core.Structure or Crystal
    cutoff : float, default 10.0
        In Å; distances beyond it count as the cutoff.
    n_groups : int, default 100
    group_weights : array-like of shape (n_groups,), optional
        Weights of the groups, scaled to the mean 1.

    Returns
    -------
    float
        In Å.

    Raises
    ------
    TypeError, ValueError
        What is wrong with a structure or with a parameter.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> simple_cubic = [Structure(Lattice.cubic(a), ["Po"], [[0, 0, 0]]) for a in (3.0, 3.1)]
    >>> round(grid_emd_exact(*simple_cubic, n_groups=6), 9)
    0.1
    """
    check_number("cutoff", cutoff, low_ok=False, unit="Å")
    check_whole("n_groups", n_groups)
    scales = group_scales(n_groups, 1.0, group_weights)
    parts = []
    for sign, structure in ((1, a), (-1, b)):
        crystal = as_crystal(structure)
        groups, distances, fractions, status = ranked_distances(
            crystal.lattice, crystal.frac_coords, crystal.site_occupancies, int(n_groups), float(cutoff)
        )
        if status != OK:
            raise ValueError(f"{crystal.formula}: {PROBLEMS[status]}")
        parts.append((groups, distances, sign * np.rint(fractions / EXACT_UNIT) * EXACT_UNIT))
    groups, distances, fractions = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = np.lexsort((distances, groups))
    by_group = np.empty(n_groups)
    kernels.emd_by_group(groups[order], distances[order], fractions[order], float(cutoff), by_group)
    return float(scales @ by_group)


def _check_out(out: Any, shape: tuple[int, int]) -> None:
    allowed = (np.dtype(np.float64), np.dtype(np.float32))
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype not in allowed or not out.flags.writeable:
        found = f"{type(out).__name__} of shape {getattr(out, 'shape', None)} and type {getattr(out, 'dtype', None)}"
        raise ValueError(f"out must be a writeable array or memmap of shape {shape} in float64 or float32, not {found}")


def _similar_blocks(means: NDArray[np.float64]) -> NDArray[np.int64]:
    """Order rows so that those of a block are alike: halve them along the group that varies most, again and again."""
    stack, order = [np.arange(len(means))], []
    while stack:
        rows = stack.pop()
        if len(rows) <= kernels.BLOCK:
            order.append(rows)
            continue
        widest = means[rows].var(axis=0).argmax()
        rows = rows[np.argsort(means[rows, widest], kind="stable")]
        half = max(1, (len(rows) // kernels.BLOCK + 1) // 2) * kernels.BLOCK
        stack += [rows[half:], rows[:half]]
    return np.concatenate(order)


def histograms_emd(
    left: Histograms,
    right: Histograms,
    scales: NDArray[np.float64],
    *,
    out: NDArray[Any] | None = None,
    n_jobs: int | None = None,
    pbar: bool = False,
) -> NDArray[Any]:
    """Compute :func:`grid_emd` from histograms and :func:`group_scales`."""
    shape = (len(left), len(right))
    if out is None:
        out = np.empty(shape)
    else:
        _check_out(out, shape)
    n_threads(n_jobs)
    if out.size == 0:
        return out
    scales, rounder = exact_sums(scales, left.n_bins)
    order = _similar_blocks(right.means)
    block_starts = np.arange(0, len(order), kernels.BLOCK)
    starts = np.minimum.reduceat(right.first[order], block_starts)
    stops = np.maximum(np.maximum.reduceat(right.last[order], block_starts), starts)
    sizes = (stops - starts).sum(axis=1) * np.diff(np.append(block_starts, len(order)))
    offsets = np.concatenate(([0], np.cumsum(sizes)))
    packed = np.empty(offsets[-1])
    references = (right.indptr, right.indices, right.data, order, right.n_bins, scales, rounder, starts, stops, offsets, packed)
    kernels.pack_blocks(*references)
    square = left is right
    rows = order if square else np.arange(len(left))
    blocks = (left.n_bins, scales, rounder, starts, stops, offsets, packed, order)

    def fill(start: int) -> int:
        tile = rows[start : start + TILE]
        first_block = start // kernels.BLOCK if square else 0
        kernels.emd_tile(left.indptr, left.indices, left.data, tile, *blocks, first_block, out)
        return len(tile) * (len(order) - first_block * kernels.BLOCK)

    total = len(left) * (len(left) + kernels.BLOCK) // 2 if square else out.size
    bar = {"desc": "GRID EMD", "total": total, "unit": "pair", "unit_scale": True, "delay": 2, "disable": not pbar}
    with_progress(fill, range(0, len(rows), TILE), n_jobs, bar, batch_size=1)
    if square:
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        kernels.mirror(out, rank)
    return out
