"""ONNX Runtime on the CPU."""

from __future__ import annotations

import torch

from genbench.noise import Recorded
from genbench.speed.backends import Prepared, Stages, What, session
from genbench.types import Model


class OnnxCPU:
    """The exported graph under the CPU provider, with as many threads as torch has."""

    name = "onnx-cpu"

    def unavailable(self, device: torch.device) -> str | None:
        if device.type != "cpu":
            return f"the CPU provider works on the CPU; the model is on {device.type}"
        return session.missing(self.name)

    def prepare(self, model: Model, what: What, noise: Recorded, stages: Stages) -> Prepared:
        return session.prepare(self, {}, model, what, noise, stages)
