"""Shared backbones: networks and an affine map, no objectives.

Symbols: n the batch, C channels, (H, W) a feature map's size, D the dimension of points, t a time in [0,
1] of shape `(n,)`; whoever counts time in steps divides by their number first.

References: Denoising diffusion probabilistic models (Ho, Jain and Abbeel, 2020) for the U-Net; Improved
denoising diffusion probabilistic models (Nichol and Dhariwal, 2021) for how time enters a block;
Attention is all you need (Vaswani and others, 2017) for the sinusoids; Fourier features let networks
learn high frequency functions in low dimensional domains (Tancik and others, 2020) for the features of
points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "MLP",
    "ResBlock",
    "Standardize",
    "TimeMLP",
    "UNet",
    "fourier_features",
    "group_norm",
    "timestep_embedding",
]

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)
NEAR_ZERO = 0.1  # what the last layer of a residual branch is scaled by: near the identity, yet gradients pass


def timestep_embedding(t: Tensor, dim: int, highest: float = 1000.0) -> Tensor:
    """Sinusoids of time: `(cos(w_k t), sin(w_k t))`, w_k geometric from `highest` down to `highest / 10,000`.

    With the default, t = i / 1000 gives the embedding of the index i in Ho and others (2020).

    Args:
        t: `(n,)`.
        dim: even.
        highest: the largest angular frequency; what solves an ODE in t wants it low.

    Returns:
        `(n, dim)`.
    """
    half = dim // 2
    exponent = torch.arange(half, device=t.device, dtype=torch.float32) / max(1, half - 1)
    angle = t.float()[:, None] * (highest * torch.exp(-math.log(10_000.0) * exponent))
    return torch.cat([torch.cos(angle), torch.sin(angle)], dim=1)


def fourier_features(x: Tensor, octaves: int) -> Tensor:
    """Points with their sinusoids, `(x, sin(2^k x), cos(2^k x))` for k = 0 .. octaves-1.

    Args:
        x: `(n, D)`, on a scale of about one.

    Returns:
        `(n, D (1 + 2 octaves))`.
    """
    angle = torch.cat([x * 2.0**k for k in range(octaves)], dim=1) if octaves else x[:, :0]
    return torch.cat([x, torch.sin(angle), torch.cos(angle)], dim=1)


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalization for any channel count: at most 32 groups, of four channels or more if possible.

    A group of one channel would undo the bias of the layer before it, which then never learned.
    """
    most = max(1, min(32, channels // 4))
    return nn.GroupNorm(next(g for g in range(most, 0, -1) if channels % g == 0), channels)


def _near_zero(layer: Layer) -> Layer:
    """Scales a layer down, so that its residual branch starts near nothing."""
    with torch.no_grad():
        layer.weight.mul_(NEAR_ZERO)
        if layer.bias is not None:
            layer.bias.zero_()
    return layer


def _zero(layer: Layer) -> Layer:
    """Sets a layer to zero: the untrained network says 0 everywhere, and learns from the first step on."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class MLP(nn.Sequential):
    """`depth` hidden layers with SiLU and a linear output: `(..., inputs)` to `(..., outputs)`."""

    def __init__(self, inputs: int, outputs: int, hidden: int = 128, depth: int = 2) -> None:
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise([inputs] + [hidden] * depth):
            layers += [nn.Linear(fan_in, fan_out), nn.SiLU()]
        super().__init__(*layers, nn.Linear(hidden if depth else inputs, outputs))


class TimeMLP(nn.Module):
    """A residual MLP on points and time: `(n, D)` and `(n,)` to `(n, D)`; says 0 until trained.

    Each block is h + V silu(W silu(h) + T e), with e the embedding of t. The output layer starts at zero.

    Args:
        dim: D.
        hidden: width of the residual stream; even.
        depth: residual blocks.
        octaves: Fourier features of x, up to the angular frequency 2^(octaves-1).
        highest: the largest angular frequency of the time features.
    """

    def __init__(self, dim: int, hidden: int = 128, depth: int = 3, octaves: int = 0, highest: float = 100.0) -> None:
        super().__init__()
        self.hidden, self.octaves, self.highest = hidden, octaves, highest
        self.entry = nn.Linear(dim * (1 + 2 * octaves), hidden)
        self.time = MLP(hidden, hidden, hidden, depth=1)
        self.inner = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(depth))
        self.inject = nn.ModuleList(nn.Linear(hidden, hidden, bias=False) for _ in range(depth))
        self.outer = nn.ModuleList(_near_zero(nn.Linear(hidden, hidden)) for _ in range(depth))
        self.exit = _zero(nn.Linear(hidden, dim))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        e = F.silu(self.time(timestep_embedding(t, self.hidden, self.highest)))
        h = self.entry(fourier_features(x, self.octaves))
        for inner, inject, outer in zip(self.inner, self.inject, self.outer, strict=True):
            h = h + outer(F.silu(inner(F.silu(h)) + inject(e)))
        return self.exit(F.silu(h))


class ResBlock(nn.Module):
    """A residual block of two 3x3 convolutions, each after group normalization and SiLU.

    With an embedding e, its second normalization becomes norm(h) (1 + scale(e)) + shift(e). The second
    convolution starts near zero. Any H and W; `(n, channels, H, W)` to `(n, channels_out, H, W)`.

    Args:
        channels_out: by default as many as come in.
        embedding: length of the embedding, None for a block without.
    """

    def __init__(self, channels: int, channels_out: int | None = None, embedding: int | None = None) -> None:
        super().__init__()
        channels_out = channels_out or channels
        self.norm1, self.norm2 = group_norm(channels), group_norm(channels_out)
        self.conv1 = nn.Conv2d(channels, channels_out, 3, padding=1)
        self.conv2 = _near_zero(nn.Conv2d(channels_out, channels_out, 3, padding=1))
        self.condition = nn.Linear(embedding, 2 * channels_out) if embedding else None
        self.skip = nn.Conv2d(channels, channels_out, 1) if channels != channels_out else nn.Identity()

    def forward(self, x: Tensor, e: Tensor | None = None) -> Tensor:
        h = self.norm2(self.conv1(F.silu(self.norm1(x))))
        if self.condition is not None:
            assert e is not None
            scale, shift = self.condition(F.silu(e))[:, :, None, None].chunk(2, dim=1)
            h = h * (1.0 + scale) + shift
        return self.skip(x) + self.conv2(F.silu(h))


class Attention(nn.Module):
    """Self-attention, one head, over the positions of a feature map; residual, `(n, C, H, W)` to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        # No bias: softmax does not see one that all keys share.
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.out = _near_zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, dim=2)
        weights = torch.softmax(q @ k.transpose(1, 2) * q.shape[-1] ** -0.5, dim=-1)
        return x + self.out((weights @ v).transpose(1, 2).reshape(x.shape))


class UNet(nn.Module):
    """The U-Net of diffusion models for images of any size from 2x2: says 0 until trained.

    Levels halve the map by averaging, separately in height and width and only where that is even and at least
    4; the way back repeats the nearest pixel up to the size of the skip. Neither has weights, so that every
    weight is in use whatever the size (Ho and others use strided convolutions).

    Args:
        channels_in: C of the input.
        channels_out: C of the output.
        width: channels of the first level; even.
        multipliers: channels of each level, in multiples of `width`.
        blocks: residual blocks of each level, on the way down and on the way up.
        embedding: length of the time embedding; by default four times the width.
        attention: self-attention at the lowest resolution.
        highest: the largest angular frequency of the time embedding.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        width: int = 32,
        multipliers: Sequence[int] = (1, 2),
        blocks: int = 1,
        embedding: int | None = None,
        attention: bool = True,
        highest: float = 1000.0,
    ) -> None:
        super().__init__()
        embedding = embedding or 4 * width
        widths = [width * m for m in multipliers]
        self.width, self.blocks, self.highest = width, blocks, highest
        self.time = MLP(width, embedding, embedding, depth=1)
        self.entry = nn.Conv2d(channels_in, width, 3, padding=1)
        down, up, skips, channels = [], [], [width], width
        for level in widths:
            for _ in range(blocks):
                down.append(ResBlock(channels, level, embedding))
                skips.append(channels := level)
        for level in reversed(widths):
            for _ in range(blocks):
                up.append(ResBlock(channels + skips.pop(), level, embedding))
                channels = level
        self.down, self.up = nn.ModuleList(down), nn.ModuleList(up)
        self.middle1 = ResBlock(widths[-1], widths[-1], embedding)
        self.attention = Attention(widths[-1]) if attention else nn.Identity()
        self.middle2 = ResBlock(widths[-1], widths[-1], embedding)
        self.norm = group_norm(channels + width)
        self.exit = _zero(nn.Conv2d(channels + width, channels_out, 3, padding=1))
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """`(n, channels_in, H, W)` and `(n,)` to `(n, channels_out, H, W)`."""
        e = self.time(timestep_embedding(t, self.width, self.highest))
        h = self.entry(x.contiguous(memory_format=torch.channels_last))
        skips = [h]
        for index, block in enumerate(self.down):
            if index and index % self.blocks == 0:
                h = F.avg_pool2d(h, [2 if s >= 4 and s % 2 == 0 else 1 for s in h.shape[-2:]])
            h = block(h, e)
            skips.append(h)
        h = self.middle2(self.attention(self.middle1(h, e)), e)
        for block in self.up:
            skip = skips.pop()
            if h.shape[-2:] != skip.shape[-2:]:
                h = F.interpolate(h, size=skip.shape[-2:], mode="nearest")
            h = block(torch.cat([h, skip], dim=1), e)
        return self.exit(F.silu(self.norm(torch.cat([h, skips.pop()], dim=1))))


class Standardize(nn.Module):
    """z = (x - shift) / scale with the mean and standard deviation of observed data; before, the identity.

    Args:
        shape: of one x.
        per_coordinate: a scale for each coordinate; by default one for all, which keeps angles.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, shape: Sequence[int], per_coordinate: bool = False) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(*shape))
        self.register_buffer("scale", torch.ones(*shape) if per_coordinate else torch.ones(()))

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        """Takes shift and scale from data, `(n, *shape)`; a coordinate that does not vary keeps its scale."""
        self.shift.copy_(x.mean(dim=0))
        variance = (x - self.shift).square().mean(dim=0)
        variance = variance.mean() if self.scale.ndim == 0 else variance
        self.scale.copy_(torch.where(variance > 0, variance.sqrt(), torch.ones_like(variance)))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.shift) / self.scale

    def inverse(self, z: Tensor) -> Tensor:
        return z * self.scale + self.shift

    @property
    def log_det(self) -> Tensor:
        """log |dz/dx|, a scalar: minus the sum over the coordinates of log scale."""
        return -torch.log(self.scale).expand_as(self.shift).sum()
