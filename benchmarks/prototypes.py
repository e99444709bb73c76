"""Builders of the crystals that the similarity benchmark compares: the report's three series, and three more.

Cells are those of the literature; the source stands with each builder. Every series is a :class:`Series`, ready to be featurized.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Lattice, Structure

from benchmarks._pairs import FCC, perovskite, polytype, rock_salt

SRTIO3_EDGE = 3.905
"""Edge of cubic SrTiO3 in Å: H. E. Swanson and R. K. Fuyat, NBS Circular 539, vol. 3 (1954)."""

RUDDLESDEN_POPPER_CELLS = {1: (3.88, 12.60), 2: (3.90, 20.38), 3: (3.90, 28.1)}
"""a and c in Å of Sr2TiO4 (Acta Cryst. 10 (1957) 538, 10.1107/S0365110X57001929), Sr3Ti2O7 and Sr4Ti3O10 (Acta Cryst. 11 (1958) 54,
10.1107/S0365110X58000128), by S. N. Ruddlesden and P. Popper."""

SRO_EDGE = 5.160
"""Edge of rock-salt SrO in Å: H. E. Swanson, N. T. Gilfrich and G. M. Ugrinic, NBS Circular 539, vol. 5 (1955)."""

BATIO3_CELL = (3.99095, 4.0352)
"""a and c in Å of tetragonal BaTiO3 at room temperature: G. H. Kwei et al., J. Phys. Chem. 97 (1993) 2368, 10.1021/j100112a043."""

IRON_EDGE = 2.8665
"""Edge of body-centred cubic iron in Å: R. W. G. Wyckoff, Crystal Structures, vol. 1 (1963)."""

SIC_CELLS = {
    "3C": ("ABC", 4.3596 / math.sqrt(2), 4.3596 * math.sqrt(3)),
    "6H": ("ABCACB", 3.0806, 15.1173),
    "4H": ("ABCB", 3.073, 10.053),
    "2H": ("AB", 3.0763, 5.0480),
}
"""Stacking, a and c in Å of SiC, in the order of their hexagonality (0, 1/3, 1/2, 1). 3C: A. Taylor and R. M. Jones in Silicon
Carbide (1960); 6H: A. H. Gomes de Mesquita, Acta Cryst. 23 (1967) 610; 4H: P. Hadley's material tables, TU Graz;
2H: R. F. Adamsky and K. M. Merz, Z. Kristallogr. 111 (1959) 350."""

CU3AU_EDGE = 3.748
"""Edge of Cu3Au in Å: H. Okamoto et al., Bull. Alloy Phase Diagrams 8 (1987) 454."""


@dataclass(frozen=True)
class Series:
    """Crystals in an order, from one end to the other: what changes along it, with its unit and value, and a short name of each."""

    title: str
    parameter: str
    values: tuple[float, ...]
    labels: tuple[str, ...]
    structures: tuple[Structure, ...]


def ruddlesden_popper(n: int, a: float, c: float) -> Structure:
    """Build Sr(n+1)Ti(n)O(3n+1) in I4/mmm with n sheets of ideal octahedra.

    SrO and TiO2 layers alternate a/2 apart inside a block; two blocks a cell are shifted against each other by (1/2, 1/2, 1/2),
    so the SrO layers that meet are c/2 - n·a apart. The small buckling of real crystals (Sr and apical O leave their common plane
    by up to 0.2 Å) is left out.

    Parameters
    ----------
    n : int
        Number of TiO2 layers of a block; a ValueError if it is below 1, or if blocks overlap.
    a, c : float
        Edges of the tetragonal cell in Å.
    """
    if n < 1 or c / 2 <= n * a:
        raise ValueError(f"n must be at least 1, and c above 2 n a, so that blocks don't overlap; not n = {n}, a = {a}, c = {c}")
    species, coords = [], []
    for layer in range(2 * n + 1):
        z = (layer - n) * a / (2 * c)
        if layer % 2:
            species += ["Ti", "O", "O"]
            coords += [[0, 0, z], [0.5, 0, z], [0, 0.5, z]]
        else:
            species += ["Sr", "O"]
            coords += [[0.5, 0.5, z], [0, 0, z]]
    block = np.array(coords)
    return Structure(Lattice.tetragonal(a, c), species * 2, [*block, *(block + 0.5)])


def ruddlesden_popper_series() -> Series:
    """Build SrO, Sr2TiO4, Sr3Ti2O7, Sr4Ti3O10 and SrTiO3 with the lattice constants of the literature."""
    layered = [ruddlesden_popper(n, a, c) for n, (a, c) in RUDDLESDEN_POPPER_CELLS.items()]
    crystals = [rock_salt(SRO_EDGE, ("Sr", "O")), *layered, perovskite(SRTIO3_EDGE)]
    return _ruddlesden_popper_series("Ruddlesden–Popper phases, measured cells", crystals)


def intergrowth_series(a: float = SRTIO3_EDGE) -> Series:
    """Build the same five as ideal intergrowths on one square net: SrTiO3's, with SrO layers a/√2 apart as in a cubic rock salt."""
    layered = [ruddlesden_popper(n, a, 2 * (n * a + a / math.sqrt(2))) for n in RUDDLESDEN_POPPER_CELLS]
    crystals = [rock_salt(a * math.sqrt(2), ("Sr", "O")), *layered, perovskite(a)]
    return _ruddlesden_popper_series(f"Ruddlesden–Popper phases, ideal intergrowths, a = {a} Å", crystals)


def _ruddlesden_popper_series(title: str, crystals: list[Structure]) -> Series:
    labels = ("SrO", "Sr₂TiO₄", "Sr₃Ti₂O₇", "Sr₄Ti₃O₁₀", "SrTiO₃")
    ratios = (0.0, 1 / 2, 2 / 3, 3 / 4, 1.0)
    return Series(title, "n / (n + 1)", ratios, labels, tuple(crystals))


def displaced_series(largest: float = 0.2, step: float = 0.02) -> Series:
    """Build tetragonal BaTiO3 whose Ti moves from the centre along c, up to `largest` in steps, in Å."""
    a, c = BATIO3_CELL
    shifts = np.arange(round(largest / step) + 1) * step
    crystals = []
    for shift in shifts:
        coords = [[0, 0, 0], [0.5, 0.5, 0.5 + shift / c], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
        crystals.append(Structure(Lattice.tetragonal(a, c), ["Ba", "Ti", "O", "O", "O"], coords))
    labels = tuple(f"{shift:.2f}" for shift in shifts)
    return Series("BaTiO₃ with displaced Ti", "Ti displacement (Å)", tuple(shifts.tolist()), labels, tuple(crystals))


def expanded_series(smallest: float = 3.0, largest: float = 5.0, step: float = 0.05) -> Series:
    """Build cubic perovskite with the edge from `smallest` to `largest`, in Å."""
    edges = smallest + np.arange(round((largest - smallest) / step) + 1) * step
    labels = tuple(f"{edge:.2f}" for edge in edges)
    return Series("Expanding perovskite", "edge a (Å)", tuple(edges.tolist()), labels, tuple(perovskite(edge) for edge in edges))


def bain_series(steps: int = 8) -> Series:
    """Build iron from face-centred (c/a = √2) to body-centred cubic (c/a = 1) at constant volume.

    The path is that of E. C. Bain, Trans. AIME 70 (1924) 25.
    """
    ratios = np.linspace(math.sqrt(2), 1.0, steps + 1)
    crystals = []
    for ratio in ratios:
        a = IRON_EDGE / ratio ** (1 / 3)
        crystals.append(Structure(Lattice.tetragonal(a, ratio * a), ["Fe", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    labels = ("fcc", *(f"{ratio:.2f}" for ratio in ratios[1:-1]), "bcc")
    return Series("Bain path of iron", "c/a", tuple(ratios.tolist()), labels, tuple(crystals))


def polytype_series() -> Series:
    """Build 3C, 6H, 4H and 2H SiC, in the order of the share of hexagonal layers."""
    crystals = tuple(polytype(*cell, ("Si", "C")) for cell in SIC_CELLS.values())
    return Series("SiC polytypes", "share of hexagonal layers", (0.0, 1 / 3, 1 / 2, 1.0), tuple(SIC_CELLS), crystals)


def ordered_alloy(order: float, a: float = CU3AU_EDGE) -> Structure:
    """Build Cu3Au with the long-range order parameter S of Bragg and Williams: 1 is L1_2, 0 the face-centred solid solution."""
    if not 0 <= order <= 1:
        raise ValueError(f"order must lie between 0 and 1, not {order}")
    gold = [0.25 + 0.75 * order, *[0.25 * (1 - order)] * 3]
    species = [{element: part for element, part in (("Au", x), ("Cu", 1 - x)) if part > 0} for x in gold]
    return Structure(Lattice.cubic(a), species, FCC)


def order_series() -> Series:
    """Build Cu3Au from ordered to disordered: occupancies change, the points don't."""
    orders = (1.0, 0.75, 0.5, 0.25, 0.0)
    labels = ("ordered", "S = 0.75", "S = 0.50", "S = 0.25", "disordered")
    return Series("Cu₃Au from order to disorder", "order parameter S", orders, labels, tuple(map(ordered_alloy, orders)))


BUILDERS = {
    "ruddlesden_popper": ruddlesden_popper_series,
    "intergrowth": intergrowth_series,
    "displacement": displaced_series,
    "expansion": expanded_series,
    "bain": bain_series,
    "polytypes": polytype_series,
    "order": order_series,
}
"""The series by name, in the order of the page."""
