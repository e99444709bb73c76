"""Properties of the elements that chemistry is resolved by, from the tables that matminer ships."""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from matminer.utils.data import CohesiveEnergyData, MagpieData
from pymatgen.core import Element

from matminer_grid.crystals.elements import DEUTERIUM, DUMMY, TRITIUM

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matminer_grid.crystals.table import CrystalTable

LARGEST_NUMBER = 103
"""Atomic number of Lr, the last element of the modified Pettifor scale."""

LINEAR = (
    *("Electronegativity", "AllenElectronegativity", "phi", "n_ws^third", "FirstIonizationEnergy"),
    *("CovalentRadius", "MiracleRadius", "ZungerPP-r_s", "ZungerPP-r_sigma"),
    *("Number", "MendeleevNumber", "Row", "Column"),
    *("NsValence", "NpValence", "NdValence", "NfValence", "NUnfilled", "NdUnfilled"),
    *("MeltingT", "HeatVaporization"),
)
LOGARITHMIC = ("BulkModulus", "ShearModulus", "GSvolume_pa", "Polarizability", "Density")
SITE_PROPERTIES = (*LINEAR, *(f"log {name}" for name in LOGARITHMIC), "cohesive energy", "outer electrons")
"""Elemental properties whose distribution over sites is compared, with the names of the Magpie tables."""

NEIGHBOR_PROPERTIES = (
    *("Electronegativity", "phi", "n_ws^third", "FirstIonizationEnergy", "CovalentRadius", "ZungerPP-r_s"),
    *("MendeleevNumber", "Row", "NsValence", "NpValence", "NdValence", "NfValence", "NUnfilled", "MeltingT"),
    *("log BulkModulus", "log GSvolume_pa", "log Polarizability", "cohesive energy", "outer electrons"),
)
"""Those that are averaged over the neighbours of a site."""


@cache
def elemental_table() -> dict[str, NDArray[np.float64]]:
    """Read the elemental properties, each an array of shape (104,) by atomic number; entry 0 is NaN.

    What a table lacks is its mean over the elements, as matminer fills it. Besides SITE_PROPERTIES it holds the atomic mass.

    References
    ----------
    L. Ward, A. Agrawal, A. Choudhary and C. Wolverton, npj Comput. Mater. 2 (2016) 16028, 10.1038/npjcompumats.2016.28 (Magpie);
    C. Kittel, Introduction to Solid State Physics, 8th ed. (2005), for the cohesive energies in eV an atom.
    """
    elements = [Element.from_Z(number) for number in range(1, LARGEST_NUMBER + 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which values were filled in
        magpie, cohesion = MagpieData(impute_nan=True), CohesiveEnergyData(impute_nan=True)
        table = {name: _column([magpie.get_elemental_property(e, name) for e in elements]) for name in (*LINEAR, *LOGARITHMIC)}
        table["cohesive energy"] = _column([cohesion.get_elemental_property(e.symbol) for e in elements])
    for name in LOGARITHMIC:
        table[f"log {name}"] = np.log10(table.pop(name))
    group = table["Column"]
    outer = np.select([table["NfValence"] > 0, group == 12, group > 12], [3, 2, group - 10], group)
    table["outer electrons"] = np.where((table["NfValence"] > 0) & (table["NdValence"] > 1), group, outer)
    table["atomic mass"] = _column([e.atomic_mass for e in elements])
    return table


@cache
def standardized(names: tuple[str, ...]) -> NDArray[np.float64]:
    """Give properties as an array of shape (104, n_properties), with mean 0 and variance 1 over the elements up to Pu."""
    values = np.stack([elemental_table()[name] for name in names], axis=1)
    natural = values[1:95]
    return (values - natural.mean(axis=0)) / natural.std(axis=0)


def element_numbers(table: CrystalTable) -> tuple[NDArray[np.int64], dict[int, Exception]]:
    """Atomic number of each species, hydrogen's for its isotopes; and an error for each row with species that no table holds."""
    numbers = np.where(np.isin(table.numbers, (DEUTERIUM, TRITIUM)), 1, table.numbers)
    unknown = np.nonzero((numbers == DUMMY) | (numbers > LARGEST_NUMBER))[0]
    rows = np.unique(np.searchsorted(table.species_offsets, unknown, side="right") - 1)
    message = "elemental properties are known from H to Lr, which are not all of its species; leave it out or replace the others"
    return numbers, {int(row): ValueError(f"{table[row].formula}: {message}") for row in rows}


def _column(values: list[float]) -> NDArray[np.float64]:
    return np.array([np.nan, *values], dtype=np.float64)
