"""The front page: what this is, the trilemma on one dataset, the headline numbers on all, the newest records."""

from __future__ import annotations

from collections.abc import Iterator

from leaderboard import figures
from leaderboard.columns import AXES
from leaderboard.pages.dataset import legend, panels
from leaderboard.site import Page, Site
from leaderboard.table import Row, Section

NEWEST = 8
LINES = 30  # of a dataset's table; the whole stands on the dataset's page


def pages(site: Site) -> Iterator[Page]:
    """`index.html`."""
    chosen = headline(site)
    yield site.render(
        "index.html",
        "front.html",
        chosen=chosen,
        legend=legend(site, chosen) if chosen else [],
        panels=panels(site, chosen) if chosen else [],
        tables=[table(section) for section in site.sections],
        newest=[(one, site.row_of(one)) for one in site.newest[:NEWEST]],
    )


def headline(site: Site) -> Section | None:
    """The dataset whose scatters the front page shows: that with the most points in them, the first of equals."""
    drawn = {
        section.anchor: sum(
            point.row.group == "model" for scatter in figures.trilemma(section) for point in scatter.drawn
        )
        for section in site.sections
    }
    return max(site.sections, key=lambda section: drawn[section.anchor], default=None)


def table(section: Section) -> tuple[Section, list[int], tuple[Row, ...], list[int]]:
    """A dataset's section, the columns and rows that are shown of it, and the notes that these point to."""
    shown, rows = columns(section), lines(section)
    cells = [row.cells[index] for row in rows for index in shown]
    numbers = {inner.note for cell in cells for inner in (cell, *(beside for _, beside in cell.beside))}
    return section, shown, rows, sorted(number for number in numbers if number)


def columns(section: Section) -> list[int]:
    """The headline of each axis, but that of reconstruction, which few models have."""
    axes = [axis for axis in AXES if axis != "reconstruction"]
    return [index for axis in axes if (index := section.headline(axis)) is not None]


def lines(section: Section) -> tuple[Row, ...]:
    """The rows of the front page's table: all that are no models, and then the first of the models."""
    others = [row for row in section.rows if row.group != "model"]
    return (*others[: LINES // 2], *section.rows_of("model")[: LINES - min(len(others), LINES // 2)])
