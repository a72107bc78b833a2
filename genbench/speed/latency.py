"""How long a sample takes: synchronised wall time around the whole sampler call."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch

from genbench.noise import Streams, derive
from genbench.types import Measurement, Model

_LEAST = 6  # runs for a 95% interval of the median: outside all six with probability 2 / 2^6


def seconds_per_image(
    model: Model,
    *,
    batch_size: int = 64,
    seconds: float = 3.0,
    runs: int = 25,
    clock: Callable[[], float] = time.perf_counter,
) -> Measurement:
    """The median over repeated calls of `model.sample`, divided by the batch, after one call to warm up.

    The interval is that of the median by order statistics: with m runs, the l-th smallest and l-th largest, l the
    largest with P(Binomial(m, 1/2) < l) <= 2.5%. It needs no law of the times. At least six runs; more (up to `runs`)
    as long as they fit into `seconds`.
    """
    home = model.device

    def call(index: int) -> float:
        rows = torch.arange(index * batch_size, (index + 1) * batch_size)
        noise = Streams(derive(0, "latency"), rows, home)
        started = clock()
        model.sample(noise)
        if home.type == "cuda":
            torch.cuda.synchronize(home)
        return clock() - started

    model.eval()
    with torch.inference_mode():
        call(0)
        times: list[float] = []
        while len(times) < _LEAST or (len(times) < runs and sum(times) < seconds):
            times.append(call(len(times) + 1))
    times.sort()
    m = len(times)
    low = median_rank(m)
    middle = (times[(m - 1) // 2] + times[m // 2]) / 2
    threads = f",threads={torch.get_num_threads()}" if home.type == "cpu" else ""
    return Measurement(
        metric="seconds_per_image",
        value=middle / batch_size,
        low=times[low - 1] / batch_size,
        high=times[m - low] / batch_size,
        n=m,
        method="median over runs, interval by order statistics",
        protocol=f"eager,{home.type}{threads},batch={batch_size}",
    )


def median_rank(m: int) -> int:
    """l such that [x_(l), x_(m+1-l)] covers the median with at least 95%."""
    tail, rank = 0.0, 0
    while (tail := tail + math.comb(m, rank) / 2**m) <= 0.025:
        rank += 1
    return max(1, rank)
