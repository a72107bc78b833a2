"""How long a sample takes, in a few seconds and in the process that has just trained it; `genbench speed` says more."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from genbench.noise import Streams, derive
from genbench.speed.statistics import median
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

    Synchronised wall time around the whole call, drawing the noise included. At least six runs; more (up to `runs`) as
    long as they fit into `seconds`.
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
    middle = median(times)
    threads = f",threads={torch.get_num_threads()}" if home.type == "cpu" else ""
    return Measurement(
        metric="seconds_per_image",
        value=middle.value / batch_size,
        low=middle.low / batch_size,
        high=middle.high / batch_size,
        n=middle.m,
        method="median over runs, interval by order statistics",
        protocol=f"eager,{home.type}{threads},batch={batch_size}",
    )
