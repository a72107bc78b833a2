"""Improved precision: how much of what a model generates lies among the real data.

Symbols: r_i one of m real features, f_j one of n fake ones, NN_k(r_i) the k-th nearest other real feature.
"""

from __future__ import annotations

from typing import Any

from genbench.metrics.halves import halves_interval
from genbench.metrics.neighbours import counts
from genbench.stats import Estimate
from genbench.types import Metric

K = 3


def precision(*, real: Any, fake: Any, k: int = K, tie: str = "<=", count_self: bool = False) -> float:
    """The share of fake samples that lie in the manifold of the real ones.

    (1/n) sum_j 1[ there is an i with |f_j - r_i| <= |r_i - NN_k(r_i)| ]; the k-th neighbour does not count r_i
    itself, and a distance equal to the radius counts as inside, unless the arguments say otherwise. Exact.

    Estimator: the balls shrink as m grows, so the value depends on m and on n only through its noise; compare equal
    m. An outlier among the real features makes a large ball. Higher is better; from 0 to 1. If all features are equal
    it is 1 under "<=" and 0 under "<".

    Reference: Improved Precision and Recall Metric for Assessing Generative Models (Kynkäänniemi, Karras, Laine,
    Lehtinen and Aila, 2019).

    Args:
        real: features `(m, d)`, m > k.
        fake: features `(n, d)`.
        k: which neighbour sets the radius.
        tie: "<=" or "<": whether a distance equal to the radius is inside.
        count_self: whether r_i is the first of its own k neighbours.
    """
    held, _ = counts("precision", "real", real=real, fake=fake, k=k, tie=tie, count_self=count_self)
    return float(held.per_point(held.of_points > 0)[0])


def _estimate(*, real: Any, fake: Any, k: int = K, tie: str = "<=", count_self: bool = False) -> Estimate:
    held, _ = counts("precision", "real", real=real, fake=fake, k=k, tie=tie, count_self=count_self, parts=True)
    values = held.per_point(held.of_points > 0)
    value = float(values[0])
    return Estimate(
        value=value,
        interval=halves_interval(value, values[1:], share_of=min(len(held.of_points), len(held.of_balls))),
        n=len(held.of_points),
    )


METRIC = Metric(
    fn=precision,
    axis="quality",
    better="higher",
    needs="features",
    interval="own",
    min_samples=40,
    range=(0.0, 1.0),
    estimate=_estimate,
)
