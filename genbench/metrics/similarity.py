"""The structural similarity of two images inside a sliding window, the common ground of `ssim` and `ms_ssim`.

Symbols: a, b two images on the scale of [0, 1]; w a window's weights, a Gaussian of sigma 1.5 cut to an odd number of
pixels a side and scaled to sum to 1; under them mu_a, mu_b the means, v_a, v_b the variances (E_w[a^2] - mu_a^2), c the
covariance; C1 = 0.01^2, C2 = 0.03^2. Luminance l = (2 mu_a mu_b + C1) / (mu_a^2 + mu_b^2 + C1); contrast and structure
together s = (2 c + C2) / (v_a + v_b + C2); the similarity is l s.

Conventions, which differ between libraries: channels are compared one by one and averaged; variances are divided by the
sum of weights, not by one less. The border "valid" (the paper's) places the window only where it lies inside the image;
"reflect" continues the image by its mirror, the edge not repeated, so that every pixel is a centre. Large images are
not reduced first.

Reference: Image Quality Assessment: From Error Visibility to Structural Similarity (Wang, Bovik, Sheikh and Simoncelli,
2004).
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from genbench.errors import Refused, Undefined

Border = Literal["valid", "reflect"]
SIGMA = 1.5
WINDOW = 11  # pixels a side
C1, C2 = 0.01**2, 0.03**2
CHUNK_VALUES = 500_000  # of one image array in memory at a time: 4 MB


def window_of(shape: tuple[int, ...], what: str) -> int:
    """The side of the window: 11 pixels, or the largest odd number that smaller images hold, at least 3.

    Args:
        shape: of the images, `(n, C, H, W)`.
    """
    height, width = shape[2:]
    side = min(height, width)
    if side < 3:
        raise Undefined(f"{what}: a window needs images of 3 pixels a side at least; these are {height}x{width}")
    return min(WINDOW, side - 1 + side % 2)


def _gaussian(window: int) -> np.ndarray:
    weights = np.exp(-0.5 * np.square((np.arange(window) - window // 2) / SIGMA))
    return weights / weights.sum()


def _smooth(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The window's mean at every place where it lies inside, `(..., H - window + 1, W - window + 1)`."""
    from scipy.ndimage import correlate1d

    reach = len(weights) // 2
    for axis in (-1, -2):
        x = correlate1d(x, weights, axis=axis)
    return x[..., reach : x.shape[-2] - reach, reach : x.shape[-1] - reach]


def similarity(a: np.ndarray, b: np.ndarray, window: int, border: Border = "valid") -> tuple[np.ndarray, np.ndarray]:
    """The means over places and channels of l s and of s, float64 `(n,)` each.

    Args:
        a, b: float64 `(n, C, H, W)` in [0, 1].
        window: its side, odd, at most that of the images.
    """
    if border not in get_args(Border):
        raise Refused(f"border is 'valid' or 'reflect', not {border!r}")
    if border == "reflect":
        edge = ((0, 0), (0, 0), (window // 2, window // 2), (window // 2, window // 2))
        a, b = np.pad(a, edge, mode="reflect"), np.pad(b, edge, mode="reflect")
    weights = _gaussian(window)
    mean_a, mean_b = _smooth(a, weights), _smooth(b, weights)
    product, squares = mean_a * mean_b, np.square(mean_a) + np.square(mean_b)
    variances = np.maximum(_smooth(np.square(a) + np.square(b), weights) - squares, 0.0)  # rounding may go below
    structure = (2.0 * (_smooth(a * b, weights) - product) + C2) / (variances + C2)
    luminance = (2.0 * product + C1) / (squares + C1)
    return (luminance * structure).mean(axis=(1, 2, 3)), structure.mean(axis=(1, 2, 3))


def rows_at_once(shape: tuple[int, ...]) -> int:
    """How many images of a batch are compared at a time, so that memory does not grow with their number."""
    return max(1, CHUNK_VALUES // max(1, int(np.prod(shape[1:]))))
