"""Which element sits where: the site dissimilarity beside other ways to compare crystals. ``python -m benchmarks.sites``.

Pairs of crystals that are hard to tell apart, or must not be told apart, under every method; agreement with pymatgen's
StructureMatcher on pairs of one formula; what happens along a path where StructureMatcher jumps; moduli of the nearest neighbour;
time for each pair and query. The main claims are checked; the exit code is 1 if one fails. Run it on an idle machine. PDD is that
of average-minimum-distance, where it is installed.
"""

from __future__ import annotations

import time
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup
from pymatgen.analysis.structure_matcher import StructureMatcher
from sklearn.metrics import roc_auc_score, roc_curve

from benchmarks._page import Section, outcomes, write_page
from benchmarks._pairs import pairs, tetragonal_path
from benchmarks._run import CONSOLE, Stages, command_line, seconds, write_results
from benchmarks._tables import listed, records, show
from benchmarks.duplicates import match
from benchmarks.moduli.task import load_task
from matminer_grid import (
    CrystalDissimilarity,
    EMDSearch,
    GRIDFeaturizer,
    composition_emd,
    find_pairs,
    grid_emd,
    grid_emd_exact,
)
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.kernels.sites import site_dissimilarities
from matminer_grid.models import GRIDNeighborsRegressor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pymatgen.core import Structure

    from matminer_grid.datasets.elasticity import ElasticityTable
    from matminer_grid.similarity import DescribedCrystals

APART = 1e-3
"""Different crystals are told apart if their dissimilarity is above this."""

SAME = 1e-9
"""Dissimilarity of one crystal in two descriptions, at most."""

RADIUS = 0.5
"""Within which the near-duplicates of the embedded crystals are looked for."""

NEAR = 3.0
"""Dissimilarity at one volume within which pairs of one formula are held against StructureMatcher."""

PDD_NEIGHBORS = 100
CALLS = 20
"""Evaluations of a pair that are timed together."""

TARGETS = {
    "µs a pair": 20.0,
    "share transported": 0.01,
    "times the published search": 1.5,
    "times faster than StructureMatcher": 500.0,
}
"""What the project promises."""

ROC = Markup('<p><a href="roc.png">The curves as a picture</a></p>')
PATH = Markup('<p><a href="path.png">The path as a picture</a></p>')
SITES = {
    "sites": CrystalDissimilarity(resolution="sites"),
    "sites, identity": CrystalDissimilarity(resolution="sites", elements="identity"),
    "sites, one volume": CrystalDissimilarity(resolution="sites", scale_volume=True),
}


def pdd(structure: Structure) -> np.ndarray | None:
    """Pointwise distance distribution of an ordered crystal; None for others, or without average-minimum-distance."""
    if find_spec("amd") is None or not structure.is_ordered:
        return None
    import amd  # noqa: PLC0415  an extra

    return amd.PDD(amd.periodicset_from_pymatgen_structure(structure), PDD_NEIGHBORS)


def pdd_distance(a: Structure, b: Structure) -> float | None:
    """Earth mover's distance of two PDDs, in Å."""
    first, second = pdd(a), pdd(b)
    if first is None or second is None:
        return None
    import amd  # noqa: PLC0415  an extra

    return float(amd.EMD(first, second))


def rdf_distance(a: Structure, b: Structure) -> float:
    """Earth mover's distance of two RDFs of the sum 1, in Å."""
    rdfs = GRIDFeaturizer().rdf_many([a, b])
    return float(grid_emd(rdfs / rdfs.sum(axis=1, keepdims=True), n_groups=1, bin_size=0.1, pbar=False)[0, 1])


METHODS: dict[str, Callable[[Structure, Structure], float | bool | None]] = {
    **{name: dissimilarity.distance for name, dissimilarity in SITES.items()},
    "GRID (Å)": grid_emd_exact,
    "RDF (Å)": rdf_distance,
    "composition": lambda a, b: float(composition_emd([a], [b], pbar=False)[0, 0]),
    "PDD (Å)": pdd_distance,
    "StructureMatcher": lambda a, b: "same" if StructureMatcher().fit(a, b) else "different",
}


def compare_pairs() -> pd.DataFrame:
    """Compare every pair with every method, with the parts of the site dissimilarity; rounding is 0."""
    rows = []
    for name, (a, b, different) in pairs().items():
        found = {method: compare(a, b) for method, compare in METHODS.items()}
        compared = SITES["sites"].compare(a, b)
        row = {"pair": name, "is": "different" if different else "same"} | found
        row |= {"distances (Å)": compared.geometry, "surroundings": compared.neighbors}
        rows.append({key: 0.0 if isinstance(value, float) and value < SAME else value for key, value in row.items()})
    return pd.DataFrame(rows)


def pairs_of_one_formula(data: ElasticityTable, limit: int, seed: int) -> np.ndarray:
    """List the pairs of one reduced formula that are near each other at one volume, shape (n, 2); if too many, draw some."""
    groups = pd.Series(data.formula).groupby(data.formula).indices.values()
    found = [np.stack(np.triu_indices(len(rows), k=1), axis=1) for rows in groups]
    rows = np.concatenate([own[index] for own, index in zip(groups, found, strict=True)])
    dissimilarity, apart = SITES["sites, one volume"], np.empty(len(rows))
    environments = dissimilarity.describe(data.crystals).sites.environments
    site_dissimilarities(environments, rows[:, 0], environments, rows[:, 1], dissimilarity.site_weights, apart)
    rows = rows[apart <= NEAR]
    return rows[np.sort(np.random.default_rng(seed).choice(len(rows), min(limit, len(rows)), replace=False))]


def agreement(data: ElasticityTable, limit: int, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Let StructureMatcher judge pairs of one formula, with volumes scaled and not; how well each method foretells it."""
    rows = pairs_of_one_formula(data, limit, seed)
    used, place = np.unique(rows, return_inverse=True)
    place = place.reshape(rows.shape)
    crystals = data.crystals[used]
    matched = {}
    for scale in (False, True):  # that with scaled volumes, the default, is timed
        matched[scale], took = match(rows, data, "one formula", StructureMatcher(scale=scale))
    if not 0 < matched[True].sum() < len(rows):
        raise SystemExit(f"StructureMatcher finds all or none of {len(rows)} pairs alike; take more by --pairs and --limit")
    distances = {}
    for name, dissimilarity in {**SITES, "GRID + composition": CrystalDissimilarity()}.items():
        described = dissimilarity.describe(crystals)
        distances[name] = np.array([dissimilarity.pairwise(described[i], described[j])[0, 0] for i, j in place.tolist()])
    formulas = pd.Series(data.formula[rows[:, 0]])  # polytypes of SiC alone are hundreds of pairs: each formula counts the same
    weights = 1 / formulas.groupby(formulas).transform("size").to_numpy()
    curves = {}
    for name, values in distances.items():
        false, true, _ = roc_curve(matched[True], -values, sample_weight=weights)
        area = float(roc_auc_score(matched[True], -values, sample_weight=weights))
        curves[name] = {"false": false.tolist(), "true": true.tolist(), "area": area}
    own = _seconds_a_pair(SITES["sites"].describe(crystals), place)
    counts = {"pairs": len(rows), "match, scaled": int(matched[True].sum()), "match, as they are": int(matched[False].sum())}
    counts |= {"StructureMatcher ms, median": float(np.median(took)) * 1e3, "ours µs, median": float(np.median(own)) * 1e6}
    counts |= {"times faster, median": float(np.median(took / own)), "times faster, in all": float(took.sum() / own.sum())}
    return counts, curves


def _seconds_a_pair(described: DescribedCrystals, rows: np.ndarray) -> np.ndarray:
    """Time the dissimilarity of each pair, from many calls within one."""
    environments, weights = described.sites.environments, SITES["sites"].site_weights
    out = np.empty(CALLS)

    def evaluate(pair: np.ndarray) -> None:
        first, second = np.full((CALLS, 2), pair).T.copy()
        site_dissimilarities(environments, first, environments, second, weights, out)

    evaluate(rows[0])
    return np.array([seconds(lambda pair=pair: evaluate(pair))[0] / CALLS for pair in rows])


def walk() -> list[dict[str, Any]]:
    """Follow a path along which a crystal changes steadily, seen from its start."""
    path, matcher = tetragonal_path(), StructureMatcher()
    return [
        {"shift (Å)": shift}
        | {name: SITES[name].distance(path[0.0], structure) for name in ("sites", "sites, identity")}
        | {"StructureMatcher": bool(matcher.fit(path[0.0], structure))}
        for shift, structure in path.items()
    ]


def nearest_moduli(limit: int | None, seed: int) -> pd.DataFrame:
    """Bulk moduli of the test part by the nearest neighbour in the training part."""
    task = load_task(limit, seed)
    rows = []
    published = CrystalDissimilarity.from_preset("zhang2023")
    for name, dissimilarity in {"published": published, "GRID + composition": CrystalDissimilarity(), **SITES}.items():
        described = dissimilarity.describe(task.crystals)
        model = GRIDNeighborsRegressor(dissimilarity=dissimilarity).fit(described[task.train], task.modulus[task.train])
        model.predict(described[task.test[:20]])
        start = time.perf_counter()
        predicted = model.predict(described[task.test])
        took = time.perf_counter() - start
        errors = np.abs(predicted - task.modulus[task.test])
        row = {"dissimilarity": name, "MAE": float(errors.mean()), "median": float(np.median(errors)), "seconds": took}
        row |= {"share evaluated": model.search_.evaluated_share_, "share transported": model.search_.transported_share_}
        rows.append(row)
    return pd.DataFrame(rows)


def times(data: ElasticityTable, seed: int) -> dict[str, float]:
    """Time to describe the crystals, for a pair, and to find all near-duplicates, in the units of the keys."""
    dissimilarity = SITES["sites"]
    dissimilarity.describe(data.crystals)  # kernels are compiled
    described: list[Any] = []
    found = {"s to describe all": float(seconds(lambda: described.append(dissimilarity.describe(data.crystals)))[0])}
    environments, weights = described[0].sites.environments, dissimilarity.site_weights
    n_points, rng = described[0].sites.n_points, np.random.default_rng(seed)
    kinds = {
        "µs a pair, 3 distinct sites each": np.nonzero(n_points == np.median(n_points))[0],
        "µs a pair at random": np.arange(len(data)),
        "µs a pair, 8 or more distinct sites each": np.nonzero(n_points >= 8)[0],
    }
    for name, rows in kinds.items():
        if len(rows) == 0:
            continue
        others, out = rng.choice(rows, 1000), np.empty(1000)
        queries = rng.choice(rows, 20).tolist()

        def evaluate(queries: list[int] = queries, others: np.ndarray = others, out: np.ndarray = out) -> None:
            for query in queries:
                site_dissimilarities(environments, np.full(len(others), query), environments, others, weights, out)

        evaluate()
        found[name] = float(np.median(seconds(evaluate, 3))) / (len(queries) * len(others)) * 1e6
    if find_spec("amd") is not None:
        import amd  # noqa: PLC0415  an extra

        few = [pdd(structure) for structure in data.crystals[rng.choice(len(data), 150, replace=False)].to_structures()]
        amd.PDD_pdist(few[:5], n_jobs=1)
        found["µs a pair, PDD_pdist"] = float(np.median(seconds(lambda: amd.PDD_pdist(few, n_jobs=1), 3))) / (150 * 149 / 2) * 1e6
    find_pairs(described[0][:20], None, RADIUS, dissimilarity=dissimilarity, same_formula=False)
    took = seconds(lambda: find_pairs(described[0], None, RADIUS, dissimilarity=dissimilarity, same_formula=False))
    found["s for all near-duplicates"] = float(took[0])
    search = EMDSearch(dissimilarity).fit(described[0])
    search.radius_neighbors(radius=RADIUS)
    return found | {"share of all pairs transported": search.transported_share_}


def check(
    compared: pd.DataFrame, judged: dict[str, Any], nearest: pd.DataFrame, took: dict[str, float], path: list[Any]
) -> pd.DataFrame:
    """Hold the main claims against the numbers."""
    sites = compared[["sites", "sites, identity"]]
    different = compared["is"] == "different"
    of = nearest.set_index("dissimilarity")
    steps = np.abs(np.diff([point["sites"] for point in path]))
    slower, faster = of["seconds"]["sites"] / of["seconds"]["published"], judged["times faster, median"]
    claims = [
        ("different crystals are told apart", sites[different].min().min(), ">", APART),
        ("one crystal in two descriptions is 0 apart", sites[~different].max().max(), "<=", SAME),
        ("no step of the path is larger than three mean steps", steps.max() / steps.mean(), "<=", 3.0),
        ("µs a pair of median crystals", took["µs a pair, 3 distinct sites each"], "<=", TARGETS["µs a pair"]),
        ("s to describe the embedded crystals", took["s to describe all"], "<=", 5.0),
        ("s for all near-duplicates", took["s for all near-duplicates"], "<=", 5.0),
        ("share of pairs transported for the nearest", of["share transported"]["sites"], "<=", TARGETS["share transported"]),
        ("time of the exact search, that of the published dissimilarity = 1", slower, "<=", TARGETS["times the published search"]),
        ("times faster than StructureMatcher, median pair", faster, ">", TARGETS["times faster than StructureMatcher"]),
    ]
    rows = [
        {"claim": claim, "found": float(value), "bound": f"{sign} {bound:g}", "outcome": "holds" if holds else "fails"}
        for claim, value, sign, bound in claims
        for holds in [value > bound if sign == ">" else value <= bound]
    ]
    return pd.DataFrame(rows)


def draw_curves(curves: dict[str, Any], path: Path) -> None:
    """Draw which share of the pairs that StructureMatcher matches, and of the others, lies within a radius."""
    figure, ax = plt.subplots(figsize=(5, 4.4), layout="constrained")
    for (name, curve), line in zip(curves.items(), ("-", "--", "-.", ":"), strict=True):
        ax.plot(curve["false"], curve["true"], line, label=f"{name}: {curve['area']:.3f}")
    ax.set(xlabel="share of pairs that don't match", ylabel="share of pairs that match")
    ax.legend(frameon=False, fontsize="small", loc="lower right")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_path(points: list[dict[str, Any]], path: Path) -> None:
    """Draw the dissimilarity along the path, and where StructureMatcher changes its mind."""
    frame = pd.DataFrame(points)
    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, line in (("sites", "-"), ("sites, identity", "--")):
        ax.plot(frame["shift (Å)"], frame[name], line, color="black", label=name)
    look = {"color": "#0072b2", "alpha": 0.2, "label": "StructureMatcher: same"}
    ax.fill_between(frame["shift (Å)"], 0, frame["sites"].max(), where=frame["StructureMatcher"], **look)
    ax.set(xlabel="shift of Ti along [001] (Å)", ylabel="dissimilarity to the start")
    ax.legend(frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def write_sites_page(path: Path, results: dict[str, Any]) -> None:
    """Write the page of what sites.json holds."""
    areas = pd.DataFrame([{"dissimilarity": name, "area": curve["area"]} for name, curve in results["curves"].items()])
    judged = listed(results["judged"])
    subtitle = "The site dissimilarity beside other ways to compare crystals."
    path_points = pd.DataFrame(results["path"])
    figure = go.Figure(
        [go.Scatter(x=path_points["shift (Å)"], y=path_points[name], name=name) for name in ("sites", "sites, identity")]
    )
    figure.update_layout(
        meta={"label": "The dissimilarity along a path of small steps"}, legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"}
    )
    figure.update_xaxes(title="Shift of Ti along [001] (Å)")
    figure.update_yaxes(title="Dissimilarity to the start", rangemode="tozero")
    claims = pd.DataFrame(results["claims"])
    steps = path_points["sites"].diff().abs()
    same = path_points.loc[path_points["StructureMatcher"].astype(bool), "shift (Å)"]
    said = (
        f"{outcomes(claims['claim'].tolist(), claims['outcome'].tolist())} "
        f"While Ti of SrTiO₃ moves by {path_points['shift (Å)'].max():g} Å, the largest step of the site dissimilarity is "
        f"{steps.max() / steps.mean():.1f} mean steps."
    )
    if len(same):
        said += f" StructureMatcher calls the crystals up to a shift of {same.max():g} Å the same."
    sections = [
        Section("answer", "In short", [said, figure]),
        Section("claims", "What is claimed, and what comes out", [claims]),
        Section("pairs", "Which method tells apart what", [pd.DataFrame(results["pairs"])]),
        Section("agreement", "Pairs of one formula, and StructureMatcher", [judged, areas]),
        Section("path", "A path of small steps", [path_points]),
        Section("moduli", "Bulk modulus of the nearest neighbour", [pd.DataFrame(results["nearest"])]),
        Section("times", "Time", [pd.DataFrame([{"what": name, "time": value} for name, value in results["times"].items()])]),
    ]
    write_page(path, "Which element sits where?", subtitle, sections, results)


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = command_line("sites", __doc__, "sites.json, figures and the page")
    parser.add_argument("--limit", type=int, help="use this many of the crystals, for a quick look")
    parser.add_argument("--pairs", type=int, default=2000, help="pairs of one formula that StructureMatcher judges, at most")
    parser.add_argument("--seed", type=int, default=1, help="seed of what is drawn, and of the split")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    stages = Stages()
    data = load_mp_elasticity_table()
    if options.limit is not None:
        data = type(data)(*(getattr(data, name)[: options.limit] for name in vars(data)))
    with stages("pairs"):
        compared = compare_pairs()
    with stages("StructureMatcher"):
        judged, curves = agreement(data, options.pairs, options.seed)
    with stages("path"):
        path = walk()
    with stages("nearest neighbours"):
        nearest = nearest_moduli(options.limit, options.seed)
    with stages("times"):
        took = times(data, options.seed)
    claims = check(compared, judged, nearest, took, path)
    show(compared, "Pairs", CONSOLE)
    show(pd.DataFrame([judged]), "Pairs of one formula", CONSOLE)
    show(nearest, "Bulk modulus of the nearest neighbour", CONSOLE)
    show(pd.DataFrame([took]).T.reset_index().rename(columns={"index": "what", 0: "time"}), "Time", CONSOLE)
    show(claims, "Claims", CONSOLE)
    draw_curves(curves, options.output / "roc.png")
    draw_path(path, options.output / "path.png")
    content = {"pairs": records(compared), "judged": judged, "curves": curves, "path": path, "nearest": records(nearest)}
    content |= {"times": took, "claims": records(claims), "seconds": stages.seconds}
    content = write_results(options.output / "sites.json", content, "index.html", "roc.png", "path.png")
    write_sites_page(options.output / "index.html", content)
    if failed := claims["claim"][claims["outcome"] == "fails"].tolist():
        raise SystemExit(f"{len(failed)} of {len(claims)} claims fail: " + "; ".join(failed))


if __name__ == "__main__":
    main()
