"""Measures of one set of crystals, and of two, from their dissimilarities; and intervals for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg
import scipy.sparse
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Interval = tuple[float, float]

EXACT = 1000
"""Rows of a sparse matrix, at most, whose eigenvalues are all computed."""

SPANNING, PROBES, STEPS = 40, 20, 20
"""Vectors that span the space of the largest eigenvalues, random ones for the rest, and steps of Lanczos's method from each."""

EXHAUSTED = 1e-10
"""Length of what is left of a vector that lies in the space of those before it."""


def vendi_score(kernel: NDArray[np.float64] | scipy.sparse.csr_array, seed: int = 0) -> float:
    r"""Give the Vendi score, the effective number of different crystals.

    .. math:: V = \exp\left(-\sum_i \lambda_i \ln \lambda_i\right)

    with the eigenvalues of K / n. It is 1 for n equal crystals and n for n crystals that have nothing in common. Where K has
    negative eigenvalues, as exp(-D) of the site dissimilarity may, they count as 0 and the others are scaled to the sum 1.

    Parameters
    ----------
    kernel : ndarray or csr_array of shape (n, n)
        Similarities, 1 on the diagonal. Of a sparse one above n = 1,000 the sum is estimated by stochastic Lanczos quadrature.
    seed : int, default 0
        Of the random vectors of the quadrature.

    References
    ----------
    D. Friedman and A. B. Dieng, Trans. Mach. Learn. Res. (2023), arXiv 2210.02410; S. Ubaru, J. Chen and Y. Saad, SIAM J. Matrix
    Anal. Appl. 38 (2017) 1075-1099.

    Examples
    --------
    >>> import numpy as np
    >>> from matminer_grid.similarity.evaluation_sets import vendi_score
    >>> round(vendi_score(np.ones((5, 5))), 6), round(vendi_score(np.eye(5)), 6)
    (1.0, 5.0)
    """
    with threadpool_limits(1, user_api="blas"):  # several are slower for small matrices, and much so on a busy machine
        sparse = scipy.sparse.csr_array(kernel) if scipy.sparse.issparse(kernel) else None
        if sparse is not None and sparse.shape[0] > EXACT:
            values, weights = _quadrature(sparse, np.random.default_rng(seed))
        else:
            values = scipy.linalg.eigvalsh(kernel if sparse is None else sparse.toarray(), check_finite=False)
            weights = np.ones(len(values))
    values, weights = values[values > 0], weights[values > 0]
    total = weights @ values
    return float(total * np.exp(-(weights @ (values * np.log(values))) / total))


def _quadrature(kernel: scipy.sparse.csr_array, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give values and weights whose weighted sums of a function are near its sum over the eigenvalues of a symmetric matrix.

    Vectors that span about the space of the largest eigenvalues stand for themselves, and random ones orthogonal to them for the
    rest. The sum of the eigenvalues is the trace.
    """
    n = kernel.shape[0]
    large, _ = np.linalg.qr(kernel @ (kernel @ rng.standard_normal((n, SPANNING))))
    random = rng.standard_normal((n, PROBES))
    random -= large @ (large.T @ random)
    vectors = np.hstack((large, random / np.linalg.norm(random, axis=0)))
    shares = np.repeat([1.0, (n - SPANNING) / PROBES], [SPANNING, PROBES])
    before, beta = np.zeros_like(vectors), np.zeros(len(shares))
    diagonal, beside = np.zeros((2, STEPS, len(shares)))
    for step in range(STEPS):
        image = kernel @ vectors - beta * before
        diagonal[step] = (image * vectors).sum(axis=0)
        image -= diagonal[step] * vectors
        beta = np.linalg.norm(image, axis=0)
        beta[beta < EXHAUSTED] = 0.0
        beside[step] = beta
        before, vectors = vectors, np.divide(image, beta, out=np.zeros_like(image), where=beta > 0)
    values, weights = np.empty((2, len(shares), STEPS))
    for i, share in enumerate(shares):
        values[i], basis = scipy.linalg.eigh_tridiagonal(diagonal[:, i], beside[:-1, i])
        weights[i] = share * basis[0] ** 2
    return values.ravel(), weights.ravel() * (kernel.trace() / (weights * values).sum())


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
