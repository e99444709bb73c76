"""What is said of each generated crystal: whether it is valid, the nearest known one with the parts of D, whether it is novel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.base import clone

from matminer_grid._threads import in_threads, n_threads, new_flag, progress_bar
from matminer_grid.crystals.composition import reduced_formula
from matminer_grid.kernels.sites import site_dissimilarities, site_plan
from matminer_grid.similarity.evaluation_checks import check_crystals
from matminer_grid.similarity.evaluation_distributions import densities, numbers_of_elements, volumes_per_atom
from matminer_grid.similarity.formulas import SAME_COMPOSITION, composition_keys
from matminer_grid.similarity.near_pairs import find_pairs
from matminer_grid.similarity.tolerance import CrystalPairs, DuplicateTolerance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matminer_grid.crystals.table import CrystalTable
    from matminer_grid.similarity.described import DescribedCrystals
    from matminer_grid.similarity.dissimilarity import CrystalDissimilarity
    from matminer_grid.similarity.evaluation_known import KnownCrystals

PAIRS_AT_ONCE = 512
"""Pairs that a thread evaluates in one go."""

AT_ONCE = 500
"""Generated crystals that are described, and their nearest known ones searched, in one go."""

MARGIN = 3.0
"""Of novel crystals it is told which tolerance makes them so, where one known crystal is within so many times the tolerance."""


def crystal_rows(
    crystals: CrystalTable,
    known: KnownCrystals,
    tolerance: DuplicateTolerance | float,
    *,
    n_jobs: int | None = None,
    pbar: bool = False,
) -> pd.DataFrame:
    """Say what there is to say of each generated crystal by itself.

    Parameters
    ----------
    crystals : CrystalTable
        N valid crystals, which the dissimilarity of the known ones can describe.
    known : KnownCrystals
    tolerance : DuplicateTolerance or float
        How far a known crystal of the same composition may be that makes a crystal known.

    Returns
    -------
    DataFrame
        N rows; :func:`evaluate_crystals` tells the columns.
    """
    properties = pd.DataFrame(
        {
            "formula": [reduced_formula(crystal) for crystal in crystals],
            "n_sites": crystals.n_sites,
            "n_elements": numbers_of_elements(crystals),
            "volume_per_atom": volumes_per_atom(crystals),
            "density": densities(crystals),
        }
    )
    starts = range(0, len(crystals), AT_ONCE)
    nearest = [pd.DataFrame()]
    with progress_bar(desc="nearest known crystals", total=len(crystals), disable=not pbar) as bar:
        for some in (crystals[start : start + AT_ONCE] for start in starts):
            nearest.append(nearest_known(some, known, n_jobs))
            bar.update(len(some))
    known.release()
    same = known_as(crystals, known, tolerance, n_jobs)
    known.release()
    return pd.concat([properties, check_crystals(crystals), pd.concat(nearest, ignore_index=True), same], axis=1)


def nearest_known(crystals: CrystalTable, known: KnownCrystals, n_jobs: int | None = None) -> pd.DataFrame:
    """Find the nearest known crystal of each, with the parts of the dissimilarity."""
    described = known.dissimilarity.describe(crystals, n_jobs=n_jobs)
    distances, rows = known.search.kneighbors(described, 1)
    distances, rows = distances[:, 0], rows[:, 0]
    others = known.take(rows)
    dissimilarity = known.dissimilarity
    geometry, elements, surroundings = plan_parts(described, known.described(rows), dissimilarity).T
    return pd.DataFrame(
        {
            "nearest": known.ids_of(rows),
            "nearest_formula": [reduced_formula(crystal) for crystal in others],
            "dissimilarity": distances,
            "distances": geometry,
            "elements": elements,
            "surroundings": surroundings,
            "volume_ratio": volumes_per_atom(others) / volumes_per_atom(crystals),
            "at_equal_volume": at_equal_volume(crystals, others, dissimilarity, n_jobs),
        }
    )


def plan_parts(a: DescribedCrystals, b: DescribedCrystals, dissimilarity: CrystalDissimilarity) -> NDArray[np.float64]:
    """Split the dissimilarities of crystals in equal rows: distances (Å), elements and surroundings, shape (n, 3)."""
    weights = dissimilarity.site_weights
    out = np.empty((len(a), 3))
    for row in range(len(a)):
        _, plan, parts = site_plan(a.sites.environments, row, b.sites.environments, row, weights)
        out[row] = (plan * parts).sum(axis=(1, 2))
    return out


def at_equal_volume(
    a: CrystalTable, b: CrystalTable, dissimilarity: CrystalDissimilarity, n_jobs: int | None = None
) -> NDArray[np.float64]:
    """Evaluate the dissimilarities of crystals in equal rows, at one volume a site, shape (n,)."""
    scaled = clone(dissimilarity).set_params(scale_volume=True)
    return pair_dissimilarities(scaled.describe(a, n_jobs=n_jobs), scaled.describe(b, n_jobs=n_jobs), scaled, n_jobs=n_jobs)


def pair_dissimilarities(
    a: DescribedCrystals,
    b: DescribedCrystals,
    dissimilarity: CrystalDissimilarity,
    pairs: tuple[NDArray[np.int64], ...] = (),
    n_jobs: int | None = None,
) -> NDArray[np.float64]:
    """Evaluate the dissimilarities of pairs of crystals, by default those in equal rows, shape (n_pairs,)."""
    rows, others = pairs or (np.arange(len(a)), np.arange(len(a)))
    own, known, weights = a.sites.environments, b.sites.environments, dissimilarity.site_weights
    out = np.empty(len(rows))

    def fill(start: int) -> None:
        some = slice(start, start + PAIRS_AT_ONCE)
        site_dissimilarities(own, rows[some], known, others[some], weights, out[some])

    for _ in in_threads(fill, range(0, len(rows), PAIRS_AT_ONCE), n_threads(n_jobs), new_flag()):
        pass
    return out


def known_as(
    crystals: CrystalTable, known: KnownCrystals, tolerance: DuplicateTolerance | float, n_jobs: int | None = None
) -> pd.DataFrame:
    """Find the known crystal that each is the same as, of several the nearest, None for novel ones; and which tolerance decided."""
    pairs = pairs_with_known(crystals, known, tolerance, n_jobs)
    pairs = pairs[np.argsort(pairs.ratios, kind="stable")]
    rows, first = np.unique(pairs.rows[:, 0], return_index=True)  # the nearest of each
    nearest = pairs[first]
    decided, names = (np.full(len(crystals), None, dtype=object) for _ in range(2))
    decided[rows] = nearest.decided_by
    names[rows[nearest.within]] = known.ids_of(nearest.rows[nearest.within, 1])
    return pd.DataFrame({"known_as": names, "novel": [name is None for name in names], "decided_by": decided})


def pairs_with_known(
    crystals: CrystalTable, known: KnownCrystals, tolerance: DuplicateTolerance | float, n_jobs: int | None = None
) -> CrystalPairs:
    """Find the known crystals of the composition of each within three times a tolerance."""
    if isinstance(tolerance, DuplicateTolerance):
        return find_pairs(crystals, known.keyed, tolerance, margin=MARGIN, n_jobs=n_jobs)
    distances, found = known.search.radius_neighbors(crystals, MARGIN * tolerance)
    queries = np.repeat(np.arange(len(crystals)), [len(rows) for rows in found])
    rows = np.concatenate([np.empty(0, np.int64), *found])
    apart = np.abs(composition_keys(crystals)[queries] - composition_keys(known.take(rows)))
    same = (apart <= SAME_COMPOSITION).all(axis=1)
    parts = np.concatenate([np.empty(0), *distances])[:, None]
    return CrystalPairs(np.stack((queries, rows), axis=1)[same], parts[same], tolerance)
