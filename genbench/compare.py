"""Two sets of records, before and after: what moved, by how much, whether beyond noise. No torch here.

Rows match by dataset, model, configuration and settings; inside a row numbers match by metric and protocol, and seeds
in pairs. Symbols: a, b a number before and after, d = b - a, p its two-sided p value, adjusted by Holm over everything
that is compared. A number got worse if p < 0.05, d goes against the metric's direction, and |d| > threshold |a|.

What counts as noise: where the training is the same on both sides (equal weights), and where there is one seed, that
of the samples and images, from the measurements' intervals; otherwise that of the training seeds as well
(`genbench.ranking.tests`). Images count in pairs where both records say what each image contributes. A number that was
observed once (the memory of a process) has no known noise, and is left out unless several seeds show its spread. What a
measurement of speed or a sweep says counts as speed, all of it, and is never compared across hardware.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from genbench.comparable import canonical, estimate, hardware, newest, training_seed
from genbench.errors import Refused
from genbench.ranking import Difference, difference, of_these_weights
from genbench.record import Axis, Better, Measurement, Record
from genbench.stats import LEVEL, holm

THRESHOLD = 0.05
Verdict = Literal["worse", "lost", "slightly worse", "better", "moved", "within noise", "equal"]
FAILING: tuple[Verdict, ...] = ("worse", "lost")


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What a metric declares of itself: which way is better, and its axis."""

    better: Better | None
    axis: Axis


@dataclass(frozen=True, kw_only=True)
class Change:
    """One number of one row, before and after; `relative` is d / |a|, `low` and `high` the interval of d alone.

    `measured` is what the row's records measure: "quality", "speed" or "sweep".
    """

    dataset: str
    model: str
    measured: str
    metric: str
    protocol: str
    before: float | None
    after: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    relative: float | None = None
    p: float | None = None
    seeds: int = 0
    method: str = ""
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything that was compared, of how many rows, and in words what was not."""

    changes: tuple[Change, ...]
    rows: int
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def failed(self) -> bool:
        """Whether something got worse beyond its threshold and beyond noise, or stopped to be a valid number."""
        return any(change.verdict in FAILING for change in self.changes)

    @property
    def summary(self) -> str:
        """`120 numbers of 4 rows compared: 1 worse, 3 better, 116 within noise`."""
        counts = Counter(change.verdict for change in self.changes)
        order: tuple[Verdict, ...] = ("worse", "lost", "slightly worse", "better", "moved", "within noise", "equal")
        words = ", ".join(f"{counts[verdict]:,} {verdict}" for verdict in order if counts[verdict])
        return f"{len(self.changes):,} numbers of {self.rows:,} rows compared" + (f": {words}" if words else "")


@dataclass(kw_only=True)
class _Found:
    """What grows while rows are compared: changes still without a verdict, and the reasons for what is left out."""

    tested: list[tuple[Change, Difference]] = field(default_factory=list)
    lost: list[Change] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        return len(self.tested) + len(self.lost)


def compare(
    before: Sequence[Record],
    after: Sequence[Record],
    declared: Mapping[str, Declared],
    metrics: Sequence[str] = (),
    threshold: float = THRESHOLD,
    thresholds: Mapping[str, float] | None = None,
    level: float = LEVEL,
) -> Comparison:
    """Compares two sets of records.

    Args:
        declared: what each metric declares; one that is missing here can move, but not get worse.
        metrics: only these; all that both sides have where none is named.
        threshold, thresholds: the relative change that is still allowed, and that of single metrics.
    """
    allowed = dict(thresholds or {})
    for name, value in (("threshold", threshold), *allowed.items()):
        if not (math.isfinite(value) and value >= 0):
            raise Refused(f"the threshold of {name} is {value}; a relative change of 0 or more is meant")
    first, second = _rows(before), _rows(after)
    pairs, rest = _matched(first, second)
    known = {
        m.metric for side in (first, second) for group in side.values() for r in group for m in r.measurements.values()
    }
    if unknown := sorted({*metrics, *allowed} - known):
        raise Refused(f"no record has the metric {unknown[0]!r}; there are {', '.join(sorted(known))}")
    found, rows = _Found(), 0
    only_before, only_after = ({_name(one): one for one in side} for side in rest)
    for name in sorted({*only_before} & {*only_after}):
        found.notes[_apart(only_before.pop(name), only_after.pop(name))] += 1
    for a, b in pairs:
        count = found.count
        _compare_row(a, b, declared, frozenset(metrics), found)
        rows += found.count > count
    adjusted = holm([test.p for _, test in found.tested])
    changes = [
        _judged(change, float(p), declared.get(change.metric), allowed.get(change.metric, threshold), 1 - level)
        for (change, _), p in zip(found.tested, adjusted, strict=True)
    ]
    return Comparison(
        changes=tuple(changes + found.lost),
        rows=rows,
        only_before=tuple(sorted(only_before)),
        only_after=tuple(sorted(only_after)),
        notes=tuple(f"{note} ({count} times)" if count > 1 else note for note, count in found.notes.items()),
    )


def _rows(records: Sequence[Record]) -> dict[bytes, list[Record]]:
    """Records by everything but the seed and the code, the newest of each seed."""
    rows: dict[bytes, list[Record]] = {}
    for one in records:
        rows.setdefault(canonical([*_identity(one), one.model.recipe]), []).append(one)
    return {key: newest(group) for key, group in rows.items()}


def _identity(one: Record) -> list[Any]:
    return [one.dataset.label, one.model.label, one.model.config, one.settings]


def _matched(
    before: dict[bytes, list[Record]], after: dict[bytes, list[Record]]
) -> tuple[list[tuple[list[Record], list[Record]]], tuple[list[Record], list[Record]]]:
    """Pairs of rows, and one record of each other row; a changed recipe is forgiven where it leaves no choice."""
    pairs = [(before[key], after[key]) for key in before if key in after]
    rest: list[dict[bytes, list[list[Record]]]] = [{}, {}]
    for side, own, other in ((0, before, after), (1, after, before)):
        for key, group in own.items():
            if key not in other:
                rest[side].setdefault(canonical(_identity(group[0])), []).append(group)
    only: tuple[list[Record], list[Record]] = ([], [])
    for key in sorted({*rest[0], *rest[1]}):
        left = [side.get(key, []) for side in rest]
        if len(left[0]) == len(left[1]) == 1:
            pairs.append((left[0][0], left[1][0]))
        else:
            for side in (0, 1):
                only[side].extend(group[0] for group in left[side])
    return sorted(pairs, key=lambda pair: _name(pair[0][0])), only


def _apart(a: Record, b: Record) -> str:
    """Why two rows of one name are not compared."""
    fields = [
        name
        for one, other in ((a.settings, b.settings), (a.model.config, b.model.config), (a.model.recipe, b.model.recipe))
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    ]
    return f"{_name(a)}: not compared, for these differ: {', '.join(fields)}"


def _name(one: Record) -> str:
    mark = f", {_measured(one)}" if one.settings.get("measured") else ""
    return f"{one.model.label} on {one.dataset.label}{mark}"


def _measured(one: Record) -> str:
    return str(one.settings.get("measured") or "quality")


def _compare_row(
    a: list[Record], b: list[Record], declared: Mapping[str, Declared], metrics: frozenset[str], found: _Found
) -> None:
    if a[0].dataset.checksums != b[0].dataset.checksums:
        found.notes[f"{a[0].dataset.label}: the data differ, so that nothing on them is compared"] += 1
        return
    if a[0].model.recipe != b[0].model.recipe:
        found.notes[f"{_name(a[0])}: the training's recipe differs"] += 1
    common = {training_seed(one) for one in a} & {training_seed(one) for one in b}
    if common:
        a, b = ([one for one in side if training_seed(one) in common] for side in (a, b))
    else:
        found.notes[f"{_name(a[0])}: no training seed in common, so that nothing is paired over seeds"] += 1
    if len(a) == len(b) == 1 and a[0].model.weights != b[0].model.weights:
        found.notes["trained anew, with one seed: the noise of training is not in the test; run more seeds"] += 1
    names = sorted({name for one in (*a, *b) for name in one.measurements})
    for name in names:
        metric = name.partition("[")[0]
        if not metrics or metric in metrics:
            _compare_number(a, b, name, declared.get(metric), found)


def _compare_number(a: list[Record], b: list[Record], name: str, known: Declared | None, found: _Found) -> None:
    sides = [[(one, one.measurements[name]) for one in side if name in one.measurements] for side in (a, b)]
    where = _name(a[0])
    if not sides[0] or not sides[1]:
        if any(m.status == "ok" for side in sides for _, m in side):
            found.notes[f"{name}: only {'after' if not sides[0] else 'before'}"] += 1
        return
    good = [[(one, m) for one, m in side if m.status == "ok"] for side in sides]
    both = {training_seed(one) for one, _ in good[0]} & {training_seed(one) for one, _ in good[1]}
    first = sides[0][0][1]
    change = Change(
        dataset=a[0].dataset.label, model=a[0].model.label, measured=_measured(a[0]),
        metric=first.metric, protocol=first.protocol, before=None, after=None, verdict="equal",
    )  # fmt: skip
    if broken := _broken(a, b, good[0], sides[1]):
        value = estimate(good[0]).mean
        found.lost.append(replace(change, before=value, verdict="lost", reason=broken[0].reason))
        return
    if both:
        good = [[(one, m) for one, m in side if training_seed(one) in both] for side in good]
    if not good[0] or not good[1]:
        if good[0] or good[1]:
            side, word = (sides[1], "after") if good[0] else (sides[0], "before")
            found.notes[f"{where}: {name} has no number {word}: {side[0][1].reason}"] += 1
        return
    if len({m.kind for side in good for _, m in side}) > 1:
        found.notes[f"{where}: {name} is of another kind after than before, not compared"] += 1
        return
    if _is_speed(a[0], known) and (why := _other_hardware(good)):
        found.notes[why] += 1
        return
    _test(change, good, found)


def _broken(
    a: list[Record],
    b: list[Record],
    good: list[tuple[Record, Measurement]],
    after: list[tuple[Record, Measurement]],
) -> list[Measurement]:
    """What became invalid: of the seeds that had a number before, or of any where the sides have none in common."""
    invalid = [(one, m) for one, m in after if m.status == "invalid"] if good else []
    if {training_seed(one) for one in a} & {training_seed(one) for one in b}:
        had = {training_seed(one) for one, _ in good}
        invalid = [(one, m) for one, m in invalid if training_seed(one) in had]
    return [m for _, m in invalid]


def _is_speed(one: Record, known: Declared | None) -> bool:
    """Whatever a measurement of speed says is speed: stages and ratios stand in no table, and so declare nothing."""
    return bool(one.settings.get("measured")) or (known is not None and known.axis == "speed")


def _other_hardware(good: list[list[tuple[Record, Measurement]]]) -> str:
    """Why speeds cannot be compared; empty where they can."""
    machines = [sorted({hardware(one) for one, _ in side}) for side in good]
    if machines[0] == machines[1] and len(machines[0]) == 1:
        return ""
    before, after = (" and ".join(names) for names in machines)
    return f"speed is never compared across hardware: before on {before}; after on {after}"


def _test(change: Change, good: list[list[tuple[Record, Measurement]]], found: _Found) -> None:
    a, b = (estimate(side) for side in good)
    if not (a.noise_is_known and b.noise_is_known):
        found.notes[f"{change.metric}: observed once, so that its noise is not known; not compared"] += 1
        return
    if _same_weights(good) and not (a.once or b.once):
        a, b = of_these_weights(a), of_these_weights(b)
    test = difference(a, b)
    found.tested.append((
        replace(
            change, before=a.mean, after=b.mean, difference=test.mean, low=test.low, high=test.high,
            relative=_relative(test.mean, a.mean), seeds=min(len(side) for side in good), method=test.method,
        ),
        test,
    ))  # fmt: skip


def _same_weights(good: list[list[tuple[Record, Measurement]]]) -> bool:
    weights = [{training_seed(one): one.model.weights for one, _ in side} for side in good]
    return weights[0] == weights[1]


def _relative(change: float, of: float) -> float | None:
    return change / abs(of) if of else (0.0 if change == 0 else None)


def _judged(change: Change, p: float, known: Declared | None, threshold: float, alpha: float) -> Change:
    if change.difference == 0:
        return replace(change, p=p, verdict="equal")
    verdict: Verdict = "within noise"
    if p < alpha:
        better = known.better if known else None
        worse = (change.difference or 0.0) * (1 if better == "lower" else -1) > 0
        beyond = change.relative is None or abs(change.relative) > threshold
        verdict = "moved" if better is None else "better" if not worse else "worse" if beyond else "slightly worse"
    return replace(change, p=p, verdict=verdict)
