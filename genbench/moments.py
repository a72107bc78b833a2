"""How many, their mean, and their scatter: all that a Gaussian fit needs, summed over batches, shards and machines.

Symbols: n the number of vectors, d their width, mean = sum x / n, scatter = sum (x - mean)(x - mean)'; the covariance
is scatter / (n - ddof). Memory is O(d^2), whatever n.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from genbench.errors import Refused

_ENTRIES = 1 << 22  # of a block of rows that is converted to float64 at a time: 32 MB


@dataclass(frozen=True, eq=False)
class Moments:
    """n, mean `(d,)` and scatter `(d, d)` of a set of vectors, float64.

    `a.merged(b)`, or `a + b`, holds the moments of the union, by the update of Chan: with delta = mean_b - mean_a,

        n = n_a + n_b,   mean = mean_a + delta n_b / n,   scatter = scatter_a + scatter_b + delta delta' n_a n_b / n.

    Nothing cancels, so that shards merged in any order equal the whole to 1e-10 even where the mean is 1e8 times
    larger than the spread: `rest` `(d,)` is what the mean loses when it is rounded to float64.

    Reference: Updating Formulae and a Pairwise Algorithm for Computing Sample Variances (Chan, Golub and LeVeque,
    1979).
    """

    n: int
    mean: np.ndarray
    scatter: np.ndarray = field(repr=False)
    rest: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        d = np.shape(self.mean)[0] if np.ndim(self.mean) == 1 else 0
        if self.n < 0 or d == 0 or np.shape(self.scatter) != (d, d) or np.shape(self.low_mean) != (d,):
            shapes = f"{np.shape(self.mean)} and {np.shape(self.scatter)}"
            raise Refused(f"moments need n >= 0, a mean (d,) and a scatter (d, d); n is {self.n}, the shapes {shapes}")
        for name, values in (("mean", self.mean), ("scatter", self.scatter), ("rest", self.low_mean)):
            if not np.isfinite(values).all():
                raise Refused(f"moments: the {name} holds values that are NaN or infinite; all must be finite")
            object.__setattr__(self, name, np.asarray(values, dtype=np.float64))

    @property
    def low_mean(self) -> np.ndarray:
        """What is to be added to `mean`, `(d,)`, below its last place."""
        return np.zeros(np.shape(self.mean)) if self.rest is None else self.rest

    @property
    def d(self) -> int:
        """The width of the vectors."""
        return len(self.mean)

    @classmethod
    def empty(cls, d: int) -> Moments:
        """Of no vectors at all."""
        if d < 1:
            raise Refused(f"moments need vectors of at least one component; d is {d}")
        return cls(0, np.zeros(d), np.zeros((d, d)))

    @classmethod
    def of(cls, x: Any) -> Moments:
        """Of the rows of x `(n, d)`; what is not finite is refused."""
        array = np.asarray(x)
        if array.ndim != 2 or array.dtype.kind not in "fiub" or array.shape[1] == 0:
            raise Refused(f"moments need real numbers (n, d), d >= 1; got {array.dtype} of shape {array.shape}")
        n, d = array.shape
        if n == 0:
            return cls.empty(d)
        # Around the first vector differences are exact where the mean is large and the spread small.
        start = array[0].astype(np.float64)
        step, scatter = np.zeros(d), np.zeros((d, d))
        rows = min(n, max(1, _ENTRIES // d))
        space = np.empty((rows + 1, d))
        for first in range(0, n, rows):
            count = min(rows, n - first)
            block = space[:count]
            # An infinite or absent value makes its column's sum infinite or absent, and so does an overflow.
            with np.errstate(over="ignore", invalid="ignore"):
                np.subtract(array[first : first + count], start, out=block)
                own = block.sum(axis=0) / count
                if not np.isfinite(own).all():
                    raise Refused(f"moments: the vectors hold {_not_summed(array)}; all must be finite")
                block -= own
                # The update of Chan, its last term as one more row.
                delta = own - step
                step += delta * (count / (first + count))
                space[count] = delta * math.sqrt(first * (count / (first + count)))
                scatter += space[: count + 1].T @ space[: count + 1]
        mean, rest = _two_sum(start, step)
        return cls(n, mean, scatter, rest)

    def added(self, batch: Any) -> Moments:
        """With the rows of a batch `(b, d)`."""
        return self.merged(Moments.of(batch))

    def merged(self, other: Moments) -> Moments:
        """Of the union of two disjoint sets."""
        if self.d != other.d:
            raise Refused(f"moments of width {self.d} and of width {other.d} cannot be merged")
        if self.n == 0 or other.n == 0:
            return self if other.n == 0 else other
        n = self.n + other.n
        delta = self.shift_to(other)
        mean, rest = _two_sum(self.mean, self.low_mean + delta * (other.n / n))
        between = delta * math.sqrt(self.n * (other.n / n))  # one vector twice, so that rounding keeps it symmetric
        scatter = self.scatter + other.scatter + np.outer(between, between)
        return Moments(n, mean, scatter, rest)

    def __add__(self, other: Moments) -> Moments:
        return self.merged(other)

    def shift_to(self, other: Moments) -> np.ndarray:
        """The mean of the other less one's own, `(d,)`."""
        shift: np.ndarray = (other.mean - self.mean) + (other.low_mean - self.low_mean)
        return shift

    def covariance(self, ddof: int = 1) -> np.ndarray:
        """scatter / (n - ddof), `(d, d)`."""
        if self.n <= ddof:
            raise Refused(f"a covariance with ddof {ddof} needs more than {ddof} vectors; there are {self.n}")
        return self.scatter / (self.n - ddof)


def _not_summed(array: np.ndarray) -> str:
    wrong = int(np.count_nonzero(~np.isfinite(array)))
    return f"{wrong} values that are NaN or infinite" if wrong else "values too large to be summed"


def _two_sum(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a + b rounded, and what the rounding lost, exactly."""
    total = a + b
    other = total - a
    lost: np.ndarray = (a - (total - other)) + (b - other)
    return total, lost
