"""How fast, beside what people use today: ``python -m benchmarks.speed``.

Everything is measured in one run on one machine, on the embedded crystals: medians and quartiles of repeated runs, ratios, scaling
exponents and peak memory. Peers come from the extra [bench]; one that isn't installed is left out with a note. Run it on an idle
machine.
"""

from __future__ import annotations

import warnings
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matminer.featurizers.structure.rdf import PartialRadialDistributionFunction, RadialDistributionFunction
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure
from scipy.spatial.distance import cdist

from benchmarks._processes import fresh_processes
from benchmarks._run import CONSOLE, command_line, draw_costs, exponent, seconds, write_results
from benchmarks._tables import show
from benchmarks.moduli.task import load_task
from matminer_grid import (
    CrystalDissimilarity,
    CrystalTable,
    EMDSearch,
    GRIDFeaturizer,
    PowderPatternFeaturizer,
    ReflectionPairsFeaturizer,
    StructureFactorFeaturizer,
    grid_emd,
)
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.similarity.grid_index import TIE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matminer_grid.similarity import DescribedCrystals

REPEATS = 7
TARGETS = {
    "GRID from Structures / gridrdf, smearing": 100.0,
    "GRID from Structures / matminer RDF": 100.0,
    "GRID from Structures / PDD(k=100)": 15.0,
    "grid_emd, 2 threads / gridrdf, 2 threads": 80.0,
    "grid_emd, 1 thread / scipy cityblock": 10.0,
    "search / brute force": 5.0,
    "structure factors, radial / XRDCalculator": 50.0,
}
"""Ratios that the project promises, at least."""

S_MAX = 1.2
"""1/Å. Radius of the sphere of reflections."""


def measure(function: Callable[[], Any], per: int, repeats: int = REPEATS) -> dict[str, float]:
    """Time a call repeatedly, after one call that doesn't count; microseconds per item: median and quartiles."""
    function()
    low, median, high = np.percentile(seconds(function, repeats) / per * 1e6, (25, 50, 75))
    return {"median": float(median), "low": float(low), "high": float(high)}


def installed(name: str) -> bool:
    """Tell whether a peer is there, and say so if it isn't."""
    if find_spec(name) is None:
        CONSOLE.print(f"{name} is not installed and is left out; pip install 'matminer-grid[bench]' brings it")
        return False
    return True


def per_structure(structures: Sequence[Structure]) -> dict[str, dict[str, float]]:
    """Time to featurize, in microseconds a structure."""
    n = len(structures)
    table = load_mp_elasticity_table().crystals
    rows = np.random.default_rng(0).choice(len(table), n, replace=False)
    crystals = table[rows]
    results: dict[str, dict[str, float]] = {}
    for smearing, label in ((0.0, ""), (0.1, ", smearing")):
        for threads in (1, 2):
            featurizer = GRIDFeaturizer(smearing=smearing)
            featurizer.set_n_jobs(threads)
            name = f"GRID{label}, {threads} thread{'s' * (threads > 1)}"
            results[f"{name}, Structures"] = measure(lambda f=featurizer: f.featurize_many(structures, pbar=False), n)
            results[f"{name}, CrystalTable"] = measure(lambda f=featurizer: f.featurize_many(crystals, pbar=False), n)
    distances = np.random.default_rng(0).uniform(2, 8, (int(crystals.n_sites.sum()), 100))
    results["numpy.sort of 100 distances a site, alone"] = measure(lambda: np.sort(distances, axis=1), n)
    rdf = RadialDistributionFunction(cutoff=10.0, bin_size=0.1)
    results["matminer RDF, serial"] = measure(lambda: [rdf.featurize(s) for s in structures], n, 3)
    prdf = PartialRadialDistributionFunction(cutoff=10.0, bin_size=0.1)
    results["matminer PRDF, serial"] = measure(lambda: [prdf.compute_prdf(s) for s in structures], n, 3)
    results["pymatgen get_neighbor_list"] = measure(lambda: [s.get_neighbor_list(10.0) for s in structures], n, 3)
    if installed("gridrdf"):
        from gridrdf.extendRDF import calculate_rdf, find_all_neighbours  # noqa: PLC0415  an extra

        def gridrdf(smearing: float) -> None:
            for structure in structures:
                neighbours = find_all_neighbours([structure], num_neighbours=100, return_limits=False)
                calculate_rdf(structure, neighbours[0], max_dist=10, bin_width=0.1, smearing=smearing)

        results["gridrdf, smearing"] = measure(lambda: gridrdf(0.1), n, 3)
        results["gridrdf, no smearing"] = measure(lambda: gridrdf(0.0), n, 3)
    if installed("amd"):
        import amd  # noqa: PLC0415  an extra

        sets = [amd.periodicset_from_pymatgen_structure(s) for s in structures]
        results["average-minimum-distance PDD(k=100), its own sets"] = measure(lambda: [amd.PDD(s, 100) for s in sets], n, 3)
        to_set = amd.periodicset_from_pymatgen_structure
        results["average-minimum-distance PDD(k=100)"] = measure(lambda: [amd.PDD(to_set(s), 100) for s in structures], n, 3)
    if installed("dscribe"):
        from dscribe.descriptors import SOAP  # noqa: PLC0415  an extra
        from pymatgen.io.ase import AseAtomsAdaptor  # noqa: PLC0415  needs ASE, which comes with dscribe

        def soap() -> None:
            for structure in structures:
                atoms = AseAtomsAdaptor.get_atoms(structure)
                elements = set(atoms.get_chemical_symbols())
                SOAP(species=elements, r_cut=6.0, n_max=8, l_max=6, average="inner", periodic=True).create(atoms)

        results["dscribe SOAP of the crystal's own elements, 6 Å, averaged"] = measure(soap, n, 3)
    return results


def structure_factors(structures: Sequence[Structure]) -> dict[str, dict[str, float]]:
    """Time of diffraction intensities up to the same |S|, in microseconds a structure, beside pymatgen's full sphere."""
    n = len(structures)
    calculator = XRDCalculator(wavelength=2 / S_MAX)
    results = {}
    makers = {"radial": PowderPatternFeaturizer(s_max=S_MAX), "pairs": ReflectionPairsFeaturizer(s_max=S_MAX)}
    for kind, featurizer in {**makers, "hkl": StructureFactorFeaturizer()}.items():
        featurizer.set_n_jobs(1)
        took = measure(lambda f=featurizer: f.featurize_many(structures, pbar=False), n, 3)
        results[f"structure factors, {kind}, 1 thread"] = took
    pattern = partial(calculator.get_pattern, scaled=False, two_theta_range=None)
    results["pymatgen XRDCalculator, full sphere"] = measure(lambda: [pattern(s) for s in structures], n, 1)
    return results


def per_pair(structures: Sequence[Structure]) -> dict[str, dict[str, float]]:
    """Time of a square matrix, in microseconds a pair of different structures."""
    featurizer = GRIDFeaturizer()
    X = featurizer.featurize_many(structures, pbar=False)
    complete = X.reshape(len(X), 100, 100).sum(axis=2).min(axis=1) > 1 - 1e-9  # gridrdf takes nothing else
    X = X[complete]
    n = len(X)
    pairs = n * (n - 1) // 2
    sparse = featurizer.featurize_sparse([s for s, keep in zip(structures, complete, strict=True) if keep])
    results = {}
    emd = partial(grid_emd, n_groups=100, bin_size=0.1, pbar=False)
    for threads in (1, 2):
        name = f"grid_emd, {threads} thread{'s' * (threads > 1)}"
        results[name] = measure(lambda t=threads: emd(sparse, n_jobs=t), pairs)
    results["grid_emd from dense features, 2 threads"] = measure(lambda: emd(X, n_jobs=2), pairs)
    cumulative = np.cumsum(X.reshape(n, 100, 100), axis=2).reshape(n, -1) * (0.1 / 100)
    results["scipy cdist cityblock, 1 thread"] = measure(lambda: cdist(cumulative, cumulative, "cityblock"), n * n, 3)
    ours = emd(sparse)
    results["largest difference to scipy in Å"] = {"median": float(np.abs(cdist(cumulative, cumulative, "cityblock") - ours).max())}
    if installed("gridrdf"):
        from gridrdf.earth_mover_distance import super_fast_EMD_matrix  # noqa: PLC0415  an extra

        grids = X.reshape(n, 100, 100)
        results["gridrdf super_fast_EMD_matrix, 2 threads"] = measure(lambda: super_fast_EMD_matrix(grids, 0.1), pairs, 1)
    if installed("amd"):
        import amd  # noqa: PLC0415  an extra

        few = [amd.PDD(amd.periodicset_from_pymatgen_structure(s), 100) for s in structures[:100]]
        results["average-minimum-distance PDD_pdist"] = measure(lambda: amd.PDD_pdist(few), 100 * 99 // 2, 3)
    return results


def search(limit: int | None) -> dict[str, Any]:
    """Exact nearest neighbours of the test part in the training part, against evaluating every pair with the same kernels."""
    task = load_task(limit, 1)
    grids = GRIDFeaturizer.from_preset("zhang2023").featurize_sparse(task.crystals)
    train, test = task.train, task.test
    dissimilarity = CrystalDissimilarity.from_preset("zhang2023")
    emd_search = EMDSearch(dissimilarity, n_neighbors=1, n_jobs=2)

    def described(rows: np.ndarray) -> DescribedCrystals:
        return dissimilarity.describe(task.crystals[rows], features=grids[rows])

    emd_search.fit(described(train)).kneighbors(described(test[:10]))  # loads the kernels
    found: list[np.ndarray] = []
    taken = seconds(lambda: found.extend(emd_search.fit(described(train)).kneighbors(described(test))))[0]
    distances, indices = found
    some = np.random.default_rng(0).choice(len(test), min(100, len(test)), replace=False)
    everything: list[np.ndarray] = []
    known = emd_search.references_
    brute = seconds(lambda: everything.append(dissimilarity.pairwise(described(test[some]), known, n_jobs=2)))[0]
    best = np.rint(everything[0] / TIE).argmin(axis=1)
    evaluated = everything[0][np.arange(len(some)), best]
    results = {
        "queries": len(test),
        "references": len(train),
        "search_seconds": float(taken),
        "brute_force_seconds": float(brute) * len(test) / len(some),
        "evaluated_share": emd_search.evaluated_share_,
        "transported_share": emd_search.transported_share_,
        "same_as_brute_force": bool((best == indices[some, 0]).all() and np.abs(evaluated - distances[some, 0]).max() < TIE),
    }
    CONSOLE.print(
        f"1-NN of {len(test)} in {len(train)}: {taken:.2f} s; all pairs evaluated: {results['brute_force_seconds']:.1f} s (from "
        f"{len(some)} queries); {emd_search.evaluated_share_:.2%} of the GRID pairs evaluated; same neighbours: "
        f"{results['same_as_brute_force']}"
    )
    return results


def scaling(limit: int | None) -> dict[str, dict[str, Any]]:
    """Cost of a structure, or a site, against one size at a time; the exponent of the whole cost."""
    table = load_mp_elasticity_table().crystals
    table = table if limit is None else table[:limit]

    def cost(featurizer: GRIDFeaturizer, crystals: Any, repeats: int = 3) -> float:
        featurizer.set_n_jobs(1)
        return measure(lambda: featurizer.featurize_sparse(crystals), len(crystals), repeats)["median"]

    sizes = [n for n in (100, 300, 1000, 3000, 10000) if n <= len(table)]
    cells = [disordered_cell(side) for side in (1, 2, 3, 4, 6, 8, 10, 12)]
    atoms = [len(cell) for cell in cells]
    copies = [CrystalTable.from_structures([cell] * max(1, 6000 // len(cell))) for cell in cells]
    cutoffs, groups = (5.0, 7.0, 10.0, 14.0, 20.0), (10, 30, 100, 300, 1000)
    some = table[:300]
    costs = {
        "structures": (sizes, [cost(GRIDFeaturizer(), table[:n]) for n in sizes]),
        "atoms in the cell": (atoms, [cost(GRIDFeaturizer(), copy) / n for copy, n in zip(copies, atoms, strict=True)]),
        "cutoff / Å, 100 groups": (cutoffs, [cost(GRIDFeaturizer(cutoff=cutoff, n_groups=100), some) for cutoff in cutoffs]),
        "groups, 20 Å": (groups, [cost(GRIDFeaturizer(cutoff=20.0, n_groups=n), some) for n in groups]),
    }
    return {
        name: {
            "sizes": sizes,
            "cost": found,
            "unit": "µs a site" if name == "atoms in the cell" else "µs a structure",
            "exponent": exponent(sizes, found),
        }
        for name, (sizes, found) in costs.items()
    }


def disordered_cell(side: int) -> Structure:
    """Make a cell of side^3 atoms at the density of copper, on a grid shaken by up to 0.3 Å."""
    rng = np.random.default_rng(side)
    spacing = 2.28
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * spacing
    coords = grid + rng.uniform(-0.3, 0.3, grid.shape)
    return Structure(Lattice.cubic(side * spacing), ["Cu"] * len(coords), coords, coords_are_cartesian=True)


def ratios(structure: dict[str, Any], pair: dict[str, Any], found: dict[str, Any]) -> dict[str, float]:
    """Compare what the project promises to compare: how many times as fast ours is."""
    times = structure | pair
    compared = {
        "GRID from Structures / gridrdf, smearing": ("gridrdf, smearing", "GRID, 1 thread, Structures"),
        "GRID with smearing from Structures / gridrdf, smearing": ("gridrdf, smearing", "GRID, smearing, 1 thread, Structures"),
        "GRID from Structures / matminer RDF": ("matminer RDF, serial", "GRID, 1 thread, Structures"),
        "GRID from Structures / PDD(k=100)": ("average-minimum-distance PDD(k=100)", "GRID, 1 thread, Structures"),
        "GRID from CrystalTable / sorting alone": ("numpy.sort of 100 distances a site, alone", "GRID, 1 thread, CrystalTable"),
        "structure factors, radial / XRDCalculator": ("pymatgen XRDCalculator, full sphere", "structure factors, radial, 1 thread"),
        "grid_emd, 2 threads / gridrdf, 2 threads": ("gridrdf super_fast_EMD_matrix, 2 threads", "grid_emd, 2 threads"),
        "grid_emd, 1 thread / scipy cityblock": ("scipy cdist cityblock, 1 thread", "grid_emd, 1 thread"),
        "grid_emd, 1 thread / PDD_pdist": ("average-minimum-distance PDD_pdist", "grid_emd, 1 thread"),
    }
    out = {name: times[peer]["median"] / times[ours]["median"] for name, (peer, ours) in compared.items() if peer in times}
    out["search / brute force"] = found["brute_force_seconds"] / found["search_seconds"]
    return out


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = command_line("speed", __doc__, "speed.json and scaling.png")
    parser.add_argument("--limit", type=int, help="use this many entries in the runs over all of them, for a quick look")
    parser.add_argument("--structures", type=int, default=300, help="random structures that are timed one by one")
    parser.add_argument("--pairs", type=int, default=1000, help="random structures whose matrix is timed")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    table = load_mp_elasticity_table().crystals
    rows = np.random.default_rng(0).choice(len(table), options.structures, replace=False)
    structures = table[rows].to_structures()

    structure = per_structure(structures) | structure_factors(structures)
    pair = per_pair(table[np.random.default_rng(1).permutation(len(table))[: options.pairs]].to_structures())
    for title, results in (("µs a structure", structure), ("µs a pair (the last line but the peers': Å)", pair)):
        show(_named(results).rename(columns={"median": "in the median", "low": "lower quartile", "high": "upper"}), title, CONSOLE)
    found = search(options.limit)
    processes = fresh_processes(options.limit)
    show(_named(processes), "in fresh processes: seconds, and peak memory in MB", CONSOLE)
    scales = scaling(options.limit)
    panels = [(name, f"cost / {v['unit']}, exponent {v['exponent']:.2f}", v["sizes"], v["cost"]) for name, v in scales.items()]
    draw_costs(panels, options.output / "scaling.png")
    ends = {
        name: {"exponent": v["exponent"], "from": v["cost"][0], "to": v["cost"][-1], "": v["unit"]} for name, v in scales.items()
    }
    show(_named(ends), "cost against size", CONSOLE)
    compared = ratios(structure, pair, found)
    promised = {name: {"ratio": ratio, "promised, at least": TARGETS.get(name)} for name, ratio in compared.items()}
    show(_named(promised), "times as fast", CONSOLE)
    content = {"structure": structure, "pair": pair, "search": found, "processes": processes, "scaling": scales, "ratios": compared}
    write_results(options.output / "speed.json", content, "scaling.png")


def _named(rows: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Make a table of named rows."""
    return pd.DataFrame([{"what": name} | row for name, row in rows.items()])


if __name__ == "__main__":
    main()
