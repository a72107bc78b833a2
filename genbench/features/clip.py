"""CLIP's image encoder: ViT-L/14 at 336 x 336, 768 numbers of unit length.

The architecture is open_clip's (the optional extra `embeddings`); the weights are a file, `clip-vitl14-336.safetensors`
in the folder of weights, as open_clip publishes it: open_clip_model.safetensors of
timm/vit_large_patch14_clip_336.openai on Hugging Face. The protocol carries the head of the file's hash. Images are
resized by Pillow's bicubic filter with antialiasing, in floating point and without cropping, then standardised with
CLIP's mean and deviation. The projected embedding is divided by its length.

References: Learning Transferable Visual Models From Natural Language Supervision (Radford and others, 2021); Rethinking
FID: Towards a Better Evaluation Metric for Image Generation (Jayasumana and others, 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genbench.errors import Refused, Unavailable
from genbench.features.preprocess import bytes_of, refuse_what_is_no_image, standardised
from genbench.features.weights import given, load
from genbench.types import DataSpec, Extractor

FILE = "clip-vitl14-336.safetensors"
HINT = "open_clip_model.safetensors of vit_large_patch14_clip_336.openai (Hugging Face, timm), under this name,"
ARCHITECTURE = "ViT-L-14-336"
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_AT_ONCE = 8


class CLIP(Extractor):
    """The image embedding of CLIP, of unit length; it knows no classes.

    Args:
        spec: images of one or three channels, any size, any number of levels.
        weights: a file of weights other than the one in the stated place.
        architecture: another model of open_clip's with OpenAI's activation; it then stands in the protocol.
        device: where the network runs.
    """

    taps = ("features",)
    tap = "features"
    batch = 16

    def __init__(
        self,
        spec: DataSpec,
        *,
        weights: Path | str | None = None,
        architecture: str = ARCHITECTURE,
        device: str = "cpu",
    ) -> None:
        refuse_what_is_no_image("clip", spec)
        self.spec = spec
        if (network := _architecture(architecture)) is None:
            raise Unavailable("clip needs open_clip, which is not installed: pip install 'genbench[embeddings]'")
        self.weights = given("clip", weights, FILE, HINT)
        network.load_state_dict(load(self.weights, {name: tuple(t.shape) for name, t in network.state_dict().items()}))
        self.network = network.visual.eval().requires_grad_(False).to(device)  # the text encoder is let go
        self.device = torch.device(device)
        self.width = int(network.visual.output_dim)
        self.side = int(network.visual.image_size[0])
        self._words = f"{'' if architecture == ARCHITECTURE else architecture + ','}bicubic{self.side}"
        self.protocol = f"clip@{self.weights.head},{self._words}"

    @property
    def identity(self) -> str:
        return f"clip@{self.weights.sha256},{self._words}"

    def prepare(self, x: Tensor) -> Tensor:
        """float32 `(n, 3, side, side)`, standardised."""
        return standardised(bytes_of(x, self.spec, "clip"), self.side, MEAN, DEVIATION)

    @torch.inference_mode()
    def outputs(self, prepared: Tensor, taps: Sequence[str]) -> dict[str, np.ndarray]:
        if not len(prepared):
            return {tap: np.empty((0, self.width), np.float32) for tap in taps}
        parts = [self.network(part.to(self.device)).float().cpu() for part in prepared.split(_AT_ONCE)]
        return dict.fromkeys(taps, F.normalize(torch.cat(parts), dim=1).numpy())


def _architecture(name: str) -> Any:
    """The model with random weights, or None where open_clip is not installed."""
    try:
        import open_clip
    except ImportError:
        return None
    if name not in open_clip.list_models():
        raise Refused(f"open_clip has no model {name!r}")
    return open_clip.create_model(name, pretrained=None, force_quick_gelu=True)
