"""The straight line for one cell: dataset -> train -> sample -> features -> metrics -> record.

A finished cell is never run again, a finished training is never repeated, a killed one resumes where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import torch
from torch import Tensor

from genbench import provenance
from genbench.catalog import reference
from genbench.construct import build_configured
from genbench.errors import Unusable
from genbench.evaluate import evaluate
from genbench.files import locked
from genbench.noise import derive
from genbench.pictures import pictures
from genbench.plan import REAL, Cell, Plan, plain
from genbench.plan import plan as plan
from genbench.record import SCHEMA, Cost, Curve, DatasetRun, ModelRun, Record
from genbench.sample import sample
from genbench.speed.latency import seconds_per_image
from genbench.store import Store
from genbench.train import train
from genbench.types import Dataset, History, Model


@dataclass
class Outcome:
    """What became of a plan: keys of records that are there, and what failed with its reason."""

    records: list[Record] = field(default_factory=list)
    reused: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def run(work: Plan, store: Store, *, progress: bool = True, say: Callable[[str], None] = lambda _: None) -> Outcome:
    """Runs the cells that have no record yet; goes on past one that fails."""
    outcome = Outcome()
    with locked(store.root):
        for number, cell in enumerate(work.cells, 1):
            known = store.has_record(cell.key)
            started = time.monotonic()
            try:
                result = store.read_record(cell.key) if known else run_cell(cell, store, progress=progress)
            except Unusable:
                raise
            except Exception as error:
                outcome.failed[str(cell)] = f"{type(error).__name__}: {error}"
                say(f"[{number}/{len(work.cells)}] {cell}: FAILED: {error}")
                continue
            outcome.records.append(result)
            outcome.reused += known
            spent = "already done" if known else f"{time.monotonic() - started:.0f} s"
            say(f"[{number}/{len(work.cells)}] {cell}: {spent}")
    return outcome


def run_cell(cell: Cell, store: Store, *, progress: bool = True) -> Record:
    """dataset -> train -> sample -> features -> metrics -> record."""
    data, n = cell.data, cell.settings.samples
    model, history = (None, History()) if cell.model == REAL else trained(cell, store, progress)
    started = time.perf_counter()
    samples = real_rows(data, n) if model is None else sample(model, n, seed=0, progress=progress)
    sampled = time.perf_counter()
    table = evaluate(
        samples,
        data,
        model=model,
        metrics=cell.settings.metrics,
        likelihood_images=cell.settings.likelihood_images,
        progress=progress,
    )
    evaluated = time.perf_counter()
    if model is not None:
        table["seconds_per_image"] = seconds_per_image(model)
    assets, files = pictures(samples, data, cell.key, neighbours=model is not None)
    done = history.accounting
    result = Record(
        schema=SCHEMA,
        key=cell.key,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        model=describe(cell, model),
        dataset=dataset_run(data, cell.data_name),
        seeds={"train": cell.seed, "sample": 0, "evaluate": 0},
        settings={
            "samples": n,
            "likelihood_images": cell.settings.likelihood_images,
            "precision": cell.settings.precision,
            **({"metrics": " ".join(cell.settings.metrics)} if cell.settings.metrics else {}),
        },
        environment=provenance.environment(torch.device(cell.device)),
        cost=Cost(
            parameters=sum(p.numel() for p in model.parameters()) if model else 0,
            steps=done.steps,
            images=done.images,
            train_seconds=done.seconds,
            flops=done.flops,
            sample_seconds=sampled - started,
            evaluate_seconds=evaluated - sampled,
        ),
        curves={name: Curve(steps=c["steps"], values=c["values"]) for name, c in history.items()},
        report=model.report() if model else {},
        measurements={m.name: m for m in table.values()},
        assets=assets,
        per_image=table.per_image,
    )
    store.save_samples(cell.key, samples)
    store.write_record(result, files)
    return result


def trained(cell: Cell, store: Store, progress: bool) -> tuple[Model, History]:
    """The cell's model with finished weights: loaded, or trained from where the last attempt stopped."""
    model = build_configured(cell.model_class, cell.data.spec, cell.config, cell.seed).to(cell.device)
    history = store.load_weights(cell.weights_key, model)
    if history is None:
        history = train(
            model,
            cell.data,
            seed=cell.seed,
            recipe=cell.recipe,
            device=cell.device,
            precision=cell.settings.precision,
            checkpoint=store.checkpoint(cell.weights_key),
            identity=cell.weights_key,
            progress=progress,
        )
        store.save_weights(cell.weights_key, model, history)
    return model, history


def dataset_run(data: Dataset, name: str) -> DatasetRun:
    """Which data a record speaks of."""
    spec = data.spec
    return DatasetRun(
        reference=reference("datasets", name),
        label=name.partition(":")[0],
        shape=list(spec.shape),
        levels=spec.levels,
        classes=spec.classes,
        checksums={split: data.checksum(split) for split in ("train", "validation", "test")},
        entropy=data.entropy() if spec.law else None,
    )


def real_rows(data: Dataset, n: int) -> Tensor:
    """Up to n training rows without repetition, in an order of their own."""
    rows = data.images("train")
    generator = torch.Generator().manual_seed(derive(0, "reference") >> 1)
    return rows[torch.randperm(len(rows), generator=generator)[:n]]


def describe(cell: Cell, model: Model | None) -> ModelRun:
    """Which model a record speaks of."""
    if model is None or cell.recipe is None:
        return ModelRun(
            reference="genbench.run:real_rows",
            label=REAL,
            family="reference",
            likelihood=None,
            config={},
            recipe={},
            code=cell.code,
            weights=None,
            control=True,
        )
    return ModelRun(
        reference=reference("models", cell.name),
        label=cell.model,
        family=model.family,
        likelihood=model.likelihood,
        config=cell.plain_config,
        recipe=plain(cell.recipe),
        code=cell.code,
        weights=provenance.weights_digest(model.state_dict()),
        control=model.control,
        capabilities=sorted(model.capabilities),
    )
