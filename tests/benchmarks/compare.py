"""Benchmarks of now against a stored baseline of the same machine, as ratios: `make bench` runs it at its end.

A benchmark has moved if the 95% intervals of the two medians (by order statistics over its rounds) do not overlap, and
both the medians and the fastest rounds differ by 5% in the same direction: what else runs on the machine slows most
rounds, and differs from run to run, but leaves the fastest alone. What ran in fewer than 11 rounds has no interval; its
ratio is printed, and nothing is said of it.
"""

import json
import shutil
import sys
from pathlib import Path

import click

from genbench.speed.statistics import percentile, spoken

_LEAST = 0.05
_MACHINE = ("node", "machine", "cpu.brand_raw", "cpu.count", "python_version")


def machine(run):
    """What must be the same for times to be compared."""
    found = run["machine_info"]
    return {name: found.get(name) or found.get("cpu", {}).get(name.removeprefix("cpu.")) for name in _MACHINE}


def compared(before, after):
    """Rows (name, before, after, ratio, verdict), the largest change first."""
    old = {one["fullname"]: one["stats"] for one in before["benchmarks"]}
    rows = []
    for one in after["benchmarks"]:
        name, new = one["fullname"], one["stats"]
        if name not in old:
            rows.append((name, None, new["median"], None, "new"))
            continue
        ratio = new["median"] / old[name]["median"]
        rows.append((name, old[name]["median"], new["median"], ratio, _verdict(old[name], new, ratio)))
    gone = set(old) - {one["fullname"] for one in after["benchmarks"]}
    rows += [(name, old[name]["median"], None, None, "gone") for name in sorted(gone)]
    return sorted(rows, key=lambda row: -abs((row[3] or 1.0) - 1.0))


def _verdict(old, new, ratio):
    intervals = [percentile(stats.get("data") or [], 0.5) for stats in (old, new)]
    if None in intervals:
        return "too few rounds to say"
    first, second = intervals
    if first.low <= second.high and second.low <= first.high:
        return "within its noise"
    ratios = (ratio, new["min"] / old["min"])
    if min(ratios) > 1.0 + _LEAST:
        return "SLOWER"
    return "faster" if max(ratios) < 1.0 - _LEAST else "within its noise"


def main(latest, baseline):
    """Prints the comparison; the first run becomes the baseline."""
    if not baseline.exists():
        shutil.copyfile(latest, baseline)
        click.echo(f"\nThis is the first run here: it is now the baseline, {baseline}.")
        return
    before, after = (json.loads(path.read_text(encoding="utf-8")) for path in (baseline, latest))
    if machine(before) != machine(after):
        differs = sorted(name for name, value in machine(before).items() if machine(after)[name] != value)
        click.echo(
            f"\nThe baseline is of another machine ({', '.join(differs)} differs); delete {baseline} to renew it."
        )
        return
    rows = compared(before, after)
    click.echo(f"\nagainst the baseline of {before['datetime'][:16]} ({baseline}; delete it to renew it)")
    for name, old, new, ratio, verdict in rows:
        times = " -> ".join("-" if seconds is None else spoken(seconds) for seconds in (old, new))
        click.echo(f"  {f'{ratio:.2f}' if ratio else '-':>6}  {verdict:22s} {times:24s} {name}")
    moved = [row for row in rows if row[4] in ("SLOWER", "faster")]
    click.echo(f"{len(moved)} of {len(rows)} moved beyond their own noise.")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
