"""How fast a model samples: one cell (a model, its weights, a dataset, a device) on some backends -> a record.

Every backend is a lane, a fresh process. The lanes are made ready one after the other, pass the parity gate or are out,
then are timed in turns; what memory they take is measured in processes of its own afterwards. The record stands beside
the quality record of the same weights, whose sha256 it names, under a key of its own.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch

from genbench import construct, plan, provenance
from genbench.catalog import did_you_mean, reference
from genbench.errors import Refused, Unavailable, Unusable
from genbench.evaluate import evaluate
from genbench.lane import Job, Lane
from genbench.noise import Recorded, Replay, Streams
from genbench.record import SCHEMA, Cost, Measurement, ModelRun, Record, Scalar
from genbench.run import dataset_run
from genbench.sample import sample
from genbench.speed import nvml
from genbench.speed.backends import BACKENDS
from genbench.speed.protocol import (
    SCENARIOS,
    Full,
    Lost,
    Series,
    Sweep,
    interleaved,
    latencies,
    missing,
    offline,
    share,
    single,
    single_number,
    throughput,
)
from genbench.store import Store, load
from genbench.suite import Settings, split_label
from genbench.train import _Flops as FlopCounter
from genbench.types import Dataset, Model

Unit = Literal["auto", "sampler", "step", "both"]
UNITS: tuple[Unit, ...] = ("auto", "sampler", "step", "both")
_STAGES = ("import", "load", "export", "compile", "capture", "first call")
_ENERGY = 3.0  # seconds: the GPU's counter moves some ten times a second
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How to measure.

    Args:
        unit: what a backend runs: the whole sampler, its step with the loop outside, or both; "auto" tries the sampler
            and takes the step where a backend cannot run the sampler.
        seconds: of timed calls for each lane and scenario, twice that for "offline".
        limit: seconds until a process that has not answered is killed.
        processes: how often each lane is started, so that intervals hold what differs from process to process.
        memory: whether to see what memory it takes, in those that are started later, before they are timed.
    """

    backends: tuple[str, ...] = ("eager",)
    scenarios: tuple[str, ...] = SCENARIOS
    unit: Unit = "auto"
    device: str = "cpu"
    seconds: float = 10.0
    limit: float = 600.0
    processes: int = 3
    memory: bool = True

    def __post_init__(self) -> None:
        for what, given, known in (("backend", self.backends, BACKENDS), ("scenario", self.scenarios, SCENARIOS)):
            if not given:
                raise Refused(f"name at least one {what}: {', '.join(known)}")
            for name in given:
                if name not in known:
                    raise Refused(f"there is no {what} {name!r}{did_you_mean(name, known)}")
            if len(set(given)) < len(given):
                raise Refused(f"a {what} is named twice: {', '.join(given)}")
        if self.unit not in UNITS:
            raise Refused(f"there is no unit {self.unit!r}{did_you_mean(self.unit, UNITS)}")
        if not 1 <= self.processes <= 100:
            raise Refused(f"a lane is started 1 to 100 times, not {self.processes}")
        if not (0.0 < self.seconds <= 86_400.0 and 0.0 < self.limit <= 86_400.0):
            raise Refused(f"the budget and the limit lie above 0 and up to 86400 s; got {self.seconds}, {self.limit}")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is measured: a model by its label, with its weights, for a dataset.

    `config` says all of its configuration, where the label does not (a suite may).
    """

    label: str
    data: Dataset
    data_name: str
    weights: Path | None = None
    seed: int = 0
    data_root: Path | None = None
    config: dict[str, Any] | None = None

    def built(self) -> Model:
        """The model on the CPU with its weights."""
        name, overrides, sampler = split_label(self.label)
        if self.config is not None:
            overrides, sampler = self.config, None
        config = construct.configure(name, self.data.spec, overrides, sampler)
        model = construct.build_configured(construct.model_class(name), self.data.spec, config, self.seed)
        return load(model, self.weights) if self.weights else model

    def cell(self, model: Model, device: str) -> plan.Cell:
        """As `run` knows it."""
        return plan.Cell(
            data=self.data,
            data_name=self.data_name,
            model=self.label,
            seed=self.seed,
            settings=Settings(),
            config=model.config,
            device=device,
        )


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is true of a sampler on every machine, counted while it makes one image on the CPU."""

    draws: list[tuple[str, tuple[int, ...]]]  # law and shape of all that it draws, in order
    flops: float
    calls: int | None  # of the step's module


@dataclass
class Found:
    """What is known of a lane; `out` says why it is not timed any more."""

    backend: str
    what: str
    where: str
    lane: Lane | None = None
    measurements: list[Measurement] = field(default_factory=list)
    report: dict[str, float] = field(default_factory=dict)
    latency: Series | None = None
    sweep: Sweep | None = None
    out: bool = False

    @property
    def name(self) -> str:
        return f"{self.backend},{self.what}"

    @property
    def protocol(self) -> str:
        return f"{self.name},{self.where}"

    @property
    def at_one(self) -> str:
        return f"{self.protocol},batch=1"

    def times(self) -> list[Measurement]:
        """What was timed, over all processes."""
        found = latencies(self.latency, self.at_one) if self.latency else []
        return found + (throughput(self.sweep, self.protocol) if self.sweep else [])

    @property
    def batches(self) -> dict[str, int]:
        """Whose memory is measured, by the words that stand for it."""
        found = {"batch=1": 1} if self.latency else {}
        if self.sweep and self.sweep.rates and (self.sweep.best.batch > 1 or not found):
            found["best batch"] = self.sweep.best.batch
        return found

    def drop(self, status: Literal["unavailable", "invalid"], reason: str, scenarios: Sequence[str]) -> None:
        """No numbers of it count, and why."""
        self.out = True
        if "single" in scenarios:
            self.measurements.append(missing("latency_p50", self.at_one, status, reason))
        if "offline" in scenarios:
            self.measurements.append(missing("images_per_second", self.protocol, status, reason))


def facts(model: Model) -> Facts:
    """Draws, FLOPs and network calls for one image."""
    recorded = Recorded(Streams(0, range(1)))
    with torch.no_grad(), FlopCounter() as counter:  # without gradients, not in inference mode, which hides products
        model.sample(recorded)
    if not recorded.tensors:
        raise Refused(f"{type(model).__name__} draws no noise when it samples, so that there is nothing to replay")
    calls, unit = None, model.step()
    if unit is not None:
        calls = 0

        def counted(*tensors: torch.Tensor) -> Any:
            nonlocal calls
            calls = (calls or 0) + 1
            return unit.module(*tensors)

        with torch.inference_mode():
            unit.drive(counted, Replay(recorded.tensors))
    draws = [(law, tuple(t.shape[1:])) for law, t in zip(recorded.kinds, recorded.tensors, strict=True)]
    return Facts(draws=draws, flops=counter.total, calls=calls)


def speed(
    subject: Subject,
    terms: Terms,
    store: Store,
    *,
    samples: int = 0,
    again: bool = True,
    say: Say = lambda _: None,
) -> Record:
    """Measures a cell and writes its record.

    Args:
        samples: of which FID is measured as well, for a curve of quality against time; 0 for none.
        again: measures what was measured before once more, into another record; else the first record is returned.
        say: is told what is being done.
    """
    _alone(torch.device(terms.device))
    model = subject.built()
    cell = subject.cell(model, terms.device)
    settings: dict[str, Scalar] = {
        "measured": "speed",
        "backends": ",".join(terms.backends),
        "scenarios": ",".join(terms.scenarios),
        "unit": terms.unit,
        "seconds": terms.seconds,
        "processes": terms.processes,
        "samples": samples,
    }
    described = _described(cell, model)
    keys = _keys(described, cell, settings)
    number, key = next(keys)
    while store.has_record(key):
        if not again:
            return store.read_record(key)
        number, key = next(keys)
    known = facts(model)
    lanes, environment = _lanes(subject, terms, model, known, say)
    measurements = _facts(model, known)
    for found in lanes:
        measurements += found.measurements + found.times()
    began = time.perf_counter()
    if samples:
        say(f"{subject.label}: FID of {samples} samples")
        measurements += _quality(model, subject.data, samples)
    result = Record(
        schema=SCHEMA,
        key=key,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        model=described,
        dataset=dataset_run(subject.data, subject.data_name),
        seeds={"train": subject.seed, "repeat": number},
        settings=settings,
        environment=environment,
        cost=Cost(
            parameters=sum(p.numel() for p in model.parameters()),
            steps=0,
            images=0,
            train_seconds=0.0,
            flops=None,
            sample_seconds=0.0,
            evaluate_seconds=time.perf_counter() - began,
        ),
        curves={},
        report={name: value for found in lanes for name, value in found.report.items()},
        measurements={m.name: m for m in measurements},
        assets={},
    )
    store.write_record(result, {})
    return result


def speed_of_plan(
    work: plan.Plan, terms: Terms, store: Store, say: Say = lambda _: None
) -> tuple[list[Record], dict[str, str]]:
    """Measures every cell of a plan that has finished weights, controls excepted; what was measured is not again.

    Returns:
        the records, and the reasons of the cells that failed.
    """
    found, failed = [], {}
    for cell in work.cells:
        weights = store.root / "weights" / cell.weights_key / "model.safetensors"
        if cell.config is not None and weights.exists() and not cell.model_class.control:
            subject = Subject(
                label=cell.model,
                data=cell.data,
                data_name=cell.data_name,
                weights=weights,
                seed=cell.seed,
                config=cell.plain_config,
            )
            try:
                found.append(speed(subject, terms, store, again=False, say=say))
            except Unusable:
                raise
            except Exception as error:
                failed[f"{cell} / speed"] = f"{type(error).__name__}: {error}"
    return found, failed


def _lanes(
    subject: Subject, terms: Terms, model: Model, known: Facts, say: Say
) -> tuple[list[Found], dict[str, Scalar]]:
    """All backends in all of their processes, and what these say of where they ran."""
    device = torch.device(terms.device)
    with tempfile.TemporaryDirectory(prefix="genbench-", ignore_cleanup_errors=True) as scratch:
        job = _job(subject, terms, model, known, scratch)
        with ExitStack() as running:
            lanes = list(_started(job, model, terms, running, say))
            _timed(lanes, terms, say)
            environment = next((f.lane.environment for f in lanes if f.lane), provenance.environment(device))
        _alone(device)
        for number in range(1, max(terms.processes, 3 if terms.memory else 1)):
            with ExitStack() as running:
                _again(number, [found for found in lanes if not found.out], job, terms, running, say)
    return lanes, environment


def _alone(device: torch.device) -> None:
    """A GPU on which somebody else computes gives times that are nobody's."""
    count = nvml.processes(device)
    if count:
        raise Refused(
            f"on {device} {count} other process{'es compute' if count > 1 else ' computes'}; "
            "its times would be mixed with ours: wait, or choose another device"
        )


def _job(subject: Subject, terms: Terms, model: Model, known: Facts, scratch: str) -> Job:
    spec = subject.data.spec
    return Job(
        model=split_label(subject.label).name,
        config=plan.plain(model.config),
        dataset=subject.data_name,
        data_root=str(subject.data_root) if subject.data_root else None,
        shape=spec.shape,
        levels=spec.levels,
        classes=spec.classes,
        weights=str(subject.weights.resolve()) if subject.weights else None,
        seed=subject.seed,
        device=terms.device,
        backend="",
        what="",
        scratch=scratch,
        draws=known.draws,
    )


def _facts(model: Model, known: Facts) -> list[Measurement]:
    found = [single_number("parameters", sum(p.numel() for p in model.parameters()))]
    if model.nfe is not None:
        found.append(single_number("nfe", model.nfe, method="network evaluations for an image, as the model states"))
    if known.calls is not None:
        found.append(single_number("network_calls", known.calls, method="calls of the step for an image, counted"))
    method = "products, convolutions and attention for one image, multiply and add as two, counted"
    return [*found, single_number("flops_per_image", known.flops, method=method)]


def _where(terms: Terms) -> str:
    kind = torch.device(terms.device).type
    return f"cpu,threads={torch.get_num_threads()}" if kind == "cpu" else kind


def _started(job: Job, model: Model, terms: Terms, running: ExitStack, say: Say) -> Iterator[Found]:
    """Every lane, ready and through its gate, or out with the reason; one after the other."""
    for backend in terms.backends:
        wanted = {"auto": ["sampler"], "both": ["sampler", "step"]}.get(terms.unit, [terms.unit])
        for what in wanted:
            found = _ready(job, backend, what, terms, running, say)
            yield found
            cannot = found.out and found.lane is None and found.measurements[0].status == "unavailable"
            if terms.unit == "auto" and cannot and backend != "eager" and model.step() is not None:
                yield _ready(job, backend, "step", terms, running, say)


def _ready(job: Job, backend: str, what: str, terms: Terms, running: ExitStack, say: Say) -> Found:
    found = Found(backend=backend, what=what, where=_where(terms))
    try:
        say(f"{job.model} / {found.name}: making ready")
        found.lane = Lane(msgspec.structs.replace(job, backend=backend, what=what), terms.limit)
        running.callback(found.lane.end)
        _stages(found)
        if (backend, what, torch.device(terms.device).type) != ("eager", "sampler", "cpu"):
            say(f"{job.model} / {found.name}: parity")
            verdict = found.lane.ask("gate")
            found.report |= {f"parity {found.name}: {name}": value for name, value in verdict["figures"].items()}
            if not verdict["ok"]:
                found.drop("invalid", f"parity: {verdict['reason']}", terms.scenarios)
    except (Unavailable, Lost, Full) as reason:
        found.drop("unavailable", str(reason), terms.scenarios)
    except Refused as reason:
        if found.lane is None:
            raise
        found.drop("invalid", f"parity: {reason}", terms.scenarios)
    return found


def _stages(found: Found) -> None:
    assert found.lane is not None
    notes = "; ".join(["a single run, without an interval", *found.lane.notes])
    for stage in _STAGES:
        if stage in found.lane.stages:
            name = f"seconds_{stage.replace(' ', '_')}"
            found.measurements.append(single_number(name, found.lane.stages[stage], found.at_one, notes))
    found.report[f"overhead {found.name}, seconds"] = found.lane.overhead


def _timed(lanes: Sequence[Found], terms: Terms, say: Say) -> None:
    """All scenarios for all lanes that are not out, in their first process."""
    going = {found.name: found for found in lanes if not found.out}
    ready = [found.lane for found in going.values() if found.lane]
    if not ready:
        return
    say(f"{ready[0].job.model}: {' and '.join(terms.scenarios)}, {len(ready)} in turns")
    if "single" in terms.scenarios:
        for name, series in single(ready, terms.seconds, terms.processes).items():
            going[name].latency = series
    if "offline" in terms.scenarios:
        for name, sweep in offline(ready, terms.seconds, terms.processes).items():
            going[name].sweep = sweep
            going[name].report |= {f"images a second {name}, batch {n}": rate for n, rate in sweep.rates.items()}
    for found in going.values():
        if torch.device(terms.device).type == "cuda" and found.lane:
            _energy(found)


def _energy(found: Found) -> None:
    assert found.lane is not None
    batch = max(found.batches.values(), default=1)
    try:
        joules = found.lane.ask("energy", batch=batch, seconds=_ENERGY)
    except (Lost, Full) as reason:
        found.measurements.append(missing("joules_per_image", found.protocol, "unavailable", str(reason)))
        return
    if joules is not None:
        method = f"of the whole GPU over {_ENERGY:g} s of batch {batch}, by its own counter; a single run"
        found.measurements.append(single_number("joules_per_image", joules, found.protocol, method))


def _again(number: int, lanes: Sequence[Found], job: Job, terms: Terms, running: ExitStack, say: Say) -> None:
    """Every lane in a fresh process: the second sees its memory at batch 1, the third at its best, then it is timed."""
    ready, of = [], {found.name: found for found in lanes}
    for found in lanes:
        memory = terms.memory and len(found.batches) >= number
        if not memory and number >= terms.processes:
            continue
        say(f"{job.model} / {found.name}: process {number + 1}")
        base = nvml.used(torch.device(terms.device))
        word, batch = list(found.batches.items())[number - 1] if memory else ("", 0)
        protocol = f"{found.protocol},{word}"
        try:
            lane = Lane(msgspec.structs.replace(job, backend=found.backend, what=found.what), terms.limit)
            running.callback(lane.end)
            ready.append(lane)
            if memory:
                method = f"bytes at the peak of three calls of batch {batch} in a fresh process; a single run"
                peaks = lane.ask("memory", batch=batch, base=base)
                found.measurements += [single_number(name, value, protocol, method) for name, value in peaks.items()]
        except (Lost, Full, Refused) as reason:
            if memory:
                found.measurements.append(missing("memory_process", protocol, "unavailable", str(reason)))
    if number >= terms.processes:
        return
    for name, series in single([x for x in ready if of[x.name].latency], terms.seconds, terms.processes).items():
        of[name].latency.join(series)  # type: ignore[union-attr]
    best = {name: found.sweep.best.batch for name, found in of.items() if found.sweep and found.sweep.best.wall}
    swept = [lane for lane in ready if lane.name in best]
    for name, series in interleaved(swept, best, *share(terms.seconds, terms.processes)).items():
        of[name].sweep.best.join(series)  # type: ignore[union-attr]


def _quality(model: Model, data: Dataset, n: int) -> list[Measurement]:
    return list(evaluate(sample(model, n, seed=0, progress=False), data, metrics=["fid"], progress=False).values())


def _described(cell: plan.Cell, model: Model) -> ModelRun:
    """Without a recipe: how the weights were trained is the quality record's to say."""
    return ModelRun(
        reference=reference("models", cell.name),
        label=cell.model,
        family=model.family,
        likelihood=model.likelihood,
        config=cell.plain_config,
        recipe={},
        code=cell.code,
        weights=provenance.weights_digest(model.state_dict()),
        control=model.control,
        capabilities=sorted(model.capabilities),
    )


def _keys(model: ModelRun, cell: plan.Cell, settings: dict[str, Scalar]) -> Iterator[tuple[int, str]]:
    """The number and the key of each repetition: of what is measured, on what machine, by which code."""
    content = {
        "weights": model.weights,
        "reference": model.reference,
        "config": model.config,
        "data": {split: cell.data.checksum(split) for split in ("train", "test")},
        "settings": settings,
        "environment": provenance.environment(torch.device(cell.device)),
        "code": [cell.code, provenance.code_digest(["genbench.bench", "genbench.lane"])],
    }
    for number in itertools.count():
        yield number, provenance.digest({**content, "repeat": number})[:16]


def sweep_labels(label: str, data: Dataset) -> list[str]:
    """A model under its own sampler and under each that it names, for the curve of quality against time."""
    name, overrides, sampler = split_label(label)
    if sampler is not None:
        raise Refused(f"a sweep goes through all samplers of a model; name it without {sampler!r}")
    config = construct.configure(name, data.spec, overrides)
    named = construct.model_class(name).samplers(config)
    if not named:
        raise Refused(f"{name} has one sampler only, so that there is nothing to sweep")
    inside = ",".join(f"{key}={value}" for key, value in overrides.items())
    return [label, *(f"{name}[{','.join(part for part in (inside, one) if part)}]" for one in named)]
