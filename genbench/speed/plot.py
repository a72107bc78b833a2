"""Curves of quality against work and against time, drawn: what a sampler gives for its steps."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

_MARKERS = "osD^vPX*"
_SPAN = 5.0  # largest over smallest value, from where on the scale is logarithmic
_PANELS = {"nfe": "network evaluations an image", "alone": "ms an image, alone", "batch": "ms an image, in a batch"}


def plot(title: str, found: Sequence[dict[str, Any]], metric: str = "fid") -> bytes:
    """A panel for each way to count what an image costs, a line for each solver; SVG, equal bytes for equal rows.

    Args:
        found: rows of `genbench.speed.table.curve`, of one backend.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    settings: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "genbench", "font.size": 8.0}
    lines = dict.fromkeys(row["line"] for row in found)
    ends: list[float] = []
    with mpl.rc_context(settings):
        figure = Figure(figsize=(9.0, 3.2), layout="constrained")
        for axes, (cost, label) in zip(figure.subplots(1, len(_PANELS), sharey=True), _PANELS.items(), strict=True):
            for number, line in enumerate(lines):
                points = sorted(_points([row for row in found if row["line"] == line], cost, metric))
                if not points:
                    continue
                x, value, below, above = zip(*points, strict=True)
                look = {"color": f"C{number % 10}", "marker": _MARKERS[number % len(_MARKERS)], "markersize": 4}
                axes.errorbar(x, value, yerr=[below, above], label=line, linewidth=1, **look)
                ends += [v + d for v, d in zip(value, above, strict=True)]
                ends += [v - d for v, d in zip(value, below, strict=True)]
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.set_xlabel(label)
        first = figure.axes[0]
        first.set_ylabel(metric)
        if ends and min(ends) > 0.0 and max(ends) > _SPAN * min(ends):
            first.set_yscale("log")
            first.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            first.yaxis.set_major_formatter("{x:g}")
            first.yaxis.set_minor_formatter(NullFormatter())
        if handles := {
            name: handle for axes in figure.axes for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
        }:
            first.legend(handles.values(), handles.keys(), frameon=False)
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    return buffer.getvalue()


def _points(found: Sequence[dict[str, Any]], cost: str, metric: str) -> list[tuple[float, float, float, float]]:
    """Cost, value, and how far the interval reaches below and above it, where both are there."""
    points = []
    for row in found:
        quality, rate = row["quality"].get(metric), (row.get("images_per_second") or {}).get("value")
        alone = (row.get("p50") or {}).get("value")
        x = {"nfe": row["nfe"], "alone": alone and 1000 * alone, "batch": rate and 1000 / rate}[cost]
        if x and quality and quality.get("value") is not None:
            value = quality["value"]
            points.append((x, value, value - quality["low"], quality["high"] - value))
    return points
