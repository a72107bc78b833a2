"""Inception score of a classifier's answers.

Symbols: x_i one of n samples, y one of K classes, p(y|x) the classifier's probability.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from genbench.errors import Refused
from genbench.metrics.arrays import class_probabilities
from genbench.types import Metric


def _score(p: np.ndarray) -> float:
    from scipy.special import entr

    marginal = p.mean(axis=0)
    return float(np.exp(entr(marginal).sum() - entr(p).sum(axis=1).mean()))


def inception_score(*, real: Any = None, fake: Any, splits: int = 1) -> float:
    """Inception score: sharp answers for every sample, all classes over the samples.

    exp(mean_i KL(p(y|x_i) || p(y))) = exp(H(p(y)) - mean_i H(p(y|x_i))), p(y) the mean answer. By default over all
    samples at once; with `splits` > 1 the mean of the scores of consecutive parts (boundaries i n // splits), as the
    paper and its followers report it. Rows are rescaled to sum to 1.

    Estimator: plug-in, biased downward by about (K - 1) / 2n in the exponent, more with splits; the spread of the
    splits is no confidence interval. Higher is better; from 1 (every answer the same) to K. Blind to missing modes
    inside a class, and to whether samples resemble the data.

    Reference: Improved Techniques for Training GANs (Salimans, Goodfellow, Zaremba, Cheung, Radford and Chen, 2016).

    Args:
        real: not used.
        fake: class probabilities `(n, K)`.
        splits: number of parts.
    """
    p = class_probabilities(fake, "inception_score: fake")
    if not 1 <= splits <= len(p):
        raise Refused(f"inception_score: splits is {splits}; it must lie between 1 and the {len(p)} samples")
    edges = [i * len(p) // splits for i in range(splits + 1)]
    return float(np.mean([_score(p[low:high]) for low, high in pairwise(edges)]))


METRIC = Metric(
    fn=inception_score,
    axis="quality",
    better="higher",
    needs="probabilities",
    interval="jackknife",
    min_samples=40,
    range=(1.0, np.inf),
)
