"""Slow, obvious twins of the kernels: the definitions of the design in plain NumPy, by loops over sites, neighbours and groups."""

import itertools

import numpy as np
from scipy.special import ndtr

from matminer_grid import Crystal

ON_AN_EDGE = 1e-8


def images(lattice: np.ndarray, radius: float) -> np.ndarray:
    """Translations, in whole cells, that lead from a cell to every cell with a point within the radius of one of its own points."""
    volume = abs(np.linalg.det(lattice))
    heights = [volume / np.linalg.norm(np.cross(lattice[(i + 1) % 3], lattice[(i + 2) % 3])) for i in range(3)]
    reach = [int(np.ceil(radius / height)) + 1 for height in heights]
    return np.array(list(itertools.product(*(range(-n, n + 1) for n in reach))))


def neighbors(crystal: Crystal, site: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Distances (Å) to all neighbours of a site within a radius, nearest first, and their occupancies."""
    frac = crystal.frac_coords - np.floor(crystal.frac_coords)
    translations = images(crystal.lattice, radius)
    distances, occupancies = [], []
    for other in range(crystal.n_sites):
        vectors = (frac[other] - frac[site] + translations) @ crystal.lattice
        distance = np.linalg.norm(vectors, axis=1)
        distances.append(distance[(distance >= ON_AN_EDGE) & (distance <= radius)])
        occupancies.append(np.full(len(distances[-1]), crystal.site_occupancies[other]))
    order = np.argsort(np.concatenate(distances))
    return np.concatenate(distances)[order], np.concatenate(occupancies)[order]


def binned(distance: float, edges: np.ndarray, smearing: float) -> np.ndarray:
    """Share of a distance that each bin holds."""
    if smearing > 0:
        below = ndtr((edges - distance) / smearing)
        below[0] = 0.0
        return np.diff(below)
    share = np.zeros(len(edges) - 1)
    index = np.searchsorted(edges, distance + ON_AN_EDGE, side="right") - 1
    if index < len(share):
        share[index] = 1.0
    return share


def ranked(crystal: Crystal, n_groups: int, radius: float) -> list[tuple[int, float, float]]:
    """Parts that make up the groups: group (from 0), distance in Å and fraction of sites, of all neighbours within a radius."""
    parts = []
    total = crystal.site_occupancies.sum()
    for site in range(crystal.n_sites):
        covered = 0.0
        for distance, occupancy in zip(*neighbors(crystal, site, radius), strict=True):
            for group in range(int(covered), min(n_groups, int(np.ceil(covered + occupancy)))):
                overlap = min(covered + occupancy, group + 1) - max(covered, group)
                if overlap > 0:
                    parts.append((group, distance, overlap * crystal.site_occupancies[site] / total))
            covered += occupancy
    return parts


def grid(crystal: Crystal, edges: np.ndarray, n_groups: int, smearing: float = 0.0) -> np.ndarray:
    """GRID of a crystal, shape (n_groups, n_bins)."""
    out = np.zeros((n_groups, len(edges) - 1))
    for group, distance, part in ranked(crystal, n_groups, edges[-1] + 10 * smearing):
        out[group] += part * binned(distance, edges, smearing)
    return out


def rdf(crystal: Crystal, edges: np.ndarray) -> np.ndarray:
    """Radial distribution function, normalised as matminer does it."""
    counts = np.zeros(len(edges) - 1)
    occupancy = crystal.site_occupancies
    for site in range(crystal.n_sites):
        for distance, neighbor in zip(*neighbors(crystal, site, edges[-1]), strict=True):
            counts += occupancy[site] * neighbor * binned(distance, edges, 0.0)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    return counts / shells / (occupancy.sum() / crystal.volume)


def emd(x: np.ndarray, p: np.ndarray, y: np.ndarray, q: np.ndarray, cutoff: float) -> float:
    """1-D earth mover's distance (Å) of two groups: masses p at distances x and q at y; what misses to 1 lies at the cutoff."""
    points = np.unique(np.concatenate((x, y, [0.0, cutoff])).clip(max=cutoff))
    difference = [p[x <= point].sum() - q[y <= point].sum() for point in points[:-1]]
    return float(np.sum(np.abs(difference) * np.diff(points)))


def grid_emd(p: np.ndarray, q: np.ndarray, bin_size: float) -> float:
    """Mean over the groups of the earth mover's distance (Å) of two GRIDs of shape (n_groups, n_bins)."""
    return float(np.mean([bin_size * np.abs(np.cumsum(a) - np.cumsum(b)).sum() for a, b in zip(p, q, strict=True)]))


def grid_emd_exact(a: Crystal, b: Crystal, n_groups: int, cutoff: float) -> float:
    """Mean over the groups of the earth mover's distance (Å) of two crystals, before any binning."""
    total = 0.0
    parts_a, parts_b = ranked(a, n_groups, cutoff), ranked(b, n_groups, cutoff)
    for group in range(n_groups):
        x, p = np.array([(d, w) for g, d, w in parts_a if g == group]).reshape(-1, 2).T
        y, q = np.array([(d, w) for g, d, w in parts_b if g == group]).reshape(-1, 2).T
        total += emd(x, p, y, q, cutoff)
    return total / n_groups


def manhattan_to_rows(point: np.ndarray, references: np.ndarray, rows: np.ndarray) -> list[float]:
    """Manhattan distance from a point to each of some rows."""
    return [sum(abs(a - b) for a, b in zip(point, references[row], strict=True)) for row in rows]


def near_in_ranges(left, right, first, last, radius, more_left, more_right, more_radius):
    """Compare each vector with those of its range by both distances."""
    return [
        [i, j]
        for i in range(len(left))
        for j in range(first[i], last[i])
        if np.abs(left[i] - right[j]).sum() <= radius and np.abs(more_left[i] - more_right[j]).sum() <= more_radius
    ]
