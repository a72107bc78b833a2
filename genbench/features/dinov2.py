"""DINOv2, a vision transformer trained without labels: ViT-L/14 at 224 x 224, the class token, 1024 numbers.

The architecture is timm's (the optional extra `embeddings`); the weights are a file, `dinov2-vitl14.safetensors` in
the folder of weights, as timm publishes it: model.safetensors of timm/vit_large_patch14_dinov2.lvd142m on Hugging Face.
The protocol carries the head of the file's hash. Images are resized by Pillow's bicubic filter with antialiasing, in
floating point and without cropping, then standardised with ImageNet's mean and deviation; the position embedding of
37 x 37 places is resampled to 16 x 16 as timm does it.

References: DINOv2: Learning Robust Visual Features without Supervision (Oquab and others, 2023); Exposing Flaws of
Generative Model Evaluation Metrics and Their Unfair Treatment of Diffusion Models (Stein and others, 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genbench.errors import Refused, Unavailable
from genbench.features.preprocess import bytes_of, refuse_what_is_no_image, standardised
from genbench.features.weights import given, load
from genbench.types import DataSpec, Extractor

FILE = "dinov2-vitl14.safetensors"
HINT = "timm's model.safetensors of vit_large_patch14_dinov2.lvd142m (Hugging Face, timm), under this name,"
ARCHITECTURE = "vit_large_patch14_dinov2"
SIDE = 224
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_AT_ONCE = 8


class DINOv2(Extractor):
    """The class token of DINOv2; it knows no classes.

    Args:
        spec: images of one or three channels, any size, any number of levels.
        weights: a file of weights other than the one in the stated place.
        architecture: another vision transformer of timm's, with its weights; it then stands in the protocol.
        device: where the network runs.
    """

    taps = ("features",)
    tap = "features"
    batch = 32

    def __init__(
        self,
        spec: DataSpec,
        *,
        weights: Path | str | None = None,
        architecture: str = ARCHITECTURE,
        device: str = "cpu",
    ) -> None:
        refuse_what_is_no_image("dinov2", spec)
        self.spec = spec
        if (network := _architecture(architecture)) is None:
            raise Unavailable("dinov2 needs timm, which is not installed: pip install 'genbench[embeddings]'")
        self.weights = given("dinov2", weights, FILE, HINT)
        network.load_state_dict(load(self.weights, {name: tuple(t.shape) for name, t in network.state_dict().items()}))
        self.network = network.eval().requires_grad_(False).to(device)
        self.device = torch.device(device)
        self.width = int(network.num_features)
        self._words = f"{'' if architecture == ARCHITECTURE else architecture + ','}bicubic{SIDE}"
        self.protocol = f"dinov2@{self.weights.head},{self._words}"

    @property
    def identity(self) -> str:
        return f"dinov2@{self.weights.sha256},{self._words}"

    def prepare(self, x: Tensor) -> Tensor:
        """float32 `(n, 3, 224, 224)`, standardised."""
        return standardised(bytes_of(x, self.spec, "dinov2"), SIDE, MEAN, DEVIATION)

    @torch.inference_mode()
    def outputs(self, prepared: Tensor, taps: Sequence[str]) -> dict[str, np.ndarray]:
        if not len(prepared):
            return {tap: np.empty((0, self.width), np.float32) for tap in taps}
        parts = [self.network(part.to(self.device)).float().cpu() for part in prepared.split(_AT_ONCE)]
        return dict.fromkeys(taps, torch.cat(parts).numpy())


def _architecture(name: str) -> Any:
    """The network with random weights, or None where timm is not installed."""
    try:
        import timm
    except ImportError:
        return None
    try:
        return timm.create_model(name, pretrained=False, num_classes=0, dynamic_img_size=True)
    except (RuntimeError, TypeError) as error:
        raise Refused(f"timm has no vision transformer {name!r}: {error}") from None
