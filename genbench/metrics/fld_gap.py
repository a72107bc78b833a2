"""The generalization gap of the feature likelihood divergence: are training data likelier than held-out data?

Symbols: p(x) the density of `kernels_at_samples`, with a kernel at each of n fake features; A and B the halves of the
training features, p_A the density fitted to A; r_i one of m real features held out, d the number of directions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genbench.metrics.kernels_at_samples import Kernels, halves_of_train, standardised
from genbench.metrics.memory import triple
from genbench.stats import Estimate, variance_interval
from genbench.types import Metric


def fld_gap(*, train: Any, real: Any, fake: Any) -> float:
    """How much likelier training features are than held-out ones under kernels at the generated samples.

    (100 / d) [ mean_{t in T} log p_(t)(t) - mean_i (log p_A(r_i) + log p_B(r_i)) / 2 ], where p_(t) is the density
    fitted to the half of T that t is not in. The paper fits and evaluates on the same training features, which makes
    them likelier whatever the samples are; with halves, 0 is what samples that do not depend on T give, exactly, for
    any law and any quality. So it says whether samples know the training set, and nothing else.

    Estimator: unbiased around 0 for such samples. Above 0: copying. Neither higher nor lower is better: 0 is best; no
    bounds. Constant directions are left out; if all training features are equal it has no value.

    The interval: Welch's, of the difference of the two means, the samples given.

    Reference: Feature Likelihood Divergence: Evaluating the Generalization of Generative Models Using Samples
    (Jiralerspong, Bose, Gemp, Qin, Bachrach and Gidel, 2023).

    Args:
        train: features `(t, d)` of the training set, t >= 4.
        real: features `(m, d)` of real samples held out.
        fake: features `(n, d)`.
    """
    return _estimate(train=train, real=real, fake=fake).value


def _estimate(*, train: Any, real: Any, fake: Any) -> Estimate:
    t, x, y = standardised(*triple(train, real, fake, "fld_gap", rows=4))
    kernels = Kernels(y)
    (squared, index), of_held_out = kernels.near(t), kernels.near(x)
    halves, known, held_out = halves_of_train(len(t)), np.empty(len(t)), np.zeros(len(x))
    for fitted, left in (halves, halves[::-1]):
        kernels.fit(squared[fitted], index[fitted])
        known[left] = kernels.nats_per_dim(squared[left], index[left])
        held_out += kernels.nats_per_dim(*of_held_out) / 2
    known, held_out = 100 * known, 100 * held_out
    gap = float(held_out.mean() - known.mean())
    parts = float(known.var(ddof=1)) / len(known), float(held_out.var(ddof=1)) / len(held_out)
    variance = sum(parts)
    df = variance**2 / (parts[0] ** 2 / (len(known) - 1) + parts[1] ** 2 / (len(held_out) - 1)) if variance else 1.0
    method = "Welch's t interval of a difference of means; of the expected value, these samples given"
    return Estimate(value=gap, interval=variance_interval(gap, variance, df, method), n=len(y))


METRIC = Metric(
    fn=fld_gap,
    axis="memorization",
    better=None,
    ideal=0.0,
    needs="memory",
    interval="own",
    min_samples=20,
    estimate=_estimate,
)
