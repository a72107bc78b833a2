"""Squared distances between rows, in bounded memory: fast bounds of all pairs, exact values of the pairs that matter.

Symbols: x_i, y_j rows `(d,)`; u the unit roundoff; all about a common centre and on a common scale (a power of two), so
that a matrix product loses least and nothing over- or underflows.

|x|^2 + |y|^2 - 2 x'y from a float32 product is off by no more than gamma (|x|^2 + |y|^2), gamma = (d + 16) u: the
product by d u, the rest by the rounding of what enters and of the sums. So the product gives an interval for each
pair, at float32 speed; where the interval leaves a decision open, `exact` settles it from the rows themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from genbench.errors import Refused

TILE = 1024  # rows of a tile of the matrix of pairs: 4 MB in float32
_KEPT = 256 * 2**20  # bytes of centred rows that are kept; above it they are centred again for each tile
_CHUNK = 2**18  # entries of the differences that `exact` holds at a time
_UNDERFLOW = 1e-36  # of a product of two numbers up to 1, in float32


def rows_of(values: Any, what: str, rows: int = 1) -> np.ndarray:
    """Finite `(n, d)` with n >= rows and d >= 1; float32 stays float32, everything else becomes float64."""
    if values is None:
        raise Refused(f"{what} is missing")
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise Refused(f"{what} must hold real numbers; it has dtype {array.dtype}")
    if array.ndim != 2:
        raise Refused(f"{what} must have 2 dimensions; it has shape {array.shape}")
    if len(array) < rows:
        raise Refused(f"{what} has {len(array)} rows; at least {rows} are needed")
    if array.shape[1] == 0:
        raise Refused(f"{what} has no columns; it has shape {array.shape}")
    array = np.ascontiguousarray(array, dtype=array.dtype if array.dtype == np.float32 else np.float64)
    bad = sum(int(np.count_nonzero(~np.isfinite(array[part]))) for part in slices(len(array)))
    if bad:
        raise Refused(f"{what} holds {bad} values that are NaN or infinite; all must be finite")
    return array


def slices(n: int) -> list[slice]:
    """The tiles' rows."""
    return [slice(start, min(start + TILE, n)) for start in range(0, n, TILE)]


@dataclass(frozen=True)
class Tile:
    """Some rows, centred and scaled; `low` are their squared norms less what rounding may have added to a distance."""

    values: np.ndarray
    low: np.ndarray


class Points:
    """The rows of a matrix as points that distances are taken between; built by `together`."""

    def __init__(self, x: np.ndarray, centre: np.ndarray, scale: float, unit: float) -> None:
        self.x, self.centre, self.scale = x, centre, scale
        self.unit = unit  # what one unit of the given features is here
        self._tiles: dict[tuple[int, int, type], Tile] = {}

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: np.ndarray) -> Points:
        """Some of the points."""
        return Points(self.x[rows], self.centre, self.scale, self.unit)

    def centred(self, part: slice) -> np.ndarray:
        """Float64, about the centre, on the scale."""
        moved: np.ndarray = (self.x[part] - self.centre) * self.scale
        return moved

    @cached_property
    def squares(self) -> np.ndarray:
        """The squared norms, float64 `(n,)`."""
        return np.concatenate([np.square(self.centred(part)).sum(axis=1) for part in slices(len(self))])

    def slack(self, dtype: type) -> np.ndarray:
        """What rounding may add to a squared distance, as one share for each of its two points, `(n,)`."""
        gamma = (self.x.shape[1] + 16) * float(np.finfo(dtype).eps) / 2
        tiny = self.x.shape[1] * _UNDERFLOW if dtype is np.float32 else 0.0
        shares: np.ndarray = gamma * self.squares + tiny
        return shares

    def tile(self, part: slice, dtype: type = np.float32) -> Tile:
        key = (part.start, part.stop, dtype)
        if key not in self._tiles:
            low = (self.squares[part] - self.slack(dtype)[part]).astype(dtype)
            made = Tile(self.centred(part).astype(dtype), low)
            if self.x.size * np.dtype(dtype).itemsize > _KEPT:
                return made
            self._tiles[key] = made
        return self._tiles[key]


def together(*arrays: np.ndarray) -> list[Points]:
    """Points with the mean of all rows as their centre, and coordinates up to 1."""
    peak = max(float(np.abs([x.max(), x.min()]).max()) for x in arrays)
    shrunk = 1.0
    if peak > 1e100:  # so that neither a sum nor a difference overflows
        shrunk = float(np.ldexp(1.0, -int(np.frexp(peak)[1])))
        arrays = tuple(x * shrunk for x in arrays)
    centre = sum(x.sum(axis=0, dtype=np.float64) for x in arrays) / sum(len(x) for x in arrays)
    spread = max(float(np.abs(x[part] - centre).max()) for x in arrays for part in slices(len(x)))
    scale = float(np.ldexp(1.0, -int(np.frexp(spread)[1]))) if spread > 1e-290 else 1.0
    return [Points(x, centre, scale, scale * shrunk) for x in arrays]


def lower_bounds(a: Tile, b: Tile) -> np.ndarray:
    """No squared distance of a row of a to a row of b lies below, `(len(a), len(b))`."""
    block = (-2.0 * a.values) @ b.values.T
    block += a.low[:, None]
    block += b.low
    bounds: np.ndarray = block
    return bounds


def exact(a: Points, i: np.ndarray, b: Points, j: np.ndarray) -> np.ndarray:
    """Squared distances of the pairs (a_i, b_j), from their differences in float64."""
    found = np.empty(len(i))
    step = max(1, _CHUNK // a.x.shape[1])
    for start in range(0, len(i), step):
        part = slice(start, start + step)
        difference = (a.x[i[part]].astype(np.float64) - b.x[j[part]]) * a.scale
        found[part] = np.einsum("ij,ij->i", difference, difference)
    return found


def blocks(a: Points, b: Points, dtype: type = np.float32) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """The lower bounds of all pairs, tile by tile."""
    for rows in slices(len(a)):
        tile = a.tile(rows, dtype)
        for columns in slices(len(b)):
            yield rows, columns, lower_bounds(tile, b.tile(columns, dtype))
