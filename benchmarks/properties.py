"""Four properties learned from few crystals, beside other models: ``python -m benchmarks.properties [--data FILE]``.

Formation energies (F. Faber et al., 10.1002/qua.24917), refractive indices and band gaps (I. Petousis et al.,
10.1038/sdata.2016.134) and largest piezoelectric moduli (M. de Jong et al., 10.1038/sdata.2015.53) are in the source distribution
of matminer 0.3.9: ``pip download --no-deps --no-binary :all: matminer==0.3.9``.

Five folds, random, or grouped so that no reduced formula is on both sides. Learning curves, with ``--curve``, take the first
crystals of the training part of each fold, in random order. Each model sees the training part alone; the others have the parameters
that are usual for them.
Finished folds are kept in the output folder, so a stopped run goes on where it was.
"""

from __future__ import annotations

import ast
import csv
import io
import sys
import tarfile
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

from benchmarks._cache import identity, remember
from benchmarks._run import CONSOLE, command_line, write_results
from benchmarks._tables import records, show
from benchmarks.moduli.task import CV_SEED
from matminer_grid import CrystalTable
from matminer_grid.featurizers import ChemistryFeaturizer
from matminer_grid.models import GRIDKernelRegressor, GRIDNeighborsRegressor

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

ARCHIVE = "matminer-0.3.9.tar.gz"
COMMAND = "pip download --no-deps --no-binary :all: matminer==0.3.9"
COVERAGES = (0.5, 0.8, 0.95)
SIZES = (30, 100, 300, 1000)
"""Training crystals of a learning curve."""

N_FOLDS = 5
TREES = 300


@dataclass(frozen=True)
class Property:
    """A column of one of the files, in a unit."""

    file: str
    column: str
    unit: str
    log_target: bool = False


PROPERTIES = {
    "formation-energy": Property("flla_2015", "formation_energy_per_atom", "eV"),
    "refractive-index": Property("dielectric_constant", "n", "", log_target=True),
    "band-gap": Property("dielectric_constant", "band_gap", "eV"),
    "piezoelectricity": Property("piezoelectric_tensor", "eij_max", "C/m²"),
}


class Task:
    """Crystals with a property, and what the models read of them, each made when it is first asked for."""

    def __init__(self, structures: list[Structure], y: np.ndarray, log_target: bool) -> None:
        self.structures, self.y, self.log_target = structures, y, log_target

    @cached_property
    def crystals(self) -> CrystalTable:
        """The crystals as arrays."""
        return CrystalTable.from_structures(self.structures)

    @cached_property
    def features(self) -> np.ndarray:
        """What the kernel model reads."""
        return ChemistryFeaturizer().featurize_many(self.crystals, pbar=False)

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
        splitter = (GroupKFold if split == "grouped" else KFold)(N_FOLDS, shuffle=True, random_state=CV_SEED)
        folds = splitter.split(formulas, groups=formulas if split == "grouped" else None)
        return [(np.random.default_rng(CV_SEED).permutation(train), test) for train, test in folds]


def load_task(name: str, path: Path) -> Task:
    """Read a property from the archive, or from a folder that holds its files; a ValueError says what is wrong with it."""
    chosen = PROPERTIES[name]
    text = _read(path, f"{chosen.file}.csv")
    csv.field_size_limit(sys.maxsize)
    frame = pd.read_csv(io.StringIO(text), comment="#")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if "poscar" in frame:
            structures = [Poscar.from_str(poscar).structure for poscar in frame["poscar"]]
        else:
            structures = [Structure.from_dict(ast.literal_eval(entry)) for entry in frame["structure"]]
    return Task(structures, frame[chosen.column].to_numpy(np.float64), chosen.log_target)


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


def kernel(task: Task, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, dict[float, np.ndarray]]:
    """Predict with the kernel model, with intervals."""
    model = GRIDKernelRegressor(log_target=task.log_target).fit(task.crystals[train], task.y[train])
    crystals = task.crystals[test]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # elements that the training part lacks
        return model.predict(crystals), {coverage: np.array(model.predict_interval(crystals, coverage)) for coverage in COVERAGES}


def sklearn_model(model: Any, features: str) -> Callable[..., tuple[np.ndarray, dict[float, np.ndarray]]]:
    """Make a function that predicts with a model of scikit-learn on features of a task, of the logarithm where ours does."""

    def predict(task: Task, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, dict[float, np.ndarray]]:
        X, y = getattr(task, features), np.log(task.y) if task.log_target else task.y
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
    "GRIDKernelRegressor": kernel,
    "Magpie, volume, density: random forest": sklearn_model(forest, "magpie_and_cell"),
    "our features: histogram gradient boosting": sklearn_model(lambda: HistGradientBoostingRegressor(random_state=0), "features"),
    "GRID + composition: kNN, k = 5": neighbors,
    "composition only, Magpie: random forest": sklearn_model(forest, "magpie"),
}


def score(task: Task, model: str, train: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """Train and test once: error, and of intervals how much they hold and how wide they are over what the errors ask for."""
    predicted, intervals = MODELS[model](task, train, test)
    error = np.abs(predicted - task.y[test])
    scores = {"MAE": float(error.mean())}
    for coverage, (low, high) in intervals.items():
        scores[f"coverage {coverage:.0%}"] = float(((low <= task.y[test]) & (task.y[test] <= high)).mean())
    if intervals:
        low, high = intervals[COVERAGES[-1]]
        scores["95% width over need"] = float(np.mean(high - low) / 2 / np.quantile(error, COVERAGES[-1]))
    return scores


def run(name: str, task: Task, options: argparse.Namespace) -> pd.DataFrame:
    """Run the models that were chosen on each fold, or read what is known of them."""
    keep = Memory(options.output / "folds", verbose=0).cache(remember, ignore=["compute"])
    known = identity({"task": name, "crystals": len(task.y), "split": options.split})
    folds = task.folds(options.split)
    rows = []
    for size, model, fold in product(
        [*(SIZES if options.curve else ()), None], options.model or MODELS, options.fold or range(N_FOLDS)
    ):
        train, test = folds[fold]
        if size is None or size < len(train):
            found = keep(known, f"{model}, {size}, fold {fold}", partial(score, task, model, train[:size], test))
            rows.append({"model": model, "learned from": str(size or "all"), "fold": fold} | found)
    return pd.DataFrame(rows)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_line("properties", __doc__, "results.json")
    parser.add_argument("--data", type=Path, default=Path(), metavar="PATH", help=f"{ARCHIVE}, or a folder with it or its files")
    parser.add_argument("--task", choices=list(PROPERTIES), action="append", help="one of the properties")
    parser.add_argument("--model", choices=list(MODELS), action="append", help="one of the models")
    parser.add_argument(
        "--split", choices=("random", "grouped"), default="random", help="grouped: no reduced formula on both sides"
    )
    parser.add_argument("--fold", type=int, choices=range(N_FOLDS), action="append", metavar="N", help="run one fold, 0 to 4")
    parser.add_argument("--curve", action="store_true", help=f"learn from {', '.join(map(str, SIZES))} crystals too")
    parser.add_argument("--limit", type=int, metavar="N", help="take the first N crystals of each file, for a quick look")
    options = parser.parse_args(arguments)
    if options.limit is not None and options.limit < 100:
        parser.error(f"--limit must be at least 100, not {options.limit}")
    return options


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    options = parse(arguments)
    content = {}
    for name in options.task or PROPERTIES:
        try:
            task = load_task(name, options.data)
        except ValueError as error:
            raise SystemExit(str(error)) from error
        if options.limit is not None:
            task = Task(task.structures[: options.limit], task.y[: options.limit], task.log_target)
        rows = run(name, task, options)
        means = rows.drop(columns="fold").groupby(["learned from", "model"], sort=False).mean().reset_index()
        unit = f" / {PROPERTIES[name].unit}" if PROPERTIES[name].unit else ""
        title = f"{name}, {len(task.y):,} crystals, {options.split} split"
        show(means.rename(columns={"MAE": f"MAE{unit}"}), title, CONSOLE, by="learned from")
        content[name] = {"folds": records(rows), "means": records(means)}
    write_results(options.output / f"results_{options.split}.json", {"split": options.split, "properties": content})


if __name__ == "__main__":
    main()
