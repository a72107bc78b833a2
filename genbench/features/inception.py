"""Inception v3 of December 2015, the network of the Fréchet Inception distance.

Its weights are not shipped: `pt_inception-2015-12-05-6726825d.pth`, 472 tensors under torchvision's names, is looked
for as `genbench.features.weights` says. The network is torchvision's Inception v3 without the auxiliary head, except
that average pools leave the padding out of the count, that the last block pools by maximum, and that it has 1008
classes. Batch normalisation (eps 1e-3) is folded into the convolutions, in float64; 1x1 convolutions that read the same
input are one; and an average pool in front of a 1x1 convolution is done behind it, where there are fewer channels
(both are linear, and a mean keeps the bias). None of it moves a feature by more than rounding does.

Taps: "64", "192" after the first and second max pool, "768" after Mixed_6e, averaged over places; "2048" after the last
pool; "spatial" the first 7 channels of Mixed_6d.branch1x1 with their 17 x 17 places, in the order (row, column,
channel), 2023 numbers, as in the evaluation of ADM; "logits" the 1008 numbers W z without their bias.

References: Rethinking the Inception Architecture for Computer Vision (Szegedy and others, 2016); GANs Trained by a Two
Time-Scale Update Rule Converge to a Local Nash Equilibrium (Heusel and others, 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genbench.features.convolution import Convolution, joined
from genbench.features.preprocess import bytes_of, choose, refuse_what_is_no_image, resized
from genbench.features.weights import Weights, given, load, locate
from genbench.sources import Source
from genbench.types import DataSpec, Extractor, Refused

SOURCE = Source(
    path="pt_inception-2015-12-05-6726825d.pth",
    urls=(
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    ),
    digest="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)
SIDE = 299
CLASSES = 1008
WIDTHS = {"64": 64, "192": 192, "768": 768, "2048": 2048, "spatial": 7 * 17 * 17, "logits": CLASSES}  # along the way
EPSILON = 1e-3
Precision = Literal["float32", "bf16"]
# Images in the network together: their largest map, 22 MB, is memory that is used again.
_AT_ONCE = {torch.float32: 4, torch.bfloat16: 8}

# A convolution: output channels, kernel height and width. A block: branch -> its convolutions.
_STEM = {
    "Conv2d_1a_3x3": (3, 32, 3, 3),
    "Conv2d_2a_3x3": (32, 32, 3, 3),
    "Conv2d_2b_3x3": (32, 64, 3, 3),
    "Conv2d_3b_1x1": (64, 80, 1, 1),
    "Conv2d_4a_3x3": (80, 192, 3, 3),
}


def _block_a(c: int, pool: int) -> dict[str, tuple[int, int, int, int]]:
    return {
        "branch1x1": (c, 64, 1, 1),
        "branch5x5_1": (c, 48, 1, 1),
        "branch5x5_2": (48, 64, 5, 5),
        "branch3x3dbl_1": (c, 64, 1, 1),
        "branch3x3dbl_2": (64, 96, 3, 3),
        "branch3x3dbl_3": (96, 96, 3, 3),
        "branch_pool": (c, pool, 1, 1),
    }


def _block_c(c: int, m: int) -> dict[str, tuple[int, int, int, int]]:
    return {
        "branch1x1": (c, 192, 1, 1),
        "branch7x7_1": (c, m, 1, 1),
        "branch7x7_2": (m, m, 1, 7),
        "branch7x7_3": (m, 192, 7, 1),
        "branch7x7dbl_1": (c, m, 1, 1),
        "branch7x7dbl_2": (m, m, 7, 1),
        "branch7x7dbl_3": (m, m, 1, 7),
        "branch7x7dbl_4": (m, m, 7, 1),
        "branch7x7dbl_5": (m, 192, 1, 7),
        "branch_pool": (c, 192, 1, 1),
    }


def _block_e(c: int) -> dict[str, tuple[int, int, int, int]]:
    return {
        "branch1x1": (c, 320, 1, 1),
        "branch3x3_1": (c, 384, 1, 1),
        "branch3x3_2a": (384, 384, 1, 3),
        "branch3x3_2b": (384, 384, 3, 1),
        "branch3x3dbl_1": (c, 448, 1, 1),
        "branch3x3dbl_2": (448, 384, 3, 3),
        "branch3x3dbl_3a": (384, 384, 1, 3),
        "branch3x3dbl_3b": (384, 384, 3, 1),
        "branch_pool": (c, 192, 1, 1),
    }


_BLOCKS = {
    "Mixed_5b": _block_a(192, 32),
    "Mixed_5c": _block_a(256, 64),
    "Mixed_5d": _block_a(288, 64),
    "Mixed_6a": {
        "branch3x3": (288, 384, 3, 3),
        "branch3x3dbl_1": (288, 64, 1, 1),
        "branch3x3dbl_2": (64, 96, 3, 3),
        "branch3x3dbl_3": (96, 96, 3, 3),
    },
    "Mixed_6b": _block_c(768, 128),
    "Mixed_6c": _block_c(768, 160),
    "Mixed_6d": _block_c(768, 160),
    "Mixed_6e": _block_c(768, 192),
    "Mixed_7a": {
        "branch3x3_1": (768, 192, 1, 1),
        "branch3x3_2": (192, 320, 3, 3),
        "branch7x7x3_1": (768, 192, 1, 1),
        "branch7x7x3_2": (192, 192, 1, 7),
        "branch7x7x3_3": (192, 192, 7, 1),
        "branch7x7x3_4": (192, 192, 3, 3),
    },
    "Mixed_7b": _block_e(1280),
    "Mixed_7c": _block_e(2048),
}


def shapes() -> dict[str, tuple[int, ...]]:
    """The names and shapes of the 472 tensors."""
    units = dict(_STEM) | {f"{block}.{unit}": size for block, units in _BLOCKS.items() for unit, size in units.items()}
    found: dict[str, tuple[int, ...]] = {}
    for unit, (c_in, c_out, height, width) in units.items():
        found[f"{unit}.conv.weight"] = (c_out, c_in, height, width)
        found |= {f"{unit}.bn.{part}": (c_out,) for part in ("weight", "bias", "running_mean", "running_var")}
    return found | {"fc.weight": (CLASSES, 2048), "fc.bias": (CLASSES,)}


class Network:
    """The network as a function: images `(n, 3, 299, 299)` in [-1, 1] to the taps that are asked for.

    Args:
        state: the 472 tensors.
        dtype: of weights and maps; the taps are float32.
        fused: as for `Convolution`.
    """

    def __init__(
        self,
        state: Mapping[str, Tensor],
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        fused: bool | None = None,
    ) -> None:
        self._state, self.dtype, self.device, self._fused = state, dtype, torch.device(device), fused
        self.stem = {
            name: self._convolution(name, stride=2 if name == "Conv2d_1a_3x3" else 1, padded=name == "Conv2d_2b_3x3")
            for name in _STEM
        }
        self.blocks = {name: self._block(name, units) for name, units in _BLOCKS.items()}
        self.fc = state["fc.weight"].to(self.device, torch.float32)
        self._state = {}

    def _folded(self, unit: str) -> tuple[Tensor, Tensor]:
        """Weight and bias with the normalisation inside: w g / s, beta - mean g / s, s = sqrt(variance + eps)."""
        bn = {
            part: self._state[f"{unit}.bn.{part}"].double()
            for part in ("weight", "bias", "running_mean", "running_var")
        }
        scale = bn["weight"] / torch.sqrt(bn["running_var"] + EPSILON)
        weight = self._state[f"{unit}.conv.weight"].double() * scale[:, None, None, None]
        return weight, bn["bias"] - bn["running_mean"] * scale

    def _convolution(self, *units: str, stride: int = 1, padded: bool = True, relu: bool = True) -> Convolution:
        weight, bias = joined([self._folded(unit) for unit in units])
        padding = (weight.shape[2] // 2, weight.shape[3] // 2) if padded else (0, 0)
        weight, bias = weight.to(self.device, self.dtype), bias.to(self.device, self.dtype)
        return Convolution(weight, bias, stride=stride, padding=padding, relu=relu, fused=self._fused)

    def _block(self, block: str, units: Mapping[str, tuple[int, int, int, int]]) -> dict[str, Convolution]:
        """Its convolutions; those of 1x1 that read the block's input are one, named "entry"."""
        entries = [u for u in units if u == "branch1x1" or (u.endswith("_1") and block != "Mixed_6a")]
        found = {}
        if entries:
            found["entry"] = self._convolution(*(f"{block}.{unit}" for unit in entries))
        for unit in units.keys() - set(entries):
            halves = unit in {
                "Mixed_6a": ("branch3x3", "branch3x3dbl_3"),
                "Mixed_7a": ("branch3x3_2", "branch7x7x3_4"),
            }.get(block, ())
            averaged = unit == "branch_pool" and block != "Mixed_7c"
            found[unit] = self._convolution(
                f"{block}.{unit}", stride=2 if halves else 1, padded=not halves, relu=not averaged
            )
        return found

    @torch.inference_mode()
    def __call__(self, x: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
        """Tap -> float32 `(n, d)`, computed no deeper than the deepest of the taps."""
        x = x.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last)
        found: dict[str, Tensor] = {}
        # On a GPU convolutions round to 10 bits unless told not to; on a CPU these flags say nothing.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=False):
            for tap, value in self._walk(x):
                if tap in taps:
                    found[tap] = value()
                if len(found) == len(set(taps)):
                    break
        return found

    def _walk(self, x: Tensor) -> Iterator[tuple[str, Callable[[], Tensor]]]:
        """The taps in the order in which the network passes them."""
        stem = list(self.stem.values())
        for convolution in stem[:3]:
            x = convolution(x)
        x = F.max_pool2d(x, 3, 2)
        yield "64", lambda: _mean(x)
        for convolution in stem[3:]:
            x = convolution(x)
        x = F.max_pool2d(x, 3, 2)
        yield "192", lambda: _mean(x)
        for block in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
            x = _a(self.blocks[block], x)
        x = _b(self.blocks["Mixed_6a"], x)
        for block in ("Mixed_6b", "Mixed_6c"):
            x = _c(self.blocks[block], x)
        entry = self.blocks["Mixed_6d"]["entry"](x)
        yield "spatial", lambda: entry[:, :7].permute(0, 2, 3, 1).float().flatten(1)
        x = _c(self.blocks["Mixed_6d"], x, entry)
        x = _c(self.blocks["Mixed_6e"], x)
        yield "768", lambda: _mean(x)
        x = _d(self.blocks["Mixed_7a"], x)
        x = _e(self.blocks["Mixed_7b"], x, _average)
        x = _e(self.blocks["Mixed_7c"], x, _maximum)
        z = _mean(x)
        yield "2048", lambda: z
        yield "logits", lambda: z @ self.fc.T


Block = Mapping[str, Convolution]


def _mean(x: Tensor) -> Tensor:
    return x.float().mean(dim=(2, 3))


def _average(block: Block, x: Tensor) -> Tensor:
    """The pool branch with a mean over 3x3 places that leaves the padding out; the mean comes last."""
    return F.avg_pool2d(block["branch_pool"](x), 3, 1, 1, count_include_pad=False).relu_()


def _maximum(block: Block, x: Tensor) -> Tensor:
    return block["branch_pool"](F.max_pool2d(x, 3, 1, 1))


def _chain(block: Block, x: Tensor, *units: str) -> Tensor:
    for unit in units:
        x = block[unit](x)
    return x


def _a(block: Block, x: Tensor) -> Tensor:
    one, five, three = block["entry"](x).split((64, 48, 64), dim=1)
    five = block["branch5x5_2"](five)
    three = _chain(block, three, "branch3x3dbl_2", "branch3x3dbl_3")
    return torch.cat([one, five, three, _average(block, x)], dim=1)


def _b(block: Block, x: Tensor) -> Tensor:
    double = _chain(block, x, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
    return torch.cat([block["branch3x3"](x), double, F.max_pool2d(x, 3, 2)], dim=1)


def _c(block: Block, x: Tensor, entry: Tensor | None = None) -> Tensor:
    entry = block["entry"](x) if entry is None else entry
    middle = (entry.shape[1] - 192) // 2
    one, seven, double = entry.split((192, middle, middle), dim=1)
    seven = _chain(block, seven, "branch7x7_2", "branch7x7_3")
    double = _chain(block, double, *(f"branch7x7dbl_{k}" for k in (2, 3, 4, 5)))
    return torch.cat([one, seven, double, _average(block, x)], dim=1)


def _d(block: Block, x: Tensor) -> Tensor:
    three, seven = block["entry"](x).split(192, dim=1)
    seven = _chain(block, seven, *(f"branch7x7x3_{k}" for k in (2, 3, 4)))
    return torch.cat([block["branch3x3_2"](three), seven, F.max_pool2d(x, 3, 2)], dim=1)


def _e(block: Block, x: Tensor, pool: Callable[[Block, Tensor], Tensor]) -> Tensor:
    one, three, double = block["entry"](x).split((320, 384, 448), dim=1)
    double = block["branch3x3dbl_2"](double)
    wide = [block["branch3x3_2a"](three), block["branch3x3_2b"](three)]
    deep = [block["branch3x3dbl_3a"](double), block["branch3x3dbl_3b"](double)]
    return torch.cat([one, *wide, *deep, pool(block, x)], dim=1)


@lru_cache(maxsize=2)
def _network(weights: Weights, dtype: torch.dtype, device: str) -> Network:
    return Network(load(weights, shapes()), dtype, device)


class Inception(Extractor):
    """Features of Inception v3 under a named preprocessing; `probabilities` are those of its 1008 classes.

    Args:
        spec: images of one or three channels, any size, any number of levels.
        preprocess: "ttur", "pytorch" or "clean"; see `genbench.features.preprocess`.
        precision: "float32", or "bf16" for weights and maps of 16 bits: a protocol of its own, as its numbers differ.
        tap: what `features` gives.
        weights: a file of weights other than the published one; the protocol then carries its hash.
        download: fetches the published weights if they are missing.
        device: where the network runs.
    """

    taps = tuple(WIDTHS)
    batch = 32

    def __init__(
        self,
        spec: DataSpec,
        *,
        preprocess: str = "ttur",
        precision: Precision = "float32",
        tap: str = "2048",
        weights: Path | str | None = None,
        download: bool = False,
        device: str = "cpu",
    ) -> None:
        refuse_what_is_no_image("inception", spec)
        if precision not in ("float32", "bf16"):
            raise Refused(f"inception has the precisions float32 and bf16, not {precision!r}")
        self.spec, self.preprocess = spec, choose(preprocess)
        self.weights = (
            locate("inception", SOURCE, download=download)
            if weights is None
            else given("inception", weights, SOURCE.path, "a state dict of this network")
        )
        self._words = [f"inception@{self.weights.head}", self.preprocess, *([precision] if precision == "bf16" else [])]
        self.protocol = ",".join([*self._words, tap])
        self.tap = "2048"
        self.tap = self.known(tap)
        self.network = _network(self.weights, torch.bfloat16 if precision == "bf16" else torch.float32, device)

    @property
    def identity(self) -> str:
        return ",".join([f"inception@{self.weights.sha256}", *self._words[1:]])

    def named(self, tap: str) -> str:
        return ",".join([*self._words, self.known(tap)])

    def prepare(self, x: Tensor) -> Tensor:
        """float32 `(n, 3, 299, 299)` in [-1, 1]."""
        return resized(bytes_of(x, self.spec, "inception"), SIDE, self.preprocess)

    def outputs(self, prepared: Tensor, taps: Sequence[str]) -> dict[str, np.ndarray]:
        if not len(prepared):
            return {tap: np.empty((0, WIDTHS[tap]), np.float32) for tap in taps}
        parts = [self.network(part, taps) for part in _parts(prepared, self.network.dtype)]
        return {tap: torch.cat([part[tap] for part in parts])[: len(prepared)].cpu().numpy() for tap in taps}


def _parts(prepared: Tensor, dtype: torch.dtype) -> list[Tensor]:
    """What the network is given at once; a last image that is alone goes in twice in bfloat16.

    On more than one thread oneDNN lays weights out otherwise for one image: laid out for more, one takes seven times as
    long, and laid out for one, every image ever after up to five times.
    """
    parts = list(prepared.split(_AT_ONCE[dtype]))
    if dtype == torch.bfloat16 and len(parts[-1]) == 1:
        parts[-1] = parts[-1].expand(2, -1, -1, -1)
    return parts
