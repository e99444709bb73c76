"""Tables of the site from the results of benchmark runs, which stand in docs/results as JSON; see scripts/update_docs.py."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

PARAMETERS = {
    "cutoff": "`cutoff` (Å)",
    "bin_size": "`bin_size` (Å)",
    "n_groups": "`n_groups`",
    "smearing": "`smearing` (Å)",
    "grid_weight": "`grid_weight`",
    "group_weights": "`group_weights`",
    "composition_metric": "`composition_metric`",
}


def write_tables(results: Path, output: Path) -> None:
    """Write one Markdown file for each kind of result; one that has not been run says how to get it."""
    output.mkdir(exist_ok=True)
    for name, make in MAKERS.items():
        file = results / f"{name}.json"
        command = f"python -m benchmarks.{name}"
        if file.exists():
            content = json.loads(file.read_text(encoding="utf-8"))
            text = make(content) + "\n\n" + source(content, command)
        else:
            text = f"No run of `{command}` is kept with this version of the documentation; the command makes the table."
        (output / f"{name}.md").write_text(text + "\n", encoding="utf-8")


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Make a Markdown table, numbers to the right."""
    numeric = [all(_is_number(row[i]) for row in rows) for i in range(len(headers))]
    rule = "|".join("---:" if right else "---" for right in numeric)
    lines = [f"| {' | '.join(headers)} |", f"|{rule}|", *(f"| {' | '.join(_escape(cell) for cell in row)} |" for row in rows)]
    return "\n".join(lines)


def source(content: dict[str, Any], command: str) -> str:
    """Say where numbers come from."""
    version = content["packages"]["matminer-grid"]
    return f"`{command}`, {content['date']}, {content['machine']}; matminer-grid {version}, Python {content['python']}."


def parameters(content: dict[str, Any]) -> str:
    """Make the table of benchmarks.parameters."""
    rows = []
    for row in content["rows"]:
        value = f"{row['value']:g}" if isinstance(row["value"], (int, float)) else str(row["value"])
        change = "published" if row["published"] else f"{row['change']:+.1f} ± {row['standard_error']:.1f}"
        rows.append((PARAMETERS[row["parameter"]], value, f"{row['MAE']:.1f}", f"{row['median']:.0f}", change))
    what = f"{content['entries']:,} training entries, {content['folds']}-fold cross-validation, seed {content['seed']}."
    return what + "\n\n" + table(("parameter", "value", "MAE / GPa", "median / GPa", "change of the MAE"), rows)


def bulk_modulus(content: dict[str, Any]) -> str:
    """Make the table of benchmarks.bulk_modulus."""
    rows = []
    for row in content["rows"]:
        scores = {name: value[0] if isinstance(value, list) else value for name, value in (row["scores"] or {}).items()}
        if "MAE" not in scores:
            continue
        model = ", ".join(part for part in (row["model"], row["dissimilarity"], row["target_scale"]) if part)
        log = f"{scores['MAE_log10']:.3f}" if "MAE_log10" in scores else ""
        median = f"{scores['median']:.1f}" if "median" in scores else ""
        rows.append((row["descriptor"], model, f"{scores['MAE']:.1f}", median, log))
    what = f"{content['entries']:,} crystals of which {content['test_entries']:,} are tested."
    return what + "\n\n" + table(("descriptor", "model", "MAE / GPa", "median / GPa", "MAE of log10"), rows)


def speed(content: dict[str, Any]) -> str:
    """Make the tables of benchmarks.speed."""
    parts = []
    for key, title in (("structure", "µs a structure"), ("pair", "µs a pair")):
        rows = [
            (name, f"{value['median']:.3g}", f"{value['low']:.3g} to {value['high']:.3g}")
            for name, value in content[key].items()
            if "low" in value
        ]
        parts.append(table((title, "median", "quartiles"), rows))
    found = content["search"]
    parts.append(
        f"Nearest neighbours of {found['queries']:,} crystals among {found['references']:,}: {found['search_seconds']:.1f} s, "
        f"against {found['brute_force_seconds']:.0f} s for all pairs; {found['evaluated_share']:.2%} of the GRID pairs were "
        "evaluated."
    )
    ratios = [(name, f"{ratio:.3g}") for name, ratio in content["ratios"].items()]
    parts.append(table(("what / what", "times as fast"), ratios))
    scaling = [(name, f"{entry['exponent']:.2f}") for name, entry in content["scaling"].items()]
    parts.append(table(("cost against", "exponent"), scaling))
    return "\n\n".join(parts)


def model(content: dict[str, Any]) -> str:
    """Make the table of benchmarks.model: each score's mean over the folds."""
    units = {"MAE": " / GPa", "median": " / GPa", "RMSE": " / GPa"}
    rows = [(name.replace("_", " ") + units.get(name, ""), f"{value:.4g}") for name, value in content["mean"].items()]
    run = len(content["folds"])
    what = f"Target {content['target']}, {content['entries']:,} entries, {content['cv']}-fold cross-validation, {run} folds run."
    return what + "\n\n" + table(("score", "mean over the folds"), rows)


MAKERS: dict[str, Callable[[dict[str, Any]], str]] = {
    "parameters": parameters,
    "bulk_modulus": bulk_modulus,
    "speed": speed,
    "model": model,
}


def _is_number(text: str) -> bool:
    try:
        float(text or 0)
    except ValueError:
        return False
    return True


def _escape(text: str) -> str:
    return text.replace("|", "\\|")
