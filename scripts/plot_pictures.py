"""Draw the pictures of README and site.

They are the GRID of SrTiO3, as figure 1b of the report (10.5258/SOTON/P0038), an EMD, and matched sites.
"""

from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pymatgen.core import Lattice, Structure

from matminer_grid import CrystalDissimilarity, GRIDFeaturizer, grid_emd_by_group
from matminer_grid.plotting import plot_grid, plot_parts, plot_site_matches

IMAGES = Path(__file__).parents[1] / "docs" / "images"
EDGE = 3.905
PEROVSKITE = Structure(
    Lattice.cubic(EDGE), ["Sr", "Ti", "O", "O", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
)
ATOMS = {"Sr": ("#f0c75e", 620), "Ti": ("#4f6d8f", 330), "O": ("#b5452c", 170)}
GROUP = 4


def draw_cell(ax: Axes) -> None:
    """Draw the cubic cell in oblique projection, with strontium at the corners, titanium at the centre and oxygen between."""
    depth = np.array([0.36, 0.28])

    def project(point: np.ndarray) -> np.ndarray:
        return point[..., :2] + point[..., 2:] * depth

    corners = np.array(list(product((0, 1), repeat=3)), dtype=float)
    for a, b in product(corners, repeat=2):
        if np.abs(a - b).sum() == 1:
            ax.plot(*project(np.array([a, b])).T, color="0.55", linewidth=0.9, zorder=1)
    faces = np.array([[0.5, 0.5, 0], [0.5, 0.5, 1], [0.5, 0, 0.5], [0.5, 1, 0.5], [0, 0.5, 0.5], [1, 0.5, 0.5]])
    center = np.full((1, 3), 0.5)
    for face in faces:
        ax.plot(*project(np.array([face, center[0]])).T, color="0.25", linewidth=1.6, zorder=2)
    for element, points in (("Sr", corners), ("Ti", center), ("O", faces)):
        color, size = ATOMS[element]
        for point in points:
            ax.scatter(*project(point), s=size, color=color, edgecolor="0.15", linewidth=0.8, zorder=6 - 3 * point[2])
    for element, x in (("Sr", 0.12), ("Ti", 0.64), ("O", 1.12)):
        color, size = ATOMS[element]
        ax.scatter(x, -0.42, s=0.6 * size, color=color, edgecolor="0.15", linewidth=0.8)
        ax.text(x + 0.07 + 0.003 * size**0.5, -0.42, element, va="center", fontsize=10)
    ax.set(xlim=(-0.2, 1.56), aspect="equal", adjustable="datalim")
    ax.set_title(f"SrTiO$_3$, $a$ = {EDGE} Å", pad=36)
    ax.axis("off")


def grid_srtio3() -> Figure:
    """Draw the crystal and its GRID."""
    featurizer = GRIDFeaturizer()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 4.2), width_ratios=(1, 1.9), layout="constrained")
    draw_cell(left)
    plot_grid(featurizer.grid(PEROVSKITE), featurizer.bin_edges, n_groups=8, ax=right)
    right.set_title("The first eight groups of its GRID", pad=36)
    for distance, pairs in ((EDGE / 2, "Ti–O"), (EDGE / 2**0.5, "Sr–O, O–O"), (EDGE * 0.75**0.5, "Sr–Ti")):
        label = f"{pairs}\n{distance:.2f} Å"
        right.text(distance, 1.0, label, transform=right.get_xaxis_transform(), ha="center", va="bottom", fontsize=8.5, color="0.3")
    right.set(xlim=(1.5, 3.75), xticks=np.arange(1.5, 3.8, 0.5))
    return figure


def emd_of_a_group() -> Figure:
    """Draw the earth mover's distance of one group as an area."""
    rock_salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.160), ["Sr", "O"], [[0, 0, 0], [0.5, 0, 0]])
    featurizer = GRIDFeaturizer()
    grids = [featurizer.grid(structure) for structure in (PEROVSKITE, rock_salt)]
    edges = featurizer.bin_edges
    first, second = (np.cumsum(grid[GROUP - 1]) for grid in grids)
    emd = grid_emd_by_group(*grids, n_groups=featurizer.n_groups, bin_size=featurizer.bin_size)[GROUP - 1]
    figure, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    ax.stairs(np.maximum(first, second), edges, baseline=np.minimum(first, second), fill=True, color="0.85")
    ax.stairs(first, edges, baseline=None, color="#0b4f8a", linewidth=1.6, label="SrTiO$_3$")
    ax.stairs(second, edges, baseline=None, color="black", linewidth=1.6, linestyle=(0, (5, 2)), label="SrO")
    ax.text(2.32, 0.86, f"grey area = EMD\n= {emd:.2f} Å", ha="center", va="center", fontsize="small")
    ax.set(xlim=(1.7, 3.1), ylim=(0, 1.05), xlabel="Distance (Å)", ylabel="Cumulative fraction of sites", title=f"Group {GROUP}")
    ax.legend(frameon=False, loc="lower right")
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def site_matches() -> Figure:
    """Draw which sites of normal MgAl2O4 become which of the inverse, and what the dissimilarity is made of."""
    normal, inverse = (
        Structure.from_spacegroup("Fd-3m", Lattice.cubic(8.083), [*metals, "O"], [[0] * 3, [5 / 8] * 3, [0.3874] * 3])
        for metals in (("Mg", "Al"), ("Al", {"Mg": 0.5, "Al": 0.5}))
    )
    dissimilarity = CrystalDissimilarity(resolution="sites")
    compared = dissimilarity.compare(normal, inverse)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.8), width_ratios=(1.3, 1), layout="constrained")
    first, second = [match.a for match in compared.matches], [match.b for match in compared.matches]
    plot_site_matches(first, second, [m.share for m in compared.matches], [m.cost for m in compared.matches], ax=left)
    left.set_title("MgAl$_2$O$_4$: normal → inverse")
    parts = {"distances": 10 * compared.geometry, "elements": compared.elements, "surroundings": compared.neighbors}
    plot_parts(parts, ax=right)
    return figure


def main() -> None:
    """Write the pictures."""
    for draw, dpi in ((grid_srtio3, 160), (emd_of_a_group, 110), (site_matches, 110)):
        path = IMAGES / f"{draw.__name__}.png"
        draw().savefig(path, dpi=dpi, metadata={"Software": None})
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
