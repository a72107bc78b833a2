"""Means of log-likelihoods and of their ratios: nats, bits, divergences by Monte Carlo, the typical set."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from genbench.conformance.arrays import Arrays, bells
from genbench.conformance.cases import EXACT, Case
from genbench.conformance.subjects import DIGITS, Derived

_RATIONAL = "exact rationals"


def _mean(values: np.ndarray) -> Fraction:
    return sum((Fraction(float(v)) for v in values), Fraction(0)) / len(values)


def _mistakes(value: Fraction, n: int) -> dict[str, Any]:
    return {
        "the sign": -value,
        "the sum instead of the mean": value * n,
        "bits instead of nats": float(value) / np.log(2),
        "nats instead of bits": float(value) * np.log(2),
    }


def mean_of_real(*, real: np.ndarray) -> Derived:
    """The mean."""
    value = _mean(real)
    return Derived(value, _RATIONAL, _mistakes(value, len(real)))


def mean_of_ratios(*, real: np.ndarray, fake: np.ndarray | None = None) -> Derived:
    """The mean of log p - log q over draws from p."""
    value = _mean(real[:, 0]) - _mean(real[:, 1])
    return Derived(value, _RATIONAL, _mistakes(value, len(real)))


def kl_reverse(*, fake: np.ndarray, real: np.ndarray | None = None) -> Derived:
    """The mean of log q - log p over draws from q."""
    value = _mean(fake[:, 1]) - _mean(fake[:, 0])
    return Derived(value, _RATIONAL, _mistakes(value, len(fake)))


def jensen_shannon(*, real: np.ndarray, fake: np.ndarray) -> Derived:
    """Half the mean of log 2p / (p + q) over draws from p, and half that of log 2q / (p + q) over draws from q."""
    import mpmath as mp

    with mp.workdps(DIGITS):

        def side(own: np.ndarray, other: np.ndarray) -> Any:
            ratios = (mp.exp(mp.mpf(float(b)) - mp.mpf(float(a))) for a, b in zip(own, other, strict=True))
            return mp.fsum(mp.log(2) - mp.log1p(r) for r in ratios) / len(own)

        of_p, of_q = side(real[:, 0], real[:, 1]), side(fake[:, 1], fake[:, 0])
        value = (of_p + of_q) / 2
        instead = {
            "bits instead of nats": value / mp.log(2),
            "the root (the distance)": mp.sqrt(abs(value)),
            "the half left out": 2 * value,
            "draws from p only": of_p,
            "draws from q only": of_q,
        }
        return Derived(value, f"mpmath, {DIGITS} digits", instead)


def validity(*, real: np.ndarray, fake: np.ndarray) -> Derived:
    """The share of fake between the 0.05% and the 99.95% quantile of real, interpolated linearly."""
    ordered = sorted(Fraction(float(v)) for v in real)

    def quantile(share: Fraction) -> Fraction:
        place = share * (len(ordered) - 1)
        low = int(place)
        return ordered[low] + (place - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])

    def share(low: Fraction | None, high: Fraction | None) -> Fraction:
        inside = [(low is None or low <= v) and (high is None or v <= high) for v in fake.tolist()]
        return Fraction(sum(inside), len(fake))

    low, high = quantile(Fraction(1, 2000)), quantile(Fraction(1999, 2000))
    instead = {
        "the upper end only": share(None, high),
        "the lower end only": share(low, None),
        "the central 99%": share(quantile(Fraction(1, 200)), quantile(Fraction(199, 200))),
        "the share outside": 1 - share(low, high),
    }
    return Derived(share(low, high), "enumeration of exact rationals", instead)


derive = {
    "nats": mean_of_real,
    "bits_per_dim": mean_of_real,
    "excess_nats": mean_of_ratios,
    "kl_forward": mean_of_ratios,
    "kl_reverse": kl_reverse,
    "jensen_shannon": jensen_shannon,
    "validity": validity,
}

_KEPT = "float64 keeps these digits of a mean"


def _vector(name: str, sign: float, low: float) -> list[Case]:
    """A mean of n values, near `low` in the ordinary case; an impossible image makes it infinite."""

    def with_zero() -> Arrays:
        values = sign * (low + bells(302, 30))
        values[4] = sign * np.inf
        return {"real": values}

    return [
        Case(id=f"{name}/ordinary", about="100 images", arrays=lambda: {"real": sign * (low + bells(301, 100))}),
        Case(id=f"{name}/cancelling", about="values of 2^20 and -2^20 with a mean near 0", rtol=1e-9, because=_KEPT,
             arrays=lambda: {"real": np.where(np.arange(64) % 2 == 0, 2.0**20, -(2.0**20)) + bells(303, 64) + 0.5},
             pitfalls=("cancellation",)),
        Case(id=f"{name}/huge", about="values near 2^30, on steps of 1/256", rtol=1e-12, because=_KEPT,
             arrays=lambda: {"real": sign * (2.0**30 + bells(304, 50))}, pitfalls=("cancellation",)),
        Case(id=f"{name}/one-image", about="a single image", arrays=lambda: {"real": np.array([sign * 3.5])}),
        Case(id=f"{name}/all-equal", about="33 times one value", arrays=lambda: {"real": np.full(33, sign * 0.75)}),
        Case(id=f"{name}/impossible", about="an image of probability zero", arrays=with_zero, refused=True),
        Case(id=f"{name}/nan", about="a NaN", arrays=lambda: {"real": np.array([-1.0, np.nan, -2.0])}, refused=True),
    ]  # fmt: skip


def _pairs(key: int, n: int, offset: float = 0.0, gap: float = 1.0) -> np.ndarray:
    """log p and log q at n points."""
    log_p = bells(key, n) - 2 + offset
    return np.stack([log_p, log_p - gap * (bells(key + 1, n) + 0.5)], axis=1)


def _zero(column: int) -> np.ndarray:
    pairs = _pairs(311, 20)
    pairs[6, column] = -np.inf
    return pairs


def _ratios(name: str, side: str) -> list[Case]:
    """A mean of log ratios at draws from p (side real) or from q (side fake)."""
    other = 1 if side == "real" else 0
    scenes: tuple[tuple[str, str, np.ndarray, dict[str, Any]], ...] = (
        ("ordinary", "80 draws", _pairs(313, 80), {}),
        ("far", "log-densities near -2^20 that differ by about 1/2", _pairs(315, 60, -(2.0**20)),
         {"rtol": 1e-9, "because": _KEPT, "pitfalls": ("cancellation",)}),
        ("equal", "q = p", np.repeat(bells(317, 40)[:, None], 2, axis=1), {"closed": 0.0, "formula": "log 1"}),
        ("missing", "q far too small on a third of the draws: terms of 512", _missing(), {}),
        ("impossible", "the other density is zero at a draw", _zero(other), {"refused": True}),
        ("nan", "a NaN", np.array([[0.5, np.nan], [1.0, 1.0]]), {"refused": True}),
    )  # fmt: skip
    return [
        Case(id=f"{name}/{scene}", about=about, arrays=lambda pairs=pairs: {side: pairs}, **rest)  # type: ignore[misc]
        for scene, about, pairs, rest in scenes
    ]


def _missing() -> np.ndarray:
    pairs = _pairs(318, 45)
    pairs[::3] += np.array([256.0, -256.0])
    return pairs


def _typical(key: int, m: int, fake: np.ndarray) -> Arrays:
    return {"real": bells(key, m) + 10, "fake": fake}


CASES = (
    *_vector("nats", -1.0, 90.0),
    *_vector("bits_per_dim", 1.0, 4.0),
    *_ratios("excess_nats", "real"),
    *_ratios("kl_forward", "real"),
    *_ratios("kl_reverse", "fake"),
    Case(id="jensen_shannon/ordinary", about="80 and 60 draws",
         arrays=lambda: {"real": _pairs(331, 80), "fake": _pairs(333, 60)[:, ::-1]}),
    Case(id="jensen_shannon/equal", about="q = p", closed=0.0, formula="log 1", atol=1e-12, because="rounding of log 2",
         arrays=lambda: {side: np.repeat(bells(335, 40)[:, None], 2, axis=1) for side in ("real", "fake")}),
    Case(id="jensen_shannon/disjoint", about="each density is zero where the other has draws", closed=float(np.log(2)),
         formula="log 2", pitfalls=("zeros",), arrays=lambda: {
             "real": np.array([[0.0, -np.inf]] * 20), "fake": np.array([[-np.inf, 0.0]] * 30)}),
    Case(id="jensen_shannon/overflow", about="log ratios of 2000 and -2000: exp overflows", pitfalls=("overflow",),
         arrays=lambda: {"real": np.array([[0.0, -2000.0], [-2000.0, 0.0]]), "fake": np.array([[-2000.0, 0.0]] * 4)}),
    Case(id="jensen_shannon/one-side", about="draws of p are covered, most draws of q are not", arrays=lambda: {
        "real": _pairs(336, 50), "fake": _pairs(338, 50)[:, ::-1] * np.array([64.0, 1.0])}),
    Case(id="jensen_shannon/impossible-draw", about="a draw from p where p is zero", refused=True,
         arrays=lambda: {"real": np.array([[-np.inf, 0.0], [0.0, 0.0]]), "fake": _pairs(340, 20)}),
    Case(id="validity/ordinary", about="4001 draws, 300 samples twice as wide", because=EXACT,
         arrays=lambda: _typical(341, 4001, 2 * bells(342, 300) + 10)),
    Case(id="validity/too-likely", about="half of the samples are too likely", because=EXACT,
         arrays=lambda: _typical(343, 3000, np.where(np.arange(50) % 2 == 0, 1.0, 10.0))),
    Case(id="validity/impossible", about="a tenth of the samples is impossible", because=EXACT,
         arrays=lambda: _typical(344, 3000, np.where(np.arange(40) % 10 == 0, np.inf, 10.0))),
    Case(id="validity/all-inside", about="every sample at the median", because=EXACT, closed=1.0, formula="all",
         arrays=lambda: _typical(345, 2500, np.full(25, 10.0))),
    Case(id="validity/few-draws", about="100 draws cannot hold a quantile of 0.05%", refused=True,
         arrays=lambda: _typical(346, 100, np.full(25, 10.0))),
)  # fmt: skip
