"""Duplicates: the pairs that evaluating all of them gives, and the groups they link."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from sklearn.exceptions import NotFittedError

from benchmarks.duplicates import TOLERANCES, agreement, main
from matminer_grid import CrystalDissimilarity, CrystalTable, EMDSearch, GRIDFeaturizer, composition_emd, find_duplicates, grid_emd
from matminer_grid.crystals.elements import SUBSTITUTION_ELEMENTS, species_symbol
from matminer_grid.kernels.emd import manhattan_to_rows
from matminer_grid.similarity.grid_index import TIE
from tests import naive

FEATURIZER = GRIDFeaturizer(cutoff=8.0, bin_size=0.05, n_groups=20)
SETTINGS = {"n_groups": 20, "bin_size": 0.05}
DISSIMILARITY = CrystalDissimilarity(FEATURIZER)


def rock_salt(a: float, cation: str = "Na", anion: str = "Cl") -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0, 0]])


@pytest.fixture(scope="module")
def crystals(embedded) -> CrystalTable:
    """Three hundred crystals of the 78 elements; twenty of them again, strained a little."""
    rows = np.random.default_rng(5).permutation(len(embedded))[:400]
    some = [c for c in embedded[rows] if all(species_symbol(n) in SUBSTITUTION_ELEMENTS for n in c.numbers.tolist())][:300]
    again = [Structure.from_sites(c.to_structure().apply_strain(0.002, inplace=False)) for c in some[:20]]
    return CrystalTable.from_structures([*some, *again])


@pytest.fixture(scope="module")
def features(crystals):
    return FEATURIZER.featurize_sparse(crystals)


def brute_force(crystals, features, metric="modified_pettifor", grid_weight=10.0, composition_weight=1.0) -> np.ndarray:
    grids = grid_emd(features, **SETTINGS, pbar=False)
    return grid_weight * grids + composition_weight * composition_emd(crystals, metric=metric, pbar=False)


@pytest.mark.parametrize("radius", [0.0, 0.05, 0.7, 3.0, 1000.0])
@pytest.mark.parametrize("metric", ["modified_pettifor", "substitution"])
@pytest.mark.parametrize("weights", [{}, {"grid_weight": 0}, {"composition_weight": 0}, {"grid_weight": 0.5}])
def test_radius_neighbors_are_those_of_brute_force(crystals, features, radius, metric, weights):
    everything = brute_force(crystals, features, metric, **weights)
    dissimilarity = CrystalDissimilarity(FEATURIZER, **weights, elements="graded" if metric == "modified_pettifor" else metric)
    described = dissimilarity.describe(crystals, features=features)
    search = EMDSearch(dissimilarity).fit(described)
    distances, indices = search.radius_neighbors(described[:60], radius)
    assert 0 <= search.transported_share_ <= search.evaluated_share_ <= 1
    for query in range(60):
        expected = np.nonzero(everything[query] <= radius + TIE)[0]
        expected = expected[np.lexsort((expected, np.rint(everything[query, expected] / TIE)))]
        assert indices[query].tolist() == expected.tolist()
        assert (distances[query] == everything[query, expected]).all()


def test_references_leave_themselves_out(crystals):
    search = EMDSearch(DISSIMILARITY, radius=1.0).fit(crystals)
    distances, indices = search.radius_neighbors()
    for row, (near, found) in enumerate(zip(distances, indices, strict=True)):
        assert row not in found
        assert (np.diff(near) >= -TIE).all()
    assert all(300 + row in indices[row] for row in range(20))
    assert search.evaluated_share_ < 0.05


@pytest.mark.parametrize("tolerance", [0.0, 0.3, 1.5, 6.0])
def test_all_pairs_within(crystals, features, tolerance):
    everything = brute_force(crystals, features)
    found = find_duplicates(DISSIMILARITY.describe(crystals, features=features), tolerance, dissimilarity=DISSIMILARITY)
    expected = np.argwhere(np.triu(everything <= tolerance + TIE, k=1))
    assert found.pairs.tolist() == expected.tolist()
    np.testing.assert_allclose(found.dissimilarities, everything[tuple(expected.T)], atol=1e-9)
    assert found.labels.tolist() == naive_labels(len(crystals), expected.tolist())


def naive_labels(n: int, pairs: list) -> list[int]:
    """Spread the lowest row along the links until nothing changes; count groups by their first row."""
    lowest = list(range(n))
    changed = True
    while changed:
        changed = False
        for i, j in pairs:
            if lowest[i] != lowest[j]:
                lowest[i] = lowest[j] = min(lowest[i], lowest[j])
                changed = True
    firsts = sorted(set(lowest))
    return [firsts.index(row) for row in lowest]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(0, 4))
def test_tolerance_is_inclusive_and_groups_are_linked(bins, steps):
    """One distance each: dissimilarities are whole numbers of bins."""
    features = np.eye(10)[bins]
    dissimilarity = CrystalDissimilarity(GRIDFeaturizer(3.0, 0.3, n_groups=1), grid_weight=1.0, composition_weight=0)
    found = find_duplicates(dissimilarity.describe(None, features=features), 0.3 * steps, dissimilarity=dissimilarity)
    expected = [[i, j] for i in range(len(bins)) for j in range(i + 1, len(bins)) if abs(bins[i] - bins[j]) <= steps]
    assert found.pairs.tolist() == expected
    assert found.labels.tolist() == naive_labels(len(bins), expected)
    members = [group.tolist() for group in found.groups]
    assert members == [
        rows
        for label in dict.fromkeys(found.labels.tolist())
        if len(rows := [row for row, own in enumerate(found.labels.tolist()) if own == label]) > 1
    ]
    assert found.distinct.tolist() == [found.labels.tolist().index(label) for label in sorted(set(found.labels.tolist()))]


def test_cells_of_one_crystal_are_duplicates():
    salt = rock_salt(5.64)
    turned = Structure(salt.lattice, salt.species, salt.frac_coords + np.array([0.1, 0.2, 0.3]))
    crystals = [rock_salt(6.29, "K"), salt, rock_salt(5.7), salt.get_primitive_structure(), turned, salt * (2, 1, 1)]
    found = find_duplicates(crystals, dissimilarity=CrystalDissimilarity(GRIDFeaturizer(bin_size=0.01)))
    assert [group.tolist() for group in found.groups] == [[1, 3, 4, 5]]
    assert found.distinct.tolist() == [0, 1, 2]
    assert (found.dissimilarities < 0.01).all()


def test_few_or_no_pairs():
    alone = find_duplicates([rock_salt(5.64)])
    assert alone.pairs.shape == (0, 2)
    assert alone.groups == []
    assert alone.labels.tolist() == alone.distinct.tolist() == [0]


def test_threads_change_nothing(crystals):
    one, three = (find_duplicates(crystals, 2.0, dissimilarity=DISSIMILARITY, n_jobs=n) for n in (1, 3))
    assert (one.pairs == three.pairs).all()
    assert (one.dissimilarities == three.dissimilarities).all()


@pytest.mark.parametrize(
    ("tolerance", "error", "message"),
    [
        (-0.1, ValueError, "tolerance must be a finite number of at least 0, not -0.1"),
        (np.inf, ValueError, "tolerance must be a finite number"),
        (np.nan, ValueError, "tolerance must be a finite number"),
        ("0.1", TypeError, "tolerance must be a number, not '0.1'"),
        (True, TypeError, "tolerance must be a number, not True"),
        (None, TypeError, "tolerance must be a number"),
    ],
)
def test_bad_tolerances(tolerance, error, message):
    with pytest.raises(error, match=message):
        find_duplicates([rock_salt(5.64)], tolerance)


def test_bad_calls(crystals, features):
    with pytest.raises(TypeError, match="structures are needed, not an array of numbers"):
        find_duplicates(features)
    with pytest.raises(ValueError, match="unknown elements 'pettifor'"):
        find_duplicates(crystals, dissimilarity=CrystalDissimilarity(elements="pettifor"))
    search = EMDSearch(DISSIMILARITY)
    with pytest.raises(NotFittedError, match="call fit"):
        search.radius_neighbors(radius=1.0)
    with pytest.raises(ValueError, match="radius must be a finite number of at least 0, not -1"):
        search.fit(crystals).radius_neighbors(radius=-1)


def test_kernel():
    rng = np.random.default_rng(0)
    point, references, rows = rng.random(7), rng.random((9, 7)), np.array([8, 0, 0, 3])
    out = np.empty(4)
    manhattan_to_rows(point, references, rows, out)
    np.testing.assert_allclose(out, naive.manhattan_to_rows(point, references, rows), rtol=1e-12)


def test_benchmark(tmp_path):
    main(["--limit", "800", "--pairs", "3", "--output", str(tmp_path)])
    results = json.loads((tmp_path / "duplicates.json").read_text())
    pairs = [row["pairs"] for row in results["tolerances"]]
    assert pairs == sorted(pairs)
    assert pairs[-1] >= 3
    for judged in results["StructureMatcher"].values():
        assert judged["pairs"] == 3
        for row in judged["table"]:
            assert sum(row[name] for name in ("near, match", "near, no match", "far, match", "far, no match")) == 3


def test_agreement_by_hand():
    rows = agreement(np.array([0.0, 0.05, 0.05, 0.4]), np.array([True, True, False, True]))
    assert [row["tolerance"] for row in rows] == list(TOLERANCES)
    assert list(rows[0].values())[1:] == [1, 0, 2, 1]
    assert list(rows[2].values())[1:] == [2, 1, 1, 0]
    assert list(rows[-1].values())[1:] == [3, 1, 0, 0]
