"""Atomic scattering factors: how strongly an atom scatters, by the scattering vector's length.

Every factor has the form f(s) = c + s² Σ a_i exp(-b_i s²), times the Debye-Waller factor exp(-B s²), with s = sinθ/λ = |S|/2.
"""

from __future__ import annotations

import json
import math
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Element

from matminer_grid._validation import check_choice, check_number
from matminer_grid.crystals.elements import DEUTERIUM, DUMMY, TRITIUM, species_symbol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

SCATTERING: Mapping[str, str] = {
    "xray": "X-rays, in electrons: f0(s) of the free atom, for H to Cf",
    "neutron": "neutrons: the bound coherent scattering length in fm, for the natural mixture of isotopes, D and T",
    "electrons": "point atoms: the number of electrons, for every element",
    "geometry": "1, for every element and for dummy species",
}
"""What the atoms may scatter, and for which elements there are data."""

XRAY_S_LIMIT = 1.0
"""Å⁻¹; largest s = sinθ/λ at which f0 is used. Up to here, H to Cf, f0 differs from Waasmaier and Kirfel's (1995,
10.1107/S0108767394013292) by up to 3 % of the number of electrons, in the median element by 2 %, but Sn by 7 %; hydrogen's falls
below zero at 0.82 by at most 0.03 electrons. Beyond, the Gaussians decay and f0 rises towards Z again."""

MOTT_BETHE = 41.78214
"""Å⁻² of f0 to Å of the electron scattering factor, over s²; the constant of the Mott-Bethe formula as pymatgen has it."""

N_GAUSSIANS = 4


def check_scattering(scattering: str, s_max: float, b_iso: float) -> None:
    """Check the parameters of scattering factors: the kind, the largest |S| = 2 s asked for in Å⁻¹ (or infinite), and B in Å²."""
    check_choice("scattering", scattering, SCATTERING)
    check_number("b_iso", b_iso, unit="Å²")
    if s_max != math.inf:
        check_number("s_max", s_max, low_ok=False, unit="Å⁻¹")
    if scattering == "xray" and s_max > 2 * XRAY_S_LIMIT + 1e-9:
        raise ValueError(
            f"s_max of {s_max:g} Å⁻¹ is beyond the tables of X-ray scattering factors, which end at |S| = {2 * XRAY_S_LIMIT:g} Å⁻¹ "
            f"(s = sinθ/λ = {XRAY_S_LIMIT:g} Å⁻¹); choose a smaller one, or neutron, electrons or geometry, which have no limit"
        )


@cache
def _table(name: str) -> Mapping[str, Any]:
    """Read one of the tables that pymatgen installs."""
    return json.loads(files("pymatgen.analysis.diffraction").joinpath(f"{name}.json").read_bytes())


@cache
def _coefficients(number: int, scattering: str) -> tuple[float, ...] | None:
    symbol = species_symbol(number)
    n_electrons = 1 if number in (DEUTERIUM, TRITIUM) else number
    gaussians = [0.0] * (2 * N_GAUSSIANS)
    if scattering == "geometry":
        return (1.0, *gaussians)
    if number == DUMMY:
        return None
    if scattering == "neutron":
        length = _table("neutron_scattering_length").get({DEUTERIUM: "2H", TRITIUM: "3H"}.get(number, symbol))
        return None if length is None else (float(length), *gaussians)
    if scattering == "xray":
        # isotopes have the electrons of hydrogen
        pairs = _table("atomic_scattering_params").get("H" if number in (DEUTERIUM, TRITIUM) else symbol)
        if pairs is None:
            return None
        gaussians = [value for a, b in pairs for value in (-MOTT_BETHE * a, b)]
    return (float(n_electrons), *gaussians)


def scattering_coefficients(numbers: NDArray[np.int64], scattering: str) -> NDArray[np.float64]:
    """Give the coefficients of the scattering factors of n species, of shape (n, 9).

    A row holds the constant c, in electrons or fm, and four times a_i and b_i in Å²; it is NaN where a species has no data.
    """
    missing = (math.nan,) * (1 + 2 * N_GAUSSIANS)
    rows = [_coefficients(number, scattering) or missing for number in numbers.tolist()]
    return np.array(rows, dtype=np.float64).reshape(-1, 1 + 2 * N_GAUSSIANS)


def missing_scattering(number: int, scattering: str) -> str:
    """Say of a species without data which one it is and what can be done."""
    name = "the dummy species X" if number == DUMMY else species_symbol(number)
    others = [other for other in SCATTERING if _coefficients(number, other) is not None]
    return f"there is no {scattering} scattering factor for {name}; scattering={' or '.join(map(repr, others))} has one"


def scattering_factor(element: str, s: ArrayLike, scattering: str = "xray", b_iso: float = 0.0) -> NDArray[np.float64]:
    """Compute the scattering factor of an element.

    Parameters
    ----------
    element : str
        Symbol, among them "D" and "T".
    s : array_like
        s = sinθ/λ = |S|/2 in Å⁻¹.
    scattering : {"xray", "neutron", "electrons", "geometry"}, default "xray"
        What the atoms scatter: X-rays, by the parameters that pymatgen's XRDCalculator uses, up to s = 1 Å⁻¹; neutrons, by their
        bound coherent scattering length; as points, by their number of electrons; or all alike.
    b_iso : float, default 0.0
        Isotropic displacement parameter B in Å²: f is multiplied by exp(-B s²).

    Returns
    -------
    ndarray, shape of `s`
        In electrons; for neutrons in fm; for "geometry" without unit.

    Raises
    ------
    TypeError, ValueError
        As :func:`check_scattering`; or the element is unknown or has no data.

    References
    ----------
    X-rays: P. A. Doyle and P. S. Turner, Acta Cryst. A24 (1968) 390-397, 10.1107/S0567739468000756, and G. H. Smith and R. E.
    Burge, Acta Cryst. 15 (1962) 182-186, 10.1107/S0365110X62000481, from M. De Graef and M. E. McHenry, Structure of Materials,
    2nd ed., Cambridge 2012. Neutrons: Neutron Data Booklet, 2nd ed., Old City 2003. Both as pymatgen installs them.

    Examples
    --------
    >>> scattering_factor("O", [0.0, 0.25, 0.5]).round(2)
    array([8.  , 4.81, 2.34])
    >>> scattering_factor("D", 0.25, "neutron").item()
    6.671
    """
    s = np.asarray(s, dtype=np.float64)
    check_scattering(scattering, 2 * float(s.max(initial=0.0)) or 1.0, b_iso)
    symbols = {"D": DEUTERIUM, "T": TRITIUM}
    if element not in symbols and not Element.is_valid_symbol(element):
        raise ValueError(f"{element!r} is no element's symbol")
    number = symbols[element] if element in symbols else Element(element).Z
    coefficients = _coefficients(number, scattering)
    if coefficients is None:
        raise ValueError(missing_scattering(number, scattering))
    constant, *rest = coefficients
    squared = s**2
    f = constant + squared * sum(a * np.exp(-b * squared) for a, b in zip(rest[::2], rest[1::2], strict=True))
    return f * np.exp(-b_iso * squared)
