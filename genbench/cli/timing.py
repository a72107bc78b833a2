"""How long a sampler takes, and the graph that other runtimes time."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Literal

import click

from genbench.cli import shared
from genbench.errors import Refused


@click.command(epilog=shared.example("genbench speed ddpm --dataset digits --sweep --weights model.safetensors"))
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--dataset", help="The data that the model is for.")
@click.option("--suite", help="Instead of MODEL and --dataset: all of a suite that --out holds finished weights of.")
@click.option("--backends", default="eager", show_default=True, help="Compared in turns; separated by commas.")
@click.option("--scenario", default="single,offline", show_default=True, help="single (latency), offline (images/s).")
@click.option("--unit", default="auto", show_default=True, help="What a backend runs: sampler, step, both or auto.")
@click.option(
    "--weights",
    "--checkpoint",
    "weights",
    multiple=True,
    type=click.Path(path_type=Path),
    help="safetensors weights: one file for all models, or one for each; fresh ones where none is given.",
)
@click.option("--seed", default=0, show_default=True, help="Of the training that the weights are of.")
@click.option("--seconds", default=10.0, show_default=True, help="Budget for each backend and scenario.")
@click.option("--processes", default=3, show_default=True, help="How often each backend is started and timed.")
@click.option("--limit", default=600.0, show_default=True, help="Seconds without an answer until a process is killed.")
@click.option("--sweep", is_flag=True, help="All samplers at several numbers of steps: quality against time.")
@click.option("--steps", help="Of a --sweep: 2,5,10; by default 1, 2, 5, 10, ... as far as the model names some.")
@click.option("--samples", default=1000, show_default=True, help="Of which --sweep measures the quality.")
@shared.device
@shared.root
@shared.download
@shared.out
@shared.as_json
def speed(
    models: tuple[str, ...],
    dataset: str | None,
    suite: str | None,
    backends: str,
    scenario: str,
    unit: Any,
    weights: tuple[Path, ...],
    seed: int,
    seconds: float,
    processes: int,
    limit: float,
    sweep: bool,
    steps: str | None,
    samples: int,
    device: str,
    data_root: Path | None,
    download: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Time the samplers of MODELs, each number behind a gate that proves that the images are the same.

    MODEL is a short name or module:attribute, with overrides or a sampler in brackets: ddpm[ddim-20].
    """
    if suite and (weights or steps):
        raise Refused("--weights and --steps go with MODEL and --dataset; of a suite --out holds the weights")
    if bool(suite) == bool(models and dataset) or (suite and (models or dataset)):
        raise Refused("name MODEL and --dataset, or --suite alone")
    if len(weights) not in (0, 1, len(models)):
        raise Refused(f"there are {len(weights)} files of weights for {len(models)} models; give one, or one for each")
    if not (steps is None or (sweep and re.fullmatch(r"[1-9]\d{0,5}(,[1-9]\d{0,5})*", steps))):
        raise Refused(f"--steps {steps!r} is not of the form 2,5,10 beside --sweep")
    from genbench import bench
    from genbench.construct import dataset as load_dataset
    from genbench.files import locked
    from genbench.record import Record
    from genbench.speed import table
    from genbench.store import Store

    terms = bench.Terms(
        backends=tuple(filter(None, (name.strip() for name in backends.split(",")))),
        scenarios=tuple(filter(None, (name.strip() for name in scenario.split(",")))),
        unit=unit,
        device=shared.check_device(device),
        seconds=seconds,
        processes=processes,
        limit=limit,
    )
    store, failed, records = Store(out), dict[str, str](), list[Record]()

    def say(line: str) -> None:
        click.echo(line, err=True)

    if suite:
        from genbench import suite as suites
        from genbench.plan import plan

        work = plan(suites.load(suite), device=device, root=str(data_root) if data_root else None, download=download)
        records, failed = bench.speed_of_plan(work, terms, store, samples=samples if sweep else 0, say=say)
        if not records and not failed:
            raise Refused(f"{out} holds no finished weights of {suite}; `genbench run {suite} --out {out}` makes them")
    else:
        data = load_dataset(str(dataset), root=data_root, download=download)
        files = weights * len(models) if len(weights) == 1 else weights or (None,) * len(models)
        subjects = [
            bench.Subject(label=model, data=data, data_name=str(dataset), weights=file, seed=seed, data_root=data_root)
            for model, file in zip(models, files, strict=True)
        ]
        counts = [int(n) for n in steps.split(",")] if steps else None
        for subject in subjects:  # what is wrong is said before anything is timed
            subject.built()
            if sweep:
                bench.points(subject.label, subject.configured(), data.spec, counts)
        with locked(out):
            for subject in subjects:
                if sweep:
                    records += bench.sweep(subject, terms, store, samples=samples, steps=counts, say=say)
                else:
                    records.append(bench.speed(subject, terms, store, say=say))
    found = [row for record in records for row in (table.curve(record) if sweep else table.rows(record))]
    if as_json:
        click.echo(json.dumps({"records": [r.key for r in records], "rows": found, "failed": failed}, indent=1))
    else:
        where = f"{suite or dataset} on {device}"
        if sweep:
            shared.show(
                *table.printed_curve(found), title=f"{where}: quality with its 95% interval, against time and work"
            )
            for path in bench.draw(records, out / "plots"):
                click.echo(f"drawn: {path}")
        else:
            shared.show(
                *table.printed(found), title=f"{where}: the median and its 95% interval, a dash for too few runs"
            )
        for name, reason in failed.items():
            click.echo(f"FAILED {name}: {reason}", err=True)
        overhead = max((v for r in records for name, v in r.report.items() if name.startswith("overhead")), default=0.0)
        click.echo(f"The harness's own part of every time is {overhead * 1e6:.2g} µs. {len(records)} records in {out}")
    if failed:
        sys.exit(1)


@click.command(epilog=shared.example("genbench export gan --dataset digits -o gan.onnx"))
@click.argument("model")
@click.option("--dataset", required=True, help="The data that the model is built for.")
@click.option("--out", "-o", type=click.Path(path_type=Path), help="The file; by default MODEL-UNIT.onnx.")
@click.option(
    "--unit",
    type=click.Choice(["sampler", "step", "log_prob"]),
    default="sampler",
    show_default=True,
    help="The whole sampler, one step of it, or the likelihood.",
)
@click.option("--weights", type=click.Path(path_type=Path), help="safetensors weights; without, those of --seed.")
@click.option("--seed", default=0, show_default=True, help="Of the initial weights, where none are given.")
@shared.root
@shared.download
@shared.as_json
def export(
    model: str,
    dataset: str,
    out: Path | None,
    unit: Literal["sampler", "step", "log_prob"],
    weights: Path | None,
    seed: int,
    data_root: Path | None,
    download: bool,
    as_json: bool,
) -> None:
    """Write a MODEL as an ONNX graph that needs nothing of genbench: noise in, images out, any batch size."""
    from genbench.bench import Subject
    from genbench.construct import dataset as load_dataset
    from genbench.progress import Bar
    from genbench.speed.export import STAGES
    from genbench.speed.export import export as write_graph

    data = load_dataset(dataset, root=data_root, download=download)
    built = Subject(label=model, data=data, data_name=dataset, weights=weights, seed=seed).built()
    path = out or Path(f"{re.sub(r'[^A-Za-z0-9.-]+', '-', model).strip('-')}-{unit}.onnx")
    with Bar(f"export {model}", len(STAGES)) as bar:
        graph = write_graph(built, path, unit, say=lambda stage: bar.to(STAGES.index(stage), stage))
    if as_json:
        click.echo(json.dumps({"file": str(path), **graph.facts()}, indent=1))
        return
    rows = [[e.name, e.law or "data", " x ".join(map(str, e.shape))] for e in graph.inputs]
    shared.show(["input", "law", "shape"], rows)
    click.echo(f"{model} as {unit}: {path}, {path.stat().st_size:,} bytes")
    if not weights:
        click.echo("These are initial weights; --weights FILE takes those of a training.", err=True)
