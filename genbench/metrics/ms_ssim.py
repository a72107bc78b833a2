"""Diversity as the mean similarity of two generated images over several scales.

Symbols: b_1..b_n the samples; M scales, each half as fine as the one before; l_j, s_j luminance and structure of two
images on scale j (see `similarity`), averaged over places and channels; w_j the weights of the scales.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genbench.metrics.arrays import unit_images
from genbench.metrics.similarity import WINDOW, Border, rows_at_once, similarity, window_of
from genbench.stats import Estimate, Interval, mean_interval
from genbench.types import Metric

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # from the finest scale to the coarsest; the paper's


def scale_weights(shape: tuple[int, ...]) -> np.ndarray:
    """The weights of the scales on which an 11 pixel window fits, at most five, at least one.

    Args:
        shape: of the images, `(n, C, H, W)`.
    """
    side, scales = min(shape[2:]), 1
    while scales < len(WEIGHTS) and side // 2**scales >= WINDOW:
        scales += 1
    weights = np.array(WEIGHTS[:scales])
    return weights if scales == len(WEIGHTS) else weights / weights.sum()


def _halved(x: np.ndarray) -> np.ndarray:
    n, channels, height, width = x.shape
    even = x[:, :, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(n, channels, height // 2, 2, width // 2, 2).mean(axis=(3, 5))


def multiscale(a: np.ndarray, b: np.ndarray, border: Border = "valid") -> np.ndarray:
    """MS-SSIM of images pair by pair, `(n,)` in [0, 1].

    Args:
        a, b: float64 `(n, C, H, W)` in [0, 1].
        border: on the coarsest scale; the finer ones are always "valid".
    """
    weights = scale_weights(a.shape)
    window = window_of(a.shape, "ms_ssim")
    value = np.ones(len(a))
    for weight in weights[:-1]:
        value *= np.maximum(similarity(a, b, window)[1], 0.0) ** weight
        a, b = _halved(a), _halved(b)
    value *= np.maximum(similarity(a, b, window, border)[0], 0.0) ** weights[-1]
    return value


def _pairs(fake: Any, seed: int) -> tuple[np.ndarray, int]:
    images = unit_images(fake, "ms_ssim: fake", rows=2)
    order = np.random.default_rng(seed).permutation(len(images))
    pairs = order[: len(order) // 2 * 2].reshape(-1, 2)
    rows = rows_at_once(images.shape)
    parts = [pairs[start : start + rows] for start in range(0, len(pairs), rows)]
    return np.concatenate([multiscale(images[part[:, 0]], images[part[:, 1]]) for part in parts]), len(images)


def ms_ssim(*, real: Any = None, fake: Any, seed: int = 0) -> float:
    """The mean multi-scale structural similarity of two samples: how much the generated images resemble each other.

    The mean over pairs of l_M s_M^w_M ... s_1^w_1 (the similarity l_M s_M to the power w_M on the coarsest scale M, the
    structure s_j to the power w_j on the finer ones), each mean clipped at 0 before the power. A scale is made of the
    2 x 2 means of the one before (an odd last row or column is left out). Scales go on while the window of 11 pixels
    fits, to five at most: one scale below 22 pixels a side, two from 22, three from 44, four from 88, five from 176.
    The weights are the paper's; where there are fewer than five scales, they are divided by their sum. Below 11 pixels
    a side the window shrinks as in `ssim`. Numbers of different image sizes are therefore not comparable.

    The pairs are those of a shuffle fixed by `seed`, each sample in one pair at most, over all samples (the classes of
    samples are not known; within a class the value would be higher).

    Estimator: unbiased for the mean over pairs of independent samples; the pairs are disjoint, hence independent, and
    the interval is that of a mean. Lower is better (more diverse), from 0 to 1 (all equal). Real data has a value of
    its own: compute `ms_ssim(fake=real)` beside it. A model above that value has collapsed; one far below makes
    noise, not diversity.

    Reference: Multi-Scale Structural Similarity for Image Quality Assessment (Wang, Simoncelli and Bovik, 2003); as a
    measure of diversity: Conditional Image Synthesis with Auxiliary Classifier GANs (Odena, Olah and Shlens, 2017).

    Args:
        real: not used.
        fake: samples `(n, C, H, W)` in [0, 1].
        seed: of the shuffle.
    """
    return float(_pairs(fake, seed)[0].mean())


def _estimate(*, real: Any = None, fake: Any, seed: int = 0) -> Estimate:
    values, n = _pairs(fake, seed)
    found = mean_interval(values)
    words = f"t interval of a mean of {len(values)} disjoint pairs; of the mean over pairs of independent samples"
    return Estimate(value=float(values.mean()), interval=Interval(low=found.low, high=found.high, method=words), n=n)


METRIC = Metric(
    fn=ms_ssim,
    axis="diversity",
    better="lower",
    needs="images",
    interval="own",
    min_samples=40,
    range=(0.0, 1.0),
    estimate=_estimate,
)
