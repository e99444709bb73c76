"""Tables in narrow windows, and what is said while something is under way."""

import io
import json
import re
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import typer

from matminer_grid import _threads
from matminer_grid.cli import _terminal
from matminer_grid.cli._common import read_files, reduced_formula
from matminer_grid.cli._terminal import clock, fitting, print_table, stages
from tests.commands import run

COLUMNS = ["material", "total", "distances", "space group"]
ROWS = [
    ["mp-1234567", "22.4321", "0.0001", "Pm-3m (221) and more of it"],
    ["a/very/long/name/of/a/file.cif", "1,234.5", "", "P1 (1)"],
]


class TestTables:
    @pytest.mark.parametrize("width", [20, 30, 45, 60, 80, 200])
    def test_numbers_are_never_cut(self, capsys, monkeypatch, width):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        monkeypatch.setenv("COLUMNS", str(width))
        print_table(COLUMNS, ROWS)
        text = capsys.readouterr().out
        kept, dropped = fitting(COLUMNS, ROWS, width)
        assert kept + dropped == list(range(4))
        for i in kept:
            for row in ROWS:
                if re.fullmatch(r"[\d.,]+", row[i]):
                    assert row[i] in text
        for i in dropped:
            assert COLUMNS[i] in text.splitlines()[-1]
        letters = "".join(line[1 : line.index("│", 1)].strip() for line in text.splitlines() if line.startswith("│"))
        assert "".join(row[0] for row in ROWS) in letters  # folded, with nothing lost

    def test_all_columns_where_the_output_is_a_pipe(self, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "20")
        print_table(COLUMNS, ROWS)
        text = capsys.readouterr().out
        assert all(cell in text for row in ROWS for cell in row)

    def test_a_table_without_rows(self):
        assert fitting(COLUMNS, [], 80) == ([0, 1, 2, 3], [])


class TestStages:
    def test_a_line_at_intervals_where_the_output_is_redirected(self, capsys, monkeypatch):
        monkeypatch.setattr(_terminal, "SECONDS_BETWEEN", 0.05)
        monkeypatch.setattr(_terminal, "SECONDS_BEFORE", 0.0)
        with stages(quiet=False) as progress:
            progress("compare the crystals")

            def work(_):
                time.sleep(0.1)
                return 10

            _threads.with_progress(work, range(5), 1, {"desc": "pairs", "total": 50, "disable": True})
        lines = capsys.readouterr().err.splitlines()
        assert any(re.fullmatch(r"compare the crystals: [1-4]0 of 50, 0:0\d left \(0:0\d so far\)", line) for line in lines), lines

    def test_quiet(self, capsys):
        with stages(quiet=True) as progress:
            progress("compare")
        assert capsys.readouterr() == ("", "")

    def test_bars_are_tqdm_s_where_nobody_listens(self, capsys):
        with stages(quiet=False):
            pass
        _threads.with_progress(lambda _: 1, range(3), 1, {"desc": "some", "total": 3})
        assert "some: 100%" in capsys.readouterr().err

    def test_compiling_is_announced_once(self, capsys, monkeypatch, tmp_path):
        from matminer_grid.kernels._jit import jit

        def double(x):
            return 2 * x

        double.__module__ = "matminer_grid.kernels.test"
        monkeypatch.setattr("numba.config.DISABLE_JIT", 0)
        monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))  # no machine code of an earlier run
        with stages(quiet=False):
            compiled = jit(double)
            assert (compiled(2), compiled(2.0), compiled(np.float32(2))) == (4, 4, 4)
        assert capsys.readouterr().err == f"{_terminal.COMPILING}\n"

    @pytest.mark.parametrize(("seconds", "text"), [(0.2, "0:00"), (65, "1:05"), (3725, "1:02:05")])
    def test_clock(self, seconds, text):
        assert clock(seconds) == text


class TestStandardInput:
    CASES = Path(__file__).parent / "cases"

    @pytest.mark.parametrize("file", ["occupancy_dot.cif", "isolated_h.vasp", "extended.xyz"])
    def test_formats(self, file, monkeypatch):
        text = (self.CASES / file).read_bytes()
        by_name = read_files([self.CASES / file])
        monkeypatch.setattr("typer.get_binary_stream", lambda _: io.BytesIO(text))
        read = read_files([Path("-")])
        assert read.names == [name.replace(str(self.CASES / file), "-") for name in by_name.names]
        assert [crystal.formula for crystal in read.crystals] == [crystal.formula for crystal in by_name.crystals]

    def test_what_cannot_be_read_is_called_so(self, capsys, monkeypatch):
        monkeypatch.setattr("typer.get_binary_stream", lambda _: io.BytesIO(b"data_\n"))
        with pytest.raises(typer.Exit):
            read_files([Path("-")])
        assert capsys.readouterr().err.startswith("-: ")


def test_formulas_of_noble_gases_are_no_reason_to_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (reduced_formula("Ne2"), reduced_formula("Sr2 Ti2 O6")) == ("Ne", "SrTiO3")


def test_featurize_begins_anew(tmp_path):
    (tmp_path / "a.vasp").write_bytes((TestStandardInput.CASES / "isolated_h.vasp").read_bytes())
    for output in ("out", "out.parquet"):
        first = run("featurize", "a.vasp", "-o", output, "--cutoff", "4", "-j", "1", "--json", cwd=tmp_path)
        assert json.loads(first.stdout)["n_rows"] == 1, first.stderr
        assert run("featurize", "a.vasp", "-o", output, "--cutoff", "5", "-j", "1", cwd=tmp_path).returncode == 1
        again = run("featurize", "a.vasp", "-o", output, "--cutoff", "5", "-j", "1", "--json", "--overwrite", cwd=tmp_path)
        assert json.loads(again.stdout)["n_resumed"] == 0, again.stderr


class TestParts:
    """Work of several parts is told of as a whole."""

    def test_bars_inside_move_the_whole(self):
        told = []
        with _threads.listening(lambda what, done, total: told.append((what, done, total))):
            work = _threads.Parts("all", 10)
            with work.part(4):
                _threads.with_progress(lambda _: 1, range(2), 1, {"desc": "first", "total": 2})
            with work.part(6):
                inner = _threads.Parts("inner", 3)
                with inner.part(3):
                    _threads.progress_bar(desc="second", total=2).update(1)
        assert {(what, total) for what, _, total in told} == {("all", 10.0)}
        done = [done for _, done, _ in told]
        assert done == sorted(done)
        assert {0.0, 2.0, 4.0, 7.0, 10.0} <= set(done)

    def test_an_error_leaves_nothing_behind(self):
        told = []
        with _threads.listening(lambda *one: told.append(one)):
            with pytest.raises(ValueError, match="broken"), _threads.Parts("all", 2).part(1):
                raise ValueError("broken")
            _threads.progress_bar(desc="next", total=2).update(1)
        assert told[-1] == ("next", 1, 2)

    def test_nobody_listens(self, capsys):
        with _threads.Parts("all", 1).part(1):
            _threads.with_progress(lambda _: 1, range(2), 1, {"desc": "bar", "total": 2, "disable": True})
        assert capsys.readouterr().err == ""

    def test_training_and_cross_validation_tell(self, sample):
        from matminer_grid.models import GRIDKernelRegressor, cross_validate_model

        model = GRIDKernelRegressor(tune_iterations=2)
        crystals = model.describe(sample[:40])
        values = np.array([crystal.volume for crystal in sample[:40]])
        told = []
        with _threads.listening(lambda *one: told.append(one)):
            cross_validate_model(model, crystals, values, n_splits=2)
        assert {what for what, _, _ in told} == {"cross-validate"}
        shares = [done / total for _, done, total in told]
        assert shares == sorted(shares)
        assert shares[-1] == 1
        assert len([share for share in set(shares) if 0 < share < 0.5]) >= 3  # within the first fold too
