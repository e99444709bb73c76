"""Classes by a Gaussian process on earth mover's distances, with probabilities that leave-one-out calibrates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression

from matminer_grid.models._checks import checked_classes, target_names
from matminer_grid.models.base import KernelModel, as_known
from matminer_grid.models.learned import Learned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from matminer_grid.models.base import Extra

    FloatArray = NDArray[np.float64]


class GRIDKernelClassifier(ClassifierMixin, KernelModel):
    """Gaussian process on earth mover's distances of geometry, composition, bonding and stiffness, for two or more classes.

    Features
    --------
    A process as that of :class:`GRIDKernelRegressor` learns 1 for a class and 0 for the others; two classes need one process, more
    one each. What the processes predict of each training crystal without it, in closed form, is the input of a logistic regression,
    which makes probabilities of it: they are calibrated on crystals that the processes had not seen.

    Parameters
    ----------
    tune_samples : int, default 4000
        Number of training crystals in the search for weights. Up to 1,200 begin it; with more, all of these go on from there.
    tune_iterations : int, default 0
        Steps of the search, twice for those that begin it, once for more; with 0 the weights stay where they start. A search learns
        classes of some hundred crystals by heart, so that what is predicted of each without it, by which probabilities are
        calibrated, is too good to be true.
    robust_rounds : int, default 0
        Times that the noise of each crystal is estimated anew; above 0, crystals of a class that their neighbours contradict lose
        their say.
    n_local : int, default 48
        Number of training crystals, over 4, that an explanation weighs.
    random_state : int, default 0
        Seed of the samples drawn.
    n_jobs : int, optional
        Number of threads, all cores by default.
    progress : callable, optional
        Called with a line of text at each stage of :meth:`fit`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes, sorted.
    weights_ : dict of str to float, or list of them for three or more classes
        Weight of each block of features, or of single features; blocks are scaled to the mean distance 1 between training crystals.
    noise_, residuals_ : ndarray of shape (n_samples,) or (n_samples, n_classes)
        Variance of each training value relative to the process; 1 or 0 minus leave-one-out prediction.
    crystals_ : CrystalTable
        The training crystals.
    names_ : list of str or None
        What they are called.
    property_ : str or None
        What the classes are classes of: the name of `y`, if it was a Series.
    y_ : ndarray of shape (n_samples,)
        Their classes.

    References
    ----------
    J. C. Platt, in Advances in Large Margin Classifiers (1999), 61-74 (probabilities by logistic regression).
    C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning (2006), chapter 6.5 (least-squares classification
    and leave-one-out).

    Examples
    --------
    >>> import numpy as np
    >>> from matminer_grid.datasets import load_mp_elasticity_table
    >>> from matminer_grid.models import GRIDKernelClassifier
    >>> data = load_mp_elasticity_table()
    >>> kind = np.where(data.G_VRH < 0.57 * data.K_VRH, "ductile", "brittle")  # Pugh's rule
    >>> model = GRIDKernelClassifier().fit(data.crystals[:300], kind[:300])
    >>> model.classes_, model.predict_proba(data.crystals[:5]).shape
    (array(['brittle', 'ductile'], dtype='<U7'), (5, 2))
    """

    def __init__(
        self,
        *,
        tune_samples: int = 4000,
        tune_iterations: int = 0,
        robust_rounds: int = 0,
        n_local: int = 48,
        random_state: int = 0,
        n_jobs: int | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.tune_samples = tune_samples
        self.tune_iterations = tune_iterations
        self.robust_rounds = robust_rounds
        self.n_local = n_local
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.progress = progress

    def fit(self, X: Any, y: ArrayLike, *, extra: Extra = None, names: Sequence[str] | None = None) -> Self:
        """Learn from known crystals.

        Parameters
        ----------
        X : list, tuple, array, Series or one-column DataFrame of Structure or Crystal; or CrystalTable
            At least 20.
        y : array-like of shape (n_samples,)
            Their classes: texts, whole numbers or truth values; each class has at least two crystals.
        extra, names
            As for :meth:`GRIDKernelRegressor.fit`.

        Raises
        ------
        TypeError, ValueError
            A parameter, a structure, `y` or `extra` is invalid.
        """
        self._check_parameters()
        X = as_known(X)
        classes, codes = checked_classes(y, len(X))
        if len(classes) < 2:
            raise ValueError(f"y holds one class only, {classes.tolist()[0]!r}: there is nothing to learn")
        counts = np.bincount(codes)
        if counts.min() < 2:
            alone = int(counts.argmin())
            row = int(np.nonzero(codes == alone)[0][0])
            raise ValueError(
                f"the class {classes.tolist()[alone]!r} has one member, y[{row}], and needs two, of which one can be left out: "
                "leave it out, or merge it with another class"
            )
        features = self._start(X, extra, names)
        self.classes_, self.y_ = classes, classes[codes]
        names_of_y = target_names(y)
        self.property_ = None if names_of_y is None else names_of_y[0]
        self.target_names_ = [str(one) for one in (classes if len(classes) > 2 else classes[1:])]
        learned, numbers = [], range(len(classes))[-len(self.target_names_) :]
        for number, name in zip(numbers, self.target_names_, strict=True):
            self._report(f"learn the class {name}")
            learned.append(Learned.fit(features, (codes == number).astype(np.float64), self.blocks_, self._settings()))
        rows = learned[0].rows
        left_out = np.stack(
            [(codes == number)[rows] - one.residuals[rows] for number, one in zip(numbers, learned, strict=True)], axis=1
        )
        spread = np.maximum(left_out.std(axis=0), 1e-9)
        regression = LogisticRegression().fit(left_out / spread, codes[rows])
        self._calibration = np.column_stack([regression.coef_ / spread, regression.intercept_])
        return self._set(learned)

    def predict(self, X: Any, *, extra: Extra = None) -> NDArray[Any]:
        """Give the most probable class of structures; parameters, warnings and errors are those of :meth:`predict_proba`.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        best = self._probabilities(X, extra).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X: Any, *, extra: Extra = None) -> FloatArray:
        """Give the probability of each class.

        Parameters
        ----------
        X : structures, as for :meth:`fit`
        extra : dict of str to array-like, optional
            The descriptors that :meth:`fit` got, of these structures.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; each row adds up to 1.

        Warns
        -----
        UserWarning
            A structure holds an element that no training crystal has.

        Raises
        ------
        sklearn.exceptions.NotFittedError, TypeError, ValueError
            Called before :meth:`fit`; a structure is invalid; or `extra` lacks what the model learned from, or has more.
        """
        return self._probabilities(X, extra)

    def _probabilities(self, X: Any, extra: Extra) -> FloatArray:
        _, features = self._read(X, extra)
        scores = np.stack([one.process.predict(one.vectors(features), n_jobs=self.n_jobs)[0] for one in self.learned_], axis=1)
        logits = scores @ self._calibration[:, :-1].T + self._calibration[:, -1]
        return softmax(logits if logits.shape[1] > 1 else np.column_stack([np.zeros(len(logits)), logits]), axis=1)

    def _known_values(self, number: int) -> NDArray[Any]:  # noqa: ARG002  a crystal has one class, whichever is asked for
        return self.y_

    def _own_arrays(self) -> dict[str, NDArray[Any]]:
        return {"classes": self.classes_, "calibration": self._calibration, "property": np.array(self.property_ or "")}

    def _set_own(self, arrays: dict[str, Any]) -> None:
        self.classes_, self._calibration = arrays["classes"], arrays["calibration"]
        self.property_ = str(arrays["property"]) or None
