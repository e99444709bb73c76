"""Pictures of reciprocal space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matminer_grid.plotting._checks import axes_of
from matminer_grid.plotting.grid import draw_histograms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

LARGEST_AREA = 220.0
"""Area of the strongest reflection of a slice, in square points."""


def plot_reciprocal_slice(
    hkl: ArrayLike,
    intensities: ArrayLike,
    lattice: ArrayLike,
    zone: Sequence[int] = (0, 0, 1),
    level: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw a plane of reciprocal space: a disk for each reflection, whose area is its intensity.

    The plane holds the reflections with h u + k v + l w = level, where [u v w] is the zone axis, along which one looks. By default
    it is hk0. The other one of each Friedel pair is added where it is missing; (000) is a cross.

    Parameters
    ----------
    hkl : array-like of int of shape (n, 3)
        Miller indices, as :func:`matminer_grid.hkl_intensities` gives them.
    intensities : array-like of shape (n,)
        Not negative; the strongest one in the plane sets the scale.
    lattice : array-like of shape (3, 3)
        Lattice vectors in Å, one a row, of the cell that the indices belong to.
    zone : sequence of 3 int, default (0, 0, 1)
        Zone axis [u v w].
    level : int, default 0
        Which of the parallel planes: 0 holds the origin.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        The shapes don't fit together, intensities are NaN, infinite or negative, the lattice has no volume, the zone axis is no
        direction of whole numbers, or no reflection lies in the plane.

    Examples
    --------
    >>> from matminer_grid.plotting import plot_reciprocal_slice
    >>> ax = plot_reciprocal_slice([[1, 0, 0], [0, 1, 0]], [2.0, 1.0], [[4, 0, 0], [0, 4, 0], [0, 0, 5]])
    >>> len(ax.collections[0].get_offsets())  # two reflections and their Friedel mates
    4
    """
    indices, values, cell, axis = _checked_reflections(hkl, intensities, lattice, zone)
    mates = {tuple(index): value for index, value in zip((-indices).tolist(), values.tolist(), strict=True)}
    mates.update({tuple(index): value for index, value in zip(indices.tolist(), values.tolist(), strict=True)})
    shown = np.array([index for index in mates if np.dot(index, axis) == level and any(index)], dtype=np.int64).reshape(-1, 3)
    if not len(shown):
        raise ValueError(f"no reflection has h u + k v + l w = {level} with [u v w] = {axis.tolist()}")
    strengths = np.array([mates[tuple(index)] for index in shown.tolist()])
    points = shown @ np.linalg.inv(cell).T @ _plane(axis @ cell, cell).T
    ax = axes_of(ax, 4.8, 4.6)
    areas = LARGEST_AREA * strengths / (strengths.max() or 1.0)
    ax.scatter(points[:, 0], points[:, 1], s=areas, color="#0b4f8a", edgecolor="black", linewidth=0.4)
    if level == 0:
        ax.plot(0, 0, "+", color="black")
    ax.set(xlabel="$S_x$ (Å$^{-1}$)", ylabel="$S_y$ (Å$^{-1}$)", aspect="equal")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _checked_reflections(
    hkl: ArrayLike, intensities: ArrayLike, lattice: ArrayLike, zone: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    indices, values = np.asarray(hkl), np.asarray(intensities, dtype=np.float64)
    cell, axis = np.asarray(lattice, dtype=np.float64), np.asarray(zone)
    if indices.ndim != 2 or indices.shape[1] != 3 or values.shape != (len(indices),):
        raise ValueError(f"hkl must have the shape (n, 3) and intensities (n,), not {indices.shape} and {values.shape}")
    if not (np.isfinite(values) & (values >= 0)).all():
        raise ValueError("intensities has values that are NaN, infinite or negative")
    if cell.shape != (3, 3) or not np.isfinite(cell).all() or np.linalg.det(cell) == 0:
        raise ValueError("lattice must be three vectors in Å that span a volume")
    if axis.shape != (3,) or not np.issubdtype(axis.dtype, np.integer) or not axis.any():
        raise ValueError(f"zone must be three whole numbers that aren't all 0, not {zone!r}")
    return indices.astype(np.int64), values, cell, axis.astype(np.int64)


def _plane(normal: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give two unit vectors at right angles to the normal and to each other: the first along a*, or b* if that is the normal's."""
    normal = normal / np.linalg.norm(normal)
    for star in np.linalg.inv(cell).T:
        first = star - (star @ normal) * normal
        if np.linalg.norm(first) > 1e-6 * np.linalg.norm(star):
            break
    first = first / np.linalg.norm(first)
    return np.array([first, np.cross(normal, first)])


def plot_radial_pattern(
    pattern: ArrayLike, bin_edges: ArrayLike, labels: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the radial intensities of a crystal, or those of several as lines.

    Parameters
    ----------
    pattern : array-like of shape (n_bins,) or (n_crystals, n_bins)
        Fractions of the intensity, as :class:`matminer_grid.PowderPatternFeaturizer` gives them.
    bin_edges : array-like of shape (n_bins + 1,)
        Edges of the bins of S = 1/d, in Å⁻¹.
    labels : sequence of str, of length n_crystals, optional
        Names of the crystals, for the legend.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        The shapes don't fit together, values are NaN or infinite, or the labels don't fit.

    Examples
    --------
    >>> from matminer_grid.plotting import plot_radial_pattern
    >>> ax = plot_radial_pattern([0.0, 0.25, 0.75], [0.0, 0.1, 0.2, 0.3])
    >>> ax.get_ylabel()
    'Intensity (%)'
    """
    ax = draw_histograms(100 * np.asarray(pattern, dtype=np.float64), bin_edges, "pattern", labels, ax)
    ax.set(xlabel="$S = 1/d$ (Å$^{-1}$)", ylabel="Intensity (%)")
    return ax
