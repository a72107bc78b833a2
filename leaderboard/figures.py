"""The trilemma as inline SVG: quality, speed and diversity in three scatters, each point with both intervals.

matplotlib draws, and what it writes is rewritten for the page: colours become the stylesheet's variables, so that one
figure serves light and dark; style attributes become plain ones, which a content-security policy without inline
styles allows; text stays text; unused names go, coordinates are rounded, nothing depends on the time or the machine.
Families differ in colour and in marker, and every point carries its name: a reader needs neither colour nor script.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from matplotlib.transforms import Bbox

from genbench.record import Axis
from leaderboard.columns import Column
from leaderboard.table import Cell, Heading, Row, Section
from leaderboard.typography import plain, plural

WIDTH, HEIGHT = 400, 330  # CSS pixels
COLOURS = 8  # --family-0 .. --family-7 in the stylesheet
MARKERS = ("o", "s", "^", "D", "v", "P", "p", "X", "<", "h", ">")
_INK, _MUTED, _RULE, _CONTROL = "#010101", "#020202", "#030303", "#040404"
_VARIABLES = {  # what stands in for a variable while matplotlib draws, the variable, its value outside the page
    _INK: ("--ink", "#1c1e21"),
    _MUTED: ("--muted", "#5a6069"),
    _RULE: ("--rule", "#d5d9de"),
    _CONTROL: ("--control", "#6b7280"),
} | {f"#0500{index:02x}": (f"--family-{index}", "#1c1e21") for index in range(COLOURS)}
_RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "genbench",
    "svg.id": None,
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "axes.unicode_minus": True,
    "path.simplify": True,
}
_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}"
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_LABEL_LENGTH = 26

PAIRS: tuple[tuple[Axis, Axis], ...] = (("speed", "quality"), ("speed", "diversity"), ("diversity", "quality"))


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One scatter: the SVG, and in words what it leaves out."""

    svg: str
    left_out: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How a family is drawn: the number of its colour, its marker."""

    colour: int
    marker: str


@dataclass(frozen=True, kw_only=True)
class _Point:
    row: Row
    x: Cell
    y: Cell


def marks(families: Sequence[str]) -> dict[str, Mark]:
    """A colour and a marker for each family; they only repeat together after 88 families."""
    return {
        family: Mark(colour=index % COLOURS, marker=MARKERS[index % len(MARKERS)])
        for index, family in enumerate(families)
    }


def trilemma(section: Section, of_family: dict[str, Mark]) -> list[Panel]:
    """Up to three scatters of a dataset: those whose two axes both have numbers for the same models."""
    panels = []
    for axes in PAIRS:
        across, up = (section.headline(axis) for axis in axes)
        if across is None or up is None:
            continue
        points = [_Point(row=row, x=row.cells[across], y=row.cells[up]) for row in section.rows]
        if any(_drawable(point) and point.row.group == "model" for point in points):
            panels.append(
                _panel(
                    section, points, section.headings[across], section.headings[up], f"{axes[1]}-{axes[0]}", of_family
                )
            )
    return panels


def _drawable(point: _Point) -> bool:
    return point.x.ok and point.y.ok


def legend(section: Section, of_family: dict[str, Mark]) -> list[tuple[str, str]]:
    """The section's families, controls and real data: name, and the marker as a small SVG."""
    rows: dict[str, Row] = {}
    for row in section.rows:
        rows.setdefault({"reference": "real data", "control": "control"}.get(row.group, row.family), row)
    last = {"control": 1, "real data": 2}
    found: list[tuple[str, str]] = []
    for name in sorted(rows, key=lambda one: (last.get(one, 0), one)):
        style = _style(rows[name], of_family)
        with _drawing():
            figure = Figure(figsize=(16 / 72, 16 / 72), dpi=72)
            axes = figure.add_axes((0, 0, 1, 1))
            axes.axis("off")
            axes.set(xlim=(-1, 1), ylim=(-1, 1))
            axes.plot(0, 0, linestyle="none", **_marker(style))
        root = _root(figure, f"{section.anchor}-m{len(found)}-")
        root.set("aria-hidden", "true")
        found.append((name, _text(root)))
    return found


@dataclass(frozen=True, kw_only=True)
class _Style:
    colour: str
    marker: str
    filled: bool
    size: float


def _style(row: Row, of_family: dict[str, Mark]) -> _Style:
    if row.group == "reference":
        return _Style(colour=_INK, marker="*", filled=True, size=11.0)
    if row.group == "control":
        return _Style(colour=_CONTROL, marker="o", filled=False, size=5.5)
    mark = of_family[row.family]
    return _Style(colour=f"#0500{mark.colour:02x}", marker=mark.marker, filled=True, size=7.5)


def _marker(style: _Style) -> dict[str, Any]:
    return {
        "marker": style.marker,
        "markersize": style.size,
        "markerfacecolor": style.colour if style.filled else "none",
        "markeredgecolor": style.colour,
        "markeredgewidth": 0.0 if style.filled else 1.3,
    }


def _panel(
    section: Section, points: list[_Point], across: Heading, up: Heading, name: str, of_family: dict[str, Mark]
) -> Panel:
    x, y = across.column, up.column
    drawn = [point for point in points if _drawable(point)]
    with _drawing():
        figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=72)
        FigureCanvasAgg(figure)  # measures the labels
        axes = figure.add_axes((0.135, 0.14, 0.845, 0.83))
        _frame(axes, x, y, drawn)
        floors = _floors(axes, points, x, y)
        for point in drawn:
            _draw(axes, point, of_family)
        _label(axes, drawn, floors)
        root = _root(figure, f"{section.anchor}-{name}-")
    title = f"{y.heading} against {x.heading} on {section.title}"
    described = "; ".join(
        f"{point.row.name}: {x.heading} {point.x.text} {point.x.interval}, "
        f"{y.heading} {point.y.text} {point.y.interval}"
        for point in drawn
    )
    _describe(
        root, f"{section.anchor}-{name}", title, f"{x.title}: {x.direction}. {y.title}: {y.direction}. {described}."
    )
    for link in root.iter(f"{_SVG}a"):
        row = next(point.row for point in drawn if f"#{point.row.anchor}" == link.get("href"))
        tip = ElementTree.Element(f"{_SVG}title")
        tip.text = f"{row.name}, {row.family}"
        link.insert(0, tip)
    left_out = [point.row.name for point in points if not _drawable(point) and point.row.group == "model"]
    words = f"{plural(len(left_out), 'model')} without both numbers: {', '.join(left_out)}." if left_out else ""
    return Panel(svg=_text(root), left_out=words)


def _frame(axes: Axes, x: Column, y: Column, points: list[_Point]) -> None:
    """Scales, limits, ticks and axis labels. Limits follow the values: a wide interval may leave the frame."""
    for column, cells, axis, is_x in (
        (x, [point.x for point in points], axes.xaxis, True),
        (y, [point.y for point in points], axes.yaxis, False),
    ):
        values = [cell.value for cell in cells]
        log = column.log and min(values) > 0
        forward = math.log10 if log else float
        ends = [forward(value) for value in values]
        middle, spread = (min(ends) + max(ends)) / 2, max(ends) - min(ends)
        spread = max(spread, 0.3 if log else abs(middle) * 0.1, 1e-9)
        reach = 0.35 * spread  # how much of an interval beyond the outermost value still widens the frame
        lows = [forward(cell.low) for cell in cells if not log or cell.low > 0]
        highs = [forward(cell.high) for cell in cells]
        start = max(min([*lows, *ends]), middle - spread / 2 - reach) - 0.09 * spread
        stop = min(max([*highs, *ends]), middle + spread / 2 + reach) + 0.09 * spread
        if log:
            limits = (10**start, 10**stop)
            (axes.set_xscale if is_x else axes.set_yscale)("log")
            decades = stop - start
            subs = (1.0, 2.0, 5.0) if decades < 2.2 else (1.0,)
            axis.set_major_locator(LogLocator(subs=subs, numticks=12))
            axis.set_minor_locator(NullLocator() if decades > 5 else LogLocator(subs=tuple(range(2, 10)), numticks=50))
            axis.set_minor_formatter(NullFormatter())
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.10g}"))
        else:
            limits = (start, stop)
            axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        (axes.set_xlim if is_x else axes.set_ylim)(*limits)
        scale = ", log scale" if log else ""
        before, after = {"lower": ("← better · ", ""), "higher": ("", " · better →")}[column.better or "higher"]
        axis.set_label_text(f"{before}{column.title}{scale}{after}", color=_INK, fontsize=10.5)
    axes.grid(True, color=_RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, labelcolor=_MUTED, labelsize=9.5)
    axes.tick_params(which="minor", length=2, color=_RULE)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_edgecolor(_MUTED)
        spine.set_linewidth(0.8)


def _floors(axes: Axes, points: list[_Point], x: Column, y: Column) -> list[Bbox]:
    """Real data that has no sampling time stands as a line at its value; returns where the lines are labelled."""
    boxes = []
    for point in points:
        if point.row.group == "reference" and point.y.ok and not point.x.ok:
            low, high = axes.get_ylim()
            inside = low <= point.y.value <= high
            where = point.y.value if inside else min(max(point.y.value, low), high)
            axes.axhline(where, color=_MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1.5)
            words = point.row.label if inside else f"{point.row.label}: {point.y.text}, outside"
            text = axes.annotate(
                plain(words, 40), (1, where), xycoords=("axes fraction", "data"), xytext=(-2, 3),
                textcoords="offset points", ha="right", va="bottom", color=_MUTED, fontsize=9, parse_math=False,
            )  # fmt: skip
            boxes.append(text.get_window_extent())
    return boxes


def _draw(axes: Axes, point: _Point, of_family: dict[str, Mark]) -> None:
    row, style = point.row, _style(point.row, of_family)
    behind = row.group == "control"
    left, right = point.x.value - max(point.x.low, _tiny(point.x, axes.get_xscale())), point.x.high - point.x.value
    down, up = point.y.value - max(point.y.low, _tiny(point.y, axes.get_yscale())), point.y.high - point.y.value
    axes.errorbar(
        point.x.value, point.y.value, xerr=[[max(left, 0)], [max(right, 0)]], yerr=[[max(down, 0)], [max(up, 0)]],
        fmt="none", ecolor=style.colour, elinewidth=1.1, capsize=0, zorder=2 if behind else 3,
    )  # fmt: skip
    (line,) = axes.plot(
        point.x.value, point.y.value, linestyle="none", zorder=3 if behind else 4, clip_on=False, **_marker(style)
    )
    line.set_url(f"#{row.anchor}")


def _tiny(cell: Cell, scale: str) -> float:
    """The least that can be drawn: on a log axis an interval that reaches zero ends far below the frame."""
    return cell.value * 1e-6 if scale == "log" else -math.inf


def _label(axes: Axes, points: list[_Point], taken: list[Bbox]) -> None:
    """Names beside the points: each takes the place, of many around its point, that covers least.

    Placed one after the other, then three times reconsidered with all the others in place. Boxes are rows
    (x0, y0, x1, y1) in pixels.
    """
    frame = np.array([axes.get_window_extent().extents])
    places = [axes.transData.transform((point.x.value, point.y.value)) for point in points]
    dots = np.array([(x - 5, y - 5, x + 5, y + 5) for x, y in places])
    bars = np.array([box for point in points for box in _bars(axes, point)])
    lines = np.array([box.extents for box in taken]).reshape(-1, 4)
    texts = [
        axes.text(
            0, 0, plain(point.row.label, _LABEL_LENGTH), fontsize=9.5, parse_math=False, va="center_baseline",
            color=_INK if point.row.group == "model" else _MUTED, url=f"#{point.row.anchor}", zorder=6,
        )
        for point in points
    ]  # fmt: skip
    candidates = [_around(place, text.get_window_extent().width) for place, text in zip(places, texts, strict=True)]
    # What does not move is paid for once; the other labels are added in each pass. All else equal, right is best.
    fixed = [
        3.0 * _touched(boxes, dots)
        + 3.0 * _touched(boxes, lines)
        + _touched(boxes, bars)
        + 4.0 * (_areas(boxes) - _overlaps(boxes, frame).sum(axis=1))
        + 0.8 * _distances(boxes, place)
        + 0.03 * np.abs(boxes[:, 0] - place[0] - 8.0)
        + 0.10 * np.abs((boxes[:, 1] + boxes[:, 3]) / 2 - place[1])
        for boxes, place in zip(candidates, places, strict=True)
    ]
    order = sorted(range(len(points)), key=lambda i: (points[i].row.group != "model", *places[i]))
    chosen: dict[int, np.ndarray] = {}
    for _ in range(4):
        for index in order:
            others = np.array([box for other, box in chosen.items() if other != index]).reshape(-1, 4)
            costs = fixed[index] + 3.0 * _touched(candidates[index], others)
            chosen[index] = candidates[index][int(np.argmin(costs.round(6)))]
    back = axes.transData.inverted()
    for index, box in chosen.items():
        texts[index].set_position(tuple(back.transform((box[0], (box[1] + box[3]) / 2))))
        end = np.clip(places[index], box[:2], box[2:])
        if math.dist(places[index], end) > 13.0:
            (from_x, from_y), (to_x, to_y) = back.transform([places[index], end])
            axes.plot([from_x, to_x], [from_y, to_y], color=_MUTED, linewidth=0.6, zorder=2.5, clip_on=False)


def _around(place: np.ndarray, width: float, height: float = 11.0) -> np.ndarray:
    """Boxes for a label around a point, on rings from near to far, `(144, 4)`."""
    distances = np.repeat([8.0, 12.0, 18.0, 26.0, 36.0, 48.0, 62.0, 78.0], 18)
    angles = np.radians(np.tile(np.arange(0, 360, 20), 8))
    x = place[0] + np.cos(angles) * (distances + width / 2)
    y = place[1] + np.sin(angles) * (distances + height / 2)
    return np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)


def _bars(axes: Axes, point: _Point) -> list[tuple[float, float, float, float]]:
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


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Common areas, `(len(boxes), len(others))`."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    sides = np.clip(high - low, 0, None)
    return np.asarray(sides[..., 0] * sides[..., 1])


def _touched(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """What each box covers of the others: their areas, and for each touched one as much as a small corner."""
    areas = _overlaps(boxes, others)
    return np.asarray((areas + 8.0 * (areas > 0)).sum(axis=1))


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def _distances(boxes: np.ndarray, place: np.ndarray) -> np.ndarray:
    """From a place to the nearest point of each box."""
    return np.asarray(np.linalg.norm(np.clip(place, boxes[:, :2], boxes[:, 2:]) - place, axis=1))


@contextmanager
def _drawing() -> Iterator[None]:
    """matplotlib's own defaults and ours, whatever the user's configuration says."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a name may be in any script
        yield


def _root(figure: Figure, prefix: str) -> ElementTree.Element:
    """The figure as an SVG element that can stand in the page; `prefix` makes its names its own."""
    buffer = io.BytesIO()
    for background in (figure.patch, *(axes.patch for axes in figure.axes)):
        background.set_visible(False)
    with _drawing():
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style"):
                parent.remove(child)
    for element in root.iter():
        _plain_attributes(element)
    used = {match for element in root.iter() for value in element.attrib.values() for match in _references(value)}
    names = {name: f"{prefix}{index}" for index, name in enumerate(sorted(used))}
    for element in root.iter():
        own = element.attrib.pop("id", None)
        if own in names:
            element.set("id", names[own])
        for key, value in element.attrib.items():
            for name in _references(value):
                value = value.replace(f"#{name}", f"#{names[name]}") if element.tag != f"{_SVG}a" else value
            element.set(key, value)
    root.attrib.pop("version", None)
    root.set("stroke-linejoin", "round")
    root.set("stroke-linecap", "butt")
    root.set("viewBox", root.get("viewBox", ""))
    root.set("width", root.get("width", "").removesuffix("pt"))
    root.set("height", root.get("height", "").removesuffix("pt"))
    return root


def _references(value: str) -> list[str]:
    """Names that an attribute points to, as `#name` or `url(#name)`."""
    found = re.findall(r"url\(#([^)]+)\)", value)
    return found or ([value[1:]] if re.fullmatch(r"#[mp][0-9a-f]{10}", value) else [])


def _plain_attributes(element: ElementTree.Element) -> None:
    """Style to presentation attributes, stand-in colours to variables, coordinates to two decimals."""
    for declaration in element.attrib.pop("style", "").split(";"):
        key, colon, value = declaration.partition(":")
        if not colon:
            continue
        key, value = key.strip(), value.strip()
        if key == "font":  # the family is the page's; only the size is the figure's
            element.set("font-size", value.partition("px")[0].split()[-1])
        elif key in ("font-family",):
            continue
        else:
            element.set(key, value.removesuffix("px") if key == "font-size" else value)
    reference = element.attrib.pop(f"{_XLINK}href", None)
    if reference is not None:
        element.set("href", reference)
    element.attrib.pop("target", None)
    for key, value in list(element.attrib.items()):
        if key in ("fill", "stroke") and value in _VARIABLES:
            name, otherwise = _VARIABLES[value]
            element.set(key, f"var({name}, {otherwise})")
        elif key in ("d", "transform", "x", "y", "width", "height", "viewBox"):
            element.set(key, _NUMBER.sub(lambda match: f"{round(float(match[0]), 2) + 0.0:g}", value))


def _describe(root: ElementTree.Element, name: str, title: str, description: str) -> None:
    for tag, text in (("desc", description), ("title", title)):
        element = ElementTree.Element(f"{_SVG}{tag}")
        element.set("id", f"{name}-{tag}")
        element.text = plain(text, 5000)
        root.insert(0, element)
    root.set("role", "group")
    root.set("aria-labelledby", f"{name}-title")
    root.set("aria-describedby", f"{name}-desc")


def _text(root: ElementTree.Element) -> str:
    ElementTree.register_namespace("", _SVG.strip("{}"))
    for element in root.iter():
        if element.tag == f"{_SVG}text" or element.tag == f"{_SVG}title" or element.tag == f"{_SVG}desc":
            continue
        element.text = element.tail = None
    found: Any = ElementTree.tostring(root, encoding="unicode")
    return str(found)
