"""StructureFactorFeaturizer: what a crystal looks like in reciprocal space."""

from __future__ import annotations

import math
from itertools import pairwise
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from matminer_grid._threads import interruptible
from matminer_grid.crystals.crystal import as_crystal
from matminer_grid.crystals.scattering import check_scattering, missing_scattering, scattering_coefficients
from matminer_grid.featurizers.base import CrystalFeaturizer
from matminer_grid.featurizers.reflections import (
    MAX_REFLECTIONS,
    miller_indices,
    site_contents,
    standard_lattice,
    too_many,
)
from matminer_grid.kernels import cells, reciprocal

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from pymatgen.core import Structure

    from matminer_grid.crystals.crystal import Crystal
    from matminer_grid.crystals.table import CrystalTable

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]
    Scatterers = tuple[FloatArray, IntArray, FloatArray, IntArray, IntArray, FloatArray, IntArray, FloatArray, float]

PRESETS: dict[str, dict[str, Any]] = {
    "report": {"representation": "hkl", "cell": "niggli", "scattering": "xray", "hkl_max": 5, "value": "intensity"},
    "pairs": {"representation": "pairs"},
}

DEFAULT_S_MAX = {"hkl": 2.0, "radial": 1.5, "pairs": 2.0}
"""Å⁻¹, by representation. X-ray scattering factors end at 2; the Gaussians of "radial" reach beyond its largest |S|."""

CELLS = {"niggli": cells.NIGGLI, "primitive": cells.EQUIVALENT, "conventional": cells.EQUIVALENT, "as_given": cells.AS_GIVEN}

VALUES: dict[str, tuple[str, Callable[[FloatArray], FloatArray]]] = {
    "intensity": ("|F|^2", lambda intensity: intensity),
    "amplitude": ("|F|", np.sqrt),
    "log1p_intensity": ("log(1 + |F|^2)", np.log1p),
    "log1p_amplitude": ("log(1 + |F|)", lambda intensity: np.log1p(np.sqrt(intensity))),
}

MAX_HKL = 20
"""Largest hkl_max: 34,461 reflections."""

MAX_SHELLS = 100
"""Largest number of shells."""

MAX_ANGLES = 8
"""Largest number of angles: the sums for each need twice as many powers of directions."""


class StructureFactorFeaturizer(CrystalFeaturizer):
    r"""Intensities of a crystal's reflections: on a grid of Miller indices, as a powder pattern, or by pairs of reflections.

    The structure factor is F(S) = Σ_n o_n f_n(s) exp(-B s²) exp(2πi S·r_n), divided by the number of occupied sites, with
    s = sinθ/λ = \|S\|/2 and \|S\| = 1/d. It has no anomalous part, so that \|F(-S)\| = \|F(S)\|, and enantiomorphs are alike.
    None of the three depends on the choice of the cell, on supercells, the order of sites, rotation or translation; but only
    "radial" and "pairs" change steadily when atoms or edges move a little, since the Niggli cell jumps.

    Features:
        - "|F|^2 (h, k, l)" (representation "hkl"): intensity of a reflection, 0 beyond `s_max`, for all indices up to `hkl_max`, by
          ascending h² + k² + l², with one of each Friedel pair.
        - "radial [s1 - s2]1/A" (representation "radial"): fraction of the intensity between two lengths of S, without (000). They
          add up to 1.
        - "pairs s1 s2 1/A, angle deg" (representation "pairs"): sum of I(S1) I(S2) over pairs of reflections of two shells that
          stand at an angle to each other; and "self s 1/A", the same for a reflection with itself or with its Friedel mate.

    Parameters
    ----------
    representation : {"hkl", "radial", "pairs"}, default "hkl"
    scattering : {"xray", "neutron", "electrons", "geometry"}, default "xray"
        Scattering factors f: of X-rays, with the parameters of pymatgen's XRDCalculator, to be used up to \|S\| = 2 Å⁻¹; coherent
        scattering lengths of neutrons in fm; the number of electrons, as if atoms were points; or 1.
    b_iso : float, default 0.0
        Isotropic displacement parameter B of all atoms in Å²; 0 for atoms at rest.
    s_max : float, optional
        Largest \|S\| in Å⁻¹; by default 2, for "radial" 1.5. For "hkl" without X-rays it may be infinite.
    hkl_max : int, default 5
        Largest index of "hkl", at most 20.
    cell : {"niggli", "primitive", "conventional", "as_given"}, default "niggli"
        Cell of "hkl": the Niggli cell of the primitive lattice; spglib's standard primitive or conventional cell, which is not
        idealised; or the structure's own, which is taken as it is. See Notes.
    value : {"intensity", "amplitude", "log1p_intensity", "log1p_amplitude"}, default "intensity"
        Value of "hkl": \|F\|², \|F\|, log(1 + \|F\|²) or log(1 + \|F\|).
    symprec : float, default 1e-3
        Å; how far atoms may be from a translation of the primitive lattice, and how much edges that count as equal may differ. Only
        "hkl" uses it.
    bin_size : float, default 0.02
        Width of a bin of "radial" in Å⁻¹; `s_max` must be a multiple of it.
    smearing : float, default 0.02
        Standard deviation in Å⁻¹ of the Gaussian that broadens each reflection of "radial", integrated exactly over each bin.
        With 0, reflections jump from bin to bin when the cell is strained.
    n_radial, n_angle : int, default 12 and 4
        Number of shells and of angles of "pairs"; at most 8 angles.

    Notes
    -----
    **The setting of "hkl".** Where edges are equal, or nearly, and where the lattice is more symmetric than the crystal, a rule for
    cells leaves the order and the directions of axes open. Of all the cells that meet the rule within `symprec`, the one is taken
    whose list of intensities is the largest, where lists are compared feature by feature.

    **"pairs".** I(S) = w(\|S\|) \|F(S)\|² / ⟨f(0)²⟩, with the mean over all that occupies the sites, and
    w = (1 - \|S\|²/s_max²)², so that no reflection enters with a jump. Shells are soft: a reflection between the middles of two
    shells is shared by both, in proportion to its distance. So are angles: the n-th of N + 1 is weighted with the Bernstein
    polynomial C(N, n) x^n (1 - x)^(N-n), x = cos²θ, whose maximum is at cos²θ = n/N. Pairs are ordered ones of the full sphere; all
    features add up to the square of the sum of all I. No list of pairs is needed: the sum of cos^{2n}θ over pairs is a product of
    sums over reflections. For kernels with Euclidean distances, square roots of the features do better than they themselves.

    References
    ----------
    J. Cumby and S. Seth, AI4SD project series, report 7 (2021), 10.5258/SOTON/P0038.
    R. W. Grosse-Kunstleve, N. K. Sauter and P. D. Adams, Acta Cryst. A60 (2004) 1-6, 10.1107/S010876730302186X (Niggli cell).
    The sources of scattering factors are those of :func:`~matminer_grid.crystals.scattering.scattering_factor`.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from matminer_grid import StructureFactorFeaturizer
    >>> salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> powder = StructureFactorFeaturizer("radial", s_max=0.6, bin_size=0.1, smearing=0.0)
    >>> for label, fraction in zip(powder.feature_labels(), powder.featurize(salt)):
    ...     print(label, fraction.round(3))
    radial [0.00000 - 0.10000]1/A 0.0
    radial [0.10000 - 0.20000]1/A 0.0
    radial [0.20000 - 0.30000]1/A 0.0
    radial [0.30000 - 0.40000]1/A 0.411
    radial [0.40000 - 0.50000]1/A 0.0
    radial [0.50000 - 0.60000]1/A 0.589
    >>> StructureFactorFeaturizer.from_preset("pairs").featurize(salt).shape
    (324,)
    """

    def __init__(
        self,
        representation: str = "hkl",
        scattering: str = "xray",
        b_iso: float = 0.0,
        s_max: float | None = None,
        hkl_max: int = 5,
        cell: str = "niggli",
        value: str = "intensity",
        symprec: float = 1e-3,
        bin_size: float = 0.02,
        smearing: float = 0.02,
        n_radial: int = 12,
        n_angle: int = 4,
    ) -> None:
        self.representation = representation
        self.scattering = scattering
        self.b_iso = b_iso
        self.s_max = s_max
        self.hkl_max = hkl_max
        self.cell = cell
        self.value = value
        self.symprec = symprec
        self.bin_size = bin_size
        self.smearing = smearing
        self.n_radial = n_radial
        self.n_angle = n_angle

    @classmethod
    def from_preset(cls, preset: str) -> Self:
        """Make the featurizer with settings that have a name.

        Parameters
        ----------
        preset : {"report", "pairs"}
            "report" is X-ray intensities on the hkl grid of the Niggli cell (10.5258/SOTON/P0038); "pairs" the description by pairs
            of reflections that the report names as the way out of the choice of cells.

        Raises
        ------
        ValueError
            The preset is unknown.
        """
        if preset not in PRESETS:
            raise ValueError(f"unknown preset {preset!r}; choose one of {', '.join(map(repr, PRESETS))}")
        return cls(**PRESETS[preset])

    @property
    def hkl(self) -> IntArray:
        """Miller indices of the representation "hkl", shape (n_features, 3)."""
        return miller_indices(int(self.hkl_max))

    @property
    def bin_edges(self) -> FloatArray:
        """Edges of the bins of "radial" in Å⁻¹, shape (n_bins + 1,)."""
        return np.arange(round(self._s_max / self.bin_size) + 1, dtype=np.float64) * self.bin_size

    @property
    def shells(self) -> FloatArray:
        """Middles of the soft shells of "pairs" in Å⁻¹, shape (n_radial,)."""
        return (np.arange(self.n_radial) + 0.5) * self._s_max / self.n_radial

    @property
    def angles(self) -> FloatArray:
        """Angles in degrees at which the soft angles of "pairs" have their maximum, shape (n_angle,)."""
        cosines = np.sqrt(np.linspace(0, 1, self.n_angle)) if self.n_angle > 1 else np.ones(1)
        return np.degrees(np.arccos(cosines))

    @property
    def n_features(self) -> int:
        """Number of features."""
        if self.representation == "hkl":
            return ((2 * self.hkl_max + 1) ** 3 + 1) // 2
        if self.representation == "radial":
            return len(self.bin_edges) - 1
        return self.n_radial * (self.n_radial + 1) // 2 * self.n_angle + self.n_radial

    @property
    def _s_max(self) -> float:
        return DEFAULT_S_MAX[self.representation] if self.s_max is None else float(self.s_max)

    def _check_parameters(self) -> None:
        for name, choices in (("representation", DEFAULT_S_MAX), ("cell", CELLS), ("value", VALUES)):
            if getattr(self, name) not in choices:
                raise ValueError(f"unknown {name} {getattr(self, name)!r}; choose one of {', '.join(map(repr, choices))}")
        for name, highest in (("hkl_max", MAX_HKL), ("n_radial", MAX_SHELLS), ("n_angle", MAX_ANGLES)):
            _check_whole_number(name, getattr(self, name), highest)
        for name, unit in (("symprec", "Å"), ("bin_size", "Å⁻¹")):
            _check_number(name, getattr(self, name), unit, zero=False)
        _check_number("smearing", self.smearing, "Å⁻¹", zero=True)
        check_scattering(self.scattering, DEFAULT_S_MAX[self.representation] if self.s_max is None else self.s_max, self.b_iso)
        if self.representation != "hkl" and not math.isfinite(self._s_max):
            raise ValueError(f"s_max must be finite for the representation {self.representation!r}")
        if self.representation == "radial":
            self._check_bins()

    def _check_bins(self) -> None:
        s_max, n_bins = self._s_max, round(self._s_max / self.bin_size)
        if n_bins < 1 or abs(n_bins * self.bin_size - s_max) > 1e-8:
            raise ValueError(
                f"s_max must be a multiple of bin_size, and {s_max:g} Å⁻¹ is none of {self.bin_size!r}: "
                f"{max(n_bins, 1) * self.bin_size:g} would be, or the bin size {s_max / max(n_bins, 1):g}"
            )
        reach = s_max + reciprocal.TAIL * self.smearing
        try:
            check_scattering(self.scattering, reach, self.b_iso)
        except ValueError as error:
            raise ValueError(f"with a smearing of {self.smearing!r} Å⁻¹, reflections up to {reach:g} Å⁻¹ count: {error}") from None

    def precheck(self, structure: Structure | Crystal) -> bool:
        """Tell whether a structure can be featurized: it is valid and all that it holds has a scattering factor."""
        try:
            numbers = as_crystal(structure).numbers
        except (TypeError, ValueError):
            return False
        return not np.isnan(scattering_coefficients(np.unique(numbers), self.scattering)).any()

    def pair_distribution(self, structure: Structure | Crystal) -> tuple[FloatArray, FloatArray]:
        """Compute "pairs" in its natural form, whatever the representation is.

        Parameters
        ----------
        structure : pymatgen.core.Structure or Crystal

        Returns
        -------
        pairs : ndarray of shape (n_radial, n_radial, n_angle)
            Sum of I(S1) I(S2) over ordered pairs with S1 in the first and S2 in the second shell; the middles of the shells are
            :attr:`shells`, the angles :attr:`angles`. Symmetric in the shells.
        self_term : ndarray of shape (n_radial,)
            The same for S2 = S1 and S2 = -S1.

        Raises
        ------
        TypeError, ValueError
            As :meth:`featurize`.
        """
        twin = type(self)(**self.get_params() | {"representation": "pairs"})
        features = twin.featurize(structure)
        first, second = np.triu_indices(self.n_radial)
        pairs = np.zeros((self.n_radial, self.n_radial, self.n_angle))
        pairs[first, second] = features[: -self.n_radial].reshape(-1, self.n_angle) / np.where(first == second, 1, 2)[:, None]
        pairs[second, first] = pairs[first, second]
        return pairs, features[-self.n_radial :]

    def _featurize_table(self, table: CrystalTable, out: FloatArray) -> dict[int, Exception]:
        species, kinds = np.unique(table.numbers, return_inverse=True)
        coefficients = scattering_coefficients(species, self.scattering)
        arrays: Scatterers = (
            *(table.lattices, table.site_offsets, table.frac_coords, table.species_offsets),
            *(kinds, table.occupancies, table.site_index, coefficients, float(self.b_iso)),
        )
        fill = self._fill_hkl if self.representation == "hkl" else self._fill_reflections
        errors = fill(table, arrays, out)
        row_of_species = np.repeat(np.arange(len(table)), np.diff(table.species_offsets))
        for i in np.nonzero(np.isnan(coefficients[kinds, 0]))[0][::-1].tolist():
            row = int(row_of_species[i])
            errors[row] = ValueError(f"{table[row].formula}: {missing_scattering(int(table.numbers[i]), self.scattering)}")
        return errors

    def _fill_reflections(self, table: CrystalTable, arrays: Scatterers, out: FloatArray) -> dict[int, Exception]:
        status, counts = np.empty(len(table), np.int64), np.empty(len(table), np.int64)
        kernel: Callable[..., None] = reciprocal.radial_batch
        parameters: tuple[float, ...] = (float(self.bin_size), float(self.smearing))
        if self.representation == "pairs":
            kernel, parameters = reciprocal.pairs_batch, (self._s_max, int(self.n_radial), int(self.n_angle))
        interruptible(kernel, *arrays, *parameters, MAX_REFLECTIONS, out, status, counts, n_sites=len(table.frac_coords))
        errors: dict[int, Exception] = {}
        for row in np.nonzero(status)[0].tolist():
            text = too_many(table[row], counts[row])
            if status[row] == reciprocal.NO_REFLECTIONS:
                text = f"{table[row].formula}: no reflection below s_max = {self._s_max:g} Å⁻¹; choose a larger s_max"
            errors[row] = ValueError(text)
        return errors

    def _fill_hkl(self, table: CrystalTable, arrays: Scatterers, out: FloatArray) -> dict[int, Exception]:
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
        reciprocal.hkl_batch(*arrays, self._s_max, bases, offsets, settings, self.hkl, out)
        out[:] = VALUES[self.value][1](out)
        for row in np.nonzero(status == cells.OTHER_LATTICE)[0].tolist():
            errors.setdefault(
                row,
                ValueError(
                    f"{table[row].formula}: spglib's {self.cell} cell has another lattice than the translations of the sites "
                    f"within symprec = {self.symprec!r} Å; choose another symprec, or cell='niggli'"
                ),
            )
        return errors

    def feature_labels(self) -> list[str]:
        """Labels of the features, in their order."""
        self._check_parameters()
        if self.representation == "hkl":
            return [f"{VALUES[self.value][0]} ({h}, {k}, {l_})" for h, k, l_ in self.hkl.tolist()]
        if self.representation == "radial":
            return [f"radial [{low:.5f} - {high:.5f}]1/A" for low, high in pairwise(self.bin_edges)]
        shells = [f"{s:.4f}" for s in self.shells]
        pairs = [(first, second) for i, first in enumerate(shells) for second in shells[i:]]
        return [f"pairs {first} {second} 1/A, {angle:.1f} deg" for first, second in pairs for angle in self.angles] + [
            f"self {s} 1/A" for s in shells
        ]

    def citations(self) -> list[str]:
        """BibTeX of where the descriptor, the reduced cell and the scattering factors come from."""
        sources = [
            (
                "@techreport{Cumby2021,"
                "title={Interpretable crystal descriptions across length scales for materials discovery: Final Report},"
                "author={Cumby, James and Seth, Sohan},"
                "institution={AI 4 Science Discovery Network+},"
                "year={2021},"
                "doi={10.5258/SOTON/P0038}}"
            )
        ]
        if self.representation == "hkl" and self.cell == "niggli":
            sources.append(
                "@article{GrosseKunstleve2004,"
                "title={Numerically stable algorithms for the computation of reduced unit cells},"
                "author={Grosse-Kunstleve, Ralf W. and Sauter, Nicholas K. and Adams, Paul D.},"
                "journal={Acta Crystallographica Section A},"
                "volume={60},"
                "pages={1--6},"
                "year={2004},"
                "doi={10.1107/S010876730302186X}}"
            )
        if self.scattering == "xray":
            sources.append(
                "@article{DoyleTurner1968,"
                "title={Relativistic Hartree-Fock X-ray and electron scattering factors},"
                "author={Doyle, P. A. and Turner, P. S.},"
                "journal={Acta Crystallographica Section A},"
                "volume={24},"
                "pages={390--397},"
                "year={1968},"
                "doi={10.1107/S0567739468000756}}"
            )
        if self.scattering == "neutron":
            sources.append(
                "@book{DianouxLander2003,"
                "title={Neutron Data Booklet},"
                "author={Dianoux, Albert-Jos{\\'e} and Lander, Gerry},"
                "edition={2},"
                "publisher={Old City},"
                "year={2003}}"
            )
        return sources

    def implementors(self) -> list[str]:
        """Who wrote the featurizer."""
        return ["matminer-grid developers"]


def _check_number(name: str, value: Any, unit: str, *, zero: bool) -> None:
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number in {unit}, not {value!r}")
    if not math.isfinite(value) or float(value) < 0 or (value == 0 and not zero):
        raise ValueError(f"{name} must be {f'0 {unit} or more' if zero else f'above 0 {unit}'}, not {value!r}")


def _check_whole_number(name: str, value: Any, highest: int) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if not 1 <= int(value) <= highest:
        raise ValueError(f"{name} must lie between 1 and {highest}, not {value}")
