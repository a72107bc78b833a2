"""All backends of a cell, each in processes of its own.

Every backend is a lane, a fresh process. The lanes are made ready one after the other, pass the parity gate or are out,
then are timed in turns; what memory they take is seen in processes that are started later.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Literal

import msgspec
import torch

from genbench import plan, provenance
from genbench.bench.subject import Facts, Subject
from genbench.bench.terms import Say, Terms
from genbench.errors import Refused, Unavailable
from genbench.lane import Job, Lane
from genbench.record import Measurement, Scalar
from genbench.speed import nvml
from genbench.speed.backends import find
from genbench.speed.protocol import (
    Full,
    Lost,
    Series,
    Sweep,
    interleaved,
    latencies,
    missing,
    offline,
    ratio,
    share,
    single,
    single_number,
    throughput,
)
from genbench.suite import split_label
from genbench.types import Model

_STAGES = ("import", "load", "export", "compile", "capture", "first call")
_ENERGY = 3.0  # seconds: the GPU's counter moves some ten times a second


@dataclass
class Found:
    """What is known of a lane, of all of its processes; `lane` is the latest. `out`: it is not timed any more."""

    backend: str
    what: str
    where: str
    lane: Lane | None = None
    measurements: list[Measurement] = field(default_factory=list)
    report: dict[str, float] = field(default_factory=dict)
    latency: Series | None = None
    sweep: Sweep | None = None
    why: str = ""  # it is slower than eager
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
    def best(self) -> Series | None:
        """The times at the best batch, where there are some."""
        return self.sweep.best if self.sweep and self.sweep.best.wall else None

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


def raced(
    subject: Subject, terms: Terms, model: Model, known: Facts, say: Say
) -> tuple[list[Found], dict[str, Scalar]]:
    """All backends in all of their processes, and what these say of where they ran."""
    device = torch.device(terms.device)
    with tempfile.TemporaryDirectory(prefix="genbench-", ignore_cleanup_errors=True) as scratch:
        job = job_of(subject, terms, model, known, scratch)
        with ExitStack() as running:
            lanes = list(_started(job, model, terms, running, say))
            _timed(lanes, terms, say)
            if terms.processes == 1:
                _explained(lanes)
            environment = next((f.lane.environment for f in lanes if f.lane), provenance.environment(device))
        alone(device)
        for number in range(1, max(terms.processes, 3 if terms.memory else 1)):
            with ExitStack() as running:
                _again(number, [found for found in lanes if not found.out], job, terms, running, say)
                if number == terms.processes - 1:
                    _explained(lanes)
    return lanes, environment


def against_eager(lanes: Sequence[Found]) -> list[Measurement]:
    """How many times as long as eager each lane takes for one image."""
    timed = {found.what: found.latency for found in lanes if found.backend == "eager" and found.latency}
    found = []
    for lane in lanes:
        base = timed.get(lane.what) or next(iter(timed.values()), None)
        if lane.backend != "eager" and lane.latency and base:
            found.append(ratio(lane.latency, base, lane.at_one, lane.why))
    return [one for one in found if one]


def alone(device: torch.device) -> None:
    """A GPU on which somebody else computes gives times that are nobody's."""
    count = nvml.processes(device)
    if count:
        raise Refused(
            f"on {device} {count} other process{'es compute' if count > 1 else ' computes'}; "
            "its times would be mixed with ours: wait, or choose another device"
        )


def job_of(subject: Subject, terms: Terms, model: Model, known: Facts, scratch: str) -> Job:
    """What all lanes are to make ready, but for the backend."""
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


def _where(terms: Terms) -> str:
    kind = torch.device(terms.device).type
    return f"cpu,threads={torch.get_num_threads()}" if kind == "cpu" else kind


def _started(job: Job, model: Model, terms: Terms, running: ExitStack, say: Say) -> Iterator[Found]:
    """Every lane, ready and through its gate, or out with the reason; one after the other."""
    for backend in terms.backends:
        wanted = {"auto": ["sampler"], "both": ["sampler", "step"]}.get(terms.unit, [terms.unit])
        if reason := find(backend).unavailable(torch.device(terms.device)):
            found = Found(backend=backend, what=wanted[0], where=_where(terms))
            found.drop("unavailable", reason, terms.scenarios)
            yield found
            continue
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


def _explained(lanes: Sequence[Found]) -> None:
    """Those that were slower than eager, over all processes, say in the last of them what they spend their time on."""
    measured = against_eager(lanes)
    for found in lanes:
        slower = any(m.protocol == found.at_one and (m.value or 0.0) > 1.0 for m in measured)
        if slower and found.lane:
            with suppress(Lost, Full, Refused):  # an explanation that fails costs no number
                found.why = found.lane.ask("explain") or ""


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
    for found in lanes:
        memory = terms.memory and len(found.batches) >= number
        if not memory and number >= terms.processes:
            continue
        say(f"{job.model} / {found.name}: process {number + 1}")
        base = nvml.used(torch.device(terms.device))
        word, batch = list(found.batches.items())[number - 1] if memory else ("", 0)
        protocol = f"{found.protocol},{word}"
        found.lane = None
        try:
            found.lane = Lane(msgspec.structs.replace(job, backend=found.backend, what=found.what), terms.limit)
            running.callback(found.lane.end)
            if memory:
                method = f"bytes at the peak of three calls of batch {batch} in a fresh process; a single run"
                peaks = found.lane.ask("memory", batch=batch, base=base)
                found.measurements += [single_number(name, value, protocol, method) for name, value in peaks.items()]
        except (Lost, Full, Refused) as reason:
            if memory:
                found.measurements.append(missing("memory_process", protocol, "unavailable", str(reason)))
            if found.lane is None and number < terms.processes:
                for series in filter(None, (found.latency, found.best)):
                    _join(series, Series(lost=str(reason)), number)
    if number >= terms.processes:
        return
    for scenario in (
        {found.name: found.latency for found in lanes if found.latency},
        {found.name: found.best for found in lanes if found.best},
    ):
        ready = [found.lane for found in lanes if found.lane and found.name in scenario]
        batches = {name: series.batch for name, series in scenario.items()}
        for name, series in interleaved(ready, batches, *share(terms.seconds, terms.processes)).items():
            _join(scenario[name], series, number)


def _join(series: Series, other: Series, number: int) -> None:
    """Adds what a later process took, and why it took no more: with fewer than three the interval is narrower."""
    if other.lost:
        other.lost = f"process {number + 1}: {other.lost}"
    if other.wall:
        series.join(other)
    else:
        series.lost = series.lost or other.lost
