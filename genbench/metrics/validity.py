"""How many samples the law would call typical.

Symbols: p the law, s(x) = -log p(x) the surprise of x, F the distribution of s(x) for x from p.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genbench.metrics.arrays import surprises, vector
from genbench.types import Metric

LEVEL = 0.999
_MIN_DRAWS = 2_000  # one of them is expected beyond each end


def _terms(*, real: Any, fake: Any) -> np.ndarray:
    draws = vector(real, "validity: real", rows=_MIN_DRAWS)
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    surprise = surprises(fake, "validity: fake")
    inside: np.ndarray = (low <= surprise) & (surprise <= high)
    return inside


def validity(*, real: Any, fake: Any) -> float:
    """The share of samples in the typical set of the law, the central 99.9% of its surprise.

    (1/n) sum_j 1[ F^-1(0.0005) <= s(y_j) <= F^-1(0.9995) ]. Samples that are too likely (clean glyphs where the law
    has noise) fall out as well as those that are too unlikely.

    Estimator: the quantiles are those of the draws in `real`, which add about (0.0005 / m)^(1/2) of noise at each
    end; the law itself scores 0.999. Higher is better; from 0 to 1. Necessary, not sufficient: it looks at one number
    of a sample.

    Reference: the typical set, Elements of Information Theory (Cover and Thomas, 2006).

    Args:
        real: surprise of draws from the law `(m,)`, m >= 2000.
        fake: surprise of the samples `(n,)`; +inf stands for an impossible one.
    """
    return float(_terms(real=real, fake=fake).mean())


METRIC = Metric(
    fn=validity,
    axis="quality",
    better="higher",
    needs="surprise",
    interval="wilson",
    min_samples=20,
    range=(0.0, 1.0),
    terms=_terms,
)
