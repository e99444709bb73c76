"""Files that appear complete or not at all, whoever else writes them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from matminer_grid._files import replacing

WRITER = """
import sys
from pathlib import Path
from matminer_grid._files import replacing
for number in range(int(sys.argv[3])):
    with replacing(Path(sys.argv[1])) as file:
        for _ in range(20):
            file.write(sys.argv[2].encode() * 1000)
"""

HANGING = """
import sys, time
from pathlib import Path
from matminer_grid._files import replacing
with replacing(Path(sys.argv[1])) as file:
    print("writing", flush=True)
    time.sleep(600)
"""


def start(script, *arguments):
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


@pytest.fixture
def hanging(tmp_path):
    process = start(HANGING, tmp_path / "x")
    assert process.stdout.readline() == "writing\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_several_processes_write_the_same_file(tmp_path):
    writers = [start(WRITER, tmp_path / "x", letter, 60) for letter in "abc"]
    while any(writer.poll() is None for writer in writers):
        if (tmp_path / "x").exists():
            content = (tmp_path / "x").read_bytes()
            assert content in {letter * 20_000 for letter in (b"a", b"b", b"c")}
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert names(tmp_path) == ["x"]


def test_the_part_of_a_living_process_stays(tmp_path, hanging):
    with replacing(tmp_path / "x") as file:
        file.write(b"mine")
        assert names(tmp_path) == ["x.1.part", "x.part"]
    assert names(tmp_path) == ["x", "x.part"]
    assert (tmp_path / "x").read_bytes() == b"mine"


def test_parts_of_killed_processes_are_removed(tmp_path, hanging):
    other = start(HANGING, tmp_path / "x")
    assert other.stdout.readline() == "writing\n"
    for process in (hanging, other):
        process.kill()
        process.wait()
    other.stdout.close()
    assert names(tmp_path) == ["x.1.part", "x.part"]
    with replacing(tmp_path / "x") as file:
        assert names(tmp_path) == ["x.part"]
        file.write(b"whole")
    assert names(tmp_path) == ["x"]


def test_an_error_leaves_what_was_there(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(TypeError), replacing(tmp_path / "x") as file:
        file.writelines([b"half of the n", None])
    assert names(tmp_path) == ["x"]
    assert (tmp_path / "x").read_bytes() == b"old"


@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize("name", ["x", "x.part"])
def test_links_are_replaced(tmp_path, link, name):
    (tmp_path / "victim").write_bytes(b"precious")
    link(tmp_path / "victim", tmp_path / name)
    with replacing(tmp_path / "x") as file:
        file.write(b"new")
    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert (tmp_path / "x").read_bytes() == b"new"
    assert names(tmp_path) == ["victim", "x"]


def test_mode_follows_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "x") as file:
            file.write(b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "no" / "x"):
        pass
