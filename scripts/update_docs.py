"""Keep the results of finished benchmark runs for the site: ``python scripts/update_docs.py output/speed/speed.json ...``.

Of each file what the site's tables show is written to docs/results; which benchmark it is from is told by its content.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "docs" / "results"
PROVENANCE = ("date", "machine", "python", "packages")
KEPT = {
    "bulk_modulus": ("entries", "test_entries", "rows"),
    "model": ("target", "entries", "cv", "mean", "folds"),
    "parameters": ("entries", "folds", "seed", "rows"),
    "speed": ("structure", "pair", "search", "scaling", "ratios"),
}
"""What is kept of each benchmark's results, beside where they come from."""

ROW = ("descriptor", "model", "dissimilarity", "target_scale", "scores")
"""What is kept of a row of benchmarks.bulk_modulus."""


def keep(results: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Tell which benchmark results are from, and give what is kept of them.

    Raises
    ------
    ValueError
        They are from none that is known.
    """
    results = results | results.get("run", {})
    for name, keys in sorted(KEPT.items(), key=lambda item: -len(item[1])):
        if all(key in results for key in (*keys, *PROVENANCE)):
            content = {key: results[key] for key in (*PROVENANCE, *keys)}
            if name == "bulk_modulus":
                content["rows"] = [{key: row[key] for key in ROW} for row in results["rows"]]
            return name, content
    raise ValueError(f"it holds the results of none of {', '.join(KEPT)}")


def main(arguments: list[str] | None = None) -> None:
    """Run the script from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="results.json, speed.json, parameters.json, K_VRH.json")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    for file in options.files:
        try:
            name, content = keep(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise SystemExit(f"{file}: {error}") from error
        target = options.output / f"{name}.json"
        target.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{target}: {name}, {content['date']}")


if __name__ == "__main__":
    main()
