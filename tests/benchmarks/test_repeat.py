"""Whether a measurement of speed says the same again: the same cell ten times over.

Ten minutes on a machine that does nothing else: `pytest -m slow --benchmark-only -s tests/benchmarks/test_repeat.py`.
The bar is printed, never asserted on a noisy machine.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence

import pytest

import genbench
from genbench.bench import Subject, Terms, speed
from genbench.record import Measurement
from genbench.speed.statistics import spoken
from genbench.store import Store

REPEATS = 10


def held(found: Sequence[Measurement]) -> list[bool]:
    """Which of the intervals hold the median of all medians."""
    middle = statistics.median(m.value for m in found)
    return [m.low <= middle <= m.high for m in found]


def test_an_interval_that_misses_the_others_is_counted():
    def measured(value, half=0.5):
        return Measurement(metric="latency_p50", value=value, low=value - half, high=value + half, n=11)

    assert held([measured(v) for v in (10.0, 10.2, 10.4, 9.8, 12.0)]) == [True, True, True, True, False]
    assert held([measured(9.0, half=0.1), measured(10.0), measured(10.1)]) == [False, True, True]


@pytest.mark.slow
@pytest.mark.benchmark(group="repeats")
@pytest.mark.parametrize("label", ["gan", "vae", "pixelcnn", "ddpm[ddim-10]"])
def test_repeats_agree(benchmark, label, tmp_path):
    """Bar: at least 9 of 10 intervals of the latency hold the median of all."""
    of = Subject(label=label, data=genbench.dataset("digits"), data_name="digits")
    terms = Terms(seconds=6.0, scenarios=("single",), memory=False)

    def repeated():
        found.extend(speed(of, terms, Store(tmp_path)).get("latency_p50") for _ in range(REPEATS))

    found: list[Measurement] = []
    benchmark.pedantic(repeated, rounds=1)
    agree = sum(held(found))
    width = statistics.median((m.high - m.low) / m.value for m in found)
    benchmark.extra_info.update(agree=agree, repeats=REPEATS, width=width, load=os.getloadavg()[0])
    values = ", ".join(spoken(m.value) for m in found)
    print(  # noqa: T201
        f"\n{label}: {agree} of {REPEATS} intervals hold the median of all (bar 9), an interval is {width:.1%} wide; "
        f"load {os.getloadavg()[0]:.2f}; {values}"
    )
