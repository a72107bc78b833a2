"""How evenly, against the law's weights, a model fills the modes.

Symbols: K modes with weights w_k, g_k the share of mode k among the N samples that belong to a mode.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genbench.errors import Undefined
from genbench.metrics.arrays import mode_ids, mode_weights
from genbench.types import Metric


def mode_kl(*, real: Any, fake: Any) -> float:
    """Kullback-Leibler divergence of the generated modes from the law's.

    KL(g || w) = sum_k g_k log(g_k / w_k) in nats, over the samples that belong to a mode; those that belong to none
    are the business of `high_quality`.

    Estimator: plug-in, biased upward; draws from the law itself give about (K - 1) / 2N, which is the floor to read
    it against (0.019 for 1,000 modes and 26,000 samples). Lower is better; from 0 to -log min_k w_k.

    Reference: VEEGAN: Reducing Mode Collapse in GANs using Implicit Variational Learning (Srivastava, Valkov,
    Russell, Gutmann and Sutton, 2017); the bias: Note on the bias of information estimates (Miller, 1955).

    Args:
        real: the modes' weights `(K,)`, positive, summing to 1.
        fake: int `(n,)`, the mode of each sample, -1 for none.
    """
    weights = mode_weights(real, "mode_kl: real")
    ids = mode_ids(fake, "mode_kl: fake", len(weights))
    counts = np.bincount(ids[ids >= 0], minlength=len(weights))
    if not counts.any():
        raise Undefined(f"mode_kl: none of the {len(ids)} samples belongs to a mode")
    shares = counts / counts.sum()
    seen = counts > 0
    # The sum is not negative; rounding may leave it so where the shares equal the weights.
    return max(0.0, float(np.sum(shares[seen] * np.log(shares[seen] / weights[seen]))))


METRIC = Metric(
    fn=mode_kl,
    axis="diversity",
    better="lower",
    needs="modes",
    interval="jackknife",
    unit="nats",
    min_samples=40,
    range=(0.0, np.inf),
)
