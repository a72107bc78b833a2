"""Fréchet distance between Gaussians: its value, its linear part at each sample, and its second-order part.

Symbols: x `(n, d)` the features of a set, mu their mean, S their covariance (denominator n - ddof), C a root of it:
S = C'C. The overlap of two sets is Tr (S_r S_f)^(1/2) = sum s_i, where s_i^2 are the eigenvalues of S_r S_f, and so
those of C_r S_f C_r', and s_i the singular values of C_r C_f'.

Balanced coordinates: y = A (x - mu) for the generated set and y = A'^{-1} (x - mu) for the real one, with A such that
both covariances become D = diag(s). The overlap is the same in them, A'A is the optimal transport from generated to
real, and the expansion about (S_r, S_f) is short. With F and R the changes of the two balanced covariances,

    distance = |dmu|^2 + Tr S_r + Tr S_f - 2 sum s - Tr(F + R) + 1/2 sum_ij (F_ij - R_ij)^2 / (s_i + s_j) + ...
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from genbench.errors import Refused
from genbench.metrics.arrays import matrix
from genbench.moments import Moments

# How far the overlap may be off, relative to the traces, before it is computed from roots of both covariances.
TOLERANCE = 1e-11


@dataclass(frozen=True, eq=False)
class Side:
    """What the distance needs of a set: the scatter where n > d, a root of the covariance `(n - 1, d)` where n <= d."""

    n: int
    mean: np.ndarray
    rest: np.ndarray  # what the mean lost to rounding
    ddof: int
    rows: np.ndarray | None = None
    scatter: np.ndarray | None = None
    thin: np.ndarray | None = None

    @property
    def rank(self) -> int:
        """The largest that the covariance can have."""
        return min(self.n - 1, len(self.mean))

    @cached_property
    def variances(self) -> np.ndarray:
        """The covariance's diagonal, `(d,)`."""
        if self.scatter is not None:
            return np.diagonal(self.scatter) / (self.n - self.ddof)
        assert self.thin is not None
        squares: np.ndarray = np.square(self.thin).sum(axis=0)
        return squares

    def covariance(self) -> np.ndarray:
        """S, in memory that is the caller's."""
        assert self.scatter is not None
        square: np.ndarray = self.scatter / (self.n - self.ddof)
        return square

    def centred(self, chosen: np.ndarray | slice = slice(None)) -> np.ndarray:
        """x - mu of the chosen rows."""
        assert self.rows is not None
        x: np.ndarray = self.rows[chosen] - self.mean
        return x - self.rest

    def exact_root(self) -> np.ndarray:
        """C for any covariance, by QR of the rows; from moments alone, of the part that stands out of rounding."""
        if self.thin is not None:
            return self.thin
        if self.rows is not None:
            triangle: np.ndarray = np.asarray(np.linalg.qr(self.centred(), mode="r"))
            return triangle / np.sqrt(self.n - self.ddof)
        values, vectors = np.linalg.eigh(self.covariance())
        kept = values > len(values) * np.finfo(np.float64).eps * values[-1]
        root: np.ndarray = np.sqrt(values[kept])[:, None] * vectors[:, kept].T
        return root

    def times(self, root: np.ndarray) -> np.ndarray:
        """S root', `(d, k)`."""
        if self.scatter is not None:
            return np.asarray(self.scatter @ root.T) / (self.n - self.ddof)
        assert self.thin is not None
        return np.asarray(self.thin.T @ (self.thin @ root.T))

    def on(self, live: np.ndarray) -> Side:
        """The same of some of the features."""
        scatter = None if self.scatter is None else self.scatter[np.ix_(live, live)]
        rows = None if self.rows is None else self.rows[:, live]
        thin = None if self.thin is None else self.thin[:, live]
        return replace(self, mean=self.mean[live], rest=self.rest[live], rows=rows, scatter=scatter, thin=thin)


def side_of(values: Any, what: str, ddof: int) -> Side:
    """A set given as features `(n, d)` or as `Moments`."""
    if ddof not in (0, 1):
        raise Refused(f"{what}: ddof is {ddof!r}; it is 1 (the unbiased covariance) or 0")
    if isinstance(values, Moments):
        if values.n < 2:
            raise Refused(f"{what} has moments of {values.n} rows; at least 2 are needed")
        return Side(values.n, values.mean, values.low_mean, ddof, scatter=values.scatter)
    rows = matrix(values, what)
    n, d = rows.shape
    if n > d:
        moments = Moments.of(rows)
        return Side(n, moments.mean, moments.low_mean, ddof, rows=rows, scatter=moments.scatter)
    from_first = rows - rows[0]
    step = from_first.mean(axis=0)
    mean = rows[0] + step
    from_first -= step
    # Reflect (1, ..., 1) onto the first axis: the other n - 1 rows of the reflected x - mu have the same scatter.
    thin = (from_first[1:] - from_first[0] / (np.sqrt(n) + 1)) / np.sqrt(n - ddof)
    return Side(n, mean, (rows[0] - mean) + step, ddof, rows=rows, thin=thin)


def pair_of(real: Any, fake: Any, metric: str, ddof: int) -> tuple[Side, Side]:
    """Both sets, of the same width."""
    r, f = side_of(real, f"{metric}: real", ddof), side_of(fake, f"{metric}: fake", ddof)
    if len(r.mean) != len(f.mean):
        raise Refused(f"{metric}: real has {len(r.mean)} features and fake {len(f.mean)}; they must be the same")
    return r, f


def _is_exact(squares: np.ndarray, product: np.ndarray, factors: float, pivots: float, tolerance: float) -> bool:
    """Whether the sum of s is known to the tolerance when the eigenvalues s^2 of `product` were rounded.

    The bound in norm, 4 eps of the largest one on each, serves where no s is small. It is far too large for graded
    matrices, as those of deep features are; there the determinant tells how far the small eigenvalues are really off,
    as it is known from the Cholesky decomposition as well, and that one's rounding is relative to each diagonal entry.

    Args:
        product: its lower triangle is read, and lost.
        factors: the norm of what it was multiplied from, far above its own where the two sets vary apart.
        pivots: by how much the rounding of the root's own Cholesky decomposition may move the sum.
    """
    from scipy.linalg import lapack

    if squares[0] <= 0:
        return False
    eps = np.finfo(np.float64).eps
    if 4 * eps * max(squares[-1], factors) * np.sqrt(np.sum(0.25 / squares)) <= tolerance:
        return True
    if factors > 0:
        return False
    variances = np.diagonal(product).copy()
    lower, failed = lapack.dpotrf(product, lower=1, clean=0, overwrite_a=1)
    if failed:
        return False
    diagonal = np.diagonal(lower)
    apart = abs(np.log(squares).sum() - 2 * np.log(diagonal).sum())
    by_norm = 10 * apart * np.sum(0.5 / np.sqrt(squares)) / np.sum(1 / squares)
    by_entry = 0.5 * eps * np.sum(variances / diagonal)
    return bool(by_norm + by_entry + pivots <= tolerance)


@dataclass(frozen=True, eq=False)
class Overlap:
    """s `(k,)`, and the maps `(d, k)` that take x - mu of each set to balanced coordinates."""

    s: np.ndarray
    live: np.ndarray
    real: np.ndarray | None = None
    fake: np.ndarray | None = None


def overlap(real: Side, fake: Side, *, maps: bool = False) -> Overlap:
    """The singular values of C_r C_f', and the maps to balanced coordinates if asked for.

    One Cholesky decomposition C and the eigenvalues of C S C', of the size of the smaller rank, where rounding of the
    eigenvalues s^2 cannot matter to their roots; else the singular values of the product of both roots.
    """
    scale = real.variances.sum() + fake.variances.sum()
    live = (real.variances > 0) & (fake.variances > 0)
    if not live.any():
        nothing = np.zeros((0, 0)) if maps else None
        return Overlap(np.zeros(0), live, nothing, nothing)
    if not live.all():
        real, fake = real.on(live), fake.on(live)
    small, large = sorted((real, fake), key=lambda side: (side.rank, side.thin is None))
    found = _by_eigenvalues(small, large, TOLERANCE * scale, maps) or _by_singular_values(small, large, maps)
    s, of_small, of_large = found
    of_real, of_fake = (of_small, of_large) if small is real else (of_large, of_small)
    return Overlap(s, live, of_real, of_fake)


_Found = tuple[np.ndarray, np.ndarray | None, np.ndarray | None]


def _by_eigenvalues(small: Side, large: Side, tolerance: float, maps: bool) -> _Found | None:
    # One library's threads throughout, and as little new memory as can be: a system that hands out pages slowly takes
    # longer for a matrix than its decomposition does. BLAS keeps columns together, so that a matrix in rows goes in as
    # its transpose, lower triangles as upper ones.
    from scipy.linalg import blas, eigh, lapack

    factors = pivots = 0.0
    if small.thin is not None:
        root = small.thin.T
        if large.thin is not None:
            across = blas.dgemm(1.0, large.thin.T, root, trans_a=1)
            product = blas.dsyrk(1.0, across, trans=1, lower=1)
        else:
            covariance = large.covariance()
            product = blas.dgemm(1.0, root, blas.dgemm(1.0, covariance.T, root), trans_a=1)
            factors = float(np.linalg.norm(covariance) * small.variances.sum())
    else:
        root, failed = lapack.dpotrf(small.covariance().T, lower=1, clean=int(maps), overwrite_a=1)
        if failed:
            return None
        product, _ = lapack.dsygst(large.covariance().T, root, itype=2, lower=1, overwrite_a=1)
        moved = small.variances / np.diagonal(root) * np.sqrt(large.variances)
        pivots = float(0.5 * np.finfo(np.float64).eps * moved.sum())
    if not np.isfinite(np.diagonal(product)).all():
        return None
    driver = "evd" if maps else "evr"
    kept = root if small.thin is None and not maps else np.empty_like(product)
    np.copyto(kept, product)
    found = eigh(product, lower=True, eigvals_only=not maps, overwrite_a=True, check_finite=False, driver=driver)
    squares, vectors = found if maps else (found, None)
    if not _is_exact(squares, kept, factors, pivots, tolerance):
        return None
    s = np.sqrt(squares)
    if vectors is None:
        return s, None, None
    of_large = root @ (vectors / np.sqrt(s))
    return s, large.times((of_large / s).T), of_large


def _by_singular_values(small: Side, large: Side, maps: bool) -> _Found:
    of_small, of_large = small.exact_root(), large.exact_root()
    product = of_small @ of_large.T
    if not maps:
        return np.linalg.svd(product, compute_uv=False), None, None
    left, s, right = np.linalg.svd(product, full_matrices=False)
    kept = s > max(product.shape) * np.finfo(np.float64).eps * max(s[0], np.finfo(np.float64).tiny)
    s = s[kept]
    return s, of_large.T @ (right[kept].T / np.sqrt(s)), of_small.T @ (left[:, kept] / np.sqrt(s))


def mean_shift(real: Side, fake: Side) -> np.ndarray:
    """mu_f - mu_r, `(d,)`."""
    shift: np.ndarray = (fake.mean - real.mean) + (fake.rest - real.rest)
    return shift


def distance(real: Side, fake: Side, s: np.ndarray) -> float:
    """|mu_r - mu_f|^2 + Tr S_r + Tr S_f - 2 sum s; never below zero, where rounding may leave it."""
    traces = float(real.variances.sum() + fake.variances.sum())
    return max(0.0, float(np.square(mean_shift(real, fake)).sum()) + (traces - 2.0 * float(s.sum())))
