"""What the soak does again and again: jobs from files to files, each in a process of its own that may be killed at any moment.

A job that is started again goes on. Its answer is a digest of all that it wrote, so that a lost, doubled or changed row shows.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
import warnings
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from matminer_grid import (
    CrystalIndex,
    EMDSearch,
    EvaluationSettings,
    GRIDFeaturizer,
    KnownCrystals,
    add_to_index,
    build_index,
)
from matminer_grid._files import replacing
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.io import load_crystals
from matminer_grid.models import GRIDKernelRegressor
from matminer_grid.pipeline import evaluate_files, featurize_files, load_features

if TYPE_CHECKING:
    from collections.abc import Callable

KNOWN, MORE, GENERATED, MODEL = "known.parquet", "more.parquet", "generated.parquet", "model.npz"
SETTINGS = EvaluationSettings(sample=50, vendi_sample=50, n_pairs=200, n_bootstrap=20, n_permutations=20)
NEIGHBORS = 5


def make_inputs(folder: Path, n: int) -> None:
    """Write crystals to work on, n to search among, half as many that come later, a quarter that are compared, and a model."""
    data = load_mp_elasticity_table()
    rows = np.random.default_rng(5).permutation(len(data))
    known, more, generated = (
        data.crystals[rows[:n]],
        data.crystals[rows[n : n + n // 2]],
        data.crystals[rows[n // 2 : n // 2 + n // 4]],
    )
    for name, crystals in ((KNOWN, known), (MORE, more), (GENERATED, generated)):
        crystals.to_parquet(folder / name)
    model = GRIDKernelRegressor(tune_iterations=0).fit(data.crystals[rows[: n // 4]], data.K_VRH[rows[: n // 4]])
    model.save(folder / MODEL)


def featurize(data: Path, output: Path) -> str:
    """Featurize files, in parts."""
    report = featurize_files([data / KNOWN, data / MORE], output / "features", part_size=20)
    names, features = load_features(report.output)
    return _digest("\n".join(Path(name).name for name in names).encode(), features.toarray())


def index(data: Path, output: Path) -> str:
    """Build an index, extend it, and search in it."""
    path = output / "index"
    if not (path / "manifest.json").exists():
        build_index(path, data / KNOWN)
    known = len(load_crystals(data / KNOWN)[0])
    if len(CrystalIndex(path)) == known:
        add_to_index(path, data / MORE)
    distances, rows = EMDSearch.load(path, n_jobs=2).kneighbors(load_crystals(data / GENERATED)[0], NEIGHBORS)
    return _digest(np.array([len(CrystalIndex(path))]), distances, rows)


def predict(data: Path, output: Path) -> str:
    """Predict with a model from a file, and keep the answer in one."""
    values, deviations = GRIDKernelRegressor.load(data / MODEL).predict(load_crystals(data / GENERATED)[0], return_std=True)
    with replacing(output / "predictions.json") as file:
        file.write(json.dumps([values.tolist(), deviations.tolist()]).encode())
    return _digest((output / "predictions.json").read_bytes())


def evaluate(data: Path, output: Path) -> str:
    """Evaluate crystals against the known ones; an evaluation that is there was written whole, and is read."""
    path = output / "evaluation"
    if not (path / "evaluation.json").exists():
        evaluate_files(data / GENERATED, path, KnownCrystals(load_crystals(data / KNOWN)[0]), settings=SETTINGS, n_jobs=2)
    crystals, rows = load_crystals(path / "crystals.parquet")
    rows["name"] = [Path(name).name for name in rows["name"]]
    return _digest((path / "evaluation.json").read_bytes(), crystals.frac_coords, rows.to_json().encode())


JOBS: dict[str, Callable[[Path, Path], str]] = {"featurize": featurize, "index": index, "predict": predict, "evaluate": evaluate}


def run_job(name: str, data: Path, output: Path, limits: dict[str, int]) -> None:
    """Do a job, with a limit in bytes of the memory that it takes from now on, or of files; keep its answer in a file."""
    output.mkdir(exist_ok=True)
    with (output / f"{name}.log").open("ab") as log:
        os.dup2(log.fileno(), sys.stderr.fileno())
    if "memory" in limits:
        most = _memory("VmSize") + limits["memory"]
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    if "file" in limits:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limits["file"], limits["file"]))
    answer = JOBS[name](data, output)
    with replacing(output / f"{name}.answer") as file:
        file.write(answer.encode())


def work_steadily(data: Path, log: Path, deadline: float) -> None:
    """Do the same in one process, again and again, and write its memory and whether its answers stay the same after each round."""
    warnings.filterwarnings("ignore", message="no training crystal holds")
    search = EMDSearch(n_jobs=2).fit(load_crystals(data / KNOWN)[0])
    queries = load_crystals(data / GENERATED)[0]
    first = ""
    with log.open("a", encoding="utf-8") as file:
        while time.time() < deadline:
            features = GRIDFeaturizer().featurize_many(queries, pbar=False)
            found = _digest(features, *search.kneighbors(queries, NEIGHBORS))
            with TemporaryDirectory() as folder:
                found += "".join(job(data, Path(folder)) for job in (featurize, predict, evaluate))
            first = first or found
            gc.collect()
            file.write(json.dumps({"bytes": _memory("VmRSS"), "same": found == first}) + "\n")
            file.flush()


def keep_busy(deadline: float) -> None:
    """Take all of a core's time until a moment."""
    while time.time() < deadline:
        pass


def _memory(name: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in status if line.startswith(name))


def _digest(*contents: bytes | np.ndarray) -> str:
    digest = sha256()
    for content in contents:
        digest.update(content if isinstance(content, bytes) else np.ascontiguousarray(content).data)
    return digest.hexdigest()
