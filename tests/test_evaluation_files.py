"""Evaluations of files: what is written, resumed and refused, and the command."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matminer_grid import CrystalTable, EvaluationSettings, KnownCrystals, evaluate_crystals
from matminer_grid.io import export_crystals, load_crystals
from matminer_grid.pipeline import evaluate_files, evaluation
from tests.commands import run

QUICK = EvaluationSettings(sample=30, n_bootstrap=20, n_permutations=20)


@pytest.fixture(scope="module")
def known(sample) -> KnownCrystals:
    return KnownCrystals(sample[:40], [f"id-{row}" for row in range(40)])


@pytest.fixture(scope="module")
def generated(sample, tmp_path_factory):
    """A Parquet file of crystals, some of them known, with energies."""
    path = tmp_path_factory.mktemp("generated") / "some.parquet"
    table = sample[30:55].to_arrow().append_column("e_above_hull", pa.array([0.0] * 5 + [None] + [1.0] * 19))
    pq.write_table(table, path)
    return path


def test_files_are_evaluated_as_crystals_are(generated, known, sample, tmp_path):
    report = evaluate_files(generated, tmp_path / "out", known, settings=QUICK)
    energies = [0.0] * 5 + [np.nan] + [1.0] * 19
    direct = evaluate_crystals(sample[30:55], known, energy_above_hull=energies, settings=QUICK)
    pd.testing.assert_frame_equal(report.evaluation.measures, direct.measures)
    crystals, frame = load_crystals(tmp_path / "out" / "crystals.parquet")
    pd.testing.assert_frame_equal(frame.drop(columns="name"), direct.crystals.drop(columns="name"), check_like=True)
    assert frame["name"].tolist() == [f"{generated}:{row}" for row in range(25)]
    assert crystals[3].formula == sample[33].formula
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert written == json.loads(json.dumps(direct.to_dict() | {"failed": 0}))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["crystals.parquet", "evaluation.json"]
    with pytest.raises(FileExistsError, match="holds an evaluation already"):
        evaluate_files(generated, tmp_path / "out", known)
    again = evaluate_files(generated, tmp_path / "out", known, settings=QUICK, overwrite=True)
    pd.testing.assert_frame_equal(again.evaluation.measures, direct.measures)


def test_a_run_that_was_stopped_goes_on(generated, known, tmp_path, monkeypatch):
    monkeypatch.setattr("matminer_grid.pipeline.evaluation.PART_SIZE", 10)
    calls = []

    def crystal_rows(crystals, *arguments, **options):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(len(crystals))
        return original(crystals, *arguments, **options)

    original = evaluation.crystal_rows
    monkeypatch.setattr(evaluation, "crystal_rows", crystal_rows)
    with pytest.raises(KeyboardInterrupt):
        evaluate_files(generated, tmp_path / "out", known, settings=QUICK)
    assert len(list((tmp_path / "out" / "parts").glob("part-*.parquet"))) == 2
    calls.pop()
    with pytest.raises(ValueError, match=r"begun with tolerance \{'volume': .*\}, not \{'dissimilarity': 0\.1\}"):
        evaluate_files(generated, tmp_path / "out", known, tolerance=0.1, settings=QUICK)
    report = evaluate_files(generated, tmp_path / "out", known, settings=QUICK)
    assert calls == [10, 5]
    assert (report.files.n_rows, report.files.n_resumed) == (25, 20)
    monkeypatch.setattr(evaluation, "crystal_rows", original)
    whole = evaluate_files(generated, tmp_path / "whole", known, settings=QUICK)
    pd.testing.assert_frame_equal(report.evaluation.crystals, whole.evaluation.crystals)
    pd.testing.assert_frame_equal(report.evaluation.measures, whole.evaluation.measures)


@pytest.mark.parametrize("kind", ["folder", "jsonl", "xyz", "zip"])
def test_formats(kind, sample, known, tmp_path):
    inputs = tmp_path / ("crystals" if kind in {"folder", "zip"} else f"crystals.{kind}")
    export_crystals(inputs, sample[38:42])
    inputs = shutil.make_archive(str(inputs), "zip", inputs) if kind == "zip" else inputs
    report = evaluate_files(inputs, tmp_path / "out", known, settings=QUICK)
    assert report.evaluation.crystals["known_as"].tolist() == ["id-38", "id-39", None, None]


def test_unreadable_members(generated, known, tmp_path):
    (tmp_path / "bad.cif").write_text("data_\n")
    report = evaluate_files([generated, tmp_path / "bad.cif"], tmp_path / "out", known, settings=QUICK)
    assert (report.files.n_rows, report.files.n_failed, len(report.evaluation.crystals)) == (25, 1, 25)
    assert report.files.errors_file == tmp_path / "out" / "errors.jsonl"
    assert json.loads(report.files.errors_file.read_text().splitlines()[0])["name"] == str(tmp_path / "bad.cif")
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["failed"] == 1
    with pytest.raises(ValueError, match="none of the 1 generated crystals can be evaluated"):
        evaluate_files(tmp_path / "bad.cif", tmp_path / "none", known, settings=QUICK)


def test_the_command(generated, sample, tmp_path):
    reference = tmp_path / "known.parquet"
    table = sample[:40].to_arrow().append_column("material_id", pa.array([f"id-{row}" for row in range(40)]))
    pq.write_table(table, reference)
    arguments = ["evaluate", generated, "--reference", reference, "-o", tmp_path / "out", "--sample", 30]
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert "id-30" in done.stdout
    assert "25 crystals against 40 known ones" in done.stdout
    again = run(*arguments, "--json")
    assert (again.returncode, again.stderr.count("Traceback")) == (1, 0)
    assert "holds an evaluation already" in again.stderr
    (tmp_path / "bad.cif").write_text("data_\n")
    third = run(*arguments, tmp_path / "bad.cif", "--json", "--overwrite")
    assert third.returncode == 1
    answer = json.loads(third.stdout)
    assert (answer["evaluated"], answer["failed"], answer["known"]) == (25, 1, 40)
    assert answer["measures"]["novel"]["value"] == 15 / 25
    assert "crystals that failed: 1" in third.stderr


def test_the_command_by_parts(generated, sample, tmp_path):
    reference = tmp_path / "known.parquet"
    sample[:40].to_parquet(reference)
    table = replace(sample[30:55], lattices=sample[30:55].lattices * 1.02)  # 6 % of volume
    table.to_parquet(tmp_path / "expanded.parquet")
    arguments = ["evaluate", tmp_path / "expanded.parquet", "--reference", reference, "--sample", 30, "--json"]
    for options, novel in (((), 25), (("--volume", "0.07"), 15), (("--volume", "0.05", "--geometry", "0"), 25)):
        done = run(*arguments, "-o", tmp_path / f"out{'-'.join(options)}", *options)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert (answer["measures"]["novel"]["value"], answer["tolerance"]["surroundings"]) == (novel / 25, 0.09)
    both = run(*arguments, "-o", tmp_path / "both", "--volume", 0.1, "--tolerance", 0.1)
    assert both.returncode == 1
    assert "--tolerance is one number instead of --volume: give either" in both.stderr


def test_a_reference_that_is_empty(generated, tmp_path):
    CrystalTable.from_crystals([]).to_parquet(tmp_path / "none.parquet")
    done = run("evaluate", generated, "--reference", tmp_path / "none.parquet", "-o", tmp_path / "out")
    assert done.returncode == 1
    assert "the file holds no crystals" in done.stderr
