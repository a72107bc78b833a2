"""A density with a Gaussian kernel at each generated sample: what the feature likelihood divergence looks at.

Symbols: f_j one of n centres, v_j the variance of its kernel in each of d directions,
p(x) = (1/n) sum_j N(x; f_j, v_j I). Features are standardised by the training set.

The v_j are those that make the training features most likely, found by expectation-maximisation from v_j = the squared
distance of f_j to the nearest training feature over d: deterministic, and never less likely from round to round. No v_j
falls below 0.001, so that a copy of a training feature has a narrow kernel and the likelihood stays finite. Equal
centres have equal kernels, and stand as one of that many times the weight; of a point, the kernels at its 20 nearest
different centres count.
"""

from __future__ import annotations

import math

import numpy as np

from genbench.errors import Undefined
from genbench.metrics.distances import first_equal, strips
from genbench.metrics.memory import nearest_rows

FLOOR = 1e-3
GROUPS = 20  # of samples, for the variance that they cause
_KEPT = 20
_ROUNDS = 100
_ENOUGH = 1e-6  # of the mean log-likelihood per dimension, the gain that ends the search


def standardised(train: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """Mean 0 and variance 1 over the training features; directions in which these do not vary are left out."""
    peak = max(float(np.abs([x.max(), x.min()]).max()) for x in (train, *others)) or 1.0
    scaled = train / peak
    mean, std = scaled.mean(axis=0, dtype=np.float64), scaled.std(axis=0, dtype=np.float64)
    varies = std > 1e-12
    if not varies.any():
        raise Undefined("the training features are all equal, so that they cannot be standardised")
    kept = slice(None) if varies.all() else varies
    mean, std = mean[kept], std[kept]

    def moved(x: np.ndarray) -> np.ndarray:
        found = np.empty((len(x), len(mean)), dtype=np.float32)
        for part in strips(*x.shape):
            values = x[part][:, kept] / peak - mean
            values /= std
            found[part] = values
        return found

    return tuple(moved(x) for x in (train, *others))


class Kernels:
    """The density with its centres; fitted to some features, then evaluated at others."""

    def __init__(self, centres: np.ndarray) -> None:
        self.n, self.d = centres.shape
        first, self.row, counts = np.unique(first_equal(centres), return_inverse=True, return_counts=True)
        self.centres, self.weights = centres if len(first) == self.n else centres[first], counts / self.n
        self.variances = np.full(len(self.centres), np.nan)

    def near(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances of each x to its nearest centres, and which they are."""
        distance, index = nearest_rows(x, self.centres, min(_KEPT, len(self.centres)))
        return np.square(distance), index

    def fit(self, squared: np.ndarray, index: np.ndarray) -> Kernels:
        """The variances for features with these nearest centres."""
        n = len(self.centres)
        closest = np.full(n, np.inf)
        np.minimum.at(closest, index.ravel(), squared.ravel())
        met = np.isfinite(closest)
        self.variances = np.maximum(np.where(met, closest, np.median(closest[met])) / self.d, FLOOR)
        before = -np.inf
        for _ in range(_ROUNDS):
            terms = self._terms(squared, index)
            whole = _log_sum(terms)
            gain, before = float(whole.mean()) - before, float(whole.mean())
            if gain < _ENOUGH * self.d:
                break
            weight = np.exp(terms - whole[:, None]).ravel()
            mass = np.bincount(index.ravel(), weight, n)
            scatter = np.bincount(index.ravel(), weight * squared.ravel(), n)
            held = mass > 1e-12
            self.variances[held] = np.maximum(scatter[held] / (self.d * mass[held]), FLOOR)
        return self

    def nats_per_dim(self, squared: np.ndarray, index: np.ndarray) -> np.ndarray:
        """-log p(x) / d of features with these nearest centres."""
        nats: np.ndarray = -_log_sum(self._terms(squared, index)) / self.d
        return nats

    def left_out(self, squared: np.ndarray, index: np.ndarray) -> np.ndarray:
        """`nats_per_dim` without one group of the samples after the other, `(GROUPS, m)`; the variances stay."""
        group = np.random.default_rng(0).permutation(self.n) % GROUPS
        found = np.empty((GROUPS, len(squared)))
        terms = self._terms(squared, index)
        for g in range(GROUPS):
            gone = np.bincount(self.row[group == g], minlength=len(self.weights)) / self.n
            kept = (self.weights - gone) / self.weights / (1 - gone.sum())
            with np.errstate(divide="ignore"):
                found[g] = -_log_sum(terms + np.log(kept)[index]) / self.d
        return found

    def _terms(self, squared: np.ndarray, index: np.ndarray) -> np.ndarray:
        v = self.variances[index]
        terms: np.ndarray = -squared / (2 * v) - self.d / 2 * np.log(2 * math.pi * v)
        return terms + np.log(self.weights)[index]


def _log_sum(terms: np.ndarray) -> np.ndarray:
    top = terms.max(axis=1)
    whole: np.ndarray = top + np.log(np.exp(terms - top[:, None]).sum(axis=1))
    return whole


def halves_of_train(t: int) -> tuple[np.ndarray, np.ndarray]:
    """Two halves of the training rows, by a fixed shuffle."""
    order = np.random.default_rng(0).permutation(t)
    return order[: t // 2], order[t // 2 :]
