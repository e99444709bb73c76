"""Crystals into one Parquet file, and out of it again."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from matminer_grid import CrystalTable
from matminer_grid.io import export_crystals, import_crystals, load_crystals, read_provenance, read_structures_from, save_crystals
from matminer_grid.io.convert import ROW_GROUP
from matminer_grid.io.export import file_stems
from tests.conftest import rock_salt


def alloy() -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.73), [{"Cu": 0.75, "Au": 0.25}], [[0, 0, 0]])


def same(crystals: CrystalTable, others: CrystalTable, tolerance: float = 0.0) -> None:
    for name in ("site_offsets", "species_offsets", "numbers", "site_index"):
        np.testing.assert_array_equal(getattr(crystals, name), getattr(others, name))
    for name in ("lattices", "frac_coords", "occupancies"):
        np.testing.assert_allclose(getattr(crystals, name), getattr(others, name), rtol=0, atol=tolerance)


class TestSave:
    def test_load_gives_what_was_saved(self, sample, tmp_path):
        crystals = CrystalTable.from_crystals([*sample[:3], *CrystalTable.from_structures([alloy()])])
        properties = pd.DataFrame({"material_id": list("abcd"), "K_VRH": [1.0, np.nan, 3.0, 4.0], "n": [1, 2, 3, 4]})
        save_crystals(tmp_path / "a.parquet", crystals, properties, {"source": "a test"})
        loaded, loaded_properties = load_crystals(tmp_path / "a.parquet")
        same(crystals, loaded)
        pd.testing.assert_frame_equal(loaded_properties, properties, check_dtype=False)
        assert read_provenance(tmp_path / "a.parquet")["source"] == "a test"

    @pytest.mark.parametrize(
        ("properties", "message"),
        [
            ({"K_VRH": [1.0]}, "2 crystals need as many rows of properties, not 1"),
            ({"lattice": [1, 2]}, "the properties lattice are named like columns of crystals"),
        ],
    )
    def test_properties_that_do_not_fit(self, sample, tmp_path, properties, message):
        with pytest.raises(ValueError, match=message):
            save_crystals(tmp_path / "a.parquet", sample[:2], pd.DataFrame(properties))
        assert not list(tmp_path.iterdir())


class TestImport:
    def test_good_and_bad_files(self, tmp_path):
        folder = tmp_path / "in"
        folder.mkdir()
        rock_salt().to(str(folder / "a.cif"), fmt="cif")
        (folder / "b.cif").write_text("data_nothing\n")
        alloy().to(str(folder / "c.json"), fmt="json")
        report = import_crystals(folder, tmp_path / "out.parquet")
        assert (report.n_crystals, list(report.errors)) == (2, [str(folder / "b.cif")])
        crystals, properties = load_crystals(report.output)
        assert [crystal.formula for crystal in crystals] == ["Na4 Cl4", "Cu3 Au1"]
        assert properties["name"].tolist() == [str(folder / "a.cif"), str(folder / "c.json")]
        assert read_provenance(report.output)["source"] == str(folder)

    def test_more_than_one_row_group_with_and_without_disorder(self, sample, tmp_path):
        ordered = sample[np.zeros(ROW_GROUP + 5, np.int64)]
        crystals = CrystalTable.from_crystals([*ordered, *CrystalTable.from_structures([alloy()])])
        crystals.to_parquet(tmp_path / "in.parquet")
        assert import_crystals(tmp_path / "in.parquet", tmp_path / "out.parquet").n_crystals == len(crystals)
        same(load_crystals(tmp_path / "out.parquet")[0], crystals)

    def test_nothing_to_import(self, tmp_path):
        (tmp_path / "a.cif").write_text("data_nothing\n")
        with pytest.raises(ValueError, match=r"no crystal in .*a\.cif: .*a\.cif: "):
            import_crystals(tmp_path / "a.cif", tmp_path / "out.parquet")
        assert [path.name for path in tmp_path.iterdir()] == ["a.cif"]

    def test_existing_output(self, sample, tmp_path):
        sample[:2].to_parquet(tmp_path / "in.parquet")
        (tmp_path / "out.parquet").write_text("mine")
        with pytest.raises(FileExistsError, match="choose another name"):
            import_crystals(tmp_path / "in.parquet", tmp_path / "out.parquet")
        assert (tmp_path / "out.parquet").read_text() == "mine"
        assert import_crystals(tmp_path / "in.parquet", tmp_path / "out.parquet", overwrite=True).n_crystals == 2


class TestExport:
    @pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
    def test_json_lines(self, sample, tmp_path, name):
        properties = pd.DataFrame({"K_VRH": [1.5, np.nan, 2.5]})
        assert export_crystals(tmp_path / name, sample[:3], ["x", "y", "z"], properties) == {}
        content = (tmp_path / name).read_bytes()
        lines = [json.loads(line) for line in (gzip.decompress(content) if name.endswith("gz") else content).splitlines()]
        assert [(line["name"], line["K_VRH"]) for line in lines] == [("x", 1.5), ("y", None), ("z", 2.5)]
        assert Structure.from_dict(lines[0]["structure"]) == sample[0].to_structure()
        same(CrystalTable.from_crystals(record.crystal for record in read_structures_from(tmp_path / name)), sample[:3], 1e-12)

    @pytest.mark.parametrize(("fmt", "suffix"), [("cif", ".cif"), ("poscar", ".vasp")])
    def test_folder(self, sample, tmp_path, fmt, suffix):
        export_crystals(tmp_path / "out", sample[:5], [f"mp-{row}" for row in range(5)], fmt=fmt)
        for row, crystal in enumerate(sample[:5]):
            (record,) = read_structures_from(tmp_path / "out" / f"mp-{row}{suffix}")
            assert record.crystal.n_sites == crystal.n_sites
            assert record.crystal.volume == pytest.approx(crystal.volume, rel=1e-6)

    def test_disorder_needs_cif(self, tmp_path):
        crystals = CrystalTable.from_structures([alloy(), rock_salt()])
        assert export_crystals(tmp_path / "cifs", crystals) == {}
        failed = export_crystals(tmp_path / "poscars", crystals, fmt="poscar")
        assert list(failed) == [0]
        assert "write CIFs instead" in failed[0]
        assert [path.name for path in (tmp_path / "poscars").iterdir()] == ["1.vasp"]

    def test_hostile_names_stay_in_the_folder(self, sample, tmp_path):
        export_crystals(tmp_path / "out", sample[:4], ["../../a", "/etc/b", ".", "a\x00b"], fmt="poscar")
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.vasp", "a_b.vasp", "etc_b.vasp", "row-2.vasp"]
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    def test_what_is_there_is_kept(self, sample, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine").write_text("mine")
        (tmp_path / "a.jsonl").write_text("mine")
        for name in ("out", "a.jsonl"):
            with pytest.raises(FileExistsError, match="choose another name"):
                export_crystals(tmp_path / name, sample[:2])
        assert (tmp_path / "a.jsonl").read_text() == "mine"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"fmt": "pdb"}, "fmt must be one of 'cif', 'poscar', 'xyz', not 'pdb'"),
            ({"names": ["a"]}, "2 crystals need as many names, not 1"),
            ({"properties": pd.DataFrame({"K": [1.0]})}, "2 crystals need as many rows of properties, not 1"),
        ],
    )
    def test_bad_options(self, sample, tmp_path, options, message):
        with pytest.raises(ValueError, match=message):
            export_crystals(tmp_path / "out", sample[:2], **options)
        assert not list(tmp_path.iterdir())


def test_names_of_files_differ_whatever_the_case():
    stems = file_stems(["x" * 500, "x" * 501, "Li2O", "LI2O", "", "..."])
    assert len({stem.lower() for stem in stems}) == 6
    assert max(map(len, stems)) < 140
