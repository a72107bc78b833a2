"""The page that puts two to five models side by side; without script, the headline numbers of all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from markupsafe import Markup

from leaderboard.cells import Cell
from leaderboard.columns import AXES
from leaderboard.history import headlines
from leaderboard.site import HERE, Page, Shown, Site
from leaderboard.table import Row, Section
from leaderboard.typography import plain, spaced

ROWS, ALL = 100, 300  # models of a dataset, and of all datasets, that fit into the page


def pages(site: Site) -> Iterator[Page]:
    """`compare.html`; its script is a file of its own, which no other page loads."""
    left = ALL
    parts: list[tuple[Section, list[Row], int]] = []
    data: list[dict[str, Any]] = []
    for section in site.sections:
        rows = section.rows_of("model")
        kept = rows[: min(ROWS, left)]
        left -= len(kept)
        if kept:
            parts.append((section, kept, len(rows) - len(kept)))
            data.append(_data(site, section, kept))
    site.keep("compare.js", (HERE / "static" / "compare.js").read_bytes())
    yield site.render(
        "compare.html",
        "compare.html",
        parts=[
            (section, rows, more, [section.headings.index(heading) for heading in headlines(section)])
            for section, rows, more in parts
        ],
        data=Markup(_harmless(data)),
    )


def _harmless(data: list[dict[str, Any]]) -> str:
    """JSON that no text in it can end: the block is never executed, and nothing in it is markup."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _data(site: Site, section: Section, rows: list[Row]) -> dict[str, Any]:
    used = [i for i in range(len(section.headings)) if any(row.cells[i].ok for row in rows)]
    names: dict[str, int] = {}
    return {
        "dataset": plain(section.title),
        "address": site.dataset(section),
        "metrics": [_metric(section, index) for index in used],
        "models": [
            {
                "name": _own(plain(row.name), names),
                "family": plain(row.family),
                "address": site.model(row.label),
                "picture": _picture(site, row),
                "cells": [_cell(row.cells[index]) for index in used],
            }
            for row in rows
        ],
    }


def _own(name: str, names: dict[str, int]) -> str:
    """A name that no other row of the dataset has: what the page's address calls it."""
    names[name] = names.get(name, 0) + 1
    return name if names[name] == 1 else f"{name} #{names[name]}"


def _metric(section: Section, index: int) -> dict[str, str]:
    heading = section.headings[index]
    return {
        "id": heading.column.metric,
        "title": heading.column.title,
        "axis": AXES[heading.column.axis],
        "direction": heading.column.direction,
        "protocol": spaced(heading.protocol),
        "better": heading.column.better or "",
    }


def _cell(cell: Cell) -> list[Any]:
    """Words for a missing number; else its text, its interval, what may be compared with it, and its value."""
    if not cell.ok:
        return [cell.text]
    interval = cell.interval + (f" {cell.kind_text}" if cell.kind_text else "")
    return [
        cell.text,
        plain(interval, 120),
        plain(cell.peers, 80),
        float(f"{cell.value:.6g}"),
        float(f"{cell.low:.6g}"),
        float(f"{cell.high:.6g}"),
    ]


def _picture(site: Site, row: Row) -> list[Any] | None:
    shown = site.picture(row.records[0])
    return [shown.path, shown.width, shown.height] if isinstance(shown, Shown) else None
