"""Quality against time: the same weights under all of their samplers, at several numbers of steps; cells of a suite.

A point of a curve is a record of its own, `settings["measured"] = "sweep"`, the name of its line (its solver) in
`settings["line"]`: `fid`, `recall` and, where the law is known, `validity` and `mode_kl`, beside `nfe`, `latency_p50`,
`images_per_second`. The points of a curve agree in dataset, model and weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from genbench import construct, files, plan
from genbench.bench.cell import Quality, speed
from genbench.bench.subject import Subject
from genbench.bench.terms import Say, Terms
from genbench.errors import Refused, Unusable
from genbench.record import Record
from genbench.speed.plot import plot
from genbench.speed.table import curve
from genbench.store import Store
from genbench.suite import split_label
from genbench.types import DataSpec

STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)  # as far as a model names some itself
OWN = "as configured"  # the line of a sampler that belongs to no other


@dataclass(frozen=True, kw_only=True)
class Point:
    """One sampler of a sweep: its label, its whole configuration, and the line that it lies on."""

    label: str
    config: Any
    line: str


def points(label: str, config: Any, data: DataSpec, steps: Sequence[int] | None = None) -> list[Point]:
    """A model's samplers, those that count steps at other numbers of steps as well, line by line.

    Samplers whose configurations differ in one whole number lie on a line, and that number counts their steps.

    Args:
        config: what the label means.
        steps: the numbers; by default those that the model names and 1, 2, 5, 10, 20, ... up to the largest of them.
    """
    kind = construct.model_class(split_label(label).name)
    named = {kind.sampler_config(config, sampler): sampler for sampler in kind.samplers(config)}
    if len({config, *named}) < 2:
        raise Refused(f"{label} has one sampler only, so that there is nothing to sweep")
    lines: dict[str, list[Point]] = {}
    for chosen, sampler in named.items():
        counter = _counter(chosen, named)
        line = sampler if counter is None else sampler.removesuffix(f"-{getattr(chosen, counter)}")
        lines.setdefault(line, []).append(Point(label=_label(label, config, chosen, sampler), config=chosen, line=line))
    if config not in named:
        line = next((named_on for named_on, on in lines.items() if _counter(config, [on[0].config])), OWN)
        lines.setdefault(line, []).append(Point(label=label, config=config, line=line))
    for line, on in lines.items():
        if counter := _counter(on[0].config, named):
            there = {getattr(point.config, counter): point for point in on}
            wanted = sorted({*there, *(n for n in STEPS if n < max(there))} if steps is None else {*steps})
            others = {n: replace(on[0].config, **{counter: n}) for n in wanted if n not in there}
            there |= {
                n: Point(label=_label(label, config, other), config=other, line=line)
                for n, other in others.items()
                if _serves(kind, data, other)
            }
            lines[line] = [there[n] for n in wanted if n in there]
    return [point for on in lines.values() for point in on]


def _differ(one: Any, other: Any) -> list[str]:
    return [f.name for f in fields(one) if getattr(one, f.name) != getattr(other, f.name)]


def _counter(chosen: Any, others: Iterable[Any]) -> str | None:
    """The whole-numbered field in which another configuration differs, and in nothing else."""
    for other in others:
        match _differ(chosen, other):
            case [name] if all(type(getattr(one, name)) is int for one in (chosen, other)):
                return name
    return None


def _label(label: str, config: Any, chosen: Any, sampler: str = "") -> str:
    """`ddpm[width=16,ddim-5]` for a sampler with a name, else `ddpm[width=16,sampler=ddim,sampling_steps=2]`."""
    name, own, _ = split_label(label)
    changed = _differ(config, chosen)
    parts = [f"{field}={value}" for field, value in own.items() if field not in changed]
    parts += [sampler] if sampler else [f"{field}={getattr(chosen, field)}" for field in changed]
    return f"{name}[{','.join(parts)}]"


def _serves(kind: Any, data: DataSpec, config: Any) -> bool:
    try:
        construct.build_configured(kind, data, config, 0)
    except Refused:
        return False
    return True


def sweep(
    subject: Subject,
    terms: Terms,
    store: Store,
    *,
    samples: int = 1000,
    steps: Sequence[int] | None = None,
    say: Say = lambda _: None,
) -> list[Record]:
    """Measures the points of a curve, a record each; those that were measured before are not measured again.

    Their memory is left out: it hardly depends on the steps, and takes processes of its own.
    """
    terms = replace(terms, memory=False)
    found = points(subject.label, subject.configured(), subject.data.spec, steps)
    if not found:
        raise Refused(f"{subject.label} samples in none of {', '.join(map(str, steps or ()))} steps")
    records = []
    for number, point in enumerate(found, 1):
        say(f"[{number}/{len(found)}] {point.label}")
        one = replace(subject, label=point.label, config=plan.plain(point.config))
        quality = Quality(line=point.line, samples=samples)
        records.append(speed(one, terms, store, quality=quality, again=False, say=say))
    return records


def draw(records: Iterable[Record], folder: Path) -> list[Path]:
    """A plot of each curve: one model's weights on one dataset under one backend."""
    curves: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for record in records:
        for row in curve(record):
            name, backend = split_label(record.model.label).name, f"{row['backend']}-{row['unit']}"
            of = (record.dataset.label, name, str(record.seeds["train"]), backend, str(record.model.weights))
            curves.setdefault(of, []).append(row)
    paths = []
    for (dataset, name, seed, backend, weights), found in curves.items():
        title = f"{name} on {dataset}, seed {seed}, {backend}"
        path = folder / f"{re.sub(r'[^a-z0-9-]+', '-', f'{dataset}-{name}-{backend}'.lower())}-{weights[:8]}.svg"
        files.write(path, plot(title, found))
        paths.append(path)
    return paths


def speed_of_plan(
    work: plan.Plan, terms: Terms, store: Store, *, samples: int = 0, say: Say = lambda _: None
) -> tuple[list[Record], dict[str, str]]:
    """Measures every cell of a plan that has finished weights, controls excepted; what was measured is not again.

    The store is held meanwhile, so that no other run trains or measures into it.

    Args:
        samples: sweeps, with as many samples a point, the models that have several samplers; 0 for the cells alone.

    Returns:
        the records, and the reasons of the cells that failed.
    """
    found, failed = list[Record](), dict[str, str]()
    with files.locked(store.root):
        for name, subject in _finished(work, store, once=samples > 0):
            try:
                if not samples:
                    found.append(speed(subject, terms, store, again=False, say=say))
                elif _has_several(subject):
                    found += sweep(subject, terms, store, samples=samples, say=say)
            except Unusable:
                raise
            except Exception as error:
                failed[f"{name} / speed"] = f"{type(error).__name__}: {error}"
    return found, failed


def _has_several(subject: Subject) -> bool:
    try:
        return bool(points(subject.label, subject.configured(), subject.data.spec))
    except Refused:
        return False


def _finished(work: plan.Plan, store: Store, once: bool) -> Iterator[tuple[str, Subject]]:
    """Cells with weights; once for each weights, under the model's own sampler if there is such a cell."""
    seen = set()
    cells = sorted(work.cells, key=lambda cell: split_label(cell.model).sampler is not None) if once else work.cells
    for cell in cells:
        weights = store.root / "weights" / cell.weights_key / "model.safetensors"
        if cell.config is None or cell.model_class.control or not weights.exists():
            continue
        if once and cell.weights_key in seen:
            continue
        seen.add(cell.weights_key)
        yield (
            str(cell),
            Subject(
                label=cell.model,
                data=cell.data,
                data_name=cell.data_name,
                weights=weights,
                seed=cell.seed,
                config=cell.plain_config,
            ),
        )
