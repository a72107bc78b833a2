"""Squared distances between rows, in bounded memory: fast bounds of all pairs, exact values of the pairs that matter.

Symbols: x_i, y_j rows `(d,)`; u the unit roundoff; all about a common centre and on a common scale (a power of two), so
that a matrix product loses least and nothing over- or underflows.

|x|^2 + |y|^2 - 2 x'y from a float32 product is off by no more than gamma (|x|^2 + |y|^2), gamma = (d + 16) u: the
product by d u, the rest by the rounding of what enters and of the sums. So the product gives an interval for each
pair, at float32 speed; where the interval leaves a decision open, a finer product or `exact` settles it.

Where the processor multiplies bfloat16, a first product of rows rounded to bfloat16 does the same in half the time:
with x = b + e, b the rounded row, |x'y - b_x'b_y| <= |e_x| |y| + |b_x| |e_y| <= s_x + s_y by the inequality of the
means, 2 s = |e|^2 / r + r max(|x|, |b|)^2 for any r > 0; the product itself comes rounded, by u of its value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal

import numpy as np

from genbench.errors import Refused

Precision = Literal["bfloat16", "float32", "float64"]
PRECISIONS: tuple[Precision, ...] = ("bfloat16", "float32", "float64")  # of a product, each finer than the one before

TILE = 1024  # rows of a tile of the matrix of pairs: 4 MB in float32
_KEPT = 256 * 2**20  # bytes of centred rows that are kept; above it they are centred again for each tile
_CHUNK = 2**16  # entries of the differences that `exact` holds at a time
_STRIP = 2**17  # entries of the rows that are prepared at a time
_UNDERFLOW = 1e-36  # of a product of two numbers up to 1, in float32 or bfloat16
_COARSE = 1 / 255  # u / (1 - u) with u = 2^-8, the unit roundoff of bfloat16
_RESIDUAL = 0.0016  # r: about what |e| / |x| is for rows of many values
_WIDE = 512  # columns from which on a product of one row with several is faster than their differences
_SEVERAL = 4  # columns a row, from which on that pays
_ROWS = 64  # of a tile's bounds that are worked on at a time
_CLOSE = 1e-10  # of a squared distance: what a product may be off for `exact` to take it
_WORTH = 2 * 10**10  # products in all, above which a bfloat16 product is worth its preparation


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


def first_equal(x: np.ndarray) -> np.ndarray:
    """The first row that is equal to each, int64 `(n,)`."""
    words = np.uint32 if x.itemsize == 4 else np.uint64
    sums = np.concatenate(
        [(x[part] + 0.0).view(words).sum(axis=1, dtype=np.uint64) for part in strips(len(x), x.shape[1])]  # -0 is 0
    )
    _, kind, counts = np.unique(sums, return_inverse=True, return_counts=True)
    first = np.arange(len(x))
    seen: dict[bytes, int] = {}
    for row in np.flatnonzero(counts[kind] > 1).tolist():
        first[row] = seen.setdefault(hashlib.blake2b(x[row] + 0.0, digest_size=16).digest(), row)
    return first


def slices(n: int) -> list[slice]:
    """The tiles' rows."""
    return [slice(start, min(start + TILE, n)) for start in range(0, n, TILE)]


def strips(n: int, d: int) -> list[slice]:
    """The same rows, so few at a time that caches hold them."""
    step = max(1, _STRIP // d)
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


@cache
def _multiplies_bfloat16() -> bool:
    """Whether the processor does; elsewhere the product would be emulated, and slower than a float32 one."""
    import torch

    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def first_precision(a: Points, b: Points) -> Precision:
    """What to bound all distances between two sets with first."""
    d = a.x.shape[1]
    return "bfloat16" if d >= _WIDE and len(a) * len(b) * d >= _WORTH and _multiplies_bfloat16() else "float32"


@dataclass(frozen=True)
class Tile:
    """Some rows, centred and scaled; `low` are their squared norms less what rounding may have added to a distance."""

    values: Any  # an array, or a torch tensor of bfloat16
    low: np.ndarray


class Points:
    """The rows of a matrix as points that distances are taken between; built by `together`."""

    def __init__(self, x: np.ndarray, centre: np.ndarray, scale: float, unit: float) -> None:
        self.x, self.centre, self.scale = x, centre, scale
        self.unit = unit  # what one unit of the given features is here
        self._tiles: dict[tuple[int, int, Precision], Tile] = {}

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: np.ndarray) -> Points:
        """Some of the points."""
        return Points(self.x[rows], self.centre, self.scale, self.unit)

    def centred(self, part: slice | np.ndarray) -> np.ndarray:
        """Float64, about the centre, on the scale."""
        moved: np.ndarray = self.x[part].astype(np.float64)
        moved -= self.centre
        moved *= self.scale
        return moved

    @cached_property
    def squares(self) -> np.ndarray:
        """The squared norms, float64 `(n,)`."""
        return np.concatenate([_squared(self.centred(part)) for part in strips(*self.x.shape)])

    @cached_property
    def _residuals(self) -> np.ndarray:
        """2 s of each row (see the module)."""
        shares = []
        for part in strips(*self.x.shape):
            values = self.centred(part)
            rounded = _bfloat16(values).double().numpy()
            largest = np.maximum(self.squares[part], _squared(rounded))
            rounded -= values
            shares.append(_squared(rounded) / _RESIDUAL + _RESIDUAL * largest)
        return np.concatenate(shares)

    @cached_property
    def first_equal(self) -> np.ndarray:
        """The first row that is equal to each, int64 `(n,)`."""
        return first_equal(self.x)

    def slack(self, precision: Precision) -> np.ndarray:
        """What rounding may add to a squared distance, as one share for each of its two points, `(n,)`."""
        d = self.x.shape[1]
        u = float(np.finfo(np.float64 if precision == "float64" else np.float32).eps) / 2
        shares: np.ndarray = (d + 16) * u * self.squares
        if precision != "float64":
            shares += d * _UNDERFLOW
        return shares + self._residuals if precision == "bfloat16" else shares

    def tile(self, part: slice, precision: Precision = "float32") -> Tile:
        key = (part.start, part.stop, precision)
        if key not in self._tiles:
            low = self.squares[part] - self.slack(precision)[part]
            values = np.empty((len(low), self.x.shape[1]), dtype="float64" if precision == "float64" else "float32")
            for strip in strips(*values.shape):
                values[strip] = self.centred(slice(part.start + strip.start, part.start + strip.stop))
            low = low.astype(values.dtype)
            made = Tile(_bfloat16(values) if precision == "bfloat16" else values, low)
            if self.x.size * made.values.itemsize > _KEPT or precision == "float64":
                return made
            self._tiles[key] = made
        return self._tiles[key]


def _squared(values: np.ndarray) -> np.ndarray:
    squares: np.ndarray = np.einsum("ij,ij->i", values, values)
    return squares


def _bfloat16(values: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(values.astype(np.float32, copy=False)).to(torch.bfloat16)


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
    if not isinstance(a.values, np.ndarray):
        return _coarse_bounds(a, b)
    block = a.values @ b.values.T
    block *= -2.0
    block += a.low[:, None]
    block += b.low
    bounds: np.ndarray = block
    return bounds


def _coarse_bounds(a: Tile, b: Tile) -> np.ndarray:
    """The same from a bfloat16 product x'y, which may be off by u |x'y|; a few rows at a time, which caches hold."""
    import torch

    products = a.values @ b.values.T
    bounds = np.empty(products.shape, dtype=np.float32)
    of_rows, of_columns = torch.from_numpy(a.low)[:, None], torch.from_numpy(b.low)
    block = torch.from_numpy(bounds)
    for part in (slice(start, start + _ROWS) for start in range(0, len(bounds), _ROWS)):
        some = block[part].copy_(products[part])
        some.add_(some.abs(), alpha=_COARSE)
        torch.add(of_columns, some, alpha=-2, out=some)
        some.add_(of_rows[part])
    return bounds


def upper_bounds(
    low: np.ndarray, a: Points, i: np.ndarray, b: Points, j: np.ndarray, precision: Precision
) -> np.ndarray:
    """No squared distance of the pairs (a_i, b_j) lies above, if `low` are their lower bounds."""
    shares = a.slack(precision)[i] + b.slack(precision)[j]
    high = low + 2 * shares
    if precision == "bfloat16":  # 2 |x'y|, from the lower bound itself
        products = np.abs(a.squares[i] + b.squares[j] - low) + shares
        high += 2 * _COARSE / (1 - _COARSE) * products
    return high


def exact(a: Points, i: np.ndarray, b: Points, j: np.ndarray) -> np.ndarray:
    """Squared distances of the pairs (a_i, b_j) in float64, from their differences, or as good as that.

    Pairs that are sorted by i and share rows of a are taken by products, where these lose less than 1e-10 of a square.
    """
    if a.x.shape[1] < _WIDE or len(i) < _SEVERAL * (1 + np.count_nonzero(np.diff(i))):
        return _from_differences(a, i, b, j)
    found = np.empty(len(i))
    away = float(np.linalg.norm(b.centre)) * b.scale
    gamma = (a.x.shape[1] + 16) * float(np.finfo(np.float64).eps) / 2
    starts = np.flatnonzero(np.diff(i, prepend=-1))
    stops = np.append(starts[1:], len(i))
    for some in strips(len(starts), a.x.shape[1]):
        moved = a.centred(i[starts[some]])
        offsets = moved @ b.centre
        for row, offset, start, stop in zip(moved, offsets, starts[some], stops[some], strict=True):
            np.subtract(b.x[j[start:stop]].astype(np.float64) @ row, offset, out=found[start:stop])
    found = a.squares[i] + b.squares[j] - 2 * b.scale * found
    reach = np.sqrt(b.squares[j])
    lost = gamma * (a.squares[i] + b.squares[j] + 2 * np.sqrt(a.squares[i]) * (reach + 2 * away))
    rough = np.flatnonzero(~(lost <= _CLOSE * found))
    found[rough] = _from_differences(a, i[rough], b, j[rough])
    return found


def _from_differences(a: Points, i: np.ndarray, b: Points, j: np.ndarray) -> np.ndarray:
    found = np.empty(len(i))
    step = max(1, _CHUNK // a.x.shape[1])
    for start in range(0, len(i), step):
        part = slice(start, start + step)
        difference = np.subtract(a.x[i[part]], b.x[j[part]], dtype=np.float64)
        difference *= a.scale
        found[part] = _squared(difference)
    return found


def blocks(a: Points, b: Points, precision: Precision) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """The lower bounds of all pairs, tile by tile."""
    for rows in slices(len(a)):
        tile = a.tile(rows, precision)
        for columns in slices(len(b)):
            yield rows, columns, lower_bounds(tile, b.tile(columns, precision))
