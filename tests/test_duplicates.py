"""Duplicates: the pairs that evaluating all of them gives, and groups that don't depend on the order."""

import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from sklearn.exceptions import NotFittedError

from benchmarks.duplicates import TOLERANCES, agreement, main
from matminer_grid import (
    CrystalDissimilarity,
    CrystalTable,
    DuplicateTolerance,
    EMDSearch,
    GRIDFeaturizer,
    composition_emd,
    find_duplicates,
    find_pairs,
    grid_emd,
    suggest_tolerance,
)
from matminer_grid.crystals.elements import SUBSTITUTION_ELEMENTS, species_symbol
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.kernels.emd import manhattan_to_rows
from matminer_grid.similarity import linkage
from matminer_grid.similarity.grid_index import TIE
from matminer_grid.similarity.linkage import Linked
from tests import naive
from tests.conftest import shaken

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
    described = DISSIMILARITY.describe(crystals, features=features)
    found = find_duplicates(described, tolerance, dissimilarity=DISSIMILARITY, same_formula=False)
    expected = np.argwhere(np.triu(everything <= tolerance + TIE, k=1))
    assert found.pairs.rows.tolist() == expected.tolist()
    np.testing.assert_allclose(found.pairs.parts[:, 0], everything[tuple(expected.T)], atol=1e-9)
    assert found.chains.tolist() == naive_labels(len(crystals), expected.tolist())


def naive_labels(n: int, pairs: list[list[int]]) -> list[int]:
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


def naive_groups(matrix: np.ndarray, apart) -> list[set[int]]:
    """Join the two groups that are least apart, again and again, as long as that is at most 1."""
    groups = [{row} for row in range(len(matrix))]
    while len(groups) > 1:
        pairs = [(apart(matrix[np.ix_(list(a), list(b))]), a, b) for i, a in enumerate(groups) for b in groups[:i]]
        least, a, b = min(pairs, key=lambda pair: pair[0])
        if least > 1:
            break
        groups = [group for group in groups if group not in (a, b)] + [a | b]
    return sorted(groups, key=min)


def as_sets(labels) -> set[frozenset[int]]:
    return {frozenset(np.nonzero(labels == label)[0].tolist()) for label in np.unique(labels)}


@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.sampled_from(["complete", "average", "single"]))
def test_groups_are_those_of_the_definition(seed, n, linkage):
    matrix = np.triu(np.random.default_rng(seed).random((n, n)) * 3, 1)
    matrix += matrix.T
    apart = {"complete": np.max, "average": np.mean, "single": np.min}[linkage]
    groups = Linked(np.arange(n), matrix).groups(linkage)
    assert sorted((set(group.tolist()) for group in groups), key=min) == naive_groups(matrix, apart)


LINE = CrystalDissimilarity(GRIDFeaturizer(3.0, 0.3, n_groups=1), grid_weight=1.0, composition_weight=0)


def on_a_line(bins):
    """One distance each: dissimilarities are whole numbers of bins of 0.3."""
    return LINE.describe(None, features=np.eye(10)[bins])


def found_on_a_line(bins, steps, linkage="complete"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return find_duplicates(on_a_line(bins), 0.3 * steps, dissimilarity=LINE, same_formula=False, linkage=linkage)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(0, 4))
def test_tolerance_is_inclusive_and_groups_are_linked(bins, steps):
    found = found_on_a_line(bins, steps, "single")
    expected = [[i, j] for i in range(len(bins)) for j in range(i + 1, len(bins)) if abs(bins[i] - bins[j]) <= steps]
    assert found.pairs.rows.tolist() == expected
    assert found.labels.tolist() == found.chains.tolist() == naive_labels(len(bins), expected)
    labels = found.labels.tolist()
    assert [group.tolist() for group in found.groups] == [
        rows for label in dict.fromkeys(labels) if len(rows := [row for row, own in enumerate(labels) if own == label]) > 1
    ]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(0, 4), st.sampled_from(["complete", "average", "single"]))
def test_spread_and_representative(bins, steps, linkage):
    found = found_on_a_line(bins, steps, linkage)
    assert len(found.representatives) == len(found.spreads) == len(set(found.labels.tolist()))
    assert found.distinct.tolist() == sorted(found.representatives.tolist())
    for label, (row, spread) in enumerate(zip(found.representatives, found.spreads, strict=True)):
        own = np.array(bins)[found.labels == label]
        assert found.labels[row] == label
        sums = np.abs(own[:, None] - own).sum(axis=1)
        assert np.abs(own - bins[row]).sum() == sums.min()
        if steps:
            assert spread == pytest.approx((own.max() - own.min()) / steps)
        else:
            assert spread == 0
    if linkage == "complete":
        assert (found.spreads <= 1 + TIE).all()
        groups = [np.array(bins)[found.labels == label] for label in range(len(found.spreads))]
        for i, a in enumerate(groups):
            for b in groups[:i]:
                assert np.ptp(np.concatenate((a, b))) > steps  # no two could be joined


@given(
    st.lists(st.integers(0, 9), min_size=2, max_size=12),
    st.integers(0, 4),
    st.sampled_from(["complete", "average", "single"]),
    st.randoms(use_true_random=False),
)
def test_the_order_changes_nothing(bins, steps, linkage, random):
    order = list(range(len(bins)))
    random.shuffle(order)
    one, other = found_on_a_line(bins, steps, linkage), found_on_a_line([bins[i] for i in order], steps, linkage)
    assert as_sets(one.labels) == {frozenset(order[i] for i in group) for group in as_sets(other.labels)}
    assert sorted(bins[i] for i in one.distinct) == sorted(bins[order[i]] for i in other.distinct)
    np.testing.assert_allclose(np.sort(one.spreads), np.sort(other.spreads))


@pytest.mark.parametrize("linkage", ["complete", "average", "single"])
def test_the_order_of_crystals_changes_nothing(crystals, linkage):
    """Strained copies, supercells and exact copies, many of them equally near."""
    several = [crystals[row].to_structure() for row in range(30)]
    several += [one.apply_strain(strain, inplace=False) for one in several[:10] for strain in (-0.004, 0.004, 0.008)]
    several += [one * (2, 1, 1) for one in several[:8]] + several[:5]
    table = CrystalTable.from_structures(several)
    order = np.random.default_rng(2).permutation(len(table))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one, other = (find_duplicates(X, linkage=linkage) for X in (table, table[order]))
    assert len(one.groups) >= 10
    assert as_sets(one.labels) == {frozenset(order[list(group)].tolist()) for group in as_sets(other.labels)}
    assert {table[row].volume for row in one.distinct} == {table[row].volume for row in order[other.distinct]}


CARBON = Path(__file__).parents[2] / "shared" / "data" / "carbon_24_test.csv"


@pytest.mark.skipif(not CARBON.exists(), reason="Carbon-24 is no part of this project")
def test_the_order_of_carbon_24_changes_nothing():
    texts = pd.read_csv(CARBON)["cif"][:400]
    table = CrystalTable.from_structures([Structure.from_str(text, fmt="cif") for text in texts])
    order = np.random.default_rng(2).permutation(len(table))
    one, other = find_duplicates(table), find_duplicates(table[order])
    assert 10 < len(one.distinct) < 390
    assert as_sets(one.labels) == {frozenset(order[list(group)].tolist()) for group in as_sets(other.labels)}
    assert one.distinct.tolist() == sorted(order[other.distinct].tolist())


def test_chains_are_told_of():
    steps = [rock_salt(5.64 * 1.006**k) for k in range(5)]  # volumes 1.8 % apart
    with pytest.warns(UserWarning, match=r"1 groups are wider than the tolerance, up to 2\.\d+ times it: single linkage"):
        found = find_duplicates(steps, linkage="single")
    assert found.labels.tolist() == [0] * 5
    assert found.representatives.tolist() == [2]
    np.testing.assert_allclose(found.spreads, (1.006**12 - 1) / 0.03)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = find_duplicates(steps)
    assert len(found.spreads) == 3
    assert found.spreads.max() <= 1
    assert found.chains.tolist() == [0] * 5


def test_too_many_linked(monkeypatch):
    monkeypatch.setattr(linkage, "MOST_LINKED", 3)
    with pytest.raises(ValueError, match="4 crystals are linked by pairs within the tolerance, more than 3: take a smaller one"):
        find_duplicates([rock_salt(5.64)] * 4)


def test_planted_copies(embedded):
    """Copies whose truth is known, of references whose ids have an odd hash; the defaults were chosen on even ones."""
    ids = load_mp_elasticity_table().material_id
    odd = [row for row, name in enumerate(ids.tolist()) if hashlib.md5(name.encode()).digest()[-1] % 2]  # noqa: S324
    rng = np.random.default_rng(1)
    rows = [row for row in rng.permutation(odd).tolist() if embedded[row].n_sites <= 12][:150]
    within = {"cells": 0, "strained": 0, "displaced": 0, "exchanged": 0}
    n_exchanged = 0
    for row in rows:
        crystal = embedded[row].to_structure()
        cell = crystal
        while 2 * len(cell) <= 64:
            cell = cell * np.where(np.arange(3) == np.argmin(cell.lattice.abc), 2, 1)
        strain = rng.normal(0, 0.005, (3, 3))
        lattice = crystal.lattice.matrix @ (np.eye(3) + (strain + strain.T) / 2)
        copies = {"cells": cell, "strained": Structure(lattice, crystal.species_and_occu, crystal.frac_coords)}
        copies["displaced"] = shaken(cell, 0.02, row)
        unlike = [site for site in range(len(cell)) if cell[site].species != cell[0].species]
        if unlike:
            exchanged = cell.copy()
            other = unlike[rng.integers(len(unlike))]
            exchanged[0], exchanged[other] = cell[other].species, cell[0].species
            changed = CrystalDissimilarity(resolution="sites").distance(crystal, exchanged) > 1e-6
            n_exchanged += changed
            copies |= {"exchanged": exchanged} if changed else {}
        for name, copy in copies.items():
            within[name] += len(find_pairs([crystal], [copy]))
    assert within["cells"] == len(rows)
    assert min(within["strained"], within["displaced"]) >= 0.99 * len(rows)
    assert n_exchanged > 100
    assert within["exchanged"] <= 0.02 * n_exchanged


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 4))
def test_number_of_groups_against_the_tolerance(bins, steps):
    curve = suggest_tolerance(on_a_line(bins), 0.3 * steps, largest=2.5, dissimilarity=LINE, same_formula=False)
    for factor in (0.3, 1.0, 1.4, 2.5):
        found = find_duplicates(on_a_line(bins), 0.3 * steps * factor, dissimilarity=LINE, same_formula=False)
        assert curve.n_groups(factor + 1e-9) == len(found.distinct)
    low, high = curve.gap
    assert curve.n_groups(low) == curve.n_groups(high * (1 - 1e-9))
    assert 0.01 <= low < high <= 2.5
    assert low < curve.suggested / (0.3 * steps) < high


def test_a_gap_is_found():
    crystals = [rock_salt(a * (1 + noise)) for a in (5.5, 5.6, 5.7, 5.8) for noise in (0, 1e-4, 2e-4)]
    curve = suggest_tolerance(crystals)
    np.testing.assert_allclose(curve.gap, [((1 + 2e-4) ** 3 - 1) / 0.03, ((5.8 / 5.7 * (1 + 2e-4)) ** 3 - 1) / 0.03])
    assert curve.n_groups(1.0) == curve.n_groups(0.1) == 4
    assert len(find_duplicates(crystals, curve.suggested).distinct) == 4
    assert curve.suggested.geometry == pytest.approx(0.035 * curve.suggested.volume / 0.03)
    assert suggest_tolerance([]).n_groups([0.1, 1.0]).tolist() == [0, 0]
    assert suggest_tolerance(crystals[:1]).gap == (0.01, 2.0)
    with pytest.raises(ValueError, match="tolerance must be above 0"):
        suggest_tolerance(crystals, 0)
    with pytest.raises(ValueError, match=r"largest must be a finite number above 0\.01, not 0"):
        suggest_tolerance(crystals, largest=0)


def test_cells_of_one_crystal_are_duplicates():
    salt = rock_salt(5.64)
    turned = Structure(salt.lattice, salt.species, salt.frac_coords + np.array([0.1, 0.2, 0.3]))
    crystals = [rock_salt(6.29, "K"), salt, rock_salt(5.8), salt.get_primitive_structure(), turned, salt * (2, 1, 1)]
    found = find_duplicates(crystals)
    assert [group.tolist() for group in found.groups] == [[1, 3, 4, 5]]
    assert found.distinct.tolist() == [0, 2, 3]  # the smallest cell
    assert (found.pairs.ratios < 1e-9).all()
    assert len(found.near) == 0
    near = find_duplicates(crystals, margin=4).near
    assert sorted(near.rows.tolist()) == [[1, 2], [2, 3], [2, 4], [2, 5]]
    assert set(near.decided_by) == {"volume"}


def test_few_or_no_pairs():
    for alone in (find_duplicates([rock_salt(5.64)]), find_duplicates([rock_salt(5.64)], 0.1)):
        assert alone.pairs.rows.shape == (0, 2)
        assert alone.groups == []
        assert alone.labels.tolist() == alone.distinct.tolist() == alone.spreads.tolist() == [0]
    for empty in (find_duplicates(CrystalTable.from_crystals([])), find_duplicates([], 0.0)):
        assert len(empty.pairs) == len(empty.labels) == len(empty.distinct) == len(empty.chains) == 0
        assert empty.groups == []


def test_a_tolerance_of_0():
    crystals = [rock_salt(5.64), rock_salt(5.64) * (1, 2, 1), rock_salt(5.6401), rock_salt(5.64)]
    for tolerance in (0, DuplicateTolerance(0, 0, 0)):
        found = find_duplicates(crystals, tolerance)
        assert found.labels.tolist() == [0, 0, 1, 0]
        assert found.spreads.tolist() == [0, 0]
        for other in ("average", "single"):
            assert find_duplicates(crystals, tolerance, linkage=other).labels.tolist() == [0, 0, 1, 0]


def test_a_pair_at_the_tolerance_is_within():
    crystals = [rock_salt(5.64), rock_salt(5.66), rock_salt(5.7)]
    exactly = find_pairs(crystals[:2]).parts[0, 0]
    for volume, n in ((exactly, 2), (exactly - 0.9e-9, 2), (exactly - 1.1e-9, 3)):
        for other in ("complete", "average", "single"):
            found = find_duplicates(crystals, DuplicateTolerance(volume=volume), linkage=other)
            assert len(found.distinct) == n
            assert found.spreads.max() <= 1


def test_threads_change_nothing(crystals):
    one, three = (find_duplicates(crystals, 2.0, dissimilarity=DISSIMILARITY, same_formula=False, n_jobs=n) for n in (1, 3))
    assert (one.pairs.rows == three.pairs.rows).all()
    assert (one.pairs.parts == three.pairs.parts).all()
    assert (one.labels == three.labels).all()


@pytest.mark.parametrize(
    ("tolerance", "error", "message"),
    [
        (-0.1, ValueError, "tolerance must be a finite number of at least 0, not -0.1"),
        (np.inf, ValueError, "tolerance must be a finite number"),
        (np.nan, ValueError, "tolerance must be a finite number"),
        ("0.1", TypeError, "tolerance must be a number, not '0.1'"),
        (True, TypeError, "tolerance must be a number, not True"),
    ],
)
def test_bad_tolerances(tolerance, error, message):
    with pytest.raises(error, match=message):
        find_duplicates([rock_salt(5.64)], tolerance)


def test_bad_calls(crystals, features):
    with pytest.raises(TypeError, match="structures are needed, not an array of numbers"):
        find_duplicates(features)
    with pytest.raises(ValueError, match="unknown elements 'pettifor'"):
        find_duplicates(crystals, 0.1, dissimilarity=CrystalDissimilarity(elements="pettifor"))
    with pytest.raises(ValueError, match="unknown linkage 'ward'; choose one of 'complete', 'average', 'single'"):
        find_duplicates(crystals, linkage="ward")
    with pytest.raises(ValueError, match="margin must be a finite number of at least 1"):
        find_duplicates(crystals, margin=0.5)
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
