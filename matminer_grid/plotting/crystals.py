"""Pictures of crystals: the atoms of a cell, lines to their nearest neighbours, and the cell."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import gemmi
import numpy as np
from markupsafe import Markup
from pymatgen.vis.structure_vtk import EL_COLORS
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

UNKNOWN = "#ff1493"
"""Colour of what is no element."""

ON_FACE = 0.02
"""Fractional coordinates within this of a face, edge or corner are drawn on the opposite ones too."""

SAME_SHELL = 1.1
"""Atoms are joined to all neighbours within this factor of the nearest one's distance."""

MOST_ATOMS = 400
"""Atoms that are drawn; of larger cells those in the middle."""

VIEW = np.array([[0.94, 0.34, 0.0], [-0.10, 0.28, 0.955], [0.325, -0.898, 0.297]])
"""Right, up and towards the eye, in Cartesian coordinates: a little from the right and above."""


@dataclass(frozen=True, eq=False)
class CrystalPicture:
    """What is drawn of a crystal.

    Parameters
    ----------
    symbols : list of str
        Elements of the n atoms.
    positions : ndarray of shape (n, 3)
        In Å.
    bonds : ndarray of shape (m, 2)
        Atoms that are joined: each and those of its nearest shell.
    cell : ndarray of shape (3, 3)
        Lattice vectors as rows, in Å.
    left_out : int
        Atoms of a large cell that are not drawn.
    """

    symbols: list[str]
    positions: NDArray[np.float64]
    bonds: NDArray[np.int64]
    cell: NDArray[np.float64]
    left_out: int

    @classmethod
    def of(cls, symbols: Sequence[str], positions: ArrayLike, cell: ArrayLike) -> CrystalPicture:
        """Choose what to draw of a crystal: the sites of its cell, those on faces, edges and corners on all of them.

        Parameters
        ----------
        symbols : sequence of str, of length n
            Elements.
        positions : array-like of shape (n, 3)
            Cartesian coordinates in Å.
        cell : array-like of shape (3, 3)
            Lattice vectors as rows, in Å.

        Examples
        --------
        >>> from matminer_grid.plotting import CrystalPicture
        >>> salt = CrystalPicture.of(["Cs", "Cl"], [[0, 0, 0], [2.06, 2.06, 2.06]], [[4.12, 0, 0], [0, 4.12, 0], [0, 0, 4.12]])
        >>> salt.symbols.count("Cs"), salt.symbols.count("Cl"), len(salt.bonds)
        (8, 1, 8)
        """
        lattice = np.asarray(cell, np.float64)
        frac = np.linalg.solve(lattice.T, np.asarray(positions, np.float64).T).T % 1
        frac[frac > 1 - ON_FACE] -= 1
        shifted = [(i, site + shift) for i, site in enumerate(frac) for shift in _shifts(site)]
        owners, places = np.array([i for i, _ in shifted]), np.array([place for _, place in shifted])
        if len(places) > MOST_ATOMS:
            nearest = np.sort(np.argsort(np.linalg.norm((places - 0.5) @ lattice, axis=1), kind="stable")[:MOST_ATOMS])
            left_out = len(places) - MOST_ATOMS
            owners, places = owners[nearest], places[nearest]
        else:
            left_out = 0
        drawn = places @ lattice
        return cls([symbols[i] for i in owners], drawn, _bonds(drawn), lattice, left_out)

    @property
    def colors(self) -> list[str]:
        """Colours of the atoms, those of Jmol."""
        return [element_color(symbol) for symbol in self.symbols]

    @property
    def radii(self) -> NDArray[np.float64]:
        """Radii that the atoms are drawn with, in Å, smaller than they are."""
        return np.array([0.22 + 0.22 * gemmi.Element(symbol).covalent_r for symbol in self.symbols])

    def edges(self) -> NDArray[np.float64]:
        """Give both ends of the 12 edges of the cell, shape (12, 2, 3)."""
        corners = np.array(list(product((0, 1), repeat=3)))
        ends = [(a, b) for a in corners for b in corners if (b - a).min() >= 0 and (b - a).sum() == 1]
        return np.array(ends) @ self.cell

    def data(self) -> dict[str, Any]:
        """Give what the page draws in three dimensions, as JSON can hold it."""
        return {
            "symbols": self.symbols,
            "colors": self.colors,
            "radii": self.radii.round(2).tolist(),
            "positions": self.positions.round(3).tolist(),
            "bonds": self.bonds.tolist(),
            "edges": self.edges().round(3).tolist(),
        }

    def svg(self, label: str) -> Markup:
        """Draw it in two dimensions, with a label for those who can't see it."""
        view = VIEW * [[1], [-1], [1]]  # the vertical axis of SVG points down
        places, edges = self.positions @ view.T, self.edges() @ view.T
        margin = float(self.radii.max()) + 0.15
        points = np.concatenate((places[:, :2], edges[..., :2].reshape(-1, 2)))
        low = points.min(axis=0) - margin
        width, height = points.max(axis=0) + margin - low
        stroke = 0.006 * max(width, height)
        drawn = [
            (places[i, 2], f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{radius:.2f}" fill="{color}"/>')
            for i, ((x, y), radius, color) in enumerate(zip(places[:, :2] - low, self.radii, self.colors, strict=True))
        ]
        for a, b in self.bonds.tolist():
            path = _path(places[[a, b]], low)
            behind = places[[a, b], 2].min() - 1e-6  # atoms cover the ends of their lines
            drawn.append((behind, f'<path class="bond" d="{path}" stroke-width="{2.2 * stroke:.3f}"/>'))
        inside = "".join(text for _, text in sorted(drawn, key=lambda one: one[0]))
        cell = f'<path class="edge" d="{"".join(_path(ends, low) for ends in edges)}" stroke-width="{stroke:.3f}"/>'
        head = f'<svg class="crystal" role="img" viewBox="0 0 {width:.3f} {height:.3f}"><title>'
        return Markup(head) + label + Markup(f"</title>{cell}{inside}</svg>")  # noqa: S704  the label is escaped


def element_color(symbol: str) -> str:
    """Give the colour of an element, such as "#ff0d0d" for O."""
    rgb = EL_COLORS["Jmol"].get("H" if symbol in {"D", "T"} else symbol)
    return UNKNOWN if rgb is None else "#{:02x}{:02x}{:02x}".format(*rgb)


def _shifts(site: NDArray[np.float64]) -> list[tuple[int, ...]]:
    return list(product(*((0, 1) if abs(value) < ON_FACE else (0,) for value in site)))


def _bonds(positions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Join atoms to those of their nearest shell, from both sides."""
    if len(positions) < 2:
        return np.empty((0, 2), np.int64)
    tree = cKDTree(positions)
    nearest = tree.query(positions, k=2)[0][:, 1]
    around = tree.query_ball_point(positions, SAME_SHELL * nearest)
    pairs = {(min(i, j), max(i, j)) for i, others in enumerate(around) for j in others if i != j}
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)


def _path(ends: NDArray[np.float64], low: NDArray[np.float64]) -> str:
    (x, y), (u, v) = ends[:, :2] - low
    return f"M{x:.2f} {y:.2f}L{u:.2f} {v:.2f}"
