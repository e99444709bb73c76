"""Measures of sets against their definitions, closed forms and independent libraries."""

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
import scipy.spatial.distance
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from matminer_grid import CrystalDissimilarity, CrystalTable, EvaluationSettings
from matminer_grid.similarity import evaluation_measures
from matminer_grid.similarity.evaluation_checks import charge_balance, check_crystals
from matminer_grid.similarity.evaluation_coverage import Points, find_coverage
from matminer_grid.similarity.evaluation_distributions import (
    densities,
    jensen_shannon,
    numbers_of_elements,
    space_groups,
    volumes_per_atom,
    wasserstein,
)
from matminer_grid.similarity.evaluation_measures import distance_measures
from matminer_grid.similarity.evaluation_sets import (
    draw_counts,
    half_interval,
    mean_interval,
    permutation_test,
    share_interval,
    squared_mmd,
    transport_distance,
    vendi_score,
)
from tests import naive_evaluation as naive
from tests.conftest import disordered_alloy, rock_salt

SETTINGS = EvaluationSettings(n_permutations=200)


def points(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.random((n, 3)) * 4


def kernel_of(*sets: np.ndarray) -> np.ndarray:
    joined = np.concatenate(sets)
    return np.exp(-scipy.spatial.distance.cdist(joined, joined, "cityblock"))


def test_vendi_of_equal_and_of_far_crystals():
    assert vendi_score(np.ones((7, 7))) == pytest.approx(1, abs=1e-9)
    assert vendi_score(np.eye(7)) == pytest.approx(7, rel=1e-12)
    pairs = np.kron(np.eye(3), np.ones((2, 2)))  # three kinds, each twice
    assert vendi_score(pairs) == pytest.approx(3, rel=1e-9)


@given(st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_vendi_is_that_of_the_definition(n, seed):
    kernel = kernel_of(points(n, np.random.default_rng(seed)))
    assert vendi_score(kernel) == pytest.approx(naive.vendi(kernel), rel=1e-8)
    assert 1 <= vendi_score(kernel) <= n + 1e-9
    assert vendi_score(np.tile(kernel, (2, 2))) == pytest.approx(vendi_score(kernel), rel=1e-6)  # each crystal twice


def test_vendi_of_sparse_kernels():
    small = scipy.sparse.csr_array(kernel_of(points(30, np.random.default_rng(0))))
    assert vendi_score(small) == pytest.approx(naive.vendi(small.toarray()), rel=1e-8)
    assert vendi_score(scipy.sparse.eye_array(1500, format="csr")) == pytest.approx(1500, rel=1e-9)
    assert vendi_score(scipy.sparse.csr_array(np.ones((1001, 1001)))) == pytest.approx(1, rel=1e-9)
    rng = np.random.default_rng(3)
    for width in (1.0, 30.0, 1000.0):  # from collapsed to diverse
        kernel = kernel_of(rng.random((1001, 2)) * width)
        sparse = scipy.sparse.csr_array(np.where(kernel > np.exp(-9), kernel, 0))
        assert [vendi_score(sparse, seed) for seed in range(2)] == pytest.approx([naive.vendi(kernel)] * 2, rel=0.02)
    groups = scipy.sparse.block_diag([np.ones((size, size)) for size in (1, 5, 50, 100)] + [np.eye(900)], format="csr")
    assert vendi_score(groups) == pytest.approx(naive.vendi(groups.toarray()), rel=0.02)


def test_large_sets_are_sampled_less_where_many_are_alike(monkeypatch, sample):
    dissimilarity = CrystalDissimilarity(resolution="sites")
    described = dissimilarity.describe(sample[:60])
    rng = np.random.default_rng(0)
    dense = evaluation_measures.alike(described, dissimilarity)
    exact = vendi_score(dense)
    monkeypatch.setattr(evaluation_measures, "DENSE", 20)
    rows, kernel = evaluation_measures.sampled_kernel(described, dissimilarity, 50, rng)
    assert (len(rows), kernel.shape, scipy.sparse.issparse(kernel)) == (50, (50, 50), True)
    np.testing.assert_allclose(kernel.toarray(), dense[np.ix_(rows, rows)], atol=1e-9)
    _, kernel = evaluation_measures.sampled_kernel(described, dissimilarity, 100, rng)
    assert vendi_score(kernel) == pytest.approx(exact, rel=0.01)
    monkeypatch.setattr(evaluation_measures, "MOST_ALIKE", 10)
    rows, kernel = evaluation_measures.sampled_kernel(described, dissimilarity, 50, rng)
    assert (len(rows), scipy.sparse.issparse(kernel)) == (20, False)


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_mmd_is_that_of_the_definition(n, m, seed):
    rng = np.random.default_rng(seed)
    kernel = kernel_of(points(n, rng), points(m, rng))
    assert squared_mmd(kernel, n)[0] == pytest.approx(max(0.0, naive.squared_mmd(kernel, n)), abs=1e-12)


@given(st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_mmd_and_transport_of_a_set_with_itself_are_0(n, seed):
    own = points(n, np.random.default_rng(seed))
    assert squared_mmd(kernel_of(own, own), n)[0] == pytest.approx(0, abs=1e-12)
    assert transport_distance(scipy.spatial.distance.cdist(own, own)) == pytest.approx(0, abs=1e-12)


@given(st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_transport_of_sets_of_one_size_is_the_best_assignment(n, seed):
    costs = np.random.default_rng(seed).random((n, n))
    rows, columns = scipy.optimize.linear_sum_assignment(costs)
    assert transport_distance(costs) == pytest.approx(costs[rows, columns].mean(), rel=1e-9)


def test_p_values():
    rng = np.random.default_rng(3)
    own, shifted = rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) + 2
    p_value, splits = permutation_test(kernel_of(own, shifted), 60, 400, rng)
    assert p_value == pytest.approx(1 / 401)
    assert splits.shape == (400,)
    assert permutation_test(kernel_of(own, own), 60, 400, rng)[0] == 1  # no split is nearer than equal sets
    same = [permutation_test(kernel_of(*rng.normal(size=(2, 20, 2))), 20, 99, rng)[0] for _ in range(60)]
    assert scipy.stats.kstest(same, "uniform").pvalue > 0.01


def test_measures_of_two_sets_at_once():
    rng = np.random.default_rng(0)
    one, other = points(30, rng), points(40, rng) + 1
    joined = np.concatenate((one, other))
    both = scipy.spatial.distance.cdist(joined, joined, "cityblock")
    found = {measure.name: measure for measure in distance_measures(both, 30, "these", SETTINGS, rng)}
    assert set(found) == {"transport", "mmd", "mmd_of_one", "mmd_p_value"}
    assert found["transport"].value == pytest.approx(transport_distance(both[:30, 30:]))
    kernel = np.exp(-both / np.median(both[:30, 30:]))
    assert found["mmd"].value == pytest.approx(np.sqrt(naive.squared_mmd(kernel, 30)))
    assert found["mmd"].low < found["mmd"].value < found["mmd"].high
    assert found["mmd"].value > found["mmd_of_one"].high
    assert found["mmd_p_value"].value < 0.01
    equal = {measure.name: measure for measure in distance_measures(np.zeros((8, 8)), 4, "these", SETTINGS, rng)}
    assert (equal["transport"].value, equal["mmd"].value, equal["mmd_p_value"].value) == (0, 0, 1)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_wasserstein_and_jensen_shannon_are_those_of_scipy(n, m, seed):
    rng = np.random.default_rng(seed)
    values, reference = rng.integers(6, size=n), rng.integers(6, size=m)
    counts = draw_counts(n, 3, rng)
    assert (counts.sum(axis=1) == n).all()
    found = wasserstein(values, reference, counts)
    divergences = jensen_shannon(values, reference, 6, counts)
    for count, distance, divergence in zip(counts, found, divergences, strict=True):
        drawn = np.repeat(values, count)
        assert distance == pytest.approx(scipy.stats.wasserstein_distance(drawn, reference), abs=1e-12)
        shares = (np.bincount(some, minlength=6) / len(some) for some in (drawn, reference))
        assert divergence == pytest.approx(scipy.spatial.distance.jensenshannon(*shares, base=2) ** 2, abs=1e-12)


@given(st.integers(1, 12), st.integers(1, 12), st.floats(0, 3), st.integers(0, 2**32 - 1))
def test_coverage_is_that_of_the_definition(n, m, radius, seed):
    rng = np.random.default_rng(seed)
    own = Points(points(n, rng).round(2), points(n, rng).round(2))
    known = Points(points(m, rng).round(2), points(m, rng).round(2))
    radii = radius + 0.005, 2.005  # no distance is so
    found = find_coverage(own, [(np.arange(m), known)], m, radii, n_jobs=1)
    expected = {
        "structure": naive.covered(own.structures, known.structures, radii[0]),
        "composition": naive.covered(own.compositions, known.compositions, radii[1]),
        "both": naive.covered(own.structures, known.structures, radii[0], own.compositions, known.compositions, radii[1]),
    }
    for name, (of_own, of_known) in expected.items():
        assert found.generated[name].tolist() == of_own
        assert found.known[name].tolist() == of_known


def test_coverage_in_blocks():
    rng = np.random.default_rng(1)
    own, known = Points(points(80, rng), points(80, rng)), Points(points(90, rng), points(90, rng))
    whole = find_coverage(own, [(np.arange(90), known)], 90, (1.0, 2.0))
    blocks = [(rows, Points(known.structures[rows], known.compositions[rows])) for rows in np.split(rng.permutation(90), [13, 50])]
    for part, expected in zip(find_coverage(own, blocks, 90, (1.0, 2.0)), whole, strict=True):
        for name in expected:
            np.testing.assert_array_equal(part[name], expected[name])


def test_intervals():
    rng = np.random.default_rng(5)
    values = rng.normal(size=400)
    low, high = mean_interval(values, draw_counts(400, 2000, rng), 0.95)
    half_width = 1.96 * values.std() / 20
    assert (high - low) / 2 == pytest.approx(half_width, rel=0.1)
    low, high = half_interval(values.mean(), lambda rows: values[rows].mean(), (400,), (2000, 0.95), rng)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.1 * half_width)
    assert (high - low) / 2 == pytest.approx(half_width, rel=0.1)
    low, high = share_interval(0.3, 1000, 2000, 0.95, rng)
    assert (low, high) == (pytest.approx(0.3 - 0.0284, abs=0.005), pytest.approx(0.3 + 0.0284, abs=0.005))
    assert np.isnan(half_interval(1.0, len, (3,), (50, 0.95), rng)).all()


@pytest.mark.parametrize(
    ("amounts", "answer"),
    [
        ({"Fe": 3, "O": 4}, "balanced"),
        ({"Fe": 6, "O": 8}, "balanced"),
        ({"Na": 1, "Cl": 2}, "unbalanced"),
        ({"He": 1, "O": 1}, "unbalanced"),
        ({"Cu": 0.75, "Au": 0.25}, "metals"),
        ({"C": 8}, "element"),
        ({"D": 1, "H": 1}, "element"),
        ({"D": 2, "O": 1}, "balanced"),
        ({"Ce": 0.9, "Zr": 0.1, "O": 2}, "balanced"),
        ({"Na": 0.3333, "Al": 0.2222, "Cl": 1}, "balanced"),
        ({"Na": np.pi / 4, "Cl": 1}, "unknown"),
        ({"X": 1, "Cl": 1}, "unknown"),
    ],
)
def test_charge_balance(amounts, answer):
    assert charge_balance(amounts) == answer


def test_charge_balance_is_that_of_pymatgen(embedded):
    formulas = {crystal.formula for crystal in embedded[np.random.default_rng(0).permutation(len(embedded))[:300]]}
    few = [formula for formula in formulas if naive.Composition(formula).reduced_composition.num_atoms <= 12]
    answers = {formula: charge_balance(naive.Composition(formula).get_el_amt_dict()) for formula in few}
    asked = {formula: answer for formula, answer in answers.items() if answer in {"balanced", "unbalanced"}}
    assert len(asked) > 100
    assert {formula: naive.charges_balance(formula) for formula in asked} == {f: a == "balanced" for f, a in asked.items()}


def test_checks_of_crystals():
    ghost = Structure(Lattice.cubic(4), ["Na", "Cl", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.51]])
    box = Structure(Lattice.cubic(30), ["Na", "Cl"], [[0, 0, 0], [0.1, 0, 0]])
    checked = check_crystals(CrystalTable.from_structures([rock_salt(), ghost, box, disordered_alloy()]))
    assert checked["valid"].tolist() == [True, False, False, True]
    assert checked["charge"].tolist() == ["balanced", "unbalanced", "balanced", "metals"]
    assert checked["why_not"][0] is None
    contact, charge = checked["why_not"][1].split("; ")
    assert "0.040 Å apart" in contact
    assert charge == "no choice of common oxidation states adds up to 0"
    assert "a vacuum" in checked["why_not"][2]
    assert "a density of" in checked["why_not"][2]


def test_properties_are_those_of_pymatgen(sample):
    crystals = sample[:25]
    structures = crystals.to_structures()
    np.testing.assert_allclose(volumes_per_atom(crystals), [one.volume / len(one) for one in structures])
    np.testing.assert_allclose(densities(crystals), [one.density for one in structures], rtol=1e-6)
    assert numbers_of_elements(crystals).tolist() == [len(one.composition) for one in structures]
    assert space_groups(crystals).tolist() == [SpacegroupAnalyzer(one).get_space_group_number() for one in structures]
    alloy = CrystalTable.from_structures([disordered_alloy()])
    assert (space_groups(alloy).tolist(), numbers_of_elements(alloy).tolist()) == ([225], [2])
    assert volumes_per_atom(alloy)[0] == pytest.approx(3.73**3 / 4)


@pytest.mark.parametrize(
    "wrong", [{"sample": 0}, {"n_bootstrap": 1.5}, {"confidence": 1.0}, {"seed": -1}, {"structure_radius": -1}, {"stable": "low"}]
)
def test_settings_are_checked(wrong):
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        EvaluationSettings(**wrong)
