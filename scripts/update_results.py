"""Put results of benchmarks into README and site: ``python scripts/update_results.py output/speed output/bulk_modulus``.

Of each folder what the tables of the site show is written to docs/results. A run of benchmarks.bulk_modulus also fills the README,
between the lines ``<!-- results -->`` and ``<!-- /results -->``, with its picture copied to docs/images. Nothing is written unless
everything needed is there. The site calls :func:`write_tables`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._tables import header, markdown, text  # noqa: E402  found by the line above
from benchmarks.moduli.scores import SCORES  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

PROVENANCE = ("date", "machine", "python", "packages")
KEPT = {
    "bulk_modulus": ("entries", "test_entries", "rows"),
    "classes": ("tasks",),
    "intervals": ("means", "by_property", "promises"),
    "large": ("copies", "moduli", "promises"),
    "matbench": ("task", "folds", "mean", "others"),
    "model": ("target", "entries", "cv", "mean", "folds"),
    "parameters": ("entries", "folds", "seed", "rows"),
    "properties": ("properties", "aims"),
    "prototype_pairs": ("crystals", "limits", "ranges"),
    "sets": ("references", "copies", "pairs", "methods", "carbon", "scale", "claims"),
    "sites": ("pairs", "judged", "curves", "nearest", "times"),
    "soak": ("minutes", "busy processes a core", "crystals", "counts", "wrong", "steady", "broken"),
    "speed": ("structure", "pair", "search", "scaling", "ratios"),
}
"""What is kept of each benchmark's results, beside where they come from."""

ROW = ("descriptor", "model", "dissimilarity", "target_scale")
SHOWN = ("MAE", "median", "MAE_log10")
"""What is shown of a row of benchmarks.bulk_modulus."""

BEGIN, END = "<!-- results -->", "<!-- /results -->"
PICTURE = "parity.png"


def keep(results: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Tell which benchmark results are from, and give what is kept of them.

    Raises
    ------
    ValueError
        They are from none that is known.
    """
    for name, keys in sorted(KEPT.items(), key=lambda item: -len(item[1])):
        if all(key in results for key in (*keys, *PROVENANCE)):
            content = {key: results[key] for key in (*PROVENANCE, *keys)}
            if name == "sites":
                content["curves"] = {one: curve["area"] for one, curve in results["curves"].items()}
            if name == "bulk_modulus":
                scores = [f"{score}{end}" for score in SCORES for end in ("", " low", " high")]
                content["rows"] = [{key: row.get(key) for key in (*ROW, *scores)} for row in results["rows"]]
            return (content["task"] if name == "matbench" else name), content
    raise ValueError(f"it holds the results of none of {', '.join(KEPT)}")


def write_tables(results: Path, output: Path) -> None:
    """Write one Markdown file for each kind of result; one that has not been run says how to get it."""
    output.mkdir(exist_ok=True)
    for name, make in MAKERS.items():
        file = results / f"{name}.json"
        command = f"python -m benchmarks.{'matbench --embedded' if make is matbench else name}"
        if file.exists():
            content = json.loads(file.read_text(encoding="utf-8"))
            version, python = content["packages"]["matminer-grid"], content["python"]
            source = f"`{command}`, {content['date']}, {content['machine']}; matminer-grid {version}, Python {python}."
            text = "\n\n".join([*make(content), source])
        else:
            text = f"No run of `{command}` is kept with this version of the documentation; the command makes the table."
        (output / f"{name}.md").write_text(text + "\n", encoding="utf-8")


def comparison(rows: list[dict[str, Any]]) -> str:
    """Make the table of benchmarks.bulk_modulus: the rows that have one of the shown scores, in the order of the run.

    Raises
    ------
    ValueError
        There are none.
    """
    frame = pd.DataFrame(rows).reindex(columns=[*ROW, *SHOWN]).dropna(subset=list(SHOWN), how="all").dropna(axis=1, how="all")
    if frame.empty:
        raise ValueError(f"no row of the run has one of the scores {', '.join(SHOWN)}")
    parts = frame[list(ROW[1:])].itertuples(index=False)
    models = [", ".join(part for part in one if part) for one in parts]
    return markdown(frame.assign(model=models).drop(columns=list(ROW[2:])))


def bulk_modulus(content: dict[str, Any]) -> list[str]:
    """Make the table of benchmarks.bulk_modulus."""
    return [f"{content['entries']:,} crystals of which {content['test_entries']:,} are tested.", comparison(content["rows"])]


def parameters(content: dict[str, Any]) -> list[str]:
    """Make the table of benchmarks.parameters."""
    units = dict.fromkeys(("cutoff", "bin_size", "smearing"), " (Å)")
    rows = [
        {
            "parameter": f"`{row['parameter']}`{units.get(row['parameter'], '')}",
            "value": row["value"] if isinstance(row["value"], str) else f"{row['value']:g}",
            "MAE": row["MAE"],
            "median": row["median"],
            "change of the MAE": "published" if row["published"] else f"{row['change']:+.1f} ± {row['standard_error']:.1f}",
        }
        for row in content["rows"]
    ]
    what = f"{content['entries']:,} training entries, {content['folds']}-fold cross-validation, seed {content['seed']}."
    return [what, markdown(pd.DataFrame(rows))]


def speed(content: dict[str, Any]) -> list[str]:
    """Make the tables of benchmarks.speed."""
    parts = []
    for key in ("structure", "pair"):
        rows = [
            {f"time a {key}": name, "median time": duration(value["median"])}
            | {"quartiles": f"{duration(value['low'])} to {duration(value['high'])}"}
            for name, value in content[key].items()
            if "low" in value
        ]
        parts.append(markdown(pd.DataFrame(rows)))
    found = content["search"]
    parts.append(
        f"Nearest neighbours of {found['queries']:,} crystals among {found['references']:,}: {found['search_seconds']:.1f} s, "
        f"against {found['brute_force_seconds']:.0f} s for all pairs; {found['evaluated_share']:.2%} of the GRID pairs were "
        "evaluated."
    )
    ratios = [{"first and second": name, "the first is": faster(ratio)} for name, ratio in content["ratios"].items()]
    scaling = [{"cost against": name, "exponent": round(entry["exponent"], 2)} for name, entry in content["scaling"].items()]
    return [*parts, markdown(pd.DataFrame(ratios)), markdown(pd.DataFrame(scaling))]


def duration(microseconds: float) -> str:
    """Write a time in the unit that fits, with three digits."""
    unit, size = next((one for one in (("s", 1e6), ("ms", 1e3)) if microseconds >= one[1]), ("µs", 1.0))
    return f"{microseconds / size:.3g} {unit}"


def faster(ratio: float) -> str:
    """Say how a first time compares with a second one that is so many times as long."""
    times = ratio if ratio >= 1 else 1 / ratio
    return f"{float(f'{times:.3g}'):,.10g} times {'faster' if ratio >= 1 else 'slower'}"


def sites(content: dict[str, Any]) -> list[str]:
    """Make the tables of benchmarks.sites."""
    shown = ["pair", "sites", "sites, identity", "GRID (Å)", "RDF (Å)", "PDD (Å)", "StructureMatcher"]  # as wide as a page
    told_apart = pd.DataFrame(content["pairs"])
    told_apart["pair"] += told_apart["is"].map({"same": " (should be 0)", "different": ""})
    judged = content["judged"]
    agreement = (
        f"Of {judged['pairs']:,} pairs of one formula that are near at one volume, StructureMatcher matches "
        f"{judged['match, scaled']}. It takes {judged['StructureMatcher ms, median']:.3g} ms a pair, the site dissimilarity "
        f"{judged['ours µs, median']:.3g} µs (medians): {judged['times faster, median']:.0f} times as fast in the median pair, "
        f"{judged['times faster, in all']:.0f} times over all of them."
    )
    areas = [{"dissimilarity": name, "area under the curve": area} for name, area in content["curves"].items()]
    times = [{"what": name, "time": float(f"{value:.3g}")} for name, value in content["times"].items()]
    frames = [told_apart[shown], pd.DataFrame(areas), pd.DataFrame(content["nearest"]), pd.DataFrame(times)]
    pairs, areas_of_all, nearest, took = map(markdown, frames)
    return [pairs, agreement, areas_of_all, nearest, took]


def sets(content: dict[str, Any]) -> list[str]:
    """Make the tables of benchmarks.sets."""
    counts = f"{content['references']:,} references, {content['copies']:,} copies, {content['pairs']:,} pairs of equal formulas."
    methods = pd.DataFrame(content["methods"])
    told = ["precision", "new that are called so", "called new that are", "seconds", "µs a pair"]
    parts = [counts, markdown(methods.drop(columns=told)), markdown(methods[["method", *told]])]  # two, as wide as a page
    if content["carbon"] is not None:
        carbon = [{"Carbon-24, test part": name, "found": text(value)} for name, value in content["carbon"].items()]
        parts.append(markdown(pd.DataFrame(carbon)))
    if content["scale"]:
        parts.append(markdown(pd.DataFrame(content["scale"])))
    return [*parts, markdown(pd.DataFrame(content["claims"]))]


def large(content: dict[str, Any]) -> list[str]:
    """Make the tables of benchmarks.large."""
    copies = [row | {"crystals": f"{row['crystals']:,}"} for row in content["copies"]]
    return [markdown(pd.DataFrame(rows)) for rows in (copies, content["moduli"], content["promises"]) if rows]


def intervals(content: dict[str, Any]) -> list[str]:
    """Make the tables of benchmarks.intervals."""
    return [markdown(pd.DataFrame(content[name])) for name in ("means", "promises", "by_property")]


def properties(content: dict[str, Any]) -> list[str]:
    """Make the tables of benchmarks.properties: what was aimed at, then those of each property."""
    parts = [markdown(pd.DataFrame(content["aims"]))] if content["aims"] else []
    for name, found in content["properties"].items():
        unit = f" in {found['unit']}" if found["unit"] else ""
        parts.append(f"**{name}**{unit}, {found['crystals']:,} crystals, means of {found['folds']} folds.")
        tables = [found.get("families"), found.get("curve")]
        splits = [{"split": split} | row for split, rows in found["splits"].items() for row in rows]
        parts += [markdown(pd.DataFrame(rows).drop(columns="CPU s")) for rows in (splits, *tables) if rows]
    return parts


def classes(content: dict[str, Any]) -> list[str]:
    """Make the tables of benchmarks.classes, one for each task."""
    parts = []
    for found in content["tasks"]:
        shares = ", ".join(f"{share:.0%} {name}" for name, share in found["classes"].items())
        parts.append(f"**{found['task']}**, {found['crystals']:,} crystals: {shares}.")
        rows = [{"split": split} | row for split, rows in found["splits"].items() for row in rows]
        parts.append(markdown(pd.DataFrame(rows).drop(columns="CPU s")))
    return parts


def prototype_pairs(content: dict[str, Any]) -> list[str]:
    """Make the table of benchmarks.prototype_pairs."""
    limits = " and ".join(f"{name} {limit:g}" for name, limit in content["limits"].items())
    return [f"{content['crystals']:,} crystals of at most 12 atoms; tolerance {limits}.", markdown(pd.DataFrame(content["ranges"]))]


def model(content: dict[str, Any]) -> list[str]:
    """Make the table of benchmarks.model: each score's mean over the folds."""
    rows = [{"score": header(name).replace("_", " "), "mean over the folds": value} for name, value in content["mean"].items()]
    run = len(content["folds"])
    what = f"Target {content['target']}, {content['entries']:,} entries, {content['cv']}-fold cross-validation, {run} folds run."
    return [what, markdown(pd.DataFrame(rows))]


def matbench(content: dict[str, Any]) -> list[str]:
    """Make the table of one modulus in benchmarks.matbench: the mean over the folds beside published models."""
    rows = [content["mean"], *content["others"]]
    names = ["GRIDKernelRegressor", *(row["fold"] for row in content["others"])]
    frame = pd.DataFrame(rows).drop(columns="fold").rename(columns=lambda name: name.replace("coverage", "within"))
    frame.insert(0, content["task"], names)
    return [markdown(frame)]


def soak(content: dict[str, Any]) -> list[str]:
    """Make the table of benchmarks.soak."""
    steady, counts = content["steady"], content["counts"]
    growth = "not known" if steady["growth"] is None else f"{steady['growth']:.2%}"
    load = content["busy processes a core"]
    rows = {
        "jobs that ended": counts.get("jobs", 0),
        "answers of them that were lost or differ from those of an undisturbed run": len(content["wrong"]),
        "kills": counts.get("kills", 0),
        "jobs that a limit of memory ended": counts.get("memory: ended with an error", 0),
        "jobs that a limit to the size of files ended": counts.get("disk: ended with an error", 0),
        "rounds of the process that is left alone": steady["rounds"],
        "its memory (MB)": f"{steady['MB']:.0f}" if "MB" in steady else "not known",
        "growth of its memory from the second to the last third": growth,
        "promises that were broken": "; ".join(content["broken"]) or "none",
    }
    what = f"{content['minutes']:g} minutes, {content['crystals']} crystals, {load} busy processes a core."
    return [what, markdown(pd.DataFrame([{"what": name, "number": str(value)} for name, value in rows.items()]))]


MAKERS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "parameters": parameters,
    "bulk_modulus": bulk_modulus,
    "speed": speed,
    "log_kvrh": matbench,
    "log_gvrh": matbench,
    "model": model,
    "sites": sites,
    "sets": sets,
    "prototype_pairs": prototype_pairs,
    "properties": properties,
    "soak": soak,
    "large": large,
    "intervals": intervals,
    "classes": classes,
}


def fill(readme: str, results: dict[str, Any]) -> str:
    """Put the table of results.json, its source and the picture between the two markers.

    Raises
    ------
    ValueError
        The markers are not there once each, in their order.
    """
    if readme.count(BEGIN) != 1 or readme.count(END) != 1 or readme.index(BEGIN) > readme.index(END):
        raise ValueError(f"README.md must hold the lines {BEGIN} and {END} once each, in this order")
    before, rest = readme.split(BEGIN)
    machine = results["machine"].replace("<", "&lt;")
    versions = f"matminer-grid {results['packages']['matminer-grid']}, Python {results['python']}"
    seed = results["identity"]["options"]["seed"]
    source = f"{results['date']}, {machine}; {results['entries']:,} crystals, seed {seed}; {versions}."
    picture = f"![Parity](docs/images/{PICTURE})"
    return "\n\n".join([f"{before}{BEGIN}", comparison(results["rows"]), source, picture, f"{END}{rest.split(END)[1]}"])


def update(run: Path, root: Path) -> None:
    """Keep the results in the folder of a run; those of benchmarks.bulk_modulus fill the README too.

    Raises
    ------
    OSError, ValueError, KeyError
        The run isn't finished, the picture is missing, or the README has no place for results.
    """
    files = sorted(run.glob("*.json")) if run.is_dir() else [run]
    files = [file for file in files if not file.name.startswith("results-")]  # those of earlier runs, set aside
    if not files:
        raise FileNotFoundError("there are no results")
    for file in files:
        results = json.loads(file.read_text(encoding="utf-8"))
        name, content = keep(results)
        if name == "bulk_modulus":
            readme, picture = root / "README.md", file.with_name(PICTURE)
            if not picture.is_file():
                raise FileNotFoundError(f"there is no {PICTURE}")
            filled = fill(readme.read_text(encoding="utf-8"), results)
            (root / "docs" / "images").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, root / "docs" / "images" / PICTURE)
            readme.write_text(filled, encoding="utf-8")
        target = root / "docs" / "results" / f"{name}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{target}: {name}, {content['date']}")


def main(arguments: list[str] | None = None) -> None:
    """Run the script from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="output folders of benchmarks, or their JSON files")
    parser.add_argument("--root", type=Path, default=ROOT, help="where README.md and docs are")
    options = parser.parse_args(arguments)
    for run in options.runs:
        try:
            update(run, options.root)
        except KeyError as error:
            raise SystemExit(f"{run}: the results lack {error}; were they written by this version?") from error
        except (OSError, ValueError) as error:
            raise SystemExit(f"{run}: {error}") from error


if __name__ == "__main__":
    main()
