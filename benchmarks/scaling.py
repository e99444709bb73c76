"""How far, on one machine and on a Dask cluster: ``python -m benchmarks.scaling``.

Features from Parquet to Parquet for more and more perturbed copies of the embedded crystals, with their peak memory; the same on
one and on two workers of a Dask cluster; and a folder of CIF files beside pymatgen's parser alone. Run it on an idle machine.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._perturbed import perturbed_copies
from benchmarks._processes import fresh_process
from benchmarks._run import CONSOLE, command_line, draw_costs, exponent, seconds, write_results
from benchmarks._tables import show
from matminer_grid import GRIDFeaturizer
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.pipeline import featurize_files, featurize_partitions, load_features

TARGETS = {
    "structures a second, Parquet to Parquet": (">=", 5000.0),
    "peak memory in MB": ("<=", 1000.0),
    "two workers / one worker": (">=", 1.6),
    "CIF files with their space group: ours / pymatgen alone": ("<=", 0.125),
    "CIF files in P1: ours / pymatgen alone": ("<=", 1.0),
    "a CIF file with its space group, pymatgen / ours": (">=", 15.0),
    "a CIF file in P1, pymatgen / ours": (">=", 2.0),
}
"""What the project promises."""

FILE_SIZE = 50_000
"""Crystals in an input file."""

ELEMENTS = range(1, 104)
"""Atomic numbers of the elements that copies may have."""

N_PARTITIONS = 16

SYMPREC = 0.01
"""Å. Tolerance of the symmetry that is found when CIF files are written."""

STREAM = """
import time
from matminer_grid import GRIDFeaturizer
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.pipeline import featurize_files
featurizer = GRIDFeaturizer()
featurizer.set_n_jobs(2)
featurizer.featurize_sparse(load_mp_elasticity_table().crystals[:200])
start = time.perf_counter()
report = featurize_files({inputs!r}, {output!r}, featurizer, n_jobs=2)
result = {{"seconds": time.perf_counter() - start, "rows": report.n_rows}}
"""
PARSE_ALONE = """
import time, warnings
from pathlib import Path
from joblib import Parallel, delayed
from pymatgen.io.cif import CifParser

def parse(files):
    warnings.simplefilter("ignore")
    return sum(len(CifParser(file).parse_structures(primitive=False)) for file in files)

files = sorted(Path({inputs!r}).iterdir())
start = time.perf_counter()
chunks = [files[first : first + 32] for first in range(0, len(files), 32)]
rows = sum(Parallel(n_jobs=2, batch_size=1)(delayed(parse)(chunk) for chunk in chunks))
result = {{"seconds": time.perf_counter() - start, "rows": rows}}
"""
PER_FILE = """
import time, warnings
from pathlib import Path
from pymatgen.io.cif import CifParser
from matminer_grid.io import read_structures_from

warnings.simplefilter("ignore")
files = sorted(Path({inputs!r}).iterdir())[:960]
seconds = dict.fromkeys(("ours", "pymatgen"), 0.0)
for first in range(-32, len(files), 32):
    part = files[max(first, 0) : max(first, 0) + 32]
    start = time.perf_counter()
    rows = sum(record.crystal is not None for record in read_structures_from(part))
    middle = time.perf_counter()
    for file in part:
        CifParser(file).parse_structures(primitive=False)
    if first >= 0:  # the first part is read twice: kernels are loaded
        seconds["ours"] += middle - start
        seconds["pymatgen"] += time.perf_counter() - middle
result = {{name: total / len(files) for name, total in seconds.items()}}
"""


def write_crystals(folder: Path, n: int, file_size: int) -> Path:
    """Write n perturbed crystals in files of so many."""
    folder.mkdir()
    for number, start in enumerate(range(0, n, file_size)):
        perturbed_copies(min(file_size, n - start), ELEMENTS, number).to_parquet(folder / f"part-{number:05d}.parquet")
    return folder


def streaming(sizes: list[int], folder: Path) -> dict[str, Any]:
    """Featurize more and more structures, each time in a process of its own."""
    runs = []
    for n in sizes:
        with TemporaryDirectory(dir=folder) as place:
            inputs = write_crystals(Path(place) / "crystals", n, FILE_SIZE)
            run = fresh_process(STREAM.format(inputs=str(inputs), output=str(Path(place) / "features")))
        run["structures a second"] = n / run["seconds"]
        CONSOLE.print(f"{n} structures: {run['seconds']:.2f} s, {run['structures a second']:.0f} a second, {run['peak_MB']:.0f} MB")
        runs.append({"n": n} | run)
    return {"runs": runs, "exponent": exponent(sizes, [run["seconds"] for run in runs]) if len(sizes) > 1 else None}


def warm_up() -> None:
    """Load the kernels of a worker."""
    GRIDFeaturizer().featurize_sparse(load_mp_elasticity_table().crystals[:10])


def workers(n: int, repeats: int, folder: Path) -> dict[str, Any]:
    """Featurize the same partitions on one and on two workers of one thread each, and compare with one process."""
    from distributed import Client, LocalCluster  # noqa: PLC0415  an extra, which others that import from here do without

    best: dict[int, float] = {}
    same = []
    with TemporaryDirectory(dir=folder) as temporary:
        place = Path(temporary)
        inputs = write_crystals(place / "crystals", n, -(-n // N_PARTITIONS))
        names, features = load_features(featurize_files(inputs, place / "local").output)
        for n_workers in (1, 2):
            options = {"n_workers": n_workers, "threads_per_worker": 1, "dashboard_address": ":0", "local_directory": temporary}
            with LocalCluster(**options) as cluster, Client(cluster) as client:
                client.run(warm_up)
                outputs = [place / f"{n_workers}-{repeat}" for repeat in range(repeats)]
                calls = [lambda to=output, by=client: featurize_partitions(by, inputs, to) for output in outputs]
                best[n_workers] = min(float(seconds(call)[0]) for call in calls)
            found, values = load_features(outputs[-1])
            same.append(bool((found == names).all()) and abs(values - features).nnz == 0)
    return {
        "structures": n,
        "partitions": N_PARTITIONS,
        "seconds": {f"{count} workers": fastest for count, fastest in best.items()},
        "ratio": best[1] / best[2],
        "same as in one process": all(same),
    }


def cif_files(n: int, repeats: int, folder: Path, symprec: float | None) -> dict[str, Any]:
    """Featurize a folder of CIF files, and only parse it with pymatgen, in two processes each, in turn; then parse in one.

    With a tolerance for symmetry (Å) the files have the space group and the sites that differ by symmetry, as databases give them;
    without it all sites, in P1, which are parsed in a third of the time.
    """
    with TemporaryDirectory(dir=folder) as temporary:
        place = Path(temporary)
        (place / "cif").mkdir()
        rng = np.random.default_rng(0)
        table = load_mp_elasticity_table().crystals
        for number, row in enumerate(rng.integers(0, len(table), n).tolist()):
            table[row].to_structure().to(filename=str(place / "cif" / f"{number:06d}.cif"), symprec=symprec)
        alone, ours = [], []
        for repeat in range(repeats):
            alone.append(fresh_process(PARSE_ALONE.format(inputs=str(place / "cif"))))
            ours.append(fresh_process(STREAM.format(inputs=str(place / "cif"), output=str(place / f"features {repeat}"))))
        per_file = fresh_process(PER_FILE.format(inputs=str(place / "cif")))
    best = {name: min(run["seconds"] for run in runs) for name, runs in (("pymatgen alone", alone), ("ours", ours))}
    return {
        "files": n,
        "rows": {"pymatgen alone": alone[0]["rows"], "ours": ours[0]["rows"]},
        "seconds": best,
        "ratio": best["ours"] / best["pymatgen alone"],
        "seconds a file, one process": {name: per_file[name] for name in ("pymatgen", "ours")},
        "peak_MB": max(run["peak_MB"] for run in ours),
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = command_line("scaling", __doc__, "scaling.json and scaling.png")
    sizes = [10_000, 100_000, 1_000_000]
    parser.add_argument("--sizes", type=int, nargs="+", default=sizes, help="numbers of structures, Parquet to Parquet")
    parser.add_argument("--partitioned", type=int, default=100_000, help="structures on the Dask cluster")
    parser.add_argument("--cif", type=int, default=10_000, help="CIF files")
    parser.add_argument("--repeats", type=int, default=3, help="runs on the cluster and of the CIF files; the fastest counts")
    options = parser.parse_args(arguments)
    folder = options.output.absolute()
    stream = streaming(options.sizes, folder)
    dask = workers(options.partitioned, options.repeats, folder)
    CONSOLE.print(f"Dask: {dask['seconds']}, same as in one process: {dask['same as in one process']}")
    cif = {}
    for kind, symprec in (("with their space group", SYMPREC), ("in P1", None)):
        cif[kind] = cif_files(options.cif, options.repeats, folder, symprec)
        CONSOLE.print(f"{options.cif} CIF files {kind}: {cif[kind]['seconds']}, {cif[kind]['peak_MB']:.0f} MB")
    if stream["exponent"] is not None:
        CONSOLE.print(f"time grows as the number of structures to the power {stream['exponent']:.2f}")
    reached = {
        "structures a second, Parquet to Parquet": min(run["structures a second"] for run in stream["runs"]),
        "peak memory in MB": max(run["peak_MB"] for run in stream["runs"]),
        "two workers / one worker": dask["ratio"],
    } | {f"CIF files {kind}: ours / pymatgen alone": run["ratio"] for kind, run in cif.items()}
    for kind, run in cif.items():
        alone = run["seconds a file, one process"]
        reached[f"a CIF file {kind.replace('their', 'its')}, pymatgen / ours"] = alone["pymatgen"] / alone["ours"]
    promised = [f"{sign} {target:g}" for sign, target in map(TARGETS.get, reached)]
    show(pd.DataFrame({"": reached.keys(), "reached": reached.values(), "promised": promised}), "scaling", CONSOLE)
    costs = {"seconds": "time / s", "peak_MB": "peak memory / MB"}
    panels = [("structures", label, options.sizes, [run[key] for run in stream["runs"]]) for key, label in costs.items()]
    draw_costs(panels, folder / "scaling.png")
    content = {"load": os.getloadavg()[0], "streaming": stream, "dask": dask, "cif": cif, "reached": reached}
    write_results(folder / "scaling.json", content, "scaling.png")


if __name__ == "__main__":
    main()
