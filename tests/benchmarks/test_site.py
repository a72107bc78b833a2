"""How long it takes to build a site, and how much memory: a thousand records, ten thousand; a second time, one changed.

The figures of a run are printed with `--benchmark-only -s`; nothing here asserts a time.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from genbench import record
from tests import synthetic

ROOT = Path(__file__).resolve().parents[2]
DATASETS = 5
_MEASURED = """
import json, resource, sys, time
from pathlib import Path
from leaderboard.build import build
start = time.perf_counter()
build(Path(sys.argv[1]), Path(sys.argv[2]))
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": seconds, "cpu": time.process_time(), "MiB": peak / 1024}))
"""


def populate(folder: Path, number: int, datasets: int = DATASETS, seeds: int = 3) -> None:
    """At least `number` records: every model in several sizes and seeds, with a picture that rows of a model share."""
    pictures = {label: synthetic.png(random.Random(label)) for label in synthetic.MODELS}
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    for width in range(1, number):
        for index in range(datasets):
            base = synthetic.digits() if index % 2 == 0 else synthetic.ring8()
            dataset = msgspec.structs.replace(base, label=f"{base.label}-{index}")
            for label in synthetic.MODELS:
                for seed in range(seeds):
                    one = synthetic.make(label, dataset, seed, config={"width": width}, picture=pictures[label])
                    synthetic.write(folder, one, pictures[label])
                    written += 1
        if written >= number:
            return


def build(records: Path, out: Path) -> dict[str, float]:
    """Seconds and peak memory of a build in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, records, out], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return dict(json.loads(done.stdout))


@pytest.mark.slow
@pytest.mark.parametrize("number", [1_000, 10_000])
def test_build(benchmark, tmp_path, number):
    populate(tmp_path / "records", number)
    first = benchmark.pedantic(build, (tmp_path / "records", tmp_path / "site"))
    again = build(tmp_path / "records", tmp_path / "site")
    path = next((tmp_path / "records").glob("*.json"))
    one = record.read(path)
    path.write_bytes(record.encode(msgspec.structs.replace(one, report={"changed": 1.0})))
    changed = build(tmp_path / "records", tmp_path / "site")
    sizes = {p.relative_to(tmp_path / "site").as_posix(): p.stat().st_size for p in (tmp_path / "site").rglob("*.html")}
    benchmark.extra_info |= {
        "first": first,
        "unchanged": again,
        "one changed": changed,
        "largest page": max(sizes.values()),
    }
    print(benchmark.extra_info, sizes["index.html"])  # noqa: T201
    assert (tmp_path / "site" / "index.html").is_file()
