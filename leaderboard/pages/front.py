"""The front page: what this is, the trilemma, one table for each dataset, the newest records."""

from __future__ import annotations

from collections.abc import Iterator

from leaderboard.site import Page, Site

NEWEST = 8


def pages(site: Site) -> Iterator[Page]:
    """`index.html`."""
    yield site.render("index.html", "front.html", newest=site.newest[:NEWEST])
