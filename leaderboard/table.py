"""Records -> tables: one section for each dataset, pure data that the page and the terminal both print.

A row is one configuration of one model; its records differ in the training seed alone. With one seed a cell holds the
measurement and its own interval, with more the mean over the seeds and its t-interval: both say which. A number that
does not exist says why. Only like is compared with like: likelihoods within one kind, speeds within one class of
hardware, metrics within one protocol.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from genbench import catalog
from genbench.comparable import canonical, newest
from genbench.record import Axis, DatasetRun, Record
from leaderboard.cells import KINDS, MISSING, Cell, Numbers, cell, combined
from leaderboard.columns import AXES, BESIDE, COLUMNS, Column, Heading, place
from leaderboard.grouping import (
    GROUPS,
    Group,
    Use,
    checksum,
    configuration,
    dataset,
    group_of,
    joined,
    machine,
    use_of,
    variants,
    whole,
)
from leaderboard.ranks import Front, fronts, ranked
from leaderboard.typography import count, measured, plain

__all__ = ["KINDS", "MISSING", "Cell", "Front", "Heading", "Row", "Section", "families", "grouped", "sections"]
_FIRST: dict[Group, int] = {group: index for index, group in enumerate(GROUPS)}


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

    @property
    def dataset(self) -> DatasetRun:
        return self.rows[0].records[0].dataset

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
        return self._headlines.get(axis)

    @cached_property
    def _headlines(self) -> dict[Axis, int]:
        return _headlines(self.headings, self.rows)

    @cached_property
    def by_family(self) -> dict[str, list[Row]]:
        """The models."""
        found: dict[str, list[Row]] = {}
        for row in self.rows_of("model"):
            found.setdefault(row.family, []).append(row)
        return found

    @cached_property
    def peers(self) -> dict[Axis, Counter[tuple[str, ...]]]:
        """How many models have an axis's headline number: by its peers, and by its peers and the family."""
        counts: dict[Axis, Counter[tuple[str, ...]]] = {}
        for axis, index in self._headlines.items():
            there = [(row.cells[index].peers, row.family) for row in self.rows_of("model") if row.cells[index].ok]
            counts[axis] = Counter([*there, *((peers,) for peers, _ in there)])
        return counts


def grouped(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Rows in their order under the titles of their groups."""
    found = {title: [row for row in rows if row.group == group] for group, title in GROUPS.items()}
    return [(title, inside) for title, inside in found.items() if inside]


def sections(records: Iterable[Record], use: Use = "row") -> list[Section]:
    """One section for each dataset, in the catalog's order; the same records give the same sections.

    Args:
        use: which of the records are wanted; the others are rows of no table.
    """
    records = [record for record in records if use_of(record) == use]
    by_dataset: dict[bytes, list[Record]] = {}
    for record in sorted(records, key=lambda one: one.key):
        by_dataset.setdefault(canonical(dataset(record.dataset)), []).append(record)
    known = list(catalog.DATASETS)
    labels = Counter(plain(group[0].dataset.label) for group in by_dataset.values())

    def order(identity: bytes) -> tuple[int, str, bytes]:
        label = by_dataset[identity][0].dataset.label
        return known.index(label) if label in known else len(known), label, identity

    everybody = {record.model.label for record in records if group_of(record) == "model"}
    found = []
    for index, identity in enumerate(sorted(by_dataset, key=order)):
        group = by_dataset[identity]
        title = plain(group[0].dataset.label)
        if labels[title] > 1:  # two contents under one name are two datasets
            title += f" ({checksum(group[0])})"
        found.append(_section(f"d{index + 1}", title, group, everybody))
    return found


def _section(anchor: str, title: str, records: list[Record], everybody: set[str]) -> Section:
    records, beside = joined(records)
    grouped: dict[bytes, list[Record]] = {}
    for record in records:
        grouped.setdefault(canonical(configuration(record)), []).append(record)
    shown = [newest(group) for group in grouped.values()]
    everything = [record for group in shown for record in group]
    complete = {one.key: Numbers(whole(one, beside.get(one.key, []))) for one in everything}
    headings, absent = _headings(list(complete.values()))
    rows = [
        replace(
            _row([complete[one.key] for one in group], variant, headings),
            records=tuple(group),
            companions=tuple(other for one in group for other in beside.get(one.key, [])),
        )
        for group, variant in zip(shown, variants(shown), strict=True)
    ]
    rows = _ordered(_compared(rows, headings), headings)
    rows = [replace(row, anchor=f"{anchor}-{index + 1}") for index, row in enumerate(rows)]
    notes: dict[str, int] = {}
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
        hardware=tuple(sorted({machine(record) for record in everything})),
        fronts=fronts(
            _headlines(headings, rows),
            headings,
            {index: row.cells for index, row in enumerate(rows) if row.group == "model"},
        ),
    )


def _headings(numbers: list[Numbers]) -> tuple[list[Heading], list[tuple[str, str]]]:
    """The columns that hold at least one number, and for the metrics that hold none the reason."""
    found: list[Heading] = []
    absent: list[tuple[str, str]] = []
    preferred = _preferred(numbers[0].record)

    def order(column: Column) -> tuple[int, int, int]:
        first = preferred.index(column.metric) if column.metric in preferred else len(preferred)
        return list(AXES).index(column.axis), first, place(column.metric)

    for column in sorted(COLUMNS, key=order):
        of_metric = [m for one in numbers for m in one.of(column.metric)]
        if column.merged:
            protocols = [""] if any(m.status == "ok" for m in of_metric) else []
        else:
            protocols = sorted({m.protocol for m in of_metric if m.status == "ok"})
        found += [Heading(column=column, protocol=protocol) for protocol in protocols]
        if of_metric and not protocols:
            reasons = sorted({plain(m.reason, 300) for m in of_metric})
            absent.append((column.heading, "; ".join(reasons[:3]) + ("; …" if len(reasons) > 3 else "")))
    return found, absent


_NAMED = {column.metric for column in COLUMNS} | BESIDE.keys()


def _row(numbers: list[Numbers], variant: str, headings: list[Heading]) -> Row:
    records = [one.record for one in numbers]
    first = records[0]
    further = sorted({name for one in records for name, m in one.measurements.items() if m.metric not in _NAMED})
    return Row(
        anchor="",
        group=group_of(first),
        label=plain(first.model.label),
        variant=variant,
        family=plain(first.model.family),
        parameters=max(one.cost.parameters for one in records),
        train_seconds=sum(one.cost.train_seconds for one in records) / len(records),
        cells=tuple(cell(numbers, heading) for heading in headings),
        further=tuple(
            (plain(name), combined([one.measurements.get(name) for one in records], None, records)) for name in further
        ),
        records=tuple(records),
    )


def _compared(rows: list[Row], headings: list[Heading]) -> list[Row]:
    """The rows with the ranks of the models among them, column by column."""
    models = [index for index, row in enumerate(rows) if row.group == "model"]
    columns = [
        ranked([rows[index].cells[column] for index in models], heading.column.better)
        for column, heading in enumerate(headings)
    ]
    found = list(rows)
    for index, cells in zip(models, zip(*columns, strict=True), strict=False):
        found[index] = replace(rows[index], cells=cells)
    return found


def _headlines(headings: Sequence[Heading], rows: Sequence[Row]) -> dict[Axis, int]:
    return {axis: index for axis in AXES if (index := _headline(headings, rows, axis)) is not None}


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


def _noted(row: Row, notes: dict[str, int]) -> Row:
    """Numbers the reasons of a row's cells; equal reasons share a note, which `notes` collects."""

    def note(cell: Cell) -> Cell:
        beside = tuple((title, note(inner)) for title, inner in cell.beside)
        if not cell.reason:
            return replace(cell, beside=beside) if beside else cell
        return replace(cell, note=notes.setdefault(cell.reason, len(notes) + 1), beside=beside)

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
