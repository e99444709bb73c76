"""Ctrl-C stops long work at once and leaves no threads behind."""

import subprocess
import sys

import pytest

SCRIPT = """
import os, signal, threading, time
from matminer_grid import EMDSearch, GRIDFeaturizer, grid_emd
from matminer_grid.datasets import load_mp_elasticity_table

crystals = load_mp_elasticity_table().crystals[:3000]
featurizer = GRIDFeaturizer()
features = featurizer.featurize_sparse(crystals)
search = EMDSearch(n_groups=100, bin_size=0.1, composition_weight=0).fit(features)
search.kneighbors(features[:2])
grid_emd(features[:2], n_groups=100, bin_size=0.1)
work = {
    "featurize": lambda: featurizer.featurize_many(crystals, pbar=False),
    "matrix": lambda: grid_emd(features, n_groups=100, bin_size=0.1, pbar=False),
    "search": lambda: search.kneighbors(k=3),
}["WORK"]
before = threading.active_count()
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
start = time.perf_counter()
try:
    while True:
        work()
except KeyboardInterrupt:
    stopped = time.perf_counter() - start
    time.sleep(0.2)
    print(stopped, threading.active_count() - before)
"""


@pytest.mark.parametrize("work", ["featurize", "matrix", "search"])
def test_interrupted_work_ends_within_two_seconds(work):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("WORK", work)], capture_output=True, text=True, timeout=120, check=True
    )
    stopped, threads_left = done.stdout.split()
    assert float(stopped) < 2.3
    assert int(threads_left) == 0
