"""The headline numbers of every record in time: what each replaced, and the course of a number as a line.

Records of one cell, that is of the same dataset, model, configuration, settings and seed, replace each other as the
code changes. Speeds have a chart for each class of hardware.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from genbench.comparable import canonical
from genbench.record import Axis, Measurement, Record
from leaderboard import labels
from leaderboard.columns import Column, Heading
from leaderboard.curves import short
from leaderboard.grouping import configuration, dataset, machine
from leaderboard.standings import AXES
from leaderboard.table import Section
from leaderboard.typography import measured, plain

LEFT, RIGHT, TOP, BOTTOM = 68.0, 552.0, 10.0, 210.0
WIDTH, HEIGHT = 560, 240
LINES = 30  # in a chart
LETTER = 5.8  # how wide a letter of a name is, about


@dataclass(frozen=True, kw_only=True)
class Value:
    """A record's number under a heading, in the column's unit, with its interval; `before` is what it replaced."""

    column: Column
    number: float
    text: str
    interval: str
    before: str = ""


@dataclass(frozen=True, kw_only=True)
class Change:
    """A record with its headline numbers, and the record of the same cell before it."""

    record: Record
    section: Section
    values: tuple[Value, ...]
    replaced: Record | None


@dataclass(frozen=True, kw_only=True)
class Line:
    """The course of one model's number: a path, and in words its ends."""

    label: str
    family: str
    path: str
    words: str
    x: float
    y: float  # where its name begins, at the height of its middle


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A headline number of a dataset in time, with what is written at the ends of its axes."""

    section: Section
    axis: Axis
    column: Column
    log: bool
    hardware: str  # the class, for speeds
    lines: tuple[Line, ...]
    more: int
    low: str
    high: str
    since: str
    until: str


def changes(sections: Sequence[Section], records: Sequence[Record]) -> list[Change]:
    """Every record of a dataset that is shown, newest first, with what it replaced."""
    of_dataset = {_dataset(section.rows[0].records[0]): section for section in sections}
    heads = {section.anchor: headlines(section) for section in sections}
    before: dict[bytes, Record] = {}
    found = []
    for one in sorted(records, key=lambda one: (one.created, one.key)):
        section = of_dataset.get(_dataset(one))
        if section is None or one.model.family == "pathology":
            continue
        cell = _cell(one)
        replaced = before.get(cell)
        before[cell] = one
        values = tuple(v for heading in heads[section.anchor] if (v := _value(one, heading, replaced)) is not None)
        found.append(Change(record=one, section=section, values=values, replaced=replaced))
    return found[::-1]


def headlines(section: Section) -> list[Heading]:
    """The headings that stand for the axes."""
    return [section.headings[index] for axis in AXES if (index := section.headline(axis)) is not None]


def charts(found: Sequence[Change]) -> list[Chart]:
    """For each dataset, axis and class of hardware a chart, where something was measured at two times or more."""
    grouped: dict[tuple[str, Axis, str], list[tuple[Change, Value]]] = {}
    for change in reversed(found):
        for value in change.values:
            place = machine(change.record) if value.column.axis == "speed" else ""
            grouped.setdefault((change.section.anchor, value.column.axis, place), []).append((change, value))
    ordered = sorted(grouped.items(), key=lambda item: (item[0][0], AXES.index(item[0][1]), item[0][2]))
    return [chart for (_, axis, place), points in ordered if (chart := _chart(axis, place, points)) is not None]


def _chart(axis: Axis, place: str, points: list[tuple[Change, Value]]) -> Chart | None:
    times = [_seconds(change.record) for change, _ in points]
    numbers = [value.number for _, value in points]
    start, stop, low, high = min(times), max(times), min(numbers), max(numbers)
    if start == stop or not abs(high - low) < 1e30:
        return None
    column = points[0][1].column
    log = column.log and low > 0
    bottom, top = (math.log(low), math.log(high)) if log else (low, high)
    lines: dict[tuple[str, str], list[tuple[float, float, Value]]] = {}
    for (change, value), time in zip(points, times, strict=True):
        x = LEFT + (RIGHT - LEFT) * (time - start) / (stop - start)
        y = BOTTOM - (BOTTOM - TOP) * ((math.log(value.number) if log else value.number) - bottom) / (
            (top - bottom) or 1.0
        )
        model = change.record.model
        lines.setdefault((plain(model.label, 60), plain(model.family, 60)), []).append((x, y, value))
    kept = sorted(sorted(lines.items(), key=lambda item: -len(item[1]))[:LINES])
    boxes = labels.place(
        np.array([course[-1][:2] for _, course in kept]),
        np.array([LETTER * len(label) for (label, _), _ in kept]),
        list(range(len(kept))),
        frame=np.array([LEFT, TOP, RIGHT, BOTTOM]),
        bars=np.zeros((0, 4)),
        taken=np.array([(x - 3, y - 3, x + 3, y + 3) for _, course in kept for x, y, _ in course[:-1]]).reshape(-1, 4),
    )
    return Chart(
        section=points[0][0].section,
        axis=axis,
        column=column,
        log=log,
        hardware=place,
        lines=tuple(
            _line(label, family, course, box) for ((label, family), course), box in zip(kept, boxes, strict=True)
        ),
        more=len(lines) - len(kept),
        low=short(low),
        high=short(high),
        since=points[0][0].record.created[:10],
        until=points[-1][0].record.created[:10],
    )


def _line(label: str, family: str, course: list[tuple[float, float, Value]], box: np.ndarray) -> Line:
    first, last = course[0][2], course[-1][2]
    words = f"{label}: {first.text}" if len(course) == 1 else f"{label}: from {first.text} to {last.text}"
    path = "".join(f"{'L' if index else 'M'}{x:.1f} {y:.1f}" for index, (x, y, _) in enumerate(course))
    x, y = round(float(box[0]), 1), round(float(box[1] + box[3]) / 2, 1)
    return Line(label=label, family=family, path=path, words=words, x=x, y=y)


def _value(one: Record, heading: Heading, replaced: Record | None) -> Value | None:
    m = _find(one, heading)
    if m is None or m.value is None or m.low is None or m.high is None or abs(m.value) > 1e30:
        return None
    scale = heading.column.scale
    text, interval = measured(m.value * scale, m.low * scale, m.high * scale)
    old = _find(replaced, heading) if replaced is not None else None
    before = ""
    if old is not None and old.value is not None and old.low is not None and old.high is not None:
        before = measured(old.value * scale, old.low * scale, old.high * scale)[0]
    return Value(
        column=heading.column,
        number=m.value * scale,
        text=text,
        interval=interval,
        before=before if before != text else "",
    )


def _find(one: Record, heading: Heading) -> Measurement | None:
    for m in one.measurements.values():
        if m.metric == heading.column.metric and m.status == "ok" and heading.protocol in ("", m.protocol):
            return m
    return None


def _seconds(one: Record) -> float:
    return datetime.strptime(one.created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()


def _dataset(one: Record) -> bytes:
    return canonical(dataset(one))


def _cell(one: Record) -> bytes:
    return canonical([dataset(one), configuration(one), one.seeds])
