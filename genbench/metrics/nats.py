"""Mean log-likelihood of real images under a model.

Symbols: x_i one of n test images, q the model's law.
"""

from __future__ import annotations

from typing import Any

from genbench.metrics.arrays import log_values, no_zeros
from genbench.types import Metric


def nats(*, real: Any, fake: Any = None) -> float:
    """The mean log-likelihood of an image, or what the model states in its place.

    (1/n) sum_i log q(x_i), in nats of the integer image (of the density, for points). What the model states may be
    exact, a lower bound or an estimate; the kind travels with the number, and kinds are not ranked against each
    other.

    Estimator: unbiased. Higher is better; at most 0 for integer images, unbounded for densities. An image of
    probability zero makes it infinite: then there is no value.

    Args:
        real: log q(x_i) `(n,)`.
        fake: not used.
    """
    return float(no_zeros(log_values(real, "nats: real"), "nats").mean())


METRIC = Metric(fn=nats, axis="likelihood", better="higher", needs="nats", interval="t", unit="nats")
