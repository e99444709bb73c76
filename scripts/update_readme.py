"""Fill the README's results from a finished run: ``python scripts/update_readme.py output/bulk_modulus``.

The table goes between the lines ``<!-- results -->`` and ``<!-- /results -->``, with date and machine below it; pictures of the run
are copied to docs/images and shown there. Nothing is written unless everything needed is there.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- results -->", "<!-- /results -->"
README = Path(__file__).parents[1] / "README.md"
SCORES = {"MAE": ("MAE / GPa", ".1f"), "median": ("median / GPa", ".1f"), "MAE_log10": ("MAE of log10", ".3f")}
"""Scores in the README's table, with their header and format; those that a run lacks are left out."""


def table(rows: list[dict[str, Any]]) -> str:
    """Make a Markdown table of the rows that have one of these scores, in the order of the run."""
    scored = [row for row in rows if SCORES.keys() & row["scores"].keys()]
    if not scored:
        raise ValueError(f"no row of the run has one of the scores {', '.join(SCORES)}")
    names = [name for name in SCORES if any(name in row["scores"] for row in scored)]
    lines = ["| descriptor | model | " + " | ".join(SCORES[name][0] for name in names) + " |", "|---|---|" + "---:|" * len(names)]
    for row in scored:
        model = ", ".join(_text(part) for part in (row["model"], row["dissimilarity"], row["target_scale"]) if part)
        scores = [format(row["scores"][name][0], SCORES[name][1]) if name in row["scores"] else "" for name in names]
        lines.append(f"| {_text(row['descriptor'])} | {model} | " + " | ".join(scores) + " |")
    return "\n".join(lines)


def fill(readme: str, content: str) -> str:
    """Put the content between the two markers.

    Raises
    ------
    ValueError
        The markers are not there once each, in their order.
    """
    if readme.count(BEGIN) != 1 or readme.count(END) != 1 or readme.index(BEGIN) > readme.index(END):
        raise ValueError(f"README.md must hold the lines {BEGIN} and {END} once each, in this order")
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n{content}\n{END}{rest.split(END)[1]}"


def update(run: Path, readme: Path, pictures: list[str]) -> None:
    """Update a README from the folder of a run.

    Parameters
    ----------
    run : Path
        Folder with results.json and the pictures.
    readme : Path
        Its folder gets the pictures, under docs/images.
    pictures : list of str
        File names in the folder of the run.

    Raises
    ------
    OSError, ValueError, KeyError
        The run isn't finished, a picture is missing, or the README has no place for results.
    """
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    if missing := [name for name in pictures if not (run / name).is_file()]:
        raise FileNotFoundError(f"the run {run} has no {', '.join(missing)}")
    images = readme.parent / "docs" / "images"
    shown = [f"![{Path(name).stem.replace('_', ' ').capitalize()}](docs/images/{name})" for name in pictures]
    packages = f"matminer-grid {results['packages']['matminer-grid']}, Python {results['python']}"
    seed = results["identity"]["options"]["seed"]
    source = f"{results['date']}, {_text(results['machine'])}; {results['entries']:,} crystals, seed {seed}; {packages}."
    content = "\n\n".join(["", table(results["rows"]), source, *shown, ""]).strip("\n")
    filled = fill(readme.read_text(encoding="utf-8"), f"\n{content}\n")
    images.mkdir(parents=True, exist_ok=True)
    for name in pictures:
        shutil.copyfile(run / name, images / name)
    readme.write_text(filled, encoding="utf-8")


def _text(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def main(arguments: list[str] | None = None) -> None:
    """Run the script from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="output folder of python -m benchmarks.bulk_modulus")
    parser.add_argument("--readme", type=Path, default=README)
    parser.add_argument("--pictures", nargs="*", default=["parity.png"], help="pictures of the run to copy and show")
    options = parser.parse_args(arguments)
    try:
        update(options.run, options.readme, options.pictures)
    except KeyError as error:
        raise SystemExit(f"results.json lacks {error}; was it written by this version?") from error
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
