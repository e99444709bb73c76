"""The Materials Project's API as mp-api calls it, played by a server on this machine, with its faults."""

import json
import logging
import threading
import traceback
from collections import Counter
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from matminer_grid import _files
from matminer_grid.cli import app
from matminer_grid.datasets import fetch_materials_project, load_mp_elasticity_table
from matminer_grid.datasets.materials_project import FIELDS, parse_documents
from matminer_grid.datasets.materials_project_client import Client
from matminer_grid.io import load_crystals, read_provenance

pytest.importorskip("mp_api", reason="mp-api is not installed: pip install 'matminer-grid[mp]'")

KEY = "0123456789abcdefghijklmnopqrstuv"
N = 25


def documents() -> list[dict]:
    """Answers in the shape of the API, for the first crystals of the embedded data; some of them not fit to be kept."""
    table = load_mp_elasticity_table()
    found = []
    for i, structure in enumerate(table.crystals[:N].to_structures()):
        modulus = table.K_VRH[i].item()
        found.append(
            {
                "material_id": table.material_id[i],
                "structure": structure.as_dict(),
                "bulk_modulus": {"voigt": modulus + 1, "reuss": modulus - 1, "vrh": modulus},
                "shear_modulus": {"voigt": 31.0, "reuss": 29.0, "vrh": 30.0},
                "universal_anisotropy": 0.5,
                "state": "successful",
                "warnings": [],
                "deprecated": False,
                "order": 2,
            }
        )
    found[1]["state"] = "failed"
    found[2]["bulk_modulus"] = None
    found[3]["bulk_modulus"]["vrh"] = -20.0
    found[4]["shear_modulus"]["vrh"] = 5000.0
    found[5]["warnings"] = ["Large modulus."]
    found[6]["deprecated"] = True
    found[7]["structure"]["lattice"]["matrix"] = [[1, 0, 0], [2, 0, 0], [0, 0, 1]]
    found[8]["universal_anisotropy"] = None
    return found


GOOD = [0, 5, *range(8, N)]


class Api(ThreadingHTTPServer):
    """Answers as the Materials Project does; `faults` holds what to do instead, one after the other, for documents."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.documents = documents()
        self.database_version = "2026.11.01"
        self.faults: list[str] = []
        self.forever: str | None = None
        self.seen: list[dict] = []
        self.count = Counter()
        self.url = f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request, client_address) -> None:
        """Say nothing of clients that hung up."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args) -> None:  # noqa: A002
        """Say nothing."""

    def answer(self, content: object, status: int = 200, cut: bool = False, headers: dict | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True

    def do_GET(self) -> None:
        api = self.server
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/heartbeat":
            version = {"version": "0.86.4", "db_version": api.database_version, "access_controlled_batch_ids": []}
            self.answer({"status": "OK"} | version)
            return
        if url.path != "/materials/elasticity/":
            self.answer({"detail": f"no such path: {url.path}"}, 404)
            return
        key = self.headers.get("X-API-KEY")
        api.seen.append(query | {"key": key})
        fault = api.faults.pop(0) if api.faults else api.forever
        api.count[fault] += 1
        if key != KEY or fault == "401":
            self.answer({"detail": f"Invalid authentication credentials: {key}"}, 401)
        elif fault == "429":
            self.answer({"detail": "slow down"}, 429, headers={"Retry-After": "0"})
        elif fault == "500":
            self.answer(f"<html>Internal Server Error, the key was {key}</html>".encode(), 500)
        elif fault == "not json":
            self.answer(b"<html>")
        else:
            wanted = query.get("material_ids")
            found = [document for document in api.documents if not wanted or document["material_id"] in wanted.split(",")]
            skip, limit = int(query.get("_skip", 0)), int(query["_limit"])
            fields = query["_fields"].split(",")
            page = [{name: document[name] for name in fields if name in document} for document in found[skip : skip + limit]]
            self.answer({"data": page, "meta": {"total_doc": len(found)}}, cut=fault == "cut")


@cache
def available_fields(document_model) -> list[str]:
    return list(document_model.model_json_schema()["properties"])


@pytest.fixture
def api(monkeypatch):
    from mp_api.client.core.client import BaseRester

    # mp-api works this list out anew for each field of each request, in 50 ms
    monkeypatch.setattr(BaseRester, "available_fields", property(lambda self: available_fields(self.document_model)))
    for name in ("MP_API_KEY", "PMG_MAPI_KEY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("matminer_grid.datasets.materials_project.CHUNK_SIZE", 10)
    monkeypatch.setattr("matminer_grid.datasets.materials_project_client.RETRY_WAIT", 0.0)
    server = Api()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def fetch(api, path, **options):
    return fetch_materials_project(path, **{"api_key": KEY, "endpoint": api.url, "pbar": False} | options)


def secret_free(folder, *texts):
    for file in folder.rglob("*"):
        assert file.is_dir() or KEY.encode() not in file.read_bytes()
    for text in texts:
        assert KEY not in text


def test_file_has_the_schema_of_the_embedded_data(api, tmp_path):
    provenance = fetch(api, tmp_path / "mp.parquet")
    crystals, properties = load_crystals(tmp_path / "mp.parquet")
    embedded = load_mp_elasticity_table()
    assert properties["material_id"].tolist() == embedded.material_id[GOOD].tolist()
    assert properties["formula"].tolist() == embedded.formula[GOOD].tolist()
    assert properties["K_VRH"].tolist() == embedded.K_VRH[GOOD].tolist()
    assert properties["G_VRH"].unique().tolist() == [30.0]
    assert np.isnan(properties["elastic_anisotropy"]).tolist() == [i == 8 for i in GOOD]
    assert properties["warnings"].tolist()[1].tolist() == ["Large modulus."]
    np.testing.assert_array_equal(crystals.frac_coords, embedded.crystals[GOOD].frac_coords)
    np.testing.assert_array_equal(crystals.lattices, embedded.crystals[GOOD].lattices)
    schema = pq.read_schema(tmp_path / "mp.parquet").remove_metadata()
    ours = pq.read_schema(_files.DATA / "mp_elasticity.parquet").remove_metadata()
    assert schema.names == [*ours.names, "warnings"]
    assert all(schema.field(name).type == ours.field(name).type for name in ours.names)
    assert provenance == read_provenance(tmp_path / "mp.parquet")
    assert provenance["database_version"] == "2026.11.01"
    assert provenance["n_found"] == N
    assert provenance["n_kept"] == len(GOOD)
    assert provenance["dropped"] == {
        "the calculation failed": 1,
        "no modulus": 1,
        "bulk modulus out of range": 1,
        "shear modulus out of range": 1,
        "deprecated": 1,
        "no valid structure": 1,
    }
    assert [path.name for path in tmp_path.iterdir()] == ["mp.parquet"]


def test_requests_are_those_of_the_api(api, tmp_path):
    fetch(api, tmp_path / "mp.parquet")
    assert {query["key"] for query in api.seen} == {KEY}
    assert api.seen[0]["_fields"] == "material_id"
    assert api.seen[0]["_limit"] == "1000"
    assert {query["_fields"] for query in api.seen[1:]} == {",".join(FIELDS)}
    assert [len(query["material_ids"].split(",")) for query in api.seen[1:]] == [10, 10, 5]


def test_identifiers_come_in_pages(api, tmp_path, monkeypatch):
    monkeypatch.setattr("matminer_grid.datasets.materials_project.ID_PAGE", 7)
    assert fetch(api, tmp_path / "mp.parquet")["n_found"] == N
    assert [query.get("_skip") for query in api.seen[:4]] == [None, "7", "14", "21"]


def test_filters_are_applied_here(api, tmp_path):
    ranges = {"bulk_modulus": (-100.0, 50.0), "shear_modulus": (0.0, 1e4), "with_warnings": False}
    provenance = fetch(api, tmp_path / "mp.parquet", **ranges)
    K = load_crystals(tmp_path / "mp.parquet")[1]["K_VRH"]
    assert K.min() == -20.0
    assert K.max() <= 50.0
    assert provenance["dropped"]["warnings"] == 1
    assert provenance["query"]["bulk_modulus"] == [-100.0, 50.0]
    assert not any("vrh" in name for query in api.seen for name in query)


@pytest.mark.parametrize("fault", ["429", "500", "cut", "not json"])
def test_passing_faults_are_overcome(api, tmp_path, fault):
    api.faults = [fault, "none", fault, fault, "none", fault]
    assert fetch(api, tmp_path / "mp.parquet")["n_kept"] == len(GOOD)
    assert api.count[fault] == 4


@pytest.mark.parametrize("fault", ["429", "500", "cut", "not json"])
def test_lasting_faults_keep_what_was_fetched(api, tmp_path, fault, caplog, capfd):
    api.faults = ["none", "none"]
    api.forever = fault
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(ConnectionError, match=r"load_mp_elasticity.*1 parts are kept in") as caught,
    ):
        fetch(api, tmp_path / "mp.parquet")
    assert not (tmp_path / "mp.parquet").exists()
    secret_free(tmp_path, "".join(traceback.format_exception(caught.value)), caplog.text, *capfd.readouterr())
    api.forever = None
    before = len(api.seen)
    assert fetch(api, tmp_path / "mp.parquet")["n_kept"] == len(GOOD)
    assert len(api.seen) == before + 2  # two parts; neither the identifiers nor the first part again


def break_off(api, path, **options) -> None:
    """Let a fetch fail after its first part."""
    api.faults, api.forever = ["none", "none"], "500"
    with pytest.raises(ConnectionError):
        fetch(api, path, **options)
    api.forever = None


def test_resumed_file_is_the_same(api, tmp_path):
    api.documents[8]["universal_anisotropy"] = 0.5  # no NaN, which equals nothing
    fetch(api, tmp_path / "whole.parquet")
    break_off(api, tmp_path / "mp.parquet")
    fetch(api, tmp_path / "mp.parquet")
    assert pq.read_table(tmp_path / "mp.parquet").equals(pq.read_table(tmp_path / "whole.parquet"))


def test_damaged_parts_and_plans_are_fetched_again(api, tmp_path):
    break_off(api, tmp_path / "mp.parquet")
    (tmp_path / "mp.parquet.parts" / "000000.parquet").write_bytes(b"PAR1")
    (tmp_path / "mp.parquet.parts" / ".000001.parquet.77").write_bytes(b"left by a kill")
    assert fetch(api, tmp_path / "mp.parquet")["n_kept"] == len(GOOD)
    break_off(api, tmp_path / "mp.parquet", overwrite=True)
    (tmp_path / "mp.parquet.parts" / "plan.json").write_text("{", encoding="ascii")
    assert fetch(api, tmp_path / "mp.parquet", overwrite=True)["n_kept"] == len(GOOD)


def test_new_version_of_the_database_starts_anew(api, tmp_path, monkeypatch):
    break_off(api, tmp_path / "mp.parquet")
    monkeypatch.setattr(Client, "database_version", "2027.01.01")
    before = len(api.seen)
    assert fetch(api, tmp_path / "mp.parquet")["database_version"] == "2027.01.01"
    assert len(api.seen) == before + 4


@pytest.mark.parametrize("field", ["structure", "bulk_modulus", "shear_modulus", "material_id"])
def test_changed_field(api, tmp_path, field):
    for document in api.documents:
        document["new_name"] = document.pop(field)
    with pytest.raises(ValueError, match=rf"has the field '{field}' in a known form|no field '{field}'"):
        fetch(api, tmp_path / "mp.parquet")


def test_changed_form(api, tmp_path):
    for document in api.documents:
        document["bulk_modulus"] = 100.0
    with pytest.raises(ValueError, match="has the field 'bulk_modulus' in a known form"):
        fetch(api, tmp_path / "mp.parquet")


def test_moduli_may_be_documents():
    class Modulus:
        vrh = 100.0

    table = load_mp_elasticity_table()
    document = {
        "material_id": "mp-1",
        "structure": table.crystals[0].to_structure(),
        "bulk_modulus": Modulus(),
        "shear_modulus": {"vrh": 50},
        "state": True,
    }
    null = document | {"material_id": "mp-3", "bulk_modulus": None, "warnings": "one text"}
    rows = parse_documents([document, null], ["mp-1", "mp-2", "mp-3"])
    np.testing.assert_array_equal(rows.column("K_VRH").to_numpy(), [100, np.nan, np.nan])
    np.testing.assert_array_equal(rows.column("G_VRH").to_numpy(), [50, np.nan, 50])
    assert rows.column("problem").to_pylist() == [None, "not in the answer", "no modulus"]
    assert rows.column("warnings").to_pylist() == [[], None, ["one text"]]


def test_few_answers_without_a_modulus_are_no_change(api, tmp_path):
    for document in api.documents[20:]:
        document["shear_modulus"] = None
    assert fetch(api, tmp_path / "mp.parquet")["dropped"]["no modulus"] == 6


def test_refused_key(api, tmp_path, caplog, capfd):
    wrong = KEY[::-1]
    message = "refused the API key; get one, free of charge, at https"
    with caplog.at_level(logging.DEBUG), pytest.raises(PermissionError, match=message) as caught:
        fetch(api, tmp_path / "mp.parquet", api_key=wrong)
    for text in ("".join(traceback.format_exception(caught.value)), caplog.text, *capfd.readouterr()):
        assert wrong not in text
    assert len(api.seen) == 1
    assert caught.value.__suppress_context__


def test_no_key(api, tmp_path, monkeypatch):
    monkeypatch.setattr("pymatgen.core.SETTINGS", {})
    with pytest.raises(ValueError, match=r"a key .* is needed: get one, free of charge, at https://materialsproject.org/api"):
        fetch(api, tmp_path / "mp.parquet", api_key=None)


def test_malformed_key_is_not_repeated(api, tmp_path):
    with pytest.raises(ValueError, match="has 32 letters, this one has 6") as caught:
        fetch(api, tmp_path / "mp.parquet", api_key="secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("source", ["environment", "settings"])
def test_key_from_environment_or_settings(api, tmp_path, monkeypatch, source):
    if source == "environment":
        monkeypatch.setenv("MP_API_KEY", KEY)
    else:
        monkeypatch.setattr("pymatgen.core.SETTINGS", {"PMG_MAPI_KEY": KEY})
    assert fetch(api, tmp_path / "mp.parquet", api_key=None)["n_kept"] == len(GOOD)
    secret_free(tmp_path)


def test_key_is_not_shown():
    assert KEY not in repr(Client(KEY, None))


def test_no_network(api, tmp_path):
    api.shutdown()
    api.server_close()
    with pytest.raises(ConnectionError, match=r"can't be reached.*load_mp_elasticity\(\).*load_crystals\(FILE\)"):
        fetch(api, tmp_path / "mp.parquet")


def test_existing_file_is_kept(api, tmp_path):
    (tmp_path / "mp.parquet").write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        fetch(api, tmp_path / "mp.parquet")
    assert not api.seen


def test_without_mp_api(api, tmp_path, monkeypatch):
    monkeypatch.setattr("matminer_grid.datasets.materials_project.find_spec", {}.get)
    with pytest.raises(ImportError, match=r"pip install 'matminer-grid\[mp\]'"):
        fetch(api, tmp_path / "mp.parquet")


def test_empty_database(api, tmp_path):
    api.documents = []
    with pytest.raises(ValueError, match="found no elastic moduli"):
        fetch(api, tmp_path / "mp.parquet")


def test_disordered_crystals_keep_their_occupancies(api, tmp_path):
    for site in api.documents[0]["structure"]["sites"]:
        site["species"][0]["occu"] = 0.5
    fetch(api, tmp_path / "mp.parquet")
    crystals, _ = load_crystals(tmp_path / "mp.parquet")
    assert set(crystals[0].occupancies.tolist()) == {0.5}
    assert set(crystals[1].occupancies.tolist()) == {1.0}
    assert isinstance(pq.read_schema(tmp_path / "mp.parquet").field("occupancies").type, pa.ListType)


def test_command(api, tmp_path, monkeypatch):
    monkeypatch.setenv("MP_API_KEY", KEY)
    monkeypatch.setattr("matminer_grid.datasets.fetch_materials_project", partial(fetch_materials_project, endpoint=api.url))
    arguments = ["data", "fetch", "materials_project", "-o", str(tmp_path / "mp.parquet")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert f"{len(GOOD)} crystals in {tmp_path / 'mp.parquet'}\n" in done.output
    assert "MP_API_KEY" not in done.output
    secret_free(tmp_path, done.output)
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 1
    assert "mp.parquet exists" in again.output
