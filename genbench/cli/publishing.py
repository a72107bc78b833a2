"""What becomes of records: a site or a table, a comparison, a repetition."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from genbench.cli import shared
from genbench.errors import Refused


@click.command(epilog=shared.example("genbench publish --records runs/records --out site"))
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
@shared.as_json
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


@click.command(epilog=_GATE)
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
@shared.as_json
def compare(
    before: str, after: str, metrics: tuple[str, ...], thresholds: tuple[str, ...], everything: bool, as_json: bool
) -> None:
    """What moved from A to B, by how much, and whether beyond noise; exit code 1 if something got worse.

    A and B are a record, a folder of records, or COMMIT:PATH, what a commit has under a path. Worse means: by more than
    the threshold, and significantly after Holm's correction over everything that is compared; --metric makes that
    fewer. Numbers of one training seed are tested against the noise of their samples and images alone, so that models
    trained anew need several seeds; five or more count in pairs. Speed is never compared across hardware, and what was
    observed once (memory, energy, seconds to start) only over several seeds.
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
            what = [one.dataset, one.model, one.measured, one.metric]
            rows.append([*what, *numbers, moved, p, one.verdict, one.reason or one.method])
    if rows:
        headings = ["dataset", "model", "measured", "metric", "A", "B", "change", "p (Holm)", "verdict", "by"]
        shared.show(headings, [[plain(text, 80) for text in row] for row in rows])
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


@click.command(epilog=shared.example("genbench reproduce leaderboard/records/ring8/realnvp/0123456789abcdef.json"))
@click.argument("record", type=click.Path(path_type=Path))
@click.option("--out", "-o", type=click.Path(path_type=Path), help="Keep what is made here; without, nothing is kept.")
@click.option("--device", help="Instead of the kind of device that the record was made on.")
@click.option("--dataset", help="The data, where a record does not say where it lies: folder:PATH.")
@click.option("--trust-code", is_flag=True, help="Run code that the record names and no catalog does.")
@shared.root
@shared.download
@shared.as_json
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

    Bit by bit on the same class of machine and with the same code, within the intervals elsewhere. A training that
    ended with other weights elsewhere is neither confirmed nor contradicted by a number outside.
    """
    import tempfile
    from dataclasses import asdict

    from genbench.record import read
    from leaderboard.check import faults, latest
    from leaderboard.typography import plain

    one = read(record)
    if wrong := faults(one, latest()):
        raise Refused(f"{record.name} cannot be: {wrong[0]}")
    from genbench.reproduce import reproduce as run_again
    from genbench.store import Store
    from genbench.untrusted import cell_of

    if device:
        shared.check_device(device)
    root = str(data_root) if data_root else None
    cell = cell_of(one, trust_code=trust_code, device=device, dataset=dataset, root=root, download=download)
    with tempfile.TemporaryDirectory() as scratch:
        found = run_again(one, cell, Store(out or scratch), say=lambda line: click.echo(line, err=True))
    if as_json:
        verdict = {"agrees": found.agrees, "contradicted": found.contradicted, "bitwise": found.bitwise}
        rows = [asdict(row) for row in found.rows]
        click.echo(json.dumps({"record": one.key, **verdict, "differs": found.differs, "rows": rows}, indent=1))
    else:
        shared.show(
            ["measurement", "recorded", "again", "agrees"],
            [[plain(text, 120) for text in (row.name, row.recorded, row.again, row.word)] for row in found.rows],
        )
        for reason in found.differs:
            click.echo(plain(f"Not bit by bit, within intervals: {reason}."))
        other = "DOES NOT AGREE" if found.contradicted else "is neither confirmed nor contradicted"
        how = "bit by bit" if found.bitwise else "within the intervals"
        click.echo(f"{one.key} {'agrees' if found.agrees else other} {how}.")
    if not found.agrees:
        sys.exit(1)
