"""Other people's machines: pools of processes, unwritable folders, little memory, one core, no compiler."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core import caching

import matminer_grid

COMMON = """
import json, os, sys, threading
import numpy as np
from matminer_grid import GRIDFeaturizer, grid_emd, grid_emd_exact
from matminer_grid.datasets import load_mp_elasticity_table
"""

COMPUTE = (
    COMMON
    + """
table = load_mp_elasticity_table().crystals[:130]
featurizer = GRIDFeaturizer(cutoff=4.0, bin_size=0.5, n_groups=6)
featurizer.set_n_jobs(-1)
print(repr(float(featurizer.featurize_many(table, pbar=False).sum())))
"""
)


def run(script: str, *arguments: str, check: bool = True, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess:
    """Run a script in a Python of its own; it must end in time."""
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=check,
        env=os.environ | environment,
    )


@pytest.fixture(scope="module")
def expected() -> str:
    return run(COMPUTE).stdout


class TestProcesses:
    POOLS = (
        COMMON
        + """
import multiprocessing
from matminer.featurizers.base import BaseFeaturizer
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    table = load_mp_elasticity_table().crystals[:130]
    structures = table[:12].to_structures()
    featurizer = GRIDFeaturizer(cutoff=4.0, bin_size=0.5, n_groups=6)
    featurizer.set_n_jobs(2)
    expected = np.array([featurizer.featurize(crystal) for crystal in table])
    for _ in range(2):
        np.testing.assert_array_equal(featurizer.featurize_many(table, pbar=False), expected)
        grid_emd(expected, n_groups=6, bin_size=0.5, n_jobs=2, pbar=False)
        np.testing.assert_array_equal(BaseFeaturizer.featurize_many(featurizer, structures, pbar=False), expected[:12])
        if sys.argv[1] != "fork":
            break
    with multiprocessing.Pool(2) as pool:  # threads within processes within a process with threads
        pieces = pool.map(featurizer.transform, [table[:70], table[70:]])
    np.testing.assert_array_equal(np.concatenate(pieces), expected)
    print("done")
"""
    )

    @pytest.mark.parametrize(
        "method", ["fork", pytest.param("forkserver", marks=pytest.mark.slow), pytest.param("spawn", marks=pytest.mark.slow)]
    )
    def test_matminers_pool_and_our_threads_in_turn(self, method, tmp_path):
        script = tmp_path / "pools.py"
        script.write_text(self.POOLS)
        done = subprocess.run([sys.executable, script, method], capture_output=True, text=True, check=False)
        assert done.stdout == "done\n", done.stderr

    NESTED = (
        COMMON
        + """
from joblib import Parallel, delayed
table = load_mp_elasticity_table().crystals[:512]
featurizer = GRIDFeaturizer(cutoff=4.0, bin_size=0.5, n_groups=6)
expected = featurizer.featurize_many(table, pbar=False)
featurizer.set_n_jobs(4)

def work(piece):
    threads = set()
    compute = featurizer._featurize_table

    def observed(table, out):
        threads.add(threading.get_ident())
        return compute(table, out)

    featurizer._featurize_table = observed
    return featurizer.featurize_many(piece, pbar=False), len(threads)

parts, threads = zip(*Parallel(n_jobs=2, backend=sys.argv[1])(delayed(work)(piece) for piece in (table[:256], table[256:])))
np.testing.assert_array_equal(np.concatenate(parts), expected)
print(max(threads))
"""
    )

    @pytest.mark.parametrize("backend", ["threading", "loky"])
    def test_nested_in_joblib_without_oversubscribing(self, backend):
        assert int(run(self.NESTED, backend).stdout) <= 2  # with threads both workers are seen

    def test_nested_in_dask(self, sample):
        import dask

        featurizer = matminer_grid.GRIDFeaturizer(cutoff=4.0, bin_size=0.5, n_groups=6)
        pieces = [dask.delayed(featurizer.transform)(sample[start : start + 100]) for start in (0, 100)]
        first, second = dask.compute(*pieces, scheduler="threads")
        expected = featurizer.transform(sample)
        assert (first == expected[:100]).all()
        assert (second == expected[100:]).all()

    def test_one_core(self, expected):
        script = "import os\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n" + COMPUTE
        assert run(script).stdout == expected


SMALL = """
import numpy as np
from matminer_grid.kernels._jit import jit

@jit
def twice(x):
    return 2 * x

print(twice(21))
"""


class TestCache:
    def installed(self, folder: Path) -> Path:
        """Copy the package to where nothing can be written beside the kernels, by root neither."""
        package = folder / "site-packages" / "matminer_grid"
        shutil.copytree(Path(matminer_grid.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
        (package / "kernels" / "__pycache__").write_text("a file in the folder's place")
        return package.parent

    def test_no_place_for_it(self, expected, tmp_path):
        site, blocked = self.installed(tmp_path), tmp_path / "blocked"
        blocked.write_text("a file")
        script = COMPUTE.replace("[:130]", "[:130]\nimport matminer_grid\nprint(matminer_grid.__file__)")
        environment = {
            "PYTHONPATH": str(site),
            "HOME": str(blocked),
            "XDG_CACHE_HOME": str(blocked),
            "NUMBA_CACHE_DIR": str(blocked),
        }
        done = subprocess.run(
            [sys.executable, "-W", "ignore::UserWarning:pymatgen.core", "-c", script],
            capture_output=True,
            text=True,
            check=True,
            cwd=site,
            env=os.environ | environment,
        )
        assert done.stdout == f"{site}/matminer_grid/__init__.py\n{expected}"
        assert not done.stderr

    @pytest.mark.parametrize("harm", ["os.rmdir", "os.remove"])
    def test_it_disappears_before_machine_code_is_saved(self, tmp_path, harm):
        """The folder is there when the kernel is defined, and a file is in its place, or nothing, when it is compiled."""
        script = tmp_path / "small.py"
        change = "import shutil, pathlib, os\ncache = pathlib.Path(os.environ['NUMBA_CACHE_DIR'])\nshutil.rmtree(cache)\n"
        if harm == "os.remove":
            change += "cache.write_text('a file')\n"
        script.write_text(SMALL.replace("print(", change + "print("))
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, env=environment)
        assert done.stdout == "42\n", done.stderr
        if harm == "os.remove":
            assert "machine code could not be kept in" in done.stderr

    def test_a_full_disk(self, tmp_path):
        script = tmp_path / "small.py"
        script.write_text("import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n" + SMALL)
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        command = [sys.executable, "-B", script]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.stdout == "42\n", done.stderr
        assert "machine code could not be kept in" in done.stderr
        assert "NUMBA_CACHE_DIR names another folder" in done.stderr

    def test_damaged(self, tmp_path):
        script = tmp_path / "small.py"
        script.write_text(SMALL)
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        for content in (None, b"", b"garbage", b"\x80\x04"):
            if content is not None:
                for index in (tmp_path / "cache").rglob("*.nbi"):
                    index.write_bytes(content)
            done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, env=environment)
            assert done.stdout == "42\n", done.stderr

    CALLEE = "from matminer_grid.kernels._jit import jit\n\n@jit\ndef factor(x):\n    return 2 * x\n"
    CALLER = (
        "from matminer_grid.kernels._callee import factor\nfrom matminer_grid.kernels._jit import jit\n\n"
        "@jit\ndef total(x):\n    return factor(x) + 1\n"
    )
    CALL = (
        "from matminer_grid.kernels._caller import total\nassert 'copied' in total.py_func.__code__.co_filename\n"
        "print(total(20), sum(total.stats.cache_hits.values()), sum(total.stats.cache_misses.values()))"
    )

    @pytest.fixture
    def kernels(self, tmp_path) -> Path:
        """A copy of the kernels with two small ones, of which one calls the other."""
        package = tmp_path / "copied" / "matminer_grid"
        shutil.copytree(
            Path(matminer_grid.__file__).parent / "kernels", package / "kernels", ignore=shutil.ignore_patterns("*.nb*")
        )
        (package / "__init__.py").touch()
        (package / "kernels" / "_callee.py").write_text(self.CALLEE)
        (package / "kernels" / "_caller.py").write_text(self.CALLER)
        return package / "kernels"

    def call(self, tmp_path: Path, source: Path) -> str:
        environment = {"PYTHONPATH": str(source), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        caches = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "XDG_CACHE_HOME": str(tmp_path / "home")}
        return run(self.CALL, **environment, **caches).stdout

    def test_a_changed_callee_in_another_file(self, kernels, tmp_path):
        source = kernels.parents[1]
        assert self.call(tmp_path, source) == "41 0 1\n"
        assert self.call(tmp_path, source) == "41 1 0\n"
        (kernels / "_callee.py").write_text(self.CALLEE.replace("2 * x", "3 * x"))
        assert self.call(tmp_path, source) == "61 0 1\n"
        assert self.call(tmp_path, source) == "61 1 0\n"
        (kernels / "_callee.py").touch()  # the content counts, not the time
        assert self.call(tmp_path, source) == "61 1 0\n"

    def test_killed_between_writing_index_and_machine_code(self, kernels, tmp_path):
        source = kernels.parents[1]
        self.call(tmp_path, source)
        old = {file: file.read_bytes() for file in (tmp_path / "cache").rglob("*.nbc")}
        (kernels / "_callee.py").write_text(self.CALLEE.replace("2 * x", "3 * x"))
        self.call(tmp_path, source)
        for file, code in old.items():
            file.write_bytes(code)
        assert self.call(tmp_path, source) == "61 0 1\n"
        assert self.call(tmp_path, source) == "61 1 0\n"

    @pytest.mark.skipif(not hasattr(caching, "ZipCacheLocator"), reason="this numba keeps no machine code of what is in a zip file")
    def test_kernels_in_a_zip_file(self, kernels, tmp_path):
        archive = Path(shutil.make_archive(str(tmp_path / "copied"), "zip", kernels.parents[1]))
        assert self.call(tmp_path, archive) == "41 0 1\n"
        assert self.call(tmp_path, archive) == "41 1 0\n"
        (kernels / "_callee.py").write_text(self.CALLEE.replace("2 * x", "3 * x"))
        shutil.make_archive(str(tmp_path / "copied"), "zip", kernels.parents[1])
        assert self.call(tmp_path, archive) == "61 0 1\n"

    @pytest.mark.slow
    def test_two_processes_that_compile_at_once(self, expected, tmp_path):
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
        command = [sys.executable, "-c", COMPUTE]
        both = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) for _ in range(2)
        ]
        for process in both:
            assert process.communicate() == (expected, "")
        assert run(COMPUTE, NUMBA_CACHE_DIR=str(tmp_path)).stdout == expected


class TestWithoutCompiler:
    SCRIPT = (
        COMMON
        + """
import numba
from matminer_grid import Crystal, CrystalDissimilarity, EMDSearch, composition_emd
from tests import naive
from tests.conftest import REAL
assert numba.config.DISABLE_JIT
grids = {smearing: GRIDFeaturizer(cutoff=3.5, bin_size=0.25, n_groups=8, smearing=smearing) for smearing in (0.0, 0.1)}
for name in ("perovskite", "wustite", "hcp"):
    crystal = Crystal.from_structure(REAL[name]())
    for smearing, featurizer in grids.items():
        expected = naive.grid(crystal, featurizer.bin_edges, 8, smearing)
        np.testing.assert_allclose(featurizer.grid(crystal), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(featurizer.rdf(crystal), naive.rdf(crystal, featurizer.bin_edges), rtol=1e-12)
structures = [REAL[name]() for name in ("perovskite", "wustite", "hcp")]
X = grids[0.0].featurize_sparse(structures)
matrix = grid_emd(X, n_groups=8, bin_size=0.25, pbar=False)
assert abs(matrix[0, 1] - naive.grid_emd(*X[:2].toarray().reshape(2, 8, -1), 0.25)) < 1e-12
dissimilarity = CrystalDissimilarity(grids[0.0], composition_weight=0)
described = dissimilarity.describe(None, features=X)
distances, rows = EMDSearch(dissimilarity).fit(described).kneighbors(described[:1], 1)
assert rows.tolist() == [[0]]
assert abs(grid_emd_exact(*structures[:2], cutoff=3.5, n_groups=8) - matrix[0, 1]) < 0.25
assert composition_emd(["NaCl", "KCl"], metric="substitution")[0, 1] > 0
supercell = structures[0].make_supercell([3, 3, 3])
np.testing.assert_allclose(grids[0.0].featurize(supercell), X[[0]].toarray()[0], rtol=0, atol=1e-9)
print("done")
"""
    )

    def test_no_program_is_found(self, expected, tmp_path):
        """Neither a C compiler nor any other program is on the path."""
        assert run(COMPUTE, PATH=str(tmp_path)).stdout == expected

    def test_kernels_are_plain_python_too(self):
        root = str(Path(__file__).parents[1])
        done = run(self.SCRIPT, check=False, NUMBA_DISABLE_JIT="1", PYTHONPATH=root, PYTHONWARNINGS="error::RuntimeWarning")
        assert done.stdout == "done\n", done.stderr


class TestMemory:
    """Under a limit there is a clear error, and the process lives on."""

    LIMITED = (
        COMMON
        + """
import resource
from matminer_grid import Crystal
iron = Crystal(3 * np.eye(3), np.zeros((1, 3)), np.array([26]), np.ones(1), np.zeros(1))
features = GRIDFeaturizer(n_groups=10).featurize_sparse([iron])
grid_emd(features, n_groups=10, bin_size=0.1, pbar=False)
GRIDFeaturizer(cutoff=2.0).rdf(iron)
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000, used + 300_000_000))
for call in (
    lambda: GRIDFeaturizer(cutoff=1000.0, bin_size=1.0).rdf(iron),
    lambda: grid_emd_exact(iron, iron, cutoff=2000.0, n_groups=10**9),
    lambda: GRIDFeaturizer(cutoff=480.0, bin_size=1.0).rdf(iron),
    lambda: GRIDFeaturizer().featurize_many([iron] * 10_000, pbar=False),
    lambda: GRIDFeaturizer(cutoff=100.0, bin_size=100.0, n_groups=10**8).grid(iron),
    lambda: grid_emd(features[[0] * 20_000], n_groups=10, bin_size=0.1, pbar=False),
):
    try:
        call()
    except (MemoryError, ValueError) as error:
        print("MemoryError" if isinstance(error, MemoryError) else "ValueError", error)
    else:
        print("fine")
print(GRIDFeaturizer(n_groups=3).grid(iron).sum())
"""
    )

    def test_limited(self):
        done = run(self.LIMITED, check=False)
        assert done.returncode == 0, done.stderr
        *refused, last = done.stdout.splitlines()
        assert len(refused) == 6
        for line, message in zip(
            refused,
            (
                "ValueError row 0: Fe1: a site has more than 20,000,000 neighbours within reach, the limit",
                "MemoryError Unable to allocate 7.45 GiB for an array with shape (1000000000,)",
                "MemoryError row 0: Fe1: a cell of 1 site(s) and 27 Å³ takes more memory than there is (Allocation failed",
                "MemoryError Unable to allocate 763. MiB for an array with shape (10000, 10000)",
                "MemoryError Unable to allocate 763. MiB for an array with shape (1, 100000000)",
                "MemoryError Unable to allocate 2.98 GiB for an array with shape (20000, 20000)",
            ),
            strict=True,
        ):
            assert line.startswith(message)
        assert float(last) == pytest.approx(3)
