"""The squared maximum mean discrepancy of two samples under a kernel, with its variance, in bounded memory.

Symbols: x_i one of n, y_j one of m; k the kernel. Under the laws of x and y it splits into parts that are uncorrelated:
k(x, x') = const + phi(x) + phi(x') + k~(x, x'), k(x, y) = const + eta(x) + zeta(y) + k~(x, y), and so for y, y' with
phi'. The witness is f(x) = phi(x) - eta(x) and g(y) = phi'(y) - zeta(y). Then

    MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y)
    U     = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{ij} k(x_i, y_j)
    Var U = 4/n Var f + 4/m Var g + 2/(n (n - 1)) A_xx + 2/(m (m - 1)) A_yy + 4/(n m) A_xy,   A = E k~^2

The last three terms, v, are all that is left where the laws are equal and U is degenerate. Each is estimated without
bias from the sums of the kernel's rows and of its squares. The first two vanish with theta = MMD^2 and are taken as
a theta, so that the interval can be of the score kind: all theta with (U - theta)^2 <= t^2 (v + a theta). At theta = 0
it is the test by v alone, far from it U +- t sqrt(Var U). An additive constant of k changes none of this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_ROWS, _COLUMNS = 512, 1024  # of a block of the kernel: 4 MB

Kernel = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Inner products `(a, b)`, squared norms `(a, 1)` and `(b,)` -> values of the kernel `(a, b)`, in the same memory."""


@dataclass(frozen=True)
class _Within:
    """Over pairs of different rows of one sample: the sum of each row `(n,)`, and of all squares; and k(x_i, x_i)."""

    rows: np.ndarray
    squares: float
    diagonal: float  # the mean of k(x_i, x_i)

    @property
    def mean(self) -> float:
        n = len(self.rows)
        return float(self.rows.sum()) / (n * (n - 1))

    @property
    def second(self) -> float:
        """A_xx, by U-centring: k~_ij = k_ij - (row_i + row_j) / (n - 2) + total / ((n - 1) (n - 2))."""
        n, total = len(self.rows), float(self.rows.sum())
        centred = self.squares - 2.0 * float(self.rows @ self.rows) / (n - 2) + total * total / ((n - 1) * (n - 2))
        return centred / (n * (n - 3))


@dataclass(frozen=True)
class _Between:
    """Over all pairs of a row of x and a row of y: sums over y `(n,)`, over x `(m,)`, and of all squares."""

    rows: np.ndarray
    columns: np.ndarray
    squares: float

    @property
    def mean(self) -> float:
        return float(self.rows.mean()) / len(self.columns)

    @property
    def second(self) -> float:
        """A_xy, by centring rows and columns."""
        n, m, total = len(self.rows), len(self.columns), float(self.rows.sum())
        margins = float(self.rows @ self.rows) / m + float(self.columns @ self.columns) / n
        return (self.squares - margins + total * total / (n * m)) / ((n - 1) * (m - 1))


def _spans(start: int, stop: int, step: int) -> list[slice]:
    return [slice(first, min(first + step, stop)) for first in range(start, stop, step)]


def _within(x: np.ndarray, kernel: Kernel) -> _Within:
    norms = np.einsum("ij,ij->i", x, x)
    rows, squares, diagonal = np.zeros(len(x)), 0.0, 0.0
    for part in _spans(0, len(x), _ROWS):
        own = kernel(x[part] @ x[part].T, norms[part, None], norms[part])
        diagonal += float(np.trace(own))
        np.fill_diagonal(own, 0.0)
        rows[part] += own.sum(axis=1)
        squares += float(np.vdot(own, own))
        for rest in _spans(part.stop, len(x), _COLUMNS):
            block = kernel(x[part] @ x[rest].T, norms[part, None], norms[rest])
            rows[part] += block.sum(axis=1)
            rows[rest] += block.sum(axis=0)
            squares += 2.0 * float(np.vdot(block, block))
    return _Within(rows, squares, diagonal / len(x))


def _between(x: np.ndarray, y: np.ndarray, kernel: Kernel) -> _Between:
    x_norms, y_norms = np.einsum("ij,ij->i", x, x), np.einsum("ij,ij->i", y, y)
    rows, columns, squares = np.zeros(len(x)), np.zeros(len(y)), 0.0
    for part in _spans(0, len(x), _ROWS):
        for rest in _spans(0, len(y), _COLUMNS):
            block = kernel(x[part] @ y[rest].T, x_norms[part, None], y_norms[rest])
            rows[part] += block.sum(axis=1)
            columns[rest] += block.sum(axis=0)
            squares += float(np.vdot(block, block))
    return _Between(rows, columns, squares)


@dataclass(frozen=True, kw_only=True)
class Discrepancy:
    """A squared distance of two samples and what its interval needs."""

    unbiased: float  # U
    bias: float  # what the plug-in value, for a kernel the V-statistic, has more than U
    first: float  # the variance's terms of first order, with the noise in them, which is 2 v
    at_null: float  # v

    @property
    def biased(self) -> float:
        """The V-statistic: all pairs, those of a row with itself included."""
        return self.unbiased + self.bias

    @property
    def slope(self) -> float:
        """a, the terms of first order over theta, with noise in both: a Rayleigh quotient of the kernel's covariance.

        The noise of theta is the bias, a trace, where every direction counts alike, though it is the wide ones that
        carry a difference; sqrt(v / 2), a Frobenius norm, stands for these. The mean of the two is taken: of the
        choices tried by simulation it kept the coverage closest to 95%.
        """
        norm = float(np.sqrt(self.at_null / 2))
        below = max(self.unbiased, -norm / 2) + (self.bias + norm) / 2
        return self.first / below if below > 0 else 0.0

    def interval(self, df: float, noise: float = 0.0) -> tuple[float, float]:
        """All theta that a score test at 95% does not reject; below zero the variance is v.

        Args:
            df: degrees of freedom of the t quantile.
            noise: a variance that adds to v.
        """
        from scipy.special import stdtrit

        t, u = float(stdtrit(df, 0.975)), self.unbiased
        half, null = t * t * self.slope / 2, t * np.sqrt(self.at_null + noise)
        root = np.sqrt(max(0.0, half**2 + 2 * half * u + null**2))
        low = u - null if u < null else u + half - root
        high = u + null if u < -null else u + half + root
        return min(float(low), u), max(float(high), u)


def discrepancy(x: np.ndarray, y: np.ndarray, kernel: Kernel) -> Discrepancy:
    """From one pass over all pairs; `first` and `at_null` are NaN with fewer than 4 rows on a side.

    Args:
        x, y: float64 `(n, d)` and `(m, d)`.
    """
    n, m = len(x), len(y)
    with np.errstate(over="ignore", invalid="ignore"):  # an overflow leaves the distance infinite or NaN
        xx, yy, xy = _within(x, kernel), _within(y, kernel), _between(x, y, kernel)
        unbiased = xx.mean + yy.mean - 2.0 * xy.mean
        bias = (xx.diagonal - xx.mean) / n + (yy.diagonal - yy.mean) / m
        if min(n, m) < 4:
            return Discrepancy(unbiased=unbiased, bias=bias, first=np.nan, at_null=np.nan)
        second = 2 / (n * (n - 1)) * xx.second + 2 / (m * (m - 1)) * yy.second + 4 / (n * m) * xy.second
        f = np.var(xx.rows / (n - 2) - xy.rows / m, ddof=1)
        g = np.var(yy.rows / (m - 2) - xy.columns / n, ddof=1)
        first = float(4 / n * f + 4 / m * g)
    return Discrepancy(unbiased=unbiased, bias=bias, first=first, at_null=max(second, 0.0))
