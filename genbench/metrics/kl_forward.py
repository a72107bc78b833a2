"""Kullback-Leibler divergence from the law to the model: what the model leaves out.

Symbols: p the law, q the model's law, x_i one of n draws from p.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genbench.metrics.arrays import log_ratios, no_zeros
from genbench.types import Metric


def _terms(*, real: Any, fake: Any = None) -> np.ndarray:
    return no_zeros(log_ratios(real, "kl_forward: real", drawn_from="p"), "kl_forward")


def kl_forward(*, real: Any, fake: Any = None) -> float:
    """KL(p || q) by Monte Carlo over draws from the law.

    (1/n) sum_i (log p(x_i) - log q(x_i)), x_i from p, in nats: large where q is small on something that p produces,
    so that a missing mode costs most.

    Estimator: unbiased, so that it may fall below 0 by chance; heavy tails where q misses much of p. Infinite, and
    then without a value, where q is zero. Lower is better; from 0.

    Reference: On information and sufficiency (Kullback and Leibler, 1951).

    Args:
        real: `(n, 2)`, log p and log q at draws from p.
        fake: not used.
    """
    return float(_terms(real=real, fake=fake).mean())


METRIC = Metric(
    fn=kl_forward,
    axis="diversity",
    better="lower",
    needs="densities",
    interval="t",
    unit="nats",
    terms=_terms,
)
