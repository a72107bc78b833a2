"""Improved precision: how much of what a model generates lies among the real data.

Symbols: r_i one of m real features, f_j one of n fake ones, NN_k(r_i) the k-th nearest other real feature.
"""

from __future__ import annotations

from typing import Any

from genbench.metrics.arrays import feature_pair
from genbench.metrics.neighbours import share_inside, share_without_groups
from genbench.stats import Replicates
from genbench.types import Metric

K = 3


def precision(*, real: Any, fake: Any, k: int = K) -> float:
    """The share of fake samples that lie in the manifold of the real ones.

    (1/n) sum_j 1[ there is an i with |f_j - r_i| <= |r_i - NN_k(r_i)| ]; the k-th neighbour does not count r_i
    itself, and a distance equal to the radius counts as inside (some implementations say <, or count r_i itself).
    Exact, float64.

    Estimator: the balls shrink as m grows, so the value depends on m and on n only through its noise; compare equal
    m. An outlier among the real features makes a large ball. Higher is better; from 0 to 1. If all features are equal
    it is 1.

    Reference: Improved Precision and Recall Metric for Assessing Generative Models (Kynkäänniemi, Karras, Laine,
    Lehtinen and Aila, 2019).

    Args:
        real: features `(m, d)`, m > k.
        fake: features `(n, d)`.
        k: which neighbour sets the radius.
    """
    x, y = feature_pair(real, fake, "precision", rows=1)
    return share_inside(centres=x, points=y, k=k)


def _replicates(*, real: Any, fake: Any) -> Replicates:
    x, y = feature_pair(real, fake, "precision")
    value, without_real, without_fake = share_without_groups(centres=x, points=y, k=K)
    return Replicates(value=value, real=without_real, fake=without_fake)


METRIC = Metric(
    fn=precision,
    axis="quality",
    better="higher",
    needs="features",
    interval="jackknife",
    min_samples=40,
    range=(0.0, 1.0),
    replicates=_replicates,
)
