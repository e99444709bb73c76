import hashlib
import importlib.util
import io
import json
import shutil
import time
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pymatgen.core import Element, Lattice, Structure
from pymatgen.io.cif import CifParser

from matminer_grid import CrystalTable, _files
from matminer_grid.crystals.elements import SUBSTITUTION_ELEMENTS, substitution_table
from matminer_grid.datasets import load_mp_elasticity, load_mp_elasticity_table

ROOT = Path(__file__).parent.parent
SAMPLE = json.loads((Path(__file__).parent / "data" / "mp_modulus_sample.json").read_text(encoding="ascii"))
IDS = [entry["task_id"] for entry in SAMPLE]
CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("build_mp_elasticity", ROOT / "scripts" / "build_mp_elasticity.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def table():
    return load_mp_elasticity_table()


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    """A copy of the embedded files that a test may spoil."""
    shutil.copytree(_files.DATA, tmp_path / "data")
    monkeypatch.setattr(_files, "DATA", tmp_path / "data")
    substitution_table.cache_clear()
    yield tmp_path / "data"
    substitution_table.cache_clear()


def test_table_holds_every_entry(table):
    assert len(table) == len(table.crystals) == 12_178
    for column in (table.material_id, table.formula, table.K_VRH, table.G_VRH, table.elastic_anisotropy):
        assert column.shape == (12_178,)
    assert len(set(table.material_id)) == 12_178
    assert not table.crystals.errors()


def test_both_loaders_give_the_same_crystals_in_good_time(table):
    start = time.process_time()
    load_mp_elasticity_table()
    assert time.process_time() - start < 1
    start = time.process_time()
    frame = load_mp_elasticity()
    assert time.process_time() - start < 5
    assert list(frame.columns) == ["material_id", "formula", "structure", "K_VRH", "G_VRH", "elastic_anisotropy"]
    for name in ("material_id", "formula", "K_VRH", "G_VRH", "elastic_anisotropy"):
        np.testing.assert_array_equal(frame[name].to_numpy(), getattr(table, name))
    assert all(type(structure) is Structure for structure in frame["structure"])
    again = CrystalTable.from_structures(frame["structure"])
    np.testing.assert_array_equal(again.lattices, table.crystals.lattices)
    np.testing.assert_array_equal(again.frac_coords, table.crystals.frac_coords)
    np.testing.assert_array_equal(again.numbers, table.crystals.numbers)
    some = frame.iloc[::50]
    assert [structure.reduced_formula for structure in some["structure"]] == some["formula"].tolist()


@pytest.mark.parametrize("entry", SAMPLE, ids=IDS)
def test_crystals_agree_with_the_printed_digits(entry, table, build):
    row = table.material_id.tolist().index(entry["task_id"])
    crystal = table.crystals[row]
    formula, parsed = build.parse_cif(entry["cif"])
    assert table.formula[row] == formula
    np.testing.assert_allclose(crystal.lattice, parsed.lattice, rtol=0, atol=1e-14)  # pymatgen's last bit depends on its version
    np.testing.assert_array_equal(crystal.frac_coords, parsed.frac_coords)
    np.testing.assert_array_equal(crystal.numbers, parsed.numbers)
    for name in ("K_VRH", "G_VRH", "elastic_anisotropy"):
        assert getattr(table, name)[row] == entry[f"elasticity.{name}"]

    values = dict(line.split(maxsplit=1) for line in entry["cif"].splitlines() if line.startswith("_cell_"))
    printed = [values[f"_cell_{name}"].strip() for name in CELL]
    assert [f"{x:.8f}" for x in Lattice(crystal.lattice).parameters] == printed
    rows = [line.split() for line in entry["cif"].splitlines() if line.startswith("  ") and line.split()[0].isalpha()]
    assert [[f"{x:.8f}" for x in site] for site in crystal.frac_coords] == [site[3:6] for site in rows]
    assert [Element.from_Z(number).symbol for number in crystal.numbers] == [site[0] for site in rows]


@pytest.mark.parametrize("entry", SAMPLE, ids=IDS)
def test_crystals_agree_with_pymatgens_cif_parser(entry, table):
    crystal = table.crystals[table.material_id.tolist().index(entry["task_id"])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about stoichiometry
        # without its tolerance the parser would turn 0.33333300 into 1/3
        structure = CifParser(io.StringIO(entry["cif"]), frac_tolerance=0).parse_structures(primitive=False)[0]
    np.testing.assert_allclose(structure.lattice.matrix, crystal.lattice, rtol=0, atol=1e-12)
    ours = sorted(zip(crystal.numbers.tolist(), (crystal.frac_coords % 1).tolist(), strict=True))
    theirs = sorted(zip(structure.atomic_numbers, (structure.frac_coords % 1).tolist(), strict=True))
    assert [number for number, _ in ours] == [number for number, _ in theirs]
    difference = np.array([coords for _, coords in ours]) - [coords for _, coords in theirs]
    assert np.abs(difference - np.round(difference)).max() < 1e-12


def test_description_counts_the_known_defects(table):
    text = (ROOT / "matminer_grid" / "datasets" / "descr" / "mp_elasticity.md").read_text(encoding="utf-8")
    K, G, anisotropy, crystals = table.K_VRH, table.G_VRH, table.elastic_anisotropy, table.crystals
    assert (K % 1 == 0).all()
    assert (G % 1 == 0).all()
    assert (K.min(), K.max(), G.min(), G.max()) == (1, 575, 1, 5303)
    assert np.percentile(K, [25, 50, 75]).tolist() == [47, 87, 147]
    assert np.percentile(G, [25, 50, 75]).tolist() == [20, 37, 67]
    assert (anisotropy < 0).sum() == 737
    assert anisotropy.min().round() == -3925
    assert (anisotropy > 100).sum() == 92
    stiff = G > 500
    assert stiff.sum() == 20
    carbon = stiff & (table.formula == "C")
    assert carbon.sum() == 6
    assert (K[carbon].min(), K[carbon].max(), G[carbon].min(), G[carbon].max()) == (387, 436, 504, 525)
    assert (crystals.n_sites.min(), np.median(crystals.n_sites), crystals.n_sites.max()) == (1, 6, 160)
    assert (crystals.occupancies == 1).all()
    assert sum(name.startswith("mvc-") for name in table.material_id) == 113

    outside = ((crystals.frac_coords < 0) | (crystals.frac_coords >= 1)).any(axis=1)
    owner = np.repeat(np.arange(len(table)), crystals.n_sites)
    ids = set(table.material_id[owner[outside]])
    assert len(ids) == 5
    assert all(name in text for name in ids)
    assert len(np.unique(crystals.numbers)) == 86
    assert len(set(owner[crystals.numbers >= 89])) == 477
    known = np.isin(crystals.numbers, [Element(symbol).Z for symbol in SUBSTITUTION_ELEMENTS])
    assert len(table) - len(set(owner[~known])) == 11_699
    _, counts = np.unique(table.formula.astype(str), return_counts=True)
    assert ((counts > 1).sum(), counts[counts > 1].sum()) == (1013, 2658)
    for number in ("737", "20 entries", "92", "5,303", "1,013", "2,658", "477", "11,699", "CC BY 4.0", "10.1038/sdata.2015.9"):
        assert number in text


def test_every_embedded_file_is_small_described_and_listed():
    listed = [line.split()[1] for line in (_files.DATA / "SHA256SUMS").read_text().splitlines()]
    assert sorted(listed) == ["mp_elasticity.parquet", "substitution.csv"]
    for name in listed:
        assert (_files.DATA / name).stat().st_size < 3_000_000
        assert (_files.DATA.parent / "descr" / name).with_suffix(".md").exists()


@pytest.mark.parametrize("load", [load_mp_elasticity, load_mp_elasticity_table])
def test_wrong_checksum_of_the_parquet_file(load, data):
    path = data / "mp_elasticity.parquet"
    content = bytearray(path.read_bytes())
    expected = hashlib.sha256(content).hexdigest()
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="SHA-256") as error:
        load()
    for part in (str(path), expected, hashlib.sha256(content).hexdigest(), "install matminer-grid anew"):
        assert part in str(error.value)


def test_wrong_checksum_of_the_substitution_table(data):
    with (data / "substitution.csv").open("a") as file:
        file.write("\n")
    with pytest.raises(ValueError, match=r"substitution\.csv is damaged"):
        substitution_table()


def test_file_that_is_not_embedded():
    with pytest.raises(ValueError, match=r"none of the embedded files; those are mp_elasticity\.parquet, substitution\.csv"):
        _files.read_embedded("moduli.csv")


class TestBuildScript:
    def test_same_bytes_each_time(self, build):
        assert build.convert(SAMPLE) == build.convert(json.loads(json.dumps(SAMPLE)))

    def test_bytes_hold_the_entries(self, build):
        table = pq.read_table(pa.BufferReader(build.convert(SAMPLE)))
        assert table.column_names == pq.read_schema(_files.DATA / "mp_elasticity.parquet").names
        assert table["material_id"].to_pylist() == IDS
        assert table["K_VRH"].to_pylist() == [entry["elasticity.K_VRH"] for entry in SAMPLE]
        n_sites = [len(entry["cif"].split("_atom_site_occupancy\n")[1].splitlines()) for entry in SAMPLE]
        assert CrystalTable.from_arrow(table).n_sites.tolist() == n_sites

    def test_committed_file_was_written_by_the_release_that_the_script_names(self, build):
        assert pq.read_metadata(_files.DATA / "mp_elasticity.parquet").created_by == f"parquet-cpp-arrow version {build.PYARROW}"

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("'P 1'", "'F d -3 m'", "a CIF in P 1 is needed, not in 'F d -3 m'"),
            (" _atom_site_label\n", "", "the columns of the sites must be"),
            ("0.25000000  1\n", "0.25000000  0.5\n", "occupancy 1"),
        ],
    )
    def test_other_cifs_are_refused(self, build, old, new, message):
        cif = SAMPLE[IDS.index("mp-149")]["cif"]
        assert old in cif
        with pytest.raises(ValueError, match=message):
            build.parse_cif(cif.replace(old, new))

    def test_other_source_distribution_is_refused(self, build, tmp_path):
        path = tmp_path / "gridrdf-0.3.0.tar.gz"
        path.write_bytes(b"something else")
        with pytest.raises(
            ValueError, match=rf"{hashlib.sha256(b'something else').hexdigest()}; that of gridrdf-0.3.0 is b8cf4849"
        ):
            build.main(["--sdist", str(path), "--output", str(tmp_path)])

    def test_elements_are_compared_with_the_source(self, build):
        substitution = (_files.DATA / "substitution.csv").read_bytes()
        with pytest.raises(ValueError, match="SUBSTITUTION_ELEMENTS"):
            build.check_element_tables(substitution.replace(b"H,Li", b"Li,H", 1), b"")
        with pytest.raises(ValueError, match="MODIFIED_PETTIFOR"):
            build.check_element_tables(substitution, b"symbol,mod_pettifor\nH,103\n")
