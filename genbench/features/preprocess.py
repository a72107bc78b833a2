"""Images before a network: the named protocols of resizing and scaling, which are never mixed.

Symbols: x integers `0 .. L-1`, uint8 `(n, C, h, w)` with C 1 or 3; b the same on 0..255; S the side the network reads.

    ttur     bilinear as TensorFlow 1 had it: the source of row i is i h / S (no shift by half a pixel), the upper
             neighbour clamped, no antialiasing; then (b - 128) / 128
    pytorch  b / 255; bilinear with pixel centres at halves, no antialiasing; then 2 y - 1
    clean    Pillow's bicubic with antialiasing, each channel in floating point, clipped to 0..255 and not rounded;
             then (b - 128) / 128

Each is bit-equal to the library that it is named after (torch-fidelity for `ttur`). Fewer levels than 256 are mapped
first to the nearest byte, b = floor(255 x / (L - 1) + 1/2), which is what an image file would hold; so the same images
written as PNG files give the same numbers through those libraries. A grey image is repeated into three channels.

Reference: On Aliased Resizing and Surprising Subtleties in GAN Evaluation (Parmar, Zhang and Zhu, 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genbench.errors import Refused
from genbench.types import DataSpec

Preprocess = Literal["ttur", "pytorch", "clean"]


def to_bytes(x: Tensor, levels: int) -> Tensor:
    """Integers 0..L-1 to the nearest byte, floor(255 x / (L - 1) + 1/2); uint8, exact."""
    if levels == 256:
        return x
    table = (510 * torch.arange(levels) + levels - 1) // (2 * (levels - 1))
    return table.to(torch.uint8)[x.long()]


def refuse_what_is_no_image(name: str, spec: DataSpec) -> None:
    """Networks of photographs read grey or RGB images with levels, and nothing else."""
    if spec.levels is None or len(spec.shape) != 3 or spec.shape[0] not in (1, 3):
        raise Refused(f"{name} reads images of one or three channels, not data of shape {spec.shape}")


def bytes_of(x: Tensor, spec: DataSpec, name: str) -> Tensor:
    """A batch on 0..255, uint8 `(n, C, h, w)`, after it has been held against the spec."""
    if tuple(x.shape[1:]) != spec.shape or x.dtype != torch.uint8:
        raise Refused(f"{name} was built for uint8 images {spec.shape}; it got {x.dtype} {tuple(x.shape[1:])}")
    assert spec.levels is not None
    return to_bytes(x.cpu(), spec.levels)


def choose(preprocess: str) -> Preprocess:
    """A protocol by its name."""
    for known in get_args(Preprocess):
        if preprocess == known:
            return known
    raise Refused(f"there is no preprocessing {preprocess!r}; there is {', '.join(get_args(Preprocess))}")


def resized(b: Tensor, size: int, preprocess: Preprocess) -> Tensor:
    """Bytes `(n, C, h, w)` to float32 `(n, 3, size, size)` in [-1, 1], by a named protocol."""
    if preprocess == "ttur":
        y = tensorflow_bilinear(b.float(), size).sub_(128).div_(128)
    elif preprocess == "pytorch":
        y = F.interpolate(b.float().div_(255), (size, size), mode="bilinear", align_corners=False).mul_(2).sub_(1)
    else:
        y = pillow_bicubic(b, size).sub_(128).div_(128)
    return y.expand(-1, 3, -1, -1)


def standardised(b: Tensor, size: int, mean: Sequence[float], deviation: Sequence[float]) -> Tensor:
    """Bytes to float32 `(n, 3, size, size)`: the resizing of `clean`, to [0, 1], less the mean, over the deviation."""
    y = pillow_bicubic(b, size).div_(255).expand(-1, 3, -1, -1)
    return (y - torch.tensor(mean)[:, None, None]) / torch.tensor(deviation)[:, None, None]


def tensorflow_bilinear(x: Tensor, size: int) -> Tensor:
    """Bilinear interpolation of float32 `(n, C, h, w)` with sources at i h / size, to `(n, C, size, size)`.

    Interpolating each needed row along its width first and then between rows takes every pixel through the same
    operations as interpolating four neighbours, in the same order, so the bits are the same at a third of the work.
    """
    rows, columns = _sources(x.shape[2], size), _sources(x.shape[3], size)
    used, where = torch.unique(torch.cat(rows[:2]), return_inverse=True)
    upper, lower = where.split(size)
    x = x[:, :, used]
    left = x[..., columns[0]]
    across = x[..., columns[1]].sub_(left).mul_(columns[2]).add_(left)
    top = across[:, :, upper]
    return across[:, :, lower].sub_(top).mul_(rows[2][:, None]).add_(top)


def _sources(length: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each of `size` places: its lower and upper neighbour among `length`, and the weight of the upper."""
    place = torch.arange(size, dtype=torch.float32) * torch.tensor(length / size, dtype=torch.float32)
    low = place.long()
    return low, (low + 1).clamp_max(length - 1), place - low.float()


def pillow_bicubic(b: Tensor, size: int) -> Tensor:
    """Pillow's bicubic filter on each channel as floating point, clipped to 0..255: float32 `(n, C, size, size)`."""
    from PIL import Image

    y = np.empty((*b.shape[:2], size, size), np.float32)
    for image, out in zip(b.numpy(), y, strict=True):
        for channel, place in zip(image, out, strict=True):
            found = Image.fromarray(channel.astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC)
            np.clip(np.asarray(found), 0, 255, out=place)
    return torch.from_numpy(y)
