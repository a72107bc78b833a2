"""The variance of a statistic of neighbours, from random splits of both samples into halves.

Symbols: T the statistic of m real and n fake features, R splits, T_r and T'_r its values on the two halves of split r
(half of the real ones with half of the fake ones, and the rest with the rest).

Such a T is a mean of terms that each look at a fixed number of neighbours, so that its variance is inversely
proportional to the sample sizes; the two halves of a split share no sample, and their values are independent with
variance 2 Var T each. So v = (1/R) sum_r (T_r - T'_r)^2 / 4 has the expected value Var T; whatever bias T has at half
the size cancels in the difference. The splits are nearly uncorrelated given the samples, which leaves about R degrees
of freedom. A delete-a-group jackknife overstates this variance two- to fourfold: a radius depends on several
neighbours at once.
"""

from __future__ import annotations

import numpy as np

from genbench.stats import Interval, variance_interval, wilson

SPLITS = 20


def halves_of(n: int, side: int) -> np.ndarray:
    """Which rows belong to which half, bool `(n, 2 R)`: both halves of the first split, then of the next.

    A pure function of n and of the side (0 real, 1 fake); one row of an odd number belongs to neither.
    """
    rng, member = np.random.default_rng([side, n]), np.zeros((n, 2 * SPLITS), dtype=bool)
    for r in range(SPLITS):
        order = rng.permutation(n)
        member[order[: n // 2], 2 * r] = True
        member[order[n // 2 : n // 2 * 2], 2 * r + 1] = True
    return member


def halves_interval(value: float, of_halves: np.ndarray, share_of: int | None = None) -> Interval:
    """The 95% interval of the expected T at these sample sizes.

    Args:
        of_halves: T on the halves, `(2 R,)`, in the order of `halves_of`.
        share_of: T is a share of so many trials at most: Wilson's interval at the effective size T (1 - T) / v.
    """
    variance = float(np.square(of_halves[0::2] - of_halves[1::2]).mean() / 4)
    words = f"{SPLITS} random splits into halves, t quantile"
    estimand = "of the expected value at these sample sizes"
    interval = variance_interval(value, variance, SPLITS, f"{words}; {estimand}")
    if share_of is None:
        return interval
    effective = float(share_of)
    if variance > 0 and 0 < value < 1:
        effective = min(effective, value * (1 - value) / variance)
    quantile = variance_interval(0.0, 1.0, SPLITS, "").high
    found = wilson(value * effective, effective, quantile=quantile)
    method = f"Wilson interval at the effective size of {words}; {estimand}"
    return Interval(low=found.low, high=found.high, method=method)
