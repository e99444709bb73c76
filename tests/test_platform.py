"""Systems without locks, homes, terminals or UTF-8: tried here as far as Linux can pretend to be them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from matminer_grid import _platform
from matminer_grid._files import replacing
from matminer_grid.io.records import as_text
from matminer_grid.pipeline import featurize_files, load_features
from matminer_grid.similarity import build_index
from tests.conftest import perovskite

COMMAND = [sys.executable, "-m", "matminer_grid"]


@pytest.fixture
def without_locks(monkeypatch):
    """Windows, as far as it can be had here: no fcntl, no links that open() tells, no folders that can be opened."""
    monkeypatch.setattr(_platform, "fcntl", None)
    monkeypatch.delattr(os, "O_NOFOLLOW")
    monkeypatch.setattr(_platform, "sync_folder", lambda _folder: None)


@pytest.mark.usefixtures("without_locks")
class TestWithoutLocks:
    def test_a_file_is_closed_before_it_gets_its_name(self, tmp_path, monkeypatch):
        renamed = []
        replace = Path.replace

        def observed(part, path):
            renamed.append(file.closed)
            return replace(part, path)

        monkeypatch.setattr(Path, "replace", observed)
        with replacing(tmp_path / "x") as file:
            file.write(b"new")
        assert renamed == [True]
        assert [entry.name for entry in tmp_path.iterdir()] == ["x"]
        assert (tmp_path / "x").read_bytes() == b"new"

    def test_what_was_left_behind_is_removed(self, tmp_path):
        (tmp_path / "x.part").write_bytes(b"left behind")
        with replacing(tmp_path / "x") as file:
            file.write(b"new")
        assert [entry.name for entry in tmp_path.iterdir()] == ["x"]

    def test_an_error_leaves_what_was_there(self, tmp_path):
        (tmp_path / "x").write_bytes(b"old")
        with pytest.raises(TypeError), replacing(tmp_path / "x") as file:
            file.writelines([b"half of the n", None])
        assert (tmp_path / "x").read_bytes() == b"old"
        assert [entry.name for entry in tmp_path.iterdir()] == ["x"]

    def test_runs_and_indexes_are_written(self, tmp_path):
        perovskite().to(filename=str(tmp_path / "a.cif"))
        report = featurize_files(tmp_path / "a.cif", tmp_path / "out.parquet", pbar=False)
        assert report.n_rows == 1
        assert load_features(tmp_path / "out.parquet")[1].shape == (1, 10_000)
        assert build_index(tmp_path / "index", tmp_path / "a.cif", pbar=False).n_crystals == 1


def test_a_lock_is_waited_for_or_refused(tmp_path):
    first, second = _platform.open_lock(tmp_path / "lock"), _platform.open_lock(tmp_path / "lock")
    try:
        _platform.lock(first)
        with pytest.raises(BlockingIOError):
            _platform.lock(second)
        os.close(first)
        _platform.lock(second, wait=True)
    finally:
        os.close(second)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, check=False, env=os.environ | environment)


@pytest.fixture
def file(tmp_path) -> Path:
    perovskite().to(filename=str(tmp_path / "Å–ångström.cif"))
    return tmp_path / "Å–ångström.cif"


class TestStreams:
    """Other encodings than UTF-8, and no terminal."""

    def test_letters_that_the_output_lacks_are_shown_as_numbers(self, file):
        done = run("compare", str(file), str(file), PYTHONIOENCODING="ascii", PYTHONUTF8="0")
        assert done.returncode == 0, done.stderr
        assert b"\\xc5" in done.stdout

    @pytest.mark.parametrize("command", [[], ["featurize"], ["compare"], ["index", "build"]])
    def test_help(self, command):
        for encoding in ("ascii", "latin-1", "cp1252"):
            done = run(*command, "--help", PYTHONIOENCODING=encoding, PYTHONUTF8="0")
            assert done.returncode == 0, done.stderr
            assert b"Usage" in done.stdout

    def test_a_locale_without_utf_8(self, file, tmp_path):
        """Files are UTF-8 wherever they are written."""
        settings = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        done = run("featurize", str(file), "-o", str(tmp_path / "out.parquet"), **settings)
        assert done.returncode == 0, done.stderr
        assert load_features(tmp_path / "out.parquet")[0].tolist() == [str(file)]

    def test_a_name_that_is_no_utf_8(self, tmp_path):
        name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.cif")
        perovskite().to(filename=str(tmp_path / "a.cif"))
        (tmp_path / "a.cif").rename(name)
        done = run("compare", name, name)
        assert done.returncode == 0, done.stderr
        assert b"\\udcff.cif" in done.stdout
        report = featurize_files(name, tmp_path / "out")
        assert load_features(report.output)[0].tolist() == [f"{tmp_path}/\\xff.cif"]
        assert featurize_files(name, tmp_path / "out").n_resumed == 1

    @pytest.mark.parametrize(("name", "text"), [("Å", "Å"), ("\udcff", "\\xff"), ("\udcc3\udc85", "Å"), ("\ud800", "\\ud800")])
    def test_names_become_text(self, name, text):
        assert as_text(name) == text

    def test_a_dumb_terminal(self, file):
        done = run("compare", str(file), str(file), TERM="dumb")
        assert done.returncode == 0
        assert b"\x1b" not in done.stdout + done.stderr


class TestHome:
    def test_there_is_none(self, file, tmp_path):
        """What would be kept in the user's cache is computed all the same."""
        nowhere = tmp_path / "nowhere"
        nowhere.write_text("a file in the folder's place", encoding="utf-8")
        done = run("similar", str(file), "-k", "1", HOME=str(nowhere), XDG_CACHE_HOME=str(nowhere), XDG_CONFIG_HOME=str(nowhere))
        assert done.returncode == 0, done.stderr
        assert b"SrTiO3" in done.stdout

    def test_the_system_knows_no_such_user(self, file):
        """A container that is run under any number has neither HOME nor an entry to look it up in."""
        script = "import pwd, sys\n\ndef nobody(number):\n    raise KeyError(number)\n\npwd.getpwuid = nobody\n"
        script += "from matminer_grid.cli import app\napp()"
        environment = {
            name: value for name, value in os.environ.items() if name not in {"HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"}
        }
        command = [sys.executable, "-c", script, "similar", str(file), "-k", "1"]
        done = subprocess.run(command, capture_output=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        assert b"SrTiO3" in done.stdout
        assert b"no home folder" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="a shell that closes streams is needed")
@pytest.mark.parametrize("first", ["file", "-"])
def test_the_standard_input_is_closed(file, first):
    closed = ["sh", "-c", 'exec "$@" <&-', "sh"]
    names = [str(file) if first == "file" else "-", str(file)]
    done = subprocess.run([*closed, *COMMAND, "compare", *names], capture_output=True, check=False)
    assert done.returncode == (0 if first == "file" else 1), done.stderr
    if first == "-":
        assert done.stderr == b"error: -: the standard input is closed\n"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory that is mapped is read from Linux's /proc")
def test_memory_of_a_mapped_array_is_let_go(tmp_path):
    def resident() -> int:
        return next(
            int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssFile")
        )

    np.save(tmp_path / "x.npy", np.arange(5_000_000))
    mapped = np.asarray(np.load(tmp_path / "x.npy", mmap_mode="c"))
    assert mapped.sum() == 4_999_999 * 2_500_000
    before = resident()
    _platform.release_pages(mapped)
    assert before - resident() > 30_000  # of 40,000 kB
    assert mapped.sum() == 4_999_999 * 2_500_000
    _platform.release_pages(np.arange(3))
    _platform.release_pages(mapped[3:].reshape(-1, 1))


def test_memory_that_cannot_be_let_go_is_kept(tmp_path, monkeypatch):
    monkeypatch.delattr(_platform.mmap, "MADV_DONTNEED", raising=False)
    np.save(tmp_path / "x.npy", np.arange(5))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="c")
    _platform.release_pages(mapped)
    assert mapped.tolist() == [0, 1, 2, 3, 4]
