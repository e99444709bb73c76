"""What each parameter of GRID and its EMD does to a prediction: ``python -m benchmarks.parameters``.

One parameter at a time leaves the published settings; the score is the error of the nearest neighbour's bulk modulus in a fivefold
cross-validation on a random part of the training entries of :mod:`benchmarks.bulk_modulus`. The test entries stay unseen, so that
parameters can be chosen from this table. Differences to the published settings are paired, crystal by crystal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold

from benchmarks._run import CONSOLE, Stages, command_line, write_results
from benchmarks._tables import records, show
from benchmarks.moduli.task import load_task
from matminer_grid import CrystalDissimilarity, GRIDFeaturizer, composition_emd

PUBLISHED: dict[str, Any] = {
    "cutoff": 10.0,
    "bin_size": 0.1,
    "n_groups": 100,
    "smearing": 0.1,
    "grid_weight": 10.0,
    "group_weights": "equal",
    "composition_metric": "substitution",
}
"""Settings of R.-Z. Zhang, S. Seth and J. Cumby, Digital Discovery 2 (2023) 81-90, 10.1039/D2DD00054G."""

VALUES: dict[str, tuple[Any, ...]] = {
    "cutoff": (3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0),
    "bin_size": (0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
    "n_groups": (1, 4, 12, 24, 50, 100, 200),
    "smearing": (0.0, 0.05, 0.1, 0.2, 0.5),
    "grid_weight": (0.0, 1.0, 3.0, 10.0, 30.0, 100.0),
    "group_weights": ("equal", "1/√i", "1/i", "first 12 only"),
    "composition_metric": ("substitution", "modified_pettifor"),
}
"""Values that are tried; lengths in Å."""

FOLDS = 5


def group_weights(name: str, n_groups: int) -> np.ndarray:
    """Weights of the groups by name, before they are scaled to the mean 1."""
    rank = np.arange(1, n_groups + 1)
    weights = {"equal": np.ones(n_groups), "1/√i": rank**-0.5, "1/i": 1.0 / rank, "first 12 only": (rank <= 12).astype(float)}
    return weights[name]


def nearest_errors(dissimilarity: np.ndarray, modulus: np.ndarray, seed: int) -> np.ndarray:
    """Errors in GPa of each crystal's nearest neighbour outside its own fold."""
    errors = np.empty(len(modulus))
    for train, test in KFold(FOLDS, shuffle=True, random_state=seed).split(modulus):
        nearest = train[dissimilarity[np.ix_(test, train)].argmin(axis=1)]
        errors[test] = modulus[nearest] - modulus[test]
    return np.abs(errors)


class Dissimilarities:
    """Matrices between crystals for any settings, computed once each."""

    def __init__(self, crystals: Any) -> None:
        self.crystals = crystals
        self._composition: dict[str, np.ndarray] = {}

    def __call__(self, settings: dict[str, Any]) -> np.ndarray:
        """Sum of weighted GRID EMD and composition EMD."""
        metric = settings["composition_metric"]
        if metric not in self._composition:
            self._composition[metric] = composition_emd(self.crystals, metric=metric, n_jobs=2, pbar=False)
        if settings["grid_weight"] == 0:
            return self._composition[metric]
        featurizer = GRIDFeaturizer(**{name: settings[name] for name in ("cutoff", "bin_size", "n_groups", "smearing")})
        weights = group_weights(settings["group_weights"], featurizer.n_groups)
        grids = CrystalDissimilarity(featurizer, group_weights=weights, grid_weight=settings["grid_weight"], composition_weight=0.0)
        return grids.pairwise(self.crystals) + self._composition[metric]


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = command_line("parameters", __doc__, "parameters.json")
    parser.add_argument("--entries", type=int, default=2500, help="training entries to draw")
    parser.add_argument("--seed", type=int, default=1, help="seed of the split, the draw and the folds")
    options = parser.parse_args(arguments)
    stages = Stages()
    task = load_task(None, options.seed)
    if not FOLDS <= options.entries <= len(task.train):
        parser.error(f"--entries must be between {FOLDS} and {len(task.train)}, not {options.entries}")
    rows = np.sort(np.random.default_rng(options.seed).choice(task.train, options.entries, replace=False))
    modulus, dissimilarities = task.modulus[rows], Dissimilarities(task.crystals[rows])
    results = []
    with stages("total"):
        published = nearest_errors(dissimilarities(PUBLISHED), modulus, options.seed)
        for parameter, value in [(parameter, value) for parameter, values in VALUES.items() for value in values]:
            same, errors = value == PUBLISHED[parameter], published
            if not same:
                errors = nearest_errors(dissimilarities(PUBLISHED | {parameter: value}), modulus, options.seed)
            change = errors - published
            numbers = (errors.mean(), np.median(errors), change.mean(), change.std(ddof=1) / len(change) ** 0.5)
            results.append((parameter, value, same, *(round(float(number), 3) for number in numbers)))
    table = pd.DataFrame(results, columns=["parameter", "value", "published", "MAE", "median", "change", "standard_error"])
    title = f"nearest neighbour, {FOLDS}-fold cross-validation on {len(rows):,} training entries"
    show(table.astype({"value": str}).rename(columns={"change": "change / GPa", "standard_error": "± s.e."}), title, CONSOLE)
    content = {"entries": len(rows), "folds": FOLDS, "seed": options.seed, "published": PUBLISHED, "rows": records(table)}
    write_results(options.output / "parameters.json", content | {"seconds": stages.seconds})


if __name__ == "__main__":
    main()
