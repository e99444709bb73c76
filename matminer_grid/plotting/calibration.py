"""Pictures of how far stated probabilities can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matminer_grid.plotting._checks import DASHES, MARKERS, axes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike


def plot_calibration(
    stated: ArrayLike,
    observed: ArrayLike,
    ax: Axes | None = None,
    what: str = "within the interval",
    label: str | None = None,
) -> Axes:
    """Draw how often something came true against the probability that was stated, with the line where both agree.

    Call it again with the same axes for another model: it gets the next marker and dash.

    Parameters
    ----------
    stated, observed : array-like of shape (n,)
        Probabilities between 0 and 1, of intervals or of classes; and the shares of the crystals that it was so for.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.
    what : str, default "within the interval"
        What came true, for the axis labels.
    label : str, optional
        Name of the model, for the legend.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        The arrays are empty, of different shapes, or not between 0 and 1.

    Examples
    --------
    >>> from matminer_grid.plotting import plot_calibration
    >>> ax = plot_calibration([0.5, 0.8, 0.95], [0.48, 0.81, 0.94])
    >>> ax.get_ylabel()
    'Share of crystals within the interval (%)'
    """
    x, y = np.asarray(stated, dtype=np.float64), np.asarray(observed, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or not x.size:
        raise ValueError(f"stated and observed must be as long as each other and not empty, not {x.shape} and {y.shape}")
    for name, values in (("stated", x), ("observed", y)):
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"{name} must lie between 0 and 1")
    ax = axes_of(ax, 4.4, 4.2)
    number = len(ax.lines) - 1
    if number < 0:
        ax.plot([0, 100], [0, 100], color="0.6", linewidth=1.0)
        number = 0
    dash, marker = DASHES[number % len(DASHES)], MARKERS[number % len(MARKERS)]
    ax.plot(100 * x, 100 * y, color="black", linestyle=dash, marker=marker, markersize=5, linewidth=1.2, label=label)
    ax.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    ax.set(xlabel=f"Stated probability to be {what} (%)", ylabel=f"Share of crystals {what} (%)")
    ax.spines[["top", "right"]].set_visible(False)
    if label is not None:
        ax.legend(frameon=False, loc="lower right")
    return ax
