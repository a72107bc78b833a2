"""C_T: a test of data-copying, by ranks of distances to the training set, cell by cell.

Symbols: T the training features; pi a cell, P(pi) the share of real features held out in it, Q(pi) that of the fake
ones; L(x) the distance of x to the nearest training feature of its own cell; p and q the numbers of real and of fake
features in a cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from genbench.errors import Undefined
from genbench.metrics.distances import slices
from genbench.metrics.memory import nearest_rows, triple
from genbench.stats import Replicates, groups_of
from genbench.types import Metric

_COMPONENTS = 64
_CELLS = 3
_LEAST = 20  # fake samples that a cell must hold: tau = 20 / n
_STARTS = 10
_ROUNDS = 100


def c_t(*, train: Any, real: Any, fake: Any) -> float:
    """The mean over cells of the z score of the Mann-Whitney test between fake and held-out real distances to training.

    C_T = sum_pi P(pi) Z(pi) / sum_pi P(pi) over the cells with Q(pi) >= tau = 20 / n, where
    Z = (U - p q / 2) / sqrt(p q (p + q + 1) / 12) and U counts the pairs in which the fake sample is farther from the
    training set, L(f) > L(r), a tie as one half. Cells: 3 of Lloyd's k-means of the training features (the best of 10
    seeded k-means++ starts), after a projection on their 64 first principal components where d is larger.

    Estimator: under equal laws the mean is 0 and the variance at most 1, whatever the law is. Below -3: copying; above
    3: samples farther from the training set than real data are. It grows with the root of the sample sizes. Neither
    higher nor lower is better: 0 is best. If all distances are equal, as where all features are equal, it is 0. The
    training set is given.

    Reference: A Non-Parametric Test to Detect Data-Copying in Generative Models (Meehan, Chaudhuri and Dasgupta, 2020).

    Args:
        train: features `(t, d)` of the training set.
        real: features `(m, d)` of real samples held out.
        fake: features `(n, d)`, n >= 20.
    """
    return _replicates(train=train, real=real, fake=fake).value


def _replicates(*, train: Any, real: Any, fake: Any) -> Replicates:
    t, x, y = triple(train, real, fake, "c_t")
    t, x, y = _projected(t, x, y)
    centres = _centres(t)
    near: dict[str, np.ndarray] = {}
    cell = {name: _assign(values, centres) for name, values in (("t", t), ("x", x), ("y", y))}
    for name, values in (("x", x), ("y", y)):
        near[name] = np.full(len(values), np.nan)
        for pi in range(len(centres)):
            here = cell[name] == pi
            if here.any():
                near[name][here] = nearest_rows(values[here], t[cell["t"] == pi])[0][:, 0]
    in_x, in_y = np.bincount(cell["x"], minlength=len(centres)), np.bincount(cell["y"], minlength=len(centres))
    cells = np.flatnonzero((in_y >= _LEAST) & (in_x > 0)).tolist()
    if not cells:
        raise Undefined(f"c_t: no cell holds a real sample and at least {_LEAST} of the {len(y)} generated ones")

    def value(rows: np.ndarray, columns: np.ndarray) -> float:
        weights, scores = [], []
        for pi in cells:
            a, b = near["x"][rows & (cell["x"] == pi)], near["y"][columns & (cell["y"] == pi)]
            if len(a) and len(b):
                weights.append(len(a))
                scores.append(_z(a, b))
        return float(np.average(scores, weights=weights))

    all_x, all_y, of_x, of_y = np.full(len(x), True), np.full(len(y), True), groups_of(len(x)), groups_of(len(y))
    return Replicates(
        value=value(all_x, all_y),
        real=np.array([value(of_x != g, all_y) for g in range(of_x.max() + 1)]),
        fake=np.array([value(all_x, of_y != g) for g in range(of_y.max() + 1)]),
    )


def _z(real: np.ndarray, fake: np.ndarray) -> float:
    from scipy.stats import rankdata

    p, q = len(real), len(fake)
    joint = np.concatenate([fake, real])
    top = float(joint.max())
    ranks = rankdata(np.round(joint / top, 12)) if top > 0 else np.full(p + q, (p + q + 1) / 2)
    u = float(ranks[:q].sum()) - q * (q + 1) / 2
    return float((u - p * q / 2) / np.sqrt(p * q * (p + q + 1) / 12))


def _projected(t: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """About the training mean and on a common scale, on the first principal components of the training features."""
    d, peak = t.shape[1], max(float(np.abs(x[part]).max()) for x in (t, *others) for part in slices(len(x))) or 1.0
    mean = sum((t[part].astype(np.float64) / peak).sum(axis=0) for part in slices(len(t))) / len(t)

    def moved(x: np.ndarray) -> Iterator[np.ndarray]:
        for part in slices(len(x)):
            values = x[part].astype(np.float64) / peak
            values -= mean
            yield values

    if d <= _COMPONENTS:
        return tuple(np.concatenate(list(moved(x))) for x in (t, *others))
    from scipy.linalg import eigh

    _, axes = eigh(sum(values.T @ values for values in moved(t)), subset_by_index=(d - _COMPONENTS, d - 1))
    return tuple(np.concatenate([values @ axes for values in moved(x)]) for x in (t, *others))


def _assign(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
    cells: np.ndarray = (np.square(centres).sum(axis=1) - x @ (2 * centres.T)).argmin(axis=1)
    return cells


def _centres(t: np.ndarray) -> np.ndarray:
    """The centres of the best of several seeded runs of k-means; fewer than 3 where the features are too few."""
    best, least = t[:1], np.inf
    for start in range(_STARTS):
        rng = np.random.default_rng(start)
        centres = t[rng.integers(len(t))][None]
        while len(centres) < _CELLS:
            far = np.square(t[:, None] - centres).sum(axis=-1).min(axis=1)
            if far.sum() == 0:
                break
            centres = np.concatenate([centres, t[rng.choice(len(t), p=far / far.sum())][None]])
        for _ in range(_ROUNDS):
            member = (_assign(t, centres) == np.arange(len(centres))[:, None]).astype(np.float64)
            sizes = member.sum(axis=1, keepdims=True)
            moved = np.where(sizes > 0, member @ t / np.maximum(sizes, 1), centres)
            if np.array_equal(moved, centres):
                break
            centres = moved
        spread = float(np.square(t - centres[_assign(t, centres)]).sum())
        if spread < least:
            best, least = centres, spread
    return best[np.bincount(_assign(t, best), minlength=len(best)) > 0]


METRIC = Metric(
    fn=c_t,
    axis="memorization",
    better=None,
    ideal=0.0,
    needs="memory",
    interval="jackknife",
    min_samples=40,
    replicates=_replicates,
)
