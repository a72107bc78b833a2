"""Intervals, Holm's correction, rank intervals, tie groups and Pareto fronts. No torch here.

Symbols: n the number of observations, G the number of groups, T a statistic of the samples, T_g the same
statistic without group g, v a variance, alpha = 1 - level.

Three variances are never mixed: that of the samples drawn from one trained model, that of the training seed, and
that of the reference images. `mean_interval` over the values of several training seeds answers for the second (and
the first, which each seed draws anew, but not for the third, which all seeds share); `jackknife` over generated and
real samples for the first and the third. Nothing here resamples with replacement: duplicates bias distances between
distributions upward. Which test suits which pair of results is for `genbench.ranking` to say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from genbench.errors import Refused, Undefined

Side = Literal["real", "fake"]
LEVEL = 0.95
GROUPS = 20


@dataclass(frozen=True, kw_only=True)
class Interval:
    """From `low` to `high`; `method` says in words how it was found."""

    low: float
    high: float
    method: str

    def clipped(self, low: float, high: float) -> Interval:
        """The part inside a range that the true value cannot leave."""
        ends = np.clip([self.low, self.high], low, high)
        return replace(self, low=float(ends[0]), high=float(ends[1]))


@dataclass(frozen=True, kw_only=True)
class Replicates:
    """A statistic and its values with one group of a sample left out, `(G,)` for each sample that is random."""

    value: float
    real: np.ndarray | None = None
    fake: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with the interval that its own theory gives, and the number of samples it rests on."""

    value: float
    interval: Interval
    n: int


def _numbers(x: Any, what: str, least: int) -> np.ndarray:
    array = np.asarray(x, dtype=np.float64)
    if array.ndim != 1:
        raise Refused(f"{what} must be one-dimensional; it has shape {array.shape}")
    if len(array) < least:
        raise Refused(f"{what} has {len(array)} values; at least {least} are needed")
    if not np.isfinite(array).all():
        raise Refused(f"{what} has {np.count_nonzero(~np.isfinite(array))} values that are not finite numbers")
    return array


def _t_quantile(df: float, level: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(df, 0.5 + level / 2))


def variance_interval(value: float, variance: float, df: float, method: str, level: float = LEVEL) -> Interval:
    """value +- t_df sqrt(variance), for an estimator whose variance is known in closed form."""
    half = _t_quantile(df, level) * math.sqrt(variance)
    return Interval(low=value - half, high=value + half, method=method)


def normal_quantile(level: float = LEVEL) -> float:
    """The z with P(|Z| <= z) = level."""
    from scipy.special import ndtri

    return float(ndtri(0.5 + level / 2))


def mean_interval(x: Any, level: float = LEVEL) -> Interval:
    """Student's interval of a mean: mean +- t_{n-1} s / sqrt(n); over test images, or over training seeds."""
    values = _numbers(x, "the sample of a mean", 2)
    n = len(values)
    half = _t_quantile(n - 1, level) * float(values.std(ddof=1)) / math.sqrt(n)
    mean = float(values.mean())
    return Interval(low=mean - half, high=mean + half, method=f"t interval of a mean of {n}")


def wilson(successes: float, n: float, level: float = LEVEL, quantile: float | None = None) -> Interval:
    """Wilson's score interval of a share: all p with |p_hat - p| <= z sqrt(p (1 - p) / n).

    Stays inside [0, 1], and keeps a width where no trial or every trial succeeds.
    Reference: Probable inference, the law of succession, and statistical inference (Wilson, 1927).

    Args:
        successes: may be a fraction, as may `n`, where they stand for an effective sample size.
        quantile: the z to use in place of the normal one.
    """
    if not (n > 0 and 0 <= successes <= n):
        raise Refused(f"a share needs 0 <= successes <= n and n > 0; it got {successes} of {n}")
    z = normal_quantile(level) if quantile is None else quantile
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(low=low, high=high, method=f"Wilson interval of a share of {n:.0f}")


def groups_of(n: int, groups: int = GROUPS) -> np.ndarray:
    """The group 0..G-1 of each of n observations, int64 `(n,)`; G is at most n, and sizes differ by one at most.

    A fixed shuffle deals the groups out: the same n always gives the same groups, and an order in the data (sorted, or
    cycling through classes) does not line up with them.
    """
    if n < 2:
        raise Refused(f"a jackknife needs at least 2 observations; there are {n}")
    member = np.empty(n, dtype=np.int64)
    member[np.random.default_rng(0).permutation(n)] = np.arange(n) % min(groups, n)
    return member


def leave_group_out(
    fn: Callable[..., float],
    real: Any,
    fake: Any,
    groups: int = GROUPS,
    resample: Sequence[Side] = ("real", "fake"),
) -> Replicates:
    """T and every T_g of `fn(real=, fake=)`, with the groups of `groups_of`, each sample in its turn.

    Args:
        real, fake: arrays with one observation a row; a side that is not in `resample` is passed on as it is.
        resample: the sides that count as random.
    """
    sides: dict[str, Any] = {"real": real, "fake": fake}
    value = float(fn(**sides))
    without: dict[str, np.ndarray] = {}
    for side in resample:
        rows = np.asarray(sides[side])
        member = groups_of(len(rows), groups)
        number = int(member.max()) + 1
        try:
            without[side] = np.array([fn(**{**sides, side: rows[member != g]}) for g in range(number)])
        except Undefined as reason:
            raise Undefined(f"no interval can be found: without one group of {number}, {reason}") from None
    return Replicates(value=value, **without)


def jackknife_variance(replicates: Replicates) -> tuple[float, float]:
    """The variance of T and its degrees of freedom.

    For one sample v = (G - 1) / G sum_g (T_g - mean T_g)^2 with G - 1 degrees of freedom; the variances of two
    independent samples add, with the degrees of freedom of Welch and Satterthwaite. For a smooth statistic v is
    consistent; for a degenerate one (a distance at its floor) and for a count of distinct values it is too large,
    never too small. Reference: The jackknife estimate of variance (Efron and Stein, 1981).
    """
    parts = [values for values in (replicates.real, replicates.fake) if values is not None]
    variances = [(len(t) - 1) / len(t) * float(np.square(t - t.mean()).sum()) for t in parts]
    total = sum(variances)
    if total == 0.0:
        return 0.0, float(sum(len(t) - 1 for t in parts))
    return total, total**2 / sum(v**2 / (len(t) - 1) for v, t in zip(variances, parts, strict=True))


def _jackknife_words(replicates: Replicates) -> str:
    sides = [
        f"{len(values)} groups of {words} samples"
        for words, values in (("real", replicates.real), ("generated", replicates.fake))
        if values is not None
    ]
    return f"delete-a-group jackknife, {' and '.join(sides)}"


def jackknife_interval(replicates: Replicates, level: float = LEVEL) -> Interval:
    """T +- t_df sqrt(v): of the statistic's expected value at these sample sizes, its bias included."""
    variance, df = jackknife_variance(replicates)
    half = _t_quantile(df, level) * math.sqrt(variance)
    words = f"{_jackknife_words(replicates)}, t quantile; of the expected value at these sample sizes"
    return Interval(low=replicates.value - half, high=replicates.value + half, method=words)


def share_interval(replicates: Replicates, n: int, level: float = LEVEL) -> Interval:
    """Wilson's interval of a share p whose trials are not independent, at the effective size n_e.

    n_e = min(n, p (1 - p) / v) with v the jackknife's variance: a share at 0 or at 1 keeps a width.
    """
    variance, df = jackknife_variance(replicates)
    p = replicates.value
    effective = min(float(n), p * (1 - p) / variance) if variance > 0 and 0 < p < 1 else float(n)
    interval = wilson(p * effective, effective, level, quantile=_t_quantile(df, level))
    words = f"Wilson interval at the effective size of a {_jackknife_words(replicates)}"
    return replace(interval, method=f"{words}; of the expected value at these sample sizes")


def jackknife(
    fn: Callable[..., float],
    real: Any,
    fake: Any,
    groups: int = GROUPS,
    resample: Sequence[Side] = ("real", "fake"),
    level: float = LEVEL,
) -> Interval:
    """The delete-a-group jackknife interval of `fn(real=, fake=)`; see `leave_group_out`."""
    return jackknife_interval(leave_group_out(fn, real, fake, groups, resample), level)


def holm(p: Any) -> np.ndarray:
    """Adjusted p values that bound the chance of any false rejection, `(m,)` in the order given.

    With p sorted upward, p'_(i) = max_{j <= i} min(1, (m - j + 1) p_(j)). Reference: A simple sequentially rejective
    multiple test procedure (Holm, 1979).
    """
    values = _numbers(p, "the p values", 0)
    if ((values < 0) | (values > 1)).any():
        raise Refused("a p value lies in [0, 1]")
    order = np.argsort(values, kind="stable")
    factors = len(values) - np.arange(len(values))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * values[order]))
    return adjusted


def _scores(values: Any, p_values: np.ndarray, better: str) -> np.ndarray:
    scores = _numbers(values, "the values", 1)
    if np.shape(p_values) != (len(scores), len(scores)):
        raise Refused(f"{len(scores)} values need a square matrix of p values; it has shape {np.shape(p_values)}")
    if better not in ("lower", "higher"):
        raise Refused(f"better is 'lower' or 'higher', not {better!r}")
    return scores if better == "lower" else -scores


def rank_intervals(
    values: Any, p_values: np.ndarray, better: str = "lower", level: float = LEVEL
) -> list[tuple[int, int]]:
    """For each of K values the best and the worst rank (1 is best) that the tests leave open.

    Best rank = 1 + the number that are significantly better; worst rank = K - the number significantly worse.

    Args:
        p_values: `(K, K)`, adjusted; from `genbench.ranking.tests`.
    """
    scores = _scores(values, p_values, better)
    separate = p_values < 1 - level
    ahead = separate & (scores[None, :] < scores[:, None])
    behind = separate & (scores[None, :] > scores[:, None])
    best, worst = 1 + ahead.sum(axis=1), len(scores) - behind.sum(axis=1)
    return [(int(low), int(high)) for low, high in zip(best, worst, strict=True)]


def tie_groups(values: Any, p_values: np.ndarray, better: str = "lower", level: float = LEVEL) -> list[tuple[int, ...]]:
    """The maximal runs, in the order of the values, inside which no pair is separated; best first.

    A value may belong to several runs: "not separated" is not transitive.

    Returns:
        tuples of indices into `values`.
    """
    scores = _scores(values, p_values, better)
    order = np.argsort(scores, kind="stable")
    runs: list[tuple[int, ...]] = []
    reached = 0
    for start in range(len(order)):
        stop = start + 1
        while stop < len(order) and (p_values[order[start:stop], order[stop]] >= 1 - level).all():
            stop += 1
        if stop > reached:
            runs.append(tuple(int(i) for i in order[start:stop]))
            reached = stop
    return runs


def pareto_front(points: Any, directions: Sequence[str]) -> np.ndarray:
    """Which of n points no other point dominates, bool `(n,)`.

    One point dominates another if it is at least as good in every coordinate and better in one; equal points stay
    together. Compare within one hardware class only.

    Args:
        points: `(n, d)`.
        directions: "lower" or "higher" for each coordinate: which way is better.
    """
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != len(directions):
        raise Refused(f"{len(directions)} directions need points of shape (n, {len(directions)}), not {array.shape}")
    if wrong := [direction for direction in directions if direction not in ("lower", "higher")]:
        raise Refused(f"a direction is 'lower' or 'higher', not {wrong[0]!r}")
    if not np.isfinite(array).all():
        raise Refused("a Pareto front needs finite coordinates; leave out the points that have none")
    costs = array * np.array([1.0 if direction == "lower" else -1.0 for direction in directions])
    front = np.zeros(len(costs), dtype=bool)
    left = np.lexsort(costs.T[::-1])  # nothing dominates what comes before it
    while len(left):
        first = costs[left[0]]
        front[left[(costs[left] == first).all(axis=1)]] = True
        left = left[(costs[left] < first).any(axis=1)]
    return front
