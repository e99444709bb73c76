"""Prototypes: the best renaming is that of trying all, and known families are told apart."""

from itertools import permutations
from math import inf

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from matminer_grid import CrystalDissimilarity, CrystalTable, DuplicateTolerance, find_prototypes
from matminer_grid.similarity import SAME_PROTOTYPE, nearest_prototypes
from matminer_grid.similarity.prototypes import Renamed
from tests.conftest import shaken

PARTS = CrystalDissimilarity(resolution="sites", elements="identity", scale_volume=True)


def cubic(a: float, group: str, species: list[str], sites: list[list[float]]) -> Structure:
    return Structure.from_spacegroup(group, Lattice.cubic(a), species, sites)


def rock_salt(a: float, *species: str) -> Structure:
    return cubic(a, "Fm-3m", list(species), [[0, 0, 0], [0.5, 0, 0]])


def zincblende(a: float, *species: str) -> Structure:
    return cubic(a, "F-43m", list(species), [[0, 0, 0], [0.25] * 3])


def fluorite(a: float, *species: str) -> Structure:
    return cubic(a, "Fm-3m", list(species), [[0, 0, 0], [0.25] * 3])


def half_heusler(a: float, *species: str) -> Structure:
    return cubic(a, "F-43m", list(species), [[0, 0, 0], [0.5] * 3, [0.25] * 3])


def perovskite(a: float, *species: str) -> Structure:
    return cubic(a, "Pm-3m", list(species), [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]])


FAMILIES = [
    [rock_salt(5.64, "Na", "Cl"), rock_salt(4.21, "O", "Mg"), rock_salt(5.93, "Pb", "S") * (1, 1, 2)],
    [zincblende(5.41, "Zn", "S"), zincblende(4.36, "C", "Si").get_primitive_structure()],
    [cubic(3.57, "Fd-3m", ["C"], [[0, 0, 0]]), cubic(5.43, "Fd-3m", ["Si"], [[0, 0, 0]])],
    [cubic(3.35, "Pm-3m", ["Po"], [[0, 0, 0]])],
    [Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3])],
    [fluorite(5.46, "Ca", "F"), fluorite(4.62, "O", "Li")],
    [half_heusler(5.9, "Ti", "Sn", "Ni"), half_heusler(6.1, "Ni", "Zr", "Sn"), half_heusler(5.8, "Li", "As", "Mg")],
    [perovskite(3.91, "Sr", "Ti", "O"), perovskite(4.0, "Mg", "K", "F"), perovskite(3.9, "Ni", "O", "H")],
    [rock_salt(4.2, "Na", "Cl").replace_species({"Na": {"Na": 0.5, "K": 0.5}})],
]
EVERYTHING = [crystal for family in FAMILIES for crystal in family]
LABELS = [number for number, family in enumerate(FAMILIES) for _ in family]


def nearest_renaming(a: Structure, b: Structure, apart=lambda total, *_: total) -> tuple[float, float, float]:
    """Try all ways in which the elements of one can stand for those of the other; give what is apart, geometry and surroundings."""
    names, others = ([str(element) for element in one.elements] for one in (a, b))
    best = (np.inf, np.inf, np.inf)
    for choice in permutations(names) if len(names) == len(others) else ():
        renamed = b.copy()
        renamed.replace_species(dict(zip(others, choice, strict=True)))
        if renamed.composition.fractional_composition.almost_equals(a.composition.fractional_composition):
            found = PARTS.compare(a, renamed)
            surroundings = found.elements + found.neighbors
            best = min(best, (apart(found.total, found.geometry, surroundings), found.geometry, surroundings))
    return best


def test_families():
    order = np.random.default_rng(0).permutation(len(EVERYTHING))
    found = find_prototypes([EVERYTHING[i] for i in order])
    groups = {frozenset(order[found.labels == label].tolist()) for label in np.unique(found.labels)}
    assert groups == {frozenset(np.nonzero(np.array(LABELS) == label)[0].tolist()) for label in set(LABELS)}
    assert found.spreads.max() < 1e-6
    again = find_prototypes(EVERYTHING)
    assert again.distinct.tolist() == sorted(order[found.distinct].tolist())
    assert found.pairs.tolerance == SAME_PROTOTYPE


def test_the_best_renaming_is_that_of_trying_all():
    some = [shaken(one, 0.03, seed) for seed, one in enumerate(EVERYTHING[:-1])]
    tolerance = DuplicateTolerance(inf, 0.5, 2.0)
    found = find_prototypes(some, tolerance)
    got = {tuple(rows): parts[1:] for rows, parts in zip(found.pairs.rows.tolist(), found.pairs.parts, strict=True)}
    expected = {}
    for i, a in enumerate(some):
        for j in range(i + 1, len(some)):
            _, geometry, surroundings = nearest_renaming(a, some[j], lambda _, geometry, other: max(geometry / 0.5, other / 2.0))
            if geometry <= 0.5 and surroundings <= 2.0:
                expected[i, j] = [geometry, surroundings]
    assert got.keys() == expected.keys()
    assert len(got) > 8
    for pair, parts in got.items():
        np.testing.assert_allclose(parts, expected[pair], atol=1e-9)
    by_average = find_prototypes(some, tolerance, linkage="average")
    assert (by_average.pairs.rows == found.pairs.rows).all()


def test_nearest():
    for a in (0, 3, 10, 12):
        found = nearest_prototypes(EVERYTHING[a], EVERYTHING, n_neighbors=3)
        expected = sorted((round(nearest_renaming(EVERYTHING[a], b)[0], 9), row) for row, b in enumerate(EVERYTHING[:-1]))
        expected = [(apart, row) for apart, row in expected if apart < np.inf][:3]
        assert [(match.row, round(match.dissimilarity, 9)) for match in found] == [(row, apart) for apart, row in expected]
    oxide = nearest_prototypes(EVERYTHING[1], EVERYTHING[:1])[0]
    assert oxide.renaming in ({"Na": "O", "Cl": "Mg"}, {"Na": "Mg", "Cl": "O"})
    assert oxide.volume_ratio == pytest.approx((5.64 / 4.21) ** 3)
    perovskites = nearest_prototypes(EVERYTHING[LABELS.index(7)], EVERYTHING)
    assert perovskites[1].renaming == {"Mg": "Sr", "K": "Ti", "F": "O"}
    assert nearest_prototypes(Structure(Lattice.cubic(3), ["H", "He", "Li", "Be"], np.eye(4, 3) / 2), EVERYTHING) == []


def seven_elements() -> Structure:
    return Structure(Lattice.cubic(6), list("HCNOFPS"), np.random.default_rng(0).random((7, 3)))


def test_too_many_renamings():
    seven = seven_elements()
    with pytest.warns(
        UserWarning, match="1 crystals have more than 720 renamings that keep the formula and are left alone, first row 1"
    ):
        found = find_prototypes([EVERYTHING[0], seven, EVERYTHING[1]])
    assert found.labels.tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="has more than 720 renamings that keep the formula: too many to try"):
        nearest_prototypes(seven, EVERYTHING)
    six = Structure.from_sites(seven.sites[:6])
    assert len(Renamed.of(CrystalTable.from_structures([six])).all) == 720


def test_few_and_bad():
    assert find_prototypes([EVERYTHING[0]]).labels.tolist() == [0]
    assert find_prototypes([]).labels.tolist() == []
    with pytest.raises(TypeError, match=r"must be a DuplicateTolerance, not 0\.1"):
        find_prototypes(EVERYTHING, 0.1)
    with pytest.raises(ValueError, match="needs the crystals themselves"):
        find_prototypes(PARTS.describe(EVERYTHING[:2]))
    with pytest.raises(ValueError, match="unknown linkage"):
        find_prototypes(EVERYTHING, linkage="ward")
    with pytest.raises(ValueError, match="n_neighbors must be at least 1, not 0"):
        nearest_prototypes(EVERYTHING[0], EVERYTHING, 0)
