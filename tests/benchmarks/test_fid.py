"""What the Fréchet distance costs, beside two libraries: interleaved in one process, medians, ratios: `make bench`.

The bars are for two threads of every library. They are printed, never asserted on a noisy machine; the values are
asserted.
"""

import statistics
import time

import numpy as np
import pytest
import scipy.linalg  # noqa: F401  (its BLAS is a copy of its own, and a limit reaches only what is loaded)
import torch
from threadpoolctl import threadpool_limits

from genbench.metrics.fid import _RECENT, fid
from genbench.metrics.fid import estimate as fid_estimate
from genbench.metrics.fid_infinity import estimate as limit_estimate
from genbench.moments import Moments

D = 2048
ROUNDS = 5


@pytest.fixture(autouse=True)
def two_threads():
    """The tests run on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with threadpool_limits(2):
        yield
    torch.set_num_threads(before)


def peers():
    metric, fid_of = pytest.importorskip("torch_fidelity.metric_fid"), pytest.importorskip("torchmetrics.image.fid")

    def torch_fidelity(real, fake):
        statistics = [{"mu": x[0], "sigma": x[1]} for x in (real, fake)]
        return metric.fid_statistics_to_metric(*statistics, verbose=False)[metric.KEY_METRIC_FID]

    def torchmetrics(real, fake):
        return float(fid_of._compute_fid(*(torch.from_numpy(part) for x in (real, fake) for part in x)))

    return {"torch-fidelity": torch_fidelity, "torchmetrics": torchmetrics}


def features(n, d=D, seed=0):
    """Float32, correlated; the spread falls tenfold."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d)) / np.sqrt(d) + np.eye(d)
    scales = np.logspace(0, -1, d)
    return [((rng.normal(size=(n, d)) * scales) @ mix + shift).astype(np.float32) for shift in (0, 0.1)]


def textbook(x):
    return x.mean(axis=0, dtype=np.float64), np.cov(x, rowvar=False, dtype=np.float64)


def interleaved(works, rounds=ROUNDS):
    """Seconds of each work in each round, in turns, and what each returned."""
    seconds, values = {name: [] for name in works}, {}
    for _ in range(rounds):
        for name, work in works.items():
            started = time.perf_counter()
            values[name] = work()
            seconds[name].append(time.perf_counter() - started)
    return seconds, values


def table(title, seconds, ours, bar, benchmark):
    medians = {name: statistics.median(s) for name, s in seconds.items()}
    fastest = min(value for name, value in medians.items() if name not in ours)
    ratio = sum(medians[name] for name in ours) / fastest
    benchmark.extra_info["ratio"] = ratio
    lines = [f"\n{title}"] + [f"  {name:28s} {value:8.3f} s  {value / fastest:6.3f}" for name, value in medians.items()]
    print("\n".join(lines), f"\n  ours over the fastest peer: {ratio:.3f} (bar {bar})")  # noqa: T201


@pytest.mark.benchmark(group="fid")
@pytest.mark.parametrize(("n", "bar"), [(6_000, 0.33), (1_000, 0.1)], ids=["n > d", "n < d"])
def test_the_distance(benchmark, n, bar):
    """From moments where n > d; from features, their moments counted for both sides, where n < d."""
    real, fake = features(n)
    known = peers()
    if n > D:
        moments, theirs = [Moments.of(x) for x in (real, fake)], [textbook(x) for x in (real, fake)]
        works = {"genbench": lambda: fid(real=moments[0], fake=moments[1])}
        works |= {name: lambda peer=peer: peer(*theirs) for name, peer in known.items()}
    else:
        works = {"genbench": lambda: fid(real=real, fake=fake)}
        works |= {name: lambda peer=peer: peer(textbook(real), textbook(fake)) for name, peer in known.items()}
    seconds, values = benchmark.pedantic(interleaved, args=(works,), rounds=1)
    for name in known:
        # Theirs takes the roots of 1,000 null directions' rounding where n < d.
        assert values["genbench"] == pytest.approx(values[name], rel=1e-8 if n > D else 1e-6)
    table(f"Fréchet distance, n = {n}, d = {D}", seconds, ["genbench"], bar, benchmark)


@pytest.mark.benchmark(group="fid")
def test_the_interval_and_the_limit(benchmark):
    """All from features: ours FID with its interval, then the limit with its own; theirs one FID."""
    real, fake = features(10_000)

    def interval():
        _RECENT.clear()
        return fid_estimate(real=real, fake=fake).value

    works = {
        "fid with interval": interval,
        "fid_infinity with interval": lambda: limit_estimate(real=real, fake=fake).value,
    }
    works |= {name: lambda peer=peer: peer(textbook(real), textbook(fake)) for name, peer in peers().items()}
    seconds, values = benchmark.pedantic(interleaved, args=(works, 3), rounds=1)
    assert values["fid with interval"] == pytest.approx(values["torchmetrics"], rel=1e-8)
    assert values["fid_infinity with interval"] < values["fid with interval"]
    table(f"interval and limit, n = 10,000, d = {D}", seconds, list(works)[:2], 2, benchmark)


@pytest.mark.benchmark(group="fid")
def test_growth(benchmark):
    """Exponents fitted to medians of three: of n at d = 256 (1: one pass over the data), of d at n = 4 d (3)."""

    def seconds(n, d):
        real, fake = features(n, d)
        return statistics.median(interleaved({"": lambda: fid(real=real, fake=fake)}, 3)[0][""])

    def fitted(points):
        return float(np.polyfit(np.log([x for x, _ in points]), np.log([y for _, y in points]), 1)[0])

    def both():
        of_n = fitted([(n, seconds(n, 256)) for n in (10_000, 20_000, 40_000, 80_000)])
        return of_n, fitted([(d, seconds(4 * d, d)) for d in (256, 512, 1024, 2048)])

    of_n, of_d = benchmark.pedantic(both, rounds=1)
    benchmark.extra_info.update(of_n=of_n, of_d=of_d)
    print(f"\nseconds grow like n^{of_n:.2f} and, with n = 4 d, like d^{of_d:.2f}")  # noqa: T201
