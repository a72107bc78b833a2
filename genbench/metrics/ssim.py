"""Structural similarity of reconstructions to their originals.

Symbols: a_i one of n originals, b_i its reconstruction; l, s, C1, C2 and the window as in `similarity`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genbench.metrics.arrays import image_pairs
from genbench.metrics.similarity import Border, rows_at_once, similarity, window_of
from genbench.types import Metric


def _terms(*, real: Any, fake: Any, border: Border = "valid") -> np.ndarray:
    a, b = image_pairs(real, fake, "ssim")
    window, rows = window_of(a.shape, "ssim"), rows_at_once(a.shape)
    parts = [slice(start, start + rows) for start in range(0, len(a), rows)]
    return np.concatenate([similarity(a[part], b[part], window, border)[0] for part in parts])


def ssim(*, real: Any, fake: Any, border: Border = "valid") -> float:
    """The structural similarity of each reconstruction to its original, averaged over the images.

    (1/n) sum_i mean over places and channels of l(a_i, b_i) s(a_i, b_i), with a Gaussian window of 11 pixels a side and
    sigma 1.5, K1 = 0.01, K2 = 0.03 and the data range 1. The window takes the places where it lies inside the image
    (`border="reflect"` mirrors the image at its edge instead, as torchmetrics does). In an image of fewer than 11
    pixels a side it has the largest odd side that fits, at least 3, with the same sigma; such numbers compare among
    images of one size only.

    Estimator: unbiased mean of independent terms. Higher is better; at most 1, reached by equal images alone; below 0
    where structures are opposed. Undefined for points and for images of fewer than 3 pixels a side.

    Reference: Image Quality Assessment: From Error Visibility to Structural Similarity (Wang, Bovik, Sheikh and
    Simoncelli, 2004).

    Args:
        real: originals `(n, C, H, W)` in [0, 1].
        fake: their reconstructions, of the same shape.
        border: "valid" or "reflect".
    """
    return float(_terms(real=real, fake=fake, border=border).mean())


METRIC = Metric(
    fn=ssim,
    axis="reconstruction",
    better="higher",
    needs="pairs",
    interval="t",
    min_samples=20,
    range=(-1.0, 1.0),
    terms=_terms,
)
