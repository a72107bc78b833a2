"""The Vendi score, and a classifier between the two sets.

Similarities come from inner products in exact integers, eigenvalues with 60 digits. The classifier's folds are random,
so its cases are those whose answer no dealing of the folds can move.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from genbench.conformance.arrays import UNIT, Arrays, bells, integers
from genbench.conformance.cases import EXACT, Case
from genbench.conformance.subjects import DIGITS, Derived


def vendi(*, fake: np.ndarray, order: float = 1.0, kernel: str = "cosine", sigma: float | None = None) -> Derived:
    """exp of the entropy of the eigenvalues of K / n."""
    import mpmath as mp

    with mp.workdps(DIGITS):
        whole, n = integers(fake, 4 * UNIT), len(fake)
        products = (whole @ whole.T).tolist()

        def similar(i: int, j: int) -> Any:
            if kernel == "cosine":
                return mp.mpf(products[i][j]) / mp.sqrt(mp.mpf(products[i][i]) * products[j][j])
            squared = mp.mpf(products[i][i] + products[j][j] - 2 * products[i][j]) / (4 * UNIT) ** 2
            return mp.exp(-squared / (2 * mp.mpf(sigma) ** 2))

        matrix = mp.matrix([[similar(i, j) for j in range(n)] for i in range(n)])
        found = mp.eigsy(matrix / n, eigvals_only=True)
        values = [v for v in found if v > mp.mpf(10) ** -30]

        def score(order: float) -> Any:
            if order == 1:
                return mp.exp(-mp.fsum(v * mp.log(v) for v in values))
            if math.isinf(order):
                return 1 / max(values)
            return mp.fsum(v ** mp.mpf(order) for v in values) ** (1 / (1 - mp.mpf(order)))

        entropy = mp.log(score(order))
        instead = {
            "the exponential left out": entropy,
            "logarithms to base 2": mp.exp(entropy / mp.log(2)),
            "order 2": score(2.0),
            "order 1": score(1.0),
            "divided by n": score(order) / n,
        }
        return Derived(score(order), f"mpmath, {DIGITS} digits", instead)


def c2st(*, real: np.ndarray, fake: np.ndarray, folds: int = 5, k: int | None = None) -> Derived:
    """1 where every point's neighbours are of its own set, 1/2 where all points are one."""
    points = np.concatenate([integers(real), integers(fake)]).astype(np.int64)
    squared = np.stack([np.square(points - row).sum(axis=1) for row in points])
    own = np.equal.outer(np.arange(len(points)) < len(real), np.arange(len(points)) < len(real))
    least = min(len(real), len(fake)) * (folds - 1) // folds - 1
    if not squared.any():
        return Derived(0.5, "enumeration")
    if squared[own].max() < squared[~own].min() and (k or math.isqrt(len(points))) <= least:
        return Derived(1.0, "enumeration", {"the error in place of the accuracy": 0.0, "the distance from chance": 0.5})
    raise ValueError("the answer depends on how the folds are dealt")


derive = {"vendi": vendi, "c2st": c2st}


def _groups(counts: tuple[int, ...]) -> Arrays:
    """Rows along different axes, of different lengths: their cosines are 0 or 1."""
    rows = np.repeat(np.eye(len(counts)), counts, axis=0)
    return {"fake": rows * (1 + np.arange(len(rows)) % 3)[:, None]}


def _far_points(counts: tuple[int, ...]) -> Arrays:
    return {"fake": np.repeat(1024.0 * np.arange(len(counts)), counts)[:, None]}


def _zero_row() -> Arrays:
    x = bells(801, 12, 3)
    x[4] = 0
    return {"fake": x}


def _apart(n: int, m: int, d: int, gap: float, mean: float = 0.0) -> Arrays:
    return {"real": bells(811, n, d) + mean, "fake": bells(812, m, d) + gap + mean}


CASES = (
    Case(id="vendi/ordinary", about="18 rows, d = 6", arrays=lambda: {"fake": bells(802, 18, 6)}),
    Case(id="vendi/fewer-than-dimensions", about="10 rows, d = 24", arrays=lambda: {"fake": bells(803, 10, 24) + 0.5}),
    Case(id="vendi/three-pairs", about="three directions, twice each", arrays=lambda: _groups((2, 2, 2)), closed=3.0,
         formula="three equal groups"),
    Case(id="vendi/all-different", about="7 orthogonal rows",
         arrays=lambda: _groups((1,) * 7), closed=7.0, formula="n"),
    Case(id="vendi/all-equal", about="one row 15 times", arrays=lambda: {"fake": np.full((15, 3), 0.5)}, closed=1.0,
         formula="one kind"),
    Case(id="vendi/uneven", about="directions of weights 8, 4, 2, 1, 1", arrays=lambda: _groups((8, 4, 2, 1, 1)),
         closed=2.0**1.875, formula="2^(1/2 + 2/4 + 3/8 + 2 * 4/16)"),
    Case(id="vendi/opposed", about="rows and their negatives", closed=1.0, formula="rank one",
         arrays=lambda: {"fake": np.where(np.arange(12) % 2 == 0, 1.0, -1.0)[:, None] * np.ones((1, 4))}),
    Case(id="vendi/one-dimension", about="d = 1: all rows have one direction or its opposite", closed=1.0,
         formula="rank one", arrays=lambda: {"fake": bells(804, 20, 1) + 8}),
    Case(id="vendi/huge-mean", about="rows about 64", arrays=lambda: {"fake": bells(805, 14, 5) + 64},
         pitfalls=("cancellation",)),
    Case(id="vendi/wide", about="12 rows, d = 2048", arrays=lambda: {"fake": bells(806, 12, 2048)}),
    Case(id="vendi/order-2", about="another order",
         arrays=lambda: {"fake": bells(802, 18, 6)}, arguments={"order": 2.0}),
    Case(id="vendi/order-half", about="an order below 1", arrays=lambda: _groups((8, 4, 2, 1, 1)),
         arguments={"order": 0.5}),
    Case(id="vendi/order-infinite", about="the largest eigenvalue", arrays=lambda: _groups((8, 4, 2, 1, 1)),
         arguments={"order": math.inf}, closed=2.0, formula="1 / max"),
    Case(id="vendi/gaussian", about="the Gaussian kernel, sigma 1", arrays=lambda: {"fake": bells(807, 16, 4)},
         arguments={"kernel": "gaussian", "sigma": 1.0}),
    Case(id="vendi/gaussian-far", about="4, 3 and 1 points, far apart", closed=8 / 4**0.5 / 3**0.375,
         formula="8 / (4^(4/8) 3^(3/8))", arrays=lambda: _far_points((4, 3, 1)),
         arguments={"kernel": "gaussian", "sigma": 1.0}),
    Case(id="vendi/row-of-zeros", about="a row without direction", arrays=_zero_row, refused=True),
    Case(id="c2st/apart", about="60 and 60 rows, 64 apart", arrays=lambda: _apart(60, 60, 4, 64.0), closed=1.0,
         formula="never wrong", because=EXACT),
    Case(id="c2st/unequal", about="40 and 90 rows, apart", arrays=lambda: _apart(40, 90, 3, 32.0), closed=1.0,
         formula="never wrong", because=EXACT),
    Case(id="c2st/apart-on-a-line", about="d = 1", arrays=lambda: _apart(50, 50, 1, 32.0), closed=1.0,
         formula="never wrong", because=EXACT),
    Case(id="c2st/apart-far-out", about="d = 3, 32 apart, about 8192", arrays=lambda: _apart(50, 50, 3, 32.0, 8192.0),
         closed=1.0, formula="never wrong", because=EXACT, pitfalls=("cancellation",)),
    Case(id="c2st/wide", about="d = 2048", arrays=lambda: _apart(30, 30, 2048, 8.0), closed=1.0, formula="never wrong",
         because=EXACT),
    Case(id="c2st/all-equal", about="both sets are one point", closed=0.5, formula="even votes",
         because=EXACT, pitfalls=("ties",),
         arrays=lambda: {"real": np.full((30, 3), 0.5), "fake": np.full((40, 3), 0.5)}),
    Case(id="c2st/two-points", about="points 1/256 apart", because=EXACT, closed=1.0, formula="never wrong",
         arrays=lambda: {"real": np.full((30, 3), 4.0), "fake": np.full((30, 3), 4.0 + 1 / 256)}, pitfalls=("ties",)),
    Case(id="c2st/one-neighbour", about="k = 1, 3 folds", arrays=lambda: _apart(24, 24, 4, 64.0), closed=1.0,
         formula="never wrong", because=EXACT, arguments={"k": 1, "folds": 3}),
    Case(id="c2st/nan", about="a NaN", refused=True, arrays=lambda: {
        "real": np.where(np.arange(30)[:, None] == 3, np.nan, bells(813, 30, 2)), "fake": bells(814, 30, 2)}),
)  # fmt: skip
