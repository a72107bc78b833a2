"""Where the time of scoring goes: every metric on cached features, with its interval, beside the exact neighbours.

One process; the processor's time, so that another program on the machine is not counted; what a metric keeps for its
siblings is forgotten before each. Nothing is asserted: `pytest tests/benchmarks/test_scoring.py --benchmark-only -s`.
"""

import time

import numpy as np
import pytest

from genbench import catalog
from genbench.metrics import memory, neighbours
from genbench.metrics.measure import measure
from tests.benchmarks.test_neighbours import say

N, D = 10_000, 512
SIZES, WIDTHS = (1000, 2000, 4000), (128, 512, 2048)
NEIGHBOURS = ("precision", "recall", "density", "coverage")


def metrics():
    """Name -> metric of features, and of training features."""
    every = {name: catalog.resolve("metrics", name) for name in catalog.METRICS}
    return {name: metric for name, metric in every.items() if metric.needs in ("features", "memory")}


def sides(n, d):
    rng = np.random.default_rng(0)
    return {side: rng.normal(size=(n, d)).astype(np.float32) for side in ("real", "fake", "train")}


def forget():
    neighbours._memory.clear()
    memory._memory.clear()


def seconds(names, arrays):
    """What the metrics cost together, each measured with its interval."""
    every = metrics()
    forget()
    started = time.process_time()
    for name in names:
        train = arrays["train"] if every[name].needs == "memory" else None
        measure(name, every[name], real=arrays["real"], fake=arrays["fake"], train=train, protocol="")
    return time.process_time() - started


def table(n, d):
    """Name -> seconds; the exact neighbours first."""
    arrays = sides(n, d)
    return {"neighbours": seconds(NEIGHBOURS, arrays)} | {name: seconds([name], arrays) for name in metrics()}


def exponents(along, tables):
    """The slope of log seconds over the logarithm of what grows."""
    logs = {name: np.log([max(each[name], 1e-4) for each in tables]) for name in tables[0]}
    return {name: float(np.polyfit(np.log(along), values, 1)[0]) for name, values in logs.items()}


def test_where_the_time_goes(benchmark):
    """Bar: no metric costs more than the exact neighbours."""
    table(200, 16)  # imports
    found = benchmark.pedantic(table, args=(N, D), rounds=1)
    say(f"{N} against {N}, d = {D}\n" + "metric | seconds | of the neighbours")
    for name, value in sorted(found.items(), key=lambda item: -item[1]):
        say(f"{name} | {value:.2f} | {value / found['neighbours']:.2f}")
    benchmark.extra_info.update(found)


@pytest.mark.parametrize(("sizes", "widths"), [(SIZES, (512,)), ((2000,), WIDTHS)], ids=["n", "d"])
def test_growth(benchmark, sizes, widths):
    """Bar: at most 2 in n and 1 in d where all pairs are looked at; moments grow as n d^2 and their spectrum as d^3."""
    table(200, 16)
    found = benchmark.pedantic(lambda: [table(n, d) for n in sizes for d in widths], rounds=1)
    grown = exponents(sizes if len(sizes) > 1 else widths, found)
    say("metric | exponent | seconds at the largest")
    for name, value in sorted(grown.items(), key=lambda item: -item[1]):
        say(f"{name} | {value:.2f} | {found[-1][name]:.2f}")
    benchmark.extra_info.update(grown)
