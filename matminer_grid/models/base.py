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
from matminer_grid.models._calibration import Calibration
from matminer_grid.models._checks import checked_names
from matminer_grid.models._distances import Blocks
from matminer_grid.models._extra import learn_scales, read_extra, standardised
from matminer_grid.models._featurized import FeaturizedCrystals
from matminer_grid.models.applicability import Range, SimilarityScale, same_crystals
from matminer_grid.models.explanations import parts_by_family, published_distances, shell_distances
from matminer_grid.models.learned import MINIMUM_SAMPLES, Learned, Settings, distinct
from matminer_grid.models.local import LocalProcess
from matminer_grid.models.process import LaplacianProcess, Smooth
from matminer_grid.models.storage import load_arrays, save_arrays

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray
    from pymatgen.core import Structure

    from matminer_grid.crystals.crystal import Crystal
    from matminer_grid.models.applicability import Near

    FloatArray = NDArray[np.float64]
    Extra = Mapping[str, ArrayLike] | None

N_EXPLAINING = 4
"""Training crystals that an explanation weighs, over `n_local`."""


class KernelModel(BaseEstimator):
    """A model on weighted earth mover's distances that knows its training crystals."""

    tune_samples: int
    tune_iterations: int
    robust_rounds: int
    n_local: int
    random_state: int
    n_jobs: int | None
    progress: Callable[[str], None] | None
    y_: NDArray[Any]

    def describe(self, X: Any) -> FeaturizedCrystals:
        """Compute the features of crystals, once for several calls: the result is taken wherever structures are.

        Parameters
        ----------
        X : structures, as for :meth:`fit`

        Raises
        ------
        TypeError, ValueError
            A structure is invalid.
        """
        X = as_known(X)
        return FeaturizedCrystals(table_of(X), self._features(X, np.empty((len(X), 0))))

    def explain(self, structure: Structure | Crystal, n: int = 5, *, target: int | str = 0, extra: Extra = None) -> pd.DataFrame:
        """Tell which training crystals a prediction rests on.

        Parameters
        ----------
        structure : Structure or Crystal
        n : int, default 5
            Number of training crystals to list, those of the largest share.
        target : int or str, default 0
            Number or name of the property, if there are several; of the class, for a classifier of three or more.
        extra : dict of str to array-like of one row, optional
            As for :meth:`predict`.

        Returns
        -------
        DataFrame
            A row for each, and a last one for all others, with the columns

            - row : number of the training crystal, -1 for all others
            - name : str, what it is called, if `fit` was told
            - formula : str, of its cell
            - value : its property
            - share : weight of its value in the prediction; all shares add up to 1. One below 0 belongs to a crystal that others,
              which lie nearer, already speak for: it corrects them
            - contribution : share times value (log10 of it where that was learned; 1 or 0, of the class or not, for a classifier);
              all add up to the prediction (its log10, the score of the class)
            - similarity : exp(-distance), between 0 and 1
            - grid_emd : EMD of the two GRIDs in Å, with the settings of the report
            - composition_emd : EMD of the two compositions on the modified Pettifor scale
            - structure, composition, bonding, stiffness, and extra if there is some : parts of the distance; the similarity is
              exp(-their sum)

        Raises
        ------
        sklearn.exceptions.NotFittedError, TypeError, ValueError
            As :meth:`predict`; or there is no such target.
        """
        check_whole("n", n, low=0)
        self._check_fitted()
        number = self._target_number(target)
        crystals, features = self._read([structure], extra)
        process = self.learned_[number].process
        vectors = self.learned_[number].vectors(features)
        rows, shares, similarities = (column[:n] for column in process.shares(vectors, N_EXPLAINING * self.n_local, self.n_jobs))
        contributions = shares * process.targets[rows]
        total = float(process.predict(vectors, n_jobs=self.n_jobs)[0][0])
        training = self.learned_[number].rows[rows]
        known = [self.crystals_[int(row)] for row in training]
        values = self._known_values(number)[training]
        names = {} if self.names_ is None else {"name": [*(self.names_[row] for row in training), "all others"]}
        table = {
            "row": [*training.tolist(), -1],
            **names,
            "formula": [*(crystal.formula for crystal in known), "all others"],
            "value": [*values, np.nan],
            "share": [*shares, 1 - shares.sum()],
            "contribution": [*contributions, total - contributions.sum()],
            "similarity": [*similarities, np.nan],
        }
        parts = published_distances(crystals[0], known)
        parts |= parts_by_family(vectors[0], process.vectors[rows], self.blocks_.columns)
        return pd.DataFrame(table | {name: [*part, np.nan] for name, part in parts.items()})

    def applicability(self, X: Any, *, target: int | str = 0, extra: Extra = None) -> pd.DataFrame:
        """Tell how like crystals are to those that the model was trained on, and what about them it can't know.

        Parameters
        ----------
        X : structures, as for :meth:`fit`
        target : int or str, default 0
            Number or name of the property, or of the class, whose distance counts.
        extra : dict of str to array-like, optional
            As for :meth:`predict`.

        Returns
        -------
        DataFrame
            A row for each crystal, with the columns

            - similarity : to the nearest training crystal, 1 minus their distance over the median distance of two training ones;
              it is 1 for the same crystal, and 0 for one no nearer than two training crystals drawn at random
            - row, name (if `fit` was told), formula, value : the nearest training crystal, and its property
            - known : whether it is the same crystal, by composition and a dissimilarity by sites of at most 0.3
            - doubts : tuple of str, what is doubtful: "far", less similar than 99 % of the training crystals are to their nearest
              others; "vacuum", a slab, a molecule in a box or an absurd density; "hydrogen", more than a fifth of the atoms, and
              more than in 99 % of the training crystals; "contacts", shorter or longer than in 99 % of the training crystals,
              or sites that are too near to be both occupied; "elements", some that no training crystal holds
            - why : str, the same in words

        Raises
        ------
        sklearn.exceptions.NotFittedError, TypeError, ValueError
            As :meth:`predict`.

        Examples
        --------
        >>> from pymatgen.core import Lattice, Structure
        >>> from matminer_grid.datasets import load_mp_elasticity_table
        >>> from matminer_grid.models import GRIDKernelRegressor
        >>> data = load_mp_elasticity_table()
        >>> model = GRIDKernelRegressor(tune_iterations=0).fit(data.crystals[:300], data.K_VRH[:300])
        >>> atom = Structure(Lattice.cubic(20.0), ["Fe"], [[0, 0, 0]])
        >>> model.applicability([data.crystals[7], atom])[["known", "doubts"]].to_dict("records")[0]
        {'known': True, 'doubts': ()}
        >>> "vacuum" in model.applicability([atom])["doubts"][0]
        True
        """
        self._check_fitted()
        number = self._target_number(target)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the table says it
            crystals, features = self._read(X, extra)
        near, flags = self._look(crystals, features, number)
        same = same_crystals(crystals, self.crystals_, near)
        nearest = near.rows[:, 0]
        table: dict[str, Any] = {"similarity": near.similarities[:, 0], "row": nearest}
        if self.names_ is not None:
            table["name"] = [self.names_[row] for row in nearest]
        table["formula"] = [self.crystals_[int(row)].formula for row in nearest]
        table["value"] = self._known_values(number)[nearest]
        table["known"] = np.array(same) >= 0
        table["doubts"] = [tuple(found) for found in flags]
        table["why"] = ["; ".join(found.values()) for found in flags]
        return pd.DataFrame(table)

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
        arrays: dict[str, NDArray[Any]] = {"y": self.y_, "n_targets": np.array(len(self.learned_))}
        arrays |= {f"crystals.{name}": value for name, value in vars(self.crystals_).items()}
        for i, learned in enumerate(self.learned_):
            arrays |= {f"{i}.{name}": np.asarray(value) for name, value in vars(learned.process).items()}
            own = {"centre": learned.centre, "scale": learned.scale, "places": learned.places}
            for name, known in (("", learned.calibration), ("new_", learned.new_calibration)):
                own |= {f"{name}errors": known.ratios, f"{name}error_scale": np.array(known.scale)}
            own["weights"] = np.array(list(learned.weights.values()))
            own["similarity"] = np.array([self.similarity_[i].typical, self.similarity_[i].far])
            arrays |= {f"{i}.{name}": value for name, value in own.items()}
        arrays |= {f"range.{name}": np.asarray(value) for name, value in vars(self.range_).items()}
        arrays |= {f"extra.{i}": scales for i, scales in enumerate(self.extra_.values())}
        texts = {"extra": list(self.extra_), "names": self.names_ or [], "target_names": self.target_names_ or []}
        arrays |= {name: np.array(values, dtype=np.str_) for name, values in texts.items()}
        save_arrays(path, type(self).__name__, parameters, arrays | self._own_arrays())

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
        model.extra_ = {name: arrays[f"extra.{i}"] for i, name in enumerate(arrays["extra"].tolist())}
        model.names_, model.target_names_ = arrays["names"].tolist() or None, arrays["target_names"].tolist() or None
        model.crystals_ = CrystalTable(**{field.name: arrays[f"crystals.{field.name}"] for field in fields(CrystalTable)})
        model.y_ = arrays["y"]
        blocks = model.blocks_
        learned = []
        for i in range(int(arrays["n_targets"])):
            weights = dict(zip(blocks.weighted, arrays[f"{i}.weights"].tolist(), strict=True))
            kind = LocalProcess if f"{i}.sums" in arrays else LaplacianProcess
            own = {field.name: arrays[f"{i}.{field.name}"][()] for field in fields(kind)}
            process = kind(**own | {"smooth": Smooth(*own["smooth"].tolist())})
            centre, scale, places = (arrays[f"{i}.{name}"] for name in ("centre", "scale", "places"))
            calibrations = (
                Calibration(arrays[f"{i}.{name}errors"], float(arrays[f"{i}.{name}error_scale"])) for name in ("", "new_")
            )
            learned.append(Learned(centre, scale, weights, process, places, *calibrations))
        model._set_own(arrays)
        model.range_ = Range(**{field.name: arrays[f"range.{field.name}"][()] for field in fields(Range)})
        return model._set(learned, [SimilarityScale(*arrays[f"{i}.similarity"].tolist()) for i in range(len(learned))])

    @property
    def blocks_(self) -> Blocks:
        """Blocks of features, the added ones included."""
        return Blocks.of(self.featurizer_, {name: scales.shape[1] for name, scales in self.extra_.items()})

    def _start(self, X: FeaturizedCrystals | CrystalTable, extra: Extra, names: Sequence[str] | None) -> FloatArray:
        """Take in the training crystals and describe them."""
        n = len(X)
        if n < MINIMUM_SAMPLES:
            raise ValueError(f"at least {MINIMUM_SAMPLES} training crystals are needed, not {n}")
        added = read_extra(extra, n)
        scales = learn_scales(added)
        self.names_ = checked_names(names, n)
        self._report(f"describe {n} crystals")
        self.featurizer_ = ChemistryFeaturizer()
        self.extra_ = scales
        self.crystals_ = table_of(X)
        features = self._features(X, standardised(added, scales, n))
        once = distinct(features, np.zeros(n))[0]
        self.range_ = Range.of(self.crystals_[once], features[once], self.featurizer_.feature_labels())
        return features

    def _settings(self) -> Settings:
        own = {field.name: getattr(self, field.name) for field in fields(Settings) if field.name != "report"}
        return Settings(**own, report=self._report)

    def _set(self, learned: Sequence[Learned], similarity: Sequence[SimilarityScale] | None = None) -> Self:
        """Take what was learned of each property, and show that of a single one as such."""
        self.learned_ = tuple(learned)
        if similarity is None:
            similarity = [SimilarityScale.of(one.process.vectors, self.n_jobs) for one in learned]
        self.similarity_ = tuple(similarity)
        single = len(learned) == 1
        self.weights_: Any = learned[0].weights if single else [one.weights for one in learned]
        self.noise_ = learned[0].noise if single else np.stack([one.noise for one in learned], axis=1)
        self.residuals_ = learned[0].residuals if single else np.stack([one.residuals for one in learned], axis=1)
        return self

    def _known_values(self, number: int) -> NDArray[Any]:
        """Give a property of the training crystals."""
        return self.y_ if self.y_.ndim == 1 else self.y_[:, number]

    def _target_number(self, target: int | str) -> int:
        names = self.target_names_ or []
        if isinstance(target, str):
            if target not in names:
                known = ", ".join(names) or f"none: give its number, 0 to {len(self.learned_) - 1}"
                raise ValueError(f"there is no target {target!r}; the names of the targets are {known}")
            return names.index(target)
        return check_whole("target", target, low=0, high=len(self.learned_) - 1)

    def _look(self, crystals: CrystalTable, features: FloatArray, number: int) -> tuple[Near, list[dict[str, str]]]:
        """Find the training crystals nearest to others, and say what is doubtful about these."""
        learned, scale = self.learned_[number], self.similarity_[number]
        near = scale.nearest(learned.vectors(features), learned.process, self.n_jobs)
        near = near._replace(rows=learned.rows[near.rows])
        flags = self.range_.flags(crystals, features, self.featurizer_.feature_labels())
        for found, similarity in zip(flags, near.similarities[:, 0], strict=True):
            if similarity < scale.far:
                found["far"] = f"far from all training crystals, of which 99 % are more similar to another than {scale.far:.2f}"
        return near, flags

    def _own_arrays(self) -> dict[str, NDArray[Any]]:
        """Give what a model of this class saves on top."""
        return {}

    def _set_own(self, arrays: dict[str, Any]) -> None:
        """Read what :meth:`_own_arrays` gave."""

    def _check_parameters(self) -> None:
        for name, least in (("tune_samples", MINIMUM_SAMPLES), ("tune_iterations", 0), ("robust_rounds", 0), ("n_local", 2)):
            check_whole(name, getattr(self, name), low=least)

    def _check_fitted(self) -> None:
        if not hasattr(self, "learned_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet: call fit with known crystals first")

    def _report(self, text: str) -> None:
        if self.progress is not None:
            self.progress(text)

    def _features(self, X: FeaturizedCrystals | CrystalTable, added: FloatArray) -> FloatArray:
        """Describe crystals, if it isn't done yet, and put added features beside."""
        threads = n_threads(self.n_jobs)
        if isinstance(X, FeaturizedCrystals):
            features = X.features
        else:
            featurizer = ChemistryFeaturizer()
            featurizer.set_n_jobs(threads)
            features = featurizer.featurize_many(X, pbar=False)
        return np.concatenate([features, added], axis=1) if added.size else features

    def _read(self, X: Any, extra: Extra) -> tuple[CrystalTable, FloatArray]:
        """Give structures as a table, and their features, the added ones included."""
        self._check_fitted()
        X = as_known(X)
        crystals = table_of(X)
        added = standardised(read_extra(extra, len(crystals)), self.extra_, len(crystals))
        warn_of_ghosts(crystals)
        features = self._features(X, added)
        unseen = np.setdiff1d(element_numbers(crystals)[0], element_numbers(self.crystals_)[0])
        if len(unseen):
            symbols = ", ".join(species_symbol(int(number)) for number in unseen)
            warnings.warn(f"no training crystal holds {symbols}: predictions with it are uncertain", stacklevel=4)
        return crystals, features


def as_known(X: Any) -> FeaturizedCrystals | CrystalTable:
    """Give structures of any kind as a table, with their features if they have been described."""
    return X if isinstance(X, FeaturizedCrystals) else as_table(X)


def table_of(X: FeaturizedCrystals | CrystalTable) -> CrystalTable:
    """Give the table of crystals that may have been described."""
    return X.crystals if isinstance(X, FeaturizedCrystals) else X
