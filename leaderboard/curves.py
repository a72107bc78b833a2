"""Training curves as small drawings: lines in numbers, which need no drawing library, in a page, as SVG and as PDF.

Symbols: a drawing is `WIDTH` by `HEIGHT`, its frame from (LEFT, TOP) to (RIGHT, BOTTOM), y downward. In a file each
stands below its title of `TITLE` points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from genbench.record import Curve
from leaderboard import svg
from leaderboard.typography import count, fixed, plain

WIDTH, HEIGHT, TITLE = 360, 180, 24
LEFT, RIGHT, TOP, BOTTOM = 52.0, 352.0, 8.0, 152.0
_BINS = 120  # of each the lowest and the highest point is drawn
_LOG = 50.0  # a curve of positive numbers that falls or grows by more has a log axis


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One curve: its line, what is written at the ends of the axes, and the whole in a sentence."""

    name: str
    line: tuple[tuple[float, float], ...]
    low: str
    high: str
    first: str
    last: str
    words: str

    @property
    def path(self) -> Markup:
        """Markup, which a page does not cut short as it does a foreign text."""
        return Markup("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in self.line))

    @property
    def texts(self) -> list[tuple[float, float, str, str]]:
        """Where a text stands, whether its start or its end stands there, the text."""
        return [
            (LEFT - 6, TOP + 5, "end", self.high),
            (LEFT - 6, BOTTOM, "end", self.low),
            (LEFT, BOTTOM + 16, "start", self.first),
            (RIGHT, BOTTOM + 16, "end", f"step {self.last}"),
        ]


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
        line=tuple(_thinned(places)),
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


def as_svg(drawings: Sequence[Drawing], title: str) -> str:
    """All curves of a run, one below the other."""
    height = len(drawings) * (TITLE + HEIGHT)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    font = f'font-family="DejaVu Sans, Verdana, sans-serif" font-size="11" fill="{svg.MUTED}"'
    parts = [f"{head} {font}><title>{escape(title)}</title>"]
    for place, one in enumerate(drawings):
        parts.append(f'<g transform="translate(0 {place * (TITLE + HEIGHT) + TITLE})"><desc>{escape(one.words)}</desc>')
        parts.append(f'<text x="{LEFT}" y="-6" fill="{svg.INK}">{escape(one.name)}</text>')
        parts.append(f'<path fill="none" stroke="{svg.MUTED}" d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}"/>')
        parts.append(f'<path fill="none" stroke="{svg.FAMILIES[0]}" stroke-width="1.5" d="{one.path}"/>')
        parts += [f'<text x="{x}" y="{y}" text-anchor="{side}">{escape(text)}</text>' for x, y, side, text in one.texts]
        parts.append("</g>")
    return "".join(parts) + "</svg>\n"


def as_pdf(drawings: Sequence[Drawing], title: str) -> bytes:
    """The same, a page for each curve."""
    pages = [4 + 2 * place for place in range(len(drawings))]
    kids = " ".join(f"{page} 0 R" for page in pages)
    shared = f"/MediaBox [0 0 {WIDTH} {TITLE + HEIGHT}] /Resources << /Font << /F 3 0 R >> >>"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} {shared} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for page, one in zip(pages, drawings, strict=True):
        frame = _strokes([(LEFT, TOP), (LEFT, BOTTOM), (RIGHT, BOTTOM)], svg.MUTED, 1.0)
        words = [_words(LEFT, -6, "start", one.name, svg.INK), *(_words(*text, svg.MUTED) for text in one.texts)]
        drawn = "\n".join([frame, _strokes(one.line, svg.FAMILIES[0], 1.5), *words])
        objects.append(f"<< /Type /Page /Parent 2 0 R /Contents {page + 1} 0 R >>")
        objects.append(f"<< /Length {len(drawn.encode('cp1252'))} >>\nstream\n{drawn}\nendstream")
    objects.append(f"<< /Title ({_quoted(title)}) >>")
    written, starts = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, start=1):
        starts.append(len(written))
        written += f"{number} 0 obj\n{text}\nendobj\n".encode("cp1252")
    table = "".join(f"{start:010d} 00000 n \n" for start in starts)
    size = len(objects) + 1
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R /Info {len(objects)} 0 R >>\nstartxref\n{len(written)}\n%%EOF\n"
    return written + f"xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode()


def _strokes(line: Sequence[tuple[float, float]], colour: str, width: float) -> str:
    first, *others = [f"{x:.1f} {HEIGHT - y:.1f}" for x, y in line]
    return f"{_rgb(colour)} RG {width} w 1 j {first} m " + " ".join(f"{place} l" for place in others) + " S"


def _words(x: float, y: float, side: str, text: str, colour: str) -> str:
    shown = _latin(text)
    width = 11 * sum(0.278 if letter in " .,il" else 0.556 for letter in shown)  # of Helvetica, as far as numbers need
    start = x - width if side == "end" else x
    return f"BT /F 11 Tf {_rgb(colour)} rg {start:.1f} {HEIGHT - y:.1f} Td ({_quoted(shown)}) Tj ET"


def _rgb(colour: str) -> str:
    return " ".join(f"{int(colour[i : i + 2], 16) / 255:.3f}" for i in (1, 3, 5))


def _latin(text: str) -> str:
    """The text in the letters of the font."""
    simple = text.replace("\u2212", "-").replace("\u202f", " ")
    return simple.encode("cp1252", "replace").decode("cp1252")


def _quoted(text: str) -> str:
    return _latin(text).replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
