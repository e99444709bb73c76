"""Duplicates and novelty where the truth is known: ``python -m benchmarks.sets``.

Small embedded crystals are references. Copies of them are the same crystals (in another cell of twice the volume, strained by
0.5 %, each atom moved by 0.02 Å) or new ones (two atoms exchanged, an element replaced by one near it on the modified Pettifor
scale). Methods judge all pairs of equal formulas: ours by its default tolerance; one number, PDD (average-minimum-distance, where
it is installed) and composition alone by the tolerance that suits each best; pymatgen's StructureMatcher on a sample, its time
extrapolated to all pairs.

With ``--carbon FILE``, the test part of Carbon-24 (T. Xie et al., 10.48550/arXiv.2110.06197; a CSV file with the column cif):
groups of duplicates, their time beside StructureMatcher's, how far both agree on near pairs, and whether the order matters. With
``--scale 10000 100000 1000000``: known and new crystals against more and more references in an index. What the project promises is
checked; the exit code is 1 if something fails. Run it on an idle machine.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from pymatgen.analysis.structure_matcher import StructureMatcher

from benchmarks._page import Section, outcomes, write_page
from benchmarks._planted import SAME, planted_copies
from benchmarks._planted_methods import MATCHER, PARTS, Planted, ask_matcher, compare_methods
from benchmarks._processes import fresh_process
from benchmarks._run import CONSOLE, Stages, command_line, exponent, seconds, write_results
from benchmarks._tables import listed, records, show
from benchmarks.evaluation import build, generated_crystals
from benchmarks.scaling import ELEMENTS
from matminer_grid import CrystalTable, find_duplicates, find_pairs
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.io import read_structures_from

if TYPE_CHECKING:
    from argparse import ArgumentParser

LARGEST = 12
"""Atoms of a reference, at most."""

NEAR = 0.1
"""Site dissimilarity within which StructureMatcher is asked whether it agrees."""

REPEATS, SHUFFLES = 3, 3
QUERIES = 1000

SCALE = """
import time
from matminer_grid import CrystalIndex, CrystalTable, find_pairs
queries = CrystalTable.from_parquet({queries!r})
index = CrystalIndex({index!r})
find_pairs(queries[:8], queries[:8])
start, cpu = time.perf_counter(), time.process_time()
pairs = find_pairs(queries, index, n_jobs=2)
result = {{
    "seconds": time.perf_counter() - start,
    "CPU seconds": time.process_time() - cpu,
    "known": sorted(set(pairs.rows[pairs.within, 0].tolist())),
}}
"""


def references(n: int, seed: int) -> CrystalTable:
    """Draw n of the small ordered crystals that are embedded."""
    crystals = load_mp_elasticity_table().crystals
    small = np.nonzero((crystals.n_sites <= LARGEST) & (np.diff(crystals.species_offsets) == crystals.n_sites))[0]
    return crystals[np.sort(np.random.default_rng(seed).permutation(small)[:n])]


def read_carbon(path: Path) -> CrystalTable:
    """Read the crystals of a CSV file with a column of CIFs."""
    frame = pd.read_csv(path)
    if "cif" not in frame:
        raise SystemExit(f"{path}: a column cif is needed, and there are {', '.join(map(str, frame.columns))}")
    with TemporaryDirectory() as folder:
        for row, text in enumerate(frame["cif"]):
            (Path(folder) / f"{row:06d}.cif").write_text(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the summary of what is told below
            found = list(read_structures_from(folder))
    bad = [f"row {row}: {record.error}" for row, record in enumerate(found) if record.crystal is None]
    if bad:
        raise SystemExit(f"{path}: {len(bad)} crystals can't be read; {bad[0]}")
    return CrystalTable.from_crystals(record.crystal for record in found)


def judge_carbon(path: Path, n_judged: int, seed: int) -> dict[str, Any]:
    """Group the crystals of Carbon-24, and hold that against StructureMatcher and against other orders of the crystals."""
    rng = np.random.default_rng(seed)
    crystals = read_carbon(path)
    n = len(crystals)
    find_duplicates(crystals[:20])  # compiled before it is timed
    took = float(np.median(seconds(lambda: find_duplicates(crystals), REPEATS)))
    found = find_duplicates(crystals)
    structures, matcher = crystals.to_structures(), StructureMatcher()
    first = rng.integers(n, size=n_judged)
    pairs = np.stack((first, (first + rng.integers(1, n, size=n_judged)) % n), axis=1)
    start = time.perf_counter()
    for a, b in pairs.tolist():
        matcher.fit(structures[a], structures[b])
    mean = (time.perf_counter() - start) / n_judged
    near = rng.permutation(find_pairs(crystals, tolerance=NEAR).rows)[:n_judged]
    agreed = [matcher.fit(structures[a], structures[b]) for a, b in near.tolist()]
    same = True
    for _ in range(SHUFFLES):
        order = rng.permutation(n)
        same &= _partition(find_duplicates(crystals[order]).labels) == _partition(found.labels[order])
    extrapolated = mean * n * (n - 1) / 2
    return {
        "crystals": n,
        "distinct": len(found.distinct),
        "groups of several": len(found.groups),
        "pairs within the tolerance": len(found.pairs),
        "seconds": took,
        "StructureMatcher ms a pair": mean * 1e3,
        "StructureMatcher hours, all pairs": extrapolated / 3600,
        "times faster": extrapolated / took,
        "near pairs judged": len(agreed),
        "near pairs that match": float(np.mean(agreed)) if agreed else None,
        "the same in other orders": bool(same),
    }


def _partition(labels: np.ndarray) -> list[int]:
    """Give groups numbers in the order in which they appear."""
    _, first, group = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[group].tolist()


def against_many(sizes: list[int], output: Path) -> list[dict[str, Any]]:
    """Tell known from new crystals, half and half, against indexes of more and more references, each in a process of its own."""
    rows = []
    for n in sorted(sizes):
        with TemporaryDirectory(dir=output) as temporary:
            index, crystals = build(Path(temporary), n)
            queries = generated_crystals(crystals, min(QUERIES, 2 * len(crystals)))
            queries.to_parquet(Path(temporary) / "queries.parquet")
            run: dict[str, Any] = fresh_process(SCALE.format(queries=str(Path(temporary) / "queries.parquet"), index=index))
        known = np.isin(np.arange(len(queries)), run.pop("known"))
        half = len(queries) // 2
        truth = {"known that are found": float(known[:half].mean()), "new that are called so": float((~known[half:]).mean())}
        rows.append({"references": n, "queries": len(queries)} | run | truth)
    return rows


def check(methods: list[dict[str, Any]], carbon: dict[str, Any] | None) -> pd.DataFrame:
    """Hold what is promised against the numbers."""
    ours = next(row for row in methods if row["method"] == PARTS)
    claims = [(f"recall, {kind}", ours[kind], ">=", 0.99) for kind in SAME]
    claims.append(("exchanged called the same", ours["exchanged"], "<=", 0.02))
    if carbon is not None:
        claims.append(("Carbon-24: s for groups", carbon["seconds"], "<=", 3.0))
        claims.append(("Carbon-24: times as fast as StructureMatcher", carbon["times faster"], ">=", 3000.0))
        if carbon["near pairs judged"]:
            claims.append((f"Carbon-24: share of pairs within {NEAR:g} that match", carbon["near pairs that match"], ">=", 0.99))
        claims.append(("Carbon-24: the same in other orders", float(carbon["the same in other orders"]), ">=", 1.0))
    rows = [
        {"claim": claim, "found": value, "bound": f"{sign} {bound:g}", "outcome": "holds" if holds else "fails"}
        for claim, value, sign, bound in claims
        for holds in [value >= bound if sign == ">=" else value <= bound]
    ]
    return pd.DataFrame(rows)


def draw_curves(curves: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Draw what each method calls the same against its tolerance: recall of each kind, exchanged ones, precision."""
    shown = {name: pd.DataFrame(curve) for name, curve in curves.items() if len(curve) > 1}
    figure, axes = plt.subplots(1, len(shown), figsize=(4.2 * len(shown), 3.8), layout="constrained", sharey=True, squeeze=False)
    lines = dict(zip((*SAME, "exchanged", "precision"), ("-", "--", "-.", ":", (0, (1, 3))), strict=True))
    for ax, (name, curve) in zip(axes[0], shown.items(), strict=True):
        for column, line in lines.items():
            ax.plot(curve["tolerance"], curve[column].astype(float), linestyle=line, label=column)
        ax.set(xscale="log", xlabel="times the default tolerance" if name == PARTS else f"tolerance: {name}", title=name)
        ax.grid(alpha=0.3)
    axes[0, 0].set_ylabel("share")
    axes[0, 0].legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def write_sets_page(path: Path, results: dict[str, Any]) -> None:
    """Write the page of what sets.json holds."""
    subtitle = f"{results['references']:,} references, {results['copies']:,} copies, {results['pairs']:,} pairs of equal formulas."
    claims, methods = pd.DataFrame(results["claims"]), pd.DataFrame(results["methods"])
    kinds = [*SAME, "exchanged"]
    figure = go.Figure([go.Bar(x=kinds, y=row[kinds].tolist(), name=row["method"]) for _, row in methods.iterrows()])
    label = "Share of the copies of each kind that each method calls the same"
    above = {"orientation": "h", "y": 1.02, "yanchor": "bottom"}
    figure.update_layout(barmode="group", meta={"label": label, "tall": True}, legend=above)
    figure.update_yaxes(title="Share called the same", range=[0, 1.02])
    ours = methods.set_index("method").loc[PARTS]
    said = (
        f"Compared by parts, at least {ours[list(SAME)].min():.1%} of the copies of each kind are recognised, and "
        f"{ours['exchanged']:.1%} of those with exchanged atoms, which are other crystals, are taken for the same: high bars are "
        f"right but for the last kind. {outcomes(claims['claim'].tolist(), claims['outcome'].tolist())}"
    )
    sections = [
        Section("answer", "In short", [said, figure]),
        Section("claims", "What is claimed, and what comes out", [claims]),
        Section("planted", "Planted truth", [methods]),
    ]
    if results["carbon"]:
        sections.append(Section("carbon", "Carbon-24", [listed(results["carbon"])]))
    if results["scale"]:
        sections.append(Section("scale", "Against many references", [pd.DataFrame(results["scale"])]))
    write_page(path, "Which crystals are the same, and which are new?", subtitle, sections, results)


def parser_of() -> ArgumentParser:
    """Make the parser of the command line."""
    parser = command_line("sets", __doc__, "sets.json, the figure and the page")
    parser.add_argument("--references", type=int, default=2000, help=f"embedded crystals of at most {LARGEST} atoms")
    parser.add_argument("--carbon", type=Path, help="the test part of Carbon-24, a CSV file with a column cif")
    parser.add_argument("--judged", type=int, default=300, help="pairs that StructureMatcher judges, of each kind")
    parser.add_argument("--scale", type=int, nargs="+", default=[], help="numbers of references in an index, up to 1000000")
    parser.add_argument("--seed", type=int, default=1, help="seed of what is drawn")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = parser_of()
    options = parser.parse_args(arguments)
    for name in ("references", "judged"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1")
    if options.carbon is not None and not options.carbon.is_file():
        parser.error(f"--carbon: there is no file {options.carbon}")
    warnings.simplefilter("ignore")
    stages = Stages()
    with stages("copies"):
        known = references(options.references, options.seed)
        planted = Planted.of(known, planted_copies(known, ELEMENTS, options.seed))
    find_pairs(known[:8], known[:8])  # compiled before it is timed
    with stages("methods"):
        methods, curves = compare_methods(planted)
    with stages("StructureMatcher"):
        methods.append(ask_matcher(planted, options.judged, options.seed))
    with stages("Carbon-24"):
        carbon = None if options.carbon is None else judge_carbon(options.carbon, options.judged, options.seed)
    with stages("many references"):
        scale = against_many(options.scale, options.output)
    claims = check(methods, carbon)
    table = pd.DataFrame(methods)
    table["µs a pair"] = table["seconds"] / max(1, len(planted.pairs)) * 1e6
    show(table, f"{len(planted.pairs):,} pairs of equal formulas; {MATCHER}'s time is extrapolated", CONSOLE)
    if carbon is not None:
        show(listed(carbon), "Carbon-24", CONSOLE)
    if scale:
        show(pd.DataFrame(scale), "known and new crystals against an index", CONSOLE)
    if len(scale) > 1:
        slope = exponent([row["references"] for row in scale], [row["seconds"] for row in scale])
        CONSOLE.print(f"exponent of time against references: {slope:.2f}")
    show(claims, "Claims", CONSOLE)
    draw_curves(curves, options.output / "curves.png")
    content = {"references": len(known), "copies": len(planted.copies), "pairs": len(planted.pairs), "methods": records(table)}
    content |= {"curves": curves, "carbon": carbon, "scale": scale, "claims": records(claims), "seconds": stages.seconds}
    content = write_results(options.output / "sets.json", content, "curves.png", "index.html")
    write_sets_page(options.output / "index.html", content)
    if failed := claims["claim"][claims["outcome"] == "fails"].tolist():
        raise SystemExit(f"{len(failed)} of {len(claims)} claims fail: " + "; ".join(failed))


if __name__ == "__main__":
    main()
