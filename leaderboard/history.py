"""The headline numbers of every record in time: what each replaced, and the course of a number as a chart.

Records of one cell, that is of the same dataset, model, configuration, settings and seed, replace each other as the
code changes. Speeds have a chart for each class of hardware.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from genbench.comparable import canonical
from genbench.record import Axis, Record
from leaderboard import figures, svg
from leaderboard.cells import Cell, Numbers, cell
from leaderboard.columns import Column, Heading
from leaderboard.grouping import Group, configuration, dataset, group_of, machine, use_of
from leaderboard.standings import AXES
from leaderboard.table import Section
from leaderboard.typography import plain, plural

WIDTH, HEIGHT = 560, 320  # CSS pixels
LINES = 30  # in a chart
DOTTED = 250  # points that have a marker each; of more, only the ends of the lines have one


@dataclass(frozen=True, kw_only=True)
class Value:
    """A record's number under a heading, as a row of this record alone would show it; `before` is what it replaced."""

    column: Column
    cell: Cell
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
    """The course of one model's number, in the order of time: the times in seconds, the numbers."""

    label: str
    group: Group
    family: str
    times: tuple[float, ...]
    cells: tuple[Cell, ...]

    @property
    def words(self) -> str:
        """Its ends."""
        first, last = self.cells[0].text, self.cells[-1].text
        return f"{self.label}: {first}" if len(self.cells) == 1 else f"{self.label}: from {first} to {last}"


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A headline number of a dataset in time."""

    section: Section
    axis: Axis
    column: Column
    hardware: str  # the class, for speeds
    lines: tuple[Line, ...]
    more: int

    @property
    def title(self) -> str:
        where = f", on {self.hardware}" if self.hardware else ""
        return f"{self.column.title} on {self.section.title} in time{where}"

    @property
    def note(self) -> str:
        return f"{plural(self.more, 'model')} more not drawn" if self.more else ""

    @property
    def families(self) -> list[str]:
        return [line.family for line in self.lines]

    @property
    def facts(self) -> object:
        """All that is drawn."""
        lines = [
            (line.label, line.group, line.family, line.times, [(c.value, c.low, c.high, c.text) for c in line.cells])
            for line in self.lines
        ]
        return self.column, lines


def changes(sections: Sequence[Section], records: Sequence[Record]) -> list[Change]:
    """Every record of the tables, the replaced ones among them, newest first, with what it replaced."""
    of_dataset = {canonical(dataset(section.dataset)): section for section in sections}
    heads = {section.anchor: headlines(section) for section in sections}
    before: dict[bytes, Record] = {}
    found = []
    for one in sorted(records, key=lambda one: (one.created, one.key)):
        section = of_dataset.get(canonical(dataset(one.dataset)))
        if section is None or use_of(one) != "row":
            continue
        identity = _cell(one)
        replaced = before.get(identity)
        before[identity] = one
        values = _values(one, heads[section.anchor], replaced)
        found.append(Change(record=one, section=section, values=values, replaced=replaced))
    return found[::-1]


def headlines(section: Section) -> list[Heading]:
    """The headings that stand for the axes."""
    return [section.headings[index] for axis in AXES if (index := section.headline(axis)) is not None]


def _values(one: Record, headings: Sequence[Heading], replaced: Record | None) -> tuple[Value, ...]:
    found = []
    numbers, old = [Numbers(one)], [Numbers(replaced)] if replaced else []
    for heading in headings:
        new = cell(numbers, heading)
        if new.ok:
            earlier = cell(old, heading).text if old and cell(old, heading).ok else ""
            found.append(Value(column=heading.column, cell=new, before=earlier if earlier != new.text else ""))
    return tuple(found)


def charts(found: Sequence[Change]) -> list[Chart]:
    """For each dataset, axis and class of hardware a chart, where something was measured at two times or more."""
    grouped: dict[tuple[str, Axis, str], list[tuple[Change, Value]]] = {}
    for change in reversed(found):
        for value in change.values:
            place = machine(change.record) if value.column.axis == "speed" else ""
            grouped.setdefault((change.section.anchor, value.column.axis, place), []).append((change, value))
    ordered = sorted(grouped.items(), key=lambda item: (item[0][0], AXES.index(item[0][1]), item[0][2]))
    return [
        _chart(axis, place, points)
        for (_, axis, place), points in ordered
        if len({change.record.created for change, _ in points}) > 1
    ]


def _chart(axis: Axis, place: str, points: list[tuple[Change, Value]]) -> Chart:
    courses: dict[tuple[str, Group, str], list[tuple[float, Cell]]] = {}
    for change, value in points:
        model = change.record.model
        name = plain(model.label, 60), group_of(change.record), plain(model.family)
        courses.setdefault(name, []).append((_seconds(change.record), value.cell))
    kept = sorted(sorted(courses.items(), key=lambda item: -len(item[1]))[:LINES])
    return Chart(
        section=points[0][0].section,
        axis=axis,
        column=points[0][1].column,
        hardware=place,
        lines=tuple(
            Line(
                label=label,
                group=group,
                family=family,
                times=tuple(time for time, _ in course),
                cells=tuple(one for _, one in course),
            )
            for (label, group, family), course in kept
        ),
        more=len(courses) - len(kept),
    )


def draw(
    chart: Chart, name: str, title: str, of_family: dict[str, figures.Mark], address: Callable[[Line], str]
) -> svg.Figure:
    """The chart; each line is a link to `address(line)`."""
    points = [(time, one.value) for line in chart.lines for time, one in zip(line.times, line.cells, strict=True)]
    start, stop = min(points)[0], max(points)[0]
    with svg.drawing():
        figure, axes = figures.panel(WIDTH, HEIGHT, (0.12, 0.09, 0.86, 0.88))
        figures.scale(axes, "y", chart.column, [one for line in chart.lines for one in line.cells])
        figures.frame(axes)
        axes.set_xlim(start - 0.03 * (stop - start), stop + 0.03 * (stop - start))
        axes.set_xticks([start, stop], _ends(start, stop))
        first, last = axes.get_xticklabels()
        first.set_horizontalalignment("left")
        last.set_horizontalalignment("right")
        links = []
        for line in chart.lines:
            style = figures.marker(line.group, line.family, of_family) | {"markersize": 5.0}
            (course,) = axes.plot(
                line.times, [one.value for one in line.cells], color=style["markeredgecolor"], linewidth=1.3, zorder=3,
                clip_on=False, markevery=None if len(points) <= DOTTED else max(len(line.times) - 1, 1), **style,
            )  # fmt: skip
            links.append(svg.Link(artist=course, address=address(line), tip=line.words))
        places = axes.transData.transform(points)
        names = figures.names(
            axes,
            [line.label for line in chart.lines],
            [(line.times[-1], line.cells[-1].value) for line in chart.lines],
            [svg.INK if line.group == "model" else svg.MUTED for line in chart.lines],
            taken=np.concatenate([places - 3.0, places + 3.0], axis=1),
        )
        links += [
            svg.Link(artist=text, address=address(line), tip=line.words)
            for text, line in zip(names, chart.lines, strict=True)
        ]
        words = "; ".join(line.words for line in chart.lines)
        return svg.finish(figure, name, title, f"{chart.column.title}: {chart.column.direction}. {words}.", links)


def _ends(start: float, stop: float) -> list[str]:
    """Two times as days, or with the minute where they are of one day."""
    first, last = (datetime.fromtimestamp(seconds, UTC) for seconds in (start, stop))
    form = "%Y-%m-%d %H:%M" if first.date() == last.date() else "%Y-%m-%d"
    return [f"{first:{form}}", f"{last:{form}}"]


def _seconds(one: Record) -> float:
    return datetime.strptime(one.created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()


def _cell(one: Record) -> bytes:
    return canonical([dataset(one.dataset), configuration(one), one.seeds])
