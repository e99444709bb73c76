"""CIF files to crystals: each block with atoms is read, refused by name, or read with what was lost or assumed."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from matminer_grid.crystals.elements import as_element, species_amounts
from matminer_grid.crystals.problems import compare_amounts
from matminer_grid.io.cif_cell import Cell, expand, read_lattice
from matminer_grid.io.cif_sites import Remarks, Rows, read_number, read_rows, some
from matminer_grid.io.cif_text import Block, as_text, read_blocks, unquoted
from matminer_grid.io.records import Parsed
from matminer_grid.io.symmetry import (
    METRIC_LIMIT,
    METRIC_TOLERANCE,
    Group,
    Named,
    group_of_hall,
    group_of_operators,
    group_of_setting,
    read_operator,
    settings_of_number,
    settings_of_symbol,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

OPERATORS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz", "_space_group_symop_magn_operation_xyz")
CENTERINGS = "_space_group_symop_magn_centering_xyz"
SYMBOLS = (
    "_space_group_name_h-m_alt",
    "_symmetry_space_group_name_h-m",
    "_space_group_name_h-m_full",
    "_space_group_name_h-m_ref",
    "_symmetry_space_group_name_h-m_alt",
)
HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
NUMBERS = ("_space_group_it_number", "_symmetry_int_tables_number")

PROPERTY_TAGS = ("_matminer_grid_property_name", "_matminer_grid_property_value")
"""Loop in which CIFs of this package keep properties, as JSON."""

SHORT_BOND = 0.6
"""Atoms nearer than this part of the sum of their radii speak against an origin."""


def read_cif(content: bytes) -> list[Parsed]:
    """Read all blocks with atoms, in order, whether they can be read or not; a ValueError if there are none."""
    found = []
    for block in read_blocks(as_text(content)):
        if isinstance(block, tuple):
            found.append(Parsed(block[0], error=block[1]))
            continue
        try:
            found.append(_read_block(block))
        except ValueError as error:
            found.append(Parsed(block.name, error=str(error)))
        except (ArithmeticError, LookupError, TypeError) as error:  # costs no other block its record
            found.append(Parsed(block.name, error=f"it can't be read: {type(error).__name__} {str(error)[:300]}"))
    if not found:
        raise ValueError("it is no CIF with atoms: it has no block (data_...) with an _atom_site list")
    return found


def _read_block(block: Block) -> Parsed:
    remarks = Remarks()
    lattice = read_lattice(block, remarks)
    formula = read_formula(block, remarks)
    rows = read_rows(block, formula, remarks)
    groups = _groups(block, lattice, remarks)
    cell = _cell(block, rows, groups, lattice, formula, remarks)
    _check_multiplicities(rows, cell, remarks)
    _check_formula(block, rows, cell, formula, remarks)
    return Parsed(
        block.name,
        cell.sites,
        notes=tuple(dict.fromkeys(remarks.notes)),
        warnings=tuple(dict.fromkeys(remarks.warnings)),
        properties=_properties(block),
        labels=cell.labels,
    )


def _groups(block: Block, lattice: NDArray[np.float64], remarks: Remarks) -> list[Group]:
    """Find the group of a block, or those among which its atoms decide, the likeliest first."""
    block.check_single(*OPERATORS, CENTERINGS, *SYMBOLS, *HALL, *NUMBERS)
    metric = lattice @ lattice.T
    symbols = tuple(text for text in (block.text(tag) for tag in SYMBOLS) if text)
    named = _named(symbols, block.text(*HALL), block.text(*NUMBERS))
    tag = next((tag for tag in OPERATORS if tag in block.items), None)
    if tag is not None:
        group = _operators(block, tag)
        _check_named(group, named, block, remarks)
        groups = [group]
    elif isinstance(named, str):
        raise ValueError(named)
    elif named:
        groups = _settings(named, metric, remarks)
    else:
        remarks.warnings.append("it gives no symmetry; its atoms are taken for all of the cell (P 1)")
        return [group_of_setting("P 1")]
    worst = min(group.misfit(metric) for group in groups)
    if worst > METRIC_TOLERANCE:
        name = groups[0].name or "the symmetry operators"
        missed = f"the cell misses the symmetry of {name} by {worst:.1%} of its squared edges"
        if worst > METRIC_LIMIT:
            raise ValueError(f"{missed}; another setting, or another cell, is needed")
        remarks.warnings.append(missed)
    return groups


def _operators(block: Block, tag: str) -> Group:
    raw = tuple(block.raw(tag) or ())
    if any(value.count(",") == 2 and set("xyz") <= set(value.lower()) for value in block.beside(tag)):
        raise ValueError(f"line {block.line(tag)}: {tag} has operators in another column too; a tag too many, or a value too few")
    try:
        return _group_of_raw(raw, tuple(block.raw(CENTERINGS) or ()))
    except ValueError as error:
        line = _line_of_operator(block, tag, _without_time(raw))
        raise ValueError(f"line {line}: {error}") from error


@lru_cache(maxsize=2048)
def _group_of_raw(raw: tuple[str, ...], centerings: tuple[str, ...]) -> Group:
    """Give the group of operators as they are written, with quotes."""
    if not raw or not {"?", "."}.isdisjoint(raw):
        raise ValueError("the list of symmetry operators lacks some")
    return group_of_operators(_without_time(raw), _without_time(centerings))


def _without_time(raw: tuple[str, ...]) -> tuple[str, ...]:
    """Take quotes from operators, and the reversal of time from those of magnetic files."""
    texts = [text or "?" for text in unquoted(raw)]
    return tuple(text.rpartition(",")[0] if text.count(",") == 3 else text for text in texts)


def _line_of_operator(block: Block, tag: str, operators: tuple[str, ...]) -> int:
    """Find the line of the first operator that can't be read, or that of the list."""
    for text in operators:
        try:
            read_operator(text)
        except ValueError:
            return block.line_of(tag, text)
    return block.line(tag)


@lru_cache(maxsize=4096)
def _named(symbols: tuple[str, ...], hall: str | None, number: str | None) -> Named | str | None:
    """Find the settings that symbols and numbers name; a text says why they can't be used, None if there are none."""
    found: list[Named] = []
    problem = ""
    for symbol in symbols:
        settings = settings_of_symbol(symbol)
        if settings is None:
            problem = problem or f"the space group {symbol!r} isn't known, and there are no symmetry operators"
        else:
            found.append(settings)
    if hall:
        try:
            found.insert(0, Named((f"hall {hall}",), frozenset({group_of_hall(hall).number})))
        except ValueError as error:
            problem = problem or str(error)
    settings = settings_of_number(int(number)) if number and re.fullmatch(r"\d{1,3}", number) else None
    if settings is not None:
        found.append(settings)
    elif number and number != "0":
        problem = problem or f"there is no space group number {number}"
    if not found:
        return problem or None
    common = frozenset.intersection(*(settings.numbers for settings in found))
    if not common:
        names = ", ".join(filter(None, [*symbols, hall, number]))
        return f"its space group is named as {names}, which contradict each other"
    if problem and found[0].assumed:
        return problem
    best = min(found, key=lambda settings: (settings.assumed, len(settings.settings)))  # the most precise of several names
    return Named(best.settings, common, best.assumed)


def _check_named(group: Group, named: Named | str | None, block: Block, remarks: Remarks) -> None:
    """Refuse operators of another group than the one that is named."""
    text = block.text(*SYMBOLS, *HALL, *NUMBERS)
    if isinstance(named, str):
        said = f"{named.partition(', and there')[0]}; the symmetry operators are used"
        lost = "contradict" in named or group.number == 1  # no P 1 in silence of a group that can't be read
        (remarks.warnings if lost else remarks.notes).append(said)
        number = block.text(*NUMBERS) or ""
        named = settings_of_number(int(number)) if re.fullmatch(r"\d{1,3}", number) and "contradict" not in named else None
        text = number
    if named and group.number and group.number not in named.numbers:
        raise ValueError(
            f"its {len(group.rotations)} symmetry operators are those of {group.name or 'another group'} (number {group.number}) "
            f"and contradict the named space group {text} (number {min(named.numbers)})"
        )
    if named and not group.number:
        remarks.warnings.append(f"its {len(group.rotations)} symmetry operators are of no known group; they are used as they are")


def _settings(named: Named, metric: NDArray[np.float64], remarks: Remarks) -> list[Group]:
    """Choose among the settings that a name allows by the shape of the cell."""
    groups = [
        group_of_hall(xhm.removeprefix("hall ")) if xhm.startswith("hall ") else group_of_setting(xhm) for xhm in named.settings
    ]
    groups = [group for group in groups if group.number in named.numbers]
    misfits = [group.misfit(metric) for group in groups]
    fitting = [
        group for group, misfit in zip(groups, misfits, strict=True) if misfit <= max(METRIC_TOLERANCE / 10, 1.0001 * min(misfits))
    ]
    stem = fitting[0].name.partition(":")[0]
    if named.assumed:
        remarks.notes.append(f"only the number of the space group is given; the setting {stem} was assumed")
    return [group for group in fitting if group.name.partition(":")[0] == stem]


def _cell(
    block: Block, rows: Rows, groups: list[Group], lattice: NDArray[np.float64], formula: Mapping[str, float], remarks: Remarks
) -> Cell:
    """Make all sites; where several origins are possible, formula and distances decide."""
    if len(groups) == 1:
        return expand(rows, groups[0], lattice, remarks)
    cells: list[tuple[Group, Cell, Remarks]] = []
    problems = []
    for group in groups:
        own = Remarks()
        try:
            cells.append((group, expand(rows, group, lattice, own), own))
        except ValueError as error:
            problems.append(f"{group.name}: {error}")
    if not cells:
        raise ValueError("; ".join(problems))
    units = _units(block)
    scores = [_score(cell, formula, units, rows) for _, cell, _ in cells]
    best = max(scores)
    winners = [entry for entry, score in zip(cells, scores, strict=True) if score == best]
    group, cell, own = winners[-1]  # the second origin choice is what the tables now prefer
    names = " or ".join(group.name for group in groups)
    if len(winners) == 1 and not problems:
        remarks.notes.append(f"the origin isn't given ({names}); formula and distances speak for {group.name}")
    else:
        remarks.warnings.append(
            f"the origin isn't given ({names}), and neither formula nor distances tell; {group.name} is assumed"
        )
    remarks.notes += own.notes
    remarks.warnings += own.warnings
    return cell


def _score(cell: Cell, formula: Mapping[str, float], units: float | None, rows: Rows) -> tuple[int, int, int, int]:
    """Say how much speaks for a cell: multiplicities, formula, number of formula units, distances."""
    from matminer_grid.io.cif_checks import shortest_bond  # noqa: PLC0415  rarely needed

    known = [
        (wanted, has) for wanted, has in zip(rows.multiplicities, cell.multiplicities.tolist(), strict=True) if wanted is not None
    ]
    multiplicities = -sum(wanted != has for wanted, has in known)
    held = species_amounts(cell.sites.numbers, cell.sites.occupancies)
    fits = fits_units = 0
    if formula:
        scale = _scale(held, formula, units)
        fits = int(not compare_amounts(held, {symbol: scale * amount for symbol, amount in formula.items()}))
        fits_units = int(units is not None and abs(scale - units) < 0.01 * units) or int(abs(scale - 1) < 0.01)
    return multiplicities, fits, fits_units, int(shortest_bond(cell.sites) > SHORT_BOND)


def read_formula(block: Block, remarks: Remarks) -> dict[str, float]:
    """Read ``_chemical_formula_sum``; empty if there is none."""
    text = block.text("_chemical_formula_sum")
    if text is None:
        return {}
    amounts_: dict[str, float] = {}
    compact = re.sub(r"\s+", " ", re.sub(r"\(([^()]*)\)(?![\d.])", r"\1 ", text)).strip()  # (Mg1.8 Fe0.2) Si O4
    if not re.fullmatch(r"(?:[A-Z][a-z]?\d*\.?\d*(?:\(\d+\))?[ ,]*)+", compact):
        remarks.notes.append(f"the formula {compact!r} can't be read, so the atoms aren't compared with it")
        return {}
    for symbol, amount in re.findall(r"([A-Z][a-z]?)(\d*\.?\d*)", compact):
        amounts_[symbol] = amounts_.get(symbol, 0.0) + float(amount if amount not in {"", "."} else 1)
    return {symbol: amount for symbol, amount in amounts_.items() if amount > 0}


def _units(block: Block) -> float | None:
    text = block.text("_cell_formula_units_z")
    value = read_number(text) if text else 0.0
    return value if value > 0 else None


def _scale(held: Mapping[str, float], formula: Mapping[str, float], units: float | None) -> float:
    """Give the number of formula units that most elements agree on, hydrogen last; that of the file where others have as many."""
    ratios = [held[symbol] / formula[symbol] for symbol in formula if symbol in held and as_element(symbol) != "H"]
    ratios = ratios or [held[symbol] / formula[symbol] for symbol in formula if symbol in held]

    def votes(ratio: float) -> tuple[int, bool, float]:
        return sum(abs(ratio - other) < 0.02 * ratio for other in ratios), abs(ratio - (units or ratio)) <= 0.02 * ratio, ratio

    return max(ratios, key=votes, default=0.0)


def _check_multiplicities(rows: Rows, cell: Cell, remarks: Remarks) -> None:
    wrong = [
        f"{label}: {has} for {wanted}"
        for label, wanted, has in zip(rows.labels, rows.multiplicities, cell.multiplicities.tolist(), strict=True)
        if wanted is not None and wanted != has
    ]
    if wrong:
        remarks.warnings.append(f"symmetry makes other numbers of sites than the file says ({some(wrong)})")


def _check_formula(block: Block, rows: Rows, cell: Cell, formula: Mapping[str, float], remarks: Remarks) -> None:
    """Compare the atoms with the formula, and with the hydrogens that the file says are attached to them."""
    held = species_amounts(cell.sites.numbers, cell.sites.occupancies)
    attached = float(cell.weights @ rows.hydrogens)
    differences = []
    if formula:
        units = _units(block)
        scale = _scale(held, formula, units)
        if scale == 0:
            remarks.warnings.append(f"the formula {block.text('_chemical_formula_sum')} and the sites have no element in common")
            return
        expected = next((number for number in (units, 1.0) if number and abs(scale - number) <= 0.02 * number), None)
        if expected is None and units is not None:
            remarks.warnings.append(f"the sites make {scale:.4g} formula units a cell, the file says {units:g}")
        times = expected or scale
        wanted = {symbol: times * amount for symbol, amount in formula.items()}
        differences = compare_amounts(held, wanted, dict.fromkeys(wanted, 0.006 * times))
        remarks.warnings += differences
    if attached and not any(" H a cell that no site holds" in text for text in differences):
        remarks.warnings.append(f"{attached:.4g} H a cell are attached to atoms by the file and have no position")


def _properties(block: Block) -> dict[str, Any]:
    names, values = (block.texts(tag) for tag in PROPERTY_TAGS)
    out: dict[str, Any] = {}
    for name, value in zip(names or (), values or (), strict=False):
        text = str(name)
        out[str(_json(text)) if text.startswith('"') else text] = None if value is None else _json(value)
    return out


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
