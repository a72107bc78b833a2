"""Exact KID against the peers' 100 subsets, in one process, turn by turn; medians.

Run with `pytest tests/benchmarks/test_kid.py --benchmark-only`.
"""

import statistics
import time

import numpy as np
import pytest

from genbench.metrics.kid import kid

ROUNDS = 3


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(works, rounds):
    """The median of each one's times, every round in the same order."""
    times = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds(work))
    return {name: statistics.median(found) for name, found in times.items()}


@pytest.mark.parametrize("n", [10_000])
def test_one_exact_pass_costs_no_more_than_a_hundred_subsets(benchmark, n):
    fidelity = pytest.importorskip("torch_fidelity.metric_kid")
    import torch

    rng = np.random.default_rng(0)
    x, y = rng.uniform(size=(n, 2048)), rng.uniform(size=(n, 2048))
    theirs = torch.from_numpy(y), torch.from_numpy(x)
    options = {"kid_subsets": 100, "kid_subset_size": 1000, "rng_seed": 2020, "verbose": False}
    works = {
        "exact": lambda: kid(real=x, fake=y),
        "torch-fidelity": lambda: fidelity.kid_features_to_metric(*theirs, **options),
    }
    found = interleaved(works, ROUNDS)
    benchmark.extra_info.update(found)
    benchmark.pedantic(lambda: None, rounds=1)
    assert found["exact"] <= found["torch-fidelity"]
