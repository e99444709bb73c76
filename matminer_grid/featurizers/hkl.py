"""StructureFactorFeaturizer: intensities on a grid of Miller indices."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Self

import numpy as np
import spglib

from matminer_grid._validation import check_choice, check_number, check_whole
from matminer_grid.featurizers.reflections import ReflectionFeaturizer
from matminer_grid.kernels import cells, hkl

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from matminer_grid.crystals.table import CrystalTable
    from matminer_grid.featurizers.reflections import Scatterers

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

CELLS = {"niggli": cells.NIGGLI, "primitive": cells.EQUIVALENT, "conventional": cells.EQUIVALENT, "as_given": cells.AS_GIVEN}

VALUES: dict[str, tuple[str, Callable[[FloatArray], FloatArray]]] = {
    "intensity": ("|F|^2", lambda intensity: intensity),
    "amplitude": ("|F|", np.sqrt),
    "log1p_intensity": ("log(1 + |F|^2)", np.log1p),
    "log1p_amplitude": ("log(1 + |F|)", lambda intensity: np.log1p(np.sqrt(intensity))),
}

MAX_HKL = 20
"""Largest hkl_max: 34,461 reflections."""

SPGLIB_ERROR = getattr(spglib, "SpglibError", RuntimeError)
"""What versions of spglib raise that don't give None where they fail."""

NIGGLI = (
    "@article{GrosseKunstleve2004,title={Numerically stable algorithms for the computation of reduced unit cells},"
    "author={Grosse-Kunstleve, Ralf W. and Sauter, Nicholas K. and Adams, Paul D.},journal={Acta Crystallographica Section A},"
    "volume={60},pages={1--6},year={2004},doi={10.1107/S010876730302186X}}"
)


class StructureFactorFeaturizer(ReflectionFeaturizer):
    r"""Intensities of a crystal's reflections on a grid of Miller indices.

    The structure factor is F(S) = Σ_n o_n f_n(s) exp(-B s²) exp(2πi S·r_n), divided by the number of occupied sites, with
    s = sinθ/λ = \|S\|/2 and \|S\| = 1/d. It has no anomalous part, so that \|F(-S)\| = \|F(S)\|, and enantiomorphs are alike.
    Intensities don't depend on the choice of the cell, on supercells, the order of sites, rotation or translation. But they jump
    where the cell does, when atoms or edges move a little; :class:`PowderPatternFeaturizer` and :class:`ReflectionPairsFeaturizer`
    change steadily.

    Features:
        - "|F|^2 (h, k, l)": intensity of a reflection, 0 beyond `s_max`, for all indices up to `hkl_max`, by ascending
          h² + k² + l², with one of each Friedel pair.

    Parameters
    ----------
    scattering : {"xray", "neutron", "electrons", "geometry"}, default "xray"
        Scattering factors f: of X-rays, with the parameters of pymatgen's XRDCalculator, to be used up to \|S\| = 2 Å⁻¹; coherent
        scattering lengths of neutrons in fm; the number of electrons, as if atoms were points; or 1.
    b_iso : float, default 0.0
        Isotropic displacement parameter B of all atoms in Å²; 0 for atoms at rest.
    s_max : float, default 2.0
        Largest \|S\| in Å⁻¹. Without X-rays it may be infinite.
    hkl_max : int, default 5
        Largest index, at most 20.
    cell : {"niggli", "primitive", "conventional", "as_given"}, default "niggli"
        The Niggli cell of the primitive lattice; spglib's standard primitive or conventional cell, which is not idealised; or the
        structure's own, which is taken as it is. See Notes.
    value : {"intensity", "amplitude", "log1p_intensity", "log1p_amplitude"}, default "intensity"
        \|F\|², \|F\|, log(1 + \|F\|²) or log(1 + \|F\|).
    symprec : float, default 1e-3
        Å; how far atoms may be from a translation of the primitive lattice, and how much edges that count as equal may differ.

    Notes
    -----
    Where edges are equal, or nearly, and where the lattice is more symmetric than the crystal, a rule for cells leaves the order
    and the directions of axes open. Of all the cells that meet the rule within `symprec`, the one is taken whose list of
    intensities is the largest, where lists are compared feature by feature.

    References
    ----------
    J. Cumby and S. Seth, AI4SD project series, report 7 (2021), 10.5258/SOTON/P0038.
    R. W. Grosse-Kunstleve, N. K. Sauter and P. D. Adams, Acta Cryst. A60 (2004) 1-6, 10.1107/S010876730302186X (Niggli cell).
    The sources of scattering factors are those of :func:`~matminer_grid.crystals.scattering.scattering_factor`.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from matminer_grid import StructureFactorFeaturizer
    >>> iron = Structure(Lattice.cubic(2.866), ["Fe", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> featurizer = StructureFactorFeaturizer(hkl_max=1, value="amplitude", cell="conventional")
    >>> for label, amplitude in zip(featurizer.feature_labels(), featurizer.featurize(iron)[:6]):
    ...     print(label, amplitude.round(2))
    |F| (0, 0, 0) 26.0
    |F| (1, 0, 0) 0.0
    |F| (0, 1, 0) 0.0
    |F| (0, 0, 1) 0.0
    |F| (1, 1, 0) 18.44
    |F| (1, 0, 1) 18.44
    """

    def __init__(
        self,
        *,
        scattering: str = "xray",
        b_iso: float = 0.0,
        s_max: float = 2.0,
        hkl_max: int = 5,
        cell: str = "niggli",
        value: str = "intensity",
        symprec: float = 1e-3,
    ) -> None:
        self.scattering = scattering
        self.b_iso = b_iso
        self.s_max = s_max
        self.hkl_max = hkl_max
        self.cell = cell
        self.value = value
        self.symprec = symprec

    @classmethod
    def from_preset(cls, preset: str) -> Self:
        """Make the featurizer with settings that have a name.

        Parameters
        ----------
        preset : {"report"}
            X-ray intensities on the hkl grid of the Niggli cell, up to index 5 (10.5258/SOTON/P0038).

        Raises
        ------
        ValueError
            The preset is unknown.
        """
        check_choice("preset", preset, ["report"])
        return cls(scattering="xray", hkl_max=5, cell="niggli", value="intensity")

    @property
    def hkl(self) -> IntArray:
        """Miller indices, shape (n_features, 3)."""
        return miller_indices(int(self.hkl_max))

    @property
    def n_features(self) -> int:
        """Number of features."""
        return ((2 * self.hkl_max + 1) ** 3 + 1) // 2

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_choice("cell", self.cell, CELLS)
        check_choice("value", self.value, VALUES)
        check_whole("hkl_max", self.hkl_max, high=MAX_HKL)
        check_number("symprec", self.symprec, low_ok=False, unit="Å")

    def _featurize_scatterers(self, table: CrystalTable, scatterers: Scatterers, out: FloatArray) -> dict[int, Exception]:
        contents = site_contents(table)
        errors: dict[int, Exception] = {}
        wanted = table.lattices
        if CELLS[self.cell] == cells.EQUIVALENT:
            wanted = table.lattices.copy()
            for row in range(len(table)):
                sites = slice(table.site_offsets[row], table.site_offsets[row + 1])
                try:
                    wanted[row] = standard_lattice(
                        table.lattices[row], table.frac_coords[sites], contents[sites], self.cell, self.symprec
                    )
                except ValueError as error:
                    errors[row] = ValueError(f"{table[row].formula}: {error}")
        bases, status = np.empty((len(table), 3, 3)), np.empty(len(table), np.int64)
        offsets, settings = cells.settings_batch(
            *(table.lattices, table.site_offsets, table.frac_coords, contents, wanted),
            *(CELLS[self.cell], float(self.symprec), bases, status),
        )
        hkl.hkl_batch(scatterers, float(self.s_max), bases, offsets, settings, self.hkl, out)
        out[:] = VALUES[self.value][1](out)
        other = (
            f"spglib's {self.cell} cell has another lattice than the translations of the sites within symprec = "
            f"{self.symprec!r} Å; choose another symprec, or cell='niggli'"
        )
        rows = np.nonzero(status == cells.OTHER_LATTICE)[0].tolist()
        return {row: ValueError(f"{table[row].formula}: {other}") for row in rows} | errors

    def feature_labels(self) -> list[str]:
        """Labels of the features, in their order."""
        self._check_parameters()
        return [f"{VALUES[self.value][0]} ({h}, {k}, {l_})" for h, k, l_ in self.hkl.tolist()]

    def citations(self) -> list[str]:
        """BibTeX of where the descriptor, the scattering factors and the reduced cell come from."""
        return super().citations() + ([NIGGLI] if self.cell == "niggli" else [])


@cache
def miller_indices(hkl_max: int) -> IntArray:
    """One of each Friedel pair of indices up to hkl_max, and (0, 0, 0); by h² + k² + l², then with the highest first."""
    indices = np.stack(np.meshgrid(*[np.arange(-hkl_max, hkl_max + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    indices = indices[len(indices) // 2 :][::-1]
    return np.ascontiguousarray(indices[np.argsort((indices**2).sum(axis=1), kind="stable")])


def site_contents(table: CrystalTable) -> IntArray:
    """Give the sites of a table numbers, shape (S,); sites that hold the same have the same number."""
    if len(table.numbers) == len(table.frac_coords) and (table.occupancies == 1).all():
        return table.numbers
    site = table.site_index + np.repeat(table.site_offsets[:-1], np.diff(table.species_offsets))
    held: list[list[tuple[int, float]]] = [[] for _ in range(len(table.frac_coords))]
    for i, number, occupancy in zip(site.tolist(), table.numbers.tolist(), table.occupancies.round(6).tolist(), strict=True):
        held[i].append((number, occupancy))
    known: dict[tuple[tuple[int, float], ...], int] = {}
    return np.array([known.setdefault(tuple(sorted(content)), len(known) + 1) for content in held], dtype=np.int64)


def standard_lattice(lattice: FloatArray, frac_coords: FloatArray, contents: IntArray, cell: str, symprec: float) -> FloatArray:
    """Give the lattice vectors of spglib's standard primitive or conventional cell, as rows, in Å, not idealised."""
    described = (lattice, frac_coords, contents)
    try:
        found = spglib.standardize_cell(described, to_primitive=cell == "primitive", no_idealize=True, symprec=symprec)
    except SPGLIB_ERROR as error:
        raise ValueError(f"spglib found no {cell} cell ({error}); choose another symprec, or cell='niggli'") from error
    if found is None:
        raise ValueError(f"spglib found no {cell} cell; choose another symprec, or cell='niggli'")
    return found[0]
