"""ReflectionPairsFeaturizer: intensities of pairs of reflections, by their lengths and the angle between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matminer_grid._validation import check_number, check_whole
from matminer_grid.featurizers.reflections import ReflectionFeaturizer
from matminer_grid.kernels import pairs as kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.core import Structure

    from matminer_grid.crystals.crystal import Crystal
    from matminer_grid.crystals.table import CrystalTable
    from matminer_grid.featurizers.reflections import Scatterers

    FloatArray = NDArray[np.float64]

MAX_SHELLS = 100
"""Largest number of shells."""

MAX_ANGLES = 8
"""Largest number of angles: the sums for each need twice as many powers of directions."""


class ReflectionPairsFeaturizer(ReflectionFeaturizer):
    r"""Intensities of pairs of a crystal's reflections, by the lengths of both and the angle between them.

    The structure factor F is that of :class:`StructureFactorFeaturizer`. Features don't depend on the choice of the cell, on
    supercells, the order of sites, rotation or translation, and change steadily when atoms or edges move a little. The report names
    such pairs as the way out of the choice of cells.

    Features:
        - "pairs s1 s2 1/A, angle deg": sum of I(S1) I(S2) over pairs of reflections of two shells that stand at an angle to each
          other.
        - "self s 1/A": the same for a reflection with itself or with its Friedel mate.

    Parameters
    ----------
    scattering : {"xray", "neutron", "electrons", "geometry"}, default "xray"
        Scattering factors, as for :class:`StructureFactorFeaturizer`.
    b_iso : float, default 0.0
        Isotropic displacement parameter B of all atoms in Å²; 0 for atoms at rest.
    s_max : float, default 2.0
        Largest \|S\| in Å⁻¹.
    n_radial, n_angle : int, default 12 and 4
        Number of shells and of angles; at most 100 and 8.

    Notes
    -----
    I(S) = w(\|S\|) \|F(S)\|² / ⟨f(0)²⟩, with the mean over all that occupies the sites, and w = (1 - \|S\|²/s_max²)², so that no
    reflection enters with a jump. Shells are soft: a reflection between the middles of two shells is shared by both, in proportion
    to its distance. So are angles: the n-th of N + 1 is weighted with the Bernstein polynomial C(N, n) x^n (1 - x)^(N-n),
    x = cos²θ, whose maximum is at cos²θ = n/N. Pairs are ordered ones of the full sphere; all features add up to the square of the
    sum of all I. No list of pairs is needed: the sum of cos^{2n}θ over pairs is a product of sums over reflections. For kernels
    with Euclidean distances, square roots of the features do better than they themselves.

    References
    ----------
    J. Cumby and S. Seth, AI4SD project series, report 7 (2021), 10.5258/SOTON/P0038.
    The sources of scattering factors are those of :func:`~matminer_grid.crystals.scattering.scattering_factor`.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from matminer_grid import ReflectionPairsFeaturizer
    >>> iron = Structure(Lattice.cubic(2.866), ["Fe", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> ReflectionPairsFeaturizer().featurize(iron).shape
    (324,)
    """

    def __init__(
        self, *, scattering: str = "xray", b_iso: float = 0.0, s_max: float = 2.0, n_radial: int = 12, n_angle: int = 4
    ) -> None:
        self.scattering = scattering
        self.b_iso = b_iso
        self.s_max = s_max
        self.n_radial = n_radial
        self.n_angle = n_angle

    @property
    def shells(self) -> FloatArray:
        """Middles of the soft shells in Å⁻¹, shape (n_radial,)."""
        return (np.arange(self.n_radial) + 0.5) * self.s_max / self.n_radial

    @property
    def angles(self) -> FloatArray:
        """Angles in degrees at which the soft angles have their maximum, shape (n_angle,)."""
        cosines = np.sqrt(np.linspace(0, 1, self.n_angle)) if self.n_angle > 1 else np.ones(1)
        return np.degrees(np.arccos(cosines))

    @property
    def n_features(self) -> int:
        """Number of features."""
        return self.n_radial * (self.n_radial + 1) // 2 * self.n_angle + self.n_radial

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("s_max", self.s_max, low_ok=False, unit="Å⁻¹")
        check_whole("n_radial", self.n_radial, high=MAX_SHELLS)
        check_whole("n_angle", self.n_angle, high=MAX_ANGLES)

    def pair_distribution(self, structure: Structure | Crystal) -> tuple[FloatArray, FloatArray]:
        """Compute the features in their natural form.

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
        features = self.featurize(structure)
        first, second = np.triu_indices(self.n_radial)
        pairs = np.zeros((self.n_radial, self.n_radial, self.n_angle))
        pairs[first, second] = features[: -self.n_radial].reshape(-1, self.n_angle) / np.where(first == second, 1, 2)[:, None]
        pairs[second, first] = pairs[first, second]
        return pairs, features[-self.n_radial :]

    def _featurize_scatterers(self, table: CrystalTable, scatterers: Scatterers, out: FloatArray) -> dict[int, Exception]:
        parameters = (float(self.s_max), int(self.n_radial), int(self.n_angle))
        return self._run(kernels.pairs_batch, table, scatterers, parameters, out)

    def feature_labels(self) -> list[str]:
        """Labels of the features, in their order."""
        self._check_parameters()
        shells = [f"{s:.4f}" for s in self.shells]
        pairs = [(first, second) for i, first in enumerate(shells) for second in shells[i:]]
        return [f"pairs {first} {second} 1/A, {angle:.1f} deg" for first, second in pairs for angle in self.angles] + [
            f"self {s} 1/A" for s in shells
        ]
