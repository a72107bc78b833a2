"""Inception score of a classifier's answers.

Symbols: x_i one of n samples, y one of K classes, p(y|x) the classifier's probability; S splits; G groups.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from genbench.errors import Refused, Undefined
from genbench.metrics.arrays import class_probabilities
from genbench.stats import Replicates, groups_of
from genbench.types import Metric

Parts = Literal["even", "ceiling"]


def _answers(
    fake: Any, splits: int, shuffle_seed: int | None, parts: Parts
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Probabilities in the order of the splits, their entropies `(n,)`, the split of each row, the number of splits."""
    from scipy.special import entr

    p = class_probabilities(fake, "inception_score: fake")
    n = len(p)
    if parts not in get_args(Parts):
        raise Refused(f"inception_score: parts is 'even' or 'ceiling', not {parts!r}")
    if not 1 <= splits <= n:
        raise Refused(f"inception_score: splits is {splits}; it must lie between 1 and the {n} samples")
    if shuffle_seed is not None:
        # the generator and the call that torch-fidelity's protocol names: another one would deal other splits
        p = p[np.random.RandomState(shuffle_seed).permutation(n)]
    if parts == "even":
        member = np.repeat(np.arange(splits), np.diff(np.arange(splits + 1) * n // splits))
    else:
        member = np.arange(n) // -(-n // splits)
    return p, entr(p).sum(axis=1), member, int(member[-1]) + 1


def _score(p: np.ndarray, entropies: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The scores from sums over rows: of probabilities `(..., K)`, of entropies and of ones `(...,)`."""
    from scipy.special import entr

    scores: np.ndarray = np.exp(entr(p / count[..., None]).sum(axis=-1) - entropies / count)
    return scores


def inception_score(
    *, real: Any = None, fake: Any, splits: int = 1, shuffle_seed: int | None = None, parts: Parts = "even"
) -> float:
    """Inception score: sharp answers for every sample, all classes over the samples.

    exp(mean_i KL(p(y|x_i) || p(y))) = exp(H(p(y)) - mean_i H(p(y|x_i))), p(y) the mean answer. By default over all
    samples at once; with `splits` > 1 the mean of the scores of consecutive parts, as the paper and its followers
    report it. Rows are rescaled to sum to 1. torch-fidelity's number is that of `splits=10, shuffle_seed=2020`;
    torchmetrics' that of `splits=10, parts="ceiling"` on rows in an order of its own.

    Estimator: plug-in, biased downward by about (K - 1) / 2n in the exponent, S times as much with splits. The interval
    is of the expected value at this n with these splits, wider than it need be where a split has few rows (97% at 30
    rows, 95% at 100); the spread of the splits, which others print, is no interval. Higher is better; from 1 (every
    answer the same) to K. Blind to missing modes inside a class, and to whether samples resemble the data.

    Reference: Improved Techniques for Training GANs (Salimans, Goodfellow, Zaremba, Cheung, Radford and Chen, 2016).

    Args:
        real: not used.
        fake: class probabilities `(n, K)`.
        splits: number of parts, S.
        shuffle_seed: of NumPy's RandomState, whose permutation orders the rows before they are split; None leaves them.
        parts: how they are cut: "even" at i n // S; "ceiling" into parts of ceil(n / S) rows, the last one shorter (and
            fewer than S parts where that many rows are used up before).
    """
    p, entropies, member, number = _answers(fake, splits, shuffle_seed, parts)
    starts = np.searchsorted(member, np.arange(number))
    sums, total = np.add.reduceat(p, starts), np.add.reduceat(entropies, starts)
    return float(_score(sums, total, np.bincount(member)).mean())


def _replicates(
    *, real: Any = None, fake: Any, splits: int = 1, shuffle_seed: int | None = None, parts: Parts = "even"
) -> Replicates:
    """Without a group its rows are gone from the splits that they are in: the others are not dealt out anew."""
    p, entropies, member, number = _answers(fake, splits, shuffle_seed, parts)
    group = groups_of(len(p))
    groups = int(group.max()) + 1
    cell = member * groups + group
    count = np.bincount(cell, minlength=number * groups).reshape(number, groups).astype(np.float64)
    total = np.bincount(cell, weights=entropies, minlength=number * groups).reshape(number, groups)
    order = np.argsort(cell, kind="stable")
    there, starts = np.unique(cell[order], return_index=True)
    cells = np.zeros((number * groups, p.shape[1]))
    cells[there] = np.add.reduceat(p[order], starts)
    sums = cells.reshape(number, groups, -1)
    left = count.sum(axis=1, keepdims=True) - count
    if (left == 0).any():
        raise Undefined(
            f"no interval can be found: inception_score has {len(p)} samples in {number} splits, and without one group "
            f"of {groups} a split is empty"
        )
    rest = np.maximum(sums.sum(axis=1, keepdims=True) - sums, 0.0)  # rounding may go below
    without = _score(rest, total.sum(axis=1, keepdims=True) - total, left)
    value = _score(sums.sum(axis=1), total.sum(axis=1), count.sum(axis=1)).mean()
    return Replicates(value=float(value), fake=without.mean(axis=0))


METRIC = Metric(
    fn=inception_score,
    axis="quality",
    better="higher",
    needs="probabilities",
    interval="jackknife",
    min_samples=40,
    range=(1.0, np.inf),
    replicates=_replicates,
)
