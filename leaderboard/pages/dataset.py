"""A page for each dataset: figures, the whole table, samples side by side, what was run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from leaderboard import figures, intervals
from leaderboard.columns import AXES, Column
from leaderboard.downloads import downloads
from leaderboard.grouping import machine
from leaderboard.load import TRUST, Trust
from leaderboard.site import Drawn, Page, Site
from leaderboard.table import Front, Row, Section

EXPLAINED = 40  # rows that a front leaves out; of the others their number is said
_FORMS = {"csv": "CSV", "json": "JSON", "md": "Markdown", "tex": "LaTeX"}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A column of the page's table: the heading that it shows, and whether it is that of the best seed alone."""

    index: int
    key: str
    column: Column
    protocol: str
    further: bool  # not among the columns that stand there at first
    minimum: bool = False


@dataclass(frozen=True, kw_only=True)
class Block:
    """Neighbouring columns of one axis."""

    title: str
    further: bool
    columns: tuple[Shown, ...]


def pages(site: Site) -> Iterator[Page]:
    """`datasets/SLUG.html`, and the downloads of its table."""
    for section in site.sections:
        for suffix, data in downloads(section).items():
            site.keep(site.download(section, suffix), data)
        columns = blocks(section)
        yield site.render(
            site.dataset(section),
            "dataset.html",
            section=section,
            legend=legend(site, section),
            panels=panels(site, section),
            blocks=columns,
            width=sum(len(block.columns) for block in columns),
            fronts=[Optimal.of(section, front) for front in section.fronts if len(front.axes) == 3],
            likelihood=likelihood(site, section),
            grids=[(row, site.picture(row.records[0])) for row in section.rows],
            points=len(section.dataset.shape) == 1,
            trust={row.anchor: least(site, row) for row in section.rows},
            trusts=TRUST,
            machines={row.anchor: machine(row.records[-1]) for row in section.rows},
            forms=_FORMS,
        )


@dataclass(frozen=True, kw_only=True)
class Optimal:
    """A front in words: its rows, those that are beaten whatever the truth inside the intervals, whom it leaves out."""

    hardware: str
    axes: str
    on: tuple[Row, ...]
    beyond: tuple[Row, ...]
    left_out: tuple[tuple[Row, str], ...]
    more: int
    elsewhere: int

    @classmethod
    def of(cls, section: Section, front: Front) -> Optimal:
        return cls(
            hardware=front.hardware,
            axes=", ".join(section.headings[index].column.heading for index in front.headings),
            on=tuple(section.rows[index] for index in front.on),
            beyond=tuple(section.rows[index] for index in front.beyond),
            left_out=tuple((section.rows[index], why) for index, why in front.left_out[:EXPLAINED]),
            more=len(front.left_out[EXPLAINED:]),
            elsewhere=front.elsewhere,
        )


def blocks(section: Section) -> list[Block]:
    """The table's columns: of each axis those that stand there at first, then the others.

    Where rows have several seeds, the best seed of the headline of quality stands beside the mean; that of the other
    main columns is among the further ones.
    """
    seen: dict[str, int] = {}
    found = []
    headline = section.headline("quality")
    for axis, title in AXES.items():
        main: list[Shown] = []
        further: list[Shown] = []
        for index, heading in enumerate(section.headings):
            column = heading.column
            if column.axis != axis:
                continue
            seen[column.metric] = seen.get(column.metric, 0) + 1
            key = column.metric if seen[column.metric] == 1 else f"{column.metric}.{seen[column.metric]}"
            one = Shown(index=index, key=key, column=column, protocol=heading.protocol, further=column.detail)
            (further if column.detail else main).append(one)
            if axis != "speed" and any(row.cells[index].minimum is not None for row in section.rows):
                where = main if index == headline else further
                where.append(
                    Shown(
                        index=index, key=f"{key}.best", column=column, protocol="", further=index != headline,
                        minimum=True,
                    )
                )  # fmt: skip
        found += [
            Block(title=title, further=is_further, columns=tuple(columns))
            for is_further, columns in ((False, main), (True, further))
            if columns
        ]
    return found


def legend(site: Site, section: Section) -> list[tuple[str, Markup]]:
    """The families in a dataset's scatters with their markers."""
    # markup that svg.py wrote through an XML serializer
    return [(name, Markup(marker)) for name, marker in figures.legend(figures.trilemma(section), site.marks)]


def panels(site: Site, section: Section) -> list[Drawn]:
    """The scatters of a dataset."""
    return [
        site.figure(
            site.figure_name(section, scatter.name),
            scatter,
            f"{scatter.y.heading} against {scatter.x.heading} on {section.title}",
            figures.draw,
            lambda row: site.model(row.label),
        )
        for scatter in figures.trilemma(section)
    ]


def likelihood(site: Site, section: Section) -> Drawn | None:
    """The likelihoods of a dataset, each with its kind."""
    shown = intervals.likelihood(section)
    if shown is None:
        return None
    return site.figure(
        site.figure_name(section, "likelihood"),
        shown,
        f"{shown.column.heading} on {section.title}",
        intervals.draw,
        lambda row: site.model(row.label),
    )


def least(site: Site, row: Row) -> Trust:
    """What a row may claim: the least trust that one of its records has."""
    order = list(TRUST)
    return min((site.collection.trust[one.key] for one in row.records), key=order.index)
