"""Records -> groups: what a record is for, which dataset it is about, which make one row, which stand beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from genbench.comparable import canonical, hardware
from genbench.record import DatasetRun, Record
from leaderboard.typography import plain

Group = Literal["reference", "control", "model"]
GROUPS: dict[Group, str] = {
    "reference": "Real data",
    "control": "Controls",
    "model": "Models",
}

Use = Literal["row", "point", "damage"]


def use_of(record: Record) -> Use:
    """What a record is shown as: a row of a table, a point of a curve (quality against cost), or damaged real data."""
    if record.model.family == "pathology":
        return "damage"
    return "point" if record.settings.get("measured") == "sweep" else "row"


def joined(records: list[Record]) -> tuple[list[Record], dict[str, list[Record]]]:
    """Records that make rows, and for their keys those that say how fast the same weights sample on the same machine.

    What was measured of weights that no other record is about, or on another machine, has a row of its own.
    """
    rows = [one for one in records if one.settings.get("measured") != "speed"]
    owners: dict[bytes, list[Record]] = {}
    for one in rows:
        if one.model.weights is not None:
            owners.setdefault(_weights(one), []).append(one)
    beside: dict[str, list[Record]] = {}
    for one in sorted(records, key=lambda one: (one.created, one.key)):
        if one.settings.get("measured") == "speed":
            found = owners.get(_weights(one), [])
            for owner in found:
                beside.setdefault(owner.key, []).append(one)
            rows += [] if found else [one]
    return rows, beside


def _weights(record: Record) -> bytes:
    model = record.model
    return canonical([model.reference, model.config, model.weights, hardware(record)])


def whole(record: Record, beside: list[Record]) -> Record:
    """A record with the numbers of those beside it; its own go first, then those of the newest."""
    measurements = {name: m for one in beside for name, m in one.measurements.items()}
    return msgspec.structs.replace(record, measurements={**measurements, **record.measurements})


def dataset(data: DatasetRun) -> Any:
    """What makes a dataset: its name, shape and content."""
    return [data.label, data.reference, data.shape, data.levels, data.classes, data.checksums]


def checksum(record: Record) -> str:
    """The start of the test split's, to tell two contents under one name apart."""
    return (record.dataset.checksums.get("test") or next(iter(record.dataset.checksums.values()), "no checksum"))[:8]


def configuration(record: Record) -> Any:
    """What makes a row; the code is not part of it, so that records of older code give way to those of newer."""
    model = record.model
    return [model.reference, model.label, model.family, model.control, model.config, model.recipe, record.settings]


def group_of(record: Record) -> Group:
    """Whether a record is of real data, of a control or of a model."""
    if record.model.family == "reference":
        return "reference"
    return "control" if record.model.control else "model"


def machine(record: Record) -> str:
    """The class of hardware, as it is printed."""
    return plain(hardware(record))


def variants(groups: list[list[Record]]) -> list[str]:
    """What differs between rows of one label: `latent = 8, budget = 0.1`, three settings at most."""
    flat = [
        dict(_flat("", [g[0].model.config, g[0].model.recipe, g[0].settings, g[0].model.reference])) for g in groups
    ]
    by_label: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        by_label.setdefault(group[0].model.label, []).append(index)
    texts = [""] * len(groups)
    for members in by_label.values():
        every = sorted({name for index in members for name in flat[index]})
        names = [name for name in every if len({canonical(flat[index].get(name)) for index in members}) > 1]
        for index in members:
            own = flat[index]
            words = [f"{name} = {own[name]}" if name in own else f"no {name}" for name in names[:3]]
            texts[index] = plain(", ".join(words) + (", …" if len(names) > 3 else ""), 120)
    return texts


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if children is None:
        yield name or "reference", value
        return
    for child, inner in children:
        yield from _flat(child if isinstance(child, str) else name, inner)
