"""CUDA graphs: the kernels of a call recorded once, then launched all together from static buffers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from genbench.errors import Unavailable
from genbench.noise import Recorded, Replay
from genbench.speed.backends import Prepared, Stages, What, driven, step_of
from genbench.types import Model

_WARM = 3  # calls before the capture, in which libraries choose their kernels and take their memory


class CUDAGraph:
    """The whole sampler (its loop included), or its step, as a graph for each batch size."""

    name = "cudagraph"

    def unavailable(self, device: torch.device) -> str | None:
        if device.type != "cuda":
            return f"CUDA graphs need a CUDA device; the model is on {device.type}"
        return None if torch.cuda.is_available() else "torch finds no CUDA device"

    def prepare(self, model: Model, what: What, noise: Recorded, stages: Stages) -> Prepared:
        if reason := self.unavailable(noise.device):
            raise Unavailable(reason)
        model.eval()
        if what == "step":
            unit = step_of(model)
            graphs = Graphs(unit.module)
            prepared = Prepared(driven(unit, graphs), step=graphs)
        else:
            graphs = Graphs(lambda *tensors: model.sample(Replay(tensors)))

            def run(tensors: Sequence[Tensor]) -> Tensor:
                with torch.inference_mode():
                    return graphs(*tensors)

            prepared = Prepared(run)
        with stages("capture"):
            prepared(noise.tensors)
        graphs.notes = prepared.notes
        with stages("first call"):
            prepared(noise.tensors)
        return prepared


class Graphs:
    """A function on the device as captured graphs, one for each set of shapes that it is called with."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.notes: list[str] = []
        self._captured: dict[tuple[torch.Size, ...], tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...], Any]] = {}

    def __call__(self, *tensors: Tensor) -> Any:
        shapes = tuple(tensor.shape for tensor in tensors)
        if shapes not in self._captured:
            if self._captured:
                self.notes.append(f"captured anew for batch {len(tensors[0])}")
            self._captured[shapes] = self._capture(tensors)
        graph, inputs, outputs = self._captured[shapes]
        for buffer, tensor in zip(inputs, tensors, strict=True):
            buffer.copy_(tensor)
        graph.replay()
        # The next replay writes into the same memory.
        return outputs.clone() if isinstance(outputs, Tensor) else tuple(output.clone() for output in outputs)

    def _capture(self, tensors: tuple[Tensor, ...]) -> tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...], Any]:
        inputs = tuple(tensor.clone() for tensor in tensors)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM):
                self.function(*inputs)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                outputs = self.function(*inputs)
        except RuntimeError as error:
            raise Unavailable(f"the sampler cannot be captured as a CUDA graph: {str(error).splitlines()[0]}") from None
        return graph, inputs, outputs
