"""pymatgen's JSON to crystals and back, without running what it names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import DummySpecies

from matminer_grid.crystals.crystal import Crystal
from matminer_grid.crystals.elements import DUMMY, species_symbol
from matminer_grid.io.cif_cell import lattice_of
from matminer_grid.io.records import Parsed
from matminer_grid.io.species import number_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def crystal_from_dict(entry: Any) -> Crystal:
    """Read a crystal from the dictionary that pymatgen's `Structure.as_dict` gives.

    Classes that the dictionary names are not imported and properties of sites not decoded, so that a stranger's file can't run
    anything.

    Parameters
    ----------
    entry : dict
        With the keys `lattice` and `sites`; or a larger record with such a dictionary under `structure`.

    Raises
    ------
    ValueError
        The entry is no such dictionary, or no valid crystal.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> crystal_from_dict(Structure(Lattice.cubic(3.35), ["Po"], [[0, 0, 0]]).as_dict()).formula
    'Po1'
    """
    if isinstance(entry, dict) and "lattice" not in entry and "structure" in entry:
        entry = entry["structure"]
    if isinstance(entry, str):
        entry = _loads(entry)
    if not isinstance(entry, dict):
        raise ValueError(f"a dictionary as pymatgen's Structure.as_dict gives it is needed, not {type(entry).__name__}")  # noqa: TRY004  it is the file's content
    if "sites" not in entry:
        raise ValueError(
            "it is no structure: the keys 'lattice' and 'sites' are needed, as pymatgen's Structure.as_dict writes them"
        )
    if "lattice" not in entry:
        raise ValueError("it is a molecule without a unit cell; only crystals can be read")
    try:
        return _build(entry["lattice"], entry["sites"])
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        raise ValueError(
            f"it is not what pymatgen's Structure.as_dict writes: {type(error).__name__} {str(error)[:300]}"
        ) from error


def _build(lattice: Mapping[str, Any], sites: list[Mapping[str, Any]]) -> Crystal:
    if not all(lattice.get("pbc") or (True, True, True)):
        raise ValueError(f"the lattice must be periodic along all three axes, not {lattice['pbc']}")
    if "matrix" in lattice:
        matrix = np.array(lattice["matrix"], dtype=np.float64)
    else:
        matrix = lattice_of(*(float(lattice[name]) for name in ("a", "b", "c", "alpha", "beta", "gamma")))
    if any("abc" not in site for site in sites):
        raise ValueError("a site has no fractional coordinates 'abc'")
    species = [
        (_number(part), float(part["occu"]), index) for index, site in enumerate(sites) for part in site["species"] if part["occu"]
    ]
    if not species:
        raise ValueError("the structure has no sites: at least one is needed")
    numbers, occupancies, site_index = zip(*species, strict=True)
    coords = np.array([site["abc"] for site in sites], dtype=np.float64)
    return Crystal(matrix, coords, np.array(numbers), np.array(occupancies), np.array(site_index))


def _number(part: Mapping[str, Any]) -> int:
    symbol = part["element"]
    number = number_of(symbol)
    if number is not None and symbol == species_symbol(number):
        return number
    if "oxidation_state" in part and symbol == DummySpecies(symbol).symbol:
        return DUMMY
    raise ValueError(f"there is no element {symbol!r}")


def _loads(content: bytes | str) -> Any:
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no JSON: {error}") from error
    except ValueError as error:
        raise ValueError(f"it is no valid JSON, or cut short: {error}") from error


def read_json(content: bytes) -> list[Parsed]:
    """Read a structure, a list of structures, or records that hold one under `structure`."""
    entry = _loads(content)
    if not isinstance(entry, list):
        return [Parsed(_own_name(entry), crystal_from_dict(entry), properties=_properties(entry))]
    if not entry:
        raise ValueError("it is an empty list; structures are needed")
    out = []
    for item in entry:
        name = _own_name(item)
        try:
            out.append(Parsed(name, crystal_from_dict(item), properties=_properties(item)))
        except ValueError as error:
            out.append(Parsed(name, error=str(error)))
    return out


def _own_name(entry: Any) -> str:
    return entry["name"] if isinstance(entry, dict) and "sites" not in entry and isinstance(entry.get("name"), str) else ""


def _properties(entry: Any) -> dict[str, Any]:
    """Give what a record holds beside its structure; texts, numbers, lists and null only."""
    if not isinstance(entry, dict) or "lattice" in entry:
        return {}
    return {
        key: value for key, value in entry.items() if key != "structure" and isinstance(value, (str, int, float, list, type(None)))
    }


def structure_dict(crystal: Crystal) -> dict[str, Any]:
    """Give the dictionary that pymatgen's `Structure.as_dict` gives; what one species has of a site is added up."""
    matrix = crystal.lattice
    species: list[dict[int, float]] = [{} for _ in range(crystal.n_sites)]
    for number, occupancy, site in zip(
        crystal.numbers.tolist(), crystal.occupancies.tolist(), crystal.site_index.tolist(), strict=True
    ):
        species[site][number] = species[site].get(number, 0.0) + occupancy
    sites = []
    for own, coords in zip(species, crystal.frac_coords.tolist(), strict=True):
        parts = [
            {"element": species_symbol(number), "occu": occupancy} | ({"oxidation_state": 0} if number == DUMMY else {})
            for number, occupancy in own.items()
        ]
        label = "".join(species_symbol(number) for number in own)
        sites.append({"species": parts, "abc": coords, "properties": {}, "label": label})
    return {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "charge": 0,
        "lattice": {"matrix": matrix.tolist(), "pbc": [True, True, True]},
        "properties": {},
        "sites": sites,
    }
