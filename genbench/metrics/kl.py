"""Divergence between the class distributions of generated and of real images.

Symbols: a_i one of n, b_j one of m rows of a classifier's answers over K classes, of generated and of real images; p, q
their means; S_p, S_q the covariances of p and q; KL = sum_k p_k log(p_k / q_k).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from genbench.errors import Refused, Undefined
from genbench.metrics.arrays import class_probabilities
from genbench.metrics.kernels import Discrepancy
from genbench.stats import Estimate, Interval
from genbench.types import Metric


def _answers(real: Any, fake: Any) -> tuple[np.ndarray, np.ndarray]:
    """Real and generated, without the classes that neither side has."""
    b, a = class_probabilities(real, "kl: real"), class_probabilities(fake, "kl: fake")
    if a.shape[1] != b.shape[1]:
        raise Refused(f"kl: real has {b.shape[1]} classes and fake {a.shape[1]}; they must be the same")
    p, q = a.mean(axis=0), b.mean(axis=0)
    if count := np.count_nonzero((q == 0) & (p > 0)):
        raise Undefined(f"kl: {count} classes occur in the generated images and never in the real ones")
    return b[:, q > 0], a[:, q > 0]


def _divergence(p: np.ndarray, q: np.ndarray) -> float:
    seen = p > 0
    return max(0.0, float((p[seen] * np.log(p[seen] / q[seen])).sum()))


def kl(*, real: Any, fake: Any) -> float:
    """KL divergence from the class distribution of real images to that of generated ones.

    sum_k p_k log(p_k / q_k) in nats, p the mean of the classifier's answers to generated images, q to real ones. It
    sees how often classes occur, and nothing of what is inside them.

    Estimator: plug-in, biased upward by about (K - 1)/2 (1/n + 1/m) where answers are sure. Lower is better; from 0 up,
    undefined where a class of the generated images has no mass at all in the real ones. The interval is one of the
    expected value at these sample sizes.

    Reference: On information and sufficiency (Kullback and Leibler, 1951).

    Args:
        real: class probabilities `(m, K)` of real images.
        fake: class probabilities `(n, K)` of generated images.
    """
    b, a = _answers(real, fake)
    return _divergence(a.mean(axis=0), b.mean(axis=0))


def _estimate(*, real: Any, fake: Any) -> Estimate:
    """A score interval, as of a squared distance: near p = q KL is (p - q)'D(p - q) / 2 with D = diag(1/q).

    With S = S_p + S_q its bias is Tr(D S) / 2 and its variance at p = q is v = Tr((D S)^2) / 2; what adds to it
    elsewhere is, to first order, that of the means of log(p_k / q_k) under p and of p_k / q_k under q.
    """
    b, a = _answers(real, fake)
    p, q = a.mean(axis=0), b.mean(axis=0)
    ratio = np.log(np.where(p > 0, p, 1.0) / q)
    first = float((a @ ratio).var(ddof=1)) / len(a) + float((b @ (p / q)).var(ddof=1)) / len(b)
    rows = np.concatenate([(a - p) / math.sqrt(len(a) * (len(a) - 1)), (b - q) / math.sqrt(len(b) * (len(b) - 1))])
    rows /= np.sqrt(q)
    covariance = rows.T @ rows
    value, bias = _divergence(p, q), 0.5 * float(np.trace(covariance))
    near = Discrepancy(unbiased=value - bias, bias=bias, first=first, at_null=0.5 * float(np.square(covariance).sum()))
    low, high = near.interval(min(len(a), len(b)) - 1)
    interval = Interval(
        low=min(low + bias, value),
        high=max(high + bias, value),
        method="score interval, variance of first and second order; of the expected value at these sample sizes",
    )
    return Estimate(value=value, interval=interval, n=len(a))


METRIC = Metric(
    fn=kl,
    axis="diversity",
    better="lower",
    needs="probabilities",
    interval="own",
    unit="nats",
    min_samples=40,
    range=(0.0, math.inf),
    estimate=_estimate,
)
