"""Pictures of how well a model predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.ticker import LogLocator, NullFormatter

from matminer_grid.plotting._checks import DASHES, MARKERS, axes_of, checked_pairs, limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike


def plot_parity(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    ax: Axes | None = None,
    unit: str = "GPa",
    quantity: str = "bulk modulus",
    log: bool = False,
    gridsize: int = 60,
    title: str = "",
) -> Axes:
    """Draw predictions against true values as a map of point density, with the line x = y; the errors stand above it.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
        True and predicted values.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure. A colour bar is set beside it.
    unit : str, default "GPa"
        Unit of the values; "" for none.
    quantity : str, default "bulk modulus"
        What the values are, for the axis labels.
    log : bool, default False
        Whether both axes are logarithmic.
    gridsize : int, default 60
        Number of hexagons along an axis.
    title : str, default ""
        What is said above the errors, such as the name of the model.

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
    true, predicted = checked_pairs(y_true, y_pred, log)
    ax = axes_of(ax, 5.2, 4.4)
    low, high = limits(np.concatenate((true, predicted)), log)
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
    ax.plot([low, high], [low, high], color="black", linewidth=1.0, linestyle=(0, (5, 3)), zorder=3)
    bar = ax.figure.colorbar(density, ax=ax, label="Number of crystals", ticks=LogLocator(subs=(1, 2, 5)), format="%g")
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)
    errors = np.abs(predicted - true)
    mean, median = (f"{value:.3g} {unit}".strip() for value in (errors.mean(), np.median(errors)))
    told = f"MAE {mean}, median {median}\n$n$ = {len(true):,}; dashed: $x = y$"
    ax.annotate(told, (0, 1), (0, 5), xycoords="axes fraction", textcoords="offset points", va="bottom", fontsize="small")
    if title:
        ax.set_title(title, loc="left", pad=32)
    ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    behind = f" ({unit})" if unit else ""
    ax.set(xlabel=f"True {quantity}{behind}", ylabel=f"Predicted {quantity}{behind}")
    if log:
        ax.xaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_major_formatter("{x:g}")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_learning_curve(
    n_train: ArrayLike,
    error: ArrayLike,
    spread: ArrayLike | None = None,
    label: str | None = None,
    ax: Axes | None = None,
    unit: str = "GPa",
    score: str = "MAE",
) -> Axes:
    """Draw how the error falls with the number of training crystals, on logarithmic axes.

    Call it again with the same axes for another model: it gets the next marker, dash and colour.

    Parameters
    ----------
    n_train : array-like of shape (n,)
        Numbers of training crystals, ascending.
    error : array-like of shape (n,)
        Error at each, above 0.
    spread : array-like of shape (n,), optional
        Standard deviation of each error over repetitions, drawn as a bar to both sides.
    label : str, optional
        Name of the model, for the legend.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.
    unit : str, default "GPa"
        Unit of the error; "" for none.
    score : str, default "MAE"
        Name of the error.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        The arrays are empty or of different shapes, the numbers don't ascend, or values are NaN, infinite or not above zero.

    Examples
    --------
    >>> from matminer_grid.plotting import plot_learning_curve
    >>> ax = plot_learning_curve([100, 1000, 9000], [31, 23, 16], label="nearest neighbour")
    >>> ax.get_ylabel()
    'MAE (GPa)'
    """
    sizes, errors = np.asarray(n_train, dtype=np.float64), np.asarray(error, dtype=np.float64)
    if sizes.ndim != 1 or sizes.shape != errors.shape or not sizes.size:
        raise ValueError(f"n_train and error must be as long as each other and not empty, not {sizes.shape} and {errors.shape}")
    for name, values in (("n_train", sizes), ("error", errors)):
        if not (np.isfinite(values) & (values > 0)).all():
            raise ValueError(f"{name} has values that are NaN, infinite or not above zero")
    if not (np.diff(sizes) > 0).all():
        raise ValueError("n_train must ascend")
    bars = None if spread is None else np.asarray(spread, dtype=np.float64)
    if bars is not None and (bars.shape != sizes.shape or not (np.isfinite(bars) & (bars >= 0)).all()):
        raise ValueError("spread must have a number of at least 0 for each error")
    ax = axes_of(ax, 5.2, 3.8)
    number = len(ax.containers)
    ax.errorbar(
        sizes,
        errors,
        yerr=bars,
        label=label,
        marker=MARKERS[number % len(MARKERS)],
        linestyle=DASHES[number % len(DASHES)],
        color=mpl.colormaps["cividis"](0.25 * (number % 4)),
        markersize=5,
        linewidth=1.4,
        capsize=2.5,
    )
    ax.set(xscale="log", yscale="log", xlabel="Number of training crystals", ylabel=f"{score} ({unit})" if unit else score)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:,g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.grid(visible=True, which="major", color="0.9", linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    if label is not None:
        ax.legend(frameon=False)
    return ax


def plot_error_by_distance(
    distance: ArrayLike,
    error: ArrayLike,
    n_bins: int = 8,
    ax: Axes | None = None,
    unit: str = "GPa",
    quantity: str = "bulk modulus",
    label: str = "Dissimilarity to the nearest training crystal",
) -> Axes:
    """Draw the errors of predictions against the distance of each crystal to the nearest one that was learned from.

    Points are crystals; the line joins the means of equally many of them, each with its standard error. The axis of distances is
    logarithmic above 0.1 if some exceed 1.

    Parameters
    ----------
    distance : array-like of shape (n,)
        Dissimilarity to the nearest training crystal, as :func:`~matminer_grid.similarity.leakage` gives it; or similarity, as a
        model's `applicability` and :class:`~matminer_grid.models.CrossValidation` give it, with another `label`.
    error : array-like of shape (n,)
        Predicted less true value, or its absolute value, which is drawn.
    n_bins : int, default 8
        Number of means, at most.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.
    unit : str, default "GPa"
        Unit of the error.
    quantity : str, default "bulk modulus"
        What is predicted, for the label.
    label : str, default "Dissimilarity to the nearest training crystal"
        What the distance is.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        The arrays are empty or of different shapes, have values that are NaN or infinite, or a distance is negative; or n_bins is
        below 1.

    Examples
    --------
    >>> from matminer_grid.plotting import plot_error_by_distance
    >>> ax = plot_error_by_distance([0.1, 0.2, 4.0, 5.0], [1, -2, 20, 16], n_bins=2)
    >>> ax.lines[0].get_ydata().tolist()
    [1.5, 18.0]
    """
    distances, errors = np.asarray(distance, dtype=np.float64), np.abs(np.asarray(error, dtype=np.float64))
    if distances.ndim != 1 or distances.shape != errors.shape or not distances.size:
        raise ValueError(
            f"distance and error must be as long as each other and not empty, not {distances.shape} and {errors.shape}"
        )
    for name, values in (("distance", distances), ("error", errors)):
        if not (np.isfinite(values) & (values >= 0)).all():
            raise ValueError(f"{name} has values that are NaN, infinite or, of distances, negative")
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1, not {n_bins}")
    bins = np.array_split(np.argsort(distances, kind="stable"), min(n_bins, len(distances)))
    ax = axes_of(ax, 5.2, 3.8)
    ax.scatter(distances, errors, s=8, color="0.7", linewidths=0, zorder=1)
    spread = [errors[rows].std() / np.sqrt(len(rows)) for rows in bins]
    centers, means = (np.array([values[rows].mean() for rows in bins]) for values in (distances, errors))
    ax.errorbar(centers, means, yerr=spread, color="black", marker="o", markersize=5, linewidth=1.4, capsize=2.5, label="mean")
    ax.set(xlabel=label, ylabel=f"Error of the {quantity}{f' ({unit})' if unit else ''}", ylim=(0, None))
    if distances.max() > 1:
        ax.set_xscale("symlog", linthresh=0.1)
    ax.set_xlim(left=0)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
