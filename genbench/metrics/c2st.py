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
from genbench.metrics.arrays import feature_pair
from genbench.stats import Estimate, groups_of, wilson
from genbench.types import Metric

_ENTRIES = 2_000_000  # of a block of distances: 16 MB
_TIE = 1e-9  # of a squared distance, relative to itself
_ROUNDING = 1e-14  # of a squared distance, relative to the squared norms that cancel in it


@dataclass(frozen=True)
class _Points:
    """Both sets together, about their mean and with values up to about 1, so that no square overflows."""

    x: np.ndarray  # (n + m, d)
    norms: np.ndarray
    is_fake: np.ndarray
    fold: np.ndarray
    k: int


def _prepared(real: Any, fake: Any, folds: int, k: int | None) -> _Points:
    x, y = feature_pair(real, fake, "c2st")
    n, m = len(x), len(y)
    if not 2 <= folds <= min(n, m):
        raise Refused(f"c2st: there are {folds} folds; it takes from 2 to {min(n, m)}, the rows of the smaller side")
    points = np.concatenate([x, y])
    points /= float(np.abs(points).max()) or 1.0
    points -= points.mean(axis=0)
    fold = np.concatenate([groups_of(n, folds), groups_of(m, folds)])
    voters = n + m - int(np.bincount(fold).max())
    count = math.isqrt(voters) if k is None else k
    if not 1 <= count <= voters:
        raise Refused(f"c2st: k is {count}; it must lie between 1 and {voters}, the points of the other folds")
    return _Points(points, np.einsum("ij,ij->i", points, points), np.arange(n + m) >= n, fold, count)


def _credits(points: _Points) -> tuple[np.ndarray, np.ndarray, float]:
    """The credit of every point, and what it adds to the value as a voter, `(n + m,)` each; and their overlap.

    Another neighbour in j's place would bring its neighbourhood's share of the vote on i in place of j's label; a vote
    within h = sqrt(k) / 2 of even, which is its spread, turns at the rate 1 / 2h. That j votes on i is part of i's
    credit as well as of j's voting: the overlap is the sum of the squares of what would be counted twice.
    """
    k, sign = points.k, np.where(points.is_fake, 1.0, -1.0)
    sizes = np.bincount(points.is_fake)[points.is_fake.astype(int)]
    spread = max(1.0, math.sqrt(k) / 2)
    credit, voting, twice = np.empty(len(sign)), np.zeros(len(sign)), 0.0
    for f in range(int(points.fold.max()) + 1):
        others, held_out = np.flatnonzero(points.fold != f), np.flatnonzero(points.fold == f)
        label = points.is_fake[others].astype(np.float64)
        step = max(1, _ENTRIES // len(others))
        for rows in np.split(held_out, np.arange(step, len(held_out), step)):
            block = points.x[rows] @ points.x[others].T
            block *= -2.0
            block += points.norms[others]
            block += points.norms[rows, None]
            nearest = np.argpartition(block, k - 1, axis=1)[:, :k]
            edge = np.take_along_axis(block, nearest, axis=1).max(axis=1, keepdims=True)
            edge_margin = _TIE * np.abs(edge) + _ROUNDING * (points.norms[rows, None] + points.norms.max())
            votes = label[nearest].sum(axis=1)
            tied = np.flatnonzero((block <= edge + edge_margin).sum(axis=1) > k)
            if len(tied):
                # Neighbours at the k-th distance share what votes are left, whatever their order.
                some, at, margin = block[tied], edge[tied], edge_margin[tied]
                near, even = some < at - margin, np.abs(some - at) <= margin
                votes[tied] = near @ label + (k - near.sum(axis=1)) * (even @ label) / even.sum(axis=1)
            ahead = 2.0 * (votes - k * label.mean()) * sign[rows]
            credit[rows] = 0.5 + 0.5 * np.clip(ahead, -1.0, 1.0)
            rate = 0.5 * sign[rows] * (np.abs(ahead) <= 2.0 * spread) / (2.0 * spread) / sizes[rows]
            given = rate[:, None] * (label[nearest] - (votes / k)[:, None])
            voting += np.bincount(others[nearest].ravel(), weights=given.ravel(), minlength=len(voting))
            twice += float(np.square(given).sum())
    return credit, voting, twice


def _balanced(credit: np.ndarray, points: _Points) -> float:
    """The mean of the two classes' mean credits."""
    return float(0.5 * credit[points.is_fake].mean() + 0.5 * credit[~points.is_fake].mean())


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
    points = _prepared(real, fake, folds, k)
    return _balanced(_credits(points)[0], points)


def _estimate(*, real: Any, fake: Any, folds: int = 5, k: int | None = None) -> Estimate:
    """Wilson's interval at the effective size that the variance of all influences gives.

    Votes share voters, so that they are not independent: a point counts as one that is judged and as one that votes.
    """
    points = _prepared(real, fake, folds, k)
    credit, voting, twice = _credits(points)
    value, variance = _balanced(credit, points), 0.0
    for side in (points.is_fake, ~points.is_fake):
        size = int(side.sum())
        variance += size * float((0.5 * credit[side] / size + voting[side]).var(ddof=1))
    size, variance = len(credit), max(0.0, variance - twice)
    effective = min(float(size), value * (1 - value) / variance) if variance > 0 and 0 < value < 1 else float(size)
    interval = replace(
        wilson(value * effective, effective),
        method=f"Wilson interval at the effective size {effective:.0f} that the influence of each point gives; "
        "of the expected value at these sample sizes",
    )
    return Estimate(value=value, interval=interval, n=int(points.is_fake.sum()))


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
