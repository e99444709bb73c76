"""Pictures of dissimilarities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

from matminer_grid.plotting._checks import DASHES, axes_of, checked_matrix, checked_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray


def plot_dissimilarity_matrix(
    matrix: ArrayLike,
    labels: Sequence[str] | None = None,
    ax: Axes | None = None,
    unit: str = "Å",
    ordered: bool = False,
    annotate: bool | None = None,
) -> Axes:
    """Draw a matrix of dissimilarities as a map, with its numbers where they fit in.

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
    values, names = checked_matrix(matrix, labels, ordered)
    ax = axes_of(ax, 5.6, 4.8)
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


def _write_numbers(ax: Axes, values: NDArray[np.float64]) -> None:
    """Write each number into its cell, the highest with three significant digits; dark on light and light on dark."""
    highest = values.max() or 1.0
    digits = int(np.clip(2 - np.floor(np.log10(highest)), 0, 4))
    size = float(np.clip(60 / len(values), 5, 10))
    for (row, column), value in np.ndenumerate(values):
        color = "white" if value > 0.55 * highest else "black"
        text = "0" if value == 0 else f"{value:.{digits}f}"
        ax.text(column, row, text, ha="center", va="center", fontsize=size, color=color)


def plot_emd_by_group(emd_by_group: ArrayLike, labels: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """Draw in which groups, that is in which neighbour shells, two crystals differ.

    Parameters
    ----------
    emd_by_group : array-like of shape (n_groups,) or (n_pairs, n_groups)
        EMD of each group in Å, as :func:`matminer_grid.grid_emd_by_group` gives it: of one pair, drawn as an area, or of several,
        drawn as lines.
    labels : sequence of str, of length n_pairs, optional
        Names of the pairs, for the legend; their means stand beside them.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        The shape is another one, values are NaN, infinite or negative, or the labels don't fit.

    Examples
    --------
    >>> from matminer_grid.plotting import plot_emd_by_group
    >>> ax = plot_emd_by_group([0.0, 0.1, 0.5])
    >>> ax.get_legend().get_texts()[0].get_text()
    'mean: 0.200 Å'
    """
    rows = checked_rows(emd_by_group, "emd_by_group", labels)
    if (rows < 0).any():
        raise ValueError("emd_by_group has negative values")
    ax = axes_of(ax, 6.4, 3.2 + (0.24 * len(rows) if len(rows) > 1 else 0.0))  # a legend of several stands above
    edges = np.arange(rows.shape[1] + 1) + 0.5
    colors = mpl.colormaps["cividis"](np.linspace(0.0, 0.75, len(rows)))
    for number, row in enumerate(rows):
        label = f"mean: {row.mean():.3f} Å" if labels is None else f"{labels[number]} (mean {row.mean():.3f} Å)"
        if len(rows) == 1:
            ax.stairs(row, edges, fill=True, color="#9fb4cc")
            ax.axhline(row.mean(), color="black", linestyle=(0, (5, 3)), linewidth=1.0, label=label)
        named = label if len(rows) > 1 else None
        dash = DASHES[number % len(DASHES)]
        ax.stairs(row, edges, color=colors[number], linestyle=dash, linewidth=1.3, label=named, baseline=None)
    ax.set(xlim=(edges[0], edges[-1]), xlabel="Group $i$: the $i$-th nearest neighbour", ylabel="EMD of the group (Å)")
    ax.set_ylim(bottom=0)
    above: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "borderpad": 0.2}
    ax.legend(frameon=False, **(above if len(rows) > 1 else {}))
    ax.spines[["top", "right"]].set_visible(False)
    return ax
