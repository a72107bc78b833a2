"""Fréchet distance in the limit of infinitely many generated samples.

Symbols: T(n) the expected distance of n generated samples to the reference given; T_oo its limit; s, D, y, q and psi
as in `fid`; h = n // 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genbench.errors import Refused, Undefined
from genbench.metrics.arrays import feature_pair
from genbench.metrics.fid import Expansion, expansion, shuffled
from genbench.metrics.frechet import Side, distance, overlap, side_of
from genbench.moments import Moments
from genbench.stats import Estimate, Interval, normal_quantile
from genbench.types import Metric

_METHOD = "influence function, normal quantile; of the limit for infinite n of generated samples, the reference given"


def fid_infinity(*, real: Any, fake: Any, sizes: int | None = None, smallest: float = 0.5) -> float:
    """Fréchet distance extrapolated to infinitely many generated samples, against the reference set as it is.

    T(n) = T_oo + a / n + b / n^2 + ...: the plug-in distance is biased upward, and how much depends on the model, so
    that equal n does not make two models comparable; the limits are. By default T_oo is the end at 1/n = 0 of the
    parabola through T at n and at half of it, whose slope there is a. That slope is the mean of the
    second-order influence q(x, x), which for Gaussians is 1/2 sum_ij s_i s_j (1 + [i = j]) / (s_i + s_j) + Tr S_f; it
    is extrapolated to infinite n by how that expression differs between the whole and the halves.

    With `sizes` it is the protocol of the reference: distances of one random subset, without repetition, at each of so
    many sizes in equal steps up to n, a straight line in 1/n by least squares, its end at 0. On Gaussians with
    d / n = 0.2 that leaves 6% of the plug-in's bias, below zero, where the default leaves less than half a percent,
    and its standard deviation is 20 to 40% larger.

    Estimator: bias of order (d/n)^3 on Gaussians, and 6% of the plug-in's on heavy tails (lognormal, d / n = 0.2); may
    fall below zero, as an estimate of zero must. Lower is better. Undefined below two generated samples for each
    direction in which the reference varies. What the reference's own size adds remains: compare under one reference.

    Interval: T_oo +- z times the standard deviation by the influence function, of the limit against this reference.

    Reference: Effectively Unbiased FID and Inception Score and Where to Find Them (Chong and Forsyth, 2020).

    Args:
        real: features `(m, d)`.
        fake: features `(n, d)`.
        sizes: None, or how many sizes the straight line is fitted to, at least 2 (15 in the reference).
        smallest: the smallest size: up to 1 a share of n, above it a number (5000 in the reference).
    """
    return estimate(real=real, fake=fake, sizes=sizes, smallest=smallest).value


def estimate(*, real: Any, fake: Any, sizes: int | None = None, smallest: float = 0.5) -> Estimate:
    """The limit with its interval."""
    x, y = feature_pair(real, fake, "fid_infinity")
    rank, n = min(len(x) - 1, x.shape[1]), len(y)
    if n // 2 <= rank:
        raise Undefined(
            f"fid_infinity: {n} generated samples are too few to extrapolate from; the reference varies in up to "
            f"{rank} directions, which takes at least {2 * rank + 2}"
        )
    sizes_of_line = None if sizes is None else _sizes(n, sizes, smallest, rank)
    at = expansion(real, fake, 1, "fid_infinity")
    v = float(at.influence.var(ddof=1))
    if sizes_of_line is None:
        value = _by_parabola(y, at)
        # v / n holds 2 of what q among samples adds to the variance; the parabola, which cancels q within the half and
        # takes it 4/3 times elsewhere, has 4/3 of it.
        variance = max(v / n - 2 / 3 * at.quadratic, 2 / 3 * v / n)
    else:
        value, squared_weights = _by_line(at.real, y, sizes_of_line, at.value)
        variance = v * squared_weights
    reach = normal_quantile() * float(np.sqrt(variance))
    return Estimate(value=value, interval=Interval(low=value - reach, high=value + reach, method=_METHOD), n=n)


def _by_parabola(y: np.ndarray, at: Expansion) -> float:
    half = side_of(Moments.of(y[shuffled(at.n)[: at.n // 2]]), "fid_infinity: fake", 1)
    s = overlap(at.real, half).s
    # How far this half happens to lie from the whole is known to first order; without it, it stands for both halves.
    at_half = distance(at.real, half, s) - float(at.influence[: half.n].mean())
    near, far = 1 / at.n, 1 / half.n
    slope = at.slope + (_slope(at.s) - _slope(s)) * near / (far - near)
    curvature = (at_half - at.value - slope * (far - near)) / (far**2 - near**2)
    return at.value - slope * near - curvature * near**2


def _slope(s: np.ndarray) -> float:
    """What the covariance of Gaussian samples adds to the slope, 1/2 sum_ij s_i s_j (1 + [i = j]) / (s_i + s_j)."""
    positive = s[s > 0]
    pairs = np.outer(positive, positive) / (positive[:, None] + positive)
    return 0.5 * float(pairs.sum() + 0.5 * positive.sum())


def _sizes(n: int, sizes: int, smallest: float, rank: int) -> np.ndarray:
    if sizes < 2:
        raise Refused(f"fid_infinity: sizes is {sizes}; a line needs at least 2, or None for the default")
    first = round(smallest * n) if smallest <= 1 else round(smallest)
    if not rank < first < n:
        raise Refused(
            f"fid_infinity: the smallest size is {first}; it must lie above {rank}, the directions in which the "
            f"reference varies, and below {n}, the number of generated samples"
        )
    return np.linspace(first, n, sizes).astype(int)


def _by_line(reference: Side, y: np.ndarray, sizes: np.ndarray, whole: float) -> tuple[float, float]:
    """The intercept, and the sum over samples of their squared weights in its linear part."""
    n = len(y)
    inverse = 1 / sizes
    steps = inverse - inverse.mean()
    weights = 1 / len(sizes) - inverse.mean() * steps / np.square(steps).sum()
    value, of_sample = 0.0, np.zeros(n)
    for index, (size, weight) in enumerate(zip(sizes, weights, strict=True)):
        rows = np.random.default_rng([index, n]).permutation(n)[:size]
        if size < n:
            subset = side_of(Moments.of(y[rows]), "fid_infinity: fake", 1)
            value += weight * distance(reference, subset, overlap(reference, subset).s)
        else:
            value += weight * whole
        of_sample[rows] += weight / size
    return float(value), float(np.square(of_sample).sum())


METRIC = Metric(
    fn=fid_infinity,
    axis="quality",
    better="lower",
    needs="features",
    interval="own",
    min_samples=40,
    estimate=estimate,
)
