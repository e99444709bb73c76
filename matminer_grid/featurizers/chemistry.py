"""ChemistryFeaturizer: the GRID resolved by chemistry - what the neighbours of a site are, and how stiffly they hold it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from matminer_grid._validation import check_whole
from matminer_grid.crystals.composition import cumulative_fractions
from matminer_grid.crystals.elements import MODIFIED_PETTIFOR_ELEMENTS
from matminer_grid.featurizers._elemental import (
    NEIGHBOR_PROPERTIES,
    SITE_PROPERTIES,
    element_numbers,
    elemental_table,
    standardized,
)
from matminer_grid.featurizers.base import CrystalFeaturizer
from matminer_grid.kernels import bonds, springs
from matminer_grid.kernels.lattice import reduce_cell
from matminer_grid.kernels.manhattan import quantile_means
from matminer_grid.kernels.neighbors import OK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matminer_grid.crystals.table import CrystalTable

    FloatArray = NDArray[np.float64]

SHELLS = np.array([0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 32, 40, 48, 64], dtype=np.float64)
"""Ranks of neighbours between which distances are averaged."""

NEAR_SHELLS = 6
"""Number of shells that hold the six nearest neighbours."""

MAX_SITES = 1500
"""Sites of a cell whose net of springs takes some seconds to relax, in half a gigabyte."""

SPRINGS = ("cohesive", "Gordy", "slow", "Keating")
"""Nets of springs. Those of "slow" decay slowly, the others like bond valences; the last has angles that resist too."""

MODULI = ("K Voigt", "G Voigt", "K Reuss", "G Reuss")

GLOBAL = (
    *("log volume", "log elements' volume", "log covalent volume", "log metallic volume", "log electron density"),
    *("log cohesive density", "log K mixed Voigt", "log K mixed Reuss", "log K compressed", "log unfilled density"),
    *("log valence density", "log valence", "log slow density", "log ionic density", "log mass density", "log charge density"),
    *("elements", "electronegativity spread"),
)
"""Features of the crystal as a whole; densities and volumes are those of all atoms in a volume."""

STATISTICS = ("mean", "mean deviation", "maximum", "minimum")


class ChemistryFeaturizer(CrystalFeaturizer):
    """Distances, chemistry and stiffness around the sites of a crystal, each as a distribution over the sites.

    Features come in blocks. Most are distributions over sites, as means between equidistant quantiles, so that the Manhattan
    distance of two crystals is an earth mover's distance; `blocks` tells where they are. All are the same for every choice of cell.

    Features:
        - composition: cumulative fractions on the modified Pettifor scale.
        - grid, relative grid, near: mean distances to shells of ranked neighbours, in Å, over the cube root of the volume a site,
          and for the six nearest alone.
        - sites, statistics: elemental properties of the sites.
        - coordination, neighbors, differences: coordination number and bond length over covalent radii; mean properties of the
          neighbours; mean absolute differences between a site and its neighbours; each for three ways to weight neighbours: Hoppe's
          effective coordination, bond valence, slow decay.
        - charge: ionic part of the bond valences. order: Steinhardt's order parameters.
        - global: densities of atoms, electrons, cohesive energy, bond valence; mixing rules.
        - moduli, stiffness, stiffness ratios: elastic constants of four nets of springs between the sites, before and after the
          sites relax: averages of Voigt and Reuss, Kelvin eigenvalues, and their ratios, all as logarithms. Springs are as stiff as
          cohesive energies and outer electrons suggest, or by Gordy's rule; those of Keating's model resist bending too.

    Parameters
    ----------
    n_quantiles : int, default 6
        Number of means that each distribution becomes.

    References
    ----------
    R. Hoppe, Z. Kristallogr. 150 (1979) 23-52, 10.1524/zkri.1979.150.14.23 (effective coordination).
    W. Gordy, J. Chem. Phys. 14 (1946) 305-320, 10.1063/1.1724138 (force constants).
    P. N. Keating, Phys. Rev. 145 (1966) 637-645, 10.1103/PhysRev.145.637 (bending).
    P. J. Steinhardt, D. R. Nelson and M. Ronchetti, Phys. Rev. B 28 (1983) 784-805, 10.1103/PhysRevB.28.784 (order parameters).
    L. Ward et al., npj Comput. Mater. 2 (2016) 16028, 10.1038/npjcompumats.2016.28 (elemental properties).

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from matminer_grid.featurizers import ChemistryFeaturizer
    >>> featurizer = ChemistryFeaturizer()
    >>> salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> featurizer.featurize(salt)[featurizer.blocks["near"]].round(2).tolist()[:3]
    [2.82, 2.82, 2.82]
    """

    def __init__(self, n_quantiles: int = 6) -> None:
        self.n_quantiles = n_quantiles

    @property
    def blocks(self) -> dict[str, slice]:
        """Columns of each block of features, by name."""
        out, start = {}, 0
        for name, labels in self._labels().items():
            out[name] = slice(start, start + len(labels))
            start += len(labels)
        return out

    @property
    def n_features(self) -> int:
        """Number of features."""
        return sum(map(len, self._labels().values()))

    def feature_labels(self) -> list[str]:
        """Labels of the features: block, feature, and quantile where there is one."""
        self._check_parameters()
        return [f"{block}: {label}" for block, labels in self._labels().items() for label in labels]

    def citations(self) -> list[str]:
        """Give BibTeX entries of the order parameters and of the elemental properties."""
        order = (
            "@article{Steinhardt1983, author={P. J. Steinhardt and D. R. Nelson and M. Ronchetti}, journal={Phys. Rev. B}, "
            "title={Bond-orientational order in liquids and glasses}, volume={28}, pages={784-805}, year={1983}, "
            "doi={10.1103/PhysRevB.28.784}}"
        )
        magpie = (
            "@article{Ward2016, author={L. Ward and A. Agrawal and A. Choudhary and C. Wolverton}, journal={npj Comput. Mater.}, "
            "title={A general-purpose machine learning framework for predicting properties of inorganic materials}, volume={2}, "
            "pages={16028}, year={2016}, doi={10.1038/npjcompumats.2016.28}}"
        )
        return [order, magpie]

    def _check_parameters(self) -> None:
        check_whole("n_quantiles", self.n_quantiles)

    def _labels(self) -> dict[str, list[str]]:
        shells = [f"neighbours {int(a) + 1} to {int(b)}" for a, b in pairwise(SHELLS)]
        nets = [f"{spring} springs, {state}" for spring in SPRINGS for state in ("rigid", "relaxed")]

        def spread(labels: list[str]) -> list[str]:
            return [f"{label}, quantile {q + 1}" for label in labels for q in range(self.n_quantiles)]

        blocks = {
            "composition": [f"fraction up to {symbol}" for symbol in MODIFIED_PETTIFOR_ELEMENTS],
            "grid": spread(shells),
            "relative grid": spread(shells),
            "near": spread(shells[:NEAR_SHELLS]),
            "sites": spread(list(SITE_PROPERTIES)),
        }
        for weight in bonds.WEIGHTS:
            blocks[f"coordination, {weight}"] = spread(["log number", "relative bond length"])
            blocks[f"neighbors, {weight}"] = spread(list(NEIGHBOR_PROPERTIES))
            blocks[f"differences, {weight}"] = spread(list(NEIGHBOR_PROPERTIES))
        blocks["charge"] = spread(["charge", "ionic valence"])
        blocks["order"] = spread([f"q{order}" for order in bonds.ORDERS])
        blocks["global"] = list(GLOBAL)
        blocks["moduli"] = [f"{spring}, log {modulus}" for spring in nets for modulus in MODULI]
        blocks["stiffness"] = [f"{spring}, log eigenvalue {i + 1}" for spring in nets for i in range(6)]
        blocks["stiffness ratios"] = [f"{label} over K Voigt" for label in blocks["stiffness"]] + [
            f"{spring}, log {modulus} over K Voigt" for spring in nets for modulus in MODULI[1:]
        ]
        blocks["statistics"] = [f"{statistic} {name}" for statistic in STATISTICS for name in SITE_PROPERTIES]
        return blocks

    def _featurize_table(self, table: CrystalTable, out: FloatArray) -> dict[int, Exception]:
        numbers, errors = element_numbers(table)
        for row in np.nonzero(table.n_sites > MAX_SITES)[0]:
            message = f"{table.n_sites[row]} sites; at most {MAX_SITES} can be described: give the primitive cell"
            errors[int(row)] = ValueError(f"{table[int(row)].formula}: {message}")
        valid = np.array([row for row in range(len(table)) if row not in errors], dtype=np.int64)
        if errors:
            out[list(errors)] = np.nan
            table = table[valid]
            numbers = element_numbers(table)[0]
        if len(table) == 0:
            return errors
        blocks, problems = _describe(table, numbers, int(self.n_quantiles))
        errors |= {int(valid[i]): ValueError(f"{table[i].formula}: {problem}") for i, problem in problems.items()}
        out[valid] = np.concatenate([blocks[name] for name in self._labels()], axis=1)
        return errors


def _describe(table: CrystalTable, numbers: NDArray[np.int64], n_quantiles: int) -> tuple[dict[str, FloatArray], dict[int, str]]:
    """Compute the blocks of features, and say what is wrong with the rows that can't be described."""
    sites = _Sites(table, numbers)
    around, elastic, problems = sites.surroundings()

    def spread(values: FloatArray) -> FloatArray:
        out = np.empty((len(table), values.shape[1], n_quantiles))
        quantile_means(np.ascontiguousarray(values), sites.occupancies, table.site_offsets, out)
        return out.reshape(len(table), -1)

    own = sites.average(standardized(SITE_PROPERTIES))
    volume_per_site = sites.volumes / sites.total(np.ones_like(sites.occupancies))
    blocks = {
        "composition": cumulative_fractions(table),
        "grid": spread(around.shells),
        "relative grid": spread(around.shells / np.cbrt(volume_per_site)[sites.owner, None]),
        "near": spread(around.shells[:, :NEAR_SHELLS]),
        "sites": spread(own),
        "charge": spread(around.charges),
        "order": spread(around.orders),
        "global": sites.globals(around),
        "statistics": sites.statistics(own),
    }
    for k, weight in enumerate(bonds.WEIGHTS):
        number = np.log(around.coordination[:, k] + 0.01)
        blocks[f"coordination, {weight}"] = spread(np.stack([number, around.lengths[:, k]], axis=1))
        blocks[f"neighbors, {weight}"] = spread(around.neighbors[:, k])
        blocks[f"differences, {weight}"] = spread(around.differences[:, k])
    return blocks | _moduli(elastic), problems


class _Sites:
    """The sites of a table of crystals, with what sums and averages over them need."""

    def __init__(self, table: CrystalTable, numbers: NDArray[np.int64]) -> None:
        self.table = table
        self.numbers = numbers
        self.owner = np.repeat(np.arange(len(table)), table.n_sites)
        self.occupancies = table.site_occupancies
        self.volumes = np.abs(np.linalg.det(table.lattices))
        site = table.site_index + np.repeat(table.site_offsets[:-1], np.diff(table.species_offsets))
        self.first_species = np.searchsorted(site, np.arange(len(self.owner)))

    def average(self, values_by_number: FloatArray) -> FloatArray:
        """Average values of the elements over the species of each site."""
        values = values_by_number[self.numbers].T * self.table.occupancies
        return (np.add.reduceat(values, self.first_species, axis=-1) / self.occupancies).T

    def total(self, values: FloatArray) -> FloatArray:
        """Sum over the sites of each crystal, by occupancy."""
        sums = np.bincount(self.owner, weights=values * self.occupancies, minlength=len(self.table))
        return sums.astype(np.float64, copy=False)

    def strengths(self, radii: FloatArray) -> dict[str, FloatArray]:
        """Compute the factor of each site in the stiffness of its springs, for each net."""
        elements = elemental_table()
        cohesion = self.average(elements["cohesive energy"])
        outer = self.average(elements["outer electrons"])
        electronegativities = self.average(elements["Electronegativity"])
        return {
            "cohesive": (cohesion * outer) ** 0.25 / radii,
            "Gordy": (electronegativities / radii) ** 0.75,
            "slow": np.sqrt(cohesion) / radii,
            "Keating": (cohesion * outer * electronegativities**2) ** 0.25 / radii,
        }

    def surroundings(self) -> tuple[bonds.Surroundings, FloatArray, dict[int, str]]:
        """Run the kernels on each crystal: what is around each site, elastic constants, and what is wrong with which rows."""
        table = self.table
        radii = self.average(elemental_table()["CovalentRadius"] / 100)
        electronegativities = self.average(elemental_table()["Electronegativity"])
        properties = self.average(standardized(NEIGHBOR_PROPERTIES))
        strengths = self.strengths(radii)
        around = bonds.Surroundings.zeros(len(radii), len(SHELLS) - 1, len(NEIGHBOR_PROPERTIES))
        elastic = np.empty((len(table), len(SPRINGS), 2, 6, 6))
        problems = {}
        for i, volume in enumerate(self.volumes):
            own = slice(table.site_offsets[i], table.site_offsets[i + 1])
            lattice, frac = reduce_cell(table.lattices[i], table.frac_coords[own])
            occupancies = self.occupancies[own]
            status, neighbors = bonds.list_neighbors(lattice, frac, occupancies, SHELLS[-1])
            if status != OK:
                problems[i] = bonds.PROBLEMS[status]
                elastic[i] = np.eye(6)
                continue
            site_arrays = bonds.Surroundings(*(values[own] for values in around))
            bonds.describe_sites(neighbors, occupancies, radii[own], electronegativities[own], properties[own], SHELLS, site_arrays)
            for net, out in zip(SPRINGS, elastic[i], strict=True):
                springs.elastic_constants(
                    neighbors,
                    volume,
                    occupancies,
                    radii[own],
                    strengths[net][own],
                    net == "slow",
                    springs.BENDING if net == "Keating" else 0.0,
                    springs.SOFT_MODE,
                    out,
                )
        return around, elastic, problems

    def globals(self, around: bonds.Surroundings) -> FloatArray:
        """Compute the features of each crystal as a whole, in the order of GLOBAL."""
        elements = elemental_table()
        volumes = self.average(10 ** elements["log GSvolume_pa"])
        bulk = 10 ** self.average(elements["log BulkModulus"])
        electronegativity = self.average(elements["Electronegativity"])
        n_atoms, elements_volume = self.total(np.ones_like(volumes)), self.total(volumes)

        def log_density(values: FloatArray, floor: float = 0.0) -> FloatArray:
            return np.log(self.total(values) / self.volumes + floor)

        compressed = log_density(volumes)
        reuss = np.log(elements_volume / self.total(volumes / bulk))
        mean = self.total(electronegativity) / n_atoms
        spread = self.total(electronegativity**2) / n_atoms - mean**2
        species = np.repeat(np.arange(len(self.table)), np.diff(self.table.species_offsets))
        kinds = np.unique(np.stack([species, self.numbers]), axis=1)[0]
        valence, slow = (around.coordination[:, bonds.WEIGHTS.index(name)] for name in ("valence", "slow"))
        values = {
            "log volume": np.log(self.volumes / n_atoms),
            "log elements' volume": compressed,
            "log covalent volume": log_density(self.average((elements["CovalentRadius"] / 100) ** 3)),
            "log metallic volume": log_density(self.average((elements["MiracleRadius"] / 100) ** 3)),
            "log electron density": log_density(self.average(elements["outer electrons"])),
            "log cohesive density": log_density(self.average(elements["cohesive energy"])),
            "log K mixed Voigt": np.log(self.total(bulk * volumes) / elements_volume),
            "log K mixed Reuss": reuss,
            "log K compressed": reuss + 4 * compressed,
            "log unfilled density": log_density(self.average(elements["NUnfilled"] + 0.1)),
            "log valence density": log_density(valence, 1e-6),
            "log valence": np.log(self.total(valence) / n_atoms + 1e-6),
            "log slow density": log_density(slow, 1e-6),
            "log ionic density": log_density(around.charges[:, 1], 1e-4),
            "log mass density": log_density(self.average(elements["atomic mass"])),
            "log charge density": log_density(around.charges[:, 0] ** 2, 1e-4),
            "elements": np.bincount(kinds, minlength=len(self.table)).astype(np.float64),
            "electronegativity spread": np.sqrt(np.maximum(0, spread)),
        }
        return np.stack([values[name] for name in GLOBAL], axis=1)

    def statistics(self, own: FloatArray) -> FloatArray:
        """Compute mean, mean deviation, maximum and minimum of site values, in the order of STATISTICS."""
        n_atoms = self.total(np.ones(len(own)))[:, None]
        starts, weights = self.table.site_offsets[:-1], self.occupancies[:, None]
        mean = np.add.reduceat(own * weights, starts) / n_atoms
        deviation = np.add.reduceat(np.abs(own - mean[self.owner]) * weights, starts) / n_atoms
        values = {
            "mean": mean,
            "mean deviation": deviation,
            "maximum": np.maximum.reduceat(own, starts),
            "minimum": np.minimum.reduceat(own, starts),
        }
        return np.concatenate([values[name] for name in STATISTICS], axis=1)


def _moduli(elastic: FloatArray) -> dict[str, FloatArray]:
    """Compute moduli, Kelvin eigenvalues and their ratios from elastic constants of shape (n, springs, 2, 6, 6), as logarithms.

    In Kelvin's notation the trace is 3 K + 10 G of an isotropic solid. Floors keep soft modes from ruling the logarithms.
    """
    n = len(elastic)
    trace = np.trace(elastic, axis1=-2, axis2=-1)
    k_voigt = elastic[..., :3, :3].sum(axis=(-1, -2)) / 9
    g_voigt = (trace - 3 * k_voigt) / 10
    compliance = np.linalg.inv(elastic + (0.005 * trace + 1e-9)[..., None, None] * np.eye(6))
    block = compliance[..., :3, :3].sum(axis=(-1, -2))
    g_reuss = 2.5 / (np.trace(compliance, axis1=-2, axis2=-1) - block / 3)

    def log(values: FloatArray) -> FloatArray:
        return np.log(np.maximum(values, 0) + 1e-3 * trace.reshape(trace.shape + (1,) * (values.ndim - trace.ndim)) + 1e-5)

    moduli = log(np.stack([k_voigt, g_voigt, 1 / block, g_reuss], axis=-1))
    eigenvalues = log(np.asarray(np.linalg.eigvalsh(elastic), np.float64))
    ratios = (eigenvalues - moduli[..., :1]).reshape(n, -1), (moduli[..., 1:] - moduli[..., :1]).reshape(n, -1)
    return {
        "moduli": moduli.reshape(n, -1),
        "stiffness": eigenvalues.reshape(n, -1),
        "stiffness ratios": np.concatenate(ratios, axis=1),
    }
