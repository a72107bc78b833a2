"""Quality against what a sample costs, within a family: the same model under several samplers, joined by lines.

One panel over the calls of the network, one over the time; a line joins what differs in the sampler alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from leaderboard import figures, labels, svg
from leaderboard.cells import Cell
from leaderboard.columns import Column
from leaderboard.table import Row, Section
from leaderboard.typography import plural

WIDTH, HEIGHT = 400, 300  # CSS pixels
COSTS = (("nfe",), ("seconds_per_image", "latency_p50"))  # of each panel the first that most rows have
DRAWN = 80
_NAMED = 24


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One panel: the rows with both numbers, line by line, each line in the order of its costs."""

    x: Column
    y: Column
    across: int
    up: int
    lines: tuple[tuple[Row, ...], ...]
    note: str

    @property
    def rows(self) -> list[Row]:
        return [row for line in self.lines for row in line]

    @property
    def families(self) -> list[str]:
        return [row.family for row in self.rows]

    @property
    def facts(self) -> object:
        """All that is drawn."""
        cells = [
            [(row.name, row.family, *(repr((c.value, c.low, c.high)) for c in self.cells(row))) for row in line]
            for line in self.lines
        ]
        return self.x, self.y, cells, self.note

    def cells(self, row: Row) -> tuple[Cell, Cell]:
        return row.cells[self.across], row.cells[self.up]


def sweeps(section: Section, rows: Sequence[Row]) -> list[Sweep]:
    """The panels of some rows of a dataset: those with two different costs or more."""
    up = section.headline("quality")
    if up is None:
        return []
    found = []
    for metrics in COSTS:
        across = max(
            (index for index, heading in enumerate(section.headings) if heading.column.metric in metrics),
            key=lambda index: sum(row.cells[index].ok and row.cells[up].ok for row in rows),
            default=None,
        )
        if across is None:
            continue
        there = [row for row in rows if row.cells[across].ok and row.cells[up].ok]
        machines = {row.cells[across].peers for row in there}
        if len({row.cells[across].value for row in there}) < 2 or len(machines) > 1:
            continue
        kept = there[:DRAWN]
        lines: dict[tuple[str, str, str], list[Row]] = {}
        for row in kept:
            lines.setdefault(_line(row), []).append(row)
        note = f"{len(kept)} of {plural(len(there), 'row')}" if len(kept) < len(there) else ""
        found.append(
            Sweep(
                x=section.headings[across].column,
                y=section.headings[up].column,
                across=across,
                up=up,
                lines=tuple(
                    tuple(sorted(line, key=lambda row: (row.cells[across].value, row.name))) for line in lines.values()
                ),
                note=note,
            )
        )
    return found


def _line(row: Row) -> tuple[str, str, str]:
    """What the samplers of a line share: the model's name, its weights and, of a sweep, the name of the line."""
    first = row.records[0]
    return row.label.partition("[")[0], str(first.model.weights), str(first.settings.get("line", ""))


def _short(row: Row) -> str:
    """The row's name; one that would be cut goes without the names of its settings: `ddpm[ddim,5]`."""
    return re.sub(r"\b\w+=", "", row.name) if len(row.name) > figures.LABEL_LENGTH else row.name


def draw(
    sweep: Sweep, name: str, title: str, of_family: dict[str, figures.Mark], address: Callable[[Row], str]
) -> svg.Figure:
    """The panel; each point is a link to `address(row)`."""
    with svg.drawing():
        figure, axes = figures.panel(WIDTH, HEIGHT, (0.135, 0.16, 0.825, 0.81))
        figures.scale(axes, "x", sweep.x, [sweep.cells(row)[0] for row in sweep.rows])
        figures.scale(axes, "y", sweep.y, [sweep.cells(row)[1] for row in sweep.rows])
        figures.frame(axes)
        links = []
        taken = [np.zeros((0, 4))]
        bars = [np.zeros((0, 4))]
        for line in sweep.lines:
            places = [(sweep.cells(row)[0].value, sweep.cells(row)[1].value) for row in line]
            if len(line) > 1:
                axes.plot(*zip(*places, strict=True), color=svg.MUTED, linewidth=1, zorder=2)
                taken.append(labels.along(axes.transData.transform(places)))
            for row, (x, y) in zip(line, places, strict=True):
                quality = sweep.cells(row)[1]
                style = figures.marker(row.group, row.family, of_family)
                axes.plot([x, x], [quality.low, quality.high], color=style["markeredgecolor"], linewidth=1.1, zorder=3)
                bars.append(labels.along(axes.transData.transform([(x, quality.low), (x, quality.high)])))
                (point,) = axes.plot(x, y, linestyle="none", zorder=4, clip_on=False, **style)
                links.append(svg.Link(artist=point, address=address(row), tip=row.name))
        shown = sweep.rows[:_NAMED]
        places = [(sweep.cells(row)[0].value, sweep.cells(row)[1].value) for row in shown]
        words = [_short(row) for row in shown]
        figures.names(
            axes, words, places, [svg.INK] * len(shown), bars=np.concatenate(bars), taken=np.concatenate(taken)
        )
        described = "; ".join(
            f"{row.name}: {sweep.x.heading} {sweep.cells(row)[0].text}, {sweep.y.heading} {sweep.cells(row)[1].text} "
            f"{sweep.cells(row)[1].interval}"
            for row in sweep.rows
        )
        return svg.finish(
            figure, name, title, f"{sweep.x.title}. {sweep.y.title}: {sweep.y.direction}. {described}.", links
        )
