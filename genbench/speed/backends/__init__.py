"""The ways to run a sampler, one file each, behind one small protocol.

A sampler is a function of its noise, so that every backend is a function of the same recorded tensors. What it runs
(its unit) is the whole sampler, or the step (one network call, `Model.step`) with the loop around it in Python.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from genbench.catalog import did_you_mean
from genbench.errors import Unavailable
from genbench.noise import Recorded, Replay
from genbench.types import Model, Refused, Unit

What = Literal["sampler", "step"]
Run = Callable[[Sequence[Tensor]], Tensor]
Call = Callable[..., Any]  # computes what the step's module computes: tensors in, a tensor or a tuple of them out

BACKENDS = {
    "eager": "genbench.speed.backends.eager:Eager",
    "compile": "genbench.speed.backends.compile:Compile",
    "compile-reduce-overhead": "genbench.speed.backends.compile:ReduceOverhead",
    "compile-max-autotune": "genbench.speed.backends.compile:MaxAutotune",
    "cudagraph": "genbench.speed.backends.cudagraph:CUDAGraph",
    "onnx-cpu": "genbench.speed.backends.onnx_cpu:OnnxCPU",
    "onnx-cuda": "genbench.speed.backends.onnx_cuda:OnnxCUDA",
    "onnx-tensorrt": "genbench.speed.backends.onnx_tensorrt:OnnxTensorRT",
}


class Stages:
    """Seconds of what comes before the steady state, each stage by its name: `with stages("export"): ...`."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = {}
        self._clock = clock
        self._inner = 0.0  # seconds of stages that are inside the one that runs

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Adds the seconds of its body to a stage; a stage inside another is not counted twice."""
        outside, self._inner, started = self._inner, 0.0, self._clock()
        try:
            yield
        finally:
            spent = self._clock() - started
            self.seconds[stage] = self.seconds.get(stage, 0.0) + spent - self._inner
            self._inner = outside + spent


@dataclass
class Prepared:
    """A sampler that is ready to run: called with the noise tensors it gives the images (or points) on its device.

    `step` computes what the step's module computes, where the unit is the step; the gate compares it by itself.
    `notes` say what a reader of its times has to know; a batch that is prepared anew adds one. `explain` says on what
    a call spends its time, where the backend can tell.
    """

    run: Run
    step: Call | None = None
    notes: list[str] = field(default_factory=list)
    explain: Callable[[Sequence[Tensor]], str] | None = None

    def __call__(self, tensors: Sequence[Tensor]) -> Tensor:
        """`(n, *shape)` integers or points from noise of any batch size; the caller synchronises."""
        return self.run(tensors)


class Backend(Protocol):
    """A way to run samplers."""

    name: str

    def unavailable(self, device: torch.device) -> str | None:
        """Why it cannot run with its tensors on such a device, or None."""

    def prepare(self, model: Model, what: What, noise: Recorded, stages: Stages) -> Prepared:
        """The sampler, made ready with its first call done; `Unavailable` says why it cannot.

        Args:
            noise: what the sampler drew, of the batch size to prepare for.
            stages: gets the seconds that each stage took.
        """


def find(name: str) -> Backend:
    """A backend by its name."""
    if name not in BACKENDS:
        raise Refused(f"there is no backend {name!r}{did_you_mean(name, BACKENDS)}")
    module, _, attribute = BACKENDS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)()


def step_of(model: Model) -> Unit:
    """The step of a model's sampler; refused where there is none apart from the sampler itself."""
    if (unit := model.step()) is None:
        raise Unavailable(
            f"{type(model).__name__} has no step of its own: its sampler is one shot, so time the sampler"
        )
    return unit


def driven(unit: Unit, call: Call) -> Run:
    """The sampler's loop around a callable."""

    def run(tensors: Sequence[Tensor]) -> Tensor:
        with torch.inference_mode():
            return unit.drive(call, Replay(tensors))

    return run
