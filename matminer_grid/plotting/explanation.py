"""Pictures of what a prediction rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from matminer_grid.plotting._checks import checked_rows
from matminer_grid.plotting.similarity import plot_emd_by_group

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

PARTS = ("structure", "composition", "bonding", "stiffness")
"""Columns of the parts of a distance, from the axis outwards; "extra" comes behind them where the model has it."""

HATCHES = ("", "///", "...", "xxx", "|||")
"""Fillings that tell the parts apart without colour."""


def plot_explanation(
    explanation: pd.DataFrame,
    emd_by_group: ArrayLike | None = None,
    axes: Sequence[Axes] | NDArray[Any] | None = None,
    unit: str = "GPa",
) -> NDArray[np.object_]:
    """Draw the known crystals that a prediction rests on: their shares, how far each is and in what, and which shells differ.

    Parameters
    ----------
    explanation : DataFrame
        As :meth:`matminer_grid.models.GRIDKernelRegressor.explain` gives it, with n known crystals.
    emd_by_group : array-like of shape (m, n_groups), optional
        EMD of each neighbour shell in Å of the first m of them, as `compare_shells` gives it.
    axes : sequence of matplotlib.axes.Axes, optional
        Where to draw: two, three with `emd_by_group`; by default a new figure.
    unit : str, default "GPa"
        Unit of the property.

    Returns
    -------
    ndarray of matplotlib.axes.Axes
        Shares in per cent, parts of the distance (no unit; the similarity is exp(-their sum)), and EMD of the shells in Å.

    Raises
    ------
    ValueError
        The table lacks a column or holds no known crystal, or the number of axes or of rows of `emd_by_group` doesn't fit.

    Examples
    --------
    >>> import pandas as pd
    >>> from matminer_grid.plotting import plot_explanation
    >>> explained = pd.DataFrame(
    ...     {"row": [7, -1], "formula": ["Mg1 O1", "all others"], "value": [152.0, None], "share": [0.6, 0.4]}
    ...     | {"structure": [0.1, None], "composition": [0.3, None], "bonding": [0.2, None], "stiffness": [0.1, None]}
    ... )
    >>> axes = plot_explanation(explained)
    >>> [label.get_text() for label in axes[0].get_yticklabels()]
    ['Mg1 O1, 152 GPa', 'all others']
    """
    missing = [name for name in ("row", "formula", "value", "share", *PARTS) if name not in explanation]
    if missing:
        raise ValueError(f"the explanation lacks the columns {', '.join(missing)}; GRIDKernelRegressor.explain makes them")
    known = explanation[explanation["row"] >= 0]
    if known.empty:
        raise ValueError("the explanation lists no known crystal")
    names = [f"{line.formula}, {line.value:.3g} {unit}".strip() for line in known.itertuples()]
    shells = None if emd_by_group is None else checked_rows(emd_by_group, "emd_by_group", None)
    if shells is not None and len(shells) > len(known):
        raise ValueError(f"emd_by_group has {len(shells)} rows for {len(known)} known crystals")
    panels = _panels(axes, 2 if shells is None else 3, len(explanation))
    _draw_shares(panels[0], explanation, names)
    _draw_parts(panels[1], known)
    if shells is not None:
        plot_emd_by_group(shells, names[: len(shells)], ax=panels[2])
    return panels


def _panels(axes: Sequence[Axes] | NDArray[Any] | None, n: int, n_lines: int) -> NDArray[np.object_]:
    if axes is None:
        figure = plt.figure(figsize=(4.4 * n - 1.2, max(3.2, 1.4 + 0.36 * n_lines)), layout="constrained")
        axes = figure.subplots(1, n, width_ratios=[1.0, 1.0, 1.6][:n])
    panels = np.array(axes, dtype=object).ravel()
    if len(panels) != n:
        raise ValueError(f"{n} axes are needed, not {len(panels)}")
    return panels


def _draw_shares(ax: Axes, explanation: pd.DataFrame, names: list[str]) -> None:
    shares = 100 * explanation["share"].to_numpy(dtype=np.float64)
    rest = (explanation["row"] < 0).to_numpy()
    labels = np.full(len(shares), "all others", dtype=object)
    labels[~rest] = names
    bars = ax.barh(np.arange(len(shares)), shares, color=np.where(rest, "white", "#9fb4cc"), edgecolor="black", linewidth=0.8)
    ax.bar_label(bars, fmt="%.0f", padding=3)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.margins(x=0.15)
    ax.set_yticks(np.arange(len(shares)), labels=labels)
    ax.set_ylim(len(shares) - 0.4, -0.6)
    ax.set_xlabel("Share in the prediction (%)")
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)


def _draw_parts(ax: Axes, known: pd.DataFrame) -> None:
    places = np.arange(len(known))
    left = np.zeros(len(known))
    parts = [*PARTS, "extra"] if "extra" in known else PARTS
    colors = mpl.colormaps["cividis"](np.linspace(0.15, 0.95, len(parts)))
    for name, color, hatch in zip(parts, colors, HATCHES, strict=False):
        width = known[name].to_numpy(dtype=np.float64)
        ax.barh(places, width, left=left, color=color, hatch=hatch, edgecolor="black", linewidth=0.6, label=name)
        left += width
    ax.set_yticks(places, labels=known["formula"])
    ax.set_ylim(len(known) - 0.4, -0.6)
    ax.set_xlabel("Parts of the distance")
    ax.tick_params(axis="y", length=0)
    ax.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderpad=0.2)
    ax.spines[["top", "right", "left"]].set_visible(False)
