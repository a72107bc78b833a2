"""The kinds of pages: each module has `pages(site)`, which yields the pages of its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from leaderboard.pages import dataset, front
from leaderboard.site import Page, Site

PAGES: tuple[Callable[[Site], Iterator[Page]], ...] = (front.pages, dataset.pages)

# Address and words, in the order of the navigation; an address belongs to a page that some module yields.
NAVIGATION: tuple[tuple[str, str], ...] = (("index.html", "Leaderboard"),)
