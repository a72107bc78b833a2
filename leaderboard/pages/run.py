"""A page for each record: everything that it says, what it looks like, and the command that repeats it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from genbench import catalog
from genbench.record import Measurement, Record
from leaderboard import curves
from leaderboard.columns import COLUMNS
from leaderboard.load import TRUST
from leaderboard.site import Page, Shown, Site
from leaderboard.typography import measured, plain

NEIGHBOURS = "neighbours"  # the picture of samples beside the training images nearest to them
CURVES, MEASURED, FACTS = 12, 300, 200  # at most so many on a page; the record has them all
_CAPTIONS = {
    "samples": "Samples, not chosen: the first of the seed.",
    NEIGHBOURS: "Samples, each beside the training images nearest to it.",
}
_ORDER = {column.metric: index for index, column in enumerate(COLUMNS)}


@dataclass(frozen=True, kw_only=True)
class Number:
    """A measurement as the table shows it; `known` if the page of metrics explains it."""

    one: Measurement
    text: str
    interval: str
    known: bool


def pages(site: Site) -> Iterator[Page]:
    """`runs/KEY.html`."""
    for one in site.records:
        drawn = [found for name, curve in sorted(one.curves.items())[:CURVES] if (found := curves.drawing(name, curve))]
        pictures = [(name, site.picture(one, name)) for name in sorted(one.assets, key=lambda name: name != "samples")]
        yield site.render(
            site.run(one),
            "run.html",
            one=one,
            place=site.row_of(one),
            trust=site.collection.trust.get(one.key, "self-reported"),
            trust_help=TRUST,
            captions=_CAPTIONS,
            pictures=[(name, shown) for name, shown in pictures if isinstance(shown, Shown)],
            without=[(name, shown) for name, shown in pictures if isinstance(shown, str)],
            neighbours=NEIGHBOURS in one.assets,
            curves=drawn,
            curve_files=_kept(site, one, drawn),
            more_curves=len(one.curves) - len(drawn),
            frame=curves,
            numbers=_numbers(one),
            measured=MEASURED,
            facts=_facts(one),
        )


def _kept(site: Site, one: Record, drawn: list[curves.Drawing]) -> list[tuple[str, str]]:
    """Kind and address of the files of a run's curves, which then are part of the site."""
    if not drawn:
        return []
    title = plain(f"Training of {one.model.label} on {one.dataset.label}, {one.key}", 300)
    files = {"svg": curves.as_svg(drawn, title).encode(), "pdf": curves.as_pdf(drawn, title)}
    for kind, data in files.items():
        site.keep(f"figures/run-{one.key}.{kind}", data)
    return [(kind, f"figures/run-{one.key}.{kind}") for kind in files]


def _numbers(one: Record) -> list[Number]:
    def order(m: Measurement) -> tuple[int, str]:
        return _ORDER.get(m.metric, len(_ORDER)), m.name

    found = []
    for m in sorted(one.measurements.values(), key=order)[:MEASURED]:
        text, interval = "", ""
        if m.value is not None and m.low is not None and m.high is not None:
            text, interval = measured(m.value, m.low, m.high)
        found.append(
            Number(one=m, text=text, interval=interval, known=m.metric in catalog.METRICS or m.metric in _ORDER)
        )
    return found


def _facts(one: Record) -> list[tuple[str, list[tuple[str, str]]]]:
    """Every further field of a record, by chapters: name and value."""
    model, cost = one.model, one.cost
    chapters: list[tuple[str, Any]] = [
        (
            "Model",
            {"reference": model.reference, "family": model.family, "capabilities": ", ".join(model.capabilities)},
        ),
        ("Configuration", model.config),
        ("Recipe", model.recipe),
        ("Settings", one.settings),
        ("Seeds", one.seeds),
        ("Cost", {name: getattr(cost, name) for name in cost.__struct_fields__}),
        ("Environment", one.environment),
        ("Training reports", one.report),
        (
            "Checksums",
            {f"{one.dataset.label}, {split}": digest for split, digest in one.dataset.checksums.items()}
            | {"code": model.code, "weights": model.weights}
            | {asset.file: asset.sha256 for asset in one.assets.values()},
        ),
        ("Numbers for each image", {name: f"{len(values)} numbers" for name, values in one.per_image.items()}),
    ]
    return [(title, found) for title, value in chapters if (found := list(_flat("", value))[:FACTS])]


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for child, inner in value.items():
            yield from _flat(f"{name}.{child}" if name else str(child), inner)
    elif value is not None and value != "":
        words = ", ".join(map(str, value)) if isinstance(value, list) else f"{value}"
        yield plain(name, 200), plain(f"{value:.6g}" if isinstance(value, float) else words, 400)
