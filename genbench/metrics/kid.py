"""Kernel distance between two sets of features.

Symbols: x_i one of n real, y_j one of m generated features in d dimensions, k the kernel, U the estimate.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from genbench.errors import Refused, Undefined
from genbench.metrics.arrays import feature_pair
from genbench.metrics.kernels import Kernel, discrepancy
from genbench.stats import Estimate, Interval
from genbench.types import Metric


def _polynomial(degree: int, gamma: float, coef0: float, pivot: float) -> Kernel:
    """(gamma x'y + coef0)^degree - pivot; the constant cancels in the distance, and spares digits before it does."""

    def kernel(products: np.ndarray, _rows: np.ndarray, _columns: np.ndarray) -> np.ndarray:
        products *= gamma
        products += coef0
        power = products if degree == 1 else products * products
        for _ in range(degree - 2):
            power *= products
        power -= pivot
        return power

    return kernel


def _prepared(
    real: Any, fake: Any, degree: int, gamma: float | None, coef0: float
) -> tuple[np.ndarray, np.ndarray, Kernel]:
    x, y = feature_pair(real, fake, "kid")
    if degree < 1 or degree != int(degree):
        raise Refused(f"kid: the degree is {degree}; it must be a whole number from 1 up")
    scale = 1.0 / x.shape[1] if gamma is None else gamma
    if not (scale > 0 and math.isfinite(scale) and math.isfinite(coef0)):
        raise Refused(f"kid: gamma is {scale} and coef0 {coef0}; gamma must be positive, and both finite")
    with np.errstate(over="ignore", invalid="ignore"):
        pivot = float(np.power(scale * (x.mean(axis=0) @ y.mean(axis=0)) + coef0, int(degree)))
    return x, y, _polynomial(int(degree), scale, coef0, pivot if math.isfinite(pivot) else 0.0)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise Undefined("kid: the kernel overflows double precision; scale the features, or lower gamma")
    return value


def _subset_values(x: np.ndarray, y: np.ndarray, kernel: Kernel, subsets: int, size: int, seed: int) -> np.ndarray:
    if subsets < 2 or size < 2:
        raise Refused(f"kid: {subsets} subsets of {size}; it takes at least 2 subsets of at least 2 rows")
    if size > min(len(x), len(y)):
        raise Refused(
            f"kid: subsets of {size} cannot be drawn from {len(x)} real and {len(y)} generated samples; "
            "lower subset_size or leave subsets out"
        )
    rng = np.random.RandomState(seed)
    values = np.empty(subsets)
    for i in range(subsets):
        of_y = rng.choice(len(y), size, replace=False)  # the generated side first, as the peers' arguments come
        of_x = rng.choice(len(x), size, replace=False)
        values[i] = discrepancy(x[of_x], y[of_y], kernel).unbiased
    return values


def kid(
    *,
    real: Any,
    fake: Any,
    degree: int = 3,
    gamma: float | None = None,
    coef0: float = 1.0,
    subsets: int | None = None,
    subset_size: int = 1000,
    seed: int = 2020,
) -> float:
    """Squared maximum mean discrepancy of the two sets under a polynomial kernel.

    mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{ij} k(x_i, y_j), where
    k(x, y) = (gamma x'y + coef0)^degree with gamma = 1/d unless given; in float64, one pass over all pairs.

    With `subsets` the mean of that many distances between random subsets instead, as the peers compute it: the same
    expectation with more noise.

    Estimator: unbiased at any n, so that it falls below zero about as often as not where the laws are equal. Lower is
    better; the true value is 0 where all moments up to `degree` agree, and has no upper bound. Depends on the scale and
    the origin of the features. The interval is one of the true value.

    Reference: Demystifying MMD GANs (Binkowski, Sutherland, Arbel and Gretton, 2018); the variance follows Unbiased
    estimators for the variance of MMD estimators (Sutherland and Deka, 2019).

    Args:
        real: features `(n, d)`, n >= 2.
        fake: features `(m, d)`, m >= 2.
        degree, gamma, coef0: of the kernel.
        subsets: None for the exact pass; torch-fidelity, torchmetrics and clean-fid take 100.
        subset_size: rows of each subset, drawn without replacement.
        seed: of the subsets, by numpy's `RandomState(seed).choice`, the generated side first.
    """
    x, y, kernel = _prepared(real, fake, degree, gamma, coef0)
    if subsets is None:
        return _finite(discrepancy(x, y, kernel).unbiased)
    return _finite(float(_subset_values(x, y, kernel, subsets, subset_size, seed).mean()))


def _estimate(
    *,
    real: Any,
    fake: Any,
    degree: int = 3,
    gamma: float | None = None,
    coef0: float = 1.0,
    subsets: int | None = None,
    subset_size: int = 1000,
    seed: int = 2020,
) -> Estimate:
    """The value with a score interval; that of subsets adds their noise to the variance, which is of the exact pass."""
    x, y, kernel = _prepared(real, fake, degree, gamma, coef0)
    found, noise, words = discrepancy(x, y, kernel), 0.0, ""
    if subsets is not None:
        values = _subset_values(x, y, kernel, subsets, subset_size, seed)
        noise = float(values.var(ddof=1)) / subsets
        found, words = replace(found, unbiased=float(values.mean())), f" and of {subsets} subsets"
    value = _finite(found.unbiased)
    low, high = found.interval(min(len(x), len(y)) - 1, noise)
    words = f"score interval of a U-statistic, closed-form variance{words}, t quantile"
    method = f"{words}; of the true value, the limit for infinite n"
    return Estimate(value=value, interval=Interval(low=_finite(low), high=_finite(high), method=method), n=len(y))


METRIC = Metric(
    fn=kid,
    axis="quality",
    better="lower",
    needs="features",
    interval="own",
    min_samples=40,
    estimate=_estimate,
)
