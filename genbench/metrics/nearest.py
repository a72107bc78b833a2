"""The nearest neighbours of points, exact, at the speed of a float32 matrix product.

Symbols: n points, d(i, j)^2 their squared distances, K how many neighbours are kept. `low` and `high` bound a squared
distance whatever rounding did (see `distances`).
"""

from __future__ import annotations

import numpy as np

from genbench.metrics.distances import Points, blocks, exact, lower_bounds, slices

_SPARE = 8  # candidates beyond K, so that bounds seldom leave open which are the K nearest
_PENDING = 2_000_000  # candidates that wait to be sorted


class _Best:
    """The `kept` smallest bounds that each row has met."""

    def __init__(self, n: int, kept: int) -> None:
        self.low = np.full((n, kept), np.inf)
        self.index = np.full((n, kept), -1)
        self.limit = np.full(n, np.inf)
        self._pending: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._waiting = 0

    def offer(self, block: np.ndarray, rows: slice, columns: slice) -> None:
        """The bounds `(rows, columns)`: those that may belong to the smallest are kept."""
        kept = self.low.shape[1]
        if np.isinf(self.limit[rows]).any() and block.shape[1] > kept:
            self.limit[rows] = np.minimum(self.limit[rows], np.partition(block, kept - 1, axis=1)[:, kept - 1])
        flat = np.flatnonzero(block <= self.limit[rows, None].astype(block.dtype))
        if len(flat) > 4 * kept * len(block) and block.shape[1] > kept:  # duplicates: all bounds are alike
            chosen = np.argpartition(block, kept - 1, axis=1)[:, :kept]
            flat = (chosen + np.arange(len(block))[:, None] * block.shape[1]).ravel()
        i, j = np.divmod(flat, block.shape[1])
        low = block.ravel()[flat]
        real = np.isfinite(low)
        self._pending.append((i[real] + rows.start, j[real] + columns.start, low[real].astype(np.float64)))
        self._waiting += len(flat)
        if self._waiting > _PENDING:
            self.settle()

    def settle(self) -> None:
        """Sorts what waits into the lists."""
        n, kept = self.low.shape
        held = self.index.ravel() >= 0
        before = (np.repeat(np.arange(n), kept)[held], self.index.ravel()[held], self.low.ravel()[held])
        i, j, low = (np.concatenate(parts) for parts in zip(before, *self._pending, strict=True))
        order = np.lexsort((j, low, i))
        i, j, low = i[order], j[order], low[order]
        rank = np.arange(len(i)) - np.searchsorted(i, np.arange(n))[i]
        first = rank < kept
        self.low[i[first], rank[first]], self.index[i[first], rank[first]] = low[first], j[first]
        self.limit = np.minimum(self.limit, self.low[:, -1])
        self._pending, self._waiting = [], 0


def _among(p: Points, kept: int) -> _Best:
    """For each point the candidates with the smallest bounds among the others; each pair is looked at once."""
    best, parts = _Best(len(p), kept), slices(len(p))
    for one, rows in enumerate(parts):
        tile = p.tile(rows)
        for columns in parts[one:]:
            block = lower_bounds(tile, p.tile(columns))
            if columns == rows:
                np.fill_diagonal(block, np.inf)
                best.offer(block, rows, columns)
            else:
                best.offer(block, rows, columns)
                best.offer(np.ascontiguousarray(block.T), columns, rows)
    best.settle()
    return best


def _between(a: Points, b: Points, kept: int, dtype: type, itself: np.ndarray | None) -> _Best:
    """For each row of a the candidates in b; `itself` is where b holds the row, if it does."""
    best = _Best(len(a), kept)
    for rows, columns, block in blocks(a, b, dtype):
        if itself is not None:
            here = np.flatnonzero((itself[rows] >= columns.start) & (itself[rows] < columns.stop))
            block[here, itself[rows][here] - columns.start] = np.inf
        best.offer(block, rows, columns)
    best.settle()
    return best


def _settled(
    a: Points, b: Points, best: _Best, kept: int, dtype: type, exact_from: int, others: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Squared distances and indices of the K nearest from candidates, and which rows' candidates do not suffice."""
    index, low = best.index, best.low
    width = 2 * (a.slack(dtype)[:, None] + b.slack(dtype)[index])
    high = low + width
    floor = low[:, exact_from, None]
    ceiling = np.partition(high, kept - 1, axis=1)[:, kept - 1, None]
    i, c = np.nonzero((high >= floor) & (low <= ceiling))
    values = low.copy()
    values[i, c] = exact(a, i, b, index[i, c])
    order = np.lexsort((index, values), axis=1)[:, :kept]
    values, index = np.take_along_axis(values, order, axis=1), np.take_along_axis(index, order, axis=1)
    last = values[:, -1]
    open_ = np.zeros(len(a), dtype=bool) if low.shape[1] == others else (last > low[:, -1]) & (last > 0)
    return values, index, open_


def _nearest(a: Points, b: Points, kept: int, exact_from: int, itself: np.ndarray | None) -> tuple[np.ndarray, ...]:
    others = len(b) - (itself is not None)
    spare = min(kept + _SPARE, others)
    among = itself is not None and len(a) == len(b)
    best = _among(a, spare) if among else _between(a, b, spare, np.float32, itself)
    values, index, left = _settled(a, b, best, kept, np.float32, exact_from, others)
    if rows := np.flatnonzero(left).tolist():  # float32 cannot tell which are nearest: float64 for these rows
        some, own = a.take(np.array(rows)), None if itself is None else itself[rows]
        best = _between(some, b, spare, np.float64, own)
        values[rows], index[rows], still = _settled(some, b, best, kept, np.float64, 0, others)
        for row in np.array(rows)[still]:  # nor can float64
            squared = exact(a, np.full(len(b), row), b, np.arange(len(b)))
            if itself is not None:
                squared[itself[row]] = np.inf
            order = np.argsort(squared, kind="stable")[:kept]
            values[row], index[row] = squared[order], order
    return values, index


def nearest_others(p: Points, kept: int, exact_from: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Each point's `kept` nearest others: squared distances, upward, and indices, `(n, kept)` each.

    Args:
        exact_from: the rank, from 0, from which on the distances are exact; those before it are certainly no larger.
    """
    values, index = _nearest(p, p, kept, exact_from, np.arange(len(p)))
    return values, index


def nearest_of(p: Points, rows: np.ndarray, kept: int) -> tuple[np.ndarray, np.ndarray]:
    """The same for some of the points, all of it exact, `(len(rows), kept)` each."""
    values, index = _nearest(p.take(rows), p, kept, 0, rows)
    return values, index


def nearest(a: Points, b: Points, kept: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Each row of a's `kept` nearest in b: squared distances, upward, exact, and indices, `(len(a), kept)` each."""
    values, index = _nearest(a, b, kept, 0, None)
    return values, index
