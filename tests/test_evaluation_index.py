"""Evaluations against an index on disk: the same answers as in memory, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from matminer_grid import (
    CrystalDissimilarity,
    CrystalTable,
    EvaluationSettings,
    KnownCrystals,
    add_to_index,
    build_index,
    evaluate_crystals,
)
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.pipeline import evaluate_files
from matminer_grid.similarity import evaluation_known
from matminer_grid.similarity.embedded import embedded_path
from matminer_grid.similarity.evaluation_distributions import volumes_per_atom
from tests.test_cli_index import run

QUICK = EvaluationSettings(sample=30, n_bootstrap=20, n_permutations=20)
SITES = CrystalDissimilarity(resolution="sites")
IDS = [f"id-{row}" for row in range(60)]


@pytest.fixture(scope="module")
def index(sample, tmp_path_factory):
    """An index of 60 crystals that were added in two goes."""
    path = tmp_path_factory.mktemp("index") / "known"
    build_index(path, sample[:40], IDS[:40], dissimilarity=SITES)
    add_to_index(path, sample[40:60], IDS[40:])
    return path


@pytest.fixture
def generated(sample) -> CrystalTable:
    copies = replace(sample[30:50], lattices=sample[30:50].lattices * 1.0005)
    return CrystalTable.concatenate([copies, sample[60:70]])


@pytest.mark.parametrize("block", [50_000, 7])
def test_an_index_answers_as_crystals_in_memory_do(index, sample, generated, block, monkeypatch):
    monkeypatch.setattr(evaluation_known, "BLOCK", block)
    on_disk = evaluate_crystals(generated, index, settings=QUICK)
    in_memory = evaluate_crystals(generated, KnownCrystals(sample[:60], IDS), settings=QUICK)
    pd.testing.assert_frame_equal(on_disk.crystals, in_memory.crystals)
    pd.testing.assert_frame_equal(on_disk.measures, in_memory.measures)
    assert on_disk.crystals["known_as"].tolist() == IDS[30:50] + [None] * 10


def test_blocks_and_points_hold_each_crystal_once(index, sample, monkeypatch):
    monkeypatch.setattr(evaluation_known, "BLOCK", 7)
    known = KnownCrystals.from_index(index, SITES)
    assert len(known) == 60
    volumes = np.concatenate([volumes_per_atom(block) for block in known.blocks()])
    np.testing.assert_array_equal(volumes, volumes_per_atom(sample[:60]))
    rows, points = zip(*known.points(), strict=True)
    assert sorted(np.concatenate(rows)) == list(range(60))
    expected = evaluation_known.points_of(sample[:60], SITES.describe(sample[:60]))
    for part, own in zip(rows, points, strict=True):
        np.testing.assert_allclose(own.structures, expected.structures[part], rtol=1e-6)
        np.testing.assert_array_equal(own.compositions, expected.compositions[part])


def test_distances_without_weight_are_found_anew(sample):
    first_only = CrystalDissimilarity(resolution="sites", group_weights=[1.0] + [0.0] * 99)
    (_, points), *_ = KnownCrystals(sample[:1], dissimilarity=first_only).points()
    expected = evaluation_known.points_of(sample[:1], SITES.describe(sample[:1]))
    np.testing.assert_allclose(points.structures, expected.structures)


def test_files_against_an_index(index, generated, tmp_path):
    generated.to_parquet(tmp_path / "some.parquet")
    report = evaluate_files(tmp_path / "some.parquet", tmp_path / "out", index, settings=QUICK)
    direct = evaluate_crystals(generated, index, settings=QUICK)
    pd.testing.assert_frame_equal(report.evaluation.measures, direct.measures)


def test_a_fingerprint_tells_crystals_ids_and_dissimilarity(index, sample, tmp_path):
    same = KnownCrystals.from_index(index).fingerprint()
    build_index(tmp_path / "again", sample[:40], IDS[:40], dissimilarity=SITES)
    add_to_index(tmp_path / "again", sample[40:60], IDS[40:])
    assert KnownCrystals.from_index(tmp_path / "again").fingerprint() == same
    build_index(tmp_path / "other", sample[:60], [*IDS[:59], "other"], dissimilarity=SITES)
    identity = CrystalDissimilarity(resolution="sites", elements="identity")
    fingerprints = {
        same,
        KnownCrystals.from_index(tmp_path / "other").fingerprint(),
        KnownCrystals(sample[:60], IDS).fingerprint(),
        KnownCrystals(sample[:60]).fingerprint(),
        KnownCrystals(sample[:60], IDS, dissimilarity=identity).fingerprint(),
    }
    assert len(fingerprints) == 5


def test_ids_that_stand_for_several(sample, tmp_path):
    with pytest.warns(UserWarning, match="1 ids stand for more than one crystal"):
        build_index(tmp_path / "index", sample[:3], ["a", "b", "a"], dissimilarity=SITES)
    with pytest.warns(UserWarning, match="1 ids stand for several known crystals, a first"):
        assert KnownCrystals.from_index(tmp_path / "index").ids == ["a (row 0)", "b", "a (row 2)"]


def test_what_is_refused(index, sample, tmp_path):
    build_index(tmp_path / "grid", sample[:3])
    with pytest.raises(ValueError, match="the index compares crystals by GRIDs"):
        evaluate_crystals(sample[:3], tmp_path / "grid")
    with pytest.raises(ValueError, match="was built with elements='graded', and elements='identity' is asked for"):
        evaluate_crystals(sample[:3], index, dissimilarity=CrystalDissimilarity(resolution="sites", elements="identity"))
    with pytest.raises(FileNotFoundError, match="there is no such index"):
        evaluate_crystals(sample[:3], str(tmp_path / "none"))
    build_index(tmp_path / "cut", sample[:3], dissimilarity=SITES)
    (file,) = tmp_path.glob("cut/segment-*/frac_coords.npy")
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(ValueError, match="cut short or damaged"):
        evaluate_crystals(sample[:3], tmp_path / "cut")


def test_the_command(index, generated, sample, tmp_path):
    generated.to_parquet(tmp_path / "some.parquet")
    arguments = ["evaluate", tmp_path / "some.parquet", "--sample", 10]
    done = run(*arguments, "--reference", index, "-o", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert (answer["known"], answer["measures"]["novel"]["value"]) == (60, 10 / 30)
    (tmp_path / "unfinished" / "segment-0").mkdir(parents=True)
    done = run(*arguments, "--reference", tmp_path / "unfinished", "-o", tmp_path / "none")
    assert done.exit_code == 1
    assert "the index was never finished" in done.output


def test_the_embedded_crystals_are_indexed_once(sample, monkeypatch):
    few = load_mp_elasticity_table()
    few = type(few)(*(getattr(few, name)[:25] for name in vars(few)))
    for module in ("embedded", "evaluation_known"):
        monkeypatch.setattr(f"matminer_grid.similarity.{module}.load_mp_elasticity_table", lambda: few)
    own = CrystalDissimilarity(resolution="sites", neighbor_weight=2.0)  # whose index is in no other test's cache
    known = KnownCrystals.embedded(own)
    assert known.ids == few.material_id.tolist()
    assert embedded_path(own).is_dir()
    monkeypatch.setattr("matminer_grid.similarity.embedded.build_index", None)
    assert KnownCrystals.embedded(own).fingerprint() == known.fingerprint()


def test_the_embedded_crystals_without_a_cache(monkeypatch):
    few = load_mp_elasticity_table()
    few = type(few)(*(getattr(few, name)[:25] for name in vars(few)))
    for module in ("embedded", "evaluation_known"):
        monkeypatch.setattr(f"matminer_grid.similarity.{module}.load_mp_elasticity_table", lambda: few)

    def build_index(*_, **__):
        raise OSError("read-only")

    monkeypatch.setattr("matminer_grid.similarity.embedded.build_index", build_index)
    with pytest.warns(UserWarning, match="can't be kept"):
        known = KnownCrystals.embedded(CrystalDissimilarity(resolution="sites", neighbor_weight=3.0))
    assert (known.ids, len(known.crystals)) == (few.material_id.tolist(), 25)
