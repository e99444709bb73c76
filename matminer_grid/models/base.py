"""What kernel models share: features of crystals, explanations, files."""

from __future__ import annotations

import warnings
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from matminer_grid._threads import n_threads
from matminer_grid._validation import check_whole
from matminer_grid.crystals.elements import species_symbol
from matminer_grid.crystals.inputs import as_table
from matminer_grid.crystals.problems import warn_of_ghosts
from matminer_grid.crystals.table import CrystalTable
from matminer_grid.featurizers import ChemistryFeaturizer
from matminer_grid.featurizers._elemental import element_numbers
from matminer_grid.models._distances import weighted_blocks
from matminer_grid.models.explanations import parts_by_family, published_distances, shell_distances
from matminer_grid.models.learned import Learned, Settings
from matminer_grid.models.process import LaplacianProcess
from matminer_grid.models.storage import load_arrays, save_arrays

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from pymatgen.core import Structure

    from matminer_grid.crystals.crystal import Crystal

    FloatArray = NDArray[np.float64]

N_EXPLAINING = 4
"""Training crystals that an explanation weighs, over `n_local`."""

MINIMUM_SAMPLES = 20
"""Training crystals needed."""


class KernelModel(BaseEstimator):
    """A model on weighted earth mover's distances that knows its training crystals."""

    tune_samples: int
    tune_iterations: int
    robust_rounds: int
    n_local: int
    random_state: int
    n_jobs: int | None
    progress: Callable[[str], None] | None
    y_: FloatArray

    def explain(self, structure: Structure | Crystal, n: int = 5) -> pd.DataFrame:
        """Tell which training crystals a prediction rests on.

        Parameters
        ----------
        structure : Structure or Crystal
        n : int, default 5
            Number of training crystals to list, those of the largest share.

        Returns
        -------
        DataFrame
            A row for each, and a last one for all others, with the columns

            - row : number of the training crystal, -1 for all others
            - formula : str, of its cell
            - value : its property
            - share : weight of its value in the prediction; all shares add up to 1
            - contribution : share times value (log10 of it if `log_target`); all add up to the prediction (its log10)
            - similarity : covariance, between 0 and 1
            - grid_emd : EMD of the two GRIDs in Å, with the settings of the report
            - composition_emd : EMD of the two compositions on the modified Pettifor scale
            - structure, composition, bonding, stiffness : parts of the distance; the similarity is exp(-their sum)

        Raises
        ------
        sklearn.exceptions.NotFittedError, TypeError, ValueError
            As :meth:`predict`.
        """
        check_whole("n", n, low=0)
        crystals, vectors = self._read([structure])
        rows, shares, similarities = (
            column[:n] for column in self.learned_.process.shares(vectors, N_EXPLAINING * self.n_local, self.n_jobs)
        )
        contributions = shares * self.learned_.process.targets[rows]
        total = float(self.learned_.process.predict(vectors, n_jobs=self.n_jobs)[0][0])
        known = [self.crystals_[int(row)] for row in rows]
        table = {
            "row": [*rows.tolist(), -1],
            "formula": [*(crystal.formula for crystal in known), "all others"],
            "value": [*self.y_[rows], np.nan],
            "share": [*shares, 1 - shares.sum()],
            "contribution": [*contributions, total - contributions.sum()],
            "similarity": [*similarities, np.nan],
        }
        parts = published_distances(crystals[0], known)
        parts |= parts_by_family(vectors[0], self.learned_.process.vectors[rows], self.featurizer_.blocks)
        return pd.DataFrame(table | {name: [*part, np.nan] for name, part in parts.items()})

    def compare_shells(self, structure: Structure | Crystal, row: int, n_groups: int = 100) -> FloatArray:
        """Give the EMD of each of the first `n_groups` neighbour shells to those of the training crystal of this row, in Å.

        Raises
        ------
        sklearn.exceptions.NotFittedError, TypeError, ValueError
            As :meth:`predict`, or there is no such row.
        """
        self._check_fitted()
        check_whole("n_groups", n_groups)
        check_whole("row", row, low=0, high=len(self.crystals_) - 1)
        return shell_distances(as_table([structure])[0], [self.crystals_[row]], n_groups)[0]

    def save(self, path: str | Path) -> None:
        """Write the fitted model to an npz file, about 70 MB for 11,000 crystals; it appears complete or not at all.

        Raises
        ------
        sklearn.exceptions.NotFittedError, OSError, TypeError
            Called before :meth:`fit`; the file can't be written; a parameter is no number.
        """
        self._check_fitted()
        parameters = {name: value for name, value in self.get_params().items() if name != "progress"}
        process = {name: np.asarray(value) for name, value in vars(self.learned_.process).items()}
        crystals = {f"crystals.{name}": value for name, value in vars(self.crystals_).items()}
        own = {"y": self.y_, "scale": self.learned_.scale, "weights": np.array(list(self.weights_.values()))}
        save_arrays(path, type(self).__name__, parameters, process | crystals | own)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a fitted model that :meth:`save` wrote.

        Raises
        ------
        OSError, ValueError
            The file can't be read, is cut short or no model, or was written in another format or by another version.
        """
        parameters, arrays = load_arrays(path, cls.__name__)
        model = cls(**parameters)
        model.featurizer_ = ChemistryFeaturizer()
        weights = dict(zip(weighted_blocks(model.featurizer_), arrays["weights"].tolist(), strict=True))
        process = LaplacianProcess(**{field.name: arrays[field.name][()] for field in fields(LaplacianProcess)})
        crystals = CrystalTable(**{field.name: arrays[f"crystals.{field.name}"] for field in fields(CrystalTable)})
        model.crystals_, model.y_ = crystals, arrays["y"]
        return model._set(Learned(arrays["scale"], weights, process))

    def _start(self, crystals: CrystalTable) -> FloatArray:
        """Take in the training crystals and describe them."""
        self._report(f"describe {len(crystals)} crystals")
        self.featurizer_ = ChemistryFeaturizer()
        self.crystals_ = crystals
        return self._features(crystals)

    def _settings(self) -> Settings:
        own = {field.name: getattr(self, field.name) for field in fields(Settings) if field.name != "report"}
        return Settings(**own, report=self._report)

    def _set(self, learned: Learned) -> Self:
        self.learned_, self.weights_ = learned, learned.weights
        self.noise_, self.residuals_ = learned.process.noise, learned.process.residuals
        return self

    def _check_parameters(self) -> None:
        for name, least in (("tune_samples", MINIMUM_SAMPLES), ("tune_iterations", 0), ("robust_rounds", 0), ("n_local", 2)):
            check_whole(name, getattr(self, name), low=least)

    def _check_fitted(self) -> None:
        if not hasattr(self, "learned_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet: call fit with known crystals first")

    def _report(self, text: str) -> None:
        if self.progress is not None:
            self.progress(text)

    def _features(self, crystals: CrystalTable) -> FloatArray:
        threads = n_threads(self.n_jobs)
        if self.featurizer_.n_jobs != threads:
            self.featurizer_.set_n_jobs(threads)
        return self.featurizer_.featurize_many(crystals, pbar=False)

    def _read(self, X: Any) -> tuple[CrystalTable, NDArray[np.float32]]:
        self._check_fitted()
        crystals = as_table(X)
        warn_of_ghosts(crystals)
        features = self._features(crystals)
        unseen = np.setdiff1d(element_numbers(crystals)[0], element_numbers(self.crystals_)[0])
        if len(unseen):
            symbols = ", ".join(species_symbol(int(number)) for number in unseen)
            warnings.warn(
                f"no training crystal holds {symbols}: predictions with it are uncertain, and their intervals widened", stacklevel=3
            )
        return crystals, self.learned_.vectors(features)
