"""Figures as SVG and PDF: what matplotlib draws, made plain, small, equal every time, and fit for a page.

A figure is drawn in the colours that the stylesheet has on light paper. What matplotlib writes is rewritten: style
attributes become plain ones, which a content-security policy without inline styles allows; text stays text; unused
names go, coordinates are rounded, nothing depends on the time or the machine. `inline` turns the colours into the
stylesheet's variables, so that one figure serves light and dark.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.figure import Figure as Canvas

from leaderboard.typography import plain

INK, MUTED, RULE, CONTROL = "#1c1e21", "#565c66", "#d9dce1", "#6b7280"
FAMILIES = ("#0a66b8", "#c2410c", "#0f7a5a", "#a3267e", "#8a6100", "#5b45c9", "#b3212f", "#0b7285")
VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", CONTROL: "--control"} | {
    colour: f"--family-{index}" for index, colour in enumerate(FAMILIES)
}
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
_COLOUR = re.compile(r' (fill|stroke)="(#[0-9a-f]{6})"')
_TEXTS = {f"{_SVG}{tag}" for tag in ("text", "tspan", "title", "desc")}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawn figure as files of their own."""

    svg: str
    pdf: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Link:
    """Something drawn that leads to an address (from `figures/`), with what a pointer over it says."""

    artist: Artist
    address: str
    tip: str


@contextmanager
def drawing() -> Iterator[None]:
    """matplotlib's own defaults and ours, whatever the user's configuration says."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a name may be in any script
        yield


def finish(canvas: Canvas, name: str, title: str, description: str, links: Sequence[Link] = ()) -> Figure:
    """The canvas as SVG and PDF; `name` is the prefix of all names inside, `title` and `description` say it in words.

    A PDF is made to be taken away, so that its links would lead nowhere; it has none.
    """
    pdf = io.BytesIO()
    with drawing():
        _without_background(canvas)
        canvas.savefig(pdf, format="pdf", metadata={"Creator": None, "Producer": None, "CreationDate": None})
    for index, link in enumerate(links):
        link.artist.set_url(str(index))
    root = _root(canvas, f"{name}-")
    for element in root.iter(f"{_SVG}a"):
        link = links[int(element.get("href", ""))]
        element.set("href", link.address)
        tip = ElementTree.Element(f"{_SVG}title")
        tip.text = plain(link.tip, 300)
        element.insert(0, tip)
    for tag, text in (("desc", description), ("title", title)):
        words = ElementTree.Element(f"{_SVG}{tag}")
        words.set("id", f"{name}-{tag}")
        words.text = plain(text, 5000)
        root.insert(0, words)
    root.set("role", "group")
    root.set("aria-labelledby", f"{name}-title")
    root.set("aria-describedby", f"{name}-desc")
    return Figure(svg=_text(root), pdf=pdf.getvalue())


def ornament(canvas: Canvas, name: str) -> str:
    """A small drawing that says nothing which does not stand beside it in words, as inline SVG."""
    _without_background(canvas)
    root = _root(canvas, f"{name}-")
    root.set("aria-hidden", "true")
    return inline(_text(root))


def inline(text: str) -> str:
    """The SVG as it stands in a page: its colours are those of the page, light or dark."""
    return _COLOUR.sub(
        lambda match: f' {match[1]}="var({VARIABLES[match[2]]})"' if match[2] in VARIABLES else match[0], text
    )


def _without_background(canvas: Canvas) -> None:
    for background in (canvas.patch, *(axes.patch for axes in canvas.axes)):
        background.set_visible(False)


def _root(canvas: Canvas, prefix: str) -> ElementTree.Element:
    """The canvas as an SVG element that can stand in a page; `prefix` makes its names its own."""
    buffer = io.BytesIO()
    with drawing():
        canvas.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
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
    root.set("font-family", "DejaVu Sans, Verdana, sans-serif")
    root.set("viewBox", root.get("viewBox", ""))
    root.set("width", root.get("width", "").removesuffix("pt"))
    root.set("height", root.get("height", "").removesuffix("pt"))
    return root


def _references(value: str) -> list[str]:
    """Names that an attribute points to, as `#name` or `url(#name)`."""
    found = re.findall(r"url\(#([^)]+)\)", value)
    return found or ([value[1:]] if re.fullmatch(r"#[mp][0-9a-f]{10}", value) else [])


def _plain_attributes(element: ElementTree.Element) -> None:
    """Style to presentation attributes, coordinates to two decimals."""
    for declaration in element.attrib.pop("style", "").split(";"):
        key, colon, value = declaration.partition(":")
        if not colon:
            continue
        key, value = key.strip(), value.strip()
        if key == "font":  # the family is the page's; only the size is the figure's
            element.set("font-size", value.partition("px")[0].split()[-1])
        elif key != "font-family":
            element.set(key, value.removesuffix("px") if key == "font-size" else value)
    reference = element.attrib.pop(f"{_XLINK}href", None)
    if reference is not None:
        element.set("href", reference)
    element.attrib.pop("target", None)
    for key, value in list(element.attrib.items()):
        if key in ("d", "transform", "x", "y", "width", "height", "viewBox"):
            element.set(key, _NUMBER.sub(lambda match: f"{round(float(match[0]), 2) + 0.0:g}", value))


def _text(root: ElementTree.Element) -> str:
    ElementTree.register_namespace("", _SVG.strip("{}"))
    for element in root.iter():
        if element.tag not in _TEXTS:
            element.text = element.tail = None
    found: Any = ElementTree.tostring(root, encoding="unicode")
    return str(found)
