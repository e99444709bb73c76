"""What all models ask of properties."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def checked_targets(y: ArrayLike, n: int) -> NDArray[np.float64]:
    """Give the property, of shape (n,) or (n, 1), as an array of n finite numbers."""
    if y is None:
        raise ValueError("a regressor requires y to be passed, but the target y is None")
    targets = np.asarray(y)
    if targets.shape not in {(n,), (n, 1)}:
        raise ValueError(f"y must hold one number a structure, {n} in all, and has the shape {targets.shape}")
    try:
        targets = targets.astype(np.float64).reshape(n)
    except (TypeError, ValueError) as error:
        raise ValueError(f"y must hold numbers: {error}") from error
    if not np.isfinite(targets).all():
        raise ValueError(f"y[{int(np.nonzero(~np.isfinite(targets))[0][0])}] is NaN or infinite; leave such crystals out")
    return targets
