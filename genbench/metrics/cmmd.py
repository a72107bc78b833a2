"""Maximum mean discrepancy of two sets of embeddings under a Gaussian kernel.

Symbols: x_i one of n real, y_j one of m generated features, scaled to norm 1; sigma the width of the kernel k.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from genbench.errors import Refused, Undefined
from genbench.metrics.arrays import feature_pair
from genbench.metrics.kernels import Discrepancy, Kernel, discrepancy
from genbench.stats import Estimate, Interval
from genbench.types import Metric

_UNIT = 1000.0


def _gaussian(sigma: float) -> Kernel:
    """exp(-|x - y|^2 / (2 sigma^2)) - 1; without the 1, which cancels in the distance, no digit is lost to it."""

    def kernel(products: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        products *= -2.0
        products += rows
        products += columns
        np.maximum(products, 0.0, out=products)
        products *= -0.5 / sigma**2
        return np.expm1(products, out=products)

    return kernel


def _directions(x: np.ndarray, what: str) -> np.ndarray:
    largest = np.abs(x).max(axis=1, keepdims=True)  # taken out first, so that no square overflows or vanishes
    if count := np.count_nonzero(largest == 0):
        raise Undefined(f"cmmd: {count} rows of the {what} features are zero, and have no direction to normalize to")
    x = x / largest
    unit: np.ndarray = x / np.linalg.norm(x, axis=1, keepdims=True)
    return unit


def _discrepancy(real: Any, fake: Any, sigma: float, normalize: bool) -> Discrepancy:
    x, y = feature_pair(real, fake, "cmmd")
    if not (sigma > 0 and math.isfinite(sigma)):
        raise Refused(f"cmmd: sigma is {sigma}; it must be positive and finite")
    if normalize:
        x, y = _directions(x, "real"), _directions(y, "generated")
    else:
        middle = 0.5 * x.mean(axis=0) + 0.5 * y.mean(axis=0)  # where the matrix product loses least
        x, y = x - middle, y - middle
    found = discrepancy(x, y, _gaussian(sigma))
    if not math.isfinite(found.unbiased):
        raise Undefined("cmmd: the squared distances overflow double precision; scale the features")
    return found


def cmmd(*, real: Any, fake: Any, sigma: float = 10.0, normalize: bool = True) -> float:
    """Squared maximum mean discrepancy under a Gaussian kernel, times 1000, of features scaled to norm 1.

    1000 (mean_{ij} k(x_i, x_j) + mean_{ij} k(y_i, y_j) - 2 mean_{ij} k(x_i, y_j)) with
    k(x, y) = exp(-|x - y|^2 / (2 sigma^2)),
    over all pairs in one pass, those of a row with itself included; in float64, from k - 1.

    Estimator: biased (a V-statistic), as published: never negative, and above the true value by
    1000 ((1 - E k(x, x')) / n + (1 - E k(y, y')) / m). Lower is better; from 0 to 2000, and to
    39.6 for features of norm 1 with sigma = 10. The interval is one of the expected value at these sample sizes, that
    bias included.

    Reference: Rethinking FID: Towards a Better Evaluation Metric for Image Generation (Jayasumana, Ramalingam, Veit,
    Glasner, Chakrabarti and Kumar, 2024). Its features are those of CLIP ViT-L/14 at 336 pixels.

    Args:
        real: features `(n, d)`, n >= 2.
        fake: features `(m, d)`, m >= 2.
        sigma: 10 as published.
        normalize: whether each row is divided by its norm first; undefined then for a row of zeros.
    """
    return _UNIT * max(0.0, _discrepancy(real, fake, sigma, normalize).biased)


def _estimate(*, real: Any, fake: Any, sigma: float = 10.0, normalize: bool = True) -> Estimate:
    """The score interval of the unbiased distance, moved up by the bias that the value has."""
    found = _discrepancy(real, fake, sigma, normalize)
    n, m = np.shape(real)[0], np.shape(fake)[0]
    low, high = found.interval(min(n, m) - 1)
    words = "score interval of a U-statistic, closed-form variance, t quantile, moved by the bias of the V-statistic"
    interval = Interval(
        low=_UNIT * (low + found.bias),
        high=_UNIT * (high + found.bias),
        method=f"{words}; of the expected value at these sample sizes",
    )
    return Estimate(value=_UNIT * max(0.0, found.biased), interval=interval, n=m)


METRIC = Metric(
    fn=cmmd,
    axis="quality",
    better="lower",
    needs="features",
    interval="own",
    min_samples=40,
    range=(0.0, 2 * _UNIT),
    estimate=_estimate,
)
