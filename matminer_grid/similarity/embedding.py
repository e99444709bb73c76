"""Crystals in two dimensions, by their dissimilarity and by axes that mean something."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from matminer_grid._validation import check_whole
from matminer_grid.crystals.composition import cumulative_fractions
from matminer_grid.featurizers.grid import GRIDFeaturizer
from matminer_grid.similarity.dissimilarity import CrystalDissimilarity, structures_as_table
from matminer_grid.similarity.search import EMDSearch
from matminer_grid.similarity.sites import scaled_to_common_volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matminer_grid.crystals.table import CrystalTable

COMPONENTS = 2
"""Principal components of compositions and of geometries."""

TOGETHER = ("embedding 1", "embedding 2")
"""The axes that bring alike crystals together."""


@dataclass(frozen=True, eq=False)
class CrystalEmbedding:
    """Crystals in two dimensions.

    Parameters
    ----------
    axes : DataFrame of shape (n, m)
        A row for each crystal. "embedding 1" and "embedding 2" have no unit: alike crystals stand together, and distances between
        groups mean little. "volume a site" is in Å³. The principal components of compositions (places on the modified Pettifor
        scale) and of geometries (mean distances to the first, second, … neighbour at equal volume, Å) have the share of the
        variance in their names.
    neighbors : ndarray of shape (n, k)
        Rows of the nearest other crystals, nearest first.
    dissimilarities : ndarray of shape (n, k)
        How unlike these are.
    """

    axes: pd.DataFrame
    neighbors: NDArray[np.int64]
    dissimilarities: NDArray[np.float64]


def embed_crystals(
    X: Any,
    dissimilarity: CrystalDissimilarity | None = None,
    *,
    n_neighbors: int = 15,
    random_state: int = 0,
    n_jobs: int | None = None,
    pbar: bool = False,
) -> CrystalEmbedding:
    """Lay crystals out in two dimensions, so that alike ones stand together.

    The nearest neighbours of all crystals are found exactly, and UMAP lays out the graph that they make, from compositions and
    geometries on. Where each crystal is a neighbour of each other one, the layout is classical scaling of all dissimilarities
    instead, which is exact as far as two dimensions allow.

    Parameters
    ----------
    X : structures, as a list, tuple, array, Series, one-column DataFrame or CrystalTable
    dissimilarity : CrystalDissimilarity, optional
        ``CrystalDissimilarity(resolution="sites")`` by default. With `scale_volume` the size of the lattices doesn't matter.
    n_neighbors : int, default 15
        Neighbours of each crystal; fewer where there are fewer crystals.
    random_state : int, default 0
        Seed of UMAP. The result is the same for the same seed.
    n_jobs : int, optional
        Number of threads of the search; see :func:`~matminer_grid._threads.n_threads`.
    pbar : bool, default False
        Whether the search shows a progress bar.

    Returns
    -------
    CrystalEmbedding

    Raises
    ------
    ImportError
        umap-learn is not installed.
    TypeError, ValueError
        There is no crystal, or one can't be described.

    References
    ----------
    L. McInnes, J. Healy and J. Melville, 1802.03426 (UMAP).

    Examples
    --------
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> from matminer_grid.similarity import embed_crystals
    >>> data = load_mp_elasticity_table()
    >>> salts = data.crystals[[data.material_id.tolist().index(name) for name in ("mp-22862", "mp-23193", "mp-2657")]]
    >>> embedding = embed_crystals(salts)  # NaCl, KCl and rutile
    >>> embedding.neighbors[:, 0], embedding.axes["volume a site (Å³)"].round(1).tolist()
    (array([1, 0, 0]), [23.0, 32.5, 10.7])
    """
    check_whole("n_neighbors", n_neighbors, low=2)
    crystals = structures_as_table(X)
    if len(crystals) == 0:
        raise ValueError("there is no crystal: a map needs at least one")
    search = EMDSearch(CrystalDissimilarity(resolution="sites") if dissimilarity is None else dissimilarity, n_jobs=n_jobs)
    search.fit(crystals)
    axes = meaningful_axes(crystals)
    k = min(n_neighbors, len(crystals) - 1)
    neighbors, distances = np.empty((1, 0), np.int64), np.empty((1, 0))
    if k:
        distances, neighbors = search.kneighbors(n_neighbors=k, pbar=pbar)
    if k == len(crystals) - 1:
        together = classical_scaling(search.dissimilarity_.pairwise(search.references_, n_jobs=n_jobs))
    else:
        together = _umap(neighbors, distances, axes, random_state)
    for place, name in enumerate(TOGETHER):
        axes.insert(place, name, together[:, place])
    return CrystalEmbedding(axes, neighbors, distances)


def meaningful_axes(crystals: CrystalTable) -> pd.DataFrame:
    """Give volumes a site, and principal components of compositions and of geometries at equal volume."""
    atoms = np.add.reduceat(crystals.site_occupancies, crystals.site_offsets[:-1])
    axes = {"volume a site (Å³)": np.abs(np.linalg.det(crystals.lattices)) / atoms}
    for name, vectors in (("composition", cumulative_fractions(crystals)), ("geometry", _mean_distances(crystals))):
        n = min(COMPONENTS, *vectors.shape)
        with np.errstate(invalid="ignore"):  # equal crystals have no variance to share
            fitted = PCA(n, svd_solver="full").fit(vectors)
        shares = np.nan_to_num(fitted.explained_variance_ratio_)
        components = fitted.transform(vectors)
        for place, share in enumerate(shares.tolist()):
            axes[f"{name} {place + 1} ({share:.0%} of the variance)"] = components[:, place]
    return pd.DataFrame(axes)


def _mean_distances(crystals: CrystalTable) -> NDArray[np.float64]:
    """Give the mean distances to the first, second, … neighbour at equal volume, clipped at the cutoff, in Å."""
    featurizer = GRIDFeaturizer()
    features = featurizer.featurize_sparse(scaled_to_common_volume(crystals), pbar=False)
    centers = featurizer.bin_size * (np.arange(featurizer.n_bins) + 0.5) - featurizer.cutoff
    below_cutoff = np.kron(np.eye(featurizer.n_groups), centers[:, None])
    return featurizer.cutoff + features @ below_cutoff


def classical_scaling(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lay points out in two dimensions by all their distances, shape (n, n): principal coordinates."""
    squares = distances**2
    centered = -0.5 * (squares - squares.mean(axis=0) - squares.mean(axis=1)[:, None] + squares.mean())
    values, vectors = np.linalg.eigh(centered)
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(values))])  # eigenvectors have none of their own
    coordinates = (vectors * signs * np.sqrt(np.maximum(values, 0)))[:, : -COMPONENTS - 1 : -1]
    return np.pad(coordinates, ((0, 0), (0, COMPONENTS - coordinates.shape[1])))


def _umap(
    neighbors: NDArray[np.int64], distances: NDArray[np.float64], axes: pd.DataFrame, random_state: int
) -> NDArray[np.float64]:
    n, k = neighbors.shape
    known = np.column_stack((np.arange(n), neighbors)), np.column_stack((np.zeros(n), distances)).astype(np.float32)
    values = axes.to_numpy()
    start = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9)
    first = start[:, [axes.columns.str.startswith(name).argmax() for name in ("composition", "geometry")]]
    first = (first + np.random.default_rng(random_state).normal(0, 0.001, first.shape)).astype(np.float32)  # equal ones apart
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # of parts that need more
        warnings.simplefilter("ignore", UserWarning)  # of what a graph alone is no good for: new points
        try:
            from umap import UMAP  # noqa: PLC0415  it takes seconds to load
        except ImportError as error:
            raise ImportError("a map needs umap-learn: pip install 'matminer-grid[explore]'") from error
        layout = UMAP(n_neighbors=k + 1, precomputed_knn=(*known, None), init=first, random_state=random_state, n_jobs=1)
        return np.asarray(layout.fit_transform(start), np.float64)
