"""The only place for value ranges, uint8, resizing and grids.

An image is an integer array `0 .. levels-1`, uint8, NCHW. Inside a model it is mapped to a range that suits the
model; on the way out it is rounded back. L is the number of levels.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    import numpy as np


def to_unit(x: Tensor, levels: int) -> Tensor:
    """Integers to [0, 1]: x / (L - 1)."""
    return x.float() / (levels - 1)


def to_signed(x: Tensor, levels: int) -> Tensor:
    """Integers to [-1, 1]: 2 x / (L - 1) - 1."""
    return x.float() * (2.0 / (levels - 1)) - 1.0


def from_unit(y: Tensor, levels: int) -> Tensor:
    """[0, 1] to the nearest integer, clamped; uint8."""
    return (y * (levels - 1)).round().clamp(0, levels - 1).to(torch.uint8)


def from_signed(y: Tensor, levels: int) -> Tensor:
    """[-1, 1] to the nearest integer, clamped; uint8."""
    return from_unit((y + 1.0) * 0.5, levels)


def from_range(y: Tensor, low: float, high: float, levels: int) -> Tensor:
    """[low, high] to the nearest integer, half to even, computed in float64; uint8. Nothing is clamped.

    (y - low) (L - 1) / (high - low): exact before the division for float32 values, so that the integers come back that
    were divided by L - 1.
    """
    return ((y.double() - low) * (levels - 1) / (high - low)).round().to(torch.uint8)


def dequantize(x: Tensor, uniform: Tensor, levels: int) -> Tensor:
    """Integers to the open unit interval: (x + u) / L with u uniform in (0, 1)."""
    return (x.float() + uniform) / levels


def quantize(y: Tensor, levels: int) -> Tensor:
    """The inverse of `dequantize`: floor(L y), clamped; uint8."""
    return (y * levels).floor().clamp(0, levels - 1).to(torch.uint8)


def discretized_logistic(x: Tensor, mean: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    """log P(x) of an integer x under a logistic law rounded to the levels, open tails at both ends.

    On the scale of [-1, 1] a level is 2 / (L - 1) wide: P(x) = F(c + w) - F(c - w), c = (x_signed - mean) / s,
    w = 1 / ((L - 1) s), with F the logistic function; the lowest level takes all that lies below, the highest all
    above. The difference is a product of three factors that do not cancel, so that its logarithm never underflows.

    Args:
        x: integers; `mean`, `log_scale`: of the same or a broadcastable shape, on the scale of [-1, 1].
        log_scale: clamped below at -7.

    Returns:
        nats, of the broadcast shape.
    """
    log_scale = log_scale.clamp(min=-7.0)
    inverse = torch.exp(-log_scale)
    centre = (to_signed(x, levels) - mean) * inverse
    half = inverse / (levels - 1)
    plus, minus = centre + half, centre - half
    lowest, highest = F.logsigmoid(plus), F.logsigmoid(-minus)
    # log(F(plus) - F(minus)) = log F(plus) + log F(-minus) + log(1 - exp(minus - plus))
    inner = lowest + highest + torch.log(-torch.expm1(-2.0 * half))
    return torch.where(x == 0, lowest, torch.where(x == levels - 1, highest, inner))


def discretized_logistic_draw(mean: Tensor, log_scale: Tensor, uniform: Tensor, levels: int) -> Tensor:
    """A draw from the law of `discretized_logistic`: the inverse CDF, rounded to the nearest level; uint8."""
    y = mean + torch.exp(log_scale.clamp(min=-7.0)) * (torch.log(uniform) - torch.log1p(-uniform))
    return from_signed(y, levels)


def to_display(x: Tensor, levels: int) -> Tensor:
    """Integers to 0..255, one or three channels, for looking at; two channels are shown as red and green."""
    shown = (to_unit(x, levels) * 255.0).round().to(torch.uint8)
    if shown.shape[1] == 2:
        shown = torch.cat([shown, torch.zeros_like(shown[:, :1])], dim=1)
    return shown


def grid(x: Tensor, levels: int, columns: int = 10, scale: int | None = None) -> np.ndarray:
    """A contact sheet: uint8 `(height, width, 3)`, nearest-neighbour enlarged, grey between the images.

    Args:
        x: integers `(n, C, H, W)`.
        scale: enlargement; by default what brings an image to about 48 pixels.
    """
    shown = to_display(x.cpu(), levels)
    n, _, height, width = shown.shape
    scale = scale or max(1, round(48 / max(height, width)))
    shown = shown.expand(n, 3, height, width)
    shown = shown.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)
    gap, (tall, wide) = max(1, scale), shown.shape[2:]
    rows = math.ceil(n / columns)
    sheet = torch.full((3, rows * (tall + gap) + gap, columns * (wide + gap) + gap), 128, dtype=torch.uint8)
    for index in range(n):
        top, left = index // columns * (tall + gap) + gap, index % columns * (wide + gap) + gap
        sheet[:, top : top + tall, left : left + wide] = shown[index]
    return sheet.permute(1, 2, 0).contiguous().numpy()


def scatter(fake: Tensor, real: Tensor, size: int = 480) -> np.ndarray:
    """Points drawn over each other: real ones grey, samples blue; uint8 `(size, size, 3)`.

    The window is that of the real points with a margin of a tenth; samples outside stand on its border.
    """
    low, high = real.min(dim=0).values, real.max(dim=0).values
    centre, reach = (low + high) / 2, (high - low).max() * 0.6
    sheet = torch.full((size, size, 3), 255, dtype=torch.uint8)
    for points, radius, colour in ((real, 1, (200, 200, 200)), (fake, 1, (20, 90, 190))):
        place = ((points[:, :2].cpu() - centre) / reach * (size / 2) + size / 2).long().clamp(radius, size - 1 - radius)
        for dx in range(-radius, radius + 1):
            for dy in range(-radius, radius + 1):
                sheet[size - 1 - (place[:, 1] + dy), place[:, 0] + dx] = torch.tensor(colour, dtype=torch.uint8)
    return sheet.numpy()


def png(sheet: np.ndarray) -> bytes:
    """A `(height, width, 3)` or `(height, width)` uint8 array as PNG bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def resize(x: Tensor, size: int, levels: int = 256) -> Tensor:
    """Integer images to `(n, C, size, size)` by antialiased bilinear interpolation, rounded."""
    y = F.interpolate(to_unit(x, levels), (size, size), mode="bilinear", antialias=True, align_corners=False)
    return from_unit(y, levels)
