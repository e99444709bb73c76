"""Generated sets whose truth is known: copies, supercells, strained and exchanged crystals, and new ones."""

import dataclasses
import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from matminer_grid import (
    CrystalDissimilarity,
    CrystalTable,
    DuplicateTolerance,
    EvaluationSettings,
    KnownCrystals,
    evaluate_crystals,
    find_pairs,
)
from matminer_grid.similarity.evaluation_distributions import wasserstein
from matminer_grid.similarity.formulas import SAME_COMPOSITION, composition_keys
from tests import naive_evaluation as naive
from tests.conftest import rock_salt, with_dummies

N_KNOWN, N_NEW = 60, 15
QUICK = EvaluationSettings(sample=40, n_bootstrap=50, n_permutations=50)
SITES = CrystalDissimilarity(resolution="sites")


@pytest.fixture(scope="module")
def few(embedded) -> CrystalTable:
    """Crystals of at most 12 atoms and of different compositions."""
    rows = np.random.default_rng(17).permutation(np.nonzero(embedded.n_sites <= 12)[0])[:120]
    formulas = [embedded[row].to_structure().composition.reduced_formula for row in rows]
    return embedded[rows[np.unique(formulas, return_index=True)[1]][: N_KNOWN + N_NEW]]


@pytest.fixture(scope="module")
def known(few) -> KnownCrystals:
    return KnownCrystals(few[:N_KNOWN], [f"id-{row}" for row in range(N_KNOWN)])


@pytest.fixture(scope="module")
def planted(few) -> CrystalTable:
    """Supercells of 10 known crystals, 10 others strained by 0.2 %, the first 5 of these supercells again; and the new ones."""
    cells = [structure * (2, 1, 1) for structure in few[:10].to_structures()]
    strained = dataclasses.replace(few[10:20], lattices=few[10:20].lattices * 1.002)
    return CrystalTable.concatenate([CrystalTable.from_structures(cells), strained, few[:5], few[N_KNOWN:]])


@pytest.fixture(scope="module")
def found(planted, known):
    return evaluate_crystals(planted, known, settings=QUICK)


def test_planted_truth(found, few):
    crystals = found.crystals
    assert crystals["known_as"].tolist() == [f"id-{row}" for row in [*range(20), *range(5)]] + [None] * N_NEW
    assert crystals["novel"].tolist() == [False] * 25 + [True] * N_NEW
    assert crystals["nearest"].tolist()[:25] == crystals["known_as"].tolist()[:25]
    assert crystals["unique"].tolist() == [True] * 20 + [False] * 5 + [True] * N_NEW  # the first of each group
    assert crystals["decided_by"].notna().tolist() == [True] * 25 + [False] * N_NEW
    assert crystals["group"].tolist()[20:25] == crystals["group"].tolist()[:5]
    assert crystals["formula"][0] == few[0].to_structure().composition.reduced_formula
    values = found.measures["value"]
    assert values["novel"] == N_NEW / 40
    assert values["unique"] == 35 / 40
    assert values["unique_novel"] == N_NEW / 40
    assert values["recall_both"] >= 20 / N_KNOWN
    assert values["precision_both"] >= 25 / 40
    intervals = found.measures.dropna()
    assert (intervals["low"] <= intervals["high"]).all()
    assert (intervals["low"] <= intervals["value"] + 1e-9).all()
    assert (intervals["value"] <= intervals["high"] + 1e-9).all()
    assert (found.n_known, found.errors) == (N_KNOWN, {})


def test_parts_are_those_of_compare(found, planted, known):
    for row in (0, 12, 27, 33):
        line = found.crystals.iloc[row]
        compared = SITES.compare(planted[row], known.crystals[known.ids.index(line["nearest"])])
        assert line["dissimilarity"] == pytest.approx(compared.total, abs=1e-9)
        assert line["distances"] == pytest.approx(compared.geometry, abs=1e-9)
        assert line["elements"] == pytest.approx(compared.elements, abs=1e-9)
        assert line["surroundings"] == pytest.approx(compared.neighbors, abs=1e-6)
        assert line["volume_ratio"] == pytest.approx(compared.volume_ratio)
        assert line["at_equal_volume"] == pytest.approx(compared.at_equal_volume, abs=1e-9)
        assert line["nearest_formula"] == compared.formulas[1]


def test_means_are_those_of_brute_force(found, planted, known):
    values = found.measures["value"]
    nearest = SITES.pairwise(planted, known.crystals).min(axis=1)
    assert values["nearest_dissimilarity"] == pytest.approx(nearest.mean(), abs=1e-9)
    assert values["continuous_novelty"] == pytest.approx((nearest / (1 + nearest)).mean(), abs=1e-9)
    own = SITES.pairwise(planted)
    assert values["continuous_uniqueness"] == pytest.approx(naive.pair_mean(own), abs=1e-9)
    assert values["vendi"] == pytest.approx(naive.vendi(np.exp(-own)), rel=1e-4)
    volumes = [[one.volume / len(one) for one in some.to_structures()] for some in (planted, known.crystals)]
    assert values["wasserstein_volume_per_atom"] == pytest.approx(wasserstein(*volumes)[0])


def test_a_set_against_itself(known):
    values = evaluate_crystals(known.crystals, known, settings=EvaluationSettings(sample=N_KNOWN)).measures["value"]
    for name in ("novel", "continuous_novelty", "transport", "mmd", "wasserstein_density", "jensen_shannon_space_group"):
        assert values[name] == pytest.approx(0, abs=1e-6)
    for name in ("recall_structure", "precision_composition", "recall_both", "mmd_p_value", "unique"):
        assert values[name] == 1


def test_order_and_seed(planted, known, found):
    order = np.random.default_rng(0).permutation(len(planted))
    shuffled = evaluate_crystals(planted[order], known, settings=QUICK)
    names = ["valid", "unique", "novel", "unique_novel", "continuous_novelty", "recall_structure", "precision_both", "vendi"]
    np.testing.assert_allclose(shuffled.measures["value"][names], found.measures["value"][names], rtol=1e-9)
    again = evaluate_crystals(planted, known, settings=QUICK)
    np.testing.assert_array_equal(again.measures[["value", "low", "high"]], found.measures[["value", "low", "high"]])


def test_samples_are_told(planted, known):
    settings = EvaluationSettings(sample=10, vendi_sample=12, n_pairs=100, n_bootstrap=20, n_permutations=20)
    measures = evaluate_crystals(planted, known, settings=settings).measures
    assert measures["basis"]["vendi"].startswith("12 random generated of 40")
    assert measures["basis"]["transport"].startswith("10 random generated of 40, 10 random known of 60")
    assert measures["basis"]["continuous_uniqueness"].startswith("100 random pairs of 780")
    exact = naive.pair_mean(SITES.pairwise(planted))
    assert measures["low"]["continuous_uniqueness"] - 0.05 < exact < measures["high"]["continuous_uniqueness"] + 0.05


def test_stable_unique_novel(planted, known):
    energies = np.full(len(planted), 0.05)
    energies[[0, 26, 28]] = [0, -0.01, np.nan]
    found = evaluate_crystals(planted, known, energy_above_hull=energies, settings=QUICK)
    values = found.measures["value"]
    assert values["stable"] == 2 / 40
    assert values["stable_unique_novel"] == 1 / 40
    assert values["metastable"] == 39 / 40
    assert values["metastable_unique_novel"] == (N_NEW - 1) / 40
    both = found.crystals["valid"].to_numpy() & found.crystals["novel"].to_numpy() & ~np.isnan(energies)
    assert values["valid_metastable_unique_novel"] == both.sum() / 40
    with pytest.raises(ValueError, match="one number for each of 40"):
        evaluate_crystals(planted, known, energy_above_hull=energies[:3])


def test_a_group_counts_once(known):
    new = Structure(Lattice.cubic(4.2), ["Cs", "I"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    found = evaluate_crystals([new, new * (2, 1, 1), new, rock_salt()], known, settings=QUICK)
    assert found.measures["value"]["unique_novel"] == 2 / 4
    assert found.measures["value"]["valid_unique_novel"] == 2 / 4


def test_which_tolerance_decided():
    salt = rock_salt()
    generated = [Structure(Lattice.cubic(5.64 * factor ** (1 / 3)), salt.species, salt.frac_coords) for factor in (1.02, 1.05, 1.5)]
    for shift in (0.005, 0.02, 0.05):
        generated.append(salt.copy())
        generated[-1].translate_sites([0], [shift, 0, 0])
    swapped = salt * (2, 2, 2)
    swapped.replace(0, "Cl")
    swapped.replace(next(i for i in range(1, 64) if swapped[i].specie.symbol == "Cl"), "Na")
    generated.append(swapped)
    crystals = evaluate_crystals(generated, [salt], settings=QUICK).crystals
    assert crystals["known_as"].tolist()[:3] == ["0", None, None]
    assert crystals["decided_by"].tolist()[:3] == ["volume", "volume", None]
    assert (crystals["novel"].iloc[-1], crystals["decided_by"].iloc[-1]) == (True, "surroundings")
    pairs = find_pairs(generated, [salt], margin=3)
    decided = dict(zip(pairs.rows[:, 0].tolist(), pairs.decided_by.tolist(), strict=True))
    assert crystals["decided_by"].tolist() == [decided.get(row) for row in range(len(generated))]
    by_number = evaluate_crystals(generated, [salt], tolerance=0.5, settings=QUICK)
    near = SITES.pairwise(generated, [salt])[:, 0]
    assert by_number.crystals["novel"].tolist() == (near > 0.5).tolist()
    assert by_number.crystals["decided_by"].notna().tolist() == (near <= 1.5).tolist()
    assert by_number.to_dict()["tolerance"] == {"dissimilarity": 0.5}


def test_tolerances_agree_with_the_pairs(planted, known, few):
    tolerance = DuplicateTolerance(volume=0.004, geometry=0.1, surroundings=0.1)
    crystals = evaluate_crystals(planted, known, tolerance=tolerance, settings=QUICK).crystals
    pairs = find_pairs(planted, few[:N_KNOWN], tolerance)
    assert sorted(np.nonzero(~crystals["novel"])[0]) == sorted(set(pairs.rows[:, 0].tolist()))


def test_tolerance_of_0(planted, known):
    crystals = evaluate_crystals(planted, known, tolerance=0, settings=QUICK).crystals
    assert crystals["novel"].tolist() == [False] * 10 + [True] * 10 + [False] * 5 + [True] * N_NEW


def test_bad_crystals_cost_the_others_nothing(known, few):
    flat = Structure(Lattice.cubic(4), ["Na"], [[0, 0, 0]])
    flat.lattice = Lattice(np.diag([4.0, 4.0, 0.0]))
    found = evaluate_crystals([few[0], flat, with_dummies(), few[1], None], known, settings=QUICK)
    assert found.crystals["name"].tolist() == ["0", "3"]
    assert found.crystals["known_as"].tolist() == ["id-0", "id-1"]
    assert sorted(found.errors) == [1, 2, 4]
    assert "no place on the modified Pettifor scale" in found.errors[2]
    assert not found.errors[2].startswith("row")


def test_one_crystal(known):
    found = evaluate_crystals([rock_salt()], known, settings=QUICK)
    assert found.measures["value"]["novel"] == 1
    assert "vendi" not in found.measures.index
    assert np.isnan(found.measures["low"]["transport"])
    assert json.loads(json.dumps(found.to_dict()))["measures"]["transport"]["low"] is None


def test_one_known_crystal():
    found = evaluate_crystals([rock_salt(), rock_salt() * (1, 1, 2)], [rock_salt()], settings=QUICK)
    assert found.crystals["known_as"].tolist() == ["0", "0"]
    assert found.measures["value"]["unique"] == 0.5


def test_nothing_to_evaluate(known):
    with pytest.raises(ValueError, match="no generated crystals"):
        evaluate_crystals([], known)
    with pytest.raises(ValueError, match="none of the 1 generated crystals can be evaluated; row 0"):
        evaluate_crystals([with_dummies()], known)
    with pytest.raises(ValueError, match="no known crystals"):
        KnownCrystals([])
    with pytest.raises(ValueError, match="tolerance must be a finite number of at least 0"):
        evaluate_crystals([rock_salt()], known, tolerance=-1)
    with pytest.raises(ValueError, match='resolution="sites"'):
        KnownCrystals([rock_salt()], dissimilarity=CrystalDissimilarity())
    with pytest.raises(ValueError, match="known crystals were made for"):
        evaluate_crystals([rock_salt()], known, dissimilarity=CrystalDissimilarity(resolution="sites", elements="identity"))


def test_ids(few):
    with pytest.raises(ValueError, match="there are 3 known crystals and 2 ids"):
        KnownCrystals(few[:3], ["a", "b"])
    with pytest.warns(UserWarning, match="1 ids stand for several known crystals, a first"):
        assert KnownCrystals(few[:3], ["a", "b", "a"]).ids == ["a (row 0)", "b", "a (row 2)"]
    with pytest.warns(UserWarning, match="left out: row 1: .*Pettifor"):
        some = KnownCrystals([few[0], with_dummies().get_sorted_structure(), few[1]])
    assert (some.ids, list(some.errors), len(some)) == (["0", "2"], [1], 2)


def test_compositions_have_keys(few):
    twice = CrystalTable.from_structures([structure * (1, 2, 1) for structure in few.to_structures()])
    keys = composition_keys(few)
    np.testing.assert_allclose(composition_keys(twice), keys, rtol=0, atol=1e-12)
    apart = np.abs(keys[:, None] - keys).max(axis=2)
    formulas = np.array([crystal.to_structure().composition.reduced_formula for crystal in few])
    np.testing.assert_array_equal(apart <= SAME_COMPOSITION, formulas[:, None] == formulas)


def test_the_nearest_within_the_tolerance_may_have_another_composition(few):
    doped = few[20].to_structure() * (2, 2, 2)
    doped.replace(0, "Pd" if doped[0].specie.symbol == "Pt" else "Pt")
    apart = SITES.distance(few[20], doped)
    found = evaluate_crystals([doped, few[20]], KnownCrystals(few[15:25]), tolerance=apart, settings=QUICK).crystals
    assert found["dissimilarity"].tolist() == [pytest.approx(apart), 0]
    assert found["known_as"].tolist() == [None, "5"]


def test_known_crystals_are_the_embedded_ones_by_default(embedded, monkeypatch):
    def embedded_of(cls, dissimilarity, *, n_jobs):
        return KnownCrystals(embedded[:30], [f"embedded-{row}" for row in range(30)], dissimilarity=dissimilarity, n_jobs=n_jobs)

    monkeypatch.setattr(KnownCrystals, "embedded", classmethod(embedded_of))
    found = evaluate_crystals(embedded[29:31], settings=QUICK)
    assert found.crystals["known_as"].tolist() == ["embedded-29", None]
