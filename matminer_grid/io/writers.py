"""Crystals to text: CIF, POSCAR, extended XYZ and JSON, each such that its reader gives the same crystal again."""

from __future__ import annotations

import json
import math
import re
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from gemmi import cif

from matminer_grid.crystals.elements import DUMMY, species_amounts, species_symbol
from matminer_grid.io.structure_json import structure_dict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from matminer_grid.crystals.crystal import Crystal

RESERVED = {"lattice", "properties", "pbc", "cell"}
"""Keys of an extended XYZ file's second line that a property can't have."""


def write_cif(crystal: Crystal, properties: Mapping[str, Any]) -> str:
    """Write a block of a CIF in P 1: lengths and angles instead of the orientation, species of one site on lines of one position.

    Left-handed lattice vectors are written with all signs changed, and so are the coordinates: the same crystal.
    """
    sign = 1.0 if np.linalg.det(crystal.lattice) > 0 else -1.0
    edges = np.linalg.norm(crystal.lattice, axis=1)
    units = crystal.lattice / edges[:, None]
    angles = [_angle(units[i], units[j]) for i, j in ((1, 2), (0, 2), (0, 1))]
    block = cif.Block(re.sub(r"[^\x21-\x7e]|[\[\]]", "_", str(properties.get("name", ""))) or "crystal")
    held = species_amounts(crystal.numbers[crystal.numbers != DUMMY], crystal.occupancies[crystal.numbers != DUMMY])
    if held:
        block.set_pair("_chemical_formula_sum", cif.quote(" ".join(f"{symbol}{amount:.6g}" for symbol, amount in held.items())))
        block.set_pair("_cell_formula_units_Z", "1")
    for name, value in zip(
        ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"), (*edges, *angles), strict=True
    ):
        block.set_pair(f"_cell_{name}", repr(float(value)))
    block.set_pair("_space_group_name_H-M_alt", "'P 1'")
    block.set_pair("_space_group_IT_number", "1")
    block.init_loop("", ["_space_group_symop_operation_xyz"]).add_row(["'x, y, z'"])
    loop = block.init_loop("_atom_site_", ["label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy"])
    rows = zip(crystal.numbers.tolist(), crystal.occupancies.tolist(), crystal.site_index.tolist(), strict=True)
    for row, (number, occupancy, site) in enumerate(rows):
        symbol = species_symbol(number)
        coords = [repr(sign * float(x)) for x in crystal.frac_coords[site]]
        loop.add_row([f"{symbol}{row}", symbol, *coords, repr(occupancy)])
    if properties:
        loop = block.init_loop("_matminer_grid_property_", ["name", "value"])
        for name, value in properties.items():
            loop.add_row([cif.quote(_ascii(str(name))), cif.quote(json.dumps(value))])
    return block.as_string() + "\n"


def write_poscar(crystal: Crystal, properties: Mapping[str, Any]) -> str:
    """Write a POSCAR, with properties as JSON in its first line; partial occupancies are a ValueError."""
    if len(crystal.numbers) != crystal.n_sites or (crystal.occupancies < 1).any():
        raise ValueError("POSCAR files hold no partial occupancies; write CIFs instead")
    runs = [(species_symbol(number), len(list(run))) for number, run in groupby(crystal.numbers.tolist())]
    lines = [
        json.dumps(dict(properties)) if properties else crystal.formula,
        "1.0",
        *(_row(vector) for vector in crystal.lattice),
        " ".join(symbol for symbol, _ in runs),
        " ".join(str(count) for _, count in runs),
        "Direct",
        *(_row(coords) for coords in crystal.frac_coords),
    ]
    return "\n".join(lines) + "\n"


def write_xyz(crystal: Crystal, properties: Mapping[str, Any]) -> str:
    """Write a frame of an extended XYZ file; the columns occupancy and site say what is on shared and partly empty sites.

    A property with the name of what a frame itself says is a ValueError.
    """
    taken = [name for name in properties if name.lower() in RESERVED]
    if taken:
        raise ValueError(f"the property {taken[0]!r} is named like what a frame of an extended XYZ file says itself; rename it")
    is_ordered = len(crystal.numbers) == crystal.n_sites and (crystal.occupancies == 1).all()
    layout = "species:S:1:pos:R:3" + ("" if is_ordered else ":occupancy:R:1:site:I:1")
    keys = [f'Lattice="{_row(crystal.lattice.ravel())}"', f"Properties={layout}", 'pbc="T T T"']
    keys += [f"{_key(name)}={_value(value)}" for name, value in properties.items() if value is not None]
    positions = crystal.frac_coords @ crystal.lattice
    rows = zip(crystal.numbers.tolist(), crystal.occupancies.tolist(), crystal.site_index.tolist(), strict=True)
    lines = [
        f"{species_symbol(number)} {_row(positions[site])}{'' if is_ordered else f' {occupancy!r} {site}'}"
        for number, occupancy, site in rows
    ]
    return "\n".join([str(len(lines)), " ".join(keys), *lines]) + "\n"


def write_json_line(crystal: Crystal, properties: Mapping[str, Any]) -> str:
    """Write a line of JSON: the properties, and under `structure`, which none may be named like, pymatgen's `Structure.as_dict`."""
    taken = {"structure", "lattice", "sites"} & properties.keys()
    if taken:
        raise ValueError(f"the property {min(taken)!r} is named like a part of a structure; rename it")
    return json.dumps({**properties, "structure": structure_dict(crystal)}) + "\n"


def _angle(u: NDArray[np.float64], v: NDArray[np.float64]) -> float:
    """Give the angle of two unit vectors in degrees, to the last digits near 0 and 180 too."""
    angle = math.degrees(2 * math.atan2(float(np.linalg.norm(u - v)), float(np.linalg.norm(u + v))))
    return next((exact for exact in (60.0, 90.0, 120.0) if abs(angle - exact) < 1e-12), angle)


def _row(values: NDArray[np.float64]) -> str:
    return " ".join(map(repr, values.tolist()))


def _ascii(text: str) -> str:
    """Give a name that CIFs can hold: other letters and line ends as in JSON."""
    return text if re.fullmatch(r"[\x20-\x7e]*", text) and text[:1] != '"' else json.dumps(text)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][\w.+\-/:]*", name) else json.dumps(name)


def _value(value: Any) -> str:
    """Give a value such that it is read as what it is."""
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, (int, float)) and math.isfinite(value):
        return repr(value)
    if isinstance(value, str) and re.fullmatch(r"(?!(?:[TF]|[Tt]rue|[Ff]alse|nan|inf|infinity|NaN)$)[A-Za-z][\w+\-./]*", value):
        return value
    return json.dumps(f"_JSON {json.dumps(value)}")
