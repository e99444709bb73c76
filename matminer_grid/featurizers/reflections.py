"""Reflections of a crystal, and the base of the featurizers made of them."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from matminer_grid._threads import interruptible
from matminer_grid.crystals.crystal import Crystal, as_crystal
from matminer_grid.crystals.scattering import check_scattering, missing_scattering, scattering_coefficients
from matminer_grid.crystals.table import CrystalTable
from matminer_grid.featurizers.base import CrystalFeaturizer
from matminer_grid.kernels import structure_factor as kernels

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from pymatgen.core import Structure

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]
    Scatterers = tuple[FloatArray, IntArray, FloatArray, IntArray, IntArray, FloatArray, IntArray, FloatArray, float]

MAX_REFLECTIONS = 1_000_000
"""Reflections of half a sphere that are computed for one structure; those of about 4,000 atoms up to 2 Å⁻¹."""

REPORT = (
    "@techreport{Cumby2021,title={Interpretable crystal descriptions across length scales for materials discovery: Final Report},"
    "author={Cumby, James and Seth, Sohan},institution={AI 4 Science Discovery Network+},year={2021},doi={10.5258/SOTON/P0038}}"
)

FACTORS = {
    "xray": (
        "@article{DoyleTurner1968,title={Relativistic Hartree-Fock X-ray and electron scattering factors},"
        "author={Doyle, P. A. and Turner, P. S.},journal={Acta Crystallographica Section A},"
        "volume={24},pages={390--397},year={1968},doi={10.1107/S0567739468000756}}"
    ),
    "neutron": (
        "@book{DianouxLander2003,title={Neutron Data Booklet},author={Dianoux, Albert-Jos{\\'e} and Lander, Gerry},"
        "edition={2},publisher={Old City},year={2003}}"
    ),
}
"""Where scattering factors come from."""


class Reflections(NamedTuple):
    """Reflections of a crystal, by ascending |S|.

    Parameters
    ----------
    hkl : ndarray of shape (n, 3)
        Miller indices in the given cell.
    s : ndarray of shape (n,)
        Length of the scattering vector, |S| = 1/d = 2 sinθ/λ, in Å⁻¹.
    structure_factors : ndarray of shape (n,)
        Complex structure factors, divided by the number of occupied sites; in electrons, or as the scattering factor.
    """

    hkl: IntArray
    s: FloatArray
    structure_factors: NDArray[np.complex128]


def hkl_intensities(
    structure: Structure | Crystal, s_max: float = 1.0, scattering: str = "xray", b_iso: float = 0.0
) -> Reflections:
    """Compute the structure factors of a crystal, in the cell that it is given in.

    Parameters
    ----------
    structure : pymatgen.core.Structure or Crystal
    s_max : float, default 1.0
        Largest |S| in Å⁻¹; at most 2 for X-rays.
    scattering : {"xray", "neutron", "electrons", "geometry"}, default "xray"
        As for :class:`~matminer_grid.StructureFactorFeaturizer`.
    b_iso : float, default 0.0
        Isotropic displacement parameter B in Å².

    Returns
    -------
    Reflections
        (000), whose structure factor is the number of electrons per site, and one of each Friedel pair: the one whose first index
        other than 0 is positive. The other one has the complex conjugate, since there is no anomalous scattering.

    Raises
    ------
    TypeError, ValueError
        A parameter is out of range, an element has no scattering factor, the structure is invalid or has too many reflections.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from matminer_grid import hkl_intensities
    >>> iron = hkl_intensities(Structure(Lattice.cubic(2.866), ["Fe", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]]), s_max=0.5)
    >>> for hkl, s, f in list(zip(*iron))[:5]:
    ...     print(hkl, f"{s:.3f} 1/Å, |F| = {abs(f):.2f} electrons per site")
    [0 0 0] 0.000 1/Å, |F| = 26.00 electrons per site
    [1 0 0] 0.349 1/Å, |F| = 0.00 electrons per site
    [0 1 0] 0.349 1/Å, |F| = 0.00 electrons per site
    [0 0 1] 0.349 1/Å, |F| = 0.00 electrons per site
    [1 1 0] 0.493 1/Å, |F| = 18.44 electrons per site
    """
    crystal = as_crystal(structure)
    check_scattering(scattering, s_max, b_iso)
    if not math.isfinite(s_max):
        raise ValueError("s_max must be finite: a crystal has infinitely many reflections")
    table = CrystalTable.from_crystals([crystal])
    scatterers = scatterers_of(table, scattering, b_iso)
    for error in without_data(table, scattering, scatterers).values():
        raise error
    hkl, _, s, real, imag, count = interruptible(
        *(kernels.structure_factors, scatterers, 0, float(s_max), MAX_REFLECTIONS), n_sites=crystal.n_sites
    )
    if count > MAX_REFLECTIONS:
        raise ValueError(_too_many(crystal, count))
    kinds, coefficients = scatterers[4], scatterers[7]
    forward = crystal.occupancies @ coefficients[kinds, 0] / crystal.occupancies.sum()
    h, k, l_ = np.sign(hkl.T)
    sign = np.where(h != 0, h, np.where(k != 0, k, l_))
    hkl, imag = sign[:, None] * hkl, sign * imag
    width = 2 * np.abs(hkl).max(initial=0) + 1
    order = np.lexsort((hkl @ [-(width**2), -width, -1], s.round(9)))
    return Reflections(
        np.concatenate((np.zeros((1, 3), np.int64), hkl[order])),
        np.concatenate(([0.0], s[order])),
        np.concatenate(([forward + 0j], real[order] + 1j * imag[order])),
    )


def _too_many(crystal: Crystal, count: int) -> str:
    """Say that a crystal has too many reflections."""
    return (
        f"{crystal.formula}: {count} reflections are more than the limit of {MAX_REFLECTIONS} (half a sphere, cell of "
        f"{crystal.volume:.0f} Å^3); choose a smaller s_max or a smaller cell"
    )


def scatterers_of(table: CrystalTable, scattering: str, b_iso: float) -> Scatterers:
    """Give the arrays of crystals as the kernels take them; coefficients are NaN for species without data."""
    species, kinds = np.unique(table.numbers, return_inverse=True)
    return (
        *(table.lattices, table.site_offsets, table.frac_coords, table.species_offsets, kinds),
        *(table.occupancies, table.site_index, scattering_coefficients(species, scattering), float(b_iso)),
    )


def without_data(table: CrystalTable, scattering: str, scatterers: Scatterers) -> dict[int, Exception]:
    """Give the errors of the rows that hold a species without data, and name the first of these."""
    kinds, coefficients = scatterers[4], scatterers[7]
    row_of_species = np.repeat(np.arange(len(table)), np.diff(table.species_offsets))
    errors: dict[int, Exception] = {}
    for i in np.nonzero(np.isnan(coefficients[kinds, 0]))[0].tolist():
        row = int(row_of_species[i])
        if row not in errors:
            errors[row] = ValueError(f"{table[row].formula}: {missing_scattering(int(table.numbers[i]), scattering)}")
    return errors


class ReflectionFeaturizer(CrystalFeaturizer):
    """Base of the featurizers of reflections: what scatters, and how far.

    A subclass fills rows in ``_featurize_scatterers``.
    """

    scattering: str
    b_iso: float
    s_max: float

    @abstractmethod
    def _featurize_scatterers(self, table: CrystalTable, scatterers: Scatterers, out: FloatArray) -> dict[int, Exception]:
        """Fill the rows of `out`; give the errors of the rows that failed."""

    def _check_parameters(self) -> None:
        check_scattering(self.scattering, self.s_max, self.b_iso)

    def precheck(self, structure: Structure | Crystal) -> bool:
        """Tell whether a structure can be featurized: it is valid and all that it holds has a scattering factor."""
        try:
            numbers = as_crystal(structure).numbers
        except (TypeError, ValueError):
            return False
        return not np.isnan(scattering_coefficients(np.unique(numbers), self.scattering)).any()

    def _featurize_table(self, table: CrystalTable, out: FloatArray) -> dict[int, Exception]:
        scatterers = scatterers_of(table, self.scattering, self.b_iso)
        return self._featurize_scatterers(table, scatterers, out) | without_data(table, self.scattering, scatterers)

    def _run(
        self, kernel: Callable[..., None], table: CrystalTable, scatterers: Scatterers, parameters: tuple[Any, ...], out: FloatArray
    ) -> dict[int, Exception]:
        """Call a kernel that takes all reflections up to s_max."""
        status, counts = np.empty(len(table), np.int64), np.empty(len(table), np.int64)
        arguments = (scatterers, *parameters, MAX_REFLECTIONS, out, status, counts)
        interruptible(kernel, *arguments, n_sites=len(table.frac_coords))
        errors: dict[int, Exception] = {}
        for row in np.nonzero(status)[0].tolist():
            text = _too_many(table[row], counts[row])
            if status[row] == kernels.NO_REFLECTIONS:
                text = f"{table[row].formula}: no reflection below s_max = {self.s_max:g} Å⁻¹; choose a larger s_max"
            errors[row] = ValueError(text)
        return errors

    def citations(self) -> list[str]:
        """BibTeX of where the descriptor and the scattering factors come from."""
        return [REPORT, *[source for scattering, source in FACTORS.items() if scattering == self.scattering]]
