"""The page about the leaderboard: what it is, how it is made, who is trusted how far, how to take part."""

from __future__ import annotations

from collections.abc import Iterator

from leaderboard.load import TRUST
from leaderboard.site import Page, Site


def pages(site: Site) -> Iterator[Page]:
    """`about.html`."""
    counts = dict.fromkeys(TRUST, 0)
    for one in site.records:
        counts[site.collection.trust.get(one.key, "self-reported")] += 1
    yield site.render(
        "about.html",
        "about.html",
        trust=[(level, words, counts[level]) for level, words in TRUST.items()],
        hardware=sorted({name for section in site.sections for name in section.hardware}),
    )
