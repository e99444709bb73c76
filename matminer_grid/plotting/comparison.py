"""Two crystals side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

from matminer_grid.plotting._checks import axes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

LOWEST_SHARE = 0.02
"""Matches of fewer atoms get no name."""


def plot_site_matches(
    first: Sequence[str], second: Sequence[str], shares: ArrayLike, costs: ArrayLike, ax: Axes | None = None
) -> Axes:
    """Draw which sites of a crystal became which of another, as bands that are as wide as the fraction of atoms.

    Parameters
    ----------
    first, second : sequence of str, of length n
        Names of the sites that each match joins.
    shares : array-like of shape (n,)
        Fraction of the atoms of each match; they sum to 1.
    costs : array-like of shape (n,)
        What each match costs; dark is dear.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure. A colour bar is set beside it.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        The lengths differ, or there is no match.

    Examples
    --------
    >>> from matminer_grid.plotting import plot_site_matches
    >>> ax = plot_site_matches(["Na 4a", "Cl 4b"], ["K 4a", "Cl 4b"], [0.5, 0.5], [8.6, 7.6])
    >>> [text.get_text() for text in ax.texts]
    ['Na 4a', 'Cl 4b', 'K 4a', 'Cl 4b']
    """
    widths, values = np.asarray(shares, dtype=np.float64), np.asarray(costs, dtype=np.float64)
    if not len(first) == len(second) == len(widths) == len(values) > 0:
        raise ValueError("first, second, shares and costs must have one entry a match each, and at least one")
    ax = axes_of(ax, 4.6, 4.2)
    norm = mpl.colors.Normalize(0, values.max() or 1.0)
    colors = mpl.colormaps["cividis_r"](norm(values))
    left = _stacked(first, widths, np.arange(len(widths)))
    right = _stacked(second, widths, left)  # where most of their bands begin, so that few cross
    x = np.linspace(0, 1, 60)
    bend = x**2 * (3 - 2 * x)
    for color, below_left, below_right, width in zip(colors, left, right, widths, strict=True):
        below = below_left + (below_right - below_left) * bend
        ax.fill_between(x, below, below + width, facecolor=color, edgecolor="white", linewidth=1.5)
    for names, starts, at, align in ((first, left, -0.03, "right"), (second, right, 1.03, "left")):
        for name in dict.fromkeys(names):
            own = [i for i, other in enumerate(names) if other == name]
            height = widths[own].sum()
            if height >= LOWEST_SHARE:
                ax.text(at, starts[own].min() + height / 2, name, ha=align, va="center")
            ax.plot([0 if at < 0 else 1] * 2, [starts[own].min(), starts[own].min() + height], color="0.2", linewidth=2)
    ax.set(xlim=(-0.3, 1.3), ylim=(1.01, -0.01), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    bar = ax.figure.colorbar(mpl.cm.ScalarMappable(norm, "cividis_r"), ax=ax, label="Cost of a match", shrink=0.8)
    bar.outline.set_visible(False)
    return ax


def _stacked(names: Sequence[str], widths: NDArray[np.float64], places: NDArray[Any]) -> NDArray[np.float64]:
    """Find where each band begins, if those of one name lie together, ordered by the mean of their places."""
    of_name = {name: [i for i, other in enumerate(names) if other == name] for name in names}
    means = {name: np.average(places[own], weights=widths[own]) for name, own in of_name.items()}
    order = [i for name in sorted(of_name, key=lambda name: means[name]) for i in of_name[name]]
    starts = np.empty(len(widths))
    starts[order] = np.cumsum(widths[order]) - widths[order]
    return starts


def plot_parts(parts: dict[str, float], ax: Axes | None = None) -> Axes:
    """Draw what a dissimilarity is made of, as bars with their numbers.

    Parameters
    ----------
    parts : dict of str to float
        Weighted parts by name; they sum to the dissimilarity.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> from matminer_grid.plotting import plot_parts
    >>> plot_parts({"distances": 7.1, "elements": 0.5, "surroundings": 0.5}).get_title()
    'Dissimilarity 8.10'
    """
    ax = axes_of(ax, 3.6, 2.2)
    values: Any = list(parts.values())
    bars = ax.barh(list(parts), values, color="#33638d")
    ax.bar_label(bars, fmt="{:.2f}", padding=3)
    ax.set(xlim=(0, 1.25 * (max(values) or 1.0)), title=f"Dissimilarity {sum(values):.2f}")
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
    return ax
