"""What "alike" means, in one object, and crystals described for it once."""

from __future__ import annotations

from dataclasses import dataclass
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator, clone

from matminer_grid._threads import n_threads
from matminer_grid._validation import check_choice, check_number
from matminer_grid.crystals.composition import METRICS
from matminer_grid.crystals.inputs import as_table
from matminer_grid.featurizers.grid import GRIDFeaturizer
from matminer_grid.similarity.composition import composition_vectors, vectors_emd
from matminer_grid.similarity.grid import histograms_emd
from matminer_grid.similarity.histograms import Histograms, group_scales

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

PRESETS = ("default", "zhang2023")

GRID_PARAMETERS = ("cutoff", "bin_size", "n_groups", "smearing")


@dataclass(frozen=True, eq=False)
class DescribedCrystals:
    """Crystals as a :class:`CrystalDissimilarity` compares them; its :meth:`~CrystalDissimilarity.describe` makes them.

    They are taken wherever structures are. A slice, a mask or an integer array gives some of them.

    Parameters
    ----------
    grids : Histograms
        GRID features.
    compositions : ndarray of shape (n, n_elements)
        Element fractions, cumulative on the modified Pettifor scale; without columns where compositions have no weight.
    made_with : dict
        The parameters that both depend on. Weights are none of them: they may change afterwards.

    Examples
    --------
    >>> from matminer_grid import CrystalDissimilarity
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> described = CrystalDissimilarity().describe(load_mp_elasticity_table().crystals[:30])
    >>> len(described), len(described[10:15]), described.features.shape
    (30, 5, (30, 10000))
    """

    grids: Histograms
    compositions: NDArray[np.float64]
    made_with: dict[str, Any]

    def __len__(self) -> int:
        return len(self.grids)

    @property
    def shape(self) -> tuple[int]:
        """Number of crystals, shape (n,): scikit-learn then indexes them as an array."""
        return (len(self),)

    @property
    def features(self) -> scipy.sparse.csr_array:
        """GRID features, shape (n, n_groups * n_bins)."""
        return self.grids.to_sparse()

    def __getitem__(self, rows: Any) -> DescribedCrystals:
        if isinstance(rows, tuple) and len(rows) == 2 and isinstance(rows[1], EllipsisType):  # scikit-learn's indexing
            rows = rows[0]
        rows = np.atleast_1d(np.arange(len(self))[rows])
        return DescribedCrystals(self.grids[rows], self.compositions[rows], self.made_with)

    @classmethod
    def concatenate(cls, parts: Iterable[DescribedCrystals]) -> DescribedCrystals:
        """Stack described crystals, in their order.

        Raises
        ------
        ValueError
            There are none, or they were described in different ways.
        """
        parts = list(parts)
        if not parts:
            raise ValueError("at least one part is needed")
        first = parts[0]
        for part in parts[1:]:
            if part.made_with != first.made_with or part.compositions.shape[1] != first.compositions.shape[1]:
                raise ValueError(f"the crystals were described in different ways: {first.made_with} and {part.made_with}")
        compositions = np.concatenate([part.compositions for part in parts])
        return cls(Histograms.concatenate([part.grids for part in parts]), compositions, first.made_with)


class CrystalDissimilarity(BaseEstimator):
    r"""How unlike two crystals are: a weighted sum of the earth mover's distances of their GRIDs and of their compositions.

    .. math:: D = w_\mathrm{GRID} \cdot \mathrm{EMD_{GRID}} + w_\mathrm{composition} \cdot \mathrm{EMD_{composition}}

    Everything that compares crystals takes this object: search, duplicates, models. D is symmetric to the last bit, never below 0,
    and exactly 0 for equal features. On the modified Pettifor scale it obeys the triangle inequality.

    Parameters
    ----------
    featurizer : GRIDFeaturizer, optional
        Cutoff, bins, groups and smearing of the GRIDs; ``GRIDFeaturizer()`` by default.
    group_weights : array-like of shape (n_groups,), optional
        Weights of the groups, scaled to the mean 1; all are 1 by default.
    grid_weight : float, default 10.0
        Weight of the GRID EMD, in 1/Å.
    composition_weight : float, default 1.0
        Weight of the composition EMD. 0 leaves it out.
    composition_metric : {"modified_pettifor", "substitution"}
        As for :func:`composition_emd`. The scale knows 103 elements, the substitution table 78.

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
    CrystalDissimilarity(composition_metric='substitution',
                         featurizer=GRIDFeaturizer(smearing=0.1))
    """

    def __init__(
        self,
        featurizer: Any = None,
        *,
        group_weights: ArrayLike | None = None,
        grid_weight: float = 10.0,
        composition_weight: float = 1.0,
        composition_metric: str = "modified_pettifor",
    ) -> None:
        self.featurizer = featurizer
        self.group_weights = group_weights
        self.grid_weight = grid_weight
        self.composition_weight = composition_weight
        self.composition_metric = composition_metric

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
        return cls(GRIDFeaturizer.from_preset("zhang2023"), composition_metric="substitution")

    def describe(self, X: Any, *, features: Any = None, n_jobs: int | None = None, pbar: bool = False) -> DescribedCrystals:
        """Compute what is compared, once: GRID features and compositions.

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
            if scipy.sparse.issparse(X) or (isinstance(X, np.ndarray) and X.dtype.kind in "fiub"):
                raise TypeError(
                    "structures are needed, not an array of numbers; features that exist already can be given as "
                    "CrystalDissimilarity(...).describe(crystals, features=X), and its result wherever structures are"
                )
            X = as_table(X)
            if n_jobs is not None:
                featurizer.set_n_jobs(n_threads(n_jobs))
            features = featurizer.featurize_sparse(X, pbar=pbar)
        grids = Histograms.from_features(features, featurizer.n_groups, "features")
        if grids.n_bins != featurizer.n_bins:
            raise ValueError(
                f"the features have {grids.n_bins} bins in each of {featurizer.n_groups} groups and {featurizer!r} makes "
                f"{featurizer.n_bins}: the dissimilarity needs the featurizer that made them"
            )
        compositions = np.empty((len(grids), 0))
        if self.composition_weight > 0:
            if X is None:
                raise ValueError("with a composition weight above 0 the compositions are needed beside the features")
            compositions = composition_vectors(X, self.composition_metric)
            if len(compositions) != len(grids):
                raise ValueError(f"there are {len(grids)} rows of features and {len(compositions)} compositions")
        return DescribedCrystals(grids, compositions, self._made_with(featurizer))

    def pairwise(self, A: Any, B: Any = None, *, n_jobs: int | None = None, pbar: bool = False) -> NDArray[np.float64]:
        """Evaluate the dissimilarity of all pairs.

        Parameters
        ----------
        A, B : structures or DescribedCrystals
            As for :meth:`describe`; without `B` those of `A` are compared with each other.
        n_jobs : int, optional
            Number of threads, and of processes for the metric "substitution"; see :func:`~matminer_grid._threads.n_threads`.
        pbar : bool, default False
            Whether to show progress bars.

        Returns
        -------
        ndarray of shape (n_A, n_B)

        Raises
        ------
        TypeError, ValueError
            As :meth:`describe`.
        """
        a = self.describe(A, n_jobs=n_jobs, pbar=pbar)
        b = a if B is None or B is A else self.describe(B, n_jobs=n_jobs, pbar=pbar)
        out = histograms_emd(a.grids, b.grids, self.scales, n_jobs=n_jobs, pbar=pbar)
        out *= self.grid_weight
        if self.composition_weight > 0:
            others = None if b is a else b.compositions
            part = vectors_emd(a.compositions, others, self.composition_metric, n_jobs=n_jobs, pbar=pbar)
            part *= self.composition_weight
            out += part
        return out

    def distance(self, a: Any, b: Any) -> float:
        """Evaluate the dissimilarity of two crystals.

        Parameters
        ----------
        a, b : pymatgen.core.Structure or Crystal

        Returns
        -------
        float

        Raises
        ------
        TypeError, ValueError
            As :meth:`describe`.
        """
        matrix = self.pairwise(a, b)
        if matrix.shape != (1, 1):
            raise ValueError(f"two crystals are needed, not {matrix.shape[0]} and {matrix.shape[1]}: pairwise compares many")
        return float(matrix[0, 0])

    @property
    def scales(self) -> NDArray[np.float64]:
        """Factor of each group's cumulative histograms in the GRID EMD, in Å, shape (n_groups,)."""
        featurizer = self._checked()
        return group_scales(featurizer.n_groups, featurizer.bin_size, self.group_weights)

    def _checked(self) -> GRIDFeaturizer:
        """Check the parameters; give a featurizer of this dissimilarity's own."""
        if self.featurizer is not None and not isinstance(self.featurizer, GRIDFeaturizer):
            raise TypeError(f"featurizer must be a GRIDFeaturizer, not {self.featurizer!r}")
        featurizer = GRIDFeaturizer() if self.featurizer is None else clone(self.featurizer)
        featurizer._check_parameters()
        for name in ("grid_weight", "composition_weight"):
            check_number(name, getattr(self, name))
        if self.grid_weight == 0 and self.composition_weight == 0:
            raise ValueError("grid_weight and composition_weight are both 0; at least one must be above")
        check_choice("composition_metric", self.composition_metric, METRICS)
        group_scales(featurizer.n_groups, featurizer.bin_size, self.group_weights)
        return featurizer

    def _made_with(self, featurizer: GRIDFeaturizer) -> dict[str, Any]:
        grid = {name: getattr(featurizer, name) for name in GRID_PARAMETERS}
        return grid | {"composition_metric": self.composition_metric}

    def _check_fit(self, described: DescribedCrystals) -> None:
        for name, own in self._made_with(self._checked()).items():
            theirs = described.made_with[name]
            if theirs != own and (name != "composition_metric" or self.composition_weight > 0):
                raise ValueError(
                    f"the crystals were described with {name}={theirs!r}, and the dissimilarity has {name}={own!r}: "
                    "describe them with it"
                )
        if self.composition_weight > 0 and described.compositions.shape[1] == 0:
            raise ValueError("the crystals were described without compositions, which have a weight: describe them again")


def checked_dissimilarity(dissimilarity: Any) -> CrystalDissimilarity:
    """Give an estimator a copy of its dissimilarity, the default one for None.

    Raises
    ------
    TypeError, ValueError
        It is no CrystalDissimilarity, or has a parameter that is invalid.
    """
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
