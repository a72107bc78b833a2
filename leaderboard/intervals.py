"""One column of a table as a figure: a line for each row with value and interval, and the kind of the number.

For likelihoods, where a bound, an estimate and an exact value stand side by side and must not be taken for each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leaderboard import figures, svg
from leaderboard.columns import Column
from leaderboard.table import Cell, Row, Section
from leaderboard.typography import plain, plural

WIDTH, LINE = 720, 24  # CSS pixels
DRAWN = 60
_TRUTH = {"excess_nats": 0.0}  # what a perfect model has


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """What the figure shows: a column and the rows that have a number in it, best first."""

    column: Column
    rows: tuple[tuple[Row, Cell], ...]
    truth: float | None
    note: str

    @property
    def families(self) -> list[str]:
        return [row.family for row, _ in self.rows]

    @property
    def facts(self) -> object:
        """All that is drawn."""
        rows = [
            (row.name, row.family, row.group, cell.value, cell.low, cell.high, cell.text, cell.kind_text)
            for row, cell in self.rows
        ]
        return self.column, rows, self.truth, self.note


def likelihood(section: Section) -> Intervals | None:
    """The excess over the truth where the law is known, else the headline of likelihood; None where nobody has one."""
    known = [i for i, heading in enumerate(section.headings) if heading.column.metric in _TRUTH]
    index = known[0] if known else section.headline("likelihood")
    if index is None:
        return None
    column = section.headings[index].column
    cells = [(row, row.cells[index]) for row in section.rows if row.cells[index].ok]
    if not cells:
        return None
    sign = -1.0 if column.better == "higher" else 1.0
    cells.sort(key=lambda pair: (sign * pair[1].value, pair[0].name))
    note = f"the best {DRAWN} of {plural(len(cells), 'row')}" if len(cells) > DRAWN else ""
    return Intervals(column=column, rows=tuple(cells[:DRAWN]), truth=_TRUTH.get(column.metric), note=note)


def draw(
    shown: Intervals, name: str, title: str, of_family: dict[str, figures.Mark], address: Callable[[Row], str]
) -> svg.Figure:
    """The figure; each name and each point is a link to `address(row)`."""
    height = LINE * len(shown.rows) + 46
    with svg.drawing():
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
        axes = figure.add_axes((0.21, 40 / height, 0.38, 1 - 46 / height))
        low, high = _limits(shown)
        # the scale's own limits would let one very bad control flatten all the others
        figures.scale(axes, "x", shown.column, [cell for _, cell in shown.rows])
        axes.set(xscale="linear", xlim=(low, high), ylim=(len(shown.rows) - 0.5, -0.5), yticks=[])
        figures.frame(axes)
        if shown.truth is not None:
            axes.axvline(shown.truth, color=svg.MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1.5)
        links = []
        for place, (row, cell) in enumerate(shown.rows):
            drawn = [_name(axes, place, row), *_line(axes, place, row, cell, of_family, (low, high))]
            links += [svg.Link(artist=one, address=address(row), tip=f"{row.name}, {row.family}") for one in drawn]
            words = f"{cell.text} {cell.interval}"
            _beside(axes, place, 1.02, words, svg.INK)
            _beside(axes, place, 1.60, cell.kind_text, svg.MUTED)
        described = "; ".join(f"{row.name}: {cell.text} {cell.interval} {cell.kind_text}" for row, cell in shown.rows)
        return svg.finish(figure, name, title, f"{shown.column.title}: {shown.column.direction}. {described}.", links)


def _limits(shown: Intervals) -> tuple[float, float]:
    """From the best value to the worst of the models; a control far beyond stands at the border."""
    models = [cell for row, cell in shown.rows if row.group == "model"] or [cell for _, cell in shown.rows]
    values = [cell.value for cell in models] + ([shown.truth] if shown.truth is not None else [])
    ends = [*values, *(end for cell in models for end in (cell.low, cell.high))]
    spread = max(max(values) - min(values), abs(values[0]) * 0.02, 1e-9)
    low, high = max(min(ends), min(values) - spread / 3), min(max(ends), max(values) + spread / 3)
    return low - 0.06 * spread, high + 0.06 * spread


def _name(axes: Axes, place: int, row: Row) -> Any:
    colour = svg.INK if row.group == "model" else svg.MUTED
    return axes.annotate(
        plain(row.name, 28), (0, place), xycoords=("axes fraction", "data"), xytext=(-8, 0), color=colour, fontsize=10,
        textcoords="offset points", ha="right", va="center_baseline", parse_math=False,
    )  # fmt: skip


def _beside(axes: Axes, place: int, where: float, words: str, colour: str) -> None:
    axes.annotate(
        plain(words, 40), (where, place), xycoords=("axes fraction", "data"), color=colour, fontsize=9.5,
        va="center_baseline", parse_math=False,
    )  # fmt: skip


def _line(
    axes: Axes, place: int, row: Row, cell: Cell, of_family: dict[str, figures.Mark], limits: tuple[float, float]
) -> list[Any]:
    style = figures.marker(row.group, row.family, of_family)
    low, high = limits
    if not low <= cell.value <= high:
        style |= {"marker": "<" if cell.value < low else ">", "markersize": 6.0}
    value = min(max(cell.value, low), high)
    axes.hlines(
        place, max(min(cell.low, high), low), min(max(cell.high, low), high),
        color=style["markeredgecolor"], linewidth=1.3, zorder=3,
    )  # fmt: skip
    return list(axes.plot(value, place, linestyle="none", zorder=4, clip_on=False, **style))
