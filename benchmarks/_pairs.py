"""Pairs of crystals that are hard to tell apart, or that must not be told apart."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Lattice, Structure

if TYPE_CHECKING:
    from collections.abc import Sequence

FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def chain(points: Sequence[int]) -> Structure:
    """Put atoms on some points of a chain of period 12, in steps of 2 Å; the chains are 12 Å apart."""
    return Structure(Lattice.tetragonal(12, 24), ["Fe"] * len(points), [[0, 0, point / 12] for point in points])


def l1_0() -> Structure:
    """CuAu whose layers alternate along [001]; the lattice is cubic, as for L1_1."""
    return Structure(Lattice.cubic(3.9), ["Cu", "Au", "Au", "Cu"], FCC)


def l1_1() -> Structure:
    """CuAu whose layers alternate along [111]."""
    return Structure(Lattice(3.9 * np.array([[1, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 1]])), ["Cu", "Au"], [[0, 0, 0], [0.5] * 3])


def half_heusler(first: str, second: str, third: str) -> Structure:
    """Put the third element on the place with eight neighbours."""
    return Structure(Lattice.cubic(5.93), [first] * 4 + [second] * 4 + [third] * 4, np.concatenate((FCC, FCC + 0.5, FCC + 0.25)))


def copper_gold(ordered: bool) -> Structure:
    """Cu3Au, ordered (L1_2) or random."""
    return Structure(Lattice.cubic(3.75), ["Au", "Cu", "Cu", "Cu"] if ordered else [{"Cu": 0.75, "Au": 0.25}] * 4, FCC)


def spinel(inverse: bool) -> Structure:
    """MgAl2O4: Mg on the tetrahedral places, or Al there, and both at random on the octahedral ones."""
    tetrahedral, octahedral = ("Al", {"Mg": 0.5, "Al": 0.5}) if inverse else ("Mg", "Al")
    places = [[0] * 3, [5 / 8] * 3, [0.3874] * 3]
    return Structure.from_spacegroup("Fd-3m", Lattice.cubic(8.083), [tetrahedral, octahedral, "O"], places)


def rock_salt(a: float = 5.64, elements: Sequence[str] = ("Na", "Cl")) -> Structure:
    """Rock salt of any two elements."""
    return Structure(Lattice.cubic(a), [elements[0]] * 4 + [elements[1]] * 4, [*FCC, *(FCC + 0.5)])


def exchanged() -> Structure:
    """Rock salt of 64 atoms, one Na and a Cl beside it exchanged."""
    structure = rock_salt() * (2, 2, 2)
    sodium = 0
    chlorine = min((i for i in range(64) if structure[i].specie.symbol == "Cl"), key=lambda i: structure.get_distance(sodium, i))
    structure.replace(sodium, "Cl")
    structure.replace(chlorine, "Na")
    return structure


def moved(structure: Structure, length: float) -> Structure:
    """Move each atom by a length (Å) in a direction of its own, always the same."""
    vectors = np.random.default_rng(0).normal(size=(len(structure), 3))
    vectors *= length / np.linalg.norm(vectors, axis=1, keepdims=True)
    coords = structure.cart_coords + vectors
    return Structure(structure.lattice, structure.species, coords, coords_are_cartesian=True)


def perovskite(a: float = 3.905) -> Structure:
    """SrTiO3."""
    coords = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Structure(Lattice.cubic(a), ["Sr", "Ti", "O", "O", "O"], coords)


def polytype(stacking: str, a: float, c: float, elements: Sequence[str]) -> Structure:
    """Stack double layers A, B and C of two elements, the second 3/4 of a layer above the first."""
    places, n = {"A": (0.0, 0.0), "B": (1 / 3, 2 / 3), "C": (2 / 3, 1 / 3)}, len(stacking)
    coords = [[*places[letter], (layer + shift) / n] for shift in (0, 0.75) for layer, letter in enumerate(stacking)]
    return Structure(Lattice.hexagonal(a, c), [elements[0]] * n + [elements[1]] * n, coords)


def zinc_sulfide(stacking: str) -> Structure:
    """Stack ZnS as wurtzite (AB), zincblende (ABC) or 4H (ABAC), at ideal ratios."""
    return polytype(stacking, 3.82, len(stacking) * 3.82 * np.sqrt(2 / 3), ("Zn", "S"))


def quartz(left: bool) -> Structure:
    """Left or right quartz, mirror images."""
    places = [[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.7858]]
    right = Structure.from_spacegroup("P3_221", Lattice.hexagonal(4.913, 5.405), ["Si", "O"], places)
    return Structure(right.lattice.matrix * [1, 1, -1], right.species, right.frac_coords) if left else right


def homometric(sign: int) -> Structure:
    """Add or subtract two sets of points: both results have the same distances, all in all, and are no mirror images."""
    first = np.array([[0, 0, 0], [1, 2, 0], [3, 0, 1]])
    second = np.array([[0, 0, 0], [0, 3, 5], [4, 1, 2]])
    points = (first[:, None] + sign * second[None]).reshape(-1, 3) % 12
    return Structure(Lattice.cubic(18), ["Fe"] * len(points), points / 12)


def tetragonal_path() -> dict[float, Structure]:
    """Move Ti of SrTiO3 along [001], towards an oxygen, in steps of 0.02 Å; the crystals by how far it has come."""
    shifts = np.arange(0, 1.21, 0.02).round(2).tolist()
    return {shift: perovskite().translate_sites([1], [0, 0, shift / 3.905]) for shift in shifts}


@cache
def pairs() -> dict[str, tuple[Structure, Structure, bool]]:
    """Give each pair by its name, with whether its crystals are different."""
    salt = rock_salt()
    return {
        "CuAu, layers along [001] and [111]": (l1_0(), l1_1(), True),
        "TiNiSn, Ni and Sn exchanged": (half_heusler("Ti", "Sn", "Ni"), half_heusler("Ti", "Ni", "Sn"), True),
        "TiNiSn, Ni and Ti exchanged": (half_heusler("Ti", "Sn", "Ni"), half_heusler("Ni", "Sn", "Ti"), True),
        "Cu3Au, ordered and random": (copper_gold(True), copper_gold(False), True),
        "chains of the same distances": (chain([0, 1, 3, 6, 7, 10]), chain([0, 1, 3, 6, 8, 9]), True),
        "homometric sets in 3-D": (homometric(1), homometric(-1), True),
        "MgAl2O4, normal and inverse": (spinel(False), spinel(True), True),
        "NaCl, two of 64 atoms exchanged": (salt, exchanged(), True),
        "ZnS, zincblende and wurtzite": (zinc_sulfide("ABC"), zinc_sulfide("AB"), True),
        "ZnS, 4H and wurtzite": (zinc_sulfide("ABAC"), zinc_sulfide("AB"), True),
        "NaCl and KCl": (salt, rock_salt(6.29, ("K", "Cl")), True),
        "NaCl, atoms moved by 0.001 Å": (salt * (2, 2, 2), moved(salt * (2, 2, 2), 0.001), True),
        "NaCl, atoms moved by 0.02 Å": (salt * (2, 2, 2), moved(salt * (2, 2, 2), 0.02), True),
        "NaCl, expanded by 0.5 %": (salt, rock_salt(5.64 * 1.005), True),
        "SrTiO3 at 3.905 and 3.945 Å": (perovskite(), perovskite(3.945), True),
        "quartz, left and right": (quartz(True), quartz(False), False),
        "NaCl and a supercell of it": (salt, salt.get_primitive_structure() * (3, 2, 1), False),
    }
