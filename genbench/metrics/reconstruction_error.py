"""Mean squared error of reconstructions.

Symbols: a_i one of n originals, b_i its reconstruction, D the number of values of one of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genbench.errors import Refused
from genbench.metrics.arrays import feature_pair, image_pairs
from genbench.types import Metric

_NAME = "reconstruction_error"


def _terms(*, real: Any, fake: Any) -> np.ndarray:
    if np.ndim(real) == 2:
        a, b = feature_pair(real, fake, _NAME, rows=1)
        if len(a) != len(b):
            raise Refused(f"{_NAME}: real has {len(a)} rows and fake {len(b)}; they are compared row by row")
    else:
        a, b = image_pairs(real, fake, _NAME)
    with np.errstate(over="ignore"):
        errors: np.ndarray = np.square(a - b).reshape(len(a), -1).mean(axis=1)
        total = errors.sum()
    if not np.isfinite(total):
        raise Refused(f"{_NAME}: the points lie so far apart that their squared distance overflows; rescale them")
    return errors


def reconstruction_error(*, real: Any, fake: Any) -> float:
    """The mean squared difference between a value of an original and that of its reconstruction.

    (1/n) sum_i |a_i - b_i|^2 / D. Images stand on the scale of [0, 1], so that numbers of different numbers of levels
    compare; points are taken on their own scale.

    Estimator: unbiased mean of independent terms. Lower is better; from 0 (equal), for images to 1 (black for white).

    Reference: Auto-Encoding Variational Bayes (Kingma and Welling, 2014), whose Gaussian decoder's reconstruction term
    it is, up to scale and a constant.

    Args:
        real: originals, `(n, C, H, W)` in [0, 1] or points `(n, D)`.
        fake: their reconstructions, of the same shape.
    """
    return float(_terms(real=real, fake=fake).mean())


METRIC = Metric(
    fn=reconstruction_error,
    axis="reconstruction",
    better="lower",
    needs="pairs",
    interval="t",
    min_samples=20,
    range=(0.0, np.inf),
    terms=_terms,
)
