"""Write the embedded data of matminer_grid from the source distribution of gridrdf 0.3.0.

Run ``python scripts/build_mp_elasticity.py``; with ``--sdist FILE`` nothing is downloaded. The same bytes come out each time, with
the same release of pyarrow: another one may compress differently and puts its own name into the file.
"""

# /// script
# requires-python = ">=3.11"
# dependencies = ["matminer-grid", "pyarrow==26.0.1"]
# ///

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pymatgen.core import Element, Lattice

from matminer_grid.crystals.crystal import Crystal
from matminer_grid.crystals.elements import MODIFIED_PETTIFOR, SUBSTITUTION_ELEMENTS
from matminer_grid.crystals.table import CrystalTable

SDIST = "gridrdf-0.3.0"
SDIST_SHA256 = "b8cf4849c98522b7a410ebaf2ee995614091e8c3f9706cc8b9aeb6960501877d"
PYARROW = "26.0.1"
DATA = Path(__file__).resolve().parent.parent / "matminer_grid" / "datasets" / "data"

CELL = ("_cell_length_a", "_cell_length_b", "_cell_length_c", "_cell_angle_alpha", "_cell_angle_beta", "_cell_angle_gamma")
SITE_COLUMNS = (
    "_atom_site_type_symbol",
    "_atom_site_label",
    "_atom_site_symmetry_multiplicity",
    "_atom_site_fract_x",
    "_atom_site_fract_y",
    "_atom_site_fract_z",
    "_atom_site_occupancy",
)
PROPERTIES = {"K_VRH": "elasticity.K_VRH", "G_VRH": "elasticity.G_VRH", "elastic_anisotropy": "elasticity.elastic_anisotropy"}


def parse_cif(cif: str) -> tuple[str, Crystal]:
    """Read one of pymatgen's P1 CIFs to the digit: its reduced formula and the crystal.

    Other than pymatgen's parser this one takes 0.33333300 as it stands, not as 1/3, and sites outside the cell too.
    """
    lines = cif.splitlines()
    values = dict(line.split(maxsplit=1) for line in lines if line.startswith("_") and " " in line)
    if values["_symmetry_space_group_name_H-M"].strip() != "'P 1'":
        raise ValueError(f"a CIF in P 1 is needed, not in {values['_symmetry_space_group_name_H-M']}")
    start = next(i for i, line in enumerate(lines) if line.strip() == SITE_COLUMNS[0])
    end = start + len(SITE_COLUMNS)
    if tuple(line.strip() for line in lines[start:end]) != SITE_COLUMNS:
        raise ValueError(f"the columns of the sites must be {', '.join(SITE_COLUMNS)}")
    sites = [line.split() for line in lines[end:] if line.strip()]
    if any(site[2] != "1" or site[6] != "1" for site in sites):
        raise ValueError("every site must have the multiplicity 1 and the occupancy 1")
    crystal = Crystal(
        Lattice.from_parameters(*(float(values[name]) for name in CELL)).matrix,
        np.array([[float(x) for x in site[3:6]] for site in sites]),
        np.array([Element(site[0]).Z for site in sites]),
        np.ones(len(sites)),
        np.arange(len(sites)),
    )
    return values["_chemical_formula_structural"].strip(), crystal


def convert(entries: list[dict[str, Any]]) -> bytes:
    """Turn the entries of MP_modulus.json into a Parquet file, in their order."""
    parsed = [parse_cif(entry["cif"]) for entry in entries]
    crystals = CrystalTable.from_crystals(crystal for _, crystal in parsed).to_arrow()
    table = pa.table(
        {
            "material_id": [entry["task_id"] for entry in entries],
            "formula": [formula for formula, _ in parsed],
            **{name: crystals.column(name) for name in ("lattice", "frac_coords", "numbers")},
            **{name: pa.array([entry[key] for entry in entries], pa.float64()) for name, key in PROPERTIES.items()},
        }
    )
    # plain pages at zstd's level 19 beat dictionaries and BYTE_STREAM_SPLIT here: zstd finds whole repeated numbers by itself
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", compression_level=19, use_dictionary=False)
    return buffer.getvalue()


def check_element_tables(substitution: bytes, composition_order: bytes) -> None:
    """Compare the elements' orders in matminer_grid.crystals.elements with gridrdf's files."""
    header = next(csv.reader(io.StringIO(substitution.decode("ascii"))))
    if tuple(header[1:]) != SUBSTITUTION_ELEMENTS:
        raise ValueError("the substitution table's header is not SUBSTITUTION_ELEMENTS of matminer_grid.crystals.elements")
    rows = csv.DictReader(io.StringIO(composition_order.decode("ascii")))
    scale = {row["symbol"]: int(row["mod_pettifor"]) for row in rows if row["mod_pettifor"] != "0"}
    if scale != dict(MODIFIED_PETTIFOR):
        raise ValueError("the column mod_pettifor is not MODIFIED_PETTIFOR of matminer_grid.crystals.elements")


def open_sdist(path: Path) -> tarfile.TarFile:
    """Open the source distribution if its checksum is right."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SDIST_SHA256:
        raise ValueError(f"{path.name} has the SHA-256 checksum {found}; that of {SDIST} is {SDIST_SHA256}")
    return tarfile.open(path)


def download(folder: str) -> Path:
    """Fetch the source distribution with pip."""
    requirement = SDIST.replace("-", "==")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--dest", folder, requirement]
    subprocess.run(command, check=True)  # noqa: S603  fixed arguments
    return next(Path(folder).glob(f"{SDIST}*"))


def main(arguments: list[str] | None = None) -> None:
    """Write the files and their checksums."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sdist", type=Path, help="the source distribution, if it needn't be downloaded")
    parser.add_argument("--output", type=Path, default=DATA, help="folder to write to (default: where the package has them)")
    options = parser.parse_args(arguments)
    if pa.__version__ != PYARROW:
        print(f"pyarrow is {pa.__version__}: the committed file was written by {PYARROW}, its bytes may differ", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder, open_sdist(options.sdist or download(folder)) as archive:

        def read(name: str) -> bytes:
            member = archive.extractfile(f"{SDIST}/data_sources/{name}")
            if member is None:
                raise ValueError(f"{SDIST} holds no file {name}")
            return member.read()

        substitution = read("similarity_matrix.csv")
        check_element_tables(substitution, read("composition_order.csv"))
        contents = {"mp_elasticity.parquet": convert(json.loads(read("MP_modulus.json"))), "substitution.csv": substitution}
    options.output.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (options.output / name).write_bytes(content)
        print(f"{name}: {len(content) / 1e6:.2f} MB")
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items())
    (options.output / "SHA256SUMS").write_text(sums, encoding="ascii", newline="\n")


if __name__ == "__main__":
    main()
