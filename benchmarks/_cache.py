"""Results that are kept on disk, under a digest of all that they depend on, so that a stopped run goes on where it was."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matminer_grid
from benchmarks._run import provenance
from matminer_grid._files import CHECKSUMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

PACKAGE = Path(matminer_grid.__file__).parent
COMPUTING = Path(__file__).parent / "moduli"
"""The part of the benchmarks that computes."""


def digest(*folders: Path) -> str:
    """Digest all Python code below some folders, and the checksums of the embedded data."""
    found = hashlib.sha256()
    for folder in folders:
        for file in sorted([*folder.rglob("*.py"), *folder.rglob(CHECKSUMS)]):
            found.update(f"{file.relative_to(folder)}\n".encode() + file.read_bytes())
    return found.hexdigest()[:16]


def identity(options: dict[str, Any]) -> dict[str, Any]:
    """Tell what the numbers of a run depend on: code and data, the packages beside ours, and the options."""
    return {"code": digest(PACKAGE, COMPUTING), "packages": provenance()["packages"], "options": options}


def remember(identity: dict[str, Any], name: str, compute: Callable[[], Any]) -> Any:  # noqa: ARG001  joblib's key
    """Compute; wrapped by ``joblib.Memory.cache(remember, ignore=["compute"])``, only if it isn't on disk whole."""
    return compute()


def set_aside(results: Path, identity: dict[str, Any], console: Console) -> None:
    """Rename the results of other code, packages or options, or unreadable ones, rather than overwriting them."""
    if not results.exists():
        return
    try:
        found = json.loads(results.read_text(encoding="utf-8"))["identity"]
        if found == identity:
            return
        label = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:8]
        changed = ", ".join(f"{key} {found.get(key)}" for key in identity if found.get(key) != identity[key])
        reason = f"is of another run ({changed})"
    except (ValueError, KeyError, TypeError, AttributeError):
        label, reason = "unreadable", "can't be read as results of this benchmark"
    kept = results.with_name(f"{results.stem}-{label}.json")
    results.replace(kept)
    console.print(f"{results} {reason}; it is kept as {kept.name}", markup=False)
