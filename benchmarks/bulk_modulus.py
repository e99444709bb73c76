"""The published bulk-modulus comparison on the embedded data: ``python -m benchmarks.bulk_modulus``.

Protocol of R.-Z. Zhang, S. Seth and J. Cumby, Digital Discovery 2 (2023) 81-90, 10.1039/D2DD00054G: the entries that hold none but
the 78 elements to Bi, 80:20 split with seed 1, k-nearest neighbours on 10 GRID EMD + substitution EMD, with each dissimilarity
alone and matminer's RDF beside it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matminer.featurizers.structure.rdf import RadialDistributionFunction
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors
from tqdm.auto import tqdm

from benchmarks._run import Stages, output_folder, provenance, scores, write_json
from matminer_grid import CrystalTable, EMDSearch, GRIDFeaturizer
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.elements import SUBSTITUTION_ELEMENTS, species_symbol
from matminer_grid.plotting import plot_parity

NEIGHBORS = (1, 5)
PUBLISHED = {"MAE": 18.0, "median": 11.0}
"""The report's kNN with k = 1, 10.5258/SOTON/P0038."""

COLUMNS = {"MAE": ".2f", "median": ".2f", "RMSE": ".2f", "MAE_log10": ".4f"}
"""Scores in the printed table, with their format."""

RDF_CHECKS = 200
"""Structures on which our RDF is compared with matminer's in each run."""


@dataclass(frozen=True)
class Task:
    """Crystals and their bulk moduli in GPa, split into a training and a test part."""

    crystals: CrystalTable
    K_VRH: np.ndarray
    train: np.ndarray
    test: np.ndarray


def load_task(limit: int | None, seed: int) -> Task:
    """Take the entries of the 78 elements, or a random `limit` of them, and split them."""
    table = load_mp_elasticity_table()
    rows = np.nonzero(within_substitution_table(table.crystals))[0]
    if limit is not None:
        if not 20 <= limit <= len(rows):
            raise SystemExit(f"--limit must be between 20 and {len(rows)}, not {limit}")
        rows = np.sort(np.random.default_rng(seed).choice(rows, limit, replace=False))
    train, test = train_test_split(np.arange(len(rows)), test_size=0.2, random_state=seed)
    return Task(table.crystals[rows], table.K_VRH[rows], train, test)


def within_substitution_table(crystals: CrystalTable) -> np.ndarray:
    """Tell which crystals hold none but the elements of the substitution table."""
    known = [number for number in np.unique(crystals.numbers) if species_symbol(int(number)) in SUBSTITUTION_ELEMENTS]
    outside = ~np.isin(crystals.numbers, known)
    owner = np.repeat(np.arange(len(crystals)), np.diff(crystals.species_offsets))
    return np.bincount(owner, weights=outside, minlength=len(crystals)) == 0


def check_rdf(crystals: CrystalTable, rdf: np.ndarray, featurizer: GRIDFeaturizer, seed: int) -> float:
    """Compare our RDFs with matminer's on random structures; give the largest difference relative to the highest bin.

    The two bins at an edge that a distance is within 1e-8 Å of are left out: there rounding decides in matminer's.
    """
    peer = RadialDistributionFunction(cutoff=featurizer.cutoff, bin_size=featurizer.bin_size)
    rows = np.random.default_rng(seed).choice(len(crystals), min(RDF_CHECKS, len(crystals)), replace=False)
    largest = 0.0
    for row in tqdm(rows.tolist(), desc="check RDF against matminer"):
        structure = crystals[row].to_structure()
        distances = structure.get_neighbor_list(featurizer.cutoff + 0.1)[3]
        edges = np.rint(distances / featurizer.bin_size).astype(int)
        touched = edges[np.abs(distances - edges * featurizer.bin_size) < 1e-8]
        compared = ~np.isin(np.arange(featurizer.n_bins), np.concatenate((touched - 1, touched)))
        theirs = peer.featurize(structure)
        largest = max(largest, float(np.abs(theirs - rdf[row])[compared].max() / theirs.max()))
    if largest > 1e-9:
        raise SystemExit(f"our RDF differs from matminer's by {largest:.2g} of the highest bin: that is a bug, please report it")
    return largest


def run(task: Task, seed: int, stages: Stages) -> tuple[dict[str, dict[str, float]], dict[str, np.ndarray], float]:
    """Compute every row of the table: scores by name, predictions for the test part, and how far our RDF is from matminer's."""
    featurizer = GRIDFeaturizer.from_preset("zhang2023")
    train, test, K = task.train, task.test, task.K_VRH
    with stages("GRID"):
        grids = featurizer.featurize_sparse(task.crystals, pbar=True)
    with stages("RDF"):
        rdf = featurizer.rdf_many(task.crystals)
    with stages("check RDF against matminer"):
        difference = check_rdf(task.crystals, rdf, featurizer, seed)
    distributions = rdf / rdf.sum(axis=1, keepdims=True)

    results: dict[str, dict[str, float]] = {}
    predictions: dict[str, np.ndarray] = {}

    def add(name: str, k: int, neighbors: np.ndarray, **extra: float) -> None:
        predicted = K[train][neighbors[:, :k]].mean(axis=1)
        results[f"{name}, k = {k}"] = scores(K[test], predicted) | extra
        predictions[f"{name}, k = {k}"] = predicted

    searches = {
        "10 GRID + composition": (grids, EMDSearch(n_groups=featurizer.n_groups, bin_size=featurizer.bin_size)),
        "GRID": (grids, EMDSearch(n_groups=featurizer.n_groups, bin_size=featurizer.bin_size, composition_weight=0)),
        "composition": (grids, EMDSearch(n_groups=featurizer.n_groups, bin_size=featurizer.bin_size, grid_weight=0)),
        "RDF, EMD": (distributions, EMDSearch(n_groups=1, bin_size=featurizer.bin_size, composition_weight=0)),
    }
    for name, (features, search) in searches.items():
        with stages(f"neighbours: {name}"):
            search.fit(features[train], task.crystals[train])
            neighbors = search.kneighbors(features[test], task.crystals[test], k=max(NEIGHBORS), pbar=True)[1]
        for k in NEIGHBORS:
            add(name, k, neighbors, evaluated_share=max(search.evaluated_share_, search.transported_share_))
    with stages("neighbours: RDF, cosine"):
        cosine = NearestNeighbors(n_neighbors=max(NEIGHBORS), metric="cosine").fit(rdf[train])
        neighbors = cosine.kneighbors(rdf[test], return_distance=False)
    for k in NEIGHBORS:
        add("RDF, cosine", k, neighbors)
    return results, predictions, difference


def show(results: dict[str, dict[str, float]], stages: Stages, n_test: int, console: Console) -> None:
    """Print the table of scores and the time of each stage."""
    table = Table(title=f"Bulk modulus of {n_test} test crystals, k-nearest neighbours")
    for header in ("dissimilarity", "MAE / GPa", "median / GPa", "RMSE / GPa", "MAE of log10 K"):
        table.add_column(header, justify="left" if header == "dissimilarity" else "right")
    for name, score in results.items():
        table.add_row(name, *(f"{score[key]:{style}}" for key, style in COLUMNS.items()))
    table.add_section()
    table.add_row("published: GRID + composition, k = 1", f"{PUBLISHED['MAE']:.0f}", f"{PUBLISHED['median']:.0f}", "", "")
    console.print(table)
    console.print("  ".join(f"{stage} {seconds:.1f} s" for stage, seconds in stages.seconds.items()))


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk_modulus", description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, help="take a random sample of this many entries, for a quick look")
    parser.add_argument(
        "--output", type=Path, default=Path("output/bulk_modulus"), help="folder for results.json and the parity plot"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the split, 1 as published")
    options = parser.parse_args(arguments)
    folder = output_folder(options.output)
    mpl.use("Agg")
    stages, console = Stages(), Console()
    with stages("total"):
        with stages("load"):
            task = load_task(options.limit, options.seed)
        results, predictions, rdf_difference = run(task, options.seed, stages)
        truth, best = task.K_VRH[task.test], predictions["10 GRID + composition, k = 1"]
        axes = plot_parity(truth, best, quantity="bulk modulus", unit="GPa")
        axes.set_title("10 GRID + composition EMD, nearest neighbour")
        axes.figure.savefig(folder / "parity.png", dpi=150, bbox_inches="tight")
    show(results, stages, len(task.test), console)
    content = provenance() | {
        "seed": options.seed,
        "entries": len(task.crystals),
        "test_entries": len(task.test),
        "published": PUBLISHED,
        "scores": results,
        "rdf_against_matminer": rdf_difference,
        "seconds": stages.seconds,
    }
    write_json(folder / "results.json", content)
    console.print(f"written: {folder / 'results.json'}, {folder / 'parity.png'}")


if __name__ == "__main__":
    main()
