"""The table of a speed record: a row for each backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from genbench.record import Record
from genbench.speed.backends import BACKENDS


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
        elif m.metric in ("latency_p50", "images_per_second"):
            said = [part for part in m.method.split("; ") if part.startswith(("two modes", "drift"))]
            kind = "single" if m.metric == "latency_p50" else "offline"
            row["note"] = "; ".join(filter(None, [row["note"], *(f"{kind}: {part}" for part in said)]))
    fid = record.get("fid")
    return [{**row, "fid": msgspec.to_builtins(fid)} if fid else row for row in found.values()]


def printed(found: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Headings and lines of the table; a dash stands where there were too few runs."""
    curve = any("fid" in row for row in found)
    headings = [
        "model",
        "backend",
        "nfe",
        "p50, ms",
        "p90",
        "p95",
        "p99",
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
            row["backend"] + (" (step)" if row["unit"] == "step" else ""),
            f"{row['nfe']:g}" if row["nfe"] is not None else "?",
            *(_milliseconds(row.get(name), interval=name == "p50") for name in ("p50", "p90", "p95", "p99")),
            f"{rate['value']:.4g} ({best['value']:g})" if best and rate else "–",
            f"{sum(row['stages'].values()):.1f}" if row["stages"] else "–",
            f"{max(memory) / 2**20:.0f}" if memory else "–",
            *([f"{row['fid']['value']:.4g}" if row["fid"].get("value") is not None else "–"] if curve else []),
            f"{row['status']}: {row['note']}" if row["status"] != "ok" else row["note"],
        ])  # fmt: skip
    return [*headings, *(["FID"] if curve else []), "note"], lines


def _milliseconds(measured: dict[str, Any] | None, interval: bool) -> str:
    if measured is None or measured.get("value") is None:
        return "–"
    value, low, high = (f"{1000 * measured[name]:.4g}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})" if interval else value
