"""Clipped coverage: the share of generated samples that would, if they were perfect, cover the real data as well.

Symbols: r_i one of m real features, n fake ones, rho_i the distance of r_i to its k-th nearest other real feature, B_i
how many fake features lie within it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from genbench.metrics.halves import halves_interval
from genbench.metrics.neighbours import Counts, counts
from genbench.stats import Estimate
from genbench.types import Metric

K = 5
_STEPS = 60  # of the bisection: as far as float64 goes


def expected(m: int, n: float, k: int) -> float:
    """E[min(1, B / k)] where m real and n fake features follow one continuous law.

    The law's mass in a ball out to the k-th of m - 1 others is Beta(k, m - k), so B is beta-binomial:
    P(B = j) = C(n, j) Beta(k + j, m - k + n - j) / Beta(k, m - k), and E = 1 - (1/k) sum_{j<k} (k - j) P(B = j). n may
    be a fraction; terms with j >= n + 1 vanish.
    """
    missing = 0.0
    for j in range(k):
        if n - j + 1 <= 0:
            break
        log_p = math.lgamma(n + 1) - math.lgamma(j + 1) - math.lgamma(n - j + 1)
        log_p += math.lgamma(k + j) + math.lgamma(m - k + n - j) - math.lgamma(m + n)
        log_p -= math.lgamma(k) + math.lgamma(m - k) - math.lgamma(m)
        missing += (k - j) * math.exp(log_p)
    return 1.0 - missing / k


def _calibrated(raw: float, m: int, n: int, k: int) -> float:
    """The share s of n perfect samples that is expected to reach `raw`: expected(m, s n, k) = raw, s up to 2."""
    if raw <= 0.0:
        return 0.0
    low, high = 0.0, 2.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if expected(m, middle * n, k) < raw else (low, middle)
    return high


def clipped_coverage(*, real: Any, fake: Any, k: int = K, tie: str = "<", count_self: bool = False) -> float:
    """Coverage by up to k samples each, calibrated so that it is the share of good samples.

    min(1, s) with expected(m, s n, k) = (1/m) sum_i min(1, B_i / k), B_i = #{j : |r_i - f_j| < rho_i}, where `expected`
    is the value at which a perfect sampler of s n samples arrives (a beta-binomial mean, exact in any dimension).
    Exact. The raw mean and its calibration are the paper's; our reading is to invert the expectation over fractions of
    a sample, where the paper looks the value up among whole numbers of samples.

    Estimator: samples far from the data lower it in proportion to their number; samples that crowd one place count up
    to k times in each ball. Higher is better; from 0 to 1. If all features are equal it is 0 under "<".

    The interval is of the expected s at these sample sizes, cut at 1.

    Reference: Enhanced Generative Model Evaluation with Clipped Density and Coverage (Salvy, Talbot and Thirion, 2025).

    Args:
        real: features `(m, d)`, m > k.
        fake: features `(n, d)`.
        k: which neighbour sets the radius, and how many samples cover a real one fully.
        tie: "<" or "<=": whether a distance equal to the radius is inside.
        count_self: whether r_i is the first of its own k neighbours.
    """
    held, k = counts("clipped_coverage", "real", real=real, fake=fake, k=k, tie=tie, count_self=count_self)
    return min(1.0, float(_shares(held, k)[0]))


def _shares(held: Counts, k: int) -> np.ndarray:
    """s in each column."""
    raw = held.per_centre(np.minimum(held.of_balls, k)) / k
    sizes = zip(held.centres.sum(axis=0).tolist(), held.points.sum(axis=0).tolist(), strict=True)
    return np.array([_calibrated(value, m, n, k) for value, (m, n) in zip(raw.tolist(), sizes, strict=True)])


def _estimate(*, real: Any, fake: Any, k: int = K, tie: str = "<", count_self: bool = False) -> Estimate:
    held, k = counts("clipped_coverage", "real", real=real, fake=fake, k=k, tie=tie, count_self=count_self, parts=True)
    values = _shares(held, k)
    interval = halves_interval(float(values[0]), values[1:])
    return Estimate(value=min(1.0, float(values[0])), interval=interval, n=len(held.of_points))


METRIC = Metric(
    fn=clipped_coverage,
    axis="diversity",
    better="higher",
    needs="features",
    interval="own",
    min_samples=40,
    range=(0.0, 1.0),
    estimate=_estimate,
)
