"""Descriptors of the user's own, as further blocks of features: checked, and on a scale that outliers don't set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

NORMAL_IQR = 1.196
"""Interquartile range of a normal distribution over the mean difference of two of its values."""

FARTHEST = 100.0
"""Mean differences from the median beyond which a value is not told from others."""

SHOWN = 5
"""Names that a message lists."""


def read_extra(extra: Any, n: int) -> dict[str, FloatArray]:
    """Give the blocks that a user hands over for n structures as arrays of shape (n, width).

    Raises
    ------
    TypeError, ValueError
        It is no mapping of names; a block has another number of rows, no numbers, or some that are NaN or infinite.
    """
    if extra is None:
        return {}
    if not isinstance(extra, Mapping):
        raise TypeError(f'extra must be a dict of names and arrays, such as {{"energy": energies}}, not {type(extra).__name__}')
    out = {}
    for name, values in extra.items():
        if not isinstance(name, str) or not name:
            raise TypeError(f"extra must name each block by a text, not {name!r}")
        try:
            block = np.asarray(values).astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"extra[{name!r}] must hold numbers: {error}") from error
        if block.ndim not in {1, 2} or len(block) != n or not block[:1].size == block.size / max(1, n) > 0:
            raise ValueError(
                f"extra[{name!r}] must have a number or a row of numbers for each structure, {n} in all, "
                f"and has the shape {block.shape}"
            )
        block = block.reshape(n, -1)
        if not np.isfinite(block).all():
            row = int(np.nonzero(~np.isfinite(block).all(axis=1))[0][0])
            raise ValueError(f"extra[{name!r}][{row}] is NaN or infinite; leave such crystals out, or fill it in")
        out[name] = block
    return out


def learn_scales(blocks: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Give the median of each column and one over its spread, 0 where it is constant: arrays of shape (2, width).

    The spread is that of the quartiles; where these are equal, as of numbers that mostly are 0, the mean deviation.

    Raises
    ------
    ValueError
        All columns of a block are constant.
    """
    scales = {}
    for name, block in blocks.items():
        centre = np.median(block, axis=0)
        quartiles = np.quantile(block, [0.25, 0.75], axis=0)
        spread = (quartiles[1] - quartiles[0]) / NORMAL_IQR
        spread = np.where(spread > 0, spread, np.sqrt(2) * np.abs(block - centre).mean(axis=0))
        if not (spread > 0).any():
            raise ValueError(f"extra[{name!r}] is the same for all training crystals: leave it out")
        scales[name] = np.stack([centre, np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)])
    return scales


def standardised(blocks: Mapping[str, FloatArray], scales: Mapping[str, FloatArray], n: int) -> FloatArray:
    """Standardise the blocks of n structures and put them side by side, in the order that the model learned.

    Raises
    ------
    ValueError
        A block is missing, unknown, or of another width than in training.
    """
    missing, unknown = scales.keys() - blocks.keys(), blocks.keys() - scales.keys()
    if missing:
        raise ValueError(f"the model was trained with extra {_listed(missing)}: hand it over for these structures too, by extra=")
    if unknown:
        trained = f"with extra {_listed(scales)}" if scales else "without extra"
        raise ValueError(f"extra {_listed(unknown)} is unknown to the model, which was trained {trained}")
    columns = []
    for name, (centre, factor) in scales.items():
        if blocks[name].shape[1] != len(centre):
            raise ValueError(f"extra[{name!r}] had {len(centre)} columns in training, and has {blocks[name].shape[1]} here")
        columns.append(np.clip((blocks[name] - centre) * factor, -FARTHEST, FARTHEST))
    return np.concatenate(columns, axis=1) if columns else np.empty((n, 0))


def _listed(names: Any) -> str:
    ordered = sorted(names)
    return ", ".join(map(repr, ordered[:SHOWN])) + (f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else "")
