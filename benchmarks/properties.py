"""Four properties learned from few crystals, beside other models: ``python -m benchmarks.properties [--data FILE]``.

Formation energies (F. Faber et al., 10.1002/qua.24917), refractive indices and band gaps (I. Petousis et al.,
10.1038/sdata.2016.134) and largest piezoelectric moduli (M. de Jong et al., 10.1038/sdata.2015.53) are in the source distribution
of matminer 0.3.9: ``pip download --no-deps --no-binary :all: matminer==0.3.9``.

Five folds, random, or leak-free: no reduced formula, and so no copy or polymorph, is on both sides. Learning curves of one property
take the first crystals of the training part of each random fold, in random order. Each model sees the training part alone; other
models have the parameters that are usual for them, and the kernel model its own. What each family of features earns is the error of
the first random fold without it, weights searched anew.
Finished folds are kept in the output folder, so a stopped run goes on where it was. Times are those of all threads together.
"""

from __future__ import annotations

import ast
import csv
import io
import sys
import tarfile
import time
import warnings
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from joblib import Memory
from matminer.featurizers.composition import ElementProperty
from pymatgen.core import Structure
from pymatgen.io.vasp import Poscar
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GroupKFold, KFold
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from benchmarks._cache import identity, remember
from benchmarks._run import CONSOLE, command_line, write_results
from benchmarks._tables import records, show
from benchmarks.moduli.task import CV_SEED
from matminer_grid import CrystalTable
from matminer_grid.featurizers import ChemistryFeaturizer
from matminer_grid.models import GRIDKernelRegressor, GRIDNeighborsRegressor
from matminer_grid.models._distances import FAMILIES
from matminer_grid.models._featurized import FeaturizedCrystals

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

ARCHIVE = "matminer-0.3.9.tar.gz"
COMMAND = "pip download --no-deps --no-binary :all: matminer==0.3.9"
COVERAGES = (0.5, 0.8, 0.95)
SIZES = (30, 100, 300, 1000)
"""Training crystals of a learning curve."""

TUNE_SAMPLES = 4000
"""Training crystals on which the kernel model searches its weights, as many as by default."""

N_FOLDS = 5
TREES = 300


SPLITS = {"random": "random folds", "leak-free": "no formula on both sides"}
FOREST = "Magpie, volume, density: random forest"
BELOW = "below the forest (%)"
KERNEL = "GRIDKernelRegressor"


@dataclass(frozen=True)
class Property:
    """A column of one of the files, in a unit, and by how many per cent the kernel model's error is to be below the forest's."""

    file: str
    column: str
    unit: str
    aim: float
    log_target: bool = False


PROPERTIES = {
    "formation-energy": Property("flla_2015", "formation_energy_per_atom", "eV", 45),
    "refractive-index": Property("dielectric_constant", "n", "", 25, log_target=True),
    "band-gap": Property("dielectric_constant", "band_gap", "eV", 20),
    "piezoelectricity": Property("piezoelectric_tensor", "eij_max", "C/m²", 30),
}


class Task:
    """Crystals with a property, and what the models read of them, each made when it is first asked for."""

    def __init__(self, structures: list[Structure], y: np.ndarray, log_target: bool, tune_samples: int = TUNE_SAMPLES) -> None:
        self.structures, self.y, self.log_target, self.tune_samples = structures, y, log_target, tune_samples

    def sample(self, n: int) -> Task:
        """Give n of the crystals at random, or all if there are no more."""
        rows = np.random.default_rng(CV_SEED).permutation(len(self.y))[:n]
        return Task([self.structures[row] for row in rows], self.y[rows], self.log_target, self.tune_samples)

    @cached_property
    def crystals(self) -> CrystalTable:
        """The crystals as arrays."""
        return CrystalTable.from_structures(self.structures)

    @cached_property
    def described(self) -> FeaturizedCrystals:
        """The crystals with what the kernel model reads."""
        return GRIDKernelRegressor().describe(self.crystals)

    @property
    def features(self) -> np.ndarray:
        """What the kernel model reads."""
        return self.described.features

    def without(self, family: str) -> FeaturizedCrystals:
        """Give the crystals with a family of features the same for all, so that it tells nothing."""
        features, blocks = self.features.copy(), ChemistryFeaturizer().blocks
        for name in FAMILIES[family]:
            features[:, blocks[name]] = 0
        return FeaturizedCrystals(self.crystals, features)

    @cached_property
    def magpie(self) -> np.ndarray:
        """Magpie's statistics of the composition."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            featurizer = ElementProperty.from_preset("magpie")
        compositions = {structure.composition.reduced_composition for structure in self.structures}
        known = {composition: featurizer.featurize(composition) for composition in compositions}
        return np.array([known[structure.composition.reduced_composition] for structure in self.structures])

    @cached_property
    def magpie_and_cell(self) -> np.ndarray:
        """Magpie's statistics, volume of an atom in Å³ and density in g/cm³."""
        cell = [(structure.volume / len(structure), float(structure.density)) for structure in self.structures]
        return np.hstack([self.magpie, cell])

    def folds(self, split: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """Give training rows, in random order, and test rows."""
        formulas = [structure.composition.reduced_formula for structure in self.structures]
        splitter = (GroupKFold if split == "leak-free" else KFold)(N_FOLDS, shuffle=True, random_state=CV_SEED)
        folds = splitter.split(formulas, groups=formulas if split == "leak-free" else None)
        return [(np.random.default_rng(CV_SEED).permutation(train), test) for train, test in folds]


def load_task(name: str, path: Path, tune_samples: int = TUNE_SAMPLES) -> Task:
    """Read a property from the archive, or from a folder that holds its files; a ValueError says what is wrong with it."""
    chosen = PROPERTIES[name]
    return Task(*load_column(path, chosen.file, chosen.column), chosen.log_target, tune_samples)


def load_column(path: Path, file: str, column: str) -> tuple[list[Structure], np.ndarray]:
    """Read the crystals of one of the files, and a column of numbers or truth values."""
    text = _read(path, f"{file}.csv")
    csv.field_size_limit(sys.maxsize)
    frame = pd.read_csv(io.StringIO(text), comment="#")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if "poscar" in frame:
            structures = [Poscar.from_str(poscar).structure for poscar in frame["poscar"]]
        else:
            structures = [Structure.from_dict(ast.literal_eval(entry)) for entry in frame["structure"]]
    return structures, frame[column].to_numpy(np.float64)


def _read(path: Path, name: str) -> str:
    if path.is_dir():
        found = sorted(path.rglob(name))
        if not found and (path / ARCHIVE).exists():
            return _read(path / ARCHIVE, name)
        if not found:
            raise ValueError(f"{path} holds neither {name} nor {ARCHIVE}: {COMMAND}")
        return found[0].read_text(encoding="utf-8")
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if Path(member.name).name == name:
                    return archive.extractfile(member).read().decode()
    except (OSError, tarfile.TarError) as error:
        raise ValueError(f"{path} is no archive that can be read ({str(error).splitlines()[0]}); get it with: {COMMAND}") from error
    raise ValueError(f"{path} doesn't hold {name}; it should be {ARCHIVE}: {COMMAND}")


def kernel(
    task: Task, train: np.ndarray, test: np.ndarray, family: str | None = None
) -> tuple[np.ndarray, dict[float, np.ndarray]]:
    """Predict with the kernel model, with intervals; without a family of features, if one is named."""
    described = task.described if family is None else task.without(family)
    model = GRIDKernelRegressor(log_target=task.log_target, tune_samples=task.tune_samples).fit(described[train], task.y[train])
    crystals = described[test]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # elements that the training part lacks
        return model.predict(crystals), {coverage: np.array(model.predict_interval(crystals, coverage)) for coverage in COVERAGES}


def sklearn_model(model: Any, features: str) -> Callable[..., tuple[np.ndarray, dict[float, np.ndarray]]]:
    """Make a function that predicts with a model of scikit-learn on features of a task, of the logarithm where ours does."""

    def predict(task: Task, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, dict[float, np.ndarray]]:
        X, y = getattr(task, features), np.log(task.y) if task.log_target else task.y
        with threadpool_limits(1, "openmp"):  # threads of gradient boosting that wait for each other take the time of others
            predicted = model().fit(X[train], y[train]).predict(X[test])
        return np.exp(predicted) if task.log_target else predicted, {}

    return predict


def neighbors(task: Task, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, dict[float, np.ndarray]]:
    """Predict with the five nearest neighbours by GRID and composition."""
    model = GRIDNeighborsRegressor(5, weights="distance").fit(task.crystals[train], task.y[train])
    return model.predict(task.crystals[test]), {}


def forest() -> Any:
    """Make a random forest; elements without a property get its mean."""
    return make_pipeline(SimpleImputer(), RandomForestRegressor(TREES, max_features=1 / 3, random_state=0, n_jobs=-1))


MODELS = {
    KERNEL: kernel,
    FOREST: sklearn_model(forest, "magpie_and_cell"),
    "our features: histogram gradient boosting": sklearn_model(lambda: HistGradientBoostingRegressor(random_state=0), "features"),
    "GRID + composition: kNN, k = 5": neighbors,
    "composition only, Magpie: random forest": sklearn_model(forest, "magpie"),
}
LEAK_FREE = (KERNEL, FOREST, "GRID + composition: kNN, k = 5")
"""Models that are run on leak-free folds, unless others are asked for."""

WITHOUT = {f"without {family}": partial(kernel, family=family) for family in FAMILIES}
"""The kernel model, a family of features left out."""


def score(task: Task, model: str, train: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """Train and test once: error, and of intervals how much they hold and how wide they are over what the errors ask for."""
    start = time.process_time()
    predicted, intervals = (MODELS | WITHOUT)[model](task, train, test)
    scores = {"error": float(np.abs(predicted - task.y[test]).mean()), "CPU s": time.process_time() - start}
    return scores | interval_scores(task.y[test], predicted, intervals)


def interval_scores(truth: np.ndarray, predicted: np.ndarray, intervals: dict[float, np.ndarray]) -> dict[str, float]:
    """Tell how many values each interval holds, and how wide the widest are over what the errors ask for."""
    scores = {}
    for coverage, (low, high) in intervals.items():
        scores[f"within {coverage:.0%}"] = float(((low <= truth) & (truth <= high)).mean())
    if intervals:
        low, high = intervals[COVERAGES[-1]]
        scores["95% width over need"] = float(np.mean(high - low) / 2 / np.quantile(np.abs(predicted - truth), COVERAGES[-1]))
    return scores


class Runs:
    """What is run of a property, each fold once and for all."""

    def __init__(self, name: str, task: Task, options: argparse.Namespace) -> None:
        self.task, self.folds = task, options.fold or range(N_FOLDS)
        self.known = identity({"task": name, "crystals": len(task.y), "tune_samples": task.tune_samples})
        self.keep = Memory(options.output / "folds", verbose=0).cache(remember, ignore=["compute"])

    def fold(self, split: str, model: str, fold: int, size: int | None = None) -> dict[str, Any]:
        """Run a model on a fold, learning from so many crystals; or read what is known of it."""
        train, test = self.task.folds(split)[fold]
        compute = partial(self._announced, f"{split} fold {fold}, {model}", model, train[:size], test)
        return {"model": model, "fold": fold} | self.keep(self.known, f"{split}, {model}, {size}, fold {fold}", compute)

    def _announced(self, what: str, model: str, train: np.ndarray, test: np.ndarray) -> dict[str, float]:
        CONSOLE.print(f"computing: {what}, from {len(train):,} crystals", style="dim", markup=False)
        return score(self.task, model, train, test)

    def models(self, split: str, models: list[str]) -> pd.DataFrame:
        """Run models on all training crystals."""
        return pd.DataFrame([self.fold(split, model, fold) for model, fold in product(models, self.folds)])

    def curve(self, models: list[str]) -> pd.DataFrame:
        """Run models on few training crystals."""
        largest = min(len(train) for train, _ in self.task.folds("random"))
        plan = product([size for size in SIZES if size < largest], models, self.folds)
        return pd.DataFrame([{"learned from": size} | self.fold("random", model, fold, size) for size, model, fold in plan])

    def families(self) -> pd.DataFrame:
        """Run the kernel model without each family of features, on the first fold."""
        return pd.DataFrame([self.fold("random", model, self.folds[0]) for model in (KERNEL, *WITHOUT)])


def means(folds: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Average over folds, and say how far each error is below the forest's of the same folds."""
    keys = [*by, "model"]
    out = folds.drop(columns="fold").groupby(keys, sort=False).mean().reset_index()
    forest_error = out[out["model"] == FOREST].set_index(list(by))["error"] if by else out.loc[out["model"] == FOREST, "error"]
    if len(forest_error):
        reference = out[by[0]].map(forest_error) if by else forest_error.iloc[0]
        out.insert(len(keys) + 1, BELOW, 100 * (1 - out["error"] / reference))
    return out


def run(name: str, task: Task, options: argparse.Namespace) -> dict[str, Any]:
    """Run all that was chosen of a property, print it, and give it."""
    runs, chosen = Runs(name, task, options), options.model or list(MODELS)
    of_split = {"random": chosen, "leak-free": options.model or list(LEAK_FREE)}
    unit, splits = PROPERTIES[name].unit, options.split or list(SPLITS)
    found: dict[str, Any] = {
        "crystals": len(task.y),
        "unit": unit,
        "searched_on": task.tune_samples,
        "folds": len(runs.folds),
        "splits": {},
    }
    what = f"{name}{f' in {unit}' if unit else ''}, {len(task.y):,} crystals"
    for split in splits:
        frame = means(runs.models(split, of_split[split]))
        show(frame, f"{what}, {SPLITS[split]}, mean of {len(runs.folds)}", CONSOLE)
        found["splits"][split] = records(frame)
    if name == options.curve:
        frame = means(runs.curve(chosen), "learned from")
        show(frame, f"{what}, learned from few", CONSOLE, by="learned from")
        found["curve"] = records(frame)
    if options.families:
        frame = runs.families()[["model", "error", "CPU s"]]
        frame.insert(2, "more error (%)", 100 * (frame["error"] / frame["error"].iloc[0] - 1))
        show(frame, f"{what}, fold {runs.folds[0]}, families of features left out", CONSOLE)
        found["families"] = records(frame)
    return found


def check(content: dict[str, Any]) -> pd.DataFrame:
    """Compare the kernel model's mean errors in random folds with their aims."""
    rows = []
    for name, found in content.items():
        for row in found["splits"].get("random", []):
            if row["model"] == KERNEL and BELOW in row:
                aim = PROPERTIES[name].aim
                rows.append({"property": name, BELOW: row[BELOW], "aim (%)": aim, "reached": row[BELOW] >= aim})
    return pd.DataFrame(rows)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_line("properties", __doc__, "results.json")
    parser.add_argument("--data", type=Path, default=Path(), metavar="PATH", help=f"{ARCHIVE}, or a folder with it or its files")
    parser.add_argument("--task", choices=list(PROPERTIES), action="append", help="one of the properties")
    parser.add_argument("--model", choices=list(MODELS), action="append", help="one of the models")
    parser.add_argument("--split", choices=list(SPLITS), action="append", help="one of the splits")
    parser.add_argument("--fold", type=int, choices=range(N_FOLDS), action="append", metavar="N", help="run one fold, 0 to 4")
    parser.add_argument(
        "--curve",
        choices=[*PROPERTIES, "none"],
        default="formation-energy",
        help=f"property that is learned from {', '.join(map(str, SIZES))} crystals too; formation-energy by default",
    )
    parser.add_argument(
        "--tune-samples", type=int, default=TUNE_SAMPLES, metavar="N", help=f"crystals in the search for weights, {TUNE_SAMPLES}"
    )
    parser.add_argument("--no-families", dest="families", action="store_false", help="leave no family of features out")
    parser.add_argument("--limit", type=int, metavar="N", help="take N crystals of each file at random, for a quick look")
    options = parser.parse_args(arguments)
    if options.tune_samples < 20:
        parser.error(f"--tune-samples must be at least 20, not {options.tune_samples}")
    if options.limit is not None and options.limit < 100:
        parser.error(f"--limit must be at least 100, not {options.limit}")
    return options


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    options = parse(arguments)
    content = {}
    for name in options.task or PROPERTIES:
        try:
            task = load_task(name, options.data, options.tune_samples)
        except ValueError as error:
            raise SystemExit(str(error)) from error
        content[name] = run(name, task if options.limit is None else task.sample(options.limit), options)
    claims = check(content)
    if len(claims):
        show(claims, "Error of the kernel model below that of the Magpie forest", CONSOLE)
    write_results(options.output / "results.json", {"properties": content, "aims": records(claims)})


if __name__ == "__main__":
    main()
