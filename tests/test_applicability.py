"""Where models apply: similarity on a scale, flags, and intervals that hold what was never seen."""

import warnings

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.models import GRIDKernelClassifier, GRIDKernelRegressor
from matminer_grid.models.applicability import SimilarityScale
from matminer_grid.models.default import clean_rows

pytestmark = pytest.mark.filterwarnings("ignore:no training crystal")


@pytest.fixture(scope="module")
def data():
    table = load_mp_elasticity_table()
    rows = np.random.default_rng(3).permutation(clean_rows())
    rows = rows[table.crystals.n_sites[rows] <= 12][:400]
    return table.crystals[rows], table.K_VRH[rows], table.material_id[rows].tolist()


@pytest.fixture(scope="module")
def model(data):
    crystals, K, names = data
    return GRIDKernelRegressor(log_target=True, tune_iterations=0).fit(crystals[:300], K[:300], names=names[:300])


@pytest.fixture(scope="module")
def ordinary(data):
    return data[0][300:340].to_structures()


def expanded(structure, factor):
    return Structure(structure.lattice.scale(structure.volume * factor**3), structure.species_and_occu, structure.frac_coords)


def slab(structure, vacuum):
    a, b, c = structure.lattice.matrix
    factor = 1 + vacuum / np.linalg.norm(c)
    coords = structure.frac_coords % 1 / [1, 1, factor]
    return Structure(Lattice([a, b, factor * c]), structure.species_and_occu, coords)


def atom(symbol, box):
    return Structure(Lattice.cubic(box), [symbol], [[0, 0, 0]])


def water(box):
    return Structure(Lattice.cubic(box), ["O", "H", "H"], np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]) / box)


def strange(ordinary):
    return {
        "atoms": [atom(symbol, box) for symbol in ("Fe", "Na", "O") for box in (10.0, 20.0)],
        "molecules": [water(box) for box in (12.0, 20.0)],
        "slabs": [slab(structure, 15.0) for structure in ordinary[:10]],
        "expanded by 30 %": [expanded(structure, 1.3) for structure in ordinary[:10]],
        "expanded by 100 %": [expanded(structure, 2.0) for structure in ordinary[:10]],
    }


def test_training_crystals_are_known(model, data):
    crystals, K, names = data
    found = model.applicability([*crystals[5:8], crystals[9].to_structure() * (2, 1, 1)])
    assert found["known"].all()
    assert found["row"].tolist() == [5, 6, 7, 9]
    assert found["name"].tolist() == [names[row] for row in (5, 6, 7, 9)]
    np.testing.assert_allclose(found["value"], K[[5, 6, 7, 9]])
    np.testing.assert_allclose(found["similarity"], 1, atol=1e-3)
    other = model.applicability([expanded(crystals[5].to_structure(), 1.3)])
    assert not other["known"][0]


def test_similarity_has_an_absolute_scale(model, data):
    found = model.applicability(data[0][300:])
    assert found["similarity"].between(0, 1).all()
    assert 0.2 < found["similarity"].median() < 0.95
    vectors = model.learned_[0].process.vectors
    first, second = np.random.default_rng(5).permutation(len(vectors))[:290].reshape(2, -1)
    apart = np.abs(vectors[first] - vectors[second]).sum(axis=1)
    assert np.median(apart) == pytest.approx(model.similarity_[0].typical, rel=0.15)
    query = model.describe(data[0][300:303])
    weighted = model.learned_[0].vectors(query.features)
    nearest = np.abs(weighted[:, None].astype(float) - vectors).sum(axis=2).min(axis=1)
    expected = np.maximum(1 - nearest / model.similarity_[0].typical, 0)
    np.testing.assert_allclose(model.applicability(query)["similarity"], expected, atol=1e-3)


def test_scale_of_few_crystals_that_are_alike():
    vectors = np.zeros((20, 3), np.float32)
    assert SimilarityScale.of(vectors, 1).far == 1
    vectors[:, 0] = np.arange(20)
    scale = SimilarityScale.of(vectors, 1)
    assert scale.far == pytest.approx(1 - 1 / scale.typical, abs=1e-3)


def test_ordinary_crystals_are_not_flagged(model, data):
    found = model.applicability(data[0][300:])
    unseen = np.array(["elements" in flags for flags in found["doubts"]])
    assert np.mean([len(flags) > 0 for flags in found["doubts"][~unseen]]) < 0.15


@pytest.mark.parametrize("kind", ["atoms", "molecules", "slabs", "expanded by 30 %", "expanded by 100 %"])
def test_strange_crystals_are_flagged_and_their_intervals_hold(model, ordinary, kind):
    structures = strange(ordinary)[kind]
    found = model.applicability(structures)
    assert all(found["doubts"])
    assert all(found["why"])
    if kind in {"atoms", "molecules", "slabs"}:
        assert all("vacuum" in flags for flags in found["doubts"])
    lower, upper = model.predict_interval(structures, 0.95)
    assert (lower == 0).all()  # atoms, molecules and torn bonds resist nothing; a slab a part of what its crystal does
    assert (upper >= model.y_.mean() + 1.9 * model.y_.std()).all()
    if kind == "slabs":
        whole = model.predict([slab(structure, 0.0) for structure in ordinary[:10]])
        assert (whole <= upper).all()


def test_flags_say_why(model):
    sites = [[0, 0, 0], [0.2, 0, 0], [0, 0.2, 0], [0, 0, 0.2], [0.8, 0.9, 0.9]]
    methane = Structure(Lattice.cubic(5.5), ["C", "H", "H", "H", "H"], sites)
    squeezed = Structure(Lattice.cubic(2.0), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    actinide = Structure(Lattice.cubic(4.6), ["Cm", "N"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    found = model.applicability([methane, squeezed, actinide, atom("Fe", 20.0)])
    assert "80% of its atoms are hydrogen, in 99 % of the training crystals up to" in found["why"][0]
    assert "hydrogen" in found["doubts"][0]
    assert "contacts" in found["doubts"][1]
    assert "no training crystal holds Cm" in found["why"][2]
    assert "a vacuum: a layer of 20.0 Å" in found["why"][3]


def test_other_intervals_stay_as_they_are(model, data, monkeypatch):
    crystals = data[0][300:]
    flagged = np.array([len(flags) > 0 for flags in model.applicability(crystals)["doubts"]])
    lower, upper = model.predict_interval(crystals, 0.8)
    monkeypatch.setattr(type(model), "_widened", lambda *ends: ends[1:3])
    narrow = model.predict_interval(crystals, 0.8)
    np.testing.assert_array_equal(lower[~flagged], narrow[0][~flagged])
    np.testing.assert_array_equal(upper[~flagged], narrow[1][~flagged])
    assert ((lower <= narrow[0]) & (upper >= narrow[1])).all()


def test_saved_and_of_several_properties(model, data, tmp_path):
    crystals, K, _ = data
    model.save(tmp_path / "model.npz")
    loaded = GRIDKernelRegressor.load(tmp_path / "model.npz")
    assert loaded.applicability(crystals[295:310]).equals(model.applicability(crystals[295:310]))
    both = GRIDKernelRegressor(tune_iterations=0).fit(crystals[:100], np.stack([K[:100], K[:100] - 200], axis=1))
    for target in (0, 1):
        found = both.applicability(crystals[:3], target=target)
        np.testing.assert_allclose(found["value"], K[:3] - 200 * target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lower, upper = both.predict_interval([atom("Fe", 20.0)])
    assert lower[0, 0] <= 0
    assert lower[0, 1] < -200 + K[:100].mean() - 1.9 * K[:100].std()
    assert (lower < upper).all()
    kinds = GRIDKernelClassifier(tune_iterations=0).fit(crystals[:60], K[:60] > 100)
    assert kinds.applicability([crystals[3]])["value"][0] == (K[3] > 100)
