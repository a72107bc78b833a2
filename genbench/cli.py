"""The verbs. Heavy imports stand inside the functions, so that `genbench --help` answers at once."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Literal

import click

import genbench
from genbench import catalog
from genbench.errors import Refused


class _Verbs(click.Group):
    """Exit codes: 0 fine, 1 the answer is no, 2 could not run. A refusal is one sentence, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no crash
        try:
            return super().invoke(ctx)
        except Refused as error:
            click.echo(f"genbench: {error}", err=True)
            ctx.exit(2)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(1)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(genbench.__version__, prog_name="genbench")
def main() -> None:
    """Quality, speed and diversity of generative models, measured under one set of rules."""
    if "" not in sys.path and os.getcwd() not in sys.path:  # noqa: PTH109
        sys.path.append(os.getcwd())  # noqa: PTH109  # so that `mine:Mine` is found in mine.py; last, so that it hides nothing


def _example(text: str) -> str:
    return f"Example:  {text}"


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
_device = click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
_root = click.option("--data-root", type=click.Path(path_type=Path), help="Where data files are looked for.")
_download = click.option("--download", is_flag=True, help="Fetch data files that are missing.")
_out = click.option(
    "--out", "-o", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Folder of results."
)


def _show(headings: list[str], rows: list[list[str]], title: str | None = None) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*headings, title=title, title_justify="left", header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console() if sys.stdout.isatty() else Console(width=max(120, 24 * len(headings)))
    console.print(table)


def _check_device(device: str) -> str:
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise Refused(f"--device {device!r} is not a device; use cpu, cuda or cuda:N") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise Refused("--device cuda: this machine offers no CUDA device to torch; use --device cpu")
    if kind == "cuda" and (torch.device(device).index or 0) >= torch.cuda.device_count():
        raise Refused(f"--device {device}: there are {torch.cuda.device_count()} CUDA devices")
    if kind not in ("cpu", "cuda", "mps"):
        raise Refused(f"--device {device!r} is not supported; use cpu, cuda or cuda:N")
    return device


@main.command(name="list", epilog=_example("genbench list models"))
@click.argument("what", required=False, type=click.Choice(["models", "datasets", "metrics", "suites"]))
@_as_json
def list_(what: str | None, as_json: bool) -> None:
    """What there is: models, datasets, metrics, suites; a line each. `list metrics` tells how each is measured."""
    from genbench import suite

    if what == "metrics":
        rows = _metric_rows()
        if as_json:
            click.echo(json.dumps({"metrics": rows}, indent=1))
        else:
            _show([*next(iter(rows.values()))], [list(row.values()) for row in rows.values()])
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
        _show([name.removesuffix("s"), "what it is"], [[key, about] for key, about in entries.items()])


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


@main.command(epilog=_example("genbench run quick --out runs"))
@click.argument("suite", default="quick")
@click.option(
    "-m", "--model", "models", multiple=True, help="Only this model, or module:attribute (may be given again)."
)
@click.option("-d", "--dataset", "datasets", multiple=True, help="Only on this dataset (may be given again).")
@_out
@_device
@click.option("--set", "changes", multiple=True, metavar="A.B=C", help="Change the suite: budget=0.5, vae.latent=8.")
@_root
@_download
@click.option("--plan", "only_plan", is_flag=True, help="Print what would run, and run nothing.")
@_as_json
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

    wanted = suites.only(suites.load(suite, list(changes)), models, datasets)
    from genbench.files import writable
    from genbench.run import plan
    from genbench.run import run as run_plan
    from genbench.store import Store

    _check_device(device)
    terms = None
    if wanted.speed:
        from genbench import bench

        terms = bench.Terms(backends=tuple(wanted.speed), device=device)
    store = Store(out)
    work = plan(wanted, device=device, root=str(data_root) if data_root else None, download=download)
    if only_plan:
        rows = [[str(cell), cell.key, "yes" if store.has_record(cell.key) else "no"] for cell in work.cells]
        if as_json:
            click.echo(json.dumps({"cells": rows, "skipped": work.skipped}, indent=1))
        else:
            _show(["cell", "key", "done"], rows)
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


@main.command(epilog=_example("genbench score samples.npz --against digits"))
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
@_device
@_root
@_download
@_as_json
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

        model = build(samples, data.spec, seed=seed).to(_check_device(device))
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
        _show(
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


@main.command(epilog=_example("genbench speed ddpm --dataset digits --sweep --weights model.safetensors"))
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
@_device
@_root
@_download
@_out
@_as_json
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
    if bool(suite) == bool(models and dataset) or (suite and (models or dataset or weights or steps)):
        raise Refused("name MODEL and --dataset, or --suite alone")
    if len(weights) not in (0, 1, len(models)):
        raise Refused(f"there are {len(weights)} files of weights for {len(models)} models; give one, or one for each")
    if not (steps is None or (sweep and re.fullmatch(r"[1-9]\d{0,5}(,[1-9]\d{0,5})*", steps))):
        raise Refused(f"--steps {steps!r} is not of the form 2,5,10 beside --sweep")
    from genbench import bench
    from genbench.construct import dataset as load_dataset
    from genbench.files import writable
    from genbench.record import Record
    from genbench.speed import table
    from genbench.store import Store

    terms = bench.Terms(
        backends=tuple(filter(None, (name.strip() for name in backends.split(",")))),
        scenarios=tuple(filter(None, (name.strip() for name in scenario.split(",")))),
        unit=unit,
        device=_check_device(device),
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
        writable(out)
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
            _show(*table.printed_curve(found), title=f"{where}: quality with its 95% interval, against time and work")
            for path in bench.draw(records, out / "plots"):
                click.echo(f"drawn: {path}")
        else:
            _show(*table.printed(found), title=f"{where}: the median and its 95% interval, a dash for too few runs")
        for name, reason in failed.items():
            click.echo(f"FAILED {name}: {reason}", err=True)
        overhead = max((v for r in records for name, v in r.report.items() if name.startswith("overhead")), default=0.0)
        click.echo(f"The harness's own part of every time is {overhead * 1e6:.2g} µs. {len(records)} records in {out}")
    if failed:
        sys.exit(1)


@main.command(epilog=_example("genbench stress --metric fid --metric recall"))
@click.option("--metric", "metrics", multiple=True, help="Only this metric or protocol (may be given again).")
@click.option("--dataset", "datasets", multiple=True, help="digits, glyphs, or another with labels (again for more).")
@click.option("--pathology", "pathologies", multiple=True, help="Only this damage (may be given again).")
@click.option("--out", "-o", type=click.Path(path_type=Path), default=Path("runs/stress"), show_default=True)
@_root
@_as_json
def stress(
    metrics: tuple[str, ...],
    datasets: tuple[str, ...],
    pathologies: tuple[str, ...],
    out: Path,
    data_root: Path | None,
    as_json: bool,
) -> None:
    """Damage real data in steps and see which metric notices what, and from which dose on."""
    from genbench import protocols
    from genbench.construct import dataset as load_dataset
    from genbench.files import writable
    from genbench.store import Store
    from genbench.stress import DATASETS
    from genbench.stress import stress as measure
    from leaderboard.pathology import matrices, write_plots

    for name in metrics:
        protocols.find(name)
    writable(out)
    records = measure(
        Store(out),
        datasets=datasets or DATASETS,
        pathologies=pathologies or None,
        metrics=metrics or None,
        load=lambda name: load_dataset(name, root=data_root),
    )
    found = matrices(records)
    if as_json:
        click.echo(json.dumps([matrix.plain() for matrix in found], indent=1))
        return
    for matrix in found:
        rows = [
            [name, *(row[p].symbol if p in row else "" for p in matrix.pathologies), matrix.measures(name)]
            for name, row in matrix.responses.items()
        ]
        _show(["metric", *matrix.pathologies, "measures"], rows, title=matrix.dataset)
        for name, reason in matrix.left_out.items():
            click.echo(f"{name}: {reason}")
    click.echo("Arrow: where the number goes. Then the first dose noticed beyond the intervals; · blind; ! it improves")
    click.echo("under damage; ~ not monotone.")
    plots = write_plots(found, out / "plots")
    click.echo(f"{len(records)} records in {out / 'records'}, {len(plots)} plots in {out / 'plots'}")


@main.command(epilog=_example("genbench conform my_package.metrics:fid --as fid"))
@click.argument("implementations", nargs=-1, metavar="[IMPLEMENTATION]...")
@click.option("--as", "role", metavar="METRIC", help="What a module:function is an implementation of.")
@click.option("--metric", "metrics", multiple=True, help="Only the cases of this metric (may be given again).")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds for a case, of foreign code.")
@_as_json
def conform(
    implementations: tuple[str, ...], role: str | None, metrics: tuple[str, ...], timeout: float, as_json: bool
) -> None:
    """Try metrics on cases whose answers are derived; exit code 1 if one deviates.

    IMPLEMENTATION is genbench (as if none is given), torch-fidelity, torchmetrics, pytorch-fid, clean-fid, prdc,
    torcheval, or a function of real= and fake= as module:function. Several make a matrix.
    """
    from genbench.conformance import cases, isolation, report

    found = list(isolation.conform(implementations or ("genbench",), cases.select(metrics), role, timeout))
    if as_json:
        click.echo(json.dumps(report.plain(found), indent=1))
    else:
        _show(*report.table(found))
        click.echo("\n".join(report.summary(found)))
    if report.any_wrong(found):
        sys.exit(1)


@main.command(epilog=_example("genbench export gan --dataset digits -o gan.onnx"))
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
@_root
@_download
@_as_json
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
    _show(["input", "law", "shape"], rows)
    click.echo(f"{model} as {unit}: {path}, {path.stat().st_size:,} bytes")
    if not weights:
        click.echo("These are initial weights; --weights FILE takes those of a training.", err=True)


@main.command(epilog=_example("genbench publish --records runs/records --out site"))
@click.option("--records", type=click.Path(path_type=Path), default=Path("runs/records"), show_default=True)
@click.option("--out", "-o", type=click.Path(path_type=Path), help="The site's folder [site], or a table's file.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["latex", "markdown", "csv", "json"]),
    help="Write a table instead of the site; without --out, to the terminal.",
)
@click.option("--dataset", help="The dataset of the table; without, all that one file can hold.")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[RECORD]...")
@click.option("--check", is_flag=True, help="Only say whether every RECORD (file or folder) may be published.")
@click.option("--into", type=click.Path(path_type=Path), help="Copy every RECORD to its place in a published folder.")
@_as_json
def publish(
    records: Path,
    out: Path | None,
    form: str | None,
    dataset: str | None,
    paths: tuple[Path, ...],
    check: bool,
    into: Path | None,
    as_json: bool,
) -> None:
    """Build the static leaderboard from records; prints the path of its page. Or write its tables, for a paper.

    With --check, validate records as the site does: exit code 1 if one of them may not be published.
    """
    if check or into:
        _submit(paths or (records,), into, as_json)
        return
    if paths or as_json:
        raise Refused("RECORD and --json go with --check or --into; the site is built from --records")
    if not records.is_dir():
        raise Refused(f"there is no folder {records}; `genbench run` makes runs/records")
    if form:
        _publish_table(records, out, form, dataset)
        return
    if dataset:
        raise Refused("--dataset chooses the table of --format; the site shows all of them")
    from leaderboard.build import build

    click.echo(build(records, out or Path("site")).resolve())


def _submit(paths: tuple[Path, ...], into: Path | None, as_json: bool) -> None:
    from leaderboard.submission import publish_into, verdicts

    if into:
        new = [str(path) for path in publish_into(into, paths)]
        click.echo(
            json.dumps({"new": new}, indent=1) if as_json else "\n".join([*new, f"{len(new)} new files in {into}"])
        )
        return
    found = verdicts(paths)
    wrong = [verdict for verdict in found if verdict.reasons]
    if as_json:
        rows = [{"file": str(one.path), "valid": not one.reasons, "reasons": list(one.reasons)} for one in found]
        click.echo(json.dumps({"files": rows, "valid": not wrong}, indent=1))
    else:
        for one in wrong:
            click.echo(f"{click.format_filename(one.path)}: {'; '.join(one.reasons)}")
        click.echo(f"{len(found) - len(wrong)} files are valid, {len(wrong)} are not.")
    if wrong:
        sys.exit(1)


def _publish_table(records: Path, out: Path | None, form: str, dataset: str | None) -> None:
    from genbench.files import write
    from leaderboard.downloads import tables
    from leaderboard.load import collect

    collection = collect(records)
    for file in collection.invalid:
        click.echo(f"left out {file.name}: {file.reason}", err=True)
    data = tables(collection, form, dataset)
    if out:
        write(out, data)
        click.echo(out)
    else:
        click.echo(data, nl=False)


_GATE = """\b
Example, as a gate in a pipeline of your own; exit code 1 stops it:
    git fetch --depth=1 origin main
    genbench run quick --out runs
    genbench compare origin/main:records runs/records --metric fid --metric recall --threshold 0.1
"""


@main.command(epilog=_GATE)
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option("--metric", "metrics", multiple=True, help="Only this metric (may be given again).")
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    metavar="[METRIC=]SHARE",
    help="How much worse a number may get, relative to that of A: 0.05 by default; fid=0.1 for one metric.",
)
@click.option("--all", "everything", is_flag=True, help="Print what did not move as well.")
@_as_json
def compare(
    before: str, after: str, metrics: tuple[str, ...], thresholds: tuple[str, ...], everything: bool, as_json: bool
) -> None:
    """What moved from A to B, by how much, and whether beyond noise; exit code 1 if something got worse.

    A and B are a record, a folder of records, or COMMIT:PATH, what a commit has under a path. Worse means: by more than
    the threshold, and significantly after Holm's correction over everything that is compared; --metric makes that
    fewer. Numbers of one training seed are tested against the noise of their samples and images alone, so that models
    trained anew need several seeds; five or more count in pairs. Speed is never compared across hardware.
    """
    from dataclasses import asdict

    from genbench.compare import THRESHOLD, Declared
    from genbench.compare import compare as compare_records
    from genbench.recordsets import load
    from leaderboard.columns import COLUMNS
    from leaderboard.typography import plain

    allowed = dict(_threshold(text) for text in thresholds)
    found = compare_records(
        load(before),
        load(after),
        {column.metric: Declared(better=column.better, axis=column.axis) for column in COLUMNS},
        metrics=metrics,
        threshold=allowed.pop("", THRESHOLD),
        thresholds=allowed,
    )
    if as_json:
        click.echo(json.dumps({**asdict(found), "summary": found.summary, "failed": found.failed}, indent=1))
        sys.exit(1 if found.failed else 0)
    rows = []
    for one in found.changes:
        if everything or one.verdict not in ("equal", "within noise"):
            moved = "" if one.relative is None else f"{100 * one.relative:+.1f}%"
            p = "" if one.p is None else f"{one.p:.2g}"
            numbers = ["" if x is None else f"{x:.5g}" for x in (one.before, one.after)]
            rows.append([one.dataset, one.model, one.metric, *numbers, moved, p, one.verdict, one.reason or one.method])
    if rows:
        headings = ["dataset", "model", "metric", "A", "B", "change", "p (Holm)", "verdict", "by"]
        _show(headings, [[plain(text, 80) for text in row] for row in rows])
    for words, names in (("Only in A", found.only_before), ("Only in B", found.only_after)):
        if names:
            click.echo(plain(f"{words}: {', '.join(names)}"))
    for note in found.notes:
        click.echo(plain(note))
    click.echo(found.summary)
    if found.failed:
        sys.exit(1)


def _threshold(text: str) -> tuple[str, float]:
    """`fid=0.1` is the threshold of a metric, `0.1` (under the empty name) that of all others."""
    name, _, number = text.rpartition("=")
    try:
        return name, float(number)
    except ValueError:
        raise Refused(f"--threshold {text!r} is no share; write 0.05, or fid=0.1 for one metric") from None


@main.command(epilog=_example("genbench reproduce leaderboard/records/ring8/realnvp/0123456789abcdef.json"))
@click.argument("record", type=click.Path(path_type=Path))
@click.option("--out", "-o", type=click.Path(path_type=Path), help="Keep what is made here; without, nothing is kept.")
@click.option("--device", help="Instead of the kind of device that the record was made on.")
@click.option("--dataset", help="The data, where a record does not say where it lies: folder:PATH.")
@click.option("--trust-code", is_flag=True, help="Run code that the record names and no catalog does.")
@_root
@_download
@_as_json
def reproduce(
    record: Path,
    out: Path | None,
    device: str | None,
    dataset: str | None,
    trust_code: bool,
    data_root: Path | None,
    download: bool,
    as_json: bool,
) -> None:
    """Run the cell of a RECORD again, from the record alone, and say whether it agrees; exit code 1 if it does not.

    Bit by bit on the same class of machine and with the same code, within the intervals elsewhere.
    """
    import tempfile

    from genbench.record import read
    from leaderboard.check import faults, latest

    one = read(record)
    if wrong := faults(one, latest()):
        raise Refused(f"{record.name} cannot be: {wrong[0]}")
    from genbench.reproduce import reproduce as run_again
    from genbench.store import Store

    if device:
        _check_device(device)
    with tempfile.TemporaryDirectory() as scratch:
        found = run_again(
            one,
            Store(out or scratch),
            trust_code=trust_code,
            device=device,
            dataset=dataset,
            root=str(data_root) if data_root else None,
            download=download,
            say=lambda line: click.echo(line, err=True),
        )
    if as_json:
        rows = [{"name": r.name, "recorded": r.recorded, "again": r.again, "agrees": r.agrees} for r in found.rows]
        content = {"record": one.key, "agrees": found.agrees, "bitwise": found.bitwise, "differs": list(found.differs)}
        click.echo(json.dumps({**content, "rows": rows}, indent=1))
    else:
        words = {True: "yes", False: "NO", None: "not compared"}
        _show(
            ["measurement", "recorded", "again", "agrees"],
            [[row.name, row.recorded, row.again, words[row.agrees]] for row in found.rows],
        )
        for reason in found.differs:
            click.echo(f"Not bit by bit, within intervals: {reason}.")
        how = "bit by bit" if found.bitwise else "within the intervals"
        click.echo(f"{one.key} {'agrees' if found.agrees else 'DOES NOT AGREE'} {how}.")
    if not found.agrees:
        sys.exit(1)


@main.command(epilog=_example("genbench doctor --json"))
@_as_json
def doctor(as_json: bool) -> None:
    """What this installation is: versions, devices, ONNX providers, data files and weights that are found."""
    from genbench.doctor import examine

    found = examine()
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        for section, entries in found.items():
            _show([section, ""], [[key, str(value)] for key, value in entries.items()])


if __name__ == "__main__":
    main()
