"""Feature likelihood divergence: how likely held-out data are under kernels at the generated samples.

Symbols: p(x) the density of `kernels_at_samples`, with a kernel at each of n fake features; T the training features,
r_i one of m real features held out, d the number of directions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genbench.metrics.kernels_at_samples import GROUPS, Kernels, halves_of_train, standardised
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

    The interval: value +- t sqrt(v) for the expected value of this training set at these sample sizes. v is the
    variance of the mean over held-out features, and what the choice of the samples adds: the delete-group jackknife
    over 20 groups of them (the kernels' variances stay), less the part that varies from one held-out feature to the
    next, which the first variance holds already. In simulations with normal laws in 3 to 64 dimensions 94% to 97% of
    the intervals held that value; where the samples copy training data they are too wide, up to twice.

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
    one, other = np.split(np.concatenate(halves_of_train(len(t))), [min(len(y), len(t) // 2)])
    at_samples, at_train = Kernels(y), Kernels(t[one])
    at_samples.fit(*at_samples.near(t))
    at_train.fit(*at_train.near(t[other]))
    near = at_samples.near(x)
    terms = 100 * (at_samples.nats_per_dim(*near) - at_train.nats_per_dim(*at_train.near(x)))
    value, own = float(terms.mean()), float(terms.var(ddof=1)) / len(x)
    left_out = 100 * at_samples.left_out(*near)
    samples = float(_jackknife(left_out.mean(axis=1)) - _jackknife(left_out).mean() / len(x))
    samples = max(0.0, samples)
    variance = own + samples
    df = variance**2 / (own**2 / (len(x) - 1) + samples**2 / (GROUPS - 1)) if variance else 1.0
    method = (
        "variance over held-out features and delete-group jackknife over samples, t quantile; "
        "of the expected value for this training set at these sample sizes"
    )
    return Estimate(value=value, interval=variance_interval(value, variance, df, method), n=len(y))


def _jackknife(left_out: np.ndarray) -> np.ndarray:
    """The delete-group jackknife's variance, along the first axis."""
    groups = len(left_out)
    variance: np.ndarray = left_out.var(axis=0) * (groups - 1)
    return variance


METRIC = Metric(
    fn=fld,
    axis="memorization",
    better="lower",
    needs="memory",
    interval="own",
    min_samples=20,
    estimate=_estimate,
)
