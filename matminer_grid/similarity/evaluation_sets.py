"""Measures of one set of crystals, and of two, from their dissimilarities; and intervals for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Interval = tuple[float, float]


def vendi_score(kernel: NDArray[np.float64]) -> float:
    r"""Give the Vendi score, the effective number of different crystals.

    .. math:: V = \exp\left(-\sum_i \lambda_i \ln \lambda_i\right)

    with the eigenvalues of K / n. It is 1 for n equal crystals and n for n crystals that have nothing in common. Where K has
    negative eigenvalues, as exp(-D) of the site dissimilarity may, they count as 0 and the others are scaled to the sum 1.

    Parameters
    ----------
    kernel : ndarray of shape (n, n)
        Similarities, 1 on the diagonal.

    References
    ----------
    D. Friedman and A. B. Dieng, Trans. Mach. Learn. Res. (2023), arXiv 2210.02410.

    Examples
    --------
    >>> import numpy as np
    >>> from matminer_grid.similarity.evaluation_sets import vendi_score
    >>> round(vendi_score(np.ones((5, 5))), 6), round(vendi_score(np.eye(5)), 6)
    (1.0, 5.0)
    """
    with threadpool_limits(1, user_api="blas"):  # several are slower for small matrices, and much so on a busy machine
        values = scipy.linalg.eigvalsh(kernel, check_finite=False)
    values = values[values > 0] / values[values > 0].sum()
    return float(np.exp(-(values * np.log(values)).sum()))


def squared_mmd(kernel: NDArray[np.float64], n: int, signs: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    r"""Give the square of the maximum mean discrepancy of two sets.

    .. math:: \frac{1}{n^2} \sum_{ij} k(x_i, x_j) + \frac{1}{m^2} \sum_{ij} k(y_i, y_j) - \frac{2}{nm} \sum_{ij} k(x_i, y_j)

    It is 0 for two equal sets. For two samples of one distribution it is about (2 - 2 k) / n, with the mean similarity k, so that
    it tells something only beside what random splits give.

    Parameters
    ----------
    kernel : ndarray of shape (n + m, n + m)
        Similarities of the crystals of both sets, those of the first before those of the second.
    n : int
        Number of crystals of the first.
    signs : ndarray of shape (b, n + m), optional
        Weights of the crystals for each of b answers, instead of 1 / n and -1 / m.

    Returns
    -------
    ndarray of shape (b,)

    References
    ----------
    A. Gretton et al., J. Mach. Learn. Res. 13 (2012) 723-773.

    Examples
    --------
    >>> import numpy as np
    >>> from matminer_grid.similarity.evaluation_sets import squared_mmd
    >>> squared_mmd(np.eye(4), 2), squared_mmd(np.tile(np.eye(2), (2, 2)), 2)
    (array([1.]), array([0.]))
    """
    weights = split_weights(n, len(kernel) - n)[None] if signs is None else signs
    return np.maximum(0.0, np.einsum("bi,bi->b", weights @ kernel, weights))


def split_weights(n: int, m: int) -> NDArray[np.float64]:
    """Give the weights of two sets in :func:`squared_mmd`, shape (n + m,)."""
    return np.concatenate((np.full(n, 1 / n), np.full(m, -1 / m)))


def permutation_test(
    kernel: NDArray[np.float64], n: int, n_permutations: int, rng: np.random.Generator
) -> tuple[float, NDArray[np.float64]]:
    """Test whether two sets are samples of one distribution, by the squared MMD of random splits of all crystals.

    Returns
    -------
    p_value : float
        (1 + splits with a squared MMD no smaller than that of the sets) / (1 + splits).
    squared : ndarray of shape (n_permutations,)
        Squared MMD of each split.
    """
    weights = split_weights(n, len(kernel) - n)
    squared = squared_mmd(kernel, n, rng.permuted(np.tile(weights, (n_permutations, 1)), axis=1))
    own = squared_mmd(kernel, n)[0]
    return float((1 + (squared >= own * (1 - 1e-9)).sum()) / (1 + n_permutations)), squared


def transport_distance(dissimilarities: NDArray[np.float64]) -> float:
    """Give the earth mover's distance between two sets: the least mean dissimilarity of a crystal to what it becomes.

    Parameters
    ----------
    dissimilarities : ndarray of shape (n, m)
        Of the crystals of one set to those of the other; all crystals of a set weigh the same.

    Examples
    --------
    >>> import numpy as np
    >>> from matminer_grid.similarity.evaluation_sets import transport_distance
    >>> transport_distance(np.array([[0.0, 2.0], [2.0, 1.0]]))
    0.5
    """
    n, m = dissimilarities.shape
    from ot import emd2  # noqa: PLC0415  it brings networkx, half a second that only evaluations need

    return float(emd2(np.full(n, 1 / n), np.full(m, 1 / m), np.ascontiguousarray(dissimilarities), numItermax=10_000_000))


def percentiles(replicates: NDArray[np.float64], confidence: float) -> Interval:
    """Give the interval that holds a share of the replicates, as many above it as below."""
    tail = 50 * (1 - confidence)
    low, high = np.percentile(replicates, (tail, 100 - tail)).tolist()
    return low, high


def draw_counts(n: int, n_bootstrap: int, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Draw n things, with replacement, many times: how often each was drawn, shape (n_bootstrap, n)."""
    equal = np.full(n, 1 / n)
    return np.stack([rng.multinomial(n, equal).astype(np.uint16) for _ in range(n_bootstrap)])


def mean_interval(values: NDArray[np.float64], counts: NDArray[np.uint16], confidence: float) -> Interval:
    """Give the bootstrap interval of a mean; `counts` (b, n) tell how often each value was drawn."""
    return percentiles(np.array([count @ values for count in counts]) / len(values), confidence)


def share_interval(share: float, n: int, n_bootstrap: int, confidence: float, rng: np.random.Generator) -> Interval:
    """Give the bootstrap interval of the share of n things, whose number among n drawn ones is binomial."""
    return percentiles(rng.binomial(n, share, n_bootstrap) / n, confidence)


def half_interval(
    value: float, of_rows: Callable[..., float], sizes: tuple[int, ...], draws: tuple[int, float], rng: np.random.Generator
) -> Interval:
    """Give an interval from halves of the crystals, drawn without replacement: the spread of their values about their mean.

    Drawing with replacement would make duplicates, which such measures are made to see; that of halves has the variance of the
    whole (delete-half jackknife). It is moved to the value of the whole.

    Parameters
    ----------
    value : float
        Of all crystals.
    of_rows : callable
        Gives the value of some rows of each set.
    sizes : tuple of int
        Number of crystals of each set.
    draws : tuple of int and float
        Number of draws, and the confidence.
    rng : numpy.random.Generator
    """
    if min(sizes) < 4:
        return np.nan, np.nan
    n_draws, confidence = draws
    replicates = [of_rows(*(np.sort(rng.permutation(n)[: n // 2]) for n in sizes)) for _ in range(n_draws)]
    low, high = percentiles(np.array(replicates) - np.mean(replicates), confidence)
    return value + low, value + high
