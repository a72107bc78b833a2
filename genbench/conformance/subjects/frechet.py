"""The Fréchet distance: |mu_r - mu_f|^2 + Tr(S_r + S_f - 2 (S_r S_f)^(1/2)).

Derived from integers: with A and B the two sets centred and scaled to integers, the overlap Tr (S_r S_f)^(1/2) is the
sum of the singular values of A B', whose squares are the eigenvalues of the exact integer matrix A B' B A'; these
are found with 60 digits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from genbench.conformance.arrays import Arrays, bells, integers, levels
from genbench.conformance.cases import Case
from genbench.conformance.subjects import DIGITS, Derived


def _centred(x: np.ndarray, unit: int) -> np.ndarray:
    """n unit (x - mean), as integers."""
    whole = integers(x, unit)
    centred: np.ndarray = len(x) * whole - whole.sum(axis=0)
    return centred


def _float32_mean_term(real: np.ndarray, fake: np.ndarray) -> float:
    gap = real.astype(np.float32).mean(axis=0) - fake.astype(np.float32).mean(axis=0)
    return float(gap @ gap)


def fid(*, real: np.ndarray, fake: np.ndarray, ddof: int = 1) -> Derived:
    """The distance, and what it becomes with the other ddof, with means taken in float32, and as a root."""
    import mpmath as mp

    with mp.workdps(DIGITS):
        unit = 1
        while any((np.rint(x * float(unit)) != x * float(unit)).any() for x in (real, fake)):
            unit *= 2
        a, b = _centred(real, unit), _centred(fake, unit)
        n, m = len(a), len(b)
        gap = m * integers(real, unit).sum(axis=0) - n * integers(fake, unit).sum(axis=0)
        means = mp.mpf(int(gap @ gap)) / (n * m * unit) ** 2
        short, long = (a, b) if n <= m else (b, a)
        product = short @ long.T
        gram = mp.matrix((product @ product.T).tolist())
        values = mp.eigsy(gram, eigvals_only=True)
        overlap = mp.fsum(mp.sqrt(max(v, mp.mpf(0))) for v in values) / (n * m * mp.mpf(unit) ** 2)
        of_a = mp.mpf(int(np.square(a).sum())) / (n * unit) ** 2
        of_b = mp.mpf(int(np.square(b).sum())) / (m * unit) ** 2

        def spread(ddof: int) -> Any:
            return of_a / (n - ddof) + of_b / (m - ddof) - 2 * overlap / mp.sqrt((n - ddof) * (m - ddof))

        value = means + spread(ddof)
        instead = {
            f"ddof {1 - ddof}": means + spread(1 - ddof),
            "means taken in float32": _float32_mean_term(real, fake) + spread(ddof),
            "the root of the distance": mp.sqrt(max(value, mp.mpf(0))),
            "the covariances' term left out": means,
            "the means' term left out": spread(ddof),
        }
        return Derived(value, f"mpmath, {DIGITS} digits", instead)


def fid_infinity(*, real: np.ndarray, fake: np.ndarray) -> Derived:
    """The limit where the generated set does not vary: then the distance of every subset is that of the whole."""
    if np.ptp(fake, axis=0).any():
        raise ValueError("the limit is derived only where every subset has the same moments")
    found = fid(real=real, fake=fake)
    return Derived(found.value, found.provenance)


derive = {"fid": fid, "sfid": fid, "fid_infinity": fid_infinity}


def _mixed(key: int, n: int, d: int) -> np.ndarray:
    """Correlated features: each column gets half of the one before it."""
    x = bells(key, n, d)
    return x + np.concatenate([np.zeros((n, 1)), x[:, :-1]], axis=1) / 2


def _ordinary() -> Arrays:
    return {"real": bells(1, 64, 8), "fake": _mixed(2, 48, 8) + 0.5}


def _equal() -> Arrays:
    x = bells(3, 40, 6)
    return {"real": x, "fake": x[::-1]}


def _shifted() -> Arrays:
    x = bells(4, 30, 5)
    return {"real": x, "fake": x + 2.0}


def _few() -> Arrays:
    return {"real": bells(5, 12, 32), "fake": _mixed(6, 20, 32)}


def _nearly_singular() -> Arrays:
    """The last column repeats the first but for 2^-10 of another: the smallest eigenvalue is about 1e-7."""
    x, y = bells(7, 50, 8), bells(8, 50, 8)
    for side in (x, y):
        side[:, -1] = side[:, 0] + np.sign(side[:, -1]) * 2.0**-10
    return {"real": x, "fake": y * 1.5}


def _singular() -> Arrays:
    x, y = bells(9, 60, 4), bells(10, 50, 4)
    return {"real": np.concatenate([x, x], axis=1), "fake": np.concatenate([y, 2 * y], axis=1)}


def _disjoint() -> Arrays:
    """Each set varies where the other does not, so that the overlap is zero."""
    x, y = bells(11, 40, 6), bells(12, 40, 6)
    x[:, 3:] = 0
    y[:, :3] = 0
    return {"real": x, "fake": y}


def _far(mean: float, unit: int) -> Arrays:
    x, y = _ordinary().values()
    assert x is not None
    assert y is not None
    return {"real": np.rint(x * unit) / unit + mean, "fake": np.rint(y * unit) / unit + mean}


def _duplicated() -> Arrays:
    return {"real": np.repeat(bells(13, 15, 3), 2, axis=0), "fake": np.tile(_mixed(14, 9, 3), (3, 1))}


def _one_repeated() -> Arrays:
    return {"real": bells(15, 32, 4), "fake": np.full((20, 4), 0.25)}


def _line() -> Arrays:
    return {"real": bells(16, 25, 1), "fake": 3 * bells(17, 30, 1) + 1}


def _small_sets() -> Arrays:
    return {"real": bells(18, 6, 3), "fake": bells(19, 5, 3) * 2}


def _bytes() -> Arrays:
    return {
        "real": levels(20, 40, 6).astype(np.uint8),
        "fake": (255 - levels(21, 30, 6) // 2).astype(np.uint8),
    }


def _missing_mode() -> Arrays:
    sign = np.where(np.arange(60) % 2 == 0, 4.0, -4.0)[:, None]
    return {"real": bells(22, 60, 5) + sign, "fake": bells(23, 60, 5) + 4.0}


def _scaled(power: int) -> Arrays:
    x, y = _ordinary().values()
    assert x is not None
    assert y is not None
    return {"real": x * 2.0**power, "fake": y * 2.0**power}


def _wide() -> Arrays:
    """x of 48 rows in 2048 dimensions, and x / 2 + 1/4."""
    x = bells(24, 48, 2048)
    return {"real": x, "fake": x / 2 + 0.25}


def _diagonal() -> Arrays:
    """Columns of a Hadamard matrix, scaled: covariances are diagonal and exact."""
    h = np.ones((1, 1))
    for _ in range(6):
        h = np.block([[h, h], [h, -h]])
    x = h[:, 1:49]
    return {"real": x, "fake": x * (1 + np.arange(48) % 4)}


def _nan() -> Arrays:
    x = bells(25, 20, 3)
    x[7, 1] = np.nan
    return {"real": x, "fake": bells(26, 20, 3)}


def _few_generated() -> Arrays:
    return {"real": bells(29, 50, 12), "fake": bells(30, 20, 12)}


_TRACES = "1e-7 of the traces, which cancel"

_FID = (
    Case(id="fid/ordinary", about="64 and 48 correlated rows, d = 8", arrays=_ordinary),
    Case(
        id="fid/equal",
        about="the same rows in another order",
        arrays=_equal,
        atol=1e-6,
        because=_TRACES,
        closed=0.0,
        formula="equal moments",
    ),
    Case(
        id="fid/shifted",
        about="the same rows moved by 2 in each of 5 dimensions",
        arrays=_shifted,
        closed=20.0,
        formula="d c^2 = 5 * 4",
    ),
    Case(id="fid/fewer-than-dimensions", about="12 and 20 rows, d = 32", arrays=_few, pitfalls=("singular",)),
    Case(
        id="fid/nearly-singular",
        about="smallest eigenvalue about 1e-7 of the largest",
        arrays=_nearly_singular,
        pitfalls=("singular",),
    ),
    Case(id="fid/singular", about="columns repeated, rank 4 of 8", arrays=_singular, pitfalls=("singular",)),
    Case(id="fid/disjoint", about="no dimension in which both vary", arrays=_disjoint, pitfalls=("singular",)),
    Case(
        id="fid/huge-mean",
        about="the ordinary rows moved by 8192",
        arrays=lambda: _far(2.0**13, 256),
        pitfalls=("cancellation",),
    ),
    Case(
        id="fid/gigantic-mean",
        about="rows on a grid of 1/16 moved by 262144",
        arrays=lambda: _far(2.0**18, 16),
        pitfalls=("cancellation",),
    ),
    Case(id="fid/duplicated-rows", about="every row twice, or three times", arrays=_duplicated),
    Case(
        id="fid/one-sample-repeated",
        about="fake is one row, 20 times: its covariance is zero",
        arrays=_one_repeated,
        pitfalls=("singular",),
    ),
    Case(
        id="fid/one-dimension",
        about="d = 1: (difference of means)^2 + (difference of deviations)^2",
        arrays=_line,
        pitfalls=("one dimension",),
    ),
    Case(id="fid/small-sets", about="6 and 5 rows, d = 3: ddof shows", arrays=_small_sets),
    Case(
        id="fid/small-sets-ddof-0",
        about="the same under ddof 0 (StyleGAN's convention)",
        arrays=_small_sets,
        arguments={"ddof": 0},
    ),
    Case(
        id="fid/bytes",
        about="uint8 features: integers that overflow when squared",
        arrays=_bytes,
        pitfalls=("integers",),
    ),
    Case(id="fid/missing-mode", about="real has two modes, fake one of them", arrays=_missing_mode),
    Case(
        id="fid/tiny-scale",
        about="the ordinary rows times 2^-20",
        arrays=lambda: _scaled(-20),
        pitfalls=("absolute offset",),
    ),
    Case(id="fid/huge-scale", about="the ordinary rows times 2^30", arrays=lambda: _scaled(30)),
    Case(
        id="fid/diagonal",
        about="n = 64, d = 48, diagonal covariances",
        arrays=_diagonal,
        closed=12 * (0 + 1 + 4 + 9) * 64 / 63,
        formula="n / (n - 1) sum (a - b)^2",
    ),
    Case(
        id="fid/wide",
        about="48 rows, d = 2048, fake = real / 2 + 1/4",
        arrays=_wide,
        pitfalls=("singular",),
        large=True,
    ),
    Case(id="fid/nan", about="one value is NaN", arrays=_nan, refused=True),
    Case(
        id="fid/one-row",
        about="a covariance of one row with ddof 1",
        refused=True,
        arrays=lambda: {"real": bells(27, 10, 3), "fake": bells(28, 1, 3)},
    ),
)

# The same function on another layer: its name must not lead to another formula.
_SPATIAL = ("ordinary", "fewer-than-dimensions", "singular", "huge-mean", "small-sets-ddof-0", "one-dimension", "nan")

CASES = (
    *_FID,
    *(replace(case, id=f"s{case.id}") for case in _FID if case.id.partition("/")[2] in _SPATIAL),
    Case(
        id="fid_infinity/one-sample-repeated",
        about="fake is one row, 20 times: no size has a bias",
        arrays=_one_repeated,
        pitfalls=("singular",),
    ),
    Case(
        id="fid_infinity/one-point",
        about="every feature of both sets is one point",
        arrays=lambda: {"real": np.full((30, 3), 0.5), "fake": np.full((40, 3), 0.5)},
        atol=1e-9,
        because="rounding of a sum that vanishes",
        closed=0.0,
        formula="equal moments",
    ),
    Case(
        id="fid_infinity/constants",
        about="two points that lie 3/4 apart in each of 4 dimensions",
        arrays=lambda: {"real": np.full((30, 4), 0.5), "fake": np.full((40, 4), -0.25)},
        closed=2.25,
        formula="d c^2 = 4 * 9/16",
    ),
    Case(
        id="fid_infinity/too-few",
        about="20 generated rows, a reference that varies in 12 directions",
        arrays=_few_generated,
        refused=True,
    ),
)
