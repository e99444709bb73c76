"""The checks, each in an environment of its own: ``nox -l`` lists them, ``nox -s NAME`` runs one.

The workflows call nothing else, so that what they find can be found anywhere.
"""

import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "uv"
nox.options.sessions = ["lint", "coverage", "fast", "lowest", "distributions", "notebooks", "docs", "audit"]

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
OTHERS = [version for version in PYTHONS if version != f"{sys.version_info.major}.{sys.version_info.minor}"]

FAST = "import private matminer crystal composition elements cif convert formats"
"""Tests of what other packages' versions can break, without those that compile many kernels or start many processes."""

KERNELS = "emd grid sites site_search structure_factor chemistry clusters compare composition"
"""Tests that compare kernels with their slow twins."""

ENVIRONMENT = {"MPLBACKEND": "agg", "PYTHONPATH": None, "PYTHONDONTWRITEBYTECODE": None}
"""Of all that is run. uv leaves byte code to the first import, and where none is kept each Python that a test starts takes five
seconds longer."""

LARGEST = 6_000_000
"""Bytes that a wheel or sdist may have."""


def files(names: str) -> list[str]:
    """Give the files of tests by their short names."""
    return [f"tests/test_{name}.py" for name in names.split()]


def run_all(session: nox.Session, *commands: str) -> None:
    """Run commands, the others too if one fails."""
    failed = []
    for command in commands:
        try:
            session.run(*command.split(), env=ENVIRONMENT)
        except nox.command.CommandFailed:
            failed.append(command)
    if failed:
        session.error(f"failed: {'; '.join(failed)}")


@nox.session
def lint(session: nox.Session) -> None:
    """Style, types, imports between layers, spelling, and the form of workflows and metadata."""
    session.install("-e", ".[dev]")
    session.install("py-rattler-build")
    forms = {
        "vendor.github-workflows": ".github/workflows/*.yml",
        "custom.github-workflows-require-timeout": ".github/workflows/*.yml",
        "vendor.github-issue-forms": ".github/ISSUE_TEMPLATE/[!c]*.yml",
        "vendor.github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
        "vendor.readthedocs": ".readthedocs.yaml",
        "vendor.citation-file-format": "CITATION.cff",
    }
    named = {form: " ".join(map(str, sorted(Path().glob(pattern)))) for form, pattern in forms.items()}
    run_all(
        session,
        "ruff check",
        "ruff format --check",
        "mypy",
        "lint-imports",
        "codespell",
        *(f"check-jsonschema --builtin-schema {form} {paths}" for form, paths in named.items()),
        "python .ci/recipe.py",
    )


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests, with the newest versions; arguments go to pytest."""
    session.install("-e", ".[test,browser]")
    session.run("pytest", "-n", "auto", *session.posargs, env=ENVIRONMENT)


@nox.session(python=OTHERS)
def fast(session: nox.Session) -> None:
    """The fast tests, with the newest versions, on each Python but the one that nox runs on."""
    session.install("-e", ".[test]")
    session.run("pytest", "-n", "auto", *(session.posargs or files(FAST)), env=ENVIRONMENT)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """The fast tests with the oldest versions that setup.cfg asks for; arguments, such as "tests", are run instead."""
    session.install("--resolution", "lowest-direct", "-e", ".[approximate,ase,distributed,pytest]")
    # numba keeps one version's machine code in a folder
    environment = ENVIRONMENT | {"NUMBA_CACHE_DIR": str(Path(session.create_tmp()).resolve())}
    session.run("pytest", "-n", "auto", *(session.posargs or files(FAST)), env=environment)


@nox.session
def prereleases(session: nox.Session) -> None:
    """All tests with the versions that other packages have announced."""
    session.install("--prerelease", "allow", "--upgrade", "-e", ".[test]")
    session.run("pytest", "-n", "auto", *session.posargs, env=ENVIRONMENT)


@nox.session
def notebooks(session: nox.Session) -> None:
    """The notebooks, from top to bottom."""
    session.install("-e", ".[test,notebooks]")
    session.run("pytest", "-n", "auto", "-m", "notebooks", "tests/test_notebooks.py", env=ENVIRONMENT)


@nox.session
def docs(session: nox.Session) -> None:
    """The site, without warnings, and each of its pages in a browser, if there is one."""
    session.install("-e", ".[docs,browser,pytest]")
    session.run("python", "-m", "sphinx", "-W", "--keep-going", "-q", "docs", "output/site", env=ENVIRONMENT)
    session.run("pytest", "-n", "auto", "--dist", "worksteal", "-m", "site", "tests/test_site.py", env=ENVIRONMENT)


@nox.session
def distributions(session: nox.Session) -> None:
    """Wheel and sdist in output/dist: their size and metadata, and that each works; an argument is the tag they must have."""
    session.install(".", "build[uv]", "twine")
    folder = Path("output/dist").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "build", "--installer", "uv", "--outdir", str(folder), ".", silent=True)
    built = sorted(folder.iterdir())
    session.run("twine", "check", "--strict", *map(str, built))
    for file in built:
        if file.stat().st_size > LARGEST:
            session.error(f"{file.name} has more than {LARGEST} bytes")
        for tag in session.posargs:
            if not file.name.startswith(f"matminer_grid-{tag.removeprefix('v')}{'-' if file.suffix == '.whl' else '.tar.gz'}"):
                session.error(f"{file.name} is not of the tag {tag}")
        target = Path(session.create_tmp()).resolve() / f"from{file.suffix}"
        session.install("--no-deps", "--target", str(target), str(file))
        with session.chdir(target.parent):
            script = Path(__file__).parent / ".ci" / "smoke.py"
            session.run("python", str(script), str(target), env=ENVIRONMENT | {"PYTHONPATH": str(target)})


@nox.session
def coverage(session: nox.Session) -> None:
    """All tests, those of the kernels in plain Python too, and the share of lines that ran, with a floor (pyproject.toml)."""
    session.install("-e", ".[test,browser]", "coverage>=7.10")
    session.run("coverage", "erase")
    run_all(session, "coverage run -m pytest -n auto")
    plain = ENVIRONMENT | {"NUMBA_DISABLE_JIT": "1", "HYPOTHESIS_PROFILE": "few"}
    # one by one, since a few files would leave a process without work
    session.run("coverage", "run", "-m", "pytest", "-n", "auto", "--dist", "worksteal", *files(KERNELS), env=plain)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def audit(session: nox.Session) -> None:
    """Known holes in what is installed; skipped where the database can't be reached."""
    session.install(".", "pip-audit")
    session.run("python", ".ci/audit.py")
