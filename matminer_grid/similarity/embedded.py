"""Search among the embedded crystals: their index is built on first use and kept in the user's cache folder."""

from __future__ import annotations

import json
import warnings
import zlib
from typing import TYPE_CHECKING

from matminer_grid.datasets.elasticity import kept_path, load_mp_elasticity_table
from matminer_grid.similarity.dissimilarity import CrystalDissimilarity, checked_dissimilarity
from matminer_grid.similarity.index import to_parameters
from matminer_grid.similarity.index_build import build_index
from matminer_grid.similarity.search import EMDSearch

if TYPE_CHECKING:
    from pathlib import Path


def embedded_path(dissimilarity: CrystalDissimilarity) -> Path:
    """Where the index of the embedded crystals for a dissimilarity is kept; the folder may not exist yet."""
    digest = zlib.crc32(json.dumps(to_parameters(dissimilarity), sort_keys=True).encode())
    return kept_path(f"index-{digest:08x}")


def embedded_search(dissimilarity: CrystalDissimilarity | None = None, *, n_jobs: int | None = None) -> EMDSearch:
    """Search among the embedded crystals of :func:`load_mp_elasticity_table`, in an index with their `material_id`.

    The first call for a dissimilarity builds the index, in some seconds, and keeps it in the user's cache folder; others open it.

    Parameters
    ----------
    dissimilarity : CrystalDissimilarity, optional
        ``CrystalDissimilarity()`` by default.
    n_jobs : int, optional
        Number of threads; see :func:`~matminer_grid._threads.n_threads`.

    Raises
    ------
    TypeError, ValueError
        A parameter is invalid, or an element is none that the dissimilarity knows.

    Warns
    -----
    UserWarning
        The index in the cache was damaged, and is built anew; or the cache can't be written to.
    """
    dissimilarity = checked_dissimilarity(dissimilarity)
    path = embedded_path(dissimilarity)
    damaged = False
    if path.exists():
        try:
            return EMDSearch.load(path, dissimilarity, n_jobs=n_jobs)
        except FileNotFoundError:
            pass  # it is being built
        except ValueError as error:
            warnings.warn(f"the index of the embedded crystals is built anew: {error}", stacklevel=2)
            damaged = True
    data = load_mp_elasticity_table()
    try:
        build_index(path, data.crystals, data.material_id.tolist(), dissimilarity=dissimilarity, overwrite=damaged, n_jobs=n_jobs)
        return EMDSearch.load(path, dissimilarity, n_jobs=n_jobs)
    except (BlockingIOError, FileExistsError):  # another process is building it, or has just done so
        pass
    except OSError as error:
        warnings.warn(f"the index can't be kept in {path.parent} ({error}); it will be built anew next time", stacklevel=2)
    return EMDSearch(dissimilarity, n_jobs=n_jobs).fit(data.crystals)
