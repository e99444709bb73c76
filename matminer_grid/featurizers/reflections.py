"""Reflections of a crystal, and the cells that they may be indexed in."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import spglib

from matminer_grid._threads import interruptible
from matminer_grid.crystals.crystal import Crystal, as_crystal
from matminer_grid.crystals.scattering import check_scattering, missing_scattering, scattering_coefficients
from matminer_grid.kernels import reciprocal

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.core import Structure

    from matminer_grid.crystals.table import CrystalTable

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

MAX_REFLECTIONS = 1_000_000
"""Reflections of half a sphere that are computed for one structure; those of about 4,000 atoms up to 2 Å⁻¹."""

SPGLIB_ERROR = getattr(spglib, "SpglibError", RuntimeError)
"""What versions of spglib raise that don't give None where they fail."""


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
        As for :class:`StructureFactorFeaturizer`.
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
    species, kinds = np.unique(crystal.numbers, return_inverse=True)
    coefficients = scattering_coefficients(species, scattering)
    for number in species[np.isnan(coefficients[:, 0])].tolist():
        raise ValueError(f"{crystal.formula}: {missing_scattering(number, scattering)}")
    arrays = (crystal.lattice, crystal.frac_coords, kinds, crystal.occupancies, crystal.site_index)
    hkl, _, s, real, imag, count = interruptible(
        *(reciprocal.structure_factors, *arrays, coefficients, float(b_iso), float(s_max), MAX_REFLECTIONS),
        n_sites=crystal.n_sites,
    )
    if count > MAX_REFLECTIONS:
        raise ValueError(too_many(crystal, count))
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


def too_many(crystal: Crystal, count: int) -> str:
    """Say that a crystal has too many reflections."""
    return (
        f"{crystal.formula}: {count} reflections are more than the limit of {MAX_REFLECTIONS} (half a sphere, cell of "
        f"{crystal.volume:.0f} Å^3); choose a smaller s_max or a smaller cell"
    )


@cache
def miller_indices(hkl_max: int) -> IntArray:
    """One of each Friedel pair of indices up to hkl_max, and (0, 0, 0); by h² + k² + l², then with the highest first."""
    indices = np.stack(np.meshgrid(*[np.arange(-hkl_max, hkl_max + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    indices = indices[len(indices) // 2 :][::-1]
    return np.ascontiguousarray(indices[np.argsort((indices**2).sum(axis=1), kind="stable")])


def site_contents(table: CrystalTable) -> IntArray:
    """Give the sites of a table numbers, shape (S,); sites that hold the same have the same number."""
    if len(table.numbers) == len(table.frac_coords) and (table.occupancies == 1).all():
        return table.numbers
    site = table.site_index + np.repeat(table.site_offsets[:-1], np.diff(table.species_offsets))
    held: list[list[tuple[int, float]]] = [[] for _ in range(len(table.frac_coords))]
    for i, number, occupancy in zip(site.tolist(), table.numbers.tolist(), table.occupancies.round(6).tolist(), strict=True):
        held[i].append((number, occupancy))
    known: dict[tuple[tuple[int, float], ...], int] = {}
    return np.array([known.setdefault(tuple(sorted(content)), len(known) + 1) for content in held], dtype=np.int64)


def standard_lattice(lattice: FloatArray, frac_coords: FloatArray, contents: IntArray, cell: str, symprec: float) -> FloatArray:
    """Give the lattice vectors of spglib's standard primitive or conventional cell, as rows, in Å, not idealised.

    Raises
    ------
    ValueError
        spglib finds none.
    """
    try:
        found = spglib.standardize_cell(
            (lattice, frac_coords, contents), to_primitive=cell == "primitive", no_idealize=True, symprec=symprec
        )
    except SPGLIB_ERROR as error:
        raise ValueError(f"spglib found no {cell} cell ({error}); choose another symprec, or cell='niggli'") from error
    if found is None:
        raise ValueError(f"spglib found no {cell} cell; choose another symprec, or cell='niggli'")
    return found[0]
