"""Precision, recall, density and coverage against prdc and torch-fidelity, how cost grows, and what memory it takes.

One process, interleaved, medians; the processor's time, so that another program on the machine is not counted. The bars
are printed, never asserted: `pytest tests/benchmarks/test_neighbours.py --benchmark-only -s`.
"""

import contextlib
import io
import statistics
import subprocess
import sys
import time

import numpy as np
import pytest

from genbench.metrics import memory, neighbours
from genbench.metrics.authenticity import authenticity
from genbench.metrics.c_t import c_t
from genbench.metrics.coverage import METRIC, coverage
from genbench.metrics.density import density
from genbench.metrics.fld import fld
from genbench.metrics.fld_gap import fld_gap
from genbench.metrics.nearest_ratio import nearest_ratio
from genbench.metrics.precision import precision
from genbench.metrics.recall import recall

ROUNDS = 3
N, D = 10_000, 2048


def pair(n=N, d=D):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, d), dtype=np.float32), rng.standard_normal((n, d), dtype=np.float32)


def ours(real, fake):
    neighbours._memory.clear()
    return [fn(real=real, fake=fake) for fn in (precision, recall, density, coverage)]


def interval(real, fake):
    neighbours._memory.clear()
    return METRIC.estimate(real=real, fake=fake).value


def prdc(real, fake):
    compute = pytest.importorskip("prdc").compute_prdc
    with contextlib.redirect_stdout(io.StringIO()):
        found = compute(real_features=real, fake_features=fake, nearest_k=5)
    return [float(value) for value in found.values()]


def torch_fidelity(real, fake):
    metric = pytest.importorskip("torch_fidelity.metric_prc")
    import torch

    sides = torch.from_numpy(fake), torch.from_numpy(real)
    return list(metric.calculate_precision_recall_full(*sides, neighborhood=3))


def seconds(work, *arguments):
    started = time.process_time()
    found = work(*arguments)
    return time.process_time() - started, found


def say(text):
    print(f"\n{text}")  # noqa: T201


def test_against_the_peers(benchmark):
    """Bars: 0.2 of prdc, 0.6 of torch-fidelity's precision and recall alone; the interval about as much again."""
    sides = pair()
    works = {"ours": ours, "with interval": interval, "torch-fidelity": torch_fidelity, "prdc": prdc}
    taken = {name: [] for name in works}
    found = {}

    def all_of_them():
        for _ in range(ROUNDS):
            for name, work in works.items():
                spent, found[name] = seconds(work, *sides)
                taken[name].append(spent)

    benchmark.pedantic(all_of_them, rounds=1)
    median = {name: statistics.median(values) for name, values in taken.items()}
    for name, value in median.items():
        say(f"{name}: {value:.2f} s, ours is {median['ours'] / value:.3f} of it; {found[name]}")
    benchmark.extra_info.update(median)


def test_memorization_costs_no_more_than_the_neighbours(benchmark):
    real, fake = pair()
    train = np.random.default_rng(1).normal(size=(N, D)).astype(np.float32)

    def all_of_them():
        taken["neighbours"] = seconds(ours, real, fake)[0]
        for fn in (authenticity, c_t, nearest_ratio, fld, fld_gap):
            memory._memory.clear()
            taken[fn.__name__] = seconds(lambda fn=fn: fn(train=train, real=real, fake=fake))[0]

    taken = {}
    benchmark.pedantic(all_of_them, rounds=1)
    say(", ".join(f"{name} {value:.1f} s" for name, value in taken.items()))


def test_growth(benchmark):
    """Fitted exponents: 2 in n where the product dominates, 1 in d."""

    def fitted(sizes, make):
        spent = [min(seconds(ours, *make(size))[0] for _ in range(ROUNDS)) for size in sizes]
        return float(np.polyfit(np.log(sizes), np.log(spent), 1)[0])

    def both():
        exponents["n, d = 512"] = fitted([1500, 3000, 6000], lambda n: pair(n, 512))
        exponents["d, n = 3000"] = fitted([256, 1024, 4096], lambda d: pair(3000, d))

    exponents = {}
    benchmark.pedantic(both, rounds=1)
    say(", ".join(f"exponent in {name}: {value:.2f}" for name, value in exponents.items()))
    benchmark.extra_info.update(exponents)


@pytest.mark.parametrize(("n", "d"), [(50_000, 64), pytest.param(50_000, 2048, marks=pytest.mark.slow)])
def test_memory(benchmark, n, d):
    """Bar: 2 GB for 50,000 against 50,000, interpreter and features included."""
    code = (
        "import resource\nfrom tests.benchmarks.test_neighbours import ours, pair\n"
        f"ours(*pair({n}, {d}))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)"
    )
    found = []

    def run():
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        found.append(float(done.stdout.split()[-1]))

    benchmark.pedantic(run, rounds=1)
    say(f"{n} x {n}, d = {d}: {found[0]:.2f} GiB at most")
    benchmark.extra_info["GiB"] = found[0]
