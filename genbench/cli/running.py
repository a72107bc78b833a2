"""What there is, the line from a suite to records, one measurement, and this installation."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Literal

import click

from genbench import catalog
from genbench.cli import shared
from genbench.errors import Refused


@click.command(name="list", epilog=shared.example("genbench list models"))
@click.argument("what", required=False, type=click.Choice(["models", "datasets", "metrics", "suites"]))
@shared.as_json
def list_(what: str | None, as_json: bool) -> None:
    """What there is: models, datasets, metrics, suites; a line each. `list metrics` tells how each is measured."""
    from genbench import suite

    if what == "metrics":
        rows = _metric_rows()
        if as_json:
            click.echo(json.dumps({"metrics": rows}, indent=1))
        else:
            shared.show([*next(iter(rows.values()))], [list(row.values()) for row in rows.values()])
        return
    shelves = ["models", "datasets", "metrics", "suites"] if what is None else [what]
    found: dict[str, dict[str, str]] = {}
    for name in shelves:
        if name == "suites":
            found[name] = suite.names()
        else:
            found[name] = {k: catalog.summary(v) for k, v in catalog.shelf(name).items()}
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for name, entries in found.items():
        shared.show([name.removesuffix("s"), "what it is"], [[key, about] for key, about in entries.items()])


def _metric_rows() -> dict[str, dict[str, str]]:
    """Every metric with what it declares, and the protocols that name it."""
    from genbench import protocols

    found = {}
    for name, target in catalog.shelf("metrics").items():
        metric = catalog.resolve("metrics", name)
        found[name] = {
            "metric": name,
            "what it is": catalog.summary(target),
            "axis": metric.axis,
            "better": metric.better or (f"near {metric.ideal:g}" if metric.ideal is not None else "see its page"),
            "interval": INTERVALS[metric.interval],
            "at least": str(metric.min_samples),
            "protocols": ", ".join(key.partition("/")[2] for key in protocols.of_metric(name)),
        }
    return found


INTERVALS = {
    "jackknife": "delete-a-group jackknife",
    "wilson": "Wilson's, of a share",
    "t": "Student's, of a mean",
    "own": "its own variance",
}


@click.command(epilog=shared.example("genbench run quick --out runs"))
@click.argument("suite", default="quick")
@click.option(
    "-m", "--model", "models", multiple=True, help="Only this model, or module:attribute (may be given again)."
)
@click.option("-d", "--dataset", "datasets", multiple=True, help="Only on this dataset (may be given again).")
@shared.out
@shared.device
@click.option("--set", "changes", multiple=True, metavar="A.B=C", help="Change the suite: budget=0.5, vae.latent=8.")
@shared.root
@shared.download
@click.option("--plan", "only_plan", is_flag=True, help="Print what would run, and run nothing.")
@shared.as_json
def run(
    suite: str,
    models: tuple[str, ...],
    datasets: tuple[str, ...],
    out: Path,
    device: str,
    changes: tuple[str, ...],
    data_root: Path | None,
    download: bool,
    only_plan: bool,
    as_json: bool,
) -> None:
    """Train, sample and measure every cell of a SUITE (a name or a TOML file); finished cells are not run again."""
    from genbench import suite as suites

    wanted = suites.load(suite, list(changes))
    from genbench.files import writable
    from genbench.run import plan
    from genbench.run import run as run_plan
    from genbench.store import Store

    shared.check_device(device)
    terms = None
    if wanted.speed:
        from genbench import bench

        terms = bench.Terms(backends=tuple(wanted.speed), device=device)
    store = Store(out)
    root = str(data_root) if data_root else None
    work = plan(wanted, models=models, datasets=datasets, device=device, root=root, download=download)
    if only_plan:
        rows = [[str(cell), cell.key, "yes" if store.has_record(cell.key) else "no"] for cell in work.cells]
        if as_json:
            click.echo(json.dumps({"cells": rows, "skipped": work.skipped}, indent=1))
        else:
            shared.show(["cell", "key", "done"], rows)
            for name, reason in work.skipped.items():
                click.echo(f"skipped {name}: {reason}")
        return
    writable(out)
    outcome = run_plan(work, store, say=lambda line: click.echo(line, err=True))
    if terms is not None:
        timed, failed = bench.speed_of_plan(work, terms, store, say=lambda line: click.echo(line, err=True))
        outcome.records += timed
        outcome.failed |= failed
    if as_json:
        click.echo(json.dumps({
            "records": [record.key for record in outcome.records],
            "reused": outcome.reused,
            "failed": outcome.failed,
            "skipped": work.skipped,
        }, indent=1))  # fmt: skip
    else:
        from leaderboard.terminal import print_tables

        print_tables(outcome.records)
        for name, reason in work.skipped.items():
            click.echo(f"skipped {name}: {reason}")
        for name, reason in outcome.failed.items():
            click.echo(f"FAILED {name}: {reason}", err=True)
        click.echo(f"{len(outcome.records)} records in {out / 'records'} ({outcome.reused} were there before)")
    if outcome.failed:
        sys.exit(1)


@click.command(epilog=shared.example("genbench score samples.npz --against digits"))
@click.argument("samples")
@click.option("--against", "dataset", required=True, help="The dataset that stands for the truth.")
@click.option("--metric", "metrics", multiple=True, help="Only this metric (may be given again).")
@click.option("--protocol", "named", multiple=True, help="Under a named protocol: fid/clean (may be given again).")
@click.option("--n", default=1000, show_default=True, help="Samples to draw, when SAMPLES is a model.")
@click.option("--seed", default=0, show_default=True, help="Of the samples, when SAMPLES is a model.")
@click.option("--weights", type=click.Path(path_type=Path), help="safetensors weights, when SAMPLES is a model.")
@click.option(
    "--range",
    "declared",
    type=click.Choice(["0..1", "-1..1", "0..255"]),
    help="The range of float32 images in SAMPLES; they become the nearest of the data's levels. Never guessed.",
)
@shared.device
@shared.root
@shared.download
@shared.as_json
def score(
    samples: str,
    dataset: str,
    metrics: tuple[str, ...],
    named: tuple[str, ...],
    n: int,
    seed: int,
    weights: Path | None,
    declared: Literal["0..1", "-1..1", "0..255"] | None,
    device: str,
    data_root: Path | None,
    download: bool,
    as_json: bool,
) -> None:
    """Measure SAMPLES: a folder of images, an .npz/.npy file (NHWC uint8), or a model as module:attribute.

    Float32 images are taken with --range alone.
    """
    for name in metrics:
        catalog.reference("metrics", name)
    if named:
        from genbench import protocols

        for name in named:
            protocols.find(name if "/" in name else f"{name}/")
    from genbench.construct import dataset as load_dataset
    from genbench.data.files import exists, read_samples
    from genbench.evaluate import evaluate

    data = load_dataset(dataset, root=data_root, download=download)
    model = None
    if exists(Path(samples)) or Path(samples).suffix in (".npz", ".npy"):
        x = read_samples(Path(samples), data.spec, declared)
    elif declared:
        raise Refused(f"--range declares the range of float32 images in a file; there is no file {samples!r}")
    elif ":" in samples or samples in catalog.shelf("models"):
        from genbench.construct import build
        from genbench.sample import sample
        from genbench.store import load

        model = build(samples, data.spec, seed=seed).to(shared.check_device(device))
        if weights:
            load(model, weights)
        x = sample(model, n, seed=seed)
    else:
        raise Refused(
            f"{samples!r} is neither a file or folder nor a model; a model is a short name or module:attribute"
        )
    table = evaluate(x, data, model=model, metrics=[*metrics, *named] or None, download=download)
    if as_json:
        import msgspec

        click.echo(json.dumps({m.name: msgspec.to_builtins(m) for m in table.values()}, indent=1))
    else:
        shared.show(
            ["metric", "value", "95% interval", "protocol", "note"],
            [
                [
                    name,
                    f"{m.value:.5g}" if m.value is not None else m.status,
                    f"{m.low:.5g} to {m.high:.5g}" if m.value is not None else "",
                    m.protocol,
                    m.reason or m.method,
                ]
                for name, m in table.items()
            ],
            title=f"{samples} against {dataset}",
        )


@click.command(epilog=shared.example("genbench doctor --json"))
@shared.as_json
def doctor(as_json: bool) -> None:
    """What this installation is: versions, devices, ONNX providers, data files and weights that are found."""
    from genbench.doctor import examine

    found = examine()
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        for section, entries in found.items():
            shared.show([section, ""], [[key, str(value)] for key, value in entries.items()])
