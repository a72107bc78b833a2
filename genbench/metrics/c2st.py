"""Classifier two-sample test between two sets of features.

Symbols: n real and m generated features; k the neighbours that vote on a point, those of the other folds; the credit of
a point is 1 if the vote on it is right, 0 if wrong, 1/2 if even.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from genbench.errors import Refused
from genbench.metrics.distances import (
    TILE,
    Points,
    exact,
    first_precision,
    lower_bounds,
    rows_of,
    slices,
    together,
    upper_bounds,
)
from genbench.stats import Estimate, groups_of, wilson
from genbench.types import Metric

_ENTRIES = 2**24  # of a block of bounds: 64 MB
_SAMPLED = 8  # of the k nearest, that a sample of the columns holds on average: it tells how far about they reach
_TIE = 1e-9  # of a squared distance, relative to itself
_ROUNDING = 1e-14  # of a squared distance, relative to the squared norms that cancel in it


@dataclass(frozen=True)
class _Pooled:
    """Both sets together."""

    points: Points  # n + m
    is_fake: np.ndarray
    fold: np.ndarray
    k: int


def _prepared(real: Any, fake: Any, folds: int, k: int | None) -> _Pooled:
    x, y = rows_of(real, "c2st: real", 2), rows_of(fake, "c2st: fake", 2)
    if x.shape[1] != y.shape[1]:
        raise Refused(f"c2st: real has {x.shape[1]} features and fake {y.shape[1]}; they must be the same")
    n, m = len(x), len(y)
    if not 2 <= folds <= min(n, m):
        raise Refused(f"c2st: there are {folds} folds; it takes from 2 to {min(n, m)}, the rows of the smaller side")
    fold = np.concatenate([groups_of(n, folds), groups_of(m, folds)])
    voters = n + m - int(np.bincount(fold).max())
    count = math.isqrt(voters) if k is None else k
    if not 1 <= count <= voters:
        raise Refused(f"c2st: k is {count}; it must lie between 1 and {voters}, the points of the other folds")
    (points,) = together(np.concatenate([x, y]))
    return _Pooled(points, np.arange(n + m) >= n, fold, count)


@dataclass(frozen=True)
class _Votes:
    """On some rows: the share of generated ones among the k nearest, times k; and pairs of a row and a neighbour."""

    votes: np.ndarray
    row: np.ndarray
    neighbour: np.ndarray


def _votes(a: Points, rows: slice, b: Points, label: np.ndarray, k: int) -> _Votes:
    """The votes of the k nearest rows of b on some rows of a; neighbours at the k-th distance share what is left.

    Bounds decide which pairs are nearer than the k-th distance for certain; that distance is then found among the
    others that may be, which are made exact.
    """
    precision = first_precision(a, b)
    tile = a.tile(rows, precision)
    low = np.concatenate([lower_bounds(tile, b.tile(columns, precision)) for columns in slices(len(b))], axis=1)
    rounding = _ROUNDING * (a.squares[rows] + b.squares.max())

    def pairs(limit: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Row, neighbour and bounds of the pairs that may lie within a limit."""
        i, j = np.divmod(np.flatnonzero(low <= np.nextafter(limit.astype(low.dtype), np.inf)[:, None]), low.shape[1])
        below = low[i, j].astype(np.float64)
        return i, j, below, upper_bounds(below, a, i + rows.start, b, j, precision)

    floor = _kth(low, k).astype(np.float64)
    i, _, _, high = pairs(floor)
    ceiling = np.maximum.reduceat(high, np.searchsorted(i, np.arange(len(low))))
    margin = 2 * (_TIE * ceiling + rounding)
    i, j, _, high = pairs(ceiling + margin)
    inside = high < (floor - margin)[i]
    voters = np.bincount(i, inside, len(low))
    votes: np.ndarray = np.bincount(i, inside * label[j], len(low))

    open_i, open_j = i[~inside], j[~inside]
    value = exact(a, open_i + rows.start, b, open_j)
    order = np.lexsort((value, open_i))
    open_i, open_j, value = open_i[order], open_j[order], value[order]
    last = np.searchsorted(open_i, np.arange(len(low))) + (k - voters.astype(int)) - 1
    edge = value[last]
    margin = _TIE * edge + rounding
    near, even = value < (edge - margin)[open_i], np.abs(value - edge[open_i]) <= margin[open_i]
    left = k - voters - np.bincount(open_i, near, len(low))
    votes += np.bincount(open_i, near * label[open_j], len(low))
    votes += left * np.bincount(open_i, even * label[open_j], len(low)) / np.bincount(open_i, even, len(low))
    counted = np.arange(len(value)) <= last[open_i]
    return _Votes(
        votes=votes,
        row=np.concatenate([i[inside], open_i[counted]]),
        neighbour=np.concatenate([j[inside], open_j[counted]]),
    )


def _kth(low: np.ndarray, k: int) -> np.ndarray:
    """The k-th smallest of each row, `(rows,)`; where rows are long among those that a sample of the columns picks."""
    step, enough = k // _SAMPLED, _SAMPLED + 4 * math.isqrt(_SAMPLED)
    found = np.empty(len(low), dtype=low.dtype)
    short = np.ones(len(low), dtype=bool)
    if step > 1 and low.shape[1] > 2 * step * enough:
        limit = np.partition(low[:, ::step], enough - 1, axis=1)[:, enough - 1]
        i, j = np.divmod(np.flatnonzero(low <= limit[:, None]), low.shape[1])
        counts = np.bincount(i, minlength=len(low))
        short = counts < k
        picked = np.full((len(low), int(counts.max())), np.inf, dtype=low.dtype)
        picked[i, np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts, counts)] = low[i, j]
        found[~short] = np.partition(picked[~short], k - 1, axis=1)[:, k - 1]
    found[short] = np.partition(low[short], k - 1, axis=1)[:, k - 1]
    return found


def _credits(pooled: _Pooled) -> tuple[np.ndarray, np.ndarray, float]:
    """The credit of every point, and what it adds to the value as a voter, `(n + m,)` each; and their overlap.

    Another neighbour in j's place would bring its neighbourhood's share of the vote on i in place of j's label; a vote
    within h = sqrt(k) / 2 of even, which is its spread, turns at the rate 1 / 2h. That j votes on i is part of i's
    credit as well as of j's voting: the overlap is the sum of the squares of what would be counted twice.
    """
    k, sign = pooled.k, np.where(pooled.is_fake, 1.0, -1.0)
    sizes = np.bincount(pooled.is_fake)[pooled.is_fake.astype(int)]
    spread = max(1.0, math.sqrt(k) / 2)
    credit, voting, twice = np.empty(len(sign)), np.zeros(len(sign)), 0.0
    for f in range(int(pooled.fold.max()) + 1):
        others, held_out = np.flatnonzero(pooled.fold != f), np.flatnonzero(pooled.fold == f)
        label = pooled.is_fake[others].astype(np.float64)
        a, b = pooled.points.take(held_out), pooled.points.take(others)
        step = min(TILE, max(1, _ENTRIES // len(others)))
        for start in range(0, len(held_out), step):
            part = slice(start, min(start + step, len(held_out)))
            rows, found = held_out[part], _votes(a, part, b, label, k)
            ahead = 2.0 * (found.votes - k * label.mean()) * sign[rows]
            credit[rows] = 0.5 + 0.5 * np.clip(ahead, -1.0, 1.0)
            rate = 0.5 * sign[rows] * (np.abs(ahead) <= 2.0 * spread) / (2.0 * spread) / sizes[rows]
            given = rate[found.row] * (label[found.neighbour] - (found.votes / k)[found.row])
            voting += np.bincount(others[found.neighbour], weights=given, minlength=len(voting))
            twice += float(np.square(given).sum())
    return credit, voting, twice


def _balanced(credit: np.ndarray, pooled: _Pooled) -> float:
    """The mean of the two classes' mean credits."""
    return float(0.5 * credit[pooled.is_fake].mean() + 0.5 * credit[~pooled.is_fake].mean())


def c2st(*, real: Any, fake: Any, folds: int = 5, k: int | None = None) -> float:
    """How often a k-nearest-neighbour classifier tells generated from real, on points it has not seen.

    The mean of the two classes' accuracies in cross-validation, so that chance is 1/2 whatever the sizes. A point is
    called generated where the share of generated ones among its k nearest in the other folds exceeds their share there;
    a vote that is even counts one half, and half a vote more or less decides. k is the root of the number of those,
    rounded down, unless given; folds are dealt out by a fixed shuffle within each class.

    Estimator: unbiased for a classifier trained on (folds - 1) / folds of the data. Lower is better; 1/2 where the laws
    are equal (less if samples copy held-out points one by one), 1 where every point is told apart. The interval is one
    of the expected value at these sample sizes. A neighbour classifier notices any difference of laws as n grows, and
    slowly in many dimensions. The time grows like (n + m)^2 d.

    Reference: Revisiting Classifier Two-Sample Tests (Lopez-Paz and Oquab, 2017).

    Args:
        real: features `(n, d)`, n >= folds.
        fake: features `(m, d)`, m >= folds.
    """
    pooled = _prepared(real, fake, folds, k)
    return _balanced(_credits(pooled)[0], pooled)


def _estimate(*, real: Any, fake: Any, folds: int = 5, k: int | None = None) -> Estimate:
    """Wilson's interval at the effective size that the variance of all influences gives.

    Votes share voters, so that they are not independent: a point counts as one that is judged and as one that votes.
    """
    pooled = _prepared(real, fake, folds, k)
    credit, voting, twice = _credits(pooled)
    value, variance = _balanced(credit, pooled), 0.0
    for side in (pooled.is_fake, ~pooled.is_fake):
        size = int(side.sum())
        variance += size * float((0.5 * credit[side] / size + voting[side]).var(ddof=1))
    size, variance = len(credit), max(0.0, variance - twice)
    effective = min(float(size), value * (1 - value) / variance) if variance > 0 and 0 < value < 1 else float(size)
    interval = replace(
        wilson(value * effective, effective),
        method=f"Wilson interval at the effective size {effective:.0f} that the influence of each point gives; "
        "of the expected value at these sample sizes",
    )
    return Estimate(value=value, interval=interval, n=int(pooled.is_fake.sum()))


METRIC = Metric(
    fn=c2st,
    axis="quality",
    better="lower",
    needs="features",
    interval="own",
    min_samples=40,
    range=(0.0, 1.0),
    estimate=_estimate,
)
