"""Generated crystals against known ones: what is said of each, and of the set."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matminer_grid.crystals.inputs import as_crystals
from matminer_grid.similarity.duplicates import find_duplicates
from matminer_grid.similarity.evaluation_crystals import crystal_rows
from matminer_grid.similarity.evaluation_known import KnownCrystals, describe_valid
from matminer_grid.similarity.evaluation_measures import distribution_measures, known_measures, own_measures, share_measures
from matminer_grid.similarity.evaluation_settings import EvaluationSettings, Shares
from matminer_grid.similarity.tolerance import DuplicateTolerance, checked_tolerance, limits_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from matminer_grid.crystals.table import CrystalTable
    from matminer_grid.similarity.dissimilarity import CrystalDissimilarity
    from matminer_grid.similarity.evaluation_settings import Measure


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A generated set against known crystals.

    Parameters
    ----------
    crystals : DataFrame
        A row for each generated crystal that could be compared; :func:`evaluate_crystals` tells the columns.
    measures : DataFrame
        Rows named by measure, with the columns `value`, `low` and `high` (NaN without an interval) and `basis`: what it was
        computed from, and what was resampled.
    n_known : int
        Number of known crystals.
    tolerance : DuplicateTolerance or float
        How far two crystals of one composition may be apart that count as the same.
    settings : EvaluationSettings
    errors : dict of int to str
        Generated crystals that could not be compared, by row, and why.
    """

    crystals: pd.DataFrame
    measures: pd.DataFrame
    n_known: int
    tolerance: DuplicateTolerance | float
    settings: EvaluationSettings
    errors: dict[int, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Give the measures and settings as plain dicts and numbers, ready for JSON; None for what is not a number."""
        measures = {
            name: {column: _plain(value) for column, value in row.items()} for name, row in self.measures.to_dict("index").items()
        }
        counts = {"generated": len(self.crystals) + len(self.errors), "evaluated": len(self.crystals), "known": self.n_known}
        tolerance = {name: _plain(limit) for name, limit in limits_of(self.tolerance).items()}
        return counts | {"tolerance": tolerance, "settings": asdict(self.settings), "measures": measures}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def evaluate_crystals(
    generated: Any,
    reference: Any = None,
    *,
    tolerance: DuplicateTolerance | float | None = None,
    energy_above_hull: ArrayLike | None = None,
    dissimilarity: CrystalDissimilarity | None = None,
    settings: EvaluationSettings | None = None,
    n_jobs: int | None = None,
    pbar: bool = False,
) -> Evaluation:
    """Evaluate generated crystals against known ones: each by itself, with the nearest known crystal as evidence, and the set.

    Of each crystal: `name` (its row), reduced `formula`, `n_sites`, `n_elements`, `volume_per_atom` (Å³), `density` (g/cm³);
    whether it is `valid`, `why_not`, and its `charge` (:func:`check_crystals`); the id of the `nearest` known crystal,
    `nearest_formula`, their `dissimilarity` and its parts, differences of `distances` (Å), `elements` and `surroundings`, their
    `volume_ratio`, and the dissimilarity `at_equal_volume`; `known_as`, the id of a known crystal that it is the same as, and
    whether it is `novel`, the same as none; which part of the tolerance it was `decided_by`, the one that the known crystal is
    nearest to or farthest beyond, where one of the same composition is within three times the tolerance; the number of its `group`
    of the same crystals, and whether it is `unique`, which one of each group is.

    Of the set, with intervals: shares of valid, unique and novel crystals and what is several of these; stable and metastable ones
    where energies are given (:func:`share_measures`); continuous means of uniqueness and novelty and the Vendi score
    (:func:`own_measures`); coverage, transport distance and MMD (:func:`known_measures`); how far the distributions of volume,
    density, number of elements and space group are apart (:func:`distribution_measures`).

    Parameters
    ----------
    generated : structures, as a list, tuple, array, Series, one-column DataFrame or CrystalTable
        Invalid ones are left out; `errors` of the result names them.
    reference : structures, KnownCrystals, or path of an index, optional
        The known crystals; the embedded data by default. :class:`KnownCrystals` have ids, and can be used again.
    tolerance : DuplicateTolerance or float, optional
        How far two crystals of one composition may be apart that count as the same, as for :func:`find_pairs`: by parts,
        ``DuplicateTolerance()`` by default; or the largest dissimilarity. 0 is only what is exactly the same.
    energy_above_hull : array-like of shape (n,), optional
        In eV an atom, for all generated crystals; NaN where it isn't known.
    dissimilarity : CrystalDissimilarity, optional
        By sites; ``CrystalDissimilarity(resolution="sites")`` by default, or that of the `reference`.
    settings : EvaluationSettings, optional
        Samples, thresholds and intervals.
    n_jobs : int, optional
        Number of threads; see :func:`~matminer_grid._threads.n_threads`.
    pbar : bool, default False
        Whether to show progress bars.

    Returns
    -------
    Evaluation

    Raises
    ------
    TypeError, ValueError
        There are no generated crystals, or no valid one; an argument is out of range; or as :class:`KnownCrystals`.

    Examples
    --------
    >>> from matminer_grid import KnownCrystals, evaluate_crystals
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> data = load_mp_elasticity_table()
    >>> known = KnownCrystals(data.crystals[:100], data.material_id[:100])
    >>> found = evaluate_crystals(data.crystals[95:105], known)
    >>> found.crystals[["formula", "known_as", "novel"]].iloc[[0, 9]].to_numpy().tolist()
    [['BiBr3', 'mp-752602', False], ['HoCl3', None, True]]
    >>> found.measures.loc[["novel", "unique"], "value"].to_dict()
    {'novel': 0.5, 'unique': 1.0}
    """
    tolerance = checked_tolerance(tolerance)
    settings = EvaluationSettings() if settings is None else settings
    known = known_crystals(reference, dissimilarity, n_jobs)
    structures = as_crystals(generated)
    if len(structures) == 0:
        raise ValueError("there are no generated crystals to evaluate")
    energies = None if energy_above_hull is None else np.asarray(energy_above_hull, np.float64)
    if energies is not None and energies.shape != (len(structures),):
        raise ValueError(f"energy_above_hull must have one number for each of {len(structures)} crystals, not {energies.shape}")
    crystals, _, errors = describe_valid(known.dissimilarity, structures, n_jobs)
    if len(crystals) == 0:
        row, error = next(iter(errors.items()))
        raise ValueError(f"none of the {len(structures)} generated crystals can be evaluated; row {row}: {error}")
    rows = np.delete(np.arange(len(structures)), list(errors))
    frame = crystal_rows(crystals, known, tolerance, n_jobs=n_jobs, pbar=pbar)
    frame.insert(0, "name", rows.astype(str))
    if energies is not None:
        frame["energy_above_hull"] = energies[rows]
    found = evaluate_set(frame, crystals, known, tolerance, settings, n_jobs=n_jobs, pbar=pbar)
    found.errors.update({row: str(error) for row, error in errors.items()})
    return found


def known_crystals(reference: Any, dissimilarity: CrystalDissimilarity | None, n_jobs: int | None) -> KnownCrystals:
    """Give the known crystals that a user means: those given, those of an index, or the embedded ones."""
    if isinstance(reference, KnownCrystals):
        if dissimilarity is not None and dissimilarity.get_params() != reference.dissimilarity.get_params():
            raise ValueError(f"the known crystals were made for {reference.dissimilarity!r}; make them for {dissimilarity!r}")
        return reference
    if reference is None:
        return KnownCrystals.embedded(dissimilarity, n_jobs=n_jobs)
    if isinstance(reference, (str, Path)):
        return KnownCrystals.from_index(reference, dissimilarity, n_jobs=n_jobs)
    return KnownCrystals(reference, dissimilarity=dissimilarity, n_jobs=n_jobs)


def evaluate_set(
    frame: pd.DataFrame,
    crystals: CrystalTable,
    known: KnownCrystals,
    tolerance: DuplicateTolerance | float,
    settings: EvaluationSettings,
    *,
    n_jobs: int | None = None,
    pbar: bool = False,
) -> Evaluation:
    """Group the crystals of which :func:`crystal_rows` gave the rows, and measure their set."""
    rng = np.random.default_rng(settings.seed)
    described = known.dissimilarity.describe(crystals, n_jobs=n_jobs)
    if isinstance(tolerance, DuplicateTolerance):
        same = find_duplicates(crystals, tolerance, n_jobs=n_jobs, pbar=pbar)
    else:
        same = find_duplicates(crystals, tolerance, dissimilarity=known.dissimilarity, n_jobs=n_jobs, pbar=pbar)
    unique = np.zeros(len(frame), np.bool_)
    unique[np.unique(same.labels, return_index=True)[1]] = True  # the first of each group
    frame = frame.assign(group=same.labels, unique=unique)
    shares = Shares.draw(len(frame), settings, rng)
    measures: list[Measure] = [
        *share_measures(frame, shares, settings),
        *own_measures(described, known.dissimilarity, settings, rng, n_jobs),
        *known_measures(crystals, described, known, settings, shares, rng, n_jobs=n_jobs, pbar=pbar),
        *distribution_measures(crystals, known, settings, shares, rng),
    ]
    columns = ["name", "value", "low", "high", "basis"]
    table = pd.DataFrame([tuple(measure) for measure in measures], columns=columns).set_index("name")
    return Evaluation(frame, table, len(known), tolerance, settings)
