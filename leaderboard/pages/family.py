"""A page for each family: what it is, in the words of its members' sources, and where it stands as measured here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from genbench.record import Axis
from leaderboard import grouping, sweeps
from leaderboard.columns import AXES
from leaderboard.pages import model
from leaderboard.site import Drawn, Page, Shown, Site
from leaderboard.slugs import slug
from leaderboard.standings import Standing, best, standings
from leaderboard.table import Row, Section

LISTED = 40  # rows of one dataset in the table; the dataset's page has all
_SIDES: dict[Literal["strong", "weak", "between"], str] = {
    "strong": "Strong in",
    "weak": "Weak in",
    "between": "Neither strong nor weak in",
}


@dataclass(frozen=True, kw_only=True)
class Part:
    """One dataset of a family: its rows there, their standings by axis, samples, quality against cost."""

    section: Section
    rows: list[Row]
    more: int
    axes: list[Axis]
    cells: dict[tuple[str, str], Standing]  # by the row's anchor and the axis
    pictures: list[tuple[Row, Shown]]
    figures: list[Drawn]


def pages(site: Site) -> Iterator[Page]:
    """`families/SLUG.html`."""
    for family in site.families:
        parts = []
        members: dict[str, str] = {}
        found: list[Standing] = []
        for section in site.sections:
            rows = section.by_family.get(family)
            if not rows:
                continue
            members |= {row.label: row.records[0].model.reference for row in rows}
            here = standings(section, rows)
            found += here
            parts.append(_part(site, section, rows, here, family))
        yield site.render(
            site.family(family),
            "family.html",
            family=family,
            members=sorted(members),
            parts=parts,
            axes=AXES,
            sides=_sides(found),
            about=_about(list(members.values())),
        )


def _part(site: Site, section: Section, rows: list[Row], found: list[Standing], family: str) -> Part:
    shown = rows[:LISTED]
    pictures = [(row, site.picture(row.records[0])) for row in shown]
    return Part(
        section=section,
        rows=shown,
        more=len(rows) - len(shown),
        axes=list(dict.fromkeys(one.axis for one in found)),
        cells={(one.row.anchor, one.axis): one for one in found},
        pictures=[(row, picture) for row, picture in pictures if isinstance(picture, Shown)],
        figures=_figures(site, section, rows, family),
    )


def _figures(site: Site, section: Section, rows: list[Row], family: str) -> list[Drawn]:
    """Of the records of a sweep where there are some, else of the table's own rows."""
    same = grouping.dataset(section.dataset)
    swept = next((one for one in site.swept if grouping.dataset(one.dataset) == same), None)
    points = swept.by_family.get(family, []) if swept else []

    def address(row: Row) -> str:
        return site.run(row.records[0]) if points else site.model(row.label)

    return [
        site.figure(
            site.figure_name(section, slug(family), slug(sweep.x.metric)),
            sweep,
            f"{sweep.y.heading} against {sweep.x.heading}, {family} on {section.title}",
            sweeps.draw,
            address,
        )
        for sweep in (sweeps.sweeps(swept, points) if swept and points else sweeps.sweeps(section, rows))
    ]


def _sides(found: list[Standing]) -> list[tuple[str, list[tuple[Axis, list[Standing]]]]]:
    """Strengths, weaknesses and what lies between: for each axis the best member on each dataset where that is so."""
    chosen: dict[str, dict[Axis, list[Standing]]] = {}
    grouped: dict[tuple[Axis, str], list[Standing]] = {}
    for one in found:
        grouped.setdefault((one.axis, one.section.anchor), []).append(one)
    for (axis, _), here in grouped.items():
        ranked = [one for one in here if one.verdict != "alone"]
        if ranked:
            top = best(ranked)
            chosen.setdefault(top.verdict, {}).setdefault(axis, []).append(top)
    return [(words, list(chosen[side].items())) for side, words in _SIDES.items() if side in chosen]


def _about(references: list[str]) -> list[Markup]:
    """What the members' modules and classes document, each module once."""
    found = [text for reference in dict.fromkeys(references) for text in model.about(reference)]
    return list(dict.fromkeys(found))
