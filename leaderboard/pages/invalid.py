"""The page of what is not shown: files that are not valid and records that were retracted, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator

from leaderboard.site import Page, Site

LISTED = 1000


def pages(site: Site) -> Iterator[Page]:
    """`invalid.html`."""
    yield site.render(
        "invalid.html",
        "invalid.html",
        invalid=site.collection.invalid[:LISTED],
        retracted=list(site.collection.retracted.items())[:LISTED],
        more=max(0, len(site.collection.invalid) - LISTED) + max(0, len(site.collection.retracted) - LISTED),
    )
