"""Monge inception distance between two sets of features.

Symbols: x_i one of n real, y_j one of m generated features in d dimensions, u one of L random directions, W_2 the
Wasserstein distance of order 2 of two samples on a line.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from genbench.metrics.sliced_wasserstein import sliced_power, sliced_root_interval
from genbench.stats import Estimate, Interval
from genbench.types import Metric


def mind(*, real: Any, fake: Any, projections: int = 1000, seed: int = 0) -> float:
    """Squared sliced Wasserstein distance of order 2, times 3 d.

    3 d / L sum_u W_2^2(u'x, u'y), each W_2 from sorted samples; where n differs from m by the plan between their
    quantiles, without leaving samples out. The factor 3 d brings it to the scale of the Fréchet distance.

    Estimator: plug-in, biased upward by a term that falls like 1/n. Lower is better; from 0 up, in squared units of the
    features. A shift by mu in every coordinate gives 3 d mu^2 on average over directions, which are uniform on the
    sphere and fixed by `seed`. The interval is one of the expected value at these sample sizes and directions; where
    the laws are equal it is wider than it need be, and where they differ by little more than their noise it holds it in
    92 of 100 cases.

    Reference: MIND: Monge Inception Distance for Generative Models Evaluation (Berthet, Wu, Crepy, Elie, Greff and
    Sander, 2026).

    Args:
        real: features `(n, d)`, n >= 2.
        fake: features `(m, d)`, m >= 2.
        projections: L.
    """
    return 3.0 * np.shape(real)[1] * sliced_power(real, fake, "mind", projections, 2.0, seed)


def _estimate(*, real: Any, fake: Any, projections: int = 1000, seed: int = 0) -> Estimate:
    """The interval of the root, squared."""
    value = mind(real=real, fake=fake, projections=projections, seed=seed)
    root = sliced_root_interval(real, fake, "mind", projections, 2.0, seed)
    scale = 3.0 * np.shape(real)[1]
    low, high = scale * max(0.0, root.low) ** 2, scale * root.high**2
    interval = Interval(low=min(low, value), high=max(high, value), method=root.method)
    return Estimate(value=value, interval=interval, n=np.shape(fake)[0])


METRIC = Metric(
    fn=mind,
    axis="quality",
    better="lower",
    needs="features",
    interval="own",
    min_samples=40,
    range=(0.0, math.inf),
    estimate=_estimate,
)
