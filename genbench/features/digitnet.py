"""A small classifier of 8x8 digits: the feature extractor of `digits` and of what is made from it.

Its weights are shipped, so that everybody's numbers compare; `train_digitnet.py` is their recipe, and loading refuses
a file with another hash.

Symbols: an image on the scale of [0, 1], whatever its number of levels; z the 64 numbers before the last nonlinearity,
which are the features; softmax(W gelu(z) + b) the probabilities of the ten classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load
from torch import Tensor, nn

from genbench.images import to_unit
from genbench.types import DataSpec, Extractor, Refused

SHA256 = "2df9a4b183495aca01ef9071366ab1b2e40f715f690865cf40eb09e447d2aa71"
FEATURES = 64
CLASSES = 10


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


class DigitNet(Extractor):
    """Features, probabilities and classes of 8x8 digits; three channels are three digits side by side.

    Taps: "features", z `(n, 64 C)`, and "logits" `(n, 10 C)`, each channel's numbers one after the other.

    Args:
        spec: images of shape (1, 8, 8) or (3, 8, 8), any number of levels.
    """

    protocol = f"digitnet@{SHA256[:4]}"
    taps = ("features", "logits")
    tap = "features"

    def __init__(self, spec: DataSpec) -> None:
        if spec.levels is None or len(spec.shape) != 3 or spec.shape[0] not in (1, 3) or spec.shape[1:] != (8, 8):
            raise Refused(f"digitnet reads images of shape (1, 8, 8) or (3, 8, 8), not data of shape {spec.shape}")
        self.spec, self.channels, self.levels = spec, spec.shape[0], spec.levels
        self.network = _trained()

    @property
    def identity(self) -> str:
        return f"digitnet@{SHA256}"

    def prepare(self, x: Tensor) -> Tensor:
        """float32 `(n, C, 8, 8)` in [0, 1]."""
        if tuple(x.shape[1:]) != (self.channels, 8, 8):
            raise Refused(f"digitnet was built for images ({self.channels}, 8, 8); it got {tuple(x.shape[1:])}")
        return to_unit(x.cpu(), self.levels)

    def outputs(self, prepared: Tensor, taps: Sequence[str]) -> dict[str, np.ndarray]:
        with torch.no_grad():
            found = dict(zip(self.taps, self.network(prepared.flatten(0, 1)[:, None]), strict=True))
        return {tap: found[tap].view(len(prepared), self.channels * found[tap].shape[1]).numpy() for tap in taps}

    def to_probabilities(self, logits: np.ndarray) -> np.ndarray | None:
        """float64 `(n, 10)`; None for three channels."""
        return super().to_probabilities(logits) if self.channels == 1 else None

    def to_classes(self, logits: np.ndarray) -> np.ndarray | None:
        """int64 `(n,)`: the digit; for three channels the number 100 a + 10 b + c that they spell."""
        digits = logits.reshape(len(logits), self.channels, CLASSES).argmax(axis=-1)
        return np.asarray(digits @ 10 ** np.arange(self.channels - 1, -1, -1))
