"""What the report says of its figure 2, and what we expect of three more series, as checks with their numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.prototypes import Series

    Matrices = dict[str, NDArray[np.float64]]

LARGEST_STEP = 2.0
"""A growth counts as continuous if no step is larger than this many times the mean step."""

LEAST_R2 = 0.9
"""A line through 0 that explains this much counts as proportional; the report gives no number."""


@dataclass(frozen=True)
class Check:
    """A statement on a series, said by the report or expected by us ("ours"), what came out, and the numbers that decide.

    The run fails if a required one doesn't hold. Statements of the report that don't come out, looked at from every side, are not
    required and stay on the page.
    """

    series: str
    said_by: str
    statement: str
    holds: bool
    numbers: str
    required: bool = True

    @property
    def outcome(self) -> str:
        """How it came out, in words."""
        return "holds" if self.holds else "fails" if self.required else "does not come out"


def proportionality(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Fit y = slope · x by least squares; give the slope and R² (about the mean of y)."""
    slope = float(x @ y / (x @ x))
    return slope, 1 - float(((y - slope * x) ** 2).sum() / ((y - y.mean()) ** 2).sum())


def grows_away(matrix: NDArray[np.float64]) -> bool:
    """Tell whether every row grows strictly with the distance from the diagonal, to both sides."""
    right = all((np.diff(row[i:]) > 0).all() for i, row in enumerate(matrix))
    return right and all((np.diff(row[: i + 1]) < 0).all() for i, row in enumerate(matrix))


def steps(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Smallest, mean and largest change from one value to the next; the largest without its sign."""
    change = np.diff(values)
    return float(change.min()), float(np.abs(change).mean()), float(np.abs(change).max())


def check_layered(name: str, matrices: Matrices) -> list[Check]:
    """Check what the report says of Ruddlesden-Popper phases; rows and columns are n = 0, 1, 2, 3, ∞."""
    emd = matrices["GRID, EMD"]
    among = {key: _among_intermediates(matrices[f"GRID, {key}"]) for key in ("EMD", "cosine")}
    columns = {key: matrices[f"RDF, {key}"][:, 4] for key in ("EMD", "cosine")}
    as_given = matrices["RDF of matminer, EMD"][:, 4]

    closer = "GRID + EMD: with n = 0, 1, 2, 3 the phases come ever closer to SrTiO₃ (n = ∞)"
    farther = "GRID + EMD: with n = 1, 2, 3, ∞ the phases go ever farther from SrO (n = 0)"
    distinguishes = "GRID + cosine distinguishes the intermediate phases less: mean among n = 1, 2, 3, largest of the series = 1"
    nearer = (
        "RDF + EMD, the RDF as matminer gives it (proportional to the size of the cell): SrO is nearer to SrTiO₃ than some "
        "intermediate phase is"
    )
    scaled = "The same with the RDF scaled to the sum 1, or with cosine, which does not see the scale"
    seen = [f"{key}: SrO {column[0]:.3f}, n = 1, 2, 3 {_chain(column[1:4], ', ')}" for key, column in columns.items()]
    by_far = f"SrO {as_given[0]:.0f}, n = 1, 2, 3 {_chain(as_given[1:4], ', ', '.0f')}"
    is_less = among["cosine"] < among["EMD"]
    is_nearer = any(bool(column[0] < column[1:4].max()) for column in columns.values())
    return [
        Check(name, "report", closer, bool((np.diff(emd[:, 4]) < 0).all()), f"{_chain(emd[:4, 4], ', ')} Å"),
        Check(name, "ours", farther, bool((np.diff(emd[0]) > 0).all()), f"{_chain(emd[0, 1:], ', ')} Å"),
        Check(name, "report", distinguishes, is_less, ", ".join(f"{k} {among[k]:.3f}" for k in ("cosine", "EMD")), required=False),
        Check(name, "report", nearer, bool(as_given[0] < as_given[1:4].max()), by_far),
        Check(name, "report", scaled, is_nearer, "; ".join(seen), required=False),
    ]


def examine_layered(cells: str, bin_size: float, matrices: Matrices) -> dict[str, str | float]:
    """Look at both readings of the report's statement on the RDF, by how much each is missed or met.

    "Greater similarity between SrO and SrTiO3 than with some of the intermediate compositions" may be read from SrTiO3 or from SrO:
    the dissimilarity of SrO and SrTiO3 is below that of an intermediate phase to SrTiO3, or below that of one to SrO.

    For each reading and method the result is the largest dissimilarity to an intermediate phase divided by that of SrO and SrTiO3:
    the statement comes out above 1.
    """
    result: dict[str, str | float] = {"cells": cells, "bin / Å": bin_size}
    for key in ("EMD", "cosine"):
        matrix = matrices[f"RDF, {key}"]
        result[f"from SrTiO₃, {key}"] = float(matrix[1:4, 4].max() / matrix[0, 4])
        result[f"from SrO, {key}"] = float(matrix[0, 1:4].max() / matrix[0, 4])
    return result


def check_displacement(shifts: NDArray[np.float64], matrices: Matrices, smeared: NDArray[np.float64]) -> list[Check]:
    """Check that the dissimilarity is proportional to the displacement, with the report's histograms and with smeared ones."""
    others = ", ".join(f"{name} {proportionality(shifts, matrix[0])[1]:.3f}" for name, matrix in matrices.items())
    checks = []
    for label, matrix, more in (
        (f"R² ≥ {LEAST_R2}", matrices["GRID, EMD"], f"; R² of all: {others}"),
        ("the same, smearing 0.1 Å", smeared, ""),
    ):
        slope, r2 = proportionality(shifts, matrix[0])
        falls = int((np.diff(matrix[0]) < 0).sum())
        statement = f"GRID + EMD: proportional to the displacement of Ti ({label})"
        numbers = f"R² = {r2:.4f}, {slope:.3f} Å per Å, {falls} of {len(shifts) - 1} steps go down{more}"
        checks.append(Check("displacement", "report", statement, r2 >= LEAST_R2, numbers))
    return checks


def check_expansion(matrices: Matrices) -> list[Check]:
    """Check that the dissimilarity grows with the edge, step by step and without jumps, where the RDF's cosine jumps."""
    emd, cosine = matrices["GRID, EMD"], matrices["RDF, cosine"]
    smallest, mean, largest = steps(emd[0])
    fall, mean_cosine, jump = steps(cosine[0])
    growth = f"smallest step from 3 Å on {smallest:.4f} Å, total {emd[0, -1]:.3f} Å"
    evenness = f"largest {largest:.4f} Å, mean {mean:.4f} Å: {largest / mean:.2f} times"
    jumps = (
        f"largest step {jump / mean_cosine:.1f} times the mean, the first {cosine[0, 1] / cosine[0].max():.0%} of the greatest "
        f"dissimilarity; steepest fall {fall:.3f}; {(np.diff(cosine[0]) < 0).sum()} of {len(cosine) - 1} steps go down"
    )
    continuous = f"GRID + EMD: grows continuously, no step above {LARGEST_STEP:g} times the mean one"
    falls = jump > LARGEST_STEP * mean_cosine and fall < 0
    monotonic = "GRID + EMD: grows monotonically with expansion, from whatever edge one starts"
    return [
        Check("expansion", "report", monotonic, grows_away(emd), growth),
        Check("expansion", "report", continuous, largest < LARGEST_STEP * mean, evenness),
        Check("expansion", "report", "RDF + cosine: jumps, and falls where the crystal grows", falls, jumps),
    ]


def check_ours(bain: NDArray[np.float64], polytypes: NDArray[np.float64], order: Matrices) -> list[Check]:
    """Check what we expect of three more series: GRID + EMD of the first two, and that occupancies leave distances alone."""
    largest = max(float(matrix.max()) for name, matrix in order.items() if not name.startswith("structure-factor"))
    path = "GRID + EMD: grows monotonically along the Bain path, from fcc and from bcc"
    layers = "GRID + EMD: the more hexagonal layers (6H, 4H, 2H), the farther from 3C"
    blind = "Every descriptor of distances alone takes ordered and disordered Cu₃Au for one crystal"
    grows = bool((np.diff(bain[0]) > 0).all() and (np.diff(bain[-1]) < 0).all())
    return [
        Check("bain", "ours", path, grows, f"from fcc {_chain(bain[0, 1:], ' < ')} Å"),
        Check("polytypes", "ours", layers, bool((np.diff(polytypes[0]) > 0).all()), f"{_chain(polytypes[0, 1:], ' < ')} Å"),
        Check("order", "ours", blind, largest == 0, f"largest dissimilarity {largest:g}"),
    ]


def run_checks(series: dict[str, Series], matrices: dict[str, Matrices], smeared: NDArray[np.float64]) -> list[Check]:
    """Check all statements on the series and their matrices by method; `smeared` is GRID + EMD of the displacements at 0.1 Å."""
    return [
        *check_layered("ruddlesden_popper", matrices["ruddlesden_popper"]),
        *check_layered("intergrowth", matrices["intergrowth"]),
        *check_displacement(np.array(series["displacement"].values), matrices["displacement"], smeared),
        *check_expansion(matrices["expansion"]),
        *check_ours(matrices["bain"]["GRID, EMD"], matrices["polytypes"]["GRID, EMD"], matrices["order"]),
    ]


def _among_intermediates(matrix: NDArray[np.float64]) -> float:
    return float(matrix[1:4, 1:4][np.triu_indices(3, 1)].mean() / matrix.max())


def _chain(values: NDArray[np.float64], sign: str, style: str = ".3f") -> str:
    return sign.join(f"{value:{style}}" for value in values)
