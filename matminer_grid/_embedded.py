"""The data files that are part of the package, read against their checksums."""

from __future__ import annotations

import hashlib
from importlib.resources import files

DATA = files("matminer_grid") / "datasets" / "data"
CHECKSUMS = "SHA256SUMS"


def read_embedded(name: str) -> bytes:
    """Read a file of ``datasets/data`` after checking it against the list of checksums beside it.

    Parameters
    ----------
    name : str
        Name of the file.

    Raises
    ------
    ValueError
        The file is not on the list, or its SHA-256 checksum is another one.
    """
    listed = dict(line.split()[::-1] for line in (DATA / CHECKSUMS).read_text(encoding="ascii").splitlines())
    if name not in listed:
        raise ValueError(f"{name} is none of the embedded files; those are {', '.join(listed)}")
    content = (DATA / name).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != listed[name]:
        raise ValueError(
            f"{DATA / name} is damaged or was changed: its SHA-256 checksum is {found} and should be {listed[name]}; "
            "install matminer-grid anew, or write the file again with scripts/build_mp_elasticity.py"
        )
    return content
