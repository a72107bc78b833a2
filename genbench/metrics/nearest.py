"""The nearest neighbours of points, exact, at the speed of a matrix product of low precision.

Symbols: n points, d(i, j)^2 their squared distances, K how many neighbours are kept. `low` and `high` bound a squared
distance whatever rounding did (see `distances`). Rows that these leave open are bounded again more finely.
"""

from __future__ import annotations

import numpy as np

from genbench.metrics.distances import (
    PRECISIONS,
    Points,
    Precision,
    blocks,
    exact,
    first_precision,
    lower_bounds,
    slices,
)

_SPARE = 8  # candidates beyond K, so that bounds seldom leave open which are the K nearest
_TIE = 1e-10  # of a squared distance: what is nearer by less than that is no nearer


def _spare(kept: int, precision: Precision, others: int) -> int:
    """How many candidates: beyond the K nearest twice as many lie within the width of the coarsest bounds."""
    return min(_SPARE + kept * (2 if precision == "bfloat16" else 1), others)


class _Best:
    """The `kept` smallest bounds that each row has met."""

    def __init__(self, n: int, kept: int) -> None:
        self.low = np.full((n, kept), np.inf)
        self.index = np.full((n, kept), -1)
        self._pending: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}

    def offer(self, block: np.ndarray, rows: slice, columns: slice) -> None:
        """The bounds `(rows, columns)`: those that may belong to the smallest are kept; rows as in `slices`."""
        kept, pending = self.low.shape[1], self._pending.setdefault(rows.start, [])
        flat = np.flatnonzero(block <= self.low[rows, -1, None].astype(block.dtype))
        if len(flat) > 2 * kept * len(block) and block.shape[1] > kept:  # the first block, or bounds that are all alike
            index = np.argpartition(block, kept - 1, axis=1)[:, :kept]
            low = np.take_along_axis(block, index, axis=1)
        else:
            i, j = np.divmod(flat, block.shape[1])
            counts = np.bincount(i, minlength=len(block))
            low, index = (
                np.full((len(block), int(counts.max())), np.inf),
                np.zeros((len(block), int(counts.max())), int),
            )
            place = np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts, counts)
            low[i, place], index[i, place] = block[i, j], j
        pending.append((low, index + columns.start))
        if sum(part.shape[1] for part, _ in pending) >= kept:
            self._merge(rows)

    def _merge(self, rows: slice) -> None:
        lows, indices = zip((self.low[rows], self.index[rows]), *self._pending.pop(rows.start), strict=True)
        low, index = np.concatenate(lows, axis=1), np.concatenate(indices, axis=1)
        order = np.argsort(low, axis=1, kind="stable")[:, : self.low.shape[1]]
        self.low[rows], self.index[rows] = (np.take_along_axis(part, order, axis=1) for part in (low, index))

    def settle(self) -> None:
        """Sorts what waits into the lists."""
        for rows in slices(len(self.low)):
            if rows.start in self._pending:
                self._merge(rows)


def _among(p: Points, kept: int, precision: Precision) -> _Best:
    """For each point the candidates with the smallest bounds among the others; each pair is looked at once."""
    best, parts = _Best(len(p), kept), slices(len(p))
    for one, rows in enumerate(parts):
        tile = p.tile(rows, precision)
        for columns in parts[one:]:
            block = lower_bounds(tile, p.tile(columns, precision))
            if columns == rows:
                np.fill_diagonal(block, np.inf)
                best.offer(block, rows, columns)
            else:
                best.offer(block, rows, columns)
                best.offer(block.T, columns, rows)
    best.settle()
    return best


def _between(a: Points, b: Points, kept: int, precision: Precision, itself: np.ndarray | None) -> _Best:
    """For each row of a the candidates in b; `itself` is where b holds the row, if it does."""
    best = _Best(len(a), kept)
    for rows, columns, block in blocks(a, b, precision):
        if itself is not None:
            here = np.flatnonzero((itself[rows] >= columns.start) & (itself[rows] < columns.stop))
            block[here, itself[rows][here] - columns.start] = np.inf
        best.offer(block, rows, columns)
    best.settle()
    return best


def _settled(a: Points, b: Points, best: _Best, kept: int, others: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Squared distances and indices of the K nearest from candidates, and which rows' candidates do not suffice.

    The K with the smallest bounds are made exact first: they say which of the others may be nearer.
    """
    index, low = best.index, best.low
    values = low.copy()
    values[:, :kept] = exact(a, np.repeat(np.arange(len(a)), kept), b, index[:, :kept].ravel()).reshape(-1, kept)
    i, c = np.nonzero(low[:, kept:] <= values[:, :kept].max(axis=1)[:, None])
    c += kept
    values[i, c] = exact(a, i, b, index[i, c])
    order = np.lexsort((index, values), axis=1)[:, :kept]
    values, index = np.take_along_axis(values, order, axis=1), np.take_along_axis(index, order, axis=1)
    last = values[:, -1]
    open_ = np.zeros(len(a), dtype=bool) if low.shape[1] == others else (last * (1 - _TIE) > low[:, -1]) & (last > 0)
    return values, index, open_


def _nearest(a: Points, b: Points, kept: int, itself: np.ndarray | None) -> tuple[np.ndarray, ...]:
    others, precision = len(b) - (itself is not None), first_precision(a, b)
    spare = _spare(kept, precision, others)
    among = itself is not None and len(a) == len(b)
    best = _among(a, spare, precision) if among else _between(a, b, spare, precision, itself)
    values, index, left = _settled(a, b, best, kept, others)
    for finer in PRECISIONS[PRECISIONS.index(precision) + 1 :]:
        open_ = np.flatnonzero(left)
        left[:] = False
        for part in slices(len(open_)):
            rows = open_[part]
            some, own = a.take(rows), None if itself is None else itself[rows]
            best = _between(some, b, _spare(kept, finer, others), finer, own)
            values[rows], index[rows], left[rows] = _settled(some, b, best, kept, others)
    for row in np.flatnonzero(left).tolist():  # not even a float64 product can tell
        squared = exact(a, np.full(len(b), row), b, np.arange(len(b)))
        if itself is not None:
            squared[itself[row]] = np.inf
        order = np.argsort(squared, kind="stable")[:kept]
        values[row], index[row] = squared[order], order
    return values, index


def nearest_others(p: Points, kept: int) -> tuple[np.ndarray, np.ndarray]:
    """Each point's `kept` nearest others: squared distances, upward, exact, and indices, `(n, kept)` each."""
    values, index = _nearest(p, p, kept, np.arange(len(p)))
    return values, index


def nearest_of(p: Points, rows: np.ndarray, kept: int) -> tuple[np.ndarray, np.ndarray]:
    """The same for some of the points, `(len(rows), kept)` each."""
    values, index = _nearest(p.take(rows), p, kept, rows)
    return values, index


def nearest(a: Points, b: Points, kept: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Each row of a's `kept` nearest in b: squared distances, upward, exact, and indices, `(len(a), kept)` each."""
    values, index = _nearest(a, b, kept, None)
    return values, index
