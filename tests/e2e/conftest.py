"""One site and one browser for all tests of this folder."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from genbench.record import DatasetRun
from leaderboard.build import build
from tests import synthetic
from tests.e2e import chromium

REQUIRED = os.environ.get("GENBENCH_REQUIRE_BROWSER", "") not in ("", "0")
ON_DIGITS = ("real", "copycat", "independent", "vae", "nade", "pixelcnn", "gan", "ddpm", "ddpm[steps=20]")
ON_RING8 = ("real", "nade", "gan", "ddpm")


def write_records(folder: Path) -> None:
    """Few records with all that pages distinguish: groups, seeds, machines, details, notes, pictures, a broken file."""
    rng = random.Random(0)
    for dataset, labels in ((synthetic.digits(), ON_DIGITS), (synthetic.ring8(), ON_RING8)):
        for place, label in enumerate(labels):
            for seed in range(2 if label in ("vae", "gan") else 1):
                _write(folder, rng, label, dataset, seed, created=f"2026-03-{place + 1:02d}T12:00:00Z")
    (folder / "broken.json").write_text("{")


def _write(folder: Path, rng: random.Random, label: str, dataset: DatasetRun, seed: int, created: str) -> None:
    picture = synthetic.png(rng, side=3)
    machine = synthetic.MACHINE | ({"cpu": "Another CPU"} if label == "pixelcnn" else {})
    one = synthetic.make(label, dataset, seed, created=created, environment=machine, picture=picture)
    detail = synthetic.measured(rng, "kid", 0.02, 0.001, "digitnet@3f2a,test,n=1000")
    one = msgspec.structs.replace(one, measurements=one.measurements | {detail.name: detail})
    synthetic.write(folder, one, picture)


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "records"
    write_records(folder)
    return folder


@pytest.fixture(scope="session")
def site(records: Path) -> Path:
    """The folder of a built site."""
    return build(records, records.with_name("site")).parent


@pytest.fixture(scope="session")
def kinds(site: Path) -> list[Path]:
    """A page of each kind: those at the root, and the largest of each folder."""
    folders = sorted({page.parent for page in site.rglob("*.html")} - {site})
    largest = [max(sorted(folder.glob("*.html")), key=lambda page: page.stat().st_size) for folder in folders]
    return [*sorted(site.glob("*.html")), *largest]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if reason := chromium.missing():
        (pytest.fail if REQUIRED else pytest.skip)(reason)
    driver = chromium.start(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()
