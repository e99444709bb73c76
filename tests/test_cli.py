"""The command line; as a process of its own where that makes a difference, in this one else, since each takes seconds to start."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition, Lattice, Structure

from matminer_grid import CrystalTable
from matminer_grid.pipeline import load_features
from tests.commands import run


def run_alone(*arguments, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from matminer_grid.cli import app; app()", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "120", "NO_COLOR": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, **options)


def formula(crystals, row: int) -> str:
    return Composition(crystals[row].formula).reduced_formula


@pytest.fixture(scope="module")
def folder(sample, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("structures")
    for index, structure in enumerate(sample[:4].to_structures()):
        structure.to(filename=str(folder / f"{index}.vasp"), fmt="poscar")
    return folder


def test_help():
    done = run_alone("--help")
    assert done.returncode == 0
    assert "featurize" in done.stdout
    assert "data" in done.stdout
    assert "INPUT..." in run_alone("featurize", "--help").stdout


def test_starting_is_quick():
    script = "import sys, matminer_grid.cli; print([m for m in ('numba', 'pandas', 'pymatgen', 'sklearn') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_featurize(folder, tmp_path):
    done = run("featurize", folder, "-o", tmp_path / "out.parquet", "--n-groups", 5, "--cutoff", 4, "--float32", "-j", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"4 rows in {tmp_path / 'out.parquet'}\n"
    names, features = load_features(tmp_path / "out.parquet")
    assert names.tolist() == [str(folder / f"{index}.vasp") for index in range(4)]
    assert (features.shape, features.dtype) == ((4, 5 * 40), "float32")


def test_featurize_with_files_that_fail(folder, tmp_path):
    (tmp_path / "bad.cif").write_text("data_\n")
    done = run_alone("featurize", folder, tmp_path / "bad.cif", "-o", tmp_path / "out", "-j", 1, "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert (report["n_rows"], report["n_failed"], report["n_resumed"]) == (4, 1, 0)
    assert json.loads(Path(report["errors_file"]).read_text())["name"] == str(tmp_path / "bad.cif")
    again = run_alone("featurize", folder, tmp_path / "bad.cif", "-o", tmp_path / "out", "-j", 1)
    assert again.stdout == f"4 rows in {tmp_path / 'out'}, of which 5 structures had been done before\n"
    assert "structures that failed: 1; read with a warning: 0; see" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.cif"], "error: missing.cif: there is no such file"),
        (["--preset", "x", "."], "error: unknown preset 'x'; choose one of 'report', 'zhang2023'"),
        (["--bin-size", "0.3", "."], "error: cutoff must be a multiple of bin_size"),
        (["."], "error: .: the folder holds no structure files"),
        (["--layout", "wide", "."], "error: unknown layout"),
    ],
)
def test_featurize_with_bad_arguments(tmp_path, arguments, message):
    done = run("featurize", *arguments, "-o", "out.parquet", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_ctrl_c(embedded, tmp_path):
    embedded[np.tile(np.arange(6000), 10)].to_parquet(tmp_path / "many.parquet")
    command = [
        sys.executable,
        "-c",
        "from matminer_grid.cli import app; app()",
        "featurize",
        str(tmp_path / "many.parquet"),
        "-o",
        "out",
    ]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list((tmp_path / "out").glob("part-*.parquet")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    n_before = len(list((tmp_path / "out").glob("part-*.parquet")))
    _, messages = process.communicate()
    assert process.returncode == 130
    assert messages.endswith("stopped\n")
    assert n_before <= len(load_features(tmp_path / "out")[0]) / 2000 <= n_before + 2


class TestDuplicates:
    def test_a_file_of_crystals(self, sample, tmp_path):
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = sample[[0, 1, 0, 2, 1]].to_arrow()
        pq.write_table(table.append_column("material_id", pa.array([f"mp-{i}" for i in range(5)])), tmp_path / "five.parquet")
        answer = json.loads(run("duplicates", tmp_path / "five.parquet", "--json").stdout)
        assert (answer["crystals"], answer["distinct"]) == (5, 3)
        assert answer["tolerance"] == {"volume": 0.03, "geometry": 0.035, "surroundings": 0.09}
        assert sorted(group["materials"] for group in answer["groups"]) == [["mp-0", "mp-2"], ["mp-1", "mp-4"]]
        assert {(group["formula"], group["spread"]) for group in answer["groups"]} == {(formula(sample, row), 0) for row in (0, 1)}
        assert answer["groups"][0]["space_group"].endswith(")")
        assert [pair["materials"] for pair in answer["pairs"]] == [["mp-0", "mp-2"], ["mp-1", "mp-4"]]
        assert answer["pairs"][0].items() >= {"volume": 0, "geometry": 0, "surroundings": 0, "ratio": 0}.items()
        assert answer["near"] == []
        sample[[0, 1, 0]].to_parquet(tmp_path / "three.parquet")
        done = run("duplicates", tmp_path / "three.parquet")
        assert done.returncode == 0, done.stderr
        first = "3 crystals, 2 of them distinct; 1 pairs within volume 0.03, geometry 0.035, surroundings 0.09\n"
        assert done.stdout.startswith(first)
        assert "0, 2" in done.stdout

    def test_files(self, folder, tmp_path):
        (tmp_path / "bad.cif").write_text("data_\n")
        copy = tmp_path / "copy.vasp"
        copy.write_text((folder / "2.vasp").read_text())
        done = run("duplicates", folder, tmp_path, "--tolerance", "0.001", "--json")
        assert done.returncode == 1
        assert done.stderr.startswith(f"{tmp_path / 'bad.cif'}: ")
        answer = json.loads(done.stdout)
        assert [group["materials"] for group in answer["groups"]] == [[str(folder / "2.vasp"), str(copy)]]
        assert answer["crystals"] == 5

    def test_none_found(self, folder):
        done = run("duplicates", folder)
        assert done.returncode == 0
        assert done.stdout.startswith("4 crystals, 4 of them distinct; 0 pairs within ")
        assert done.stdout.count("\n") == 1

    def test_without_duplicates(self, sample, tmp_path):
        """The representative of each group is kept, with all its properties, whatever the format."""
        import dataclasses

        from matminer_grid.io import load_crystals, save_crystals

        some = sample[[0, 1, 0, 2, 0]]
        factors = np.array([1.0, 1.0, 1.004, 1.0, 0.996])  # the first of three is in the middle
        some = dataclasses.replace(some, lattices=some.lattices * factors[:, None, None])
        save_crystals(
            tmp_path / "five.parquet", some, pd.DataFrame({"material_id": ["a", "b", "b", "c", "d"], "K": np.arange(5.0)})
        )
        done = run("duplicates", "five.parquet", "-o", "kept.parquet", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        (group,) = json.loads(done.stdout)["groups"]
        assert group["materials"] == ["a", "b", "d"]
        assert 0.5 < group["spread"] <= 1
        crystals, properties = load_crystals(tmp_path / "kept.parquet")
        assert properties["material_id"].tolist() == ["a", "b", "c"]
        assert properties["K"].tolist() == [0, 1, 3]
        np.testing.assert_array_equal(crystals.lattices, some.lattices[[0, 1, 3]])
        done = run("duplicates", "five.parquet", "--output", "kept.xyz", cwd=tmp_path)
        assert done.stdout.endswith("3 crystals in kept.xyz\n")
        again = json.loads(run("duplicates", "kept.xyz", "kept.xyz", "-o", "twice.jsonl", "--json", cwd=tmp_path).stdout)
        assert (again["crystals"], again["distinct"]) == (6, 3)
        lines = [json.loads(line) for line in (tmp_path / "twice.jsonl").read_text().splitlines()]
        assert [(line["material_id"], line["K"]) for line in lines] == [("a", 0), ("b", 1), ("c", 3)]
        done = run("duplicates", "five.parquet", "-o", "kept.parquet", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "error: kept.parquet exists: choose another name\n"

    def test_linkage_and_margin(self, sample, tmp_path):
        import dataclasses

        factors = 1.006 ** np.array([0, 1, 2.1, 3.15])
        steps = dataclasses.replace(sample[[0] * 4], lattices=sample[[0] * 4].lattices * factors[:, None, None])
        steps.to_parquet(tmp_path / "steps.parquet")
        done = run_alone("duplicates", "steps.parquet", "--linkage", "single", "--json", cwd=tmp_path)
        assert done.stderr.startswith("warning: 1 groups are wider than the tolerance")
        (group,) = json.loads(done.stdout)["groups"]
        assert sorted(group["materials"]) == ["0", "1", "2", "3"]
        assert group["materials"][0] in {"1", "2"}
        done = run("duplicates", "steps.parquet", "--margin", "2", "--json", cwd=tmp_path)
        answer = json.loads(done.stdout)
        assert answer["distinct"] == 2
        assert [(pair["materials"], pair["decided_by"]) for pair in answer["near"]] == [
            (["0", "2"], "volume"),
            (["0", "3"], "volume"),
            (["1", "3"], "volume"),
        ]
        done = run("duplicates", "steps.parquet", cwd=tmp_path)
        assert "chains: 2 of 2 groups" in done.stdout
        done = run("duplicates", "steps.parquet", "--volume", "inf", "--json", cwd=tmp_path)
        assert json.loads(done.stdout)["tolerance"]["volume"] is None
        assert json.loads(done.stdout)["distinct"] == 1

    def test_what_can_not_be_compared_costs_the_others_nothing(self, sample, tmp_path):
        crowded = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0, 0, 0]])
        CrystalTable.from_structures([crowded, sample[0], crowded, sample[0]]).to_parquet(tmp_path / "four.parquet")
        done = run("duplicates", "four.parquet", "-o", "kept.csv", "--json", cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr.startswith("0: Na1 Cl1: ")
        answer = json.loads(done.stdout)
        assert (answer["crystals"], answer["distinct"]) == (2, 1)
        assert answer["groups"][0]["materials"] == ["1", "3"]
        assert len((tmp_path / "kept.csv").read_text().splitlines()) == 2

    def test_prototypes(self, tmp_path):
        for name, (cation, anion, a) in {"salt": ("Na", "Cl", 5.64), "oxide": ("Mg", "O", 4.21)}.items():
            rock_salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [anion, cation], [[0, 0, 0], [0.5, 0, 0]])
            rock_salt.to(filename=str(tmp_path / f"{name}.vasp"), fmt="poscar")
        assert json.loads(run("duplicates", tmp_path, "--json").stdout)["groups"] == []
        answer = json.loads(run("duplicates", tmp_path, "--prototype", "--json").stdout)
        (group,) = answer["groups"]
        assert group["formulas"] == ["MgO", "NaCl"]
        assert group["spread"] == 0
        assert answer["tolerance"]["volume"] is None

    def test_embedded(self):
        answer = json.loads(run("duplicates", "--geometry", "0.001", "--json").stdout)
        assert answer["crystals"] == 12_178
        assert ["mp-11191", "mp-1222"] in [group["materials"] for group in answer["groups"]]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["none.parquet"], "error: none.parquet: there is no such file\n"),
            (["empty.parquet"], "error: empty.parquet: the file holds no crystals\n"),
            (["."], "the folder holds no structure files"),
            (["-t", "-1"], "error: tolerance must be a finite number of at least 0, not -1.0\n"),
            (["-t", "nan"], "error: tolerance must be a finite number of at least 0, not nan\n"),
            (["--geometry", "-1"], "error: geometry of the tolerance must be a finite number of at least 0, not -1.0\n"),
            (["-t", "1", "--volume", "1"], "error: --tolerance is one number instead of --volume: give either\n"),
            (["-t", "1", "--prototype"], "error: --tolerance is one number instead of those of prototypes: give either\n"),
            (["--prototype", "--any-formula"], "leave out --any-formula and --margin\n"),
            (["--linkage", "ward"], "error: unknown linkage 'ward'; choose one of 'complete', 'average', 'single'\n"),
            (["-o", "out.doc"], "error: out.doc: can't tell what to write"),
        ],
    )
    def test_bad_arguments(self, sample, tmp_path, arguments, message):
        if arguments == ["empty.parquet"]:
            sample[:0].to_parquet(tmp_path / "empty.parquet")
        done = run("duplicates", *arguments, cwd=tmp_path)
        assert done.returncode == (2 if arguments == ["."] else 1)  # nothing to do
        assert message in done.stderr
        assert "Traceback" not in done.stderr
        assert not done.stdout


class TestSimilarPrototypes:
    @pytest.fixture(scope="class")
    def crystals(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("prototypes")
        salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0, 0]])
        cesium_chloride = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3])
        diamond = Structure.from_spacegroup("Fd-3m", Lattice.cubic(3.57), ["C"], [[0, 0, 0]])
        CrystalTable.from_structures([cesium_chloride, salt, diamond]).to_parquet(folder / "known.parquet")
        oxide = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.21), ["Mg", "O"], [[0, 0, 0], [0.5, 0, 0]])
        oxide.to(filename=str(folder / "oxide.vasp"), fmt="poscar")
        Structure(Lattice.cubic(4), ["H", "Be", "Li"], np.eye(3) / 2).to(filename=str(folder / "other.vasp"), fmt="poscar")
        return folder

    def test_other_elements(self, crystals):
        done = run("similar", "oxide.vasp", "--prototype", "--against", "known.parquet", "--json", cwd=crystals)
        assert done.returncode == 0, done.stderr
        (answer,) = json.loads(done.stdout)
        nearest, second = answer["nearest"]
        assert (nearest["material"], nearest["formula"], nearest["dissimilarity"]) == ("1", "NaCl", 0)
        assert nearest["renaming"] == "Na → Mg, Cl → O"
        assert nearest["space_group"] == "Fm-3m (225)"
        assert (second["formula"], second["dissimilarity"] > 1) == ("CsCl", True)
        assert run("index", "build", "known.parquet", "-o", "known.index", cwd=crystals).returncode == 0
        again = run("similar", "oxide.vasp", "--prototype", "--against", "known.index", "--json", cwd=crystals)
        assert json.loads(again.stdout)[0]["nearest"] == [
            match | {"material": f"known.parquet:{match['material']}"} for match in answer["nearest"]
        ]

    def test_on_the_console(self, crystals):
        done = run("similar", "oxide.vasp", "other.vasp", "--prototype", "--against", "known.parquet", cwd=crystals)
        assert done.returncode == 0, done.stderr
        assert "Na → Mg, Cl → O" in done.stdout
        assert done.stdout.endswith("other.vasp: LiBeH\nno crystal has its anonymous formula\n")
        done = run("similar", "oxide.vasp", "--prototype", "--metric", "grid", cwd=crystals)
        assert done.returncode == 1
        assert done.stderr.startswith("error: --prototype says itself what is alike")


class TestDataInfo:
    def test_embedded(self):
        done = run("data", "info")
        assert done.returncode == 0, done.stderr
        assert "12,178 crystals of 86 elements" in done.stdout
        assert "K_VRH" in done.stdout
        answer = json.loads(run("data", "info", "--json").stdout)
        assert answer["sites"] == [1, 6.0, 160]
        assert answer["properties"]["K_VRH"] == [1.0, 87.0, 575.0]

    def test_a_file(self, sample, tmp_path):
        sample[:3].to_parquet(tmp_path / "three.parquet")
        assert json.loads(run("data", "info", tmp_path / "three.parquet", "--json").stdout)["crystals"] == 3

    def test_what_is_none(self, tmp_path):
        done = run_alone("data", "info", tmp_path / "none.parquet")
        assert done.returncode == 1
        assert done.stderr == f"error: {tmp_path / 'none.parquet'}: there is no such file\n"


class TestDataImportAndExport:
    def test_there_and_back(self, folder, tmp_path):
        (tmp_path / "bad.cif").write_text("data_\n")
        done = run("data", "import", folder, tmp_path / "bad.cif", "-o", tmp_path / "a.parquet", "-j", 1)
        assert done.returncode == 1
        assert done.stdout == f"4 crystals in {tmp_path / 'a.parquet'}\n"
        assert f"{tmp_path / 'bad.cif'}: " in done.stderr
        done = run("data", "export", tmp_path / "a.parquet", "-o", tmp_path / "a.jsonl", "--json")
        assert json.loads(done.stdout) == {"output": str(tmp_path / "a.jsonl"), "crystals": 4, "errors": {}}
        names = [json.loads(line)["name"] for line in (tmp_path / "a.jsonl").read_text().splitlines()]
        assert names == [str(folder / f"{index}.vasp") for index in range(4)]

    def test_formats(self, folder, tmp_path):
        done = run("data", "export", folder / "0.vasp", "-o", tmp_path / "out")
        assert done.returncode == 1
        assert "it is no Parquet file" in done.stderr
        run("data", "import", folder, "-o", tmp_path / "a.parquet", "-j", 1)
        done = run("data", "export", tmp_path / "a.parquet", "-o", tmp_path / "out", "--format", "poscar")
        assert done.returncode == 0, done.stderr
        assert len(list((tmp_path / "out").glob("*.vasp"))) == 4

    def test_fetch_of_what_is_unknown(self, tmp_path):
        done = run("data", "fetch", "matbench_kvrh", "-o", tmp_path / "a.parquet")
        assert done.returncode == 1
        assert "error: matminer has no data set 'matbench_kvrh'; close are matbench_log_kvrh" in done.stderr
        assert not list(tmp_path.iterdir())


class TestWhatIsDoubtful:
    """Warnings reach people, and one bad structure costs the others nothing."""

    CASES = Path(__file__).parent / "cases"

    def test_warnings_are_printed_and_in_json(self):
        file = self.CASES / "hydroxide_type.cif"
        done = run("similar", file, "-k", 1, "--json")
        assert done.returncode == 0
        assert done.stderr == f"{file}: warning: OH is read as O: its 1 H have no position\n"
        assert json.loads(done.stdout)[0]["warnings"] == ["OH is read as O: its 1 H have no position"]

    def test_strict_takes_them_for_errors(self):
        file = self.CASES / "hydroxide_type.cif"
        done = run("similar", file, "--strict")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"{file}: OH is read as O: its 1 H have no position\n"

    def test_a_crystal_that_cannot_be_compared_costs_the_others_nothing(self, tmp_path):
        for name in ("dummy_site.cif", "rock_salt_full_symbol.cif", "occupancy_dot.cif"):
            (tmp_path / name).write_bytes((self.CASES / name).read_bytes())
        done = run("duplicates", tmp_path, "--json")  # it compares species, which a dummy is
        assert done.returncode == 0
        answer = json.loads(done.stdout)
        assert [len(group["materials"]) for group in answer["groups"]] == [2]
        done = run("similar", tmp_path, "--json", "-k", 1)
        assert done.returncode == 1
        assert f"{tmp_path}/dummy_site.cif: Li4 X4: X has no place on the modified Pettifor scale" in done.stderr
        assert "row" not in done.stderr
        assert len(json.loads(done.stdout)) == 2
        alone = run("similar", tmp_path / "dummy_site.cif")
        assert (alone.returncode, alone.stdout) == (1, "")

    def test_featurize_keeps_warnings_beside_errors(self, tmp_path):
        done = run("featurize", self.CASES / "ghost_atoms.cif", self.CASES / "slab.xsf", "-o", tmp_path / "out", "-j", 1, "--json")
        assert done.returncode == 1
        report = json.loads(done.stdout)
        assert (report["n_rows"], report["n_failed"], report["n_warned"]) == (1, 1, 1)
        error, warning = map(json.loads, Path(report["errors_file"]).read_text().splitlines())
        assert error["error"].startswith("SLAB")
        assert warning["warning"].startswith("sites nearer than 0.5 Å")

    def test_import_keeps_warnings_in_a_column(self, tmp_path):
        from matminer_grid.io import load_crystals

        done = run(
            "data", "import", self.CASES / "ghost_atoms.cif", self.CASES / "extended.xyz", "-o", tmp_path / "a.parquet", "-j", 1
        )
        assert done.returncode == 0, done.stderr
        assert "ghost_atoms.cif: warning: sites nearer than 0.5 Å" in done.stderr
        ghosts, plain = load_crystals(tmp_path / "a.parquet")[1]["warnings"]
        assert ghosts.startswith("sites nearer than 0.5 Å")
        assert plain is None

    def test_names_are_whole_where_the_output_is_a_pipe(self, tmp_path):
        file = tmp_path / ("long" * 40 + ".cif")
        file.write_bytes((self.CASES / "occupancy_dot.cif").read_bytes())
        (tmp_path / "other.cif").write_bytes(file.read_bytes())
        assert file.name in run_alone("duplicates", tmp_path).stdout

    def test_an_empty_folder_is_nothing_to_do(self, tmp_path):
        assert run("similar", tmp_path).returncode == 2
