"""Fréchet distance between two sets of features.

Symbols: x `(n, d)` the features of a set, mu their mean, S their covariance, R a root of it: S = R' R.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from genbench.metrics.arrays import feature_pair
from genbench.stats import Replicates, groups_of
from genbench.types import Metric


@dataclass(frozen=True)
class _Moments:
    """How many, their mean `(d,)`, and a root `(r, d)` of their scatter: root' root = sum (x - mean)(x - mean)'."""

    n: int
    mean: np.ndarray
    root: np.ndarray


def _smaller(root: np.ndarray) -> np.ndarray:
    """The same root' root in at most d rows: the triangular factor of a QR decomposition."""
    if root.shape[0] <= root.shape[1]:
        return root
    triangle: np.ndarray = np.asarray(np.linalg.qr(root, mode="r"))
    return triangle


def _moments(x: np.ndarray) -> _Moments:
    mean = x.mean(axis=0)
    return _Moments(len(x), mean, _smaller(x - mean))


def _union(parts: list[_Moments]) -> _Moments:
    """The moments of a union: scatters add, and each part's mean adds n_g (mean_g - mean)(mean_g - mean)'."""
    n = sum(part.n for part in parts)
    mean = np.sum([part.n / n * part.mean for part in parts], axis=0)
    shifts = np.stack([np.sqrt(part.n) * (part.mean - mean) for part in parts])
    return _Moments(n, mean, _smaller(np.concatenate([*(part.root for part in parts), shifts])))


def _distance(a: _Moments, b: _Moments) -> float:
    root_a, root_b = a.root / np.sqrt(a.n - 1), b.root / np.sqrt(b.n - 1)
    traces = np.square(root_a).sum() + np.square(root_b).sum()
    overlap = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    # The sum of squares and the overlap cancel where the sets agree; what rounding leaves may lie below zero.
    return max(0.0, float(np.square(a.mean - b.mean).sum() + traces - 2.0 * overlap))


def fid(*, real: Any, fake: Any) -> float:
    """Fréchet distance between the Gaussians that have the two sets' means and covariances.

    |mu_r - mu_f|^2 + Tr(S_r + S_f - 2 (S_r S_f)^(1/2)), covariances with ddof 1, float64. With S = R' R for each set,
    the eigenvalues of S_r S_f are the squared singular values of R_r R_f', so that the last trace is their sum: no
    matrix square root, nothing imaginary, and nothing special about singular covariances or n < d. R is the centred
    data over sqrt(n - 1), reduced by QR to d rows where it has more.

    Estimator: plug-in. Biased upward by a term that falls like 1/n and that depends on the model; compare equal n,
    and read it against the distance of real data to real data. Lower is better; from 0 (equal moments) up, in squared
    units of the features.

    Reference: GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium (Heusel, Ramsauer,
    Unterthiner, Nessler and Hochreiter, 2017).

    Args:
        real: features `(n, d)`, n >= 2.
        fake: features `(m, d)`, m >= 2.
    """
    x, y = feature_pair(real, fake, "fid")
    return _distance(_moments(x), _moments(y))


def _leave_one_out(x: np.ndarray) -> list[_Moments]:
    member = groups_of(len(x))
    parts = [_moments(x[member == g]) for g in range(member.max() + 1)]
    return [_union(parts[:g] + parts[g + 1 :]) for g in range(len(parts))]


def _replicates(*, real: Any, fake: Any) -> Replicates:
    """The distances without each group in turn, from the groups' moments: the data are read once."""
    x, y = feature_pair(real, fake, "fid", rows=3)
    of_x, of_y = _moments(x), _moments(y)
    return Replicates(
        value=_distance(of_x, of_y),
        real=np.array([_distance(without, of_y) for without in _leave_one_out(x)]),
        fake=np.array([_distance(of_x, without) for without in _leave_one_out(y)]),
    )


METRIC = Metric(
    fn=fid,
    axis="quality",
    better="lower",
    needs="features",
    interval="jackknife",
    min_samples=40,
    range=(0.0, np.inf),
    replicates=_replicates,
)
