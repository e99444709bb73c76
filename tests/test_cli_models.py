"""The commands predict and similar."""

import json

import pytest
from typer.testing import CliRunner

from matminer_grid import CrystalTable
from matminer_grid.cli import app
from matminer_grid.datasets import load_mp_elasticity_table
from tests.conftest import perovskite, rock_salt

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("structures")
    rock_salt().to(filename=str(folder / "salt.cif"))
    perovskite().to(filename=str(folder / "perovskite.vasp"), fmt="poscar")
    return folder


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_predict_as_json(folder):
    done = run("predict", folder, "--limit", 60, "-k", 2, "--json")
    assert done.exit_code == 0, done.output
    answers = {answer["formula"]: answer for answer in json.loads(done.stdout)}
    salt = answers["Na4 Cl4"]
    low, high = salt["K_VRH"]["interval"]
    assert 0 < low < salt["K_VRH"]["value"] < high
    assert set(salt) == {"file", "formula", "warnings", "K_VRH", "G_VRH", "applicability", "rests_on"}
    assert len(salt["rests_on"]) == 2


def test_predict_names_what_it_cannot_read(folder, tmp_path):
    bad = tmp_path / "bad.cif"
    bad.write_text("nonsense")
    done = run("predict", folder / "salt.cif", bad, "--limit", 60)
    assert done.exit_code == 1
    assert "bad.cif" in done.stderr
    assert "K_VRH" in done.stdout
    empty = tmp_path / "empty"
    empty.mkdir()
    done = run("predict", empty)
    assert done.exit_code == 2  # nothing to do
    assert "no structure files" in done.stderr


def test_similar(folder, tmp_path):
    data = tmp_path / "known.parquet"
    known = [*load_mp_elasticity_table().crystals[:30], *CrystalTable.from_structures([rock_salt()])]
    CrystalTable.from_crystals(known).to_parquet(data)
    done = run("similar", folder / "salt.cif", "-k", 3, "--against", data, "--json")
    assert done.exit_code == 0, done.output
    nearest = json.loads(done.stdout)[0]["nearest"]
    assert nearest[0]["material"] == "30"
    assert nearest[0]["dissimilarity"] == 0
    for line in nearest:
        parts = 10 * line["distances"] + line["elements"] + line["surroundings"]
        assert line["dissimilarity"] == pytest.approx(parts, abs=2e-3)
    assert "grid emd" in run("similar", folder / "salt.cif", "--against", data, "--metric", "grid").stdout
