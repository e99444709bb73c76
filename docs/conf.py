"""Settings of the documentation site: ``sphinx-build -W --keep-going docs output/site``."""

from __future__ import annotations

import re
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from latex2mathml.converter import convert
from typer.main import get_command

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "scripts"))

from update_results import write_tables  # noqa: E402  it makes the tables

project = "matminer-grid"
author = "matminer-grid developers"
copyright = author  # noqa: A001  Sphinx's name
release = import_module("matminer_grid").__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb", "sphinx_copybutton"]
exclude_patterns = ["generated"]
html_theme = "furo"
html_title = f"matminer-grid {release}"
html_static_path = ["static"]
html_css_files = ["tables.css"]
html_show_sphinx = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_custom_sections = ["Features"]
napoleon_use_rtype = False
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_theme_options = {"top_of_page_buttons": []}
nb_execution_mode = "off"
nb_mime_priority_overrides = [("html", "text/html", 0)]
html_math_renderer = "mathml"

API = {
    "matminer_grid": "the main names",
    "matminer_grid.crystals": "crystals as arrays",
    "matminer_grid.io": "files to crystals, and back",
    "matminer_grid.datasets": "named data",
    "matminer_grid.featurizers": "structure to feature vector",
    "matminer_grid.similarity": "dissimilarity and nearest neighbours",
    "matminer_grid.models": "dissimilarity to property",
    "matminer_grid.pipeline": "many files, and many machines",
    "matminer_grid.plotting": "pictures",
}
"""Modules whose public names are documented, where they exist."""


def write_api() -> None:
    """Write a page for each public module, from its ``__all__``, so that no name is forgotten; a name has one home."""
    shutil.rmtree(HERE / "api", ignore_errors=True)
    (HERE / "api").mkdir()
    documented: set[int] = set()
    listed = []
    for name, what in API.items():
        try:
            module = import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            continue
        lines = [f"# `{name}`: {what}", ""]
        for public in getattr(module, "__all__", None) or _own_names(module):
            value = getattr(module, public)
            if id(value) in documented or not (callable(value) and getattr(value, "__doc__", None)):
                continue
            documented.add(id(value))
            lines += ["```{eval-rst}", f".. {_directive(value)}:: {name}.{public}"]
            if isinstance(value, type):
                lines.append(f"   :members: {', '.join(_own_members(value))}")
            lines += ["```", ""]
        if len(lines) > 2:
            file = name.removeprefix("matminer_grid.")
            (HERE / "api" / f"{file}.md").write_text("\n".join(lines), encoding="utf-8")
            listed.append(file)
    index = ["# All public names", "", "```{toctree}", ":maxdepth: 2", "", *listed, "```", ""]
    (HERE / "api" / "index.md").write_text("\n".join(index), encoding="utf-8")


def write_commands() -> None:
    """Write the reference of the command line from the commands themselves."""
    schemas = import_module("matminer_grid.cli.schemas")
    parts = []
    for words, command in _commands(get_command(import_module("matminer_grid.cli").app), "matminer-grid"):
        arguments = " ".join(one.metavar or one.name for one in command.params if one.param_type_name == "argument")
        heading = f"## `{words}`"
        rows = [
            f"| {_call(one)} | {_marked(one.help or '')}{_default(one)} |".replace("\n", " ")
            for one in command.params
            if one.name != "help"
        ]
        lines = (command.help or "").splitlines()
        told = [_marked(line) if (example := line.removeprefix("Example: ")) == line else f"    {example}" for line in lines]
        table = "\n".join(["| argument or option | what it is |", "|---|---|", *rows])
        schema = schemas.SCHEMAS[words.removeprefix("matminer-grid ")]
        fields = [f"| `{path}` | {_marked(text)} ({kind}) |" for path, kind, text in schemas.field_rows(schema)]
        printed = "\n".join(["| field of `--json` | what it is |", "|---|---|", *fields])
        use = f"    {words} {arguments} [OPTIONS]"
        parts.append("\n\n".join([heading, use, "\n".join(told), *([table] if rows else []), printed]))
    (HERE / "generated" / "commands.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _marked(text: str) -> str:
    """Mark options as code, in which two hyphens stay two."""
    return re.sub(r"(?<![`\w-])--[a-z][a-z-]*", r"`\g<0>`", text.replace("``", "`"))


def _commands(command: Any, words: str) -> list[tuple[str, Any]]:
    """List a command with its words, or those that it groups."""
    if not hasattr(command, "commands"):
        return [(words, command)]
    return [one for name, inner in command.commands.items() for one in _commands(inner, f"{words} {name}")]


def _call(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    return ", ".join(f"`{name}`" for name in parameter.opts)


def _default(parameter: Any) -> str:
    if parameter.required:
        return " Needed."
    return "" if parameter.default is None or parameter.default is False else f" Default: `{parameter.default}`."


def _own_names(module: Any) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", "") == module.__name__
    ]


def _own_members(value: type) -> list[str]:
    """List the documented members of a class and its bases in this package, not those of matminer and scikit-learn."""
    bases = [base for base in reversed(value.__mro__) if base.__module__.startswith("matminer_grid")]
    members = dict.fromkeys(name for base in bases for name in vars(base) if not name.startswith("_"))
    return [name for name in members if getattr(getattr(value, name, None), "__doc__", None) and not name.endswith("_request")]


def _directive(value: Any) -> str:
    return "autoclass" if isinstance(value, type) else "autofunction"


def copy_notebooks() -> None:
    """Copy the notebooks, with their committed outputs, into the site."""
    shutil.rmtree(HERE / "notebooks", ignore_errors=True)
    shutil.copytree(ROOT / "notebooks", HERE / "notebooks", ignore=shutil.ignore_patterns(".*"))
    about = HERE / "notebooks" / "data" / "README.md"  # in no table of contents; notebooks refer to it
    about.write_text(f"---\norphan: true\n---\n\n{about.read_text(encoding='utf-8')}", encoding="utf-8")


def _inline_math(translator: HTML5Translator, node: nodes.Element) -> None:
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def _block_math(translator: HTML5Translator, node: nodes.Element) -> None:
    translator.body.append(f'<div class="math" tabindex="0">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def escape_bars(_app: Sphinx, _what: str, _name: str, _value: Any, _options: Any, lines: list[str]) -> None:
    """Let |F| in a docstring be an absolute value, which reStructuredText would take for a substitution."""
    in_example = False
    for i, line in enumerate(lines):
        in_example = bool(line.strip()) and (in_example or line.lstrip().startswith(">>>"))
        if not in_example and not line.lstrip().startswith(".. math::"):
            parts = line.split("``")
            lines[i] = "``".join(part if j % 2 else re.sub(r"(?<!\\)\|", r"\\|", part) for j, part in enumerate(parts))


MENDED = {
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="All pages">',
    '<aside class="toc-drawer">': '<aside class="toc-drawer" aria-label="On this page">',
    '<div class="cell_output docutils container">': '<div tabindex="0" class="cell_output docutils container">',
    '<div class="table-wrapper ': '<div tabindex="0" class="table-wrapper ',
    "<pre>": '<pre tabindex="0">',
    '<div id="search-results"></div>': '<h1>Search</h1><div id="search-results"></div>',
    "<th></th>": "<td></td>",
    '<th class="head"><p></p></th>': '<td class="head"></td>',
}
"""What theme and pandas write, and what those who hear a page, or have a keyboard alone, need: parts with names, no empty headers,
and all that scrolls within reach."""


def mend_pages(app: Sphinx, failure: Exception | None) -> None:
    """Replace MENDED in all pages."""
    if failure is None:
        for page in Path(app.outdir).rglob("*.html"):
            text = page.read_text(encoding="utf-8")
            for found, better in MENDED.items():
                text = text.replace(found, better)
            page.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Write what is made from other files; render formulas as MathML, which browsers show without any script."""
    app.add_html_math_renderer("mathml", (_inline_math, None), (_block_math, None))
    app.connect("autodoc-process-docstring", escape_bars)
    app.connect("build-finished", mend_pages)
    write_api()
    copy_notebooks()
    write_tables(HERE / "results", HERE / "generated")
    write_commands()
