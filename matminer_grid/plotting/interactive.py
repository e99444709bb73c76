"""Pictures to look into with the mouse, with plotly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from matminer_grid.plotting._checks import checked_matrix, checked_pairs, limits, named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike


def plotly_parity(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    labels: Sequence[str] | None = None,
    unit: str = "GPa",
    quantity: str = "bulk modulus",
    log: bool = False,
) -> go.Figure:
    """Draw predictions against true values, each point with its name under the mouse.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
        True and predicted values.
    labels : sequence of str, of length n, optional
        Names of the points, such as formulas; their numbers from 0 by default.
    unit : str, default "GPa"
        Unit of the values.
    quantity : str, default "bulk modulus"
        What the values are, for the axis labels.
    log : bool, default False
        Whether both axes are logarithmic.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ValueError
        As :func:`plot_parity`, or the labels don't fit.

    Examples
    --------
    >>> from matminer_grid.plotting import plotly_parity
    >>> figure = plotly_parity([443, 160], [431, 172], ["C", "MgO"])
    >>> figure.data[0].text
    ('C', 'MgO')
    """
    true, predicted = checked_pairs(y_true, y_pred, log)
    names = named(labels, len(true), "points")
    low, high = limits(np.concatenate((true, predicted)), log)
    hover = f"<b>%{{text}}</b><br>true %{{x:.4g}} {unit}<br>predicted %{{y:.4g}} {unit}<extra></extra>"
    points = go.Scatter(
        x=true,
        y=predicted,
        text=names,
        mode="markers",
        hovertemplate=hover,
        marker={"size": 6, "color": "#3b8bd0", "opacity": 0.65, "line": {"width": 0.5, "color": "white"}},
    )
    diagonal = go.Scatter(
        x=[low, high], y=[low, high], mode="lines", line={"color": "#7f8a97", "width": 1.5, "dash": "dash"}, hoverinfo="skip"
    )
    errors = np.abs(predicted - true)
    title = f"MAE {f'{errors.mean():.3g} {unit}'.strip()}, median {f'{np.median(errors):.3g} {unit}'.strip()}, n = {len(true):,}"
    behind = f" ({unit})" if unit else ""
    shown = [np.log10(low), np.log10(high)] if log else [low, high]
    axis = {"type": "log" if log else "linear", "range": shown, "constrain": "domain"}
    figure = go.Figure([points, diagonal])
    figure.update_layout(template="simple_white", showlegend=False, title=title, width=620, height=600)
    figure.update_xaxes(title=f"True {quantity}{behind}", **axis)
    figure.update_yaxes(title=f"Predicted {quantity}{behind}", scaleanchor="x", **axis)
    return figure


def plotly_dissimilarity_matrix(
    matrix: ArrayLike, labels: Sequence[str] | None = None, unit: str = "Å", ordered: bool = False
) -> go.Figure:
    """Draw a matrix of dissimilarities as a map, each cell with its pair and number under the mouse.

    Parameters
    ----------
    matrix, labels, unit, ordered
        As for :func:`plot_dissimilarity_matrix`.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ValueError
        As :func:`plot_dissimilarity_matrix`.

    Examples
    --------
    >>> from matminer_grid.plotting import plotly_dissimilarity_matrix
    >>> figure = plotly_dissimilarity_matrix([[0, 3, 1], [3, 0, 2], [1, 2, 0]], ["fcc", "bcc", "hcp"], ordered=True)
    >>> figure.layout.xaxis.ticktext
    ('fcc', 'hcp', 'bcc')
    """
    values, names = checked_matrix(matrix, labels, ordered)
    rows, columns = np.meshgrid(names, names, indexing="ij")
    cells = go.Heatmap(
        z=values,
        customdata=np.dstack((rows, columns)),
        colorscale="Cividis_r",
        zmin=0.0,
        zmax=values.max() or 1.0,
        hovertemplate=f"%{{customdata[0]}} and %{{customdata[1]}}<br>%{{z:.4g}} {unit}<extra></extra>",
        colorbar={"title": f"Dissimilarity ({unit})" if unit else "Dissimilarity"},
    )
    figure = go.Figure(cells)
    ticks = {"tickmode": "array", "tickvals": list(range(len(names))), "ticktext": names, "showline": False, "ticks": ""}
    figure.update_layout(template="simple_white", width=640, height=580)
    figure.update_xaxes(constrain="domain", **ticks)
    figure.update_yaxes(autorange="reversed", scaleanchor="x", **ticks)
    return figure
