"""What the pictures of one kind have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
"""Line styles that tell lines apart without colour."""

MARKERS = "os^Dv<>P"
"""Markers that tell points apart without colour."""


def axes_of(ax: Axes | None, width: float, height: float) -> Axes:
    """Give the axes, or those of a new figure of a size in inches."""
    return plt.subplots(figsize=(width, height), layout="constrained")[1] if ax is None else ax


def named(labels: Sequence[str] | None, n: int, what: str) -> list[str]:
    """Give the labels of n things, their numbers from 0 by default."""
    names = [str(i) for i in range(n)] if labels is None else [str(label) for label in labels]
    if len(names) != n:
        raise ValueError(f"labels must name each of the {n} {what}, not {len(names)}")
    return names


def checked_rows(values: ArrayLike, name: str, labels: Sequence[str] | None) -> NDArray[np.float64]:
    """Check one row of numbers, or several with a label each; give them in two dimensions."""
    rows = np.asarray(values, dtype=np.float64)
    rows = rows[None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"{name} must be one row of numbers or several, not of shape {np.shape(values)}")
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} has values that are NaN or infinite")
    if labels is not None and len(labels) != len(rows):
        raise ValueError(f"labels must name each of the {len(rows)} rows of {name}, not {len(labels)}")
    return rows


def checked_pairs(y_true: ArrayLike, y_pred: ArrayLike, log: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Check true and predicted values."""
    true, predicted = np.asarray(y_true, dtype=np.float64), np.asarray(y_pred, dtype=np.float64)
    if true.ndim != 1 or true.shape != predicted.shape or not true.size:
        raise ValueError(f"y_true and y_pred must be as long as each other and not empty, not {true.shape} and {predicted.shape}")
    for name, values in (("y_true", true), ("y_pred", predicted)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} has values that are NaN or infinite")
        if log and not (values > 0).all():
            raise ValueError(f"{name} has values that are not above zero, which logarithmic axes can't show")
    return true, predicted


def limits(values: NDArray[np.float64], log: bool) -> tuple[float, float]:
    """Give limits for both axes with a margin of 3 %; a linear axis of positive values starts at 0."""
    low, high = float(values.min()), float(values.max())
    if log:
        factor = (high / low) ** 0.03 if high > low else 2.0
        return low / factor, high * factor
    margin = 0.03 * (high - min(low, 0.0)) or 1.0
    return (0.0 if low >= 0 else low - margin), high + margin


def checked_matrix(matrix: ArrayLike, labels: Sequence[str] | None, ordered: bool) -> tuple[NDArray[np.float64], list[str]]:
    """Check dissimilarities and their labels; give both as they are or with alike crystals side by side."""
    values = np.asarray(matrix, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1] or not values.size:
        raise ValueError(f"matrix must be square and not empty, not of shape {values.shape}")
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError("matrix has values that are NaN, infinite or negative")
    if not np.allclose(values, values.T, rtol=1e-6, atol=1e-9):
        raise ValueError("matrix must be symmetric")
    names = named(labels, len(values), "crystals")
    order = np.arange(len(values))
    if ordered and len(values) > 2:
        order = leaves_list(linkage(squareform(values, checks=False), "average", optimal_ordering=True)).astype(np.int64)
        order = order if order[0] < order[-1] else order[::-1]
    return values[np.ix_(order, order)], [names[i] for i in order]
