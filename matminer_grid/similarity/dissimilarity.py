"""What "alike" means, in one object, and crystals described for it once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator, clone

from matminer_grid._threads import n_threads
from matminer_grid._validation import check_choice, check_number
from matminer_grid.crystals.inputs import as_table
from matminer_grid.featurizers.grid import GRIDFeaturizer
from matminer_grid.kernels.sites import SiteWeights
from matminer_grid.similarity.compare import Comparison, compare
from matminer_grid.similarity.composition import composition_vectors, vectors_emd
from matminer_grid.similarity.described import DescribedCrystals
from matminer_grid.similarity.grid import histograms_emd
from matminer_grid.similarity.histograms import Histograms, group_scales
from matminer_grid.similarity.sites import Sites, scaled_to_common_volume, site_matrix

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from matminer_grid.crystals.table import CrystalTable

PRESETS = ("default", "zhang2023")

RESOLUTIONS = {"grid": ("cutoff", "bin_size", "n_groups", "smearing"), "sites": ("cutoff", "n_groups")}
"""What is compared, and the parameters of the featurizer that it depends on."""

ELEMENTS: dict[str, str | None] = {
    "graded": "modified_pettifor",
    "substitution": "substitution",
    "identity": "identity",
    "none": None,
}
"""How elements are compared, and the metric of :func:`composition_emd` that does it."""


class CrystalDissimilarity(BaseEstimator):
    r"""How unlike two crystals are, in one of two resolutions.

    "grid" is a weighted sum of the earth mover's distances of their GRIDs and of their compositions,

    .. math:: D = w_\mathrm{GRID} \cdot \mathrm{EMD_{GRID}} + w_\mathrm{composition} \cdot \mathrm{EMD_{composition}}

    "sites" knows which distances belong to one site, which element sits there and what surrounds it: the least work that turns the
    sites of one crystal into those of the other, where two sites differ by their neighbours' distances (`grid_weight`), their
    elements (`composition_weight`) and the compositions of the balls around them (`neighbor_weight`). It is never below D of GRIDs
    without bins.

    Everything that compares crystals takes this object: search, duplicates, models. D is symmetric to the last bit, never below 0,
    and exactly 0 for equal descriptions. It obeys the triangle inequality unless elements are compared by "substitution".

    Parameters
    ----------
    featurizer : GRIDFeaturizer, optional
        Cutoff, bins, groups and smearing of the GRIDs; ``GRIDFeaturizer()`` by default. Sites need only cutoff and groups.
    resolution : {"grid", "sites"}
        What is compared.
    elements : {"graded", "substitution", "identity", "none"}
        How elements are compared: by their places on the modified Pettifor scale of 103 elements, by the substitution table of 78,
        as the same or not (10 apart, as far as ten places), or not at all. The table is no metric, and only for "grid".
    group_weights : array-like of shape (n_groups,), optional
        Weights of the groups, scaled to the mean 1; all are 1 by default.
    grid_weight : float, default 10.0
        Weight of distances, in 1/Å.
    composition_weight : float, default 1.0
        Weight of elements. 0 leaves them out.
    neighbor_weight : float, default 1.0
        Weight of what surrounds a site; only for "sites".
    scale_volume : bool, default False
        Whether crystals are brought to one volume a site (17 Å³) first, so that their size doesn't matter.

    References
    ----------
    R.-Z. Zhang, S. Seth and J. Cumby, Digital Discovery 2 (2023) 81-90, 10.1039/D2DD00054G.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from matminer_grid import CrystalDissimilarity
    >>> def rock_salt(a, cation, anion):
    ...     return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0, 0]])
    >>> crystals = [rock_salt(5.64, "Na", "Cl"), rock_salt(5.64, "Na", "Cl") * (2, 1, 1), rock_salt(5.97, "Na", "Br")]
    >>> dissimilarity = CrystalDissimilarity()
    >>> dissimilarity.pairwise(crystals).round(2)
    array([[0.  , 0.  , 4.02],
           [0.  , 0.  , 4.02],
           [4.02, 4.02, 0.  ]])
    >>> CrystalDissimilarity.from_preset("zhang2023")
    CrystalDissimilarity(elements='substitution',
                         featurizer=GRIDFeaturizer(smearing=0.1))
    >>> ordered = Structure(Lattice.cubic(3.75), ["Au", "Cu", "Cu", "Cu"], [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    >>> random = ordered.copy()
    >>> for site in range(4):
    ...     random[site] = {"Cu": 0.75, "Au": 0.25}
    >>> [round(CrystalDissimilarity(resolution=name).distance(ordered, random), 3) for name in ("grid", "sites")]
    [0.0, 0.069]
    """

    def __init__(
        self,
        featurizer: Any = None,
        *,
        resolution: str = "grid",
        elements: str = "graded",
        group_weights: ArrayLike | None = None,
        grid_weight: float = 10.0,
        composition_weight: float = 1.0,
        neighbor_weight: float = 1.0,
        scale_volume: bool = False,
    ) -> None:
        self.featurizer = featurizer
        self.resolution = resolution
        self.elements = elements
        self.group_weights = group_weights
        self.grid_weight = grid_weight
        self.composition_weight = composition_weight
        self.neighbor_weight = neighbor_weight
        self.scale_volume = scale_volume

    @classmethod
    def from_preset(cls, preset: str) -> Self:
        """Make the dissimilarity with settings that have a name.

        Parameters
        ----------
        preset : {"default", "zhang2023"}
            "zhang2023" is the published method: a smearing of 0.1 Å and the substitution table (10.1039/D2DD00054G).

        Raises
        ------
        ValueError
            The preset is unknown.
        """
        check_choice("preset", preset, PRESETS)
        if preset == "default":
            return cls()
        return cls(GRIDFeaturizer.from_preset("zhang2023"), elements="substitution")

    def describe(self, X: Any, *, features: Any = None, n_jobs: int | None = None, pbar: bool = False) -> DescribedCrystals:
        """Compute what is compared, once: GRID features, or what sites see, and compositions.

        Parameters
        ----------
        X : structures, as a list, tuple, array, Series, one-column DataFrame or CrystalTable; or DescribedCrystals
            Beside features also formulas or Compositions, or None where compositions have no weight.
        features : array-like or scipy.sparse array of shape (n, n_groups * n_bins), optional
            GRID features of these crystals that exist already, made by the dissimilarity's featurizer.
        n_jobs : int, optional
            Number of threads; see :func:`~matminer_grid._threads.n_threads`.
        pbar : bool, default False
            Whether to show a progress bar.

        Returns
        -------
        DescribedCrystals
            Those that were described already are handed back.

        Raises
        ------
        TypeError, ValueError
            A parameter, a structure or an element is invalid; the features don't fit; or crystals were described with other
            parameters.
        """
        featurizer = self._checked()
        if isinstance(X, DescribedCrystals):
            if features is not None:
                raise ValueError("these crystals are described already: give features only beside crystals or compositions")
            self._check_fit(X)
            return X
        if features is None:
            X = structures_as_table(X)
        elif self.resolution == "sites" or self.scale_volume:
            raise ValueError(
                'features tell nothing of sites and volumes: with resolution="sites" or scale_volume give crystals only'
            )
        structure: Histograms | Sites
        if self.resolution == "sites":
            structure = self._sites(X, featurizer, n_jobs)
        else:
            structure = self._grids(X, features, featurizer, n_jobs, pbar)
        compositions = np.empty((len(structure), 0))
        metric = ELEMENTS[self.elements]
        if metric is not None and (self.composition_weight > 0 or self.resolution == "sites"):
            if X is None:
                raise ValueError("with a composition weight above 0 the compositions are needed beside the features")
            compositions = composition_vectors(X, metric)
            if len(compositions) != len(structure):
                raise ValueError(f"there are {len(structure)} rows of features and {len(compositions)} compositions")
        return DescribedCrystals(structure, compositions, self._made_with(featurizer))

    def _sites(self, crystals: CrystalTable, featurizer: GRIDFeaturizer, n_jobs: int | None) -> Sites:
        crystals = scaled_to_common_volume(crystals) if self.scale_volume else crystals
        settings: dict[str, Any] = {"cutoff": featurizer.cutoff, "n_groups": featurizer.n_groups}
        return Sites.from_crystals(crystals, self.elements, **settings, n_jobs=n_jobs)[0]

    def _grids(self, X: Any, features: Any, featurizer: GRIDFeaturizer, n_jobs: int | None, pbar: bool) -> Histograms:
        if features is None:
            if n_jobs is not None:
                featurizer.set_n_jobs(n_threads(n_jobs))
            crystals = scaled_to_common_volume(X) if self.scale_volume else X
            features = featurizer.featurize_sparse(crystals, pbar=pbar)
        grids = Histograms.from_features(features, featurizer.n_groups, "features")
        if grids.n_bins != featurizer.n_bins:
            raise ValueError(
                f"the features have {grids.n_bins} bins in each of {featurizer.n_groups} groups and {featurizer!r} makes "
                f"{featurizer.n_bins}: the dissimilarity needs the featurizer that made them"
            )
        return grids

    def pairwise(self, A: Any, B: Any = None, *, n_jobs: int | None = None, pbar: bool = False) -> NDArray[np.float64]:
        """Evaluate the dissimilarity of all pairs.

        Parameters
        ----------
        A, B : structures or DescribedCrystals
            As for :meth:`describe`, with its errors; without `B` those of `A` are compared with each other.
        n_jobs : int, optional
            Number of threads, and of processes for the metric "substitution"; see :func:`~matminer_grid._threads.n_threads`.
        pbar : bool, default False
            Whether to show progress bars.

        Returns
        -------
        ndarray of shape (n_A, n_B)
        """
        a = self.describe(A, n_jobs=n_jobs, pbar=pbar)
        b = a if B is None or B is A else self.describe(B, n_jobs=n_jobs, pbar=pbar)
        if self.resolution == "sites":
            return site_matrix(a.sites, None if b is a else b.sites, self.site_weights, n_jobs=n_jobs, pbar=pbar)
        out = histograms_emd(a.grids, b.grids, self.scales, n_jobs=n_jobs, pbar=pbar)
        out *= self.grid_weight
        metric = self.composition_metric
        if metric is not None:
            others = None if b is a else b.compositions
            part = vectors_emd(a.compositions, others, metric, n_jobs=n_jobs, pbar=pbar)
            part *= self.composition_weight
            out += part
        return out

    def distance(self, a: Any, b: Any) -> float:
        """Evaluate the dissimilarity of two crystals, each a Structure or Crystal; errors are those of :meth:`describe`."""
        matrix = self.pairwise(a, b)
        if matrix.shape != (1, 1):
            raise ValueError(f"two crystals are needed, not {matrix.shape[0]} and {matrix.shape[1]}: pairwise compares many")
        return float(matrix[0, 0])

    def compare(self, a: Any, b: Any) -> Comparison:
        """Say what makes the dissimilarity of two crystals: its parts, which site became which, and neighbours that differ.

        Parameters
        ----------
        a, b : pymatgen.core.Structure or Crystal

        Raises
        ------
        TypeError, ValueError
            The resolution is "grid", which knows no sites; or as :meth:`describe`.

        Examples
        --------
        >>> from pymatgen.core import Lattice, Structure
        >>> from matminer_grid import CrystalDissimilarity
        >>> cesium_chloride = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
        >>> cesium_bromide = Structure(Lattice.cubic(4.29), ["Cs", "Br"], [[0, 0, 0], [0.5, 0.5, 0.5]])
        >>> compared = CrystalDissimilarity(resolution="sites").compare(cesium_chloride, cesium_bromide)
        >>> [(match.a, match.b, round(match.geometry, 2)) for match in compared.matches]
        [('Cl 1b', 'Br 1b', 0.3), ('Cs 1a', 'Cs 1a', 0.3)]
        >>> parts = compared.geometry, compared.elements, compared.neighbors, compared.at_equal_volume
        >>> [round(part, 2) for part in parts]
        [0.3, 0.5, 0.5, 1.0]
        """
        self._checked()
        if self.resolution != "sites":
            raise ValueError('resolution="grid" knows no sites: compare needs CrystalDissimilarity(resolution="sites")')
        return compare(self, as_table([a, b]))

    @property
    def scales(self) -> NDArray[np.float64]:
        """Factor of each group's cumulative histograms in the GRID EMD, in Å, shape (n_groups,)."""
        featurizer = self._checked()
        return group_scales(featurizer.n_groups, featurizer.bin_size, self.group_weights)

    @property
    def composition_metric(self) -> str | None:
        """Metric of :func:`composition_emd` that compares compositions, None where they have no weight."""
        return ELEMENTS[self.elements] if self.composition_weight > 0 else None

    @property
    def site_weights(self) -> SiteWeights:
        """Weights of the parts of the site dissimilarity, as its kernels read them."""
        ranks = group_scales(self._checked().n_groups, 1.0, self.group_weights)
        weights = (float(self.grid_weight), float(self.composition_weight), float(self.neighbor_weight))
        return SiteWeights(*weights, ranks, self.elements != "identity")

    def _checked(self) -> GRIDFeaturizer:
        """Check the parameters; give a featurizer of this dissimilarity's own."""
        if self.featurizer is not None and not isinstance(self.featurizer, GRIDFeaturizer):
            raise TypeError(f"featurizer must be a GRIDFeaturizer, not {self.featurizer!r}")
        featurizer = GRIDFeaturizer() if self.featurizer is None else clone(self.featurizer)
        featurizer._check_parameters()
        check_choice("resolution", self.resolution, RESOLUTIONS)
        check_choice("elements", self.elements, ELEMENTS)
        if not isinstance(self.scale_volume, (bool, np.bool_)):
            raise TypeError(f"scale_volume must be True or False, not {self.scale_volume!r}")
        names = ["grid_weight", "composition_weight"] + ["neighbor_weight"] * (self.resolution == "sites")
        for name in names:
            check_number(name, getattr(self, name))
        weighing = names if self.elements != "none" else names[:1]
        if all(getattr(self, name) == 0 for name in weighing):
            raise ValueError(f"{' and '.join(weighing)} {'is' if len(weighing) == 1 else 'are all'} 0; at least one must be above")
        if self.resolution == "sites" and self.elements == "substitution":
            raise ValueError(
                'elements="substitution" is no metric: D would violate the triangle inequality, and its bounds would not hold; '
                'with resolution="sites" take "graded", "identity" or "none"'
            )
        group_scales(featurizer.n_groups, featurizer.bin_size, self.group_weights)
        return featurizer

    def _made_with(self, featurizer: GRIDFeaturizer) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("resolution", "elements", "scale_volume")}
        return own | {name: getattr(featurizer, name) for name in RESOLUTIONS[self.resolution]}

    def _check_fit(self, described: DescribedCrystals) -> None:
        for name, own in self._made_with(self._checked()).items():
            theirs = described.made_with[name]
            if theirs != own and (name != "elements" or self.resolution == "sites" or self.composition_metric is not None):
                raise ValueError(
                    f"the crystals were described with {name}={theirs!r}, and the dissimilarity has {name}={own!r}: "
                    "describe them with it"
                )
        if self.composition_metric is not None and described.compositions.shape[1] == 0:
            raise ValueError("the crystals were described without compositions, which have a weight: describe them again")


def structures_as_table(X: Any) -> CrystalTable:
    """Give structures as a table; features in their place are refused."""
    if scipy.sparse.issparse(X) or (isinstance(X, np.ndarray) and X.dtype.kind in "fiub"):
        raise TypeError(
            "structures are needed, not an array of numbers; features that exist already can be given as "
            "CrystalDissimilarity(...).describe(crystals, features=X), and its result wherever structures are"
        )
    return as_table(X)


def checked_dissimilarity(dissimilarity: Any) -> CrystalDissimilarity:
    """Give an estimator a checked copy of its dissimilarity, the default one for None."""
    if dissimilarity is None:
        return CrystalDissimilarity()
    if not isinstance(dissimilarity, CrystalDissimilarity):
        raise TypeError(
            f"dissimilarity must be a CrystalDissimilarity, such as CrystalDissimilarity() or "
            f'CrystalDissimilarity.from_preset("zhang2023"), not {dissimilarity!r}'
        )
    copy = clone(dissimilarity)
    copy._checked()
    return copy
