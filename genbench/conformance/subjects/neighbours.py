"""Balls out to the k-th nearest neighbour: precision, recall, density, coverage and their clipped successors.

Derived by enumeration: squared distances are exact integers, so that a tie is a tie. rho_i is the distance of centre i
to its k-th nearest other centre; `tie` says whether a distance equal to it is inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from genbench.conformance.arrays import UNIT, Arrays, bells, integers, levels
from genbench.conformance.cases import EXACT, Case
from genbench.conformance.subjects import DIGITS, Derived

Squared = np.ndarray  # squared distances, Python integers


def _between(x: np.ndarray, c: np.ndarray) -> Squared:
    a, b = integers(x, 4 * UNIT).astype(np.int64), integers(c, 4 * UNIT).astype(np.int64)
    if max(np.abs(a).max(), np.abs(b).max()) ** 2 * a.shape[1] > 2**60:
        raise ValueError("squared distances overflow int64")
    return np.stack([np.square(a - row).sum(axis=1) for row in b], axis=1)


def _radii(c: np.ndarray, k: int) -> Squared:
    """Squared, to the k-th nearest other; itself is the first of each sorted row. k = 0 is a radius of 0."""
    radii: Squared = np.sort(_between(c, c), axis=1)[:, k]
    return radii


def _inside(squared: Squared, radii: Any, tie: str) -> np.ndarray:
    held: np.ndarray = squared < radii if tie == "<" else squared <= radii
    return held.astype(bool)


def _precision(real: np.ndarray, fake: np.ndarray, k: int, tie: str) -> Fraction:
    held = _inside(_between(fake, real), _radii(real, k), tie)
    return Fraction(int(held.any(axis=1).sum()), len(fake))


def _recall(real: np.ndarray, fake: np.ndarray, k: int, tie: str) -> Fraction:
    return _precision(fake, real, k, tie)


def _density(real: np.ndarray, fake: np.ndarray, k: int, tie: str) -> Fraction:
    return Fraction(int(_inside(_between(fake, real), _radii(real, k), tie).sum()), k * len(fake))


def _coverage(real: np.ndarray, fake: np.ndarray, k: int, tie: str) -> Fraction:
    return Fraction(int(_inside(_between(fake, real), _radii(real, k), tie).any(axis=0).sum()), len(real))


def _clipped_radii(real: np.ndarray, k: int) -> np.ndarray:
    """Squared radii no larger than the squared median of the radii, exact where the number of radii is odd."""
    import mpmath as mp

    radii = np.sort(_radii(real, k))
    low, high = int(radii[(len(radii) - 1) // 2]), int(radii[len(radii) // 2])
    median = low if low == high else ((mp.sqrt(low) + mp.sqrt(high)) / 2) ** 2
    return np.array([min(int(r), median) for r in _radii(real, k)], dtype=object)


def _clipped_density(real: np.ndarray, fake: np.ndarray, k: int, tie: str) -> Fraction:
    radii = _clipped_radii(real, k)
    others = _inside(_between(real, real).astype(object), radii, tie)
    np.fill_diagonal(others, False)
    times = _inside(_between(fake, real).astype(object), radii, tie).sum(axis=1)
    a = Fraction(int(np.minimum(times, k).sum()), k * len(fake))
    b = Fraction(int(np.minimum(others.sum(axis=1), k).sum()), k * len(real))
    return min(Fraction(1), a / b)


def _expected(m: int, n: Any, k: int) -> Any:
    """E min(1, B / k), B beta-binomial (n trials, Beta(k, m - k)): how many of n samples a ball holds."""
    import mpmath as mp

    def mass(j: int) -> Any:
        return mp.binomial(n, j) * mp.beta(k + j, m - k + n - j) / mp.beta(k, m - k)

    return 1 - mp.fsum((k - j) * mass(j) for j in range(k) if n - j + 1 > 0) / k


def _clipped_coverage(real: np.ndarray, fake: np.ndarray, k: int, tie: str) -> Any:
    import mpmath as mp

    counts = _inside(_between(fake, real), _radii(real, k), tie).sum(axis=0)
    raw = mp.mpf(int(np.minimum(counts, k).sum())) / (k * len(real))
    low, high = mp.mpf(0), mp.mpf(1)
    if raw == 0 or _expected(len(real), len(fake), k) <= raw:
        return mp.sign(raw)
    for _ in range(3 * DIGITS):
        middle = (low + high) / 2
        low, high = (middle, high) if _expected(len(real), middle * len(fake), k) < raw else (low, middle)
    return high


def _derivation(value: Callable[..., Any], k: int, tie: str, words: str) -> Callable[..., Derived]:
    """The derivation of a metric with these defaults."""

    def derive(*, real: np.ndarray, fake: np.ndarray, k: int = k, tie: str = tie) -> Derived:
        import mpmath as mp

        def attempt(*arguments: Any) -> Any:
            try:
                return float(value(*arguments))
            except ZeroDivisionError:
                return float("nan")

        other = "<=" if tie == "<" else "<"
        with mp.workdps(DIGITS):
            instead = {
                f"the tie rule {other}": attempt(real, fake, k, other),
                "real and fake exchanged": attempt(fake, real, k, tie),
                "the point counted among its own neighbours (k - 1)": attempt(real, fake, k - 1, tie) if k > 1 else 0.0,
                "k + 1 neighbours": attempt(real, fake, k + 1, tie),
            }
            return Derived(value(real, fake, k, tie), words, instead)

    return derive


_COUNTED = "enumeration of exact integers"

derive = {
    "precision": _derivation(_precision, 3, "<=", _COUNTED),
    "recall": _derivation(_recall, 3, "<=", _COUNTED),
    "density": _derivation(_density, 5, "<", _COUNTED),
    "coverage": _derivation(_coverage, 5, "<", _COUNTED),
    "clipped_density": _derivation(_clipped_density, 5, "<=", _COUNTED),
    "clipped_coverage": _derivation(_clipped_coverage, 5, "<", f"{_COUNTED}, inverted with {DIGITS} digits"),
}


def _ordinary() -> Arrays:
    return {"real": bells(101, 41, 4), "fake": bells(102, 50, 4) * 1.25 + 0.5}


def _lattice() -> Arrays:
    return {"real": levels(103, 31, 2, bits=2) / 1.0, "fake": levels(104, 26, 2, bits=2) + 1.0}


def _line_of_steps() -> Arrays:
    """Real points at 0, 1, ... 20; fake ones at steps of 3/2: every radius is met exactly."""
    return {"real": np.arange(21.0)[:, None], "fake": 1.5 * np.arange(20.0)[:, None] - 4}


def _duplicated() -> Arrays:
    return {"real": np.repeat(bells(105, 19, 3), 3, axis=0)[1:], "fake": np.tile(bells(106, 12, 3), (4, 1))}


def _all_equal() -> Arrays:
    return {"real": np.full((11, 3), 0.5), "fake": np.full((13, 3), 0.5)}


def _missing_mode() -> Arrays:
    real = bells(107, 45, 3)
    real[::3] += 32.0
    return {"real": real, "fake": bells(108, 40, 3)}


def _collapsed() -> Arrays:
    real = bells(109, 33, 3)
    return {"real": real, "fake": np.repeat(real[:1], 20, axis=0)}


def _outlier() -> Arrays:
    """One real row far away, and half of the fake ones on the way to it."""
    real, fake = bells(110, 35, 4), bells(111, 30, 4)
    real[0] += 256.0
    fake[::2] += 64.0
    return {"real": real, "fake": fake}


def _far() -> Arrays:
    real, fake = (np.asarray(x) for x in _ordinary().values())
    return {"real": real + 8192.0, "fake": np.rint(fake * UNIT) / UNIT + 8192.0}


def _one_dimension() -> Arrays:
    return {"real": bells(112, 29, 1), "fake": 2 * bells(113, 24, 1)}


def _wide() -> Arrays:
    return {"real": bells(114, 31, 2048), "fake": bells(115, 28, 2048) + 1 / 64}


def _unequal() -> Arrays:
    return {"real": bells(116, 9, 2), "fake": bells(117, 80, 2)}


_SCENES = (
    Case(id="ordinary", about="41 and 50 rows, d = 4", arrays=_ordinary),
    Case(id="lattice", about="points on a 4 x 4 lattice: ties and repeats", arrays=_lattice, pitfalls=("ties",)),
    Case(id="steps", about="points on a line at equal steps: every radius is met", arrays=_line_of_steps,
         pitfalls=("ties",)),
    Case(id="duplicated-rows", about="real rows three times, fake rows four times", arrays=_duplicated,
         pitfalls=("ties",)),
    Case(id="all-equal", about="every feature of both sets is one point", arrays=_all_equal, pitfalls=("ties",)),
    Case(id="missing-mode", about="a third of the real rows has no fake one near", arrays=_missing_mode),
    Case(id="one-sample-repeated", about="fake is one real row, 20 times", arrays=_collapsed, pitfalls=("ties",)),
    Case(id="outlier", about="one real row far away, its ball covering half of the fakes", arrays=_outlier),
    Case(id="huge-mean", about="the ordinary rows moved by 8192", arrays=_far, pitfalls=("cancellation",)),
    Case(id="one-dimension", about="d = 1", arrays=_one_dimension),
    Case(id="wide", about="d = 2048", arrays=_wide),
    Case(id="few-real", about="9 real and 80 fake rows", arrays=_unequal),
)  # fmt: skip


def _of(metric: str, ks: tuple[int, ...], other_tie: str | None = None) -> list[Case]:
    """The scenes for a metric: with its defaults, with other k, and with the other rule of ties where it matters."""
    found = []
    for scene in _SCENES:
        case = replace(scene, id=f"{metric}/{scene.id}", because=EXACT)
        found.append(case)
        if scene.id == "ordinary":
            found += [replace(case, id=f"{case.id}-k{k}", arguments={"k": k}) for k in ks]
        if "ties" in scene.pitfalls and other_tie:
            name = f"{case.id}-{'less' if other_tie == '<' else 'at-most'}"
            found.append(replace(case, id=name, arguments={"tie": other_tie}))
    return found


# Clipped density divides by a count of its own, whose rule of ties the definition leaves open: only one is tried.
CASES = tuple(
    _of("precision", (1, 5), "<")
    + _of("recall", (1, 5), "<")
    + _of("density", (1, 3), "<=")
    + _of("coverage", (1, 3), "<=")
    + _of("clipped_density", (1, 3))
    + _of("clipped_coverage", (1, 3), "<=")
)
