"""Improved recall: how much of the real data lies among what a model generates.

Symbols: r_i one of m real features, f_j one of n fake ones, NN_k(f_j) the k-th nearest other fake feature.
"""

from __future__ import annotations

from typing import Any

from genbench.metrics.halves import halves_interval
from genbench.metrics.neighbours import counts
from genbench.stats import Estimate
from genbench.types import Metric

K = 3


def recall(*, real: Any, fake: Any, k: int = K, tie: str = "<=", count_self: bool = False) -> float:
    """The share of real samples that lie in the manifold of the fake ones.

    (1/m) sum_i 1[ there is a j with |r_i - f_j| <= |f_j - NN_k(f_j)| ]; the k-th neighbour does not count f_j itself,
    and a distance equal to the radius counts as inside, unless the arguments say otherwise. Exact: `precision` with
    the roles exchanged.

    Estimator: the balls shrink as n grows, so compare equal n. Scattered fake samples make large balls, so that noise
    can score high. Higher is better; from 0 to 1. If all features are equal it is 1 under "<=" and 0 under "<".

    Reference: Improved Precision and Recall Metric for Assessing Generative Models (Kynkäänniemi, Karras, Laine,
    Lehtinen and Aila, 2019).

    Args:
        real: features `(m, d)`.
        fake: features `(n, d)`, n > k.
        k: which neighbour sets the radius.
        tie: "<=" or "<": whether a distance equal to the radius is inside.
        count_self: whether f_j is the first of its own k neighbours.
    """
    held, _ = counts("recall", "fake", real=real, fake=fake, k=k, tie=tie, count_self=count_self)
    return float(held.per_point(held.of_points > 0)[0])


def _estimate(*, real: Any, fake: Any, k: int = K, tie: str = "<=", count_self: bool = False) -> Estimate:
    held, _ = counts("recall", "fake", real=real, fake=fake, k=k, tie=tie, count_self=count_self, parts=True)
    values = held.per_point(held.of_points > 0)
    value = float(values[0])
    return Estimate(
        value=value,
        interval=halves_interval(value, values[1:], share_of=min(len(held.of_points), len(held.of_balls))),
        n=len(held.of_balls),
    )


METRIC = Metric(
    fn=recall,
    axis="diversity",
    better="higher",
    needs="features",
    interval="own",
    min_samples=40,
    range=(0.0, 1.0),
    estimate=_estimate,
)
