"""Optimal transport: the earth mover's distance, sliced distances, and MIND.

On a line the optimal plan joins equal quantiles, which is exact in rationals. Elsewhere small plans are enumerated:
with both sets repeated up to one size, the best of all permutations is the best plan.
"""

from __future__ import annotations

import math
from itertools import pairwise, permutations
from typing import Any

import numpy as np

from genbench.conformance.arrays import Arrays, bells
from genbench.conformance.cases import Case
from genbench.conformance.subjects import DIGITS, Derived


def _on_a_line(x: list[Any], y: list[Any], p: Any) -> Any:
    """W_p^p of two samples on a line."""
    import mpmath as mp

    n, m = len(x), len(y)
    x, y = sorted(x), sorted(y)
    steps = sorted({i * m for i in range(n + 1)} | {j * n for j in range(m + 1)})
    return mp.fsum((b - a) * abs(x[a // m] - y[a // n]) ** p for a, b in pairwise(steps)) / (n * m)


def _exact(x: np.ndarray) -> list[list[Any]]:
    import mpmath as mp

    return [[mp.mpf(float(v)) for v in row] for row in x]


def _distance(a: list[Any], b: list[Any]) -> Any:
    import mpmath as mp

    return mp.sqrt(mp.fsum((u - v) ** 2 for u, v in zip(a, b, strict=True)))


def wasserstein(*, real: np.ndarray, fake: np.ndarray) -> Derived:
    """The least mean distance of a plan."""
    import mpmath as mp

    with mp.workdps(DIGITS):
        x, y = _exact(real), _exact(fake)
        shift = fake[0] - real[0]
        n = math.lcm(len(x), len(y))
        if real.shape[1] == 1:
            value = _on_a_line([v for (v,) in x], [v for (v,) in y], 1)
        elif len(real) == len(fake) and np.array_equal(real + shift, fake):
            value = _distance(x[0], y[0])  # no plan is shorter than the way between the means
        elif sorted(map(tuple, real.tolist())) == sorted(map(tuple, fake.tolist())):
            value = mp.mpf(0)
        elif (fake == fake[0]).all():
            value = mp.fsum(_distance(row, y[0]) for row in x) / len(x)
        elif n <= 7:
            costs = [[_distance(x[i * len(x) // n], y[j * len(y) // n]) for j in range(n)] for i in range(n)]
            value = min(mp.fsum(costs[i][j] for i, j in enumerate(order)) for order in permutations(range(n))) / n
        else:
            raise ValueError("no plan of this size can be enumerated")
        instead = {"the sum instead of the mean": value * len(x), "the mean distance of all pairs": mp.fsum(
            _distance(a, b) for a in x for b in y) / (len(x) * len(y))}  # fmt: skip
        if len(x) == len(y):
            instead["rows joined in their order"] = mp.fsum(_distance(a, b) for a, b in zip(x, y, strict=True)) / len(x)
        return Derived(value, f"enumeration, {DIGITS} digits", instead)


def _power(real: np.ndarray, fake: np.ndarray, projections: int, p: float, seed: int) -> Any:
    """The mean of W_p^p over directions: two on a line, those of RandomState(seed) elsewhere."""
    import mpmath as mp

    x, y, d = _exact(real), _exact(fake), real.shape[1]
    rays = _exact(np.random.RandomState(seed).standard_normal((projections, d))) if d > 1 else [[mp.mpf(1)]]
    total = mp.mpf(0)
    for ray in rays:
        norm = mp.sqrt(mp.fsum(v * v for v in ray))
        a, b = ([mp.fsum(u * v for u, v in zip(ray, row, strict=True)) / norm for row in side] for side in (x, y))
        total += _on_a_line(a, b, p)
    return total / len(rays)


def sliced_wasserstein(
    *, real: np.ndarray, fake: np.ndarray, projections: int = 1000, p: float = 2.0, seed: int = 0
) -> Derived:
    """The p-th root of the mean power."""
    import mpmath as mp

    with mp.workdps(DIGITS):
        if real.shape[1] > 1 and projections == 1000:
            shift = [mp.mpf(float(v)) for v in fake[0] - real[0]]
            power = mp.fsum(v * v for v in shift) / real.shape[1]
        else:
            power = _power(real, fake, projections, p, seed)
        value = mp.root(power, p)
        return Derived(
            value, f"mpmath, {DIGITS} digits", {"the root left out": power, "times d": value * real.shape[1]}
        )


def mind(*, real: np.ndarray, fake: np.ndarray, projections: int = 1000, seed: int = 0) -> Derived:
    """3 d times the mean power of order 2."""
    import mpmath as mp

    with mp.workdps(DIGITS):
        found = sliced_wasserstein(real=real, fake=fake, projections=projections, seed=seed)
        power = found.value**2
        value = 3 * real.shape[1] * power
        instead = {"the factor 3 d left out": power, "the factor 3 left out": value / 3, "the root": mp.sqrt(value)}
        return Derived(value, found.provenance, instead)


derive = {"wasserstein": wasserstein, "sliced_wasserstein": sliced_wasserstein, "mind": mind}


def _six() -> Arrays:
    return {"real": bells(601, 6, 3), "fake": bells(602, 6, 3) * 1.5 + 0.5}


def _two_and_three() -> Arrays:
    return {"real": bells(603, 2, 4), "fake": bells(604, 3, 4)}


def _shifted(key: int, n: int, d: int, shift: float) -> Arrays:
    x = bells(key, n, d)
    return {"real": x, "fake": x + shift}


def _shuffled() -> Arrays:
    x = bells(607, 50, 4)
    return {"real": x, "fake": np.roll(x, 17, axis=0)}


def _line(n: int, m: int) -> Arrays:
    return {"real": bells(608, n, 1), "fake": 2 * bells(609, m, 1) + 0.5}


def _collapsed(d: int) -> Arrays:
    return {"real": bells(610, 30, d), "fake": np.full((25, d), 0.25)}


def _repeated() -> Arrays:
    return {"real": np.repeat(bells(611, 3, 2), 2, axis=0), "fake": np.repeat(bells(612, 2, 2), 3, axis=0)}


_DIRECTIONS = "four standard deviations of the mean over 1000 random directions"


def _sliced(metric: str) -> list[Case]:
    rtol, closed, formula = (0.15, 96.0, "3 |c|^2 = 3 * 32") if metric == "mind" else (0.08, 2.0, "(|c|^2 / d)^(1/2)")
    few: dict[str, Any] = {"projections": 5, "seed": 7}
    return [
        Case(id=f"{metric}/one-dimension", about="30 and 30 rows on a line", arrays=lambda: _line(30, 30)),
        Case(id=f"{metric}/unequal", about="12 and 17 rows on a line", arrays=lambda: _line(12, 17)),
        Case(id=f"{metric}/collapsed-line", about="fake is one value", arrays=lambda: _collapsed(1)),
        Case(id=f"{metric}/equal", about="the same rows in another order", closed=0.0, formula="equal sets",
             arrays=lambda: {side: bells(614, 20, 1) for side in ("real", "fake")}, atol=1e-12,
             because="rounding of a sum that vanishes"),
        Case(id=f"{metric}/shifted", about="rows moved by 2 along each of 8 dimensions", rtol=rtol, closed=closed,
             arrays=lambda: _shifted(615, 40, 8, 2.0), formula=formula, because=_DIRECTIONS),
        Case(id=f"{metric}/few-directions", about="5 directions of RandomState(7)", arguments=few, arrays=_six),
        Case(id=f"{metric}/far", about="a line moved by 8192", arrays=lambda: {
            side: np.asarray(x) + 8192.0 for side, x in _line(20, 15).items()}, pitfalls=("cancellation",)),
        Case(id=f"{metric}/nan", about="a NaN", refused=True,
             arrays=lambda: {"real": np.array([[0.0], [np.nan]]), "fake": np.array([[0.0], [1.0]])}),
    ]  # fmt: skip


CASES = (
    Case(id="wasserstein/six", about="6 rows each: 720 plans", arrays=_six),
    Case(id="wasserstein/two-and-three", about="2 and 3 rows", arrays=_two_and_three),
    Case(id="wasserstein/repeated-rows", about="3 rows twice, 2 rows three times", arrays=_repeated),
    Case(id="wasserstein/shifted", about="50 rows moved by 1/2 in each of 4 dimensions", closed=1.0, formula="|c|",
         arrays=lambda: _shifted(606, 50, 4, 0.5)),
    Case(id="wasserstein/equal", about="the same rows in another order", arrays=_shuffled, atol=1e-9,
         because="rounding of a sum that vanishes", closed=0.0, formula="equal sets"),
    Case(id="wasserstein/one-dimension", about="40 and 40 rows on a line", arrays=lambda: _line(40, 40)),
    Case(id="wasserstein/unequal-line", about="21 and 33 rows on a line", arrays=lambda: _line(21, 33)),
    Case(id="wasserstein/one-sample-repeated", about="fake is one row, 25 times", arrays=lambda: _collapsed(3)),
    Case(id="wasserstein/wide", about="20 rows, d = 2048", arrays=lambda: _shifted(613, 20, 2048, 0.125)),
    *_sliced("sliced_wasserstein"),
    *_sliced("mind"),
)  # fmt: skip
