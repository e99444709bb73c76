"""Pictures of duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matminer_grid.plotting._checks import axes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike


def plot_groups(factors: ArrayLike, n_groups: ArrayLike, gap: tuple[float, float] | None = None, ax: Axes | None = None) -> Axes:
    """Draw the number of groups of a data set against the tolerance, on a logarithmic axis.

    Parameters
    ----------
    factors : array-like of shape (m,)
        Tolerances, as multiples of one; ascending and above 0.
    n_groups : array-like of shape (m,)
        Number of groups at each, as :func:`matminer_grid.suggest_tolerance` gives it.
    gap : tuple of two float, optional
        A range of factors to be shaded.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        The arrays are empty or of different shapes, or factors are not ascending and above 0.

    Examples
    --------
    >>> from matminer_grid.plotting import plot_groups
    >>> ax = plot_groups([0.01, 0.05, 1.0, 2.0], [40, 31, 31, 22], gap=(0.05, 1.0))
    >>> ax.get_xlabel()
    'Tolerance (multiple of the given one)'
    """
    x, y = np.asarray(factors, dtype=np.float64), np.asarray(n_groups, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or not x.size:
        raise ValueError(f"factors and n_groups must be as long as each other and not empty, not {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and (x > 0).all() and (np.diff(x) >= 0).all() and np.isfinite(y).all()):
        raise ValueError("factors must be ascending, finite and above 0, and numbers of groups finite")
    ax = axes_of(ax, 5.2, 3.4)
    if gap is not None:
        ax.axvspan(*gap, color="0.88", zorder=0, label=f"no groups become one from {gap[0]:.2g} to {gap[1]:.2g}")
        ax.legend(frameon=False)
    ax.step(x, y, where="post", color="black", linewidth=1.5)
    ax.axvline(1.0, color="black", linewidth=0.8, linestyle=(0, (5, 3)))
    ax.set_xscale("log")
    ax.set_xlabel("Tolerance (multiple of the given one)")
    ax.set_ylabel("Groups")
    ax.spines[["top", "right"]].set_visible(False)
    return ax
