"""A cell of speed (a model, its weights, a dataset, a device) -> a record.

The record stands beside the quality record of the same weights, whose sha256 it names, under a key of its own.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import torch

from genbench import plan, provenance
from genbench.bench.lanes import against_eager, alone, raced
from genbench.bench.subject import Subject, facts
from genbench.bench.terms import Say, Terms
from genbench.catalog import reference
from genbench.evaluate import evaluate
from genbench.record import SCHEMA, Cost, Measurement, ModelRun, Record, Scalar
from genbench.run import dataset_run
from genbench.sample import sample
from genbench.speed.backends import BACKENDS
from genbench.store import Store
from genbench.types import Dataset, Model


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What of its quality is measured beside the time of a sampler, as a point of a curve.

    Args:
        line: which points it is joined with: those of the same solver.
        samples: how many.
    """

    line: str
    samples: int = 1000

    def metrics(self, data: Dataset) -> list[str]:
        """FID and recall, and where the law is known what share of samples and of modes it allows for."""
        return ["fid", "recall", *(["validity", "mode_kl"] if data.spec.law else [])]

    def measured(self, model: Model, data: Dataset) -> list[Measurement]:
        """All of them, of fresh samples."""
        images = sample(model, self.samples, seed=0, progress=False)
        return list(evaluate(images, data, metrics=self.metrics(data), progress=False).values())


def speed(
    subject: Subject,
    terms: Terms,
    store: Store,
    *,
    quality: Quality | None = None,
    again: bool = True,
    say: Say = lambda _: None,
) -> Record:
    """Measures a cell and writes its record.

    Args:
        quality: what is measured of it as well; the record is then a point of a curve.
        again: measures what was measured before once more, into another record; else the first record is returned.
        say: is told what is being done.
    """
    alone(torch.device(terms.device))
    model = subject.built()
    cell = subject.cell(model, terms.device)
    settings: dict[str, Scalar] = {
        "measured": "sweep" if quality else "speed",
        "backends": ",".join(terms.backends),
        "scenarios": ",".join(terms.scenarios),
        "unit": terms.unit,
        "seconds": terms.seconds,
        "processes": terms.processes,
        **(asdict(quality) if quality else {}),
    }
    described = _described(cell, model)
    keys = _keys(described, cell, settings, _timing(terms) + (_judging(quality, subject.data) if quality else []))
    number, key = next(keys)
    while store.has_record(key):
        if not again:
            return store.read_record(key)
        number, key = next(keys)
    known = facts(model)
    lanes, environment = raced(subject, terms, model, known, say)
    measurements = known.measurements()
    for found in lanes:
        measurements += found.measurements + found.times()
    measurements += against_eager(lanes)
    began = time.perf_counter()
    if quality:
        say(f"{subject.label}: quality of {quality.samples} samples")
        measurements += quality.measured(model, subject.data)
    result = Record(
        schema=SCHEMA,
        key=key,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        model=described,
        dataset=dataset_run(subject.data, subject.data_name),
        seeds={"train": subject.seed, "repeat": number},
        settings=settings,
        environment=environment,
        cost=Cost.of_measuring(time.perf_counter() - began, known.parameters),
        curves={},
        report={name: value for found in lanes for name, value in found.report.items()},
        measurements={m.name: m for m in measurements},
        assets={},
    )
    store.write_record(result, {})
    return result


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


def _timing(terms: Terms) -> list[str]:
    """The modules that time; the backends, which are found by name, are among them."""
    return ["genbench.bench", "genbench.lane", *(BACKENDS[name].partition(":")[0] for name in terms.backends)]


def _judging(quality: Quality, data: Dataset) -> list[str]:
    """The modules that the quality is measured by and that are found by name."""
    named = [reference("metrics", name) for name in quality.metrics(data)]
    named.append(reference("extractors", data.extractor))
    return [name.partition(":")[0] for name in named] + ([type(data.spec.law).__module__] if data.spec.law else [])


def _keys(
    model: ModelRun, cell: plan.Cell, settings: dict[str, Scalar], modules: list[str]
) -> Iterator[tuple[int, str]]:
    """The number and the key of each repetition: of what is measured, on what machine, by which code.

    Not of which commit: what one changes of the code that is timed is in that code's digest.
    """
    machine = provenance.environment(torch.device(cell.device))
    content = {
        "weights": model.weights,
        "reference": model.reference,
        "config": model.config,
        "data": {split: cell.data.checksum(split) for split in ("train", "test")},
        "settings": settings,
        "environment": {name: value for name, value in machine.items() if name != "commit"},
        "code": [cell.code, provenance.code_digest(modules)],
    }
    for number in itertools.count():
        yield number, provenance.digest({**content, "repeat": number})[:16]
