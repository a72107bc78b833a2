"""A small classifier of 8x8 digits: the feature extractor of `digits` and of what is made from it.

Its weights are shipped, so that everybody's numbers compare; `train_digitnet.py` is their recipe, and loading refuses
a file with another hash.

Symbols: an image on the scale of [0, 1], whatever its number of levels; z the 64 numbers before the last nonlinearity,
which are the features; softmax(W gelu(z) + b) the probabilities of the ten classes.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load
from torch import Tensor, nn

from genbench.images import to_unit
from genbench.types import DataSpec, Refused

SHA256 = "2df9a4b183495aca01ef9071366ab1b2e40f715f690865cf40eb09e447d2aa71"
FEATURES = 64
CLASSES = 10
_CHUNK = 1000


class Network(nn.Module):
    """Two convolutions at 8x8, two at 4x4, one linear map to z, one to the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 24, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(24, 24, 3, padding=1),
            nn.GELU(),
            nn.MaxPool2d(2),
            nn.Conv2d(24, 48, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(48, 48, 3, padding=1),
            nn.GELU(),
            nn.Flatten(),
        )
        self.features = nn.Linear(48 * 4 * 4, FEATURES)
        self.head = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`(n, 1, 8, 8)` in [0, 1] to z `(n, 64)` and logits `(n, 10)`."""
        z = self.features(self.body(x))
        return z, self.head(F.gelu(z))


@cache
def _trained() -> Network:
    path = Path(__file__).with_name("digitnet.safetensors")
    if not path.is_file():
        raise Refused(f"the weights {path.name} are missing from the installed package; install genbench again")
    data = path.read_bytes()
    if (found := hashlib.sha256(data).hexdigest()) != SHA256:
        raise Refused(f"{path.name} has the sha256 {found}; the published weights have {SHA256}")
    network = Network()
    network.load_state_dict(load(data))
    return network.eval().requires_grad_(False)


class DigitNet:
    """Features, probabilities and classes of 8x8 digits; three channels are three digits side by side.

    Args:
        spec: images of shape (1, 8, 8) or (3, 8, 8), any number of levels.
    """

    protocol = f"digitnet@{SHA256[:4]}"

    def __init__(self, spec: DataSpec) -> None:
        if spec.levels is None or len(spec.shape) != 3 or spec.shape[0] not in (1, 3) or spec.shape[1:] != (8, 8):
            raise Refused(f"digitnet reads images of shape (1, 8, 8) or (3, 8, 8), not data of shape {spec.shape}")
        self.channels, self.levels = spec.shape[0], spec.levels
        self.network = _trained()

    def _outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z `(n, C, 64)` and logits `(n, C, 10)`."""
        if tuple(x.shape[1:]) != (self.channels, 8, 8):
            raise Refused(f"digitnet was built for images ({self.channels}, 8, 8); it got {tuple(x.shape[1:])}")
        images = to_unit(x.cpu().flatten(0, 1)[:, None], self.levels)
        if not len(images):
            return torch.empty(0, self.channels, FEATURES), torch.empty(0, self.channels, CLASSES)
        with torch.no_grad():
            parts = [self.network(part) for part in images.split(_CHUNK)]
        z, logits = (torch.cat(outputs).unflatten(0, (len(x), self.channels)) for outputs in zip(*parts, strict=True))
        return z, logits

    def features(self, x: Tensor) -> np.ndarray:
        """float32 `(n, 64 C)`, the channels' features one after the other."""
        return np.asarray(self._outputs(x)[0].flatten(1).numpy())

    def probabilities(self, x: Tensor) -> np.ndarray | None:
        """float64 `(n, 10)`; None for three channels."""
        if self.channels > 1:
            return None
        return np.asarray(torch.softmax(self._outputs(x)[1][:, 0].double(), dim=-1).numpy())

    def classes(self, x: Tensor) -> np.ndarray | None:
        """int64 `(n,)`: the digit; for three channels the number 100 a + 10 b + c that they spell."""
        digits = self._outputs(x)[1].argmax(dim=-1)
        powers = 10 ** torch.arange(self.channels - 1, -1, -1)
        return np.asarray((digits * powers).sum(dim=-1).numpy())
