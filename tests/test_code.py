"""Limits of size that keep the code readable: CONTRIBUTING.md names them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted([*ROOT.glob("matminer_grid/**/*.py"), *ROOT.glob("benchmarks/*.py")])
LARGEST_MODULE, LONGEST_FUNCTION, MOST_PARAMETERS = 400, 60, 8


def lines_of_code(function: ast.FunctionDef, source: list[str]) -> int:
    """Count lines without blank ones, comments and the docstring."""
    first = function.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    docstring = range(first.lineno, first.end_lineno + 1) if is_docstring else range(0)
    numbers = range(function.lineno, function.end_lineno + 1)
    return sum(1 for n in numbers if n not in docstring and source[n - 1].strip() and not source[n - 1].strip().startswith("#"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_sizes(path):
    source = path.read_text(encoding="utf-8").splitlines()
    assert len(source) <= LARGEST_MODULE
    for node in ast.walk(ast.parse("\n".join(source))):
        if isinstance(node, ast.FunctionDef):
            assert lines_of_code(node, source) <= LONGEST_FUNCTION, node.name
            parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            counted = [one for one in parameters if one.arg not in {"self", "cls"}]
            assert len(counted) <= MOST_PARAMETERS or path.parent.name == "kernels", node.name
