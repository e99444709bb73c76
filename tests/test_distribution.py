"""What is written twice is the same: metadata, conda recipe, citation, workflows and the sessions they call."""

import ast
import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from matminer_grid import __version__
from matminer_grid.show_versions import _packages

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"POT": "pot", "matplotlib": "matplotlib-base"}
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def load(*parts: str) -> dict:
    return yaml.safe_load(ROOT.joinpath(*parts).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def split(requirement: str) -> tuple[str, str]:
    name, condition = re.fullmatch(r"([\w-]+) ?(.*)", requirement).groups()
    return CONDA_NAMES.get(name, name), condition


class TestRecipe:
    def test_it_asks_for_what_the_package_asks_for(self, setup):
        recipe = load("recipe", "recipe.yaml")
        python, *others = recipe["requirements"]["run"]
        asked = setup["options"]["install_requires"].split()
        assert python == "python >=${{ python_min }}"
        assert [split(one) for one in others] == [split(one) for one in asked]
        assert f">={recipe['context']['python_min']}" == setup["options"]["python_requires"]

    def test_its_constraints_are_those_of_the_extras(self, setup):
        extras = {
            line.replace("[distributed]", "") for lines in setup["options.extras_require"].values() for line in lines.split("\n")
        }
        for one in load("recipe", "recipe.yaml")["requirements"]["run_constraints"]:
            assert one.replace(" ", "") in extras

    def test_version_and_command(self, setup):
        recipe = load("recipe", "recipe.yaml")
        assert recipe["context"]["version"] == __version__
        assert recipe["build"]["python"]["entry_points"] == setup["options.entry_points"]["console_scripts"].strip().split("\n")


class TestWorkflows:
    @pytest.fixture(scope="class")
    def sessions(self) -> set[str]:
        functions = [
            node for node in ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)
        ]
        return {node.name for node in functions if any("session" in ast.unparse(one) for one in node.decorator_list)}

    def test_the_gate_runs_each_session_of_the_default(self):
        noxfile, gate = ((ROOT / name).read_text(encoding="utf-8") for name in ("noxfile.py", ".ci/run"))
        default = re.search(r"nox\.options\.sessions = (\[.*\])", noxfile)
        calls = re.findall(r"^.*nox\[@\].* -s ([\w ]+?)(?:\)| \|\|)", gate, re.MULTILINE)
        assert sorted(" ".join(calls).split()) == sorted(ast.literal_eval(default[1]))

    @pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
    def test_they_only_call_sessions_that_there_are(self, path, sessions):
        for job in load(path)["jobs"].values():
            named = job.get("strategy", {}).get("matrix", {}).get("session", [])
            assert set(named) <= sessions
            for step in job.get("steps", []):
                if "run" in step and not step["run"].startswith("gh release create"):
                    call = re.fullmatch(r'uvx .*--from "nox\[uv\]" nox .*?-s ([\w.{}$ -]+?)( -- .*)?', step["run"])
                    assert call, step["run"]
                    name = call[1].partition("-$")[0]
                    assert name in {*sessions, "${{ matrix.session }}"}

    def test_each_python_that_is_promised_is_tested(self, setup):
        promised = re.findall(r"Python :: (3\.\d+)", setup["metadata"]["classifiers"])
        assert set(promised) <= set(load(".github", "workflows", "ci.yml")["jobs"]["tests"]["strategy"]["matrix"]["python"])

    def test_only_publishing_may_ask_for_a_token(self):
        for path in WORKFLOWS:
            content = load(path)
            assert content["permissions"] == {"contents": "read"}
            asking = [name for name, job in content["jobs"].items() if "id-token" in job.get("permissions", {})]
            assert asking == (["publish"] if path.stem == "release" else [])


@pytest.mark.parametrize("name", ["bug", "idea"])
def test_issue_forms_have_what_github_asks_for(name):
    form = load(".github", "ISSUE_TEMPLATE", f"{name}.yml")
    assert {"name", "description", "body"} <= set(form)
    ids = [field["id"] for field in form["body"]]
    assert len(set(ids)) == len(ids)
    assert all(field["attributes"]["label"] for field in form["body"])


def test_citation_is_complete():
    citation = load("CITATION.cff")
    assert {"cff-version", "message", "title", "authors", "version", "license", "repository-code"} <= set(citation)
    assert citation["version"] == __version__


@pytest.mark.parametrize("arguments", [["-m", "matminer_grid"], ["-c", "from matminer_grid.cli import app; app()"]])
def test_the_command_tells_its_version(arguments):
    done = subprocess.run([sys.executable, *arguments, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"matminer-grid {__version__}\n"


def test_what_a_report_needs():
    done = subprocess.run([sys.executable, "-m", "matminer_grid.show_versions"], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == f"matminer-grid {__version__}"
    assert lines[1].startswith("Python 3.")
    assert lines[2].startswith("system ")
    for name in ("numpy", "numba", "matminer", "pymatgen", "pandas", "faiss-cpu"):
        assert any(line.startswith(f"{name} ") for line in lines), name
    assert not {"pytest", "ruff", "sphinx"} & set(_packages())
