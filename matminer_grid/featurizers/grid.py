"""GRIDFeaturizer: the grouped representation of interatomic distances."""

from __future__ import annotations

from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from matminer_grid._threads import new_flag
from matminer_grid._validation import check_choice, check_multiple, check_number, check_whole
from matminer_grid.crystals.crystal import Crystal, as_crystal
from matminer_grid.crystals.table import CrystalTable
from matminer_grid.featurizers._parts import in_parts
from matminer_grid.featurizers.base import CHUNK_SIZE, CrystalFeaturizer
from matminer_grid.kernels import grid as kernels
from matminer_grid.kernels.neighbors import OK, PROBLEMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pymatgen.core import Structure

PRESETS: dict[str, dict[str, Any]] = {
    "report": {"cutoff": 10.0, "bin_size": 0.1, "n_groups": 100, "smearing": 0.0},
    "zhang2023": {"cutoff": 10.0, "bin_size": 0.1, "n_groups": 100, "smearing": 0.1},
}


def bin_edges(cutoff: float, bin_size: float) -> NDArray[np.float64]:
    """Edges of the bins from 0 to the cutoff: bin j is [edges[j], edges[j + 1]).

    Parameters
    ----------
    cutoff, bin_size : float
        In Å; the cutoff must be a multiple of the bin size.

    Returns
    -------
    ndarray of shape (n_bins + 1,)
        In Å.

    Raises
    ------
    TypeError, ValueError
        A parameter is no number, not finite or not above zero, or the cutoff is no multiple of the bin size.

    Examples
    --------
    >>> bin_edges(1.0, 0.25)
    array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    n_bins = check_multiple("cutoff", cutoff, "bin_size", bin_size, unit="Å")
    return np.arange(n_bins + 1, dtype=np.float64) * bin_size


class GRIDFeaturizer(CrystalFeaturizer):
    r"""Grouped representation of interatomic distances (GRID) of a crystal, with the RDF as the sum of its groups.

    Group i is the distribution of the distance from a site to its i-th nearest neighbour, over all sites of the cell. Where sites
    are partially occupied, a site counts with its occupancy and a neighbour of occupancy o is the fraction o of a neighbour. What
    lies on one point with the site itself is no neighbour of it. The GRID is the same for every choice of cell, supercell, order of
    sites, rotation and translation.

    Features:
        - "grid i [r1 - r2]A": fraction of sites whose i-th nearest neighbour is between r1 and r2 Å away. A group sums to 1, or to
          less where sites have fewer than i neighbours below the cutoff. Groups stand one after the other.

    Parameters
    ----------
    cutoff : float, default 10.0
        Distance in Å up to which neighbours are looked at.
    bin_size : float, default 0.1
        Width of a bin in Å; the cutoff must be a multiple of it. A bin holds its lower edge; a distance less than 1e-8 Å below an
        edge counts as on it.
    n_groups : int, default 100
        Number of nearest neighbours, each with a group of its own.
    smearing : float, default 0.0
        Standard deviation in Å of the Gaussian that each distance is replaced by, integrated exactly over each bin. What would
        reach below 0 Å goes to the first bin, and neighbours just beyond the cutoff contribute what reaches below it. One below
        1e-8 Å is none.

    References
    ----------
    R.-Z. Zhang, S. Seth and J. Cumby, Digital Discovery 2 (2023) 81-90, 10.1039/D2DD00054G.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from matminer_grid import GRIDFeaturizer
    >>> perovskite = Structure.from_spacegroup(
    ...     "Pm-3m", Lattice.cubic(3.905), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    ... )
    >>> grid = GRIDFeaturizer().grid(perovskite)
    >>> grid.shape
    (100, 100)
    >>> for j in np.nonzero(grid[0])[0]:  # nearest neighbours: O and Ti see each other, Sr sees O
    ...     print(f"{GRIDFeaturizer().bin_edges[j]:.1f} Å: {grid[0, j]:.1f} of the sites")
    1.9 Å: 0.8 of the sites
    2.7 Å: 0.2 of the sites
    """

    def __init__(self, cutoff: float = 10.0, bin_size: float = 0.1, n_groups: int = 100, smearing: float = 0.0) -> None:
        self.cutoff = cutoff
        self.bin_size = bin_size
        self.n_groups = n_groups
        self.smearing = smearing

    @classmethod
    def from_preset(cls, preset: str) -> Self:
        """Make the featurizer with published settings.

        Parameters
        ----------
        preset : {"report", "zhang2023"}
            "report" is 10 Å, 0.1 Å, 100 groups (10.5258/SOTON/P0038); "zhang2023" adds a smearing of 0.1 Å (10.1039/D2DD00054G).

        Raises
        ------
        ValueError
            The preset is unknown.
        """
        check_choice("preset", preset, PRESETS)
        return cls(**PRESETS[preset])

    @property
    def bin_edges(self) -> NDArray[np.float64]:
        """Edges of the bins in Å, shape (n_bins + 1,)."""
        return bin_edges(self.cutoff, self.bin_size)

    @property
    def n_bins(self) -> int:
        """Number of bins of a group."""
        return len(self.bin_edges) - 1

    @property
    def n_features(self) -> int:
        """Number of features, n_groups times n_bins."""
        return self.n_groups * self.n_bins

    def _check_parameters(self) -> None:
        self.bin_edges  # noqa: B018  checks cutoff and bin_size
        check_whole("n_groups", self.n_groups)
        check_number("smearing", self.smearing, unit="Å")

    def grid(self, structure: Structure | Crystal) -> NDArray[np.float64]:
        """Compute the GRID in its natural form.

        Parameters
        ----------
        structure : pymatgen.core.Structure or Crystal

        Returns
        -------
        ndarray of shape (n_groups, n_bins)
            Fraction of sites; row i - 1 is the distribution of the distance to the i-th nearest neighbour.

        Raises
        ------
        TypeError, ValueError
            As :meth:`featurize`.
        """
        return self.featurize(structure).reshape(self.n_groups, self.n_bins)

    def rdf(self, structure: Structure | Crystal) -> NDArray[np.float64]:
        """Compute the radial distribution function: the sum of all groups, however many, with matminer's normalisation.

        It equals matminer's RadialDistributionFunction of the same cutoff and bin size. Like that one it is divided by the volume
        of the shell and by the cell's number density but not by the number of sites, so it is proportional to the size of the cell.
        Smearing does not apply.

        Parameters
        ----------
        structure : pymatgen.core.Structure or Crystal

        Returns
        -------
        ndarray of shape (n_bins,)

        Raises
        ------
        TypeError, ValueError
            As :meth:`featurize`.
        """
        return self.rdf_many(CrystalTable.from_crystals([as_crystal(structure)]))[0]

    def rdf_many(self, structures: Sequence[Structure | Crystal] | CrystalTable) -> NDArray[np.float64]:
        """Compute the radial distribution functions of many structures, in threads; see :meth:`rdf`.

        Parameters
        ----------
        structures : sequence of pymatgen.core.Structure or Crystal, or CrystalTable

        Returns
        -------
        ndarray of shape (n_structures, n_bins)

        Raises
        ------
        TypeError, ValueError
            As :meth:`featurize`, with the row in front.
        """
        table = structures if isinstance(structures, CrystalTable) else CrystalTable.from_structures(structures)
        for row, error in table.errors().items():
            raise type(error)(f"row {row}: {error}") from error
        edges = self.bin_edges
        counts = np.empty((len(table), len(edges) - 1))
        stop = new_flag()

        def count(start: int) -> dict[int, Exception]:
            rows = slice(start, start + CHUNK_SIZE)
            errors = in_parts(self._count, table[rows], counts[rows], stop)
            return {start + row: error for row, error in errors.items()}

        with closing(self._in_threads(count, range(0, len(table), CHUNK_SIZE), stop)) as results:
            for errors in results:
                for row, problem in errors.items():
                    raise type(problem)(f"row {row}: {problem}") from problem
        shell_volumes = 4 / 3 * np.pi * np.diff(edges**3)
        return counts * np.abs(np.linalg.det(table.lattices))[:, None] / shell_volumes

    def _count(self, table: CrystalTable, out: NDArray[np.float64]) -> dict[int, Exception]:
        return _run(kernels.rdf_batch, table, float(self.bin_size), out)

    def _featurize_table(self, table: CrystalTable, out: NDArray[np.float64]) -> dict[int, Exception]:
        shaped = out.reshape(len(table), self.n_groups, self.n_bins)
        smearing = 0.0 if self.smearing < kernels.EDGE_TOLERANCE else float(self.smearing)
        return _run(kernels.grid_batch, table, float(self.bin_size), int(self.n_groups), smearing, shaped)

    def feature_labels(self) -> list[str]:
        """Labels of the features, group by group, in the style of matminer's RDF."""
        self._check_parameters()
        bins = [f"[{low:.5f} - {high:.5f}]A" for low, high in pairwise(self.bin_edges)]
        return [f"grid {group} {label}" for group in range(1, self.n_groups + 1) for label in bins]

    def citations(self) -> list[str]:
        """BibTeX of the paper that the descriptor comes from."""
        paper = (
            "@article{Zhang2023GRID,"
            "title={Grouped representation of interatomic distances as a similarity measure for crystal structures},"
            "author={Zhang, Rui-Zhi and Seth, Sohan and Cumby, James},journal={Digital Discovery},volume={2},pages={81--90},"
            "year={2023},publisher={Royal Society of Chemistry},doi={10.1039/D2DD00054G}}"
        )
        return [paper]


def _run(kernel: Any, table: CrystalTable, *arguments: Any) -> dict[int, Exception]:
    status = np.empty(len(table), np.int64)
    kernel(table.lattices, table.site_offsets, table.frac_coords, table.site_occupancies, *arguments, status)
    return {int(row): ValueError(f"{table[int(row)].formula}: {PROBLEMS[status[row]]}") for row in np.nonzero(status != OK)[0]}
