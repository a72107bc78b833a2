"""Authenticity: how many generated samples are not closer to a training sample than training samples are to each other.

Symbols: t_l one of t training features, f_j one of n fake ones, l(j) the training feature nearest to f_j.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genbench.metrics.distances import together
from genbench.metrics.memory import nearest_rows, triple
from genbench.metrics.nearest import nearest_others
from genbench.types import Metric

_TIE = 1e-9


def authenticity(*, train: Any, real: Any, fake: Any) -> float:
    """The share of fake samples that are farther from their nearest training sample than that is from its own.

    (1/n) sum_j 1[ |f_j - t_l(j)| > min_{l' != l(j)} |t_l(j) - t_l'| ]. A distance equal to that of the training samples
    (up to 1e-9 of it) is not authentic; copies are not. Exact. `real` is checked and not used.

    Estimator: a mean over the fake samples, unbiased; the training set is given. A perfect model scores about one half,
    how much exactly depends on the law and on d: read it beside the score of held-out real samples. Poor samples, far
    from everything, score high. Higher is better (below one half: copying); from 0 to 1. If all features are equal it
    is 0.

    Reference: How Faithful is your Synthetic Data? Sample-level Metrics for Evaluating and Auditing Generative Models
    (Alaa, van Breugel, Saveliev and van der Schaar, 2022).

    Args:
        train: features `(t, d)` of the training set, t >= 2.
        real: features `(m, d)` of real samples held out.
        fake: features `(n, d)`.
    """
    return float(_authentic(train=train, real=real, fake=fake).mean())


def _authentic(*, train: Any, real: Any, fake: Any) -> np.ndarray:
    t, _, y = triple(train, real, fake, "authenticity")
    distance, index = nearest_rows(y, t)
    (points,) = together(t)
    own = np.sqrt(nearest_others(points, 1)[0][:, 0]) / points.unit
    authentic: np.ndarray = distance[:, 0] > own[index[:, 0]] * (1 + _TIE)
    return authentic


METRIC = Metric(
    fn=authenticity,
    axis="memorization",
    better="higher",
    needs="memory",
    interval="wilson",
    min_samples=20,
    range=(0.0, 1.0),
    terms=_authentic,
)
