"""Jensen-Shannon divergence between the law and the model.

Symbols: p the law, q the model's law, h = (p + q) / 2, x_i one of n draws from p, y_j one of m draws from q.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genbench.metrics.arrays import log_ratios
from genbench.types import Metric


def jensen_shannon(*, real: Any, fake: Any) -> float:
    """JSD(p, q) by Monte Carlo over draws from both.

    (1/2n) sum_i log(p(x_i) / h(x_i)) + (1/2m) sum_j log(q(y_j) / h(y_j)), in nats; log(p / h) is computed as
    log 2 - log(1 + exp(log q - log p)), which overflows nowhere and gives log 2 where q is zero. The value of an
    optimal discriminator is 2 JSD - 2 log 2.

    Estimator: unbiased, so that it may fall below 0 by chance; every term is at most log 2. Lower is better; the true
    value lies between 0 (equal) and log 2 = 0.693 (disjoint), and it is symmetric in p and q.

    Reference: Divergence measures based on the Shannon entropy (Lin, 1991).

    Args:
        real: `(n, 2)`, log p and log q at draws from p.
        fake: `(m, 2)`, log p and log q at draws from q.
    """
    from_p = np.log(2.0) - np.logaddexp(0.0, -log_ratios(real, "jensen_shannon: real", drawn_from="p"))
    from_q = np.log(2.0) - np.logaddexp(0.0, -log_ratios(fake, "jensen_shannon: fake", drawn_from="q"))
    return float(0.5 * from_p.mean() + 0.5 * from_q.mean())


METRIC = Metric(
    fn=jensen_shannon,
    axis="quality",
    better="lower",
    needs="densities",
    interval="jackknife",
    unit="nats",
    min_samples=40,
)
