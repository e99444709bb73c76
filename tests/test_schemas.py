"""What --json prints is what its schema says, nothing less and nothing more."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matminer_grid.cli.schemas import SCHEMAS, field_rows
from tests.commands import run
from tests.conftest import perovskite, rock_salt
from tests.test_help import ALL

jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema, of the extra [test]")


@pytest.fixture(scope="module")
def folder(sample, tmp_path_factory):
    folder = tmp_path_factory.mktemp("schemas")
    perovskite().to(filename=str(folder / "SrTiO3.cif"))
    rock_salt().to(filename=str(folder / "NaCl.cif"))
    (rock_salt() * (2, 1, 1)).to(filename=str(folder / "again.cif"))
    (folder / "bad.cif").write_text("data_x")
    sample[:30].to_parquet(folder / "known.parquet")
    volumes = [crystal.volume / crystal.n_sites for crystal in sample[:40]]
    large = [volume > sorted(volumes)[20] for volume in volumes]
    table = sample[:40].to_arrow().append_column("volume", pa.array(volumes)).append_column("large", pa.array(large))
    pq.write_table(table, folder / "volumes.parquet")
    return folder


CALLS = (
    "featurize NaCl.cif bad.cif -o features.parquet --cutoff 4",
    "compare NaCl.cif SrTiO3.cif",
    "similar NaCl.cif SrTiO3.cif -k 2 --reference known.parquet",
    "similar NaCl.cif -k 2 --reference known.parquet --metric grid",
    "similar NaCl.cif --reference volumes.parquet --prototype",
    "duplicates NaCl.cif again.cif SrTiO3.cif --margin 9",
    "duplicates NaCl.cif again.cif --tolerance 0.3 --any-formula",
    "evaluate NaCl.cif again.cif known.parquet -o out --reference known.parquet",
    "explore volumes.parquet -o map.html -k 3",
    "data import NaCl.cif bad.cif -o imported.parquet",
    "data export known.parquet -o exported.jsonl",
    "data info volumes.parquet",
    "data info",
    "index build known.parquet -o my.index",
    "index add my.index NaCl.cif",
    "index info my.index",
    "train volumes.parquet --target volume --folds 2 -o volume.npz",
    "train volumes.parquet --target volume --folds 2 --groups distinct",
    "train volumes.parquet --target large --classify --folds 2 -o large.npz",
    "predict NaCl.cif --model volume.npz -k 2",
    "predict NaCl.cif --model large.npz -k 0",
    "predict NaCl.cif --limit 40 -k 1",
)


def schema_of(call: str) -> dict:
    first, second, *_ = call.split()
    return SCHEMAS[first if first in SCHEMAS else f"{first} {second}"]


@pytest.mark.parametrize("call", CALLS)
def test_real_output(folder, call):
    if call.startswith("explore"):
        pytest.importorskip("chemiscope", reason="needs chemiscope: pip install 'matminer-grid[explore]'")
    done = run(*call.split(), "--json", cwd=folder)
    assert done.returncode == (1 if "bad.cif" in call else 0), done.stderr
    jsonschema.validate(json.loads(done.stdout), schema_of(call))


def test_every_command_has_one_and_all_but_the_network_s_are_tried():
    assert set(SCHEMAS) == {" ".join(words) for words in ALL}
    tried = {id(schema_of(call)) for call in CALLS}
    assert {name for name, schema in SCHEMAS.items() if id(schema) not in tried} == {"data fetch"}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=list(SCHEMAS))
def test_schemas_are_schemas_and_say_what_each_field_is(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    rows = field_rows(schema)
    assert rows
    assert all(text for path, _, text in rows if not path.endswith("[]"))
    assert len({path for path, _, _ in rows}) == len(rows)


@pytest.mark.parametrize("wrong", [{"index": "a"}, {"index": "a", "crystals": -1, "added": 1, "errors": {}}, []])
def test_other_output_is_refused(wrong):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMAS["index build"])
