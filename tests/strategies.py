"""Crystals drawn at random, by hypothesis and by a seeded generator."""

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from matminer_grid import Crystal

SMALLEST_VOLUME = 12.0
"""Å^3, so that the slow twins see no more than some hundred neighbours a site."""


@st.composite
def lattices(draw) -> np.ndarray:
    """Lower triangular cells, skewed by up to one and a half edges."""
    edges = [draw(st.floats(2.0, 6.0)) for _ in range(3)]
    skews = [draw(st.floats(-1.5, 1.5)) for _ in range(3)]
    lattice = np.diag(edges)
    lattice[1, 0] = skews[0] * edges[0]
    lattice[2, 0] = skews[1] * edges[0]
    lattice[2, 1] = skews[2] * edges[1]
    assume(np.prod(edges) >= SMALLEST_VOLUME)
    return lattice


@st.composite
def crystals(draw, partial: bool = True) -> Crystal:
    """One to eight sites on general and special positions, where `partial` half of them shared or partly empty."""
    lattice = draw(lattices())
    n = draw(st.integers(1, 8))
    coordinate = st.floats(-1.0, 2.0) | st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 2 / 3, 0.75])
    coords = np.array([[draw(coordinate) for _ in range(3)] for _ in range(n)])
    apart = coords[:, None] - coords[None]
    apart -= np.rint(apart)
    far = np.linalg.norm(apart, axis=2) + np.eye(n)
    assume((far > 1e-3).all())
    numbers, occupancies, sites = [], [], []
    for site in range(n):
        species = [1.0]
        if partial and draw(st.booleans()):
            species = draw(st.sampled_from([[0.5], [0.05], [0.5, 0.5], [0.25, 0.75], [1 / 3, 1 / 3], [0.7, 0.2, 0.1]]))
        for occupancy in species:
            numbers.append(draw(st.integers(1, 94)))
            occupancies.append(occupancy)
            sites.append(site)
    return Crystal(lattice, coords, np.array(numbers), np.array(occupancies), np.array(sites))


def unimodular(rng: np.random.Generator, steps: int = 6) -> np.ndarray:
    """Integer matrix of determinant ±1: a random product of additions of one row to another, and an order of the rows."""
    matrix = np.eye(3, dtype=int)
    for _ in range(steps):
        i, j = rng.choice(3, 2, replace=False)
        matrix[i] += rng.choice([-2, -1, 1, 2]) * matrix[j]
    return matrix[rng.permutation(3)]


def rotation(rng: np.random.Generator) -> np.ndarray:
    """Orthogonal matrix, proper or not."""
    return np.linalg.qr(rng.normal(size=(3, 3)))[0]
