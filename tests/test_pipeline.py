"""Featurizing files: nothing lost, nothing doubled, whatever happens on the way."""

import errno
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from matminer_grid import CrystalTable, GRIDFeaturizer
from matminer_grid.pipeline import _parts, _run, featurize_files, load_features

N = 150
N_PARTS, N_PARTS_OF_FIRST = 26, 23
"""With seven structures a part; first come seven files: one of 150 structures, and six of one."""
FEATURIZER = GRIDFeaturizer(cutoff=4.0, bin_size=0.5, n_groups=6)


@pytest.fixture(scope="module")
def inputs(sample, tmp_path_factory) -> Path:
    """A folder of a Parquet file, POSCARs, JSON lines and files that can't be read."""
    folder = tmp_path_factory.mktemp("inputs")
    sample[:N].to_parquet(folder / "a.parquet")
    structures = sample[N : N + 20].to_structures()
    for index, structure in enumerate(structures[:10]):
        structure.to(filename=str(folder / f"b{index}.vasp"), fmt="poscar")
    lines = [json.dumps(structure.as_dict()) for structure in structures[10:]]
    (folder / "c.jsonl").write_text("\n".join([*lines[:5], "{", *lines[5:]]) + "\n")
    (folder / "d.cif").write_text("no crystal")
    twice = CrystalTable.from_crystals([sample[0]]).to_structures()[0]
    twice.append(twice[0].species, twice[0].frac_coords)
    (folder / "e.json").write_text(json.dumps(twice.as_dict()))
    return folder


def featurize(inputs: Path, output: Path, **options):
    return featurize_files(inputs, output, FEATURIZER, **({"part_size": 7} | options))


@pytest.fixture(scope="module")
def expected(inputs, tmp_path_factory):
    """What an uninterrupted run gives: its report, names and features."""
    report = featurize(inputs, tmp_path_factory.mktemp("expected") / "all")
    return report, *load_features(report.output)


def assert_same(output: Path, expected) -> None:
    report, names, features = expected
    found, values = load_features(output)
    assert found.tolist() == names.tolist()
    np.testing.assert_array_equal(values.toarray(), features.toarray())
    errors = output / "errors.jsonl" if output.is_dir() else output.with_name(output.name + ".errors.jsonl")
    assert errors.read_text() == report.errors_file.read_text()


def before_each_part(monkeypatch, act) -> None:
    """Call `act` with the number of parts that are there before another one is written."""
    replacing = _parts.replacing

    def acting(path):
        if path.name.startswith("part-"):
            act(len(list(path.parent.glob("part-*.parquet"))))
        return replacing(path)

    monkeypatch.setattr(_parts, "replacing", acting)


def stop_after(monkeypatch, n_parts: int, error: type[BaseException] = KeyboardInterrupt) -> None:
    def stop(there: int) -> None:
        if there == n_parts:
            raise error

    before_each_part(monkeypatch, stop)


def leftovers(folder: Path) -> list[str]:
    return [entry.name for entry in folder.rglob("*.part")]


def test_rows_and_errors(inputs, expected, sample):
    report, names, features = expected
    assert (report.n_rows, report.n_failed, report.n_resumed) == (N + 20, 3, 0)
    assert names[:N].tolist() == [f"{inputs}/a.parquet:{row}" for row in range(N)]
    np.testing.assert_array_equal(features[:N].toarray(), FEATURIZER.transform(sample[:N]))
    errors = [json.loads(line) for line in report.errors_file.read_text().splitlines()]
    assert [Path(error["name"]).name for error in errors] == ["c.jsonl:6", "d.cif", "e.json"]
    assert "no valid JSON" in errors[0]["error"]
    assert "two sites lie on the same point" in errors[2]["error"]
    assert len(list(report.output.glob("part-*.parquet"))) == N_PARTS
    assert not leftovers(report.output)


def test_single_file(inputs, expected, tmp_path):
    report = featurize(inputs, tmp_path / "features.parquet")
    assert report.output.is_file()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["features.parquet", "features.parquet.errors.jsonl"]
    assert_same(report.output, expected)
    with pytest.raises(FileExistsError, match=r"features.parquet exists already; remove it"):
        featurize(inputs, tmp_path / "features.parquet")


@pytest.mark.parametrize("layout", ["sparse", "list"])
def test_layouts_and_single_precision(inputs, expected, tmp_path, layout):
    report = featurize(inputs, tmp_path / "out", layout=layout, dtype="float32", part_size=1000)
    _, features = load_features(report.output)
    assert features.dtype == np.float32
    dense = features.toarray() if layout == "sparse" else features
    np.testing.assert_allclose(dense, expected[2].toarray(), rtol=0, atol=1e-7)


@pytest.mark.parametrize("part_size", [1, 13, 83])
def test_part_size_and_processes_change_nothing(inputs, expected, tmp_path, part_size):
    assert_same(featurize(inputs, tmp_path / "out", part_size=part_size, n_jobs=2 if part_size == 13 else 1).output, expected)


def test_a_finished_run_is_left_as_it_is_and_takes_more_files(inputs, expected, tmp_path, sample):
    featurize(inputs, tmp_path / "out")
    again = featurize(inputs, tmp_path / "out")
    assert again.n_resumed == again.n_rows + again.n_failed == N + 23
    assert_same(tmp_path / "out", expected)
    sample[N + 20 : N + 25].to_parquet(tmp_path / "0.parquet")
    more = featurize_files([tmp_path / "0.parquet", inputs], tmp_path / "out", FEATURIZER)
    assert (more.n_rows, more.n_resumed) == (N + 25, N + 23)


@pytest.mark.parametrize("n_parts", range(0, N_PARTS, 2))
def test_going_on_after_any_part(inputs, expected, tmp_path, n_parts, monkeypatch):
    stop_after(monkeypatch, n_parts)
    with pytest.raises(KeyboardInterrupt):
        featurize(inputs, tmp_path / "out")
    assert len(list((tmp_path / "out").glob("part-*.parquet"))) == n_parts
    assert not leftovers(tmp_path)
    monkeypatch.undo()
    report = featurize(inputs, tmp_path / "out")
    assert report.n_resumed == (7 * n_parts if n_parts < N_PARTS_OF_FIRST else N + 6 + 7 * (n_parts - N_PARTS_OF_FIRST))
    assert_same(tmp_path / "out", expected)


SCRIPT = """
import sys, time
from matminer_grid import GRIDFeaturizer
from matminer_grid.pipeline import _parts, featurize_files

replacing = _parts.replacing

def waiting(path):
    while path.name.startswith("part-") and len(list(path.parent.glob("part-*.parquet"))) >= int(sys.argv[4]):
        time.sleep(0.1)
    return replacing(path)

_parts.replacing = waiting
featurize_files(sys.argv[1], sys.argv[2], eval(sys.argv[6]), part_size=int(sys.argv[3]), n_jobs=int(sys.argv[5]))
"""


def command(inputs: Path, output: Path, *, part_size=1, most=N + 23, n_jobs=1, featurizer=FEATURIZER) -> list[str]:
    """Featurize up to a number of parts, then wait for a signal: a test needn't be faster than the run."""
    return [sys.executable, "-c", SCRIPT, *map(str, (inputs, output, part_size, most, n_jobs, featurizer))]


def run(arguments: list[str]) -> None:
    """Do what a command does."""
    _, _, script, *sys.argv[1:] = arguments
    exec(script, {})  # noqa: S102  the one above


@pytest.mark.parametrize("output", ["out", pytest.param("out.parquet", marks=pytest.mark.slow)])
def test_killed_again_and_again(inputs, expected, tmp_path, output):
    """Ten times and more, at random moments between the first part and the last, the joining of parts among them."""
    rng = random.Random(output)  # noqa: S311
    fresh = multiprocessing.get_context("forkserver")  # the package is imported once: that takes longer than what is killed
    fresh.set_forkserver_preload(["matminer_grid.pipeline"])
    kills = 0
    target = tmp_path / output
    while kills < 16:
        folder = target if output == "out" else tmp_path / (output + ".parts")
        more = rng.randint(0, 6) if kills < 11 else N  # the last ones wait for the end
        parts = len(list(folder.glob("part-*.parquet"))) + more
        process = fresh.Process(target=run, args=(command(inputs, target, most=parts + 8),))
        process.start()
        while process.is_alive() and len(list(folder.glob("part-*.parquet"))) < min(parts, N + 23):
            time.sleep(0.0005)
        time.sleep(rng.uniform(0, 0.01))
        process.kill()
        process.join()
        assert process.exitcode in {0, -signal.SIGKILL}
        kills += process.exitcode == -signal.SIGKILL
        if process.exitcode == 0 or target.is_file():
            break
    assert kills >= 10
    if not target.is_file():
        featurize(inputs, target, part_size=1)
    assert_same(target, expected)
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("steps", [0, 1, 12, 25, 26, 27])
def test_stopped_while_its_parts_are_removed(inputs, expected, tmp_path, steps, monkeypatch):
    removed = []
    really_unlink = Path.unlink

    class Killed(BaseException):
        pass

    def unlink(self, missing_ok=False):
        if self.parent.suffix == ".parts" and self.suffix != ".part":
            if len(removed) == steps:
                raise Killed
            removed.append(self.name)
        really_unlink(self, missing_ok)

    def rmtree(path):
        raise Killed

    output = tmp_path / "out.parquet"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        patch.setattr("shutil.rmtree", rmtree)
        with pytest.raises(Killed):
            featurize(inputs, output)
    assert len(removed) == steps
    featurize(inputs, output)
    assert_same(output, expected)
    assert not output.with_name("out.parquet.parts").exists()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_interrupted(embedded, tmp_path, n_jobs):
    embedded[:6000].to_parquet(tmp_path / "many.parquet")
    out = tmp_path / "out"
    arguments = command(tmp_path / "many.parquet", out, part_size=500, most=11, n_jobs=n_jobs, featurizer=GRIDFeaturizer())
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    while not (out / "part-00000.00001.parquet").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    n_before = len(list(out.glob("part-*.parquet")))
    _, messages = process.communicate()
    assert process.returncode == -signal.SIGINT  # 130 in a shell
    assert "KeyboardInterrupt" in messages
    assert not leftovers(out)
    names, _ = load_features(out)
    assert n_before <= len(names) / 500 <= n_before + 2
    assert names.tolist() == [f"{tmp_path}/many.parquet:{row}" for row in range(len(names))]


class TestDisk:
    def test_full(self, inputs, expected, tmp_path, monkeypatch):
        """The fourth part doesn't fit."""
        out = tmp_path / "out"
        fsync = os.fsync

        def full(descriptor):
            if (out / "part-00000.00003.parquet.part").exists():
                raise OSError(errno.ENOSPC, "No space left on device")
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"no space left for .*part-00000.00003.parquet .*whole: free some, and") as caught:
            featurize(inputs, out)
        assert caught.value.errno == errno.ENOSPC
        assert not leftovers(out)
        assert len(load_features(out)[0]) == 21
        monkeypatch.undo()
        assert featurize(inputs, out).n_resumed == 21
        assert_same(out, expected)

    def test_file_size_limit(self, inputs, expected, tmp_path):
        """A limit that the system sets, met while the parts are joined."""
        target = tmp_path / "out.parquet"
        python, _, script, *arguments = command(inputs, target)
        limited = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n" + script
        done = subprocess.run([python, "-B", "-c", limited, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "there is no space left for" in done.stderr
        assert not target.exists()
        assert not leftovers(tmp_path)
        featurize(inputs, target, part_size=1)
        assert_same(target, expected)

    def test_a_small_file_system(self, inputs, expected, tmp_path):
        disk = tmp_path / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("file systems can't be mounted here")
        try:
            with pytest.raises(OSError, match="no space left for"):
                featurize(inputs, disk / "out")
            assert not leftovers(disk)
            names = load_features(disk / "out")[0].tolist()
            assert names == expected[1][: len(names)].tolist()
            subprocess.run(["mount", "-o", "remount,size=10M", str(disk)], check=True)  # noqa: S607
            assert featurize(inputs, disk / "out").n_resumed >= len(names)
            assert_same(disk / "out", expected)
        finally:
            subprocess.run(["umount", str(disk)], check=True)  # noqa: S607


class TestInputs:
    def test_a_file_that_vanishes(self, sample, tmp_path, monkeypatch):
        for index, structure in enumerate(sample[:40].to_structures()):
            structure.to(filename=str(tmp_path / f"{index:02d}.vasp"), fmt="poscar")
        before_each_part(monkeypatch, lambda _: (tmp_path / "38.vasp").unlink(missing_ok=True))
        report = featurize(tmp_path, tmp_path / "out", part_size=2)  # and files are read 32 at a time
        assert (report.n_rows, report.n_failed) == (39, 1)
        error = json.loads(report.errors_file.read_text())
        assert error["name"].endswith("38.vasp")
        assert "no such file" in error["error"].lower()

    def test_one_that_was_read_in_part(self, inputs, tmp_path, monkeypatch, sample):
        sample[:20].to_parquet(tmp_path / "a.parquet")
        stop_after(monkeypatch, 2, ZeroDivisionError)
        with pytest.raises(ZeroDivisionError):
            featurize(tmp_path / "a.parquet", tmp_path / "out")
        monkeypatch.undo()
        with pytest.raises(ValueError, match=r"a.parquet: it was computed in part and is not among the inputs any more"):
            featurize(inputs, tmp_path / "out")
        sample[:19].to_parquet(tmp_path / "a.parquet")
        with pytest.raises(ValueError, match=r"a.parquet: it was changed after 14 structures, its own or read with it"):
            featurize(tmp_path / "a.parquet", tmp_path / "out")

    @pytest.mark.parametrize("part_size", [2, 3, 100])
    def test_a_file_that_comes_before_one_that_was_read_in_part(self, tmp_path, monkeypatch, sample, part_size):
        """They are read together, and of the second one the first structures are left out."""
        structures = [json.dumps(structure.as_dict()) for structure in sample[:9].to_structures()]
        (tmp_path / "b.jsonl").write_text("\n".join(structures[:5]))
        stop_after(monkeypatch, 1, ZeroDivisionError)
        with pytest.raises(ZeroDivisionError):
            featurize(tmp_path, tmp_path / "out", part_size=3)
        monkeypatch.undo()
        (tmp_path / "a.jsonl").write_text("\n".join(structures[5:7]))
        (tmp_path / "c.jsonl").write_text("\n".join(structures[7:]))
        assert featurize(tmp_path, tmp_path / "out", part_size=part_size).n_resumed == 3
        names, features = load_features(tmp_path / "out")
        found = {Path(name).name: row for name, row in zip(names, features.toarray(), strict=True)}
        assert sorted(found) == [
            *(f"a.jsonl:{i}" for i in (1, 2)),
            *(f"b.jsonl:{i}" for i in range(1, 6)),
            "c.jsonl:1",
            "c.jsonl:2",
        ]
        expected = FEATURIZER.featurize_sparse(sample[:9]).toarray()
        rows = [found[f"b.jsonl:{i}"] for i in range(1, 6)] + [found[f"{file}.jsonl:{i}"] for file in "ac" for i in (1, 2)]
        np.testing.assert_allclose(np.stack(rows), expected, rtol=0, atol=1e-9)

    def test_nothing_there(self, tmp_path, monkeypatch):
        with pytest.raises(FileNotFoundError, match="no such file"):
            featurize(tmp_path / "missing.cif", tmp_path / "out")
        (tmp_path / "empty").mkdir()
        with pytest.raises(ValueError, match="holds no structure files"):
            featurize(tmp_path / "empty", tmp_path / "out")
        (tmp_path / "blank.jsonl").write_text("\n\n")
        monkeypatch.setattr(_run, "read_groups", lambda *_, **__: iter(()))
        with pytest.raises(ValueError, match=r"blank.jsonl: no structures found in it"):
            featurize(tmp_path / "blank.jsonl", tmp_path / "out")

    def test_a_file_given_twice_counts_once(self, inputs, expected, tmp_path):
        featurize_files([inputs, inputs / "a.parquet"], tmp_path / "out", FEATURIZER)
        assert_same(tmp_path / "out", expected)


class TestFolder:
    def test_of_somebody_else(self, inputs, tmp_path):
        (tmp_path / "letter.txt").write_text("Dear")
        with pytest.raises(ValueError, match="the folder holds other files"):
            featurize(inputs, tmp_path)
        with pytest.raises(ValueError, match=r"letter.txt is no folder"):
            featurize(inputs, tmp_path / "letter.txt")

    def test_of_other_settings(self, inputs, tmp_path):
        featurize(inputs, tmp_path / "out")
        with pytest.raises(ValueError, match=r"begun with dtype 'float64', not 'float32'; choose another one"):
            featurize(inputs, tmp_path / "out", dtype="float32")
        with pytest.raises(ValueError, match="begun with parameters"):
            featurize_files(inputs, tmp_path / "out", GRIDFeaturizer())
        (tmp_path / "out" / "run.json").write_text("{")
        with pytest.raises(ValueError, match=r"run.json: it is no JSON"):
            featurize(inputs, tmp_path / "out")

    def test_written_by_two(self, inputs, tmp_path):
        featurize(inputs, tmp_path / "out")
        settings = json.loads((tmp_path / "out" / "run.json").read_text())
        with (
            _parts.Folder(tmp_path / "out", settings),
            pytest.raises(BlockingIOError, match="another run is writing to this folder"),
        ):
            featurize(inputs, tmp_path / "out")

    def test_of_which_a_part_is_missing_or_damaged(self, inputs, tmp_path):
        featurize(inputs, tmp_path / "out")
        part = tmp_path / "out" / "part-00000.00003.parquet"
        content = part.read_bytes()
        part.write_bytes(content[:100])
        with pytest.raises(ValueError, match=r"part-00000.00003.parquet: it is damaged"):
            featurize(inputs, tmp_path / "out")
        part.unlink()
        with pytest.raises(ValueError, match=r"part-00000.00003.parquet: the part is missing"):
            featurize(inputs, tmp_path / "out")

    def test_links_are_not_followed(self, inputs, expected, tmp_path):
        victim = tmp_path / "victim"
        victim.write_text("precious")
        out = tmp_path / "out"
        featurize(inputs, out)
        for name in ("part-00001.00002.parquet", "errors.jsonl"):
            (out / name).unlink()
            (out / (name + ".part")).symlink_to(victim)
        (out / "errors.jsonl").symlink_to(victim)
        featurize(inputs, out)
        assert victim.read_text() == "precious"
        assert not (out / "errors.jsonl").is_symlink()
        assert_same(out, expected)
        (out / "part-00001.00002.parquet").rename(tmp_path / "elsewhere")
        (out / "part-00001.00002.parquet").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(ValueError, match=r"part-00001.00002.parquet: it is a link"):
            featurize(inputs, out)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "wide"}, "unknown layout 'wide'; choose one of 'sparse', 'list'"),
        ({"dtype": "int8"}, "unknown dtype 'int8'; choose one of 'float64', 'float32'"),
        ({"part_size": 0}, "part_size must be between 1 and 100000, not 0"),
        ({"n_jobs": 0}, "n_jobs must be"),
    ],
)
def test_bad_arguments(inputs, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        featurize(inputs, tmp_path / "out", **options)


def test_loading_what_is_not_ours(sample, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no part-\*.parquet"):
        load_features(tmp_path)
    sample[:2].to_parquet(tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"x.parquet: featurize_files didn't write it"):
        load_features(tmp_path / "x.parquet")


def test_a_file_of_ours_tells_how_it_was_made(inputs, tmp_path):
    report = featurize(inputs, tmp_path / "out.parquet")
    settings = json.loads(pq.read_schema(report.output).metadata[b"matminer_grid"])
    assert settings["featurizer"] == "GRIDFeaturizer"
    assert settings["parameters"] == FEATURIZER.get_params()


@pytest.mark.slow
def test_memory_is_bounded(embedded, tmp_path):
    """Sixty thousand structures, in less than 1 GB for all."""
    rows = np.tile(np.arange(len(embedded)), 5)
    embedded[rows].to_parquet(tmp_path / "many.parquet")
    script = """
import resource, sys
from matminer_grid.pipeline import featurize_files
report = featurize_files(sys.argv[1], sys.argv[2], dtype="float32")
print(report.n_rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "many.parquet"), str(tmp_path / "out")]
    n_rows, kilobytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(n_rows) == len(rows)
    assert int(kilobytes) < 1_000_000
