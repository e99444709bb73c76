"""Code that is measured in a fresh process: imports, first calls, and the peak memory of whole runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

IMPORT = """
import time; start = time.perf_counter()
from matminer.featurizers.base import BaseFeaturizer
base = time.perf_counter()
import matminer_grid
own = time.perf_counter()
from matminer_grid import GRIDFeaturizer
result = {"BaseFeaturizer": base - start, "matminer_grid": own - base, "GRIDFeaturizer": time.perf_counter() - own}
"""
FIRST_CALL = """
import time
from pymatgen.core import Lattice, Structure
from matminer_grid import GRIDFeaturizer
structure = Structure(Lattice.cubic(3.9), ["Po"], [[0, 0, 0]])
start = time.perf_counter()
GRIDFeaturizer().featurize(structure)
result = {"seconds": time.perf_counter() - start}
"""
LOAD = """
import time, numpy as np
from matminer_grid import CrystalDissimilarity, EMDSearch, GRIDFeaturizer, grid_emd
from matminer_grid import ReflectionPairsFeaturizer, StructureFactorFeaturizer
from matminer_grid.datasets import load_mp_elasticity_table
crystals = load_mp_elasticity_table().crystals[:LIMIT]
"""
FEATURES = LOAD + "grids = GRIDFeaturizer().featurize_sparse(crystals)\n"
FRAME = LOAD + "import pandas as pd\nframe = pd.DataFrame({'structure': crystals[:1000].to_structures()})\n"
TIMED = "start = time.perf_counter()\n{}\nresult = {{'seconds': time.perf_counter() - start}}"
WHOLE_RUNS = {
    "nothing but loading": LOAD + TIMED.format(""),
    "featurize_sparse, all": LOAD + TIMED.format("GRIDFeaturizer().featurize_sparse(crystals)"),
    "featurize_many, all, dense": LOAD + TIMED.format("GRIDFeaturizer().featurize_many(crystals, pbar=False)"),
    "structure factors hkl, all": LOAD + TIMED.format("StructureFactorFeaturizer().featurize_many(crystals, pbar=False)"),
    "structure factors pairs, all": LOAD + TIMED.format("ReflectionPairsFeaturizer().featurize_many(crystals, pbar=False)"),
    "featurize_dataframe, 1,000": FRAME + TIMED.format("GRIDFeaturizer().featurize_dataframe(frame, 'structure', pbar=False)"),
    "kneighbors of all in all": FEATURES
    + TIMED.format("EMDSearch().fit(CrystalDissimilarity().describe(crystals, features=grids)).kneighbors()"),
    "full matrix in float32": FEATURES
    + TIMED.format("grid_emd(grids, n_groups=100, bin_size=0.1, out=np.empty((grids.shape[0],) * 2, np.float32), pbar=False)"),
}
MEASURE_MEMORY = """
import json, os
pids = [os.getpid()]
for pid in pids:
    pids += [int(child) for child in open(f"/proc/{pid}/task/{pid}/children").read().split()]
statuses = [open(f"/proc/{pid}/status").read().splitlines() for pid in pids]
peak = sum(int(line.split()[1]) for lines in statuses for line in lines if line.startswith("VmHWM"))
print(json.dumps(result | {"peak_MB": peak / 1024}))
"""


def fresh_process(code: str, **environment: str) -> dict[str, float]:
    """Run code that leaves a dict `result` in a process of its own; give it with the peak memory in MB, its children's included."""
    code += MEASURE_MEMORY
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | environment)  # noqa: S603  our own code
    return json.loads(done.stdout.splitlines()[-1])


def fresh_processes(limit: int | None) -> dict[str, Any]:
    """Measure import time, first calls with a cold and a warm cache, and whole runs with their peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        results: dict[str, Any] = {
            "import": fresh_process(IMPORT),
            "first featurize, cold cache": fresh_process(FIRST_CALL, NUMBA_CACHE_DIR=folder),
            "first featurize, warm cache": fresh_process(FIRST_CALL, NUMBA_CACHE_DIR=folder),
        }
    for name, code in WHOLE_RUNS.items():
        results[name] = fresh_process(code.replace("LIMIT", str(limit)))
    return results
