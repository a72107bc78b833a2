"""Squared maximum mean discrepancies: KID (polynomial kernel, unbiased) and CMMD (Gaussian kernel, biased).

Derived from inner products in exact integers; the polynomial kernel is a rational number, the Gaussian one is taken
with 60 digits.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from genbench.conformance.arrays import UNIT, Arrays, bells, integers
from genbench.conformance.cases import Case
from genbench.conformance.subjects import DIGITS, Derived

_GRID = 4 * UNIT


def _products(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Inner products as fractions."""
    whole = integers(x, _GRID) @ integers(y, _GRID).T
    return np.asarray(np.frompyfunc(lambda v: Fraction(int(v), _GRID**2), 1, 1)(whole), dtype=object)


def _parts(xx: Any, yy: Any, xy: Any) -> dict[str, Any]:
    """The estimates that go by the name, from matrices of kernel values."""
    n, m = xy.shape
    cross = 2 * xy.sum() / (n * m)
    found = {
        "unbiased": (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1)) - cross,
        "biased": xx.sum() / (n * n) + yy.sum() / (m * m) - cross,
    }
    if n == m:
        found["u"] = found["unbiased"] + cross - 2 * (xy.sum() - np.trace(xy)) / (n * (n - 1))
    return found


def kid(*, real: np.ndarray, fake: np.ndarray, degree: int = 3, gamma: float | None = None, coef0: float = 1.0,
        subsets: int | None = None, subset_size: int = 1000, seed: int = 2020) -> Derived:  # fmt: skip
    """The unbiased estimate over all pairs, or the mean over random subsets."""
    scale, offset = Fraction(1, real.shape[1]) if gamma is None else Fraction(gamma), Fraction(coef0)

    def estimates(x: np.ndarray, y: np.ndarray, scale: Fraction = scale, power: int = degree) -> dict[str, Any]:
        return _parts(*((_products(a, b) * scale + offset) ** power for a, b in ((x, x), (y, y), (x, y))))

    if subsets is not None:
        rng = np.random.RandomState(seed)
        draws = []
        for _ in range(subsets):
            of_fake = rng.choice(len(fake), subset_size, replace=False)
            of_real = rng.choice(len(real), subset_size, replace=False)
            draws.append(estimates(real[of_real], fake[of_fake])["unbiased"])
        exact = estimates(real, fake)["unbiased"]
        return Derived(sum(draws) / subsets, "exact rationals", {"all pairs": exact})
    found = estimates(real, fake)
    instead = {
        "the kernel's diagonals kept (biased)": found["biased"],
        "gamma 1 in place of 1 / d": estimates(real, fake, Fraction(1))["unbiased"],
        "degree 2": estimates(real, fake, power=2)["unbiased"],
        "times 1000": 1000 * found["unbiased"],
        "the root of the distance": float(max(found["unbiased"], Fraction(0))) ** 0.5,
    }
    if "u" in found:
        instead["the diagonal of the cross term left out"] = found["u"]
    return Derived(found["unbiased"], "exact rationals", instead)


def cmmd(*, real: np.ndarray, fake: np.ndarray, sigma: float = 10.0, normalize: bool = True) -> Derived:
    """1000 times the biased estimate, of features scaled to norm 1."""
    import mpmath as mp

    with mp.workdps(DIGITS):
        sides = {"real": real, "fake": fake}

        def kernel(a: str, b: str, normalize: bool) -> np.ndarray:
            products = _products(sides[a], sides[b])
            left = [mp.mpf(v.numerator) / v.denominator for v in np.diagonal(_products(sides[a], sides[a]))]
            right = [mp.mpf(v.numerator) / v.denominator for v in np.diagonal(_products(sides[b], sides[b]))]
            values = np.empty(products.shape, dtype=object)
            for i, j in np.ndindex(products.shape):
                product: Any = products[i, j]
                inner = mp.mpf(product.numerator) / product.denominator
                lengths = mp.sqrt(left[i] * right[j])
                squared = 2 - 2 * inner / lengths if normalize else left[i] + right[j] - 2 * inner
                values[i, j] = mp.exp(-squared / (2 * mp.mpf(sigma) ** 2))
            return values

        def estimates(normalize: bool) -> dict[str, Any]:
            return _parts(*(kernel(a, b, normalize) for a, b in (("real", "real"), ("fake", "fake"), ("real", "fake"))))

        found = estimates(normalize)
        instead = {
            "the kernel's diagonals left out (unbiased)": 1000 * found["unbiased"],
            "the factor 1000 left out": found["biased"],
            f"normalize={not normalize}": 1000 * estimates(not normalize)["biased"],
        }
        return Derived(1000 * found["biased"], f"mpmath, {DIGITS} digits", instead)


derive = {"kid": kid, "cmmd": cmmd}


def _ordinary() -> Arrays:
    return {"real": bells(401, 30, 8), "fake": bells(402, 30, 8) * 1.25 + 0.25}


def _unequal() -> Arrays:
    return {"real": bells(403, 12, 5), "fake": bells(404, 31, 5) - 0.5}


def _same() -> Arrays:
    x = bells(405, 25, 6)
    return {"real": x, "fake": x[::-1]}


def _duplicated() -> Arrays:
    return {"real": np.repeat(bells(406, 10, 4), 2, axis=0), "fake": np.repeat(bells(407, 5, 4), 4, axis=0)}


def _collapsed() -> Arrays:
    return {"real": bells(408, 20, 4), "fake": np.full((20, 4), 0.5)}


def _missing_mode() -> Arrays:
    sign = np.where(np.arange(24) % 2 == 0, 2.0, -2.0)[:, None]
    return {"real": bells(409, 24, 5) + sign, "fake": bells(410, 24, 5) + 2.0}


def _line() -> Arrays:
    return {"real": bells(411, 20, 1), "fake": bells(412, 20, 1) / 2 + 1}


def _wide() -> Arrays:
    return {"real": bells(413, 16, 2048), "fake": bells(414, 16, 2048) + 1 / 8}


def _far() -> Arrays:
    return {"real": bells(415, 24, 6) + 64.0, "fake": bells(416, 24, 6) + 64.0}


def _tiny() -> Arrays:
    return {"real": bells(417, 20, 4) / 4, "fake": bells(418, 20, 4) / 4 + 1 / 128}


def _two_rows() -> Arrays:
    return {"real": bells(419, 2, 3), "fake": bells(420, 2, 3)}


def _nan() -> Arrays:
    x = bells(421, 20, 3)
    x[0, 0] = np.inf
    return {"real": x, "fake": bells(422, 20, 3)}


def _with_zero_row() -> Arrays:
    x = bells(423, 20, 3)
    x[5] = 0
    return {"real": bells(424, 20, 3), "fake": x}


_CANCELS = "1e-6 of the kernel's values, which cancel"
_NULL = "1e-9 of 1000: kernel values near 1, which cancel"

_SCENES = (
    ("ordinary", "30 rows each, d = 8", _ordinary, ()),
    ("unequal", "12 and 31 rows", _unequal, ()),
    ("equal", "the same rows in another order", _same, ()),
    ("duplicated-rows", "rows twice, and four times", _duplicated, ()),
    ("one-sample-repeated", "fake is one row, 20 times", _collapsed, ()),
    ("missing-mode", "real has two modes, fake one of them", _missing_mode, ()),
    ("one-dimension", "d = 1", _line, ()),
    ("wide", "d = 2048", _wide, ()),
    ("huge-mean", "rows about 64: the kernel's values are 7e10, their differences small", _far, ("cancellation",)),
    ("small-scale", "rows a quarter as wide, almost equal laws", _tiny, ("cancellation",)),
    ("two-rows", "the fewest that the estimate allows", _two_rows, ()),
)

CASES = (
    *(
        Case(id=f"kid/{name}", about=about, arrays=arrays, atol=5e-6,
             because=_CANCELS, pitfalls=pitfalls)
        for name, about, arrays, pitfalls in _SCENES
    ),
    Case(id="kid/degree-2", about="another kernel", arrays=_ordinary, arguments={"degree": 2}, atol=5e-6,
         because=_CANCELS),
    Case(id="kid/gamma-coef0", about="gamma 1/2, coef0 2", arrays=_ordinary,
         arguments={"gamma": 0.5, "coef0": 2.0}, atol=5e-5, because=_CANCELS),
    Case(id="kid/subsets", about="4 subsets of 10 rows by RandomState(2020), fake drawn first", arrays=_ordinary,
         arguments={"subsets": 4, "subset_size": 10}, atol=5e-6, because=_CANCELS),
    Case(id="kid/infinite", about="an infinite value", arrays=_nan, refused=True),
    *(
        Case(id=f"cmmd/{name}", about=about, arrays=arrays, atol=1e-9, because=_NULL, pitfalls=pitfalls)
        for name, about, arrays, pitfalls in _SCENES
    ),
    Case(id="cmmd/narrow", about="sigma 1/2", arrays=_ordinary, arguments={"sigma": 0.5}),
    Case(id="cmmd/as-they-are", about="features not scaled", arrays=_ordinary, arguments={"normalize": False}),
    Case(id="cmmd/far-as-they-are", about="features not scaled, about 64: squared norms cancel", arrays=_far,
         arguments={"normalize": False}, atol=1e-8, because=_NULL, pitfalls=("cancellation",)),
    Case(id="cmmd/row-of-zeros", about="a row without direction", arrays=_with_zero_row, refused=True),
)  # fmt: skip
