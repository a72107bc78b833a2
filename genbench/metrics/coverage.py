"""Coverage: how much of the real data has a generated sample beside it.

Symbols: r_i one of m real features, f_j one of n fake ones, rho_i the distance of r_i to its k-th nearest other real
feature.
"""

from __future__ import annotations

from typing import Any

from genbench.metrics.halves import halves_interval
from genbench.metrics.neighbours import counts
from genbench.stats import Estimate
from genbench.types import Metric

K = 5


def coverage(*, real: Any, fake: Any, k: int = K, tie: str = "<", count_self: bool = False) -> float:
    """The share of real samples whose ball holds a fake one.

    (1/m) sum_i 1[ min_j |r_i - f_j| < rho_i ]. Exact.

    Estimator: where both sets follow one continuous law the expected value is 1 - prod_{l=1..k} (m - l) / (m + n - l)
    in any dimension; it grows with n / m and with k, so compare equal sizes. Balls are real: scattered samples cannot
    enlarge them, as they can for recall. Higher is better; from 0 to 1. If all features are equal it is 0 under "<"
    and 1 under "<=".

    Reference: Reliable Fidelity and Diversity Metrics for Generative Models (Naeem, Oh, Uh, Choi and Yoo, 2020).

    Args:
        real: features `(m, d)`, m > k.
        fake: features `(n, d)`.
        k: which neighbour sets the radius.
        tie: "<" or "<=": whether a distance equal to the radius is inside.
        count_self: whether r_i is the first of its own k neighbours.
    """
    held, _ = counts("coverage", "real", real=real, fake=fake, k=k, tie=tie, count_self=count_self)
    return float(held.per_centre(held.of_balls > 0)[0])


def _estimate(*, real: Any, fake: Any, k: int = K, tie: str = "<", count_self: bool = False) -> Estimate:
    held, _ = counts("coverage", "real", real=real, fake=fake, k=k, tie=tie, count_self=count_self, parts=True)
    values = held.per_centre(held.of_balls > 0)
    value = float(values[0])
    return Estimate(
        value=value,
        interval=halves_interval(value, values[1:], share_of=min(len(held.of_points), len(held.of_balls))),
        n=len(held.of_points),
    )


METRIC = Metric(
    fn=coverage,
    axis="diversity",
    better="higher",
    needs="features",
    interval="own",
    min_samples=40,
    range=(0.0, 1.0),
    estimate=_estimate,
)
