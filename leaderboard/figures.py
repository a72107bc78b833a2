"""The trilemma in three scatters: quality, speed and diversity, each point with both intervals, and the Pareto front.

Families differ in colour and in marker, and every point carries its name: a reader needs neither colour nor script.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from genbench.record import Axis
from leaderboard import labels, svg
from leaderboard.columns import Column
from leaderboard.grouping import Group
from leaderboard.table import Cell, Front, Row, Section
from leaderboard.typography import plain, plural

WIDTH, HEIGHT = 400, 330  # CSS pixels
MARKERS = ("o", "s", "^", "D", "v", "P", "p", "X", "<", "h", ">")
DRAWN, NAMED = 250, 40  # at most so many points, and of those so many with a name
LABEL_LENGTH = 26
_NOTHING = np.zeros((0, 4))

PAIRS: tuple[tuple[Axis, Axis], ...] = (("speed", "quality"), ("speed", "diversity"), ("diversity", "quality"))


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How a family is drawn: the number of its colour, its marker."""

    colour: int
    marker: str


@dataclass(frozen=True, kw_only=True)
class Point:
    """A row in a scatter: its index in the section, its two cells."""

    index: int
    row: Row
    x: Cell
    y: Cell

    @property
    def ok(self) -> bool:
        return self.x.ok and self.y.ok


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """What one panel shows: `drawn` in the order of the rows, `lines` what has no x, `front` the rows on the front."""

    axes: tuple[Axis, Axis]
    x: Column
    y: Column
    drawn: tuple[Point, ...]
    lines: tuple[Point, ...]
    front: tuple[int, ...]
    note: str

    @property
    def name(self) -> str:
        return f"{self.axes[1]}-{self.axes[0]}"

    @property
    def families(self) -> list[str]:
        return [point.row.family for point in self.drawn]

    @property
    def facts(self) -> object:
        """All that is drawn."""
        points = [
            (p.row.name, p.row.family, p.row.group, [(c.ok, c.value, c.low, c.high, c.text) for c in (p.x, p.y)])
            for p in (*self.drawn, *self.lines)
        ]
        return self.x, self.y, points, [p.index in self.front for p in self.drawn], self.note


def marks(families: Sequence[str]) -> dict[str, Mark]:
    """A colour and a marker for each family; they only repeat together after 88 families."""
    return {
        family: Mark(colour=index % len(svg.FAMILIES), marker=MARKERS[index % len(MARKERS)])
        for index, family in enumerate(families)
    }


def trilemma(section: Section) -> list[Scatter]:
    """Up to three scatters of a dataset: those whose two axes both have numbers for the same models."""
    found = []
    for axes in PAIRS:
        across, up = (section.headline(axis) for axis in axes)
        if across is None or up is None:
            continue
        points = [
            Point(index=index, row=row, x=row.cells[across], y=row.cells[up]) for index, row in enumerate(section.rows)
        ]
        if not any(point.ok and point.row.group == "model" for point in points):
            continue
        front = tuple(index for one in fronts(section, axes) for index in one.on)
        drawn = sorted(
            (point for point in points if point.ok), key=lambda p: p.row.group == "model" and p.index not in front
        )
        kept = tuple(sorted(drawn[:DRAWN], key=lambda point: point.index))
        left_out = [point.row.name for point in points if not point.ok and point.row.group == "model"]
        words = []
        if len(kept) < len(drawn):
            words.append(f"{len(kept)} of {plural(len(drawn), 'row')} drawn, the front and then the first of the table")
        if left_out:
            names = ", ".join(left_out[:8]) + (", …" if len(left_out) > 8 else "")
            words.append(f"{plural(len(left_out), 'model')} without both numbers: {names}")
        found.append(
            Scatter(
                axes=axes,
                x=section.headings[across].column,
                y=section.headings[up].column,
                drawn=kept,
                lines=tuple(p for p in points if p.row.group == "reference" and p.y.ok and not p.x.ok),
                front=front,
                note="; ".join(words),
            )
        )
    return found


def fronts(section: Section, axes: Sequence[Axis]) -> list[Front]:
    """The section's fronts in some axes, one for each class of hardware."""
    return [front for front in section.fronts if set(front.axes) == set(axes)]


def draw(
    scatter: Scatter, name: str, title: str, of_family: dict[str, Mark], address: Callable[[Row], str]
) -> svg.Figure:
    """The scatter; each point is a link to `address(row)`."""
    x, y = scatter.x, scatter.y
    with svg.drawing():
        figure, axes = panel(WIDTH, HEIGHT, (0.135, 0.14, 0.825, 0.83))
        scale(axes, "x", x, [point.x for point in scatter.drawn])
        scale(axes, "y", y, [point.y for point in scatter.drawn])
        frame(axes)
        taken = [_front(axes, scatter), *_floors(axes, scatter.lines)]
        links = []
        for point in scatter.drawn:
            tip = f"{point.row.name}, {point.row.family}"
            links += [
                svg.Link(artist=one, address=address(point.row), tip=tip) for one in _point(axes, point, of_family)
            ]
        first = sorted(scatter.drawn, key=lambda p: (p.row.group == "model", p.index not in scatter.front))
        links += _names(axes, first[:NAMED], np.concatenate(taken), address)
        described = "; ".join(
            f"{p.row.name}: {x.heading} {p.x.text} {p.x.interval}, {y.heading} {p.y.text} {p.y.interval}"
            + (", on the front" if p.index in scatter.front else "")
            for p in scatter.drawn
        )
        words = f"{x.title}: {x.direction}. {y.title}: {y.direction}. {described}."
        return svg.finish(figure, name, title, words, links)


def legend(scatters: Sequence[Scatter], of_family: dict[str, Mark]) -> list[tuple[str, str]]:
    """The families, controls and real data that have a point in a scatter: name, and the marker as a small SVG."""
    rows: dict[str, Row] = {}
    for row in (point.row for scatter in scatters for point in scatter.drawn):
        rows.setdefault({"reference": "real data", "control": "control"}.get(row.group, row.family), row)
    last = {"control": 1, "real data": 2}
    names = sorted(rows, key=lambda one: (last.get(one, 0), one))
    styles = {name: marker(rows[name].group, rows[name].family, of_family) for name in names}
    return [(name, _alone(tuple(style.items()))) for name, style in styles.items()]


@cache
def _alone(style: tuple[tuple[str, Any], ...]) -> str:
    """A marker as a small SVG; its names are made of its look, which no other entry of a legend shares."""
    with svg.drawing():
        figure = Figure(figsize=(16 / 72, 16 / 72), dpi=72)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.axis("off")
        axes.set(xlim=(-1, 1), ylim=(-1, 1))
        axes.plot(0, 0, linestyle="none", **dict(style))
        return svg.ornament(figure, f"marker-{hashlib.sha256(repr(style).encode()).hexdigest()[:6]}")


def marker(group: Group, family: str, of_family: dict[str, Mark]) -> dict[str, Any]:
    """How matplotlib draws a point of a row or a record."""
    if group == "reference":
        colour, shape, filled, size = svg.INK, "*", True, 11.0
    elif group == "control":
        colour, shape, filled, size = svg.CONTROL, "o", False, 5.5
    else:
        mark = of_family[family]
        colour, shape, filled, size = svg.FAMILIES[mark.colour], mark.marker, True, 7.5
    return {
        "marker": shape,
        "markersize": size,
        "markerfacecolor": colour if filled else "none",
        "markeredgecolor": colour,
        "markeredgewidth": 0.0 if filled else 1.3,
    }


def panel(width: int, height: int, place: tuple[float, float, float, float]) -> tuple[Figure, Axes]:
    """An empty figure of so many CSS pixels that can measure its texts, with axes at a place: left, bottom, size."""
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    FigureCanvasAgg(figure)
    return figure, figure.add_axes(place)


def scale(axes: Axes, side: Literal["x", "y"], column: Column, cells: Sequence[Cell]) -> None:
    """Scale, limits, ticks and label of an axis. Limits follow the values: a wide interval may leave the frame."""
    values = [cell.value for cell in cells]
    log = column.log and min(values) > 0
    forward = math.log10 if log else float
    ends = [forward(value) for value in values]
    middle, spread = (min(ends) + max(ends)) / 2, max(ends) - min(ends)
    whole = all(value == round(value) for value in values) and max(abs(value) for value in values) < 1e6
    spread = max(spread, 0.3 if log else 4.0 if whole else abs(middle) * 0.1, 1e-9)
    reach = 0.35 * spread  # how much of an interval beyond the outermost value still widens the frame
    lows = [forward(cell.low) for cell in cells if not log or cell.low > 0]
    highs = [forward(cell.high) for cell in cells]
    start = max(min([*lows, *ends]), middle - spread / 2 - reach) - 0.09 * spread
    stop = min(max([*highs, *ends]), middle + spread / 2 + reach) + 0.09 * spread
    ruler = axes.xaxis if side == "x" else axes.yaxis
    if log:
        limits = (10**start, 10**stop)
        axes.set(**{f"{side}scale": "log"})
        decades = stop - start
        subs = (1.0, 2.0, 5.0) if decades < 2.2 else (1.0,)
        ruler.set_major_locator(LogLocator(subs=subs, numticks=12))
        ruler.set_minor_locator(NullLocator() if decades > 3 else LogLocator(subs=tuple(range(2, 10)), numticks=50))
        ruler.set_minor_formatter(NullFormatter())
        ruler.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.10g}"))
    else:
        if whole:  # a count of modes has no fractions, and where all are equal the axis still shows some neighbours
            start, stop = min(start, middle - 2.2), max(stop, middle + 2.2)
        limits = (start, stop)
        ruler.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10], integer=whole))
    axes.set(**{f"{side}lim": limits})
    logs = ", log scale" if log else ""
    before, after = {"lower": ("← better · ", ""), "higher": ("", " · better →")}.get(column.better or "", ("", ""))
    ruler.set_label_text(f"{before}{column.title}{logs}{after}", color=svg.INK, fontsize=10.5)


def frame(axes: Axes) -> None:
    """Grid, ticks and spines as all figures have them."""
    axes.grid(True, color=svg.RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, labelcolor=svg.MUTED, labelsize=9.5)
    axes.tick_params(which="minor", length=2, color=svg.RULE)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_edgecolor(svg.MUTED)
        spine.set_linewidth(0.8)


def _front(axes: Axes, scatter: Scatter) -> np.ndarray:
    """The front as a staircase: what a model must pass to stand on it; returns the boxes that it takes."""
    corners = sorted((p.x.value, p.y.value) for p in scatter.drawn if p.index in scatter.front)
    if len(corners) < 2:
        return _NOTHING
    # Between two corners nothing is attained that is as good as both: the step goes over the worse side.
    steps = corners[:1]
    for (x0, y0), (x1, y1) in pairwise(corners):
        steps += [(x1, y0) if scatter.x.better == "lower" else (x0, y1), (x1, y1)]
    axes.plot(*zip(*steps, strict=True), color=svg.MUTED, linewidth=1.2, alpha=0.55, zorder=1.8)
    return labels.along(axes.transData.transform(steps))


def _floors(axes: Axes, points: Sequence[Point]) -> list[np.ndarray]:
    """Real data that has no sampling time stands as a line at its value; returns the boxes of lines and labels."""
    boxes = []
    for point in points:
        low, high = axes.get_ylim()
        inside = low <= point.y.value <= high
        where = point.y.value if inside else min(max(point.y.value, low), high)
        axes.axhline(where, color=svg.MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1.5)
        words = point.row.label if inside else f"{point.row.label}: {point.y.text}, outside"
        text = axes.annotate(
            plain(words, 40), (1, where), xycoords=("axes fraction", "data"), xytext=(-2, 3),
            textcoords="offset points", ha="right", va="bottom", color=svg.MUTED, fontsize=9, parse_math=False,
        )  # fmt: skip
        left, right = axes.get_xlim()
        line = axes.transData.transform([(left, where), (right, where)])
        boxes += [np.array(text.get_window_extent().extents)[None], labels.along(line)]
    return boxes


def _point(axes: Axes, point: Point, of_family: dict[str, Mark]) -> list[Any]:
    style = marker(point.row.group, point.row.family, of_family)
    behind = point.row.group == "control"
    x, y = point.x, point.y
    left, right = x.value - max(x.low, _tiny(x, axes.get_xscale())), x.high - x.value
    down, up = y.value - max(y.low, _tiny(y, axes.get_yscale())), y.high - y.value
    axes.errorbar(
        x.value, y.value, xerr=[[max(left, 0)], [max(right, 0)]], yerr=[[max(down, 0)], [max(up, 0)]],
        fmt="none", ecolor=style["markeredgecolor"], elinewidth=1.1, capsize=0, zorder=2 if behind else 3,
    )  # fmt: skip
    return list(axes.plot(x.value, y.value, linestyle="none", zorder=3 if behind else 4, clip_on=False, **style))


def _tiny(cell: Cell, scale: str) -> float:
    """The least that can be drawn: on a log axis an interval that reaches zero ends far below the frame."""
    return cell.value * 1e-6 if scale == "log" else -math.inf


def _names(axes: Axes, points: Sequence[Point], taken: np.ndarray, address: Callable[[Row], str]) -> list[svg.Link]:
    """The points' names; models choose their places first, from left to right."""
    places = axes.transData.transform([(point.x.value, point.y.value) for point in points])
    texts = names(
        axes,
        [point.row.label for point in points],
        [(point.x.value, point.y.value) for point in points],
        [svg.INK if point.row.group == "model" else svg.MUTED for point in points],
        order=sorted(range(len(points)), key=lambda i: (points[i].row.group != "model", *places[i])),
        bars=np.array([box for point in points for box in _bars(axes, point)]),
        taken=taken,
    )
    return [
        svg.Link(artist=text, address=address(point.row), tip=f"{point.row.name}, {point.row.family}")
        for text, point in zip(texts, points, strict=True)
    ]


def names(
    axes: Axes, words: Sequence[str], points: Sequence[tuple[float, float]], colours: Sequence[str], *,
    order: list[int] | None = None, bars: np.ndarray = _NOTHING, taken: np.ndarray = _NOTHING,
) -> list[Text]:  # fmt: skip
    """Writes names beside points, where they cover least, with a line to one that stands far off.

    Args:
        points: in the units of the axes.
        order, bars, taken: as `labels.place` takes them.
    """
    texts = [
        axes.text(
            0, 0, plain(word, LABEL_LENGTH), fontsize=9.5, parse_math=False, va="center_baseline", color=colour,
            zorder=6,
        )
        for word, colour in zip(words, colours, strict=True)
    ]  # fmt: skip
    places = axes.transData.transform(points)
    boxes = labels.place(
        places,
        np.array([text.get_window_extent().width for text in texts]),
        list(range(len(texts))) if order is None else order,
        frame=np.array(axes.get_window_extent().extents),
        bars=bars,
        taken=taken,
    )
    back = axes.transData.inverted()
    for text, where, box in zip(texts, places, boxes, strict=True):
        text.set_position(tuple(back.transform((box[0], (box[1] + box[3]) / 2))))
        end = np.clip(where, box[:2], box[2:])
        if math.dist(where, end) > labels.FAR:
            (from_x, from_y), (to_x, to_y) = back.transform([where, end])
            axes.plot([from_x, to_x], [from_y, to_y], color=svg.MUTED, linewidth=0.6, zorder=2.5, clip_on=False)
    return texts


def _bars(axes: Axes, point: Point) -> list[tuple[float, float, float, float]]:
    """The boxes of a point's two intervals inside the frame."""
    (x0, x1), (y0, y1) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
    x, y = point.x, point.y
    ends = [
        (max(x.low, x0), y.value),
        (min(x.high, x1), y.value),
        (x.value, max(y.low, y0)),
        (x.value, min(y.high, y1)),
    ]
    left, right, down, up = axes.transData.transform(ends)
    return [(left[0], left[1] - 1, right[0], right[1] + 1), (down[0] - 1, down[1], up[0] + 1, up[1])]
