"""Training curves as small SVG drawings: a path in numbers, which a template writes without any drawing library.

Symbols: a drawing is `WIDTH` by `HEIGHT`, its frame from (LEFT, TOP) to (RIGHT, BOTTOM), y downward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from genbench.record import Curve
from leaderboard.typography import count, fixed, plain

WIDTH, HEIGHT = 360, 180
LEFT, RIGHT, TOP, BOTTOM = 52.0, 352.0, 8.0, 152.0
_BINS = 120  # of each the lowest and the highest point is drawn
_LOG = 50.0  # a curve of positive numbers that falls or grows by more has a log axis


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One curve: the path, what is written at the ends of the axes, and the whole in a sentence."""

    name: str
    path: str
    low: str
    high: str
    first: str
    last: str
    words: str


def drawing(name: str, curve: Curve) -> Drawing | None:
    """None for a curve without a line to draw."""
    points = list(zip(curve.steps, curve.values, strict=False))
    if len(points) < 2:
        return None
    values = [value for _, value in points]
    low, high = min(values), max(values)
    log = low > 0 and high / low > _LOG
    bottom, top = (math.log(low), math.log(high)) if log else (low, high)
    left, right = min(curve.steps), max(curve.steps)
    if not math.isfinite(top - bottom) or right == left or right - left > 10**15:
        return None
    places = [
        (
            LEFT + (RIGHT - LEFT) * (step - left) / (right - left),
            BOTTOM - (BOTTOM - TOP) * ((math.log(value) if log else value) - bottom) / (top - bottom or 1.0),
        )
        for step, value in sorted(points)
    ]
    scale = ", log scale" if log else ""
    ends = f"from {short(points[0][1])} at step {count(left)} to {short(points[-1][1])} at step {count(right)}"
    return Drawing(
        name=plain(name, 60),
        path="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in _thinned(places)),
        low=short(low),
        high=short(high),
        first=count(left),
        last=count(right),
        words=f"{plain(name, 60)}{scale}: {ends}; lowest {short(low)}, highest {short(high)}",
    )


def _thinned(places: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most two points for each bin, in their order, so that no spike is lost."""
    if len(places) <= 2 * _BINS:
        return places
    bins: dict[int, list[tuple[float, float]]] = {}
    for place in places:
        bins.setdefault(int((place[0] - LEFT) / (RIGHT - LEFT) * _BINS), []).append(place)
    return [
        place
        for inside in bins.values()
        for place in sorted({min(inside, key=lambda one: one[1]), max(inside, key=lambda one: one[1])})
    ]


def short(value: float) -> str:
    """Three digits."""
    if value == 0 or not 1e-4 <= abs(value) < 1e5:
        return fixed(value, 0)
    return fixed(value, max(0, 2 - math.floor(math.log10(abs(value)))))
