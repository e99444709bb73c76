"""Crystals as the site dissimilarity compares them, and their matrix of dissimilarities."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from matminer_grid._threads import in_threads, n_threads, new_flag, with_progress
from matminer_grid.crystals.elements import MODIFIED_PETTIFOR, MODIFIED_PETTIFOR_ELEMENTS, species_symbol
from matminer_grid.kernels.environments import PROBLEMS, Environments, environments_batch
from matminer_grid.kernels.sites import SiteWeights, mean_environments, site_dissimilarities

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from matminer_grid.crystals.table import CrystalTable

COMMON_VOLUME = 17.0
"""Å³ a site that crystals are scaled to, the median of the embedded ones."""

CHUNK_SITES = 512
"""Sites whose environments are found in one go by a thread."""


def scaled_to_common_volume(crystals: CrystalTable) -> CrystalTable:
    """Scale crystals to one volume a site, weighted with occupancies."""
    species = np.diff(crystals.species_offsets)
    atoms = np.bincount(np.repeat(np.arange(len(crystals)), species), crystals.occupancies, len(crystals))
    factors = np.cbrt(COMMON_VOLUME * atoms / np.abs(np.linalg.det(crystals.lattices)))
    return replace(crystals, lattices=crystals.lattices * factors[:, None, None])


@dataclass(frozen=True, eq=False)
class Sites:
    """The distinct points of N crystals and what each of them sees.

    Sizes and values of :class:`~matminer_grid.kernels.environments.Environments`, whose offsets follow from the sizes.

    Parameters
    ----------
    n_groups : int
        Neighbours of a site whose distances count.
    graded : bool
        Whether elements stand on a scale; otherwise they are the same or not.
    n_points, whole, n_elements : ndarray of shape (N,)
        Of each crystal.
    masses, species, n_steps, n_times : ndarray of shape (P,)
        Of each point.
    distances, counts, places, times, shares, means : ndarray
        What the sizes count; `counts` of those points only whose neighbours may count less than 1.
    """

    n_groups: int
    graded: bool
    n_points: NDArray[np.int64]
    whole: NDArray[np.bool_]
    n_elements: NDArray[np.int64]
    masses: NDArray[np.float64]
    species: NDArray[np.int64]
    n_steps: NDArray[np.int64]
    n_times: NDArray[np.int64]
    distances: NDArray[np.float64]
    counts: NDArray[np.float64]
    places: NDArray[np.float64]
    times: NDArray[np.float64]
    shares: NDArray[np.float64]
    means: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.n_points)

    def __getitem__(self, rows: NDArray[np.int64]) -> Sites:
        env = self.environments
        points = _ranges(env.points, rows)
        partial = points[env.counts_from[points] > 0]
        columns = self._n_columns
        return Sites(
            self.n_groups,
            self.graded,
            self.n_points[rows],
            self.whole[rows],
            self.n_elements[rows],
            self.masses[points],
            self.species[points],
            self.n_steps[points],
            self.n_times[points],
            self.distances[_ranges(env.steps, points)],
            env.counts[_spans(env.counts_from[partial], self.n_steps[partial])],
            self.places[_ranges(env.elements, rows)],
            self.times[_ranges(env.balls, points)],
            self.shares[_spans(env.shares_from[points], (self.n_times[points] - 1) * columns[points])],
            self.means[_spans(env.means_from[points], columns[points])],
        )

    @classmethod
    def concatenate(cls, parts: Iterable[Sites]) -> Sites:
        """Stack the sites of crystals that were described in one way."""
        parts = list(parts)
        names = [field.name for field in fields(cls)][2:]
        arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
        return cls(parts[0].n_groups, parts[0].graded, *arrays)

    @classmethod
    def from_crystals(
        cls, crystals: CrystalTable, elements: str, *, cutoff: float, n_groups: int, n_jobs: int | None = None
    ) -> tuple[Sites, NDArray[np.int64]]:
        """Describe valid crystals; gives also the point of each species, counted from 0 in each crystal."""
        codes, graded = _places(crystals, elements), elements != "identity"
        species = _species_offsets(crystals)
        bounds = np.searchsorted(crystals.site_offsets, np.arange(0, crystals.site_offsets[-1], CHUNK_SITES))
        bounds = np.unique(np.append(bounds[bounds < len(crystals)], len(crystals)))

        def describe(chunk: tuple[int, int]) -> Any:
            rows = slice(*chunk)
            sites = crystals.site_offsets[chunk[0] : chunk[1] + 1]
            own = species[sites[0] : sites[-1] + 1]
            return environments_batch(
                crystals.lattices[rows],
                sites - sites[0],
                crystals.frac_coords[sites[0] : sites[-1]],
                own - own[0],
                codes[own[0] : own[-1]],
                crystals.occupancies[own[0] : own[-1]],
                (n_groups, float(cutoff), graded),
            )

        chunks = list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)) or [(0, 0)]
        parts = list(in_threads(describe, chunks, n_threads(n_jobs), new_flag()))
        status, owners, *arrays = (np.concatenate(part) for part in zip(*parts, strict=True))
        for row in np.nonzero(status)[0][:1].tolist():
            raise ValueError(f"row {row} ({crystals[row].formula}): {PROBLEMS[status[row]]}")
        return cls(n_groups, graded, *arrays), owners

    @property
    def _n_columns(self) -> NDArray[np.int64]:
        """Number of columns of the shares of each point."""
        return np.repeat(self.n_elements - self.graded, self.n_points)

    @cached_property
    def environments(self) -> Environments:
        """What the kernels read."""
        whole_point = np.repeat(self.whole, self.n_points)
        own_counts = self.n_groups + _offsets(np.where(whole_point, 0, self.n_steps))[:-1]
        return Environments(
            points=_offsets(self.n_points),
            masses=self.masses,
            species=self.species,
            whole=self.whole,
            steps=_offsets(self.n_steps),
            distances=self.distances,
            counts_from=np.where(whole_point, 0, own_counts),
            counts=np.concatenate((np.arange(1.0, self.n_groups + 1), self.counts)),
            elements=_offsets(self.n_elements),
            places=self.places,
            balls=_offsets(self.n_times),
            times=self.times,
            shares_from=_offsets((self.n_times - 1) * self._n_columns)[:-1],
            shares=self.shares,
            means_from=_offsets(self._n_columns)[:-1],
            means=self.means,
        )

    @cached_property
    def averages(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean distance at each rank, in Å, and mean surroundings, whose Manhattan distances bound those of the points."""
        by_rank = np.empty((len(self), self.n_groups))
        around = np.empty((len(self), len(MODIFIED_PETTIFOR_ELEMENTS)))
        mean_environments(self.environments, self.graded, by_rank, around)
        return by_rank, around


def _places(crystals: CrystalTable, elements: str) -> NDArray[np.float64]:
    """Place of every species on the scale."""
    if elements == "none":
        return np.zeros(len(crystals.numbers))
    present, which = np.unique(crystals.numbers, return_inverse=True)
    symbols = [species_symbol(number) for number in present.tolist()]
    places = np.array([MODIFIED_PETTIFOR.get(symbol, 0) for symbol in symbols], dtype=np.float64)[which]
    for index in np.nonzero(places == 0)[0][:1].tolist():
        row = int(np.searchsorted(crystals.species_offsets, index, side="right")) - 1
        raise ValueError(
            f"row {row} ({crystals[row].formula}): {species_symbol(int(crystals.numbers[index]))} has no place on the modified "
            "Pettifor scale, which holds the 103 elements to Lr; leave such crystals out, replace what is no element, or compare "
            'by elements="none"'
        )
    return places


def _species_offsets(crystals: CrystalTable) -> NDArray[np.int64]:
    """Where the species of every site begin, shape (S + 1,)."""
    site = crystals.site_index + np.repeat(crystals.site_offsets[:-1], np.diff(crystals.species_offsets))
    return _offsets(np.bincount(site, minlength=len(crystals.frac_coords)))


def _offsets(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes)))


def _spans(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """List the indices of spans of an array, one after the other."""
    return np.repeat(starts - _offsets(sizes)[:-1], sizes) + np.arange(sizes.sum())


def _ranges(offsets: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return _spans(offsets[rows], np.diff(offsets)[rows])


def site_matrix(
    a: Sites, b: Sites | None, weights: SiteWeights, *, n_jobs: int | None = None, pbar: bool = False
) -> NDArray[np.float64]:
    """Evaluate the site dissimilarities of all pairs of crystals, those of `a` with each other where `b` is None."""
    other = a if b is None else b
    out = np.zeros((len(a), len(other)))

    def fill(row: int) -> int:
        rows = np.arange(row + 1 if b is None else 0, out.shape[1])
        found = np.empty(len(rows))
        site_dissimilarities(a.environments, np.full(len(rows), row), other.environments, rows, weights, found)
        out[row, rows] = found
        if b is None:
            out[rows, row] = found
        return len(rows)

    total = len(out) * (len(out) - 1) // 2 if b is None else out.size
    bar = {"desc": "site dissimilarity", "total": total, "unit": "pair", "unit_scale": True, "delay": 2, "disable": not pbar}
    with_progress(fill, range(len(out)), n_jobs, bar)
    return out
