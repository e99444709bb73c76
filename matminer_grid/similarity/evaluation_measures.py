"""The measures of a generated set, each with an interval and with what it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse

from matminer_grid.similarity.evaluation_coverage import find_coverage
from matminer_grid.similarity.evaluation_crystals import pair_dissimilarities
from matminer_grid.similarity.evaluation_distributions import (
    SPACE_GROUPS,
    densities,
    jensen_shannon,
    numbers_of_elements,
    space_groups,
    volumes_per_atom,
    wasserstein,
)
from matminer_grid.similarity.evaluation_known import points_of
from matminer_grid.similarity.evaluation_sets import (
    draw_counts,
    half_interval,
    percentiles,
    permutation_test,
    share_interval,
    split_weights,
    squared_mmd,
    transport_distance,
    vendi_score,
)
from matminer_grid.similarity.evaluation_settings import Measure
from matminer_grid.similarity.search import EMDSearch

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from matminer_grid.crystals.table import CrystalTable
    from matminer_grid.similarity.described import DescribedCrystals
    from matminer_grid.similarity.dissimilarity import CrystalDissimilarity
    from matminer_grid.similarity.evaluation_known import KnownCrystals
    from matminer_grid.similarity.evaluation_settings import EvaluationSettings, Shares

ALIKE_RADIUS = 9.0
"""Dissimilarity beyond which exp(-D), about 1e-4, counts as 0 in the Vendi score, whose logarithm changes by its square."""

DENSE = 2000
"""Crystals whose similarities are held as a full matrix, at most, and all its eigenvalues computed."""

MOST_ALIKE = 2_000_000
"""Similarities above 0 that are looked for, about: where many crystals are alike, fewer are taken."""

HALVES = 50
"""Draws of halves for an interval."""


def share_measures(frame: pd.DataFrame, shares: Shares, settings: EvaluationSettings) -> list[Measure]:
    r"""Give the shares of valid, unique and novel crystals and of those that are several of these.

    Uniqueness counts groups: it is their number over that of the crystals, the mean of 1 / size of a crystal's group, and so with
    all that holds "unique": a group counts once if it has a crystal that is all the rest.

    The continuous novelty is :math:`\frac{1}{n} \sum_i d_i / (1 + d_i)` with the dissimilarity :math:`d_i` to the nearest known
    crystal: after the idea of arXiv 2510.12405, with the site dissimilarity mapped to [0, 1).
    """
    groups, valid, novel = frame["group"].to_numpy(), frame["valid"].to_numpy(bool), frame["novel"].to_numpy(bool)
    every = np.ones(len(frame), np.bool_)
    nearest = frame["dissimilarity"].to_numpy(np.float64)
    measures = [
        shares.mean("valid", valid),
        shares.mean("charge_balanced", frame["charge"] != "unbalanced"),
        shares.mean("unique", _once(groups, every)),
        shares.mean("novel", novel),
        shares.mean("continuous_novelty", nearest / (1 + nearest)),
        shares.mean("nearest_dissimilarity", nearest),
        shares.mean("unique_novel", _once(groups, novel)),
        shares.mean("valid_unique_novel", _once(groups, novel & valid)),
    ]
    if "energy_above_hull" in frame:
        energies = frame["energy_above_hull"].to_numpy(np.float64)
        for kind, limit in (("stable", settings.stable), ("metastable", settings.metastable)):
            within = energies <= limit  # nan is neither
            measures += [shares.mean(kind, within), shares.mean(f"{kind}_unique_novel", _once(groups, within & novel))]
            measures.append(shares.mean(f"valid_{kind}_unique_novel", _once(groups, within & novel & valid)))
    return measures


def _once(groups: NDArray[np.int64], chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give the chosen crystals of each group weights of the sum 1, and the others 0."""
    sizes = np.bincount(groups, weights=chosen)[groups]
    return np.divide(chosen, sizes, out=np.zeros(len(groups)), where=chosen)


def own_measures(
    described: DescribedCrystals,
    dissimilarity: CrystalDissimilarity,
    settings: EvaluationSettings,
    rng: np.random.Generator,
    n_jobs: int | None = None,
) -> list[Measure]:
    r"""Give measures of the generated set alone: the continuous uniqueness and the Vendi score.

    The continuous uniqueness is :math:`\frac{1}{n (n - 1)} \sum_{i \ne j} d_{ij} / (1 + d_{ij})`, after arXiv 2510.12405, over
    all pairs, of the site dissimilarity mapped to [0, 1); of a random sample of pairs where there are more than `n_pairs`.

    The Vendi score's kernel is exp(-D). Of more than `vendi_sample` crystals a random sample of that size is taken, and a smaller
    one, of no less than 2,000, where so many are alike that more than some 2,000,000 similarities would be computed; "vendi_share"
    is the score over the number of crystals that it was computed from.
    """
    n = len(described)
    if n < 2:
        return []
    first, second = _pairs(n, settings.n_pairs, rng)
    apart = pair_dissimilarities(described, described, dissimilarity, (first, second), n_jobs)
    apart /= 1 + apart
    total = n * (n - 1) // 2
    of_pairs = f"all {total} pairs" if len(first) == total else f"{len(first)} random pairs of {total}"

    def mean_of(rows: NDArray[np.int64]) -> float:
        inside = np.zeros(n, np.bool_)
        inside[rows] = True
        both = inside[first] & inside[second]
        return float(apart[both].mean()) if both.any() else np.nan

    draws = HALVES, settings.confidence
    interval = half_interval(float(apart.mean()), mean_of, (n,), draws, rng)
    basis = "; halves of the generated are drawn"
    uniqueness = Measure("continuous_uniqueness", float(apart.mean()), *interval, of_pairs + basis)
    rows, kernel = sampled_kernel(described, dissimilarity, settings.vendi_sample, rng, n_jobs)
    score = vendi_score(kernel)
    low, high = half_interval(np.log(score), lambda half: np.log(vendi_score(kernel[np.ix_(half, half)])), (len(rows),), draws, rng)
    basis = f"{sample_text(len(rows), n, 'generated')}{basis}"
    share = Measure("vendi_share", score / len(rows), np.exp(low) / len(rows), np.exp(high) / len(rows), basis)
    return [uniqueness, Measure("vendi", score, float(np.exp(low)), float(np.exp(high)), basis), share]


def sampled_kernel(
    described: DescribedCrystals,
    dissimilarity: CrystalDissimilarity,
    most: int,
    rng: np.random.Generator,
    n_jobs: int | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64] | scipy.sparse.csr_array]:
    """Give the rows of at most so many crystals, and exp(-D) of all their pairs: a sparse matrix above 2,000."""
    rows = sample_rows(len(described), min(most, DENSE), rng)
    kernel = alike(described[rows], dissimilarity, n_jobs)
    n = min(len(described), most)
    if n > DENSE:
        density = np.count_nonzero(kernel) / kernel.size
        n = min(n, max(DENSE, int(np.sqrt(MOST_ALIKE / density))))
        rows = sample_rows(len(described), n, rng)
        kernel = alike(described[rows], dissimilarity, n_jobs)
    return rows, kernel


def alike(
    described: DescribedCrystals, dissimilarity: CrystalDissimilarity, n_jobs: int | None = None
) -> NDArray[np.float64] | scipy.sparse.csr_array:
    """Give exp(-D) of all pairs, shape (n, n), 0 where D is above 9; sparse for more than 2,000 crystals."""
    n = len(described)
    distances, found = EMDSearch(dissimilarity, n_jobs=n_jobs).fit(described).radius_neighbors(radius=ALIKE_RADIUS)
    rows = np.repeat(np.arange(n), [len(one) for one in found])
    similarities = np.exp(-np.concatenate(distances)), (rows, np.concatenate(found))
    kernel = scipy.sparse.csr_array(similarities, shape=(n, n)) + scipy.sparse.eye_array(n, format="csr")
    return kernel if n > DENSE else kernel.toarray()


def _pairs(n: int, most: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give all pairs of n things, or as many random ones."""
    if n * (n - 1) // 2 <= most:
        first, second = np.triu_indices(n, 1)
        return first.astype(np.int64), second.astype(np.int64)
    first = rng.integers(n, size=most)
    return first, (first + rng.integers(1, n, size=most)) % n


def sample_rows(n: int, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Give all n rows, or as many random ones, ascending."""
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))


def sample_text(size: int, n: int, noun: str) -> str:
    """Say how many of n were taken."""
    return f"all {n} {noun}" if size == n else f"{size} random {noun} of {n}"


def known_measures(
    crystals: CrystalTable,
    described: DescribedCrystals,
    known: KnownCrystals,
    settings: EvaluationSettings,
    shares: Shares,
    rng: np.random.Generator,
    *,
    n_jobs: int | None = None,
    pbar: bool = False,
) -> list[Measure]:
    r"""Give measures of both sets: coverage both ways, transport and MMD.

    Recall (COV-R) is the share of the known crystals that have a generated one near them, precision (COV-P) that of the generated
    that have a known one near them, as CDVAE has it (arXiv 2110.06197): by the mean distances to the first, second, ... neighbour,
    by composition, and by both at once; see :func:`find_coverage`.

    The transport distance is the earth mover's distance of both sets over D. MMD has the kernel exp(-D / s), with the median s of
    D between the sets; its p-value is that of random splits of both sets, and "mmd_of_one" their root mean square: what two samples
    of one distribution are apart. All three are of random samples of `sample` crystals.
    """
    radii = settings.structure_radius, settings.composition_radius
    found = find_coverage(points_of(crystals, described), known.points(), len(known), radii, n_jobs=n_jobs, pbar=pbar)
    measures = []
    for name in found.known:
        share = float(found.known[name].mean())
        interval = share_interval(share, len(known), settings.n_bootstrap, settings.confidence, rng)
        measures.append(Measure(f"recall_{name}", share, *interval, f"all {len(known)} known; they are resampled"))
        measures.append(shares.mean(f"precision_{name}", found.generated[name]))
    rows = sample_rows(len(described), settings.sample, rng)
    others = sample_rows(len(known), settings.sample, rng)
    both = known.dissimilarity.pairwise(
        type(described).concatenate([described[rows], known.described(others)]), n_jobs=n_jobs, pbar=pbar
    )
    n = len(rows)
    own = f"{sample_text(n, len(described), 'generated')}, {sample_text(len(others), len(known), 'known')}"
    return measures + distance_measures(both, n, own, settings, rng)


def distance_measures(
    both: NDArray[np.float64], n: int, basis: str, settings: EvaluationSettings, rng: np.random.Generator
) -> list[Measure]:
    """Give transport distance and MMD from the dissimilarities of n generated crystals and those of known ones behind them."""
    between, m = both[:n, n:], len(both) - n
    draws, sizes = (HALVES, settings.confidence), (n, m)
    halves = f"{basis}; halves of both are drawn"
    transport = transport_distance(between)
    interval = half_interval(transport, lambda a, b: transport_distance(between[np.ix_(a, b)]), sizes, draws, rng)
    measures = [Measure("transport", transport, *_above_zero(interval), halves)]
    scale = float(np.median(between))
    kernel = np.exp(-both / scale) if scale > 0 else (both == 0).astype(np.float64)
    squared = float(squared_mmd(kernel, n)[0])

    def of_halves(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
        weights = np.zeros(len(both))
        weights[np.concatenate((a, n + b))] = split_weights(len(a), len(b))
        return float(squared_mmd(kernel, n, weights[None])[0])

    low, high = np.sqrt(_above_zero(half_interval(squared, of_halves, sizes, draws, rng))).tolist()
    p_value, splits = permutation_test(kernel, n, settings.n_permutations, rng)
    low_of_one, high_of_one = np.sqrt(percentiles(splits, settings.confidence)).tolist()
    splits_of = f"{basis}; {settings.n_permutations} random splits"
    return [
        *measures,
        Measure("mmd", float(np.sqrt(squared)), low, high, halves),
        Measure("mmd_of_one", float(np.sqrt(splits.mean())), low_of_one, high_of_one, splits_of),
        Measure("mmd_p_value", p_value, np.nan, np.nan, splits_of),
    ]


def _above_zero(interval: tuple[float, float]) -> tuple[float, float]:
    return float(np.maximum(interval[0], 0.0)), float(np.maximum(interval[1], 0.0))  # NaN stays


def distribution_measures(
    crystals: CrystalTable,
    known: KnownCrystals,
    settings: EvaluationSettings,
    shares: Shares,
    rng: np.random.Generator,
) -> list[Measure]:
    """Give how far the distributions of simple properties are apart.

    Volumes an atom (Å³), densities (g/cm³) and numbers of elements by their Wasserstein-1 distance, in their unit; numbers of
    elements and space groups by their Jensen-Shannon divergence in bits, the latter of random samples of `space_group_sample`
    crystals. Resampling lifts such distances, so their spread about the mean is moved to the value.
    """
    measures = []

    def add(name: str, values: NDArray[np.float64], basis: str) -> None:
        interval = percentiles(values[0] + values[1:] - values[1:].mean(), settings.confidence)
        measures.append(Measure(name, float(values[0]), *_above_zero(interval), basis))

    counts = np.vstack((np.ones_like(shares.counts[:1]), shares.counts))
    basis = f"all {len(crystals)} generated, all {len(known)} known; the generated are resampled"
    simple = {"volume_per_atom": volumes_per_atom, "density": densities, "n_elements": numbers_of_elements}
    of_blocks = [[of(block) for of in simple.values()] for block in known.blocks()]
    for (name, of), parts in zip(simple.items(), zip(*of_blocks, strict=True), strict=True):
        values, others = of(crystals), np.concatenate(parts)
        add(f"wasserstein_{name}", wasserstein(values, others, counts), basis)
    n_bins = int(max(values.max(), others.max())) + 1
    add("jensen_shannon_n_elements", jensen_shannon(values, others, n_bins, counts), basis)
    rows, chosen = (sample_rows(len(some), settings.space_group_sample, rng) for some in (crystals, known))
    groups, of_known = (space_groups(some) for some in (crystals[rows], known.take(chosen)))
    drawn = draw_counts(len(rows), settings.n_bootstrap, rng)
    counts = np.vstack((np.ones_like(drawn[:1]), drawn))
    own = f"{sample_text(len(rows), len(crystals), 'generated')}, {sample_text(len(chosen), len(known), 'known')}"
    divergence = jensen_shannon(groups, of_known, SPACE_GROUPS + 1, counts)
    add("jensen_shannon_space_group", divergence, f"{own}; the generated are resampled")
    return measures
