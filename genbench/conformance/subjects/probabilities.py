"""A classifier's answers and the modes of a law: the inception score, and how modes are filled."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from genbench.conformance.arrays import Arrays, levels
from genbench.conformance.cases import EXACT, Case
from genbench.conformance.subjects import DIGITS, Derived

_WORDS = f"mpmath, {DIGITS} digits"


def _plogp(p: Any) -> Any:
    import mpmath as mp

    return p * mp.log(p) if p > 0 else mp.mpf(0)


def _score(rows: list[list[Any]]) -> Any:
    """The exponent: the entropy of the mean answer less the mean entropy."""
    import mpmath as mp

    n = len(rows)
    means = [mp.fsum(column) / n for column in zip(*rows, strict=True)]
    return mp.fsum(_plogp(p) for row in rows for p in row) / n - mp.fsum(_plogp(p) for p in means)


def inception_score(
    *, fake: np.ndarray, splits: int = 1, shuffle_seed: int | None = None, parts: str = "even"
) -> Derived:
    """exp(mean KL(p(y|x) || p(y))), the mean over splits."""
    import mpmath as mp

    with mp.workdps(DIGITS):
        if shuffle_seed is not None:
            fake = fake[np.random.RandomState(shuffle_seed).permutation(len(fake))]
        rows = [[mp.mpf(float(p)) for p in row] for row in fake]
        rows = [[p / mp.fsum(row) for p in row] for row in rows]

        def score(splits: int, parts: str = "even") -> Any:
            n = len(rows)
            edges = [i * n // splits for i in range(splits + 1)]
            if parts == "ceiling":
                edges = [*range(0, n, -(-n // splits)), n]
            found = [mp.exp(_score(rows[low:high])) for low, high in pairwise(edges)]
            return mp.fsum(found) / len(found)

        value = score(splits, parts)
        instead = {
            "the exponential left out": mp.log(score(1)),
            "logarithms to base 2": mp.exp(_score(rows) / mp.log(2)),
            "all rows at once": score(1),
            "splits cut at multiples of n / splits rounded up": score(splits, "ceiling"),
        }
        if splits == 1 and len(rows) >= 10:
            instead["10 splits"] = score(10)
        return Derived(value, _WORDS, instead)


def mode_kl(*, real: np.ndarray, fake: np.ndarray) -> Derived:
    """sum_k g_k log(g_k / w_k) over the samples that belong to a mode."""
    import mpmath as mp

    with mp.workdps(DIGITS):
        weights = [mp.mpf(float(w)) for w in real]
        counts = [int((fake == k).sum()) for k in range(len(weights))]

        def divergence(total: int) -> Any:
            return mp.fsum(
                mp.mpf(c) / total * mp.log(mp.mpf(c) / total / w) for c, w in zip(counts, weights, strict=True) if c
            )

        total = sum(counts)
        value = divergence(total)
        instead = {
            "samples of no mode counted in the total": divergence(len(fake)),
            "logarithms to base 2": value / mp.log(2),
        }
        if all(counts):
            instead["the other direction, KL(w || g)"] = mp.fsum(
                w * mp.log(w * total / c) for c, w in zip(counts, weights, strict=True)
            )
        return Derived(value, _WORDS, instead)


def modes_captured(*, fake: np.ndarray, real: np.ndarray | None = None) -> Derived:
    """How many modes have a sample."""
    found = set(fake.tolist())
    return Derived(len(found - {-1}), "enumeration", {"samples of no mode counted as one": len(found)})


def high_quality(*, fake: np.ndarray, real: np.ndarray | None = None) -> Derived:
    """The share of samples that belong to a mode."""
    none = sum(1 for mode in fake.tolist() if mode == -1)
    return Derived((len(fake) - none) / len(fake), "enumeration", {"the share of the others": none / len(fake)})


def kl(*, real: np.ndarray, fake: np.ndarray) -> Derived:
    """sum_k p_k log(p_k / q_k), p the mean answer to generated images and q that to real ones."""
    import mpmath as mp

    with mp.workdps(DIGITS):

        def mean(answers: np.ndarray) -> list[Any]:
            rows = [[mp.mpf(float(v)) for v in row] for row in answers]
            rows = [[v / mp.fsum(row) for v in row] for row in rows]
            return [mp.fsum(column) / len(rows) for column in zip(*rows, strict=True)]

        def divergence(p: list[Any], q: list[Any]) -> Any:
            terms = zip(p, q, strict=True)
            return mp.fsum(a * mp.log(a / b) if b > 0 else mp.inf for a, b in terms if a > 0)

        p, q = mean(fake), mean(real)
        middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
        value = divergence(p, q)
        instead = {
            "the other direction, KL(real || generated)": divergence(q, p),
            "logarithms to base 2": value / mp.log(2),
            "the Jensen-Shannon divergence": (divergence(p, middle) + divergence(q, middle)) / 2,
        }
        return Derived(value, _WORDS, {why: other for why, other in instead.items() if mp.isfinite(other)})


derive = {
    "kl": kl,
    "inception_score": inception_score,
    "mode_kl": mode_kl,
    "modes_captured": modes_captured,
    "high_quality": high_quality,
}


def _answers(key: int, n: int, classes: int, least: int = 0) -> np.ndarray:
    """Rows of multiples of 2^-10 that sum to 1: gaps between sorted cuts."""
    free = 1024 - least * classes
    cuts = np.sort(levels(key, n, classes - 1, bits=16) % (free + 1), axis=1)
    edges = np.concatenate([np.zeros((n, 1), dtype=np.int64), cuts, np.full((n, 1), free)], axis=1)
    return (np.diff(edges, axis=1) + least) / 1024


def _one_hot(n: int, classes: int) -> np.ndarray:
    return np.eye(classes)[np.arange(n) % classes]


def _nearly_uniform() -> Arrays:
    tilt = np.where(np.arange(16) % 2 == 0, 1.0, -1.0) * 2.0**-20
    return {"fake": 1 / 16 + np.where(np.arange(32) % 2 == 0, 1.0, -1.0)[:, None] * tilt}


def _is(name: str, about: str, fake: np.ndarray, **rest: Any) -> Case:
    return Case(id=f"inception_score/{name}", about=about, arrays=lambda: {"fake": fake}, **rest)


def _modes(metric: str, name: str, about: str, weights: np.ndarray, ids: np.ndarray, **rest: Any) -> Case:
    return Case(id=f"{metric}/{name}", about=about, arrays=lambda: {"real": weights, "fake": ids}, **rest)


_EVEN = np.full(8, 1 / 8)
_UNEVEN = np.array([8, 4, 2, 1, 1]) / 16
_IDS = levels(201, 300, bits=3)
_SOME = np.where(levels(202, 200, bits=3) < 2, -1, levels(203, 200, bits=2))

_FILLED: dict[str, tuple[str, np.ndarray, np.ndarray]] = {
    "ordinary": ("300 samples of 8 even modes", _EVEN, _IDS),
    "uneven": ("5 modes of weights 8, 4, 2, 1, 1; none of the last; a quarter belongs to none", _UNEVEN, _SOME),
    "one-mode": ("all samples in one of 8 modes", _EVEN, np.full(50, 3)),
    "missing-mode": ("7 of 8 modes, evenly", _EVEN, np.arange(70) % 7),
    "thousand-modes": ("1000 modes, 1500 samples of 256 of them", np.full(1000, 1 / 1000), levels(204, 1500, bits=8)),
    "one-sample": ("a single sample", _EVEN, np.array([7])),
}

_PAIRS: tuple[tuple[str, str, np.ndarray, np.ndarray, dict[str, Any]], ...] = (
    ("ordinary", "60 and 45 answers over 7 classes", _answers(221, 60, 7, least=1), _answers(222, 45, 7, least=1), {}),
    ("equal", "the same answers in another order", _answers(223, 30, 5), _answers(223, 30, 5)[::-1],
     {"closed": 0.0, "formula": "p = q"}),
    ("certain", "certain answers; half of the classes in half of the images", _one_hot(40, 8),
     _one_hot(40, 8) @ np.eye(8)[np.arange(8) // 2 * 2], {"closed": float(np.log(2)), "formula": "log 2"}),
    ("collapsed", "every generated image is of one class of ten", _one_hot(50, 10), np.tile(np.eye(10)[3], (25, 1)),
     {"closed": float(np.log(10)), "formula": "log K", "pitfalls": ("zeros",)}),
    ("many-classes", "30 and 40 answers over 300 classes", _answers(224, 30, 300, least=1),
     _answers(225, 40, 300, least=1), {}),
    ("one-answer", "one answer each", _answers(226, 1, 4, least=1), _answers(227, 1, 4, least=1), {}),
    ("new-class", "a class that no real image has", np.eye(3)[np.arange(20) % 2], np.eye(3)[np.arange(21) % 3],
     {"refused": True}),
)  # fmt: skip

CASES = (
    _is("ordinary", "60 answers over 8 classes", _answers(205, 60, 8, least=1)),
    _is("zeros", "answers with classes of probability 0", _answers(206, 50, 40), pitfalls=("zeros",)),
    _is("one-hot", "certain answers, evenly", _one_hot(50, 10), closed=10.0, formula="K", pitfalls=("zeros",)),
    _is("missing-classes", "certain answers, 3 of 10 classes", _one_hot(51, 10) @ np.eye(10)[np.arange(10) % 3],
        pitfalls=("zeros",)),
    _is("all-equal", "one answer for all samples", np.repeat(_answers(207, 1, 16, least=1), 30, axis=0), closed=1.0,
        formula="no information"),
    _is("nearly-uniform", "answers that differ by 2^-20: the score is 1 + 1e-10", np.asarray(_nearly_uniform()["fake"]),
        rtol=1e-12, because="a sum of entropies that cancel, in float64", pitfalls=("cancellation",)),
    _is("two-classes", "K = 2", _answers(208, 33, 2, least=1)),
    _is("many-classes", "40 answers over 500 classes", _answers(209, 40, 500, least=1)),
    _is("splits", "5 splits of 57 rows", _answers(210, 57, 6, least=1), arguments={"splits": 5}),
    _is("splits-shuffled", "4 splits of 40 rows in the order of RandomState(2020)", _answers(211, 40, 6, least=1),
        arguments={"splits": 4, "shuffle_seed": 2020}),
    _is("splits-ceiling", "5 splits of 57 rows, all but the last of 12", _answers(210, 57, 6, least=1),
        arguments={"splits": 5, "parts": "ceiling"}),
    _is("one-row", "a single answer", _answers(212, 1, 5, least=1), closed=1.0, formula="no information"),
    _is("negative", "a negative probability", np.array([[1.25, -0.25], [0.5, 0.5]]), refused=True),
    *(
        Case(id=f"kl/{name}", about=about, atol=1e-9, because="rounding of a sum that may vanish",
             arrays=lambda x=x, y=y: {"real": x, "fake": y}, **rest)  # type: ignore[misc]
        for name, about, x, y, rest in _PAIRS
    ),
    *(
        _modes("mode_kl", name, about, weights, ids, atol=1e-12, because="rounding of a sum that may vanish")
        for name, (about, weights, ids) in _FILLED.items()
    ),
    _modes("mode_kl", "equal", "shares equal the weights", _UNEVEN, np.repeat(np.arange(5), [8, 4, 2, 1, 1]),
           atol=1e-12, because="rounding of a sum that vanishes", closed=0.0, formula="g = w"),
    _modes("mode_kl", "none", "no sample belongs to a mode", _EVEN, np.full(20, -1), refused=True),
    *(_modes("modes_captured", name, about, w, ids, because=EXACT) for name, (about, w, ids) in _FILLED.items()),
    _modes("modes_captured", "none", "no sample belongs to a mode", _EVEN, np.full(20, -1), because=EXACT),
    *(_modes("high_quality", name, about, w, ids, because=EXACT) for name, (about, w, ids) in _FILLED.items()),
    _modes("high_quality", "none", "no sample belongs to a mode", _EVEN, np.full(20, -1), because=EXACT),
    _modes("high_quality", "unknown-mode", "a sample of mode 9 of 8", _EVEN, np.array([1, 9]), refused=True),
)  # fmt: skip
