"""Feature likelihood divergence: how likely held-out data are under kernels at the generated samples.

Symbols: p(x) the density of `kernels_at_samples`, with a kernel at each of n fake features; T the training features,
r_i one of m real features held out, d the number of directions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genbench.metrics.kernels_at_samples import Kernels, halves_of_train, standardised
from genbench.metrics.memory import triple
from genbench.stats import Estimate, variance_interval
from genbench.types import Metric


def fld(*, train: Any, real: Any, fake: Any) -> float:
    """Nats that held-out features cost under kernels at the generated samples, over what kernels at training data cost.

    FLD = -(100 / (d m)) sum_i log p(r_i) - C. The kernels' variances are fitted to the training features T, so that a
    sample that copies one of them gets a narrow kernel, which is of no use to held-out data. C is the same cost under
    kernels at min(n, t / 2) features of T that are fitted to the others. The paper's definition; our reading:
    standardised by T, expectation-maximisation in place of gradient steps, no kernel at the origin, a floor under the
    variances (see `kernels_at_samples`).

    Estimator: sensitive to fidelity, to diversity and to copying at once. About 0 for a perfect model, below it where
    there are more samples than half of T; grows with any of the three faults, to thousands where all training features
    are copied. Lower is better; no bounds. Constant directions are left out; if all training features are equal it
    has no value.

    The interval: value +- t sqrt(v), v the sum of the variance of the mean over held-out features and, for each of the
    two sets of kernels, of the variance of the kernels' influence on that mean (their share in the density). The
    variances fitted are taken as given: 92% to 98% of the intervals held the expected value in simulations.

    Reference: Feature Likelihood Divergence: Evaluating the Generalization of Generative Models Using Samples
    (Jiralerspong, Bose, Gemp, Qin, Bachrach and Gidel, 2023).

    Args:
        train: features `(t, d)` of the training set, t >= 4.
        real: features `(m, d)` of real samples held out.
        fake: features `(n, d)`.
    """
    return _estimate(train=train, real=real, fake=fake).value


def _estimate(*, train: Any, real: Any, fake: Any) -> Estimate:
    t, x, y = standardised(*triple(train, real, fake, "fld", rows=4))
    order = np.concatenate(halves_of_train(len(t)))
    one, other = np.split(order, [min(len(y), len(t) // 2)])
    terms, variance = np.zeros(len(x)), 0.0
    for sign, centres, fitted in ((1, y, t), (-1, t[one], t[other])):
        kernels = Kernels(centres)
        kernels.fit(*kernels.near(fitted))
        near = kernels.near(x)
        terms += sign * 100 * kernels.nats_per_dim(*near)
        variance += (100 / t.shape[1]) ** 2 * float(kernels.shares(*near).var(ddof=1)) / len(centres)
    value = float(terms.mean())
    variance += float(terms.var(ddof=1)) / len(x)
    method = (
        "variances over held-out features and over kernels, t quantile; of the expected value at these sample sizes"
    )
    return Estimate(value=value, interval=variance_interval(value, variance, len(x) - 1, method), n=len(y))


METRIC = Metric(
    fn=fld,
    axis="memorization",
    better="lower",
    needs="memory",
    interval="own",
    min_samples=20,
    estimate=_estimate,
)
