"""The benchmark of sets on few crystals: planted truth, verdicts by hand, and what it writes."""

import json
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest

from benchmarks import evaluation, prototype_pairs
from benchmarks._planted import CHANGED, KINDS, SAME, STRAIN, planted_copies
from benchmarks._planted_methods import PARTS, Planted
from benchmarks.scaling import ELEMENTS
from benchmarks.sets import main, read_carbon, references
from matminer_grid import CrystalDissimilarity

SITES = CrystalDissimilarity(resolution="sites")


@pytest.fixture(scope="module")
def known():
    return references(40, seed=3)


@pytest.fixture(scope="module")
def copies(known):
    return planted_copies(known, ELEMENTS, seed=5)


def test_copies_are_what_they_are_called(known, copies):
    apart = {kind: [SITES.distance(table[i], known[row]) for i, row in enumerate(rows)] for kind, (table, rows) in copies.items()}
    assert max(apart["supercell"]) < 1e-6
    assert 0 < max(apart["strained"]) < 200 * STRAIN
    assert min(apart["exchanged"], default=1) > CHANGED
    assert min(apart["substituted"]) > 0.05
    table, _ = copies["supercell"]
    np.testing.assert_array_equal(table.n_sites, 2 * known.n_sites)
    displaced, _ = copies["displaced"]
    moved = np.einsum(
        "ij,ijk->ik", displaced.frac_coords - known.frac_coords, np.repeat(known.lattices, known.n_sites.astype(int), axis=0)
    )
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 0.02, rtol=1e-9)
    exchanged, rows = copies["exchanged"]
    for crystal, row in zip(exchanged, rows, strict=True):
        assert sorted(crystal.numbers) == sorted(known[row].numbers)


def test_pairs_are_those_of_equal_formulas(known, copies):
    planted = Planted.of(known, copies)
    own, others = (
        [one.to_structure().composition.reduced_formula for one in some] for some in (planted.copies, planted.references)
    )
    expected = {(i, j) for i, a in enumerate(own) for j, b in enumerate(others) if a == b}
    assert {tuple(pair) for pair in planted.pairs.tolist()} == expected
    assert len(planted.pairs) == len(expected)


def test_verdicts_by_hand(known, copies):
    planted = Planted.of(known, copies)
    every = planted.verdict(np.ones(len(planted.pairs), bool))
    assert [every[kind] for kind in (*SAME, "exchanged")] == [1.0] * 4
    assert every["precision"] == planted.is_same.mean() < 1
    none = planted.verdict(np.zeros(len(planted.pairs), bool))
    assert [none[kind] for kind in (*SAME, "exchanged")] == [0.0] * 4
    assert none["precision"] is None
    assert none["new that are called so"] == 1
    right = planted.verdict(planted.is_same)
    assert [right[name] for name in ("precision", "new that are called so", "called new that are")] == [1.0] * 3
    assert right["exchanged"] == 0


def test_a_small_run(tmp_path, known):
    frame = pd.DataFrame({"cif": [one.to(fmt="cif") for one in [*known[:12].to_structures(), *known[:4].to_structures()]]})
    frame.to_csv(tmp_path / "some.csv")
    arguments = ["--references", "60", "--judged", "20", "--carbon", str(tmp_path / "some.csv"), "--output", str(tmp_path / "out")]
    with suppress(SystemExit):  # claims on time may fail on a busy machine
        main(arguments)
    results = json.loads((tmp_path / "out" / "sets.json").read_text(encoding="utf-8"))
    outcome = {claim["claim"]: claim["outcome"] for claim in results["claims"]}
    for claim in ("recall, supercell", "Carbon-24: the same in other orders"):
        assert outcome[claim] == "holds"
    assert {f"recall, {kind}" for kind in SAME} <= set(outcome)
    assert (results["carbon"]["crystals"], results["carbon"]["distinct"]) == (16, 12)
    assert results["methods"][0]["method"] == PARTS
    assert results["copies"] <= 60 * len(KINDS)
    assert (tmp_path / "out" / "curves.png").stat().st_size > 10_000
    assert "Planted truth" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_bad_input(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--carbon", str(tmp_path / "none.csv"), "--output", str(tmp_path)])
    assert "there is no file" in capsys.readouterr().err
    pd.DataFrame({"a": [1]}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(SystemExit, match="a column cif is needed"):
        read_carbon(tmp_path / "a.csv")
    pd.DataFrame({"cif": ["data_x"]}).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(SystemExit, match="1 crystals can't be read; row 0"):
        read_carbon(tmp_path / "b.csv")


def test_an_evaluation_against_an_index(tmp_path):
    evaluation.main(["--generated", "20", "--known", "60", "--output", str(tmp_path)])
    results = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    assert results["run"]["known that are found"] == 1
    assert results["run"]["known"] == 60


def test_pairs_of_prototypes(tmp_path):
    prototype_pairs.main(["--crystals", "40", "--judged", "3", "--output", str(tmp_path)])
    results = json.loads((tmp_path / "prototype_pairs.json").read_text(encoding="utf-8"))
    ranges = results["ranges"]
    assert len(ranges) == len(prototype_pairs.EDGES) - 1
    assert all(row["judged"] == min(3, row["pairs"]) for row in ranges)
    assert ranges[0]["pairs"] > 0
    assert ranges[0]["fit_anonymous agrees"] == ranges[0]["one space group"] == 1
    with pytest.raises(SystemExit):
        prototype_pairs.main(["--judged", "0", "--output", str(tmp_path)])
