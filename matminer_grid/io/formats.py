"""One file's bytes to structures: which reader a file's name calls for, and what is said of files that none can read."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from matminer_grid.io.cif import read_cif
from matminer_grid.io.frames import read_cssr, read_xsf, read_xyz
from matminer_grid.io.res import read_res
from matminer_grid.io.structure_json import read_json
from matminer_grid.io.vasp import read_poscar, read_xdatcar

if TYPE_CHECKING:
    from collections.abc import Callable

    from matminer_grid.io.records import Parsed

MAX_FILE_SIZE = 50_000_000
"""Bytes that one structure file, archive member or JSON line may have, unpacked."""

ENDINGS = {
    **dict.fromkeys(("cif", "mcif"), "cif"),
    **dict.fromkeys(("vasp", "poscar", "contcar"), "poscar"),
    **dict.fromkeys(("json", "mson"), "json"),
    **dict.fromkeys(("xsf", "axsf"), "xsf"),
    **dict.fromkeys(("xyz", "extxyz"), "xyz"),
    **{name: name for name in ("xdatcar", "cssr", "res")},
}
"""Endings of file names, in lower case, and the format that each stands for."""

BEGINNINGS = re.compile(r"(POSCAR|CONTCAR|XDATCAR)(?![A-Za-z])|(poscar|contcar|xdatcar)$")
"""What the name of a VASP file begins with."""

OTHER_ENDINGS = frozenset(
    "csv tsv txt dat log out err pdf png jpg jpeg svg gif py ipynb sh md rst html xml yaml yml toml ini xlsx xls npy npz pkl h5 "
    "hdf5 zip tar gz tgz bz2 xz parquet pq jsonl ndjson db sqlite".split()
)
"""Endings that no VASP file has, whatever its name begins with."""

READERS: dict[str, Callable[[bytes], list[Parsed]]] = {"cif": read_cif, "json": read_json}
TEXT_READERS: dict[str, Callable[[str], list[Parsed]]] = {
    "poscar": read_poscar,
    "xdatcar": read_xdatcar,
    "xyz": read_xyz,
    "xsf": read_xsf,
    "res": read_res,
    "cssr": read_cssr,
}
"""Readers of bytes, and of text."""


def format_of(name: str) -> str | None:
    """Give the format that a file's name stands for, None if it is no structure file's.

    A known ending counts first; POSCAR, CONTCAR and XDATCAR are a name, or its beginning.

    Examples
    --------
    >>> format_of("NaCl.CIF"), format_of("POSCAR_relaxed"), format_of("poscar_energies.csv"), format_of("notes.txt")
    ('cif', 'poscar', None, None)
    """
    ending = PurePath(name).suffix.lower().removeprefix(".")
    if ending in ENDINGS:
        return ENDINGS[ending]
    begins = BEGINNINGS.match(name)
    if begins is None or ending in OTHER_ENDINGS:
        return None
    return "xdatcar" if begins.group().upper() == "XDATCAR" else "poscar"


def parse_structures(content: bytes, kind: str) -> list[Parsed]:
    """Read the structures of one file, unpacked, of one of the formats of :data:`ENDINGS`; at least one, else a ValueError.

    Each has what was wrong with it; whether they are valid crystals is not looked at yet.
    """
    if len(content) > MAX_FILE_SIZE:
        raise ValueError(f"it has more than {MAX_FILE_SIZE / 1e6:.0f} MB, the limit for one structure file")
    if not content.strip():
        raise ValueError("it is empty")
    try:
        if kind in READERS:
            return READERS[kind](content)
        return TEXT_READERS[kind](_decoded(content))
    except MemoryError as error:
        raise ValueError("it needs more memory than there is") from error
    except (ArithmeticError, LookupError, TypeError) as error:
        raise ValueError(f"it can't be read as {kind.upper()}: {type(error).__name__} {str(error)[:300]}") from error


def _decoded(content: bytes) -> str:
    if content[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return content.decode("utf-16", errors="replace")
    if b"\x00" in content:
        line = content[: content.index(b"\x00")].count(b"\n") + 1
        raise ValueError(f"line {line}: it has NUL bytes; it is no text, or damaged")
    return content.decode("utf-8-sig", errors="replace")
