"""Draw the picture of the page of definitions: the earth mover's distance of one group as an area."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from pymatgen.core import Lattice, Structure

from matminer_grid import GRIDFeaturizer, grid_emd_by_group

OUTPUT = Path(__file__).parents[1] / "docs" / "images" / "emd_of_a_group.png"
GROUP = 4


def main() -> None:
    """Write the picture."""
    perovskite = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.905), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    )
    rock_salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.160), ["Sr", "O"], [[0, 0, 0], [0.5, 0, 0]])
    featurizer = GRIDFeaturizer()
    grids = [featurizer.grid(structure) for structure in (perovskite, rock_salt)]
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
    figure.savefig(OUTPUT, dpi=110, metadata={"Software": None})
    print(f"{OUTPUT.name}: {OUTPUT.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
