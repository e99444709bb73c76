"""Files carry the version of their format, and one that isn't known is refused by name."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from matminer_grid import CrystalTable, GRIDFeaturizer
from matminer_grid.crystals import _arrow
from matminer_grid.io import import_crystals, load_crystals, read_structures_from
from matminer_grid.models import storage
from matminer_grid.pipeline import _parts, featurize_files, load_emd_matrix, load_features
from matminer_grid.similarity import index_files
from tests.conftest import perovskite

UNKNOWN = r"format 9; this is matminer-grid .*, which reads format 1"


def with_metadata(path, **changes: bytes):
    """Write a Parquet file again, with other entries of its schema's metadata."""
    table = pq.read_table(path)
    metadata = (table.schema.metadata or {}) | {name.encode(): value for name, value in changes.items()}
    pq.write_table(table.replace_schema_metadata(metadata), path)


class TestCrystals:
    @pytest.fixture(params=["to_parquet", "import_crystals"])
    def file(self, request, tmp_path):
        path = tmp_path / "crystals.parquet"
        if request.param == "to_parquet":
            CrystalTable.from_structures([perovskite()]).to_parquet(path)
        else:
            perovskite().to(filename=str(tmp_path / "a.cif"))
            import_crystals(tmp_path / "a.cif", path)
        return path

    def test_what_is_written_says_it(self, file):
        assert pq.read_schema(file).metadata[b"matminer_grid.format"] == b"1"
        assert len(load_crystals(file)[0]) == 1

    def test_another_one_is_refused(self, file):
        with_metadata(file, **{"matminer_grid.format": b"9"})
        with pytest.raises(ValueError, match=rf"^{file}: the crystals are in {UNKNOWN}: read them"):
            load_crystals(file)
        with pytest.raises(ValueError, match=UNKNOWN):
            CrystalTable.from_parquet(file)
        (record,) = read_structures_from(file)
        assert record.crystal is None
        assert record.error.startswith("the crystals are in format 9")

    def test_files_that_say_nothing_are_read(self, file):
        pq.write_table(pq.read_table(file).replace_schema_metadata(None), file)
        assert len(load_crystals(file)[0]) == 1


class TestFeatures:
    @pytest.fixture
    def inputs(self, tmp_path):
        perovskite().to(filename=str(tmp_path / "a.cif"))
        return tmp_path / "a.cif"

    FEATURIZER = GRIDFeaturizer(cutoff=4.0, bin_size=1.0, n_groups=2)

    def test_one_file(self, inputs, tmp_path):
        out = tmp_path / "out.parquet"
        featurize_files(inputs, out, self.FEATURIZER)
        settings = json.loads(pq.read_schema(out).metadata[b"matminer_grid"])
        assert settings["format"] == 1
        with_metadata(out, matminer_grid=json.dumps(settings | {"format": 9}).encode())
        with pytest.raises(ValueError, match=rf"^{out}: it is in format 9, of matminer-grid .*: compute it again"):
            load_features(out)

    def test_a_folder_is_not_gone_on_with(self, inputs, tmp_path):
        out = tmp_path / "out"
        featurize_files(inputs, out, self.FEATURIZER)
        settings = json.loads((out / "run.json").read_bytes())
        (out / "run.json").write_text(json.dumps(settings | {"format": 9}), encoding="utf-8")
        with pytest.raises(ValueError, match="the folder was begun with format 9, not 1; choose another one"):
            featurize_files(inputs, out, self.FEATURIZER)

    def test_a_matrix(self, tmp_path):
        (tmp_path / "run.json").write_text(json.dumps({"content": "EMD matrix", "format": 9}), encoding="utf-8")
        with pytest.raises(ValueError, match=rf"^{tmp_path}: it is in format 9, of matminer-grid unknown"):
            load_emd_matrix(tmp_path, np.empty((1, 1)))


PAGE = Path(__file__).parents[1] / "docs" / "platforms.md"


def test_the_page_says_each_format():
    rows = re.findall(r"^\| (Parquet|features|models|index)\b.*?\|.*?\| (\d+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    now = {"Parquet": int(_arrow.FORMAT), "features": _parts.FORMAT, "models": storage.FORMAT, "index": index_files.FORMAT}
    assert {name: int(number) for name, number in rows} == now
