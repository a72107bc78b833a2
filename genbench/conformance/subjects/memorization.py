"""Generated samples beside the training set: authenticity, distance ratios, C_T, and the likelihood divergence.

Nearest neighbours are enumerated in exact integers. C_T is derived where its cells are three far clusters; the
feature likelihood divergence where the kernels' variances have a closed form.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from genbench.conformance.arrays import UNIT, Arrays, bells, integers
from genbench.conformance.cases import EXACT, Case
from genbench.conformance.subjects import DIGITS, Derived


def _squared(x: np.ndarray, c: np.ndarray) -> np.ndarray:
    a, b = integers(x, 4 * UNIT).astype(np.int64), integers(c, 4 * UNIT).astype(np.int64)
    return np.stack([np.square(a - row).sum(axis=1) for row in b], axis=1)


def authenticity(*, train: np.ndarray, real: np.ndarray, fake: np.ndarray) -> Derived:
    """The share of fakes that are farther from their nearest training feature than that is from its own nearest."""

    def share(reference: np.ndarray, ties: bool) -> Fraction:
        to = _squared(fake, reference)
        own = np.sort(_squared(reference, reference), axis=1)[:, 1][to.argmin(axis=1)]
        least = to.min(axis=1)
        return Fraction(int(((least >= own) if ties else (least > own)).sum()), len(fake))

    value = share(train, ties=False)
    instead = {
        "a tie counted as authentic": share(train, ties=True),
        "the share of the others": 1 - value,
        "held-out data in place of the training set": share(real, ties=False),
    }
    return Derived(value, "enumeration of exact integers", instead)


def nearest_ratio(*, train: np.ndarray, real: np.ndarray, fake: np.ndarray) -> Derived:
    """The mean nearest distance of fakes over that of held-out features."""
    import mpmath as mp

    with mp.workdps(DIGITS):

        def mean(x: np.ndarray, power: int = 1) -> Any:
            return mp.fsum(mp.sqrt(int(v)) ** power for v in _squared(x, train).min(axis=1)) / len(x)

        value = mean(fake) / mean(real)
        instead = {
            "squared distances": mean(fake, 2) / mean(real, 2),
            "real and fake exchanged": 1 / value if value else mp.mpf(0),
            "the numerator alone": mean(fake) / (4 * UNIT),
        }
        return Derived(value, f"enumeration, {DIGITS} digits", instead)


def c_t(*, train: np.ndarray, real: np.ndarray, fake: np.ndarray) -> Derived:
    """The weighted mean of Mann-Whitney z scores over cells, which are the signs of the first two coordinates."""
    import mpmath as mp

    def cells(x: np.ndarray) -> np.ndarray:
        return (
            np.where(x[:, 0] > 64, 0, np.where(x[:, 1] > 64, 1, 2)) if x.shape[1] > 1 else np.zeros(len(x), dtype=int)
        )

    with mp.workdps(DIGITS):

        def score(least: int, ties: int) -> Any:
            total, weight = mp.mpf(0), 0
            for cell in sorted(set(cells(real).tolist())):
                t, x, y = (side[cells(side) == cell] for side in (train, real, fake))
                if len(y) < least:
                    continue
                a, b = _squared(x, t).min(axis=1), _squared(y, t).min(axis=1)
                doubled = int((2 * (b[:, None] > a)).sum()) + ties * int((b[:, None] == a).sum())
                p, q = len(x), len(y)
                spread = mp.sqrt(mp.mpf(p * q * (p + q + 1)) / 12)
                total += p * (mp.mpf(doubled) / 2 - mp.mpf(p * q) / 2) / spread
                weight += p
            return total / weight

        value = score(20, 1)
        instead = {"the sign": -value, "cells of few samples kept": score(1, 1), "ties not counted": score(20, 0)}
        return Derived(value, f"enumeration, {DIGITS} digits", instead)


def _mean_squares(x: np.ndarray) -> Fraction:
    """The mean square of a value, exact."""
    return sum((Fraction(float(v)) ** 2 for v in x.ravel()), Fraction(0)) / x.size


def _check_signs(train: np.ndarray, fake: np.ndarray) -> None:
    if not (np.abs(train) == 1).all() or train.sum(axis=0).any() or fake.any():
        raise ValueError("derived only for training features of signs and samples at their mean")


def fld(*, train: np.ndarray, real: np.ndarray, fake: np.ndarray) -> Derived:
    """Fakes at the mean of +-1: one kernel of variance 1. At kernels on +-1 of the floor's variance, 0 is 1 away."""
    import mpmath as mp

    _check_signs(train, fake)
    if real.any():
        raise ValueError("derived only for held-out features at the mean")
    with mp.workdps(DIGITS):
        floor = mp.mpf("0.001")
        value = 100 * (mp.log(2 * mp.pi) / 2 - 1 / (2 * floor) - mp.log(2 * mp.pi * floor) / 2)
        return Derived(value, f"mpmath, {DIGITS} digits", {"the sign": -value, "the factor 100 left out": value / 100})


def fld_gap(*, train: np.ndarray, real: np.ndarray, fake: np.ndarray) -> Derived:
    """Fakes at the mean of +-1: one kernel of variance 1, whichever half it is fitted to."""
    _check_signs(train, fake)
    value = 100 * (_mean_squares(real) - 1) / 2
    instead = {"the sign": -value, "the factor 100 left out": value / 100, "the half left out": 2 * value}
    return Derived(value, "exact rationals", instead)


derive = {
    "authenticity": authenticity,
    "nearest_ratio": nearest_ratio,
    "c_t": c_t,
    "fld": fld,
    "fld_gap": fld_gap,
}


def _ordinary() -> Arrays:
    return {"train": bells(701, 60, 3), "real": bells(702, 40, 3), "fake": bells(703, 50, 3) * 1.25}


def _copies() -> Arrays:
    train = bells(704, 50, 4)
    return {"train": train, "real": bells(705, 30, 4), "fake": np.concatenate([train[:30], train[:10] + 1 / UNIT])}


def _some_copies() -> Arrays:
    train, fresh = bells(706, 64, 4), bells(707, 32, 4)
    return {"train": train, "real": bells(708, 40, 4), "fake": np.concatenate([train[:32], fresh])}


def _steps() -> Arrays:
    """Training features at 0, 1, ... 19, fakes at steps of 3/2 and of 1 beyond them: ties."""
    fake = np.concatenate([1.5 * np.arange(12.0), np.arange(20.0, 24.0)])
    return {"train": np.arange(20.0)[:, None], "real": np.arange(10.0)[:, None] + 0.25, "fake": fake[:, None]}


def _all_equal() -> Arrays:
    return {side: np.full((24, 2), 0.5) for side in ("train", "real", "fake")}


def _one_repeated() -> Arrays:
    return {"train": bells(709, 40, 3), "real": bells(710, 30, 3), "fake": np.full((25, 3), 0.125)}


def _far() -> Arrays:
    return {side: np.asarray(x) + 8192.0 for side, x in _copies().items()}


def _wide() -> Arrays:
    return {"train": bells(711, 30, 2048), "real": bells(712, 24, 2048), "fake": bells(713, 25, 2048) * 0.5}


_MEMORY = (
    ("ordinary", "60 training, 40 held-out, 50 generated rows, d = 3", _ordinary, ()),
    ("copies", "copies of training rows, and near copies", _copies, ()),
    ("half-copies", "half of the samples are copies", _some_copies, ()),
    ("steps", "points on a line at equal steps", _steps, ("ties",)),
    ("one-sample-repeated", "one sample, 25 times", _one_repeated, ()),
    ("huge-mean", "copies, all rows moved by 8192", _far, ("cancellation",)),
    ("wide", "d = 2048", _wide, ()),
)


def _clusters(fake: str) -> Arrays:
    """Three clusters 512 apart; fakes that are fresh, copies, or seldom in the third cluster."""
    corners = 512.0 * np.array([[1, 0], [0, 1], [0, 0]])
    train, real, fresh = (
        (bells(key, n, 3, 2) + corners).reshape(-1, 2) for key, n in ((721, 40), (722, 25), (723, 30))
    )
    chosen = {
        "fresh": fresh,
        "copies": train[:90] + 1 / UNIT,
        "rare": np.concatenate([fresh[np.arange(90) % 3 < 2], fresh[2:30:3]]),
        "farther": (fresh.reshape(-1, 3, 2) - corners).repeat(1, axis=0).reshape(-1, 2) * 2 + np.tile(corners, (30, 1)),
    }
    return {"train": train, "real": real, "fake": chosen[fake]}


def _signs(d: int, real: np.ndarray) -> Arrays:
    train = np.where(np.arange(40) % 2 == 0, 1.0, -1.0)[:, None]
    return {"train": np.repeat(train, d, axis=1), "real": real, "fake": np.zeros((30, d))}


CASES = (
    *(
        Case(id=f"authenticity/{name}", about=about, arrays=arrays, because=EXACT, pitfalls=pitfalls)
        for name, about, arrays, pitfalls in _MEMORY
    ),
    Case(id="authenticity/all-equal", about="every feature is one point", arrays=_all_equal, because=EXACT, closed=0.0,
         formula="0 > 0 never", pitfalls=("ties",)),
    *(
        Case(id=f"nearest_ratio/{name}", about=about, arrays=arrays, pitfalls=pitfalls)
        for name, about, arrays, pitfalls in _MEMORY
    ),
    Case(id="nearest_ratio/all-equal", about="held-out data are copies", arrays=_all_equal, refused=True),
    Case(id="c_t/fresh", about="three clusters, fresh samples", arrays=lambda: _clusters("fresh")),
    Case(id="c_t/copies", about="three clusters, near copies", arrays=lambda: _clusters("copies")),
    Case(id="c_t/farther", about="three clusters, samples twice as wide", arrays=lambda: _clusters("farther")),
    Case(id="c_t/rare-cell", about="10 samples in the third cluster", arrays=lambda: _clusters("rare")),
    Case(id="c_t/too-few", about="no cell holds 20 samples", refused=True,
         arrays=lambda: {side: np.asarray(x)[:30] for side, x in _clusters("fresh").items()}),
    Case(id="fld/signs", about="training data at +1 and -1, everything else at 0",
         arrays=lambda: _signs(1, np.zeros((20, 1)))),
    Case(id="fld/signs-in-a-plane", about="the same twice, d = 2", arrays=lambda: _signs(2, np.zeros((20, 2)))),
    Case(id="fld/all-equal", about="training data that cannot be standardised", arrays=_all_equal, refused=True),
    Case(id="fld_gap/signs", about="training data at 1 and -1", arrays=lambda: _signs(1, bells(731, 30, 1))),
    Case(id="fld_gap/signs-in-space", about="the same in d = 3", arrays=lambda: _signs(3, 2 * bells(732, 30, 3))),
    Case(id="fld_gap/at-the-training-data", about="held-out data where the training data are", closed=0.0,
         formula="100 (1 - 1) / 2", atol=1e-6, because="rounding of features that are standardised in float32",
         arrays=lambda: _signs(1, np.repeat([[1.0], [-1.0]], 8, axis=0))),
    Case(id="fld_gap/all-equal", about="training data that cannot be standardised", arrays=_all_equal, refused=True),
)  # fmt: skip
