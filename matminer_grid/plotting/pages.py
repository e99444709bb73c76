"""Pages of HTML that hold all they need: templates, crystals as the viewer reads them, and scripts of other packages."""

from __future__ import annotations

import base64
import gzip
import json
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

if TYPE_CHECKING:
    from collections.abc import Sequence


@cache
def templates() -> Environment:
    """Load the templates of the pages; text is escaped."""
    loader = PackageLoader("matminer_grid", "plotting/templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def write_template(name: str, title: str, notes: Sequence[str] = (), **values: Any) -> str:
    """Fill in a template."""
    return templates().get_template(name).render(title=title, notes=notes, **values)


def packed(values: Any) -> str:
    """Pack what JSON can hold for a page, as base64 of gzip; the same values give the same text."""
    text = json.dumps(values, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode("ascii")
