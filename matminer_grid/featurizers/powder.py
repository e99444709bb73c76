"""PowderPatternFeaturizer: intensities by the length of the scattering vector."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from matminer_grid._validation import check_multiple, check_number
from matminer_grid.crystals.scattering import check_scattering
from matminer_grid.featurizers.reflections import ReflectionFeaturizer
from matminer_grid.kernels import powder as kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matminer_grid.crystals.table import CrystalTable
    from matminer_grid.featurizers.reflections import Scatterers


class PowderPatternFeaturizer(ReflectionFeaturizer):
    r"""Intensities of a crystal's reflections as a powder pattern, by the length of the scattering vector.

    The structure factor is that of :class:`StructureFactorFeaturizer`. The pattern doesn't depend on the choice of the cell, on
    supercells, the order of sites, rotation or translation, and changes steadily when atoms or edges move a little. Lorentz and
    polarisation factors, which belong to an experiment, are left out.

    Features:
        - "radial [s1 - s2]1/A": fraction of the intensity between two lengths of S, without (000). They add up to 1.

    Parameters
    ----------
    scattering : {"xray", "neutron", "electrons", "geometry"}, default "xray"
        Scattering factors, as for :class:`StructureFactorFeaturizer`.
    b_iso : float, default 0.0
        Isotropic displacement parameter B of all atoms in Å²; 0 for atoms at rest.
    s_max : float, default 1.5
        Largest \|S\| in Å⁻¹; the Gaussians reach beyond it, and X-ray scattering factors end at 2.
    bin_size : float, default 0.02
        Width of a bin in Å⁻¹; `s_max` must be a multiple of it.
    smearing : float, default 0.02
        Standard deviation in Å⁻¹ of the Gaussian that broadens each reflection, integrated exactly over each bin. With 0,
        reflections jump from bin to bin when the cell is strained.

    References
    ----------
    J. Cumby and S. Seth, AI4SD project series, report 7 (2021), 10.5258/SOTON/P0038.
    The sources of scattering factors are those of :func:`~matminer_grid.crystals.scattering.scattering_factor`.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from matminer_grid import PowderPatternFeaturizer
    >>> salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> powder = PowderPatternFeaturizer(s_max=0.6, bin_size=0.1, smearing=0.0)
    >>> for label, fraction in zip(powder.feature_labels(), powder.featurize(salt)):
    ...     print(label, fraction.round(3))
    radial [0.00000 - 0.10000]1/A 0.0
    radial [0.10000 - 0.20000]1/A 0.0
    radial [0.20000 - 0.30000]1/A 0.0
    radial [0.30000 - 0.40000]1/A 0.411
    radial [0.40000 - 0.50000]1/A 0.0
    radial [0.50000 - 0.60000]1/A 0.589
    """

    def __init__(
        self, *, scattering: str = "xray", b_iso: float = 0.0, s_max: float = 1.5, bin_size: float = 0.02, smearing: float = 0.02
    ) -> None:
        self.scattering = scattering
        self.b_iso = b_iso
        self.s_max = s_max
        self.bin_size = bin_size
        self.smearing = smearing

    @property
    def bin_edges(self) -> NDArray[np.float64]:
        """Edges of the bins in Å⁻¹, shape (n_bins + 1,)."""
        n_bins = check_multiple("s_max", self.s_max, "bin_size", self.bin_size, unit="Å⁻¹")
        return np.arange(n_bins + 1, dtype=np.float64) * self.bin_size

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.bin_edges) - 1

    def _check_parameters(self) -> None:
        super()._check_parameters()
        self.bin_edges  # noqa: B018  checks s_max and bin_size
        check_number("smearing", self.smearing, unit="Å⁻¹")
        reach = self.s_max + kernels.TAIL * self.smearing
        try:
            check_scattering(self.scattering, reach, self.b_iso)
        except ValueError as error:
            raise ValueError(f"with a smearing of {self.smearing!r} Å⁻¹, reflections up to {reach:g} Å⁻¹ count: {error}") from None

    def _featurize_scatterers(self, table: CrystalTable, scatterers: Scatterers, out: NDArray[np.float64]) -> dict[int, Exception]:
        return self._run(kernels.powder_batch, table, scatterers, (float(self.bin_size), float(self.smearing)), out)

    def feature_labels(self) -> list[str]:
        """Labels of the features, in their order."""
        self._check_parameters()
        return [f"radial [{low:.5f} - {high:.5f}]1/A" for low, high in pairwise(self.bin_edges)]
