"""Elastic moduli from the Materials Project's API (extra ``[mp]``), written to the schema of the embedded data."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from matminer_grid._files import replacing
from matminer_grid.crystals._arrow import FORMAT, FORMAT_KEY
from matminer_grid.crystals.composition import reduced_formula
from matminer_grid.crystals.crystal import Crystal
from matminer_grid.crystals.table import CrystalTable
from matminer_grid.datasets.materials_project_client import Client
from matminer_grid.io.parquet import PROVENANCE
from matminer_grid.io.structure_json import crystal_from_dict

if TYPE_CHECKING:
    from collections.abc import Sequence

NEEDED = ("material_id", "structure", "bulk_modulus", "shear_modulus")
"""Fields without which nothing can be made of an answer."""

FIELDS = (*NEEDED, "universal_anisotropy", "state", "warnings", "deprecated")
"""What is asked of ``materials.elasticity.search``."""

MODULI = ("K_VRH", "G_VRH", "elastic_anisotropy")
"""Columns of numbers."""

FEWEST = 10
"""Answers of which one must have each field needed."""

CHUNK_SIZE = 200
"""Materials in a part."""

ID_PAGE = 1000
"""Identifiers asked for at once."""


def fetch_materials_project(
    path: str | Path,
    api_key: str | None = None,
    *,
    bulk_modulus: tuple[float, float] = (0.0, 1000.0),
    shear_modulus: tuple[float, float] = (0.0, 1000.0),
    with_warnings: bool = True,
    endpoint: str | None = None,
    overwrite: bool = False,
    pbar: bool = True,
) -> dict[str, Any]:
    """Fetch the elastic moduli of all crystals that the Materials Project has, and write them to a Parquet file.

    Materials are fetched in parts, each of which is kept in the folder ``<path>.parts`` until all are there: called again after a
    broken connection or a kill, the function goes on where it stopped. Filters are applied here, not by the server, so that they
    can be changed without loss until the file is written.

    Parameters
    ----------
    path : str or Path
        The Parquet file to write; :func:`load_crystals` reads it.
    api_key : str, optional
        Key of the Materials Project; by default MP_API_KEY of the environment, or PMG_MAPI_KEY of pymatgen's settings. It is sent
        to the server, and written nowhere.
    bulk_modulus, shear_modulus : tuple of float
        Least and largest Voigt-Reuss-Hill average to keep, in GPa.
    with_warnings : bool
        Whether to keep crystals whose calculation the Materials Project warns of; the warnings stand in a column of their own.
    endpoint : str, optional
        Address of the API, if it isn't the Materials Project's.
    overwrite : bool
        Whether to replace an existing file.
    pbar : bool
        Whether to show a progress bar.

    Returns
    -------
    dict
        What is also kept in the file as provenance: database version, date, query, and the numbers of crystals found, kept and
        dropped by reason.

    Raises
    ------
    ImportError
        mp-api is not installed.
    FileExistsError
        The file exists.
    ValueError
        There is no key, or its form is wrong; or the API answers in another form than this function knows.
    PermissionError
        The key was refused.
    ConnectionError
        The API can't be reached, or fails again and again; what was fetched is kept.

    References
    ----------
    A. Jain et al., APL Materials 1 (2013) 011002, 10.1063/1.4812323.
    M. de Jong et al., Sci. Data 2 (2015) 150009, 10.1038/sdata.2015.9.

    Examples
    --------
    >>> from matminer_grid.datasets import fetch_materials_project
    >>> from matminer_grid.io import load_crystals
    >>> provenance = fetch_materials_project("elasticity.parquet")  # doctest: +SKIP
    >>> crystals, properties = load_crystals("elasticity.parquet")  # doctest: +SKIP
    """
    path = Path(path)
    if find_spec("mp_api") is None:
        raise ImportError("mp-api is needed to ask the Materials Project: pip install 'matminer-grid[mp]'")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists: choose another name, or say overwrite=True")
    client = Client(api_key, endpoint)
    del api_key  # tracebacks may show local variables
    parts = path.with_name(path.name + ".parts")
    try:
        plan = _plan(parts, client)
        tables = _fetch_parts(parts, plan, client, pbar)
    except (ConnectionError, PermissionError) as error:
        kept = len(list(parts.glob("*.parquet"))) if parts.is_dir() else 0
        if not kept:
            raise
        raise type(error)(f"{error} {kept} parts are kept in {parts}: call again to go on from there") from None
    query = {"bulk_modulus": list(bulk_modulus), "shear_modulus": list(shear_modulus), "with_warnings": with_warnings}
    table, dropped = _filter(tables, query)
    provenance = {
        "source": "Materials Project, materials.elasticity.search",
        "licence": "CC BY 4.0",
        "database_version": plan["database_version"],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "mp_api": version("mp-api"),
        "query": query | {"fields": list(FIELDS)},
        "n_found": len(plan["material_ids"]),
        "n_kept": len(table),
        "dropped": dropped,
    }
    table = table.replace_schema_metadata({FORMAT_KEY: FORMAT, PROVENANCE: json.dumps(provenance)})
    _write_table(table, path)
    shutil.rmtree(parts)
    return provenance


def _plan(parts: Path, client: Client) -> dict[str, Any]:
    """Take up the plan of an earlier call if it is for the same version of the database, else make one."""
    file = parts / "plan.json"
    database_version = client.database_version
    try:
        plan = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        plan = {}
    if isinstance(plan, dict) and (plan.get("database_version"), plan.get("fields")) == (database_version, list(FIELDS)):
        return plan
    documents = client.search(["material_id"], ID_PAGE)
    if any("material_id" not in document for document in documents):
        raise ValueError("the Materials Project's answers have no field 'material_id': try a newer mp-api or matminer-grid")
    ids = list(dict.fromkeys(str(document["material_id"]) for document in documents))
    if not ids:
        raise ValueError("the Materials Project found no elastic moduli at all: try a newer mp-api or matminer-grid")
    plan = {"database_version": database_version, "fields": list(FIELDS), "chunk_size": CHUNK_SIZE, "material_ids": ids}
    if parts.exists():
        shutil.rmtree(parts)
    parts.mkdir(parents=True)
    with replacing(file) as out:
        out.write(json.dumps(plan).encode())
    return plan


def _fetch_parts(parts: Path, plan: dict[str, Any], client: Client, pbar: bool) -> list[pa.Table]:
    ids, size = plan["material_ids"], plan["chunk_size"]
    tables = []
    with tqdm(total=len(ids), desc="Materials Project", disable=not pbar) as bar:
        for index, start in enumerate(range(0, len(ids), size)):
            file = parts / f"{index:06d}.parquet"
            try:
                part = pq.read_table(file)
            except (OSError, pa.ArrowException):  # it is missing, or damaged
                wanted = ids[start : start + size]
                part = parse_documents(client.search(FIELDS, size, wanted), wanted)
                _write_table(part, file)
            tables.append(part)
            bar.update(min(size, len(ids) - start))
    return tables


def parse_documents(documents: Sequence[dict[str, Any]], wanted: Sequence[str]) -> pa.Table:
    """Turn the API's answers into rows, in the order of the identifiers; what a row lacks stands in its column `problem`.

    A field needed that none of many answers has was renamed or changed its form: a ValueError.
    """
    for field in NEEDED:
        values = [document[field] for document in documents if document.get(field) is not None]
        if (values or len(documents) >= FEWEST) and not any(_is_known(value, field) for value in values):
            has = ", ".join(sorted({name for document in documents for name in document}))
            raise ValueError(
                f"none of the Materials Project's {len(documents)} answers has the field {field!r} in a known form (they have "
                f"{has}): the API has changed; try a newer mp-api or matminer-grid"
            )
    by_id = {str(document.get("material_id")): document for document in documents}
    rows, crystals = zip(*(_row(material_id, by_id.get(material_id)) for material_id in wanted), strict=True)
    types = dict.fromkeys(("material_id", "formula", "problem"), pa.string()) | dict.fromkeys(MODULI, pa.float64())
    table = pa.Table.from_pylist(rows, schema=pa.schema(types | {"warnings": pa.list_(pa.string())}))
    placed = CrystalTable.from_crystals(crystal or PLACEHOLDER for crystal in crystals).to_arrow()
    for name in placed.column_names:
        table = table.append_column(name, placed.column(name))
    return table


PLACEHOLDER = Crystal([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[0, 0, 0]], [1], [1], [0])  # type: ignore[arg-type]
"""Stands in a row that has no crystal; such rows are dropped."""


def _row(material_id: str, document: dict[str, Any] | None) -> tuple[dict[str, Any], Crystal | None]:
    row: dict[str, Any] = {"material_id": material_id}
    if document is None:
        return row | {"problem": "not in the answer"}, None
    K, G = _average(document.get("bulk_modulus")), _average(document.get("shear_modulus"))
    notes = document.get("warnings") or []
    row |= {"K_VRH": K, "G_VRH": G, "elastic_anisotropy": _finite(document.get("universal_anisotropy"))}
    row["warnings"] = [notes] if isinstance(notes, str) else [str(note) for note in notes]
    state = document.get("state")
    if state is not None and str(getattr(state, "value", state)) not in {"successful", "True"}:
        return row | {"problem": "the calculation failed"}, None
    if document.get("deprecated"):
        return row | {"problem": "deprecated"}, None
    if math.isnan(K + G):
        return row | {"problem": "no modulus"}, None
    try:
        structure = document.get("structure")
        crystal = crystal_from_dict(structure) if isinstance(structure, dict) else Crystal.from_structure(structure)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return row | {"problem": "no valid structure"}, None
    row["formula"] = reduced_formula(crystal)
    return row, crystal


def _is_known(value: Any, field: str) -> bool:
    return not field.endswith("_modulus") or hasattr(value, "vrh") or (isinstance(value, dict) and "vrh" in value)


def _average(modulus: Any) -> float:
    """Take the Voigt-Reuss-Hill average out of a dictionary or a document."""
    return _finite(modulus.get("vrh") if isinstance(modulus, dict) else getattr(modulus, "vrh", None))


def _finite(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else math.nan


def _filter(tables: list[pa.Table], query: dict[str, Any]) -> tuple[pa.Table, dict[str, int]]:
    """Give the rows that are wanted, and how many are not, by reason."""
    table = pa.concat_tables(tables)
    reasons = table.column("problem").to_pylist()
    for row, (K, G, notes) in enumerate(zip(*(table.column(name).to_pylist() for name in (*MODULI[:2], "warnings")), strict=True)):
        if reasons[row] is not None:
            continue
        if not query["bulk_modulus"][0] <= K <= query["bulk_modulus"][1]:
            reasons[row] = "bulk modulus out of range"
        elif not query["shear_modulus"][0] <= G <= query["shear_modulus"][1]:
            reasons[row] = "shear modulus out of range"
        elif notes and not query["with_warnings"]:
            reasons[row] = "warnings"
    kept = table.filter(pa.array([reason is None for reason in reasons], pa.bool_()))
    names = ["material_id", "formula", "lattice", "frac_coords", "numbers"]
    if any(kept.column("occupancies").is_valid().to_pylist()):
        names += ["occupancies", "site_index"]
    return kept.select([*names, *MODULI, "warnings"]), dict(Counter(reason for reason in reasons if reason is not None))


def _write_table(table: pa.Table, path: Path) -> None:
    with replacing(path) as file:
        pq.write_table(table, file, compression="zstd")
