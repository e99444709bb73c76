"""One property as a process has learned it from features: weights of the distances, noise, calibrated intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matminer_grid._threads import Parts
from matminer_grid.models._calibration import Calibration, optimism
from matminer_grid.models._distances import feature_scales
from matminer_grid.models.local import LEAF, LocalProcess
from matminer_grid.models.process import ROUGH, LaplacianProcess, padded_width
from matminer_grid.models.search import SMOOTH_MOST, SMOOTH_PARTS, searches, smooth_part, tune

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from matminer_grid.models._distances import Blocks

    FloatArray = NDArray[np.float64]
    SingleArray = NDArray[np.float32]
    IntArray = NDArray[np.int64]

START_NOISE = 0.02

PRIOR = 3.4
"""Strength of the prior that keeps weights where they start, over the number of crystals in the search; of errors in units of the
typical deviation from the median."""

MINIMUM_SAMPLES = 20
"""Training crystals needed."""

LARGE = 20_000
"""Training crystals above which each prediction is made from the nearest ones alone."""

UNSEEN = 0.25
"""Variance that an element leaves which no other crystal holds, for a share of 1 of the species; relative as all variances are."""

FEWEST = 30
"""Errors of a kind that are calibrated by themselves."""

SAME = 1e-9
"""Relative difference of features below which two crystals are the same one, in other cells perhaps."""

CHUNK = 1024
"""Crystals that are projected at once."""


@dataclass(frozen=True)
class Settings:
    """How a property is learned; the parameters of the models say what each means."""

    tune_samples: int
    tune_iterations: int
    robust_rounds: int
    n_local: int
    random_state: int
    n_jobs: int | None
    report: Callable[[str], None]

    def work(self, n: int) -> tuple[float, float]:
        """Estimate the operations, in thousands of millions, of the search and of the solution for n crystals."""
        asked = min(n, SMOOTH_MOST) if self.tune_iterations else 0
        planned = searches(min(n, self.tune_samples), self.tune_iterations)
        together = n if n <= LARGE else LEAF
        search = 2 * sum(sum(steps) * float(taken) ** 3 for taken, steps in planned) + (len(SMOOTH_PARTS) + 2) * float(asked) ** 3
        return 1e-9 * search, 1e-9 * (self.robust_rounds + 1) * n * float(together) ** 2


@dataclass(frozen=True, eq=False)
class Learned:
    """A property that has been learned: centre and scale of each feature, weights by block, and the process.

    The process knows each crystal with its value once, in an order that is that of their features; `places` (n,) tells which row of
    it each training crystal became. `calibration` is of leave-one-out errors of crystals that share their group with others, and
    `new_calibration` of errors where all of a group are left out.
    """

    centre: FloatArray
    scale: FloatArray
    weights: dict[str, float]
    process: LaplacianProcess | LocalProcess
    places: NDArray[np.int64]
    calibration: Calibration
    new_calibration: Calibration

    @classmethod
    def fit(
        cls,
        features: FloatArray,
        values: FloatArray,
        blocks: Blocks,
        settings: Settings,
        elements: SingleArray | None = None,
        groups: IntArray | None = None,
    ) -> Learned:
        """Learn the values of crystals from their features, each at its place.

        `elements` (n, n_elements) are the shares of the elements in the species of each crystal: where no other crystal holds one,
        a larger error is expected, which the calibration takes into account. `groups` (n,) are the numbers of the compositions.
        """
        rows, places = distinct(features, values)
        if len(rows) < MINIMUM_SAMPLES:
            raise ValueError(
                f"only {len(rows)} of the {len(values)} training crystals differ; at least {MINIMUM_SAMPLES} are needed"
            )
        features, values = features[rows], values[rows]
        random = np.random.default_rng(settings.random_state)
        work = Parts("learn", sum(settings.work(len(values))))
        settings.report("find the weights of the distances")
        centre = np.median(features, axis=0)
        features -= centre  # so that single precision is enough for features that hardly vary
        order = random.permutation(len(values))
        sample = order[: settings.tune_samples]
        with work.part(settings.work(len(values))[0]):
            scale, weights, noise = _search(features, values, blocks, settings, sample)
            vectors = _weighted(features, 0.0, scale)
            asked = order[:SMOOTH_MOST]
            smooth = smooth_part(vectors[asked], values[asked], noise, settings.n_jobs) if settings.tune_iterations else ROUGH
        settings.report(f"solve for {len(values)} crystals")
        raised = np.ones(len(values))
        raised[sample] = optimism(len(sample), settings.tune_iterations)
        options: dict[str, Any] = {"smooth": smooth, "rounds": settings.robust_rounds, "n_local": settings.n_local}
        options["n_jobs"] = settings.n_jobs
        with work.part(settings.work(len(values))[1]):
            if len(values) > LARGE:
                local = LocalProcess.fit(vectors, values, noise, **options)
                judged = np.isfinite(local.deviations)
                calibration = Calibration.of((raised * np.abs(local.residuals) / local.deviations)[judged], values)
                return cls(centre, scale, weights, local, places, calibration, calibration)
            groups = np.arange(len(values)) if groups is None else groups[rows]
            process = LaplacianProcess.fit(vectors, values, noise, groups=groups, **options)
        calibrations = _calibrations(process, raised, None if elements is None else elements[rows], groups)
        return cls(centre, scale, weights, process, places, *calibrations)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Training crystal that each row of the process stands for, the first of equal ones."""
        return np.unique(self.places, return_index=True)[1]

    @property
    def noise(self) -> FloatArray:
        """Variance of the noise of each training crystal, over that of the part of the process that is not smooth."""
        return self.process.noise[self.places]

    @property
    def residuals(self) -> FloatArray:
        """Value of each training crystal minus leave-one-out prediction."""
        return self.process.residuals[self.places]

    def vectors(self, features: FloatArray) -> NDArray[np.float32]:
        """Weight features, so that Manhattan distances are those of the process."""
        return _weighted(features, self.centre, self.scale)

    def half_widths(self, variances: FloatArray, coverage: float, new: NDArray[np.bool_]) -> FloatArray:
        """Give half the widths of intervals that hold the value with a probability, from the variances of the process.

        `new` tells the crystals of which the process knows none of their group.
        """
        factors = [known.factor(coverage) for known in (self.calibration, self.new_calibration)]
        return np.where(new, factors[1], factors[0]) * np.sqrt(variances)


def _weighted(features: FloatArray, centre: FloatArray | float, scale: FloatArray) -> NDArray[np.float32]:
    """Centre and scale features, few crystals at a time, and fill them up with zeros."""
    n, width = features.shape
    out = np.zeros((n, padded_width(width)), np.float32)
    for start in range(0, n, CHUNK):
        out[start : start + CHUNK, :width] = (features[start : start + CHUNK] - centre) * scale
    return out


def _calibrations(
    process: LaplacianProcess, raised: FloatArray, elements: SingleArray | None, groups: IntArray
) -> tuple[Calibration, Calibration]:
    """Learn what errors are like for crystals of a group of which others are known, and for those of a new one."""
    n = len(groups)
    alone = raised * _ratios(process.residuals, process.deviations, elements, np.arange(n))
    together = raised * _ratios(process.group_residuals, process.group_deviations, elements, groups)
    shared, judged = np.bincount(groups)[groups] > 1, np.isfinite(together)
    known = alone[shared] if shared.sum() >= FEWEST else alone
    new = together[judged] if judged.sum() >= min(FEWEST, n) else alone
    return Calibration.of(known, process.targets), Calibration.of(new, process.targets)


def _ratios(residuals: FloatArray, deviations: FloatArray, elements: SingleArray | None, groups: IntArray) -> FloatArray:
    """Give sizes of errors over deviations, to which an element adds that no other group of crystals holds."""
    variances = deviations**2
    if elements is not None:
        held = np.zeros((groups.max() + 1, elements.shape[1]), bool)
        np.logical_or.at(held, groups, elements > 0)
        variances += UNSEEN * elements[:, held.sum(axis=0) == 1].sum(axis=1)
    return np.abs(residuals) / np.sqrt(variances)


def distinct(features: FloatArray, values: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order crystals by their features, whatever the order they come in, and take those with the same features and value once.

    Gives the rows that are kept, in order, and for each crystal its place among them.
    """
    direction = np.random.default_rng(0).normal(size=features.shape[1])
    starts = range(0, len(features), CHUNK)
    along = np.concatenate([(features[start : start + CHUNK] * direction).sum(axis=1) for start in starts])
    order = np.argsort(along, kind="stable")
    same = np.diff(along[order], prepend=-np.inf) <= SAME * np.abs(along).max()
    for i in np.nonzero(same)[0]:
        same[i] = np.allclose(features[order[i]], features[order[i - 1]], rtol=SAME, atol=SAME)
    crystal = np.cumsum(~same)
    by_value = np.lexsort((values[order], crystal))
    order, crystal = order[by_value], crystal[by_value]
    first = np.append(True, (np.diff(crystal) > 0) | (np.diff(values[order]) > 0))
    places = np.empty(len(order), np.int64)
    places[order] = np.cumsum(first) - 1
    return order[first], places


def _search(
    features: FloatArray, values: FloatArray, blocks: Blocks, settings: Settings, sample: NDArray[np.int64]
) -> tuple[FloatArray, dict[str, float], float]:
    """Find the scale of each feature, and in a sample the weights of the blocks, and the noise."""
    scale = feature_scales(features, blocks, np.random.default_rng(settings.random_state))
    found, noise = blocks.start, START_NOISE
    for taken, steps in searches(len(sample), settings.tune_iterations):
        part = sample[:taken]
        found, noise = tune(
            (features[part] * scale).astype(np.float32),
            values[part],
            list(blocks.weighted.values()),
            found,
            noise,
            steps=steps,
            prior=PRIOR / taken,
            n_jobs=settings.n_jobs,
        )
    weights = dict(zip(blocks.weighted, found.tolist(), strict=True))
    for name, block in blocks.weighted.items():
        scale[block] *= weights[name]
    return scale, weights, noise
