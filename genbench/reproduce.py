"""A record's cell, run again from the record alone: does it agree?

On the same class of machine (processor or GPU, system, versions of what computes) and with the same code, everything
must be equal bit by bit: the data, the weights, every measured value. Elsewhere a training may take another path from
the first rounding on, and it is the intervals that must agree: |a - b| <= z sqrt(s_a^2 + s_b^2), s the standard errors
that the intervals stand for, z such that all comparisons together err in one case of twenty (Bonferroni). Times are
never compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import msgspec
import torch

from genbench import catalog, construct, protocols, provenance
from genbench.errors import Refused
from genbench.files import locked
from genbench.plan import REAL, Cell
from genbench.record import Measurement, Record
from genbench.run import run_cell
from genbench.store import Store
from genbench.suite import Settings, split_label
from genbench.types import Dataset

REAL_ROWS = "genbench.run:real_rows"
MACHINE = ("device", "system", "cpu", "gpu", "threads", "python", "torch", "cuda", "numpy", "scipy", "scikit-learn")
TIMES = ("seconds_per_image",)
LEVEL = 0.95
_MOST_THREADS = 1024


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One line of the verdict; `agrees` is None where nothing is claimed."""

    name: str
    recorded: str
    again: str
    agrees: bool | None


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """What came out of running a record's cell again."""

    record: Record
    again: Record
    differs: tuple[str, ...]  # why bit-by-bit equality is not promised; empty where it is
    rows: tuple[Compared, ...]

    @property
    def bitwise(self) -> bool:
        """Whether equality bit by bit is what was asked for."""
        return not self.differs

    @property
    def agrees(self) -> bool:
        claims = [row.agrees for row in self.rows if row.agrees is not None]
        return bool(claims) and all(claims)


def reproduce(
    one: Record,
    store: Store,
    *,
    trust_code: bool = False,
    device: str | None = None,
    dataset: str | None = None,
    root: str | None = None,
    download: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> Reproduction:
    """Runs the cell of a record into a store of its own, and compares.

    Args:
        trust_code: imports what the record names, though no catalog does.
        device: instead of the kind that the record was made on.
        dataset: the name of the data, where a record does not hold it: `folder:PATH`.
    """
    cell = cell_of(one, trust_code=trust_code, device=device, dataset=dataset, root=root, download=download)
    if store.has_record(one.key):
        raise Refused(f"{store.root} holds the record {one.key} already; reproduce it into a folder of its own")
    differs = tuple(_differences(one, cell))
    say(f"{cell}: {one.cost.steps:,} steps, which took {one.cost.train_seconds + one.cost.evaluate_seconds:.0f} s")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(_threads(one))
        with locked(store.root):
            again = run_cell(cell, store, progress=progress)
    finally:
        torch.set_num_threads(before)
    return Reproduction(record=one, again=again, differs=differs, rows=tuple(compare(one, again, not differs)))


def cell_of(
    one: Record,
    *,
    trust_code: bool = False,
    device: str | None = None,
    dataset: str | None = None,
    root: str | None = None,
    download: bool = False,
) -> Cell:
    """The cell that a record says it is of; everything that the record says is checked before anything is imported."""
    _check_reproducible(one)
    _check_trusted(one, trust_code)
    name = dataset or _named("datasets", one.dataset.label, one.dataset.reference)
    data = construct.dataset(name, root=root, download=download)
    _check_data(one, data)
    settings = _settings(one)
    kind = device or str(one.environment.get("device", "cpu"))
    if kind.partition(":")[0] == "cuda" and not torch.cuda.is_available():
        raise Refused("the record was made on a CUDA device, which is not here; --device cpu compares within intervals")
    if one.model.reference == REAL_ROWS:
        return Cell(data=data, data_name=name, model=REAL, seed=0, settings=settings, device=kind)
    model = _named("models", one.model.label, one.model.reference)
    chosen = construct.model_class(split_label(model).name)
    if reason := chosen.supports(data.spec):
        raise Refused(f"{model} cannot serve {name}: {reason}")
    config = construct.override(
        chosen.Config.for_data(data.spec),  # type: ignore[attr-defined]
        one.model.config,
        f"the configuration of {model}",
    )
    recipe = construct.override(chosen.recipe(data.spec), dict(one.model.recipe), f"the recipe of {model}")
    return Cell(
        data=data,
        data_name=name,
        model=model,
        seed=one.seeds["train"],
        settings=settings,
        config=config,
        recipe=recipe,
        device=kind,
    )


# ------------------------------------------------------------------------------------------ what a record asks for


def _check_reproducible(one: Record) -> None:
    """Only what `genbench run` wrote is a cell; the rest says how it is made again."""
    if one.settings.get("measured") in ("speed", "sweep"):
        raise Refused(f"{one.key} is a measurement of speed; `genbench speed` measures it again, `compare` compares")
    if one.model.family == "pathology":
        raise Refused(f"{one.key} is damaged real data; `genbench stress` makes it again")
    seeds = {name: one.seeds.get(name) for name in ("train", "sample", "evaluate")}
    if seeds["sample"] != 0 or seeds["evaluate"] != 0 or not 0 <= (seeds["train"] or 0) < 2**32:
        raise Refused(f"{one.key} has the seeds {seeds}; a cell has train from 0 to 2^32 - 1, sample 0 and evaluate 0")
    if one.model.reference != REAL_ROWS and not one.model.recipe:
        raise Refused(f"{one.key} names no recipe: it is no record of a training")


def _check_trusted(one: Record, trust_code: bool) -> None:
    """A reference is an import: what no catalog names runs only where somebody says so."""
    ours = {target for shelf in ("models", "datasets") for target in catalog.shelf(shelf).values()} | {REAL_ROWS}
    asked = [one.model.reference, one.dataset.reference, *_references(one.model.config)]
    for reference in asked:
        if reference not in ours and not trust_code:
            raise Refused(
                f"{one.key} names {reference[:200]!r}, which no catalog does: to run it is to run its author's code; "
                "--trust-code does"
            )


def _references(value: Any) -> Iterator[str]:
    """Texts in a configuration that could name a module."""
    if isinstance(value, str) and ":" in value:
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _references(child)


def _named(shelf: catalog.Shelf, label: str, reference: str) -> str:
    """The name that gives a reference: its label where the catalog has it so, else the reference itself."""
    head = split_label(label).name
    known = catalog.shelf(shelf).get(head)
    if known is not None and known != reference:
        raise Refused(f"the record calls {reference} {head}, which is {known}")
    if known is not None:
        if shelf == "datasets" and head in catalog.WITH_ARGUMENT:
            raise Refused(f"a record does not say where its {head} lies; --dataset {head}:PATH does")
        return label
    return reference


def _check_data(one: Record, data: Dataset) -> None:
    """The same data: the same form, and for integer images the same bytes (points are rounded by each machine)."""
    spec = data.spec
    if (list(spec.shape), spec.levels, spec.classes) != (one.dataset.shape, one.dataset.levels, one.dataset.classes):
        raise Refused(f"{data.name} is {spec}; the record's data has another form")
    if spec.is_image and (changed := _changed_splits(one, data)):
        raise Refused(f"{data.name} is not the record's data: the checksum of {changed[0]} differs")


def _changed_splits(one: Record, data: Dataset) -> list[str]:
    splits = ("train", "validation", "test")
    return [split for split in splits if data.checksum(split) != one.dataset.checksums.get(split)]  # type: ignore[arg-type]


def _settings(one: Record) -> Settings:
    names = ("samples", "likelihood_images", "precision")
    asked: dict[str, Any] = {name: one.settings[name] for name in names if name in one.settings}
    if isinstance(metrics := one.settings.get("metrics"), str):
        asked["metrics"] = metrics.split()
        for name in asked["metrics"]:
            protocols.find(name)
    try:
        return msgspec.convert(asked, Settings)
    except msgspec.ValidationError as error:
        raise Refused(f"the settings of {one.key} are none: {error}") from None


def _threads(one: Record) -> int:
    """As many threads as the record had: the order of sums depends on them."""
    threads = one.environment.get("threads")
    if not isinstance(threads, int) or not 1 <= threads <= _MOST_THREADS:
        raise Refused(f"the record was made with {threads!r} threads, which is no number from 1 to {_MOST_THREADS}")
    return threads


# ------------------------------------------------------------------------------------------ the verdict


def _differences(one: Record, cell: Cell) -> Iterator[str]:
    """Why a record need not come out bit by bit here."""
    here = {**provenance.environment(torch.device(cell.device)), "threads": one.environment.get("threads")}
    for name in MACHINE:
        if one.environment.get(name) != here.get(name):
            yield f"{name} was {one.environment.get(name)}, here it is {here.get(name)}"
    if one.model.code != cell.code:
        yield "the code of the model or of its training has changed"
    elif one.key != cell.key:
        yield "the code that measures has changed"
    if changed := _changed_splits(one, cell.data):
        yield f"the data differs in {', '.join(changed)}"


def compare(one: Record, again: Record, bitwise: bool) -> Iterator[Compared]:
    """A line for the weights and one for every measurement of the record."""
    if one.model.weights:
        same = one.model.weights == again.model.weights
        agrees = same if bitwise else None
        yield Compared(
            name="weights", recorded=one.model.weights[:16], again=(again.model.weights or "")[:16], agrees=agrees
        )
    numbers = [m for m in one.measurements.values() if m.metric not in TIMES and m.value is not None]
    z = NormalDist().inv_cdf(1 - (1 - LEVEL) / 2 / max(1, len(numbers)))
    for name, recorded in one.measurements.items():
        found = again.measurements.get(name) or again.get(recorded.metric)
        words = str(found) if found else "not measured"
        verdict: bool | None
        if recorded.metric in TIMES:
            verdict = None
        elif bitwise:
            verdict = recorded == found
        else:
            verdict = found is not None and within(recorded, found, z)
        yield Compared(name=name, recorded=str(recorded), again=words, agrees=verdict)
    if bitwise and one.per_image:
        yield Compared(
            name="per image",
            recorded=", ".join(one.per_image),
            again=", ".join(again.per_image),
            agrees=one.per_image == again.per_image,
        )


def within(a: Measurement, b: Measurement, z: float) -> bool:
    """Whether two measurements differ by no more than z standard errors of their difference.

    The standard error of each is that of the half of its interval that faces the other.
    """
    if a.value is None or b.value is None:
        return a.status == b.status
    lower, upper = sorted((a, b), key=lambda m: m.value or 0.0)
    assert lower.value is not None
    assert lower.high is not None
    assert upper.value is not None
    assert upper.low is not None
    halves = math.hypot(lower.high - lower.value, upper.value - upper.low)
    error = halves / NormalDist().inv_cdf((1 + LEVEL) / 2)
    return upper.value - lower.value <= z * error + 1e-6 * max(abs(upper.value), abs(lower.value))
