"""Slow, obvious twins of the kernels of bonds and springs: their definitions, neighbour by neighbour and spring by spring."""

from itertools import combinations, pairwise

import numpy as np
from scipy.special import factorial, lpmv

from matminer_grid import Crystal
from tests.naive import images

NEAR, FAR, SOFTNESS, ORDERS = 6.0, 12.0, 0.37, (1, 2, 3, 4, 6)


def neighbors(crystal: Crystal, site: int, radius: float) -> list[tuple[int, np.ndarray]]:
    """Which site each neighbour within a radius is an image of, and the vector to it in Å."""
    frac = crystal.frac_coords - np.floor(crystal.frac_coords)
    found = []
    for other in range(crystal.n_sites):
        vectors = (frac[other] - frac[site] + images(crystal.lattice, radius)) @ crystal.lattice
        lengths = np.linalg.norm(vectors, axis=1)
        found += [(other, vector) for vector in vectors[(lengths >= 1e-8) & (lengths <= radius)]]
    return found


def inside(distance: float) -> float:
    return max(0.0, 1 - (distance / NEAR) ** 2) ** 2


def valence(distance: float, bond: float) -> float:
    return inside(distance) * np.exp((bond - distance) / SOFTNESS)


def effective_coordination(ratios: np.ndarray, occupancies: np.ndarray) -> np.ndarray:
    """Weights of Hoppe's effective coordination, after as many steps as the kernel takes from the shortest bond."""
    mean = ratios.min()
    for _ in range(12):
        weights = occupancies * np.exp(1 - (ratios / mean) ** 6)
        mean = (weights * ratios).sum() / weights.sum()
    return weights


def shells(distances: np.ndarray, occupancies: np.ndarray, edges: np.ndarray) -> list[float]:
    """Mean of min(distance, FAR) as a function of cumulative occupancy, between ranks; what lies beyond all neighbours is FAR."""
    order = np.argsort(distances)
    ends = np.concatenate([[0], np.cumsum(occupancies[order]), [np.inf]])
    lengths = np.append(np.minimum(distances[order], FAR), FAR)
    means = []
    for low, high in pairwise(edges):
        overlaps = [max(0.0, min(b, high) - max(a, low)) for a, b in pairwise(ends)]
        means.append(np.dot(overlaps, lengths) / (high - low))
    return means


def spherical_harmonic(degree: int, order: int, vectors: np.ndarray) -> np.ndarray:
    """Y of some directions, for orders of 0 and above."""
    norm = np.sqrt((2 * degree + 1) / (4 * np.pi) * factorial(degree - order) / factorial(degree + order))
    cosine = vectors[:, 2] / np.linalg.norm(vectors, axis=1)
    return norm * lpmv(order, degree, cosine) * np.exp(1j * order * np.arctan2(vectors[:, 1], vectors[:, 0]))


def order_parameter(degree: int, vectors: np.ndarray, weights: np.ndarray) -> float:
    """Steinhardt's q of weighted neighbours, from the spherical harmonics of their directions."""
    means = [np.average(spherical_harmonic(degree, m, vectors), weights=weights) for m in range(degree + 1)]
    squares = [(1 if m == 0 else 2) * abs(mean) ** 2 for m, mean in enumerate(means)]  # m and -m alike
    return float(np.sqrt(4 * np.pi / (2 * degree + 1) * sum(squares)))


def describe_site(crystal, site, radii, electronegativities, properties, edges) -> dict[str, np.ndarray]:
    """Everything that Surroundings holds of one site; its neighbours are all those within FAR."""
    found = neighbors(crystal, site, FAR)
    vectors = np.array([vector for _, vector in found]).reshape(-1, 3)
    index = np.array([other for other, _ in found], dtype=int)
    distances, occupancies = np.linalg.norm(vectors, axis=1), crystal.site_occupancies[index]
    none = np.zeros(3), np.zeros((3, properties.shape[1]))
    out = {"shells": np.array(shells(distances, occupancies, edges)), "charges": np.zeros(2), "orders": np.zeros(5)}
    out |= {"coordination": none[0], "lengths": none[0].copy(), "neighbors": none[1], "differences": none[1].copy()}
    if not found:
        return out
    bonds = radii[site] + radii[index]
    valences = occupancies * [valence(*both) for both in zip(distances, bonds, strict=True)]
    slow = occupancies * [inside(d) * (bond / d) ** 4 for d, bond in zip(distances, bonds, strict=True)]
    hoppe = effective_coordination(distances / bonds, occupancies)
    for k, weights in enumerate((hoppe, valences, slow)):
        out["coordination"][k] = weights.sum()
        if weights.sum() > 0:
            out["lengths"][k] = np.average(distances / bonds, weights=weights)
            out["neighbors"][k] = np.average(properties[index], weights=weights, axis=0)
            out["differences"][k] = np.average(np.abs(properties[index] - properties[site]), weights=weights, axis=0)
    steps = electronegativities[index] - electronegativities[site]
    ionic = valences * (1 - np.exp(-(steps**2) / 4))  # Pauling's ionic character
    out["charges"][:] = (ionic * np.where(steps > 0, 1, -1)).sum(), ionic.sum()
    strong = hoppe >= 1e-4
    out["orders"][:] = [order_parameter(degree, vectors[strong], hoppe[strong]) for degree in ORDERS]
    return out


KELVIN = ((0, 0, 1.0), (1, 1, 1.0), (2, 2, 1.0), (1, 2, 2**-0.5), (0, 2, 2**-0.5), (0, 1, 2**-0.5))
"""Unit strains: 1 on the diagonal, or twice the square root of 1/2 beside it."""


def strains() -> list[np.ndarray]:
    out = []
    for i, j, value in KELVIN:
        strain = np.zeros((3, 3))
        strain[i, j] = strain[j, i] = value
        out.append(strain)
    return out


def bond_change(vector: np.ndarray, site: int, other: int, n_sites: int) -> np.ndarray:
    """Change of a bond's length with each unit strain and each coordinate of a site."""
    unit = vector / np.linalg.norm(vector)
    moves = np.zeros((n_sites, 3))
    moves[other] += unit
    moves[site] -= unit
    return np.concatenate([[unit @ strain @ vector for strain in strains()], moves.ravel()])


def angle_change(u: np.ndarray, v: np.ndarray, site: int, at_u: int, at_v: int, n_sites: int) -> np.ndarray:
    """Change of the scalar product of two bonds likewise."""
    moves = np.zeros((n_sites, 3))
    moves[at_u] += v
    moves[at_v] += u
    moves[site] -= u + v
    return np.concatenate([[(strain @ u) @ v + u @ (strain @ v) for strain in strains()], moves.ravel()])


def elastic_constants(crystal, radii, strengths, slow, bending, soft_mode) -> tuple[np.ndarray, np.ndarray]:
    """Rigid and relaxed elastic constants, from the second derivatives of the energy of all springs."""
    n, occupancies = crystal.n_sites, crystal.site_occupancies
    energy, total = np.zeros((6 + 3 * n, 6 + 3 * n)), 0.0
    for site in range(n):
        strong = []
        for other, vector in neighbors(crystal, site, NEAR):
            distance, bond = np.linalg.norm(vector), radii[site] + radii[other]
            decay = inside(distance) * (bond / distance) ** 6 if slow else valence(distance, bond)
            stiffness = occupancies[site] * occupancies[other] * decay * strengths[site] * strengths[other]
            change = bond_change(vector, site, other, n)
            energy += stiffness / 2 * np.outer(change, change)  # each bond is met from both of its ends
            total += stiffness
            strong.append((other, vector, occupancies[other] * valence(distance, bond)))
        weakest = 0.03 * max((value for *_, value in strong), default=0)
        strong = [bond for bond in strong if bond[2] > weakest]
        for (i, u, value_u), (j, v, value_v) in combinations(strong, 2):
            strength = strengths[site] * np.sqrt(strengths[i] * strengths[j])
            stiffness = bending * occupancies[site] * np.sqrt((value_u - weakest) * (value_v - weakest)) * strength
            change = angle_change(u, v, site, i, j, n)
            energy += stiffness / (np.linalg.norm(u) * np.linalg.norm(v)) * np.outer(change, change)
            total += 4 * stiffness
    rigid = energy[:6, :6] / crystal.volume
    if total == 0:
        return rigid, rigid
    sites = energy[6:, 6:] + soft_mode * total / (3 * n) * np.eye(3 * n)
    return rigid, rigid - energy[:6, 6:] @ np.linalg.inv(sites) @ energy[6:, :6] / crystal.volume
