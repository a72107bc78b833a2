"""Earth mover's distance between two sets of features.

Symbols: x_i one of n real, y_j one of m generated features, c_ij their Euclidean distance, P a plan `(n, m)` with row
sums 1/n and column sums 1/m; u_i, v_j its dual potentials, u_i + v_j <= c_ij with equality where P moves mass.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from genbench.errors import Undefined
from genbench.metrics.arrays import feature_pair
from genbench.stats import Estimate, variance_interval
from genbench.types import Metric

LARGEST = 2000  # rows of an assignment: a few seconds; the time grows like the cube
LARGEST_UNEQUAL = 1000  # rows on a side of a linear program, which is slower
PARTS = 4  # of the larger set, in an estimate
_TOLERANCE = 1e-12  # of a cost, relative to the largest
_CHEAPEST = 8  # entries of each row and column that the first plan may use


def _costs(real: Any, fake: Any) -> np.ndarray:
    from scipy.spatial.distance import cdist

    x, y = feature_pair(real, fake, "wasserstein")
    if math.lcm(len(x), len(y)) > LARGEST and max(len(x), len(y)) > LARGEST_UNEQUAL:
        raise Undefined(
            f"wasserstein: {len(x)} real and {len(y)} generated samples; the exact plan is computed up to {LARGEST} "
            f"on a side where they are as many, and {LARGEST_UNEQUAL} where not; none are left out silently"
        )
    costs: np.ndarray = cdist(x, y)
    if not np.isfinite(costs).all():
        raise Undefined("wasserstein: the distances overflow double precision; scale the features")
    return costs


def _of_assignment(costs: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Square: an optimal plan is a permutation; its potentials are shortest paths along exchanges of partners."""
    from scipy.optimize import linear_sum_assignment

    rows, partner = linear_sum_assignment(costs)
    paid = costs[rows, partner]
    exchange = costs[:, partner] - paid[:, None]  # from i's partner to k's: what i has to pay more
    slack = _TOLERANCE * max(1e-300, float(costs.max()))
    paths = []
    for step in (exchange, exchange.T):  # the largest potentials, and the negatives of the smallest
        length = np.zeros(len(costs))
        for _ in range(len(costs)):
            shorter = np.minimum(length, (step + length[:, None]).min(axis=0))
            if (length - shorter).max() <= slack:
                break
            length = shorter
        paths.append(length)
    v = np.empty(len(costs))
    v[partner] = 0.5 * (paths[0] - paths[1])
    return float(paid.mean()), paid - v[partner], v


def _of_program(costs: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The linear program over a few entries, to which all entries that its duals find too cheap are added.

    It ends when no entry of the whole matrix is, so that the plan is optimal among all.
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    n, m = costs.shape
    used = np.zeros((n, m), dtype=bool)
    np.put_along_axis(used, np.argpartition(costs, min(_CHEAPEST, m) - 1, axis=1)[:, :_CHEAPEST], True, axis=1)
    np.put_along_axis(used, np.argpartition(costs, min(_CHEAPEST, n) - 1, axis=0)[:_CHEAPEST], True, axis=0)
    steps = np.union1d(np.arange(n) * m, np.arange(m) * n)  # the plan that keeps the order of the rows can be followed
    used[steps // m, steps // n] = True
    scale = max(1e-300, float(costs.max()))
    while True:
        i, j = np.nonzero(used)
        entry = np.arange(len(i))
        sums = csr_array((np.ones(2 * len(i)), (np.concatenate([i, n + j]), np.tile(entry, 2))), shape=(n + m, len(i)))
        masses = np.concatenate([np.full(n, float(m)), np.full(m, float(n))])  # whole numbers, to be exact
        found = linprog(costs[i, j] / scale, A_eq=sums, b_eq=masses, bounds=(0, None), method="highs-ds")
        if found.status != 0:
            raise Undefined(f"wasserstein: the linear program ended without a plan: {found.message}")
        u, v = found.eqlin.marginals[:n], found.eqlin.marginals[n:]
        cheap = costs / scale - u[:, None] - v < -1e-9
        if not (cheap & ~used).any():
            return max(0.0, scale * found.fun / (n * m)), scale * u, scale * v
        used |= cheap


def _solved(real: Any, fake: Any) -> tuple[float, np.ndarray, np.ndarray]:
    costs = _costs(real, fake)
    n, m = costs.shape
    if (rows := math.lcm(n, m)) > LARGEST:
        return _of_program(costs)
    value, u, v = _of_assignment(np.repeat(np.repeat(costs, rows // n, axis=0), rows // m, axis=1))
    return value, u.reshape(n, -1).mean(axis=1), v.reshape(m, -1).mean(axis=1)


def wasserstein(*, real: Any, fake: Any) -> float:
    """Earth mover's distance: the least mean Euclidean distance that a plan moves one set by to become the other.

    W_1 = min_P sum_ij P_ij c_ij; exact, by linear assignment where n and m have a common multiple up to 2,000, and by a
    linear program where not, up to 1,000 rows on a side. With more it is undefined: nothing is left out silently.

    Estimator: plug-in; biased upward by a term that falls like n^(-1/d) for d > 2, so slowly that values are comparable
    at equal n only. Lower is better; from 0 (equal sets) up, in units of the features. The interval is one of the
    expected value at these sample sizes; where the laws are equal or d is small it is wider than it need be. A
    measurement of sets whose sizes differ is the mean over parts of the larger one, as its method says.

    Reference: The earth mover's distance as a metric for image retrieval (Rubner, Tomasi and Guibas, 2000).

    Args:
        real: features `(n, d)`, n >= 2.
        fake: features `(m, d)`, m >= 2.
    """
    return _solved(real, fake)[0]


def _estimate(*, real: Any, fake: Any) -> Estimate:
    """The variance of the dual potentials, which are what each sample contributes.

    Where only the linear program could serve, which takes minutes for sets far apart, the value is the mean over
    disjoint parts of the larger set, each of the size of the smaller one.
    """
    sides = list(feature_pair(real, fake, "wasserstein"))
    sizes = [len(side) for side in sides]
    method = "variance of the dual potentials, t quantile; of the expected value at these sample sizes"
    if math.lcm(*sizes) > LARGEST and min(sizes) <= LARGEST:
        size, larger = min(sizes), int(np.argmax(sizes))
        shuffled = np.random.default_rng(0).permutation(max(sizes))
        parts = np.split(shuffled[: max(sizes) // size * size], max(sizes) // size)[:PARTS]
        found = []
        for part in parts:
            pair = list(sides)
            pair[larger] = sides[larger][part]
            found.append(_solved(*pair))
        value = float(np.mean([one for one, _, _ in found]))
        of_real, of_fake = [u for _, u, _ in found], [v for _, _, v in found]
        u = np.mean(of_real, axis=0) if larger else np.concatenate(of_real)
        v = np.concatenate(of_fake) if larger else np.mean(of_fake, axis=0)
        method += f" of {size} on each side, "
        method += f"mean over {len(parts)} disjoint parts" if len(parts) > 1 else "one part"
        method += f" of the {max(sizes):,}"
    else:
        value, u, v = _solved(*sides)
    contributions = [(float(side.var(ddof=1)) / len(side), len(side)) for side in (u, v)]
    total = sum(variance for variance, _ in contributions)
    df = total**2 / sum(variance**2 / (k - 1) for variance, k in contributions) if total else 1.0
    return Estimate(value=value, interval=variance_interval(value, total, df, method), n=len(v))


METRIC = Metric(
    fn=wasserstein,
    axis="quality",
    better="lower",
    needs="features",
    interval="own",
    min_samples=40,
    range=(0.0, math.inf),
    estimate=_estimate,
)
