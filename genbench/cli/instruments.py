"""The metrics themselves on trial: against damage, and against derived answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from genbench.cli import shared


@click.command(epilog=shared.example("genbench stress --metric fid --metric recall"))
@click.option("--metric", "metrics", multiple=True, help="Only this metric or protocol (may be given again).")
@click.option("--dataset", "datasets", multiple=True, help="digits, glyphs, or another with labels (again for more).")
@click.option("--pathology", "pathologies", multiple=True, help="Only this damage (may be given again).")
@click.option("--out", "-o", type=click.Path(path_type=Path), default=Path("runs/stress"), show_default=True)
@shared.root
@shared.as_json
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
        shared.show(["metric", *matrix.pathologies, "measures"], rows, title=matrix.dataset)
        for name, reason in matrix.left_out.items():
            click.echo(f"{name}: {reason}")
    click.echo("Arrow: where the number goes. Then the first dose noticed beyond the intervals; · blind; ! it improves")
    click.echo("under damage; ~ not monotone.")
    plots = write_plots(found, out / "plots")
    click.echo(f"{len(records)} records in {out / 'records'}, {len(plots)} plots in {out / 'plots'}")


@click.command(epilog=shared.example("genbench conform my_package.metrics:fid --as fid"))
@click.argument("implementations", nargs=-1, metavar="[IMPLEMENTATION]...")
@click.option("--as", "role", metavar="METRIC", help="What a module:function is an implementation of.")
@click.option("--metric", "metrics", multiple=True, help="Only the cases of this metric (may be given again).")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds for a case, of foreign code.")
@shared.as_json
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
        shared.show(*report.table(found))
        click.echo("\n".join(report.summary(found)))
    if report.any_wrong(found):
        sys.exit(1)
