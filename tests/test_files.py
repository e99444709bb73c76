"""Structure files of all kinds, whole and broken.

The long fuzz run, 30,000 inputs in about 4 minutes: HYPOTHESIS_PROFILE=long pytest tests/test_files.py -k fuzz -o timeout=1200
"""

import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
import warnings
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joblib import Parallel, delayed
from pymatgen.core import Lattice, Molecule, Structure

from matminer_grid import Crystal, CrystalTable
from matminer_grid.datasets import load_matminer_dataset, matminer_data
from matminer_grid.io import (
    crystal_from_dict,
    files,
    find_structure_files,
    formats,
    load_crystals,
    parquet,
    read_provenance,
    read_structures_from,
    records,
)
from matminer_grid.io.files import count_structures
from matminer_grid.io.writers import write_xyz
from tests.conftest import REAL, diamond, disordered_alloy, hcp, rock_salt, wustite

CIF = rock_salt().to(fmt="cif").encode()
POSCAR = rock_salt().to(fmt="poscar").encode()
JSON = rock_salt().to_json().encode()


def read(*paths, n_jobs=1):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it summarises what the records have
        return list(read_structures_from(paths, n_jobs=n_jobs))


def error_of(path):
    (record,) = read(path)
    assert record.crystal is None
    return record.error


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def same(crystal: Crystal, other: Crystal) -> None:
    np.testing.assert_array_equal(crystal.lattice, other.lattice)
    np.testing.assert_array_equal(crystal.frac_coords, other.frac_coords)
    np.testing.assert_array_equal(crystal.numbers, other.numbers)
    np.testing.assert_array_equal(crystal.occupancies, other.occupancies)
    np.testing.assert_array_equal(crystal.site_index, other.site_index)


def alike(crystal: Crystal, other: Crystal, tolerance: float = 1e-12) -> None:
    """Compare crystals whose sites may come in another order, and in other images of the cell."""
    np.testing.assert_allclose(crystal.lattice, other.lattice, rtol=0, atol=100 * tolerance)
    for contents in ((crystal, other), (other, crystal)):
        first, second = (CrystalTable.from_crystals([one]) for one in contents)
        apart = first.frac_coords[first.site_index][:, None] - second.frac_coords[second.site_index]
        near = (np.abs(apart - np.rint(apart)) <= tolerance).all(axis=2)
        near &= first.numbers[:, None] == second.numbers
        near &= np.abs(first.occupancies[:, None] - second.occupancies) <= tolerance
        assert (near.sum(axis=1) == 1).all()


class TestFormats:
    @pytest.mark.parametrize("name", ["a.cif", "POSCAR", "CONTCAR_relaxed", "a.vasp", "a.json", "a.cssr", "a.xsf", "a.res"])
    def test_as_pymatgen_reads_it(self, tmp_path, name):
        rock_salt().to(filename=tmp_path / name, fmt="poscar" if "CAR" in name or name == "a.vasp" else "")
        (record,) = read(tmp_path / name)
        assert record.name == str(tmp_path / name)
        assert (record.notes, record.warnings) == ((), ())
        alike(record.crystal, Crystal.from_structure(Structure.from_file(tmp_path / name)))

    @pytest.mark.parametrize("ending", ["gz", "bz2", "xz"])
    def test_packed(self, tmp_path, ending):
        module = __import__({"gz": "gzip", "bz2": "bz2", "xz": "lzma"}[ending])
        (record,) = read(write(tmp_path / f"NaCl.CIF.{ending}", module.compress(CIF)))
        assert record.crystal.formula == "Na4 Cl4"

    def test_dictionaries_as_pymatgen_reads_them(self, real):
        entry = json.loads(real.to_json())
        same(crystal_from_dict(entry), Crystal.from_structure(Structure.from_dict(entry)))

    def test_lattice_by_parameters(self):
        entry = rock_salt().as_dict()
        entry["lattice"] = {"a": 5.64, "b": 5.64, "c": 5.64, "alpha": 90, "beta": 90, "gamma": 90}
        assert crystal_from_dict(entry).volume == pytest.approx(5.64**3)

    def test_records_and_lists(self, tmp_path):
        content = json.dumps([{"id": 1, "structure": hcp().as_dict()}, {"structure": diamond().to_json()}])
        records = read(write(tmp_path / "two.json", content.encode()))
        assert [record.name.rpartition("/")[2] for record in records] == ["two.json#1", "two.json#2"]
        assert [record.crystal.formula for record in records] == ["Mg2", "C8"]

    def test_bad_entries_of_a_list_cost_no_other(self, tmp_path):
        records = read(write(tmp_path / "a.json", b"[" + JSON + b", {}, " + JSON + b"]"))
        assert [record.error is None for record in records] == [True, False, True]
        assert records[1].name == f"{tmp_path}/a.json#2"
        assert "the keys 'lattice' and 'sites' are needed" in records[1].error

    def test_several_blocks_of_a_cif(self, tmp_path):
        blocks = hcp().to(fmt="cif").encode() + CIF
        records = read(write(tmp_path / "two.cif", blocks))
        assert [record.crystal.formula for record in records] == ["Mg2", "Na4 Cl4"]

    def test_special_positions_are_made_exact_without_a_word(self, tmp_path, recwarn, capfd):
        hcp().to(filename=tmp_path / "hcp.cif", symprec=0.01)
        recwarn.clear()
        (record,) = read(tmp_path / "hcp.cif")
        np.testing.assert_allclose(record.crystal.frac_coords[0], [1 / 3, 2 / 3, 0.25], atol=1e-15)
        assert (record.notes, record.warnings) == ((), ())
        assert not recwarn.list
        assert capfd.readouterr() == ("", "")

    def test_species_that_are_no_elements(self, tmp_path):
        with pytest.warns(UserWarning, match="1 structure was read with warnings, the first: .*POSCAR: species"):
            (record,) = read_structures_from(write(tmp_path / "POSCAR", POSCAR.replace(b"Na", b"Qx")))
        assert record.crystal.formula == "X4 Cl4"
        assert record.warnings == ("species that are no elements are read as dummies: site 0 (X), site 1 (X), site 2 (X) …",)

    def test_classes_in_json_are_not_imported(self):
        entry = rock_salt().as_dict()
        evil = {"@module": "tests.no_such_module", "@class": "Bomb", "@callable": "os.system"}
        entry["sites"][0]["properties"] = {"bomb": evil}
        entry |= evil | {"properties": {"bomb": evil}}
        assert crystal_from_dict(entry).n_sites == 8

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("a.cif", b"", "it is empty"),
            ("a.cif", CIF[: len(CIF) // 2], "line 21: parse error"),
            ("a.cif", b"nothing", r"line 1: expected block header \(data_\)"),
            ("POSCAR", b"", "it is empty"),
            ("POSCAR", b"x\n1.0\n3 0 0\n0 3 0\n0 0 3\n1\nDirect\n0 0 0\n", "doesn't name its elements"),
            ("POSCAR", POSCAR.replace(b"4 4", b"4 4000000000"), "it says that it has 4000000004 atoms"),
            ("a.json", b"{", "no valid JSON, or cut short"),
            ("a.json", b"\xff\xfe\x00", "it is no JSON"),
            ("a.json", b"[" * 100_000, "nested too deeply"),
            ("a.json", b"[]", "empty list"),
            ("a.json", b"3", "a dictionary .* is needed, not int"),
            ("a.json", b'{"a": 1}', "the keys 'lattice' and 'sites' are needed"),
            ("a.json", Molecule(["H"], [[0, 0, 0]]).to_json().encode(), "a molecule without a unit cell"),
            ("a.json", JSON.replace(b'"Na"', b'"Qx"'), "there is no element 'Qx'"),
            ("a.json", JSON.replace(b'"occu": 1', b'"occu": "many"'), "could not convert"),
            ("a.json", JSON.replace(b'"occu": 1', b'"occu": 2'), "occupancy 2"),
            ("a.json", JSON.replace(b'"abc"', b'"xyy"'), "no fractional coordinates 'abc'"),
            ("a.json", JSON.replace(b'"pbc": [true', b'"pbc": [false'), "periodic along all three axes"),
            ("a.json", JSON.replace(b"[5.64, 0.0", b"[NaN, 0.0"), "NaN"),
            ("a.json", b'{"lattice": {"matrix": 3}, "sites": [{"abc": 1}]}', "not what pymatgen's Structure.as_dict writes"),
            ("a.json", b'{"lattice": {"a": 3}, "sites": []}', "KeyError 'b'"),
            ("a.json", b'{"lattice": {"matrix": []}, "sites": []}', "no sites"),
            ("a.xyz", b"1\n\nH 0 0 0\n", "it has no Lattice: it is a molecule without a unit cell"),
            ("a.txt", b"", "files of this kind can't be read; CIF, POSCAR"),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path, name, content, message):
        path = write(tmp_path / name, content)
        assert re.search(message, error_of(path))


class TestFolders:
    def test_sorted_with_subfolders(self, tmp_path):
        for name in ("b/POSCAR", "b/a.json", "a.cif", "c.vasp", ".hidden.cif", ".git/x.cif", "readme.txt"):
            write(tmp_path / name, JSON if name.endswith("json") else CIF if name.endswith("cif") else POSCAR)
        found = [str(path.relative_to(tmp_path)) for path in find_structure_files(tmp_path)]
        assert found == ["a.cif", "b/POSCAR", "b/a.json", "c.vasp"]
        records = read(tmp_path)
        assert [record.name for record in records] == [str(tmp_path / name) for name in found]
        assert all(record.crystal.formula == "Na4 Cl4" for record in records)

    def test_links_to_folders_are_not_followed(self, tmp_path):
        write(tmp_path / "a" / "a.cif", CIF)
        (tmp_path / "a" / "loop").symlink_to(tmp_path)
        assert len(read(tmp_path)) == 1

    def test_bad_files_stop_nothing(self, tmp_path):
        write(tmp_path / "a.cif", CIF)
        write(tmp_path / "b.cif", b"broken")
        write(tmp_path / "c.cif", CIF)
        records = read(tmp_path, tmp_path / "missing.cif")
        assert [record.error is None for record in records] == [True, False, True, False]
        assert records[3].error == "there is no such file or folder"

    def test_empty_folder(self, tmp_path):
        assert error_of(tmp_path).startswith("the folder holds no structure files; CIF")
        with pytest.raises(ValueError, match="holds no structure files"):
            list(find_structure_files(tmp_path))

    def test_counted_before_they_are_read(self, tmp_path, sample):
        write(tmp_path / "a.cif", CIF)
        write(tmp_path / "b.cif", b"broken")
        sample[:7].to_parquet(tmp_path / "c.parquet")
        write(tmp_path / "d.parquet", b"broken")
        files = list(find_structure_files(tmp_path))
        assert count_structures(files) == 10
        for name in ("e.jsonl", "e.xyz", "e.zip", "XDATCAR", "e.db"):
            assert count_structures([*files, tmp_path / name]) is None

    def test_neither_file_nor_folder(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.cif")
        assert error_of(tmp_path / "pipe.cif") == "it is neither a file nor a folder"

    def test_unreadable_file(self, tmp_path, monkeypatch):
        path = write(tmp_path / "a.cif", CIF)

        def refuse(*args):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)
        assert error_of(path) == "it can't be opened: Permission denied"

    def test_absurd_sizes(self, tmp_path, monkeypatch):
        monkeypatch.setattr(formats, "MAX_FILE_SIZE", 100)
        monkeypatch.setattr("matminer_grid.io.archives.MAX_FILE_SIZE", 100)
        monkeypatch.setattr(files, "MAX_FILE_SIZE", 100)
        assert "the limit for one structure file" in error_of(write(tmp_path / "a.cif", CIF))
        assert "the limit for one structure file" in error_of(write(tmp_path / "a.cif.gz", gzip.compress(b"0" * 10**6)))
        assert "the rest of the file is not read" in error_of(write(tmp_path / "a.jsonl", JSON))
        with pytest.raises(ValueError, match="limit"):
            formats.parse_structures(CIF, "cif")

    def test_limit_is_50_mb(self, tmp_path):
        with (tmp_path / "a.cif").open("wb") as file:
            file.truncate(50_000_001)
        assert error_of(tmp_path / "a.cif") == "it has more than 50 MB, the limit for one structure file"

    def test_five_gigabytes_cost_the_others_nothing(self, tmp_path):
        with (tmp_path / "a.cif").open("wb") as file:
            file.truncate(5 * 10**9)
        write(tmp_path / "b.cif", CIF)
        huge, sound = read(tmp_path)
        assert huge.error == "it has more than 50 MB, the limit for one structure file"
        assert sound.crystal.formula == "Na4 Cl4"

    def test_sizes_that_are_not_true(self, tmp_path):
        packed = bytearray(gzip.compress(CIF))
        packed[-4:] = (1).to_bytes(4, "little")
        assert error_of(write(tmp_path / "a.cif.gz", packed)) == "it can't be opened: Incorrect length of data produced"
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in (("a.cif", CIF), ("b.cif", b"#" * 10**7), ("c.cif", CIF)):
                archive.writestr(name, content)
        content = (tmp_path / "a.zip").read_bytes()
        write(tmp_path / "a.zip", content.replace((10**7).to_bytes(4, "little"), (10).to_bytes(4, "little")))
        first, second, third = read(tmp_path / "a.zip")
        assert first.crystal.formula == third.crystal.formula == "Na4 Cl4"
        assert second.error == "it can't be unpacked: Bad CRC-32 for file 'b.cif'"

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_a_folder_that_changes_while_it_is_read(self, tmp_path, monkeypatch, n_jobs):
        monkeypatch.setattr(files, "CHUNK_FILES", 1)
        for number in range(60):
            write(tmp_path / f"{number:02d}.cif", CIF)
        records = read_structures_from(tmp_path, n_jobs=n_jobs)
        found = [next(records)]
        (tmp_path / "58.cif").unlink()
        write(tmp_path / "59.cif", CIF[:200])
        write(tmp_path / "60.cif", CIF)  # it may be seen or not
        found += records
        assert [Path(record.name).name for record in found[:60]] == [f"{number:02d}.cif" for number in range(60)]
        assert [record.crystal is not None for record in found[:58]] == [True] * 58
        assert found[58].error == "it can't be opened: No such file or directory"
        assert "_atom_site" in found[59].error


class TestProcesses:
    def test_same_records_as_in_one(self, tmp_path, sample):
        for number, structure in enumerate(sample[:70].to_structures()):
            structure.to(filename=tmp_path / f"{number:03d}.cif")
        write(tmp_path / "033.cif", b"broken")
        sample[:5].to_parquet(tmp_path / "040.parquet")
        write(tmp_path / "050.jsonl", JSON + b"\n" + JSON)
        one, two = read(tmp_path), read(tmp_path, n_jobs=2)
        assert [(a.name, a.error, a.warnings) for a in one] == [(b.name, b.error, b.warnings) for b in two]
        assert sum(record.error is not None for record in one) == 1
        for a, b in zip(one, two, strict=True):
            if a.crystal:
                same(a.crystal, b.crystal)

    def test_file_that_kills_its_process(self, tmp_path, monkeypatch):
        def parse(sources):
            if any(source.name.endswith("1.cif") for source in sources):
                os._exit(1)
            return [records.in_columns([records.Parsed(source.name, error="skipped") for source in sources])]

        for number in range(2):
            write(tmp_path / f"{number}.cif", CIF)
        monkeypatch.setattr(files, "_parse_chunk", parse)
        monkeypatch.setattr(files, "_is_done", bool)  # or this process, which parses meanwhile, is killed
        skipped, killed = read(tmp_path, n_jobs=2)
        assert skipped.error == "skipped"
        assert killed.error == "the process that read it was killed, perhaps for want of memory"

    def test_joblib_goes_on_with_processes(self, tmp_path):
        write(tmp_path / "a.cif", CIF)
        assert len(read(tmp_path, n_jobs=2)) == 1
        assert Parallel(n_jobs=2)(delayed(abs)(number) for number in (-1, -2)) == [1, 2]

    def test_no_processes(self):
        with pytest.raises(ValueError, match="n_jobs must be a whole number other than 0"):
            read_structures_from("a.cif", n_jobs=0)


class TestBatches:
    @pytest.mark.parametrize(("start", "stop"), [(0, 8), (0, 3), (2, 3), (3, 6), (5, 8), (4, 4)])
    def test_part(self, sample, start, stop):
        """Rows 2 and 5 failed."""
        batch = records.StructureBatch([f"a.parquet:{row}" for row in range(8)], sample[:6], {2: "flat", 5: "empty"})
        expected = list(batch.records())[start:stop]
        part = batch.part(start, stop)
        assert len(part) == len(expected)
        for found, record in zip(part.records(), expected, strict=True):
            assert (found.name, found.error) == (record.name, record.error)
            if record.crystal:
                same(found.crystal, record.crystal)


EVIL = {"../evil.cif": "leads out", "/evil.cif": "leads out", "C:\\evil.cif": "leads out", "a/../../b.cif": "leads out"}


class TestArchives:
    def fill(self, path: Path, contents: dict[str, bytes]) -> Path:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, content in contents.items():
                    archive.writestr(name, content)
        else:
            with tarfile.open(path, f"w:{path.suffix[1:].replace('tar', '')}") as archive:
                for name, content in contents.items():
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
        return path

    @pytest.fixture(params=["a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"])
    def path(self, request, tmp_path):
        return tmp_path / request.param

    def test_members(self, path):
        contents = {"1/a.cif": CIF, "2.json": JSON, "3/POSCAR": POSCAR, "4.cif": b"broken", "notes.txt": b"", "_/.x.cif": CIF}
        records = read(self.fill(path, contents))
        assert [record.name for record in records] == [f"{path}/{name}" for name in ("1/a.cif", "2.json", "3/POSCAR", "4.cif")]
        assert [record.error is None for record in records] == [True, True, True, False]

    def test_names_that_lead_out(self, path):
        records = read(self.fill(path, dict.fromkeys([*EVIL, "good.cif"], CIF)))
        errors = {record.name.removeprefix(f"{path}/"): record.error for record in records}
        assert errors.pop("good.cif") is None
        assert len(errors) == len(EVIL)
        assert all(EVIL[name] in error for name, error in errors.items())
        assert [file.name for file in path.parent.iterdir()] == [path.name]

    def test_absurd_members(self, path):
        records = read(self.fill(path, {"a.cif": b"0" * 50_000_001, "b.cif": CIF}))
        assert records[0].error == "it has 50 MB; the limit for one structure file is 50 MB"
        assert records[1].error is None

    def test_absurd_archive(self, path, monkeypatch):
        monkeypatch.setattr("matminer_grid.io.archives.MAX_ARCHIVE_SIZE", 1000)
        records = read(self.fill(path, {"a.cif": CIF, "b.cif": CIF}))
        assert "the limit for one archive" in records[-1].error

    def test_damaged(self, path):
        self.fill(path, {f"{number}.cif": np.random.default_rng(number).bytes(3000) for number in range(4)})
        path.write_bytes(path.read_bytes()[:6000])
        assert "the archive is damaged" in read(path)[-1].error

    def test_without_structures(self, path):
        assert "the archive holds no structure files" in error_of(self.fill(path, {"notes.txt": b""}))

    def test_nested_tables_are_refused(self, path):
        assert "unpack this one first" in error_of(self.fill(path, {"a.jsonl": JSON}))

    def test_links(self, tmp_path):
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
                info = tarfile.TarInfo("link.cif")
                info.type, info.linkname = kind, "/etc/hostname"
                archive.addfile(info)
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            link = zipfile.ZipInfo("link.cif")
            link.create_system, link.external_attr = 3, 0o120777 << 16
            archive.writestr(link, "/etc/hostname")
        records = read(tmp_path)
        assert len(records) == 5
        assert all("it is a link or a device" in record.error for record in records)

    def test_header_of_a_tar_that_claims_gigabytes(self, tmp_path):
        header = tarfile.TarInfo("x")
        header.type, header.size = tarfile.XHDTYPE, 2 * 10**9
        with gzip.open(tmp_path / "a.tar.gz", "wb", 1) as file:
            file.write(header.tobuf(tarfile.USTAR_FORMAT))
            for _ in range(160):
                file.write(b"0" * 1_000_000)
        assert "a header has more than" in error_of(tmp_path / "a.tar.gz")


class TestTables:
    def test_json_lines(self, tmp_path):
        lines = [JSON, b"", hcp().to_json().encode(), b"nonsense", b'{"structure": ' + JSON + b"}"]
        records = read(write(tmp_path / "a.jsonl", b"\n".join(lines)))
        assert [record.name.rpartition(":")[2] for record in records] == ["1", "3", "4", "5"]
        assert [record.error is None for record in records] == [True, True, False, True]
        packed = read(write(tmp_path / "b.jsonl.gz", gzip.compress(b"\n".join(lines))))
        assert [record.error for record in packed] == [record.error for record in records]
        assert "it is empty" in error_of(write(tmp_path / "c.jsonl", b"\n\n"))
        assert "can't be read on after line 0" in error_of(write(tmp_path / "d.jsonl.gz", b"no gzip"))

    def test_parquet_of_crystals(self, tmp_path, sample):
        sample.to_parquet(tmp_path / "a.parquet")
        records = read(tmp_path / "a.parquet")
        assert [record.name for record in records] == [f"{tmp_path}/a.parquet:{row}" for row in range(len(sample))]
        for crystal, record in zip(sample, records, strict=True):
            same(record.crystal, crystal)

    def test_parquet_with_bad_rows(self, tmp_path, sample):
        rows = sample[:20].to_arrow().to_pylist()
        rows[3]["lattice"] = None
        rows[7]["numbers"][0] = 150
        rows[11]["frac_coords"] = rows[11]["frac_coords"][:-1]
        schema = sample.to_arrow().schema
        # older pyarrow writes no null into lists of a fixed length
        schema = schema.set(schema.get_field_index("lattice"), pa.field("lattice", pa.list_(pa.float64())))
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), tmp_path / "a.parquet")
        records = read(tmp_path / "a.parquet")
        assert [row for row, record in enumerate(records) if record.error] == [3, 7, 11]
        assert "atomic number 150" in records[7].error
        with pytest.raises(ValueError, match=r"a\.parquet: the column lattice must hold 9 numbers"):
            load_crystals(tmp_path / "a.parquet")

    @pytest.mark.parametrize("kind", ["json", "dictionaries", "cif"])
    def test_parquet_of_structures(self, tmp_path, kind):
        entries = [structure.as_dict() for structure in (hcp(), wustite(), disordered_alloy())]
        if kind == "json":
            column = {"structure": [*map(json.dumps, entries), None]}
        elif kind == "cif":
            column = {"cif": [hcp().to(fmt="cif"), wustite().to(fmt="cif"), disordered_alloy().to(fmt="cif"), None]}
        else:
            for entry in entries:
                for part in (entry, *entry["sites"]):
                    del part["properties"]
            column = {"structure": [*entries, None]}
        pq.write_table(pa.table(column), tmp_path / "a.parquet")
        records = read(tmp_path / "a.parquet")
        assert [record.crystal and record.crystal.formula for record in records] == ["Mg2", "Fe3.68 O4", "Cu3 Au1", None]
        assert "is null" in records[3].error

    def test_parquet_of_another_schema(self, tmp_path):
        pq.write_table(pa.table({"lattice": [1], "energy": [2.0]}), tmp_path / "a.parquet")
        expected = "the columns frac_coords, numbers are missing; crystals need lattice, frac_coords, numbers"
        assert error_of(tmp_path / "a.parquet").startswith(expected)
        with pytest.raises(ValueError, match=r"a\.parquet: the columns frac_coords, numbers are missing.*has lattice, energy"):
            load_crystals(tmp_path / "a.parquet")

    def test_parquet_without_rows(self, tmp_path, sample):
        sample[:0].to_parquet(tmp_path / "a.parquet")
        assert error_of(tmp_path / "a.parquet") == "it holds no rows"

    def test_no_parquet(self, tmp_path):
        path = write(tmp_path / "a.parquet", b"PAR1 and no more")
        assert error_of(path).startswith("it is no Parquet file, or damaged")
        with pytest.raises(ValueError, match="no Parquet file"):
            load_crystals(path)
        with pytest.raises(FileNotFoundError, match=r"b\.parquet: there is no such file"):
            load_crystals(tmp_path / "b.parquet")

    def test_parquet_with_text_that_is_no_utf8(self, tmp_path):
        """Such files were found by the fuzz tests."""
        pq.write_table(pa.table({"structure": [JSON.decode(), "marked!"]}), tmp_path / "a.parquet", compression="none")
        spoilt_text = (tmp_path / "a.parquet").read_bytes().replace(b"marked!", b"marked\xff")
        records = read(write(tmp_path / "b.parquet", spoilt_text))
        assert records[0].crystal.formula == "Na4 Cl4"
        assert records[1].error.startswith("it is no JSON")
        spoilt_name = (tmp_path / "a.parquet").read_bytes().replace(b"\tstructure%", b"\tstructur\xff%")
        assert error_of(write(tmp_path / "c.parquet", spoilt_name)).startswith("it is no Parquet file, or damaged")
        with pytest.raises(ValueError, match=r"c\.parquet: it is no Parquet file, or damaged"):
            load_crystals(tmp_path / "c.parquet")

    def test_absurd_row_groups(self, tmp_path, sample, monkeypatch):
        sample.to_parquet(tmp_path / "a.parquet")
        monkeypatch.setattr(parquet, "MAX_VALUES", 1000)
        assert "write smaller row groups" in error_of(tmp_path / "a.parquet")

    def test_load_crystals(self, tmp_path, sample):
        table = sample.to_arrow().append_column("K_VRH", pa.array(np.arange(200.0)))
        pq.write_table(table.replace_schema_metadata({parquet.PROVENANCE: '{"date": "today"}'}), tmp_path / "a.parquet")
        crystals, properties = load_crystals(tmp_path / "a.parquet")
        assert len(crystals) == len(properties) == 200
        same(crystals[17], sample[17])
        assert properties.columns.tolist() == ["K_VRH"]
        assert read_provenance(tmp_path / "a.parquet") == {"date": "today"}

    def test_load_crystals_names_the_invalid_row(self, tmp_path):
        table = CrystalTable.from_structures([hcp(), hcp()])
        table.lattices[1] = 0
        table.to_parquet(tmp_path / "a.parquet")
        with pytest.raises(ValueError, match=r"a\.parquet: row 1: Mg2: the cell has no volume"):
            load_crystals(tmp_path / "a.parquet")

    def test_provenance(self, tmp_path, sample):
        sample.to_parquet(tmp_path / "a.parquet")
        assert read_provenance(tmp_path / "a.parquet") == {}
        pq.write_table(sample.to_arrow().replace_schema_metadata({parquet.PROVENANCE: "{"}), tmp_path / "b.parquet")
        with pytest.raises(ValueError, match="is no JSON"):
            read_provenance(tmp_path / "b.parquet")


class TestAse:
    def test_rows(self, tmp_path):
        pytest.importorskip("ase", reason="ASE is not installed: pip install 'matminer-grid[ase]'")
        from ase import Atoms
        from ase.db import connect

        with connect(tmp_path / "a.db") as database:
            for structure in (rock_salt(), hcp()):
                symbols = [site.specie.symbol for site in structure]
                database.write(Atoms(symbols, positions=structure.cart_coords, cell=structure.lattice.matrix, pbc=True))
            database.write(Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.7]]))
            database.write(Atoms("C", cell=[3, 3, 9], pbc=(True, True, False)))
            database.write(Atoms("C", cell=[3, 3, 0], pbc=True))
        records = read(tmp_path / "a.db")
        assert [record.name for record in records] == [f"{tmp_path}/a.db:{number}" for number in range(1, 6)]
        np.testing.assert_allclose(records[0].crystal.frac_coords, rock_salt().frac_coords, atol=1e-12)
        assert records[1].crystal.formula == "Mg2"
        assert records[2].error == "it is a molecule without a unit cell; only crystals can be read"
        assert "periodic along all three axes, not [True, True, False]" in records[3].error
        assert records[4].error

    def test_other_files(self, tmp_path):
        pytest.importorskip("ase", reason="ASE is not installed: pip install 'matminer-grid[ase]'")
        assert error_of(write(tmp_path / "a.db", b"something")) == "it is no ASE database in an SQLite file"
        assert "can't be read" in error_of(write(tmp_path / "a.db", b"SQLite format 3\x00" + bytes(2000)))

    def test_without_ase(self, tmp_path, monkeypatch):
        monkeypatch.setattr("matminer_grid.io.ase.find_spec", {}.get)
        assert "pip install 'matminer-grid[ase]'" in error_of(write(tmp_path / "a.db", b""))


class TestMatminersData:
    @pytest.fixture
    def content(self):
        data = [[structure.as_dict(), K] for structure, K in ((rock_salt(), 1.4), (hcp(), 1.5))]
        return gzip.compress(json.dumps({"index": [0, 1], "columns": ["structure", "log10(K_VRH)"], "data": data}).encode())

    @pytest.fixture
    def listed(self, content, monkeypatch):
        """Let matminer list a file that a server on this machine gives."""

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args):
                """Say nothing."""

            def do_GET(self):
                self.send_response(404 if "missing" in self.path else 200)
                self.end_headers()
                self.wfile.write(b"<html>" if "wrong" in self.path else content)

        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        attributes = {
            "url": f"http://127.0.0.1:{server.server_port}/file",
            "hash": hashlib.sha256(content).hexdigest(),
            "file_type": "json.gz",
            "columns": {"structure": "", "log10(K_VRH)": ""},
        }
        monkeypatch.setattr(matminer_data, "_attributes", lambda _: attributes)
        yield attributes
        server.shutdown()
        server.server_close()
        thread.join()

    def test_download_once(self, tmp_path, listed):
        for _ in range(2):
            crystals, properties = load_matminer_dataset("matbench_log_kvrh", data_home=tmp_path / "home")
            assert [crystal.formula for crystal in crystals] == ["Na4 Cl4", "Mg2"]
            assert properties.to_dict("list") == {"log10(K_VRH)": [1.4, 1.5]}
            assert [path.name for path in (tmp_path / "home").iterdir()] == ["matbench_log_kvrh.json.gz"]
            listed["url"] = "http://127.0.0.1:1/missing"

    def test_offline_file(self, tmp_path, listed, content):
        listed["url"] = "http://127.0.0.1:1/missing"
        path = write(tmp_path / "my-copy.json.gz", content)
        assert len(load_matminer_dataset("matbench_log_kvrh", path=path)[0]) == 2
        with pytest.raises(FileNotFoundError, match=r"other\.gz: there is no such file; the data set matbench_log_kvrh is at http"):
            load_matminer_dataset("matbench_log_kvrh", path=tmp_path / "other.gz")

    @pytest.mark.usefixtures("listed")
    def test_folder_of_the_environment(self, tmp_path, content, monkeypatch):
        monkeypatch.setenv("MATMINER_DATA", str(tmp_path))
        with pytest.raises(FileNotFoundError):
            load_matminer_dataset("matbench_log_kvrh", download=False)
        write(tmp_path / "matbench_log_kvrh.json.gz", content)
        assert len(load_matminer_dataset("matbench_log_kvrh", download=False)[0]) == 2

    @pytest.mark.parametrize(
        ("address", "message"), [("missing", r"can't be downloaded from .*404.*path="), ("wrong", "checksum differs")]
    )
    def test_failed_downloads_leave_nothing(self, tmp_path, listed, address, message):
        listed["url"] += address
        with pytest.raises(ConnectionError, match=message):
            load_matminer_dataset("matbench_log_kvrh", data_home=tmp_path)
        assert not list(tmp_path.iterdir())

    def test_no_network(self, tmp_path, listed):
        listed["url"] = "http://127.0.0.1:1/file"
        with pytest.raises(ConnectionError, match=r"load_mp_elasticity\(\) needs no network"):
            load_matminer_dataset("matbench_log_kvrh", data_home=tmp_path)

    @pytest.mark.usefixtures("listed")
    def test_damaged_file(self, tmp_path, content):
        path = write(tmp_path / "a.json.gz", content[:-1])
        with pytest.raises(ValueError, match=r"or damaged: its SHA-256 checksum is .* download it anew from http"):
            load_matminer_dataset("matbench_log_kvrh", path=path)

    @pytest.mark.parametrize(
        ("table", "message"),
        [(b"{", "no table of matminer's"), (b'{"columns": ["structure"], "data": [[{}]]}', "row 0: it is no structure")],
    )
    def test_other_content(self, tmp_path, listed, table, message):
        path = write(tmp_path / "a.json", table)
        listed["hash"] = hashlib.sha256(table).hexdigest()
        with pytest.raises(ValueError, match=message):
            load_matminer_dataset("matbench_log_kvrh", path=path)

    def test_unknown_names(self):
        with pytest.raises(ValueError, match=r"no data set 'matbench_kvrh'; close are .*matbench_log_kvrh"):
            load_matminer_dataset("matbench_kvrh")
        with pytest.raises(ValueError, match=r"it has .*elastic_tensor_2015"):
            load_matminer_dataset("?")

    def test_data_sets_without_structures(self):
        with pytest.raises(ValueError, match=r"has no column 'structure'; it has .*: it holds no crystal structures"):
            load_matminer_dataset("matbench_expt_gap")


def test_memory_stays_bounded(tmp_path):
    """Eight thousand lines of JSON take no more than ten."""
    line = JSON + b"\n"
    program = (
        "import resource, sys; from matminer_grid.io import read_structures_from\n"
        "def peak(name): n = sum(1 for _ in read_structures_from(name)); "
        "return n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(*peak(sys.argv[1]), *peak(sys.argv[2]))"
    )
    few, many = write(tmp_path / "few.jsonl", line * 10), write(tmp_path / "many.jsonl", line * 8_000)
    result = subprocess.run([sys.executable, "-c", program, few, many], capture_output=True, text=True, check=True)
    n_few, peak_few, n_many, peak_many = map(int, result.stdout.split())
    assert (n_few, n_many) == (10, 8_000)
    assert peak_many - peak_few < 10_000  # kB


def bases() -> dict[str, bytes]:
    """Give a good file of each kind to be spoilt."""
    crystals = CrystalTable.from_structures([rock_salt(), wustite(), hcp()])
    out = {"a.cif": CIF, "POSCAR": POSCAR, "a.json": JSON, "b.json": wustite().to_json().encode()}
    out["b.cif"] = (
        Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
        .to(fmt="cif", symprec=0.01)
        .encode()
    )
    out["a.jsonl"] = JSON + b"\n" + out["b.json"]
    out["XDATCAR"] = POSCAR.replace(b"direct", b"Direct configuration= 1") + POSCAR.partition(b"direct")[2].join(
        [b"Direct c= 2", b""]
    )
    out["a.xyz"] = write_xyz(Crystal.from_structure(wustite()), {"name": "w", "E": -1.5}).encode() * 2
    for name in ("cssr", "xsf", "res"):
        out[f"a.{name}"] = rock_salt().to(fmt=name).encode()
    for name, table in (("a.parquet", crystals.to_arrow()), ("b.parquet", pa.table({"structure": [JSON.decode()] * 3}))):
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="none")
        out[name] = buffer.getvalue()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.cif", CIF)
    out["a.zip"] = buffer.getvalue()
    for ending in ("tar", "tar.gz"):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz" if ending.endswith("gz") else "w") as archive:
            info = tarfile.TarInfo("a.cif")
            info.size = len(CIF)
            archive.addfile(info, io.BytesIO(CIF))
        out[f"a.{ending}"] = buffer.getvalue()
    return out


BASES = bases()

TOKENS = [
    b"",
    b"\x00",
    b"-1",
    b"0",
    b"1e999",
    b"nan",
    b"99999999999",
    b"_",
    b"?",
    b"'",
    b"{",
    b"[",
    b"null",
    b"\n",
    b"\xff\xff\xff\x7f",
]


@st.composite
def spoilt(draw, base: bytes) -> bytes:
    """Cut, doubled, overwritten: one to six mutations of a good file."""
    content = bytearray(base)
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from([0, 1, 2, 4, 8, 30, 200]))
        piece = draw(st.sampled_from(TOKENS) | st.binary(max_size=8) | st.just(bytes(content[start : start + length]) * 2))
        content[start : start + length] = piece
    return bytes(content)


class TestFuzz:
    """No content makes a reader do anything else than give crystals or a clean error."""

    def check(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        records = read(path)
        assert records
        for record in records:
            assert (record.crystal is None) != (record.error is None)
            assert record.error is None or (record.error and len(record.error) < 2000)
            assert record.name.startswith(str(path))
            if record.crystal is not None:
                assert np.isfinite(record.crystal.frac_coords).all()

    @pytest.mark.parametrize("name", BASES)
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
    @given(data=st.data())
    def test_fuzz_spoilt_files(self, tmp_path, name, data):
        self.check(tmp_path / name, data.draw(spoilt(BASES[name])))

    @pytest.mark.parametrize("name", [*BASES, "a.db"])
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
    @given(content=st.binary(max_size=400))
    def test_fuzz_random_bytes(self, tmp_path, name, content):
        self.check(tmp_path / name, content)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
    @given(content=spoilt(BASES["a.parquet"]))
    def test_fuzz_loader_of_parquet(self, tmp_path, content):
        path = write(tmp_path / "a.parquet", content)
        if any(record.error for record in read(path)):
            with pytest.raises(ValueError, match=re.escape(str(path))):
                load_crystals(path)
        else:
            crystals, properties = load_crystals(path)
            assert len(crystals) == len(properties)


def test_real_crystals_survive_json_and_parquet(tmp_path):
    for name, builder in REAL.items():
        write(tmp_path / f"{name}.json", builder().to_json().encode())
    records = read(tmp_path)
    assert len(records) == len(REAL)
    assert all(record.error is None for record in records)
