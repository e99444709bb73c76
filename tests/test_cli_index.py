"""The commands on indexes, and those that take one."""

import json

import pytest
from typer.testing import CliRunner

from matminer_grid import CrystalIndex
from matminer_grid.cli import app
from matminer_grid.io import save_crystals


def run(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture
def data(sample, tmp_path):
    """Files of crystals with and without ids, and one that is broken."""
    import pandas as pd

    ids = pd.DataFrame({"material_id": [f"m-{row}" for row in range(30)]})
    save_crystals(tmp_path / "named.parquet", sample[:30], ids, {})
    sample[30:35].to_parquet(tmp_path / "more.parquet")
    (tmp_path / "broken.cif").write_text("data_\n")
    sample[7].to_structure().to(filename=str(tmp_path / "7.vasp"), fmt="poscar")
    return tmp_path


def test_build_add_info_and_similar(data):
    done = run(
        "index", "build", data / "named.parquet", data / "broken.cif", "-o", data / "index", "--elements", "identity", "--json"
    )
    assert done.exit_code == 1
    answer = json.loads(done.stdout)
    assert (answer["crystals"], answer["added"], list(answer["errors"])) == (30, 30, [str(data / "broken.cif")])
    done = run("index", "add", data / "index", data / "more.parquet")
    assert done.exit_code == 0, done.output
    assert f"5 crystals added to {data / 'index'}, which has 35" in done.output
    answer = json.loads(run("index", "info", data / "index", "--json").stdout)
    assert (answer["crystals"], answer["segments"], answer["dissimilarity"]["elements"]) == (35, [30, 5], "identity")
    assert "35" in run("index", "info", data / "index", "--sizes-only").stdout

    (nearest,) = json.loads(run("similar", data / "7.vasp", "-k", 2, "--against", data / "index", "--json").stdout)
    assert nearest["nearest"][0]["material"] == "m-7"
    assert nearest["nearest"][0]["dissimilarity"] == 0
    assert {"material": "m-7", "dissimilarity": 0.0} in nearest["known_as"]
    from_file = run("similar", data / "7.vasp", "-k", 2, "--against", data / "named.parquet", "--elements", "identity", "--json")
    assert json.loads(from_file.stdout)[0]["nearest"][0] == nearest["nearest"][0]
    done = run("similar", data / "7.vasp", "--against", data / "index", "--metric", "grid")
    assert done.exit_code == 1
    assert "was built with resolution='sites', and resolution='grid' is asked for" in done.output


def test_what_is_refused(data):
    run("index", "build", data / "named.parquet", "-o", data / "index", "--metric", "grid")
    before = CrystalIndex(data / "index").manifest
    for arguments, message in (
        (("build", data / "more.parquet", "-o", data / "index"), "there is an index already"),
        (("add", data / "index", data / "named.parquet"), "the id 'm-0' already; nothing was added"),
        (("add", data / "index", data / "broken.cif"), "there is no crystal to be put into the index"),
        (("add", data / "none", data / "more.parquet"), "there is no such index"),
        (("info", data), "no index"),
    ):
        done = run("index", *arguments)
        assert done.exit_code == 1
        assert message in done.output
        assert "Traceback" not in done.output
    assert CrystalIndex(data / "index").manifest == before
    done = run("index", "build", data / "more.parquet", "-o", data / "index", "--overwrite", "--json")
    assert json.loads(done.stdout)["crystals"] == 5
