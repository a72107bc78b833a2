"""Images against images: PSNR, SSIM, squared error, and MS-SSIM between samples.

Pixels are multiples of 1/256. Windows and scales are computed with 60 digits.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from genbench.conformance.arrays import UNIT, Arrays, bells, levels
from genbench.conformance.cases import Case
from genbench.conformance.subjects import DIGITS, Derived

_WORDS = f"mpmath, {DIGITS} digits"
_WEIGHTS = ("0.0448", "0.2856", "0.3001", "0.2363", "0.1333")


def _errors(real: np.ndarray, fake: np.ndarray) -> list[Fraction]:
    """The mean squared error of each image or point."""
    found = []
    for a, b in zip(real, fake, strict=True):
        gaps = [Fraction(float(u)) - Fraction(float(v)) for u, v in zip(a.ravel(), b.ravel(), strict=True)]
        found.append(sum((gap * gap for gap in gaps), Fraction(0)) / len(gaps))
    return found


def psnr(*, real: np.ndarray, fake: np.ndarray) -> Derived:
    """The mean over images of 10 log10(1 / MSE)."""
    import mpmath as mp

    with mp.workdps(DIGITS):
        errors = [mp.mpf(e.numerator) / e.denominator for e in _errors(real, fake)]
        value = mp.fsum(-10 * mp.log10(e) for e in errors) / len(errors)
        spread = mp.mpf(float(real.max() - real.min()))
        instead = {
            "the ratio of the mean error over all images": -10 * mp.log10(mp.fsum(errors) / len(errors)),
            "the root of the error not squared (half)": value / 2,
            "natural logarithms": value * mp.log(10),
            "a peak of 255": value + 20 * mp.log10(255),
            "the peak taken from the data (max - min)": value + (20 * mp.log10(spread) if spread > 0 else 0),
        }
        return Derived(value, _WORDS, instead)


def reconstruction_error(*, real: np.ndarray, fake: np.ndarray) -> Derived:
    """The mean over images of the mean squared error."""
    errors = _errors(real, fake)
    value = sum(errors, Fraction(0)) / len(errors)
    size = real[0].size
    instead = {
        "the sum over an image's values": value * size,
        "the root": float(value) ** 0.5,
        "half of it": value / 2,
        "on the scale of 255": value * 255**2,
    }
    return Derived(value, "exact rationals", instead)


def _exact(x: np.ndarray) -> np.ndarray:
    import mpmath as mp

    return np.asarray(np.frompyfunc(lambda v: mp.mpf(float(v)), 1, 1)(x), dtype=object)


def _smooth(x: np.ndarray, weights: list[Any]) -> np.ndarray:
    """The window's mean where it lies inside, along the last two axes."""
    for axis in (-1, -2):
        places = x.shape[axis] - len(weights) + 1
        parts = (np.take(x, range(k, k + places), axis=axis) * w for k, w in enumerate(weights))
        x = np.sum(list(parts), axis=0)
    return x


def _similarity(a: np.ndarray, b: np.ndarray, window: int, border: str, peak: int = 1) -> tuple[Any, Any]:
    """The means of l s and of s for two images `(C, H, W)`."""
    import mpmath as mp

    c1, c2 = (peak * mp.mpf("0.01")) ** 2, (peak * mp.mpf("0.03")) ** 2
    bell = [mp.exp(-((mp.mpf(k) / mp.mpf("1.5")) ** 2) / 2) for k in range(-(window // 2), window // 2 + 1)]
    weights = [w / mp.fsum(bell) for w in bell]
    if border == "reflect":
        reach = window // 2
        a, b = (np.pad(x, ((0, 0), (reach, reach), (reach, reach)), mode="reflect") for x in (a, b))
    mean_a, mean_b = _smooth(a, weights), _smooth(b, weights)
    var_a, var_b = _smooth(a * a, weights) - mean_a**2, _smooth(b * b, weights) - mean_b**2
    cov = _smooth(a * b, weights) - mean_a * mean_b
    structure = (2 * cov + c2) / (var_a + var_b + c2)
    both = structure * (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return both.mean(), structure.mean()


def _window(shape: tuple[int, ...]) -> int:
    side = min(shape[-2:])
    return min(11, side - 1 + side % 2)


def ssim(*, real: np.ndarray, fake: np.ndarray, border: str = "valid") -> Derived:
    """The mean over images, places and channels of luminance times structure."""
    import mpmath as mp

    with mp.workdps(DIGITS):
        window = _window(real.shape)
        a, b = _exact(real), _exact(fake)

        def mean(border: str, which: int = 0, peak: int = 1) -> Any:
            return sum(_similarity(u, v, window, border, peak)[which] for u, v in zip(a, b, strict=True)) / len(a)

        other = "reflect" if border == "valid" else "valid"
        instead = {
            f"the border {other}": mean(other),
            "the luminance left out": mean(border, which=1),
            "a data range of 255": mean(border, peak=255),
        }
        return Derived(mean(border), _WORDS, instead)


def _halved(x: np.ndarray) -> np.ndarray:
    x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
    return np.asarray((x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4)


def ms_ssim(*, fake: np.ndarray) -> Derived:
    """The multi-scale similarity of the two samples; of more, where all pairs are alike."""
    import mpmath as mp

    with mp.workdps(DIGITS):
        a, b = _exact(fake[0]), _exact(fake[1])
        side, scales = min(fake.shape[2:]), 1
        while scales < 5 and side // 2**scales >= 11:
            scales += 1
        weights = [mp.mpf(w) for w in _WEIGHTS[:scales]]
        total = mp.fsum(weights) if scales < 5 else mp.mpf(1)
        value, window = mp.mpf(1), _window(fake.shape)
        for weight in weights[:-1]:
            value *= max(_similarity(a, b, window, "valid")[1], mp.mpf(0)) ** (weight / total)
            a, b = _halved(a), _halved(b)
        last = max(_similarity(a, b, window, "valid")[0], mp.mpf(0))
        single = _similarity(_exact(fake[0]), _exact(fake[1]), window, "valid")[0]
        instead = {
            "a single scale": single,
            "weights that do not sum to 1": value**total * last ** weights[-1],
            "one less (a dissimilarity)": 1 - value * last ** (weights[-1] / total),
        }
        return Derived(value * last ** (weights[-1] / total), _WORDS, instead)


derive = {"psnr": psnr, "reconstruction_error": reconstruction_error, "ssim": ssim, "ms_ssim": ms_ssim}


def _noisy(key: int, n: int, channels: int, height: int, width: int, noise: float = 0.125) -> Arrays:
    """Gradients with structure, and the same with noise."""
    place = (np.arange(height)[:, None] * 5 + np.arange(width) * 3) % 128 / UNIT + 0.25
    real = np.broadcast_to(place, (n, channels, height, width)) + levels(key, n, channels, 1, 1, bits=5) / UNIT
    step = np.rint(bells(key + 1, n, channels, height, width) * noise * UNIT) / UNIT
    return {"real": real, "fake": np.clip(real + step, 0, 1)}


def _one_better() -> Arrays:
    arrays = _noisy(501, 4, 1, 6, 6)
    real, fake = np.asarray(arrays["real"]), np.asarray(arrays["fake"]).copy()
    fake[0] = real[0] + 1 / UNIT
    return {"real": real, "fake": fake}


def _exact_one() -> Arrays:
    arrays = _noisy(503, 4, 1, 12, 12)
    real, fake = np.asarray(arrays["real"]), np.asarray(arrays["fake"]).copy()
    fake[2] = real[2]
    return {"real": real, "fake": fake}


def _flat(real: float, fake: float, side: int = 12, n: int = 2) -> Arrays:
    return {"real": np.full((n, 1, side, side), real), "fake": np.full((n, 1, side, side), fake)}


def _inverted() -> Arrays:
    real = np.asarray(_noisy(505, 3, 1, 13, 13)["real"])
    return {"real": real, "fake": 1 - real}


def _points(offset: float = 0.0) -> Arrays:
    return {"real": bells(507, 30, 3) + offset, "fake": bells(508, 30, 3) / 2 + offset}


def _samples(key: int, side: int, channels: int = 1) -> Arrays:
    return {"fake": np.concatenate([np.asarray(x) for x in _noisy(key, 1, channels, side, side).values()])}


_PATCHES = (
    ("ordinary", "3 noisy images of 16 x 16", lambda: _noisy(511, 3, 1, 16, 16)),
    ("colour", "three channels, 12 x 15", lambda: _noisy(513, 2, 3, 12, 15)),
    ("faint", "noise of one grey level in 256", lambda: _noisy(515, 3, 1, 14, 14, noise=1 / 256)),
    ("eight-pixels", "8 x 8", lambda: _noisy(517, 4, 1, 8, 8)),
    ("inverted", "the negative", _inverted),
    ("flat", "one grey for another", lambda: _flat(0.25, 0.75)),
)
_C1 = 0.01**2
_WINDOWS = "variances in a window, which float32 rounds at 1e-6"

CASES = (
    *(Case(id=f"psnr/{name}", about=about, arrays=arrays) for name, about, arrays in _PATCHES),
    Case(id="psnr/one-better", about="one of four images is nearly exact", arrays=_one_better),
    Case(id="psnr/black-for-white", about="the least", arrays=lambda: _flat(0.0, 1.0), closed=0.0, formula="log 1",
         atol=1e-9, because="rounding of a logarithm that vanishes"),
    Case(id="psnr/sixteenth", about="every pixel off by 1/16", arrays=lambda: _flat(0.5, 0.5625),
         closed=20 * float(np.log10(16)), formula="20 log10(16)"),
    Case(id="psnr/exact-one", about="one reconstruction equals its original", arrays=_exact_one, refused=True),
    *(
        Case(id=f"ssim/{name}", about=about, arrays=arrays, atol=1e-5, because=_WINDOWS,
             pitfalls=("small image",) if name == "eight-pixels" else ())
        for name, about, arrays in _PATCHES if name != "flat"
    ),
    Case(id="ssim/flat", about="one grey for another: luminance alone", arrays=lambda: _flat(0.25, 0.75),
         atol=1e-5, because=_WINDOWS, pitfalls=("cancellation",),
         closed=(2 * 0.25 * 0.75 + _C1) / (0.25**2 + 0.75**2 + _C1), formula="(2ab + C1) / (a^2 + b^2 + C1)"),
    Case(id="ssim/equal", about="equal images", closed=1.0, formula="l = s = 1",
         arrays=lambda: {side: _noisy(519, 2, 1, 12, 12)["real"] for side in ("real", "fake")}),
    Case(id="ssim/black", about="black for black: 0 / 0 but for the constants", arrays=lambda: _flat(0.0, 0.0),
         closed=1.0, formula="C1 C2 / (C1 C2)", pitfalls=("zeros",)),
    Case(id="ssim/one-exact", about="one of four images is exact", arrays=_exact_one, atol=1e-5, because=_WINDOWS),
    Case(id="ssim/reflect", about="the border mirrored", arrays=lambda: _noisy(511, 3, 1, 16, 16),
         arguments={"border": "reflect"}, atol=1e-5, because=_WINDOWS),
    Case(id="ssim/reflect-colour", about="the same with three channels", arrays=lambda: _noisy(513, 2, 3, 12, 15),
         arguments={"border": "reflect"}, atol=1e-5, because=_WINDOWS),
    *(Case(id=f"reconstruction_error/{name}", about=about, arrays=arrays) for name, about, arrays in _PATCHES),
    Case(id="reconstruction_error/equal", about="equal images", closed=0.0, formula="0",
         arrays=lambda: {side: _noisy(519, 2, 1, 12, 12)["real"] for side in ("real", "fake")}),
    Case(id="reconstruction_error/points", about="points in three dimensions", arrays=_points),
    Case(id="reconstruction_error/far-points", about="points about 8192", arrays=lambda: _points(8192.0),
         pitfalls=("cancellation",)),
    Case(id="reconstruction_error/shapes", about="one image fewer", refused=True, arrays=lambda: {
         "real": _noisy(521, 3, 1, 8, 8)["real"], "fake": _noisy(523, 2, 1, 8, 8)["fake"]}),
    Case(id="ms_ssim/two-scales", about="two samples of 24 x 24", arrays=lambda: _samples(525, 24)),
    Case(id="ms_ssim/three-scales", about="45 x 45: an odd row is left out", arrays=lambda: _samples(527, 45)),
    Case(id="ms_ssim/one-scale", about="two samples of 16 x 16", arrays=lambda: _samples(529, 16)),
    Case(id="ms_ssim/colour", about="two samples of three channels", arrays=lambda: _samples(531, 22, 3)),
    Case(id="ms_ssim/eight-pixels", about="two samples of 8 x 8", arrays=lambda: _samples(533, 8)),
    Case(id="ms_ssim/all-equal", about="one sample 6 times", closed=1.0, formula="l = s = 1",
         arrays=lambda: {"fake": np.repeat(np.asarray(_samples(535, 12)["fake"])[:1], 6, axis=0)}),
    Case(id="ms_ssim/opposed", about="a sample and its negative", closed=0.0, formula="max(s, 0)",
         arrays=lambda: {"fake": np.concatenate([np.asarray(x)[:1] for x in _inverted().values()])}),
)  # fmt: skip
