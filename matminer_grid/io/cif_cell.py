"""The cell of a CIF block: its lattice, and all sites that symmetry makes of the rows of the atom list."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matminer_grid.crystals.problems import short_contacts
from matminer_grid.io.cif_sites import MAX_OCCUPANCY, Remarks, Rows, Sites, some, to_float
from matminer_grid.kernels.orbits import orbits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matminer_grid.io.cif_text import Block
    from matminer_grid.io.symmetry import Group

MAX_SITES = 2_000_000
"""Sites that symmetry may make of a block."""

EDGES, CORNERS = (0.1, 1e5), (1.0, 179.0)
"""Å and degrees that the edges and angles of a cell may have."""

LENGTHS = ("_cell_length_a", "_cell_length_b", "_cell_length_c")
ANGLES = ("_cell_angle_alpha", "_cell_angle_beta", "_cell_angle_gamma")

_COSINES = {90.0: 0.0, 60.0: 0.5, 120.0: -0.5}
"""Those that are known exactly."""


class Cell(NamedTuple):
    """All sites with a label each; of each row, the sites that symmetry makes of it, and the atoms of the cell it stands for."""

    sites: Sites
    labels: list[str]
    multiplicities: NDArray[np.int64]
    weights: NDArray[np.float64]


def read_lattice(block: Block, remarks: Remarks) -> NDArray[np.float64]:
    """Read the lattice vectors from lengths and angles, c along z, a in the plane of x and z; without such a cell a ValueError."""
    block.check_single(*LENGTHS, *ANGLES)
    lengths, angles = ([block.text(tag) for tag in tags] for tags in (LENGTHS, ANGLES))
    missing = [tag for tag, text in zip(LENGTHS, lengths, strict=True) if text is None]
    if missing:
        raise ValueError(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: the cell isn't known")
    absent = [tag for tag, text in zip(ANGLES, angles, strict=True) if text is None]
    if absent:
        remarks.warnings.append(f"{', '.join(absent)} not given and taken as 90 degrees")
    texts = [*lengths, *(text or "90" for text in angles)]
    values = [to_float(str(text)) for text in texts]
    for tag, text, value in zip((*LENGTHS, *ANGLES), texts, values, strict=True):
        low, high = EDGES if tag in LENGTHS else CORNERS
        if not low <= value <= high:
            raise ValueError(f"line {block.line(tag)}: {tag} is {text!r}; a number from {low:g} to {high:g} is needed")
    return lattice_of(*values)


def lattice_of(a: float, b: float, c: float, alpha: float, beta: float, gamma: float) -> NDArray[np.float64]:
    """Give lattice vectors for lengths in Å and angles in degrees, as pymatgen has them; angles of no cell are a ValueError."""
    ca, cb, cg = (_COSINES.get(angle, math.cos(math.radians(angle))) for angle in (alpha, beta, gamma))
    sa, sb = math.sqrt(1 - ca * ca), math.sqrt(1 - cb * cb)
    cosine = (ca * cb - cg) / (sa * sb)
    if not abs(cosine) < 1:
        raise ValueError(f"no cell has the angles {alpha:g}, {beta:g}, {gamma:g}")
    return np.array([[a * sb, 0.0, a * cb], [-b * sa * cosine, b * sa * math.sqrt(1 - cosine * cosine), b * ca], [0.0, 0.0, c]])


def fractional(lattice: NDArray[np.float64], positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give Cartesian positions in Å as fractions of a cell; a ValueError if that is flat."""
    if np.linalg.det(lattice) == 0:
        raise ValueError("the cell has no volume; its three lattice vectors must not lie in one plane")
    return np.array(np.linalg.solve(lattice.T, positions.T).T, dtype=np.float64)


def expand(rows: Rows, group: Group, lattice: NDArray[np.float64], remarks: Remarks) -> Cell:
    """Apply the operators to the rows, and put what falls onto one point on one site.

    Too many sites are a ValueError, as are occupancies that add up to more than 1.05 on one of them.
    """
    n, k = len(rows.labels), len(group.rotations)
    if n * k > MAX_SITES:
        raise ValueError(f"symmetry would make up to {n * k} sites of its {n} rows; the limit is {MAX_SITES}")
    if k == 1:
        positions, owner, multiplicities = rows.coords, np.arange(n), np.ones(n, np.int64)
    else:
        positions, kept = np.empty((n, k, 3)), np.empty((n, k), np.bool_)
        orbits(group.rotations, group.translations, group.products, rows.coords, rows.steps, positions, kept)
        owner, _ = np.nonzero(kept)
        positions, multiplicities = positions[kept], kept.sum(axis=1)
    shared = _shared(rows, positions, owner, lattice)
    weights = rows.occupancies * multiplicities
    if not shared:
        sites = Sites(lattice, positions, rows.numbers[owner], rows.occupancies[owner], np.arange(len(owner)))
        return Cell(sites, [rows.labels[row] for row in owner.tolist()], multiplicities, weights)
    return _merged(rows, positions, owner, lattice, shared, remarks)._replace(multiplicities=multiplicities)


def _shared(
    rows: Rows, positions: NDArray[np.float64], owner: NDArray[np.int64], lattice: NDArray[np.float64]
) -> dict[int, list[int]]:
    """Gather positions that are one point: by the first of them, the others."""
    first: dict[int, int] = {}
    for i, j, _ in short_contacts(lattice, positions):
        a, b = int(owner[i]), int(owner[j])
        if a == b:
            continue
        apart = positions[j] - positions[i]
        if (np.abs(apart - np.rint(apart)) <= max(rows.steps[a], rows.steps[b])).all():
            low, high = sorted((_root(first, i), _root(first, j)))
            if low != high:
                first[high] = low
    out: dict[int, list[int]] = {}
    for position in sorted(first):
        out.setdefault(_root(first, position), []).append(position)
    return out


def _root(first: dict[int, int], position: int) -> int:
    while position in first:
        position = first[position]
    return position


def _merged(
    rows: Rows,
    positions: NDArray[np.float64],
    owner: NDArray[np.int64],
    lattice: NDArray[np.float64],
    shared: dict[int, list[int]],
    remarks: Remarks,
) -> Cell:
    """Put species that share a point on one site."""
    others = {position for group in shared.values() for position in group}
    numbers: list[int] = []
    occupancies: list[float] = []
    site_index: list[int] = []
    labels: list[str] = []
    coords: list[NDArray[np.float64]] = []
    weights = np.zeros(len(rows.labels))
    decided: dict[tuple[int, ...], list[tuple[int, float]]] = {}
    for position, row in enumerate(owner.tolist()):
        if position in others:
            continue
        on_site = tuple(dict.fromkeys([row, *(int(owner[other]) for other in shared.get(position, ()))]))
        if on_site not in decided:
            decided[on_site] = _occupants(rows, on_site, remarks)
        for occupant, occupancy in decided[on_site]:
            numbers.append(int(rows.numbers[occupant]))
            occupancies.append(occupancy)
            site_index.append(len(coords))
            weights[occupant] += occupancy
        labels.append("/".join(rows.labels[occupant] for occupant, _ in decided[on_site]))
        coords.append(positions[position])
    sites = Sites(lattice, np.array(coords), np.array(numbers), np.array(occupancies), np.array(site_index))
    return Cell(sites, labels, np.zeros(0, np.int64), weights)


def _occupants(rows: Rows, on_site: tuple[int, ...], remarks: Remarks) -> list[tuple[int, float]]:
    """Decide which rows occupy a point that several rows lie on, and how much of it."""
    total = sum(rows.occupancies[row] for row in on_site)
    kept: list[int] = []
    for row in on_site:
        same = [other for other in kept if _is_same(rows, row, other)]
        by_symmetry = [other for other in same if _apart(rows, row, other)]
        if same and (total > MAX_OCCUPANCY or by_symmetry):
            text = f"{rows.labels[row]} is {rows.labels[same[0]]} again, and read once"
            (remarks.notes if total > MAX_OCCUPANCY else remarks.warnings).append(text)
        else:
            kept.append(row)
    total = float(sum(rows.occupancies[row] for row in kept))
    if total > MAX_OCCUPANCY:
        raise ValueError(
            f"{', '.join(rows.labels[row] for row in kept)} lie on one point, and their occupancies add up to {total:g}"
        )
    if total > 1 + 1e-9:
        if total > 1 + 1e-6:
            remarks.notes.append(
                f"the occupancies of {some([rows.labels[row] for row in kept])} add up to {total:g} and are scaled to 1"
            )
        return [(row, float(rows.occupancies[row]) / total) for row in kept]
    return [(row, float(rows.occupancies[row])) for row in kept]


def _is_same(rows: Rows, row: int, other: int) -> bool:
    return bool(
        rows.numbers[row] == rows.numbers[other]
        and rows.kinds[row] == rows.kinds[other]
        and abs(rows.occupancies[row] - rows.occupancies[other]) < 1e-9
    )


def _apart(rows: Rows, row: int, other: int) -> bool:
    """Tell whether two rows on one point have different coordinates as printed, so that symmetry made them meet."""
    apart = rows.coords[row] - rows.coords[other]
    return bool((np.abs(apart - np.rint(apart)) > max(rows.steps[row], rows.steps[other])).any())
