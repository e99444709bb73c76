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


@st.composite
def crystals_of_any_species(draw, max_sites: int = 30) -> Crystal:
    """Hostile crystals in which a third of the species is deuterium, tritium or a dummy, the others any element."""
    crystal = draw(hostile_crystals(max_sites))
    special = draw(st.lists(st.sampled_from([None, None, None, None, 0, 201, 301, 118]), min_size=1, max_size=6))
    numbers = [special[i % len(special)] for i in range(len(crystal.numbers))]
    chosen = np.array([old if new is None else new for old, new in zip(crystal.numbers.tolist(), numbers, strict=True)])
    return Crystal(crystal.lattice, crystal.frac_coords, chosen, crystal.occupancies, crystal.site_index)


PROPERTY_NAMES = st.text(min_size=1, max_size=12).filter(
    lambda name: name.lower() not in {"lattice", "properties", "pbc", "cell", "structure", "sites", "name"}
)
PROPERTIES = st.dictionaries(
    PROPERTY_NAMES,
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=20),
    max_size=4,
)
"""What files say of crystals beside the structure; some names are taken."""


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


SITES_PER_VOLUME = 0.6
"""Å^-3: hostile crystals are no denser, or hold one site, so that a site has no more than some hundred neighbours within 5 Å."""

SPECIAL = np.array([0.0, 0.0, 0.25, 1 / 3, 0.5, 2 / 3, 0.75])
"""Fractions of special positions; 0 twice, since faces, edges and corners are where codes lose sites."""


@st.composite
def hostile_crystals(draw, max_sites: int = 60) -> Crystal:
    """Any cell of compact setting: edges of 0.5 to 200 Å in ratios to 1:50, in any order, of either hand.

    Sites lie anywhere and on faces, in any image of the cell; they are full, partly empty, shared, or split into several partial
    sites on one point. Points are at least 1e-5 of the cell apart, and half of the crystals are ordered.
    """
    shortest = draw(st.floats(0.5, 4.0))
    edges = shortest * np.array([1.0, 50 ** draw(st.floats(0, 1)), 50 ** draw(st.floats(0, 1))])
    lattice = np.diag(edges[list(draw(st.permutations(range(3))))])
    lattice[1, 0] = draw(st.floats(-0.5, 0.5)) * lattice[0, 0]
    lattice[2, 0] = draw(st.floats(-0.5, 0.5)) * lattice[0, 0]
    lattice[2, 1] = draw(st.floats(-0.5, 0.5)) * lattice[1, 1]
    lattice[0] *= draw(st.sampled_from([1, -1]))
    most = max(1, min(max_sites, int(SITES_PER_VOLUME * edges.prod())))
    n_points = draw(st.integers(1, most))
    partial = draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    points = np.where(
        rng.random((n_points, 3)) < 0.3, rng.choice(SPECIAL, (n_points, 3)), rng.integers(0, 10**5, (n_points, 3)) / 1e5
    )
    points = points[np.sort(np.unique(np.rint(points * 1e5) % 10**5, axis=0, return_index=True)[1])]
    return _filled(lattice, points, rng, partial, max_sites)


def _filled(lattice: np.ndarray, points: np.ndarray, rng: np.random.Generator, partial: bool, max_sites: int) -> Crystal:
    """Put species on points: on one site of each, or on several that share the point."""
    coords, occupancies, sites = [], [], []
    for point in points:
        if len(coords) == max_sites:
            break
        shares = (
            rng.dirichlet(np.ones(rng.integers(1, 4))) * rng.choice([1.0, 0.6, 0.02]) if partial and rng.random() < 0.6 else [1.0]
        )
        split = rng.random() < 0.5 and len(coords) + len(shares) <= max_sites
        for index, share in enumerate(shares):
            if index == 0 or split:
                coords.append(point + rng.integers(-2, 3, 3))
            sites.append(len(coords) - 1)
            occupancies.append(max(share, 1e-6))
    return Crystal(lattice, np.array(coords), rng.integers(1, 95, len(sites)), np.array(occupancies), np.array(sites))


def supercell(crystal: Crystal, matrix: np.ndarray) -> Crystal:
    """Describe a crystal by the cell whose vectors are the rows of an integer matrix times its own; 1 / det of it for each site."""
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) @ matrix
    ranges = [np.arange(low, high + 1) for low, high in zip(corners.min(axis=0), corners.max(axis=0), strict=True)]
    points = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = points @ adjugate(matrix)
    determinant = round(np.linalg.det(matrix))
    inside = inside * np.sign(determinant)
    cells = points[((inside >= 0) & (inside < abs(determinant))).all(axis=1)]
    return _copied(crystal, matrix @ crystal.lattice, (crystal.frac_coords[:, None] + cells) @ np.linalg.inv(matrix))


def adjugate(matrix: np.ndarray) -> np.ndarray:
    """Integer matrix that gives the determinant times the identity when multiplied with the matrix."""
    return np.array([np.cross(matrix[:, (i + 1) % 3], matrix[:, (i + 2) % 3]) for i in range(3)])


def _copied(crystal: Crystal, lattice: np.ndarray, coords: np.ndarray) -> Crystal:
    """Put the species of each site on each of its copies; coords of shape (n_sites, n_copies, 3)."""
    copies = coords.shape[1]
    numbers, occupancies, sites = [], [], []
    for site in range(crystal.n_sites):
        own = crystal.site_index == site
        for copy in range(copies):
            numbers.append(crystal.numbers[own])
            occupancies.append(crystal.occupancies[own])
            sites.append(np.full(own.sum(), site * copies + copy))
    return Crystal(lattice, coords.reshape(-1, 3), np.concatenate(numbers), np.concatenate(occupancies), np.concatenate(sites))


def moved(crystal: Crystal, vectors: np.ndarray) -> Crystal:
    """Move the sites by vectors in Å, one of shape (3,) or one a site."""
    coords = crystal.frac_coords + vectors @ np.linalg.inv(crystal.lattice)
    return Crystal(crystal.lattice, coords, crystal.numbers, crystal.occupancies, crystal.site_index)


def reordered(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """Give the sites in another order."""
    order = rng.permutation(crystal.n_sites)
    species = [np.nonzero(crystal.site_index == site)[0] for site in order]
    flat = np.concatenate(species)
    sites = np.repeat(np.arange(crystal.n_sites), [len(own) for own in species])
    return Crystal(crystal.lattice, crystal.frac_coords[order], crystal.numbers[flat], crystal.occupancies[flat], sites)


def turned(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """Rotate the crystal, or mirror it."""
    return Crystal(crystal.lattice @ rotation(rng), crystal.frac_coords, crystal.numbers, crystal.occupancies, crystal.site_index)


def in_another_setting(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """Do it all: a supercell of up to four cells in a very skewed setting, other origin, order and orientation."""
    matrix = unimodular(rng) @ np.diag(rng.permutation([1, 1, rng.integers(1, 5)]))
    other = supercell(crystal, matrix)
    return turned(reordered(moved(other, rng.normal(size=3)), rng), rng)
