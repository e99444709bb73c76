"""The command line, called in this process: what one call has compiled and loaded, the next one finds."""

from contextlib import chdir
from pathlib import Path
from types import SimpleNamespace

from typer.testing import CliRunner

from matminer_grid.cli import app


def run(*arguments, cwd: Path = Path()) -> SimpleNamespace:
    with chdir(cwd):
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return SimpleNamespace(returncode=done.exit_code, stdout=done.stdout, stderr=done.stderr)
