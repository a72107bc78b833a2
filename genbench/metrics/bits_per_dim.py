"""Code length of real images under a model, for each of their values.

Symbols: x_i one of n test images of D values, q the model's law.
"""

from __future__ import annotations

from typing import Any

from genbench.metrics.arrays import no_zeros, surprises
from genbench.types import Metric


def bits_per_dim(*, real: Any, fake: Any = None) -> float:
    """The mean code length of an image in bits for each of its values.

    (1/n) sum_i b_i with b_i = -log q(x_i) / (D ln 2), q a law of integer images. For a density on [0, 1] that was
    scaled from 256 levels, 8 bits have been added; the harness has seen to it before the numbers arrive here.

    Estimator: unbiased; its direction is that of the likelihood's kind (a lower bound on log q is an upper bound
    here). Lower is better; from 0 for integer images, unbounded below for densities.

    Reference: A note on the evaluation of generative models (Theis, van den Oord and Bethge, 2016).

    Args:
        real: b_i `(n,)`.
        fake: not used.
    """
    return float(no_zeros(surprises(real, "bits_per_dim: real"), "bits_per_dim").mean())


METRIC = Metric(fn=bits_per_dim, axis="likelihood", better="lower", needs="bits", interval="t", unit="bits/dim")
