"""PixelCNN: masked convolutions that see, at every pixel, only what comes before it in raster order.

Symbols: x an integer image (C, H, W), L the number of levels, i a pixel in raster order, c one of its channels in
the order R, G, B. The network gives the logits of all factors of

    p(x) = prod_i prod_c p(x_ic | x_<i, x_i1 .. x_i(c-1)),    each a softmax over the L levels,

in one pass. A feature map is split into C groups, one for each channel. A convolution with mask A reads, at the pixel
itself, only input groups before the output's group; with mask B also that group. Only the first has mask A.

A k x k mask is zero below its middle row, so that the kernel is stored and computed without those rows.

Deviations from the paper: the kernels of the residual blocks are dilated (1, 2, 4, ... in turn), so that a few blocks
see the whole image; Adam with an exponential moving average for RMSProp; dropout where the training set is small.

Reference: Pixel recurrent neural networks (van den Oord, Kalchbrenner and Kavukcuoglu, 2016).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genbench.images import to_signed
from genbench.noise import categorical
from genbench.types import Batch, DataSpec, Model, Noise, Recipe, Refused, Step


@dataclass(frozen=True, kw_only=True)
class PixelCNNConfig:
    width: int = 32  # h; the residual stream has 2h features
    blocks: int = 6  # residual blocks
    reach: int = 4  # the largest dilation, a power of two
    kernel: int = 7  # size of the first convolution, odd
    dropout: float = 0.0
    learning_rate: float = 2e-3

    @classmethod
    def for_data(cls, data: DataSpec) -> PixelCNNConfig:
        """Blocks and dilations that let the last pixel see the first."""
        size = max(data.shape[1:], default=1)
        if size <= 4:
            return cls(width=16, blocks=2, reach=1, kernel=5)
        if size <= 8:
            return cls(blocks=5, reach=2, dropout=0.3)
        if size <= 16:
            return cls()
        return cls(width=64, blocks=8, reach=8, learning_rate=1e-3)


class MaskedConv2d(nn.Module):
    """A convolution whose output at a pixel depends on no later pixel, `(n, inputs, H, W)` to `(n, outputs, H, W)`.

    Args:
        kernel: k, odd; stored are its upper (k + 1) / 2 rows.
        mask: "A" or "B", what the centre may read of the groups.
        groups: C; feature f of F belongs to group floor(f C / F).
    """

    mask: Tensor

    def __init__(
        self, inputs: int, outputs: int, kernel: int, mask: Literal["A", "B"], groups: int, dilation: int = 1
    ) -> None:
        super().__init__()
        self.above = kernel // 2 * dilation
        self.dilation = dilation
        rows = kernel // 2 + 1
        group_in = torch.arange(inputs) * groups // inputs
        group_out = torch.arange(outputs) * groups // outputs
        visible = torch.ones(outputs, inputs, rows, kernel)
        visible[:, :, -1, kernel // 2 + 1 :] = 0.0
        before = group_in[None, :] < group_out[:, None]
        centre = before if mask == "A" else before | (group_in[None, :] == group_out[:, None])
        visible[:, :, -1, kernel // 2] = centre.float()
        self.register_buffer("mask", visible, persistent=False)
        fan_in = visible.sum(dim=(1, 2, 3)).clamp(min=1.0)
        self.weight = nn.Parameter(torch.randn_like(visible) * visible * fan_in.rsqrt()[:, None, None, None])
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.mask
        y = F.conv2d(x, weight, self.bias, padding=(self.above, self.above), dilation=self.dilation)
        return y[:, :, : x.shape[2]]


class Block(nn.Module):
    """The residual block: relu, 1x1 to h features, relu, 3x3, relu, 1x1 back to 2h; all with mask B."""

    def __init__(self, width: int, dilation: int, groups: int, dropout: float) -> None:
        super().__init__()
        self.narrow = MaskedConv2d(2 * width, width, 1, "B", groups)
        self.look = MaskedConv2d(width, width, 3, "B", groups, dilation)
        self.widen = MaskedConv2d(width, 2 * width, 1, "B", groups)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        inner = F.relu(self.look(F.relu(self.narrow(F.relu(h)))))
        return h + self.widen(self.dropout(inner))


class PixelCNN(Model):
    """Masked convolutions in residual blocks, a softmax over the levels; exact likelihood."""

    family = "autoregressive"
    likelihood = "exact"
    Config = PixelCNNConfig

    def __init__(self, data: DataSpec, config: PixelCNNConfig) -> None:
        super().__init__(data, config)
        assert data.levels is not None
        channels, self.levels = data.shape[0], data.levels
        if config.kernel % 2 == 0 or config.width < channels:
            raise Refused(f"PixelCNN: kernel={config.kernel} must be odd, width={config.width} at least C={channels}")
        period = config.reach.bit_length()
        stream = 2 * config.width
        self.entry = MaskedConv2d(channels, stream, config.kernel, "A", channels)
        self.blocks = nn.Sequential(
            *(Block(config.width, 2 ** (i % period), channels, config.dropout) for i in range(config.blocks))
        )
        self.mix = MaskedConv2d(stream, stream, 1, "B", channels)
        self.exit = MaskedConv2d(stream, channels * self.levels, 1, "B", channels)
        with torch.no_grad():
            self.exit.weight.mul_(0.1)

    @classmethod
    def supports(cls, data: DataSpec) -> str | None:
        return None if data.is_image else "it models integer levels, and points have none"

    @classmethod
    def recipe(cls, data: DataSpec) -> Recipe:
        size = max(data.shape[1:])
        steps = 1200 if size <= 8 else 2000 if size <= 16 else 20_000
        return Recipe(steps=steps, batch_size=64, schedule="cosine", warmup=100, ema=0.995, clip=1.0)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"model": torch.optim.Adam(self.parameters(), lr=self.config.learning_rate, betas=(0.9, 0.99))}

    def logits(self, x: Tensor) -> Tensor:
        """The logits of every factor at once: integers `(n, C, H, W)` to `(n, C, L, H, W)`."""
        y = to_signed(x, self.levels).contiguous(memory_format=torch.channels_last)
        h = F.relu(self.mix(F.relu(self.blocks(self.entry(y)))))
        return self.exit(h).unflatten(1, (x.shape[1], self.levels))

    def losses(self, batch: Batch, step: Step) -> Iterator[tuple[str, Tensor]]:
        if step.index == 0:
            self._base_rates(batch.x)
        yield "model", -self._log_prob(batch.x).mean()

    @torch.no_grad()
    def _base_rates(self, x: Tensor) -> None:
        """The last bias starts at the log frequency of each level in each channel (add one)."""
        counts = torch.stack([1.0 + (x == level).sum(dim=(0, 2, 3)) for level in range(self.levels)], dim=1)
        self.exit.bias.copy_(torch.log(counts / counts.sum(dim=1, keepdim=True)).flatten())

    def _log_prob(self, x: Tensor) -> Tensor:
        return -F.cross_entropy(self.logits(x).transpose(1, 2), x.long(), reduction="none").sum(dim=(1, 2, 3))

    def log_prob(self, x: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
        self.refuse_labels(labels)
        return self._log_prob(x)

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        """One pass of the network for each value; rows below the current one can't matter and are left out."""
        self.refuse_labels(labels)
        channels, height, width = self.data.shape
        uniform = noise.uniform(height, width, channels)
        x = torch.zeros(noise.n, channels, height, width, dtype=torch.uint8, device=noise.device)
        for row in range(height):
            for column in range(width):
                for channel in range(channels):
                    logits = self.logits(x[:, :, : row + 1])[:, channel, :, row, column]
                    x[:, channel, row, column] = categorical(logits, uniform[:, row, column, channel]).to(torch.uint8)
        return x
