"""Pictures of a GRID and of its sum, the RDF."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from matminer_grid.plotting._checks import DASHES, axes_of, checked_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

ROW_FILL = 0.86
"""Height of the tallest bar as a fraction of the distance between two groups."""

SHOWN_GROUPS = 8
"""Groups that are drawn one above the other unless another number is asked for."""


def plot_grid(
    grid: ArrayLike,
    bin_edges: ArrayLike,
    n_groups: int | None = None,
    ax: Axes | None = None,
    kind: Literal["histograms", "map"] = "histograms",
) -> Axes:
    """Draw the first groups of a GRID one above the other, the nearest neighbour on top, or all of them as a map.

    As histograms, all groups share the distance axis and one scale of heights. Two crystals are compared on axes that share theirs,
    ``plt.subplots(1, 2, sharex=True)``: it then reaches over the distances of both.

    Parameters
    ----------
    grid : array-like of shape (n_groups_in_all, n_bins)
        Fraction of sites, as :meth:`GRIDFeaturizer.grid` gives it.
    bin_edges : array-like of shape (n_bins + 1,)
        Edges of the bins in Å.
    n_groups : int, optional
        Number of groups to draw; by default up to 8 histograms, or all groups as a map.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure. A map gets a colour bar beside it.
    kind : {"histograms", "map"}
        Whether the groups are drawn as histograms or as the rows of a map, whose darkness is the fraction of sites.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        The shapes don't fit together, there are fewer groups than asked for, values are NaN or infinite, or `kind` is unknown.

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
    if kind not in {"histograms", "map"}:
        raise ValueError(f"kind must be 'histograms' or 'map', not {kind!r}")
    if n_groups is None:
        n_groups = len(grid) if kind == "map" else min(SHOWN_GROUPS, len(grid))
    if not 1 <= n_groups <= len(grid):
        raise ValueError(f"n_groups must lie between 1 and the {len(grid)} groups of the GRID, not {n_groups}")
    shown = grid[:n_groups]
    if not np.isfinite(shown).all():
        raise ValueError("the GRID has values that are NaN or infinite")
    if kind == "map":
        return _draw_map(shown, edges, ax)
    ax = axes_of(ax, 6.0, 0.5 * n_groups + 1.2)
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
        low, high = max(edges[0], edges[used[0]] - margin), min(edges[-1], edges[used[-1] + 1] + margin)
        if any(other.has_data() for other in ax.get_shared_x_axes().get_siblings(ax) if other is not ax):
            low, high = min(low, ax.get_xlim()[0]), max(high, ax.get_xlim()[1])
        ax.set_xlim(low, high)
    ax.set_ylim(-0.15, n_groups + 0.05)
    ax.set_yticks(range(n_groups), labels=[str(group) for group in range(n_groups, 0, -1)])
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "left", "right"]].set_visible(False)
    ax.set_xlabel("Distance (Å)")
    ax.set_ylabel("Group $i$: the $i$-th nearest neighbour", labelpad=8)
    return ax


def _draw_map(grid: NDArray[np.float64], edges: NDArray[np.float64], ax: Axes | None) -> Axes:
    """Draw groups as rows of a map; white is 0, in the map and in its bar."""
    ax = axes_of(ax, 6.0, 4.6)
    rows = np.arange(len(grid) + 1) + 0.5
    percent = 100 * grid
    colors = LinearSegmentedColormap.from_list("from white", ["white", *mpl.colormaps["cividis_r"](np.linspace(0.1, 1.0, 9))])
    mesh = ax.pcolormesh(edges, rows, percent, cmap=colors, vmin=0.0, vmax=percent.max() or 100.0)
    ax.invert_yaxis()
    bar = ax.figure.colorbar(mesh, ax=ax, label="Sites (%)")
    bar.outline.set(edgecolor="0.7", linewidth=0.6)
    ax.set(xlabel="Distance (Å)", ylabel="Group $i$: the $i$-th nearest neighbour")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _mark_scale(ax: Axes, baseline: float, highest: float) -> None:
    """Draw a bar at the right that gives the heights their unit."""
    right = ax.get_yaxis_transform()
    ax.plot([1.0, 1.0], [baseline, baseline + ROW_FILL], transform=right, color="black", linewidth=1.2, clip_on=False)
    label = f"{100 * highest:.3g} %\nof sites"
    ax.text(1.015, baseline + ROW_FILL / 2, label, transform=right, va="center", ha="left", fontsize="small")


def plot_rdf(rdf: ArrayLike, bin_edges: ArrayLike, labels: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """Draw the radial distribution function of a crystal, or those of several as lines.

    Parameters
    ----------
    rdf : array-like of shape (n_bins,) or (n_crystals, n_bins)
        As :meth:`GRIDFeaturizer.rdf` and :meth:`GRIDFeaturizer.rdf_many` give it, with matminer's normalisation: without unit, and
        proportional to the size of the cell.
    bin_edges : array-like of shape (n_bins + 1,)
        Edges of the bins in Å.
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
    >>> from matminer_grid.plotting import plot_rdf
    >>> ax = plot_rdf([0.0, 2.5, 0.4], [0, 1, 2, 3])
    >>> ax.get_xlabel()
    'Distance (Å)'
    """
    ax = draw_histograms(rdf, bin_edges, "rdf", labels, ax)
    ax.set(xlabel="Distance (Å)", ylabel="Radial distribution function")
    return ax


def draw_histograms(values: ArrayLike, bin_edges: ArrayLike, name: str, labels: Sequence[str] | None, ax: Axes | None) -> Axes:
    """Check and draw one histogram as an area, or several as lines that differ in colour and dashes."""
    rows, edges = checked_rows(values, name, labels), np.asarray(bin_edges, dtype=np.float64)
    if edges.shape != (rows.shape[1] + 1,):
        raise ValueError(f"bin_edges must have the shape ({rows.shape[1] + 1},) for {rows.shape[1]} bins, not {edges.shape}")
    ax = axes_of(ax, 6.4, 3.2)
    colors = mpl.colormaps["cividis"](np.linspace(0.0, 0.75, len(rows)))
    for number, row in enumerate(rows):
        if len(rows) == 1:
            ax.stairs(row, edges, fill=True, color="#9fb4cc")
        dash = DASHES[number % len(DASHES)]
        label = None if labels is None else labels[number]
        ax.stairs(row, edges, color=colors[number], linestyle=dash, linewidth=1.2, label=label)
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylim(bottom=min(0.0, rows.min()))
    if labels is not None:
        ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
