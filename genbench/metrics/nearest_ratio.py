"""Nearest-neighbour distance ratio: how far samples are from the training set, in units of how far real data are.

Symbols: T the training features, d(x, T) the distance of x to the nearest of them, r_i one of m real features held out,
f_j one of n fake ones.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from genbench.errors import Undefined
from genbench.metrics.memory import nearest_rows, triple
from genbench.stats import Estimate, variance_interval
from genbench.types import Metric


def nearest_ratio(*, train: Any, real: Any, fake: Any) -> float:
    """The mean distance of fake samples to their nearest training sample over that of held-out real samples.

    R = [(1/n) sum_j d(f_j, T)] / [(1/m) sum_i d(r_i, T)]. Exact distances.

    Estimator: a ratio of two independent means, consistent, with a bias of order 1/m; the training set is given. 1
    where samples and held-out data follow one law, whatever that is; 0 for copies; above 1 where samples stray from the
    data, so that poor samples can hide copies among them (`authenticity` counts samples one by one). Neither
    higher nor lower is better: 1 is best; from 0 up. If the held-out data are all in the training set it has no value.

    The interval: R +- t sqrt(v), v = R^2 [var d(f, T) / (n mean^2) + var d(r, T) / (m mean^2)] by the delta method,
    with Welch's degrees of freedom.

    Reference: the distance to the nearest training sample as in A Non-Parametric Test to Detect Data-Copying in
    Generative Models (Meehan, Chaudhuri and Dasgupta, 2020), here as a ratio.

    Args:
        train: features `(t, d)` of the training set.
        real: features `(m, d)` of real samples held out, m >= 2.
        fake: features `(n, d)`, n >= 2.
    """
    return _estimate(train=train, real=real, fake=fake).value


def _estimate(*, train: Any, real: Any, fake: Any) -> Estimate:
    t, x, y = triple(train, real, fake, "nearest_ratio")
    of_real, of_fake = nearest_rows(x, t)[0][:, 0], nearest_rows(y, t)[0][:, 0]
    unit = float(of_real.max())
    if unit == 0.0:
        raise Undefined("nearest_ratio: every held-out real sample is in the training set, so the ratio has no unit")
    of_real, of_fake = of_real / unit, of_fake / unit
    below, above = float(of_real.mean()), float(of_fake.mean())
    ratio = above / below
    parts = float(of_fake.var(ddof=1)) / len(y) / below**2, ratio**2 * float(of_real.var(ddof=1)) / len(x) / below**2
    variance = math.fsum(parts)
    df = variance**2 / (parts[0] ** 2 / (len(y) - 1) + parts[1] ** 2 / (len(x) - 1)) if variance > 0 else 1.0
    method = "delta method of a ratio of means, t quantile; of the ratio of expected distances, this training set given"
    return Estimate(value=ratio, interval=variance_interval(ratio, variance, df, method), n=len(y))


METRIC = Metric(
    fn=nearest_ratio,
    axis="memorization",
    better=None,
    ideal=1.0,
    needs="memory",
    interval="own",
    min_samples=20,
    range=(0.0, np.inf),
    estimate=_estimate,
)
