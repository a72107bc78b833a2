"""The page of the claims: what is commonly said of the families, and whether the records shown here bear it out."""

from __future__ import annotations

from collections.abc import Iterator

from leaderboard.claims import judged
from leaderboard.site import Page, Site


def pages(site: Site) -> Iterator[Page]:
    """`claims.html`."""
    found = judged(site.sections)
    there = {anchor for one in found for anchor in one.here}
    yield site.render(
        "claims.html",
        "claims.html",
        judged=found,
        sections=[section for section in site.sections if section.anchor in there],
    )
