"""Help texts: options in groups, the same names everywhere, an example each that the command line takes."""

import shlex

import pytest
import typer

from matminer_grid.cli import app
from matminer_grid.cli._help import group_of
from tests.commands import run


def commands(group=None, words=()):
    """List all commands with their words."""
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        yield from commands(command, (*words, name)) if hasattr(command, "commands") else [((*words, name), command)]


ALL = dict(commands())


@pytest.mark.parametrize("words", ALL, ids=" ".join)
class TestEach:
    def test_one_example_that_the_command_takes(self, words):
        (example,) = [line.strip() for line in ALL[words].help.splitlines() if line.strip().startswith("Example: ")]
        call = shlex.split(example.removeprefix("Example: "))
        assert call[: len(words) + 1] == ["matminer-grid", *words]
        with ALL[words].make_context(words[-1], call[len(words) + 1 :]) as context:
            assert context.params
        assert example in [line.strip() for line in run(*words, "--help").stdout.splitlines()]  # in one line

    def test_options_stand_in_groups(self, words):
        text = run(*words, "--help").stdout
        headings = [line.rstrip(":") for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
        assert len(set(headings)) == len(headings)
        assert headings[-1] == "Output"
        assert text.index("\nOutput:\n") < text.index("  --json") < text.index("  --help")
        assert {group_of(parameter) for parameter in ALL[words].params} | {"Output"} == set(headings)


def test_groups_are_headed_by_what_they_are_about():
    text = run("similar", "--help").stdout
    assert text.index('What "alike" means:') < text.index("--metric") < text.index("--bin-size") < text.index("\nOutput:")
    assert "How the model is judged:" in run("train", "--help").stdout


def test_one_thing_has_one_name():
    names: dict[str, set[tuple[str, ...]]] = {}
    for command in ALL.values():
        for option in command.params:
            if option.param_type_name == "option":
                names.setdefault(option.opts[0], set()).add(tuple(sorted(option.opts)))
    assert all(len(one) == 1 for name, one in names.items() if name != "--reference"), names
    for short, long in {"-o": "--output", "-k": "--n-neighbors", "-j": "--jobs", "-t": "--tolerance"}.items():
        assert {one for alternatives in names.values() for one in alternatives if short in one} == {tuple(sorted((short, long)))}
    known = {words[-1]: command for words, command in ALL.items()}
    for command in ("similar", "evaluate", "explore"):
        assert any("--reference" in option.opts for option in known[command].params)
    assert all(any("--json" in option.opts for option in command.params) for command in ALL.values())
