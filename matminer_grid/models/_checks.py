"""What all models ask of properties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


def checked_targets(y: ArrayLike, n: int) -> NDArray[np.float64]:
    """Give one property, of shape (n,) or (n, 1), as an array of n finite numbers, and t of them as an array of shape (n, t)."""
    if y is None:
        raise ValueError("a regressor requires y to be passed, but the target y is None")
    targets = np.asarray(y)
    if targets.ndim not in {1, 2} or len(targets) != n or 0 in targets.shape[1:]:
        raise ValueError(
            f"y must hold one number a structure, {n} in all, or a row of numbers for each, and has the shape {targets.shape}"
        )
    try:
        targets = targets.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"y must hold numbers: {error}; a classifier takes names of classes") from error
    wrong = np.argwhere(~np.isfinite(targets))
    if len(wrong):
        place = ", ".join(map(str, wrong[0][: 1 if targets.shape[1:] in {(), (1,)} else 2]))
        more = f", and {len(wrong) - 1} more are" if len(wrong) > 1 else ""
        raise ValueError(f"y[{place}] is NaN or infinite{more}; leave such crystals out")
    return targets.reshape(n) if targets.shape[1:] == (1,) else targets


def checked_classes(y: ArrayLike, n: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Give the classes that n crystals belong to, sorted, and the number of that of each."""
    if y is None:
        raise ValueError("a classifier requires y to be passed, but the target y is None")
    labels = np.asarray(y)
    if labels.shape not in {(n,), (n, 1)}:
        raise ValueError(f"y must hold one class a structure, {n} in all, and has the shape {labels.shape}")
    labels = labels.reshape(n)
    missing = np.array([label is None or label != label for label in labels.tolist()], bool)  # noqa: PLR0124  NaN
    if missing.any():
        raise ValueError(f"y[{int(np.nonzero(missing)[0][0])}] is missing or NaN; leave such crystals out")
    if labels.dtype == object:
        kinds = sorted({type(label).__name__ for label in labels})
        if len(kinds) > 1:
            raise ValueError(f"y must hold classes of one kind, such as texts, not {' and '.join(kinds)}")
        labels = np.array(labels.tolist())
    check_classification_targets(labels)
    classes, codes = np.unique(labels, return_inverse=True)
    return classes, codes


def target_names(y: Any) -> list[str] | None:
    """Give the names of properties that come as a Series or DataFrame; None for those that have none."""
    if hasattr(y, "columns"):
        return [str(name) for name in y.columns]
    name = getattr(y, "name", None)
    return None if name is None else [str(name)]


def checked_names(names: Sequence[str] | None, n: int) -> list[str] | None:
    """Give what n training crystals are called, as texts."""
    if names is None:
        return None
    texts = [str(name) for name in names]
    if len(texts) != n:
        raise ValueError(f"names must have one entry a structure, {n} in all, not {len(texts)}")
    return texts
