"""Figures from arrays, with matplotlib: they read in grey and for colour-blind readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.ticker import LogLocator
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

ROW_FILL = 0.86
"""Height of the tallest bar as a fraction of the distance between two groups."""


def plot_grid(grid: ArrayLike, bin_edges: ArrayLike, n_groups: int = 8, ax: Axes | None = None) -> Axes:
    """Draw the first groups of a GRID one above the other, the nearest neighbour on top.

    All groups share the distance axis and one scale of heights.

    Parameters
    ----------
    grid : array-like of shape (n_groups_in_all, n_bins)
        Fraction of sites, as :meth:`GRIDFeaturizer.grid` gives it.
    bin_edges : array-like of shape (n_bins + 1,)
        Edges of the bins in Å.
    n_groups : int, default 8
        Number of groups to draw.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        The shapes don't fit together, there are fewer groups than asked for, or values are NaN or infinite.

    Examples
    --------
    >>> import numpy as np
    >>> from matminer_grid.plotting import plot_grid
    >>> ax = plot_grid(np.eye(3), [0, 1, 2, 3], n_groups=3)
    >>> ax.get_xlabel()
    'Distance (Å)'
    """
    grid, edges = np.asarray(grid, dtype=np.float64), np.asarray(bin_edges, dtype=np.float64)
    if grid.ndim != 2 or edges.shape != (grid.shape[1] + 1,):
        raise ValueError(
            f"grid must have the shape (n_groups, n_bins) and bin_edges (n_bins + 1,), not {grid.shape}, {edges.shape}"
        )
    if not 1 <= n_groups <= len(grid):
        raise ValueError(f"n_groups must lie between 1 and the {len(grid)} groups of the GRID, not {n_groups}")
    shown = grid[:n_groups]
    if not np.isfinite(shown).all():
        raise ValueError("the GRID has values that are NaN or infinite")
    if ax is None:
        _, ax = plt.subplots(figsize=(6.0, 0.5 * n_groups + 1.2), layout="constrained")
    highest = shown.max() or 1.0
    colors = mpl.colormaps["viridis"](np.linspace(0.15, 0.9, n_groups))
    for row, group in enumerate(shown):
        baseline = n_groups - 1 - row
        heights = baseline + ROW_FILL * group / highest
        ax.axhline(baseline, color="0.75", linewidth=0.6, zorder=1)
        ax.stairs(heights, edges, baseline=baseline, fill=True, color=colors[row], zorder=2)
        outline = np.where(group > 0, heights, np.nan)
        ax.stairs(outline, edges, baseline=baseline, color="black", linewidth=0.5, zorder=3)
    _mark_scale(ax, n_groups - 1, highest)
    used = np.flatnonzero(shown.any(axis=0))
    if used.size:
        margin = 0.12 * (edges[used[-1] + 1] - edges[used[0]]) + (edges[1] - edges[0])
        ax.set_xlim(max(edges[0], edges[used[0]] - margin), min(edges[-1], edges[used[-1] + 1] + margin))
    ax.set_ylim(-0.15, n_groups + 0.05)
    ax.set_yticks(range(n_groups), labels=[str(group) for group in range(n_groups, 0, -1)])
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "left", "right"]].set_visible(False)
    ax.set_xlabel("Distance (Å)")
    ax.set_ylabel("Group $i$: the $i$-th nearest neighbour", labelpad=8)
    return ax


def _mark_scale(ax: Axes, baseline: float, highest: float) -> None:
    """Draw a bar at the right that gives the heights their unit."""
    right = ax.get_yaxis_transform()
    ax.plot([1.0, 1.0], [baseline, baseline + ROW_FILL], transform=right, color="black", linewidth=1.2, clip_on=False)
    label = f"{100 * highest:.3g} %\nof sites"
    ax.text(1.015, baseline + ROW_FILL / 2, label, transform=right, va="center", ha="left", fontsize="small")


def plot_parity(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    ax: Axes | None = None,
    unit: str = "GPa",
    quantity: str = "bulk modulus",
    log: bool = False,
    gridsize: int = 60,
) -> Axes:
    """Draw predictions against true values as a map of point density, with the line x = y and the errors.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
        True and predicted values.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure. A colour bar is set beside it.
    unit : str, default "GPa"
        Unit of the values.
    quantity : str, default "bulk modulus"
        What the values are, for the axis labels.
    log : bool, default False
        Whether both axes are logarithmic.
    gridsize : int, default 60
        Number of hexagons along an axis.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        The arrays are empty or of different shapes, have values that are NaN or infinite, or, with `log`, not above zero.

    Examples
    --------
    >>> from matminer_grid.plotting import plot_parity
    >>> ax = plot_parity([10, 100, 200], [12, 90, 210])
    >>> ax.get_xlabel()
    'True bulk modulus (GPa)'
    """
    true, predicted = np.asarray(y_true, dtype=np.float64), np.asarray(y_pred, dtype=np.float64)
    _check_pairs(true, predicted, log)
    if ax is None:
        _, ax = plt.subplots(figsize=(5.2, 4.4), layout="constrained")
    low, high = _limits(np.concatenate((true, predicted)), log)
    scale: Literal["linear", "log"] = "log" if log else "linear"
    extent = (np.log10(low), np.log10(high)) * 2 if log else (low, high) * 2
    density = ax.hexbin(
        true,
        predicted,
        gridsize=gridsize,
        extent=extent,
        xscale=scale,
        yscale=scale,
        bins="log",
        mincnt=1,
        cmap=ListedColormap(mpl.colormaps["Blues"](np.linspace(0.4, 1.0, 256))),
        linewidths=0.2,
        zorder=2,
    )
    ax.plot([low, high], [low, high], color="black", linewidth=1.0, linestyle=(0, (5, 3)), label="$x = y$", zorder=3)
    bar = ax.figure.colorbar(density, ax=ax, label="Number of crystals", ticks=LogLocator(subs=(1, 2, 5)), format="%g")
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)
    errors = np.abs(predicted - true)
    text = f"MAE {errors.mean():.1f} {unit}\nmedian {np.median(errors):.1f} {unit}\n$n$ = {len(true):,}"
    ax.text(0.04, 0.96, text, transform=ax.transAxes, va="top", ha="left", zorder=4)
    ax.legend(loc="lower right", frameon=False)
    ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    ax.set_xlabel(f"True {quantity} ({unit})")
    ax.set_ylabel(f"Predicted {quantity} ({unit})")
    if log:
        ax.xaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_major_formatter("{x:g}")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _check_pairs(true: NDArray[np.float64], predicted: NDArray[np.float64], log: bool) -> None:
    if true.ndim != 1 or true.shape != predicted.shape or not true.size:
        raise ValueError(f"y_true and y_pred must be as long as each other and not empty, not {true.shape} and {predicted.shape}")
    for name, values in (("y_true", true), ("y_pred", predicted)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} has values that are NaN or infinite")
        if log and not (values > 0).all():
            raise ValueError(f"{name} has values that are not above zero, which logarithmic axes can't show")


def _limits(values: NDArray[np.float64], log: bool) -> tuple[float, float]:
    """Give limits for both axes with a margin of 3 %; a linear axis of positive values starts at 0."""
    low, high = float(values.min()), float(values.max())
    if log:
        factor = (high / low) ** 0.03 if high > low else 2.0
        return low / factor, high * factor
    margin = 0.03 * (high - min(low, 0.0)) or 1.0
    return (0.0 if low >= 0 else low - margin), high + margin


def plot_dissimilarity_matrix(
    matrix: ArrayLike,
    labels: Sequence[str] | None = None,
    ax: Axes | None = None,
    unit: str = "Å",
    ordered: bool = False,
    annotate: bool | None = None,
) -> Axes:
    """Draw a matrix of dissimilarities as a map, with its numbers where there is room for them.

    Light is alike and dark is different, in a colour map that reads in grey and for colour-blind readers.

    Parameters
    ----------
    matrix : array-like of shape (n, n)
        Symmetric dissimilarities, not negative.
    labels : sequence of str, of length n, optional
        Names of the crystals; their numbers from 0 by default.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure. A colour bar is set beside it.
    unit : str, default "Å"
        Unit of the dissimilarities; "" for none.
    ordered : bool, default False
        Whether to put alike crystals side by side: in the order of the leaves of average linkage (Bar-Joseph et al.,
        Bioinformatics 17 (2001) S22, 10.1093/bioinformatics/17.suppl_1.S22). By default they stay in the order given.
    annotate : bool, optional
        Whether to write the numbers; by default up to 12 crystals.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        The matrix is not square, empty, not symmetric, or has values that are NaN, infinite or negative; or the labels don't fit.

    Examples
    --------
    >>> from matminer_grid.plotting import plot_dissimilarity_matrix
    >>> ax = plot_dissimilarity_matrix([[0, 3, 1], [3, 0, 2], [1, 2, 0]], ["fcc", "bcc", "hcp"], ordered=True)
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['fcc', 'hcp', 'bcc']
    """
    values = np.asarray(matrix, dtype=np.float64)
    _check_dissimilarities(values)
    names = [str(i) for i in range(len(values))] if labels is None else [str(label) for label in labels]
    if len(names) != len(values):
        raise ValueError(f"labels must name each of the {len(values)} crystals, not {len(names)}")
    if ordered and len(values) > 2:
        order = leaves_list(linkage(squareform(values, checks=False), "average", optimal_ordering=True))
        order = order if order[0] < order[-1] else order[::-1]
        values, names = values[np.ix_(order, order)], [names[i] for i in order]
    if ax is None:
        _, ax = plt.subplots(figsize=(5.6, 4.8), layout="constrained")
    image = ax.imshow(values, cmap="cividis_r", vmin=0.0, vmax=values.max() or 1.0)
    if annotate if annotate is not None else len(values) <= 12:
        _write_numbers(ax, values)
    bar = ax.figure.colorbar(image, ax=ax, label=f"Dissimilarity ({unit})" if unit else "Dissimilarity", shrink=0.85)
    bar.outline.set_visible(False)
    shown = range(0, len(values), -(-len(values) // 24))
    ax.set_xticks(shown, labels=[names[i] for i in shown], rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(shown, labels=[names[i] for i in shown])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def _check_dissimilarities(values: NDArray[np.float64]) -> None:
    if values.ndim != 2 or values.shape[0] != values.shape[1] or not values.size:
        raise ValueError(f"matrix must be square and not empty, not of shape {values.shape}")
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError("matrix has values that are NaN, infinite or negative")
    if not np.allclose(values, values.T, rtol=1e-6, atol=1e-9):
        raise ValueError("matrix must be symmetric")


def _write_numbers(ax: Axes, values: NDArray[np.float64]) -> None:
    """Write each number into its cell, the highest with three significant digits; dark on light and light on dark."""
    highest = values.max() or 1.0
    digits = int(np.clip(2 - np.floor(np.log10(highest)), 0, 4))
    size = float(np.clip(60 / len(values), 5, 10))
    for (row, column), value in np.ndenumerate(values):
        color = "white" if value > 0.55 * highest else "black"
        text = "0" if value == 0 else f"{value:.{digits}f}"
        ax.text(column, row, text, ha="center", va="center", fontsize=size, color=color)
