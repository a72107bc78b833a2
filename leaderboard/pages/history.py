"""The page of the history, and the feed: the headline numbers in time, what is new, what replaced what."""

from __future__ import annotations

import re
from collections.abc import Iterator

from leaderboard import history
from leaderboard.feed import Entry, atom
from leaderboard.history import Change, Chart
from leaderboard.site import Drawn, Page, Site
from leaderboard.slugs import slug
from leaderboard.table import Section
from leaderboard.typography import plain

LISTED, FED, CHARTS = 100, 50, 60


def pages(site: Site) -> Iterator[Page]:
    """`history.html` and `feed.atom`."""
    found = history.changes(site.sections, site.records)
    charts: dict[str, tuple[Section, list[tuple[Chart, Drawn]]]] = {}
    for chart in history.charts(found)[:CHARTS]:
        section = chart.section
        charts.setdefault(section.anchor, (section, []))[1].append((chart, _drawn(site, chart)))
    yield site.render(
        "history.html",
        "history.html",
        charts=list(charts.values()),
        changes=found[:LISTED],
        total=len(found),
    )
    entries = [_entry(site, change) for change in found[:FED]] + _retractions(site)
    yield Page(path="feed.atom", html=atom("Changes of the genbench leaderboard", entries).decode())


def _drawn(site: Site, chart: Chart) -> Drawn:
    name = site.figure_name(chart.section, chart.axis, "time", *([slug(chart.hardware)] if chart.hardware else []))
    return site.figure(name, chart, chart.title, history.draw, lambda line: site.model(line.label))


def _entry(site: Site, change: Change) -> Entry:
    one = change.record
    numbers = "; ".join(
        f"{value.column.heading} {value.cell.text} {value.column.unit}".rstrip()
        + f" {value.cell.interval}"
        + (f", was {value.before}" if value.before else "")
        for value in change.values
    )
    what = f"Replaces {change.replaced.key}." if change.replaced else "New."
    seed = f", seed {one.seeds['train']}" if "train" in one.seeds else ""
    return Entry(
        name=f"record {one.key}",
        title=f"{plain(one.model.label, 80)} on {plain(one.dataset.label, 80)}{seed}",
        updated=one.created,
        address=site.run(one),
        summary=f"{what} {numbers}." if numbers else what,
    )


def _retractions(site: Site) -> list[Entry]:
    """Retracted records whose reason ends with its date."""
    found = []
    for key, reason in site.collection.retracted.items():
        date = re.search(r"\((\d{4}-\d\d-\d\d)\)\Z", reason)
        if date:
            found.append(
                Entry(
                    name=f"retraction {key}",
                    title=f"Retracted: {key}",
                    updated=f"{date[1]}T00:00:00Z",
                    address="invalid.html",
                    summary=plain(reason, 600),
                )
            )
    return found
