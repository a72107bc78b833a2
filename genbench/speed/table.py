"""The table of speed records: a row for each backend, or for each point of a curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from genbench.record import Record
from genbench.speed.backends import BACKENDS

QUALITY = ("fid", "recall", "validity", "mode_kl")  # of a point of a curve, as far as it has them
_REMARKS = {"latency_p50": "single: ", "images_per_second": "offline: ", "eager_ratio": ""}  # whose method says more


def rows(record: Record) -> list[dict[str, Any]]:
    """A record's lanes, one plain row each: what the command prints, and gives as JSON."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    shared = {m.metric: m.value for m in record.measurements.values() if not m.protocol}
    for m in record.measurements.values():
        backend, _, rest = m.protocol.partition(",")
        what, _, where = rest.partition(",")
        if backend not in BACKENDS or what not in ("sampler", "step"):
            continue
        row = found.setdefault((backend, what), {
            "model": record.model.label, "backend": backend, "unit": what, "status": "ok", "note": "",
            "nfe": shared.get("nfe"), "stages": {}, "memory": {},
        })  # fmt: skip
        if m.metric.startswith("seconds_"):
            row["stages"][m.metric.removeprefix("seconds_")] = m.value
        elif m.metric.startswith("memory_"):
            row["memory"][f"{m.metric.removeprefix('memory_')},{where.rpartition(',')[2]}"] = m.value
        else:
            row[m.metric.removeprefix("latency_")] = msgspec.to_builtins(m)
        if m.status in ("invalid", "unavailable") and not m.metric.startswith("memory_"):
            row["status"], row["note"] = m.status, m.reason
        elif m.metric in _REMARKS:
            said = [part for part in m.method.split("; ") if part.startswith(("two modes", "drift", "slower than"))]
            said += [m.reason] if m.reason else []
            row["note"] = "; ".join(filter(None, [row["note"], *(f"{_REMARKS[m.metric]}{part}" for part in said)]))
    return list(found.values())


def curve(record: Record) -> list[dict[str, Any]]:
    """The same rows of a point of a curve, with its quality."""
    quality = {name: record.get(name) for name in QUALITY}
    measured = {name: msgspec.to_builtins(m) for name, m in quality.items() if m}
    line = {"line": record.settings["line"], "samples": record.settings["samples"]}
    return [{**row, **line, "quality": measured} for row in rows(record)]


def printed_curve(found: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Headings and lines of a curve: the work for an image, its time alone and in the best batch, the quality."""
    names = [name for name in QUALITY if any(name in row["quality"] for row in found)]
    headings = ["model", "line", "backend", "nfe", "ms alone", "ms in a batch", *names, "note"]
    lines = []
    for row in found:
        rate = (row.get("images_per_second") or {}).get("value")
        lines.append([
            row["model"],
            row["line"],
            _backend(row),
            _nfe(row),
            _milliseconds(row.get("p50"), interval=False),
            f"{1000 / rate:.4g}" if rate else "–",
            *(_interval(row["quality"].get(name)) for name in names),
            _note(row),
        ])  # fmt: skip
    return headings, lines


def printed(found: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Headings and lines of the table; a dash stands where there were too few runs."""
    headings = [
        "model",
        "backend",
        "nfe",
        "p50, ms",
        "p90",
        "p95",
        "p99",
        "of eager",
        "images/s (batch)",
        "ready, s",
        "memory, MiB",
    ]
    lines = []
    for row in found:
        best, rate = row.get("best_batch"), row.get("images_per_second")
        memory = [value for value in row["memory"].values() if value is not None]
        lines.append([
            row["model"],
            _backend(row),
            _nfe(row),
            *(_milliseconds(row.get(name), interval=name == "p50") for name in ("p50", "p90", "p95", "p99")),
            _interval(row.get("eager_ratio"), digits=3),
            f"{rate['value']:.4g} ({best['value']:g})" if best and rate else "–",
            f"{sum(row['stages'].values()):.1f}" if row["stages"] else "–",
            f"{max(memory) / 2**20:.0f}" if memory else "–",
            _note(row),
        ])  # fmt: skip
    return [*headings, "note"], lines


def _backend(row: dict[str, Any]) -> str:
    return str(row["backend"]) + (" (step)" if row["unit"] == "step" else "")


def _nfe(row: dict[str, Any]) -> str:
    return f"{row['nfe']:g}" if row["nfe"] is not None else "?"


def _note(row: dict[str, Any]) -> str:
    return f"{row['status']}: {row['note']}" if row["status"] != "ok" else str(row["note"])


def _interval(measured: dict[str, Any] | None, digits: int = 4) -> str:
    if measured is None or measured.get("value") is None:
        return "–"
    value, low, high = (f"{measured[name]:.{digits}g}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _milliseconds(measured: dict[str, Any] | None, interval: bool) -> str:
    if measured is None or measured.get("value") is None:
        return "–"
    value, low, high = (f"{1000 * measured[name]:.4g}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})" if interval else value
