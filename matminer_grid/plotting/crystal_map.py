"""A map of crystals: points to look into, each of which shows its crystal in three dimensions."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matminer_grid.plotting.pages import packed, write_template

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike

NAMES = ("name", "formula")
"""Columns that each crystal must have."""

DIGITS = 6
"""Significant digits of what the page holds."""

MOST_CATEGORIES = 50
"""Different texts by which points can be coloured, or get symbols; chemiscope's limit."""

LARGE_MAP = 3000
"""Crystals from which on points are drawn small."""


def crystal_map(
    crystals: Iterable[dict[str, Any]],
    properties: pd.DataFrame,
    axes: pd.DataFrame,
    neighbors: ArrayLike,
    dissimilarities: ArrayLike,
    *,
    color: str | None = None,
    title: str = "Map of crystals",
    notes: Sequence[str] = (),
) -> str:
    """Make a page with a map of crystals, in one file that works offline.

    A click on a point shows its crystal in three dimensions, its properties, and its nearest neighbours by name. The viewer is
    chemiscope, whose menus change axes, colours and symbols.

    Parameters
    ----------
    crystals : iterable of dict, of length n
        Of each crystal the `symbols` of its n_sites sites, their Cartesian `positions` in Å, shape (n_sites, 3), and the `cell`,
        lattice vectors as rows in Å, shape (3, 3).
    properties : DataFrame of n rows
        What is known of each crystal: the columns `name` and `formula`, and others, of numbers or text. A column `set` of text
        gives the symbols of the points.
    axes : DataFrame of n rows
        Two columns of numbers or more; the first two are drawn first.
    neighbors : array-like of shape (n, k)
        Rows of the nearest other crystals of each, nearest first.
    dissimilarities : array-like of shape (n, k)
        How unlike those are.
    color : str, optional
        Column of numbers that colours the points; the third of `axes`, or else the first, by default.
    title : str
        Heading of the page.
    notes : sequence of str
        Paragraphs below it.

    Returns
    -------
    str
        HTML.

    Raises
    ------
    ImportError
        chemiscope is not installed.
    ValueError
        There is no crystal, a column is missing, `color` holds no numbers, or lengths differ.

    References
    ----------
    G. Fraux, R. Cersonsky and M. Ceriotti, J. Open Source Softw. 5 (2020) 2117, 10.21105/joss.02117 (chemiscope).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from matminer_grid.plotting import crystal_map
    >>> iron = {"symbols": ["Fe"], "positions": np.zeros((1, 3)), "cell": 2.87 * np.eye(3)}
    >>> known = pd.DataFrame({"name": ["a", "b"], "formula": ["Fe", "Fe"], "K_VRH": [170.0, 168.0]})
    >>> places = pd.DataFrame({"x": [0.0, 1.0], "y": [1.0, 0.0]})
    >>> page = crystal_map([iron, iron], known, places, [[1], [0]], [[0.0], [0.0]], color="K_VRH")
    >>> page.startswith("<!DOCTYPE html>")
    True
    """
    structures = [_structure(crystal) for crystal in crystals]
    near, apart = np.asarray(neighbors, np.int64), np.asarray(dissimilarities, np.float64)
    _check(len(structures), properties, axes, near, apart)
    columns = pd.concat([properties.reset_index(drop=True), axes.reset_index(drop=True)], axis=1)
    color = axes.columns[2 if axes.shape[1] > 2 else 0] if color is None else color
    check_color(columns, color)
    values = {str(name): _values(columns[name]) for name in columns}
    dataset = {
        "meta": {"name": title},
        "structures": structures,
        "properties": {name: {"target": "structure", "values": values[name]} for name in values if _is_drawn(values[name])},
        "settings": _settings(columns, axes.columns[:2], color),
    }
    about = {name: column for name, column in values.items() if not _is_drawn(column)}
    near_and_apart = {"neighbors": near.tolist(), "dissimilarities": apart.round(DIGITS).tolist()}
    data = packed({"dataset": dataset, "about": about, "order": list(values)} | near_and_apart)
    return write_template("map.html", title, notes, data=data, viewer=_viewer())


def check_color(columns: pd.DataFrame, color: str) -> None:
    """Check that a column holds numbers.

    Raises
    ------
    ValueError
        There is no such column, or it holds none; the message names those that do.
    """
    numeric = [str(name) for name in columns if pd.api.types.is_numeric_dtype(columns[name]) and columns[name].notna().any()]
    if color not in columns or color not in numeric:
        what = "holds no numbers" if color in columns else "is missing"
        raise ValueError(f"the column {color} {what}; columns of numbers are {', '.join(numeric) or 'none'}")


def _check(n: int, properties: pd.DataFrame, axes: pd.DataFrame, near: Any, apart: Any) -> None:
    if n == 0:
        raise ValueError("there is no crystal: a map needs at least one")
    missing = [name for name in NAMES if name not in properties]
    if missing:
        raise ValueError(f"properties lacks the column {missing[0]}")
    if not len(properties) == len(axes) == len(near) == len(apart) == n or near.shape != apart.shape:
        raise ValueError(f"properties, axes, neighbors and dissimilarities must have a row for each of the {n} crystals")
    if axes.shape[1] < 2:
        raise ValueError("axes must have two columns or more")


def _structure(crystal: dict[str, Any]) -> dict[str, Any]:
    symbols, positions = list(crystal["symbols"]), np.asarray(crystal["positions"], np.float64).round(3)
    x, y, z = positions.T.tolist()
    cell = np.asarray(crystal["cell"], np.float64).round(3).ravel().tolist()
    return {"size": len(symbols), "names": symbols, "x": x, "y": y, "z": z, "cell": cell}


def _values(column: pd.Series) -> list[Any]:
    """Give a column as the page has it: numbers, null where one is not known, or text."""
    if pd.api.types.is_numeric_dtype(column):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return [float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in numbers.tolist()]
    return column.astype(object).where(column.notna(), "not known").astype(str).tolist()


def _is_drawn(values: list[Any]) -> bool:
    """Tell whether points can be drawn by a column: numbers, or text of few values."""
    return not any(isinstance(value, str) for value in values) or len(set(values)) <= MOST_CATEGORIES


def _settings(columns: pd.DataFrame, drawn_axes: Any, color: str) -> dict[str, Any]:
    x, y = drawn_axes
    size = {"factor": 25 if len(columns) > LARGE_MAP else 50}
    drawn: dict[str, Any] = {"x": {"property": x}, "y": {"property": y}, "color": {"property": color, "palette": "viridis"}}
    drawn |= {"size": size} | ({"symbol": "set"} if "set" in columns else {})
    return {"map": drawn, "structure": [{"unitCell": True, "bonds": True, "axes": "abc"}]}


def _viewer() -> str:
    """Load chemiscope's script, for a page of its own."""
    try:
        script = files("chemiscope").joinpath("sphinx", "static", "chemiscope.min.js").read_text(encoding="utf-8")
    except ImportError as error:
        raise ImportError("a map needs chemiscope: pip install 'matminer-grid[explore]'") from error
    return script.replace("</script", "<\\/script")
