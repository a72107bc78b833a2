"""Balls around points out to their k-th nearest neighbour, and what lies in them: one exact pass for six metrics.

Symbols: c_i one of m centres, r_i the distance to its k-th nearest other centre, x_j one of n points. For intervals
the same is counted on the halves of `halves.halves_of`: half of the centres, with the radii that these alone have, and
half of the points. A column is one such set: column 0 all of them, columns 1 to 2 R the halves.

Real and fake features play both parts at once: the real balls hold fakes (precision, density, coverage), the fake
balls hold real features (recall). One pass over all pairs counts all of it, for the usual k together and for every
column; what was counted is kept for the last few pairs of sets, so that the metrics, asked one after the other, share
it.

Two squared distances that differ by less than 1e-9 of the radius's are a tie: inside under the rule "<=", outside
under "<". Everything else is decided exactly, in float64, whatever the precision of the features.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from genbench.errors import Refused
from genbench.metrics.distances import (
    PRECISIONS,
    Points,
    Precision,
    blocks,
    exact,
    first_precision,
    lower_bounds,
    rows_of,
    together,
    upper_bounds,
)
from genbench.metrics.halves import halves_of
from genbench.metrics.nearest import nearest_of, nearest_others

Tie = Literal["<", "<="]
TIES: tuple[Tie, Tie] = ("<", "<=")
_TOGETHER = (3, 5)  # the usual k, counted in the same pass
_TIE = 1e-9
_GONE = -1.0  # a squared radius that holds nothing
_DENSE = 50  # where more than one pair of a tile in so many is open, the tile is bounded again more finely
_COMPARED = 4_000_000  # pairs times radii that are compared at a time
_REMEMBERED = 4


@dataclass(frozen=True)
class Balls:
    """Squared radii `(m, columns)`, the same clipped at their median, and how many clipped balls hold each centre."""

    squared: np.ndarray
    clipped: np.ndarray
    crowd: np.ndarray


@dataclass(frozen=True)
class Counts:
    """What lies in the balls under one rule of ties, in each column.

    `of_points` `(n, columns)`: how many balls hold each point. `of_balls` `(m, columns)`: how many points each ball
    holds. `crowd` as in `Balls`, for the clipped ones. `centres`, `points`: which of them a column has.
    """

    of_points: np.ndarray
    of_balls: np.ndarray
    crowd: np.ndarray
    centres: np.ndarray
    points: np.ndarray

    def per_point(self, values: np.ndarray) -> np.ndarray:
        """The mean over the points of each column, `(columns,)`."""
        means: np.ndarray = (values * self.points).sum(axis=0) / self.points.sum(axis=0)
        return means

    def per_centre(self, values: np.ndarray) -> np.ndarray:
        """The mean over the centres of each column, `(columns,)`."""
        means: np.ndarray = (values * self.centres).sum(axis=0) / self.centres.sum(axis=0)
        return means


def _columns(n: int, side: int, parts: bool) -> np.ndarray:
    """Which rows each column has, bool `(n, columns)`."""
    everything = np.ones((n, 1), dtype=bool)
    return np.concatenate([everything, halves_of(n, side)], axis=1) if parts else everything


def _radii(
    squared: np.ndarray, index: np.ndarray, rows: np.ndarray, there: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Squared radii of some centres, `(len(rows), columns)`, and for which of them the neighbours given are too few."""
    radii, short = np.full((len(rows), there.shape[1]), _GONE), np.zeros(len(rows), dtype=bool)
    for column in range(there.shape[1]):
        own = np.flatnonzero(there[rows, column])
        seen = np.cumsum(there[index[own], column], axis=1)
        short[own] |= seen[:, -1] < k
        radii[own, column] = squared[own, (seen >= k).argmax(axis=1)]
    return radii, short


def _clipped(radii: np.ndarray) -> np.ndarray:
    """Radii no larger than their median, in each column over the centres that are there."""
    columns = []
    for column in radii.T:
        there = column != _GONE
        columns.append(np.where(there, np.minimum(column, np.median(np.sqrt(column[there])) ** 2), _GONE))
    return np.stack(columns, axis=1)


def _crowd(p: Points, squared: np.ndarray, index: np.ndarray, there: np.ndarray, clipped: np.ndarray) -> np.ndarray:
    """How many clipped balls of others hold each centre, the boundary included, in each column."""
    limit = clipped * (1 + _TIE)
    known = squared.shape[1] == len(p) - 1
    open_ = np.empty(0, dtype=int) if known else np.flatnonzero(squared[:, -1] <= limit.max(axis=1))
    limit[open_] = _GONE  # ties that go on behind the last neighbour known: all centres are looked at
    crowd = np.zeros(clipped.shape, dtype=np.int32)
    for column in range(clipped.shape[1]):
        held = index[squared <= limit[:, column, None]]
        crowd[:, column] = np.bincount(held, minlength=len(p))
    if len(open_):
        tally = _Tally(clipped[open_], there)
        _count(p.take(open_), p, tally, None)
        crowd += tally.of_points[1]
        crowd[open_] -= 1  # each centre lies in its own ball
    return np.where(there, crowd, 0)


def _balls(p: Points, there: np.ndarray, ks: list[int]) -> dict[int, Balls]:
    """The balls around points, for each k."""
    halves = there.shape[1] > 1
    kept = min(3 * max(ks) + 10 if halves else max(ks) + 1, len(p) - 1)
    squared, index = nearest_others(p, kept)
    balls = {}
    for k in ks:
        radii, short = _radii(squared, index, np.arange(len(p)), there, k)
        rows, more = np.flatnonzero(short), kept
        while len(rows):  # centres with few neighbours of their own half among the nearest
            more = min(4 * more, len(p) - 1)
            radii[rows], short = _radii(*nearest_of(p, rows, more), rows, there, k)
            rows = rows[short]
        clipped = _clipped(radii)
        balls[k] = Balls(radii, clipped, _crowd(p, squared, index, there, clipped))
    return balls


class _Tally:
    """Counts of what lies in balls with the squared radii `(m, C)`, under both rules of ties.

    Args:
        points: which points each column has, `(n, columns)`; repeated if C is a multiple of the columns.
    """

    def __init__(self, radii: np.ndarray, points: np.ndarray) -> None:
        self.inner, self.outer = radii * (1 - _TIE), radii * (1 + _TIE)
        self.limit = np.nextafter(self.outer.max(axis=1).astype(np.float32), np.float32(np.inf))
        self.points = np.tile(points, (1, radii.shape[1] // points.shape[1]))
        self.of_points = np.zeros((2, *self.points.shape), dtype=np.int32)
        self.of_balls = np.zeros((2, *radii.shape), dtype=np.int32)

    def open(self, i: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Whether the bounds leave open on which side of some radius of ball i a distance lies."""
        low, high, inner, outer = low[:, None], high[:, None], self.inner[i], self.outer[i]
        open_: np.ndarray = (((low < inner) & (high >= inner)) | ((low <= outer) & (high > outer))).any(axis=1)
        return open_

    def add(self, i: np.ndarray, j: np.ndarray, squared: np.ndarray) -> None:
        """The pairs of ball i and point j."""
        for rule, inside in enumerate((squared[:, None] < self.inner[i], squared[:, None] <= self.outer[i])):
            inside &= self.points[j]
            _sum_into(self.of_balls[rule], i, inside)
            _sum_into(self.of_points[rule], j, inside)


def _sum_into(total: np.ndarray, where: np.ndarray, values: np.ndarray) -> None:
    order = np.argsort(where, kind="stable")
    rows, first = np.unique(where[order], return_index=True)
    if len(rows):
        total[rows] += np.add.reduceat(values[order], first, axis=0, dtype=np.int32)


def _count(c: Points, p: Points, there: _Tally, back: _Tally | None) -> None:
    """One pass over all pairs: the points in the balls around c, and the rows of c in the balls around p."""
    first = first_precision(c, p)
    finer = PRECISIONS[PRECISIONS.index(first) + 1 :]
    for rows, columns, block in blocks(c, p, first):
        many = block.size // _DENSE
        i, j, low, high = _near(there, back, block, c, p, rows, columns, first)
        unsure = _unsure(there, back, i, j, low, high)
        for precision in finer:
            if len(unsure) <= many:
                break
            block = lower_bounds(c.tile(rows, precision), p.tile(columns, precision))
            i, j, low, high = _near(there, back, block, c, p, rows, columns, precision)
            unsure = _unsure(there, back, i, j, low, high)
        if len(unsure) <= many:
            low[unsure] = exact(c, i[unsure], p, j[unsure])
        else:  # duplicates in masses: different rows only
            equal = c.first_equal[i[unsure]] * len(p) + p.first_equal[j[unsure]]
            pairs, each = np.unique(equal, return_inverse=True)
            low[unsure] = exact(c, pairs // len(p), p, pairs % len(p))[each]
        step = max(1, _COMPARED // there.inner.shape[1])
        for start in range(0, len(i), step):
            part = slice(start, start + step)
            there.add(i[part], j[part], low[part])
            if back is not None:
                back.add(j[part], i[part], low[part])


def _near(
    there: _Tally,
    back: _Tally | None,
    block: np.ndarray,
    c: Points,
    p: Points,
    rows: slice,
    columns: slice,
    precision: Precision,
) -> tuple[np.ndarray, ...]:
    """The pairs of a tile that some ball may hold, and between which bounds their squared distances lie."""
    near = block <= there.limit[rows, None]
    if back is not None:
        near |= block <= back.limit[columns]
    flat = np.flatnonzero(near)
    i, j = np.divmod(flat, near.shape[1])
    i, j = i + rows.start, j + columns.start
    low = block.ravel()[flat].astype(np.float64)
    return i, j, low, upper_bounds(low, c, i, p, j, precision)


def _unsure(
    there: _Tally, back: _Tally | None, i: np.ndarray, j: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    step = max(1, _COMPARED // there.inner.shape[1])
    found = []
    for start in range(0, len(i), step):
        part = slice(start, start + step)
        open_ = there.open(i[part], low[part], high[part])
        if back is not None:
            open_ |= back.open(j[part], low[part], high[part])
        found.append(np.flatnonzero(open_) + start)
    return np.concatenate(found) if found else np.empty(0, dtype=int)


Table = dict[tuple[str, int, Tie], Counts]  # whose balls ("real", "clipped", "fake"), k, rule
_memory: OrderedDict[bytes, Table] = OrderedDict()


def _tables(real: np.ndarray, fake: np.ndarray, k: int, parts: bool) -> Table:
    """Everything that one pass counts."""
    points = dict(zip(("real", "fake"), together(real, fake), strict=True))
    there = {side: _columns(len(p), at, parts) for at, (side, p) in enumerate(points.items())}
    balls: dict[str, dict[int, Balls]] = {}
    for side, p in points.items():
        ks = [each for each in sorted({*_TOGETHER, k}) if each < (len(p) // 2 if parts else len(p))]
        balls[side] = _balls(p, there[side], ks) if ks else {}
    nothing = {side: np.full(columns.shape, _GONE) for side, columns in there.items()}
    plain = [r for b in balls["real"].values() for r in (b.squared, b.clipped)] or [nothing["real"]]
    of_real = _Tally(np.concatenate(plain, axis=1), there["fake"])
    plain = [b.squared for b in balls["fake"].values()] or [nothing["fake"]]
    of_fake = _Tally(np.concatenate(plain, axis=1), there["real"])
    _count(points["real"], points["fake"], of_real, of_fake)

    table: Table = {}
    wide = there["real"].shape[1]

    def enter(name: str, each: int, tally: _Tally, at: int, crowd: np.ndarray) -> None:
        own, centres = slice(at * wide, (at + 1) * wide), there["fake" if name == "fake" else "real"]
        for rule, tie in enumerate(TIES):
            inside = tally.of_points[rule][:, own], tally.of_balls[rule][:, own]
            table[name, each, tie] = Counts(*inside, crowd, centres, tally.points[:, :wide])

    for at, (each, b) in enumerate(balls["real"].items()):
        enter("real", each, of_real, 2 * at, b.crowd)
        enter("clipped", each, of_real, 2 * at + 1, b.crowd)
    for at, (each, b) in enumerate(balls["fake"].items()):
        enter("fake", each, of_fake, at, b.crowd)
    return table


def _key(real: np.ndarray, fake: np.ndarray, parts: bool) -> bytes:
    digest = hashlib.sha256(f"{real.shape} {real.dtype} {fake.shape} {fake.dtype} {parts}".encode())
    for x in (real, fake):
        digest.update(x.data)
    return digest.digest()


def counts(
    metric: str,
    balls: Literal["real", "clipped", "fake"],
    *,
    real: Any,
    fake: Any,
    k: int,
    tie: str,
    count_self: bool,
    parts: bool = False,
) -> tuple[Counts, int]:
    """What lies in the balls around the real features (or in the clipped ones), or in those around the fake ones.

    Args:
        metric: what asks, for the errors.
        balls: around which features; those of "clipped" are the real balls with radii up to their median.
        real, fake: features `(m, d)` and `(n, d)`.
        k: which neighbour sets the radius; with `count_self` the centre itself is the first of them.
        tie: "<=" or "<": whether a distance equal to the radius is inside.
        parts: counts in the halves as well, for an interval.

    Returns:
        the counts, and k without the centre itself.
    """
    x, y = rows_of(real, f"{metric}: real"), rows_of(fake, f"{metric}: fake")
    if x.shape[1] != y.shape[1]:
        raise Refused(f"{metric}: real has {x.shape[1]} features and fake {y.shape[1]}; they must be the same")
    if tie not in TIES:
        raise Refused(f"{metric}: tie is {tie!r}; it must be '<' or '<='")
    others = k - bool(count_self)
    m = len(y if balls == "fake" else x)
    left = m // 2 if parts else m
    if not 1 <= others < left:
        least, most = 1 + bool(count_self), left - 1 + bool(count_self)
        half = ", for an interval" if parts else ""
        raise Refused(f"{metric}: k is {k}; it must lie between {least} and {most} with {m} centres{half}")
    key = _key(x, y, parts)
    if (balls, others, tie) not in _memory.get(key, {}):
        _memory[key] = {**_memory.get(key, {}), **_tables(x, y, others, parts)}
    _memory.move_to_end(key)
    while len(_memory) > _REMEMBERED:
        _memory.popitem(last=False)
    return _memory[key][balls, others, tie], others
