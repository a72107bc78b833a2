"""Records -> tables: one section for each dataset, pure data that the page and the terminal both print.

A row is one configuration of one model; its records differ in the training seed alone. With one seed a cell holds the
measurement and its own interval, with more the mean over the seeds and its t-interval: both say which. A number that
does not exist says why. Only like is compared with like: likelihoods within one kind, speeds within one class of
hardware, metrics within one protocol.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from genbench import catalog
from genbench.record import DIRECTION, Axis, Kind, Measurement, Record
from genbench.stats import mean_interval
from leaderboard.columns import AXES, BESIDE, COLUMNS, Column, place
from leaderboard.typography import count, measured, plain

Group = Literal["reference", "control", "model"]
GROUPS: dict[Group, str] = {
    "reference": "Real data",
    "control": "Controls",
    "model": "Models",
}
MISSING = {
    "undefined": "not defined",
    "invalid": "not valid",
    "unavailable": "not available",
    "absent": "not measured",
}
_LARGEST = 1e30  # what a mean, a figure or a page can still deal with
_HARDWARE = ("system", "cpu", "cores", "threads", "device", "gpu")
_FIRST: dict[Group, int] = {group: index for index, group in enumerate(GROUPS)}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A number with its interval and what it may be compared with, or the reason why there is none.

    `value`, `low`, `high` are in the column's unit; `peers` names what is alike enough to be compared; `note` counts
    from 1 and points into the section's notes; `beside` are further numbers of the same cell with their headings.
    `rank` is an interval: the best and the worst place among the models with a number of the same peers that the tests
    leave open, None for reference rows, for columns without a direction, and where there is nobody to compare with.
    `minimum` is the best value of a single training seed, where there are several; `best` marks the best tie group of
    the cell's peers, where that is not all of them.
    """

    status: Literal["ok", "undefined", "invalid", "unavailable", "absent"]
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    kind: Kind | None = None
    protocol: str = ""  # where the column does not say it
    peers: str = ""
    sign: str = ""  # ≥ or ≤ before a bound, ≈ before an estimate
    seeds: int = 0
    level: float = 0.95
    rank: tuple[int, int] | None = None
    minimum: float | None = None
    best: bool = False
    reason: str = ""
    note: int | None = None
    beside: tuple[tuple[str, Cell], ...] = ()

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def tied(self) -> bool:
        """Whether it is in the best tie group: no model of its peers is significantly better."""
        return self.rank is not None and self.rank[0] == 1

    @property
    def text(self) -> str:
        """The value as it is printed, with a sign for bounds and estimates; or the words for a missing one."""
        if not self.ok:
            return MISSING[self.status]
        return f"{self.sign}\u2009{self._texts[0]}" if self.sign else self._texts[0]

    @property
    def interval(self) -> str:
        return self._texts[1] if self.ok else ""

    @property
    def kind_text(self) -> str:
        """`IWAE, lower bound`: what stands beside a likelihood."""
        if self.kind is None:
            return self.protocol
        direction = DIRECTION[self.kind]
        return direction if direction == self.kind else f"{KINDS[self.kind]}, {direction}"

    @property
    def _texts(self) -> tuple[str, str]:
        return measured(self.value, self.low, self.high)


KINDS: dict[Kind, str] = {
    "exact": "exact",
    "dequantized": "dequantized",
    "elbo": "ELBO",
    "iwae": "IWAE",
    "vlb": "VLB",
    "ais": "AIS",
    "ode": "ODE",
}


@dataclass(frozen=True, kw_only=True)
class Heading:
    """A column of a section: a metric, and the protocol that its numbers share."""

    column: Column
    protocol: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """One configuration of one model on one dataset; `cells` are in the order of the section's headings."""

    anchor: str
    group: Group
    label: str
    variant: str  # what tells it from another row with the same label
    family: str
    parameters: int
    train_seconds: float
    cells: tuple[Cell, ...]
    further: tuple[tuple[str, Cell], ...]  # measurements that have no column
    records: tuple[Record, ...]  # one for each training seed
    companions: tuple[Record, ...] = ()  # how fast the same weights sample: further numbers of the same row

    @property
    def name(self) -> str:
        return f"{self.label} ({self.variant})" if self.variant else self.label

    @property
    def seeds(self) -> int:
        return len(self.records)


@dataclass(frozen=True, kw_only=True)
class Front:
    """Which models are Pareto-optimal in the headline numbers of two or three axes.

    Rows are named by their index in the section; reference rows take no part. A model is `dominated` if another is at
    least as good in every number and better in one; it is dominated `beyond` the intervals if that stays so wherever
    inside their intervals the true values of both lie. Whoever lacks a number, or was timed elsewhere, is left out.
    """

    axes: tuple[Axis, ...]
    headings: tuple[int, ...]  # one for each axis
    hardware: str  # the class that the speeds are of; empty without the axis of speed
    on: tuple[int, ...]
    dominated: tuple[int, ...]
    beyond: tuple[int, ...]
    left_out: tuple[tuple[int, str], ...]  # row, why


@dataclass(frozen=True, kw_only=True)
class Section:
    """One dataset's table. `notes` hold the reasons that cells point to, `absent` metrics without any number."""

    anchor: str
    title: str
    about: str
    headings: tuple[Heading, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    absent: tuple[tuple[str, str], ...]  # heading of a metric, why nobody has it here
    missing: tuple[str, ...]  # models that have records on another dataset only
    superseded: int  # older records of a row and seed that is shown
    hardware: tuple[str, ...]
    fronts: tuple[
        Front, ...
    ] = ()  # speed-quality, speed-diversity, diversity-quality, all three; a class of hardware each

    def rows_of(self, group: Group) -> list[Row]:
        return [row for row in self.rows if row.group == group]

    def columns(self, detail: bool = False) -> list[int]:
        """The indices of the headings of the table, or of the second one, which holds the details."""
        return [index for index, heading in enumerate(self.headings) if heading.column.detail == detail]

    def axes(self, columns: Sequence[int]) -> list[tuple[str, int]]:
        """Axis headings over some columns: name and number of columns."""
        counts = Counter(self.headings[index].column.axis for index in columns)
        return [(title, counts[axis]) for axis, title in AXES.items() if counts[axis]]

    def headline(self, axis: Axis) -> int | None:
        """Index of the heading that stands for an axis: the first that most of the models have a number for."""
        return _headline(self.headings, self.rows, axis)


def sections(records: Sequence[Record]) -> list[Section]:
    """One section for each dataset, in the catalog's order; the same records give the same sections."""
    by_dataset: dict[bytes, list[Record]] = {}
    for record in sorted(records, key=lambda one: one.key):
        by_dataset.setdefault(_canonical(_dataset(record)), []).append(record)
    known = list(catalog.DATASETS)
    labels = Counter(plain(group[0].dataset.label) for group in by_dataset.values())

    def order(identity: bytes) -> tuple[int, str, bytes]:
        label = by_dataset[identity][0].dataset.label
        return known.index(label) if label in known else len(known), label, identity

    everybody = {record.model.label for record in records if _group(record) == "model"}
    found = []
    for index, identity in enumerate(sorted(by_dataset, key=order)):
        group = by_dataset[identity]
        title = plain(group[0].dataset.label)
        if labels[title] > 1:  # two contents under one name are two datasets
            title += f" ({_checksum(group[0])})"
        found.append(_section(f"d{index + 1}", title, group, everybody))
    return found


def _section(anchor: str, title: str, records: list[Record], everybody: set[str]) -> Section:
    records, beside = _joined(records)
    grouped: dict[bytes, list[Record]] = {}
    for record in records:
        grouped.setdefault(_canonical(_configuration(record)), []).append(record)
    shown = [_newest(group) for group in grouped.values()]
    everything = [record for group in shown for record in group]
    whole = {one.key: _whole(one, beside.get(one.key, [])) for one in everything}
    headings, absent = _headings(list(whole.values()))
    hardware = sorted({_hardware(record) for record in everything})
    variants = _variants(shown)
    rows = [
        replace(
            _row([whole[one.key] for one in group], variant, headings),
            records=tuple(group),
            companions=tuple(other for one in group for other in beside.get(one.key, [])),
        )
        for group, variant in zip(shown, variants, strict=True)
    ]
    rows = _ordered(_mark_best(rows, headings), headings)
    rows = [replace(row, anchor=f"{anchor}-{index + 1}") for index, row in enumerate(rows)]
    notes: list[str] = []
    rows = [_noted(row, notes) for row in rows]
    return Section(
        anchor=anchor,
        title=title,
        about=_about(everything[0]),
        headings=tuple(headings),
        rows=tuple(rows),
        notes=tuple(notes),
        absent=tuple(absent),
        missing=tuple(sorted(plain(label) for label in everybody - {one.model.label for one in everything})),
        superseded=len(records) - len(everything),
        hardware=tuple(hardware),
    )


def _joined(records: list[Record]) -> tuple[list[Record], dict[str, list[Record]]]:
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
    return _canonical([model.reference, model.config, model.weights, _hardware(record)])


def _whole(record: Record, beside: list[Record]) -> Record:
    """A record with the numbers of those beside it; its own go first, then those of the newest."""
    measurements = {name: m for one in beside for name, m in one.measurements.items()}
    return msgspec.structs.replace(record, measurements={**measurements, **record.measurements})


def _canonical(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def _dataset(record: Record) -> Any:
    data = record.dataset
    return [data.label, data.reference, data.shape, data.levels, data.classes, data.checksums]


def _checksum(record: Record) -> str:
    return (record.dataset.checksums.get("test") or next(iter(record.dataset.checksums.values()), "no checksum"))[:8]


def _configuration(record: Record) -> Any:
    """What makes a row; the code is not part of it, so that records of older code give way to those of newer."""
    model = record.model
    return [model.reference, model.label, model.family, model.control, model.config, model.recipe, record.settings]


def _group(record: Record) -> Group:
    if record.model.family == "reference":
        return "reference"
    return "control" if record.model.control else "model"


def _newest(group: list[Record]) -> list[Record]:
    """One record for each training seed, all of the newest record's code."""
    newest = max(group, key=lambda one: (one.created, one.key))
    by_seed: dict[int, Record] = {}
    for record in sorted(group, key=lambda one: (one.created, one.key)):
        if record.model.code == newest.model.code:
            by_seed[_seed(record)] = record
    return [by_seed[seed] for seed in sorted(by_seed)]


def _seed(record: Record) -> int:
    return record.seeds.get("train", 0)


def _hardware(record: Record) -> str:
    found = {name: record.environment.get(name) for name in _HARDWARE}
    words = [found["gpu"] or found["cpu"] or found["device"] or "unknown machine", found["system"]]
    words += [f"{name}: {found[name]}" for name in ("cores", "threads") if found[name] is not None]
    if found["device"] == "cuda" and not found["gpu"]:
        words.append("cuda")
    return plain(", ".join(str(word) for word in words if word))


def _variants(groups: list[list[Record]]) -> list[str]:
    """What differs between rows of one label: `latent = 8, budget = 0.1`, three settings at most."""
    flat = [
        dict(_flat("", [g[0].model.config, g[0].model.recipe, g[0].settings, g[0].model.reference])) for g in groups
    ]
    texts = []
    for group, own in zip(groups, flat, strict=True):
        others = [
            other
            for one, other in zip(groups, flat, strict=True)
            if one[0].model.label == group[0].model.label and other is not own
        ]
        names = sorted(
            {name for other in others for name in own.keys() | other.keys() if own.get(name) != other.get(name)}
        )
        words = [f"{name} = {own[name]}" if name in own else f"no {name}" for name in names[:3]]
        texts.append(plain(", ".join(words) + (", …" if len(names) > 3 else ""), 120))
    return texts


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if children is None:
        yield name or "reference", value
        return
    for child, inner in children:
        yield from _flat(child if isinstance(child, str) else name, inner)


def _headings(records: list[Record]) -> tuple[list[Heading], list[tuple[str, str]]]:
    """The columns that hold at least one number, and for the metrics that hold none the reason."""
    found: list[Heading] = []
    absent: list[tuple[str, str]] = []
    preferred = _preferred(records[0])

    def order(column: Column) -> tuple[int, int, int]:
        first = preferred.index(column.metric) if column.metric in preferred else len(preferred)
        return list(AXES).index(column.axis), first, place(column.metric)

    for column in sorted(COLUMNS, key=order):
        of_metric = [m for record in records for m in record.measurements.values() if m.metric == column.metric]
        if column.merged:
            protocols = [""] if any(m.status == "ok" for m in of_metric) else []
        else:
            protocols = sorted({m.protocol for m in of_metric if m.status == "ok"})
        found += [Heading(column=column, protocol=protocol) for protocol in protocols]
        if of_metric and not protocols:
            reasons = sorted({plain(m.reason, 300) for m in of_metric})
            absent.append((column.heading, "; ".join(reasons[:3]) + ("; …" if len(reasons) > 3 else "")))
    return found, absent


def _row(records: list[Record], variant: str, headings: list[Heading]) -> Row:
    first = records[0]
    named = {heading.column.metric for heading in headings} | BESIDE.keys() | {column.metric for column in COLUMNS}
    further = sorted({name for one in records for name, m in one.measurements.items() if m.metric not in named})
    return Row(
        anchor="",
        group=_group(first),
        label=plain(first.model.label),
        variant=variant,
        family=plain(first.model.family),
        parameters=max(one.cost.parameters for one in records),
        train_seconds=sum(one.cost.train_seconds for one in records) / len(records),
        cells=tuple(_cell(records, heading) for heading in headings),
        further=tuple(
            (plain(name), _combined([one.measurements.get(name) for one in records], None, records)) for name in further
        ),
        records=tuple(records),
    )


def _cell(records: list[Record], heading: Heading) -> Cell:
    column = heading.column
    cell = _combined([_find(one, column, heading.protocol) for one in records], column, records)
    beside = []
    for metric in column.beside:
        found = [one.get(metric) for one in records]
        if any(found) and cell.kind != metric:
            beside.append((BESIDE[metric], _combined(found, None, records)))
    return replace(cell, beside=tuple(beside))


def _find(record: Record, column: Column, protocol: str) -> Measurement | None:
    """The measurement under a column's protocol; one without a number stands for every protocol."""
    found = [m for m in record.measurements.values() if m.metric == column.metric]
    fitting = [m for m in found if column.merged or m.protocol == protocol]
    return next(iter(fitting or [m for m in found if m.status != "ok"]), None)


def _combined(found: Sequence[Measurement | None], column: Column | None, records: list[Record]) -> Cell:
    """One cell from one measurement for each training seed."""
    speed = column is not None and column.axis == "speed"
    machine = _hardware(records[-1])
    good = [
        (m, one)
        for m, one in zip(found, records, strict=True)
        if m is not None and m.status == "ok" and not (speed and _hardware(one) != machine)
    ]
    if any(abs(end) > _LARGEST for m, _ in good for end in (m.value or 0.0, m.low or 0.0, m.high or 0.0)):
        return Cell(status="invalid", reason=f"a number beyond {_LARGEST:.0e} is no measurement")
    if good and len({(m.kind, m.protocol) for m, _ in good}) > 1:
        return Cell(status="invalid", reason="its seeds were measured under different protocols")
    if not good:
        return _without_number(found, column, records[0])
    first = good[0][0]
    value, low, high = _mean([m for m, _ in good], column)
    left_out = sorted({plain(m.reason, 300) for m in found if m is not None and m.status != "ok"})
    reason = f"{len(good)} of {len(found)} seeds" if len(good) < len(found) else ""
    if reason and left_out:
        reason += f"; the others: {'; '.join(left_out)}"
    elif reason and speed:
        reason += f", those measured on {machine}"
    protocol = plain(first.protocol, 120) if column is not None and column.merged else ""
    cell = Cell(
        status="ok", value=value, low=low, high=high,
        kind=first.kind, sign=_sign(first.kind, column), protocol=protocol,
        seeds=len(good), level=first.level if len(good) == 1 else 0.95, reason=reason,
        peers=machine if speed else first.kind or protocol,
    )  # fmt: skip
    return _scaled(cell, column.scale if column else 1.0)


def _sign(kind: Kind | None, column: Column | None) -> str:
    """What a kind says of the true value: of a likelihood it is a lower bound, of a code length an upper one."""
    if kind is None or DIRECTION[kind] == "exact":
        return ""
    if DIRECTION[kind] == "estimate":
        return "≈"
    return "≥" if column is None or column.better == "higher" else "≤"


def _mean(good: list[Measurement], column: Column | None) -> tuple[float, float, float]:
    """The measurement itself, or the mean over seeds with its t-interval, cut to the metric's range."""
    values = [m.value for m in good if m.value is not None]
    only = good[0]
    if len(good) == 1 and only.value is not None and only.low is not None and only.high is not None:
        return only.value, only.low, only.high
    interval = mean_interval(values)
    if column is not None:
        interval = interval.clipped(column.lowest, column.highest)
    return math.fsum(values) / len(values), interval.low, interval.high


def _without_number(found: Sequence[Measurement | None], column: Column | None, record: Record) -> Cell:
    stated = [m for m in found if m is not None and m.status != "ok"]
    if stated:
        reasons = sorted({plain(m.reason, 300) for m in stated})
        worst = min(stated, key=lambda m: list(MISSING).index(m.status))
        return Cell(status=worst.status, reason="; ".join(reasons))
    if column is not None and column.axis == "likelihood" and record.model.likelihood is None:
        who = "real data" if _group(record) == "reference" else plain(record.model.label)
        return Cell(status="undefined", reason=f"{who} defines no likelihood")
    return Cell(status="absent")


def _scaled(cell: Cell, scale: float) -> Cell:
    if not cell.ok or scale == 1.0:
        return cell
    low, high = sorted((cell.low * scale, cell.high * scale))
    return replace(cell, value=cell.value * scale, low=low, high=high)


def _mark_best(rows: list[Row], headings: list[Heading]) -> list[Row]:
    """Marks the best model of each column, and those whose interval overlaps the best one's.

    Only where two models or more have a number of the same kind: one alone is not best.
    """
    best: set[tuple[int, int]] = set()
    for column, heading in enumerate(headings):
        better = heading.column.better
        candidates = [
            (index, row.cells[column])
            for index, row in enumerate(rows)
            if row.group == "model" and row.cells[column].ok
        ]
        for peers in {cell.peers for _, cell in candidates} if better else ():
            alike = [(index, cell) for index, cell in candidates if cell.peers == peers]
            pick = min if better == "lower" else max
            _, top = pick(alike, key=lambda pair: pair[1].value)
            tied = [index for index, cell in alike if cell.low <= top.high and top.low <= cell.high]
            if len(alike) > 1 and len(tied) < len(alike):
                best |= {(index, column) for index in tied}
    return [
        replace(
            row, cells=tuple(replace(cell, best=(index, column) in best) for column, cell in enumerate(row.cells))
        )
        for index, row in enumerate(rows)
    ]  # fmt: skip


def _headline(headings: Sequence[Heading], rows: Sequence[Row], axis: Axis) -> int | None:
    models = [row for row in rows if row.group == "model"] or rows
    counts = {
        index: sum(row.cells[index].ok for row in models)
        for index, heading in enumerate(headings)
        if heading.column.axis == axis and heading.column.better
    }
    return max(counts, key=lambda index: counts[index], default=None)


def _preferred(record: Record) -> list[str]:
    """Metrics that go before the others of their axis: densities have no bits, and a known law beats features."""
    names = ["nats"] if record.dataset.levels is None else []
    return names + (["high_quality", "validity", "modes_captured"] if record.dataset.entropy is not None else [])


def _ordered(rows: list[Row], headings: list[Heading]) -> list[Row]:
    """Reference, controls, models; inside each by the headline of quality, rows without that number last."""
    quality = _headline(headings, rows, "quality")

    def order(row: Row) -> tuple[int, bool, float, str, str, str]:
        cell = row.cells[quality] if quality is not None else Cell(status="absent")
        sign = -1.0 if quality is not None and headings[quality].column.better == "higher" else 1.0
        value = sign * cell.value if cell.ok else 0.0
        return _FIRST[row.group], not cell.ok, value, row.label, row.variant, row.records[0].key

    return sorted(rows, key=order)


def _noted(row: Row, notes: list[str]) -> Row:
    """Numbers the reasons of a row's cells; equal reasons share a note, which `notes` collects."""

    def note(cell: Cell) -> Cell:
        beside = tuple((title, note(inner)) for title, inner in cell.beside)
        if not cell.reason:
            return replace(cell, beside=beside)
        if cell.reason not in notes:
            notes.append(cell.reason)
        return replace(cell, note=notes.index(cell.reason) + 1, beside=beside)

    return replace(
        row,
        cells=tuple(note(cell) for cell in row.cells),
        further=tuple((name, note(cell)) for name, cell in row.further),
    )


def _about(record: Record) -> str:
    data = record.dataset
    if len(data.shape) == 3:
        channels, height, width = data.shape
        kind = f"images of {height} × {width}, {channels} channel{'s' * (channels > 1)}"
    else:
        kind = f"points in {' × '.join(str(size) for size in data.shape)} dimensions"
    words = [kind]
    if data.levels is not None:
        words.append(f"{count(data.levels)} levels")
    if data.classes is not None:
        words.append(f"{count(data.classes)} classes")
    if data.entropy is not None:
        entropy, error = data.entropy
        value, _ = measured(entropy, entropy - 2 * error, entropy + 2 * error)
        words.append(f"entropy {value} nats (standard error {error:.2g})")
    return ", ".join(words)


def families(found: Iterable[Section]) -> list[str]:
    """The families of all models, in alphabetical order: what colours and markers are given to."""
    return sorted({row.family for section in found for row in section.rows if row.group == "model"})
