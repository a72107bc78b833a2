"""The pathology matrix: how each metric moves under controlled damage to real data. From records, without torch.

A dose is noticed if the metric's value and the undamaged one differ by more than their two intervals allow: with
v, v0 the values and w, w0 the halves of the intervals on the sides that face each other, |v - v0| > sqrt(w^2 + w0^2),
at that dose and at every higher one. The samples share most of their images with the undamaged ones, so that this is
on the careful side.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from genbench import files
from genbench.record import Better, Measurement, Record
from leaderboard.columns import COLUMNS
from leaderboard.grouping import use_of

AXIS_OF = {  # what each pathology damages
    "noise": "quality",
    "blur": "quality",
    "outliers": "quality",
    "drop-modes": "diversity",
    "collapse-inside": "diversity",
    "duplicate": "diversity",
    "imbalance": "diversity",
    "copy-train": "memorization",
    "fewer": "sample size",
}
_STEP = 1e-12  # a change below this share of the value is rounding


@dataclass(frozen=True, kw_only=True)
class Response:
    """One metric under one pathology: its values at rising doses, the undamaged one first."""

    metric: str
    pathology: str
    better: Better | None
    doses: tuple[float, ...]
    points: tuple[Measurement, ...]

    @property
    def change(self) -> float:
        """From no damage to the highest dose."""
        return _value(self.points[-1]) - _value(self.points[0])

    @property
    def monotone(self) -> bool:
        """No step goes against the whole change."""
        values = [_value(point) for point in self.points]
        slack = _STEP * max(abs(value) for value in values)
        return all((b - a) * math.copysign(1, self.change) >= -slack for a, b in pairwise(values))

    @property
    def first(self) -> float | None:
        """The lowest dose from which on every dose is noticed; None for a metric that is blind to this."""
        found = None
        for dose, point in zip(reversed(self.doses), reversed(self.points[1:]), strict=True):
            if not differs(self.points[0], point):
                break
            found = dose
        return found

    @property
    def verdict(self) -> str:
        """blind, worse, better, or moves (for a metric without a direction)."""
        if self.first is None:
            return "blind"
        if self.better is None:
            return "moves"
        return "better" if (self.change > 0) == (self.better == "higher") else "worse"

    @property
    def symbol(self) -> str:
        """In a cell of the matrix: the direction of the number, the first dose noticed, ~ if it is not monotone."""
        if self.first is None:
            return "·"
        arrow = "↑" if self.change > 0 else "↓"
        mark = {"worse": "", "better": "!", "moves": ""}[self.verdict]
        return f"{arrow} {self.first:g}{mark}{'' if self.monotone else ' ~'}"


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """All responses on one dataset: metric -> pathology -> response."""

    dataset: str
    pathologies: tuple[str, ...]
    responses: dict[str, dict[str, Response]]
    left_out: dict[str, str]  # metrics without a number, and why

    def measures(self, metric: str) -> str:
        """The axes on which the metric gets worse when damage is done to them."""
        hit = [AXIS_OF.get(p, p) for p, r in self.responses[metric].items() if r.verdict in ("worse", "moves")]
        return ", ".join(dict.fromkeys(hit)) or "none of these"

    def plain(self) -> dict[str, object]:
        """For JSON."""
        return {
            "dataset": self.dataset,
            "metrics": {
                metric: {
                    "measures": self.measures(metric),
                    **{
                        name: {
                            "verdict": response.verdict,
                            "first_dose": response.first,
                            "monotone": response.monotone,
                            "doses": [0.0, *response.doses],
                            "values": [[point.value, point.low, point.high] for point in response.points],
                        }
                        for name, response in row.items()
                    },
                }
                for metric, row in self.responses.items()
            },
            "left_out": self.left_out,
        }


def _value(point: Measurement) -> float:
    assert point.value is not None
    return point.value


def differs(a: Measurement, b: Measurement) -> bool:
    """Beyond the two intervals, by the sides that face each other."""
    if _value(b) < _value(a):
        a, b = b, a
    assert a.high is not None
    assert b.low is not None
    gap = _value(b) - _value(a)
    return gap > math.hypot(a.high - _value(a), _value(b) - b.low) and gap > _STEP * abs(_value(b))


def matrices(records: Iterable[Record]) -> list[Matrix]:
    """One matrix for each dataset that has undamaged and damaged samples among the records."""
    by_dataset: dict[str, list[Record]] = {}
    for record in records:
        if use_of(record) == "damage":
            by_dataset.setdefault(record.dataset.label, []).append(record)
    return [_matrix(name, found) for name, found in by_dataset.items() if any(not r.model.config for r in found)]


def _matrix(dataset: str, records: Sequence[Record]) -> Matrix:
    healthy = next(record for record in records if not record.model.config)
    damaged: dict[str, list[Record]] = {}
    for record in records:
        if record.model.config:
            damaged.setdefault(str(record.model.config["pathology"]), []).append(record)
    for found in damaged.values():
        found.sort(key=lambda record: float(record.model.config["dose"]))
    better = {column.metric: column.better for column in COLUMNS}
    responses: dict[str, dict[str, Response]] = {}
    left_out: dict[str, str] = {}
    for measurement in healthy.measurements.values():
        metric = measurement.metric
        if measurement.status != "ok":
            left_out[metric] = measurement.reason
            continue
        for name, found in damaged.items():
            points = [(float(r.model.config["dose"]), r.get(metric)) for r in found]
            doses = [(dose, point) for dose, point in points if point is not None and point.status == "ok"]
            if doses:
                responses.setdefault(metric, {})[name] = Response(
                    metric=metric,
                    pathology=name,
                    better=better.get(metric),
                    doses=tuple(dose for dose, _ in doses),
                    points=(measurement, *(point for _, point in doses)),
                )
    return Matrix(dataset=dataset, pathologies=tuple(damaged), responses=responses, left_out=left_out)


def write_plots(found: Iterable[Matrix], folder: Path) -> list[Path]:
    """A figure for each metric and dataset, a panel for each pathology; SVG, equal bytes for equal records."""
    paths = []
    for matrix in found:
        for metric, row in matrix.responses.items():
            path = folder / f"{matrix.dataset}-{metric}.svg"
            files.write(path, plot(f"{metric} on {matrix.dataset}", list(row.values())))
            paths.append(path)
    return paths


def plot(title: str, responses: Sequence[Response]) -> bytes:
    """Value and interval over the dose (evenly spaced), the undamaged interval as a band; blind panels in grey."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    columns = 5
    rows = -(-len(responses) // columns)
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "genbench",
        "font.size": 8.0,
        "font.family": "DejaVu Sans",
    }
    with mpl.rc_context(settings):
        figure = Figure(figsize=(2.1 * columns, 1.7 * rows + 0.4), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for axes, response in zip(grid, responses, strict=False):
            _panel(axes, response)
        for axes in grid[len(responses) :]:
            axes.axis("off")
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    return buffer.getvalue()


def _panel(axes: Any, response: Response) -> None:
    values = [_value(point) for point in response.points]
    low = [value - (point.low or 0.0) for value, point in zip(values, response.points, strict=True)]
    high = [(point.high or 0.0) - value for value, point in zip(values, response.points, strict=True)]
    colour = {"blind": "#8a9099", "worse": "#1a5fb4", "moves": "#1a5fb4", "better": "#b3261e"}[response.verdict]
    axes.axhspan(values[0] - low[0], values[0] + high[0], color="#e6e9ed", linewidth=0)
    axes.errorbar(range(len(values)), values, yerr=[low, high], color=colour, marker="o", markersize=3, linewidth=1)
    axes.set_xticks(range(len(values)), ["0", *(f"{dose:g}" for dose in response.doses)])
    words = "blind" if response.first is None else f"{response.verdict} from {response.first:g}"
    axes.set_title(f"{response.pathology}: {words}", loc="left", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
