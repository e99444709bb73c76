"""What is written is read again as the same: every crystal, with its name and properties, in every format that can hold it."""

import gzip
import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from matminer_grid import Crystal, CrystalTable
from matminer_grid.io import export_crystals, import_crystals, load_crystals, read_structures_from
from matminer_grid.io.export import file_stems
from matminer_grid.io.formats import parse_structures
from matminer_grid.io.records import in_columns
from matminer_grid.io.writers import write_cif, write_json_line, write_poscar, write_xyz
from tests.conftest import REAL, disordered_alloy, rock_salt
from tests.strategies import PROPERTIES, crystals_of_any_species

WRITERS = {"cif": write_cif, "xyz": write_xyz, "json": write_json_line, "poscar": write_poscar}


def contents(crystal: Crystal, sign: float = 1.0) -> list[tuple]:
    """Give what is where: points of the cell in order, with all that is on each."""
    points: dict[tuple, dict[int, float]] = {}
    for number, occupancy, site in zip(crystal.numbers, crystal.occupancies, crystal.site_index, strict=True):
        wrapped = sign * crystal.frac_coords[site]
        key = tuple((np.rint((wrapped - np.floor(wrapped)) * 1e6).astype(int) % 10**6).tolist())
        own = points.setdefault(key, {})
        own[int(number)] = own.get(int(number), 0.0) + float(occupancy)
    return sorted((key, tuple(sorted(own.items()))) for key, own in points.items())


def same(crystal: Crystal, other: Crystal, *, sign: float = 1.0) -> None:
    """Compare crystals, what lies on one point added up; occupancies to 1e-12."""
    first, second = contents(crystal, sign), contents(other)
    assert [key for key, _ in first] == [key for key, _ in second]
    for (_, own), (_, others) in zip(first, second, strict=True):
        assert [number for number, _ in own] == [number for number, _ in others]
        np.testing.assert_allclose([o for _, o in own], [o for _, o in others], rtol=0, atol=1e-12)


def through(fmt: str, crystal: Crystal, properties: dict) -> tuple[Crystal, dict]:
    parsed = parse_structures(WRITERS[fmt](crystal, properties).encode(), fmt)
    batch = in_columns(parsed)
    assert batch.errors == {}
    (record,) = batch.records()
    return record.crystal, dict(record.properties)


@pytest.mark.parametrize("fmt", WRITERS)
@given(crystal=crystals_of_any_species(), properties=PROPERTIES)
def test_what_is_written_is_read(fmt, crystal, properties):
    if fmt == "poscar" and (len(crystal.numbers) != crystal.n_sites or (crystal.occupancies != 1).any()):
        with pytest.raises(ValueError, match="no partial occupancies"):
            write_poscar(crystal, properties)
        return
    found, told = through(fmt, crystal, properties)
    # a frame says nothing of what is null
    assert told == ({name: value for name, value in properties.items() if value is not None} if fmt == "xyz" else properties)
    metric, other = (one.lattice @ one.lattice.T for one in (crystal, found))
    np.testing.assert_allclose(other, metric, rtol=0, atol=1e-9 * metric.max())
    if fmt == "cif":
        assert np.linalg.det(found.lattice) > 0
        same(crystal, found, sign=np.sign(np.linalg.det(crystal.lattice)))
    else:
        np.testing.assert_array_equal(found.lattice, crystal.lattice)
        same(crystal, found)


@given(crystal=crystals_of_any_species(), name=st.text(max_size=30))
def test_cifs_are_read_by_pymatgen_too(crystal, name):
    """What pymatgen refuses, such as too many dummies on a site, is none of ours."""
    text = write_cif(crystal, {"name": name})
    assert text.isascii()
    assert re.match(r"data_[\x21-\x7e]+\n", text)


@pytest.mark.parametrize("name", REAL)
def test_pymatgen_reads_the_same(name):
    structure = REAL[name]()
    crystal = Crystal.from_structure(structure)
    if name not in {"with_dummies", "split_alloy"}:  # pymatgen skips dummies, and sites that are one point are too many for it
        same(crystal, Crystal.from_structure(Structure.from_str(write_cif(crystal, {}), fmt="cif")))
    line = json.loads(write_json_line(crystal, {"K": 1.0}))
    same(crystal, Crystal.from_structure(Structure.from_dict(line["structure"])))
    if structure.is_ordered and name not in {"with_dummies", "heavy_lithium_hydride"}:
        same(crystal, Crystal.from_structure(Structure.from_str(write_poscar(crystal, {}), fmt="poscar")))


def test_ase_reads_the_same(tmp_path):
    pytest.importorskip("ase", reason="ASE is not installed: pip install 'matminer-grid[ase]'")
    from ase.io import read

    crystal = Crystal.from_structure(rock_salt())
    properties = {"name": "salt", "K": 24.5, "n": 3, "note": 'say "rock salt"', "good": True}
    (tmp_path / "a.xyz").write_text(write_xyz(crystal, properties))
    atoms = read(tmp_path / "a.xyz")
    np.testing.assert_allclose(atoms.cell.array, crystal.lattice)
    np.testing.assert_allclose(atoms.positions, crystal.frac_coords @ crystal.lattice, atol=1e-12)
    assert atoms.info == properties
    atoms.write(tmp_path / "b.xyz")
    (record,) = read_structures_from(tmp_path / "b.xyz")
    same(record.crystal, crystal)
    assert record.properties == properties


TABLE = CrystalTable.from_structures([builder() for builder in REAL.values()])
PROPERTIES_OF_TABLE = pd.DataFrame(
    {
        "material_id": [f"mp-{row}" for row in range(len(TABLE))],
        "K_VRH": [1.5, np.nan, 1 / 3, *range(3, len(TABLE))],
        "n": range(len(TABLE)),
        "remark": ["a b", None, 'say "x"', *"x" * (len(TABLE) - 3)],
    }
)
NAMES = [f"in/{name}.cif" for name in REAL]


@pytest.mark.filterwarnings("ignore:.*read with warnings")
@pytest.mark.parametrize("output", ["a.jsonl", "a.jsonl.gz", "a.cif", "a.xyz", "a.extxyz", "a.parquet", "cifs", "frames"])
def test_import_is_the_inverse_of_export(tmp_path, output):
    fmt = "xyz" if output == "frames" else None
    assert export_crystals(tmp_path / output, TABLE, NAMES, PROPERTIES_OF_TABLE, fmt=fmt) == {}
    report = import_crystals(tmp_path / output, tmp_path / "back.parquet")
    crystals, properties = load_crystals(report.output)
    order = np.argsort(properties["name"]) if (tmp_path / output).is_dir() else np.arange(len(TABLE))
    inverse = np.argsort(NAMES) if (tmp_path / output).is_dir() else np.arange(len(TABLE))
    assert properties["name"].iloc[order].tolist() == [NAMES[row] for row in inverse]
    for found, row in zip(order, inverse, strict=True):
        same(TABLE[int(row)], crystals[int(found)])
    columns = list(PROPERTIES_OF_TABLE.columns)
    pd.testing.assert_frame_equal(
        properties[columns].iloc[order].reset_index(drop=True),
        PROPERTIES_OF_TABLE.iloc[inverse].reset_index(drop=True),
        check_dtype=False,
    )
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_folder_of_poscars(tmp_path):
    failed = export_crystals(tmp_path / "out", TABLE, NAMES, PROPERTIES_OF_TABLE, fmt="poscar")
    disordered = [row for row, builder in enumerate(REAL.values()) if not builder().is_ordered]
    assert list(failed) == disordered
    import_crystals(tmp_path / "out", tmp_path / "back.parquet")
    properties = load_crystals(tmp_path / "back.parquet")[1].set_index("material_id")
    for row in set(range(len(TABLE))) - set(disordered):
        assert properties.loc[f"mp-{row}", "name"] == NAMES[row]
        assert properties.loc[f"mp-{row}", "K_VRH"] == pytest.approx(PROPERTIES_OF_TABLE["K_VRH"][row], nan_ok=True)


def test_csv_holds_properties(tmp_path):
    assert export_crystals(tmp_path / "a.csv", TABLE, NAMES, PROPERTIES_OF_TABLE) == {}
    frame = pd.read_csv(tmp_path / "a.csv")
    assert frame.columns.tolist() == ["name", "formula", "material_id", "K_VRH", "n", "remark"]
    assert frame["name"].tolist() == NAMES
    assert frame["formula"][:2].tolist() == ["Na4 Cl4", "Sr1 Ti1 O3"]
    assert frame["K_VRH"][2] == 1 / 3


@pytest.mark.parametrize("name", ["a.txt", "a.vasp", "POSCAR", "crystals.json", "a.csv.bz2", "v1.0"])
def test_a_file_name_never_becomes_a_folder(tmp_path, name):
    with pytest.raises(ValueError, match=r"can't tell what to write; files end in \.jsonl"):
        export_crystals(tmp_path / name, TABLE)
    with pytest.raises(ValueError, match="is no name for files of the format 'poscar'"):
        export_crystals(tmp_path / "a.cif", TABLE, fmt="poscar")
    assert not list(tmp_path.iterdir())


def test_what_a_format_cannot_hold_is_named(tmp_path):
    frame = pd.DataFrame({"Lattice": [1.0, 2.0]})
    table = CrystalTable.from_structures([rock_salt(), disordered_alloy()])
    assert list(export_crystals(tmp_path / "a.xyz", table, properties=frame)) == [0, 1]
    failed = export_crystals(tmp_path / "a.jsonl", table, properties=frame.rename(columns={"Lattice": "structure"}))
    assert "the property 'structure' is named like a part of a structure" in failed[0]


def test_names_of_imported_files_get_one_ending():
    assert file_stems(["cif.cif", "in/NaCl.cif.gz", "POSCAR_1.vasp", "Si.2", "b.cif"]) == [
        "cif",
        "in_NaCl",
        "POSCAR_1",
        "Si.2",
        "b",
    ]


def test_properties_of_several_kinds_become_text(tmp_path):
    lines = [{"a": 1, "b": 2}, {"a": 1.5, "b": "x"}, {"a": None, "c": [1, 2], "numbers": "n"}]
    structure = rock_salt().as_dict()
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(line | {"structure": structure}) + "\n" for line in lines)
    import_crystals(tmp_path / "a.jsonl.gz", tmp_path / "a.parquet")
    properties = load_crystals(tmp_path / "a.parquet")[1]
    assert properties["a"].tolist()[:2] == [1.0, 1.5]
    assert properties["b"].tolist() == ["2", "x", None]
    assert list(properties["c"][2]) == [1, 2]
    assert properties["numbers_"][2] == "n"


def test_left_handed_cells_keep_their_hand(tmp_path):
    """Quartz is P3_121 in one hand and P3_221 in the other."""
    lattice = Lattice.hexagonal(4.913, 5.405)
    quartz = Structure.from_spacegroup("P3_221", lattice, ["Si", "O"], [[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.7858]])
    flipped = Crystal.from_structure(Structure(Lattice(-lattice.matrix), quartz.species, -quartz.frac_coords))
    (record,) = in_columns(parse_structures(write_cif(flipped, {}).encode(), "cif")).records()
    assert record.crystal.to_structure().get_space_group_info()[0] == quartz.get_space_group_info()[0]
