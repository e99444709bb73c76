"""Slow, obvious twin of the site dissimilarity: its definition word by word, in NumPy, with a linear program for the transport."""

import itertools

import numpy as np
from scipy.optimize import linprog

from matminer_grid import Crystal
from matminer_grid.crystals.elements import MODIFIED_PETTIFOR, species_symbol
from tests.naive import neighbors

ELEMENTS = 120
REACH = 3.0
SAME_POINT = 1e-8


def places(numbers: np.ndarray, elements: str) -> np.ndarray:
    """Place of each species on a scale of 120 places."""
    return np.array([0 if elements == "none" else MODIFIED_PETTIFOR[species_symbol(number)] for number in numbers])


def between(p: np.ndarray, q: np.ndarray, elements: str) -> float:
    """Distance of two compositions, given as the amounts at each place."""
    if elements == "identity":
        return float(10 * np.abs(p - q).sum() / 2)  # different elements are as far apart as ten places
    return float(np.abs(np.cumsum(p) - np.cumsum(q)).sum())


def scaled(crystal: Crystal, volume: float) -> Crystal:
    """Bring a crystal to a volume of a site."""
    factor = (volume * crystal.site_occupancies.sum() / crystal.volume) ** (1 / 3)
    return Crystal(factor * crystal.lattice, crystal.frac_coords, crystal.numbers, crystal.occupancies, crystal.site_index)


def points(crystal: Crystal, elements: str, cutoff: float) -> list[dict]:
    """Every species on every site: its mass and place, its neighbours' distances and occupancies, and how its ball changes."""
    unit = (crystal.volume / crystal.site_occupancies.sum()) ** (1 / 3)
    place = places(crystal.numbers, elements)
    out = []
    for site in range(crystal.n_sites):
        distances, occupancies = neighbors(crystal, site, cutoff)
        times, changes = [], []
        for other in range(crystal.n_sites):  # neighbours of one species at a time
            alone = Crystal(
                crystal.lattice,
                np.array([crystal.frac_coords[site], crystal.frac_coords[other]]),
                np.array([1, 1]),
                np.array([1e-9, 1.0]),  # occupancies tell them apart
                np.array([0, 1]),
            )
            around, weights = neighbors(alone, 0, REACH * unit)
            for time in around[weights == 1.0] / unit:
                for k in np.nonzero(crystal.site_index == other)[0]:
                    times.append(time)
                    change = np.zeros(ELEMENTS)
                    change[place[k]] = crystal.occupancies[k]
                    changes.append(change)
        order = np.argsort(times, kind="stable")
        for k in np.nonzero(crystal.site_index == site)[0]:
            own = np.zeros(ELEMENTS)
            own[place[k]] = 1
            out.append(
                {
                    "mass": crystal.occupancies[k] / crystal.site_occupancies.sum(),
                    "own": own,
                    "distances": distances,
                    "occupancies": occupancies,
                    "times": np.array(times)[order],
                    "amounts": own + np.cumsum(np.array([np.zeros(ELEMENTS)] + [changes[i] for i in order]), axis=0),
                }
            )
    return out


def count(point: dict, r: float, n_groups: int, group_weights: np.ndarray) -> float:
    """Weighted number of neighbours within r, no more than n_groups of them."""
    number = min(n_groups, point["occupancies"][point["distances"] <= r].sum())
    return float(np.interp(number, np.arange(n_groups + 1), np.concatenate(([0], np.cumsum(group_weights)))))


def parts(a: dict, b: dict, elements: str, cutoff: float, group_weights: np.ndarray) -> tuple[float, float, float]:
    """Difference of two points: of distances in Å, of elements, and of what surrounds them."""
    n_groups = len(group_weights)
    edges = np.unique(np.concatenate(([0, cutoff], a["distances"], b["distances"])).clip(max=cutoff))
    geometry = 0.0
    for start, end in itertools.pairwise(edges):
        apart = count(a, start, n_groups, group_weights) - count(b, start, n_groups, group_weights)
        geometry += abs(apart) * (end - start) / n_groups
    edges = np.unique(np.concatenate(([0, REACH], a["times"], b["times"])).clip(max=REACH))
    around = 0.0
    for start, end in itertools.pairwise(edges):
        balls = [point["amounts"][np.searchsorted(point["times"], start, side="right")] for point in (a, b)]
        around += between(balls[0] / balls[0].sum(), balls[1] / balls[1].sum(), elements) * (end - start) / REACH
    return geometry, between(a["own"], b["own"], elements), around


def transport(costs: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """Least cost of a plan between two distributions, by a linear program."""
    n, m = costs.shape
    rows = np.array([np.repeat(np.arange(n) == i, m) for i in range(n)] + [np.tile(np.arange(m) == j, n) for j in range(m)])
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    found = linprog(costs.ravel(), A_eq=rows[:-1], b_eq=np.concatenate((a, b))[:-1], method="highs", options=tight)
    assert found.status == 0
    return float(found.fun)


def site_dissimilarity(
    a: Crystal,
    b: Crystal,
    elements: str = "graded",
    cutoff: float = 10.0,
    group_weights: np.ndarray | None = None,
    weights: tuple[float, float, float] = (10.0, 1.0, 1.0),
    volume: float | None = None,
) -> float:
    """Site dissimilarity of two crystals, where wanted at a common volume of a site."""
    group_weights = np.ones(100) if group_weights is None else group_weights / np.mean(group_weights)
    if volume is not None:
        a, b = scaled(a, volume), scaled(b, volume)
    left, right = points(a, elements, cutoff), points(b, elements, cutoff)
    costs = np.array([[np.dot(weights, parts(p, q, elements, cutoff, group_weights)) for q in right] for p in left])
    return transport(costs, np.array([p["mass"] for p in left]), np.array([q["mass"] for q in right]))
