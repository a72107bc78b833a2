"""The site that every kind of page is made from: sections, addresses, pictures, figures, each computed once.

An address is a path from the root of the site, such as `models/vae.html`; a template puts `root` before it, so that
every link is relative and a site opens from any folder. A kind of page is a module of `leaderboard.pages` with a
function `pages(site)` that yields what `site.render` returns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from genbench import record
from genbench.record import Record
from leaderboard import figures, svg
from leaderboard.load import Collection, Picture
from leaderboard.slugs import slug
from leaderboard.table import Row, Section, families, grouped, sections
from leaderboard.typography import compact, count, duration, plain, plural, shortened, spaced

HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Page:
    """A text file of the site: its path from the root with forward slashes, its content."""

    path: str
    html: str


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A record's picture as a page shows it: its address and its size in pixels."""

    path: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure: its name, what is inlined into a page, and in words what it leaves out."""

    name: str
    inline: str
    note: str = ""

    @property
    def files(self) -> tuple[tuple[str, str], ...]:
        """Kind and address of its downloads."""
        return tuple((kind, f"figures/{self.name}.{kind}") for kind in ("svg", "pdf"))


class Plot(Protocol):
    """What is drawn: `facts` have a `repr` that says all of it but the look of the `families`; `note` what is not."""

    @property
    def families(self) -> Sequence[str]: ...

    @property
    def facts(self) -> object: ...

    @property
    def note(self) -> str: ...


P = TypeVar("P", bound=Plot)
T = TypeVar("T")
Marks: TypeAlias = dict[str, figures.Mark]
Address: TypeAlias = Callable[[T], str]


class Site:
    """Everything that pages need of a collection of records.

    `keep(path, data)` takes every file that is not a page: pictures, figures, downloads, records.
    `known(name, key)` gives the SVG and the PDF of a figure that an earlier build drew from the same facts, or None.
    """

    def __init__(
        self,
        collection: Collection,
        keep: Callable[[str, bytes], None],
        known: Callable[[str, str], tuple[str, bytes] | None] = lambda name, key: None,
        navigation: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.navigation = navigation
        self.collection = collection
        self.records: tuple[Record, ...] = collection.records
        self.sections: list[Section] = sections(self.records)
        self.swept: list[Section] = sections(self.records, "point")
        self.families: list[str] = families(self.sections)
        self.marks = figures.marks(self.families)
        self.figure_keys: dict[str, str] = {}
        self.keep, self._known = keep, known
        self._pictures: dict[tuple[str, str], Shown | str] = {}
        self._figures: dict[str, Drawn] = {}
        self._slugs: dict[str, str] = {}
        for section in self.sections:  # two contents under one name are two datasets
            own = slug(section.title)
            self._slugs[section.anchor] = own if own not in self._slugs.values() else f"{own}-{section.anchor}"
        self._environment = _environment()
        self._environment.globals |= {"site": self, "grouped": grouped}

    # ------------------------------------------------------------------------------------------ addresses

    def dataset(self, section: Section) -> str:
        return f"datasets/{self._slugs[section.anchor]}.html"

    def download(self, section: Section, suffix: str) -> str:
        return f"downloads/{self._slugs[section.anchor]}.{suffix}"

    def family(self, name: str) -> str:
        return f"families/{slug(name)}.html"

    def model(self, label: str) -> str:
        return f"models/{slug(label)}.html"

    def run(self, one: Record) -> str:
        return f"runs/{one.key}.html"

    def raw(self, one: Record) -> str:
        return f"records/{one.key}.json"

    def figure_name(self, section: Section, *what: str) -> str:
        """No two figures share one: no part holds the line between them."""
        return "_".join((self._slugs[section.anchor], *what))

    # ------------------------------------------------------------------------------------------ pictures, figures

    def picture(self, one: Record, asset: str = "samples") -> Shown | str:
        """A record's picture, which then is part of the site; or in words why there is none to show."""
        key = (one.key, asset)
        if key not in self._pictures:
            found = self.collection.picture(one, asset)
            if isinstance(found, Picture):
                path = f"assets/{found.name}"
                self.keep(path, found.data)
                self._pictures[key] = Shown(path=path, width=found.width, height=found.height)
            else:
                self._pictures[key] = found
        return self._pictures[key]

    def figure(
        self, name: str, plot: P, title: str, draw: Callable[[P, str, str, Marks, Address[T]], svg.Figure],
        address: Callable[[T], str],
    ) -> Drawn:  # fmt: skip
        """A figure, which then is part of the site as SVG and PDF; drawn only if an earlier build has not drawn it.

        Args:
            name: unique in the site, made of a-z, 0-9, - and _; the prefix of all names inside the SVG.
            draw: called with the plot, the name, the title, the families' marks, and where something drawn leads to.
            address: from the root of the site.
        """
        facts = title, [self.marks.get(family) for family in plot.families], plot.facts
        key = hashlib.sha256(repr(facts).encode("utf-8", "surrogatepass")).hexdigest()
        if name not in self._figures:
            found = self._known(name, key)
            if found is None:
                drawn = draw(plot, name, title, self.marks, lambda what: f"../{address(what)}")
                found = drawn.svg, drawn.pdf
            self.figure_keys[name] = key
            self.keep(f"figures/{name}.svg", found[0].encode())
            self.keep(f"figures/{name}.pdf", found[1])
            self._figures[name] = Drawn(name=name, inline=svg.inline(found[0]), note=plot.note)
        assert self.figure_keys[name] == key, f"two figures are called {name}"
        return self._figures[name]

    # ------------------------------------------------------------------------------------------ pages

    def render(self, path: str, template: str, **context: Any) -> Page:
        """A page from a template, with `site`, `root` and `path` beside the given context.

        A template gets foreign text escaped and harmless to print. `svg(drawn)` is the markup of a figure.
        """
        root = "../" * path.count("/")

        def inline(drawn: Drawn) -> Markup:
            # markup that svg.py wrote through an XML serializer; its links lead from a folder of the site
            return Markup(drawn.inline if root else drawn.inline.replace(' href="../', ' href="'))

        words = {"root": root, "path": path, "svg": inline, **context}
        return Page(path=path, html=self._environment.get_template(template).render(words))

    @cached_property
    def newest(self) -> list[Record]:
        """All records, the newest first."""
        return sorted(self.records, key=lambda one: (one.created, one.key), reverse=True)

    @cached_property
    def footer(self) -> dict[str, Any]:
        """What stands under every page: number and dates of the records, what wrote them, the oldest one's age.

        The age is counted to the newest record and not to the present, so that the same records make the same bytes.
        """
        shown = sorted(one.created for section in self.sections for row in section.rows for one in row.records)
        if not shown:
            return {"records": 0}
        first, last = (
            datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) for text in (shown[0], shown[-1])
        )
        environments = [one.environment for one in self.records]
        return {
            "records": len(self.records),
            "since": shown[0][:10],
            "until": shown[-1][:10],
            "days": (last - first).days,
            "versions": sorted({plain(str(one.get("genbench") or "unknown"), 40) for one in environments}),
            "commits": sorted({plain(str(one["commit"]), 13) for one in environments if one.get("commit")}),
        }

    def row_of(self, one: Record) -> tuple[Section, Row] | None:
        """The section and the row that a record stands in; None for one that newer records replaced."""
        return self._places.get(one.key)

    @cached_property
    def _places(self) -> dict[str, tuple[Section, Row]]:
        return {
            one.key: (section, row)
            for section in self.sections
            for row in section.rows
            for one in (*row.companions, *row.records)
        }

    def write_records(self) -> None:
        """Every record, as it was validated."""
        for one in self.records:
            self.keep(self.raw(one), record.encode(one))


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: plain(value) if type(value) is str else value,
    )
    environment.filters |= {
        "compact": compact,
        "count": count,
        "duration": duration,
        "plural": plural,
        "shortened": shortened,
        "spaced": spaced,
    }
    return environment
