"""What a model's code costs beyond the data's entropy, where the law is known.

Symbols: p the law, q the model's law, x_i one of n test points drawn from p.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genbench.metrics.arrays import log_ratios, no_zeros
from genbench.types import Metric


def _terms(*, real: Any, fake: Any = None) -> np.ndarray:
    return no_zeros(log_ratios(real, "excess_nats: real", drawn_from="p"), "excess_nats")


def excess_nats(*, real: Any, fake: Any = None) -> float:
    """Cross-entropy of the model less the entropy of the data, point by point.

    (1/n) sum_i (log p(x_i) - log q(x_i)) in nats: both terms at the same test points, so that what they share cancels
    from the noise. Its expected value is H(p, q) - H(p) = KL(p || q). If q is a lower bound of the model's
    likelihood, it is an upper bound.

    Estimator: unbiased, so that it may fall below 0 by chance; its expected value does not. Lower is better; 0 is the
    law itself: nobody beats it but by noise.

    Args:
        real: `(n, 2)`, log p and log q at the test points.
        fake: not used.
    """
    return float(_terms(real=real, fake=fake).mean())


METRIC = Metric(
    fn=excess_nats,
    axis="likelihood",
    better="lower",
    needs="densities",
    interval="t",
    unit="nats",
    terms=_terms,
)
