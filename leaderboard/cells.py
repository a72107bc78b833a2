"""The cells of a table: one number with its interval from the records of a row, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from genbench.comparable import estimate
from genbench.ranking import Measured
from genbench.record import DIRECTION, Kind, Measurement, Record
from genbench.stats import LEVEL, mean_interval
from leaderboard.columns import BESIDE, Column, Heading
from leaderboard.grouping import group_of, machine
from leaderboard.typography import measured, plain

MISSING = {
    "undefined": "not defined",
    "invalid": "not valid",
    "unavailable": "not available",
    "absent": "not measured",
}
_SMALLEST = 1e-300  # whose logarithm is taken
_LARGEST = 1e30  # what a mean, a figure or a page can still deal with


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A number with its interval and what it may be compared with, or the reason why there is none.

    `value`, `low`, `high` are in the column's unit; `peers` names what is alike enough to be compared; `note` counts
    from 1 and points into the section's notes; `beside` are further numbers of the same cell with their headings.
    `rank` is an interval: the best and the worst place among the models with a number of the same peers that the tests
    leave open, None for reference rows, for columns without a direction, and where there is nobody to compare with.
    `minimum` is the best value of a single training seed, where there are several; `best` marks the best tie group of
    the cell's peers, where that is not all of them.
    """

    status: Literal["ok", "undefined", "invalid", "unavailable", "absent"]
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    kind: Kind | None = None
    protocol: str = ""  # where the column does not say it
    peers: str = ""
    sign: str = ""  # ≥ or ≤ before a bound, ≈ before an estimate
    seeds: int = 0
    level: float = 0.95
    rank: tuple[int, int] | None = None
    minimum: float | None = None
    best: bool = False
    reason: str = ""
    note: int | None = None
    beside: tuple[tuple[str, Cell], ...] = ()
    # What the tests see: not in the column's unit, and of speeds the logarithm.
    estimate: Measured | None = field(default=None, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def tied(self) -> bool:
        """Whether it is in the best tie group: no model of its peers is significantly better."""
        return self.rank is not None and self.rank[0] == 1

    @property
    def text(self) -> str:
        """The value as it is printed, with a sign for bounds and estimates; or the words for a missing one."""
        if not self.ok:
            return MISSING[self.status]
        return f"{self.sign}\u2009{self._texts[0]}" if self.sign else self._texts[0]

    @property
    def interval(self) -> str:
        return self._texts[1] if self.ok else ""

    @property
    def kind_text(self) -> str:
        """`IWAE, lower bound`: what stands beside a likelihood."""
        if self.kind is None:
            return self.protocol
        direction = DIRECTION[self.kind]
        return direction if direction == self.kind else f"{KINDS[self.kind]}, {direction}"

    @property
    def _texts(self) -> tuple[str, str]:
        return measured(self.value, self.low, self.high)


KINDS: dict[Kind, str] = {
    "exact": "exact",
    "dequantized": "dequantized",
    "elbo": "ELBO",
    "iwae": "IWAE",
    "vlb": "VLB",
    "ais": "AIS",
    "ode": "ODE",
}


class Numbers:
    """A record, and its measurements by metric."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self._by_metric: dict[str, list[Measurement]] = {}
        for one in record.measurements.values():
            self._by_metric.setdefault(one.metric, []).append(one)

    def of(self, metric: str) -> list[Measurement]:
        return self._by_metric.get(metric, [])

    def under(self, heading: Heading) -> Measurement | None:
        """The measurement of a column; one without a number stands for every protocol."""
        found = self.of(heading.column.metric)
        fitting = [m for m in found if heading.column.merged or m.protocol == heading.protocol]
        return next(iter(fitting or [m for m in found if m.status != "ok"]), None)


def cell(numbers: list[Numbers], heading: Heading) -> Cell:
    """The cell of a row, from its records, one for each training seed."""
    column, records = heading.column, [one.record for one in numbers]
    found = combined([one.under(heading) for one in numbers], column, records)
    beside = []
    for metric in column.beside:
        others = [next(iter(one.of(metric)), None) for one in numbers]
        if any(others) and found.kind != metric:
            beside.append((BESIDE[metric], combined(others, None, records)))
    return replace(found, beside=tuple(beside)) if beside else found


def combined(found: Sequence[Measurement | None], column: Column | None, records: list[Record]) -> Cell:
    """One cell from one measurement for each training seed."""
    speed = column is not None and column.axis == "speed"
    here = machine(records[-1]) if speed else ""
    good = [
        (one, m)
        for m, one in zip(found, records, strict=True)
        if m is not None and m.status == "ok" and not (speed and machine(one) != here)
    ]
    if any(abs(end) > _LARGEST for _, m in good for end in (m.value or 0.0, m.low or 0.0, m.high or 0.0)):
        return Cell(status="invalid", reason=f"a number beyond {_LARGEST:.0e} is no measurement")
    if good and len({(m.kind, m.protocol) for _, m in good}) > 1:
        return Cell(status="invalid", reason="its seeds were measured under different protocols")
    if not good:
        return _without_number(found, column, records[0])
    first = good[0][1]
    plainly = estimate(good)
    number = _logarithms(plainly) if speed else plainly
    low, high = _interval(number, [m for _, m in good], column)
    mean = _exp(number.mean) if speed and len(number.values) > 1 else plainly.mean
    left_out = sorted({plain(m.reason, 300) for m in found if m is not None and m.status != "ok"})
    reason = f"{len(good)} of {len(found)} seeds" if len(good) < len(found) else ""
    if reason and left_out:
        reason += f"; the others: {'; '.join(left_out)}"
    elif reason and speed:
        reason += f", those measured on {here}"
    protocol = plain(first.protocol, 120) if column is not None and column.merged else ""
    scale = column.scale if column else 1.0
    value, low, high = mean * scale, *sorted((low * scale, high * scale))
    return Cell(
        status="ok", value=value, low=low, high=high,
        kind=first.kind, sign=_sign(first.kind, column), protocol=protocol,
        seeds=len(good), level=first.level if len(good) == 1 else LEVEL, reason=reason,
        peers=here if speed else first.kind or protocol,
        minimum=_best_seed(good, column), estimate=number,
    )  # fmt: skip


def _best_seed(good: list[tuple[Record, Measurement]], column: Column | None) -> float | None:
    if len(good) == 1 or column is None or column.better is None:
        return None
    pick = min if column.better == "lower" else max
    return pick(m.value for _, m in good if m.value is not None) * column.scale


def _sign(kind: Kind | None, column: Column | None) -> str:
    """What a kind says of the true value: of a likelihood it is a lower bound, of a code length an upper one."""
    if kind is None or DIRECTION[kind] == "exact":
        return ""
    if DIRECTION[kind] == "estimate":
        return "≈"
    return "≥" if column is None or column.better == "higher" else "≤"


def _logarithms(number: Measured) -> Measured:
    """Of a speed: what disturbs a machine multiplies times, so that they are averaged and compared as logarithms."""
    values = tuple(math.log(max(value, _SMALLEST)) for value in number.values)
    mean = math.fsum(values) / len(values)
    below, above = (math.log(max(end, _SMALLEST) / max(number.mean, _SMALLEST)) for end in (number.low, number.high))
    return replace(number, values=values, low=mean + below, high=mean + above)


def _exp(logarithm: float) -> float:
    return math.exp(min(logarithm, math.log(_LARGEST)))


def _interval(number: Measured, good: list[Measurement], column: Column | None) -> tuple[float, float]:
    """The measurement's own, or the t-interval of the mean over the seeds, cut to the metric's range."""
    if len(number.values) == 1:
        return min(m.low for m in good if m.low is not None), max(m.high for m in good if m.high is not None)
    interval = mean_interval(number.values)
    if column is not None and column.axis == "speed":
        return _exp(interval.low), _exp(interval.high)
    if column is not None:
        interval = interval.clipped(column.lowest, column.highest)
    return interval.low, interval.high


def _without_number(found: Sequence[Measurement | None], column: Column | None, record: Record) -> Cell:
    stated = [m for m in found if m is not None and m.status != "ok"]
    if stated:
        reasons = sorted({plain(m.reason, 300) for m in stated})
        worst = min(stated, key=lambda m: list(MISSING).index(m.status))
        return Cell(status=worst.status, reason="; ".join(reasons))
    if column is not None and column.axis == "likelihood" and record.model.likelihood is None:
        who = "real data" if group_of(record) == "reference" else plain(record.model.label)
        return Cell(status="undefined", reason=f"{who} defines no likelihood")
    return Cell(status="absent")
