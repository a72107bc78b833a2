"""A page for each model: all its datasets, configurations and seeds, and what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from genbench import catalog
from genbench.record import Record
from leaderboard import docstrings
from leaderboard.site import Page, Shown, Site
from leaderboard.standings import Standing, standings
from leaderboard.table import Row, Section

SIDE_BY_SIDE = 6  # configurations in one table; the others have their rows on the dataset's page
PICTURES = 24
RUNS = 60


@dataclass(frozen=True, kw_only=True)
class Part:
    """One dataset of a model: its rows there, where they stand, its pictures, its runs."""

    section: Section
    rows: list[Row]
    more: int
    columns: list[int]
    standings: list[Standing]
    pictures: list[tuple[Row, Record, Shown]]
    runs: list[tuple[Row, Record]]
    more_runs: int


def pages(site: Site) -> Iterator[Page]:
    """`models/SLUG.html`."""
    for label, parts in _by_label(site).items():
        row = parts[0].rows[0]
        one = row.records[0]
        yield site.render(
            site.model(label),
            "model.html",
            label=label,
            row=row,
            one=one,
            parts=parts,
            about=about(one.model.reference),
        )


def _by_label(site: Site) -> dict[str, list[Part]]:
    found: dict[str, list[Part]] = {}
    for section in site.sections:
        grouped: dict[str, list[Row]] = {}
        for row in section.rows:
            grouped.setdefault(row.label, []).append(row)
        for label, rows in grouped.items():
            found.setdefault(label, []).append(_part(site, section, rows))
    return found


def _part(site: Site, section: Section, rows: list[Row]) -> Part:
    runs = [(row, one) for row in rows for one in (*row.records, *row.companions)]
    found = [(row, one, site.picture(one)) for row, one in runs if "samples" in one.assets]
    shown = rows[:SIDE_BY_SIDE]
    return Part(
        section=section,
        rows=shown,
        more=len(rows) - len(shown),
        columns=[i for i in range(len(section.headings)) if any(row.cells[i].status != "absent" for row in shown)],
        standings=standings(section, shown) if shown[0].group == "model" else [],
        pictures=[(row, one, picture) for row, one, picture in found if isinstance(picture, Shown)][:PICTURES],
        runs=runs[:RUNS],
        more_runs=len(runs) - len(runs[:RUNS]),
    )


def about(reference: str) -> list[Markup]:
    """What a model of ours documents: of its module and of its class; nothing for a reference outside the catalog.

    The markup is made by `docstrings.html` of our own sources; a record's reference only chooses among them.
    """
    if reference not in catalog.MODELS.values():
        return []
    return [Markup(docstrings.html(text)) for text in docstrings.docstring(reference) if text]
