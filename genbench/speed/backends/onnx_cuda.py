"""ONNX Runtime on an NVIDIA GPU."""

from __future__ import annotations

import torch

from genbench.noise import Recorded
from genbench.speed.backends import Prepared, Stages, What, session
from genbench.types import Model


class OnnxCUDA:
    """The exported graph under the CUDA provider, in float32 proper unless torch itself multiplies in TF32."""

    name = "onnx-cuda"

    def unavailable(self, device: torch.device) -> str | None:
        if device.type != "cuda":
            return f"the CUDA provider needs a CUDA device; the model is on {device.type}"
        return session.missing(self.name)

    def prepare(self, model: Model, what: What, noise: Recorded, stages: Stages) -> Prepared:
        rounded = torch.get_float32_matmul_precision() != "highest"
        options = {"device_id": str(noise.device.index or 0), "use_tf32": str(int(rounded))}
        return session.prepare(self, options, model, what, noise, stages)
