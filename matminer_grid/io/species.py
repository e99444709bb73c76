"""What stands on a site of a CIF: elements, isotopes, groups of atoms with hydrogen that has no position, dummies."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matminer_grid.crystals.elements import DEUTERIUM, DUMMY, TRITIUM, element_number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

GROUPS = {
    **dict.fromkeys(("OH", "HO", "OD"), ("O", 1)),
    **dict.fromkeys(("H2O", "D2O", "OH2", "OD2", "HOH", "WAT", "WATER", "OWAT", "OW"), ("O", 2)),
    **dict.fromkeys(("H3O", "OH3"), ("O", 3)),
    **{f"{atom}{isotope}{n}": (atom, n) for atom in "NCB" for isotope in "HD" for n in (2, 3, 4)},
    **dict.fromkeys(("NH", "ND"), ("N", 1)),
    "CH": ("C", 1),
    "SH": ("S", 1),
}
"""Groups of one heavy atom with hydrogen, in capital letters: the atom, and the number of hydrogens."""

LABELS = re.compile(r"(H2O|D2O|H3O|WATER|WAT|OWAT|OW|O-?H|NH4|NH3|ND4|ND3)(?![A-Z])")
"""Labels of such groups; CH2 and the like name a carbon atom as often."""

HEAVIEST = 100
"""Number of the last element that a site is taken to hold without a word; Nh, Cn and No are rather groups of atoms."""

VACANCIES = {"VAC", "VA", "VACANCY"}
"""An empty site."""

_CHARGED = re.compile(r"([A-Za-z]+)(?:\d*\.?\d*[+-]|[+-]\d*\.?\d*|\d{1,2})?")

_VALENCE = {"SIVA": 14, "CVAL": 6}
"""Names of the International Tables' scattering factors."""


class Species(NamedTuple):
    """What a symbol means: number of the element, None for a vacancy; a warning; hydrogens without position; a second reading."""

    number: int | None
    warning: str = ""
    hydrogens: int = 0
    other: int | None = None


def number_of(symbol: str) -> int | None:
    """Give the number of an element or isotope by its symbol, whatever the case; None for what is none."""
    capital = symbol.capitalize()
    special = {"D": DEUTERIUM, "T": TRITIUM}
    return special[capital] if capital in special else element_number(capital)


def numbers_of(symbols: Iterable[str]) -> NDArray[np.int64]:
    """Give the numbers of symbols; what is no element is a dummy."""
    numbers = map(number_of, symbols)
    return np.array([DUMMY if number is None else number for number in numbers], dtype=np.int64)


@lru_cache(maxsize=4096)
def species_of_type(symbol: str) -> Species:
    """Read a type symbol, such as ``Na``, ``Fe3+``, ``O2-``, ``OH``; `other` is the element that ``HO`` and ``ND`` may be too.

    A group of atoms that a site can't hold is a ValueError.
    """
    text = symbol.strip()
    match = _CHARGED.fullmatch(text)
    letters = match.group(1) if match else ""
    is_element = len(letters) < 3 and letters in {letters.capitalize(), letters.lower()} and number_of(letters) is not None
    for charge in (r"[+-]\d*$", r"\d[+-]$"):
        group = re.sub(r"[-\s]", "", re.sub(charge, "", text)).upper()
        if group in GROUPS and not is_element:
            atom, hydrogens = GROUPS[group]
            said = f"{text} is read as {atom}: its {hydrogens} H have no position"
            return Species(number_of(atom), said, hydrogens, number_of(letters))
    if letters.upper() in VACANCIES:
        return Species(None)
    atoms = re.findall(r"[A-Z][a-z]?", text)
    many = len(atoms) > 1 and re.fullmatch(r"(?:[A-Z][a-z]?\d*)+(?:\d*[+-]|[+-]\d*)?", text) and all(map(number_of, atoms))
    number = _VALENCE.get(letters.upper(), number_of(letters))
    charged_group = re.search(r"\d\d[+-]$|O\d*-", text)  # PO43-, CO32-, CO2-: a metal has no such charge
    if number is None or (many and (number > HEAVIEST or charged_group or (letters != text and not re.search("[+-]", text)))):
        if many:
            raise ValueError(f"the type {text!r} is a group of atoms; each of them needs a position of its own")
        return Species(DUMMY, f"the type {text!r} is no element; it is read as a dummy")
    return Species(number, _heavy(text, number))


@lru_cache(maxsize=4096)
def species_of_label(label: str) -> Species:
    """Read a label where there is no type, such as ``Na1``, ``SI2``, ``OH1``, ``SiT``: what it starts with.

    `other` is the second reading of two letters, such as ``CA1`` and ``Os1``.
    """
    text = label.strip()
    match = re.match(r"[A-Za-z]+", text)
    letters = match.group() if match else ""
    one, two = number_of(letters[:1]), number_of(letters[:2]) if len(letters) > 1 else None
    as_written = two is not None and letters[1].islower()
    group = LABELS.match(text.upper())
    if group and not as_written:
        atom = GROUPS[group.group(1).replace("-", "")][0]
        return Species(number_of(atom), f"{text} is read as {atom}: its H have no position", 1)
    if letters.upper() in VACANCIES:
        return Species(None)
    if as_written:
        return Species(two, _heavy(text, two) or _mixed(text, letters), other=one)
    if two is None and letters[:1] in {"D", "T"}:
        return Species(one, f"{text} has no type and is read as {'deuterium' if letters[0] == 'D' else 'tritium'}")
    if two is not None:
        named = f"{text} has no type and is read as {letters[:2].capitalize()}"
        return Species(two) if one is None else Species(two, named, other=one)
    nothing = f"the label {label!r} names no element; it is read as a dummy"
    return Species(DUMMY, nothing) if one is None else Species(one, _mixed(text, letters))


def _heavy(text: str, number: int | None) -> str:
    """Warn of an element that no crystal is known of."""
    return f"{text} is read as element {number}, of which no crystal is known" if HEAVIEST < (number or 0) <= 118 else ""


def _mixed(label: str, letters: str) -> str:
    """Warn of a label that names two elements, such as Al/Si1 or KNa1."""
    first = letters[:2] if number_of(letters[:2]) is not None and letters[1:2].islower() else letters[:1]
    rest = label[len(first) :]
    second = re.match(r"[/,+&]([A-Z][a-z]?)|([A-Z][a-z])", rest)
    if second is None or number_of(second.group(1) or second.group(2)) is None:
        return ""
    return f"{label} has no type and names two elements; it is read as {first}"
