"""Kullback-Leibler divergence from the model to the law: what the model makes up.

Symbols: p the law, q the model's law, y_j one of m draws from q.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genbench.metrics.arrays import log_ratios, no_zeros
from genbench.types import Metric


def _terms(*, real: Any = None, fake: Any) -> np.ndarray:
    return no_zeros(log_ratios(fake, "kl_reverse: fake", drawn_from="q"), "kl_reverse")


def kl_reverse(*, real: Any = None, fake: Any) -> float:
    """KL(q || p) by Monte Carlo over the model's samples.

    (1/m) sum_j (log q(y_j) - log p(y_j)), y_j from q, in nats: large where the model produces what the law does not,
    so that a bad sample costs most and a missing mode little.

    Estimator: unbiased, so that it may fall below 0 by chance. Infinite, and then without a value, where a sample is
    impossible under the law. Lower is better; from 0.

    Reference: On information and sufficiency (Kullback and Leibler, 1951).

    Args:
        real: not used.
        fake: `(m, 2)`, log p and log q at draws from q.
    """
    return float(_terms(real=real, fake=fake).mean())


METRIC = Metric(
    fn=kl_reverse,
    axis="quality",
    better="lower",
    needs="densities",
    interval="t",
    unit="nats",
    terms=_terms,
)
