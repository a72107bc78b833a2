"""Sessions of ONNX Runtime: the provider that was asked for or none, torch's threads, buffers on the device."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genbench.errors import Unavailable
from genbench.noise import Recorded, Replay
from genbench.speed import export
from genbench.speed.backends import Backend, Prepared, Stages, What, step_of
from genbench.types import Model

PROVIDERS = {
    "onnx-cpu": "CPUExecutionProvider",
    "onnx-cuda": "CUDAExecutionProvider",
    "onnx-tensorrt": "TensorrtExecutionProvider",
}
_AROUND = ("Scan", "Loop", "If")  # operators whose time is that of those inside them
_DTYPES = {
    "tensor(float)": torch.float32,
    "tensor(double)": torch.float64,
    "tensor(float16)": torch.float16,
    "tensor(uint8)": torch.uint8,
    "tensor(int32)": torch.int32,
    "tensor(int64)": torch.int64,
    "tensor(bool)": torch.bool,
}


def missing(backend: str) -> str | None:
    """Why ONNX Runtime has not got a backend's provider at all, or None."""
    try:
        import onnxruntime
    except ImportError as error:
        return f"onnxruntime cannot be imported: {error}"
    if (provider := PROVIDERS[backend]) not in onnxruntime.get_available_providers():
        return f"this onnxruntime {onnxruntime.__version__} was built without {provider}"
    return None


class Session:
    """A loaded model: called with tensors it gives a tensor, or a tuple where the model has several outputs.

    Args:
        content: the ONNX model.
        provider: the only one allowed to take the graph; a session that falls back to another is refused.
        device: where the tensors are, and stay.
        profile: how the file begins into which the runtime writes what it spends its time on.
    """

    def __init__(
        self,
        content: bytes,
        provider: str,
        device: torch.device,
        options: dict[str, str],
        profile: Path | None = None,
    ) -> None:
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = torch.get_num_threads()
        settings.inter_op_num_threads = 1
        settings.log_severity_level = 3
        if profile:
            settings.enable_profiling, settings.profile_file_prefix = True, str(profile)
        try:
            self.session = onnxruntime.InferenceSession(content, settings, providers=[(provider, options)])
        except Exception as error:
            raise Unavailable(f"ONNX Runtime cannot load the graph: {str(error).splitlines()[0]}") from error
        self.session.disable_fallback()
        if (real := self.session.get_providers()[0]) != provider:
            raise Unavailable(f"ONNX Runtime fell back from {provider} to {real}; its libraries are not to be found")
        self.device = device
        self.inputs = [entry.name for entry in self.session.get_inputs()]
        self._batch = next(
            ((i, axis) for i, e in enumerate(self.session.get_inputs()) for axis, s in enumerate(e.shape) if s == "n"),
            None,
        )
        self.outputs = [(entry.name, _DTYPES[entry.type], entry.shape) for entry in self.session.get_outputs()]

    def __call__(self, *tensors: Tensor) -> Any:
        found = self._on_cpu(tensors) if self.device.type == "cpu" else self._bound(tensors)
        return found[0] if len(found) == 1 else tuple(found)

    def _on_cpu(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        feed = {name: tensor.contiguous().numpy() for name, tensor in zip(self.inputs, tensors, strict=True)}
        return [torch.from_numpy(array) for array in self.session.run(None, feed)]

    def _bound(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Torch's own memory as inputs and outputs: nothing leaves the device."""
        import numpy as np

        binding, index = self.session.io_binding(), self.device.index or 0
        kept = [tensor.contiguous() for tensor in tensors]
        n = kept[self._batch[0]].shape[self._batch[1]] if self._batch else 1

        def typed(dtype: torch.dtype) -> Any:
            return np.dtype(str(dtype).removeprefix("torch.")).type

        for name, tensor in zip(self.inputs, kept, strict=True):
            binding.bind_input(name, "cuda", index, typed(tensor.dtype), tuple(tensor.shape), tensor.data_ptr())
        found = []
        for name, dtype, shape in self.outputs:
            buffer = torch.empty([s if isinstance(s, int) else n for s in shape], dtype=dtype, device=self.device)
            binding.bind_output(name, "cuda", index, typed(dtype), tuple(buffer.shape), buffer.data_ptr())
            found.append(buffer)
        # The runtime has a stream of its own: what torch has been asked for must be there before it starts.
        torch.cuda.current_stream(self.device).synchronize()
        self.session.run_with_iobinding(binding)
        return found


def prepare(
    backend: Backend, options: dict[str, str], model: Model, what: What, noise: Recorded, stages: Stages
) -> Prepared:
    """Exports a sampler or its step and loads it under a backend's provider."""
    with stages("import"):
        if reason := backend.unavailable(noise.device):
            raise Unavailable(reason)
        import onnxscript  # noqa: F401  (the exporter needs it, and takes seconds over it)
    model.eval()
    unit = step_of(model) if what == "step" else None
    with stages("export"):
        graph = export.to_graph(model, what)
        inputs, content = graph.inputs, graph.proto.SerializeToString()
    del graph  # it is as large as the weights
    provider, home = PROVIDERS[backend.name], noise.device
    with stages("load"):
        session = Session(content, provider, home, options)
    del content

    def ran(with_session: Session, tensors: Sequence[Tensor]) -> Tensor:
        with torch.inference_mode():
            if unit is not None:
                return unit.drive(with_session, Replay(tensors))
            return with_session(*(entry.take(tensors) for entry in inputs))

    def explain(tensors: Sequence[Tensor]) -> str:
        content = export.to_graph(model, what).proto.SerializeToString()
        with tempfile.TemporaryDirectory() as folder:
            watched = Session(content, provider, home, options, profile=Path(folder) / "profile")
            ran(watched, tensors)
            return spent(json.loads(Path(watched.session.end_profiling()).read_text(encoding="utf-8")))

    prepared = Prepared(lambda tensors: ran(session, tensors), step=session if unit else None, explain=explain)
    with stages("first call"):
        prepared(noise.tensors)
    return prepared


def spent(profile: Sequence[dict[str, Any]]) -> str:
    """ONNX Runtime's own profile in words: how many operators ran, and on which the time went."""
    times, count = Counter[str](), 0
    for event in profile:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            operator = event["args"]["op_name"]
            if operator not in _AROUND:
                times[operator] += event["dur"]
                count += 1
    total = sum(times.values()) or 1
    shares = ", ".join(f"{operator} {time / total:.0%}" for operator, time in times.most_common(3))
    return f"of the time inside its {count:,} operators {shares}"
