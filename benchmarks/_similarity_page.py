"""The page of the similarity benchmark: what was said and what comes out, and the matrices of each series."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from benchmarks._page import OUTCOMES, REPORT, Cell, Section, table, write_page

if TYPE_CHECKING:
    from pathlib import Path


def write_similarity_page(path: Path, results: dict[str, Any]) -> None:
    """Write the page of :mod:`benchmarks.similarity`.

    Parameters
    ----------
    path : Path
    results : dict
        What similarity.json holds: "checks", "notes", "examined", "series", "units", "parameters", and what
        :func:`write_page` reads.

    Raises
    ------
    KeyError
        A part of the results is missing.
    """
    sections = [
        Section("checks", "What was said, and what comes out", _checks(results)),
        Section("examined", "What doesn't come out, looked at more closely", _examined(results)),
    ]
    for name, series in results["series"].items():
        key = escape(name)
        figures = "".join(
            f'<div class="plot matrix" data-draw="matrix" data-series="{key}" data-method="{escape(method)}"></div>'
            for method in series["matrices"]
        )
        rows = f'<div class="plot curves" data-draw="rows" data-series="{key}"></div>'
        picture = f'<p><a href="{key}.png">The matrices as a picture</a></p>'
        sections.append(Section(name.replace("_", "-"), series["title"], f'<div class="matrices">{figures}</div>{rows}{picture}'))
    p = results["parameters"]
    subtitle = (
        f"Figure 2 of {REPORT} and more: series of related crystals, compared with every method. Cutoff {p['cutoff']:g} Å, bins of "
        f"{p['bin_size']:g} Å, {p['n_groups']} groups."
    )
    data = {"series": results["series"], "units": results["units"]}
    write_page(path, "Which dissimilarity sees what a chemist sees?", subtitle, sections, data, results)


def _checks(results: dict[str, Any]) -> str:
    lines = []
    for check in results["checks"]:
        outcome = "holds" if check["holds"] else "fails" if check["required"] else "absent"
        said_by = "report" if check["source"] == "report" else "this benchmark"
        title = results["series"][check["series"]]["title"]
        lines.append([title, Cell(OUTCOMES[outcome], outcome), check["statement"], check["numbers"], said_by])
    return table(["Series", "Outcome", "Statement", "Numbers", "Said by"], lines)


def _examined(results: dict[str, Any]) -> str:
    notes = "".join(f"<p>{escape(note)}</p>" for note in results["notes"])
    keys = [key for key in results["examined"][0] if key.startswith("from")]
    lines = [
        [row["cells"], Cell(f"{row['bin_size']:g}", row["bin_size"]), *(_ratio(row[key]) for key in keys)]
        for row in results["examined"]
    ]
    legend = "<p>Largest dissimilarity to an intermediate phase, that of SrO and SrTiO₃ = 1; the statement comes out above 1.</p>"
    return notes + legend + '<div class="tall">' + table(["Cells", "Bin / Å", *keys], lines) + "</div>"


def _ratio(value: float) -> Cell:
    return Cell(f'<span class="good">{value:.4f}</span>' if value > 1 else f"{value:.4f}", value)
