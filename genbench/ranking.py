"""Which of several estimates differ, and which ranks and Pareto fronts that leaves open. No torch here.

Symbols: K the number of estimates, S the training seeds of one, N the images that a likelihood was measured on, x the
value of one seed, s^2 the variance of x over the seeds, m an estimate (the mean of x), v the variance of a difference.

Three sources of variance stay apart. With one training seed there is no second training to compare with, so that only
the samples and the images count: the test speaks of these weights. With several, the spread of x over them counts,
which holds the training and the samples: the test speaks of the recipe, at these reference images. Where both models
say what each of the same images costs, the images count in pairs, and the spread over the seeds is added.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from genbench.errors import Refused
from genbench.stats import LEVEL, holm, normal_quantile, pareto_front, rank_intervals

PAIRED_SEEDS = 5  # with fewer, pairs lose more in degrees of freedom than what seeds have in common can bring
ALL_PAIRS = 200  # above, K (K - 1) / 2 tests of each column take too long


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One estimate: a value for each training seed, and what each image contributes to it.

    `low` and `high` are the interval of the mean for the samples and the images alone, at `level`. `images` `(N,)` are
    means over the seeds; they pair with those of another estimate where `image_set` is the same. `once` says that every
    value was observed once: `low` and `high` then know nothing of its noise, which only a spread over seeds can show.
    """

    values: tuple[float, ...]
    seeds: tuple[int, ...]
    low: float
    high: float
    level: float = LEVEL
    images: np.ndarray | None = None
    image_set: Hashable = None
    once: bool = False

    def __post_init__(self) -> None:
        if not self.values or len(self.values) != len(self.seeds):
            raise Refused(f"{len(self.values)} values need as many seeds, at least one; there are {len(self.seeds)}")
        if not all(map(math.isfinite, (*self.values, self.low, self.high))):
            raise Refused("estimates are compared by finite numbers; leave out those that have none")

    @property
    def mean(self) -> float:
        return math.fsum(self.values) / len(self.values)

    @property
    def noise_is_known(self) -> bool:
        """Whether it can be told from another at all."""
        return not self.once or len(self.values) > 1

    @property
    def paired_over(self) -> Hashable:
        """What it has in common with those that it pairs with; None without any."""
        if self.images is not None and len(self.images) > 1:
            return "images", self.image_set, len(self.images)
        return ("seeds", self.seeds) if len(self.seeds) >= PAIRED_SEEDS else None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How two estimates differ: the mean, its interval, and the two-sided p value of "no difference"."""

    mean: float
    low: float
    high: float
    p: float
    method: str


@dataclass(frozen=True, kw_only=True)
class Tests:
    """All pairs of K estimates: m_i - m_j, its standard error, degrees of freedom and p value, each `(K, K)`.

    Error and degrees of freedom are those of the test that gave p, so that an interval of level 1 - alpha holds 0 where
    p >= alpha. `over_seeds` says where that is Welch's test although there are images in pairs.
    """

    difference: np.ndarray
    error: np.ndarray
    df: np.ndarray
    p: np.ndarray  # two-sided, of this pair alone
    over_seeds: np.ndarray

    def adjusted(self) -> np.ndarray:
        """p with Holm's correction over all pairs, `(K, K)`."""
        matrix = np.ones_like(self.p)
        upper = np.triu_indices(len(self.p), 1)
        matrix[upper] = matrix.T[upper] = holm(self.p[upper])
        return matrix


def _spread(one: Measured) -> tuple[float, float, float]:
    """The variance of an estimate below and above it, and its degrees of freedom."""
    count = len(one.values)
    if count > 1:
        variance = float(np.var(one.values, ddof=1)) / count
        return variance, variance, count - 1.0
    if not one.noise_is_known:
        return math.inf, math.inf, math.inf
    z = normal_quantile(one.level)
    return ((one.mean - one.low) / z) ** 2, ((one.high - one.mean) / z) ** 2, math.inf


def tests(estimates: Sequence[Measured]) -> Tests:
    """A t test of every pair.

    Independent estimates: Welch's test over the seeds, v = s_i^2 / S_i + s_j^2 / S_j with the degrees of freedom of
    Satterthwaite; of a single seed the half of the interval that faces the other estimate stands for its error,
    v = (m_i - l_i)^2 / z^2 + (u_j - m_j)^2 / z^2 for m_i > m_j. Pairs over images: v = s^2(a - b) / N, to which the
    seeds' s^2 / S is added where there are several; Welch's test stands in its place where its p is larger, so that a
    spread that two degrees of freedom show too small by chance does not pass for precision. Pairs over five seeds or
    more that both have: v = s^2(a - b) / S. All are two-sided; of equal estimates without any error p is 1, of unequal
    ones 0. An estimate whose noise is not known has an infinite variance, and p is 1.
    References: The generalization of Student's problem when several different population variances are involved
    (Welch, 1947); Construction of confidence limits about effect measures: a general approach (Zou, Donner, 2008).
    """
    means = np.array([one.mean for one in estimates])
    down, up, df = (np.array(part) for part in zip(*map(_spread, estimates), strict=True))
    difference = means[:, None] - means[None, :]
    own = np.where(difference > 0, down[:, None], up[:, None])
    variance = own + own.T
    freedom = _satterthwaite([(own, df[:, None]), (own.T, df[None, :])])
    p = _two_sided(difference, variance, freedom)
    over_seeds = np.zeros(p.shape, dtype=bool)
    groups: dict[Hashable, list[int]] = {}
    for index, one in enumerate(estimates):
        if one.paired_over is not None:
            groups.setdefault(one.paired_over, []).append(index)
    for kind, members in groups.items():
        block = np.ix_(members, members)
        pairs = _paired(kind, [estimates[index] for index in members])
        p_pairs = _two_sided(difference[block], *pairs)
        several = np.array(
            [len(estimates[index].values) > 1 and estimates[index].images is not None for index in members]
        )
        welch = several[:, None] & several[None, :] & (p[block] > p_pairs)
        over_seeds[block] = welch
        variance[block] = np.where(welch, variance[block], pairs[0])
        freedom[block] = np.where(welch, freedom[block], pairs[1])
        p[block] = np.where(welch, p[block], p_pairs)
    return Tests(difference=difference, error=np.sqrt(variance), df=freedom, p=p, over_seeds=over_seeds)


def _two_sided(difference: np.ndarray, variance: np.ndarray, df: np.ndarray) -> np.ndarray:
    """P(|t_df| >= |d| / sqrt(v)); 1 for no difference and 0 for one, where there is no variance."""
    from scipy.special import stdtr

    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(variance > 0, np.abs(difference) / np.sqrt(variance), np.where(difference == 0, 0.0, math.inf))
    found: np.ndarray = 2 * stdtr(df, -t)
    return found


def _paired(kind: Hashable, estimates: list[Measured]) -> tuple[np.ndarray, np.ndarray]:
    """Variance and degrees of freedom of all differences inside a group that shares its images or its seeds."""
    over_images = isinstance(kind, tuple) and kind[0] == "images"
    rows = np.array([one.images if over_images else one.values for one in estimates], dtype=np.float64)
    count = rows.shape[1]
    rows = rows - rows.mean(axis=1, keepdims=True)
    squares = np.square(rows).sum(axis=1)
    products = squares[:, None] + squares[None, :] - 2 * rows @ rows.T
    products[products < 1e-12 * (squares[:, None] + squares[None, :])] = 0.0  # what rounding leaves of equal rows
    variance = products / (count * (count - 1))
    if not over_images:
        return variance, np.full_like(variance, count - 1.0)
    seeds = [_spread(one) if len(one.values) > 1 else (0.0, 0.0, math.inf) for one in estimates]
    extra, df = np.array([part[0] for part in seeds]), np.array([part[2] for part in seeds])
    freedom = _satterthwaite(
        [(variance, np.full_like(variance, count - 1.0)), (extra[:, None], df[:, None]), (extra[None, :], df[None, :])]
    )
    return variance + extra[:, None] + extra[None, :], freedom


def _satterthwaite(parts: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """(sum v)^2 / sum (v^2 / df); infinite where no part has a variance, or one an infinite variance."""
    total = sum(variance for variance, _ in parts)
    with np.errstate(divide="ignore", invalid="ignore"):
        below = sum(np.square(variance) / df for variance, df in parts)
        return np.where(below > 0, np.square(total) / below, math.inf)


def difference(a: Measured, b: Measured, level: float = LEVEL) -> Difference:
    """b - a with its interval and its p value, by the test that `tests` chooses."""
    from scipy.special import stdtrit

    found = tests([a, b])
    mean, half = float(found.difference[1, 0]), float(found.error[1, 0])
    half *= float(stdtrit(found.df[1, 0], 0.5 + level / 2))
    method = _method(a, b, over_seeds=bool(found.over_seeds[1, 0]))
    return Difference(mean=mean, low=mean - half, high=mean + half, p=float(found.p[1, 0]), method=method)


def _method(a: Measured, b: Measured, over_seeds: bool) -> str:
    """In words how `tests` compares two estimates."""
    several = len(a.seeds) > 1 or len(b.seeds) > 1
    if a.paired_over is not None and a.paired_over == b.paired_over and not over_seeds:
        if a.images is not None:
            return f"pairs of images ({len(a.images)})" + (", spread over seeds added" if several else "")
        return f"pairs of seeds ({len(a.seeds)})"
    return f"Welch over seeds ({len(a.seeds)}, {len(b.seeds)})" if several else "z from the intervals"


def of_these_weights(one: Measured) -> Measured:
    """The same estimate as if it had one seed: for a comparison in which the training is the same on both sides."""
    return replace(one, values=(one.mean,), seeds=(one.seeds[0],))


def ranks(estimates: Sequence[Measured], better: str, level: float = LEVEL) -> list[tuple[int, int]]:
    """For each estimate the best and the worst rank (1 is best) that the tests leave open; all hold together.

    Up to 200 estimates: all pairs, Holm's correction (`rank_intervals`). Above: `joint_ranks`, which is wider.
    """
    if len(estimates) > ALL_PAIRS:
        return joint_ranks(estimates, better, level)
    return rank_intervals([one.mean for one in estimates], tests(estimates).adjusted(), better, level)


def joint_ranks(estimates: Sequence[Measured], better: str, level: float = LEVEL) -> list[tuple[int, int]]:
    """Rank intervals from K intervals that hold together, each at level 1 - (1 - level) / K, in O(K log K).

    Best rank = 1 + the number of intervals that lie wholly on the better side, worst rank = K - the number that lie
    wholly on the other. No pairing is used. Reference: A joint confidence region for an overall ranking of
    populations (Klein, Wright, Wieczorek, 2020).
    """
    from scipy.special import stdtrit

    if better not in ("lower", "higher"):
        raise Refused(f"better is 'lower' or 'higher', not {better!r}")
    if not estimates:
        return []
    means = np.array([one.mean for one in estimates])
    down, up, df = (np.array(part) for part in zip(*map(_spread, estimates), strict=True))
    quantile = stdtrit(df, 1 - (1 - level) / (2 * len(means)))
    low, high = means - quantile * np.sqrt(down), means + quantile * np.sqrt(up)
    if better == "higher":
        low, high = -high, -low
    best = 1 + np.searchsorted(np.sort(high), low, side="left")
    worst = np.searchsorted(np.sort(low), high, side="right")
    return [(int(first), int(last)) for first, last in zip(best, worst, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Dominance:
    """Of n points, bool `(n,)` each: on the front; dominated, whatever the true values inside the intervals are."""

    front: np.ndarray
    beyond: np.ndarray


def dominance(values: np.ndarray, low: np.ndarray, high: np.ndarray, directions: Sequence[str]) -> Dominance:
    """Which points the values leave undominated, and which are dominated beyond the intervals.

    A point is dominated beyond the intervals if its most favourable corner is dominated by the least favourable corner
    of another point; it suffices to look at the Pareto front of the least favourable corners.

    Args:
        values, low, high: `(n, d)`.
        directions: "lower" or "higher" for each coordinate: which way is better.
    """
    front = pareto_front(values, directions)
    lower = np.array([direction == "lower" for direction in directions])
    sign = np.where(lower, 1.0, -1.0)
    good, bad = np.where(lower, low, high), np.where(lower, high, low)
    rivals = (bad[pareto_front(bad, directions)] * sign).T
    beyond = np.zeros(len(good), dtype=bool)
    for index in np.flatnonzero(~front):
        corner = (good[index] * sign)[:, None]
        beyond[index] = bool(((rivals <= corner).all(axis=0) & (rivals < corner).any(axis=0)).any())
    return Dominance(front=front, beyond=beyond)
