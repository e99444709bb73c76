"""What a model is worth: predictions of crystals that it has not seen."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.base import clone, is_classifier
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from matminer_grid._threads import Parts
from matminer_grid._validation import check_whole
from matminer_grid.models._checks import checked_classes, checked_targets
from matminer_grid.models.base import MINIMUM_SAMPLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from matminer_grid.models._featurized import FeaturizedCrystals
    from matminer_grid.models.base import Extra, KernelModel
    from matminer_grid.models.classifier import GRIDKernelClassifier
    from matminer_grid.models.kernel import GRIDKernelRegressor

    FloatArray = NDArray[np.float64]

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Coverages of the intervals that are looked at."""

STATED = (0.5, 0.8, 0.95)
"""Those that the scores tell."""

PROBABILITIES = np.linspace(0, 1, 11)
"""Edges of the bins of predicted probabilities."""


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Predictions of crystals by models that were trained on the others.

    Parameters
    ----------
    truth : ndarray of shape (n,)
        The property, or the class.
    predicted : ndarray of shape (n,)
        What was predicted.
    reference : ndarray of shape (n,)
        The median, or the commonest class, of the training part: what a model must beat.
    folds : ndarray of shape (n,)
        The fold that each crystal was tested in, from 0.
    similarity : ndarray of shape (n,)
        To the nearest crystal of the training part, as `applicability` gives it: 1 for the same crystal, 0 for one no nearer than
        two training crystals drawn at random.
    lower, upper : ndarray of shape (n, 10), or None for a classifier
        Ends of the intervals of the coverages LEVELS.
    probabilities : ndarray of shape (n, n_classes), or None for a regressor
        Those of the classes.
    classes : ndarray of shape (n_classes,), or None for a regressor
        The classes, sorted.
    """

    truth: NDArray[Any]
    predicted: NDArray[Any]
    reference: NDArray[Any]
    folds: NDArray[np.int64]
    similarity: FloatArray
    lower: FloatArray | None = None
    upper: FloatArray | None = None
    probabilities: FloatArray | None = None
    classes: NDArray[Any] | None = None

    def scores(self) -> dict[str, float]:
        """Give the scores of all crystals together, by name.

        Of a property: "MAE", "median error", "RMSE", all in its unit, "R2", "rank correlation" (Spearman's), "MAE of the median",
        and for 50, 80 and 95 % the share of the crystals within the interval ("within 95%") and its median width. Of classes:
        "accuracy", "balanced accuracy", "log loss", "Brier score", for two classes "ROC-AUC", and "accuracy of the commonest".
        """
        if self.probabilities is not None:
            return self._scores_of_classes(self.probabilities)
        errors = np.abs(self.predicted - self.truth)
        spread = float(((self.truth - self.truth.mean()) ** 2).mean())
        out = {
            "MAE": float(errors.mean()),
            "median error": float(np.median(errors)),
            "RMSE": float(np.sqrt((errors**2).mean())),
            "R2": float(1 - (errors**2).mean() / spread),
            "rank correlation": float(spearmanr(self.predicted, self.truth).statistic),
            "MAE of the median": float(np.abs(self.reference - self.truth).mean()),
        }
        if self.lower is not None and self.upper is not None:
            for level in STATED:
                i = LEVELS.index(level)
                lower, upper = self.lower[:, i], self.upper[:, i]
                out[f"within {level:.0%}"] = float(((lower <= self.truth) & (self.truth <= upper)).mean())
                out[f"width of {level:.0%}"] = float(np.median(upper - lower))
        return out

    def calibration(self) -> pd.DataFrame:
        """Compare what was promised with what happened.

        Returns
        -------
        DataFrame
            Of a property, for each coverage: "stated", and the share of the crystals within the interval, "observed". Of classes,
            for each tenth of the range of probabilities that holds some: their mean, "stated", the share of them whose class
            came true, "observed". "crystals" is the number of crystals, or of pairs of a crystal and a class.
        """
        if self.probabilities is None or self.classes is None:
            if self.lower is None or self.upper is None:
                raise ValueError("there are no intervals to look at")
            within = (self.lower <= self.truth[:, None]) & (self.truth[:, None] <= self.upper)
            return pd.DataFrame({"stated": LEVELS, "observed": within.mean(axis=0), "crystals": len(within)})
        true = (self.truth[:, None] == self.classes).ravel()
        stated = self.probabilities.ravel()
        bins = np.clip(np.digitize(stated, PROBABILITIES) - 1, 0, len(PROBABILITIES) - 2)
        frame = pd.DataFrame({"stated": stated, "observed": true.astype(np.float64), "crystals": 1})
        return frame.groupby(bins).agg({"stated": "mean", "observed": "mean", "crystals": "sum"}).reset_index(drop=True)

    def by_similarity(self, n_bins: int = 5) -> pd.DataFrame:
        """Tell how the errors grow where nothing alike was learned from.

        Parameters
        ----------
        n_bins : int, default 5
            Number of rows, at most; each is of equally many crystals, the least similar first.

        Returns
        -------
        DataFrame
            "similarity from" and "to", "crystals", and of a property their mean absolute error, "MAE", and the share of them within
            the 95 % interval, "within 95%"; of classes the share of wrong ones, "wrong".

        Raises
        ------
        ValueError
            n_bins is below 1.
        """
        check_whole("n_bins", n_bins, low=1)
        rows = []
        for part in np.array_split(np.argsort(self.similarity, kind="stable"), min(n_bins, len(self.truth))):
            row = {"similarity from": self.similarity[part[0]], "to": self.similarity[part[-1]], "crystals": len(part)}
            if self.lower is not None and self.upper is not None:
                row["MAE"] = np.abs(self.predicted[part] - self.truth[part]).mean()
                inside = (self.lower[part, -1] <= self.truth[part]) & (self.truth[part] <= self.upper[part, -1])
                row["within 95%"] = inside.mean()
            else:
                row["wrong"] = (self.predicted[part] != self.truth[part]).mean()
            rows.append(row)
        return pd.DataFrame(rows)

    def _scores_of_classes(self, probabilities: FloatArray) -> dict[str, float]:
        out = {
            "accuracy": float(accuracy_score(self.truth, self.predicted)),
            "balanced accuracy": float(balanced_accuracy_score(self.truth, self.predicted)),
            "log loss": float(log_loss(self.truth, probabilities, labels=self.classes)),
            "Brier score": float(((probabilities - (self.truth[:, None] == self.classes)) ** 2).sum(axis=1).mean() / 2),
        }
        if probabilities.shape[1] == 2:
            out["ROC-AUC"] = float(roc_auc_score(self.truth, probabilities[:, 1]))
        return out | {"accuracy of the commonest": float(accuracy_score(self.truth, self.reference))}


def cross_validate_model(
    model: GRIDKernelRegressor | GRIDKernelClassifier,
    X: Any,
    y: ArrayLike,
    *,
    n_splits: int = 5,
    groups: ArrayLike | None = None,
    extra: Mapping[str, ArrayLike] | None = None,
    random_state: int = 0,
) -> CrossValidation:
    """Predict each crystal by a model that has not seen it, nor any of its group; features are computed once.

    Parameters
    ----------
    model : GRIDKernelRegressor or GRIDKernelClassifier
        Its parameters are used; it is not fitted itself.
    X, extra
        As for its `fit`.
    y : array-like of shape (n,)
        One property, or classes.
    n_splits : int, default 5
        Number of folds.
    groups : array-like of shape (n,), optional
        Crystals of one group stay in one fold.
    random_state : int, default 0
        Seed of the folds.

    Returns
    -------
    CrossValidation

    Raises
    ------
    TypeError, ValueError
        As `fit`; or there are fewer crystals, groups, or members of a class, than folds; or groups are so large that a fold is
        empty, or its training part too small.

    Examples
    --------
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> from matminer_grid.models import GRIDKernelRegressor, cross_validate_model
    >>> data = load_mp_elasticity_table()
    >>> found = cross_validate_model(GRIDKernelRegressor(tune_iterations=0), data.crystals[:150], data.K_VRH[:150])
    >>> scores = found.scores()
    >>> scores["MAE"] < scores["MAE of the median"]
    True
    """
    described = model.describe(X)
    n = len(described)
    classes: NDArray[Any] | None = None
    codes: NDArray[np.int64] | None = None
    if is_classifier(model):
        classes, codes = checked_classes(y, n)
    truth = checked_targets(y, n) if classes is None else classes[codes]
    if truth.ndim != 1:
        raise ValueError(f"one property at a time is cross-validated, not {truth.shape[1]}")
    blocks = {name: np.asarray(values) for name, values in (extra or {}).items()}
    plain = type(model)(**model.get_params(deep=False) | {"progress": None})  # what shows progress may not let itself be copied
    predicted, reference = np.empty_like(truth), np.empty_like(truth)
    folds = np.empty(n, np.int64)
    shape = (n, len(LEVELS)) if classes is None else (n, len(classes))
    lower, upper, similarity = np.empty(shape), np.empty(shape), np.empty(n)
    work = Parts("cross-validate", n_splits)
    for fold, (train, test) in enumerate(_splits(truth, codes, n_splits, groups, random_state)):
        folds[test] = fold
        known = {name: values[train] for name, values in blocks.items()}
        asked = {name: values[test] for name, values in blocks.items()}
        with work.part(1):
            one: Any = clone(plain).fit(described[train], truth[train], extra=known or None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # elements that only one part holds
            similarity[test] = _similarities(one, described[test], asked or None)
            if classes is None or codes is None:
                predicted[test], *ends = one._predict(described[test], asked or None, *LEVELS)
                lower[test], upper[test] = (np.stack(sides, axis=1) for sides in zip(*ends, strict=True))
                reference[test] = np.median(truth[train])
            else:
                lower[test] = one.predict_proba(described[test], extra=asked or None)
                predicted[test] = classes[lower[test].argmax(axis=1)]
                reference[test] = classes[np.bincount(codes[train]).argmax()]
    if classes is None:
        return CrossValidation(truth, predicted, reference, folds, similarity, lower, upper)
    return CrossValidation(truth, predicted, reference, folds, similarity, probabilities=lower, classes=classes)


def _similarities(model: KernelModel, X: FeaturizedCrystals, extra: Extra) -> FloatArray:
    """Give the similarities of crystals to the nearest training crystals of a model, under the distance of its first target."""
    _, features = model._read(X, extra)
    learned = model.learned_[0]
    near = model.similarity_[0].nearest(learned.vectors(features), learned.process, model.n_jobs)
    return near.similarities[:, 0]


def _splits(
    truth: NDArray[Any], codes: NDArray[np.int64] | None, n_splits: int, groups: ArrayLike | None, random_state: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Give the rows to train on and to test of each fold."""
    check_whole("n_splits", n_splits, low=2, high=len(truth))
    least = len(truth) - -(-len(truth) // n_splits)
    if least < MINIMUM_SAMPLES:
        raise ValueError(
            f"{n_splits} folds of {len(truth)} crystals leave {least} to train on, and at least {MINIMUM_SAMPLES} are needed: more "
            "crystals, or more folds"
        )
    shuffled = {"shuffle": True, "random_state": random_state}
    if groups is None:
        if codes is None:
            return list(KFold(n_splits, **shuffled).split(truth))
        scarce = int(np.bincount(codes).min())
        if scarce < max(n_splits, 3):
            raise ValueError(
                f"{n_splits} folds need {max(n_splits, 3)} members of each class, and one has {scarce}: take fewer folds, leave it "
                "out, or merge it with another class"
            )
        return list(StratifiedKFold(n_splits, **shuffled).split(truth, codes))
    labels = np.asarray(groups)
    if labels.shape != truth.shape:
        raise ValueError(f"groups must name one group a structure, {len(truth)} in all, and has the shape {labels.shape}")
    if len(np.unique(labels)) < n_splits:
        raise ValueError(f"{n_splits} folds need as many groups, and there are {len(np.unique(labels))}: take fewer folds")
    if codes is None:
        folds = list(GroupKFold(n_splits, **shuffled).split(truth, groups=labels))
    else:
        folds = list(StratifiedGroupKFold(n_splits, **shuffled).split(truth, codes, labels))
    for train, test in folds:
        _check_fold(train, test, codes)
    return folds


def _check_fold(train: NDArray[np.int64], test: NDArray[np.int64], codes: NDArray[np.int64] | None) -> None:
    """Refuse folds that groups have left without crystals to test, to train on, or to learn a class from."""
    remedy = "take fewer folds, or smaller groups"
    if not len(test):
        raise ValueError(f"the groups are so unequal that a fold is empty: {remedy}")
    if len(train) < MINIMUM_SAMPLES:
        raise ValueError(f"the groups leave {len(train)} crystals to train on, and at least {MINIMUM_SAMPLES} are needed: {remedy}")
    if codes is not None and np.bincount(codes[train], minlength=codes.max() + 1).min() < 2:
        raise ValueError(
            f"the groups leave a class with fewer than two crystals to train on: {remedy}, or merge it with another class"
        )
