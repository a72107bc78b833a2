"""A page for each dataset: figures, the whole table, samples side by side, what was run."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from leaderboard import figures, svg
from leaderboard.site import Drawn, Page, Site
from leaderboard.table import Row, Section


def pages(site: Site) -> Iterator[Page]:
    """`datasets/SLUG.html`."""
    for section in site.sections:
        yield site.render(
            site.dataset(section),
            "dataset.html",
            section=section,
            legend=[(name, Markup(marker)) for name, marker in figures.legend(section, site.marks)],
            panels=panels(site, section),
            grids=[(row, site.picture(row.records[0])) for row in section.rows],
        )


def panels(site: Site, section: Section) -> list[Drawn]:
    """The scatters of a dataset."""

    def address(row: Row) -> str:
        return f"../{site.model(row.label)}"

    found = []
    for scatter in figures.trilemma(section):
        title = f"{scatter.y.heading} against {scatter.x.heading} on {section.title}"

        def draw(name: str, scatter: figures.Scatter = scatter, title: str = title) -> svg.Figure:
            return figures.draw(scatter, name, title, site.marks, address)

        facts = (title, site.marks, scatter.facts)
        found.append(site.figure(site.figure_name(section, scatter.name), facts, draw, scatter.note))
    return found
