"""Slow, obvious twins of the reciprocal kernels: sums over sites, reflections and pairs of reflections, by their definitions."""

import itertools
from math import comb

import numpy as np
from pymatgen.analysis.diffraction.xrd import ATOMIC_SCATTERING_PARAMS
from pymatgen.core import Element
from scipy.special import ndtr

from matminer_grid import Crystal


def reciprocal_lattice(crystal: Crystal) -> np.ndarray:
    """Reciprocal lattice vectors as rows in Å⁻¹, without the factor 2π."""
    return np.linalg.inv(crystal.lattice).T


def all_indices(crystal: Crystal, s_max: float) -> np.ndarray:
    """Miller indices of the full sphere without (000), both of each Friedel pair."""
    reach = [int(s_max * np.linalg.norm(edge)) + 1 for edge in crystal.lattice]
    hkl = np.array(list(itertools.product(*(range(-n, n + 1) for n in reach))))
    s = np.linalg.norm(hkl @ reciprocal_lattice(crystal), axis=1)
    return hkl[(s <= s_max + 1e-9) & (s > 0)]


def xray_factor(number: int, s: np.ndarray) -> np.ndarray:
    """f0(s), as pymatgen's XRDCalculator has it."""
    number = {201: 1, 301: 1}.get(number, number)
    terms = ATOMIC_SCATTERING_PARAMS[Element.from_Z(number).symbol]
    return number - 41.78214 * s**2 * sum(a * np.exp(-b * s**2) for a, b in terms)


def structure_factors(crystal: Crystal, hkl: np.ndarray, b_iso: float = 0.0) -> np.ndarray:
    """F per occupied site for X-rays."""
    s = np.linalg.norm(hkl @ reciprocal_lattice(crystal), axis=1) / 2
    total = np.zeros(len(hkl), dtype=complex)
    for number, occupancy, site in zip(crystal.numbers.tolist(), crystal.occupancies, crystal.site_index, strict=True):
        phase = np.exp(2j * np.pi * hkl @ crystal.frac_coords[site])
        total += occupancy * xray_factor(number, s) * np.exp(-b_iso * s**2) * phase
    return total / crystal.occupancies.sum()


def radial(crystal: Crystal, edges: np.ndarray, smearing: float) -> np.ndarray:
    """Fraction of the intensity in each bin."""
    hkl = all_indices(crystal, edges[-1] + 10 * smearing)
    s = np.linalg.norm(hkl @ reciprocal_lattice(crystal), axis=1)
    intensities = np.abs(structure_factors(crystal, hkl)) ** 2
    if smearing == 0:
        bins = np.searchsorted(edges, s + 1e-9, side="right") - 1
        found = np.bincount(bins, intensities, minlength=len(edges))[: len(edges) - 1]
    else:
        below = ndtr((edges - s[:, None]) / smearing)
        below[:, 0] = 0.0
        found = intensities @ np.diff(below, axis=1)
    return found / found.sum()


def pairs(crystal: Crystal, s_max: float, n_radial: int, n_angle: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums over ordered pairs of the full sphere: (n_radial, n_radial, n_angle), and the self term, (n_radial,)."""
    hkl = all_indices(crystal, s_max)
    vectors = hkl @ reciprocal_lattice(crystal)
    s = np.linalg.norm(vectors, axis=1)
    mean = crystal.occupancies @ np.array([{201: 1, 301: 1}.get(n, n) for n in crystal.numbers.tolist()]) ** 2.0
    weights = np.abs(structure_factors(crystal, hkl)) ** 2 / (mean / crystal.occupancies.sum())
    weights *= np.maximum(0, 1 - (s / s_max) ** 2) ** 2
    middles = (np.arange(n_radial) + 0.5) * s_max / n_radial
    shells = np.array([np.interp(s, middles, row) for row in np.eye(n_radial)])
    out, self_term = np.zeros((n_radial, n_radial, n_angle)), np.zeros(n_radial)
    for i in range(len(hkl)):
        for j in range(len(hkl)):
            if (hkl[i] == hkl[j]).all() or (hkl[i] == -hkl[j]).all():
                self_term += weights[i] * weights[j] * shells[:, i]
                continue
            x = (vectors[i] @ vectors[j] / (s[i] * s[j])) ** 2
            soft = np.array([comb(n_angle - 1, n) * x**n * (1 - x) ** (n_angle - 1 - n) for n in range(n_angle)])
            out += weights[i] * weights[j] * shells[:, i, None, None] * shells[None, :, j, None] * soft
    return out, self_term
