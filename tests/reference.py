"""Numbers of ten crystals as this version gives them; ``python -m tests.reference`` writes them anew after an intended change."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from matminer_grid import (
    CrystalTable,
    GRIDFeaturizer,
    PowderPatternFeaturizer,
    ReflectionPairsFeaturizer,
    StructureFactorFeaturizer,
    grid_emd,
)
from matminer_grid.datasets import load_mp_elasticity_table
from tests.conftest import REAL

FILE = Path(__file__).parent / "data" / "reference_vectors.json"
BUILT = ("rock_salt", "perovskite", "hcp", "baddeleyite", "wustite", "cobaltite")
EMBEDDED = ("mp-149", "mp-30", "mp-7000", "largest")
VALUES = 12
"""Values of a vector that are written out, spread over those that aren't zero."""


def crystals() -> dict[str, Any]:
    """Six crystals built by the tests, and four embedded ones, that of most sites among them."""
    data = load_mp_elasticity_table()
    rows = {name: int(data.crystals.n_sites.argmax()) for name in EMBEDDED if name == "largest"}
    rows |= {name: int(np.nonzero(data.material_id == name)[0][0]) for name in EMBEDDED if name != "largest"}
    return {name: REAL[name]() for name in BUILT} | {name: data.crystals[rows[name]] for name in EMBEDDED}


def checksum(values: np.ndarray) -> str:
    """Hash values rounded to 1e-9, off centre, since fractions of sites such as 1/1024 lie between two such numbers."""
    return hashlib.sha256(np.floor(values * 1e9 + 0.2345).astype("<i8").tobytes()).hexdigest()


def describe(vector: np.ndarray) -> dict[str, Any]:
    """Give a checksum of a vector, and some of its values by position."""
    filled = np.nonzero(vector)[0]
    chosen = filled[np.linspace(0, len(filled) - 1, VALUES).astype(int)]
    values = {str(position): round(float(vector[position]), 9) for position in chosen}
    return {"length": len(vector), "nonzero": len(filled), "values": values, "sha256": checksum(vector)}


def compute() -> dict[str, Any]:
    """Compute all of it; of structure factors no checksums, since sines and cosines differ in their last digit between machines."""
    structures = crystals()
    table = CrystalTable.from_structures(structures.values())
    answer: dict[str, Any] = {}
    for preset in ("report", "zhang2023"):
        features = GRIDFeaturizer.from_preset(preset).transform(table)
        answer[f"GRID {preset}"] = {name: describe(row) for name, row in zip(structures, features, strict=True)}
        matrix = grid_emd(features, n_groups=100, bin_size=0.1, pbar=False)
        answer[f"EMD {preset}"] = [[round(float(value), 9) for value in row[:i]] for i, row in enumerate(matrix)]
    rdfs = GRIDFeaturizer().rdf_many(table)
    reflections = {"radial": PowderPatternFeaturizer, "pairs": ReflectionPairsFeaturizer, "hkl": StructureFactorFeaturizer}
    for kind, featurizer in reflections.items():
        rows = featurizer().transform(table)
        rows[np.abs(rows) < 1e-6] = 0  # rounding, of absent reflections
        answer[f"structure factors {kind}"] = {
            name: {key: value for key, value in describe(row).items() if key in {"length", "values"}}
            for name, row in zip(structures, rows, strict=True)
        }
    answer["RDF"] = {name: describe(row) for name, row in zip(structures, rdfs, strict=True)}
    return answer


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(compute(), indent=1) + "\n")
