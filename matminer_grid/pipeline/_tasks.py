"""What all work on Dask has in common: the client, the partitions, and tasks whose outcomes come in as they end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from matminer_grid.io.parquet import open_parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    Paths = str | Path | Iterable[str | Path]


def check_client(client: Any) -> None:
    """Refuse what is no Dask client, or one that is used asynchronously."""
    try:
        from distributed import Client  # noqa: PLC0415  an extra
    except ImportError as error:
        raise ImportError("Dask is needed to compute on several machines: pip install 'matminer-grid[distributed]'") from error
    if not isinstance(client, Client):
        raise TypeError(f"client must be a dask.distributed.Client, not {type(client).__name__}")
    if client.asynchronous:
        raise TypeError("client must not be asynchronous: make it with Client(..., asynchronous=False)")


def partition_files(inputs: Paths) -> list[Path]:
    """Find the partitions, in the order of their names: the Parquet files of a folder, or those given."""
    if isinstance(inputs, (str, Path)) and Path(inputs).is_dir():
        folder = Path(inputs).absolute()
        files = [file for file in folder.iterdir() if file.suffix in {".parquet", ".pq"} and not file.name.startswith(".")]
        if not files:
            raise ValueError(f"{inputs}: the folder holds no Parquet files; partitions are files that end in .parquet")
    else:
        files = [Path(file).absolute() for file in ([inputs] if isinstance(inputs, (str, Path)) else inputs)]
        for file in files:
            if not file.is_file():
                raise FileNotFoundError(f"{file}: there is no such file or folder")
    for name, count in Counter(map(unit_name, files)).items():
        if count > 1:
            raise ValueError(f"{count} partitions would have the output part-{name}.*.parquet; give them different names")
    return sorted(files, key=lambda file: file.name)


def unit_name(file: Path) -> str:
    """Name the unit of work, and so the parts, of a partition."""
    return file.stem.removeprefix("part-")


def count_rows(file: Path) -> int:
    """Give the number of rows of a Parquet file."""
    with open_parquet(file) as opened:
        return opened.metadata.num_rows


def outcomes(
    client: Any, task: Callable[..., Any], arguments: list[tuple[Any, ...]], *, description: str, pbar: bool, **shared: Any
) -> Generator[tuple[int, Any], None, None]:
    """Call a function on the workers for each tuple of arguments; give number and future of each call as it ends.

    Arguments in `shared` are sent once, as a task of their own, so that Dask can bring them back when a worker is lost.
    Whatever is under way when the generator is closed is cancelled.
    """
    from distributed import as_completed  # noqa: PLC0415  an extra

    common = {name: client.submit(_identity, value, pure=False) for name, value in shared.items()}
    futures = {client.submit(task, *values, **common, pure=False): number for number, values in enumerate(arguments)}
    try:
        with tqdm(desc=description, total=len(futures), disable=not pbar) as bar:
            for future in as_completed(list(futures)):
                number = futures.pop(future)
                yield number, future
                bar.update()
    finally:
        client.cancel(list(futures))


def _identity(value: Any) -> Any:
    return value
