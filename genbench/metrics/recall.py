"""Improved recall: how much of the real data lies among what a model generates.

Symbols: r_i one of m real features, f_j one of n fake ones, NN_k(f_j) the k-th nearest other fake feature.
"""

from __future__ import annotations

from typing import Any

from genbench.metrics.arrays import feature_pair
from genbench.metrics.neighbours import share_inside, share_without_groups
from genbench.stats import Replicates
from genbench.types import Metric

K = 3


def recall(*, real: Any, fake: Any, k: int = K) -> float:
    """The share of real samples that lie in the manifold of the fake ones.

    (1/m) sum_i 1[ there is a j with |r_i - f_j| <= |f_j - NN_k(f_j)| ]; the k-th neighbour does not count f_j itself,
    and a distance equal to the radius counts as inside. Exact, float64: `precision` with the roles exchanged.

    Estimator: the balls shrink as n grows, so compare equal n. Scattered fake samples make large balls, so that noise
    can score high. Higher is better; from 0 to 1. If all features are equal it is 1.

    Reference: Improved Precision and Recall Metric for Assessing Generative Models (Kynkäänniemi, Karras, Laine,
    Lehtinen and Aila, 2019).

    Args:
        real: features `(m, d)`.
        fake: features `(n, d)`, n > k.
        k: which neighbour sets the radius.
    """
    x, y = feature_pair(real, fake, "recall", rows=1)
    return share_inside(centres=y, points=x, k=k)


def _replicates(*, real: Any, fake: Any) -> Replicates:
    x, y = feature_pair(real, fake, "recall")
    value, without_fake, without_real = share_without_groups(centres=y, points=x, k=K)
    return Replicates(value=value, real=without_real, fake=without_fake)


METRIC = Metric(
    fn=recall,
    axis="diversity",
    better="higher",
    needs="features",
    interval="jackknife",
    min_samples=40,
    range=(0.0, 1.0),
    replicates=_replicates,
)
