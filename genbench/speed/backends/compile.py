"""`torch.compile`: the operations fused into generated code, C++ on the CPU and Triton on a GPU."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genbench.errors import Unavailable
from genbench.noise import Recorded, Replay
from genbench.speed.backends import Call, Prepared, Stages, What, driven, step_of
from genbench.types import Model

MOST_CALLS = 8  # of the network in a sampler that is compiled whole: the compiler unrolls its loop
_SIZES = 64  # batch sizes that are compiled before the compiler may give up


class Compile:
    """The sampler, or its step, as one compiled graph; each batch size is compiled for itself."""

    name = "compile"
    mode = "default"

    def unavailable(self, device: torch.device) -> str | None:
        if device.type == "cuda" and importlib.util.find_spec("triton") is None:
            return "torch.compile on a GPU needs the package triton, which is not installed"
        wanted = [os.environ["CXX"]] if "CXX" in os.environ else ["c++", "g++", "clang++"]
        if not any(map(shutil.which, wanted)):
            return f"torch.compile needs a C++ compiler; {' and '.join(wanted)} are not on the path"
        if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
            return "torch.compile needs the headers of Python (Python.h), which are not installed"
        return None

    def prepare(self, model: Model, what: What, noise: Recorded, stages: Stages) -> Prepared:
        if reason := self.unavailable(noise.device):
            raise Unavailable(reason)
        model.eval()
        prepared = self._step(model) if what == "step" else self._whole(model)
        prepared.notes.append(f"mode {self.mode}")
        with stages("compile"):
            prepared(noise.tensors)
        seen = {noise.n}
        run = prepared.run

        def watched(tensors: Sequence[Tensor]) -> Tensor:
            if (n := len(tensors[0])) not in seen:
                seen.add(n)
                prepared.notes.append(f"compiled anew for batch {n}")
            return run(tensors)

        prepared.run = watched
        with stages("first call"):
            prepared(noise.tensors)
        return prepared

    def _step(self, model: Model) -> Prepared:
        unit = step_of(model)
        call = self._compiled(unit.module)
        return Prepared(driven(unit, call), step=call)

    def _whole(self, model: Model) -> Prepared:
        if (calls := model.nfe) is None or calls > MOST_CALLS:
            raise Unavailable(
                f"torch.compile would unroll the {calls or 'many'} network calls of this sampler; its step compiles"
            )

        def sample(*tensors: Tensor) -> Tensor:
            return model.sample(Replay(tensors))

        call = self._compiled(sample)

        def run(tensors: Sequence[Tensor]) -> Tensor:
            with torch.inference_mode():
                return call(*tensors)

        return Prepared(run)

    def _compiled(self, function: Callable[..., Any]) -> Call:
        # No break in the graph may pass unseen: what does not compile whole is refused.
        mode = None if self.mode == "default" else self.mode
        compiled = torch.compile(function, mode=mode, fullgraph=True, dynamic=False)
        # These modes replay CUDA graphs, whose next replay overwrites what the last one gave.
        kept = self.mode in ("reduce-overhead", "max-autotune")

        def call(*tensors: Tensor) -> Any:
            with torch._dynamo.config.patch(recompile_limit=_SIZES):
                found = compiled(*tensors)
            if not kept:
                return found
            return found.clone() if isinstance(found, Tensor) else tuple(part.clone() for part in found)

        return call


class ReduceOverhead(Compile):
    """`compile` with CUDA graphs around the generated kernels."""

    name = "compile-reduce-overhead"
    mode = "reduce-overhead"


class MaxAutotune(Compile):
    """`compile` that tries several kernels for each operation and keeps the fastest."""

    name = "compile-max-autotune"
    mode = "max-autotune"
