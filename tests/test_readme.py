"""The README keeps what it promises."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_two_commands():
    assert "\n    pip install . && python -m benchmarks.bulk_modulus\n" in README
    assert "\n    pip install '.[test]' && pytest -n auto\n" in README


def test_the_example(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("grid 1 [2.")
    assert "are most like" in printed[1]


@pytest.mark.parametrize("path", re.findall(r"\]\((?!http)([^)]+)\)", README))
def test_links_into_the_repository(path):
    assert (ROOT / path).is_file()
    assert (ROOT / path).stat().st_size < (500_000 if path.endswith(".ipynb") else 150_000)
