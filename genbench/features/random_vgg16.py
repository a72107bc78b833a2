"""VGG16 with random weights: features for images that look nothing like ImageNet, equal for everybody.

No weights are stored; they are drawn by `genbench.noise`. Unit i of a layer with fan-in f has the weights

    w_j = sqrt(6 / f) (2 u_j - 1),   u = uniforms of stream i under the seed derived from (seed, the layer's name),

so Var w = 2 / f as He and others ask for, and biases are 0. Uniforms keep 23 bits, so every w is one rounding away from
an exact number, and therefore the same float32 on every machine; normal draws would pass through logarithms and
cosines, which differ. The weights are 134 million numbers; drawing them takes some five seconds once a process.

The network is VGG16 up to the second fully connected layer, after its rectifier: tap "fc2", 4096 numbers. Images are
resized to 224 x 224 by a named preprocessing.

References: Very Deep Convolutional Networks for Large-Scale Image Recognition (Simonyan and Zisserman, 2015);
Reliable Fidelity and Diversity Metrics for Generative Models (Naeem, Oh, Uh, Choi and Yoo, 2020), who recommend it;
Delving Deep into Rectifiers (He, Zhang, Ren and Sun, 2015).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genbench.features.convolution import Convolution
from genbench.features.preprocess import bytes_of, choose, refuse_what_is_no_image, resized
from genbench.files import sha256
from genbench.noise import Streams, derive
from genbench.types import DataSpec, Extractor

_UNITS = 64  # drawn at a time
_AT_ONCE = 2  # images in the network together


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Channels of the 3x3 convolutions, stage by stage with a max pool behind each; two layers of `hidden` units."""

    stages: tuple[tuple[int, ...], ...] = ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)
    hidden: int = 4096
    side: int = 224

    @property
    def digest(self) -> str:
        """sha256 over all that the construction is, the seed aside."""
        words = (
            f"philox4x32-10, uniform of 23 bits, variance 2 / fan-in, biases 0, {self.stages} {self.hidden} {self.side}"
        )
        return sha256(words.encode())


VGG16 = Layout()


def drawn(seed: int, layer: str, units: int, fan_in: int) -> Tensor:
    """The weights of a layer, float32 `(units, fan_in)`; the same bits everywhere."""
    bound = torch.tensor(math.sqrt(6.0 / fan_in), dtype=torch.float32)
    weights = torch.empty(units, fan_in)
    for rows in torch.arange(units).split(_UNITS):
        uniform = Streams(derive(seed, f"random-vgg16 {layer}"), rows).uniform(fan_in)
        weights[rows] = uniform.mul_(2).sub_(1).mul_(bound)
    return weights


class Network:
    """Images `(n, 3, side, side)` to the second hidden layer `(n, hidden)`."""

    def __init__(self, seed: int, layout: Layout, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.stages: list[list[Convolution]] = []
        channels = 3
        for stage, widths in enumerate(layout.stages, start=1):
            self.stages.append([])
            for place, width in enumerate(widths, start=1):
                weight = drawn(seed, f"conv{stage}_{place}", width, channels * 9).view(width, channels, 3, 3)
                bias = torch.zeros(width, device=self.device)
                self.stages[-1].append(Convolution(weight.to(self.device), bias, padding=(1, 1)))
                channels = width
        side = layout.side // 2 ** len(layout.stages)
        self.fc1 = drawn(seed, "fc1", layout.hidden, channels * side**2).to(self.device)
        self.fc2 = drawn(seed, "fc2", layout.hidden, layout.hidden).to(self.device)

    @torch.inference_mode()
    def __call__(self, x: Tensor) -> Tensor:
        x = x.to(self.device).contiguous(memory_format=torch.channels_last)
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=False):
            for stage in self.stages:
                for convolution in stage:
                    x = convolution(x)
                x = F.max_pool2d(x, 2, 2)
        return F.linear(F.linear(x.flatten(1), self.fc1).relu_(), self.fc2).relu_()


@lru_cache(maxsize=1)
def _network(seed: int, layout: Layout, device: str) -> Network:
    return Network(seed, layout, device)


class RandomVGG16(Extractor):
    """Features of a randomly initialised VGG16; it knows no classes.

    Args:
        spec: images of one or three channels, any size, any number of levels.
        seed: of the weights; another one is another protocol.
        preprocess: "clean", "ttur" or "pytorch", to 224 x 224; see `genbench.features.preprocess`.
        layout: the network's sizes; another one has another digest in the protocol.
        device: where the network runs.
    """

    taps = ("fc2",)
    tap = "fc2"
    batch = 32

    def __init__(
        self,
        spec: DataSpec,
        *,
        seed: int = 0,
        preprocess: str = "clean",
        layout: Layout = VGG16,
        device: str = "cpu",
    ) -> None:
        refuse_what_is_no_image("random-vgg16", spec)
        self.spec, self.preprocess, self.layout, self.seed, self.device = spec, choose(preprocess), layout, seed, device
        self.protocol = f"random-vgg16@{layout.digest[:4]},seed={seed},{self.preprocess}"

    @property
    def identity(self) -> str:
        return f"random-vgg16@{self.layout.digest},seed={self.seed},{self.preprocess}"

    def prepare(self, x: Tensor) -> Tensor:
        """float32 `(n, 3, side, side)` in [-1, 1]."""
        return resized(bytes_of(x, self.spec, "random-vgg16"), self.layout.side, self.preprocess)

    def outputs(self, prepared: Tensor, taps: Sequence[str]) -> dict[str, np.ndarray]:
        if not len(prepared):
            return {tap: np.empty((0, self.layout.hidden), np.float32) for tap in taps}
        network = _network(self.seed, self.layout, self.device)  # drawn when it is needed
        features = torch.cat([network(part) for part in prepared.split(_AT_ONCE)]).cpu().numpy()
        return dict.fromkeys(taps, features)
