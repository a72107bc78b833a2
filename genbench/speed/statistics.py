"""What may be said of repeated times: percentiles from enough runs, the median's interval, two modes, drift.

Symbols: m runs, x_(k) the k-th smallest of their times, q in (0, 1) the level of a percentile. Nothing here assumes a
law of the times; that the runs are independent is assumed by every interval over runs, and is why drift is looked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

PERCENTILES = (0.5, 0.9, 0.95, 0.99)
CONFIDENCE = 0.99  # that two runs lie beyond a percentile that is printed
LEVEL = 0.95  # of intervals
LAW_FREE = 6  # processes from which on order statistics of their medians reach that level: 1 - 2 / 2^6 = 97%

_FEWEST = 20  # runs before a drift can be told
_SHARE = 0.05  # of the runs that a mode holds at least
_VALLEY = 0.15  # runs in the middle third between two modes, over those of the smaller mode, at most
_CHANCE = 0.01  # that a law without a valley leaves as few runs there
_APART = 1.1  # ratio of the modes' centres, at least
_RANK = 3.29  # standard normal quantile of a two-sided test at 0.1%
_CHANGE = 0.05  # of the median from the first third to the last, at least


def enough(q: float) -> int:
    """The fewest runs from which a percentile may be printed: 11, 64, 130, 662 for 50%, 90%, 95%, 99%.

    The smallest m with P(Binomial(m, 1 - q) <= 1) <= 1 - 99%: two runs at least lie beyond the true percentile, so
    that what is printed does not hang on a single run. P = q^m + m (1 - q) q^(m-1) falls in m.
    """
    m = 2
    while q**m + m * (1.0 - q) * q ** (m - 1) > 1.0 - CONFIDENCE:
        m += 1
    return m


@dataclass(frozen=True, kw_only=True)
class Percentile:
    """x at level q of m runs and its interval, all in the unit of the times."""

    value: float
    low: float
    high: float
    m: int


def percentile(times: Sequence[float], q: float) -> Percentile | None:
    """The percentile with its 95% interval; None from fewer runs than `enough(q)`."""
    return _percentile(times, q) if len(times) >= enough(q) else None


def median(times: Sequence[float]) -> Percentile:
    """The median with its 95% interval; at least six runs, from where on the interval exists."""
    return _percentile(times, 0.5)


def _percentile(times: Sequence[float], q: float) -> Percentile:
    x, m = sorted(times), len(times)
    low, high = ranks(m, q)
    # The estimator is the one that is linear between the k-th smallest at (k - 1) / (m - 1).
    place = q * (m - 1)
    left = math.floor(place)
    value = x[left] + (place - left) * (x[min(left + 1, m - 1)] - x[left])
    return Percentile(value=value, low=min(x[low - 1], value), high=max(x[high - 1], value), m=m)


def between(parts: Sequence[Sequence[float]]) -> tuple[float, float] | None:
    """The 95% interval of the median over processes; None from fewer than three.

    Where a process puts its memory moves all of its times together, by more than its own runs tell: what is repeated
    independently is the process, not the run, and only the median of each is looked at. From six of them on the
    interval is that of order statistics, which holds for any law of the processes and however their runs hang together;
    with fewer it does not exist, and Student's of the mean of the logarithms takes its place: 95% if these are normal,
    92% to 96% under laws that are skewed or have two modes.
    """
    from genbench.stats import mean_interval

    medians = sorted(_middle(sorted(part)) for part in parts if part)
    if len(medians) >= LAW_FREE:
        low, high = ranks(len(medians))
        return medians[low - 1], medians[high - 1]
    if len(medians) < 3 or medians[0] <= 0.0:
        return None
    interval = mean_interval([math.log(x) for x in medians])
    return math.exp(interval.low), math.exp(interval.high)


def ranks(m: int, q: float = 0.5) -> tuple[int, int]:
    """(l, u) such that [x_(l), x_(u)] covers the percentile with at least 95%, 2.5% outside on each side.

    The percentile lies below x_(l) if fewer than l runs lie below it: P(Binomial(m, q) < l) <= 2.5%, l the largest
    such; above x_(u) if u runs or more do: P(Binomial(m, q) >= u) <= 2.5%, u the smallest such. Where no such rank
    exists it is the first or the last run, and the interval covers less.
    """
    tail = (1.0 - LEVEL) / 2
    masses = [_binomial(m, k, q) for k in range(m + 1)]
    low, below = 0, 0.0
    while (below := below + masses[low]) <= tail:
        low += 1
    high, above = m, 0.0
    while (above := above + masses[high]) <= tail:
        high -= 1
    return max(1, low), min(m, high + 1)


def _binomial(m: int, k: int, q: float) -> float:
    logarithm = math.lgamma(m + 1) - math.lgamma(k + 1) - math.lgamma(m - k + 1)
    return math.exp(logarithm + k * math.log(q) + (m - k) * math.log1p(-q))


@dataclass(frozen=True, kw_only=True)
class Modes:
    """Two groups of runs: the centre (median) of each, and the share of the runs in the slower one."""

    fast: float
    slow: float
    share: float

    def __str__(self) -> str:
        return f"two modes: {1 - self.share:.0%} of the runs near {spoken(self.fast)}, {self.share:.0%} near " + spoken(
            self.slow
        )


def modes(times: Sequence[float]) -> Modes | None:
    """Two modes, where the times fall into two groups; None where they are one.

    The runs are cut where the variance of log x inside the two parts is smallest. The parts are modes if the smaller
    holds 5% of the runs, their centres are 10% apart, and a valley lies between: in the middle third between the
    centres are v runs, fewer than 15% of the s in the smaller part, and fewer than chance leaves there in a law without
    a valley, P(Poisson(s / 3) <= v) <= 1%. A uniform law has s / 3 there, a normal and an exponential one more.
    """
    m = len(times)
    if m < 2 or min(times) <= 0.0:
        return None
    x = [math.log(t) for t in sorted(times)]
    cut = _cut(x)
    smaller = min(cut, m - cut)
    fast, slow = _middle(x[:cut]), _middle(x[cut:])
    third = (slow - fast) / 3
    valley = sum(fast + third < value < slow - third for value in x)
    if smaller < _SHARE * m or slow - fast < math.log(_APART) or valley >= _VALLEY * smaller:
        return None
    rate = smaller / 3
    if math.fsum(math.exp(k * math.log(rate) - rate - math.lgamma(k + 1)) for k in range(valley + 1)) > _CHANCE:
        return None
    return Modes(fast=math.exp(fast), slow=math.exp(slow), share=(m - cut) / m)


def _cut(x: Sequence[float]) -> int:
    """The size of the lower part, where the two parts' squared distances from their means are smallest in sum."""
    m, total = len(x), math.fsum(x)
    best, at, partial = -math.inf, 1, 0.0
    for k in range(1, m):
        partial += x[k - 1]
        # Between the parts: k (m - k) (mean difference)^2 / m, which is largest where that inside is smallest.
        between = (partial / k - (total - partial) / (m - k)) ** 2 * k * (m - k)
        if between > best:
            best, at = between, k
    return at


def _middle(x: Sequence[float]) -> float:
    return (x[(len(x) - 1) // 2] + x[len(x) // 2]) / 2


def drift(times: Sequence[float]) -> float | None:
    """The last third's median over the first third's, where the times move as the runs go on; None where they do not.

    Spearman's rank correlation rho of time and order is tested: |rho| sqrt(m - 1) > 3.29, which has a probability of
    0.1% without drift; and the medians must differ by 5%.
    """
    m = len(times)
    if m < _FEWEST:
        return None
    order = sorted(range(m), key=lambda k: times[k])
    rank, at = [0.0] * m, 0
    while at < m:  # equal times share their mean rank
        stop = at
        while stop < m and times[order[stop]] == times[order[at]]:
            stop += 1
        for k in order[at:stop]:
            rank[k] = (at + stop - 1) / 2
        at = stop
    centre = (m - 1) / 2
    spread = math.sqrt(math.fsum((r - centre) ** 2 for r in rank) * math.fsum((k - centre) ** 2 for k in range(m)))
    if spread == 0.0:
        return None
    rho = math.fsum((r - centre) * (k - centre) for k, r in enumerate(rank)) / spread
    first, last = _middle(sorted(times[: m // 3])), _middle(sorted(times[-(m // 3) :]))
    if abs(rho) * math.sqrt(m - 1) <= _RANK or first <= 0.0 or abs(last / first - 1.0) < _CHANGE:
        return None
    return last / first


def remarks(times: Sequence[float], parts: Sequence[Sequence[float]] = ()) -> list[str]:
    """What a reader of the median must know beside it, in words; with parts, a drift inside one of them."""
    found = []
    if (two := modes(times)) is not None:
        found.append(str(two))
    drifts = [moved for part in parts or [times] if (moved := drift(part)) is not None]
    if drifts:
        found.append(f"drift: the last third of the runs takes {drifts[0]:.2f} times as long as the first")
    return found


def spoken(seconds: float) -> str:
    """A time with the unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
