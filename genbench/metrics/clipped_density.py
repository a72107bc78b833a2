"""Clipped density: the share of generated samples that are as well surrounded by real data as real data are.

Symbols: r_i one of m real features, f_j one of n fake ones, rho_i the distance of r_i to its k-th nearest other real
feature, rho~_i = min(rho_i, median of all rho).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genbench.errors import Undefined
from genbench.metrics.halves import halves_interval
from genbench.metrics.neighbours import Counts, counts
from genbench.stats import Estimate
from genbench.types import Metric

K = 5


def clipped_density(*, real: Any, fake: Any, k: int = K, tie: str = "<=", count_self: bool = False) -> float:
    """Density with radii clipped at their median, each sample's share at 1, and the whole divided by that of real data.

    min(1, a / b) with a = (1/n) sum_j min(1, N(f_j) / k), b = (1/m) sum_i min(1, N(r_i) / k), and N(x) the number of
    real features r_l other than x itself with |x - r_l| <= rho~_l. Exact. The definition is the paper's; where real
    features tie at the radius we count all of them, not only k.

    Estimator: outliers among the real features have balls of ordinary size, and no sample counts more than once, so
    that bad samples lower it in proportion to their number. The expected a / b of one law against itself is 1. Higher
    is better; from 0 to 1. If all features are equal it is 1 under "<=" and has no value under "<" (0 of 0).

    The interval is of the expected a / b at these sample sizes, cut at 1.

    Reference: Enhanced Generative Model Evaluation with Clipped Density and Coverage (Salvy, Talbot and Thirion, 2025).

    Args:
        real: features `(m, d)`, m > k.
        fake: features `(n, d)`.
        k: which neighbour sets the radius, and what a sample's number of balls is divided by.
        tie: "<=" or "<": whether a distance equal to the radius is inside.
        count_self: whether r_i is the first of its own k neighbours.
    """
    held, k = counts("clipped_density", "clipped", real=real, fake=fake, k=k, tie=tie, count_self=count_self)
    return min(1.0, float(_ratios(held, k)[0]))


def _ratios(held: Counts, k: int) -> np.ndarray:
    """a / b in each column."""
    a, b = held.per_point(np.minimum(held.of_points, k)), held.per_centre(np.minimum(held.crowd, k))
    if not b.all():
        raise Undefined("clipped_density: no clipped ball holds another real feature")
    ratios: np.ndarray = a / b
    return ratios


def _estimate(*, real: Any, fake: Any, k: int = K, tie: str = "<=", count_self: bool = False) -> Estimate:
    held, k = counts(
        "clipped_density", "clipped", real=real, fake=fake, k=k, tie=tie, count_self=count_self, parts=True
    )
    values = _ratios(held, k)
    interval = halves_interval(float(values[0]), values[1:])
    return Estimate(value=min(1.0, float(values[0])), interval=interval, n=len(held.of_points))


METRIC = Metric(
    fn=clipped_density,
    axis="quality",
    better="higher",
    needs="features",
    interval="own",
    min_samples=40,
    range=(0.0, 1.0),
    estimate=_estimate,
)
