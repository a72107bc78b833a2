"""Density: how closely the real data surround what a model generates.

Symbols: r_i one of m real features, f_j one of n fake ones, B(r_i, rho_i) the ball out to the k-th nearest other real
feature.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genbench.metrics.halves import halves_interval
from genbench.metrics.neighbours import counts
from genbench.stats import Estimate
from genbench.types import Metric

K = 5


def density(*, real: Any, fake: Any, k: int = K, tie: str = "<", count_self: bool = False) -> float:
    """How many real balls hold a fake sample, in units of k.

    (1/(k n)) sum_j sum_i 1[ |f_j - r_i| < rho_i ]. Exact.

    Estimator: 1 in expectation where both sets follow one continuous law, whatever m, n, k and d are: each ball holds
    k / m of that law's mass in the mean. One outlier among the real features moves it less than it moves precision,
    but a large ball still counts in full (`clipped_density` bounds both). Higher is better; from 0 up, above 1 where
    the samples keep to the densest parts of the data. If all features are equal it is 0 under "<" and m / k under
    "<=".

    Reference: Reliable Fidelity and Diversity Metrics for Generative Models (Naeem, Oh, Uh, Choi and Yoo, 2020).

    Args:
        real: features `(m, d)`, m > k.
        fake: features `(n, d)`.
        k: which neighbour sets the radius.
        tie: "<" or "<=": whether a distance equal to the radius is inside.
        count_self: whether r_i is the first of its own k neighbours.
    """
    held, k = counts("density", "real", real=real, fake=fake, k=k, tie=tie, count_self=count_self)
    return float(held.per_point(held.of_points)[0] / k)


def _estimate(*, real: Any, fake: Any, k: int = K, tie: str = "<", count_self: bool = False) -> Estimate:
    held, k = counts("density", "real", real=real, fake=fake, k=k, tie=tie, count_self=count_self, parts=True)
    values = held.per_point(held.of_points) / k
    value = float(values[0])
    return Estimate(value=value, interval=halves_interval(value, values[1:]), n=len(held.of_points))


METRIC = Metric(
    fn=density,
    axis="quality",
    better="higher",
    needs="features",
    interval="own",
    min_samples=40,
    range=(0.0, np.inf),
    estimate=_estimate,
)
