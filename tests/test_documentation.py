"""The code on the pages runs and prints what stands there; what the site is made of is complete."""

import contextlib
import io
import re
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from matminer_grid import __version__

ROOT = Path(__file__).parents[1]
PAGES = [
    path
    for path in [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    if "```python" in path.read_text(encoding="utf-8")
]
BLOCK = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_code_prints_what_stands_below(path, tmp_path, monkeypatch):
    """All Python of a page is run from top to bottom; a block of text right behind it is what it prints."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    with mpl.rc_context({"backend": "agg"}):
        for code, expected in BLOCK.findall(path.read_text(encoding="utf-8")):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(code, path.name, "exec"), names)  # noqa: S102
            assert printed.getvalue().strip() == expected.strip(), code
    plt.close("all")


@pytest.mark.parametrize("path", [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.stem)
def test_links_between_pages(path):
    for link in re.findall(r"\]\((?!http|#)([^)#]+)", path.read_text(encoding="utf-8")):
        target = path.parent / link
        made = {"notebooks": ROOT / "notebooks", "api": ROOT / "matminer_grid"}.get(link.split("/")[0])
        assert target.exists() or (made is not None and (link.startswith("api/") or (made / Path(link).name).exists())), link


def test_citation_has_the_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in citation
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8") or "date-released" not in citation
