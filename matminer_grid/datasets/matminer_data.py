"""matminer's data sets, such as matbench_log_kvrh, checked against their checksums and read without running what they name."""

from __future__ import annotations

import difflib
import gzip
import hashlib
import json
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matminer_grid.crystals.table import CrystalTable
from matminer_grid.io.structure_json import crystal_from_dict

if TYPE_CHECKING:
    import pandas as pd

    from matminer_grid.crystals.crystal import Crystal

BLOCK = 1 << 20
"""Bytes read at once."""

TIMEOUT = 30.0
"""Seconds that a server may take to answer."""


def load_matminer_dataset(
    name: str,
    *,
    path: str | Path | None = None,
    data_home: str | Path | None = None,
    download: bool = True,
    column: str = "structure",
) -> tuple[CrystalTable, pd.DataFrame]:
    """Load one of matminer's data sets of crystals, as `matminer.datasets.load_dataset` does, but as arrays.

    Other than there, a file is checked against its checksum each time, a broken download leaves no file, and classes that the
    file names are not imported.

    Parameters
    ----------
    name : str
        Such as "matbench_log_kvrh", "matbench_log_gvrh" or "elastic_tensor_2015".
    path : str or Path, optional
        The file, if it is somewhere already: nothing is downloaded then.
    data_home : str or Path, optional
        Folder that holds the files; by default MATMINER_DATA of the environment, or that of matminer.
    download : bool
        Whether to download the file if it is missing.
    column : str
        The column of structures.

    Returns
    -------
    CrystalTable
        The N crystals.
    DataFrame
        N rows of all other columns.

    Raises
    ------
    FileNotFoundError
        The file is missing and `download` is off.
    ConnectionError
        The file can't be downloaded; the message says where to put one that was fetched otherwise.
    ValueError
        There is no such data set, its file is damaged, or it holds no structures.

    References
    ----------
    L. Ward et al., Comput. Mater. Sci. 152 (2018) 60-69, 10.1016/j.commatsci.2018.05.018.
    A. Dunn et al., npj Comput. Mater. 6 (2020) 138, 10.1038/s41524-020-00406-3.

    Examples
    --------
    >>> from matminer_grid.datasets import load_matminer_dataset
    >>> crystals, properties = load_matminer_dataset("matbench_log_kvrh")  # doctest: +SKIP
    """
    attributes = _attributes(name)
    if column not in attributes["columns"]:
        raise ValueError(
            f"the data set {name} has no column {column!r}; it has {', '.join(attributes['columns'])}"
            + ("" if any("struct" in other for other in attributes["columns"]) else ": it holds no crystal structures")
        )
    file = _home(data_home) / f"{name}.{attributes['file_type']}" if path is None else Path(path)
    if not file.exists():
        if path is not None or not download:
            raise FileNotFoundError(f"{file}: there is no such file; the data set {name} is at {attributes['url']}")
        _download(file, name, attributes)
    _check(file, name, attributes)
    return _read(file, column)


def _attributes(name: str) -> dict[str, Any]:
    from matminer.datasets import get_available_datasets, get_dataset_attribute  # noqa: PLC0415  0.5 s

    names = get_available_datasets(print_format=None)
    if name not in names:
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
        raise ValueError(
            f"matminer has no data set {name!r}; " + (f"close are {', '.join(close)}" if close else f"it has {', '.join(names)}")
        )
    return {key: get_dataset_attribute(name, key) for key in ("url", "hash", "file_type", "columns")}


def _home(data_home: str | Path | None) -> Path:
    import matminer.datasets  # noqa: PLC0415  0.5 s

    return Path(data_home or os.environ.get("MATMINER_DATA") or matminer.datasets.__path__[0]).expanduser()


def _download(file: Path, name: str, attributes: dict[str, Any]) -> None:
    import pooch  # noqa: PLC0415  0.2 s, only for this
    from requests import RequestException  # noqa: PLC0415

    url = attributes["url"]
    get = pooch.HTTPDownloader(timeout=TIMEOUT, chunk_size=BLOCK)
    try:
        pooch.retrieve(url, attributes["hash"], fname=file.name, path=file.parent, downloader=get)
    except ValueError as error:
        raise ConnectionError(
            f"what {url} gave for the data set {name} is not the file that matminer lists (its SHA-256 checksum differs): a "
            f"page of the server, perhaps, or a broken download. Try again, or download it in a browser and give it as path="
        ) from error
    except RequestException as error:
        raise ConnectionError(
            f"the data set {name} can't be downloaded from {url}: {error}. Download it elsewhere and give it as path=, or put it "
            f"to {file}; load_mp_elasticity() needs no network"
        ) from error
    except PermissionError as error:
        raise PermissionError(f"{file.parent} can't be written to: say data_home=, or set MATMINER_DATA") from error


def _check(file: Path, name: str, attributes: dict[str, Any]) -> None:
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != attributes["hash"]:
        raise ValueError(
            f"{file} is not the file of the data set {name}, or damaged: its SHA-256 checksum is {found} and should be "
            f"{attributes['hash']}; delete it and download it anew from {attributes['url']}"
        )


def _read(file: Path, column: str) -> tuple[CrystalTable, pd.DataFrame]:
    import pandas as pd  # noqa: PLC0415  0.2 s, which processes that parse files do without

    try:
        with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as content:
            table = json.load(content)
        position = table["columns"].index(column)
        rows = table["data"]
    except (OSError, EOFError, zlib.error, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: it is no table of matminer's in JSON: {error}") from error
    crystals: list[Crystal] = []
    for row, entries in enumerate(rows):
        try:
            crystals.append(crystal_from_dict(entries[position]))
        except ValueError as error:
            raise ValueError(f"{file}: row {row}: {error}") from error
        entries[position] = None
    return CrystalTable.from_crystals(crystals), pd.DataFrame(rows, columns=table["columns"]).drop(columns=column)
