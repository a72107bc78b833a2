"""The kinds of pages: each module has `pages(site)`, which yields the pages of its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from leaderboard.pages import about, claims, compare, dataset, family, front, history, invalid, metrics, model, run
from leaderboard.site import Page, Site

PAGES: tuple[Callable[[Site], Iterator[Page]], ...] = tuple(
    kind.pages for kind in (front, dataset, family, model, run, compare, history, claims, metrics, invalid, about)
)

# Address and words, in the order of the navigation; an address belongs to a page that some module yields.
NAVIGATION: tuple[tuple[str, str], ...] = (
    ("index.html", "Leaderboard"),
    ("compare.html", "Compare"),
    ("history.html", "History"),
    ("claims.html", "Claims"),
    ("metrics.html", "Metrics"),
    ("invalid.html", "Not shown"),
    ("about.html", "About"),
)
