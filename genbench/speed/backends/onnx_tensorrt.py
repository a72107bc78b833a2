"""ONNX Runtime with NVIDIA's TensorRT."""

from __future__ import annotations

import ctypes.util
import importlib.util

import torch

from genbench.noise import Recorded
from genbench.speed.backends import Prepared, Stages, What, session
from genbench.types import Model


class OnnxTensorRT:
    """The exported graph under the TensorRT provider, in float32; an engine is built for the sizes it meets."""

    name = "onnx-tensorrt"

    def unavailable(self, device: torch.device) -> str | None:
        if device.type != "cuda":
            return f"the TensorRT provider needs a CUDA device; the model is on {device.type}"
        # The provider is listed wherever it was built in, whether its libraries are there or not.
        if ctypes.util.find_library("nvinfer") is None and importlib.util.find_spec("tensorrt_libs") is None:
            return "the libraries of TensorRT (libnvinfer) are not installed"
        return session.missing(self.name)

    def prepare(self, model: Model, what: What, noise: Recorded, stages: Stages) -> Prepared:
        options = {"device_id": str(noise.device.index or 0), "trt_fp16_enable": "False"}
        return session.prepare(self, options, model, what, noise, stages)
