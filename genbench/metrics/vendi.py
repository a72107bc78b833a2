"""Vendi score of a set of features.

Symbols: x_i one of n generated features, K_ij = k(x_i, x_j) with k(x, x) = 1, lambda_l the eigenvalues of K / n, which
sum to 1, q the order of the entropy H_q.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from genbench.errors import Refused, Undefined
from genbench.metrics.arrays import matrix
from genbench.stats import Replicates, groups_of
from genbench.types import Metric

LARGEST = 2000  # rows where no smaller dual matrix stands for that of all pairs; the time grows like the cube
_ZERO = 1e-13  # of an eigenvalue, the sum being 1

Kernel = Literal["cosine", "gaussian"]


def _score(similar: np.ndarray, order: float) -> float:
    """exp(H_q) of the eigenvalues of a matrix, divided by their sum."""
    values = np.linalg.eigvalsh(similar)
    values = values / values.sum()
    values = values[values > _ZERO]
    if order == 1:
        entropy = -(values * np.log(values)).sum()
    elif math.isinf(order):
        entropy = -np.log(values.max())
    else:
        largest = values.max()  # taken out, so that no power vanishes
        entropy = (order * np.log(largest) + np.log(((values / largest) ** order).sum())) / (1.0 - order)
    return max(1.0, float(np.exp(entropy)))  # rounding may leave it below


def _few_enough(n: int, why: str) -> None:
    if n > LARGEST:
        raise Undefined(f"vendi: {n} samples; {why} it is computed up to {LARGEST}, and none are left out silently")


def _prepared(fake: Any, order: float, kernel: Kernel, sigma: float | None) -> tuple[np.ndarray, bool]:
    """Either unit vectors `(n, d)` with d < n, whose second moments have the eigenvalues of K / n, or K itself."""
    x = matrix(fake, "vendi: fake")
    if math.isnan(order) or order <= 0:
        raise Refused(f"vendi: the order is {order}; it must be positive, and may be infinite")
    if kernel == "cosine":
        if sigma is not None:
            raise Refused(f"vendi: sigma is {sigma}; the cosine kernel has none")
        largest = np.abs(x).max(axis=1, keepdims=True)  # taken out first, so that no square overflows or vanishes
        if count := np.count_nonzero(largest == 0):
            raise Undefined(f"vendi: {count} rows of the generated features are zero, and have no direction")
        x = x / largest
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        if x.shape[1] < len(x):
            return x, True
        _few_enough(len(x), "with more features than samples")
        return x @ x.T, False
    if kernel == "gaussian":
        from scipy.spatial.distance import cdist

        if sigma is None or not (sigma > 0 and math.isfinite(sigma)):
            raise Refused(f"vendi: sigma is {sigma}; the Gaussian kernel needs one that is positive and finite")
        _few_enough(len(x), "with the Gaussian kernel")
        with np.errstate(over="ignore"):  # a distance too large to hold has the similarity zero
            similar: np.ndarray = np.exp(-0.5 * np.square(cdist(x, x) / sigma))
        return similar, False
    raise Refused(f"vendi: the kernel is {kernel!r}; there are 'cosine' and 'gaussian'")


def vendi(
    *, fake: Any, real: Any = None, order: float = 1.0, kernel: Kernel = "cosine", sigma: float | None = None
) -> float:
    """Effective number of different samples: the exponential of the entropy of a similarity matrix.

    exp(H_q) of the eigenvalues of K / n: H_1 = -sum lambda log lambda, H_q = log(sum lambda^q) / (1 - q),
    H_inf = -log max lambda. The kernel is x'y / (|x| |y|), or exp(-|x - y|^2 / (2 sigma^2)); with the cosine kernel and
    d < n the eigenvalues come from the `(d, d)` second moments, which are the same but for zeros.

    Estimator: plug-in, biased downward, since n samples cannot show more than n: compare equal n. Higher is better
    (more diverse), whether or not the samples look like data: the real set is not used. From 1 (all alike) to n, with
    the cosine kernel to min(n, d). The interval is one of the expected value at this n; close to the largest value that
    there is, where a statistic of this kind is no longer linear in the samples, it holds it in 92 to 98 of 100 cases.

    Reference: The Vendi Score: A Diversity Evaluation Metric for Machine Learning (Friedman and Dieng, 2023); orders
    from Cousins of the Vendi Score (Pasarkar and Dieng, 2024).

    Args:
        fake: features `(n, d)`, n >= 2; n <= 2000 with the Gaussian kernel, and with the cosine kernel where d >= n.
        real: not used.
        order: q; larger ones weigh rare kinds of samples less.
        sigma: of the Gaussian kernel; None for the cosine kernel.
    """
    found, is_dual = _prepared(fake, order, kernel, sigma)
    return _score(found.T @ found if is_dual else found, order)


def _replicates(
    *, fake: Any, real: Any = None, order: float = 1.0, kernel: Kernel = "cosine", sigma: float | None = None
) -> Replicates:
    """Without each group of samples in turn: its second moments subtracted, or its rows and columns left out."""
    found, is_dual = _prepared(fake, order, kernel, sigma)
    member = groups_of(len(found))
    without = []
    moments = found.T @ found if is_dual else found
    for g in range(int(member.max()) + 1):
        if is_dual:
            group = found[member == g]
            without.append(_score(moments - group.T @ group, order))
        else:
            rest = np.flatnonzero(member != g)
            without.append(_score(found[np.ix_(rest, rest)], order))
    return Replicates(value=_score(moments, order), fake=np.array(without))


METRIC = Metric(
    fn=vendi,
    axis="diversity",
    better="higher",
    needs="features",
    interval="jackknife",
    min_samples=40,
    range=(1.0, math.inf),
    replicates=_replicates,
)
