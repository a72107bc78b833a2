"""Peak signal-to-noise ratio of reconstructions.

Symbols: a_i one of n originals on the scale of [0, 1], b_i its reconstruction, D the number of values of an image.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genbench.errors import Undefined
from genbench.metrics.arrays import image_pairs
from genbench.types import Metric


def _terms(*, real: Any, fake: Any) -> np.ndarray:
    a, b = image_pairs(real, fake, "psnr")
    errors = np.square(a - b).mean(axis=(1, 2, 3))
    if exact := np.count_nonzero(errors == 0):
        raise Undefined(
            f"psnr: {exact} of {len(errors)} reconstructions equal their originals, so the mean is infinite; "
            "reconstruction_error has a value"
        )
    decibels: np.ndarray = -10.0 * np.log10(errors)
    return decibels


def psnr(*, real: Any, fake: Any) -> float:
    """Peak signal-to-noise ratio in decibels of each reconstruction, averaged over the images.

    (1/n) sum_i 10 log10(1 / MSE_i), MSE_i = |a_i - b_i|^2 / D over all values of an image, the peak being 1. The mean
    is of the ratios of single images; the ratio of the mean error, which some libraries print, is never larger.

    Estimator: unbiased mean of independent terms. Higher is better; from 0 (black for white) upward. A reconstruction
    that equals its original has an infinite ratio: one of them makes the mean undefined, no cap hides it. Undefined for
    points, which have no peak.

    Reference: Image Quality Assessment: From Error Visibility to Structural Similarity (Wang, Bovik, Sheikh and
    Simoncelli, 2004), section II.

    Args:
        real: originals `(n, C, H, W)` in [0, 1].
        fake: their reconstructions, of the same shape.
    """
    return float(_terms(real=real, fake=fake).mean())


METRIC = Metric(
    fn=psnr,
    axis="reconstruction",
    better="higher",
    needs="pairs",
    interval="t",
    unit="dB",
    min_samples=20,
    range=(0.0, np.inf),
    terms=_terms,
)
