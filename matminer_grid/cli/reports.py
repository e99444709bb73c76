"""What the commands' reports say: an answer of the library in, a page out, one function for each command."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from matminer_grid.cli._common import reduced_formula

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from matminer_grid import Crystal, CrystalTable
    from matminer_grid.plotting import Card
    from matminer_grid.similarity import Comparison

Report = Annotated[
    Path | None, typer.Option("--report", metavar="FILE.html", help="Write a page with pictures, which works offline.")
]

MATERIAL_PAGE = "https://materialsproject.org/materials/{}"
"""Page of a material of the Materials Project."""

BLUE = "#3b8bd0"
"""Of points and lines, to be seen in light and in dark."""

MOST_QUERIES = 50
"""Crystals that a report shows; the console and JSON have all of them."""

HEADS = {"material_id": "material", "grid_emd": "GRID EMD (Å)", "composition_emd": "composition EMD"}
"""Of the columns that tell what a prediction rests on; those of properties keep their names."""

STEPS = 20
"""Of the last digit that is printed, within an interval."""

MOST_CARDS = 8
"""Crystals that are shown side by side."""

MOST_LINES = 40
"""Lines of a table on a report."""


def drawn(crystal: Crystal) -> dict[str, Any]:
    """Give a crystal as pages draw it; a site that elements share is shown as that of the largest part."""
    from matminer_grid.crystals.elements import species_symbol

    order = np.lexsort((-crystal.occupancies, crystal.site_index))
    largest = order[np.unique(crystal.site_index[order], return_index=True)[1]]
    symbols = [species_symbol(number) for number in crystal.numbers[largest].tolist()]
    return {"symbols": symbols, "positions": crystal.frac_coords % 1 @ crystal.lattice, "cell": crystal.lattice}


def conventional(crystal: Crystal) -> dict[str, Any]:
    """Give a crystal as pages draw it in its conventional cell, in which structures are recognised; as it is without symmetry."""
    from matminer_grid.similarity.compare import site_contents, symmetry_dataset

    own, found = drawn(crystal), symmetry_dataset(crystal)
    if found is None:
        return own
    contents = site_contents(crystal)
    of_content = dict(zip(contents, own["symbols"], strict=True))
    symbols = [of_content[content] for content in sorted(of_content)]  # in the order of spglib's types, from 1
    kinds = [symbols[kind - 1] for kind in found.std_types.tolist()]
    return {"symbols": kinds, "positions": found.std_positions % 1 @ found.std_lattice, "cell": found.std_lattice}


def card(name: str, crystal: Crystal, lines: Sequence[str]) -> Card:
    """Make the card of a crystal, in its conventional cell; one of the Materials Project gets a link."""
    from matminer_grid.plotting import Card

    return Card(name, lines, **conventional(crystal), link=MATERIAL_PAGE.format(name) if name.startswith("mp-") else "")


def write_report(path: Path, page: str) -> None:
    """Write a page, whole or not at all."""
    from matminer_grid._files import replacing

    with replacing(path) as file:
        file.write(page.encode())
    typer.echo(f"{path}: open it in a browser", err=True)


def compare_report(compared: Comparison, names: Sequence[str], crystals: Sequence[Crystal], weights: Sequence[float]) -> str:
    """Make the page of a comparison; the weights are those of distances, elements and surroundings."""
    import pandas as pd

    from matminer_grid.plotting import Section, report_page

    titles = [Path(name).name for name in names]
    parts = {
        "distances": (weights[0] * compared.geometry, f"{compared.geometry:.4f} Å"),
        "elements": (weights[1] * compared.elements, f"{compared.elements:.4f}"),
        "surroundings": (weights[2] * compared.neighbors, f"{compared.neighbors:.4f}"),
    }
    facts = {
        "dissimilarity": f"{compared.total:.4f}",
        "at equal volume": f"{compared.at_equal_volume:.4f}",
        "volume a site": f"{100 * (compared.volume_ratio - 1):+.1f} %",
    }
    most = max(parts, key=lambda name: parts[name][0])
    told = "They are alike in all that is compared." if compared.total == 0 else f"Most of it comes from {most}."
    cards = [
        card(title, crystal, [formula, group])
        for title, crystal, formula, group in zip(titles, crystals, compared.formulas, compared.space_groups, strict=True)
    ]
    matches = pd.DataFrame(
        {
            titles[0] if titles[0] != titles[1] else "first": [match.a for match in compared.matches],
            titles[1] if titles[0] != titles[1] else "second": [match.b for match in compared.matches],
            "share of the atoms": [match.share for match in compared.matches],
            "distances (Å)": [match.geometry for match in compared.matches],
            "elements": [match.elements for match in compared.matches],
            "surroundings": [match.neighbors for match in compared.matches],
            "cost": [match.cost for match in compared.matches],
        }
    )
    table = pd.DataFrame({"part": list(parts), "itself": [text for _, text in parts.values()]})
    table["in the dissimilarity"] = [value for value, _ in parts.values()]
    sections = [
        Section("How unlike they are", [facts, f"{told} {_formulas(compared)}", cards]),
        Section("What makes it", [table]),
        Section("Which site became which", [matches.head(MOST_LINES)]),
        Section("Neighbours that differ", _shells(compared)),
    ]
    return report_page(f"{titles[0]} and {titles[1]}", sections)


def _formulas(compared: Comparison) -> str:
    if compared.same_formula:
        return f"Both are {compared.formulas[0]}."
    return f"Their formulas differ: {compared.formulas[0]} and {compared.formulas[1]}."


def _shells(compared: Comparison) -> list[Any]:
    """Give the neighbours that differ, as a table, or say that there are none."""
    import pandas as pd

    if not compared.shells:
        return ["All neighbours are the same, within 0.001 Å."]
    rows = [
        {
            "sites": f"{compared.matches[shell.match].a} → {compared.matches[shell.match].b}",
            "neighbours": f"{shell.first:g} to {shell.last:g}" if shell.last > shell.first else f"{shell.first:g}",
            "in the first": f"{shell.pair_a} {shell.distance_a:.3f} Å",
            "in the second": f"{shell.pair_b} {shell.distance_b:.3f} Å",
        }
        for shell in compared.shells[:MOST_LINES]
    ]
    more = len(compared.shells) - len(rows)
    said = [f"{more:,} more are left out here: --json prints all."] if more else []
    return ["The nearest neighbour is number 1.", pd.DataFrame(rows), *said]


def similar_report(answers: Sequence[dict[str, Any]], pictures: Sequence[tuple[Crystal, Sequence[Crystal]]]) -> str:
    """Make the page of the nearest known crystals; each answer comes with its crystal and the nearest ones, in their order."""
    import pandas as pd

    from matminer_grid.plotting import Section, report_page

    sections = []
    for answer, (crystal, nearest) in list(zip(answers, pictures, strict=True))[:MOST_QUERIES]:
        known = ", ".join(f"{one['material']} ({one['dissimilarity']:g})" for one in answer["known_as"][:5])
        first = answer["nearest"][0]
        facts = {"formula": answer["formula"], "nearest": f"{first['material']}, {first['formula']}"}
        facts["dissimilarity"] = f"{first['dissimilarity']:g}"
        told = f"Known with this formula, nearest first: {known}." if known else "No known crystal has this formula."
        cards = [
            card(Path(answer["file"]).name, crystal, [answer["formula"], *(f"warning: {text}" for text in answer["warnings"])])
        ]
        cards += [
            card(
                one["material"],
                other,
                [*(one[name] for name in ("formula", "space_group") if name in one), f"dissimilarity {one['dissimilarity']:g}"],
            )
            for one, other in zip(answer["nearest"], nearest, strict=True)
        ]
        columns = [name for name in first if name != "page"]
        table = pd.DataFrame(answer["nearest"])[columns].rename(columns=lambda name: name.replace("_", " "))
        sections.append(Section(answer["file"], [facts, told, cards, table]))
    return report_page("The most similar known crystals", sections, left_out(len(answers)))


def left_out(n: int) -> list[str]:
    """Say how many crystals a report leaves out, if any."""
    return [f"The first {MOST_QUERIES} of {n:,} crystals; --json prints all."] if n > MOST_QUERIES else []


def predict_report(
    answers: Sequence[dict[str, Any]], pictures: Sequence[tuple[Crystal, Sequence[Crystal]]], units: dict[str, str], coverage: float
) -> str:
    """Make the page of predictions; `units` are those of the predicted properties, by their names in the answers."""
    import pandas as pd

    from matminer_grid.plotting import Section, report_page

    sections = []
    for answer, (crystal, known) in list(zip(answers, pictures, strict=True))[:MOST_QUERIES]:
        values = {f"{name} ({unit})" if unit else name: _written(answer[name]) for name, unit in units.items()}
        facts = {name: value for name, (value, _) in values.items()}
        how_sure = "probabilities" if any("probabilities" in answer[name] for name in units) else f"{coverage:.0%} interval"
        table = pd.DataFrame({"property": list(facts), how_sure: [told for _, told in values.values()]})
        applies = [f"{told[0].upper()}{told[1:]}." for told in how_known(answer["applicability"], next(iter(units)))]
        lines = [reduced_formula(answer["formula"]), *(f"warning: {text}" for text in answer["warnings"])]
        parts: list[Any] = [facts, table, *applies, [card(Path(answer["file"]).name, crystal, lines)]]
        rests = [one | {"formula": reduced_formula(one["formula"])} for one in answer.get("rests_on", [])]
        if rests:
            parts += [
                "The known crystals of the largest share in the prediction:",
                [
                    card(str(one.get("material_id", one.get("name", one["formula"]))), other, _rests(one))
                    for one, other in zip(rests, known, strict=True)
                ],
                pd.DataFrame(rests).rename(columns=HEADS),
            ]
        sections.append(Section(answer["file"], parts))
    return report_page("Predictions", sections, left_out(len(answers)))


def short(value: Any) -> str:
    """Write a number with four digits, and what is none as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _written(found: dict[str, Any]) -> tuple[str, str]:
    """Write a prediction, and its interval or the probabilities of classes."""
    if "interval" in found:
        low, high = found["interval"]
        value, *ends = [in_digits(number, high - low) for number in (found["value"], low, high)]
        return value, " to ".join(ends)
    return short(found["value"]), ", ".join(f"{name} {p:.0%}" for name, p in found["probabilities"].items())


def how_known(found: dict[str, Any], name: str) -> list[str]:
    """Say how near the training crystals are, and why a prediction is not to be trusted, if so; `name` is the property's."""
    nearest = f"{reduced_formula(found['nearest']['formula'])} {found['nearest'].get('name', '')}".rstrip()
    told = f"similarity {found['similarity']:.2f} (of 1) to the nearest known, {nearest}"
    if found["known"]:
        value = found["nearest"]["value"]
        told = f"known: it is {nearest}, {name} {f'{value:g}' if isinstance(value, float) else value}"
    return [told, *([f"don't trust it: {found['why']}"] if found["doubts"] else [])]


def in_digits(value: float, width: float) -> str:
    """Write a number with the digits that an interval of a width warrants, one at least."""
    decimals = math.ceil(-math.log10(width / STEPS)) if width > 0 and math.isfinite(width) else 2
    if value:
        decimals = max(decimals, -math.floor(math.log10(abs(value))))
    rounded = round(value, decimals) + 0.0
    return f"{rounded:.{decimals}f}" if 0 < decimals < 7 else f"{rounded:g}" if decimals > 0 else f"{rounded:.0f}"


def _rests(one: dict[str, Any]) -> list[str]:
    told = {"material_id", "name", "formula", "share", "grid_emd", "composition_emd"}
    values = [f"{name} {short(value)}" for name, value in one.items() if name not in told]
    return [one["formula"], *values, f"share {one['share']:.0%}"]


def duplicates_report(groups: Sequence[dict[str, Any]], pictures: Sequence[Sequence[Crystal]], n: int, within: str) -> str:
    """Make the page of duplicates: the groups as --json has them, the first crystals of each, and what they are within."""
    from matminer_grid.plotting import Section, report_page
    from matminer_grid.similarity.compare import space_group_symbol

    n_more = sum(len(group["materials"]) - 1 for group in groups)
    facts = {"crystals": f"{n:,}", "distinct": f"{n - n_more:,}", "groups of two or more": f"{len(groups):,}"}
    sections = [Section("Answer", [facts, f"Crystals of a group are the same to within {within}; the first is the one to keep."])]
    for group, crystals in list(zip(groups, pictures, strict=True))[:MOST_QUERIES]:
        names = group["materials"]
        title = f"{', '.join(group['formulas'])}, {group['space_group']}: {len(names):,} crystals"
        cards = [
            card(Path(name).name, crystal, [reduced_formula(crystal), space_group_symbol(crystal)])
            for name, crystal in zip(names, crystals, strict=False)
        ]
        others = names[len(cards) :]
        more = f" and {len(others) - MOST_LINES:,} more" if len(others) > MOST_LINES else ""
        listed = [f"And {', '.join(others[:MOST_LINES])}{more}."] if others else []
        spread = f"Spread {group['spread']:.3f}: the largest difference within the group, where 1 is the tolerance."
        sections.append(Section(title, [spread, cards, *listed]))
    notes = [f"The first {MOST_QUERIES} of {len(groups):,} groups; --json prints all."] if len(groups) > MOST_QUERIES else []
    return report_page("Duplicates", sections, notes)


def evaluate_report(measures: pd.DataFrame, crystals: pd.DataFrame, structures: CrystalTable, n_known: int) -> str:
    """Make the page of an evaluation: its measures, what is said of each crystal, and the crystals, in one order."""
    from matminer_grid.plotting import Section, report_page

    facts = {
        name: f"{measures.loc[name, 'value']:.1%}"
        for name in ("valid", "unique", "novel", "valid_unique_novel")
        if name in measures.index
    }
    facts = {name.replace("_", ", "): value for name, value in facts.items()}
    shown = measures.rename_axis("measure").reset_index()
    shown["measure"] = shown["measure"].astype(str).str.replace("_", " ")
    order = np.argsort(crystals["dissimilarity"].fillna(-1).to_numpy(), kind="stable")
    novel = crystals["novel"].to_numpy(dtype=bool)
    near = [(row, f"known as {crystals['known_as'].iloc[row]}") for row in order.tolist() if not novel[row]]
    far = [(row, "novel") for row in order[::-1].tolist() if novel[row]]
    sections = [
        Section("Answer", [facts, f"{len(crystals):,} crystals against {n_known:,} known ones.", *_distances(crystals)]),
        Section("Farthest from what is known", _pairs(far[:MOST_CARDS], crystals, structures) or ["No crystal is novel."]),
        Section("Nearest to what is known", _pairs(near[:MOST_CARDS], crystals, structures) or ["No crystal is known."]),
        Section("All measures", [shown]),
    ]
    return report_page("Evaluation of generated crystals", sections)


def _distances(crystals: pd.DataFrame) -> list[Any]:
    """Draw how far the crystals are from the nearest known ones."""
    import plotly.graph_objects as go

    values = crystals["dissimilarity"].dropna().to_numpy(dtype=np.float64)
    if not len(values):
        return []
    figure = go.Figure(go.Histogram(x=values, nbinsx=40, marker_color=BLUE))
    title = f"Dissimilarity to the nearest known crystal, median {np.median(values):.3g}"
    figure.update_layout(template="simple_white", meta=title, bargap=0.05, margin={"l": 60, "r": 10, "t": 10, "b": 50})
    figure.update_xaxes(title="Dissimilarity to the nearest known")
    figure.update_yaxes(title="Number of crystals")
    return [figure]


def _pairs(rows: Sequence[tuple[int, str]], crystals: pd.DataFrame, structures: CrystalTable) -> list[Any]:
    """Show some crystals with the nearest known one of each."""
    cards = []
    for row, told in rows:
        one = crystals.iloc[row]
        nearest = f"nearest: {one['nearest']} {one['nearest_formula']}, {one['dissimilarity']:.4g}"
        problem = [] if one["valid"] else [f"not valid: {one['why_not']}"]
        cards.append(card(Path(str(one["name"])).name, structures[row], [str(one["formula"]), told, nearest, *problem]))
    return [cards] if cards else []
