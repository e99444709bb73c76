"""Space groups as CIF files give them: operators, Hall and Hermann-Mauguin symbols, numbers; resolved or refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import gemmi
import numpy as np

from matminer_grid.kernels.orbits import misfit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

MAX_OPERATORS = 768
"""Operators that a list may have: 192 of the largest space group, in a cell four times as large."""

DEN = gemmi.Op.DEN
"""Translations are whole numbers of 1/24 of the cell."""

METRIC_TOLERANCE = 0.01
"""Part of the squared edges by which a cell may miss the symmetry of its group without a warning."""

METRIC_LIMIT = 0.2
"""That by which no cell may: the setting, or the cell, is another one."""

_TRIPLET = re.compile(r"[xyz0-9+\-*./ ]*")


@dataclass(frozen=True, eq=False)
class Group:
    """The k operators of a space group, the identity first.

    Translations are fractions of the cell. Products (k, k) tell which operator is the product of two, up to translations of the
    lattice. The number is that of the type, 0 if it isn't known; the name the Hermann-Mauguin symbol with its setting, or "".
    """

    rotations: NDArray[np.float64]
    translations: NDArray[np.float64]
    products: NDArray[np.int64]
    number: int
    name: str

    def misfit(self, metric: NDArray[np.float64]) -> float:
        """Say how far the cell of a metric tensor is from the group's symmetry, as a part of its squared edges."""
        if len(self.rotations) == 1:
            return 0.0
        return misfit(self.rotations, metric)


def read_operator(text: str) -> gemmi.Op:
    """Read an operator such as ``-x+1/2, y, -z``."""
    lower = text.lower()
    if not _TRIPLET.fullmatch(lower.replace(",", "")):
        raise ValueError(f"the symmetry operator {text!r} can't be read; one such as '-x,y+1/2,-z' is needed")
    try:
        operator = gemmi.Op(lower)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"the symmetry operator {text!r} can't be read: {error}") from error
    if abs(operator.det_rot()) != DEN**3:
        raise ValueError(f"the symmetry operator {text!r} changes volumes; it is no operator of a crystal")
    return operator


@lru_cache(maxsize=2048)
def group_of_operators(operators: tuple[str, ...], centerings: tuple[str, ...] = ()) -> Group:
    """Read a list of operators, a ValueError if they are no group; centring translations of magnetic files are multiplied in."""
    ops = [read_operator(text) for text in operators]
    if centerings:
        ops = [centre * op for centre in map(read_operator, centerings) for op in ops]
    return _group(ops)


def _group(ops: Iterable[gemmi.Op]) -> Group:
    distinct = list({(str(op.rot), tuple(t % DEN for t in op.tran)): op for op in ops}.values())
    if len(distinct) > MAX_OPERATORS:
        raise ValueError(f"it has {len(distinct)} symmetry operators; the limit is {MAX_OPERATORS}")
    distinct.sort(key=lambda op: op.rot != [[DEN, 0, 0], [0, DEN, 0], [0, 0, DEN]] or any(t % DEN for t in op.tran))
    rotations = np.array([op.rot for op in distinct], dtype=np.int64) // DEN
    translations = np.array([op.tran for op in distinct], dtype=np.int64) % DEN
    if np.abs(rotations).max() > 3:
        raise ValueError("a symmetry operator has a rotation beyond 3; such settings can't be read")
    products = _products(rotations, translations)
    missing = np.argwhere(products < 0)
    if len(missing):
        i, j = missing[0]
        lost = (distinct[i] * distinct[j]).wrap().triplet()
        raise ValueError(f"the symmetry operators are no group: {lost} is missing among the {len(distinct)}")
    number, name = _identify(distinct, rotations, translations)
    return Group(rotations.astype(float), translations / DEN, products, number, name)


def _products(rotations: NDArray[np.int64], translations: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find which operator is the product of each two, -1 where it is missing."""

    def codes(turns: NDArray[np.int64], shifts: NDArray[np.int64]) -> NDArray[np.int64]:
        digits = (turns.reshape(*turns.shape[:-2], 9) + 10) @ 20 ** np.arange(9)
        return digits * DEN**3 + (shifts % DEN) @ DEN ** np.arange(3)

    own = codes(rotations, translations)
    order = np.argsort(own)
    turns = np.einsum("iab,jbc->ijac", rotations, rotations)
    shifts = np.einsum("iab,jb->ija", rotations, translations) + translations[:, None]
    wanted = codes(np.clip(turns, -9, 9), shifts)
    place = np.minimum(np.searchsorted(own[order], wanted), len(own) - 1)
    return np.where(own[order][place] == wanted, order[place], -1)


def _identify(ops: list[gemmi.Op], rotations: NDArray[np.int64], translations: NDArray[np.int64]) -> tuple[int, str]:
    found = gemmi.find_spacegroup_by_ops(gemmi.GroupOps(ops))
    if found is not None:
        return found.number, found.xhm()
    import spglib  # noqa: PLC0415  for settings that have no symbol of their own

    try:
        kind = spglib.get_spacegroup_type_from_symmetry(rotations, translations / DEN)
    except (ValueError, RuntimeError, spglib.SpglibError):
        return 0, ""
    return (0, "") if kind is None else (kind.number, "")


@cache
def group_of_setting(xhm: str) -> Group:
    """Give the group of a setting by its symbol in gemmi's table, such as ``F d -3 m:2``."""
    return _group(gemmi.find_spacegroup_by_name(xhm).operations())


def group_of_hall(symbol: str) -> Group:
    """Give the group of a Hall symbol."""
    try:
        return _group(gemmi.symops_from_hall(symbol.replace("_", " ")))
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"the Hall symbol {symbol!r} can't be read: {error}") from error


@dataclass(frozen=True)
class Named:
    """Settings that a symbol or number may stand for, by gemmi's symbols, and whether the standard one was assumed."""

    settings: tuple[str, ...]
    numbers: frozenset[int]
    assumed: bool = False


@lru_cache(maxsize=2048)
def settings_of_symbol(symbol: str) -> Named | None:
    """Find the settings that a Hermann-Mauguin symbol may stand for; None if it isn't known.

    Short, full and extended symbols are known, with or without blanks, the settings ``:1 :2 :H :R`` (``S``, ``Z`` of the ICSD).
    """
    symbol = symbol.replace("~", "")  # P 2~1~/c, as journals print it
    for bare, setting in (_split_setting(symbol), (symbol.replace("_", ""), "")):  # the 1 of P2(1) is no origin
        found = next(filter(None, map(_table().get, _spellings(bare))), [])
        chosen = [xhm for xhm, extension in found if setting in {"", extension}]
        if chosen:
            return Named(tuple(chosen), frozenset(gemmi.find_spacegroup_by_name(xhm).number for xhm in chosen))
    return None


@lru_cache(maxsize=256)
def settings_of_number(number: int) -> Named | None:
    """Find the settings of a number in the International Tables; None if there is no such number."""
    if not 1 <= number <= 230:
        return None
    entries = [group for group in gemmi.spacegroup_table_itb() if group.number == number]
    standard = next(group for group in entries if group.is_reference_setting())
    same = [group.xhm() for group in entries if group.hm == standard.hm]
    others = [group.xhm() for group in entries if group.hm != standard.hm and group.qualifier in {"c1", "c"}]
    return Named((*same, *others), frozenset({number}), assumed=True)


def _split_setting(symbol: str) -> tuple[str, str]:
    """Split off what names the setting: ``:1``, ``:H``, ``S`` or ``Z`` behind the symbol, ``(origin choice 2)``."""
    text = symbol.strip().replace("_", "")
    match = re.search(
        r"[\s:(]*(?:origin|o|oc|choice|\s)*\s*[:(\s]\s*(?:origin)?\s*(?:choice)?\s*([12])\s*\)?$", text, re.IGNORECASE
    )
    if match and (":" in match.group() or "o" in match.group().lower() or "(" in match.group()):
        return text[: match.start()], match.group(1)
    match = re.search(r"(?::\s*|\s+)([HRSZ])\s*$", text, re.IGNORECASE) or re.search(r"(?<=[a-z0-9])([HRSZ])$", text)
    if match:
        letter = match.group(1).upper()
        return text[: match.start()], {"S": "1", "Z": "2"}.get(letter, letter)
    match = re.search(r"(?<=[a-z0-9])\s*O([12])$", text)
    return (text[: match.start()], match.group(1)) if match else (text, "")


def _spellings(bare: str) -> list[str]:
    """Give the keys under which a symbol may stand in the table, the likeliest first."""
    text = re.sub(r"[()\s]", "", bare).lower()
    if text[:1] == "h":  # the hexagonal cell of rhombohedral groups, as the PDB has it
        text = "r" + text[1:]
    words = re.sub(r"[()]", "", bare.lower()).split()
    keys = [text]
    if len(words) > 1:
        keys.append("".join(_shortened(words)))
    turns = "[24]|21|4[123]" if "-3" in text else "2|21"  # F4/m-32/m is Fm-3m, but C4/mmm isn't Cmmm
    keys.append(re.sub(rf"(?<=[a-z])({turns})/(?=[a-z])", "", text.replace("-32/", "-3")))
    return list(dict.fromkeys(keys))


def _shortened(words: list[str]) -> list[str]:
    """Shorten a full symbol: F 4/m -3 2/m to F m -3 m, P 2/n 21/m 21/a to P n m a, P 4/m 2/m 2/m to P 4/m m m."""
    centring, *axes = words
    strip = [re.sub(r"^(2|21|4|41|42|43|6|63)/", "", axis) for axis in axes]
    if len(axes) == 3 and axes[1].lstrip("-") == "3" and "/" in axes[0]:  # cubic
        return [centring, strip[0], "-3", strip[2]]
    if axes and re.match(r"(4|41|42|43|6|61|63)/", axes[0]):
        return [centring, axes[0], *strip[1:]]
    return [centring, *strip] if len(axes) == 3 and "1" not in axes else [centring, axes[0], *strip[1:]] if axes else words


@cache
def _table() -> dict[str, list[tuple[str, str]]]:
    """Give the settings by every spelling: symbol and extension of each."""
    table: dict[str, list[tuple[str, str]]] = {}
    for group in gemmi.spacegroup_table():
        words = group.hm.lower().split()
        keys = ["".join(words), group.short_name().lower().replace("h", "r", 1) if group.ext == "H" else group.short_name().lower()]
        if 3 <= group.number <= 15:  # P 1 1 21/b is P 21/b too, and P 21/m may have any axis
            keys.append("".join([words[0], *(word for word in words[1:] if word != "1")]))
        if group.number >= 195:  # Fm3m for Fm-3m
            keys.append("".join(words).replace("-3", "3", 1) if "-3" in words else "".join(words))
        extension = group.ext.strip("\x00 ")
        for key in dict.fromkeys(keys):
            table.setdefault(key, []).append((group.xhm(), extension))
    for new, old in _NEW_SYMBOLS.items():
        table.setdefault(new, []).extend(table[old])
    return table


_NEW_SYMBOLS = dict(
    pair.split(":")
    for pair in (
        "aem2:abm2 bme2:bma2 b2em:b2cm c2me:c2mb cm2e:cm2a ae2m:ac2m "  # 39
        "aea2:aba2 bbe2:bba2 b2eb:b2cb c2ce:c2cb cc2e:cc2a ae2a:ac2a "  # 41
        "cmce:cmca ccme:ccmb aema:abma aeam:acam bbem:bbcm bmeb:bmab "  # 64
        "cmme:cmma aemm:abmm bmem:bmcm ccce:ccca aeaa:abaa bbeb:bbcb"  # 67, 68
    ).split()
)
"""Symbols of the International Tables since 1995, and before, in all axes."""
